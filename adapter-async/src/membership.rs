//! Where views come from: a provider tells the node who is a member, and how long that is certain.
//!
//! A provider lives on threads of its own, so that it works beside any runtime, and talks to the node through an
//! [`Inbox`]. Nothing of it is called while the node's mutex is held.

use core::net::SocketAddr;
use std::io;

use lockmaster_core::{Certainty, ClusterId, Epoch, Incarnation, Instant, NodeId};

/// A membership engine, or the way to one.
pub trait Membership: Send + Sync + 'static {
    /// Makes the node a member, or a candidate for it, and tells it of views from then on.
    ///
    /// Called on a thread that may block, at the start and again after each time that membership was lost. It must not
    /// return before nobody takes an earlier life of this node for a member.
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
    /// The node's number; absent if the provider is to choose one.
    pub node: Option<NodeId>,
    /// Where other members reach it.
    pub address: SocketAddr,
    /// Digest of what must be configured alike on every node.
    pub digest: u64,
}

/// A membership that has begun.
pub struct Joined {
    /// The node's number.
    pub node: NodeId,
    /// This life; higher than all before it.
    pub incarnation: Incarnation,
    /// Ends it.
    pub session: Box<dyn Session>,
}

/// A node's side of its membership. Dropping it ends the membership as a crash would.
pub trait Session: Send + Sync + 'static {
    /// The node is about to leave: it is to be given no slots any more.
    ///
    /// # Errors
    /// [`MembershipError`]; the node is still an ordinary member.
    fn announce_leaving(&self) -> Result<(), MembershipError>;

    /// The node has nothing any more and leaves: a view without it may follow at once.
    fn leave(self: Box<Self>);

    /// Which other members this node can talk to now, one bit for each place in the last view that was told. Told when
    /// it changes, and now and then. A provider that cannot judge it ignores it.
    fn report_reachable(&self, reachable: &[NodeId]) {
        let _ = reachable;
    }
}

/// A view with what an adapter needs beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// The node's end of an [`Inbox`]: what a provider tells it and asks of it. Tests of a provider have one of their own.
pub trait Hear: Send + Sync {
    /// See [`Inbox::view`].
    fn view(&self, view: ClusterView);
    /// See [`Inbox::certainty`].
    fn certainty(&self, certainty: Certainty);
    /// See [`Inbox::fenced`].
    fn fenced(&self, why: &str);
    /// See [`Inbox::now`].
    fn now(&self) -> Instant;
    /// See [`Inbox::last_alive`].
    fn last_alive(&self) -> Instant;
}

/// Where a provider tells its node what it knows. Clones are the same inbox; one of an earlier life does nothing.
#[derive(Clone)]
pub struct Inbox {
    hear: std::sync::Arc<dyn Hear>,
}

impl Inbox {
    /// An inbox that leads there.
    pub fn new(hear: std::sync::Arc<dyn Hear>) -> Self {
        Self { hear }
    }

    /// There is a new view. An older one than the last is passed over.
    pub fn view(&self, view: ClusterView) {
        self.hear.view(view);
    }

    /// Membership is certain for so long, on the clock of [`Inbox::now`]. Never shortened but by [`Inbox::fenced`].
    pub fn certainty(&self, certainty: Certainty) {
        self.hear.certainty(certainty);
    }

    /// Membership has ended: every lock is lost, and the node will join anew.
    pub fn fenced(&self, why: &str) {
        self.hear.fenced(why);
    }

    /// The node's clock, which goes on while the machine sleeps (CLOCK_BOOTTIME).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.hear.now()
    }

    /// When the node's driver last ran. A provider that renews a lease does so only if that was lately: a node that is
    /// stuck must lose its lease.
    #[must_use]
    pub fn last_alive(&self) -> Instant {
        self.hear.last_alive()
    }
}

/// Why a node did not become a member, or a call on its session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// The number is taken by a living node: use another, or stop that one.
    #[error("node {0} is a member already")]
    Taken(NodeId),
    /// The cluster is configured otherwise: spaces, slots and hash seed must be the same on every node.
    #[error("the cluster is configured otherwise: {0}")]
    Configuration(String),
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
