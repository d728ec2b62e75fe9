//! The new master's side, and that of the others: makes room, installs, announces (rules R1, R2, R5, R7
//! to R10, R12, R13).

use super::ahead::Yielding;
use super::pack::Unsound;
use super::{Refusal, Room};
use crate::id::{MapVersion, NodeId, SlotId, SlotRange};
use crate::machine::{Machine, Member};
use crate::peer::Push;
use crate::record::{Course, NOBODY, Resource, Slot};
use crate::table::Idx;
use crate::time::Instant;
use crate::wire::{FrameWriter, InitialLocks, OfferAnswer, TransferBody, TransferMessage, Unit};

/// How far the count of an offer may lie above that of its slots.
const LEAP_MAX: u64 = 1 << 32;

/// A transfer that this node takes.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    phase: Phase,
    range: SlotRange,
    version: MapVersion,
    from: Member,
    /// Room that was made for it in all.
    pub(super) granted: Room,
    /// What of that is still kept free.
    pub(super) room: Room,
    /// Units that are here.
    position: u64,
    /// What the last chunk said of the bytes sent.
    sent: u64,
    /// The slot that is being installed.
    slot: u32,
    /// The record that is being installed, and how many of its locks are still to come.
    coming: Option<(Idx<Resource>, u8)>,
    /// Records of that slot that are installed.
    installed: u32,
    /// One of them has become empty, and is kept only until the slot is complete; or others stand among them in the
    /// chain.
    is_mixed: bool,
    yielding: Yielding,
    /// Members that are still to be told who the new master is.
    due: u64,
    /// When they are told again.
    pub(super) repeat_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The entry is free.
    Vacant,
    /// There is room; nothing has come yet, and the offer may be withdrawn.
    Reserved,
    /// Records are coming.
    Receiving,
    /// Everything is here, and the others are told; until the old master ends it.
    Announcing,
}

impl Incoming {
    pub(super) const VACANT: Self = Self {
        phase: Phase::Vacant,
        range: SlotRange { first: SlotId(0), len: 0 },
        version: MapVersion { epoch: crate::id::Epoch(0), count: 0 },
        from: 0,
        granted: Room::NONE,
        room: Room::NONE,
        position: 0,
        sent: 0,
        slot: 0,
        coming: None,
        installed: 0,
        is_mixed: false,
        yielding: Yielding::since(0),
        due: 0,
        repeat_at: Instant::NEVER,
    };

    #[cfg(feature = "check")]
    pub(super) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>, work: u64) {
        feed.put(&(self.phase, self.range, self.version, self.from, self.granted, self.room));
        feed.put(&(self.position, self.sent, self.slot, self.coming.map(|(_, left)| left)));
        feed.put(&(self.installed, self.is_mixed, self.due));
        feed.put_until(self.repeat_at);
        self.yielding.fingerprint(feed, work);
    }

    /// Is everything here?
    pub(super) fn is_complete(&self) -> bool {
        self.phase == Phase::Announcing
    }

    pub(super) const fn from(&self) -> Member {
        self.from
    }

    pub(super) const fn range(&self) -> SlotRange {
        self.range
    }

    /// Members have departed: they are not told any more.
    pub(super) const fn forget(&mut self, departing: u64) {
        self.due &= !departing;
    }

    /// New members are told, too, who the new master is.
    pub(super) fn tell_joined(&mut self, joined: u64) {
        if self.phase == Phase::Announcing {
            self.due |= joined;
        }
    }

    /// A peer has come back: it is told again who the new master is.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.phase == Phase::Announcing {
            self.repeat_at = now;
        }
    }
}

impl Machine<'_> {
    // ---- offers ----

    /// The old master says where slots shall go: this node makes room, or takes note of who is next (rule R1).
    pub(super) fn handle_offer(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        to: NodeId,
        need: Room,
        room: Room,
    ) -> bool {
        if to == self.node_at(from) {
            return false;
        }
        if !self.knows_giver(from, range) {
            return false;
        }
        let Some(to) = self.member_of(to) else { return false };
        let answer = if self.is_me(to) {
            self.offer_to_me(from, range, version, need, room)
        } else {
            self.offer_to_other(from, range, version, to)
        };
        self.note(from, range, version, TransferBody::OfferAnswer(answer));
        true
    }

    /// Until the view's map is here it may not be known whose slots are; what is said of them comes again.
    fn knows_giver(&self, from: Member, range: SlotRange) -> bool {
        self.is_agreed() || range.slots().all(|SlotId(slot)| self.slot(slot).master == from)
    }

    fn offer_to_other(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        to: Member,
    ) -> OfferAnswer {
        for SlotId(slot) in range.slots() {
            let slot = self.slot_mut(slot);
            if slot.master == from && is_next_version(version, slot) {
                slot.heir = to;
                slot.offered = version;
            }
        }
        OfferAnswer::Noted
    }

    fn offer_to_me(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        need: Room,
        room: Room,
    ) -> OfferAnswer {
        let place = match self.incoming_of(from, range, version) {
            Some(place) => place,
            None => {
                let is_offerable = |SlotId(slot)| {
                    let slot = self.slot(slot);
                    let is_news = is_next_version(version, slot);
                    slot.master == from && slot.course == Course::Still && is_news
                };
                if !range.slots().all(is_offerable) {
                    return OfferAnswer::Refused(Refusal::Stale);
                }
                if !self.may_be_given_slots() {
                    // This node goes as soon as it masters nothing, and may have found so already (rule W9).
                    return OfferAnswer::Refused(Refusal::Leaving);
                }
                let Some(place) = super::free_place(self.s.transfers.taking) else {
                    return OfferAnswer::Refused(Refusal::TooMany);
                };
                if let Some(full) = self.lacks_room(need) {
                    // What is merely retained gives way, so that there is more when it is tried again.
                    self.s.is_short = true;
                    return OfferAnswer::Refused(Refusal::Full(full));
                }
                self.begin_incoming(place, from, range, version);
                usize::from(place)
            }
        };
        OfferAnswer::Accepted(self.make_room(place, need, room))
    }

    fn begin_incoming(&mut self, place: u8, from: Member, range: SlotRange, version: MapVersion) {
        self.s.transfers.taking |= 1 << place;
        self.s.transfers.incoming[usize::from(place)] = Incoming {
            phase: Phase::Reserved,
            range,
            version,
            from,
            slot: range.first.0,
            yielding: Yielding::since(self.other_work()),
            ..Incoming::VACANT
        };
        for SlotId(slot) in range.slots() {
            let slot = self.slot_mut(slot);
            slot.course = Course::Incoming(place);
            slot.offered = version;
        }
    }

    pub(super) fn handle_withdraw(&mut self, from: Member, range: SlotRange, version: MapVersion) -> bool {
        if !self.knows_giver(from, range) {
            return false;
        }
        match self.incoming_of(from, range, version) {
            Some(place) if self.s.transfers.incoming[place].phase == Phase::Reserved => {
                self.give_room_back(place);
                self.end_taking(range, place);
                self.vacate_incoming(place);
            }
            Some(_) => return false,
            None => {}
        }
        for SlotId(slot) in range.slots() {
            let slot = self.slot_mut(slot);
            if slot.master == from && slot.offered <= version && !is_leap(version, slot) {
                // A copy of the offer may still be on its way.
                slot.offered = version;
                slot.heir = NOBODY;
            }
        }
        self.note(from, range, version, TransferBody::WithdrawAck);
        true
    }

    fn incoming_of(&self, from: Member, range: SlotRange, version: MapVersion) -> Option<usize> {
        let transfers = &self.s.transfers;
        super::places(transfers.taking).find(|place| {
            let entry = &transfers.incoming[*place];
            entry.from == from && entry.range == range && entry.version == version
        })
    }

    pub(super) fn vacate_incoming(&mut self, place: usize) {
        self.s.transfers.incoming[place] = Incoming::VACANT;
        self.s.transfers.taking &= !(1 << place);
    }

    // ---- chunks ----

    /// Some units of a slot have come: those that are next are installed, those that are here are passed over
    /// (rule R5).
    pub(super) fn handle_chunk(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        chunk: &InitialLocks<'_>,
    ) -> bool {
        let Some(place) = self.incoming_of(from, range, version) else { return false };
        self.s.stats.chunk_bytes_in += chunk.message_len() as u64;
        let work = self.other_work();
        let entry = &mut self.s.transfers.incoming[place];
        let is_next = entry.phase != Phase::Announcing
            && chunk.head.slot.0 == entry.slot
            && chunk.head.position <= entry.position;
        let is_known = chunk.head.position < entry.position && !is_next;
        let mut is_heard = is_next || is_known;
        if is_heard {
            entry.sent = entry.sent.max(chunk.sent);
        }
        let is_busy = entry.yielding.observe(work);
        if is_next {
            entry.phase = Phase::Receiving;
            is_heard = self.install_chunk(place, chunk).is_ok();
        }
        let entry = &self.s.transfers.incoming[place];
        let received = TransferBody::Received { position: entry.position, sent: entry.sent, is_busy };
        self.note(from, range, version, received);
        is_heard
    }

    fn install_chunk(&mut self, place: usize, chunk: &InitialLocks<'_>) -> Result<(), Unsound> {
        let SlotId(slot) = chunk.head.slot;
        if chunk.head.grants.max(chunk.head.arrivals) > super::COUNT_MAX {
            return Err(Unsound);
        }
        let has_counter = !crate::fault_on!(self, TOKENS_STAY);
        let entry = self.slot_mut(slot);
        entry.grants = entry.grants.max(if has_counter { chunk.head.grants } else { 0 });
        entry.arrivals = entry.arrivals.max(chunk.head.arrivals);
        self.s.pass_demand(chunk.head.demand);
        for (node, number) in chunk.floors {
            if let Some(member) = self.member_of(node) {
                // Nobody but this node gives out its numbers: with a floor above them it would renew for ever.
                let most = if self.is_me(member) { self.s.last_number() } else { number };
                self.raise_floor(slot, member, number.min(most));
            }
        }
        let mut hashes = self.read_ahead_of(chunk.units.records());
        let entry = &self.s.transfers.incoming[place];
        let mut known = entry.position - chunk.head.position;
        #[cfg(lockmaster_faults)]
        let mut again = None;
        for unit in chunk.units {
            let hash = if let Unit::Record(_) = unit { hashes.next() } else { None };
            if known > 0 {
                known -= 1;
                #[cfg(lockmaster_faults)]
                self.install_again(place, &unit, &mut again);
                continue;
            }
            self.install_unit(place, slot, &unit, hash)?;
            self.s.transfers.incoming[place].position += 1;
        }
        if !chunk.is_last || known > 0 {
            return Ok(());
        }
        if self.s.transfers.incoming[place].coming.is_some() {
            return Err(Unsound);
        }
        self.complete_slot(place);
        Ok(())
    }

    /// Installs a record anew that is here already, from a chunk that has all of it.
    #[cfg(lockmaster_faults)]
    fn install_again(&mut self, place: usize, unit: &Unit<'_>, again: &mut Option<(Idx<Resource>, u8)>) {
        if !crate::fault_on!(self, CHUNK_TWICE) {
            return;
        }
        *again = match (unit, again.take()) {
            (Unit::Record(record), _) => {
                let hash = self.hash_of(record.space, record.name);
                let found = self.find(record.space, record.name, hash);
                let found =
                    found.filter(|at| self.resources[*at].passage == crate::record::Passage::Installed);
                found.inspect(|at| self.clear_record(*at)).map(|at| (at, record.locks))
            }
            (Unit::Lock(lock), Some((at, left))) if left > 0 => {
                let is_in = self.free_physical() > 0 && self.install_lock(place, at, lock).is_ok();
                is_in.then_some((at, left - 1))
            }
            (Unit::Lock(_), _) => None,
        };
        if let Some((at, 0)) = *again {
            self.install(at);
        }
    }

    #[inline]
    fn install_unit(
        &mut self,
        place: usize,
        slot: u32,
        unit: &Unit<'_>,
        hash: Option<u64>,
    ) -> Result<(), Unsound> {
        let coming = self.s.transfers.incoming[place].coming;
        let (at, left) = match (unit, coming) {
            (Unit::Record(record), None) => (self.install_record(place, slot, record, hash)?, record.locks),
            (Unit::Lock(lock), Some((at, left))) => {
                self.install_lock(place, at, lock)?;
                self.s.stats.locks_in += 1;
                (at, left - 1)
            }
            (Unit::Record(_), Some(_)) | (Unit::Lock(_), None) => return Err(Unsound),
        };
        self.s.transfers.incoming[place].coming = (left > 0).then_some((at, left));
        if left == 0 {
            self.s.transfers.incoming[place].installed += 1;
            self.install(at);
        }
        Ok(())
    }

    /// The slot's last unit is here: all of it is this node's (rule R8).
    fn complete_slot(&mut self, place: usize) {
        let entry = &mut self.s.transfers.incoming[place];
        let (slot, version, range) = (entry.slot, entry.version, entry.range);
        entry.slot += 1;
        entry.position += 1;
        let installed = core::mem::take(&mut entry.installed);
        let is_mixed = core::mem::take(&mut entry.is_mixed);
        let me = self.s.me;
        // What was installed stands last in its chain, and has been routed.
        let rest = self.slot(slot).room.resources - if is_mixed { 0 } else { installed };
        self.remap(slot, me, version, rest);
        let entry = &mut self.s.transfers.incoming[place];
        if u64::from(entry.slot) < range.end() {
            return;
        }
        entry.phase = Phase::Announcing;
        self.give_room_back(place);
        self.announce(place);
    }

    /// Nothing is left of a record that must stay until its slot is complete, or a resource that did not come with the
    /// slot stands behind some that did: all of them are to be looked at then.
    pub(crate) fn note_mixed(&mut self, slot: u32) {
        if let Course::Incoming(place) = self.slot(slot).course {
            let entry = &mut self.s.transfers.incoming[usize::from(place)];
            entry.is_mixed |= entry.slot == slot;
        }
    }

    // ---- announcing ----

    /// Tells all other members that this node is the new master (rule R9).
    fn announce(&mut self, place: usize) {
        let from = self.s.transfers.incoming[place].from;
        let mut due = 0;
        for member in crate::machine::places(self.s.others() & !(1 << from)) {
            due |= 1 << member;
            self.mark_ready(member);
        }
        self.s.transfers.incoming[place].due = due;
    }

    pub(super) fn has_incoming_output(&self, place: usize, member: Member) -> bool {
        self.s.transfers.incoming[place].due >> member & 1 == 1
    }

    pub(super) fn write_incoming(
        &mut self,
        place: usize,
        member: Member,
        writer: &mut FrameWriter<'_>,
    ) -> Push {
        let entry = &self.s.transfers.incoming[place];
        let body = TransferBody::NewMaster { old: self.node_at(entry.from) };
        if !writer.push_transfer(&TransferMessage { range: entry.range, version: entry.version, body }) {
            return Push::Full;
        }
        let until = self.s.now.after(self.s.config.repeat_after);
        let entry = &mut self.s.transfers.incoming[place];
        entry.due &= !(1 << member);
        entry.repeat_at = until;
        self.note_deadline(until);
        Push::Said
    }

    pub(super) fn repeat_incoming(&mut self, place: usize) {
        self.s.transfers.incoming[place].repeat_at = Instant::NEVER;
        self.announce(place);
    }

    /// Another node has all of a range: what is said of its resources goes there, and the old master is told so
    /// (rule R9).
    pub(super) fn handle_new_master(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        old: NodeId,
    ) -> bool {
        let Some(old) = self.member_of(old) else { return false };
        let mut is_known = true;
        for SlotId(at) in range.slots() {
            let slot = self.slot(at);
            let is_next = slot.heir == from && slot.offered == version && slot.master == old;
            // Not before this node's own transfer of it has ended, whatever the new master has done with it.
            if is_next && version > slot.version && !self.is_giving(at) {
                self.remap(at, from, version, self.slot(at).room.resources);
            }
            is_known &= self.slot(at).version >= version;
        }
        if is_known && !self.is_me(old) {
            self.note(old, range, version, TransferBody::NewMasterAck);
        }
        is_known
    }

    /// The transfer interval ends here, too (rule R12).
    pub(super) fn handle_end(&mut self, from: Member, range: SlotRange, version: MapVersion) -> bool {
        match self.incoming_of(from, range, version) {
            Some(place) if self.s.transfers.incoming[place].phase == Phase::Announcing => {
                self.end_taking(range, place);
                self.vacate_incoming(place);
                self.s.stats.transfers_in += 1;
            }
            Some(_) => return false,
            None if self.slot(range.first.0).version < version => return false,
            None => {}
        }
        self.note(from, range, version, TransferBody::EndAck);
        true
    }

    /// Is this node giving the slot away, with frozen records left or to come?
    pub(crate) fn is_giving(&self, slot: u32) -> bool {
        match self.slot(slot).course {
            Course::Outgoing(place) | Course::Packing(place) => {
                !self.s.transfers.outgoing[usize::from(place)].is_ending()
            }
            Course::Still | Course::Incoming(_) | Course::Reporting | Course::Rebuilding => false,
        }
    }

    /// Is room kept here for a slot of which nothing has come? Whoever offered it may have lost it since.
    pub(crate) fn is_merely_offered(&self, slot: u32) -> bool {
        let Course::Incoming(place) = self.slot(slot).course else { return false };
        self.s.transfers.incoming[usize::from(place)].phase == Phase::Reserved
    }

    /// Does this transfer bring the slot here, from this member?
    pub(super) fn is_coming_from(&self, slot: u32, from: Member) -> bool {
        match self.slot(slot).course {
            Course::Incoming(place) => self.s.transfers.incoming[usize::from(place)].from == from,
            Course::Still
            | Course::Outgoing(_)
            | Course::Packing(_)
            | Course::Reporting
            | Course::Rebuilding => false,
        }
    }
}

/// May a slot be offered under this version?
fn is_next_version(version: MapVersion, slot: &Slot) -> bool {
    version > slot.offered && version > slot.version && !is_leap(version, slot)
}

/// Is a version further from a slot's than honest masters ever come? They count their transfers, and one that lies must
/// not leave the others without versions.
pub(crate) fn is_leap(version: MapVersion, slot: &Slot) -> bool {
    let counted = if version.epoch == slot.version.epoch { slot.version.count } else { 0 };
    version.count.saturating_sub(counted) > LEAP_MAX
}
