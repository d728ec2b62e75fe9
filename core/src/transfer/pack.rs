//! A master's record on its way: to units, frozen, installed from units, and forgotten (rules R4, R5 and R7).

use crate::id::{DemandId, NodeId, Number, Token};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::queue::{Claim, Marks, Place};
use crate::record::{
    Answer, Chain, Course, Demanding, Due, NAME_INLINE, NOBODY, Pace, Passage, Physical, Resource, RingBody,
};
use crate::snapshot::QueueName;
use crate::table::{Idx, Queue};
use crate::transfer::Room;
use crate::wire::{DemandUnit, LockUnit, RecordUnit};

/// A unit that no honest master sends: it is not installed, and what came before it stays.
pub(super) struct Unsound;

impl Machine<'_> {
    // ---- to units ----

    pub(crate) fn record_unit(&self, at: Idx<Resource>) -> RecordUnit<'_> {
        let resource = &self.resources[at];
        RecordUnit {
            space: resource.space,
            name: self.name_bytes(resource),
            locks: self.locks_of(at),
            value: resource.mastery.value.map(|cell| self.values[cell].copy()),
            is_value_lost: resource.is_value_lost,
        }
    }

    pub(crate) fn lock_unit(&self, at: Idx<Physical>) -> LockUnit {
        let record = &self.physical[at];
        let claim = &record.claim;
        let node = self.node_or_gone(record.member);
        let is_given_up = node == NodeId::GONE && record.member != NOBODY && self.is_given_up(at);
        LockUnit {
            node,
            queue: match claim.place {
                Place::Granted | Place::Apart => QueueName::Granted,
                Place::Convert => QueueName::Convert,
                Place::Wait => QueueName::Wait,
            },
            held: claim.held,
            pinned: claim.pinned,
            wanted: claim.wanted,
            told: claim.told,
            flags: claim.flags,
            alternate: claim.is_alternate(),
            demoted: claim.is_demoted(),
            priority: record.priority,
            number: record.number,
            asked: record.asked,
            token: record.token.token(),
            ticket: record.ticket.ticket(),
            writing_since: if is_given_up { Token::NONE } else { record.writing_since.token() },
            copy: record.copy,
            answer: match record.answer {
                Answer::None => None,
                Answer::Granted => Some(Ok(())),
                Answer::Denied(reason) => Some(Err(reason)),
            },
            demand: record.demand.map(|demand| DemandUnit {
                id: demand.id,
                stay: demand.stay,
                priority: demand.priority,
                demote: demand.demote,
                is_answered: demand.is_answered,
            }),
            is_asking_holders: record.is_asking_holders,
            due: [record.due.answer, record.due.queued, record.due.demand],
        }
    }

    /// A record becomes the new master's: nothing here changes it any more, and what it has to say is said there.
    pub(super) fn freeze(&mut self, place: usize, at: Idx<Resource>) {
        self.open_slot(place, self.resources[at].slot);
        let mut walk = self.resources[at].mastery.queues.after(&self.physical, None);
        while let Some(lock) = walk {
            walk = self.resources[at].mastery.queues.after(&self.physical, walk);
            self.end_timer(lock);
            let member = self.physical[lock].member;
            self.peers[usize::from(member)].answers.remove_if_linked(&mut self.physical, lock);
        }
        self.resources[at].passage = Passage::Packed;
        // This node's own request waits at another node from now on.
        if self.resources[at].is_waiting() {
            self.unlink_position(at);
            self.resources[at].route = self.master_at(&self.resources[at]);
            self.begin_repeat(at, Pace::Short);
        }
    }

    /// A frozen record is not needed any more: what this node itself holds stays.
    pub(super) fn thaw(&mut self, at: Idx<Resource>) {
        self.resources[at].passage = Passage::None;
        self.clear_record(at);
        self.forget_value(at);
        self.drop_if_unused(at);
        if self.resources[at].name_len > 0 {
            self.stand_last_in_chain(at);
        }
    }

    fn stand_last_in_chain(&mut self, at: Idx<Resource>) {
        let chain = &mut self.slots.0[self.resources[at].slot as usize].resources;
        if Queue::<_, Chain>::next(&self.resources, at).is_some() {
            Queue::<_, Chain>::remove(chain, &mut self.resources, at);
            Queue::<_, Chain>::push_back(chain, &mut self.resources, at);
        }
    }

    /// Drops all locks of a record; no floor rises by that.
    pub(crate) fn clear_record(&mut self, at: Idx<Resource>) {
        while let Some(lock) = self.resources[at].mastery.queues.after(&self.physical, None) {
            let member = self.physical[lock].member;
            if member != NOBODY {
                self.end_timer(lock);
                self.peers[usize::from(member)].answers.remove_if_linked(&mut self.physical, lock);
            }
            self.resources[at].mastery.queues.leave(&mut self.physical, lock);
            self.put_physical(lock);
        }
    }

    // ---- from units ----

    /// A record begins: its name belongs here, and there is room for it.
    pub(super) fn install_record(
        &mut self,
        place: usize,
        slot: u32,
        unit: &RecordUnit<'_>,
        hash: Option<u64>,
    ) -> Result<Idx<Resource>, Unsound> {
        if !self.is_space(unit.space) {
            return Err(Unsound);
        }
        let hash = hash.unwrap_or_else(|| self.hash_of(unit.space, unit.name));
        let found = self.find(unit.space, unit.name, hash);
        let is_new = found.is_none_or(|at| {
            let resource = &self.resources[at];
            let is_mastered = !resource.mastery.queues.is_empty() || resource.mastery.value.is_some();
            !is_mastered && !self.is_arrived(resource)
        });
        if self.slot_of(unit.space, hash) != slot || !is_new || usize::from(unit.locks) > self.peers.len() {
            return Err(Unsound);
        }
        let needed = Room {
            resources: u32::from(found.is_none()),
            // Each is drawn when it comes: until then its room stays kept.
            physical: 0,
            names: u32::from(found.is_none() && unit.name.len() > NAME_INLINE),
            values: u32::from(unit.value.is_some()),
        };
        self.draw(place, needed)?;
        let at = found.unwrap_or_else(|| self.make_resource(unit.space, unit.name, hash));
        self.resources[at].passage = Passage::Coming;
        self.resources[at].is_value_lost = unit.is_value_lost;
        if let Some(value) = unit.value {
            self.reserve_value(at);
            let cell = self.resources[at].mastery.value.expect("room was made for it");
            if !crate::fault_on!(self, VALUE_STAYS) {
                self.values[cell].put(value);
            }
        }
        Ok(at)
    }

    /// Has this record come with the transfer that its slot is in?
    fn is_arrived(&self, resource: &Resource) -> bool {
        let is_coming = matches!(self.slot(resource.slot).course, Course::Incoming(_));
        is_coming && resource.passage != Passage::None
    }

    /// The next lock of a record that is coming.
    pub(super) fn install_lock(
        &mut self,
        incoming: usize,
        at: Idx<Resource>,
        unit: &LockUnit,
    ) -> Result<(), Unsound> {
        if unit.node == NodeId::GONE {
            // It has departed since it was packed; without having written, if it had given the lock up before (rule W20).
            if unit.writing_since != Token::NONE {
                self.lose_value(at);
            }
            return Ok(());
        }
        let member = self.member_of(unit.node).ok_or(Unsound)?;
        let mastery = &self.resources[at].mastery;
        let claim = claim_of(unit);
        let is_fit = unit.held.is_none_or(|held| mastery.queues.is_compatible(&claim, held));
        if mastery.members >> member & 1 == 1 || !is_fit || !is_sound(unit) {
            return Err(Unsound);
        }
        self.draw(incoming, Room { physical: 1, ..Room::NONE })?;
        let lock = self.take_physical(at, member);
        self.fill_physical(lock, claim, unit);
        let place = match unit.queue {
            QueueName::Granted => Place::Granted,
            QueueName::Convert => Place::Convert,
            QueueName::Wait => Place::Wait,
        };
        self.resources[at].mastery.queues.stand_last(&mut self.physical, lock, place);
        Ok(())
    }

    fn fill_physical(&mut self, at: Idx<Physical>, claim: Claim, unit: &LockUnit) {
        let record = &mut self.physical[at];
        record.claim = claim;
        record.priority = unit.priority;
        record.number = unit.number;
        record.asked = unit.asked;
        record.token = unit.token.into();
        record.writing_since = unit.writing_since.into();
        record.ticket = unit.ticket.into();
        record.answer = match unit.answer {
            None => Answer::None,
            Some(Ok(())) => Answer::Granted,
            Some(Err(reason)) => Answer::Denied(reason),
        };
        record.copy = unit.copy;
        record.demand = unit.demand.map(|demand| Demanding {
            id: demand.id,
            stay: demand.stay,
            priority: demand.priority,
            demote: demand.demote,
            is_answered: demand.is_answered,
        });
        record.is_asking_holders = unit.is_asking_holders;
        let [answer, queued, demand] = unit.due;
        record.due = Due { answer, queued, demand };
    }

    /// A record is complete: this node decides about it from now on, and says what it has to say.
    pub(super) fn install(&mut self, at: Idx<Resource>) {
        self.resources[at].passage = Passage::Installed;
        self.stand_last_in_chain(at);
        let mut walk = self.resources[at].mastery.queues.after(&self.physical, None);
        while let Some(lock) = walk {
            walk = self.resources[at].mastery.queues.after(&self.physical, walk);
            self.install_timers(lock);
        }
        self.pass(at);
        self.route_anew(at);
        self.install_own(at);
        // An honest master has no record without locks, but for a moment.
        self.drop_if_unused(at);
    }

    /// What this node said of its own lock may have been lost on its way to the old master. From now on nothing is
    /// lost between the two, so it says it again.
    fn install_own(&mut self, at: Idx<Resource>) {
        let Some(own) = self.record_of(at, self.s.me) else { return };
        let (known, stated) = (self.physical[own].number, self.resources[at].holding.number);
        if stated == Number(0) {
            let (space, name) = self.name_at(at);
            let number = self.fresh_number(None);
            self.answer(self.s.me, space, name.as_bytes(), RingBody::Nothing(number, DemandId(0)));
        } else if stated > known {
            self.repeat_position(at);
        }
    }

    fn install_timers(&mut self, at: Idx<Physical>) {
        let is_mine = self.is_me(self.physical[at].member);
        let record = &mut self.physical[at];
        if let Some(demand) = record.demand.as_mut().filter(|_| is_mine) {
            // What the old master said to this node may have been lost or overtaken. This node says it to itself, where
            // nothing is lost, and again if it turns out to hold something else.
            demand.is_answered = false;
            record.due.demand = true;
        }
        let (due, demand) = (record.due, record.demand);
        if due != Due::default() {
            self.link_answer(at);
        }
        if let Some(demand) = demand.filter(|_| !due.demand) {
            self.begin_demand_timer(at, if demand.is_answered { Pace::Long } else { Pace::Short });
        }
    }
}

fn claim_of(unit: &LockUnit) -> Claim {
    Claim {
        held: unit.held,
        pinned: unit.pinned,
        wanted: unit.wanted,
        told: unit.told,
        flags: unit.flags,
        marks: Marks::of(unit.alternate, unit.demoted),
        ..Claim::VACANT
    }
}

/// Can a master have such a record, beside what every reader of the format checks?
fn is_sound(unit: &LockUnit) -> bool {
    let is_pinned_held = unit.pinned.is_none_or(|pinned| unit.held.is_some_and(|held| held.covers(pinned)));
    let is_writer = unit.writing_since == Token::NONE || unit.held.is_some_and(Mode::may_write_value);
    unit.number.0 > 0 && is_pinned_held && is_writer
}
