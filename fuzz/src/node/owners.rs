//! What owners of the honest nodes do.

use core::time::Duration;

use lockmaster_core::{
    Cancelled, Conversion, ConvertError, Flags, NodeId, Priority, Request, RequestError, SlotRange,
    ValueWrite,
};

use super::ghost::GhostLock;
use super::{FRIEND, HONEST, LIARS, SUBJECT, Scene, place};
use crate::words::Words;

/// What makes it hard to say what an owner holds; left out where that is compared across nodes.
const LOOSE: Flags = Flags::DEMOTE_ON_DEADLOCK;

impl Scene<'_> {
    fn words<T>(&mut self, say: impl FnOnce(&mut Words<'_, '_>) -> T) -> T {
        let mut words = Words::new(self.choices.clone(), Some(&self.world));
        let said = say(&mut words);
        self.choices = words.choices;
        said
    }

    /// An owner of a node does something.
    pub(super) fn own(&mut self, node: NodeId) {
        match self.choices.below(10) {
            0..4 => self.ask(node),
            4 | 5 => self.change(node),
            6 | 7 => self.give_up(node),
            8 => self.cancel(node),
            _ => self.abandon_or_watch(node),
        }
        self.settle(node);
    }

    /// One of a node's locks, if there is one for which this holds.
    fn pick(&mut self, node: NodeId, fits: impl Fn(&GhostLock) -> bool) -> Option<usize> {
        let choice = usize::from(self.choices.byte());
        let locks = self.ghost.locks.iter().enumerate();
        let fitting: Vec<usize> =
            locks.filter(|(_, lock)| lock.node == node && fits(lock)).map(|(at, _)| at).collect();
        (!fitting.is_empty()).then(|| fitting[choice % fitting.len()])
    }

    /// The state before a call that may be refused, now and then: it takes long to find out.
    fn before(&mut self, node: NodeId) -> Option<u64> {
        self.choices.one_in(4).then(|| self.party(node).node.digest())
    }

    fn check_unchanged(&mut self, node: NodeId, before: Option<u64>) {
        if let Some(before) = before {
            assert_eq!(self.party(node).node.digest(), before, "L7: a refused call changes nothing");
        }
    }

    fn flags(&mut self, name: usize) -> Flags {
        let flags = self.words(|words| words.flags());
        if self.ghost.is_honest(name) { flags.without(LOOSE) } else { flags }
    }

    fn patience(&mut self) -> Option<Duration> {
        let choice = self.choices.byte();
        (choice >= 192).then(|| Duration::from_micros(1 << ((choice - 192) % 24)))
    }

    fn ask(&mut self, node: NodeId) {
        let names = if node == FRIEND { HONEST } else { self.world.names.len() };
        let name = self.choices.below(names);
        let mode = self.words(|words| words.mode());
        let flags = self.flags(name);
        let (patience, priority) = (self.patience(), Priority(self.choices.byte()));
        let owner = self.ghost.next_owner();
        let before = self.before(node);
        let now = self.now;
        let (space, bytes) = &self.world.names[name];
        let request = Request { space: *space, name: bytes, owner, mode, flags, priority, patience };
        let party = &mut self.honest[place(node)].node;
        let at_rest = owner.0.is_multiple_of(2).then(|| party.request_at_rest(now, &request)).flatten();
        match at_rest.map_or_else(|| party.request(now, &request), Ok) {
            Ok(asked) => {
                let lock = asked.lock;
                self.ghost.asked(GhostLock::new(node, lock, owner, name, mode, flags));
                if let Some(grant) = asked.grant {
                    self.ghost.granted(node, lock, &grant);
                }
            }
            // That it was busy may be found out by asking.
            Err(RequestError::Busy) => {}
            Err(RequestError::Full(_) | RequestError::Flags(_)) => self.check_unchanged(node, before),
            Err(refusal @ (RequestError::Name(_) | RequestError::UnknownSpace)) => {
                panic!("a sound request was refused: {refusal}")
            }
        }
    }

    fn write(&mut self) -> ValueWrite {
        match self.choices.below(4) {
            0 | 1 => ValueWrite::Keep,
            2 => ValueWrite::Set(self.words(|words| words.value())),
            _ => ValueWrite::Invalidate,
        }
    }

    fn change(&mut self, node: NodeId) {
        let Some(at) = self.pick(node, |lock| lock.wanted.is_none()) else { return };
        let (lock, name) = (self.ghost.locks[at].lock, self.ghost.locks[at].name);
        let mode = self.words(|words| words.mode());
        let conversion = Conversion { flags: self.flags(name), patience: self.patience() };
        let write = self.write();
        let before = self.before(node);
        let now = self.now;
        let converted = self.party(node).node.convert(now, lock, mode, conversion, write);
        let Ok(granted) = converted else {
            let is_busy = matches!(converted, Err(ConvertError::Busy | ConvertError::Deadlock));
            if !is_busy {
                self.check_unchanged(node, before);
            }
            return;
        };
        let ghost = &mut self.ghost.locks[at];
        (ghost.wanted, ghost.flags) = (Some(mode), conversion.flags);
        if let Some(grant) = granted {
            if grant.demoted {
                // Its demotion let others go first, and their events are still to come.
                while let Some(event) = self.party(node).node.poll_event() {
                    self.ghost.told(node, event);
                }
            }
            self.ghost.granted(node, lock, &grant);
        }
    }

    fn give_up(&mut self, node: NodeId) {
        let Some(at) = self.pick(node, |lock| lock.wanted.is_none()) else { return };
        let write = self.write();
        let lock = self.ghost.locks[at].lock;
        let goes_at_rest = write == ValueWrite::Keep && self.choices.below(2) == 0;
        let node = &mut self.party(node).node;
        if goes_at_rest && node.release_at_rest(lock) {
            // It is kept without an owner.
        } else if node.release(lock, write).is_err() {
            // It has no block to write.
            node.release(lock, ValueWrite::Keep).expect("a granted lock is released");
        }
        self.ghost.locks.remove(at);
    }

    fn cancel(&mut self, node: NodeId) {
        let Some(at) = self.pick(node, |_| true) else { return };
        let lock = self.ghost.locks[at].lock;
        let cancelled = self.party(node).node.cancel(lock).expect("a live lock is known");
        let held = self.party(node).node.held(lock);
        let ghost = &mut self.ghost.locks[at];
        let expected = match (ghost.wanted, ghost.held) {
            (None, _) => Cancelled::Nothing,
            (Some(_), None) => Cancelled::Request,
            (Some(_), Some(_)) => Cancelled::Conversion,
        };
        assert_eq!(cancelled, expected, "{ghost:?}");
        if cancelled == Cancelled::Request {
            self.ghost.locks.remove(at);
            return;
        }
        ghost.wanted = None;
        ghost.held = held.expect("a lock that is kept is known");
        assert!(ghost.held.is_some(), "a conversion keeps a mode");
    }

    fn abandon_or_watch(&mut self, node: NodeId) {
        let is_watched = self.choices.one_in(2);
        let Some(at) = self.pick(node, |_| true) else { return };
        let lock = self.ghost.locks[at].lock;
        if is_watched {
            self.ghost.locks[at].is_watched = true;
            let _ = self.party(node).node.watch(lock).expect("a live lock is known");
            return;
        }
        self.party(node).node.abandon(lock).expect("a live lock is known");
        assert!(self.party(node).node.held(lock).is_err(), "what was abandoned has ended");
        self.ghost.locks.remove(at);
    }

    // ---- slots ----

    /// An honest node gives slots away, to the other honest one if honest names are in them, or takes that back.
    pub(super) fn move_slots(&mut self) {
        let choice = self.choices.byte();
        let node = if choice % 4 == 3 { FRIEND } else { SUBJECT };
        let other = if node == FRIEND { SUBJECT } else { FRIEND };
        let now = self.now;
        if choice / 4 % 4 == 3 {
            let running = self.ghost.transfers.iter().rev().find(|(of, _)| *of == node).copied();
            if let Some((_, transfer)) = running {
                let _ = self.party(node).node.withdraw(now, transfer);
                self.settle(node);
            }
            return;
        }
        let range = self.words(|words| words.range());
        let is_honest = self.slots.iter().any(|slot| range.contains(*slot));
        let to = if is_honest || choice >= 128 { other } else { LIARS[usize::from(choice / 16 % 2)] };
        self.transfer(node, range, to);
    }

    pub(super) fn transfer(&mut self, node: NodeId, range: SlotRange, to: NodeId) {
        let before = self.before(node);
        let now = self.now;
        match self.party(node).node.transfer(now, range, to) {
            Ok(transfer) => {
                self.ghost.transfers.push((node, transfer));
                self.settle(node);
            }
            Err(_) => self.check_unchanged(node, before),
        }
    }
}
