//! Views: which members there are, told to the node by a membership engine and never invented by it.

use heapless::Vec;

use crate::id::{Epoch, Incarnation, MEMBERS_MAX, NodeId};
use crate::time::Instant;

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
    /// A member is named twice, has joined later than the view or in none, or has no incarnation.
    #[error("the view contradicts itself")]
    Unsound,
    /// The view names another incarnation of this node that is later: this one must end.
    #[error("the view has a later incarnation of this node")]
    Superseded,
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

    /// Does the view hang together?
    pub(crate) fn is_sound(&self) -> bool {
        let is_odd = |(at, member): (usize, &ViewMember)| {
            member.incarnation == Incarnation(0)
                || !(Epoch(1)..=self.epoch).contains(&member.joined)
                || self.members[..at].iter().any(|other| other.node == member.node)
        };
        !self.members.is_empty() && !self.members.iter().enumerate().any(is_odd)
    }
}
