//! Views: which members there are, told to the node by a membership engine and never invented by it.
//!
//! ```text
//!            first view           not vouched for lately
//! outside ──────────────► member ───────────────────────► suspect
//!    ▲                       │  ◄───────────────────────     │
//!    │                       │        vouched for again      │
//!    │                       │                               │
//!    │     rejoin            ▼                               ▼
//!    └──────────────────── fenced: a view without it, the end of certainty, or the engine's word
//! ```
//!
//! `install` takes a view in, `agree` makes one map of all members' maps, `report` says what this node holds in slots
//! whose master was lost, `rebuild` makes records of what all have said, `early` does so for a single resource that
//! somebody waits for, and `clear` makes room. `part` says that nothing is left, `purge` forgets who has departed, `fence`
//! ends a life, `balance` spreads the slots. The rules are those of `docs/views.md`.

mod agree;
mod balance;
mod clear;
mod early;
mod fence;
mod install;
mod part;
mod purge;
mod rebuild;
mod report;

pub(crate) use agree::Agreeing;
pub use agree::Claimed;
pub(crate) use early::Early;
pub use fence::RejoinError;
pub(crate) use part::Parting;
pub(crate) use rebuild::Hearing;
pub(crate) use report::Reporting;

use heapless::Vec;

use crate::config::Config;
use crate::id::{Epoch, Incarnation, MEMBERS_MAX, NodeId};
use crate::machine::{Machine, Member};
use crate::peer::Push;
use crate::record::NOBODY;
use crate::time::Instant;
use crate::wire::{FrameWriter, ViewMessage};

/// The members of the cluster from one change of membership to the next (VMS: cluster membership; the term is that of
/// group communication).
///
/// Views are ordered by their epochs. A node may miss some of them, but never sees one earlier than its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Number of the view, above those of all views before it; not 0.
    pub epoch: Epoch,
    /// The members, each node once, in any order.
    pub members: Vec<ViewMember, MEMBERS_MAX>,
}

/// One member of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewMember {
    /// The node.
    pub node: NodeId,
    /// Its life. A restarted node is another incarnation, which inherits nothing.
    pub incarnation: Incarnation,
    /// Epoch of the view in which this incarnation joined.
    pub joined: Epoch,
    /// It is about to leave and is given no slots any more.
    pub is_leaving: bool,
}

/// How long the engine vouches for a node's being a member.
///
/// Both instants are on the node's own clock, and are counted from before the renewal that they stem from was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certainty {
    /// From then on the node makes no new grants as a master until it is certain again.
    pub suspect_at: Instant,
    /// From then on the node is no member: its locks are lost. The engine must not remove it earlier.
    pub fenced_at: Instant,
}

impl Certainty {
    /// Membership that no clock ends.
    pub const FOR_EVER: Self = Self { suspect_at: Instant::NEVER, fenced_at: Instant::NEVER };
}

/// What a node is in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It has no view yet: requests wait.
    Outside,
    /// It is a member, and its membership is certain.
    Member,
    /// It is a member, but the engine has not vouched for it lately: it makes no new grants as a master.
    Suspect,
    /// It is no member any more and has lost all its locks. [`Node::rejoin`](crate::Node::rejoin) begins its next life.
    Fenced,
}

/// Why a view was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// The node was configured with members: its view never changes.
    #[error("membership of this node is static")]
    Static,
    /// The node has installed this view or a later one.
    #[error("the view is not later than the one installed")]
    Old,
    /// A member is named twice, has joined later than the view or in none, or has no incarnation; or a life has joined in
    /// another view than the one before said.
    #[error("the view contradicts itself or the one before")]
    Unsound,
    /// It has more members than there are places for: raise [`Config::places`]. Those that departed lately keep theirs
    /// for a moment, so the same view may be taken a little later.
    #[error("there are not enough places for the members")]
    Places,
    /// The node is fenced: let it rejoin first.
    #[error("the node is fenced")]
    Fenced,
}

impl View {
    /// Adds a member; `false` if there are [`MEMBERS_MAX`] already.
    pub fn add(&mut self, member: ViewMember) -> bool {
        self.members.push(member).is_ok()
    }

    /// The member with this number.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&ViewMember> {
        self.members.iter().find(|member| member.node == node)
    }

    /// The member that decides about the map: the one that joined first, of several the lowest.
    #[must_use]
    pub fn coordinator(&self) -> Option<&ViewMember> {
        self.members.iter().min_by_key(|member| (member.joined, member.node))
    }

    /// Does every life that is in both views say in which it has joined as it did before?
    pub(crate) fn is_sound_after(&self, before: &Self) -> bool {
        let is_other = |member: &ViewMember| {
            let known = before.member(member.node).filter(|known| known.incarnation == member.incarnation);
            known.is_some_and(|known| known.joined != member.joined)
        };
        !self.members.iter().any(is_other)
    }

    /// Does the view hang together?
    pub(crate) fn is_sound(&self) -> bool {
        let is_odd = |(at, member): (usize, &ViewMember)| {
            member.node == NodeId::GONE
                || member.incarnation == Incarnation(0)
                || !(Epoch(1)..=self.epoch).contains(&member.joined)
                || self.members[..at].iter().any(|other| other.node == member.node)
        };
        !self.members.is_empty() && !self.members.iter().enumerate().any(is_odd)
    }
}

/// What a node knows of its view, beside what stands with each peer.
#[derive(Clone, Debug)]
pub(crate) struct Views {
    pub(crate) view: View,
    certainty: Certainty,
    life: Life,
    /// Who decides about the map; [`NOBODY`] if the view never changes.
    coordinator: Member,
    /// Members that joined before this view: only they can know who mastered what.
    knowing: u64,
    /// As the coordinator: the map of this view is decided.
    is_decided: bool,
    /// Slots of the agreed map that are here.
    installed: u32,
    /// Places of members that have departed and are not forgotten yet.
    departed: u64,
    /// Where the search for their locks goes on.
    purge_at: Option<u32>,
    /// This node's new slots before this one are decided about again.
    frontier: u32,
    /// Resources of the next one that are still to be opened.
    opening: Option<u32>,
    /// The chains of so many of those slots were read ahead.
    followed: u8,
    pub(crate) early: Early,
    /// What is held finds no room: what is merely wanted is being given up.
    clearing: Option<clear::Clearing>,
    /// No slot before this one is being rebuilt, here or elsewhere.
    first_closed: u32,
    /// Something has come that may let the rebuild go on.
    is_rebuild_due: bool,
    /// A slot that lacked room is tried again then.
    retry_at: Option<Instant>,
}

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It is a member, or wants to be.
    Alive,
    /// It is no member any more and is giving up its locks; so many records were looked at.
    Ending(fence::Step),
    /// It has nothing any more.
    Ended,
}

impl Views {
    pub(crate) fn new(config: &Config) -> Self {
        let mut view = View::default();
        if config.is_static() {
            view.epoch = config.epoch;
            for node in &config.members {
                let is_me = *node == config.node;
                let incarnation = if is_me { config.incarnation } else { Incarnation(0) };
                let member = ViewMember { node: *node, incarnation, joined: config.epoch, is_leaving: false };
                assert!(view.add(member), "a checked configuration has few members");
            }
        }
        Self {
            view,
            certainty: Certainty::FOR_EVER,
            life: Life::Alive,
            coordinator: NOBODY,
            knowing: 0,
            is_decided: false,
            installed: 0,
            departed: 0,
            purge_at: None,
            frontier: 0,
            opening: None,
            followed: 0,
            early: Early::new(),
            clearing: None,
            first_closed: 0,
            is_rebuild_due: false,
            retry_at: None,
        }
    }

    #[cfg(feature = "check")]
    pub(crate) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>) {
        feed.put(&(&self.view, self.life, self.coordinator, self.knowing, self.is_decided, self.installed));
        feed.put(&(self.departed, self.purge_at, self.frontier, self.opening));
        feed.put(&(self.clearing, self.is_rebuild_due));
        for until in [self.certainty.suspect_at, self.certainty.fenced_at] {
            feed.put_until(until);
        }
    }

    /// Is the node alive at this instant, and was its engine heard lately?
    pub(crate) fn is_certain_at(&self, now: Instant) -> bool {
        self.life == Life::Alive && now < self.certainty.suspect_at && now < self.certainty.fenced_at
    }

    /// Until when what this node holds is its own.
    pub(crate) fn certain_until(&self) -> Instant {
        if self.life == Life::Alive { self.certainty.fenced_at } else { Instant::START }
    }

    /// Members that have departed and are not forgotten yet.
    pub(crate) const fn departed(&self) -> u64 {
        self.departed
    }

    /// Is there nothing to do about views before the next input?
    pub(crate) const fn is_quiet(&self) -> bool {
        let is_ending = matches!(self.life, Life::Ending(_));
        let is_rebuilding = self.is_rebuild_due || self.early.is_due();
        self.purge_at.is_none() && self.clearing.is_none() && !is_rebuilding && !is_ending
    }

    /// When the node has to look at its certainty again.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.life != Life::Alive {
            return None;
        }
        let Certainty { suspect_at, fenced_at } = self.certainty;
        let certain = [suspect_at, fenced_at].into_iter().filter(|at| *at > now && *at != Instant::NEVER);
        certain.chain(self.retry_at).min()
    }
}

impl Machine<'_> {
    // ---- messages ----

    pub(crate) fn handle_view_message(&mut self, from: Member, message: &ViewMessage<'_>) {
        let is_heard = !self.s.config.is_static()
            && self.s.is_open
            && match *message {
                ViewMessage::Here { known } => self.handle_here(from, known),
                ViewMessage::MapReport(page) => self.handle_map_report(from, &page),
                ViewMessage::MapReported(until) => self.handle_map_told(from, until, false),
                ViewMessage::MapInstall(page) => self.handle_map_install(from, &page),
                ViewMessage::MapInstalled(until) => self.handle_map_told(from, until, true),
                ViewMessage::Report(report) => self.handle_report(from, &report),
                ViewMessage::Reported(reported) => self.handle_reported(from, reported),
                ViewMessage::Wanted(unit) => self.handle_wanted(from, unit),
                ViewMessage::Ask(ask) => self.handle_ask(from, &ask),
                ViewMessage::Told(told) => self.handle_told(from, &told),
                ViewMessage::Parting(until) => self.handle_parting(from, until),
                ViewMessage::Parted(until) => self.handle_parted(from, until),
            };
        if !is_heard {
            self.s.stats.messages_dropped += 1;
        }
        self.settle();
    }

    /// Is there something short to say about the view to a peer?
    pub(crate) fn has_view_output(&self, member: Member) -> bool {
        self.has_agreeing_output(member)
            || self.has_hearing_output(member)
            || self.has_parting_output(member)
            || self.has_early_output(member)
    }

    /// Says the next thing about the view to a peer, but for reports.
    pub(crate) fn write_view(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        if self.has_agreeing_output(member) {
            self.write_agreeing(member, writer)
        } else if self.has_hearing_output(member) {
            self.write_hearing(member, writer)
        } else if self.has_parting_output(member) {
            self.write_parting(member, writer)
        } else {
            self.write_early(member, writer)
        }
    }

    /// Does some of the work that a view has left, of `most` records at most; returns of how many.
    pub(crate) fn work_on_views(&mut self, most: u32) -> u32 {
        let steps = [
            Self::work_on_end,
            Self::work_on_early,
            Self::work_on_clearing,
            Self::work_on_rebuild,
            Self::work_on_departed,
        ];
        steps.into_iter().map(|step| step(self, most)).find(|done| *done > 0).unwrap_or(0)
    }

    /// A slot that lacked room when its reports were in is tried again; says whether there was one.
    pub(crate) fn expire_retry(&mut self, until: Instant) -> bool {
        let is_due = self.s.views.retry_at.is_some_and(|at| at <= until);
        if is_due {
            self.s.views.retry_at = None;
            self.s.views.is_rebuild_due = true;
        }
        is_due
    }

    /// Works off what is due to be said again about the view to a peer; says whether there was anything.
    pub(crate) fn expire_view(&mut self, member: Member, until: Instant) -> bool {
        let peer = &self.peers[usize::from(member)];
        let is_due = |at: Instant| at != Instant::NEVER && at <= until;
        if is_due(peer.agreeing.repeat_at) {
            self.s.stats.repeats += 1;
            self.repeat_agreeing(member);
            return true;
        }
        if is_due(peer.reporting.repeat_at()) {
            self.s.stats.repeats += 1;
            self.repeat_reporting(member);
            return true;
        }
        if is_due(peer.parting.repeat_at()) {
            self.s.stats.repeats += 1;
            self.repeat_parting(member);
            return true;
        }
        false
    }
}
