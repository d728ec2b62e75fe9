//! Room for what is held: what is merely wanted gives way to it (rule W14).

use super::purge::{LOOKED_AT_A_STEP, cost_of};
use super::{Life, Machine};
use crate::error::Full;
use crate::record::{Course, Physical, Resource};
use crate::table::Idx;
use crate::wire::DenyReason;

/// How far a search for room has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clearing {
    /// Of this, one record more is needed.
    kind: Full,
    /// The next resource to look at.
    at: u32,
    /// The slots that are closed gave nothing: now this node's owners give up what they wait for in any slot.
    is_wide: bool,
}

impl Machine<'_> {
    /// What is held somewhere found no room here: what is merely wanted is given up until it does.
    pub(super) fn begin_clearing(&mut self, kind: Full) {
        if self.s.views.clearing.is_none() {
            self.s.views.clearing = Some(Clearing { kind, at: 0, is_wide: false });
        }
    }

    /// Gives up some of what is merely wanted, until there is room, of `most` resources at most; returns of how many.
    pub(super) fn work_on_clearing(&mut self, most: u32) -> u32 {
        let Some(mut clearing) = self.s.views.clearing else { return 0 };
        if self.s.views.life != Life::Alive || self.is_suspect() {
            return 0;
        }
        let first = clearing.at as usize;
        let end = self.resources.len().min(first + LOOKED_AT_A_STEP);
        let mut given_up = 0;
        while (clearing.at as usize) < end && given_up < most && !self.has_room_of(clearing.kind) {
            given_up += u32::from(self.clear(Idx::new(clearing.at as usize), clearing.is_wide));
            clearing.at += 1;
        }
        let cost = given_up + cost_of(clearing.at as usize - first);
        let is_at_end = clearing.at as usize == self.resources.len();
        self.s.views.clearing = match clearing {
            _ if self.has_room_of(clearing.kind) => None,
            Clearing { is_wide: true, .. } if is_at_end => None,
            Clearing { kind, .. } if is_at_end => Some(Clearing { kind, at: 0, is_wide: true }),
            _ => Some(clearing),
        };
        cost
    }

    fn has_room_of(&self, kind: Full) -> bool {
        self.free_room().of(kind) > self.s.transfers.reserved.of(kind)
    }

    /// Gives up what is merely wanted of a resource; says whether anything may be.
    fn clear(&mut self, at: Idx<Resource>, is_wide: bool) -> bool {
        let resource = &self.resources[at];
        if resource.name_len == 0 {
            return false;
        }
        let slot = self.slot(resource.slot);
        let is_closed =
            self.is_me(slot.master) && slot.course == Course::Rebuilding && !slot.moved.is_linked();
        // Elsewhere only what has a record for nothing but a wish.
        let is_held = resource.is_used && resource.holding.locks.need().is_some();
        if !is_closed && (!is_wide || is_held) {
            return false;
        }
        if is_closed {
            let merely_wants = |record: &Physical| record.claim.held.is_none();
            while let Some(lock) = self.resources[at].mastery.queues.find(&self.physical, merely_wants) {
                self.deny(at, lock, DenyReason::Full);
            }
            if self.is_master(at) {
                // It was open before its slot: who stood behind is granted.
                self.pass(at);
            }
        }
        self.give_up_for_room(at);
        if is_closed {
            self.end_mark_of_nothing(at);
        }
        if is_closed && !self.is_reported(at) && !self.resources[at].is_waiting() {
            // What this node would say to itself once the slot is open is no news to it.
            self.unlink_position(at);
            self.drop_if_unused(at);
        }
        true
    }
}
