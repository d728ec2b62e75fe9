//! The lock rules once more, as plainly as they can be said: one resource, three queues, no node, no message.
//!
//! Written from `docs/protocol.md` (rules G1 to G12), for comparison with the real core at both of its levels; see
//! [`script`]. Nothing here is fast, and nothing is shared with the core but the modes.

use std::collections::{BTreeMap, VecDeque};

use lockmaster_core::{Flags, Mode};

use crate::notation::{Marks, Operation, Outcome, Queues};

pub mod script;

#[cfg(lockmaster_faults)]
pub use script::hunt;

/// Who stands in the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Owners of one node.
    Owners,
    /// Nodes at their master: modes of nodes never cross, so that CW and PR are converted to PW.
    Members,
}

/// A rule that the reference gets wrong, to see that a comparison notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A new request passes those who wait (against G8).
    NoFairness,
    /// New requests are granted while conversions wait (against G9).
    ConversionsLast,
    /// Nobody is granted after a cancel (against G10).
    NoPassAfterCancel,
    /// A conversion deadlock is not seen (against G11).
    NoDeadlock,
    /// Holders are not told of who waits (against G12).
    NoDemands,
}

/// The queues of one resource.
#[derive(Clone, Debug)]
pub struct Reference {
    level: Level,
    mistake: Option<Mistake>,
    locks: BTreeMap<char, Lock>,
    granted: VecDeque<char>,
    convert: VecDeque<char>,
    wait: VecDeque<char>,
    said: Vec<Outcome>,
    /// Somebody may be granted who could not be before.
    is_changed: bool,
    /// It watches only from the end of the call that made it.
    newcomer: Option<char>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lock {
    held: Option<Mode>,
    wanted: Option<Mode>,
    flags: Flags,
    /// The highest mode that it was told of since its last grant.
    told: Option<Mode>,
    demoted: bool,
    /// It has waited with no-deadlock-wait since its last grant.
    is_told_early: bool,
    /// The modes that its owner has really heard of since its last grant, one bit each.
    heard: u8,
}

impl Reference {
    /// A resource that nobody has asked for yet.
    #[must_use]
    pub const fn new(level: Level, mistake: Option<Mistake>) -> Self {
        Self {
            level,
            mistake,
            locks: BTreeMap::new(),
            granted: VecDeque::new(),
            convert: VecDeque::new(),
            wait: VecDeque::new(),
            said: Vec::new(),
            is_changed: false,
            newcomer: None,
        }
    }

    /// Does one thing and says everything that came of it, grants in their order.
    pub fn operate(&mut self, operation: Operation) -> Vec<Outcome> {
        self.said.clear();
        self.is_changed = false;
        match operation {
            Operation::New(who, mode, flags) => self.request(who, mode, flags),
            Operation::Convert(who, mode, flags) => self.conversion(who, mode, flags),
            Operation::Unlock(who) => self.unlock(who),
            Operation::Cancel(who) => self.cancel(who),
        }
        // G10.
        if self.is_changed {
            self.pass();
        }
        self.operate_tell(operation);
        core::mem::take(&mut self.said)
    }

    /// What is told at the end of the call: where its lock stands, and to a new one what it is in the way of.
    fn operate_tell(&mut self, operation: Operation) {
        if let Operation::New(who, ..) | Operation::Convert(who, ..) = operation
            && !self.said.contains(&Outcome::InFlight(who))
        {
            if self.wait.contains(&who) {
                self.said.push(Outcome::Waits(who));
            }
            if self.convert.contains(&who) {
                self.said.push(Outcome::Converts(who));
            }
        }
        if let Some(who) = self.newcomer.take()
            && let Some(Lock { held: Some(held), .. }) = self.locks.get(&who).copied()
        {
            let waiting = self.waiting(who).filter(|mode| !mode.is_compatible(held)).max();
            self.lock(who).told = waiting;
            self.said.extend(waiting.map(|mode| Outcome::Demanded(who, mode)));
        }
        if self.has(Mistake::NoDemands) {
            self.said.retain(|outcome| !matches!(outcome, Outcome::Demanded(..)));
        }
    }

    // ---- verbs ----

    fn request(&mut self, who: char, mode: Mode, flags: Flags) {
        self.newcomer = (self.level == Level::Owners).then_some(who);
        self.locks.insert(who, Lock { wanted: Some(mode), flags, ..Lock::default() });
        let is_alone = self.convert.is_empty() && self.wait.is_empty();
        let may_go_first = is_alone || flags.has(Flags::NO_ORDER) || self.has(Mistake::NoFairness);
        if flags.has(Flags::EXPEDITE) || may_go_first && self.is_free_for(who, mode) {
            return self.grant(who, mode); // G1, G6, G8
        }
        if let Some(other) = self.alternate(who)
            && may_go_first
            && self.is_free_for(who, other)
        {
            return self.grant(who, other);
        }
        if flags.has(Flags::NO_QUEUE) {
            self.refuse(who, Outcome::Busy(who));
            self.locks.remove(&who);
            return;
        }
        let is_first = flags.has(Flags::HEAD_OF_QUEUE);
        if is_first {
            self.wait.push_front(who)
        } else {
            self.wait.push_back(who)
        }
        self.is_changed = is_first;
        self.tell_of(who, false);
    }

    fn conversion(&mut self, who: char, mode: Mode, flags: Flags) {
        if !self.granted.contains(&who) {
            return self.said.push(Outcome::InFlight(who));
        }
        let held = self.held(who);
        let mode = if self.level == Level::Members && !held.covers(mode) { held.join(mode) } else { mode };
        let lock = self.lock(who);
        (lock.wanted, lock.flags, lock.demoted) = (Some(mode), flags, false);
        // Who gives something up waits for nobody.
        let is_down = self.level == Level::Members && held.covers(mode);
        let is_in_order = !flags.has(Flags::QUEUE_CONVERT) || self.convert.is_empty();
        let may_go_first = is_down || flags.has(Flags::NO_ORDER) || is_in_order;
        if may_go_first && self.is_free_for(who, mode) {
            self.is_changed = true;
            return self.grant(who, mode); // G4, G5, G6
        }
        let may_wait = !flags.has(Flags::NO_QUEUE);
        if may_wait && self.is_deadlocked(who) {
            if flags.has(Flags::DEMOTE_ON_DEADLOCK) {
                let lock = self.lock(who);
                (lock.held, lock.demoted) = (Some(Mode::Null), true);
                lock.flags = flags.without(Flags::HEAD_OF_QUEUE);
            } else if !flags.has(Flags::NO_DEADLOCK_WAIT) {
                self.refuse(who, Outcome::Deadlock(who));
                self.lock(who).wanted = None;
                return;
            }
        }
        if !self.lock(who).demoted
            && let Some(other) = self.alternate(who)
            && may_go_first
            && self.is_free_for(who, other)
        {
            self.is_changed = true;
            return self.grant(who, other);
        }
        if !may_wait {
            self.refuse(who, Outcome::Busy(who));
            self.lock(who).wanted = None;
            return;
        }
        self.granted.retain(|other| *other != who);
        let is_first = self.lock(who).flags.has(Flags::HEAD_OF_QUEUE);
        self.is_changed = is_first || self.lock(who).demoted;
        self.lock(who).is_told_early = flags.has(Flags::NO_DEADLOCK_WAIT);
        if is_first {
            self.convert.push_front(who)
        } else {
            self.convert.push_back(who)
        }
        self.tell_of(who, false);
    }

    fn unlock(&mut self, who: char) {
        if !self.granted.contains(&who) {
            return self.said.push(Outcome::InFlight(who));
        }
        self.is_changed = true;
        self.granted.retain(|other| *other != who);
        self.locks.remove(&who);
        self.said.push(Outcome::Unlocked(who));
    }

    fn cancel(&mut self, who: char) {
        if self.granted.contains(&who) {
            return self.said.push(Outcome::NothingToCancel(who));
        }
        self.is_changed = !self.has(Mistake::NoPassAfterCancel);
        self.convert.retain(|other| *other != who);
        self.wait.retain(|other| *other != who);
        let lock = self.lock(who);
        lock.wanted = None;
        let kept = lock.held;
        if kept.is_some() {
            self.granted.push_back(who);
        } else {
            self.locks.remove(&who);
        }
        self.said.push(Outcome::Cancelled(who, kept));
    }

    // ---- grants ----

    /// G10: whoever may be granted is, one after the other; then holders are told.
    fn pass(&mut self) {
        while let Some((who, mode)) = self.next() {
            self.convert.retain(|other| *other != who);
            self.wait.retain(|other| *other != who);
            self.grant(who, mode);
        }
        self.tell_all();
    }

    /// G6, G7 and G9: the first conversion, or one of the others that need no order; then requests likewise, the
    /// first of which must have no conversion before it.
    fn next(&self) -> Option<(char, Mode)> {
        let is_free_to_wait = self.convert.is_empty() || self.has(Mistake::ConversionsLast);
        let queues = [(&self.convert, true), (&self.wait, is_free_to_wait)];
        queues.into_iter().find_map(|(queue, may_first)| {
            let mut waiting = queue.iter().enumerate();
            waiting.find_map(|(at, who)| {
                let is_in_order = at == 0 && may_first || self.locks[who].flags.has(Flags::NO_ORDER);
                Some((*who, self.fit(*who).filter(|_| is_in_order)?))
            })
        })
    }

    /// The mode in which a waiter could be granted now: its own, else the alternate one.
    fn fit(&self, who: char) -> Option<Mode> {
        let wanted = self.locks[&who].wanted;
        let modes = [wanted, self.alternate(who)];
        modes.into_iter().flatten().find(|mode| self.is_free_for(who, *mode))
    }

    /// G2: nobody else holds anything incompatible, wherever it stands.
    fn is_free_for(&self, who: char, mode: Mode) -> bool {
        let mut others = self.locks.iter().filter(|(other, _)| **other != who);
        others.all(|(_, other)| other.held.is_none_or(|held| held.is_compatible(mode)))
    }

    fn grant(&mut self, who: char, mode: Mode) {
        let lock = self.lock(who);
        let marks = Marks { alternate: lock.wanted != Some(mode), demoted: lock.demoted };
        *lock = Lock { held: Some(mode), flags: lock.flags, demoted: lock.demoted, ..Lock::default() };
        self.granted.retain(|other| *other != who);
        self.granted.push_back(who);
        self.said.push(Outcome::Granted(who, mode, marks));
    }

    /// What a lock takes if it cannot have what it wants.
    fn alternate(&self, who: char) -> Option<Mode> {
        let lock = self.locks[&who];
        let wanted = lock.wanted?;
        let named =
            [(Flags::ALTERNATE_PR, Mode::ProtectedRead), (Flags::ALTERNATE_CW, Mode::ConcurrentWrite)];
        let (_, other) = named.into_iter().find(|(flag, mode)| lock.flags.has(*flag) && *mode != wanted)?;
        Some(match (self.level, lock.held) {
            (Level::Members, Some(held)) => held.join(other),
            (Level::Members | Level::Owners, _) => other,
        })
    }

    /// G11: is what this lock pins in the way of a conversion ahead, or do it and one behind block each other? One
    /// that goes to the head has all others behind it, and blocks them by its place.
    fn is_deadlocked(&self, who: char) -> bool {
        if self.has(Mistake::NoDeadlock) {
            return false;
        }
        let lock = self.locks[&who];
        let (held, wanted) = (self.held(who), lock.wanted.expect("a conversion wants a mode"));
        self.convert.iter().map(|other| (self.held(*other), self.locks[other].wanted)).any(
            |(other_held, other_wanted)| {
                let other_wanted = other_wanted.expect("a conversion wants a mode");
                if lock.flags.has(Flags::HEAD_OF_QUEUE) {
                    !other_held.is_compatible(wanted)
                } else {
                    !held.is_compatible(other_wanted)
                }
            },
        )
    }

    // ---- demands (G12) ----

    /// A request or conversion is refused; those in its way are told only if it asked for that.
    fn refuse(&mut self, who: char, outcome: Outcome) {
        self.said.push(outcome);
        if matches!(outcome, Outcome::Busy(_)) && self.lock(who).flags.has(Flags::NO_QUEUE_DEMAND) {
            self.tell_of(who, true);
        }
    }

    /// Tells the granted locks that one more waits; also those that convert, if it does not stay.
    fn tell_of(&mut self, who: char, with_conversions: bool) {
        let wanted = self.lock(who).wanted.expect("who is told of wants a mode");
        let mut holders: Vec<char> = self.granted.iter().copied().collect();
        if with_conversions {
            holders.extend(&self.convert);
        }
        for holder in holders.into_iter().filter(|holder| *holder != who) {
            let held = self.held(holder);
            let told = self.lock(holder).told;
            let do_cross = !held.covers(wanted) && !wanted.covers(held);
            let is_news =
                told < Some(wanted) || do_cross && told != Some(wanted) && told != Some(Mode::Exclusive);
            if !held.is_compatible(wanted) && is_news {
                self.tell(holder, wanted, wanted);
            }
        }
    }

    /// Tells each granted lock of the highest mode waited for, and those that convert though in deadlock.
    fn tell_all(&mut self) {
        let holders: Vec<char> = self.granted.iter().chain(&self.convert).copied().collect();
        for holder in holders {
            let is_converting = self.convert.contains(&holder);
            if is_converting && !self.lock(holder).flags.has(Flags::NO_DEADLOCK_WAIT) {
                continue;
            }
            let Some(high) = self.waiting(holder).max() else { continue };
            let (held, told) = (self.held(holder), self.lock(holder).told);
            // CW and PR are not ordered: who holds PR hears of CW though PR is waited for, too.
            let is_crossed =
                held == Mode::ProtectedRead && self.waiting(holder).any(|mode| mode == Mode::ConcurrentWrite);
            if is_crossed && told < Some(high) {
                let named = if high == Mode::ProtectedRead { Mode::ConcurrentWrite } else { high };
                self.tell(holder, named, high);
            } else if !held.is_compatible(high) && told < Some(high) {
                self.tell(holder, high, high);
            }
        }
    }

    /// Of several demands in one call the last one is heard.
    fn tell(&mut self, holder: char, named: Mode, told: Mode) {
        self.lock(holder).told = Some(told);
        if self.newcomer == Some(holder) {
            return;
        }
        self.said.retain(|outcome| !matches!(outcome, Outcome::Demanded(who, _) if *who == holder));
        self.said.push(Outcome::Demanded(holder, named));
    }

    /// Has an owner heard of somebody who waits for this mode since its last grant? Then it need not hear it again.
    #[must_use]
    pub fn has_heard(&self, who: char, mode: Mode) -> bool {
        self.locks[&who].heard >> mode as u8 & 1 == 1
    }

    /// An owner was really told of a mode. Returns whether that is true: its lock stands granted, and another waits
    /// for the mode.
    pub fn hear(&mut self, who: char, mode: Mode) -> bool {
        let is_true = self.granted.contains(&who)
            && !self.held(who).is_compatible(mode)
            && self.waiting(who).any(|waiting| waiting == mode);
        let lock = self.lock(who);
        lock.told = lock.told.max(Some(mode));
        lock.heard |= 1 << mode as u8;
        is_true
    }

    /// Modes that others wait for.
    fn waiting(&self, but: char) -> impl Iterator<Item = Mode> {
        let waiting = self.convert.iter().chain(&self.wait).filter(move |who| **who != but);
        waiting.filter_map(|who| self.locks[who].wanted)
    }

    // ---- a look ----

    /// What a lock holds, if there is such a lock; and whether it waits for something.
    #[must_use]
    pub fn look(&self, who: char) -> Option<(Option<Mode>, bool)> {
        self.locks.get(&who).map(|lock| (lock.held, lock.wanted.is_some()))
    }

    /// Does anybody wait?
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        !(self.convert.is_empty() && self.wait.is_empty())
    }

    /// Is it left open when this lock is told of waiters? A conversion that waits though in deadlock is told after
    /// a pass, and with what a node has to ask its master for there may be more of them than changes.
    #[must_use]
    pub fn may_be_told_early(&self, who: char) -> bool {
        self.locks.get(&who).is_some_and(|lock| lock.is_told_early)
    }

    /// The queues as they stand.
    #[must_use]
    pub fn queues(&self) -> Queues {
        let wanted = |who: &char| self.locks[who].wanted.expect("a waiter wants a mode");
        Queues {
            granted: self.granted.iter().map(|who| (*who, self.held(*who))).collect(),
            convert: self.convert.iter().map(|who| (*who, self.held(*who), wanted(who))).collect(),
            wait: self.wait.iter().map(|who| (*who, wanted(who))).collect(),
        }
    }

    fn held(&self, who: char) -> Mode {
        self.locks[&who].held.expect("who is granted or converts holds a mode")
    }

    fn lock(&mut self, who: char) -> &mut Lock {
        self.locks.get_mut(&who).expect("the lock is there")
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }
}
