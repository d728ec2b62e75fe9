//! A node that leaves says that it has nothing any more (rule W20).
//!
//! Its last releases may be lost, or be overtaken by a view, and nobody can ask it about them once it is gone. What it has
//! said here is remembered until then, so that none of them is taken for the lock of a writer that has died.

use crate::id::Number;
use crate::machine::{Machine, Member, places};
use crate::peer::Push;
use crate::record::Physical;
use crate::table::Idx;
use crate::time::Instant;
use crate::wire::{FrameWriter, ViewMessage};

/// What this node and a peer have said to each other about having nothing any more.
#[derive(Clone, Debug)]
pub(crate) struct Parting {
    /// The peer had nothing any more when this was the last number that it had given to a position.
    until: Number,
    is_answer_due: bool,
    /// The peer has heard the same of this node, under this number.
    heard: Number,
    is_due: bool,
    /// When it is said again.
    repeat_at: Instant,
}

impl Parting {
    pub(crate) const NONE: Self = Self {
        until: Number(0),
        is_answer_due: false,
        heard: Number(0),
        is_due: false,
        repeat_at: Instant::NEVER,
    };

    pub(crate) const fn repeat_at(&self) -> Instant {
        self.repeat_at
    }

    #[cfg(feature = "check")]
    pub(crate) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        feed.put(&(self.until, self.is_answer_due, self.heard, self.is_due));
        feed.put_until(self.repeat_at);
    }
}

impl Machine<'_> {
    /// Says to all members that this node has nothing any more, if that is so, and gives those that have not acknowledged
    /// it.
    pub(crate) fn part(&mut self, now: Instant) -> Option<u64> {
        self.see(now);
        if (self.free_room().resources as usize) < self.resources.0.len() {
            return None;
        }
        if self.s.config.is_static() {
            return Some(0);
        }
        if !core::mem::replace(&mut self.s.has_parted, true) {
            // It stays true of this number, whatever the node asks for afterwards.
            self.s.parted = self.s.last_number();
        }
        let mut unheard = 0;
        for member in places(self.s.others()) {
            if !self.is_parting_unheard(member) {
                continue;
            }
            unheard |= 1 << member;
            let parting = &mut self.peer(member).parting;
            if parting.repeat_at == Instant::NEVER {
                parting.is_due = true;
                self.mark_ready(member);
            }
        }
        Some(unheard)
    }

    fn is_parting_unheard(&self, member: Member) -> bool {
        self.peers[usize::from(member)].parting.heard < self.s.parted
    }

    pub(super) fn handle_parting(&mut self, from: Member, until: Number) -> bool {
        let parting = &mut self.peer(from).parting;
        parting.until = parting.until.max(until);
        parting.is_answer_due = true;
        self.mark_ready(from);
        true
    }

    pub(super) fn handle_parted(&mut self, from: Member, until: Number) -> bool {
        let parting = &mut self.peer(from).parting;
        parting.heard = parting.heard.max(until);
        if parting.repeat_at != Instant::NEVER {
            self.repeat_parting(from);
        }
        true
    }

    /// Is this the lock of a node that has given it up, and has said so since?
    pub(crate) fn is_given_up(&self, at: Idx<Physical>) -> bool {
        let record = &self.physical[at];
        record.number <= self.peers[usize::from(record.member)].parting.until
    }

    pub(super) fn has_parting_output(&self, member: Member) -> bool {
        let parting = &self.peers[usize::from(member)].parting;
        (parting.is_due || parting.is_answer_due) && self.is_met(member)
    }

    pub(super) fn write_parting(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let repeat_at = self.s.now.after(self.s.config.repeat_after);
        let parted = self.s.parted;
        let parting = &self.peers[usize::from(member)].parting;
        let is_answer = parting.is_answer_due;
        let message =
            if is_answer { ViewMessage::Parted(parting.until) } else { ViewMessage::Parting(parted) };
        if !writer.push_view(&message) {
            return Push::Full;
        }
        let parting = &mut self.peer(member).parting;
        if is_answer {
            parting.is_answer_due = false;
        } else {
            parting.is_due = false;
            parting.repeat_at = repeat_at;
            self.note_deadline(repeat_at);
        }
        Push::Said
    }

    /// Says it again, if it was not heard.
    pub(super) fn repeat_parting(&mut self, member: Member) {
        let is_unheard = self.is_parting_unheard(member);
        let parting = &mut self.peer(member).parting;
        parting.repeat_at = Instant::NEVER;
        parting.is_due = is_unheard;
        self.mark_ready(member);
    }
}
