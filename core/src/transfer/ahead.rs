//! What makes transfers and rebuilds quick when a node has nothing else to do, and transfers polite when it has.

use crate::id::{SlotId, SpaceId};
use crate::machine::Machine;
use crate::record::{Chain, Resource};
use crate::table::{Idx, Queue};

/// Answers without other work after which a transfer stops giving way.
const YIELD_FOR: u8 = 64;

/// Records of a chunk that are looked for ahead.
const RECORDS_AHEAD: usize = 256;

/// Records of a chain that are read ahead.
pub(super) const CHAIN_AHEAD: usize = 32;

/// Chains that are followed side by side.
const CHAINS_AHEAD: usize = 8;

/// Records of each of them.
const STEPS_AHEAD: usize = 512;

/// The same where others may wait for it.
const STEPS_BRIEFLY: usize = 256;

/// Whether a transfer gives way to what its two nodes do beside it: then it has one small chunk on its way at a time,
/// so that nobody waits behind many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yielding {
    /// Requests and messages of this node when it was looked at last.
    seen: u64,
    /// Answers that must come without other work before it stops giving way.
    left: u8,
}

impl Yielding {
    /// Nothing else is to be done, as far as is known now.
    pub(super) const fn since(work: u64) -> Self {
        Self { seen: work, left: 0 }
    }

    pub(super) const fn is_yielding(self) -> bool {
        self.left > 0
    }

    /// How much longer it gives way is left out: that matters to slots of several chunks only.
    #[cfg(feature = "check")]
    pub(super) fn fingerprint(self, feed: &mut crate::fingerprint::Feed<'_>, work: u64) {
        feed.put(&(self.seen == work, self.is_yielding()));
    }

    /// Takes note of what this node has done; says whether that is more than the last time.
    pub(super) const fn observe(&mut self, work: u64) -> bool {
        let is_busy = work != self.seen;
        self.seen = work;
        is_busy
    }

    /// The other node has answered.
    pub(super) const fn answered(&mut self, work: u64, is_other_busy: bool) {
        let is_busy = self.observe(work) || is_other_busy;
        self.left = if is_busy { YIELD_FOR } else { self.left.saturating_sub(1) };
    }
}

/// Hashes of the first records of a chunk, in their order.
pub(crate) struct Hashes {
    all: [u64; RECORDS_AHEAD],
    len: usize,
    at: usize,
}

impl Hashes {
    /// The hash of the next record, if it was one of the first.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let hash = self.all[..self.len].get(self.at).copied();
        self.at += 1;
        hash
    }
}

impl Machine<'_> {
    /// What this node has done for owners and peers, transfers aside, as a number that grows.
    pub(crate) const fn other_work(&self) -> u64 {
        self.s.stats.asked + self.s.rested.taken + self.s.lock_messages
    }

    /// Follows the chains of a transfer's next slots side by side, if the turn of the first of them has come, so that
    /// their records are in the cache then: one chain alone would wait for the memory at every record. Others do not
    /// wait for that.
    pub(super) fn follow_chains(&self, place: usize, slot: u32) {
        let entry = &self.s.transfers.outgoing[place];
        let range = entry.range;
        let before = (slot - range.first.0) as usize;
        if entry.stream.yielding.is_yielding() || !before.is_multiple_of(CHAINS_AHEAD) {
            return;
        }
        self.follow_slots(range.slots().skip(before).map(|SlotId(slot)| slot), STEPS_AHEAD);
    }

    /// Follows the chains of some slots side by side, so many records of each, and says of how many slots.
    fn follow_slots(&self, slots: impl Iterator<Item = u32>, steps: usize) -> u8 {
        let mut walks = [None; CHAINS_AHEAD];
        let mut followed = 0;
        for (walk, slot) in walks.iter_mut().zip(slots) {
            *walk = self.slot(slot).resources.head();
            followed += 1;
        }
        let mut sum = 0;
        for _ in 0..steps {
            let mut is_over = true;
            for walk in &mut walks {
                let Some(at) = *walk else { continue };
                is_over = false;
                sum ^= self.read_resource(at);
                *walk = Queue::<_, Chain>::next(&self.resources, at);
            }
            if is_over {
                break;
            }
        }
        core::hint::black_box(sum);
        followed
    }

    /// The same for slots whose resources are looked at next, if the turn of the first of them has come.
    pub(super) fn follow_moved(&mut self) {
        if self.s.followed > 0 {
            return;
        }
        let slots = self.s.moved.iter(&self.slots).map(Idx::to_u32);
        self.s.followed = self.follow_briefly(slots);
    }

    /// Follows the chains of some slots, while others may wait for it; says of how many.
    pub(crate) fn follow_briefly(&self, slots: impl Iterator<Item = u32>) -> u8 {
        self.follow_slots(slots, STEPS_BRIEFLY)
    }

    /// Reads some records of a chain, so that they are in the cache when each is worked on in its turn.
    ///
    /// Each loop does nothing but read what the loop before has found: so its reads wait for the memory all at once,
    /// where the work would wait for one after the other.
    pub(super) fn read_ahead(&self, first: Option<Idx<Resource>>, more: impl Fn(&Resource) -> u64) {
        let mut chain = [None; CHAIN_AHEAD];
        let mut walk = first;
        let mut sum = 0;
        for place in &mut chain {
            let Some(at) = walk else { break };
            *place = walk;
            walk = Queue::<_, Chain>::next(&self.resources, at);
            sum ^= self.read_resource(at);
        }
        for at in chain.iter().flatten() {
            let resource = &self.resources[*at];
            sum ^= more(resource);
            if let Some(lock) = resource.mastery.queues.after(&self.physical, None) {
                let record = &self.physical[lock];
                sum ^= record.number.0 ^ record.ticket.ticket().count;
            }
        }
        core::hint::black_box(sum);
    }

    /// The same for the records of a chunk: their places in the index, and what this node knows of them as a holder.
    /// Gives their hashes.
    pub(crate) fn read_ahead_of<'u>(&self, records: impl Iterator<Item = (SpaceId, &'u [u8])>) -> Hashes {
        let mut hashes = Hashes { all: [0; RECORDS_AHEAD], len: 0, at: 0 };
        for (hash, (space, name)) in hashes.all.iter_mut().zip(records) {
            *hash = self.hash_of(space, name);
            hashes.len += 1;
        }
        let mut sum = 0;
        for hash in &hashes.all[..hashes.len] {
            sum ^= self.index.read(*hash);
        }
        let mut missing = 0;
        for hash in &hashes.all[..hashes.len] {
            match self.index.find(&self.resources, *hash, |_| true) {
                Some(at) => sum ^= self.read_resource(at),
                None => missing += 1,
            }
        }
        for resource in self.next_resources().take(missing) {
            sum ^= resource.hash ^ resource.mastery.members;
        }
        // Each record has a lock at least, or nearly so.
        for physical in self.next_physical().take(hashes.len) {
            sum ^= physical.number.0 ^ physical.ticket.ticket().count;
        }
        core::hint::black_box(sum);
        hashes
    }

    /// Reads what a transfer needs of a resource, one field of each of its cache lines, and says what was read.
    pub(crate) fn read_resource(&self, at: Idx<Resource>) -> u64 {
        let resource = &self.resources[at];
        let holding = &resource.holding;
        let held = if resource.is_used { holding.token.grant ^ holding.number.0 } else { 0 };
        resource.hash ^ resource.mastery.members ^ held
    }
}
