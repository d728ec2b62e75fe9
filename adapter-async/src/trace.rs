//! Events for `tracing`. Without the feature every function is empty.
//!
//! What is told of runs code that is not ours, so nothing is told under the node's mutex: what happens there is noted
//! ([`Notes`]), and told with the other errands.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "without the feature nothing is told")
)]

use lockmaster_core::{Denial, Dropped, Epoch, HelloError, NodeId, OwnerId, Progress, Standing};

use crate::membership::MembershipError;

pub(crate) fn started(node: NodeId, members: usize, machines: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, members, machines, "node started");
}

pub(crate) fn security(node: NodeId, is_secured: bool) {
    #[cfg(feature = "tracing")]
    if is_secured {
        tracing::info!(node = node.0, "members prove themselves and connections are encrypted");
    } else {
        tracing::warn!(node = node.0, "no member proves itself and no connection is encrypted");
    }
}

pub(crate) fn closed(node: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, "node shut down");
}

pub(crate) fn broken(node: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::error!(node = node.0, "node shut down after a panic");
}

pub(crate) fn trouble(node: Option<NodeId>, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.map(|node| node.0), why, "membership is in trouble");
}

pub(crate) fn join_failed(node: NodeId, error: &MembershipError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, %error, "cannot join");
}

pub(crate) fn handshake_failed(node: NodeId, error: &dyn core::error::Error) {
    #[cfg(feature = "tracing")]
    tracing::debug!(node = node.0, %error, "handshake failed");
}

/// A hello was refused; `machines` is how many the peer runs, if that is why.
pub(crate) fn hello_refused(node: NodeId, error: HelloError, machines: Option<u8>) {
    #[cfg(feature = "tracing")]
    match machines {
        None => tracing::warn!(node = node.0, %error, "hello refused"),
        Some(machines) => {
            tracing::warn!(
                node = node.0,
                machines,
                "hello refused: the peer runs another number of machines"
            );
        }
    }
}

pub(crate) fn accept_failed(node: NodeId, error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, %error, "accept failed");
}

/// What has happened under the node's mutex.
#[derive(Debug)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "without the feature nothing is told"))]
pub(crate) enum Note {
    Opened,
    Viewed {
        epoch: Epoch,
        members: usize,
    },
    Stands(Standing),
    Fenced(String),
    Troubled(String),
    PeerUp(NodeId),
    PeerDown(NodeId),
    FrameDropped(NodeId, Dropped),
    Denied(OwnerId, Denial),
    Lost(OwnerId),
    /// By this machine, whose slots are named.
    Transfer(u64, Progress),
}

/// Notes of a node, in their order.
#[derive(Debug)]
pub(crate) struct Notes {
    #[cfg(feature = "tracing")]
    noted: Vec<(NodeId, Note)>,
}

impl Notes {
    pub(crate) const fn new() -> Self {
        Self {
            #[cfg(feature = "tracing")]
            noted: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, node: NodeId, note: Note) {
        #[cfg(feature = "tracing")]
        self.noted.push((node, note));
    }

    /// Tells all that was noted. The mutex must be free.
    pub(crate) fn tell(&mut self) {
        #[cfg(feature = "tracing")]
        self.noted.drain(..).for_each(|(node, note)| note.tell(node));
    }
}

#[cfg(feature = "tracing")]
impl Note {
    fn tell(self, NodeId(node): NodeId) {
        match self {
            Self::Opened => tracing::info!(node, "every member was heard"),
            Self::Viewed { epoch, members } => tracing::info!(node, epoch = epoch.0, members, "new view"),
            Self::Stands(standing @ (Standing::Outside | Standing::Member)) => {
                tracing::info!(node, ?standing, "standing changed");
            }
            Self::Stands(standing @ (Standing::Suspect | Standing::Fenced)) => {
                tracing::warn!(node, ?standing, "standing changed");
            }
            Self::Fenced(why) => tracing::error!(node, why, "membership has ended: every lock is lost"),
            Self::Troubled(why) => trouble(Some(NodeId(node)), &why),
            Self::PeerUp(peer) => tracing::info!(node, peer = peer.0, "peer connected"),
            Self::PeerDown(peer) => tracing::warn!(node, peer = peer.0, "peer disconnected"),
            Self::FrameDropped(peer, error) => {
                tracing::warn!(node, peer = peer.0, %error, "frame dropped");
            }
            Self::Denied(owner, reason) => tracing::debug!(node, owner = owner.0, ?reason, "lock denied"),
            Self::Lost(owner) => tracing::error!(node, owner = owner.0, "lock lost"),
            Self::Transfer(machine, progress) => tell_transfer(node, machine, &progress),
        }
    }
}

#[cfg(feature = "tracing")]
fn tell_transfer(node: u16, machine: u64, progress: &Progress) {
    use lockmaster_core::Stage;
    let Progress { range, to, stage, resources, locks, bytes, relayed, transfer: _ } = *progress;
    match stage {
        Stage::Offered | Stage::Moving | Stage::Announced => {
            tracing::debug!(node, machine, %range, to = to.0, ?stage, resources, locks, bytes, relayed, "transfer goes on");
        }
        Stage::Done => {
            tracing::info!(node, machine, %range, to = to.0, resources, locks, bytes, relayed, "slots transferred");
        }
        Stage::Refused(reason) => {
            tracing::warn!(node, machine, %range, to = to.0, %reason, "transfer refused");
        }
        Stage::Withdrawn => {
            tracing::info!(node, machine, %range, to = to.0, "transfer withdrawn");
        }
        Stage::Cut => {
            tracing::warn!(node, machine, %range, to = to.0, "transfer cut: the other node left");
        }
    }
}
