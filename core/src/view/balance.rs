//! Spreads slots over members: those that nobody has, and those that one has too many of (rule W9).

use heapless::Vec;

use super::Machine;
use crate::id::{MEMBERS_MAX, NodeId, SlotId, SlotRange};
use crate::machine::{Member, places};
use crate::record::{Course, NOBODY};
use crate::time::Instant;

/// Retained locks that one call gives up.
const RELEASED_A_CALL: usize = 64;

/// A member with the number of its slots, and of those that it is to have.
#[derive(Clone, Copy, Debug)]
struct Share {
    member: Member,
    node: NodeId,
    has: u32,
    due: u32,
}

/// The members of a view by their numbers, so that all nodes come to the same plan.
type Shares = Vec<Share, MEMBERS_MAX>;

impl Machine<'_> {
    /// Members that may be given slots, or all if none may.
    fn eligible(&self) -> u64 {
        let is_eligible = |place: &Member| self.is_eligible(self.node_at(*place));
        let eligible = places(self.s.present).filter(is_eligible).fold(0, |bits, place| bits | 1 << place);
        if eligible == 0 { self.s.present } else { eligible }
    }

    /// May this node be given slots? If every member is about to leave, all may.
    pub(crate) fn may_be_given_slots(&self) -> bool {
        self.eligible() >> self.s.me & 1 == 1
    }

    /// How many of a space's slots each member has.
    fn shares_of(&self, range: SlotRange, is_counted: impl Fn(u32) -> bool) -> Shares {
        let mut shares = Shares::new();
        for member in places(self.s.present) {
            let share = Share { member, node: self.node_at(member), has: 0, due: 0 };
            shares.push(share).expect("there are at most 64 members");
        }
        shares.sort_unstable_by_key(|share| share.node);
        for SlotId(slot) in range.slots().filter(|slot| is_counted(slot.0)) {
            let master = self.slot(slot).master;
            if let Some(share) = shares.iter_mut().find(|share| share.member == master) {
                share.has += 1;
            }
        }
        shares
    }

    /// Free records of a member, as far as is known; what a newcomer has not said is taken to be as much as the most.
    fn weight_of(&self, member: Member) -> u64 {
        let known = |member: Member| {
            if self.is_me(member) {
                return Some(self.free_room().resources);
            }
            let agreeing = &self.peers[usize::from(member)].agreeing;
            agreeing.was_heard().then_some(agreeing.room.resources)
        };
        let most = || places(self.s.present).filter_map(known).max();
        u64::from(known(member).or_else(most).unwrap_or(1)) + 1
    }

    // ---- slots without a master ----

    /// The coordinator gives every slot that nobody can decide about to a member, by room.
    pub(super) fn assign_orphans(&mut self) {
        for space in self.spaces() {
            let range = self.s.slots(space).expect("a configured space has slots");
            let mut shares = self.shares_of(range, |slot| self.is_kept(slot));
            self.set_dues(&mut shares, range.len);
            for SlotId(slot) in range.slots() {
                if self.is_kept(slot) {
                    continue;
                }
                let to = shares.iter_mut().find(|share| share.has < share.due);
                let to = to.expect("the dues are as many as the slots");
                to.has += 1;
                let to = to.member;
                self.give_orphan(slot, to);
            }
        }
    }

    fn is_kept(&self, slot: u32) -> bool {
        let entry = self.slot(slot);
        if crate::fault_on!(self, ORPHANS_BY_MAP) {
            return entry.master != NOBODY;
        }
        entry.is_kept
    }

    /// What each eligible member is to have of so many slots: shares by room, the rest to the lowest numbers.
    fn set_dues(&self, shares: &mut Shares, slots: u32) {
        let eligible = self.eligible();
        let is_eligible = |share: &Share| eligible >> share.member & 1 == 1;
        let whole: u64 =
            shares.iter().filter(|share| is_eligible(share)).map(|share| self.weight_of(share.member)).sum();
        let mut left = slots;
        for share in shares.iter_mut().filter(|share| is_eligible(share)) {
            let due = u64::from(slots) * self.weight_of(share.member) / whole;
            share.due = u32::try_from(due).expect("a share is not more than the whole").min(left);
            left -= share.due;
        }
        while left > 0 {
            for share in shares.iter_mut().filter(|share| is_eligible(share)) {
                share.due += u32::from(left > 0);
                left = left.saturating_sub(1);
            }
        }
    }

    // ---- balance ----

    /// Begins transfers that bring the map nearer to balance, or empty a node that leaves; gives the number of those
    /// under way.
    pub(crate) fn balance(&mut self, now: Instant, most: usize) -> usize {
        self.see(now);
        let mut count = self.transfers_given();
        if self.s.config.is_static() || !self.s.is_open || !self.is_agreed() {
            return count;
        }
        while count < most {
            let Some((range, to)) = self.next_move() else { break };
            if self.transfer(now, range, to).is_err() {
                break;
            }
            count = self.transfers_given();
        }
        count
    }

    /// The next run of slots that this node has too many of, and who has too few. All nodes reckon alike, so that no two
    /// give to the same gap; as few slots move as can.
    fn next_move(&self) -> Option<(SlotRange, NodeId)> {
        self.spaces().find_map(|space| self.next_move_in(self.s.slots(space)?))
    }

    fn next_move_in(&self, range: SlotRange) -> Option<(SlotRange, NodeId)> {
        // A slot on its way counts for whom it goes to.
        let mut shares = self.shares_of(range, |_| true);
        for SlotId(slot) in range.slots() {
            let entry = self.slot(slot);
            let to = self.goes_to(slot);
            if to == NOBODY || to == entry.master {
                continue;
            }
            for share in &mut shares {
                share.has += u32::from(share.member == to);
                share.has -= u32::from(share.member == entry.master);
            }
        }
        self.set_even_dues(&mut shares, range.len);
        let mut gaps = shares.iter().filter(|share| share.has < share.due);
        let mut gap = gaps.next().map(|share| (share.node, share.due - share.has))?;
        for share in &shares {
            let mut spare = share.has.saturating_sub(share.due);
            while spare > 0 {
                let size = spare.min(gap.1);
                if self.is_me(share.member) {
                    return Some((self.run_to_give(range, size)?, gap.0));
                }
                spare -= size;
                gap.1 -= size;
                if gap.1 == 0 {
                    gap = gaps.next().map(|share| (share.node, share.due - share.has))?;
                }
            }
        }
        None
    }

    /// Who will be a slot's master once what is under way has ended, as far as this node knows.
    fn goes_to(&self, slot: u32) -> Member {
        let entry = self.slot(slot);
        match entry.course {
            Course::Outgoing(place) | Course::Packing(place) => self.transfer_to(place),
            Course::Incoming(_) => self.s.me,
            Course::Still | Course::Reporting | Course::Rebuilding => entry.heir,
        }
    }

    /// Equal shares of the eligible; those that have more already get what does not divide.
    fn set_even_dues(&self, shares: &mut Shares, slots: u32) {
        let eligible = self.eligible();
        let is_eligible = |share: &Share| eligible >> share.member & 1 == 1;
        let count = eligible.count_ones();
        let (each, mut rest) = (slots / count, slots % count);
        for share in shares.iter_mut().filter(|share| is_eligible(share)) {
            share.due = each;
        }
        for is_rich in [true, false] {
            for share in shares.iter_mut().filter(|share| is_eligible(share) && share.due == each) {
                if rest > 0 && (share.has > each) == is_rich {
                    share.due += 1;
                    rest -= 1;
                }
            }
        }
    }

    /// The last run of at most so many slots that this node masters and that nothing happens to.
    fn run_to_give(&self, range: SlotRange, most: u32) -> Option<SlotRange> {
        let is_free = |slot: u32| {
            let entry = self.slot(slot);
            self.is_me(entry.master) && entry.course == Course::Still
        };
        let end = range.slots().map(|slot| slot.0).filter(|slot| is_free(*slot)).last()? + 1;
        let mut first = end - 1;
        while end - first < most && first > range.first.0 && is_free(first - 1) {
            first -= 1;
        }
        Some(SlotRange { first: SlotId(first), len: end - first })
    }

    // ---- what a node that leaves waits for ----

    /// Does this node master nothing, and give nothing away any more?
    pub(crate) fn is_drained(&self) -> bool {
        self.is_agreed()
            && self.transfers_given() == 0
            && self.slots.0.iter().all(|slot| !self.is_me(slot.master) && slot.course == Course::Still)
    }

    /// Is the map of the view agreed on here, and nothing being rebuilt? Looks on from where it ended the last time.
    pub(crate) fn is_settled(&mut self) -> bool {
        if !self.s.is_open || !self.is_agreed() {
            return false;
        }
        let all = self.slot_count();
        let is_closed =
            |slot: &u32| matches!(self.slot(*slot).course, Course::Reporting | Course::Rebuilding);
        let closed = (self.s.views.first_closed..all).find(is_closed);
        self.s.views.first_closed = closed.unwrap_or(all);
        closed.is_none()
    }

    /// Gives up some locks that are merely retained; says whether none is left.
    pub(crate) fn release_retained(&mut self, now: Instant) -> bool {
        self.see(now);
        for _ in 0..RELEASED_A_CALL {
            if !self.shed_one() {
                break;
            }
        }
        self.settle();
        self.s.idle.iter().all(|idle| idle.count == 0)
    }
}
