//! Events for `tracing`. Without the feature every function is empty.

#![cfg_attr(
    not(feature = "tracing"),
    allow(unused_variables, reason = "without the feature nothing is told")
)]

use lockmaster_core::{Denial, Dropped, HelloError, NodeId, OwnerId, Progress, Standing};

use crate::membership::{ClusterView, MembershipError};

pub(crate) fn started(node: NodeId, members: usize) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, members, "node started");
}

pub(crate) fn security(node: NodeId, is_secured: bool) {
    #[cfg(feature = "tracing")]
    if is_secured {
        tracing::info!(node = node.0, "members prove themselves and connections are encrypted");
    } else {
        tracing::warn!(node = node.0, "no member proves itself and no connection is encrypted");
    }
}

pub(crate) fn opened(node: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, "every member was heard");
}

pub(crate) fn closed(node: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, "node shut down");
}

pub(crate) fn broken(node: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::error!(node = node.0, "node shut down after a panic");
}

pub(crate) fn viewed(node: NodeId, view: &ClusterView) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, epoch = view.epoch.0, members = view.members.len(), "new view");
}

pub(crate) fn standing(node: NodeId, standing: Standing) {
    #[cfg(feature = "tracing")]
    match standing {
        Standing::Outside | Standing::Member => tracing::info!(node = node.0, ?standing, "standing changed"),
        Standing::Suspect | Standing::Fenced => tracing::warn!(node = node.0, ?standing, "standing changed"),
    }
}

pub(crate) fn fenced(node: NodeId, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::error!(node = node.0, why, "membership has ended: every lock is lost");
}

pub(crate) fn trouble(node: Option<NodeId>, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.map(|node| node.0), why, "membership is in trouble");
}

pub(crate) fn join_failed(node: NodeId, error: &MembershipError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, %error, "cannot join");
}

pub(crate) fn peer_up(node: NodeId, peer: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::info!(node = node.0, peer = peer.0, "peer connected");
}

pub(crate) fn peer_down(node: NodeId, peer: NodeId) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, peer = peer.0, "peer disconnected");
}

pub(crate) fn hello_refused(node: NodeId, error: HelloError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, %error, "hello refused");
}

pub(crate) fn handshake_failed(node: NodeId, error: &dyn core::error::Error) {
    #[cfg(feature = "tracing")]
    tracing::debug!(node = node.0, %error, "handshake failed");
}

pub(crate) fn accept_failed(node: NodeId, error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, %error, "accept failed");
}

pub(crate) fn frame_dropped(node: NodeId, peer: NodeId, error: Dropped) {
    #[cfg(feature = "tracing")]
    tracing::warn!(node = node.0, peer = peer.0, %error, "frame dropped");
}

pub(crate) fn denied(node: NodeId, owner: OwnerId, reason: Denial) {
    #[cfg(feature = "tracing")]
    tracing::debug!(node = node.0, owner = owner.0, ?reason, "lock denied");
}

pub(crate) fn lost(node: NodeId, owner: OwnerId) {
    #[cfg(feature = "tracing")]
    tracing::error!(node = node.0, owner = owner.0, "lock lost");
}

pub(crate) fn transfer(node: NodeId, progress: &Progress) {
    #[cfg(feature = "tracing")]
    {
        use lockmaster_core::Stage;
        let Progress { range, to, stage, resources, locks, bytes, relayed, transfer: _ } = *progress;
        match stage {
            Stage::Offered | Stage::Moving | Stage::Announced => {
                tracing::debug!(node = node.0, %range, to = to.0, ?stage, resources, locks, bytes, relayed, "transfer goes on");
            }
            Stage::Done => {
                tracing::info!(node = node.0, %range, to = to.0, resources, locks, bytes, relayed, "slots transferred");
            }
            Stage::Refused(reason) => {
                tracing::warn!(node = node.0, %range, to = to.0, %reason, "transfer refused");
            }
            Stage::Withdrawn => {
                tracing::info!(node = node.0, %range, to = to.0, "transfer withdrawn");
            }
            Stage::Cut => {
                tracing::warn!(node = node.0, %range, to = to.0, "transfer cut: the other node left");
            }
        }
    }
}
