//! Members that have departed: their locks go, and what that frees is granted (rules W3 and W4).

use super::{Life, Machine};
use crate::id::{Number, Token};
use crate::machine::{Member, places};
use crate::record::{Counted, NOBODY, Passage, Peer, Physical, Resource};
use crate::table::Idx;

/// Records that one step looks at; the rest follow.
pub(super) const LOOKED_AT_A_STEP: usize = 256;

/// Looking at so many records, of which most have nothing of what is looked for, counts as one.
const LOOKS_A_RECORD: usize = 8;

/// Positions and relays for a member that has departed of which one step disposes.
const DISPOSED_A_STEP: u32 = 64;

impl Machine<'_> {
    /// Is nothing on record here of members that have departed?
    pub(crate) const fn is_purged(&self) -> bool {
        self.s.views.departed == 0
    }

    pub(super) fn begin_purge(&mut self) {
        if self.s.views.departed != 0 {
            self.s.views.purge_at = Some(0);
        }
    }

    /// Forgets all of what departed members had here: their places are needed.
    pub(super) fn finish_purge(&mut self) {
        self.begin_purge();
        while self.work_on_departed(u32::MAX) > 0 {}
    }

    /// Forgets some of what departed members had here, of `most` records at most; returns of how many.
    pub(super) fn work_on_departed(&mut self, most: u32) -> u32 {
        let Some(at) = self.s.views.purge_at else { return 0 };
        if self.s.views.life != Life::Alive || self.is_suspect() {
            return 0;
        }
        for member in places(self.s.views.departed) {
            let disposed = self.dispose_of_output(member, most.min(DISPOSED_A_STEP));
            if disposed > 0 {
                return disposed;
            }
        }
        let first = at as usize;
        let mut at = first;
        let all = self.first_unused_physical();
        let end = all.min(first + LOOKED_AT_A_STEP);
        self.read_departed(first..end);
        let mut purged = 0;
        while at < end && purged < most {
            purged += u32::from(self.purge_record(Idx::new(at)));
            at += 1;
        }
        self.s.views.purge_at = u32::try_from(at).ok();
        if at == all {
            self.s.views.purge_at = None;
            self.forget_departed();
        }
        purged + cost_of(at - first)
    }

    /// Reads what a purge needs of some records, so that it does not wait for the memory at each.
    fn read_departed(&self, records: core::ops::Range<usize>) {
        let departed = self.s.views.departed;
        let is_departed = |record: &&Physical| record.member != NOBODY && departed >> record.member & 1 == 1;
        let resources =
            self.physical.0[records].iter().filter(is_departed).filter_map(|record| record.resource);
        let mut hashes = [0; LOOKED_AT_A_STEP];
        let mut sum = 0;
        for (hash, at) in hashes.iter_mut().zip(resources) {
            *hash = self.resources[at].hash;
            sum ^= self.read_resource(at);
        }
        for hash in hashes {
            sum ^= self.index.read(hash);
        }
        core::hint::black_box(sum);
    }

    /// Takes the lock of a departed member, and all others of its resource, out of the queues; says whether it was one.
    fn purge_record(&mut self, at: Idx<Physical>) -> bool {
        let record = &self.physical[at];
        if record.member == NOBODY || self.s.views.departed >> record.member & 1 == 0 {
            return false;
        }
        let Some(resource) = record.resource else { return false };
        if self.resources[resource].passage == Passage::Packed {
            if !crate::fault_on!(self, PACKED_KEEPS_DEPARTED) {
                self.mark_gone(resource, at);
            }
        } else {
            self.purge(resource);
            self.settle();
            self.drop_if_unused(resource);
        }
        true
    }

    /// What was to be said to a departed member waits for the next master, or is of no use; returns how much of it, of
    /// `most`, there was.
    fn dispose_of_output(&mut self, member: Member, most: u32) -> u32 {
        for disposed in 0..most {
            let peer = &mut self.peers[usize::from(member)];
            let [short, long] = &peer.repeats;
            if let Some(at) = peer.positions.head().or(short.head()).or(long.head()) {
                self.route_anew(at);
                self.settle();
                self.drop_if_unused(at);
            } else if let Some(at) = peer.relays.pop_front(&mut self.relays) {
                self.put_relay(at);
            } else {
                return disposed;
            }
        }
        most
    }

    /// A packed record does not change; it only says from now on that the node of this lock has departed.
    fn mark_gone(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        let is_given_up = self.is_given_up(at);
        let record = &mut self.physical[at];
        if is_given_up {
            record.writing_since = Counted::NONE;
        }
        let member = core::mem::replace(&mut record.member, NOBODY);
        self.resources[resource].mastery.members &= !(1 << member);
    }

    /// Takes the locks of departed members out of a resource, and grants what that frees. If it was made from reports, it
    /// takes part from now on. The resource stays, even if nothing is left of it.
    pub(crate) fn purge(&mut self, resource: Idx<Resource>) {
        let departed = self.s.views.departed;
        let is_departed = |record: &Physical| record.member != NOBODY && departed >> record.member & 1 == 1;
        loop {
            let queues = &self.resources[resource].mastery.queues;
            let Some(at) = queues.find(&self.physical, is_departed) else { break };
            let is_any = crate::fault_on!(self, PURGE_LOSES_VALUE);
            let is_held = self.physical[at].claim.held.is_some_and(|held| held.may_write_value() || is_any);
            if is_held && !self.is_given_up(at) {
                self.lose_value(resource);
            }
            self.s.stats.locks_purged += 1;
            self.drop_departed(resource, at);
        }
        // What this node has lost with a view, or has a part of only, it does not grant.
        if !self.is_master(resource) {
            return;
        }
        if self.resources[resource].passage == Passage::Rebuilt {
            self.resources[resource].passage = Passage::None;
            self.open_rebuilt(resource);
        } else if !crate::fault_on!(self, NO_PASS_AFTER_PURGE) {
            self.pass(resource);
        }
    }

    /// A writer is gone, and nobody knows what it has written (rule W15).
    pub(crate) fn lose_value(&mut self, resource: Idx<Resource>) {
        let slot = &mut self.slots.0[self.resources[resource].slot as usize];
        slot.grants += 1;
        let version = Token { epoch: self.s.views.view.epoch, grant: slot.grants, local: 0 };
        if let Some(cell) = self.resources[resource].mastery.value
            && !crate::fault_on!(self, PURGE_KEEPS_VALUE)
        {
            self.write_value(cell, version, None);
        }
    }

    /// Nothing refers to the departed any more: their places are free.
    fn forget_departed(&mut self) {
        let members = self.peers.len();
        for member in places(core::mem::take(&mut self.s.views.departed)) {
            for slot in 0..self.slots.len() {
                if crate::fault_on!(self, FLOORS_STAY_BEHIND) {
                    break;
                }
                self.floors[slot * members + usize::from(member)] = Number(0);
            }
            *self.peer(member) = Peer::VACANT;
        }
        self.seat();
    }
}

/// As how many records does it count to look at some?
pub(super) fn cost_of(looks: usize) -> u32 {
    u32::try_from(looks.div_ceil(LOOKS_A_RECORD)).unwrap_or(u32::MAX).max(1)
}
