//! Self-checks for tests: the tables against themselves.

use core::fmt::{self, Write};

use crate::id::{DemandId, NodeId, Number, SlotId, SpaceId, Token};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::queue::{Entry, Place, Queues};
use crate::record::{
    Answer, Chain, Counted, Course, Due, Lock, Mastery, Passage, Physical, Resource, Slot, Timed,
};
use crate::table::{Idx, Link, Queue, Slab};
use crate::transfer::Room;
use crate::wire::{Unit, encode_unit};

impl Machine<'_> {
    /// Walks all tables and panics if they contradict themselves.
    pub(crate) fn check(&mut self) {
        let (mut physical, mut locks, mut idle, mut lent) = (0, 0, 0, 0);
        for at in 0..self.resources.len() {
            let at = Idx::new(at);
            let resource = &self.resources[at];
            if resource.name_len == 0 {
                assert!(resource.is_vacant(), "nothing is left in a free resource: {resource:?}");
                continue;
            }
            self.check_resource(at);
            physical += check_queues(&resource.mastery.queues, &self.physical);
            locks += check_queues(&resource.holding.locks, &self.locks);
            idle += u32::from(resource.holding.is_idle);
            lent += usize::from(resource.holding.lent);
        }
        assert!(self.s.idle.iter().map(|idle| idle.count).sum::<u32>() == idle, "idle locks are counted");
        let live = self.physical.0.iter().filter(|record| record.resource.is_some()).count();
        assert!(live == physical, "every physical lock stands in a queue of its resource");
        for record in &*self.physical.0 {
            assert!(
                record.resource.is_some() || record.is_vacant(),
                "nothing is left in a free lock: {record:?}"
            );
            assert!(record.timer.is_linked() == record.timed.is_some(), "a timer runs for something");
            match record.timed {
                None => {}
                Some(Timed::Demand(_)) => assert!(record.demand.is_some(), "only a demand is repeated"),
                Some(Timed::Queued) => {
                    assert!(record.claim.is_waiting(), "only who waits is told its place");
                }
            }
        }
        let live = self.locks.0.iter().filter(|lock| lock.claim.place != Place::Apart).count();
        assert!(live == locks, "every logical lock stands in a queue of its resource");
        assert!(self.s.lent as usize == lent, "what is lent of each resource is counted");
        let lent = self.locks.0.iter().filter(|lock| lock.is_lent());
        assert!(self.s.lent as usize == lent.clone().count(), "lent locks are counted");
        for lock in lent {
            let is_plain = lock.claim.place == Place::Granted && lock.is_watched() && !lock.has_value();
            assert!(is_plain, "what is lent is granted, and its owner is watched: {lock:?}");
        }
        assert!(!self.s.is_settling, "a node is settled between calls");
        for slot in 0..self.slot_count() {
            self.check_slot(slot);
        }
        self.check_reserved();
        if self.is_ended() {
            // Its locks are on their way out, a few each call.
            return;
        }
        if let Some(exact) = self.exact_deadline() {
            let known = self.s.next_deadline;
            assert!(known.is_some_and(|known| known <= exact), "{exact:?} is due, and {known:?} is known of");
        }
    }

    /// A slot's account of its records is right.
    fn check_slot(&self, slot: u32) {
        let entry = self.slot(slot);
        let mut room = Room::NONE;
        let mut walk = entry.resources.head();
        let (mut is_unpacked, is_packing) = (false, matches!(entry.course, Course::Packing(_)));
        while let Some(at) = walk {
            walk = Queue::<_, Chain>::next(&self.resources, at);
            let resource = &self.resources[at];
            assert!(resource.slot == slot, "a resource is in its slot's chain");
            let is_packed = resource.passage == Passage::Packed;
            assert!(!(is_packing && is_packed && is_unpacked), "what is packed stands first in its chain");
            is_unpacked |= !is_packed;
            room += Room {
                resources: 1,
                physical: u32::from(resource.mastery.queues.len()),
                names: u32::from(resource.name_cell().is_some()),
                values: u32::from(resource.mastery.value.is_some()),
            };
        }
        assert!(room == entry.room, "slot {slot} has {room:?} and counts {:?}", entry.room);
        let is_to_be_looked_at = entry.moved.is_linked() || entry.moved_left == 0;
        assert!(is_to_be_looked_at, "what moved is looked at");
    }

    /// What is kept free is free, and kept for something.
    fn check_reserved(&self) {
        let reserved = self.s.transfers.reserved;
        assert!(reserved.beyond(self.free_room()).is_none(), "what is kept free is free");
        let sum = self.s.transfers.reserved_for();
        assert!(reserved == sum, "{reserved:?} is kept free, {sum:?} is known of");
    }

    fn check_resource(&self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        let name = self.name_of(resource);
        let hash = self.hash_of(resource.space, name.as_bytes());
        assert!(
            resource.hash == hash && self.find(resource.space, name.as_bytes(), hash) == Some(at),
            "a live resource is indexed"
        );
        let (holding, slot) = (&resource.holding, self.slot(resource.slot));
        let need = holding.locks.need();
        assert!(
            need.is_none_or(|need| holding.held.is_some_and(|held| held.covers(need))),
            "{name:?}: a node holds what its owners hold"
        );
        assert!(!holding.is_write_unstated(), "a write is stated");
        assert!(!holding.is_writing() || resource.copy.is_some(), "what is written stands in the copy");
        let is_useful = !resource.is_holding_nothing()
            || !resource.mastery.queues.is_empty()
            || resource.is_to_be_said()
            || resource.passage != Passage::None
            || slot.course == Course::Reporting
            || slot.moved.is_linked()
            // The end of a life comes to it later.
            || self.is_ended();
        assert!(is_useful, "{name:?}: a resource is there for a reason");
        // What waits beyond the end of a life is taken up again with the next one, and what this node said to itself of a
        // slot that it has lost when that is looked at.
        let is_pending = holding.is_asking() && !self.is_master(at) && !self.is_ended();
        let is_said = resource.saying.is_linked() || slot.moved.is_linked();
        assert!(!is_pending || is_said, "{name:?}: what is wanted of another node is said or repeated");
        let waiter = holding.wish().and_then(|wish| wish.waiter);
        let is_here = |waiter: Idx<Lock>| self.locks[waiter].resource == Some(at);
        assert!(waiter.is_none_or(is_here), "{name:?}: who is asked for has not ended");
        let is_waiting = holding.is_asking() || holding.is_writing();
        assert!(resource.is_waiting() == is_waiting, "{name:?}: what is waited for is known as such");
        let is_touched = resource.saying.is_linked() || holding.idle.is_linked();
        let is_known = is_touched || holding.number != Number(0) || resource.copy.is_some();
        assert!(resource.is_used || !is_known, "{name:?}: what is known as a holder was asked for");
        assert!(
            resource.pace.is_none() || resource.saying.is_linked() && resource.is_waiting(),
            "{name:?}: what is repeated is waited for"
        );
        let mastery = &resource.mastery;
        let held: u16 = Mode::ALL.into_iter().map(|mode| mastery.queues.held_at(mode)).sum();
        let is_rebuilt = slot.course == Course::Rebuilding || slot.moved.is_linked();
        // A life that ends forgets its records while events are polled.
        let is_left = self.is_ended();
        let is_in_passage =
            is_left || is_rebuilt || matches!(resource.passage, Passage::Coming | Passage::Packed);
        assert!(
            held == 0 || self.is_master(at) || is_in_passage,
            "{name:?}: only a master has physical locks on record"
        );
    }

    /// A master's record as it would be packed; nothing if there is none or no room for it in `buf`.
    pub(crate) fn record(&self, space: SpaceId, name: &[u8], buf: &mut [u8]) -> Option<usize> {
        let at = self.find(space, name, self.hash_of(space, name))?;
        let mut len = encode_unit(&Unit::Record(self.record_unit(at)), buf)?;
        let queues = &self.resources[at].mastery.queues;
        let mut walk = queues.after(&self.physical, None);
        while let Some(lock) = walk {
            walk = queues.after(&self.physical, walk);
            len += encode_unit(&Unit::Lock(self.lock_unit(lock)), &mut buf[len..])?;
        }
        Some(len)
    }

    /// Counters of a slot: grants, arrivals.
    pub(crate) fn slot_counters(&self, slot: SlotId) -> Option<(u64, u64)> {
        let entry = self.slots.0.get(slot.0 as usize)?;
        Some((entry.grants, entry.arrivals))
    }

    /// The floor of a member in a slot.
    pub(crate) fn floor_of(&mut self, slot: SlotId, node: NodeId) -> Option<Number> {
        let member = self.member_of(node).filter(|_| (slot.0 as usize) < self.slots.len())?;
        Some(*self.floor(slot.0, member))
    }

    /// Digest of the tables; two equal tables have equal digests on any storage.
    pub(crate) fn digest(&mut self) -> u64 {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
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
            write_to(
                &mut digest,
                &(&peer.positions, &peer.answers, peer.ring.len, &peer.notes, &peer.relays),
            );
        }
        for slot in self.slots.0.iter() {
            digest.feed_slot(slot);
        }
        write_to(&mut digest, &(&self.s.events, &self.s.work, &self.s.idle, &self.s.transfers));
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

/// A hash over what a record prints, eight bytes at a time: the same wherever the record is kept.
struct Digest(u64);

impl Digest {
    fn feed(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x100_0000_01b3);
    }

    /// Slots are many, and are told apart without being printed. Their chains show in their resources.
    fn feed_slot(&mut self, slot: &Slot) {
        let course = match slot.course {
            Course::Still => 0,
            Course::Outgoing(place) => 0x100 | u64::from(place),
            Course::Packing(place) => 0x200 | u64::from(place),
            Course::Incoming(place) => 0x300 | u64::from(place),
            Course::Reporting => 0x400,
            Course::Rebuilding => 0x500,
        };
        let members = u64::from(slot.master) | u64::from(slot.former) << 8 | u64::from(slot.heir) << 16;
        let Room { resources, physical, names, values } = slot.room;
        let rooms = [resources, physical, names, values, slot.moved_left].map(u64::from);
        for word in [course, members, slot.version.count, slot.offered.count, slot.grants, slot.arrivals] {
            self.feed(word);
        }
        for word in rooms {
            self.feed(word);
        }
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            self.feed(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.feed(tail(rest));
        }
        Ok(())
    }
}

/// Fewer than eight bytes and their number in a word. Most of what a record prints is as short as that.
fn tail(bytes: &[u8]) -> u64 {
    let len = bytes.len() as u64;
    let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) else {
        return bytes.iter().fold(len, |word, byte| word << 8 | u64::from(*byte));
    };
    let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
    (u64::from(first) << 32 | u64::from(last)).wrapping_add(len << 61)
}

fn write_to(digest: &mut Digest, record: &dyn fmt::Debug) {
    write!(digest, "{record:?}").expect("a digest takes everything");
}

impl Resource {
    /// Is nothing left in a free record that whoever uses it next could take for its own?
    fn is_vacant(&self) -> bool {
        let links = [self.chain, self.saying, self.holding.idle, self.work];
        let Mastery { queues, members, value } = &self.mastery;
        let holding = &self.holding;
        let is_unheld = !holding.is_idle && holding.held.is_none() && !holding.is_demanded();
        let is_unsaid = holding.number == Number(0) && holding.answers() == DemandId(0) && holding.hits == 0;
        !links.into_iter().any(Link::is_linked)
            && (queues.is_empty() && *members == 0 && value.is_none())
            && (!self.is_used && self.pace.is_none() && self.passage == Passage::None)
            && (is_unheld && is_unsaid && self.copy.is_none() && holding.served.is_none())
    }
}

impl Physical {
    /// The same for a lock.
    fn is_vacant(&self) -> bool {
        let links = [self.claim.link, self.outbox, self.timer];
        let claim = &self.claim;
        let is_claimless = claim.held.is_none() && claim.pinned.is_none() && claim.wanted.is_none();
        !links.into_iter().any(Link::is_linked)
            && (is_claimless && claim.told.is_none() && claim.place == Place::Apart)
            && (self.number == Number(0) && self.asked == Number(0) && self.token == Counted::NONE)
            && (self.writing_since == Counted::NONE && self.copy == Token::NONE && self.demand.is_none())
            && (self.answer == Answer::None && self.due == Due::default() && !self.is_asking_holders)
    }
}
