//! What is taken and given back while it concerns nobody else: a retained lock, again and again.
//!
//! It leaves nothing behind that an adapter would have to look at: no output, no deadline, no work. So it needs no drain,
//! and the time only where time ends what the node holds.

use crate::event::{Asked, Path, Request};
use crate::flags::Flags;
use crate::id::LockId;
use crate::machine::Machine;
use crate::mode::Mode;
use crate::name::check_name;
use crate::queue::{Claim, Place};
use crate::record::Resource;
use crate::table::Idx;
use crate::time::Instant;

impl Machine<'_> {
    /// Grants a request from what the node holds, if that is all there is to it. If not, nothing has happened.
    pub(crate) fn request_at_rest(&mut self, now: Instant, request: &Request<'_>) -> Option<Asked> {
        let is_plain = request.flags == Flags::NONE && check_name(request.name).is_ok();
        let is_mine = now < self.s.views.certain_until();
        if !is_plain || !is_mine || !self.is_space(request.space) || !self.has_free_lock() {
            return None;
        }
        let hash = self.hash_of(request.space, request.name);
        let resource = self.find(request.space, request.name, hash)?;
        if !self.may_grant_at_rest(resource, request.mode) {
            return None;
        }
        // What is retained for a while counts from the last call that told the time. Mostly none did since, and then the
        // line of the cache that has it is not changed.
        if now > self.s.now {
            self.s.now = now;
        }
        self.touch(resource);
        let at = self.take_lock();
        let lock = &mut self.locks[at];
        lock.resource = Some(resource);
        lock.owner = request.owner;
        lock.priority = request.priority;
        lock.claim = Claim { held: Some(request.mode), ..Claim::VACANT };
        let id = lock.id(at);
        let holding = &mut self.resources[resource].holding;
        holding.locks.stand(&mut self.locks, at, Place::Granted);
        holding.hits = holding.hits.saturating_add(1);
        self.s.rested.taken += 1;
        if self.is_local(resource) {
            self.s.rested.taken_local += 1;
        }
        self.give_token(resource, at, Path::Retained);
        Some(Asked { lock: id, grant: Some(self.grant_of(at)) })
    }

    /// Did this node's own master grant what the node holds? It is known without a look at the slot.
    pub(super) fn is_local(&self, at: Idx<Resource>) -> bool {
        self.is_me(self.resources[at].route)
    }

    /// Does the node hold this mode for its owners, with nobody in the way and nobody who waits for it?
    fn may_grant_at_rest(&self, at: Idx<Resource>, mode: Mode) -> bool {
        let resource = &self.resources[at];
        if !resource.is_used {
            return false;
        }
        let holding = &resource.holding;
        let is_held = holding.held.is_some_and(|held| held.covers(mode)) && holding.token.local < u32::MAX;
        let is_free = !holding.locks.has_waiters() && !holding.locks.is_full() && !holding.is_demanded();
        is_held && is_free && holding.locks.is_compatible(&Claim::VACANT, mode)
    }

    /// Ends a granted lock that writes no value block, if that concerns nobody. If it may, nothing has happened.
    pub(crate) fn release_at_rest(&mut self, id: LockId) -> bool {
        let Some(at) = self.live(id).filter(|at| self.locks[*at].claim.place == Place::Granted) else {
            return false;
        };
        let resource = self.resource_of(at);
        if !self.may_release_at_rest(resource) {
            return false;
        }
        if self.is_local(resource) {
            self.s.rested.released_local += 1;
        }
        self.end_lock(at);
        self.retain(resource);
        true
    }

    /// Is the lock kept without an owner, in the place that it has among those that are kept?
    fn may_release_at_rest(&self, at: Idx<Resource>) -> bool {
        let resource = &self.resources[at];
        let holding = &resource.holding;
        let space = usize::from(resource.space.0);
        let is_kept = holding.idle.is_linked()
            && self.is_retaining(at)
            && self.s.idle[space].count < self.s.config.spaces[space].retained_max;
        is_kept && !holding.locks.has_waiters() && !holding.is_demanded()
    }
}
