//! Resources that somebody waits for while their slot is closed: the new master asks all others about such a resource
//! alone, and decides about it as soon as they have answered (rule W19).
//!
//! ```text
//!   who waits ── Wanted: its position ──► new master ── Ask ──► all others who could know
//!                                             ▲                     │
//!                                             └── Told: position ───┘   the last of them: it is open
//! ```
//!
//! Nothing here is repeated: whatever is lost or finds no room waits for its slot, as everything else does.

use heapless::Vec;

use super::{Life, Machine};
use crate::holder::Named;
use crate::id::Number;
use crate::machine::{Member, places};
use crate::peer::Push;
use crate::record::{Course, NOBODY, Outbox, Passage, Resource};
use crate::table::{Idx, Queue};
use crate::transfer::Room;
use crate::wire::{Ask, FrameWriter, ReportUnit, ReportUnits, Told, ViewMessage};

/// Resources at a time about which others are asked alone.
const ASKED_MAX: usize = 256;

/// Resources of closed slots that have a mark: those that are wanted, of this node or of another new master, and those that
/// are open.
const MARKED_MAX: usize = 512;

/// Questions of new masters that wait to be answered.
const QUESTIONS_MAX: usize = 512;

/// Positions that one call looks through, in each queue where they may wait, for what is wanted.
const LOOKED_THROUGH: usize = 512;

/// Steps of long work after which it gives way no more, if nobody has asked anything since.
const YIELDS: u16 = 64;

/// What is known of resources that need not wait for their slots.
#[derive(Clone, Debug)]
pub(crate) struct Early {
    /// Those that are [`Passage::Asked`] or [`Passage::Early`], each once.
    marked: Vec<Idx<Resource>, MARKED_MAX>,
    asked: Vec<Asked, ASKED_MAX>,
    last_question: u32,
    questions: Vec<Question, QUESTIONS_MAX>,
    /// Members whose wishes were not all taken up; this node may be among them.
    refused: u64,
    /// Members that may have to be told something of this.
    due: u64,
    /// All have answered about something that could not be opened at once, or this node's wishes can be taken up now.
    is_work_due: bool,
    /// Steps of long work that still give way to what is asked: an answer may be lost.
    yields: u16,
}

/// A resource about which the others are being asked.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Idx<Resource>,
    question: u32,
    /// Who has not answered yet.
    silent: u64,
    /// Who has not even been asked.
    unasked: u64,
}

/// What another master wants to know.
#[derive(Clone, Copy, Debug)]
struct Question {
    from: Member,
    number: u32,
    at: Option<Idx<Resource>>,
}

impl Early {
    pub(super) const fn new() -> Self {
        Self {
            marked: Vec::new(),
            asked: Vec::new(),
            last_question: 0,
            questions: Vec::new(),
            refused: 0,
            due: 0,
            is_work_due: false,
            yields: 0,
        }
    }

    pub(super) const fn is_due(&self) -> bool {
        self.is_work_due
    }

    /// Does long work give way once more, because somebody waits for an answer about a resource alone?
    pub(crate) fn gives_way(&mut self) -> bool {
        let is_asking = !self.asked.is_empty() || !self.questions.is_empty();
        let gives_way = is_asking && self.yields > 0;
        self.yields -= u16::from(gives_way);
        gives_way
    }

    /// Is nothing marked, and nobody asked?
    fn is_idle(&self) -> bool {
        self.marked.is_empty() && self.asked.is_empty()
    }

    fn find(&self, question: u32) -> Option<usize> {
        self.asked.iter().position(|asked| asked.question == question)
    }

    fn find_resource(&self, at: Idx<Resource>) -> Option<usize> {
        self.asked.iter().position(|asked| asked.at == at)
    }
}

impl Passage {
    const fn is_marked(self) -> bool {
        matches!(self, Self::Asked | Self::Early)
    }
}

impl Machine<'_> {
    // ---- marks ----

    /// Gives a resource of a closed slot a mark; `false` if there are too many.
    fn mark(&mut self, at: Idx<Resource>, passage: Passage) -> bool {
        let is_new = !self.resources[at].passage.is_marked();
        if is_new && self.s.views.early.marked.push(at).is_err() {
            return false;
        }
        self.resources[at].passage = passage;
        true
    }

    fn is_closed(&self, at: Idx<Resource>) -> bool {
        matches!(self.slot(self.resources[at].slot).course, Course::Reporting | Course::Rebuilding)
    }

    /// Marks end when their slots open: from then on these resources are as all others.
    pub(crate) fn unmark_open(&mut self) {
        if self.s.views.early.is_idle() {
            return;
        }
        let mut nth = 0;
        while let Some(at) = self.s.views.early.marked.get(nth).copied() {
            if self.is_closed(at) {
                nth += 1;
                continue;
            }
            self.s.views.early.marked.swap_remove(nth);
            // What has come about it is looked at with the rest of its slot.
            let is_mine = self.is_me(self.slot(self.resources[at].slot).master);
            let is_rebuilt = is_mine && self.resources[at].passage == Passage::Asked;
            self.resources[at].passage = if is_rebuilt { Passage::Rebuilt } else { Passage::None };
        }
        let (resources, slots) = (&self.resources, &self.slots);
        let is_closed =
            |asked: &Asked| slots.0[resources[asked.at].slot as usize].course == Course::Rebuilding;
        self.s.views.early.asked.retain(is_closed);
        self.want_refused();
    }

    /// A view, or the end of a life: what was open before its slot is no more than the rest of it.
    pub(super) fn end_early(&mut self) {
        let before = core::mem::replace(&mut self.s.views.early, Early::new());
        if crate::fault_on!(self, EARLY_STAYS) {
            self.s.views.early.marked = before.marked;
            return;
        }
        for at in before.marked {
            if self.is_me(self.slot(self.resources[at].slot).master) {
                // Nothing that was decided and not said is said any more.
                self.clear_record(at);
                self.forget_value(at);
            }
            self.resources[at].passage = Passage::None;
        }
    }

    /// Does a resource have a mark?
    pub(crate) fn is_marked(&self, at: Idx<Resource>) -> bool {
        self.resources[at].passage.is_marked()
    }

    /// Has this node, as the new master, begun with a resource before its slot's turn?
    pub(crate) fn has_begun_early(&self, at: Idx<Resource>) -> bool {
        let is_mine = self.is_me(self.slot(self.resources[at].slot).master);
        is_mine && self.is_marked(at) && !crate::fault_on!(self, EARLY_CLEARED)
    }

    // ---- who waits ----

    /// What has something to say, and nobody who decides, waits; if it is a wish, the new master of a closed slot is told.
    pub(crate) fn link_undecided(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        let (master, course) = (self.slot(resource.slot).master, self.slot(resource.slot).course);
        let is_wanted = resource.holding.is_asking() && resource.passage != Passage::Asked;
        match course {
            Course::Reporting if is_wanted => return self.link_to(at, master),
            Course::Rebuilding if is_wanted => self.want_own(at),
            Course::Reporting
            | Course::Rebuilding
            | Course::Still
            | Course::Outgoing(_)
            | Course::Packing(_)
            | Course::Incoming(_) => {}
        }
        self.link_limbo(at);
    }

    /// Is a position in a peer's queue one that opens its resource before its slot?
    pub(crate) fn is_wanted_from(&self, member: Member, at: Idx<Resource>) -> bool {
        let resource = &self.resources[at];
        let slot = self.slot(resource.slot);
        slot.course == Course::Reporting && slot.master == member && resource.passage != Passage::Early
    }

    /// Tells a new master what this node holds and waits for; from then on it waits as the rest of the slot does.
    pub(crate) fn write_wanted(
        &mut self,
        member: Member,
        at: Idx<Resource>,
        writer: &mut FrameWriter<'_>,
    ) -> Push {
        debug_assert!(self.resources[at].route == member, "it stands in the queue of that peer");
        let is_asking = self.resources[at].holding.is_asking();
        let is_said = is_asking && self.mark(at, Passage::Asked);
        if is_said && !writer.push_wanted(&self.report_unit(at)) {
            return Push::Full;
        }
        self.unlink_position(at);
        self.link_limbo(at);
        if is_said { Push::Said } else { Push::Passed }
    }

    /// The map of this view is here: what its new masters can open before their slots is said to them.
    pub(super) fn want_all(&mut self) {
        self.want_in(self.s.limbo.head());
        // What departed members were asked for was not yet looked at.
        for member in places(self.s.views.departed) {
            let peer = &self.peers[usize::from(member)];
            let heads = [peer.positions.head(), peer.repeats[0].head(), peer.repeats[1].head()];
            heads.into_iter().for_each(|head| self.want_in(head));
        }
    }

    fn want_in(&mut self, head: Option<Idx<Resource>>) {
        let mut walk = head;
        for _ in 0..LOOKED_THROUGH {
            let Some(at) = walk else { break };
            // All queues of positions go by the same link.
            walk = Queue::<_, Outbox>::next(&self.resources, at);
            let resource = &self.resources[at];
            if self.is_closed(at) && resource.holding.is_asking() && !resource.passage.is_marked() {
                self.unlink_position(at);
                self.link_position(at);
            }
        }
    }

    /// A new master did not take up all that was wanted of it, and can now.
    pub(super) fn want_again(&mut self, master: Member) {
        let mut walk = self.s.limbo.head();
        for _ in 0..LOOKED_THROUGH {
            let Some(at) = walk else { break };
            walk = Queue::<_, Outbox>::next(&self.resources, at);
            if self.is_wanted_from(master, at) && self.resources[at].holding.is_asking() {
                self.unlink_position(at);
                self.link_to(at, master);
            }
        }
    }

    // ---- the new master ----

    /// A member waits for a resource of a closed slot, and says what it holds of it.
    pub(super) fn handle_wanted(&mut self, from: Member, mut units: ReportUnits<'_>) -> bool {
        let Some(unit) = units.next().filter(|unit| self.is_space(unit.space)) else { return false };
        if self.is_suspect() {
            return false;
        }
        let hash = self.hash_of(unit.space, unit.name);
        let slot = self.slot_of(unit.space, hash);
        let found = self.find(unit.space, unit.name, hash);
        if self.decides(slot, found) {
            // It is open, which the member has not heard yet.
            let named = Named { space: unit.space, name: unit.name };
            self.handle_position(from, found, named, hash, &unit.position);
            return true;
        }
        if !self.is_agreed() {
            // The map that makes this node the master may be on its way.
            self.refuse_wanted(from);
            return true;
        }
        let is_knowing = self.s.views.knowing >> from & 1 == 1;
        if self.slot(slot).course != Course::Rebuilding || !is_knowing || !unit.position.makes_sense() {
            return false;
        }
        self.take_up_wanted(from, hash, found, &unit)
    }

    /// Puts what a member wants on record, and asks all others about it, if there is room; `false` if it is over.
    fn take_up_wanted(
        &mut self,
        from: Member,
        hash: u64,
        found: Option<Idx<Resource>>,
        unit: &ReportUnit<'_>,
    ) -> bool {
        if found.is_none_or(|at| self.is_not_asked(at)) {
            if !self.has_ample_room() {
                return true;
            }
            if self.s.views.early.asked.is_full() {
                self.refuse_wanted(from);
                return true;
            }
        }
        if let Some(at) = found {
            if self.is_over(at, from, unit.position.number) {
                return false;
            }
            self.clean_before_asking(at);
        }
        if self.install_report_of(from, hash, found, unit).is_err() {
            return true;
        }
        let at = self.find(unit.space, unit.name, hash).expect("its record was made");
        if self.begin_asking(at) {
            self.take_answer_of(at, from);
        }
        true
    }

    /// Is so much free that what is granted now will hardly be in the way of what is held already, and not reported yet?
    fn has_ample_room(&self) -> bool {
        // A table may have no places at all, for want of long names or value blocks.
        let least = |len: usize| if len == 0 { 0 } else { u32::try_from(len / 4 + 2).unwrap_or(u32::MAX) };
        let least = Room {
            resources: least(self.resources.len()),
            physical: least(self.physical.len()),
            names: least(self.names.len()),
            values: least(self.values.len()),
        };
        least.beyond(self.free_room().minus(self.s.transfers.reserved)).is_none()
    }

    fn is_not_asked(&self, at: Idx<Resource>) -> bool {
        self.s.views.early.find_resource(at).is_none()
    }

    fn refuse_wanted(&mut self, member: Member) {
        self.s.views.early.refused |= 1 << member;
    }

    /// Has a member answered about a resource since it stated this, and has nothing of it any more?
    fn is_over(&mut self, at: Idx<Resource>, from: Member, number: Number) -> bool {
        let Some(nth) = self.s.views.early.find_resource(at) else { return false };
        let is_silent = self.s.views.early.asked[nth].silent >> from & 1 == 1;
        let slot = self.resources[at].slot;
        !is_silent && self.record_of(at, from).is_none() && number <= *self.floor(slot, from)
    }

    /// An owner of this node waits for a resource of a slot that is rebuilt here.
    fn want_own(&mut self, at: Idx<Resource>) {
        let may_grant = self.s.views.life == Life::Alive && !self.is_suspect();
        if !self.is_agreed() || !may_grant || !self.has_ample_room() {
            return;
        }
        if self.s.views.early.asked.is_full() {
            return self.refuse_wanted(self.s.me);
        }
        self.clean_before_asking(at);
        if self.report_own(at).is_ok() && self.begin_asking(at) {
            let asked = self.s.views.early.asked.last().expect("it was added");
            // Nothing is opened in the middle of a call.
            self.s.views.early.is_work_due |= asked.silent == 0;
        }
    }

    /// What is on record of a resource from before the rebuild goes, if its slot's turn has not come yet.
    fn clean_before_asking(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        if resource.passage.is_marked() || !self.slot(resource.slot).moved.is_linked() {
            return;
        }
        self.resources[at].passage = Passage::None;
        self.forget_if_lost(at);
    }

    /// Begins to ask all others about a resource, unless they are being asked; says whether they are.
    fn begin_asking(&mut self, at: Idx<Resource>) -> bool {
        if !self.is_not_asked(at) {
            return true;
        }
        if !self.mark(at, Passage::Asked) {
            return false;
        }
        let silent = self.s.views.knowing & self.s.others();
        let early = &mut self.s.views.early;
        early.yields = YIELDS;
        early.last_question = early.last_question.wrapping_add(1);
        early.due |= silent;
        let asked = Asked { at, question: early.last_question, silent, unasked: silent };
        early.asked.push(asked).expect("room was checked");
        for member in places(silent) {
            self.mark_ready(member);
        }
        true
    }

    /// A member has said what it holds of a resource; the last one opens it.
    fn take_answer_of(&mut self, at: Idx<Resource>, from: Member) {
        let Some(nth) = self.s.views.early.find_resource(at) else { return };
        let asked = &mut self.s.views.early.asked[nth];
        asked.silent &= !(1 << from);
        asked.unasked &= !(1 << from);
        if asked.silent != 0 && !crate::fault_on!(self, EARLY_HALF) {
            return;
        }
        if self.is_suspect() {
            self.s.views.early.is_work_due = true;
        } else {
            self.open_early(nth);
        }
    }

    /// A member answers a question of this node.
    pub(super) fn handle_told(&mut self, from: Member, told: &Told<'_>) -> bool {
        let Some(nth) = self.s.views.early.find(told.question) else { return false };
        let Asked { at, silent, .. } = self.s.views.early.asked[nth];
        if silent >> from & 1 == 0 {
            return false;
        }
        let mut units = told.units;
        if let Some(unit) = units.next() {
            let hash = self.resources[at].hash;
            let is_it = self.is_space(unit.space) && self.find(unit.space, unit.name, hash) == Some(at);
            if !is_it || !unit.position.makes_sense() {
                return false;
            }
            if self.install_report_of(from, hash, Some(at), &unit).is_err() {
                // It waits for its slot, for which room is made.
                self.give_up_asking(nth);
                return true;
            }
        }
        self.raise_floor(self.resources[at].slot, from, told.number);
        self.take_answer_of(at, from);
        true
    }

    /// All have answered: from now on this node decides about the resource.
    fn open_early(&mut self, nth: usize) {
        let at = self.s.views.early.asked[nth].at;
        if self.report_own(at).is_err() {
            return self.give_up_asking(nth);
        }
        self.s.views.early.asked.swap_remove(nth);
        self.resources[at].passage = Passage::Early;
        self.s.stats.resources_early += 1;
        self.open_rebuilt(at);
        self.route_anew(at);
        self.want_refused();
    }

    /// The resource waits for its slot after all.
    fn give_up_asking(&mut self, nth: usize) {
        let early = &mut self.s.views.early;
        let at = early.asked.swap_remove(nth).at;
        if let Some(mark) = early.marked.iter().position(|marked| *marked == at) {
            early.marked.swap_remove(mark);
        }
        self.resources[at].passage = Passage::Rebuilt;
        self.want_refused();
    }

    /// What is held elsewhere needs room, and nothing is left of a resource that has a mark: it is as the rest of its slot
    /// again, and goes.
    pub(super) fn end_mark_of_nothing(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        if !resource.mastery.queues.is_empty() || !resource.is_holding_nothing() || !self.is_marked(at) {
            return;
        }
        if let Some(nth) = self.s.views.early.find_resource(at) {
            return self.give_up_asking(nth);
        }
        self.s.views.early.marked.retain(|marked| *marked != at);
        self.resources[at].passage = Passage::Rebuilt;
    }

    /// Wishes that were not taken up are to be said again, once there is room for them.
    pub(super) fn want_refused(&mut self) {
        let early = &mut self.s.views.early;
        if early.refused == 0 || early.asked.len() > ASKED_MAX / 2 {
            return;
        }
        let refused = core::mem::take(&mut early.refused);
        early.is_work_due |= refused >> self.s.me & 1 == 1;
        for member in places(refused & self.s.others()) {
            self.peer(member).hearing.is_wanted_again = true;
            self.tell_hearing(member);
        }
    }

    /// Opens what could not be opened at once, and takes up what this node's owners wait for.
    pub(super) fn work_on_early(&mut self, most: u32) -> u32 {
        if !self.s.views.early.is_work_due || self.s.views.life != Life::Alive || self.is_suspect() {
            return 0;
        }
        for done in 0..most {
            let Some(nth) = self.s.views.early.asked.iter().position(|asked| asked.silent == 0) else {
                self.s.views.early.is_work_due = false;
                if self.is_agreed() {
                    self.want_in(self.s.limbo.head());
                }
                self.settle();
                return done + 1;
            };
            self.open_early(nth);
            self.settle();
        }
        most
    }

    // ---- questions and answers ----

    /// A new master asks about one resource.
    pub(super) fn handle_ask(&mut self, from: Member, ask: &Ask<'_>) -> bool {
        if !self.is_space(ask.space) {
            return false;
        }
        let hash = self.hash_of(ask.space, ask.name);
        let slot = self.slot(self.slot_of(ask.space, hash));
        // What is held in a slot that nobody decides about does not grow, also before the map is here.
        let is_asking = if self.is_agreed() {
            slot.course == Course::Reporting && slot.master == from
        } else {
            slot.course == Course::Still && slot.master == NOBODY
        };
        let is_knowing = self.s.views.knowing >> self.s.me & 1 == 1;
        if !is_asking || !is_knowing {
            return false;
        }
        let at = self.find(ask.space, ask.name, hash);
        let question = Question { from, number: ask.question, at };
        if self.s.views.early.questions.push(question).is_err() {
            self.s.stats.answers_dropped += 1;
            return true;
        }
        self.s.views.early.yields = YIELDS;
        self.s.views.early.due |= 1 << from;
        self.mark_ready(from);
        true
    }

    pub(super) fn has_early_output(&self, member: Member) -> bool {
        self.s.views.early.due >> member & 1 == 1 && self.is_met(member)
    }

    /// Answers a question of a peer, or asks it one.
    pub(super) fn write_early(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        let early = &self.s.views.early;
        if let Some(nth) = early.questions.iter().position(|question| question.from == member) {
            let Question { number, at, .. } = early.questions[nth];
            // If it is another one by now, its name says so.
            let unit = at.filter(|at| self.is_reported(*at)).map(|at| self.report_unit(at));
            if !writer.push_told(number, self.s.last_number(), unit.as_ref()) {
                return Push::Full;
            }
            self.s.views.early.questions.remove(nth);
            return Push::Said;
        }
        let Some(nth) = early.asked.iter().position(|asked| asked.unasked >> member & 1 == 1) else {
            self.s.views.early.due &= !(1 << member);
            return Push::Passed;
        };
        let Asked { at, question, .. } = early.asked[nth];
        let resource = &self.resources[at];
        let ask = Ask { question, space: resource.space, name: self.name_bytes(resource) };
        if !writer.push_view(&ViewMessage::Ask(ask)) {
            return Push::Full;
        }
        self.s.views.early.asked[nth].unasked &= !(1 << member);
        Push::Said
    }

    /// A master's word about a resource of a closed slot shows that it decides about it already.
    pub(crate) fn note_early(&mut self, from: Member, found: Option<Idx<Resource>>, slot: u32) {
        let Some(at) = found else { return };
        let entry = self.slot(slot);
        let is_news = entry.course == Course::Reporting
            && entry.master == from
            && self.resources[at].passage != Passage::Early;
        if is_news && self.mark(at, Passage::Early) {
            self.route_anew(at);
        }
    }

    #[cfg(feature = "check")]
    pub(crate) fn fingerprint_early(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        let early = &self.s.views.early;
        for asked in &early.asked {
            self.put_resource(feed, asked.at);
            feed.put(&(asked.question, asked.silent, asked.unasked));
        }
        for question in &early.questions {
            feed.put(&(question.from, question.number));
            if let Some(at) = question.at {
                self.put_resource(feed, at);
            }
        }
        feed.put(&(early.last_question, early.refused, early.due, early.is_work_due));
    }
}
