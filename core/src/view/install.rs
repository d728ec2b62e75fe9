//! A view comes: who has departed is no member any more, what that leaves without a master is nobody's, and what this
//! node can say of each slot is written down (rules W1 to W4).

use super::{Agreeing, Claimed, Hearing, Life, Reporting, View, ViewError, ViewMember};
use crate::id::{Epoch, NodeId};
use crate::machine::{Machine, Member, places};
use crate::record::{Course, NOBODY, Peer};
use crate::time::Instant;

impl Machine<'_> {
    pub(crate) fn handle_view(&mut self, now: Instant, view: &View) -> Result<(), ViewError> {
        if self.s.config.is_static() {
            return Err(ViewError::Static);
        }
        self.see(now);
        if self.s.views.life != Life::Alive {
            return Err(ViewError::Fenced);
        }
        if view.epoch <= self.s.epoch() {
            return Err(ViewError::Old);
        }
        if !view.is_sound() || !view.is_sound_after(&self.s.views.view) {
            return Err(ViewError::Unsound);
        }
        let (node, incarnation) = (self.s.config.node, self.s.config.incarnation);
        if view.member(node).is_none_or(|me| me.incarnation != incarnation) {
            // One that is not a member yet may hear of others before.
            if self.s.present != 0 {
                self.begin_end();
            }
            return Ok(());
        }
        // Who joins with this view can wait for a place until those that depart are forgotten; the others must be heard.
        let is_new = |member: &&ViewMember| member.node != node && self.place_of(member).is_none();
        let unknown = view.members.iter().filter(|member| member.joined < view.epoch).filter(is_new).count();
        let departing = places(self.s.others()).filter(|place| !self.is_in(view, *place)).count();
        let free = self.free_places().count();
        // A suspect grants nothing, so it forgets nobody either.
        if view.members.len() > self.peers.len() || free < unknown && self.is_suspect() {
            return Err(ViewError::Places);
        }
        if free + departing < unknown {
            self.finish_purge();
        }
        self.install_view(view);
        Ok(())
    }

    /// The place of exactly this life of a node.
    fn place_of(&self, member: &ViewMember) -> Option<Member> {
        let is_it = |place: &Member| {
            self.node_at(*place) == member.node
                && self.peers[usize::from(*place)].incarnation == Some(member.incarnation)
        };
        places(self.s.present).find(is_it)
    }

    fn is_in(&self, view: &View, place: Member) -> bool {
        view.members.iter().any(|member| self.place_of(member) == Some(place))
    }

    fn free_places(&self) -> impl Iterator<Item = Member> + use<> {
        let taken = self.s.present | self.s.views.departed | 1 << self.s.me;
        let places = u8::try_from(self.peers.len()).expect("there are at most 64 members");
        (0..places).filter(move |place| taken >> place & 1 == 0)
    }

    fn install_view(&mut self, view: &View) {
        let mut staying = 1 << self.s.me;
        for member in &view.members {
            staying |= self.place_of(member).map_or(0, |place| 1 << place);
        }
        let departing = self.s.present & !staying;
        self.end_early();
        // What can be said of a slot is what was true before this view changed anything.
        for slot in 0..self.slot_count() {
            let claim = self.claim_of(slot, departing);
            let entry = self.slot_mut(slot);
            entry.claim = claim;
            entry.is_kept = false;
        }
        self.s.views.view = view.clone();
        self.s.views.is_decided = false;
        self.s.present = staying;
        self.s.views.departed |= departing;
        self.cut_transfers(departing);
        for slot in 0..self.slot_count() {
            self.leave_departed(slot, departing);
        }
        for member in places(departing) {
            self.peer(member).is_connected = false;
            self.s.ready &= !(1 << member);
            self.s.hurried &= !(1 << member);
        }
        self.greet_members(view.epoch);
        self.seat();
        self.begin_agreement(view);
        self.begin_purge();
        self.s.is_open = true;
        self.s.stats.views += 1;
        self.settle();
    }

    /// What this node can say of a slot in a view without those who depart.
    fn claim_of(&self, slot: u32, departing: u64) -> Claimed {
        let entry = self.slot(slot);
        let is_mine = self.is_me(entry.master);
        let is_to_member = entry.master != NOBODY && departing >> entry.master & 1 == 0;
        match entry.course {
            Course::Still | Course::Outgoing(_) | Course::Incoming(_) if is_mine => Claimed::Mine,
            // Once the end is told, the new master speaks for itself: it may have given the slot on.
            Course::Outgoing(_) | Course::Packing(_) if is_to_member && self.is_giving(slot) => {
                Claimed::Moving
            }
            Course::Still | Course::Outgoing(_) | Course::Packing(_) | Course::Incoming(_) => {
                Claimed::Neither
            }
            Course::Reporting | Course::Rebuilding => Claimed::Neither,
        }
    }

    /// Nobody who departs is a slot's master, or believed about it; and no rebuild goes on.
    fn leave_departed(&mut self, slot: u32, departing: u64) {
        let is_gone = |member: Member| member != NOBODY && departing >> member & 1 == 1;
        let entry = self.slot_mut(slot);
        if is_gone(entry.former) {
            entry.former = NOBODY;
        }
        if is_gone(entry.heir) || is_gone(entry.master) {
            entry.heir = NOBODY;
        }
        if is_gone(entry.master) || entry.course == Course::Rebuilding {
            self.lose_slot(slot);
        } else if entry.course == Course::Reporting {
            // Its new master may decide already, or gives up: the map will say.
            entry.course = Course::Still;
            self.look_at_all(slot);
        }
    }

    /// A slot has no master any more. What was on record of it here goes, and what this node wants there waits.
    pub(crate) fn lose_slot(&mut self, slot: u32) {
        let entry = self.slot_mut(slot);
        entry.course = Course::Still;
        let (version, resources) = (entry.version, entry.room.resources);
        self.remap(slot, NOBODY, version, resources);
        self.slot_mut(slot).former = NOBODY;
    }

    /// What was said to members in the view before is forgotten.
    fn greet_members(&mut self, epoch: Epoch) {
        let me = self.s.me;
        let node = self.s.config.node;
        let own = self.s.views.view.member(node).expect("the view has this node");
        let (joined, incarnation) = (own.joined, own.incarnation);
        let peer = self.peer(me);
        peer.joined = joined;
        peer.epoch = epoch;
        peer.incarnation = Some(incarnation);
        self.s.present |= 1 << me;
        for place in places(self.s.others()) {
            self.greet(place);
        }
    }

    fn greet(&mut self, place: Member) {
        let peer = self.peer(place);
        peer.agreeing = Agreeing::new();
        peer.reporting = Reporting::NONE;
        peer.hearing = Hearing::NONE;
        self.mark_ready(place);
        if self.is_met(place) {
            // It had this view before.
            self.meet(place);
        }
    }

    /// Gives members of the view that have no place one, as long as there are any; those that were there before come
    /// first, since they must be heard.
    pub(super) fn seat(&mut self) {
        let epoch = self.s.epoch();
        let mut seated = 0;
        for is_knowing in [true, false] {
            for at in 0..self.s.views.view.members.len() {
                let member = self.s.views.view.members[at];
                let is_due = (member.joined < epoch) == is_knowing;
                if is_due && is_knowing && self.free_places().next().is_none() {
                    self.finish_purge();
                }
                if !is_due || self.place_of(&member).is_some() {
                    continue;
                }
                let Some(place) = self.free_places().next() else { continue };
                self.s.nodes[usize::from(place)] = member.node;
                let peer = self.peer(place);
                *peer = Peer { incarnation: Some(member.incarnation), joined: member.joined, ..Peer::VACANT };
                if crate::fault_on!(self, KNOWING_AS_INSTALLED) {
                    self.peer(place).joined = epoch;
                }
                self.s.present |= 1 << place;
                self.greet(place);
                seated |= 1 << place;
            }
        }
        self.tell_joined_of_transfers(seated);
        self.tell_map(seated);
    }

    // ---- who has this view ----

    /// A frame of a peer shows which view it has; says whether it is this one.
    pub(crate) fn note_epoch(&mut self, member: Member, epoch: Epoch) -> bool {
        let own = self.s.epoch();
        let peer = self.peer(member);
        if epoch > peer.epoch {
            peer.epoch = epoch;
            if epoch == own {
                self.meet(member);
            }
        }
        epoch == own
    }

    /// A peer has this node's view, too: all that waited for that is said, and what was not answered is said again.
    fn meet(&mut self, member: Member) {
        self.s.hurried |= 1 << member;
        self.mark_ready(member);
        self.hurry_transfers(member);
    }

    /// Does a peer have this node's view, as far as is known?
    pub(crate) fn is_met(&self, member: Member) -> bool {
        self.peers[usize::from(member)].epoch == self.s.epoch()
    }

    pub(super) fn handle_here(&mut self, from: Member, known: Epoch) -> bool {
        if known < self.s.epoch() {
            self.peer(from).agreeing.is_here_due = true;
            self.mark_ready(from);
        }
        true
    }

    // ---- getters ----

    /// Is a node a member that is not about to leave?
    pub(crate) fn is_eligible(&self, node: NodeId) -> bool {
        self.s.views.view.member(node).is_some_and(|member| !member.is_leaving)
    }
}
