//! What is lent: a retained lock that an adapter takes and gives back itself, without a call.
//!
//! A lent lock is granted, whoever uses it or not, so nothing that the node says or does depends on that. Only where it is
//! in somebody's way does the difference count, and then it is asked back before the node answers:
//!
//! ```text
//!              lend                    Demanded                take_back, in use
//!   granted ─────────► lent ──────────────────────► lent ─────────────────────────► granted
//!                       ▲ │                          │
//!                       └─┘                          └──── take_back, not in use ──► (no lock)
//!            taken and given back,
//!          with a token of its own each
//! ```

use crate::config::Retention;
use crate::error::UnknownLock;
use crate::flags::Flags;
use crate::id::{LockId, SpaceId};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::name::check_name;
use crate::queue::{Place, Queues};
use crate::record::{Lock, Resource};
use crate::stats::Rested;
use crate::table::Idx;

/// How often a lent lock can be taken: so many tokens are kept for it.
pub const LOAN: u16 = 4096;

/// Whether somebody uses a lent lock when it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is held, and is a lock as any other from now on. It was taken so often while it was lent.
    Held(u32),
    /// It ends. It was taken so often while it was lent.
    Idle(u32),
}

impl Machine<'_> {
    /// Lends a granted lock, if nobody else is concerned; says whether it did.
    pub(crate) fn lend(&mut self, id: LockId) -> bool {
        let Some(at) = self.live(id) else { return false };
        let resource = self.resource_of(at);
        if self.is_ended() || !self.may_lend(resource, at) {
            return false;
        }
        let holding = &mut self.resources[resource].holding;
        holding.watched += 1;
        holding.lent += 1;
        holding.token.local += u32::from(LOAN);
        let lock = &mut self.locks[at];
        lock.lend(true);
        lock.watch(true);
        lock.claim.told = None;
        self.s.lent += 1;
        true
    }

    fn may_lend(&self, resource: Idx<Resource>, at: Idx<Lock>) -> bool {
        let (holding, lock) = (&self.resources[resource].holding, &self.locks[at]);
        let is_plain = lock.claim.place == Place::Granted
            && lock.claim.flags == Flags::NONE
            && lock.news.end.is_none()
            && !lock.is_watched()
            && !lock.has_value();
        // What others may hold beside it in a mode that writes would need tokens in the order of all grants.
        let is_fit =
            matches!(lock.claim.held, Some(Mode::ProtectedRead | Mode::ProtectedWrite | Mode::Exclusive));
        let is_kept = self.s.config.spaces[usize::from(self.resources[resource].space.0)].retention
            == Retention::UntilDemanded;
        // The tokens after its own are kept for it; the last ones of all are for who asks.
        let is_last = lock.token == holding.token && holding.token.local < u32::MAX / 2;
        let space = usize::from(self.resources[resource].space.0);
        // If nobody uses it, it is no less retained than what is idle.
        let is_few =
            self.s.idle[space].count.saturating_add(self.s.lent) < self.s.config.spaces[space].retained_max;
        is_plain
            && is_fit
            && is_kept
            && is_few
            && is_last
            && holding.lent < u8::MAX
            && !holding.locks.has_waiters()
            && !holding.is_demanded()
    }

    /// Takes a lent lock back. One that is not lent stays as it is.
    pub(crate) fn take_lent(&mut self, id: LockId, used: Use) -> Result<(), UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        if !self.locks[at].is_lent() {
            return Ok(());
        }
        let resource = self.resource_of(at);
        self.s.rested = self.s.rested.with_lent(used, self.is_local(resource));
        let (Use::Held(taken) | Use::Idle(taken)) = used;
        let hits = &mut self.resources[resource].holding.hits;
        *hits = hits.saturating_add(taken);
        self.end_loan(at);
        match used {
            Use::Idle(_) => {
                self.end_lock(at);
                if self.is_at_rest(resource) {
                    self.retain(resource);
                } else {
                    self.look_after(resource);
                }
            }
            Use::Held(_) => {
                self.locks[at].token.local += taken;
                if self.resources[resource].holding.is_demanded() {
                    // What was not answered until it was known whether somebody uses the lock.
                    self.look_after(resource);
                }
            }
        }
        Ok(())
    }

    /// What all of this has counted once these locks are taken back, those of them that are lent.
    pub(crate) fn rested_with_lent(&self, lent: impl IntoIterator<Item = (LockId, Use)>) -> Rested {
        lent.into_iter().fold(self.s.rested, |rested, (id, used)| match self.live(id) {
            Some(at) if self.locks[at].is_lent() => {
                rested.with_lent(used, self.is_local(self.resource_of(at)))
            }
            Some(_) | None => rested,
        })
    }

    /// It is a lock as any other, which nobody watches.
    pub(crate) fn end_loan(&mut self, at: Idx<Lock>) {
        if !self.locks[at].lend(false) {
            return;
        }
        self.s.lent -= 1;
        let resource = self.resource_of(at);
        let lock = &mut self.locks[at];
        let holding = &mut self.resources[resource].holding;
        holding.watched -= u16::from(lock.watch(false));
        holding.lent -= 1;
        if lock.news.demanded.take().is_some() && lock.news.end.is_none() {
            self.s.events.remove_if_linked(&mut self.locks, at);
        }
    }

    /// A lent lock of a resource that is more than this mode.
    pub(super) fn is_lent_beyond(&self, resource: Idx<Resource>, stay: Mode) -> bool {
        self.find_lent(resource, |held| !stay.covers(held)).is_some()
    }

    /// A lent lock on a resource that keeps this mode from being granted.
    pub(crate) fn lent_against(&self, space: SpaceId, name: &[u8], mode: Mode) -> Option<LockId> {
        if self.s.lent == 0 || !self.is_space(space) || check_name(name).is_err() {
            return None;
        }
        let resource = self.find(space, name, self.hash_of(space, name))?;
        let at = self.find_lent(resource, |held| !held.is_compatible(mode))?;
        Some(self.locks[at].id(at))
    }

    /// A lent lock beside a lock that keeps it from being converted to this mode.
    pub(crate) fn lent_beside(&self, id: LockId, mode: Mode) -> Option<LockId> {
        let resource = self.resource_of(self.live(id)?);
        let at = self.find_lent(resource, |held| !held.is_compatible(mode))?;
        Some(self.locks[at].id(at)).filter(|lent| *lent != id)
    }

    fn find_lent(&self, resource: Idx<Resource>, is_it: impl Fn(Mode) -> bool) -> Option<Idx<Lock>> {
        let holding = &self.resources[resource].holding;
        let mut left = if self.s.lent == 0 { 0 } else { holding.lent };
        let mut walk = holding.locks.head(Place::Granted);
        while left > 0
            && let Some(at) = walk
        {
            let lock = &self.locks[at];
            if lock.is_lent() {
                if lock.claim.held.is_some_and(&is_it) {
                    return Some(at);
                }
                left -= 1;
            }
            walk = Queues::next(&self.locks, at);
        }
        None
    }
}
