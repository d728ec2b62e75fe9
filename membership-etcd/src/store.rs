//! What is asked of etcd and what it answers, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_async::NodeId;
use lockmaster_async::lockmaster_core::Incarnation;

use crate::keys::{Keys, Topic};
use crate::record::{FenceRecord, Garbled, MemberRecord, ReachRecord, Record, ViewRecord};

/// Most compares, and most operations, of a transaction: etcd refuses more than its `--max-txn-ops`, 128 by default.
pub(crate) const OPS_MAX: usize = 128;

/// A lease, as etcd numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeaseId(pub(crate) i64);

/// A state of all keys, as etcd numbers it. Of a key that does not exist it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision(pub(crate) i64);

/// Something to ask of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// All keys of the cluster, at one revision.
    Read,
    /// A lease of so many seconds.
    Grant(i64),
    /// Compare and swap.
    Commit(Transaction),
    /// The end of a lease and of its keys.
    Revoke(LeaseId),
}

/// What came of a call.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Read(Vec<Entry>),
    /// The lease, and its time to live as granted, in seconds.
    Granted(LeaseId, u64),
    /// The compares were made, and the operations done if they held. Which of it, the next reading tells.
    Committed,
    /// The lease is gone, now or before.
    Revoked,
    /// etcd does not let this user do it. Asking again does not help.
    Denied(String),
    /// Nothing was heard in time, or an error. What was asked for may have happened, or happen later.
    Nothing(String),
}

/// Operations that are done all together if all compares hold, and otherwise not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) compares: Vec<Compare>,
    pub(crate) ops: Vec<Op>,
}

/// The key was created, or last modified, by this revision; it does not exist if that is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Created(String, Revision),
    Modified(String, Revision),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Put(String, Vec<u8>, Option<LeaseId>),
    Delete(String),
}

/// A key with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) created: Revision,
    pub(crate) modified: Revision,
    pub(crate) lease: LeaseId,
}

/// All keys of a cluster, at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The view document, the revision that wrote it, and a digest of its bytes.
    pub(crate) view: Option<(ViewRecord, Revision, u64)>,
    /// Who lives.
    pub(crate) members: BTreeMap<NodeId, Registered>,
    /// Whose leases have not ended.
    pub(crate) leases: BTreeMap<NodeId, Registered>,
    /// Who cannot talk to whom, as it says of itself.
    pub(crate) reach: BTreeMap<NodeId, ReachRecord>,
    /// Whom an operator keeps out.
    pub(crate) holds: BTreeSet<NodeId>,
    /// Whose leases are revoked.
    pub(crate) fences: BTreeMap<(NodeId, Incarnation), FenceRecord>,
}

/// A life, as its member key or the key of its lease says. Both were created by one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) incarnation: Incarnation,
    /// What wrote its record, which its node may write anew.
    pub(crate) modified: Revision,
    pub(crate) lease: LeaseId,
    pub(crate) record: MemberRecord,
}

impl Snapshot {
    /// Reads the entries of a cluster. Keys that are not ours are passed over.
    ///
    /// # Errors
    /// A key of ours makes no sense. Then nothing may be decided: a live member would pass for an absent one.
    pub(crate) fn new(keys: &Keys, entries: &[Entry]) -> Result<Self, Garbled> {
        let mut snapshot = Self::default();
        for entry in entries {
            let Some(topic) = keys.topic(&entry.key) else { continue };
            let read = snapshot.new_entry(topic, entry);
            read.map_err(|garbled| Garbled(format!("{}: {}", entry.key, garbled.0)))?;
        }
        Ok(snapshot)
    }

    fn new_entry(&mut self, topic: Topic, entry: &Entry) -> Result<(), Garbled> {
        let bytes = entry.value.as_slice();
        match topic {
            Topic::View => {
                let digest = xxhash_rust::xxh3::xxh3_64(bytes);
                self.view = Some((ViewRecord::from_bytes(bytes)?, entry.modified, digest));
            }
            // The node that it names may live, and hold a lease that is not this key's any more.
            Topic::Member(_) | Topic::Lease(_) if entry.lease == LeaseId(0) => {
                return Err(Garbled("it has no lease, so no node has written it".to_owned()));
            }
            Topic::Member(node) => drop(self.members.insert(node, Registered::new(entry)?)),
            Topic::Lease(node) => drop(self.leases.insert(node, Registered::new(entry)?)),
            Topic::Reach(node) => {
                self.reach.insert(node, ReachRecord::from_bytes(bytes)?);
            }
            // An operator may write anything into it.
            Topic::Hold(node) => {
                self.holds.insert(node);
            }
            Topic::Fence(node, incarnation) => {
                self.fences.insert((node, incarnation), FenceRecord::from_bytes(bytes)?);
            }
        }
        Ok(())
    }

    /// Who has this number, whether the member key is still there or only the lease.
    pub(crate) fn occupant(&self, node: NodeId) -> Option<&Registered> {
        self.members.get(&node).or_else(|| self.leases.get(&node))
    }

    /// Has the lease of this life ended? Somebody may have deleted the member key by hand: its holder may not know.
    pub(crate) fn has_ended(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let is_it = |registered: &Registered| registered.incarnation == incarnation;
        !self.members.get(&node).is_some_and(is_it) && !self.leases.get(&node).is_some_and(is_it)
    }

    /// The member key of this life, if it is there.
    pub(crate) fn life(&self, node: NodeId, incarnation: Incarnation) -> Option<&Registered> {
        self.members.get(&node).filter(|registered| registered.incarnation == incarnation)
    }

    pub(crate) fn view(&self) -> Option<&ViewRecord> {
        self.view.as_ref().map(|(view, _, _)| view)
    }

    /// The revision that wrote the view document.
    pub(crate) fn view_modified(&self) -> Revision {
        self.view.as_ref().map_or(Revision(0), |(_, modified, _)| *modified)
    }
}

impl Registered {
    fn new(entry: &Entry) -> Result<Self, Garbled> {
        let incarnation = Incarnation(u64::try_from(entry.created.0).unwrap_or(0));
        let record = MemberRecord::from_bytes(&entry.value)?;
        Ok(Self { incarnation, modified: entry.modified, lease: entry.lease, record })
    }
}

/// The revision that created a life's key.
pub(crate) fn created(incarnation: Incarnation) -> Revision {
    Revision(i64::try_from(incarnation.0).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
