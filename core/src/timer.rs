//! Deadlines: one queue for each constant interval, of a peer or of a space; a heap for owners' patience only.
//!
//! The next deadline is kept as a lower bound, made exact by every timeout: a queue's head that goes early
//! costs one timeout that finds nothing to do, and no call has to look at all queues.

use crate::drive::Budget;
use crate::id::SpaceId;
use crate::machine::Machine;
use crate::record::Peer;
use crate::time::Instant;

/// Expired deadlines that one call works off; the rest follow while the node is driven.
const EXPIRED_A_CALL: u32 = 64;

/// As how many records one of long work counts while a map is agreed on, or resources are asked about alone.
const EARLY_PRICE: u32 = 8;

impl Machine<'_> {
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.see(now);
        if self.s.next_deadline.is_none_or(|next| next > self.s.now) {
            return;
        }
        self.s.overdue = Some(self.s.now);
        self.work_off_overdue();
    }

    /// Does some of the work that earlier calls left, within the budget; says whether there was any.
    pub(crate) fn work_on(&mut self, left: &mut Budget) -> bool {
        if self.has_small_work() {
            let has_budget = left.outputs > 0;
            if has_budget {
                left.take_output();
                self.do_small_work();
            }
            return has_budget;
        }
        let done = self.do_long_work(left.records);
        left.records = left.records.saturating_sub(done);
        done > 0
    }

    fn has_small_work(&self) -> bool {
        self.s.overdue.is_some() || !self.s.work.is_empty() || self.s.is_short || self.s.hurried != 0
    }

    fn do_small_work(&mut self) {
        if self.s.overdue.is_some() {
            self.work_off_overdue();
        } else if let Some(at) = self.s.work.pop_front(&mut self.resources) {
            self.look_after(at);
        } else if core::mem::take(&mut self.s.is_short) {
            self.shed_for_room();
            self.recall();
            self.ask_for_room();
            self.settle();
        } else {
            self.hurry();
        }
    }

    /// Does some of what takes many steps, of `most` records at most; returns of how many.
    fn do_long_work(&mut self, most: u32) -> u32 {
        if most == 0 {
            return 0;
        }
        // What somebody waits for comes first: meanwhile each record of the rest counts as several.
        let is_waited_for = !self.is_agreed() || self.s.views.early.gives_way();
        let price = if is_waited_for { EARLY_PRICE } else { 1 };
        let most = most.div_ceil(price);
        let of_transfers = self.work_on_transfers(most);
        let done = if of_transfers > 0 { of_transfers } else { self.work_on_views(most) };
        done.saturating_mul(price)
    }

    fn work_off_overdue(&mut self) {
        let Some(until) = self.s.overdue else { return };
        for _ in 0..EXPIRED_A_CALL {
            if !self.expire_one(until) {
                self.s.overdue = None;
                self.s.next_deadline = self.exact_deadline();
                return;
            }
        }
    }

    /// Works off one deadline that is not after `until`; says whether there was one.
    fn expire_one(&mut self, until: Instant) -> bool {
        if let Some((deadline, lock)) = self.patience_heap().earliest()
            && deadline <= until
        {
            self.end_of_patience(lock);
            return true;
        }
        for member in 0..self.peers.len() {
            if self.expire_of_peer(member, until) {
                return true;
            }
        }
        if self.expire_transfer(until) || self.expire_retry(until) {
            return true;
        }
        for space in self.spaces() {
            if self.first_idle(space).is_some_and(|deadline| deadline <= until) {
                self.expire_idle(space);
                return true;
            }
        }
        false
    }

    fn expire_of_peer(&mut self, member: usize, until: Instant) -> bool {
        let peer = &self.peers[member];
        for queue in &peer.repeats {
            if let Some(at) = queue.head().filter(|at| self.resources[*at].repeat_at <= until) {
                self.s.stats.repeats += 1;
                self.repeat_position(at);
                // It may be this node that decides by now.
                self.settle();
                return true;
            }
        }
        for queue in &peer.demands {
            if let Some(at) = queue.head().filter(|at| self.physical[*at].timer_at <= until) {
                self.expire_demand(at);
                return true;
            }
        }
        if let Some(at) = peer.queued.head().filter(|at| self.physical[*at].timer_at <= until) {
            self.expire_queued(at);
            return true;
        }
        u8::try_from(member).is_ok_and(|member| self.expire_view(member, until))
    }

    /// A peer has come back: what it was not told, or did not answer, is said again, in batches (rule T4).
    fn hurry(&mut self) {
        let member = self.s.hurried.trailing_zeros() as usize;
        for _ in 0..EXPIRED_A_CALL {
            if !self.expire_of_peer(member, Instant::NEVER) {
                self.s.hurried &= self.s.hurried - 1;
                return;
            }
        }
    }

    pub(crate) fn exact_deadline(&mut self) -> Option<Instant> {
        let patience = self.patience_heap().earliest().map(|(deadline, _)| deadline);
        let peers = self.peers.iter().filter_map(|peer| self.deadline_of_peer(peer)).min();
        let idle = self.spaces().filter_map(|space| self.first_idle(space)).min();
        let views = self.s.views.deadline(self.s.now);
        [patience, peers, idle, self.s.transfers.deadline(), views].into_iter().flatten().min()
    }

    fn deadline_of_peer(&self, peer: &Peer) -> Option<Instant> {
        let repeats =
            peer.repeats.iter().filter_map(|queue| queue.head()).map(|at| self.resources[at].repeat_at);
        let demands =
            peer.demands.iter().filter_map(|queue| queue.head()).map(|at| self.physical[at].timer_at);
        let queued = peer.queued.head().map(|at| self.physical[at].timer_at);
        let views = [peer.agreeing.repeat_at(), peer.reporting.repeat_at(), peer.parting.repeat_at()];
        let views = views.into_iter().filter(|at| *at != Instant::NEVER);
        repeats.chain(demands).chain(queued).chain(views).min()
    }

    /// All spaces, by their numbers.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = SpaceId> + use<> {
        let spaces = u16::try_from(self.s.config.spaces.len()).expect("spaces are few");
        (0..spaces).map(SpaceId)
    }
}
