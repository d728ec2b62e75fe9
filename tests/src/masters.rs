//! The queue at a master: one real node, and members that exist only as what they say on the wire.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::wire::{
    Body, DenyReason, FrameHeader, FrameWriter, Hello, LockMessage, Message, Messages, Position,
    PositionKind, VersionRange,
};
use lockmaster_core::{
    Config, DemandId, Flags, HeapMemory, Incarnation, Instant, Limits, LockView, Mode, Node, NodeId, Number,
    PhysicalView, QueueName, ResourceView, Retention, SpaceId, Token, Visit,
};

use crate::cluster::{config_of, name_mastered_by};
use crate::notation::{Marks, Operation, Outcome, Queues, in_order};

/// The letters that stand for members beside the master, which is member 1.
const LETTERS: [char; 9] = ['A', 'B', 'C', 'D', 'E', 'N', 'X', 'Y', 'Z'];

/// A real master and a member for each letter.
#[derive(Debug)]
pub struct Masters {
    node: Node<HeapMemory>,
    name: Vec<u8>,
    members: BTreeMap<char, Scripted>,
    told: BTreeSet<Outcome>,
    /// Grants of the last operation, with what orders them.
    grants: Vec<(Token, Outcome)>,
}

/// A member that follows a script.
#[derive(Clone, Debug, Default)]
struct Scripted {
    number: u64,
    asked: Number,
    held: Option<Mode>,
    pinned: Option<Mode>,
    wanted: Option<Mode>,
    flags: Flags,
    /// The demand that it has not met.
    demand: Option<(DemandId, Mode)>,
    was_demoted: bool,
}

impl Default for Masters {
    /// A master that retains nothing and has heard every member.
    fn default() -> Self {
        Self::with(|_| {})
    }
}

impl Masters {
    /// A master that retains nothing and has heard every member, whose configuration is changed before its start.
    ///
    /// # Panics
    /// If the node refuses its configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let members = u16::try_from(LETTERS.len()).expect("letters are few") + 1;
        let mut config = config_of(1, members, Retention::Never);
        change(&mut config);
        let memory = HeapMemory::new(&Limits::uniform(16), &config);
        let mut node = Node::new(config, memory).expect("the memory fits");
        for letter in LETTERS {
            let hello = Hello { node: node_of(letter), incarnation: Incarnation(1), ..node.hello() };
            node.handle_hello(Instant::START, &hello).expect("a member is welcome");
        }
        let name = name_mastered_by(&mut node, NodeId(1), "r");
        let members = LETTERS.into_iter().map(|letter| (letter, Scripted::default())).collect();
        Self { node, name, members, told: BTreeSet::new(), grants: Vec::new() }
    }

    /// The grants among what the last operation said, in the order of their tokens.
    #[must_use]
    pub fn grants(&self) -> Vec<Outcome> {
        in_order(&self.grants)
    }

    /// Does one thing and says everything that came of it but for demands.
    ///
    /// # Panics
    /// If the master says what no script expects.
    pub fn operate(&mut self, operation: Operation) -> BTreeSet<Outcome> {
        self.told.clear();
        self.grants.clear();
        match operation {
            Operation::New(who, mode, flags) => self.ask(who, mode, flags),
            Operation::Convert(who, mode, flags) => self.convert(who, mode, flags),
            Operation::Unlock(who) => {
                self.lower(who, None);
                self.told.insert(Outcome::Unlocked(who));
            }
            Operation::Cancel(who) => self.cancel(who),
        }
        self.node.check();
        core::mem::take(&mut self.told)
    }

    /// The mode that a demand lets stay at a member, if one is out.
    #[must_use]
    pub fn demanded(&self, who: char) -> Option<Mode> {
        self.members[&who].demand.map(|(_, stay)| stay)
    }

    // ---- what members say ----

    fn ask(&mut self, who: char, mode: Mode, flags: Flags) {
        let member = self.member(who);
        member.wanted = Some(mode);
        member.pinned = member.held;
        member.flags = flags;
        member.was_demoted = false;
        member.asked = Number(member.number + 1);
        let is_conversion = member.pinned.is_some();
        self.state(who, PositionKind::Request);
        if self.members[&who].wanted.is_some() {
            self.told.insert(if is_conversion { Outcome::Converts(who) } else { Outcome::Waits(who) });
        }
    }

    /// Modes of nodes never cross: a node with CW that needs PR, or the reverse, asks for PW.
    fn convert(&mut self, who: char, mode: Mode, flags: Flags) {
        let held = self.members[&who].held.expect("a conversion is from a mode");
        if held.covers(mode) {
            self.lower(who, Some(mode));
            let outcome = Outcome::Granted(who, mode, Marks::default());
            // It needed no token, and came before whatever its master said.
            self.grants.push((Token::NONE, outcome));
            self.told.insert(outcome);
        } else {
            self.ask(who, held.join(mode), flags);
        }
    }

    fn lower(&mut self, who: char, held: Option<Mode>) {
        self.member(who).held = held;
        self.state(who, PositionKind::Downgrade);
    }

    fn cancel(&mut self, who: char) {
        let member = self.member(who);
        member.wanted = None;
        member.pinned = None;
        member.asked = Number(0);
        let kept = member.held;
        self.state(who, PositionKind::Cancel);
        self.told.insert(Outcome::Cancelled(who, kept));
    }

    fn member(&mut self, who: char) -> &mut Scripted {
        self.members.get_mut(&who).expect("every letter has a member")
    }

    /// States the member's whole position under a fresh number.
    fn state(&mut self, who: char, kind: PositionKind) {
        let member = self.member(who);
        member.number += 1;
        let mut answers = DemandId(0);
        if let Some((id, stay)) = member.demand
            && member.held.is_none_or(|held| stay.covers(held))
        {
            answers = id;
            member.demand = None;
        }
        let position = Position {
            kind,
            number: Number(member.number),
            asked: member.asked,
            held: member.held,
            pinned: member.pinned,
            wanted: member.wanted,
            flags: member.flags,
            answers,
            ..Position::default()
        };
        self.send(who, Body::Position(position));
        self.listen();
    }

    fn send(&mut self, who: char, body: Body) {
        let mut frame = [0; 512];
        let config = self.node.config();
        let header = FrameHeader {
            versions: VersionRange::OURS,
            cluster: config.cluster,
            epoch: config.epoch,
            from: node_of(who),
            incarnation: Incarnation(1),
            len: 0,
        };
        let mut writer = FrameWriter::new(header, &mut frame);
        assert!(writer.push(&LockMessage { space: SpaceId(0), name: &self.name, body }), "one message fits");
        let len = writer.finish();
        self.node.handle_frame(Instant::START, node_of(who), &frame[..len]).expect("the frame is sound");
    }

    // ---- what the master says ----

    fn listen(&mut self) {
        while let Some(peer) = self.node.poll_ready() {
            let who = LETTERS.into_iter().find(|letter| node_of(*letter) == peer).expect("a member");
            let mut frame = [0; 4096];
            while let Some(len) = self.node.poll_transmit(Instant::START, peer, &mut frame) {
                let (_, messages) = Messages::new(&frame[..len]).expect("the frame is sound");
                let bodies: Vec<Body> = messages.map(body_of).collect();
                for body in bodies {
                    self.hear(who, &body);
                }
            }
        }
        assert_eq!(self.node.poll_event(), None, "the master has no owners");
    }

    fn hear(&mut self, who: char, body: &Body) {
        let member = self.member(who);
        let number = Number(member.number);
        match body {
            Body::Grant(grant) => {
                assert_eq!(grant.number, number, "{who} is granted what it asks for now");
                let wanted = member.wanted.take().expect("a grant answers a wish");
                let marks = Marks { alternate: grant.mode != wanted, demoted: member.was_demoted };
                member.held = Some(grant.mode);
                member.pinned = None;
                member.asked = Number(0);
                member.demand = grant.demand;
                let outcome = Outcome::Granted(who, grant.mode, marks);
                self.grants.push((grant.token, outcome));
                self.told.insert(outcome);
            }
            Body::Deny(deny) => {
                assert_eq!(deny.number, number, "{who} is denied what it asks for now");
                member.wanted = None;
                member.pinned = None;
                member.asked = Number(0);
                self.told.insert(match deny.reason {
                    DenyReason::Busy => Outcome::Busy(who),
                    DenyReason::Deadlock => Outcome::Deadlock(who),
                    DenyReason::Full | DenyReason::Renew => panic!("{who} is denied for {:?}", deny.reason),
                });
            }
            Body::Demand(demand) => {
                assert_eq!(
                    (demand.number, Some(demand.held)),
                    (number, member.held),
                    "the master knows {who}"
                );
                if demand.demote {
                    return self.demote(who, demand.id);
                }
                assert!(
                    member.wanted.is_some() || !demand.stay.covers(demand.held),
                    "{who} is in somebody's way, or waits itself"
                );
                member.demand = Some((demand.id, demand.stay));
            }
            Body::Queued(queued) => assert_eq!(queued.number, number, "{who} waits for what it asks for now"),
            Body::Position(_) | Body::Written(_) | Body::Redirect(_) | Body::UpdatedLocks(_) => {
                panic!("{who} hears {body:?}")
            }
        }
    }

    /// The owner that converts gives up what it holds and goes on waiting.
    fn demote(&mut self, who: char, id: DemandId) {
        let member = self.member(who);
        assert!(member.flags.has(Flags::DEMOTE_ON_DEADLOCK), "{who} accepts a demotion");
        member.held = Some(Mode::Null);
        member.pinned = Some(Mode::Null);
        member.demand = Some((id, Mode::Null));
        member.was_demoted = true;
        self.state(who, PositionKind::Downgrade);
    }

    // ---- how the queues stand ----

    /// The queues as they stand.
    pub fn queues(&mut self) -> Queues {
        let mut look = Look::default();
        self.node.visit(&mut look);
        look.0
    }
}

fn node_of(letter: char) -> NodeId {
    let at = LETTERS.iter().position(|other| *other == letter).expect("a letter of the notation");
    NodeId(u16::try_from(at).expect("letters are few") + 2)
}

/// Collects the physical locks of one resource.
#[derive(Default)]
struct Look(Queues);

impl Visit for Look {
    fn resource(&mut self, resource: ResourceView<'_>) {
        assert_eq!((resource.held, resource.wanted), (None, None), "the master has no owners");
    }

    fn physical(&mut self, physical: PhysicalView) {
        let who = LETTERS.into_iter().find(|letter| node_of(*letter) == physical.node).expect("a member");
        let held = || physical.held.expect("the lock holds a mode");
        let wanted = || physical.wanted.expect("the lock wants a mode");
        match physical.queue {
            QueueName::Granted => self.0.granted.push((who, held())),
            QueueName::Convert => self.0.convert.push((who, held(), wanted())),
            QueueName::Wait => self.0.wait.push((who, wanted())),
        }
    }

    fn lock(&mut self, lock: LockView) {
        panic!("the master has no owners: {lock:?}");
    }
}

fn body_of(message: Message<'_>) -> Body {
    match message {
        Message::Lock(message) => message.body,
        Message::Transfer(message) => panic!("nobody transfers anything: {message:?}"),
        Message::View(message) => panic!("the members never change: {message:?}"),
    }
}
