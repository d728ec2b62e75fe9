//! One map out of all members' maps: the coordinator asks everybody who could know what he may decide, and gives what
//! nobody can to somebody (rules W5 to W9).

use super::Machine;
use crate::id::{MapVersion, SlotId};
use crate::machine::{Member, places};
use crate::peer::Push;
use crate::record::{Course, NOBODY, Slot};
use crate::time::Instant;
use crate::transfer::{Room, is_leap};
use crate::view::View;
use crate::wire::{FrameWriter, MapPage, MapRun, PageKind, ViewMessage};

/// What a node can say of a slot as it was when the view came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Claimed {
    /// Nothing.
    #[default]
    Neither = 0,
    /// It may decide about all of it.
    Mine = 1,
    /// It is giving it to a member of this view, and may have begun.
    Moving = 2,
}

impl Claimed {
    pub(crate) const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Neither,
            1 => Self::Mine,
            2 => Self::Moving,
            _ => return None,
        })
    }
}

/// How far a node and a peer have come with their maps: one of the two is the coordinator, who hears a report and tells
/// the map.
#[derive(Clone, Debug)]
pub(crate) struct Agreeing {
    /// The peer is to be told that this node has its view.
    pub(crate) is_here_due: bool,
    /// Slots that the peer has acknowledged, and those it was told of.
    told: u32,
    sent: u32,
    is_page_due: bool,
    /// Slots that were heard of from the peer.
    heard: u32,
    is_answer_due: bool,
    /// Free records of the peer, as it has said.
    pub(super) room: Room,
    pub(super) repeat_at: Instant,
}

impl Agreeing {
    pub(crate) const NONE: Self = Self {
        is_here_due: false,
        told: 0,
        sent: 0,
        is_page_due: false,
        heard: 0,
        is_answer_due: false,
        room: Room::NONE,
        repeat_at: Instant::NEVER,
    };

    /// A new view: the peer is to be told of it.
    pub(super) const fn new() -> Self {
        Self { is_here_due: true, ..Self::NONE }
    }

    #[cfg(feature = "check")]
    pub(crate) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        feed.put(&(self.is_here_due, self.told, self.sent, self.is_page_due, self.heard, self.is_answer_due));
        feed.put_until(self.repeat_at);
    }

    /// Has the peer said anything about its map?
    pub(super) const fn was_heard(&self) -> bool {
        self.heard > 0
    }

    pub(crate) const fn repeat_at(&self) -> Instant {
        self.repeat_at
    }
}

impl Machine<'_> {
    /// All slots, as a number.
    pub(crate) fn slot_count(&self) -> u32 {
        u32::try_from(self.slots.len()).expect("slots are counted in 32 bits")
    }

    fn is_coordinator(&self) -> bool {
        self.is_me(self.s.views.coordinator)
    }

    /// Version of the entries that this view makes.
    pub(super) fn new_version(&self) -> MapVersion {
        MapVersion { epoch: self.s.epoch(), count: 0 }
    }

    /// Is the map of this view here?
    pub(crate) fn is_agreed(&self) -> bool {
        self.s.config.is_static() || self.s.views.installed == self.slot_count()
    }

    pub(super) fn begin_agreement(&mut self, view: &View) {
        let first = view.coordinator().expect("a view has members").node;
        let coordinator = self.member_of(first).expect("every member has a place");
        let epoch = view.epoch;
        let is_knowing = |place: &Member| self.peers[usize::from(*place)].joined < epoch;
        let knowing = places(self.s.present).filter(is_knowing).fold(0, |bits, place| bits | 1 << place);
        let views = &mut self.s.views;
        views.coordinator = coordinator;
        views.knowing = knowing;
        views.installed = 0;
        views.frontier = 0;
        views.opening = None;
        if !self.is_coordinator() {
            self.peer(coordinator).agreeing.is_page_due = true;
            self.mark_ready(coordinator);
            return;
        }
        for slot in &mut *self.slots.0 {
            slot.is_kept = slot.claim != Claimed::Neither;
        }
        self.decide_if_all_heard();
    }

    // ---- what is heard ----

    /// A member says what it knows of the map; the higher version wins, slot by slot (rules W5 and W6).
    pub(super) fn handle_map_report(&mut self, from: Member, page: &MapPage<'_>) -> bool {
        let heard = self.peer(from).agreeing.heard;
        if !self.is_coordinator() || page.first.0 > heard || self.end_of(page).is_none() {
            return false;
        }
        if page.first.0 == heard {
            let is_knowing = self.s.views.knowing >> from & 1 == 1 && !self.s.views.is_decided;
            let mut slot = page.first.0;
            for run in page.runs {
                for _ in 0..run.len {
                    if is_knowing {
                        self.hear_entry(from, slot, &run);
                    }
                    slot += 1;
                }
            }
            let agreeing = &mut self.peer(from).agreeing;
            agreeing.heard = slot;
            agreeing.room = page.room;
        }
        self.peer(from).agreeing.is_answer_due = true;
        self.mark_ready(from);
        self.decide_if_all_heard();
        true
    }

    /// The slot after a page, if there are as many slots.
    fn end_of(&self, page: &MapPage<'_>) -> Option<u32> {
        let end = page.runs.fold(u64::from(page.first.0), |end, run| end + u64::from(run.len));
        u32::try_from(end).ok().filter(|end| *end <= self.slot_count())
    }

    fn hear_entry(&mut self, from: Member, slot: u32, run: &MapRun) {
        let master = run.master.and_then(|node| self.member_of(node));
        match (run.claim, master) {
            (Claimed::Mine, _) | (Claimed::Moving, Some(_)) => self.slot_mut(slot).is_kept = true,
            (Claimed::Neither | Claimed::Moving, _) => {}
        }
        // Who decides says so itself; what others know may be old, but is never wrong about who was next.
        let master = if run.claim == Claimed::Mine { master.or(Some(from)) } else { master };
        if let Some(master) = master {
            self.take_entry(slot, master, run.version);
        }
    }

    /// An entry of another node's map: never one that makes this node a master or ends its being one.
    fn take_entry(&mut self, slot: u32, master: Member, version: MapVersion) {
        let entry = self.slot(slot);
        let is_any = crate::fault_on!(self, INSTALL_ANY);
        let is_mine = self.is_me(entry.master) || self.is_me(master) && !is_any;
        let is_later = version > entry.version || entry.master == NOBODY && version == entry.version;
        let is_believable = version.epoch <= self.s.epoch() && !is_leap(version, entry);
        if is_mine || entry.course != Course::Still || !is_later || !is_believable {
            return;
        }
        let resources = entry.room.resources;
        self.remap(slot, master, version, resources);
    }

    /// The coordinator decides once, when everybody who could know has said what he knows (rule W7).
    fn decide_if_all_heard(&mut self) {
        let all = self.slot_count();
        let is_heard = |member: Member| self.peers[usize::from(member)].agreeing.heard == all;
        let is_early = crate::fault_on!(self, DECIDE_EARLY);
        let is_complete = places(self.s.views.knowing & self.s.others()).all(is_heard) || is_early;
        if self.s.views.is_decided || !self.is_coordinator() || !is_complete {
            return;
        }
        self.s.views.is_decided = true;
        self.assign_orphans();
        self.s.views.installed = all;
        self.map_is_here();
        self.tell_map(self.s.others());
    }

    /// Members are to be told the map, if this node is the one to tell it.
    pub(super) fn tell_map(&mut self, members: u64) {
        if self.is_coordinator() && self.s.views.is_decided {
            for member in places(members) {
                self.peer(member).agreeing.is_page_due = true;
                self.mark_ready(member);
            }
        }
    }

    /// A slot that nobody can decide about is given to a member.
    pub(super) fn give_orphan(&mut self, slot: u32, to: Member) {
        if self.is_me(to) { self.begin_rebuild(slot) } else { self.begin_reporting(slot, to) }
    }

    /// The coordinator tells the map that all have agreed on (rule W8).
    pub(super) fn handle_map_install(&mut self, from: Member, page: &MapPage<'_>) -> bool {
        let is_coordinators = from == self.s.views.coordinator && !self.is_me(from);
        if !is_coordinators || page.first.0 > self.s.views.installed || self.end_of(page).is_none() {
            return false;
        }
        // A newcomer that has no place here yet cannot be anybody's master: the page comes again.
        let is_unseated = |run: MapRun| run.master.is_some_and(|node| self.member_of(node).is_none());
        if page.first.0 == self.s.views.installed && page.runs.into_iter().any(is_unseated) {
            return false;
        }
        if page.first.0 == self.s.views.installed {
            let mut slot = page.first.0;
            for run in page.runs {
                let master = run.master.and_then(|node| self.member_of(node));
                for _ in 0..run.len {
                    if let Some(master) = master {
                        self.install_entry(slot, master, run.version);
                    }
                    slot += 1;
                }
            }
            self.s.views.installed = slot;
            self.peer(from).agreeing.heard = slot;
            if slot == self.slot_count() {
                self.map_is_here();
            }
        }
        self.peer(from).agreeing.is_answer_due = true;
        self.mark_ready(from);
        true
    }

    fn install_entry(&mut self, slot: u32, master: Member, version: MapVersion) {
        let entry = self.slot(slot);
        if version != self.new_version() {
            return self.take_entry(slot, master, version);
        }
        // What this node decides about, or has a part of, is no orphan, whatever is said.
        let is_given = matches!(entry.course, Course::Outgoing(_)) && !self.is_giving(slot);
        let is_free = entry.course == Course::Still || is_given || self.is_merely_offered(slot);
        let is_orphan = entry.version < version && is_free && !self.is_me(entry.master);
        if is_orphan {
            self.give_orphan(slot, master);
        }
    }

    /// All of the map is here: reports begin.
    fn map_is_here(&mut self) {
        self.begin_reports();
        self.s.views.is_rebuild_due = true;
        self.reports_may_come();
        self.want_all();
        self.want_refused();
    }

    /// A peer has as much of this node's report, or of the map.
    pub(super) fn handle_map_told(&mut self, from: Member, until: SlotId, is_install: bool) -> bool {
        let is_expected = if is_install {
            self.is_coordinator() && self.s.views.is_decided
        } else {
            from == self.s.views.coordinator
        };
        let all = self.slot_count();
        let agreeing = &mut self.peer(from).agreeing;
        if !is_expected || until.0 > agreeing.sent {
            return false;
        }
        if until.0 > agreeing.told {
            agreeing.told = until.0;
            agreeing.is_page_due = until.0 < all;
            agreeing.repeat_at = Instant::NEVER;
            self.mark_ready(from);
        }
        true
    }

    // ---- what is said ----

    /// Is there a page of a map to be said to a peer?
    fn has_page(&self, member: Member) -> bool {
        let agreeing = &self.peers[usize::from(member)].agreeing;
        let is_stream = member == self.s.views.coordinator
            || self.is_coordinator() && self.s.views.is_decided && !self.is_me(member);
        is_stream && agreeing.is_page_due && agreeing.told < self.slot_count()
    }

    pub(super) fn has_agreeing_output(&self, member: Member) -> bool {
        let agreeing = &self.peers[usize::from(member)].agreeing;
        let has_more = || agreeing.is_answer_due || self.has_page(member);
        agreeing.is_here_due || self.is_met(member) && has_more()
    }

    pub(super) fn write_agreeing(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let is_coordinator = self.is_coordinator();
        let peer = &self.peers[usize::from(member)];
        let heard = SlotId(peer.agreeing.heard);
        let message = if peer.agreeing.is_here_due {
            ViewMessage::Here { known: peer.epoch }
        } else if peer.agreeing.is_answer_due {
            if is_coordinator { ViewMessage::MapReported(heard) } else { ViewMessage::MapInstalled(heard) }
        } else {
            return self.write_page(member, writer);
        };
        if !writer.push_view(&message) {
            return Push::Full;
        }
        let is_met = self.is_met(member);
        let agreeing = &mut self.peer(member).agreeing;
        if core::mem::take(&mut agreeing.is_here_due) {
            if !is_met {
                self.arm_agreeing(member);
            }
        } else {
            agreeing.is_answer_due = false;
        }
        Push::Said
    }

    fn write_page(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let kind = if self.is_coordinator() { PageKind::Install } else { PageKind::Report };
        let first = self.peers[usize::from(member)].agreeing.told;
        let most = self.s.config.chunk as usize;
        let runs = self.runs_from(first, kind);
        let Some(slots) = writer.push_page(kind, SlotId(first), self.free_room(), runs, most) else {
            return Push::Full;
        };
        let agreeing = &mut self.peer(member).agreeing;
        // The same page said again may have fewer slots, since the map has more runs by now.
        agreeing.sent = agreeing.sent.max(first + slots);
        agreeing.is_page_due = false;
        self.arm_agreeing(member);
        Push::Said
    }

    /// What is said of the slots from this one on, those together of which the same is said.
    fn runs_from(&self, first: u32, kind: PageKind) -> impl Iterator<Item = MapRun> {
        let mut slot = first;
        core::iter::from_fn(move || {
            let mut run = self.run_of(slot, kind)?;
            slot += 1;
            while self.run_of(slot, kind).is_some_and(|next| next == MapRun { len: 1, ..run }) {
                run.len += 1;
                slot += 1;
            }
            Some(run)
        })
    }

    fn run_of(&self, slot: u32, kind: PageKind) -> Option<MapRun> {
        let entry = self.slots.0.get(slot as usize)?;
        let is_member = entry.master != NOBODY && self.s.present >> entry.master & 1 == 1;
        let claim = match kind {
            PageKind::Report => self.claim_to_report(entry),
            PageKind::Install => Claimed::Neither,
        };
        let master = is_member.then(|| self.node_at(entry.master));
        Some(MapRun { len: 1, claim, master, version: entry.version })
    }

    /// What was so when the view came.
    fn claim_to_report(&self, entry: &Slot) -> Claimed {
        if crate::fault_on!(self, MAP_LIVE) {
            let is_mine = self.is_me(entry.master) && !matches!(entry.course, Course::Rebuilding);
            return if is_mine { Claimed::Mine } else { Claimed::Neither };
        }
        entry.claim
    }

    fn arm_agreeing(&mut self, member: Member) {
        let until = self.s.now.after(self.s.config.repeat_after);
        self.peer(member).agreeing.repeat_at = until;
        self.note_deadline(until);
    }

    pub(super) fn repeat_agreeing(&mut self, member: Member) {
        let is_met = self.is_met(member);
        let agreeing = &mut self.peer(member).agreeing;
        agreeing.repeat_at = Instant::NEVER;
        agreeing.is_here_due |= !is_met;
        agreeing.is_page_due = true;
        self.mark_ready(member);
    }
}
