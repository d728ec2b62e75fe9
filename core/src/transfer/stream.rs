//! The sequence of units that an old master sends: packed as it is sent, acknowledged in order, sent again from where
//! it stands (rules R4, R5 and R10).

use heapless::Deque;

use super::ahead::{CHAIN_AHEAD, Yielding};
use crate::id::SlotId;
use crate::machine::{Machine, places};
use crate::peer::Push;
use crate::record::{Chain, Course, Passage, Resource};
use crate::table::{Idx, Queue};
use crate::wire::{ChunkHead, ChunkWriter, FrameWriter, Unit};

/// Frozen records that one step gives back; the rest follow.
const FREED_A_STEP: u32 = 64;

/// Ends of chunks that are remembered, so that what is acknowledged needs no walk; a window has a quarter as many full
/// ones by default.
const ENDS_MAX: usize = 32;

/// Most bytes of a chunk, and so on their way, while the transfer gives way to other work.
const YIELDING_CHUNK: u32 = 4096;

/// How far the units of a transfer have come.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    /// The next unit to send.
    sent: Cursor,
    /// The first unit that is not acknowledged.
    acked: Cursor,
    /// Ends of chunks between the two.
    ends: Deque<Cursor, ENDS_MAX>,
    pub(super) yielding: Yielding,
    /// Units that were ever sent.
    furthest: u64,
    /// The slots before this one are the new master's with everything in them.
    frontier: u32,
    /// Frozen records of the slots before this one are gone.
    freed: u32,
    /// Bytes of all chunks, those that were sent again included.
    bytes_sent: u64,
    /// Of them, those that are not on their way any more.
    bytes_acked: u64,
}

/// A place in the sequence of units.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Units before it.
    position: u64,
    slot: u32,
    /// The last resource of the slot that lies wholly before it.
    after: Option<Idx<Resource>>,
    /// Units of the next resource that lie before it.
    piece: u8,
    /// Resources that lie wholly before it, and their locks.
    resources: u64,
    locks: u64,
}

/// What became of an attempt to add the next record to a chunk.
enum Packed {
    /// All of it, or what was left of it.
    Record,
    /// The end of the slot.
    Last,
    /// The frame has no room for it, or for the rest of it.
    Full,
}

impl Stream {
    /// A sequence that begins with this slot, at a node that has done so much other work.
    pub(super) const fn from(slot: u32, work: u64) -> Self {
        Self {
            sent: Cursor::at(slot),
            acked: Cursor::at(slot),
            ends: Deque::new(),
            yielding: Yielding::since(work),
            furthest: 0,
            frontier: slot,
            freed: slot,
            bytes_sent: 0,
            bytes_acked: 0,
        }
    }

    #[cfg(feature = "check")]
    pub(super) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>, work: u64) {
        feed.put(&(self.sent.place(), self.acked.place(), self.furthest, self.frontier, self.freed));
        feed.put(&(self.bytes_sent, self.bytes_acked));
        for end in &self.ends {
            feed.put(&end.place());
        }
        self.yielding.fingerprint(feed, work);
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes_sent
    }

    /// Resources and locks that are acknowledged.
    pub(super) const fn acknowledged(&self) -> (u64, u64) {
        (self.acked.resources, self.acked.locks)
    }

    /// Has a record been packed?
    pub(super) const fn has_begun(&self) -> bool {
        self.furthest > 0
    }

    /// Has the slot been packed with everything in it?
    pub(super) const fn is_closed(&self, slot: u32) -> bool {
        slot < self.frontier
    }

    /// Are all slots before this one acknowledged?
    pub(super) const fn is_acknowledged(&self, end: u64) -> bool {
        self.acked.slot as u64 == end
    }

    /// Are the frozen records of all slots before this one given back?
    pub(super) const fn is_freed(&self, end: u64) -> bool {
        self.freed as u64 == end
    }

    /// Is there something on its way that is not acknowledged?
    pub(super) const fn is_waiting(&self) -> bool {
        self.acked.position < self.sent.position
    }

    /// What is not acknowledged is taken for lost. The count of bytes goes on, so that a late answer to them does not
    /// make room in the window.
    pub(super) fn go_back(&mut self) {
        self.ends.clear();
        self.sent = self.acked;
        self.bytes_acked = self.bytes_sent;
    }
}

impl Cursor {
    const fn at(slot: u32) -> Self {
        Self { position: 0, slot, after: None, piece: 0, resources: 0, locks: 0 }
    }

    /// What decides all of it, as long as what is packed stands in its order.
    #[cfg(feature = "check")]
    const fn place(&self) -> (u64, u32, u8) {
        (self.position, self.slot, self.piece)
    }

    /// After some units more of a resource, and after all of it once it has no more.
    fn pass_units(&mut self, at: Idx<Resource>, count: u8, locks: u8) {
        self.position += u64::from(count);
        self.piece += count;
        if self.piece > locks {
            self.after = Some(at);
            self.piece = 0;
            self.resources += 1;
            self.locks += u64::from(locks);
        }
    }

    /// Does nothing of the slot lie before it?
    const fn is_at_slot(&self) -> bool {
        self.after.is_none() && self.piece == 0
    }

    const fn pass_slot(&mut self) {
        self.position += 1;
        self.slot += 1;
        self.after = None;
    }
}

impl Machine<'_> {
    // ---- acknowledged ----

    /// The new master has the units before this one; says whether that many were sent.
    pub(super) fn acknowledge(&mut self, place: usize, position: u64, sent: u64) -> bool {
        let stream = &mut self.s.transfers.outgoing[place].stream;
        if position > stream.furthest {
            return false;
        }
        stream.bytes_acked = stream.bytes_acked.max(sent.min(stream.bytes_sent));
        let mut acked = stream.acked;
        let slot = acked.slot;
        while let Some(end) = stream.ends.front().copied().filter(|end| end.position <= position) {
            stream.ends.pop_front();
            acked = end;
        }
        // No more units lie before it than a window has.
        while acked.position < position {
            let Some(at) = self.next_in_slot(place, &acked) else {
                acked.pass_slot();
                continue;
            };
            let locks = self.locks_of(at);
            let left = 1 + locks - acked.piece;
            let step = u8::try_from(position - acked.position).unwrap_or(left).min(left);
            acked.pass_units(at, step, locks);
        }
        let stream = &mut self.s.transfers.outgoing[place].stream;
        stream.acked = acked;
        if stream.sent.position <= acked.position {
            stream.ends.clear();
            stream.sent = acked;
            stream.bytes_acked = stream.bytes_sent;
        }
        if acked.slot > slot {
            self.s.transfers.packed |= 1 << place;
            self.s.transfers.news |= 1 << place;
        }
        true
    }

    /// Gives back frozen records of slots that the new master has acknowledged; returns how many.
    pub(super) fn work_on_packed(&mut self, most: u32) -> u32 {
        let Some(place) = super::places(self.s.transfers.packed).next() else { return 0 };
        let mut ahead = 0;
        let most = most.min(FREED_A_STEP);
        for freed in 0..most {
            let stream = &mut self.s.transfers.outgoing[place].stream;
            let slot = stream.freed;
            if slot == stream.acked.slot {
                self.s.transfers.packed &= !(1 << place);
                self.end_if_all_know(place);
                return freed + 1;
            }
            let head = self.slot(slot).resources.head();
            let Some(at) = head.filter(|at| self.resources[*at].passage == Passage::Packed) else {
                self.s.transfers.outgoing[place].stream.freed += 1;
                self.follow_chains(place, slot + 1);
                ahead = 0;
                continue;
            };
            if ahead == 0 {
                self.read_ahead(head, |resource| self.index.read(resource.hash));
                ahead = CHAIN_AHEAD;
            }
            ahead -= 1;
            self.thaw(at);
        }
        most
    }

    // ---- sent ----

    /// Is there a unit to send, and room for it in the window?
    pub(super) fn has_chunk(&self, place: usize) -> bool {
        let entry = &self.s.transfers.outgoing[place];
        let stream = &entry.stream;
        let window = if stream.yielding.is_yielding() { 1 } else { self.s.config.window };
        entry.is_moving()
            && u64::from(stream.sent.slot) < entry.range.end()
            && stream.bytes_sent - stream.bytes_acked < u64::from(window)
            // What moved here before is looked at in the order of the chain, which must not change any more.
            && !self.slot(stream.sent.slot).moved.is_linked()
    }

    /// The resource after a cursor in its slot, if the slot does not end there. A slot that was closed ends with its
    /// last packed record: what this node's owners have asked for since is no part of it.
    fn next_in_slot(&self, place: usize, cursor: &Cursor) -> Option<Idx<Resource>> {
        let next = match cursor.after {
            Some(at) => Queue::<_, Chain>::next(&self.resources, at),
            None => self.slot(cursor.slot).resources.head(),
        };
        let is_closed = self.s.transfers.outgoing[place].stream.is_closed(cursor.slot);
        next.filter(|at| !is_closed || self.resources[*at].passage == Passage::Packed)
    }

    /// Writes one chunk: records of one slot, until it ends or the frame has as much as one call may pack.
    pub(super) fn write_chunk(&mut self, place: usize, writer: &mut FrameWriter<'_>) -> Push {
        let entry = &self.s.transfers.outgoing[place];
        let most = if entry.stream.yielding.is_yielding() { YIELDING_CHUNK } else { u32::MAX };
        let most = most.min(self.s.config.chunk);
        if self.s.transfers.in_frame >= most {
            return Push::Full;
        }
        let (range, version) = (entry.range, entry.version);
        let mut cursor = entry.stream.sent;
        let head = self.chunk_head(&cursor);
        let SlotId(slot) = head.slot;
        let members = self.peers.len();
        let floors = &self.floors[slot as usize * members..][..members];
        let floors = places(self.s.present).map(|member| (self.node_at(member), floors[usize::from(member)]));
        let floors = floors.filter(|(_, floor)| floor.0 > 0);
        let has_floors = !crate::fault_on!(self, FLOORS_STAY);
        let floors = floors.filter(|_| has_floors);
        let Some(mut chunk) = writer.begin_chunk(range, version, &head, floors) else { return Push::Full };
        if cursor.is_at_slot() {
            self.follow_chains(place, slot);
        }
        let limit = (most - self.s.transfers.in_frame) as usize;
        let mut is_last = false;
        let mut ahead = 0;
        // One record at least: the floors of a large cluster may take more than a small chunk is to have.
        while !is_last && (chunk.used() < limit || cursor.position == head.position) {
            if cursor.resources >= ahead {
                self.read_ahead(self.next_in_slot(place, &cursor), |_| 0);
                ahead = cursor.resources + CHAIN_AHEAD as u64;
            }
            match self.pack_record(place, &mut cursor, &mut chunk) {
                Packed::Record => {}
                Packed::Last => is_last = true,
                Packed::Full => break,
            }
        }
        if cursor.position == head.position {
            return Push::Full;
        }
        let len = chunk.used();
        let stream = &mut self.s.transfers.outgoing[place].stream;
        stream.sent = cursor;
        // One more than there is place for is found by a walk.
        let _is_remembered = stream.ends.push_back(cursor);
        stream.furthest = stream.furthest.max(cursor.position);
        stream.bytes_sent += len as u64;
        chunk.finish(stream.bytes_sent, is_last);
        self.s.stats.chunk_bytes_out += len as u64;
        self.s.transfers.add_in_frame(len);
        self.arm_outgoing(place);
        Push::Said
    }

    fn chunk_head(&self, cursor: &Cursor) -> ChunkHead {
        let slot = self.slot(cursor.slot);
        ChunkHead {
            slot: SlotId(cursor.slot),
            position: cursor.position,
            demand: self.s.last_demand(),
            grants: slot.grants,
            arrivals: slot.arrivals,
        }
    }

    /// Adds the next record to a chunk with all its locks, or what is left of it. A record is packed with its first
    /// unit, for ever. It is cut only if it might take more than an eighth of a frame: a position that is passed on comes
    /// before the rest of a cut record, and is dropped (rule R7).
    fn pack_record(&mut self, place: usize, cursor: &mut Cursor, chunk: &mut ChunkWriter<'_, '_>) -> Packed {
        let Some(at) = self.next_in_slot(place, cursor) else {
            self.close_slot(place, cursor.slot);
            cursor.pass_slot();
            return Packed::Last;
        };
        let (before, locks) = (chunk.mark(), self.locks_of(at));
        let written = self.write_units(at, cursor.piece, chunk);
        let is_whole = cursor.piece + written > locks;
        if !is_whole && chunk.has_room_for_record(locks) {
            chunk.back_to(before);
            return Packed::Full;
        }
        if written > 0 && self.resources[at].passage != Passage::Packed {
            self.freeze(place, at);
        }
        cursor.pass_units(at, written, locks);
        if is_whole { Packed::Record } else { Packed::Full }
    }

    /// Writes the units of a record from this one on, and gives the number of those that fit.
    fn write_units(&self, at: Idx<Resource>, first: u8, chunk: &mut ChunkWriter<'_, '_>) -> u8 {
        if first == 0 && !chunk.push(&Unit::Record(self.record_unit(at))) {
            return 0;
        }
        let mut written = u8::from(first == 0);
        let queues = &self.resources[at].mastery.queues;
        let mut walk = queues.after(&self.physical, None);
        for _ in 1..first {
            walk = queues.after(&self.physical, walk);
        }
        while let Some(lock) = walk {
            if !chunk.push(&Unit::Lock(self.lock_unit(lock))) {
                break;
            }
            written += 1;
            walk = queues.after(&self.physical, walk);
        }
        written
    }

    /// Locks of a record.
    pub(super) fn locks_of(&self, at: Idx<Resource>) -> u8 {
        u8::try_from(self.resources[at].mastery.queues.len()).expect("at most one for each of 64 members")
    }

    // ---- slots ----

    /// The slot's first record is packed: the slot is the new master's from now on, but for what is not packed yet
    /// (rule R4).
    pub(super) fn open_slot(&mut self, place: usize, slot: u32) {
        let entry = &self.s.transfers.outgoing[place];
        let (to, version, me) = (entry.to(), entry.version, self.s.me);
        let course = Course::Packing(u8::try_from(place).expect("transfers are few"));
        let slot = self.slot_mut(slot);
        if slot.master == me {
            slot.master = to;
            slot.former = me;
            slot.version = version;
            slot.course = course;
        }
    }

    /// The slot has no record more: all of it is the new master's.
    fn close_slot(&mut self, place: usize, slot: u32) {
        if self.s.transfers.outgoing[place].stream.is_closed(slot) {
            // This is a repeat.
            return;
        }
        self.open_slot(place, slot);
        self.slot_mut(slot).course = Course::Outgoing(u8::try_from(place).expect("transfers are few"));
        self.s.transfers.outgoing[place].stream.frontier = slot + 1;
    }
}
