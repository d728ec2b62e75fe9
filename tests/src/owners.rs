//! The queue among the owners of one node, moved by the operations of the notation.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::{
    Asked, Cancelled, Config, Conversion, ConvertError, Denial, Event, Flags, Grant, HeapMemory, Instant,
    Limits, LockId, LockView, Mode, Node, OwnerId, PhysicalView, Priority, QueueName, ReleaseError, Request,
    RequestError, ResourceView, Retention, SpaceId, Storage, Token, ValueWrite, Visit,
};

use crate::cluster::config_of;
use crate::notation::{Marks, Operation, Outcome, Queues, in_order};

/// Name of the resource that all of them want.
const NAME: &[u8] = b"r";

/// One node, one resource, and an owner for each letter. Every lock is watched.
#[derive(Debug)]
pub struct Owners<S> {
    node: Node<S>,
    locks: BTreeMap<char, LockId>,
    told: BTreeSet<Outcome>,
    /// Grants of the last operation, with what orders them.
    grants: Vec<(Token, Outcome)>,
}

impl Owners<HeapMemory> {
    /// Owners on heap memory.
    #[must_use]
    pub fn on_heap() -> Self {
        Self::on_heap_with(|_| {})
    }

    /// Owners on heap memory, of a node whose configuration is changed before its start.
    ///
    /// # Panics
    /// If the node refuses its configuration.
    pub fn on_heap_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config_of(1, 1, Retention::Never);
        change(&mut config);
        let memory = HeapMemory::new(&Limits::uniform(16), &config);
        Self::of(Node::new(config, memory).expect("the memory fits"))
    }
}

impl<S: Storage> Owners<S> {
    /// Owners on this memory, of a node without others that retains nothing.
    ///
    /// # Panics
    /// If the memory does not fit one member and one slot.
    pub fn new(memory: S) -> Self {
        Self::of(Node::new(config_of(1, 1, Retention::Never), memory).expect("the memory fits"))
    }

    const fn of(node: Node<S>) -> Self {
        Self { node, locks: BTreeMap::new(), told: BTreeSet::new(), grants: Vec::new() }
    }

    /// The grants among what the last operation said, in the order of their tokens.
    #[must_use]
    pub fn grants(&self) -> Vec<Outcome> {
        in_order(&self.grants)
    }

    /// Does one thing and says everything that came of it.
    ///
    /// # Panics
    /// If the operation names a letter that has no lock, or the call is refused for a reason that the notation
    /// does not know.
    pub fn operate(&mut self, operation: Operation) -> BTreeSet<Outcome> {
        self.told.clear();
        self.grants.clear();
        match operation {
            Operation::New(who, mode, flags) => self.request(who, mode, flags),
            Operation::Convert(who, mode, flags) => self.convert(who, mode, flags),
            Operation::Unlock(who) => self.release(who),
            Operation::Cancel(who) => self.cancel(who),
        }
        self.listen();
        self.node.check();
        core::mem::take(&mut self.told)
    }

    fn request(&mut self, who: char, mode: Mode, flags: Flags) {
        let request = Request {
            space: SpaceId(0),
            name: NAME,
            owner: OwnerId(u64::from(who)),
            mode,
            flags,
            priority: Priority(0),
            patience: None,
        };
        match self.node.request(Instant::START, &request) {
            Ok(Asked { lock, grant }) => {
                self.locks.insert(who, lock);
                match grant {
                    Some(grant) => self.granted(who, &grant),
                    None => self.tell(Outcome::Waits(who)),
                }
                let demanded = self.node.watch(lock).expect("the lock is live");
                self.told.extend(demanded.map(|mode| Outcome::Demanded(who, mode)));
            }
            Err(RequestError::Busy) => self.tell(Outcome::Busy(who)),
            Err(other) => panic!("{who} was refused: {other}"),
        }
    }

    fn convert(&mut self, who: char, mode: Mode, flags: Flags) {
        let conversion = Conversion { flags, patience: None };
        let lock = self.locks[&who];
        match self.node.convert(Instant::START, lock, mode, conversion, ValueWrite::Keep) {
            Ok(Some(grant)) => self.granted(who, &grant),
            Ok(None) => self.tell(Outcome::Converts(who)),
            Err(ConvertError::Busy) => self.tell(Outcome::Busy(who)),
            Err(ConvertError::Deadlock) => self.tell(Outcome::Deadlock(who)),
            Err(ConvertError::InFlight) => self.tell(Outcome::InFlight(who)),
            Err(other) => panic!("{who} was refused: {other}"),
        }
    }

    fn release(&mut self, who: char) {
        match self.node.release(self.locks[&who], ValueWrite::Keep) {
            Ok(()) => {
                self.locks.remove(&who);
                self.tell(Outcome::Unlocked(who));
            }
            Err(ReleaseError::InFlight) => self.tell(Outcome::InFlight(who)),
            Err(other) => panic!("{who} was refused: {other}"),
        }
    }

    fn cancel(&mut self, who: char) {
        let lock = self.locks[&who];
        match self.node.cancel(lock).expect("the lock is live") {
            Cancelled::Request => {
                self.locks.remove(&who);
                self.tell(Outcome::Cancelled(who, None));
            }
            Cancelled::Conversion => {
                let kept = self.queues().granted.iter().find(|(of, _)| *of == who).map(|(_, mode)| *mode);
                self.tell(Outcome::Cancelled(who, kept));
            }
            Cancelled::Nothing => self.tell(Outcome::NothingToCancel(who)),
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::Granted { owner, grant, .. } => self.granted(letter(owner), &grant),
                Event::Denied { owner, reason: Denial::Busy, .. } => self.tell(Outcome::Busy(letter(owner))),
                Event::Denied { owner, reason: Denial::Deadlock, .. } => {
                    self.tell(Outcome::Deadlock(letter(owner)));
                }
                Event::Denied { owner, reason: Denial::TimedOut | Denial::Full, .. } => {
                    panic!("{} was denied: {event:?}", letter(owner));
                }
                Event::Demanded { owner, mode, .. } => self.tell(Outcome::Demanded(letter(owner), mode)),
                Event::Transfer(_) => panic!("nobody transfers anything: {event:?}"),
                Event::Lost { .. } => panic!("no view takes locks away here: {event:?}"),
            }
        }
    }

    fn granted(&mut self, who: char, grant: &Grant) {
        let marks = Marks { alternate: grant.alternate, demoted: grant.demoted };
        let outcome = Outcome::Granted(who, grant.mode, marks);
        self.grants.push((grant.token, outcome));
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        assert!(self.told.insert(outcome), "{outcome:?} was told twice");
    }

    /// The queues as they stand.
    pub fn queues(&mut self) -> Queues {
        let mut look = Look::default();
        self.node.visit(&mut look);
        look.0
    }
}

fn letter(owner: OwnerId) -> char {
    u32::try_from(owner.0).ok().and_then(char::from_u32).expect("owners are letters")
}

/// Collects the logical locks of one resource.
#[derive(Default)]
struct Look(Queues);

impl Visit for Look {
    fn resource(&mut self, resource: ResourceView<'_>) {
        assert_eq!(resource.name, NAME, "there is one resource");
    }

    fn physical(&mut self, _: PhysicalView) {}

    fn lock(&mut self, lock: LockView) {
        let who = letter(lock.owner);
        let held = || lock.held.expect("the lock holds a mode");
        let wanted = || lock.wanted.expect("the lock wants a mode");
        match lock.queue {
            QueueName::Granted => self.0.granted.push((who, held())),
            QueueName::Convert => self.0.convert.push((who, held(), wanted())),
            QueueName::Wait => self.0.wait.push((who, wanted())),
        }
    }
}
