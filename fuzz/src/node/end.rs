//! In the end the liars are silent, and what only the honest ones use can be had.

use core::time::Duration;

use lockmaster_core::{Flags, Instant, Mode, NodeId, OwnerId, Priority, Request, RequestError, ValueWrite};

use super::ghost::GhostLock;
use super::laws::Count;
use super::{FRIEND, HONEST, Party, ROOMY, SUBJECT, Scene, place};

/// What is asked for, so that nobody else may hold anything.
const MODE: Mode = Mode::Exclusive;
/// Things that may happen until somebody who asks alone has an answer.
const STEPS_MAX: usize = 5000;

impl Scene<'_> {
    /// Everybody gives up everything; then each of the honest ones asks for each honest name, alone.
    pub(super) fn end(&mut self) {
        for node in [SUBJECT, FRIEND] {
            self.end_of_owners(node);
        }
        let party = self.party(SUBJECT);
        party.clogged.fill(false);
        self.settle(SUBJECT);
        if !self.party(SUBJECT).connected[place(FRIEND)] {
            self.meet(SUBJECT, FRIEND);
        }
        self.go_on_for(Duration::from_secs(12));
        for name in 0..HONEST {
            for node in [SUBJECT, FRIEND] {
                self.use_alone(node, name);
            }
        }
    }

    pub(super) fn end_of_owners(&mut self, node: NodeId) {
        while let Some(at) = self.ghost.locks.iter().position(|lock| lock.node == node) {
            let lock = self.ghost.locks.remove(at);
            let party = &mut self.party(node).node;
            if lock.wanted.is_some() {
                party.abandon(lock.lock).expect("a live lock is known");
            } else {
                party.release(lock.lock, ValueWrite::Keep).expect("a granted lock is released");
            }
            self.settle(node);
        }
    }

    /// Everything between the honest ones arrives, and timers fire, for so long.
    fn go_on_for(&mut self, span: Duration) {
        let end = self.now.after(span);
        for _ in 0..STEPS_MAX {
            if !self.under_way.is_empty() {
                self.arrive(1);
                continue;
            }
            if !self.is_due_by(end) {
                return;
            }
            self.wait_for_deadline();
        }
        panic!("no rest within {STEPS_MAX} steps");
    }

    fn is_due_by(&mut self, end: Instant) -> bool {
        let is_due = |party: &Party| party.node.poll_timeout().is_some_and(|until| until <= end);
        self.honest.iter().any(is_due)
    }

    pub(super) fn use_alone(&mut self, node: NodeId, name: usize) {
        let owner = self.ghost.next_owner();
        let Some(at) = self.ask_alone(node, name, owner) else { return };
        for _ in 0..STEPS_MAX {
            let Some(ghost) = self.ghost.locks.get(at) else {
                // It was denied, for want of room.
                assert!(self.is_tight(), "node {node} was denied name {name}, and there is room");
                return;
            };
            if ghost.wanted.is_none() {
                self.end_of_owners(node);
                return;
            }
            if self.under_way.is_empty() {
                assert!(self.wait_for_deadline(), "node {node} waits for name {name} for ever");
            } else {
                self.arrive(1);
            }
        }
        panic!("node {node} waits for name {name}, which nobody uses");
    }

    fn ask_alone(&mut self, node: NodeId, name: usize, owner: OwnerId) -> Option<usize> {
        let now = self.now;
        let (space, bytes) = &self.world.names[name];
        let (flags, priority) = (Flags::NONE, Priority(0));
        let request =
            Request { space: *space, name: bytes, owner, mode: MODE, flags, priority, patience: None };
        let asked = match self.honest[place(node)].node.request(now, &request) {
            Ok(asked) => asked,
            Err(RequestError::Full(full)) => {
                assert!(self.is_tight(), "{full}, and there is room");
                self.settle(node);
                return None;
            }
            Err(refusal) => panic!("a sound request was refused: {refusal}"),
        };
        let lock = asked.lock;
        self.ghost.asked(GhostLock::new(node, lock, owner, name, MODE, flags));
        if let Some(grant) = asked.grant {
            self.ghost.granted(node, lock, &grant);
        }
        self.settle(node);
        Some(self.ghost.locks.len() - 1)
    }

    /// May there be no room? Liars may have filled the subject's tables; and while slots move, only so much is kept free
    /// for them (R11).
    fn is_tight(&mut self) -> bool {
        let few = ROOMY / 4;
        let is_small = self.party(SUBJECT).limits.resources < ROOMY;
        is_small
            || self.honest.iter_mut().any(|party| {
                let count = Count::of(party);
                let mut slots = party.node.all_slots().slots();
                count.resources > few
                    || count.physical > few
                    || slots.any(|slot| party.node.slot(slot).is_some_and(|view| view.is_moving))
            })
    }
}
