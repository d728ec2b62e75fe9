//! Self-checks for tests: the tables against themselves.

use core::fmt::{self, Write};

use crate::machine::Machine;
use crate::mode::Mode;
use crate::queue::{Entry, Place, Queues};
use crate::record::Resource;
use crate::table::{Idx, Slab};

impl Machine<'_> {
    /// Walks all tables and panics if they contradict themselves.
    pub(crate) fn check(&mut self) {
        let (mut physical, mut locks, mut idle) = (0, 0, 0);
        for at in 0..self.resources.len() {
            let at = Idx::new(at);
            let resource = &self.resources[at];
            if resource.name_len == 0 {
                continue;
            }
            self.check_resource(at);
            physical += check_queues(&resource.mastery.queues, &self.physical);
            locks += check_queues(&resource.holding.locks, &self.locks);
            idle += u32::from(resource.holding.is_idle);
        }
        assert!(self.s.idle.iter().map(|idle| idle.count).sum::<u32>() == idle, "idle locks are counted");
        let live = self.physical.0.iter().filter(|record| record.resource.is_some()).count();
        assert!(live == physical, "every physical lock stands in a queue of its resource");
        let live = self.locks.0.iter().filter(|lock| lock.claim.place != Place::Apart).count();
        assert!(live == locks, "every logical lock stands in a queue of its resource");
        assert!(!self.s.is_settling, "a node is settled between calls");
    }

    fn check_resource(&self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        let name = self.name_of(resource);
        assert!(
            self.find(resource.space, name.as_bytes(), resource.hash) == Some(at),
            "a live resource is indexed"
        );
        let holding = &resource.holding;
        let need = holding.locks.need();
        assert!(
            need.is_none_or(|need| holding.held.is_some_and(|held| held.covers(need))),
            "{name:?}: a node holds what its owners hold"
        );
        assert!(holding.write.0 != u64::MAX, "a write is stated");
        let is_useful =
            !holding.is_nothing() || !resource.mastery.queues.is_empty() || resource.outbox.is_linked();
        assert!(is_useful, "{name:?}: a resource is there for a reason");
        let is_pending = holding.wish.is_some() && !self.is_master(at);
        let is_said = resource.outbox.is_linked() || resource.repeat.is_linked();
        assert!(!is_pending || is_said, "{name:?}: what is wanted of another node is said or repeated");
        let mastery = &resource.mastery;
        let held: u16 = Mode::ALL.into_iter().map(|mode| mastery.queues.held_at(mode)).sum();
        assert!(held == 0 || self.is_master(at), "only a master has physical locks on record");
    }

    /// Digest of the tables; two equal tables have equal digests on any storage.
    pub(crate) fn digest(&mut self) -> u64 {
        let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
        let live = |at: &usize| self.resources.0[*at].name_len > 0;
        for at in (0..self.resources.len()).filter(live) {
            write_to(&mut digest, &self.resources.0[at]);
        }
        for record in self.physical.0.iter().filter(|record| record.resource.is_some()) {
            write_to(&mut digest, record);
        }
        for lock in self.locks.0.iter().filter(|lock| lock.resource.is_some()) {
            write_to(&mut digest, lock);
        }
        for peer in self.peers.iter() {
            write_to(&mut digest, &(&peer.positions, &peer.answers, peer.ring.len));
        }
        write_to(&mut digest, &(&self.s.events, &self.s.work, &self.s.idle));
        digest.0
    }
}

/// The queues agree with their counts; returns how many locks they have.
fn check_queues<T: Entry>(queues: &Queues<T>, slab: &Slab<'_, T>) -> usize {
    let (mut held, mut wanted, mut len) = ([0; 6], [0; 6], 0);
    for place in [Place::Granted, Place::Convert, Place::Wait] {
        let mut walk = queues.head(place);
        while let Some(at) = walk {
            let claim = slab[at].claim();
            assert!(claim.place == place, "a lock knows where it stands");
            assert!(claim.wanted.is_some() == (place != Place::Granted), "a lock that wants waits");
            assert!(claim.held.is_some() || place == Place::Wait, "a lock that does not wait holds");
            if let Some(mode) = claim.held {
                held[mode as usize] += 1;
            }
            if let Some(mode) = claim.wanted {
                wanted[mode as usize] += 1;
            }
            len += 1;
            walk = Queues::next(slab, at);
        }
    }
    for mode in Mode::ALL {
        assert!(held[mode as usize] == queues.held_at(mode), "modes held are counted");
        assert!(wanted[mode as usize] == queues.waiting(mode), "modes wanted are counted");
    }
    len
}

/// FNV-1a over what a record prints: slow, and the same wherever the record is kept.
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}

fn write_to(digest: &mut Fnv, record: &dyn fmt::Debug) {
    write!(digest, "{record:?}").expect("a digest takes everything");
}
