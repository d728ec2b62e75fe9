//! Where views come from: a provider tells the node who is a member, and how long that is certain.
//!
//! A provider lives on threads of its own, so that it works beside any runtime, and talks to the node through an
//! [`Inbox`]. Nothing of it is called while the node's mutex is held.

pub(crate) mod duty;
mod ear;
mod keeper;
mod news;

use core::fmt;
use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use lockmaster_core::{Certainty, ClusterId, Epoch, Incarnation, Instant, NodeId, View, ViewMember};

pub(crate) use self::ear::Ear;
pub(crate) use self::keeper::{FirstLife, Keeper};

/// A membership engine, or the way to one.
pub trait Membership: Send + Sync + 'static {
    /// Makes the node a member, or a candidate for it, and tells it of views from then on.
    ///
    /// A node whose number was chosen here the first time names it from then on, and must be given it again: what it
    /// was is not told anew. If somebody else has it by then, that is [`MembershipError::Taken`], and the node tries
    /// again until it is free.
    ///
    /// Called on a thread of its own that may block, at the start and again after each time that membership was lost,
    /// when the session before was dropped. It must not return before nobody takes an earlier life of this node for a
    /// member. While it waits for that it looks at [`Inbox::is_over`].
    ///
    /// Whoever finds living members runs in their configuration, or is refused ([`Candidate::choose`]). No view has members
    /// of two configurations, so what makes the node a member settles that as well.
    ///
    /// # Errors
    /// [`MembershipError`] says what an operator has to do, or that it is to be tried again.
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError>;
}

/// What a node says of itself when it wants to become a member.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's number; absent if the provider is to choose one, which it does once in the node's life.
    pub node: Option<NodeId>,
    /// Where other members reach it.
    pub address: SocketAddr,
    /// Digests of the configurations in which the node can run, the one in which it would found a cluster first: spaces,
    /// slots and hash seed are the same in all, the number of machines is another in each. A node that has run already can
    /// run only in that one.
    pub digests: Vec<u64>,
}

impl Candidate {
    /// Chooses the configuration in which the node is to run: that of the living members, or its first if there are none.
    ///
    /// # Errors
    /// [`MembershipError::Configuration`] if the node cannot run in theirs.
    pub fn choose(&self, of_members: Option<u64>) -> Result<u64, MembershipError> {
        let chosen = match of_members {
            Some(theirs) => self.digests.iter().find(|digest| **digest == theirs),
            None => self.digests.first(),
        };
        let why = "spaces, slots, the hash seed or the number of machines are not those of the members";
        chosen.copied().ok_or_else(|| MembershipError::Configuration(why.to_owned()))
    }
}

/// A membership that has begun.
pub struct Joined {
    /// The node's number.
    pub node: NodeId,
    /// This life; higher than all before it.
    pub incarnation: Incarnation,
    /// The configuration in which all members run, one of the candidate's ([`Candidate::choose`]).
    pub digest: u64,
    /// The node's side of it.
    pub session: Box<dyn Session>,
}

/// A node's side of its membership. Dropping it ends the membership as a crash would.
///
/// Its methods are called on the thread that joined, and may block.
pub trait Session: Send + Sync + 'static {
    /// The node is about to leave: it is to be given no slots any more. A view that says so
    /// ([`ClusterMember::is_leaving`]) has to follow: the node waits for it before it goes.
    ///
    /// Called again if a view comes that does not say so, and some time after an error.
    ///
    /// # Errors
    /// [`MembershipError`]; the node is still an ordinary member.
    fn announce_leaving(&self) -> Result<(), MembershipError>;

    /// The node has nothing any more and leaves: a view without it may follow at once.
    fn leave(self: Box<Self>);

    /// Which other members this node is connected to. Told when that changes. A provider that does not judge by it
    /// ignores it.
    fn report_reachable(&self, reachable: &[NodeId]) {
        let _ = reachable;
    }
}

/// A view with what an adapter needs beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// Number of the view.
    pub epoch: Epoch,
    /// The members.
    pub members: Vec<ClusterMember>,
}

/// One member of a view, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterMember {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Epoch of the view in which this incarnation joined.
    pub joined: Epoch,
    /// It is about to leave.
    pub is_leaving: bool,
    /// Where it is reached.
    pub address: SocketAddr,
}

impl ClusterView {
    /// The view as the core has it; nothing if it has more members than any cluster.
    pub(crate) fn to_core(&self) -> Option<View> {
        let mut view = View { epoch: self.epoch, ..View::default() };
        let is_whole = self.members.iter().all(|member| {
            let ClusterMember { node, incarnation, joined, is_leaving, address: _ } = *member;
            view.add(ViewMember { node, incarnation, joined, is_leaving })
        });
        is_whole.then_some(view)
    }

    /// The member with this number.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<&ClusterMember> {
        self.members.iter().find(|member| member.node == node)
    }
}

/// Whoever listens at the other end of an [`Inbox`]: a node, or a test of a provider.
pub trait Hear: Send + Sync {
    /// See [`Inbox::view`].
    fn view(&self, view: ClusterView);
    /// See [`Inbox::certainty`].
    fn certainty(&self, certainty: Certainty);
    /// See [`Inbox::fenced`].
    fn fenced(&self, why: &str);
    /// See [`Inbox::trouble`].
    fn trouble(&self, why: &str);
    /// See [`Inbox::now`].
    fn now(&self) -> Instant;
    /// See [`Inbox::last_alive`].
    fn last_alive(&self) -> Instant;
    /// See [`Inbox::is_over`].
    fn is_over(&self) -> bool;
}

/// Where a provider tells its node what it knows. Clones are the same inbox; one of an earlier life does nothing.
///
/// What it is told has happened when the call returns: after [`Inbox::fenced`] the node grants nothing. Only what is
/// told before [`Membership::join`] has returned is kept until the node can take it.
#[derive(Clone)]
pub struct Inbox {
    hear: Arc<dyn Hear>,
}

impl Inbox {
    /// The inbox of this listener. Nodes make their own; this is for tests of providers.
    #[must_use]
    pub fn new(hear: Arc<dyn Hear>) -> Self {
        Self { hear }
    }

    /// There is a new view. An older one than the last is passed over.
    pub fn view(&self, view: ClusterView) {
        self.hear.view(view);
    }

    /// Membership is certain for so long, on the clock of [`Inbox::now`]. Never shortened but by [`Inbox::fenced`].
    /// A provider whose membership no clock ends says so with [`Certainty::FOR_EVER`], or says nothing.
    pub fn certainty(&self, certainty: Certainty) {
        self.hear.certainty(certainty);
    }

    /// Membership has ended: every lock is lost, and the node will join anew.
    pub fn fenced(&self, why: &str) {
        self.hear.fenced(why);
    }

    /// Something is wrong that an operator should know, but membership goes on.
    pub fn trouble(&self, why: &str) {
        self.hear.trouble(why);
    }

    /// The node's clock, which goes on while the machine sleeps (CLOCK_BOOTTIME).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.hear.now()
    }

    /// When the node's driver last ran. A provider that renews a lease does so only if that was lately: a node that is
    /// stuck must lose its lease.
    ///
    /// The driver of a node that is well moves it at least every half second, also if there is nothing to do; on a busy
    /// machine it may be late. Take a node for stuck only when it has not moved for several times as long, and for no
    /// shorter a part of the lease than from one renewal to the next. Until the node is there, which is after
    /// [`Membership::join`] has returned, it is the present.
    ///
    /// It may have to wait for a call of the node that is under way: hold nothing meanwhile that others wait for.
    #[must_use]
    pub fn last_alive(&self) -> Instant {
        self.hear.last_alive()
    }

    /// Does nobody listen any more, because the node was shut down or has begun another life? A join that waits for
    /// something looks now and then, and gives up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.hear.is_over()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

/// Why a node did not become a member, or a call on its session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// The number is taken by a living node: use another, or stop that one.
    #[error("node {0} is a member already")]
    Taken(NodeId),
    /// The cluster is configured otherwise: give this node the spaces, slots and hash seed of the others. If it was a member
    /// before, and the cluster was founded anew with another number of machines, start it again.
    #[error("the cluster is configured otherwise: {0}")]
    Configuration(String),
    /// Nobody wants the membership any more: the node was shut down meanwhile.
    #[error("the node was shut down while it joined")]
    Abandoned,
    /// The engine cannot be reached or does not answer; it may be tried again.
    #[error("the membership engine cannot be reached: {0}")]
    Unreachable(String),
    /// A file or directory of the engine cannot be used.
    #[error("cannot use {path}")]
    Io {
        /// The file or directory.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the engine has stored makes no sense, or is older than what this node has seen.
    #[error("the engine's state is not to be trusted: {0}")]
    Untrusted(String),
}
