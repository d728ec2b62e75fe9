//! The old master's side: offers, packs, waits for all, and ends (rules R1, R2, R4 to R6, R10 to R12).

use super::room::Allowance;
use super::stream::Stream;
use super::{Progress, Refusal, Room, Stage, TransferError, TransferId, WithdrawError};
use crate::id::{MapVersion, NodeId, SlotId, SlotRange};
use crate::machine::{Machine, Member, State};
use crate::peer::Push;
use crate::record::Course;
use crate::time::Instant;
use crate::wire::{FrameWriter, OfferAnswer, TransferBody, TransferMessage};

/// A transfer that this node gives away.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    generation: u32,
    phase: Phase,
    pub(super) range: SlotRange,
    pub(super) version: MapVersion,
    to: Member,
    /// Members that are still to be told what the phase says.
    due: u64,
    /// Members whose answer is waited for.
    unanswered: u64,
    /// When what is not answered is said again.
    pub(super) repeat_at: Instant,
    pub(super) allowance: Allowance,
    pub(super) stream: Stream,
    /// Members that have acknowledged the new master.
    informed: u64,
    relayed: u64,
    /// The end has been polled.
    is_told: bool,
}

/// What an outgoing transfer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The entry is free.
    Vacant,
    /// All members' answers to the offer.
    Offering,
    /// The new master's Received of everything, and all members' NewMasterAck.
    Moving,
    /// The new master's EndAck.
    Ending,
    /// All members' WithdrawAck.
    Withdrawing(Stage),
    /// Nothing; only its end may still have to be told.
    Over(Stage),
}

impl Outgoing {
    pub(super) const VACANT: Self = Self {
        generation: 0,
        phase: Phase::Vacant,
        range: SlotRange { first: SlotId(0), len: 0 },
        version: MapVersion { epoch: crate::id::Epoch(0), count: 0 },
        to: 0,
        due: 0,
        unanswered: 0,
        repeat_at: Instant::NEVER,
        allowance: Allowance::of(Room::NONE),
        stream: Stream::from(0, 0),
        informed: 0,
        relayed: 0,
        is_told: false,
    };

    /// Is an answer of this member waited for?
    pub(super) fn awaits(&self, member: Member) -> bool {
        let is_unanswered = self.unanswered >> member & 1 == 1;
        let is_behind = self.phase == Phase::Moving && self.to == member;
        is_unanswered || is_behind
    }

    /// Are records on their way, or may they be at any moment?
    pub(super) fn is_moving(&self) -> bool {
        self.phase == Phase::Moving
    }

    pub(super) const fn to(&self) -> Member {
        self.to
    }

    /// Is the end of the transfer interval being told to the new master?
    pub(super) fn is_ending(&self) -> bool {
        self.phase == Phase::Ending
    }

    #[cfg(feature = "check")]
    pub(super) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>, work: u64) {
        feed.put(&(self.phase, self.range, self.version, self.to, self.due, self.unanswered));
        feed.put(&(self.informed, self.is_told));
        feed.put_until(self.repeat_at);
        self.allowance.fingerprint(feed);
        self.stream.fingerprint(feed, work);
    }

    fn stage(&self) -> Stage {
        match self.phase {
            Phase::Vacant | Phase::Offering => Stage::Offered,
            Phase::Moving if self.is_all_there() => Stage::Announced,
            Phase::Moving => Stage::Moving,
            Phase::Ending => Stage::Announced,
            Phase::Withdrawing(stage) | Phase::Over(stage) => stage,
        }
    }

    /// Has the new master acknowledged every unit?
    fn is_all_there(&self) -> bool {
        self.stream.is_acknowledged(self.range.end())
    }
}

impl State {
    pub(crate) fn progress(&self, transfer: TransferId) -> Option<Progress> {
        let place = usize::from(transfer.place);
        let outgoing = self.transfers.outgoing.get(place)?;
        let is_live = outgoing.phase != Phase::Vacant && !outgoing.is_told;
        (is_live && outgoing.generation == transfer.generation).then(|| self.progress_of(place))
    }

    fn progress_of(&self, place: usize) -> Progress {
        let outgoing = &self.transfers.outgoing[place];
        let (resources, locks) = outgoing.stream.acknowledged();
        Progress {
            transfer: TransferId {
                place: u8::try_from(place).expect("transfers are few"),
                generation: outgoing.generation,
            },
            range: outgoing.range,
            to: self.nodes[usize::from(outgoing.to)],
            stage: outgoing.stage(),
            resources,
            locks,
            bytes: outgoing.stream.bytes(),
            relayed: outgoing.relayed,
        }
    }
}

impl Machine<'_> {
    // ---- verbs ----

    pub(crate) fn transfer(
        &mut self,
        now: Instant,
        range: SlotRange,
        to: NodeId,
    ) -> Result<TransferId, TransferError> {
        // Membership may have ended since the last call.
        self.see(now);
        if !self.s.is_open {
            return Err(TransferError::NotOpen);
        }
        if !self.is_range(range) {
            return Err(TransferError::Range);
        }
        let member = self.member_of(to).filter(|member| !self.is_me(*member));
        let member = member.ok_or(TransferError::Member(to))?;
        let slots = self.slots_in(range);
        if slots.iter().any(|slot| slot.course != Course::Still) {
            return Err(TransferError::InTransfer);
        }
        if slots.iter().any(|slot| slot.master != self.s.me) {
            return Err(TransferError::NotMaster);
        }
        let place = super::free_place(self.s.transfers.giving).ok_or(TransferError::TooMany)?;

        let used = slots.iter().fold(Room::NONE, |sum, slot| sum + slot.room);
        let own = slots.iter().filter(|slot| slot.version.epoch == self.s.epoch());
        let highest = own.map(|slot| slot.version.count).max().unwrap_or(0);

        let (work, others) = (self.other_work(), self.s.others());
        let epoch = self.s.epoch();
        let transfers = &mut self.s.transfers;
        transfers.last_count = transfers.last_count.max(highest) + 1;
        transfers.giving |= 1 << place;
        let version = MapVersion { epoch, count: transfers.last_count };
        let entry = &mut transfers.outgoing[usize::from(place)];
        let generation = entry.generation.wrapping_add(1);
        *entry = Outgoing {
            generation,
            phase: Phase::Offering,
            range,
            version,
            to: member,
            due: others,
            unanswered: others,
            allowance: Allowance::of(used),
            stream: Stream::from(range.first.0, work),
            ..Outgoing::VACANT
        };
        self.set_course(range, Course::Outgoing(place));
        self.tell_stage(usize::from(place));
        self.mark_due(usize::from(place));
        Ok(TransferId { place, generation })
    }

    pub(crate) fn withdraw(&mut self, now: Instant, transfer: TransferId) -> Result<(), WithdrawError> {
        // Membership may have ended since the last call, and the transfer with it.
        self.see(now);
        let place = usize::from(transfer.place);
        let entry = self.s.transfers.outgoing.get(place).ok_or(WithdrawError::Unknown)?;
        if entry.generation != transfer.generation {
            return Err(WithdrawError::Unknown);
        }
        match entry.phase {
            Phase::Vacant | Phase::Withdrawing(_) | Phase::Over(_) => Err(WithdrawError::Unknown),
            Phase::Ending => Err(WithdrawError::Begun),
            Phase::Moving if entry.stream.has_begun() => Err(WithdrawError::Begun),
            Phase::Offering | Phase::Moving => {
                self.take_offer_back(place, Stage::Withdrawn);
                Ok(())
            }
        }
    }

    /// The transfer will not be: whoever knows of it is told so.
    fn take_offer_back(&mut self, place: usize, stage: Stage) {
        let others = self.s.others();
        let entry = &mut self.s.transfers.outgoing[place];
        assert!(!entry.stream.has_begun(), "what has moved cannot be taken back");
        entry.phase = Phase::Withdrawing(stage);
        (entry.due, entry.unanswered) = (others, others);
        entry.repeat_at = Instant::NEVER;
        let range = entry.range;
        self.end_giving(range, place);
        self.tell_stage(place);
        self.mark_due(place);
    }

    fn slots_in(&self, range: SlotRange) -> &[crate::record::Slot] {
        let first = range.first.0 as usize;
        &self.slots.0[first..first + range.len as usize]
    }

    pub(super) fn set_course(&mut self, range: SlotRange, course: Course) {
        for SlotId(slot) in range.slots() {
            self.slot_mut(slot).course = course;
        }
    }

    // ---- answers ----

    fn outgoing_of(&self, range: SlotRange, version: MapVersion) -> Option<usize> {
        let transfers = &self.s.transfers;
        super::places(transfers.giving).find(|place| {
            let entry = &transfers.outgoing[*place];
            entry.range == range && entry.version == version
        })
    }

    pub(super) fn handle_offer_answer(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        answer: OfferAnswer,
    ) -> bool {
        let Some(place) = self.outgoing_of(range, version) else { return false };
        let ask_at = self.s.now.after(self.s.config.repeat_after);
        let entry = &mut self.s.transfers.outgoing[place];
        if (entry.to == from) == (answer == OfferAnswer::Noted) {
            return false;
        }
        match (entry.phase, answer) {
            (Phase::Offering, OfferAnswer::Noted) => {}
            (Phase::Offering | Phase::Moving, OfferAnswer::Accepted(room)) => {
                entry.allowance.grant(room, ask_at);
            }
            (Phase::Offering, OfferAnswer::Refused(refusal)) => {
                self.take_offer_back(place, Stage::Refused(refusal));
                return true;
            }
            // A new member has noted who is next.
            (Phase::Moving, OfferAnswer::Noted) => {
                entry.answered(from);
                return true;
            }
            (Phase::Moving, OfferAnswer::Refused(_))
            | (Phase::Vacant | Phase::Ending | Phase::Withdrawing(_) | Phase::Over(_), _) => return true,
        }
        let entry = &mut self.s.transfers.outgoing[place];
        entry.answered(from);
        // The slots may have grown while it was asked.
        self.ask_for_room_of(place);
        self.begin_if_all_answered(place);
        true
    }

    /// Records may move once everybody has noted the new master, and it has room.
    fn begin_if_all_answered(&mut self, place: usize) {
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.phase != Phase::Offering || entry.unanswered != 0 {
            return;
        }
        if let Some(full) = entry.allowance.lacks(Room::NONE) {
            if entry.allowance.is_refused(full) {
                return self.take_offer_back(place, Stage::Refused(Refusal::Full(full)));
            }
            // The new master gave what it was asked for, and the slots have grown meanwhile.
            (entry.due, entry.unanswered) = (1 << entry.to, 1 << entry.to);
            return self.mark_due(place);
        }
        entry.phase = Phase::Moving;
        entry.repeat_at = Instant::NEVER;
        let to = entry.to;
        self.tell_stage(place);
        self.mark_ready(to);
    }

    /// Members have departed: nothing is expected of them any more.
    pub(super) fn forget_in_outgoing(&mut self, place: usize, departing: u64) {
        let entry = &mut self.s.transfers.outgoing[place];
        entry.due &= !departing;
        entry.unanswered &= !departing;
        entry.informed &= !departing;
        match entry.phase {
            Phase::Offering => self.begin_if_all_answered(place),
            Phase::Moving => self.end_if_all_know(place),
            Phase::Withdrawing(stage) if entry.unanswered == 0 => self.end_withdrawal(place, stage),
            Phase::Withdrawing(_) | Phase::Vacant | Phase::Ending | Phase::Over(_) => {}
        }
    }

    fn end_withdrawal(&mut self, place: usize, stage: Stage) {
        let entry = &mut self.s.transfers.outgoing[place];
        entry.repeat_at = Instant::NEVER;
        entry.phase = Phase::Over(stage);
        self.vacate_if_told(place);
    }

    pub(super) fn handle_new_master_ack(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
    ) -> bool {
        let Some(place) = self.outgoing_of(range, version) else { return false };
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.to == from || entry.phase != Phase::Moving {
            return false;
        }
        entry.informed |= 1 << from;
        self.end_if_all_know(place);
        true
    }

    pub(super) fn handle_end_ack(&mut self, from: Member, range: SlotRange, version: MapVersion) -> bool {
        let Some(place) = self.outgoing_of(range, version) else { return false };
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.to != from || entry.phase != Phase::Ending {
            return false;
        }
        entry.answered(from);
        entry.repeat_at = Instant::NEVER;
        entry.phase = Phase::Over(Stage::Done);
        self.s.stats.transfers_out += 1;
        self.s.stats.locks_out += self.s.transfers.outgoing[place].stream.acknowledged().1;
        self.end_giving(range, place);
        self.tell_stage(place);
        true
    }

    pub(super) fn handle_withdraw_ack(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
    ) -> bool {
        let Some(place) = self.outgoing_of(range, version) else { return false };
        let entry = &mut self.s.transfers.outgoing[place];
        let Phase::Withdrawing(stage) = entry.phase else { return false };
        entry.answered(from);
        if entry.unanswered == 0 {
            self.end_withdrawal(place, stage);
        }
        true
    }

    /// The new master has everything up to a unit.
    pub(super) fn handle_received(
        &mut self,
        from: Member,
        range: SlotRange,
        version: MapVersion,
        (position, sent): (u64, u64),
        is_busy: bool,
    ) -> bool {
        let Some(place) = self.outgoing_of(range, version) else { return false };
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.to != from || entry.phase != Phase::Moving || !self.acknowledge(place, position, sent) {
            return false;
        }
        let work = self.other_work();
        let entry = &mut self.s.transfers.outgoing[place];
        entry.stream.yielding.answered(work, is_busy);
        entry.repeat_at = Instant::NEVER;
        if entry.stream.is_waiting() || entry.unanswered != 0 {
            self.arm_outgoing(place);
        }
        self.mark_ready(from);
        self.end_if_all_know(place);
        true
    }

    /// Sends the end once the new master has everything, everybody knows it, and no frozen record is left.
    pub(super) fn end_if_all_know(&mut self, place: usize) {
        let others = self.s.others();
        let entry = &mut self.s.transfers.outgoing[place];
        let is_known = others & !(entry.informed | 1 << entry.to) == 0 || crate::fault_on!(self, END_EARLY);
        let is_clean = entry.stream.is_freed(entry.range.end());
        if entry.phase != Phase::Moving || !entry.is_all_there() || !is_known || !is_clean {
            return;
        }
        entry.phase = Phase::Ending;
        (entry.due, entry.unanswered) = (1 << entry.to, 1 << entry.to);
        entry.repeat_at = Instant::NEVER;
        self.mark_due(place);
    }

    // ---- what is said ----

    fn mark_due(&mut self, place: usize) {
        let mut due = self.s.transfers.outgoing[place].due;
        while due != 0 {
            let member = due.trailing_zeros();
            due &= due - 1;
            self.mark_ready(u8::try_from(member).expect("a bit of 64"));
        }
    }

    pub(super) fn has_outgoing_output(&self, place: usize, member: Member) -> bool {
        let entry = &self.s.transfers.outgoing[place];
        let is_due = entry.due >> member & 1 == 1;
        let is_asking = entry.is_moving() && entry.allowance.is_due();
        is_due || entry.to == member && (is_asking || self.has_chunk(place))
    }

    pub(super) fn write_outgoing(
        &mut self,
        place: usize,
        member: Member,
        writer: &mut FrameWriter<'_>,
    ) -> Push {
        let entry = &self.s.transfers.outgoing[place];
        let is_due = entry.due >> member & 1 == 1;
        if !is_due && !entry.allowance.is_due() {
            return self.write_chunk(place, writer);
        }
        let (need, room) = entry.allowance.offer();
        let offer = TransferBody::Offer { to: self.node_at(entry.to), need, room };
        let body = match entry.phase {
            Phase::Offering | Phase::Moving => offer,
            Phase::Ending => TransferBody::End,
            Phase::Withdrawing(_) => TransferBody::Withdraw,
            Phase::Vacant | Phase::Over(_) => unreachable!("nothing is due that is over"),
        };
        if !writer.push_transfer(&TransferMessage { range: entry.range, version: entry.version, body }) {
            return Push::Full;
        }
        let ask_at = self.s.now.after(self.s.config.repeat_after);
        let entry = &mut self.s.transfers.outgoing[place];
        entry.due &= !(1 << member);
        if entry.to == member {
            entry.allowance.was_offered((need, room), ask_at);
        }
        self.arm_outgoing(place);
        Push::Said
    }

    pub(super) fn arm_outgoing(&mut self, place: usize) {
        let until = self.s.now.after(self.s.config.repeat_after);
        self.s.transfers.outgoing[place].repeat_at = until;
        self.note_deadline(until);
    }

    /// What was not answered is said again: what is not acknowledged of the records, too.
    pub(super) fn repeat_outgoing(&mut self, place: usize) {
        let entry = &mut self.s.transfers.outgoing[place];
        entry.repeat_at = Instant::NEVER;
        entry.due = entry.unanswered;
        entry.allowance.repeat();
        entry.stream.go_back();
        let to = entry.to;
        self.mark_due(place);
        self.mark_ready(to);
    }

    // ---- news ----

    pub(super) fn tell_stage(&mut self, place: usize) {
        self.s.transfers.news |= 1 << place;
    }

    /// The next thing to tell the application about a transfer.
    pub(crate) fn take_transfer_news(&mut self) -> Option<Progress> {
        let place = super::places(self.s.transfers.news).next()?;
        self.s.transfers.news &= !(1 << place);
        let progress = self.s.progress_of(place);
        if progress.stage.is_end() {
            self.s.transfers.outgoing[place].is_told = true;
            self.vacate_if_told(place);
        }
        Some(progress)
    }

    /// An entry is free again once its end was told and nobody has to be told of it any more.
    pub(super) fn vacate_if_told(&mut self, place: usize) {
        let entry = &mut self.s.transfers.outgoing[place];
        if entry.is_told && matches!(entry.phase, Phase::Over(_)) {
            entry.phase = Phase::Vacant;
            self.s.transfers.giving &= !(1 << place);
        }
    }

    /// A position was passed on to the new master.
    pub(super) fn count_relayed(&mut self, slot: u32) {
        let (Course::Outgoing(place) | Course::Packing(place)) = self.slot(slot).course else { return };
        self.s.transfers.outgoing[usize::from(place)].relayed += 1;
        self.s.stats.relayed_out += 1;
    }
}

impl Outgoing {
    /// Ends a transfer whose new master has departed, and gives its slots; nothing if it has ended already.
    pub(super) fn cut(&mut self) -> Option<SlotRange> {
        self.phase = match self.phase {
            Phase::Vacant | Phase::Over(_) => return None,
            Phase::Withdrawing(stage) => Phase::Over(stage),
            Phase::Offering | Phase::Moving | Phase::Ending => Phase::Over(Stage::Cut),
        };
        (self.due, self.unanswered) = (0, 0);
        self.repeat_at = Instant::NEVER;
        Some(self.range)
    }

    /// Has the application polled the end?
    pub(super) const fn is_told(&self) -> bool {
        self.is_told
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Vacant | Phase::Over(_))
    }

    /// New members have to note who the new master is, before or while records move.
    pub(super) fn tell_joined(&mut self, joined: u64) {
        if matches!(self.phase, Phase::Offering | Phase::Moving) {
            self.due |= joined;
            self.unanswered |= joined;
        }
    }

    fn answered(&mut self, member: Member) {
        self.unanswered &= !(1 << member);
        self.due &= !(1 << member);
    }
}
