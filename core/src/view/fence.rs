//! How long membership is certain, and what happens at its end: every lock is lost, and the node begins anew
//! (rules W16 to W18).

use super::{Certainty, Life, Machine, Standing, View, Views};
use crate::id::{Incarnation, MapVersion, Number};
use crate::machine::places;
use crate::record::{Course, End, Lock, NOBODY, News, Passage, Peer, Slot};
use crate::table::Idx;
use crate::time::Instant;

/// Records that one step looks at; the rest follow.
const LOOKED_AT_A_STEP: u32 = 64;

/// How far the end of a life has come: the next record to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Owners lose their locks.
    Locks(u32),
    /// Resources are forgotten, but for what still waits.
    Resources(u32),
}

/// Why a node did not rejoin. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejoinError {
    /// It is a member, or has not given up everything yet: fence it, and poll its events.
    #[error("the node has not ended its life yet")]
    Alive,
    /// The incarnation must be higher than the last one.
    #[error("the incarnation must be higher than the last one")]
    Incarnation,
}

impl Machine<'_> {
    pub(crate) fn handle_certainty(&mut self, now: Instant, certainty: Certainty) {
        self.see(now);
        if self.s.views.life != Life::Alive {
            return;
        }
        self.s.views.certainty = certainty;
        let now = self.s.now;
        // What is certain no longer than until now ends the life.
        self.see(now);
        if let Some(at) = self.s.views.deadline(now) {
            self.note_deadline(at);
        }
        // What waited for the node to be certain again goes on.
        self.s.views.is_rebuild_due = true;
        for member in places(self.s.others()) {
            self.mark_ready(member);
        }
        self.settle();
    }

    /// Is the node a member whose engine was not heard lately? Then it makes no grants as a master.
    pub(crate) fn is_suspect(&self) -> bool {
        self.s.now >= self.s.views.certainty.suspect_at && !crate::fault_on!(self, SUSPECT_GRANTS)
    }

    /// Has the node's life ended, so that it grants nothing?
    pub(crate) fn is_ended(&self) -> bool {
        self.s.views.life != Life::Alive
    }

    /// Ends the node's life if its time is over.
    pub(crate) fn end_if_due(&mut self) {
        let is_due = self.s.now >= self.s.views.certainty.fenced_at && !crate::fault_on!(self, LIVES_ON);
        if is_due && self.s.views.life == Life::Alive {
            self.begin_end();
        }
    }

    pub(crate) fn fence(&mut self, now: Instant) {
        self.see(now);
        if self.s.views.life == Life::Alive {
            self.begin_end();
        }
    }

    /// From now on the node grants nothing, decides nothing and says nothing; its owners lose their locks while events
    /// are polled.
    pub(super) fn begin_end(&mut self) {
        self.s.views.life = Life::Ending(Step::Locks(0));
        self.s.is_open = false;
        self.s.ready = 0;
        self.s.hurried = 0;
        self.s.stats.fenced += 1;
        self.end_early();
        self.end_transfers();
        while let Some(slot) = self.s.moved.head() {
            self.s.moved.remove(&mut self.slots, slot);
            self.slots[slot].moved_left = 0;
        }
        for slot in &mut *self.slots.0 {
            slot.master = NOBODY;
            slot.former = NOBODY;
            slot.heir = NOBODY;
            slot.course = Course::Still;
        }
    }

    /// Gives up some more, of `most` records at most; returns how many it looked at.
    pub(super) fn work_on_end(&mut self, most: u32) -> u32 {
        let Life::Ending(step) = self.s.views.life else { return 0 };
        let most = most.min(LOOKED_AT_A_STEP);
        let next = match step {
            Step::Locks(at) => self.end_locks(at as usize, most as usize),
            Step::Resources(at) => self.end_resources(at as usize, most as usize),
        };
        match next {
            Some(step) => self.s.views.life = Life::Ending(step),
            None => self.finish_end(),
        }
        most
    }

    fn end_locks(&mut self, first: usize, most: usize) -> Option<Step> {
        let end = self.locks.len().min(first + most);
        for at in first..end {
            let lock = &self.locks.0[at];
            if lock.resource.is_some() && lock.claim.held.is_some() {
                self.lose_lock(Idx::new(at));
            }
        }
        let is_over = end == self.locks.len();
        Some(if is_over { Step::Resources(0) } else { Step::Locks(u32::try_from(end).ok()?) })
    }

    /// An owner loses what it holds: it is told so once, and the lock has ended.
    fn lose_lock(&mut self, at: Idx<Lock>) {
        let resource = self.resource_of(at);
        self.end_loan(at);
        self.end_patience(at);
        let holding = &mut self.resources[resource].holding;
        holding.locks.leave(&mut self.locks, at);
        let lock = &mut self.locks[at];
        // A conversion that waited ends with it.
        self.s.stats.cancelled += u64::from(lock.claim.wanted.is_some());
        holding.watched -= u16::from(lock.watch(false));
        lock.claim.held = None;
        lock.claim.wanted = None;
        lock.claim.pinned = None;
        lock.news = News { end: Some(End::Lost), demanded: None };
        self.s.stats.locks_lost += 1;
        self.queue_event(at);
    }

    fn end_resources(&mut self, first: usize, most: usize) -> Option<Step> {
        let end = self.resources.len().min(first + most);
        for at in first..end {
            if self.resources.0[at].name_len == 0 {
                continue;
            }
            let at = Idx::new(at);
            self.clear_record(at);
            self.forget_value(at);
            let resource = &mut self.resources[at];
            resource.passage = Passage::None;
            resource.is_value_lost = false;
            if resource.is_used {
                self.forget_position(at);
            }
            self.drop_if_unused(at);
        }
        let is_over = end == self.resources.len();
        if is_over { None } else { Some(Step::Resources(u32::try_from(end).ok()?)) }
    }

    /// Nothing is left of this life but what waits.
    fn finish_end(&mut self) {
        let me = self.s.me;
        for member in 0..u8::try_from(self.peers.len()).expect("there are at most 64 members") {
            while let Some(at) = self.peer_relay(member) {
                self.put_relay(at);
            }
            let incarnation = self.peers[usize::from(member)].incarnation.filter(|_| member == me);
            *self.peer(member) = Peer { incarnation, ..Peer::VACANT };
        }
        for slot in &mut *self.slots.0 {
            assert!(!slot.moved.is_linked(), "no slot is looked at any more");
            let (resources, room) = (slot.resources.clone(), slot.room);
            *slot = Slot { master: NOBODY, resources, room, version: MapVersion::default(), ..Slot::VACANT };
        }
        self.floors.fill(Number(0));
        let view = View { epoch: self.s.epoch(), ..View::default() };
        self.s.views = Views { view, life: Life::Ended, ..Views::new(&self.s.config) };
        self.s.present = 0;
        // What was given up since had still something to say.
        self.s.ready = 0;
        self.s.hurried = 0;
    }

    pub(crate) fn rejoin(&mut self, now: Instant, incarnation: Incarnation) -> Result<(), RejoinError> {
        self.see(now);
        if self.s.views.life != Life::Ended {
            return Err(RejoinError::Alive);
        }
        if incarnation <= self.s.config.incarnation {
            return Err(RejoinError::Incarnation);
        }
        self.s.config.incarnation = incarnation;
        let me = self.s.me;
        self.peer(me).incarnation = Some(incarnation);
        self.s.views.life = Life::Alive;
        Ok(())
    }

    pub(crate) fn standing(&mut self, now: Instant) -> Standing {
        self.see(now);
        match self.s.views.life {
            Life::Ending(_) | Life::Ended => Standing::Fenced,
            Life::Alive if self.s.present == 0 => Standing::Outside,
            Life::Alive if self.is_suspect() => Standing::Suspect,
            Life::Alive => Standing::Member,
        }
    }
}
