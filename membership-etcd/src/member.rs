//! Everything that a provider decides, without I/O, clock or threads.
//!
//! ```text
//!  Seeking ──number free──> Granting ──leased──> Registering ──my key is there──> Candidate ──view with me──> Seated
//!     ^  a key of my number: wait, or Taken           │ another was faster                │                       │
//!     └───────────────────────────────────────────────┘                                   v                       v
//!                                     no patience, no room, no trust ──────────────────> Over <── left, fenced, dropped
//! ```
//!
//! Every decision is made on a snapshot of all keys at one revision that no call of this node follows: after any call
//! that may change something the keys are read anew. So a call whose answer is lost needs no care of its own.

mod deciding;
mod joining;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lockmaster_async::lockmaster_core::{Certainty, Epoch, Incarnation};
use lockmaster_async::{Candidate, ClusterView, Instant, MembershipError, NodeId};

use crate::floor::Floor;
use crate::keys::{Keys, Topic};
use crate::record::{Seat, ViewRecord, Why};
use crate::sides::Cut;
use crate::store::{Answer, Call, Entry, LeaseId, Revision, Snapshot};
use crate::succession::{Absences, Life};
use crate::timing::Timing;

/// What a node brings along.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) keys: Keys,
    /// With its number, once it has one.
    pub(crate) candidate: Candidate,
    /// The configuration in which it is to run, as far as the members are known.
    pub(crate) digest: u64,
    /// With the time to live to ask for.
    pub(crate) timing: Timing,
    /// The lease of this node's life before, which has ended and which it may revoke.
    pub(crate) previous: Option<LeaseId>,
    pub(crate) floor: Floor,
    pub(crate) seed: u64,
}

/// Something to tell, in this order.
#[derive(Debug)]
pub(crate) enum Event {
    /// Keep it on disk before anything after it is told.
    Keep(Floor),
    Joined(Life),
    Certainty(Certainty),
    View(ClusterView),
    /// Membership has ended, and why.
    Fenced(String),
    /// There was none.
    Refused(MembershipError),
    Left,
    Warning(String),
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Nothing until then.
    Wait(Instant),
    /// Renew it now.
    Send(LeaseId),
    /// There is nothing to renew any more.
    End,
}

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewed {
    Yes,
    /// The lease does not exist any more.
    Gone,
    /// Nothing was heard in time, or an error.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Seeking,
    Granting(NodeId),
    Registering(NodeId),
    Candidate(Life),
    Seated(Life),
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    id: LeaseId,
    timing: Timing,
    /// When the last renewal that was answered was sent.
    sent_at: Instant,
    renew_at: Instant,
}

/// Something that one of the live members has to do, and this one's turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    duty: Duty,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Revoke(Life),
    Sentence(Life),
    /// To follow the view that this revision wrote.
    View(Revision),
}

/// One life of a node at the engine, from its wish to join to its end.
pub(crate) struct Member {
    plan: Plan,
    stage: Stage,
    lease: Option<Lease>,
    random: fastrand::Rng,
    events: VecDeque<Event>,

    /// What was read last, and whether no call of this node follows it.
    snapshot: Snapshot,
    is_fresh: bool,
    read_at: Instant,
    decide_at: Instant,
    /// When the call that is on its way was sent.
    outstanding: Option<Instant>,
    last_failure: Option<String>,

    join_by: Instant,
    /// Whose key stands in the way, and since when.
    occupant: Option<(Incarnation, Instant)>,
    /// A lease to revoke when everything else is over.
    farewell: Option<LeaseId>,

    /// The last view that was accepted.
    view: Option<ViewRecord>,
    absences: Absences,
    turn: Option<Turn>,
    wants_to_announce: bool,
    leave_by: Option<Instant>,
    /// When the thread that decides came by last.
    turned_at: Instant,
    is_exiled: bool,
    is_stuck: bool,
    is_garbled: bool,

    /// The members that it can talk to, as it was told last; nothing until it was told.
    reachable: Option<Vec<NodeId>>,
    /// Members that this node cannot talk to, and since when.
    unreachable: BTreeMap<Life, Instant>,
    report_at: Instant,
    /// What all members say, and since when they have said the same.
    cuts: BTreeSet<Cut>,
    cuts_since: Instant,
}

impl Member {
    pub(crate) fn new(now: Instant, plan: Plan) -> Self {
        Self {
            stage: Stage::Seeking,
            lease: None,
            random: fastrand::Rng::with_seed(plan.seed),
            events: VecDeque::new(),
            snapshot: Snapshot::default(),
            is_fresh: false,
            read_at: now,
            decide_at: Instant::NEVER,
            outstanding: None,
            last_failure: None,
            join_by: now.after(plan.timing.join_max()),
            occupant: None,
            farewell: None,
            view: None,
            absences: Absences::default(),
            turn: None,
            wants_to_announce: false,
            leave_by: None,
            turned_at: now,
            is_exiled: false,
            is_stuck: false,
            is_garbled: false,
            unreachable: BTreeMap::new(),
            reachable: None,
            report_at: now,
            cuts: BTreeSet::new(),
            cuts_since: now,
            plan,
        }
    }

    /// What came of the call that was polled last.
    pub(crate) fn handle_answer(&mut self, now: Instant, answer: Answer) {
        let sent_at = self.outstanding.take().unwrap_or(now);
        // Whatever was answered: what the clock has ended meanwhile has ended.
        self.handle_timeout(now);
        match answer {
            Answer::Read(entries) => self.handle_entries(now, &entries),
            Answer::Granted(lease, ttl_s) => self.handle_grant(sent_at, lease, ttl_s),
            Answer::Committed | Answer::Revoked => self.read_at = now,
            Answer::Denied(why) if self.is_joining() => self.refuse(MembershipError::Unreachable(why)),
            Answer::Denied(why) | Answer::Nothing(why) => {
                self.last_failure = Some(why);
                if let Stage::Granting(_) = self.stage {
                    self.stage = Stage::Seeking;
                }
                self.is_fresh = false;
                self.read_at = now.after(self.timing().retry_after());
            }
        }
    }

    /// What came of the renewal that was sent at `sent_at`. Returns what is certain now, if that is to be told.
    #[must_use]
    pub(crate) fn handle_renewed(
        &mut self,
        now: Instant,
        sent_at: Instant,
        renewed: Renewed,
    ) -> Option<Certainty> {
        self.handle_timeout(now);
        let lease = self.lease.as_mut()?;
        match renewed {
            Renewed::Yes => {
                lease.sent_at = lease.sent_at.max(sent_at);
                lease.renew_at = lease.sent_at.after(lease.timing.renew_every());
                let certainty = lease.timing.certainty(lease.sent_at);
                self.decide_at = now;
                matches!(self.stage, Stage::Seated(_)).then_some(certainty)
            }
            Renewed::Gone => {
                // Nobody has said why, and it does not stay to read. A node that cannot reach others, and loses its
                // lease without having been slow to renew it, was most likely sentenced for that.
                self.is_exiled = !self.unreachable.is_empty();
                self.end("etcd has ended the lease");
                None
            }
            Renewed::Nothing => {
                lease.renew_at = now.after(lease.timing.retry_after());
                None
            }
        }
    }

    /// Something has changed at the engine, perhaps.
    pub(crate) fn handle_hint(&mut self, now: Instant) {
        self.read_at = self.read_at.min(now);
        self.is_fresh = false;
    }

    /// The other members that this node can talk to, of the last view that was told.
    pub(crate) fn handle_reachable(&mut self, now: Instant, reachable: &[NodeId]) {
        self.reachable = Some(reachable.to_vec());
        self.note_unreachable(now);
    }

    /// Notes since when each life of the view cannot be reached, also one that has just come and was never connected.
    fn note_unreachable(&mut self, now: Instant) {
        let Some(reachable) = &self.reachable else { return };
        let seats = self.view.as_ref().map_or(&[][..], |view| &view.members);
        let me = self.plan.candidate.node;
        let is_cut = |seat: &&Seat| Some(seat.node()) != me && !reachable.contains(&seat.node());
        let lives = seats
            .iter()
            .filter(is_cut)
            .map(|seat| Life { node: seat.node(), incarnation: seat.incarnation() });
        self.unreachable =
            lives.map(|life| (life, self.unreachable.get(&life).copied().unwrap_or(now))).collect();
        self.decide_at = now;
    }

    /// The node is about to leave, and wants everybody to know.
    pub(crate) fn handle_announcement(&mut self, now: Instant) {
        self.wants_to_announce = true;
        self.decide_at = now;
    }

    /// The node leaves.
    pub(crate) fn handle_leaving(&mut self, now: Instant) {
        self.leave_by = Some(now.after(self.timing().leave_max()));
        self.decide_at = now;
    }

    /// The node does not care any more, as if it had crashed.
    pub(crate) fn handle_drop(&mut self) {
        self.stage = Stage::Over;
        self.events.clear();
        self.farewell = None;
    }

    /// What [`Event::Keep`] asked for failed: nothing that comes after it may be told.
    pub(crate) fn handle_unkept(&mut self, path: String, source: std::io::Error) {
        let was_told = !self.events.iter().any(|event| matches!(event, Event::Joined(_)));
        self.events.clear();
        if was_told {
            self.end(&format!("cannot write {path}: {source}"));
        } else {
            self.refuse(MembershipError::Io { path, source });
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(lease) = self.lease
            && now >= lease.timing.certainty(lease.sent_at).fenced_at
        {
            self.end("etcd has not answered for so long that the lease may have ended");
        }
        if self.is_joining() && now >= self.join_by {
            let why = self.last_failure.take();
            let why = why.unwrap_or_else(|| "no view with this node came about in time".to_owned());
            self.refuse(MembershipError::Unreachable(why));
        }
        if self.leave_by.is_some_and(|by| now >= by) {
            self.left();
        }
    }

    /// The next call to make, if none is on its way.
    #[must_use]
    pub(crate) fn poll_call(&mut self, now: Instant) -> Option<Call> {
        self.turned_at = now;
        self.handle_timeout(now);
        if self.outstanding.is_some() {
            return None;
        }
        let call = self.poll_call_next(now)?;
        self.outstanding = Some(now);
        Some(call)
    }

    fn poll_call_next(&mut self, now: Instant) -> Option<Call> {
        if self.stage == Stage::Over {
            return self.farewell.take().map(Call::Revoke);
        }
        if self.is_fresh && now >= self.decide_at {
            self.decide_at = Instant::NEVER;
            if let Some(call) = self.decide(now) {
                if !matches!(call, Call::Grant(_)) {
                    self.is_fresh = false;
                    self.read_at = now;
                }
                return Some(call);
            }
        }
        if self.stage != Stage::Over && now >= self.read_at {
            self.read_at = now.after(self.timing().read_every());
            return Some(Call::Read);
        }
        // Deciding may have ended it all.
        self.farewell.take().map(Call::Revoke)
    }

    /// What to tell next.
    #[must_use]
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to look again, if nothing happens before.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Instant {
        let mut at = Instant::NEVER;
        if self.stage == Stage::Over {
            return at;
        }
        if let Some(lease) = self.lease {
            at = at.min(lease.timing.certainty(lease.sent_at).fenced_at);
        }
        if self.is_joining() {
            at = at.min(self.join_by);
        }
        if let Some(by) = self.leave_by {
            at = at.min(by);
        }
        if self.outstanding.is_none() {
            at = at.min(self.read_at);
            if self.is_fresh {
                at = at.min(self.decide_at);
            }
        }
        at
    }

    /// Is it time to renew the lease? The node's driver ran last at `last_alive`. If that is long ago, or if nobody has
    /// asked for calls for a whole lease, the node is stuck and must lose its lease.
    ///
    /// Of a renewal that is sent, `now` is the instant that counts.
    #[must_use]
    pub(crate) fn poll_renewal(&mut self, now: Instant, last_alive: Instant) -> Renewal {
        self.handle_timeout(now);
        if self.stage == Stage::Over {
            return Renewal::End;
        }
        let timing = self.timing();
        let Some(lease) = self.lease else { return Renewal::Wait(now.after(timing.renew_every())) };
        let is_node_stuck = now.since(last_alive) > timing.alive_within();
        if is_node_stuck || now.since(self.turned_at) > timing.ttl {
            if !core::mem::replace(&mut self.is_stuck, true) {
                let who = if is_node_stuck { "the node's driver" } else { "the thread that decides" };
                self.warn(&format!("{who} does not run: the lease is not renewed"));
            }
            return Renewal::Wait(now.after(timing.retry_after()));
        }
        self.is_stuck = false;
        if now < lease.renew_at { Renewal::Wait(lease.renew_at) } else { Renewal::Send(lease.id) }
    }

    /// Has everything come to its end, and nothing is left to call?
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.farewell.is_none()
    }

    /// Does everybody know that the node is about to leave?
    pub(crate) fn has_announced(&self) -> bool {
        self.life().is_some_and(|Life { node, incarnation }| {
            self.snapshot.life(node, incarnation).is_some_and(|registered| registered.record.leaving)
        })
    }

    /// Did the others revoke the lease because they could not reach this node?
    pub(crate) fn is_exiled(&self) -> bool {
        self.is_exiled
    }

    /// The lease, if it was granted.
    pub(crate) fn lease(&self) -> Option<LeaseId> {
        self.lease.map(|lease| lease.id)
    }

    /// The configuration in which the node is to run, once it has joined.
    pub(crate) const fn digest(&self) -> u64 {
        self.plan.digest
    }

    /// The spans of the lease as granted, or as it is to be asked for.
    pub(crate) fn timing(&self) -> Timing {
        self.lease.map_or(self.plan.timing, |lease| lease.timing)
    }

    fn life(&self) -> Option<Life> {
        match self.stage {
            Stage::Candidate(life) | Stage::Seated(life) => Some(life),
            Stage::Seeking | Stage::Granting(_) | Stage::Registering(_) | Stage::Over => None,
        }
    }

    fn is_joining(&self) -> bool {
        match self.stage {
            Stage::Seeking | Stage::Granting(_) | Stage::Registering(_) | Stage::Candidate(_) => true,
            Stage::Seated(_) | Stage::Over => false,
        }
    }

    /// Was the node told that it is a member?
    fn was_told(&self) -> bool {
        self.view.is_some()
    }

    /// Reads the snapshot for what has happened; what to do about it is decided when the next call is asked for.
    fn handle_entries(&mut self, now: Instant, entries: &[Entry]) {
        let snapshot = match Snapshot::new(&self.plan.keys, entries) {
            Ok(snapshot) => snapshot,
            Err(garbled) if self.is_joining() => {
                return self.refuse(MembershipError::Untrusted(garbled.0));
            }
            Err(garbled) => {
                // Who is alive cannot be told: nothing is decided, and whoever is a member stays one.
                self.is_fresh = false;
                if !core::mem::replace(&mut self.is_garbled, true) {
                    self.warn(&garbled.0);
                }
                return;
            }
        };
        self.is_garbled = false;
        self.last_failure = None;
        self.absences.note(now, &snapshot);
        self.snapshot = snapshot;
        self.is_fresh = true;
        self.decide_at = now;
        self.note_cuts(now);
        match self.stage {
            Stage::Seeking | Stage::Granting(_) | Stage::Registering(_) => self.recognise(),
            Stage::Candidate(_) | Stage::Seated(_) | Stage::Over => {}
        }
        if let Some(life) = self.life() {
            self.look(now, life);
        }
    }

    /// Looks for what has become of this life, and for a new view.
    fn look(&mut self, now: Instant, life: Life) {
        let Life { node, incarnation } = life;
        // First, since by the time that this is read the key may be gone because of it.
        if let Some(fence) = self.snapshot.fences.get(&(node, incarnation)) {
            self.is_exiled = fence.why == Why::Unreachable;
            return self.end(&format!("node {} revokes the lease: {}", fence.by, fence.why));
        }
        if self.snapshot.life(node, incarnation).is_none() && self.leave_by.is_some() {
            return self.left();
        }
        let mut removed = self.snapshot.view().into_iter().flat_map(|view| &view.removed).copied();
        let own = removed.find(|gone| (gone.node, gone.incarnation) == (node.0, incarnation.0));
        if let Some(own) = own {
            self.is_exiled = own.why == Why::Unreachable;
            return self.end(&format!("a view is without it: {}", own.why));
        }
        if self.snapshot.life(node, incarnation).is_none() {
            return self.end("its key at etcd is gone");
        }
        if self.snapshot.holds.contains(&node) {
            return self.end_held(node);
        }
        if let Some(why) = self.distrust() {
            return self.end_for(why, MembershipError::Untrusted);
        }
        let Some((view, _, digest)) = self.snapshot.view.clone() else { return };
        if self.view.as_ref().is_some_and(|last| last.epoch >= view.epoch) {
            return;
        }
        if !view.has(node, incarnation) {
            if self.was_told() {
                self.end(&format!("the view of epoch {} is without it", view.epoch));
            }
            return;
        }
        self.accept(now, life, view, digest);
    }

    fn accept(&mut self, now: Instant, life: Life, view: ViewRecord, digest: u64) {
        let floor = Floor { epoch: Epoch(view.epoch), digest, incarnation: life.incarnation };
        self.plan.floor = floor;
        self.events.push_back(Event::Keep(floor));
        if let Stage::Candidate(_) = self.stage {
            self.stage = Stage::Seated(life);
            // Whoever founded it may have read the key before that said otherwise.
            self.plan.digest = view.digest;
            self.events.push_back(Event::Joined(life));
            let lease = self.lease.expect("a candidate has a lease");
            self.events.push_back(Event::Certainty(lease.timing.certainty(lease.sent_at)));
        }
        self.events.push_back(Event::View(view.cluster_view()));
        self.view = Some(view);
        self.note_unreachable(now);
    }

    /// Why the engine's state is not to be trusted.
    fn distrust(&self) -> Option<String> {
        let floor = self.plan.floor;
        let seen = format!("this node has accepted the view of epoch {}", floor.epoch.0);
        match &self.snapshot.view {
            None if floor.epoch > Epoch(0) => Some(format!("no view is stored, but {seen}")),
            None => None,
            Some((view, _, _)) if view.epoch < floor.epoch.0 => {
                Some(format!("the view of epoch {} is stored, but {seen}", view.epoch))
            }
            Some((view, _, digest)) if view.epoch == floor.epoch.0 && *digest != floor.digest => {
                Some(format!("another view of epoch {} is stored than this node has accepted", view.epoch))
            }
            Some(_) => None,
        }
    }

    fn note_cuts(&mut self, now: Instant) {
        let mut cuts = BTreeSet::new();
        for (node, reach) in &self.snapshot.reach {
            let is_seated = |life: Life| {
                let view = self.snapshot.view();
                view.is_some_and(|view| view.has(life.node, life.incarnation))
                    && self.snapshot.life(life.node, life.incarnation).is_some()
            };
            let Some(registered) = self.snapshot.members.get(node) else { continue };
            if !is_seated(Life { node: *node, incarnation: registered.incarnation }) {
                continue;
            }
            for (other, incarnation) in &reach.cut {
                let other = Life { node: NodeId(*other), incarnation: Incarnation(*incarnation) };
                if other.node != *node && is_seated(other) {
                    cuts.insert((other.node.min(*node), other.node.max(*node)));
                }
            }
        }
        if cuts != self.cuts {
            self.cuts = cuts;
            self.cuts_since = now;
        }
    }

    fn warn(&mut self, text: &str) {
        self.events.push_back(Event::Warning(text.to_owned()));
    }

    /// Membership ends, or the attempt to get one. The lease is left to end by itself: the node may hear of this late,
    /// and until then it believes in what it was told last.
    fn end(&mut self, why: &str) {
        self.end_for(why.to_owned(), MembershipError::Unreachable);
    }

    /// The same, with what the attempt to get one is to be refused with.
    fn end_for(&mut self, why: String, refusal: impl FnOnce(String) -> MembershipError) {
        match self.stage {
            Stage::Over => {}
            Stage::Seated(_) if self.leave_by.is_some() => self.left(),
            Stage::Seated(_) => {
                self.stage = Stage::Over;
                self.events.push_back(Event::Fenced(why));
            }
            Stage::Seeking | Stage::Granting(_) | Stage::Registering(_) | Stage::Candidate(_) => {
                self.refuse(refusal(why));
            }
        }
    }

    fn end_held(&mut self, node: NodeId) {
        let key = self.plan.keys.name(Topic::Hold(node));
        let why = format!("an operator keeps node {node} out: delete {key} to let it in");
        self.end_for(why, MembershipError::Configuration);
    }

    /// The node did not become a member; nobody was told that it did, so its lease can go at once.
    fn refuse(&mut self, error: MembershipError) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        self.farewell = self.lease();
        self.events.push_back(Event::Refused(error));
    }

    fn left(&mut self) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        self.farewell = self.lease();
        self.events.push_back(Event::Left);
    }
}

#[cfg(test)]
mod tests;
