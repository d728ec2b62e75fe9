//! What a view does to transfers: those without their other end stop, the others go on (rule W4).

use super::places as entries;
use crate::id::{SlotId, SlotRange};
use crate::machine::{Machine, Member, places};
use crate::record::Course;

impl Machine<'_> {
    /// Members depart: what was given to them, or taken from them, ends where it is. Slots in between are nobody's, which
    /// their masters' departure says.
    pub(crate) fn cut_transfers(&mut self, departing: u64) {
        for place in entries(self.s.transfers.giving) {
            if departing >> self.s.transfers.outgoing[place].to() & 1 == 1 {
                self.cut_outgoing(place);
            } else {
                self.forget_in_outgoing(place, departing);
            }
        }
        for place in entries(self.s.transfers.taking) {
            if departing >> self.s.transfers.incoming[place].from() & 1 == 1 {
                self.cut_incoming(place);
            } else {
                self.s.transfers.incoming[place].forget(departing);
            }
        }
    }

    /// New members hear of the transfers that are under way.
    pub(crate) fn tell_joined_of_transfers(&mut self, joined: u64) {
        for place in entries(self.s.transfers.giving) {
            self.s.transfers.outgoing[place].tell_joined(joined);
        }
        for place in entries(self.s.transfers.taking) {
            self.s.transfers.incoming[place].tell_joined(joined);
        }
        for member in places(joined) {
            self.mark_ready(member);
        }
    }

    /// The node's life is over, and so is everything that it gave or took.
    pub(crate) fn end_transfers(&mut self) {
        for place in entries(self.s.transfers.giving) {
            self.cut_outgoing(place);
        }
        for place in entries(self.s.transfers.taking) {
            self.cut_incoming(place);
        }
    }

    fn cut_outgoing(&mut self, place: usize) {
        let Some(range) = self.s.transfers.outgoing[place].cut() else { return };
        self.s.transfers.packed &= !(1 << place);
        self.end_giving(range, place);
        if self.s.transfers.outgoing[place].is_told() {
            self.vacate_if_told(place);
        } else {
            self.tell_stage(place);
        }
    }

    fn cut_incoming(&mut self, place: usize) {
        self.give_room_back(place);
        let range = self.s.transfers.incoming[place].range();
        self.end_taking(range, place);
        self.vacate_incoming(place);
    }

    /// A transfer that this node gives has nothing to do with its slots any more. Some of them may be in another one
    /// since, or may have been lost with whoever had them next, and are reported or rebuilt.
    pub(super) fn end_giving(&mut self, range: SlotRange, place: usize) {
        let place = u8::try_from(place).expect("transfers are few");
        self.end_courses(
            range,
            |course| matches!(course, Course::Outgoing(at) | Course::Packing(at) if at == place),
        );
    }

    /// The same of one that this node takes.
    pub(super) fn end_taking(&mut self, range: SlotRange, place: usize) {
        let place = u8::try_from(place).expect("transfers are few");
        self.end_courses(range, |course| matches!(course, Course::Incoming(at) if at == place));
    }

    /// Nothing happens any more to those of some slots to which this happens.
    fn end_courses(&mut self, range: SlotRange, is_it: impl Fn(Course) -> bool) {
        for SlotId(slot) in range.slots() {
            let entry = self.slot_mut(slot);
            if is_it(entry.course) {
                entry.course = Course::Still;
            }
        }
    }

    // ---- getters ----

    /// Transfers that this node gives and that have not ended.
    pub(crate) fn transfers_given(&self) -> usize {
        entries(self.s.transfers.giving).filter(|place| !self.s.transfers.outgoing[*place].is_over()).count()
    }

    /// Who is to have the slots of a transfer that this node gives.
    pub(crate) fn transfer_to(&self, place: u8) -> Member {
        self.s.transfers.outgoing[usize::from(place)].to()
    }
}
