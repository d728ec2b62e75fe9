//! The master: one queue discipline among the physical locks of nodes.
//!
//! A record is there from a node's first request until it holds and wants nothing. The rules N2, N3, N5,
//! N6 and M1 to M8 are those of `docs/protocol.md`.
//!
//! ```text
//!              position with a wish                       grant
//! (no record) ─────────────────────► waiting ◄──────────────────────► granted
//!      ▲                               │          a new wish             │
//!      │  position without held and wanted, or a denial of one that holds nothing: the floor rises
//!      └───────────────────────────────┴─────────────────────────────────┘
//! ```

mod answer;

use crate::flags::Flags;
use crate::id::{DemandId, Number, QueueTicket, SpaceId, Token};
use crate::machine::{Machine, Member};
use crate::mode::Mode;
use crate::name::Name;
use crate::queue::{Entered, Marks, NoQueue, Place};
use crate::record::{Answer, Counted, Due, NAME_INLINE, Pace, Passage, Physical, Resource, RingBody, Timed};
use crate::table::Idx;
use crate::transfer::Room;
use crate::wire::{DenyReason, Position};

use crate::holder::Named;

impl Machine<'_> {
    // ---- positions ----

    /// A node states its position (rules N2, N3, N5 and N6).
    pub(crate) fn handle_position(
        &mut self,
        from: Member,
        found: Option<Idx<Resource>>,
        named: Named<'_>,
        hash: u64,
        position: &Position,
    ) {
        if !position.makes_sense() {
            self.s.stats.messages_dropped += 1;
            return;
        }
        let slot = found.map_or_else(|| self.slot_of(named.space, hash), |at| self.resources[at].slot);
        if !self.decides(slot, found) {
            return self.pass_on(from, named, slot, position);
        }
        let found = self.purge_before(found, named, hash);
        if !self.is_me(from) {
            self.count_incoming(position);
        }
        let record = found.and_then(|at| Some((at, self.record_of(at, from)?)));
        let Some((resource, at)) = record else {
            return self.position_without_record(found, from, named, hash, position);
        };
        self.position_on_record(resource, at, named, position);
        self.drop_if_unused(resource);
    }

    /// Who has departed is not in anybody's way, and what was rebuilt takes part, also where it was not looked at yet.
    fn purge_before(
        &mut self,
        found: Option<Idx<Resource>>,
        named: Named<'_>,
        hash: u64,
    ) -> Option<Idx<Resource>> {
        let at = found?;
        let resource = &self.resources[at];
        let has_departed = resource.mastery.members & self.s.views.departed() != 0;
        if !has_departed && resource.passage != Passage::Rebuilt {
            return found;
        }
        self.purge(at);
        self.drop_if_unused(at);
        self.find(named.space, named.name, hash)
    }

    fn count_incoming(&mut self, position: &Position) {
        let stats = &mut self.s.stats;
        match (position.wanted, position.pinned, position.held) {
            (Some(_), Some(_), _) => stats.conversions.incoming += 1,
            (Some(_), None, _) => stats.requests.incoming += 1,
            (None, _, None) => stats.releases.incoming += 1,
            (None, _, Some(_)) => {}
        }
    }

    pub(crate) fn record_of(&self, resource: Idx<Resource>, member: Member) -> Option<Idx<Physical>> {
        let mastery = &self.resources[resource].mastery;
        if mastery.members >> member & 1 == 0 {
            return None;
        }
        mastery.queues.find(&self.physical, |physical| physical.member == member)
    }

    fn position_without_record(
        &mut self,
        found: Option<Idx<Resource>>,
        from: Member,
        named: Named<'_>,
        hash: u64,
        position: &Position,
    ) {
        if position.write.is_some() {
            self.answer(from, named.space, named.name, RingBody::Written(position.number));
        }
        let slot = self.slot_of(named.space, hash);
        let has_floors = !crate::fault_on!(self, NO_FLOORS);
        if has_floors && position.number <= *self.floor(slot, from) {
            if position.wanted.is_some() {
                let body = RingBody::Deny(position.number, DenyReason::Renew);
                self.answer(from, named.space, named.name, body);
            }
            return;
        }
        let Some(wanted) = position.wanted else {
            self.raise_floor(slot, from, position.number);
            return;
        };
        let needed = self.needed_room(found, named.name, from, position.flags.has(Flags::VALUE));
        let has_room = self.has_room_for(found, named.name, needed);
        let slot_room = self.slot_room(slot, needed);
        // What this node says to itself it says once.
        if let Err(kind) = slot_room
            && has_room
            && !self.is_me(from)
            && self.may_get_room(slot, kind)
        {
            // The new master is asked for more; the node says it again.
            self.s.stats.messages_dropped += 1;
            return;
        }
        if !has_room || slot_room.is_err() {
            self.s.is_short = true;
            self.raise_floor(slot, from, position.number);
            let body = RingBody::Deny(position.number, DenyReason::Full);
            self.answer(from, named.space, named.name, body);
            return;
        }
        let resource = found.unwrap_or_else(|| self.make_resource(named.space, named.name, hash));
        let at = self.take_physical(resource, from);
        // A position may lower the mode on record, never raise it: what is not on record is not held.
        let position = Position { held: None, pinned: None, ..*position };
        self.take_wish(resource, at, &position, wanted);
        self.pass(resource);
        self.audit();
        self.drop_if_unused(resource);
    }

    fn has_room_for(&self, found: Option<Idx<Resource>>, name: &[u8], needed: Room) -> bool {
        (found.is_some() || self.check_room(name).is_ok())
            && self.free_physical() > 0
            && (needed.values == 0 || self.has_free_value())
    }

    /// Records that a request of a member makes at the master.
    pub(crate) fn needed_room(
        &self,
        found: Option<Idx<Resource>>,
        name: &[u8],
        from: Member,
        wants_value: bool,
    ) -> Room {
        let resource = found.map(|at| &self.resources[at]);
        let has_value = resource.is_some_and(|resource| resource.mastery.value.is_some());
        let is_on_record = resource.is_some_and(|resource| resource.mastery.members >> from & 1 == 1);
        Room {
            resources: u32::from(resource.is_none()),
            physical: u32::from(!is_on_record),
            names: u32::from(resource.is_none() && name.len() > NAME_INLINE),
            values: u32::from(wants_value && !has_value),
        }
    }

    fn position_on_record(
        &mut self,
        resource: Idx<Resource>,
        at: Idx<Physical>,
        named: Named<'_>,
        position: &Position,
    ) {
        let record = &self.physical[at];
        if position.write.is_some() {
            let member = record.member;
            self.answer(member, named.space, named.name, RingBody::Written(position.number));
        }
        if position.number < self.physical[at].number {
            self.s.stats.messages_dropped += 1;
            return;
        }
        self.take_answer(at, position.answers);
        if position.number == self.physical[at].number {
            if position.wanted.is_some() {
                self.answer_repeat(at);
            }
            if position.answers != DemandId(0) {
                self.refuse_asking(resource);
            }
            return;
        }
        self.take_write(resource, at, position);
        self.replace_position(resource, at, position);
        self.note_writing(at);
        if !crate::fault_on!(self, NO_PASS) {
            self.pass(resource);
        }
    }

    /// A repeat is answered with how things stand; it is never applied.
    fn answer_repeat(&mut self, at: Idx<Physical>) {
        let record = &mut self.physical[at];
        if record.claim.is_waiting() {
            record.due.queued = true;
        } else if record.answer == Answer::None {
            return;
        } else {
            record.due.answer = true;
        }
        self.link_answer(at);
    }

    /// A node has answered a demand: it is met, or known to have to wait.
    fn take_answer(&mut self, at: Idx<Physical>, answers: DemandId) {
        let record = &mut self.physical[at];
        let Some(demand) = record.demand.as_mut().filter(|demand| demand.id == answers) else { return };
        demand.is_answered = true;
        record.due.demand = false;
        if record.claim.held.is_none_or(|held| demand.stay.covers(held)) {
            self.end_demand(at);
        } else if record.timed != Some(Timed::Demand(Pace::Long)) {
            // Also if it was just due again and not sent yet: no other timer would find a release that is lost.
            self.begin_demand_timer(at, Pace::Long);
        }
    }

    /// The master takes a write only from a node that is on record at PW or EX, under a token since when it was
    /// so without a break: then nobody else can have written (rule V3).
    pub(crate) fn take_write(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position) {
        let Some(write) = position.write else { return };
        let record = &self.physical[at];
        let may_write = record.writing_since != Counted::NONE;
        let is_current = (record.writing_since..=record.token).contains(&write.version.into());
        let is_known = is_current || crate::fault_on!(self, WRITE_BY_MODE);
        if !may_write || !is_known {
            return;
        }
        // A rebuild makes room only for what it hears of: the writer may have read the block long ago.
        if !self.reserve_value_if_room(resource) {
            self.resources[resource].is_value_lost = true;
            return;
        }
        let cell = self.resources[resource].mastery.value.expect("there is room for it");
        self.write_value(cell, write.version, write.value);
    }

    fn note_writing(&mut self, at: Idx<Physical>) {
        let record = &mut self.physical[at];
        if !record.claim.held.is_some_and(Mode::may_write_value) {
            record.writing_since = Counted::NONE;
        } else if record.writing_since == Counted::NONE {
            record.writing_since = record.token;
        }
    }

    /// The position on record becomes the one stated; it may lower what is held, never raise it.
    fn replace_position(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position) {
        let record = &mut self.physical[at];
        let (old_held, was_waiting) = (record.claim.held, record.claim.is_waiting());
        let was_granted = record.answer == Answer::Granted;
        let is_same_request = position.asked != Number(0) && position.asked == record.asked;
        let held = match (old_held, position.held) {
            (Some(old), Some(new)) if old.covers(new) => Some(new),
            (Some(old), Some(_)) => Some(old),
            (None, _) | (_, None) => None,
        };
        record.number = position.number;
        record.answer = Answer::None;
        record.due.answer = false;
        record.due.queued = false;
        let pinned = position.pinned.filter(|pinned| held.is_some_and(|held| held.covers(*pinned)));
        self.meet_demand(at, held);
        self.restate_demand(at, pinned);
        let Some(wanted) = position.wanted else {
            return self.take_rest(resource, at, held);
        };
        let position = Position { held, pinned, ..*position };
        // Whoever waits in a deadlock may stand before one that it waits for; nobody else may take that place over.
        let accepts_deadlock = |flags: Flags| flags.has(Flags::NO_DEADLOCK_WAIT);
        let is_as_patient =
            accepts_deadlock(position.flags) || !accepts_deadlock(self.physical[at].claim.flags);
        let is_in_place = was_waiting
            && is_same_request
            && is_as_patient
            && self.physical[at].claim.wanted.is_some_and(|old| old.covers(wanted))
            && self.physical[at].claim.pinned.is_some() == pinned.is_some();
        if is_in_place {
            self.renumber(resource, at, &position, wanted);
        } else if is_same_request && was_granted && pinned.is_none() {
            self.take_back(resource, at, &position, wanted);
        } else {
            if held != old_held {
                // What was given up goes to those who wait before the node's next wish is looked at.
                self.stand_at_rest(resource, at, held);
                self.pass(resource);
            }
            self.take_wish(resource, at, &position, wanted);
        }
    }

    /// A record that holds this and wants nothing.
    fn stand_at_rest(&mut self, resource: Idx<Resource>, at: Idx<Physical>, held: Option<Mode>) {
        let queues = &mut self.resources[resource].mastery.queues;
        queues.leave(&mut self.physical, at);
        self.end_queued_timer(at);
        let record = &mut self.physical[at];
        record.is_asking_holders = false;
        record.claim.held = held;
        record.claim.wanted = None;
        record.claim.pinned = None;
        if held.is_some() {
            let queues = &mut self.resources[resource].mastery.queues;
            queues.stand(&mut self.physical, at, Place::Granted);
        }
    }

    /// The node wants nothing: its record stands granted, or goes.
    fn take_rest(&mut self, resource: Idx<Resource>, at: Idx<Physical>, held: Option<Mode>) {
        self.stand_at_rest(resource, at, held);
        if held.is_none() {
            self.drop_record(resource, at);
        } else {
            #[cfg(lockmaster_faults)]
            self.grant_unasked(resource, at);
        }
    }

    /// Offers PR to a node that keeps NL, under the number on record.
    #[cfg(lockmaster_faults)]
    fn grant_unasked(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        let queues = &mut self.resources[resource].mastery.queues;
        let claim = &self.physical[at].claim;
        let is_fit = queues.is_compatible(claim, Mode::ProtectedRead) && !queues.has_waiters();
        if crate::fault_on!(self, GRANT_UNASKED) && claim.held == Some(Mode::Null) && is_fit {
            queues.set_wanted(&mut self.physical, at, Mode::ProtectedRead);
            queues.grant(&mut self.physical, at);
            self.grant_record(resource, at);
        }
    }

    /// A new request or conversion of a node (rule M2).
    fn take_wish(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position, wanted: Mode) {
        if position.flags.has(Flags::VALUE) && !self.reserve_value_if_room(resource) {
            return self.deny_full(resource, at, position, wanted);
        }
        self.set_wish(resource, at, position, wanted);
        let slot = &mut self.slots.0[self.resources[resource].slot as usize];
        slot.arrivals += 1;
        let ticket = QueueTicket { epoch: self.s.views.view.epoch, count: slot.arrivals };
        self.physical[at].ticket = ticket.into();
        let no_queue = if self.is_retaining(resource) { NoQueue::AskHolders } else { NoQueue::Refuse };
        let queues = &mut self.resources[resource].mastery.queues;
        let entered = queues.enter(&mut self.physical, at, no_queue, |_, _| true);
        self.take_entered(resource, at, entered);
    }

    /// A request that reads the value block may be followed by a write: there is room for it from then on.
    fn reserve_value_if_room(&mut self, resource: Idx<Resource>) -> bool {
        let is_there = self.resources[resource].mastery.value.is_some();
        let needed = Room { values: 1, ..Room::NONE };
        let has_room = is_there
            || self.has_free_value() && self.slot_room(self.resources[resource].slot, needed).is_ok();
        if has_room {
            self.reserve_value(resource);
        } else {
            self.s.is_short = true;
        }
        has_room
    }

    /// Writes a node's position into its record, which stands nowhere or granted afterwards.
    fn set_wish(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position, wanted: Mode) {
        let is_at_rest = self.physical[at].claim.place == Place::Granted;
        if !is_at_rest || self.physical[at].claim.held != position.held {
            self.stand_at_rest(resource, at, position.held);
        }
        let record = &mut self.physical[at];
        record.number = position.number;
        record.asked = position.asked;
        record.priority = position.priority;
        record.copy = position.copy;
        let claim = &mut record.claim;
        claim.pinned = position.pinned;
        claim.wanted = Some(wanted);
        claim.flags = position.flags;
        claim.marks = Marks::NONE;
    }

    fn take_entered(&mut self, resource: Idx<Resource>, at: Idx<Physical>, entered: Entered) {
        match entered {
            Entered::Granted => self.grant_record(resource, at),
            Entered::Queued => {
                let record = &mut self.physical[at];
                let is_no_queue = record.claim.flags.has(Flags::NO_QUEUE);
                record.is_asking_holders = is_no_queue;
                if record.claim.is_demoted() {
                    self.demand_demotion(at);
                }
                self.demand_of(resource, at, &[Place::Granted]);
                if is_no_queue {
                    self.refuse_asking(resource);
                } else {
                    self.begin_queued_timer(at);
                }
            }
            Entered::Busy => {
                if self.physical[at].claim.flags.has(Flags::NO_QUEUE_DEMAND) {
                    self.demand_of(resource, at, &[Place::Granted, Place::Convert]);
                }
                self.deny(resource, at, DenyReason::Busy);
            }
            Entered::Deadlock => self.deny(resource, at, DenyReason::Deadlock),
        }
    }

    /// The same request under a fresh number keeps its place in the queue (rule N5).
    fn renumber(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position, wanted: Mode) {
        if position.flags.has(Flags::VALUE) && !self.reserve_value_if_room(resource) {
            return self.deny(resource, at, DenyReason::Full);
        }
        let queues = &mut self.resources[resource].mastery.queues;
        queues.set_held(&mut self.physical, at, position.held);
        queues.set_wanted(&mut self.physical, at, wanted);
        queues.set_flags(&mut self.physical, at, position.flags);
        let record = &mut self.physical[at];
        record.priority = position.priority;
        record.copy = position.copy;
        record.claim.pinned = position.pinned;
        record.is_asking_holders &= position.flags.has(Flags::NO_QUEUE);
        self.begin_queued_timer(at);
        self.end_deadlock(resource, at);
    }

    /// Judges a conversion that waits, and of which it is news that it does: one in deadlock is demoted or denied, unless
    /// it accepts to wait in one (rule G11).
    pub(crate) fn end_deadlock(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        let claim = &self.physical[at].claim;
        let (is_conversion, flags) = (claim.pinned.is_some(), claim.flags);
        let queues = &mut self.resources[resource].mastery.queues;
        if !is_conversion || flags.has(Flags::NO_DEADLOCK_WAIT) || !queues.is_deadlocked(&self.physical, at) {
            return;
        }
        if flags.has(Flags::DEMOTE_ON_DEADLOCK) {
            queues.demote(&mut self.physical, at);
            self.demand_demotion(at);
        } else {
            self.deny(resource, at, DenyReason::Deadlock);
        }
    }

    /// A new request that was granted under an earlier number goes back to its place, by its ticket: the node has
    /// not seen the grant and never will use it. A conversion arrives anew, since those pass who wait anyway.
    fn take_back(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position, wanted: Mode) {
        if position.flags.has(Flags::VALUE) && !self.reserve_value_if_room(resource) {
            return self.deny_full(resource, at, position, wanted);
        }
        let ticket = self.physical[at].ticket;
        self.set_wish(resource, at, position, wanted);
        let queues = &mut self.resources[resource].mastery.queues;
        queues.leave(&mut self.physical, at);
        queues.stand_before(&mut self.physical, at, |other| other.ticket > ticket);
        self.demand_of(resource, at, &[Place::Granted]);
        self.begin_queued_timer(at);
    }

    // ---- grants and denials ----

    /// Grants what the queues allow, then tells holders of those that still wait (rules G10, G12 and M4).
    // Inlined is what most calls find: nobody waits.
    #[inline]
    pub(crate) fn pass(&mut self, resource: Idx<Resource>) {
        if self.resources[resource].mastery.queues.has_waiters() {
            self.pass_waiting(resource);
        }
    }

    #[inline(never)]
    fn pass_waiting(&mut self, resource: Idx<Resource>) {
        loop {
            let queues = &mut self.resources[resource].mastery.queues;
            let Some(at) = queues.next_grant(&mut self.physical, |_, _| true) else { break };
            self.grant_record(resource, at);
        }
        self.demand_all(resource);
        self.refuse_asking(resource);
    }

    /// The queues have granted a record what it wanted: it gets a token, and its node is told (rule M3).
    fn grant_record(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        let slot = &mut self.slots.0[self.resources[resource].slot as usize];
        slot.grants += 1;
        let token = Token { epoch: self.s.views.view.epoch, grant: slot.grants, local: 0 };
        self.end_queued_timer(at);
        self.end_demand(at);
        let record = &mut self.physical[at];
        record.token = token.into();
        record.answer = Answer::Granted;
        record.is_asking_holders = false;
        record.due = Due { answer: true, queued: false, demand: false };
        self.note_writing(at);
        self.link_answer(at);
    }

    /// Ends what a record waits for; one that holds nothing goes, and the floor rises.
    pub(crate) fn deny(&mut self, resource: Idx<Resource>, at: Idx<Physical>, reason: DenyReason) {
        self.end_queued_timer(at);
        let stays = crate::fault_on!(self, VICTIM_QUEUED) && self.physical[at].claim.place == Place::Convert;
        let queues = &mut self.resources[resource].mastery.queues;
        if !stays {
            queues.withdraw(&mut self.physical, at);
        }
        let record = &mut self.physical[at];
        record.is_asking_holders = false;
        record.due.queued = false;
        if record.claim.held.is_some() {
            record.answer = Answer::Denied(reason);
            record.due.answer = true;
            self.link_answer(at);
            return;
        }
        let (member, number) = (record.member, record.number);
        let (space, name) = self.name_at(resource);
        self.answer(member, space, name.as_bytes(), RingBody::Deny(number, reason));
        self.drop_record(resource, at);
    }

    /// Denies a request that has not entered the queues, for want of room.
    fn deny_full(&mut self, resource: Idx<Resource>, at: Idx<Physical>, position: &Position, wanted: Mode) {
        self.set_wish(resource, at, position, wanted);
        self.deny(resource, at, DenyReason::Full);
    }

    /// Ends no-queue requests that have had their one round of demands (rule M6).
    fn refuse_asking(&mut self, resource: Idx<Resource>) {
        let queues = &self.resources[resource].mastery.queues;
        let Some(at) = queues.find_waiter(&self.physical, |record| record.is_asking_holders) else { return };
        let claim = self.physical[at].claim;
        let wanted = claim.wanted.expect("a waiter wants a mode");
        let is_asked = |record: &Physical| record.demand.is_some_and(|demand| !demand.is_answered);
        let is_open = queues.find(&self.physical, |record| {
            let is_in_the_way = record.claim.held.is_some_and(|held| !held.is_compatible(wanted));
            is_in_the_way && is_asked(record)
        });
        if is_open.is_none() {
            self.deny(resource, at, DenyReason::Busy);
            self.pass(resource);
        }
    }

    /// Drops a record that holds and wants nothing: nothing up to its number may bring it back (rule N6).
    fn drop_record(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        let record = &self.physical[at];
        assert!(record.claim.place == Place::Apart, "a record that goes stands nowhere");
        let (member, number) = (record.member, record.number);
        let slot = self.resources[resource].slot;
        self.raise_floor(slot, member, number);
        self.end_timer(at);
        let peer = &mut self.peers[usize::from(member)];
        peer.answers.remove_if_linked(&mut self.physical, at);
        if self.put_physical(at) {
            // The value block goes with the last record: the next reader is told that there is none.
            self.forget_value(resource);
        }
    }

    /// A record of a member that has departed goes, whatever it held or wanted.
    pub(crate) fn drop_departed(&mut self, resource: Idx<Resource>, at: Idx<Physical>) {
        self.stand_at_rest(resource, at, None);
        self.drop_record(resource, at);
    }

    pub(crate) fn name_at(&self, at: Idx<Resource>) -> (SpaceId, Name) {
        let resource = &self.resources[at];
        (resource.space, self.name_of(resource))
    }

    /// A nearly full table asks some records whether they are still held (rule M8).
    fn audit(&mut self) {
        const AUDITED_A_CALL: u32 = 4;
        // Alone there is nobody to ask.
        if self.s.others() == 0 || self.free_physical() as usize > self.physical.len() / 16 {
            return;
        }
        for _ in 0..AUDITED_A_CALL {
            self.audit_one(Mode::Exclusive);
        }
    }

    /// Demands of the next few holders that they keep no more than NL, because a request found a table full:
    /// who merely retains gives up (rule M7).
    pub(crate) fn recall(&mut self) {
        const RECALLED_A_CALL: usize = 4;
        for _ in 0..RECALLED_A_CALL.min(self.physical.len()) {
            self.audit_one(Mode::Null);
        }
    }

    fn audit_one(&mut self, stay: Mode) {
        let at = Idx::new(self.s.audit_at as usize);
        self.s.audit_at = (self.s.audit_at + 1) % u32::try_from(self.physical.len()).unwrap_or(u32::MAX);
        self.demand_unasked(at, stay);
    }
}

impl Position {
    /// Does the position hang together? What is pinned is held, and what is wanted covers what is held.
    pub(crate) fn makes_sense(&self) -> bool {
        let is_pinned_held =
            self.pinned.is_none_or(|pinned| self.held.is_some_and(|held| held.covers(pinned)));
        let is_rise = self.wanted.is_none_or(|wanted| self.held.is_none_or(|held| wanted.covers(held)));
        let is_pinned_for = self.pinned.is_none() || self.wanted.is_some();
        self.number != Number(0) && is_pinned_held && is_rise && is_pinned_for
    }
}
