//! What a master has to say to nodes: grants, denials, places in the queue, demands, and their timers.

use crate::flags::Flags;
use crate::id::Priority;
use crate::machine::Machine;
use crate::mode::Mode;
use crate::queue::Place;
use crate::record::{Answer, Demanding, Due, Pace, Physical, Resource, Timed};
use crate::table::Idx;
use crate::value::ValueCopy;
use crate::wire::{Body, Demand, Deny, Grant, Queued};

impl Machine<'_> {
    // ---- outbox ----

    /// A record has something to say to its node.
    pub(crate) fn link_answer(&mut self, at: Idx<Physical>) {
        let member = self.physical[at].member;
        if !self.physical[at].outbox.is_linked() {
            self.peers[usize::from(member)].answers.push_back(&mut self.physical, at);
        }
        self.mark_ready(member);
    }

    /// The next thing that a record has to say, made from what it is now.
    pub(crate) fn answer_of(&self, at: Idx<Physical>) -> Option<Body> {
        let record = &self.physical[at];
        if record.due.answer {
            return match record.answer {
                Answer::None => None,
                Answer::Granted => Some(Body::Grant(self.grant_message_of(at))),
                Answer::Denied(reason) => Some(Body::Deny(Deny { number: record.number, reason })),
            };
        }
        if record.due.queued {
            return Some(Body::Queued(Queued { number: record.number, ticket: record.ticket.ticket() }));
        }
        let demand = record.demand.filter(|_| record.due.demand)?;
        Some(Body::Demand(Demand {
            id: demand.id,
            number: record.number,
            held: record.claim.held?,
            stay: demand.stay,
            priority: demand.priority,
            demote: demand.demote,
        }))
    }

    fn grant_message_of(&self, at: Idx<Physical>) -> Grant {
        let record = &self.physical[at];
        let resource = &self.resources[record.resource.expect("a live record has a resource")];
        let value = record
            .claim
            .flags
            .has(Flags::VALUE)
            .then(|| resource.mastery.value.map_or(ValueCopy::ABSENT, |cell| self.values[cell].copy()));
        let is_new = |value: &ValueCopy| value.version != record.copy || *value == ValueCopy::ABSENT;
        Grant {
            number: record.number,
            mode: record.claim.held.expect("a granted record holds a mode"),
            token: record.token.token(),
            value: value.filter(is_new),
            demand: record.demand.map(|demand| (demand.id, demand.stay)),
        }
    }

    /// The answer was sent or delivered.
    pub(crate) fn answer_was_said(&mut self, at: Idx<Physical>, body: &Body) {
        let record = &mut self.physical[at];
        let is_demand_said = match body {
            Body::Grant(grant) => {
                record.due.answer = false;
                record.due.demand &= grant.demand.is_none();
                grant.demand.is_some()
            }
            Body::Deny(_) => {
                record.due.answer = false;
                false
            }
            Body::Queued(_) => {
                record.due.queued = false;
                false
            }
            Body::Demand(_) => {
                record.due.demand = false;
                true
            }
            Body::Position(_) | Body::Written(_) | Body::Redirect(_) | Body::UpdatedLocks(_) => false,
        };
        if is_demand_said && !matches!(self.physical[at].timed, Some(Timed::Demand(_))) {
            let is_answered = self.physical[at].demand.is_some_and(|demand| demand.is_answered);
            self.begin_demand_timer(at, if is_answered { Pace::Long } else { Pace::Short });
        }
    }

    // ---- demands ----

    /// Demands of those in the way of a waiter that has just queued, or was refused.
    pub(crate) fn demand_of(&mut self, resource: Idx<Resource>, waiter: Idx<Physical>, places: &[Place]) {
        // At most 64 members hold a resource, one bit for each.
        let mut told = 0;
        let queues = &self.resources[resource].mastery.queues;
        queues.tell_of(&mut self.physical, waiter, places, |slab, at, _| told |= 1 << slab[at].member);
        let refused =
            self.physical[waiter].claim.wanted.filter(|_| !self.physical[waiter].claim.is_waiting());
        self.demand_told(resource, told, refused);
    }

    /// Demands of every holder that is in the way of somebody who waits.
    pub(crate) fn demand_all(&mut self, resource: Idx<Resource>) {
        let mut told = 0;
        let queues = &self.resources[resource].mastery.queues;
        queues.tell_all(&mut self.physical, |slab, at, _| told |= 1 << slab[at].member);
        self.demand_told(resource, told, None);
    }

    fn demand_told(&mut self, resource: Idx<Resource>, told: u64, refused: Option<Mode>) {
        for place in [Place::Granted, Place::Convert, Place::Wait] {
            let mut walk = self.resources[resource].mastery.queues.head(place).filter(|_| told != 0);
            while let Some(at) = walk {
                walk = crate::queue::Queues::next(&self.physical, at);
                if told >> self.physical[at].member & 1 == 1 {
                    self.demand_from(resource, at, refused);
                }
            }
        }
    }

    /// Demands of one holder that it keeps no more than all who wait for it leave (rule M4).
    fn demand_from(&mut self, resource: Idx<Resource>, at: Idx<Physical>, refused: Option<Mode>) {
        let queues = &self.resources[resource].mastery.queues;
        let own = self.physical[at].claim.wanted.filter(|_| self.physical[at].claim.is_waiting());
        let waited_for =
            Mode::ALL.into_iter().filter(|mode| queues.waiting(*mode) > u16::from(own == Some(*mode)));
        let stay = waited_for.chain(refused).map(Mode::leaves).fold(Mode::Exclusive, Mode::meet);
        let member = self.physical[at].member;
        let first = queues.find_waiter(&self.physical, |other| other.member != member);
        let first = first.map(|first| &self.physical[first]);
        // What all who wait leave may be less than the holder can give up before its own request is granted.
        // Then what the first of them leaves must do, or the two would wait for each other.
        let first_stay = first.and_then(|first| first.claim.wanted).map_or(stay, Mode::leaves);
        let is_pinned_under =
            |stay: Mode| self.physical[at].claim.pinned.is_none_or(|pinned| stay.covers(pinned));
        let stay = if is_pinned_under(stay) || !is_pinned_under(first_stay) { stay } else { first_stay };
        let priority = first.map_or(Priority(0), |first| first.priority);
        self.demand(at, stay, priority, false);
    }

    fn demand(&mut self, at: Idx<Physical>, stay: Mode, priority: Priority, demote: bool) {
        // A demotion takes all that can be taken.
        let is_out = |demand: Demanding| demand.demote || demand.stay == stay && !demote;
        if self.physical[at].demand.is_some_and(is_out) {
            return;
        }
        let id = self.fresh_demand();
        self.end_demand_timer(at);
        let record = &mut self.physical[at];
        record.demand = Some(Demanding { id, stay, priority, demote, is_answered: false });
        record.due.demand = true;
        let member = record.member;
        if self.is_me(member) {
            self.s.stats.demands.local += 1;
        } else {
            self.s.stats.demands.outgoing += 1;
        }
        self.link_answer(at);
    }

    /// Tells the node of a conversion in deadlock to demote its owner.
    pub(crate) fn demand_demotion(&mut self, at: Idx<Physical>) {
        let priority = self.physical[at].priority;
        self.demand(at, Mode::Null, priority, true);
    }

    /// Demands of a holder although nobody waits: to hear whether it still holds, or to get room.
    pub(crate) fn demand_unasked(&mut self, at: Idx<Physical>, stay: Mode) {
        let record = &self.physical[at];
        let is_quiet = record.claim.place == Place::Granted && record.demand.is_none();
        // A packed record is another master's by now. Whose it is costs the most to find out, and comes last.
        let is_mine = || record.resource.is_some_and(|resource| self.is_master(resource));
        if is_quiet && !self.is_me(record.member) && is_mine() {
            self.demand(at, stay, Priority(0), false);
        }
    }

    /// A demand that a new position has neither met nor answered named an older number, and the node passed it
    /// over: it is said again under this one. One that asks for what the node pins now is made anew.
    pub(crate) fn restate_demand(&mut self, at: Idx<Physical>, pinned: Option<Mode>) {
        let record = &mut self.physical[at];
        record.claim.told = None;
        let is_beyond = |demand: Demanding| pinned.is_some_and(|pinned| !demand.stay.covers(pinned));
        if record.demand.is_some_and(is_beyond) {
            return self.end_demand(at);
        }
        if record.demand.is_some_and(|demand| !demand.is_answered) {
            record.due.demand = true;
            self.link_answer(at);
        }
    }

    /// What a node holds from now on may meet the demand that is out.
    pub(crate) fn meet_demand(&mut self, at: Idx<Physical>, held: Option<Mode>) {
        let record = &self.physical[at];
        let Some(demand) = record.demand else { return };
        if held.is_none_or(|held| demand.stay.covers(held)) {
            self.end_demand(at);
        }
    }

    pub(crate) fn end_demand(&mut self, at: Idx<Physical>) {
        if self.physical[at].demand.is_some() {
            self.end_demand_timer(at);
        }
        let record = &mut self.physical[at];
        record.demand = None;
        record.due.demand = false;
        record.claim.told = None;
    }

    /// Is there still somebody whom this holder is in the way of?
    fn is_demand_needed(&self, at: Idx<Physical>) -> bool {
        let record = &self.physical[at];
        let (Some(demand), Some(resource)) = (record.demand, record.resource) else { return false };
        let queues = &self.resources[resource].mastery.queues;
        demand.demote || !demand.is_answered || queues.has_waiters()
    }

    // ---- timers ----

    pub(crate) fn pace(&self, pace: Pace) -> core::time::Duration {
        match pace {
            Pace::Short => self.s.config.repeat_after,
            Pace::Long => self.s.config.repeat_waiting_after,
        }
    }

    /// From now on the demand is said again, and not the place in the queue.
    pub(crate) fn begin_demand_timer(&mut self, at: Idx<Physical>, pace: Pace) {
        self.end_timer(at);
        self.begin_timer(at, Timed::Demand(pace), self.pace(pace));
    }

    pub(crate) fn end_demand_timer(&mut self, at: Idx<Physical>) {
        if matches!(self.physical[at].timed, Some(Timed::Demand(_))) {
            self.end_timer(at);
        }
    }

    /// A demand was not met in time: it is said again if it still stands.
    pub(crate) fn expire_demand(&mut self, at: Idx<Physical>) {
        self.end_timer(at);
        if !self.is_demand_needed(at) {
            self.end_demand(at);
            return;
        }
        self.s.stats.repeats += 1;
        self.physical[at].due.demand = true;
        self.link_answer(at);
    }

    /// A request that waits is told its place in a while, unless the lock has a timer already (rule M5).
    pub(crate) fn begin_queued_timer(&mut self, at: Idx<Physical>) {
        if self.physical[at].timed.is_none() {
            self.begin_timer(at, Timed::Queued, self.s.config.queued_after);
        }
    }

    pub(crate) fn end_queued_timer(&mut self, at: Idx<Physical>) {
        if self.physical[at].timed == Some(Timed::Queued) {
            self.end_timer(at);
        }
    }

    fn begin_timer(&mut self, at: Idx<Physical>, timed: Timed, after: core::time::Duration) {
        let until = self.s.now.after(after);
        let record = &mut self.physical[at];
        let member = record.member;
        if member == self.s.me {
            // What this node says to itself cannot be lost.
            return;
        }
        record.timed = Some(timed);
        record.timer_at = until;
        self.peers[usize::from(member)].timers(timed).push_back(&mut self.physical, at);
        self.note_deadline(until);
    }

    /// Also of a lock that goes, or is decided about elsewhere.
    pub(crate) fn end_timer(&mut self, at: Idx<Physical>) {
        let record = &mut self.physical[at];
        let Some(timed) = record.timed.take() else { return };
        let member = record.member;
        self.peers[usize::from(member)].timers(timed).remove(&mut self.physical, at);
    }

    /// A request has waited for long enough to be told its place.
    pub(crate) fn expire_queued(&mut self, at: Idx<Physical>) {
        self.end_timer(at);
        self.physical[at].due.queued = true;
        self.link_answer(at);
    }

    /// Is there nothing left that the record has to say?
    pub(crate) fn is_silent(&self, at: Idx<Physical>) -> bool {
        self.physical[at].due == Due::default() || self.answer_of(at).is_none()
    }
}
