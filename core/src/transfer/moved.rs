//! A slot that has come to another master: what this node says of its resources goes there (rules R8 and R9).

use crate::id::MapVersion;
use crate::machine::{Machine, Member};
use crate::record::{Chain, Course, Moved, NOBODY, Passage, Resource};
use crate::table::{Idx, Queue};

/// Resources that one step looks at; the rest follow.
const LOOKED_AT_A_STEP: u32 = 64;

impl Machine<'_> {
    /// The map has another master for a slot; so many of its resources, the first of its chain, are to be looked at.
    pub(crate) fn remap(&mut self, slot: u32, master: Member, version: MapVersion, resources: u32) {
        let entry = self.slot_mut(slot);
        entry.former = entry.master;
        entry.master = master;
        entry.version = version;
        entry.heir = NOBODY;
        if entry.course == Course::Reporting {
            // Who gives a slot away decides about it: nobody waits for its reports any more.
            entry.course = Course::Still;
        }
        entry.moved_left = resources;
        if entry.moved_left > 0 && !entry.moved.is_linked() {
            let at = Idx::new(slot as usize);
            Queue::<_, Moved>::push_back(&mut self.s.moved, &mut self.slots, at);
        }
    }

    /// Looks at some resources of a slot that has moved; returns at how many. Each goes to the end of its chain, so that
    /// none is looked at twice, and those that come meanwhile know their master.
    pub(super) fn work_on_moved(&mut self, most: u32) -> u32 {
        // What is looked at may be granted, which a suspect does not do.
        let Some(at) = self.s.moved.head().filter(|_| !self.is_suspect()) else { return 0 };
        let me = self.s.me;
        let slot = &self.slots[at];
        // It may be on its way here already, again: then its records are in the middle of something.
        let is_coming = matches!(slot.course, Course::Incoming(_)) && slot.master != me;
        if is_coming {
            self.note_mixed(at.to_u32());
        }
        let most = most.min(LOOKED_AT_A_STEP);
        for looked_at in 0..most {
            let slot = &mut self.slots[at];
            let head = slot.resources.head().filter(|_| slot.moved_left > 0);
            let Some(resource) = head else {
                // Some may have gone by themselves.
                slot.moved_left = 0;
                self.s.moved.remove(&mut self.slots, at);
                self.mark_outgoing_ready();
                self.slot_is_clean(at.to_u32());
                return looked_at + 1;
            };
            slot.moved_left -= 1;
            Queue::<_, Chain>::remove(&mut slot.resources, &mut self.resources, resource);
            Queue::<_, Chain>::push_back(&mut slot.resources, &mut self.resources, resource);
            let is_rebuilt = !is_coming && self.resources[resource].passage == Passage::Rebuilt;
            if !is_coming {
                self.resources[resource].passage = Passage::None;
                self.forget_if_lost(resource);
            }
            if is_rebuilt && self.is_master(resource) {
                self.open_rebuilt(resource);
            }
            self.route_anew(resource);
            self.settle();
            self.drop_if_unused(resource);
        }
        most
    }

    /// What is on record of a resource whose slot this node has lost is of no use.
    fn forget_if_lost(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        let is_mastered = !resource.mastery.queues.is_empty() || resource.mastery.value.is_some();
        let slot = self.slot(resource.slot);
        // A rebuild begins with nothing, also where this node was the master before.
        if is_mastered && (!self.is_me(slot.master) || slot.course == Course::Rebuilding) {
            self.clear_record(at);
            self.forget_value(at);
        }
        if !self.is_master(at) {
            self.resources[at].is_value_lost = false;
        }
    }

    /// What waits for an answer is said to whoever decides now, under its number (rule R9).
    pub(crate) fn route_anew(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        if resource.outbox.is_linked() || resource.is_waiting() {
            self.unlink_position(at);
            self.link_position(at);
        }
    }

    /// A slot that was not to be packed yet may be now.
    fn mark_outgoing_ready(&mut self) {
        for place in super::places(self.s.transfers.giving) {
            let to = self.s.transfers.outgoing[place].to();
            self.mark_ready(to);
        }
    }
}
