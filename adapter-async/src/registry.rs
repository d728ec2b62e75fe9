//! Who waits for which lock, and what they were told: one place for each logical lock the node has room for.
//!
//! Wait of a request or conversion:
//!
//! ```text
//!          wait                  complete
//!   Idle ─────────▶ Waiting ───────────────▶ Over
//!    ▲                 │ forget                │ poll, forget
//!    └─────────────────┴───────────────────────┘
//! ```
//!
//! A denied request has ended in the node while its outcome still waits here to be fetched, and the node may
//! give its place to another lock. The outcome is then put aside under the old handle.
//!
//! Beside the locks are the transfers that somebody waits for.

mod transfers;

use core::task::{Poll, Waker};
use std::collections::BTreeMap;

use lockmaster_core::{Denial, Grant, LockId, Mode};

use crate::stale::Stale;

pub(crate) use self::transfers::Transfers;

/// How a wait ended.
pub(crate) type Outcome = Result<Grant, Unmet>;

/// Why a wait ended without a grant, or with one that does not count any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    Denied(Denied),
    /// The lock is lost.
    Lost,
    /// The node leaves.
    Closed,
}

/// A wait that ended without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: Denial,
    /// Mode that is still held; absent if the lock has ended.
    pub(crate) held: Option<Mode>,
}

/// Names one of those who watch a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchId(u64);

#[derive(Debug)]
pub(crate) struct Registry {
    slots: Box<[Slot]>,
    aside: BTreeMap<LockId, Outcome>,
    watches: u64,
    waiting: u32,
    pub(crate) transfers: Transfers,
}

#[derive(Debug, Default)]
struct Slot {
    /// The lock that the rest is about. Of the locks that had this place it is the last one that waited.
    lock: Option<LockId>,
    phase: Phase,
    watchers: Vec<(WatchId, Watch)>,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Waiting(Option<Waker>),
    Over(Outcome),
}

#[derive(Debug)]
enum Watch {
    /// For a demand.
    Waiting(Waker),
    Told(Mode),
    /// For the loss of the lock.
    Mourning(Waker),
}

impl Registry {
    /// Places for this many locks.
    pub(crate) fn new(locks: u32) -> Self {
        Self {
            slots: (0..locks).map(|_| Slot::default()).collect(),
            aside: BTreeMap::new(),
            watches: 0,
            waiting: 0,
            transfers: Transfers::default(),
        }
    }

    /// A request or conversion begins to wait. [`Registry::poll`] names who is to be woken.
    pub(crate) fn wait(&mut self, lock: LockId, stale: &mut Stale) {
        let slot = self.slot(lock, stale);
        assert!(matches!(slot.phase, Phase::Idle), "a lock waits for one thing at a time");
        slot.phase = Phase::Waiting(None);
        self.waiting += 1;
    }

    /// How many locks are waited for.
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Does nobody wait for anything?
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let is_idle = |slot: &Slot| matches!(slot.phase, Phase::Idle) && slot.watchers.is_empty();
        self.waiting == 0
            && self.slots.iter().all(is_idle)
            && self.aside.is_empty()
            && self.transfers.is_idle()
    }

    /// Is the wait over? If so it is forgotten, otherwise `waker` is woken at its end.
    pub(crate) fn poll(&mut self, lock: LockId, waker: &Waker, stale: &mut Stale) -> Poll<Outcome> {
        if let Some(outcome) = self.take(lock) {
            return Poll::Ready(outcome);
        }
        let slot = self.registry_own(lock).expect("a lock that waits has its slot");
        let Phase::Waiting(known) = &mut slot.phase else { unreachable!("what waits is not over") };
        stale.replace(known, waker);
        Poll::Pending
    }

    /// The outcome, if the wait is over; it is forgotten then.
    pub(crate) fn take(&mut self, lock: LockId) -> Option<Outcome> {
        let Some(slot) = self.registry_own(lock) else { return self.aside.remove(&lock) };
        let Phase::Over(outcome) = slot.phase else { return None };
        slot.phase = Phase::Idle;
        Some(outcome)
    }

    /// Nobody waits for this lock any more, or watches it.
    pub(crate) fn forget(&mut self, lock: LockId, stale: &mut Stale) {
        match self.registry_own(lock) {
            Some(slot) => {
                slot.give_up_watchers(|waker| stale.add(waker));
                self.stop(lock, stale);
            }
            None => drop(self.aside.remove(&lock)),
        }
    }

    /// The conversion of this lock no longer waits.
    pub(crate) fn stop(&mut self, lock: LockId, stale: &mut Stale) {
        let Some(slot) = self.registry_own(lock) else { return };
        if let Phase::Waiting(waker) = core::mem::take(&mut slot.phase) {
            waker.into_iter().for_each(|waker| stale.add(waker));
            self.waiting -= 1;
        }
    }

    /// The wait has ended. Returns who is to be woken; an end that nobody waits for is ignored.
    #[must_use]
    pub(crate) fn complete(&mut self, lock: LockId, outcome: Outcome) -> Option<Waker> {
        let slot = self.registry_own(lock)?;
        let Phase::Waiting(waker) = &mut slot.phase else { return None };
        let waker = waker.take();
        slot.phase = Phase::Over(outcome);
        self.waiting -= 1;
        waker
    }

    /// What a watcher was told, if it was told something; otherwise `waker` is woken when it is.
    ///
    /// `watch` is the watcher's name: absent until it first waits, and again once it was told.
    pub(crate) fn poll_watch(
        &mut self,
        lock: LockId,
        watch: &mut Option<WatchId>,
        waker: &Waker,
        stale: &mut Stale,
    ) -> Poll<Mode> {
        if let Some(mode) = self.told(lock, *watch) {
            *watch = None;
            return Poll::Ready(mode);
        }
        self.watches += 1;
        let fresh = WatchId(self.watches);
        let watchers = &mut self.slot(lock, stale).watchers;
        match watchers.iter_mut().find(|(id, _)| Some(*id) == *watch) {
            Some((_, known)) => {
                if let Watch::Waiting(before) = core::mem::replace(known, Watch::Waiting(waker.clone())) {
                    stale.add(before);
                }
            }
            None => {
                *watch = Some(fresh);
                watchers.push((fresh, Watch::Waiting(waker.clone())));
            }
        }
        Poll::Pending
    }

    /// What a watcher was told; it then watches no more.
    fn told(&mut self, lock: LockId, watch: Option<WatchId>) -> Option<Mode> {
        let watchers = &mut self.registry_own(lock)?.watchers;
        let at = watchers.iter().position(|(id, _)| Some(*id) == watch)?;
        let Watch::Told(mode) = watchers[at].1 else { return None };
        watchers.swap_remove(at);
        Some(mode)
    }

    /// `waker` is woken when the lock, which is not lost yet, is lost. `watch` is absent at the first call.
    pub(crate) fn watch_loss(
        &mut self,
        lock: LockId,
        watch: &mut Option<WatchId>,
        waker: &Waker,
        stale: &mut Stale,
    ) {
        self.watches += 1;
        let fresh = WatchId(self.watches);
        let watchers = &mut self.slot(lock, stale).watchers;
        if let Some((_, Watch::Mourning(known))) = watchers.iter_mut().find(|(id, _)| Some(*id) == *watch) {
            if !known.will_wake(waker) {
                stale.add(core::mem::replace(known, waker.clone()));
            }
            return;
        }
        *watch = Some(fresh);
        watchers.push((fresh, Watch::Mourning(waker.clone())));
    }

    /// A watcher is gone.
    pub(crate) fn unwatch(&mut self, lock: LockId, watch: WatchId, stale: &mut Stale) {
        let Some(slot) = self.registry_own(lock) else { return };
        let Some(at) = slot.watchers.iter().position(|(id, _)| *id == watch) else { return };
        match slot.watchers.swap_remove(at).1 {
            Watch::Waiting(waker) | Watch::Mourning(waker) => stale.add(waker),
            Watch::Told(_) => {}
        }
    }

    /// Somebody waits for `mode` and this lock is in the way: its watchers are told.
    pub(crate) fn demand(&mut self, lock: LockId, mode: Mode, mut wake: impl FnMut(Waker)) {
        let Some(slot) = self.registry_own(lock) else { return };
        for (_, watch) in &mut slot.watchers {
            let is_loss = matches!(watch, Watch::Mourning(_));
            if !is_loss && let Watch::Waiting(waker) = core::mem::replace(watch, Watch::Told(mode)) {
                wake(waker);
            }
        }
    }

    /// A lock is lost: who waits for its conversion, who watches it, and who has not fetched its grant yet, is told.
    pub(crate) fn lose(&mut self, lock: LockId, mut wake: impl FnMut(Waker)) {
        let Some(slot) = self.registry_own(lock) else { return };
        slot.give_up_watchers(&mut wake);
        match core::mem::replace(&mut slot.phase, Phase::Idle) {
            Phase::Idle => {}
            Phase::Over(_) => slot.phase = Phase::Over(Err(Unmet::Lost)),
            Phase::Waiting(waker) => {
                slot.phase = Phase::Over(Err(Unmet::Lost));
                self.waiting -= 1;
                waker.into_iter().for_each(wake);
            }
        }
    }

    /// Ends every wait, and takes back every grant that was not fetched yet. Gives their locks.
    pub(crate) fn refuse_all(&mut self, mut wake: impl FnMut(Waker)) -> Vec<LockId> {
        let mut refused = Vec::new();
        for slot in &mut self.slots {
            match &mut slot.phase {
                Phase::Idle | Phase::Over(Err(_)) => continue,
                Phase::Over(Ok(_)) => {}
                Phase::Waiting(waker) => {
                    waker.take().into_iter().for_each(&mut wake);
                    self.waiting -= 1;
                }
            }
            slot.phase = Phase::Over(Err(Unmet::Closed));
            refused.extend(slot.lock);
        }
        refused
    }

    /// Gives up all wakers: whoever is woken will find the node closed.
    pub(crate) fn close(&mut self, mut wake: impl FnMut(Waker)) {
        for slot in &mut self.slots {
            if let Phase::Waiting(waker) = &mut slot.phase {
                waker.take().into_iter().for_each(&mut wake);
            }
            slot.give_up_watchers(&mut wake);
        }
        self.transfers.close(wake);
    }

    /// The slot of this lock, made its own if it was another's before.
    fn slot(&mut self, lock: LockId, stale: &mut Stale) -> &mut Slot {
        let slot = &mut self.slots[lock.place() as usize];
        if slot.lock != Some(lock) {
            // There are some if the future of one that watched was leaked.
            slot.give_up_watchers(|waker| stale.add(waker));
            let (before, phase) = (slot.lock.replace(lock), core::mem::take(&mut slot.phase));
            debug_assert!(!matches!(phase, Phase::Waiting(_)), "a lock that waits keeps its place");
            if let (Some(old), Phase::Over(outcome)) = (before, phase) {
                self.aside.insert(old, outcome);
            }
        }
        slot
    }

    /// The slot of this lock, if it is its own.
    fn registry_own(&mut self, lock: LockId) -> Option<&mut Slot> {
        let slot = &mut self.slots[lock.place() as usize];
        if slot.lock == Some(lock) { Some(slot) } else { None }
    }
}

impl Slot {
    /// Nobody watches any more; hands out the wakers of those who did.
    fn give_up_watchers(&mut self, mut to: impl FnMut(Waker)) {
        for (_, watch) in core::mem::take(&mut self.watchers) {
            match watch {
                Watch::Waiting(waker) | Watch::Mourning(waker) => to(waker),
                Watch::Told(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
