//! Names of the keys of a cluster in etcd.

use lockmaster_async::NodeId;
use lockmaster_async::lockmaster_core::{ClusterId, Incarnation};

/// Where the keys of one cluster are: below `/lockmaster/<cluster>/`, the cluster in 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
}

/// What a key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The view document; no lease.
    View,
    /// That this node lives; leased.
    Member(NodeId),
    /// That the lease of this node's life has not ended; with the same lease. It outlasts a member key that somebody
    /// deletes by hand.
    Lease(NodeId),
    /// Whom this node cannot talk to; leased.
    Reach(NodeId),
    /// An operator keeps this node out; no lease.
    Hold(NodeId),
    /// The lease of this life was revoked, or is about to be; no lease.
    Fence(NodeId, Incarnation),
}

impl Keys {
    pub(crate) fn new(cluster: ClusterId) -> Self {
        Self { prefix: format!("/lockmaster/{:016x}/", cluster.0) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn name(&self, topic: Topic) -> String {
        let prefix = &self.prefix;
        match topic {
            Topic::View => format!("{prefix}view"),
            Topic::Member(node) => format!("{prefix}members/{node}"),
            Topic::Lease(node) => format!("{prefix}leases/{node}"),
            Topic::Reach(node) => format!("{prefix}reach/{node}"),
            Topic::Hold(node) => format!("{prefix}fence/{node}"),
            Topic::Fence(node, incarnation) => format!("{prefix}fence/{node}/{}", incarnation.0),
        }
    }

    /// What this key is about; `None` if it is none of ours.
    pub(crate) fn topic(&self, key: &str) -> Option<Topic> {
        let key = key.strip_prefix(&self.prefix)?;
        if key == "view" {
            return Some(Topic::View);
        }
        let (kind, rest) = key.split_once('/')?;
        let topic = match (kind, rest.split_once('/')) {
            ("members", None) => Topic::Member(topic_node(rest)?),
            ("leases", None) => Topic::Lease(topic_node(rest)?),
            ("reach", None) => Topic::Reach(topic_node(rest)?),
            ("fence", None) => Topic::Hold(topic_node(rest)?),
            ("fence", Some((node, incarnation))) => {
                Topic::Fence(topic_node(node)?, Incarnation(incarnation.parse().ok()?))
            }
            _ => return None,
        };
        // Only the name as it is written here: `members/07` and `members/7` must not be two keys of one node.
        (self.name(topic).strip_prefix(&self.prefix) == Some(key)).then_some(topic)
    }
}

fn topic_node(text: &str) -> Option<NodeId> {
    text.parse().ok().map(NodeId).filter(|node| *node != NodeId::GONE)
}

#[cfg(test)]
mod tests;
