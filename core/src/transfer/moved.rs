//! A slot that has come to another master: what this node says of its resources goes there (rules R8 and R9).

use crate::id::MapVersion;
use crate::machine::{Machine, Member};
use crate::record::{Chain, Course, Moved, NOBODY, Passage, Resource, Slot};
use crate::table::{Idx, Queue, Slab};

/// Resources that one step looks at; the rest follow.
const LOOKED_AT_A_STEP: u32 = 64;

/// Slots whose resources are to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct MovedSlots {
    /// Those that others wait for: slots that are to be rebuilt here, before they are reported, and slots that are open
    /// again. They come first.
    urgent: Queue<Slot, Moved>,
    others: Queue<Slot, Moved>,
}

impl MovedSlots {
    pub(crate) const NONE: Self = Self { urgent: Queue::EMPTY, others: Queue::EMPTY };

    pub(crate) fn is_empty(&self) -> bool {
        self.head().is_none()
    }

    /// Does anybody wait for one of them?
    pub(crate) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    pub(crate) fn head(&self) -> Option<Idx<Slot>> {
        self.urgent.head().or(self.others.head())
    }

    /// Enters a slot, or brings it among those that come first.
    pub(crate) fn enter(&mut self, slots: &mut Slab<'_, Slot>, at: Idx<Slot>, is_urgent: bool) {
        let is_linked = slots[at].moved.is_linked();
        if is_linked && (slots[at].is_urgent || !is_urgent) {
            return;
        }
        if is_linked {
            self.others.remove(slots, at);
        }
        slots[at].is_urgent = is_urgent;
        if is_urgent { self.urgent.push_back(slots, at) } else { self.others.push_back(slots, at) }
    }

    pub(crate) fn remove(&mut self, slots: &mut Slab<'_, Slot>, at: Idx<Slot>) {
        if slots[at].is_urgent { self.urgent.remove(slots, at) } else { self.others.remove(slots, at) }
    }

    /// All of them, in order.
    pub(crate) fn iter(&self, slots: &Slab<'_, Slot>) -> impl Iterator<Item = Idx<Slot>> {
        [self.urgent.head(), self.others.head()]
            .into_iter()
            .flat_map(|head| core::iter::successors(head, |at| Queue::<_, Moved>::next(slots, *at)))
    }
}

impl Machine<'_> {
    /// The map has another master for a slot; so many of its resources, the first of its chain, are to be looked at.
    pub(crate) fn remap(&mut self, slot: u32, master: Member, version: MapVersion, resources: u32) {
        let entry = self.slot_mut(slot);
        entry.former = entry.master;
        entry.master = master;
        entry.version = version;
        entry.heir = NOBODY;
        let was_reporting = entry.course == Course::Reporting;
        if was_reporting {
            // Who gives a slot away decides about it: nobody waits for its reports any more.
            entry.course = Course::Still;
        }
        entry.moved_left = resources;
        if resources > 0 {
            self.s.moved.enter(&mut self.slots, Idx::new(slot as usize), false);
        }
        if was_reporting {
            self.unmark_open();
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
        self.follow_moved();
        for looked_at in 0..most {
            let slot = &mut self.slots[at];
            let head = slot.resources.head().filter(|_| slot.moved_left > 0);
            let Some(resource) = head else {
                // Some may have gone by themselves.
                slot.moved_left = 0;
                self.s.followed = self.s.followed.saturating_sub(1);
                self.s.moved.remove(&mut self.slots, at);
                self.mark_outgoing_ready();
                self.slot_is_clean(at.to_u32());
                if !self.s.moved.is_urgent() {
                    self.reports_may_come();
                }
                return looked_at + 1;
            };
            slot.moved_left -= 1;
            Queue::<_, Chain>::remove(&mut slot.resources, &mut self.resources, resource);
            Queue::<_, Chain>::push_back(&mut slot.resources, &mut self.resources, resource);
            if !is_coming {
                self.look_at_moved(resource);
            }
            self.route_anew(resource);
            self.settle();
            self.drop_if_unused(resource);
        }
        most
    }

    /// Brings what is on record of a resource in line with who is the master of its slot now.
    fn look_at_moved(&mut self, at: Idx<Resource>) {
        // Those who have departed go out of it, and it takes part from now on.
        if self.resources[at].passage == Passage::Rebuilt {
            self.purge(at);
        }
        if !self.is_marked(at) {
            self.resources[at].passage = Passage::None;
        }
        if !self.has_begun_early(at) {
            self.forget_if_lost(at);
        }
    }

    /// What is on record of a resource whose slot this node has lost is of no use.
    pub(crate) fn forget_if_lost(&mut self, at: Idx<Resource>) {
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
        if resource.is_to_be_said() || resource.is_waiting() {
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
