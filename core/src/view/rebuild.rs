//! Slots whose master was lost: their new one makes records of what all survivors report, and decides again once it has
//! heard all who could know (rules W10 to W15).

use super::report::{position_of, slot_at};
use super::{Life, Machine};
use crate::error::Full;
use crate::flags::Flags;
use crate::holder::Named;
use crate::id::{Number, QueueTicket, SlotId, Token};
use crate::machine::{Member, places};
use crate::mode::Mode;
use crate::peer::Push;
use crate::queue::{Claim, Place, Queues};
use crate::record::{Chain, Counted, Course, NAME_INLINE, NOBODY, Passage, Physical, Resource};
use crate::table::{Idx, Queue};
#[cfg(lockmaster_faults)]
use crate::value::ValueState;
use crate::wire::{FrameWriter, Position, Report, ReportHead, ReportUnit, Reported, ViewMessage};

/// Resources that one step opens.
const OPENED_A_STEP: u32 = 256;

/// Ticket of a request that the old master had not acknowledged: it stands behind those that have one.
const NO_TICKET: QueueTicket = QueueTicket { epoch: crate::id::Epoch(u32::MAX), count: u64::MAX };

/// What a new master has heard from a reporter.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    /// The end of what was heard in its order.
    position: u64,
    /// The slots before this one are reported whole.
    done: u32,
    is_due: bool,
    is_full: bool,
    is_again: bool,
    /// What it waits for, and was not taken up, is to be said again.
    pub(super) is_wanted_again: bool,
    /// Something came before this node knew that it is the master.
    is_early: bool,
}

impl Hearing {
    pub(crate) const NONE: Self = Self {
        position: 0,
        done: 0,
        is_due: false,
        is_full: false,
        is_again: false,
        is_wanted_again: false,
        is_early: false,
    };
}

impl Machine<'_> {
    // ---- beginning ----

    /// Another member collects the reports about a slot.
    pub(super) fn begin_reporting(&mut self, slot: u32, master: Member) {
        let version = self.new_version();
        let entry = self.slot_mut(slot);
        entry.master = master;
        entry.former = NOBODY;
        entry.heir = NOBODY;
        entry.version = version;
        entry.course = Course::Reporting;
        self.s.views.first_closed = self.s.views.first_closed.min(slot);
    }

    /// This node collects them: it begins with nothing.
    pub(super) fn begin_rebuild(&mut self, slot: u32) {
        let me = self.s.me;
        self.begin_reporting(slot, me);
        let entry = self.slot_mut(slot);
        entry.course = Course::Rebuilding;
        entry.grants = 0;
        entry.arrivals = 0;
        let members = self.peers.len();
        self.floors[slot as usize * members..][..members].fill(Number(0));
        if self.slot(slot).moved.is_linked() {
            // Nothing can be reported before.
            self.s.moved.enter(&mut self.slots, Idx::new(slot as usize), true);
        }
    }

    // ---- the new master ----

    /// May reports about a slot be heard?
    fn is_collecting(&self, slot: u32) -> bool {
        let entry = self.slot(slot);
        self.is_agreed() && entry.course == Course::Rebuilding && !entry.moved.is_linked()
    }

    /// A survivor says what it holds and wants in a slot (rules W11 to W13).
    pub(super) fn handle_report(&mut self, from: Member, report: &Report<'_>) -> bool {
        let SlotId(slot) = report.head.slot;
        if slot >= self.slot_count() {
            return false;
        }
        let of_slot = position_of(slot)..=position_of(slot + 1);
        let is_whole = report.end == *of_slot.end();
        if !of_slot.contains(&report.head.position)
            || !of_slot.contains(&report.end)
            || report.is_last != is_whole
        {
            return false;
        }
        if report.end <= self.peers[usize::from(from)].hearing.position {
            // It is here already.
            self.tell_hearing(from);
            return true;
        }
        let is_ack_early = crate::fault_on!(self, REPORT_ACKED_EARLY);
        // Who joined late may report when all is over: it is told so.
        let is_over = self.is_agreed() && self.slot(slot).course != Course::Rebuilding;
        if !self.is_collecting(slot) && !is_over {
            let hearing = &mut self.peers[usize::from(from)].hearing;
            hearing.is_early = true;
            if !is_ack_early {
                return true;
            }
        }
        // Only now: what comes early is all missed, and asking for it before it can be heard would go round and round.
        let heard = self.peers[usize::from(from)].hearing.position;
        if report.head.position > heard && !self.is_next(heard, &report.head) {
            self.peer(from).hearing.is_again = true;
            self.tell_hearing(from);
            return true;
        }
        let is_knowing = self.s.views.knowing >> from & 1 == 1;
        let is_heard = is_knowing && self.is_collecting(slot);
        let mut hashes = self.read_ahead_of(report.units.map(|unit| (unit.space, unit.name)));
        for unit in report.units.filter(|_| is_heard) {
            let hash = hashes.next().unwrap_or_else(|| self.hash_of(unit.space, unit.name));
            if let Err(kind) = self.install_report(from, slot, hash, &unit) {
                if crate::fault_on!(self, REBUILD_PARTIAL) {
                    continue;
                }
                let hearing = &mut self.peers[usize::from(from)].hearing;
                hearing.is_full = true;
                self.s.is_short = true;
                if unit.position.held.is_some() {
                    self.begin_clearing(kind);
                }
                self.tell_hearing(from);
                return true;
            }
        }
        let hearing = &mut self.peers[usize::from(from)].hearing;
        hearing.position = report.end;
        if report.is_last {
            hearing.done = hearing.done.max(slot + 1);
            self.s.views.is_rebuild_due = true;
            self.raise_floor(slot, from, report.head.number);
        }
        self.tell_hearing(from);
        true
    }

    /// Does a part of a report begin the next slot that this node has to hear of? Others may have gone meanwhile.
    fn is_next(&self, heard: u64, head: &ReportHead) -> bool {
        let slot = head.slot.0;
        let is_due = |slot: u32| self.slot(slot).course == Course::Rebuilding;
        head.position == position_of(slot) && !(slot_at(heard)..slot).any(is_due)
    }

    pub(super) fn tell_hearing(&mut self, member: Member) {
        self.peer(member).hearing.is_due = true;
        self.mark_ready(member);
    }

    /// What peers said before this node could hear it is asked for again.
    pub(crate) fn reports_may_come(&mut self) {
        for member in places(self.s.others()) {
            let hearing = &mut self.peer(member).hearing;
            if core::mem::take(&mut hearing.is_early) {
                hearing.is_again = true;
                self.tell_hearing(member);
            }
        }
    }

    /// A slot is clean, and reports about it may come.
    pub(crate) fn slot_is_clean(&mut self, slot: u32) {
        match self.slot(slot).course {
            Course::Rebuilding => self.s.views.is_rebuild_due = true,
            Course::Reporting => {
                let master = self.slot(slot).master;
                self.mark_ready(master);
            }
            Course::Still | Course::Outgoing(_) | Course::Packing(_) | Course::Incoming(_) => {}
        }
    }

    pub(super) fn has_hearing_output(&self, member: Member) -> bool {
        self.peers[usize::from(member)].hearing.is_due && self.is_met(member)
    }

    pub(super) fn write_hearing(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let hearing = &self.peers[usize::from(member)].hearing;
        let reported = Reported {
            position: hearing.position,
            frontier: SlotId(self.s.views.frontier),
            is_full: hearing.is_full,
            is_again: hearing.is_again,
            is_wanted_again: hearing.is_wanted_again,
        };
        if !writer.push_view(&ViewMessage::Reported(reported)) {
            return Push::Full;
        }
        let hearing = &mut self.peer(member).hearing;
        hearing.is_due = false;
        hearing.is_full = false;
        hearing.is_again = false;
        hearing.is_wanted_again = false;
        Push::Said
    }

    // ---- records from reports ----

    /// One position becomes a record. What is on record already under this number, or a later one, stays.
    fn install_report(
        &mut self,
        from: Member,
        slot: u32,
        hash: u64,
        unit: &ReportUnit<'_>,
    ) -> Result<(), Full> {
        let is_of_slot = self.is_space(unit.space) && self.slot_of(unit.space, hash) == slot;
        if !is_of_slot || !unit.position.makes_sense() {
            self.s.stats.messages_dropped += 1;
            return Ok(());
        }
        let found = self.find(unit.space, unit.name, hash);
        self.install_report_of(from, hash, found, unit)
    }

    /// The same of a resource that is known to be this one, or not known at all.
    pub(super) fn install_report_of(
        &mut self,
        from: Member,
        hash: u64,
        found: Option<Idx<Resource>>,
        unit: &ReportUnit<'_>,
    ) -> Result<(), Full> {
        if let Some(at) = found.filter(|at| self.resources[*at].passage == Passage::Early) {
            // It is decided about already: there this is the position that it looks like.
            if self.is_suspect() {
                return Ok(());
            }
            let named = Named { space: unit.space, name: unit.name };
            self.handle_position(from, Some(at), named, hash, &unit.position);
            return Ok(());
        }
        let record = found.and_then(|at| self.record_of(at, from));
        if record.is_some_and(|record| self.physical[record].number >= unit.position.number) {
            return Ok(());
        }
        self.report_room(found, unit, record.is_none())?;
        if let (Some(at), Some(lock)) = (found, record) {
            self.take_reported_write(at, lock, &unit.position);
        }
        let at = found.unwrap_or_else(|| self.make_resource(unit.space, unit.name, hash));
        self.stand_rebuilt(at, from, record, unit);
        self.rebuild_value(at, unit);
        if self.resources[at].passage != Passage::Asked {
            self.resources[at].passage = Passage::Rebuilt;
        }
        self.s.stats.locks_rebuilt += 1;
        Ok(())
    }

    /// What its node has written since it was heard here last is known from its position only.
    fn take_reported_write(&mut self, at: Idx<Resource>, lock: Idx<Physical>, position: &Position) {
        let Some(write) = position.write else { return };
        let was_lost = core::mem::take(&mut self.resources[at].is_value_lost);
        self.take_write(at, lock, position);
        let cell = self.resources[at].mastery.value;
        let is_taken = cell.is_some_and(|cell| self.values[cell].version == write.version);
        self.resources[at].is_value_lost |= was_lost && !is_taken;
    }

    /// Room for a report: that which is kept for them may be used, that which is kept for transfers not.
    fn report_room(
        &self,
        found: Option<Idx<Resource>>,
        unit: &ReportUnit<'_>,
        is_new: bool,
    ) -> Result<(), Full> {
        let has_value = found.is_some_and(|at| self.resources[at].mastery.value.is_some());
        let needed = crate::transfer::Room {
            resources: u32::from(found.is_none()),
            physical: u32::from(is_new),
            names: u32::from(found.is_none() && unit.name.len() > NAME_INLINE),
            values: u32::from(needs_value(unit) && !has_value),
        };
        let free = self.free_room().minus(self.s.transfers.reserved);
        needed.beyond(free).map_or(Ok(()), Err)
    }

    fn stand_rebuilt(
        &mut self,
        at: Idx<Resource>,
        from: Member,
        record: Option<Idx<Physical>>,
        unit: &ReportUnit<'_>,
    ) {
        let position = &unit.position;
        let lock = match record {
            Some(lock) => {
                self.resources[at].mastery.queues.leave(&mut self.physical, lock);
                lock
            }
            None => self.take_physical(at, from),
        };
        let queues = &self.resources[at].mastery.queues;
        let claim = Claim { flags: position.flags, ..Claim::VACANT };
        // What contradicts what others hold is not held: two that say so cannot both be right.
        let held = position.held.filter(|held| queues.is_compatible(&claim, *held));
        let pinned = position.pinned.filter(|pinned| held.is_some_and(|held| held.covers(*pinned)));
        let node = self.node_at(from);
        let record = &mut self.physical[lock];
        record.claim = Claim { held, pinned, wanted: position.wanted, ..claim };
        record.number = position.number;
        record.asked = position.asked;
        record.priority = position.priority;
        record.copy = position.copy;
        record.token = unit.token.into();
        let since = if unit.since == Token::NONE { unit.token } else { unit.since.min(unit.token) };
        let is_writer = held.is_some_and(Mode::may_write_value);
        record.writing_since = if is_writer { since.into() } else { Counted::NONE };
        let has_place = !crate::fault_on!(self, REBUILD_BY_NODE);
        let record = &mut self.physical[lock];
        record.ticket = unit.ticket.filter(|_| has_place).unwrap_or(NO_TICKET).into();
        record.is_asking_holders = position.flags.has(Flags::NO_QUEUE) && position.wanted.is_some();
        if position.wanted.is_none() {
            let queues = &mut self.resources[at].mastery.queues;
            if held.is_some() {
                queues.stand(&mut self.physical, lock, Place::Granted);
            } else {
                self.put_physical(lock);
            }
            return;
        }
        let (ticket, number) = (self.physical[lock].ticket, self.physical[lock].number);
        let nodes = self.s.nodes;
        let is_later = |other: &Physical| {
            let theirs = (other.ticket, nodes[usize::from(other.member)], other.number);
            theirs > (ticket, node, number)
        };
        self.resources[at].mastery.queues.stand_before(&mut self.physical, lock, is_later);
    }

    /// A copy that is current is what the block is; without any, it may have been lost (rule W15).
    fn rebuild_value(&mut self, at: Idx<Resource>, unit: &ReportUnit<'_>) {
        let has_value = self.resources[at].mastery.value.is_some();
        let is_first = !matches!(self.resources[at].passage, Passage::Rebuilt | Passage::Asked);
        if !has_value && is_first {
            self.resources[at].is_value_lost = !crate::fault_on!(self, LOST_VALUE_ABSENT);
        }
        if needs_value(unit) {
            // Whether it is lost is known when all have reported.
            let is_lost = core::mem::take(&mut self.resources[at].is_value_lost);
            self.reserve_value(at);
            self.resources[at].is_value_lost = is_lost;
        }
        let copy = unit.value.filter(|_| !crate::fault_on!(self, COPY_UNHEARD));
        let (Some(copy), Some(cell)) = (copy, self.resources[at].mastery.value) else { return };
        let is_newer = copy.version > self.values[cell].version;
        if self.resources[at].is_value_lost || is_newer {
            self.values[cell].put(copy);
            #[cfg(lockmaster_faults)]
            if let ValueState::Invalid(value) = copy.state
                && crate::fault_on!(self, INVALID_AS_VALID)
            {
                self.values[cell].state = ValueState::Valid(value);
            }
            self.resources[at].is_value_lost = false;
        }
    }

    // ---- opening ----

    /// Opens some of the next slot that everybody has reported, of `most` resources at most; returns of how many.
    pub(super) fn work_on_rebuild(&mut self, most: u32) -> u32 {
        if !self.s.views.is_rebuild_due || self.s.views.life != Life::Alive || self.is_suspect() {
            return 0;
        }
        self.s.views.is_rebuild_due = false;
        if !self.is_agreed() || self.s.config.is_static() {
            return 0;
        }
        let all = self.slot_count();
        let next = (self.s.views.frontier..all).find(|slot| self.slot(*slot).course == Course::Rebuilding);
        let Some(slot) = next else {
            if self.s.views.frontier < all {
                self.set_frontier(all);
            }
            return 0;
        };
        let is_heard = |member: Member| self.peers[usize::from(member)].hearing.done > slot;
        let is_early = crate::fault_on!(self, OPEN_EARLY);
        let is_whole = places(self.s.views.knowing & self.s.others()).all(is_heard) || is_early;
        if self.slot(slot).moved.is_linked() || !is_whole {
            if slot > self.s.views.frontier {
                self.set_frontier(slot);
            }
            return 0;
        }
        self.s.views.is_rebuild_due = true;
        self.open_some(slot, most.min(OPENED_A_STEP))
    }

    /// This node's own positions are the last to be reported; then the slot is open.
    fn open_some(&mut self, slot: u32, most: u32) -> u32 {
        let resources = self.slot(slot).room.resources;
        let mut left = self.s.views.opening.unwrap_or(resources);
        if self.s.views.opening.is_none() && self.s.views.followed == 0 {
            let is_next = |slot: &u32| self.slot(*slot).course == Course::Rebuilding;
            self.s.views.followed = self.follow_briefly((slot..self.slot_count()).filter(is_next));
        }
        for opened in 0..most {
            let head = self.slot(slot).resources.head().filter(|_| left > 0);
            let Some(at) = head else {
                self.s.views.opening = None;
                self.s.views.followed = self.s.views.followed.saturating_sub(1);
                self.slot_mut(slot).course = Course::Still;
                // As for any reporter: what is not on record now is over, also where the slot goes from here.
                self.raise_floor(slot, self.s.me, self.s.last_number());
                self.s.stats.slots_rebuilt += 1;
                self.unmark_open();
                self.look_at_all(slot);
                self.set_frontier(slot + 1);
                return opened + 1;
            };
            if self.report_own(at).is_err() {
                self.give_up_for_room(at);
                if let Err(kind) = self.report_own(at) {
                    self.begin_clearing(kind);
                    // Owners hold it: the slot waits until there is room.
                    self.s.views.opening = Some(left);
                    self.s.views.is_rebuild_due = false;
                    self.s.is_short = true;
                    self.retry_rebuild();
                    // What this has begun is to be done in the same turn.
                    return opened + 1;
                }
            }
            left -= 1;
            let chain = &mut self.slots.0[slot as usize].resources;
            Queue::<_, Chain>::remove(chain, &mut self.resources, at);
            Queue::<_, Chain>::push_back(chain, &mut self.resources, at);
        }
        self.s.views.opening = Some(left);
        most
    }

    pub(super) fn report_own(&mut self, at: Idx<Resource>) -> Result<(), Full> {
        if !self.is_reported(at) || self.resources[at].passage == Passage::Early {
            return Ok(());
        }
        let resource = &self.resources[at];
        let (name, hash) = (self.name_of(resource), resource.hash);
        let unit = self.report_unit(at);
        let unit = ReportUnit { name: name.as_bytes(), ..unit };
        self.install_report_of(self.s.me, hash, Some(at), &unit)
    }

    fn set_frontier(&mut self, frontier: u32) {
        self.s.views.frontier = frontier;
        for member in places(self.s.others()) {
            self.tell_hearing(member);
        }
    }

    fn retry_rebuild(&mut self) {
        let until = self.s.now.after(self.s.config.repeat_after);
        self.s.views.retry_at = Some(until);
        self.note_deadline(until);
    }

    /// A record that was rebuilt takes part again: what it lets others have is granted, and it is told what it waits for.
    pub(super) fn open_rebuilt(&mut self, at: Idx<Resource>) {
        if self.resources[at].mastery.value.is_some() {
            self.mark_value_lost(at);
        }
        self.pass(at);
        // Two that wait for each other had not met at the old master.
        let mut walk = self.resources[at].mastery.queues.head(Place::Convert);
        while let Some(lock) = walk {
            walk = Queues::next(&self.physical, lock);
            self.end_deadlock(at, lock);
        }
        self.pass(at);
        for place in [Place::Convert, Place::Wait] {
            let mut walk = self.resources[at].mastery.queues.head(place);
            while let Some(lock) = walk {
                walk = Queues::next(&self.physical, lock);
                self.begin_queued_timer(lock);
            }
        }
    }
}

/// Does a reported position need a place for the value block: for a copy, or for who asks for it?
fn needs_value(unit: &ReportUnit<'_>) -> bool {
    unit.value.is_some() || unit.position.wanted.is_some() && unit.position.flags.has(Flags::VALUE)
}
