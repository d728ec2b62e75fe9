//! What a machine has lent to its shelf, and how it gets it back.

use core::mem;

use lockmaster_core::{Config, HeapMemory, LockId, Node, Token, Use};

use crate::runtime::Writer;
use crate::shared::State;
use crate::shelf::{PlaceId, Shelf, Sought, Taken};
use crate::sync::Arc;

/// Part of a machine's locks that may be lent.
const PART_LENT: u32 = 4;
/// So often is a lock that was asked back taken of the machine before it is lent again.
const SHY: u8 = 8;
/// Locks that are taken back at a time where room is needed.
const ROOM: usize = 32;
/// Places that are looked at for that, so that who is refused does not cost more the larger the tables are.
const LOOKED_AT: usize = 1024;

/// What is lent.
pub(crate) struct Lending {
    pub(crate) shelf: Arc<Shelf>,
    /// Where a lent lock lies, by its place in the node's table.
    places: Box<[Option<Lent>]>,
    count: u32,
    /// How many there can be.
    most: u32,
    /// What was lent when the node was shut down, which is told nothing any more.
    ended: Vec<(LockId, Use)>,
    /// Where those that nobody uses are looked for next.
    hand: usize,
    /// Locks that somebody waits for.
    called: Vec<LockId>,
    /// How often what has its first place there is not lent yet.
    shy: Box<[u8]>,
}

/// Where a lent lock lies.
#[derive(Clone, Copy, Debug)]
struct Lent {
    place: PlaceId,
    /// The first place that its name may have.
    first: u32,
}
const _: () = assert!(size_of::<Option<Lent>>() == 8, "each lock of the table has room for one");

impl Lending {
    /// For a machine with room for so many locks.
    pub(crate) fn new(locks: u32, config: &Config) -> Self {
        let most = locks / PART_LENT;
        let shelf = Shelf::new(most as usize, config);
        let shy = vec![0; shelf.len()].into();
        let places = vec![None; locks as usize].into();
        Self {
            shelf: Arc::new(shelf),
            places,
            count: 0,
            most,
            ended: Vec::new(),
            hand: 0,
            called: Vec::new(),
            shy,
        }
    }

    /// Somebody waits for this lock; says whether it is lent.
    pub(crate) fn call(&mut self, lock: LockId) -> bool {
        let is_lent = self.lent(lock).is_some();
        if is_lent {
            self.called.push(lock);
        }
        is_lent
    }

    /// Is there a lock that somebody waits for, and that was not taken back yet?
    pub(crate) const fn is_called(&self) -> bool {
        !self.called.is_empty()
    }

    /// Takes a lock from the shelf, if it is there.
    pub(crate) fn withdraw(&mut self, lock: LockId) -> Option<Use> {
        let Lent { place, .. } = self.lent(lock)?;
        self.places[lock.place() as usize] = None;
        self.count -= 1;
        let (_, used) = self.shelf.withdraw(place).expect("what is lent lies on the shelf");
        Some(used)
    }

    /// Where this lock lies, if it is lent. Its place in the table may be another's by now: whoever has a guard of an
    /// earlier life may come at any time.
    fn lent(&self, lock: LockId) -> Option<Lent> {
        self.places[lock.place() as usize].filter(|lent| self.shelf.lock_at(lent.place) == lock)
    }

    /// How many locks are lent.
    #[cfg(any(feature = "conformance", all(test, not(lockmaster_shuttle))))]
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// What is lent, and how it was used so far, which the node does not know yet.
    pub(crate) fn lent_as_used(&self) -> impl Iterator<Item = (LockId, Use)> {
        let lying = (self.count > 0).then(|| self.shelf.lying());
        lying.into_iter().flatten().chain(self.ended.iter().copied())
    }

    /// Takes everything from the shelf, and nothing is taken from there any more: the node is shut down.
    pub(crate) fn close(&mut self) {
        self.ended.extend(self.shelf.close());
        self.places.fill(None);
        self.count = 0;
        self.called.clear();
    }
}

impl<W: Writer> State<W> {
    /// Lends a lock that a guard is about to have, if it may be; then that guard is not counted here.
    pub(crate) fn lend(&mut self, sought: &Sought, lock: LockId, token: Token) -> Option<Taken> {
        let Lending { shelf, places, count, most, shy, .. } = &mut self.lending;
        let place = shelf.vacant(sought)?;
        let first = shelf.first_place(sought);
        let shy = &mut shy[first];
        if *shy > 0 {
            *shy -= 1;
            return None;
        }
        if *count == *most || self.members.is_leaving() || !self.node.lend(lock) {
            return None;
        }
        shelf.set_until(self.node.certain_until());
        let taken = shelf.put(place, sought, lock, token);
        let first = u32::try_from(first).expect("there are fewer places than locks");
        places[lock.place() as usize] = Some(Lent { place, first });
        *count += 1;
        self.guards -= 1;
        Some(taken)
    }

    /// Takes a lock back, if it is lent; says whether it was.
    pub(crate) fn take_back(&mut self, lock: LockId) -> bool {
        let used = self.lending.withdraw(lock);
        if let Some(used) = used {
            self.took_back(lock, used);
        }
        used.is_some()
    }

    /// Takes back what is in the way of whoever does not wait until it is asked back.
    pub(crate) fn take_back_against(
        &mut self,
        lent_against: impl Fn(&mut Node<HeapMemory>) -> Option<LockId>,
    ) {
        while lent_against(&mut self.node).is_some_and(|lock| self.take_back(lock)) {}
    }

    fn took_back(&mut self, lock: LockId, used: Use) {
        if let Use::Held(_) = used {
            self.guards += 1;
        }
        // Nothing if it is lost.
        let _ = self.node.take_back(lock, used);
    }

    /// Takes back what somebody waits for; says whether there was any.
    pub(crate) fn take_back_called(&mut self) -> bool {
        // Mostly nothing is asked back, and then nothing is moved.
        if !self.lending.is_called() {
            return false;
        }
        let mut called = mem::take(&mut self.lending.called);
        for lock in called.drain(..) {
            if let Some(Lent { first, .. }) = self.lending.lent(lock) {
                self.lending.shy[first as usize] = SHY;
            }
            self.take_back(lock);
        }
        self.lending.called = called;
        true
    }

    /// Takes back some of the locks that nobody uses, of the next places; says whether there were any.
    pub(crate) fn take_back_some(&mut self) -> bool {
        if self.lending.count == 0 {
            return false;
        }
        let shelf = Arc::clone(&self.lending.shelf);
        let first = self.lending.hand;
        self.lending.hand = (first + LOOKED_AT) & (shelf.len() - 1);
        let mut is_any = false;
        let places = shelf.occupied_of(first, LOOKED_AT);
        for (lock, used) in places.filter_map(|place| shelf.withdraw_idle(place)).take(ROOM) {
            self.lending.places[lock.place() as usize] = None;
            self.lending.count -= 1;
            self.took_back(lock, used);
            is_any = true;
        }
        is_any
    }

    /// Takes back everything.
    pub(crate) fn take_back_all(&mut self) {
        if self.lending.count == 0 {
            return;
        }
        let shelf = Arc::clone(&self.lending.shelf);
        for place in shelf.occupied() {
            let Some((lock, used)) = shelf.withdraw(place) else { continue };
            self.lending.places[lock.place() as usize] = None;
            self.lending.count -= 1;
            self.took_back(lock, used);
        }
    }

    /// Takes some back, if the node has no room for what it is asked for.
    pub(crate) fn take_back_for_room(&mut self) -> bool {
        self.lending.count > 0 && self.node.wants_lent() && self.take_back_some()
    }
}
