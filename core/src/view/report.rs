//! What a node reports to the new masters of slots whose old one was lost (rules W11 and W14).

use heapless::Deque;

use super::Machine;
use crate::event::Denial;
use crate::id::{DemandId, Number, SlotId, Token};
use crate::machine::Member;
use crate::mode::Mode;
use crate::peer::Push;
use crate::record::{Chain, Course, Lock, Resource};
use crate::table::{Idx, Queue};
use crate::time::Instant;
use crate::wire::{FrameWriter, Position, ReportHead, ReportUnit, Reported};

/// Parts of a report on their way to one master at a time.
const PARTS_MAX: usize = 8;

/// Resources that one part passes at most.
const STEPS_A_CALL: u32 = 256;

/// What a node has reported to a new master, slot by slot and in each slot in the order of its chain, which nothing
/// leaves meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Reporting {
    is_active: bool,
    acked: Cursor,
    sent: Cursor,
    /// The chains of so many slots, from there on, were read ahead.
    followed: u8,
    /// Ends of the parts between the two.
    ends: Deque<Cursor, PARTS_MAX>,
    /// Where the last acknowledged part began: it is said again to hear how far the master is.
    before: Cursor,
    /// The master had no room for what comes next: it is not said again before the timer runs out.
    is_refused: bool,
    /// The slots before this one are decided about again, as far as was heard.
    opened: u32,
    /// The last slot that is reported.
    last: u32,
    repeat_at: Instant,
}

/// A place in the sequence of a report. It counts the steps of its slot only, so that it stays what it is when another
/// slot goes on to another master meanwhile.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    slot: u32,
    /// Steps of the slot before it.
    steps: u32,
    /// The last resource of the slot that lies before it.
    after: Option<Idx<Resource>>,
}

/// The place of a slot's first step, as it is said.
pub(super) const fn position_of(slot: u32) -> u64 {
    (slot as u64) << 32
}

/// The slot of a place that was said.
pub(super) const fn slot_at(position: u64) -> u32 {
    (position >> 32) as u32
}

impl Reporting {
    pub(crate) const NONE: Self = Self {
        is_active: false,
        acked: Cursor::at(0),
        sent: Cursor::at(0),
        followed: 0,
        ends: Deque::new(),
        before: Cursor::at(0),
        is_refused: false,
        opened: 0,
        last: 0,
        repeat_at: Instant::NEVER,
    };

    pub(crate) const fn repeat_at(&self) -> Instant {
        self.repeat_at
    }

    fn go_back(&mut self, to: Cursor) {
        self.ends.clear();
        self.sent = to;
        self.followed = 0;
        self.acked = to;
    }

    #[cfg(feature = "check")]
    pub(crate) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        feed.put(&(self.is_active, self.acked.place(), self.sent.place(), self.before.place()));
        feed.put(&(self.opened, self.last, self.ends.len(), self.is_refused));
        feed.put_until(self.repeat_at);
    }
}

impl Cursor {
    const fn at(slot: u32) -> Self {
        Self { slot, steps: 0, after: None }
    }

    /// How it is said: in the order of the sequence.
    const fn position(&self) -> u64 {
        position_of(self.slot) | self.steps as u64
    }

    const fn beyond(self, at: Idx<Resource>) -> Self {
        Self { steps: self.steps + 1, after: Some(at), ..self }
    }

    #[cfg(feature = "check")]
    const fn place(&self) -> (u64, bool) {
        (self.position(), self.after.is_some())
    }
}

impl Machine<'_> {
    // ---- what is said ----

    /// Begins to report to every new master.
    pub(super) fn begin_reports(&mut self) {
        for slot in 0..self.slot_count() {
            let entry = self.slot(slot);
            if entry.course != Course::Reporting {
                continue;
            }
            let master = entry.master;
            let reporting = &mut self.peer(master).reporting;
            if !reporting.is_active {
                *reporting = Reporting { is_active: true, ..Reporting::NONE };
                self.mark_ready(master);
            }
            self.peer(master).reporting.last = slot;
        }
    }

    /// The next slot from this one on that is reported to a master.
    fn next_reported(&self, master: Member, from: u32) -> Option<u32> {
        let last = self.peers[usize::from(master)].reporting.last;
        let is_it = |slot: &u32| {
            let entry = self.slot(*slot);
            entry.course == Course::Reporting && entry.master == master
        };
        (from..=last).find(is_it)
    }

    /// The resource of the step after this place, if its slot does not end there.
    fn next_of(&self, cursor: Cursor) -> Option<Idx<Resource>> {
        match cursor.after {
            Some(at) => Queue::<_, Chain>::next(&self.resources, at),
            None => self.slot(cursor.slot).resources.head(),
        }
    }

    pub(crate) fn has_report(&self, member: Member) -> bool {
        let reporting = &self.peers[usize::from(member)].reporting;
        let is_closed = !reporting.is_active || reporting.is_refused || reporting.ends.is_full();
        if is_closed || !self.is_met(member) {
            return false;
        }
        let next = self.next_reported(member, reporting.sent.slot);
        // What is still looked at changes the order of the chain.
        next.is_some_and(|slot| !self.slot(slot).moved.is_linked())
    }

    /// Reads ahead the chains of the slots that are reported next, if the turn of the first of them has come.
    fn follow_reported(&mut self, master: Member, slot: u32) {
        if self.peers[usize::from(master)].reporting.followed == 0 {
            let slots = core::iter::successors(Some(slot), |slot| self.next_reported(master, slot + 1));
            self.peer(master).reporting.followed = self.follow_briefly(slots);
        }
    }

    /// Writes one part of a report: positions of one slot, until it ends or the part is as long as a chunk.
    pub(crate) fn write_report(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let most = self.s.config.chunk;
        if self.s.transfers.in_frame() >= most {
            return Push::Full;
        }
        let mut cursor = self.peers[usize::from(member)].reporting.sent;
        let slot = self.next_reported(member, cursor.slot).expect("a slot is to be reported");
        if slot > cursor.slot {
            cursor = Cursor::at(slot);
        }
        if cursor.after.is_none() {
            self.follow_reported(member, slot);
        }
        let has_number = !crate::fault_on!(self, REPORT_WITHOUT_COUNTER);
        let number = if has_number { self.s.last_number() } else { Number(0) };
        let head = ReportHead { slot: SlotId(slot), position: cursor.position(), number };
        let Some(mut report) = writer.begin_report(&head) else { return Push::Full };
        let limit = (most - self.s.transfers.in_frame()) as usize;
        let mut is_last = false;
        for _ in 0..STEPS_A_CALL {
            let Some(at) = self.next_of(cursor) else {
                is_last = true;
                cursor = Cursor::at(slot + 1);
                break;
            };
            if self.is_reported(at) && (report.used() >= limit || !report.push(&self.report_unit(at))) {
                break;
            }
            cursor = cursor.beyond(at);
        }
        if cursor.position() == head.position {
            return Push::Full;
        }
        let len = report.used();
        report.finish(cursor.position(), is_last);
        self.s.transfers.add_in_frame(len);
        self.s.stats.report_bytes_out += len as u64;
        let reporting = &mut self.peer(member).reporting;
        reporting.sent = cursor;
        reporting.followed = reporting.followed.saturating_sub(u8::from(is_last));
        reporting.ends.push_back(cursor).expect("there is a place for one more part");
        self.arm_reporting(member);
        Push::Said
    }

    /// Does this node hold or want something of a resource?
    pub(super) fn is_reported(&self, at: Idx<Resource>) -> bool {
        let resource = &self.resources[at];
        resource.is_used && (resource.holding.held.is_some() || resource.holding.is_asking())
    }

    /// What a new master has to know of this node's position (rule W11).
    pub(super) fn report_unit(&self, at: Idx<Resource>) -> ReportUnit<'_> {
        let resource = &self.resources[at];
        let holding = &resource.holding;
        let position = Position { answers: DemandId(0), hits: 0, ..self.position_of(at) };
        let is_current = holding.is_copy_current && holding.held.is_some_and(Mode::keeps_value_current);
        let copy = resource.copy.filter(|_| is_current).map(|cell| self.values[cell].copy());
        ReportUnit {
            space: resource.space,
            name: self.name_bytes(resource),
            position,
            token: if holding.held.is_some() { holding.token.physical() } else { Token::NONE },
            ticket: holding.wish().filter(|wish| wish.is_queued).map(|wish| wish.ticket.ticket()),
            value: copy,
            since: self.writing_since(at),
        }
    }

    /// An owner that may write keeps the token under which it began, while the node has been granted others since.
    fn writing_since(&self, at: Idx<Resource>) -> Token {
        let holding = &self.resources[at].holding;
        if !holding.held.is_some_and(Mode::may_write_value) {
            return Token::NONE;
        }
        let may_write = |lock: &Lock| lock.claim.held.is_some_and(Mode::may_write_value);
        let writer = holding.locks.find(&self.locks, may_write);
        let since = writer.map(|writer| self.locks[writer].token.physical());
        since.filter(|since| *since < holding.token.physical()).unwrap_or(Token::NONE)
    }

    fn arm_reporting(&mut self, member: Member) {
        let until = self.s.now.after(self.s.config.repeat_after);
        self.peer(member).reporting.repeat_at = until;
        self.note_deadline(until);
    }

    /// What was refused, or not acknowledged, is said again. If nothing is, the last part is, to hear how far the master
    /// has come.
    pub(super) fn repeat_reporting(&mut self, member: Member) {
        let reporting = &mut self.peer(member).reporting;
        reporting.repeat_at = Instant::NEVER;
        let was_refused = core::mem::take(&mut reporting.is_refused);
        if !reporting.is_active {
            return;
        }
        let next = reporting.sent.slot;
        if was_refused && self.next_reported(member, next).is_some() {
            return self.mark_ready(member);
        }
        let reporting = &self.peers[usize::from(member)].reporting;
        let is_all_acked = reporting.acked.position() == reporting.sent.position();
        let to = if is_all_acked { reporting.before } else { reporting.acked };
        // The last slot may have gone on to another master: then what is known of the first that has not is said again.
        let slot = self.next_reported(member, to.slot).map(|_| to);
        let to = slot.or_else(|| self.next_reported(member, 0).map(Cursor::at));
        match to {
            Some(to) => self.peer(member).reporting.go_back(to),
            None => self.peer(member).reporting = Reporting::NONE,
        }
        self.mark_ready(member);
    }

    pub(super) fn handle_reported(&mut self, from: Member, reported: Reported) -> bool {
        if reported.is_wanted_again {
            self.want_again(from);
        }
        if !self.peer(from).reporting.is_active {
            return true;
        }
        let reporting = &mut self.peer(from).reporting;
        let is_here = |end: &Cursor| end.position() <= reported.position;
        while let Some(end) = reporting.ends.front().copied().filter(is_here) {
            reporting.before = reporting.acked;
            reporting.acked = end;
            reporting.ends.pop_front();
        }
        self.catch_up(from, reported.position);
        let reporting = &mut self.peer(from).reporting;
        let is_at = reported.position == reporting.acked.position();
        if is_at && (reported.is_again || reported.is_full) {
            let to = reporting.acked;
            reporting.go_back(to);
            reporting.is_refused = reported.is_full;
        }
        self.arm_reporting(from);
        if is_at && reported.is_full {
            self.make_room_at(from);
        }
        self.open_reported(from, reported.frontier.0);
        self.mark_ready(from);
        true
    }

    /// A master that is further than what was said since this node went back, or in the middle of a part, is followed.
    fn catch_up(&mut self, from: Member, position: u64) {
        let reporting = &self.peers[usize::from(from)].reporting;
        if position <= reporting.acked.position() {
            return;
        }
        let slot = slot_at(position);
        let is_reported = self.next_reported(from, slot) == Some(slot);
        let mut cursor = Cursor::at(slot);
        while is_reported && cursor.position() < position {
            let Some(at) = self.next_of(cursor) else { break };
            cursor = cursor.beyond(at);
        }
        let reporting = &mut self.peer(from).reporting;
        reporting.before = reporting.acked;
        reporting.acked = cursor;
        if reporting.sent.position() < cursor.position() {
            reporting.go_back(cursor);
        }
    }

    /// A new master decides about its slots before this one again: what this node has to say of them is said now.
    fn open_reported(&mut self, from: Member, frontier: u32) {
        let reporting = &self.peers[usize::from(from)].reporting;
        let (opened, last) = (reporting.opened, reporting.last);
        let frontier = frontier.min(self.slot_count());
        for slot in opened..frontier {
            let entry = self.slot_mut(slot);
            if entry.course == Course::Reporting && entry.master == from {
                entry.course = Course::Still;
                self.look_at_all(slot);
            }
        }
        self.unmark_open();
        let reporting = &mut self.peer(from).reporting;
        reporting.opened = opened.max(frontier);
        if frontier > last {
            *reporting = Reporting::NONE;
        }
    }

    /// Every resource of a slot is to be looked at: its master, or what is known of it, has changed.
    pub(super) fn look_at_all(&mut self, slot: u32) {
        let entry = self.slot_mut(slot);
        entry.moved_left = entry.room.resources;
        if entry.moved_left > 0 {
            self.s.moved.enter(&mut self.slots, Idx::new(slot as usize), true);
        }
    }

    /// A new master has no room for what comes next: what this node merely wants there, or retains, is given up
    /// (rule W14).
    fn make_room_at(&mut self, member: Member) {
        let cursor = self.peers[usize::from(member)].reporting.acked;
        let Some(slot) = self.next_reported(member, cursor.slot) else { return };
        let mut walk = self.next_of(if slot == cursor.slot { cursor } else { Cursor::at(slot) });
        for _ in 0..STEPS_A_CALL {
            let Some(at) = walk else { break };
            walk = Queue::<_, Chain>::next(&self.resources, at);
            self.give_up_for_room(at);
        }
    }

    pub(super) fn give_up_for_room(&mut self, at: Idx<Resource>) {
        if !self.is_reported(at) {
            return;
        }
        let holding = &self.resources[at].holding;
        if holding.locks.need().is_some() && !holding.is_asking() {
            // Owners use it, and nothing more is asked for.
            return;
        }
        while let Some(waiter) = self.resources[at].holding.locks.find_waiter(&self.locks, |_| true) {
            self.deny_owner(waiter, Denial::Full);
        }
        self.look_after(at);
        let holding = &self.resources[at].holding;
        if holding.held.is_some() && holding.locks.is_empty() {
            self.position_at(at, None);
            self.settle();
        }
    }
}
