//! What is written into the keys: JSON, so that an operator can read it.

use core::fmt;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use lockmaster_async::lockmaster_core::{Epoch, Incarnation, MEMBERS_MAX};
use lockmaster_async::{ClusterMember, ClusterView, NodeId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The form of all records. A record of another form is not read: whoever wrote it keeps other rules.
const FORM: u32 = 1;

/// How long a lease can live, in seconds: etcd grants no longer one.
const TTLS_S: RangeInclusive<u64> = 1..=9_000_000_000;

/// What a live node says of itself, in its member key. Its incarnation is the revision that created the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRecord {
    form: u32,
    pub(crate) address: SocketAddr,
    /// Digest of the configuration in which it is to run.
    pub(crate) digest: u64,
    /// Time to live of its lease as granted, in seconds.
    ttl_s: u64,
    pub(crate) leaving: bool,
}

/// The view document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ViewRecord {
    form: u32,
    pub(crate) epoch: u32,
    /// Digest of the configuration in which all members run.
    pub(crate) digest: u64,
    /// By node.
    pub(crate) members: Vec<Seat>,
    /// Who was in the view before, and why it is not any more.
    pub(crate) removed: Vec<Removal>,
}

/// A member in the view document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) node: u16,
    pub(crate) incarnation: u64,
    pub(crate) joined: u32,
    pub(crate) leaving: bool,
    pub(crate) address: SocketAddr,
    ttl_s: u64,
}

/// A life that a view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Removal {
    pub(crate) node: u16,
    pub(crate) incarnation: u64,
    pub(crate) why: Why,
}

/// Why a member was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// Its lease ran out.
    Expired,
    /// Other members could not reach it and revoked its lease.
    Unreachable,
    /// An operator keeps it out.
    Held,
    /// It left in order.
    Left,
}

/// The lease of a life is revoked, and why. Whoever sees it may finish what was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FenceRecord {
    form: u32,
    /// The node that decided it.
    pub(crate) by: u16,
    pub(crate) why: Why,
}

/// Whom a node cannot talk to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReachRecord {
    form: u32,
    /// Nodes and incarnations, in order.
    pub(crate) cut: Vec<(u16, u64)>,
}

/// A record cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Garbled(pub(crate) String);

impl MemberRecord {
    pub(crate) fn new(address: SocketAddr, digest: u64, ttl: Duration, leaving: bool) -> Self {
        Self { form: FORM, address, digest, ttl_s: ttl.as_secs(), leaving }
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }
}

impl ViewRecord {
    pub(crate) fn new(epoch: Epoch, digest: u64, members: Vec<Seat>, removed: Vec<Removal>) -> Self {
        Self { form: FORM, epoch: epoch.0, digest, members, removed }
    }

    pub(crate) fn seat(&self, node: NodeId) -> Option<&Seat> {
        self.members.iter().find(|seat| seat.node == node.0)
    }

    /// Is this life of the node a member?
    pub(crate) fn has(&self, node: NodeId, incarnation: Incarnation) -> bool {
        self.seat(node).is_some_and(|seat| seat.incarnation == incarnation.0)
    }

    /// The view as the node is told of it.
    pub(crate) fn cluster_view(&self) -> ClusterView {
        let members = self.members.iter().map(|seat| ClusterMember {
            node: NodeId(seat.node),
            incarnation: Incarnation(seat.incarnation),
            joined: Epoch(seat.joined),
            is_leaving: seat.leaving,
            address: seat.address,
        });
        ClusterView { epoch: Epoch(self.epoch), members: members.collect() }
    }

    fn is_sound(&self) -> bool {
        let is_odd = |seat: &Seat| {
            seat.node() == NodeId::GONE
                || seat.incarnation == 0
                || !(1..=self.epoch).contains(&seat.joined)
                || !TTLS_S.contains(&seat.ttl_s)
        };
        self.epoch > 0
            && self.members.len() <= MEMBERS_MAX
            && self.members.windows(2).all(|pair| pair[0].node < pair[1].node)
            && !self.members.iter().any(is_odd)
    }
}

impl Seat {
    pub(crate) fn new(node: NodeId, incarnation: Incarnation, joined: Epoch, record: &MemberRecord) -> Self {
        Self {
            node: node.0,
            incarnation: incarnation.0,
            joined: joined.0,
            leaving: record.leaving,
            address: record.address,
            ttl_s: record.ttl_s,
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId(self.node)
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }

    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_s)
    }
}

impl FenceRecord {
    pub(crate) fn new(by: NodeId, why: Why) -> Self {
        Self { form: FORM, by: by.0, why }
    }
}

impl ReachRecord {
    pub(crate) fn new(cut: impl IntoIterator<Item = (NodeId, Incarnation)>) -> Self {
        let cut = cut.into_iter().map(|(node, incarnation)| (node.0, incarnation.0));
        Self { form: FORM, cut: cut.take(MEMBERS_MAX).collect() }
    }
}

/// Something with a form, that can be written and read.
pub(crate) trait Record: Serialize + DeserializeOwned {
    fn form(&self) -> u32;

    /// Does it make sense?
    fn is_sound(&self) -> bool {
        true
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records are plain numbers and lists")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Garbled> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| Garbled(error.to_string()))?;
        if record.form() != FORM {
            return Err(Garbled(format!("it has form {}, and this version reads {FORM}", record.form())));
        }
        if !record.is_sound() {
            return Err(Garbled("it contradicts itself".to_owned()));
        }
        Ok(record)
    }
}

impl Record for MemberRecord {
    fn form(&self) -> u32 {
        self.form
    }

    fn is_sound(&self) -> bool {
        TTLS_S.contains(&self.ttl_s)
    }
}

impl Record for ViewRecord {
    fn form(&self) -> u32 {
        self.form
    }

    fn is_sound(&self) -> bool {
        Self::is_sound(self)
    }
}

impl Record for FenceRecord {
    fn form(&self) -> u32 {
        self.form
    }
}

impl Record for ReachRecord {
    fn form(&self) -> u32 {
        self.form
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its lease ran out",
            Self::Unreachable => "other members could not reach it",
            Self::Held => "an operator keeps it out",
            Self::Left => "it left",
        })
    }
}

#[cfg(test)]
mod tests;
