//! As much of etcd as matters: revisions, leases, and transactions that compare revisions.

use std::collections::BTreeMap;

use lockmaster_async::NodeId;

use crate::keys::{Keys, Topic};
use crate::member::Renewed;
use crate::record::{MemberRecord, Record as _, ViewRecord};
use crate::store::{Answer, Call, Compare, Entry, LeaseId, Op, Revision, Transaction, created};

/// A server. Its time is nanoseconds on its own clock.
pub(super) struct Engine {
    keys: Keys,
    revision: i64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
    granted: i64,
    /// Every view that was stored, with its revision.
    pub(super) views: Vec<(Revision, ViewRecord)>,
    /// Transactions whose compares did not hold.
    pub(super) conflicts: u64,
    /// A bug on purpose: compares are not looked at.
    pub(super) is_credulous: bool,
    /// A bug on purpose: once a lease is revoked, nobody is told that it was.
    pub(super) hides_fences: bool,
    /// A bug on purpose: nobody is told which leases have not ended.
    pub(super) hides_leases: bool,
}

struct Lease {
    ttl: u64,
    ends_at: u64,
}

impl Engine {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            // Revision 1 is that of the empty store.
            revision: 1,
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            granted: 0,
            views: Vec::new(),
            conflicts: 0,
            is_credulous: false,
            hides_fences: false,
            hides_leases: false,
        }
    }

    pub(super) fn apply(&mut self, now: u64, call: &Call) -> Answer {
        match call {
            Call::Read => {
                let is_lease = |entry: &Entry| matches!(self.keys.topic(&entry.key), Some(Topic::Lease(_)));
                let is_hidden = |entry: &Entry| {
                    self.hides_fences && self.is_of_the_dead(entry) || self.hides_leases && is_lease(entry)
                };
                let is_told = |entry: &&Entry| !is_hidden(entry);
                Answer::Read(self.entries.values().filter(is_told).cloned().collect())
            }
            Call::Grant(seconds) => {
                self.granted += 1;
                let seconds = u64::try_from(*seconds).unwrap();
                let ttl = seconds * 1_000_000_000;
                self.leases.insert(LeaseId(self.granted), Lease { ttl, ends_at: now + ttl });
                Answer::Granted(LeaseId(self.granted), seconds)
            }
            Call::Commit(transaction) => {
                if self.apply_transaction(transaction) {
                    Answer::Committed
                } else {
                    Answer::Nothing("the lease does not exist".to_owned())
                }
            }
            Call::Revoke(lease) => {
                self.end(*lease);
                Answer::Revoked
            }
        }
    }

    /// A lease that has ended is not renewed, even if its keys are still there.
    pub(super) fn renew(&mut self, now: u64, lease: LeaseId) -> Renewed {
        match self.leases.get_mut(&lease) {
            Some(lease) if now < lease.ends_at => {
                lease.ends_at = now + lease.ttl;
                Renewed::Yes
            }
            Some(_) | None => Renewed::Gone,
        }
    }

    /// Ends leases that have run out. Returns whether there were any.
    pub(super) fn reap(&mut self, now: u64) -> bool {
        let over = self.leases.iter().filter(|(_, lease)| lease.ends_at <= now);
        let over: Vec<LeaseId> = over.map(|(id, _)| *id).collect();
        over.iter().for_each(|lease| self.end(*lease));
        !over.is_empty()
    }

    /// Another server leads: it gives every lease its whole time anew.
    pub(super) fn change_leader(&mut self, now: u64) {
        for lease in self.leases.values_mut() {
            lease.ends_at = now + lease.ttl;
        }
    }

    /// Something that an operator does.
    pub(super) fn operate(&mut self, op: Op) {
        self.apply_transaction(&Transaction { compares: Vec::new(), ops: vec![op] });
    }

    /// The lease of a node has ended, and with it its keys.
    pub(super) fn bury(&mut self, node: u16) {
        for topic in [Topic::Member(NodeId(node)), Topic::Lease(NodeId(node))] {
            self.operate(Op::Delete(self.keys.name(topic)));
        }
    }

    /// Another node lives, and is renewed for ever.
    pub(super) fn enliven(&mut self, node: u16, digest: u64) {
        self.granted += 1;
        let lease = LeaseId(self.granted);
        self.leases.insert(lease, Lease { ttl: 0, ends_at: u64::MAX });
        let ttl = core::time::Duration::from_secs(10);
        let record = MemberRecord::new("127.0.0.1:1".parse().unwrap(), digest, ttl, false);
        let key = self.keys.name(Topic::Member(NodeId(node)));
        let ops = vec![Op::Put(key, record.to_bytes(), Some(lease))];
        self.apply_transaction(&Transaction { compares: Vec::new(), ops });
    }

    pub(super) fn view(&self) -> Option<&ViewRecord> {
        self.views.last().map(|(_, view)| view)
    }

    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// `false` if an operation names a lease that does not exist: then nothing is done.
    fn apply_transaction(&mut self, transaction: &Transaction) -> bool {
        assert!(transaction.compares.len() <= 128 && transaction.ops.len() <= 128, "etcd refuses it");
        let revision_of =
            |key: &String, of: fn(&Entry) -> Revision| self.entries.get(key).map(of).unwrap_or_default();
        let holds = |compare: &Compare| match compare {
            Compare::Created(key, revision) => revision_of(key, |entry| entry.created) == *revision,
            Compare::Modified(key, revision) => revision_of(key, |entry| entry.modified) == *revision,
        };
        if !self.is_credulous && !transaction.compares.iter().all(holds) {
            self.conflicts += 1;
            return true;
        }
        let leases = transaction.ops.iter().filter_map(|op| match op {
            Op::Put(_, _, lease) => *lease,
            Op::Delete(_) => None,
        });
        if leases.into_iter().any(|lease| !self.leases.contains_key(&lease)) {
            return false;
        }
        self.revision += 1;
        transaction.ops.iter().for_each(|op| self.apply_op(op));
        true
    }

    /// Does it say that a lease was revoked which has ended?
    fn is_of_the_dead(&self, entry: &Entry) -> bool {
        let Some(Topic::Fence(node, incarnation)) = self.keys.topic(&entry.key) else { return false };
        let member = self.entries.get(&self.keys.name(Topic::Member(node)));
        member.is_none_or(|member| member.created != created(incarnation))
    }

    fn apply_op(&mut self, op: &Op) {
        let revision = Revision(self.revision);
        match op {
            Op::Put(key, value, lease) => {
                let created = self.entries.get(key).map_or(revision, |entry| entry.created);
                let lease = lease.unwrap_or(LeaseId(0));
                let entry =
                    Entry { key: key.clone(), value: value.clone(), created, modified: revision, lease };
                self.entries.insert(key.clone(), entry);
                // A test may store what is none.
                if let (Some(Topic::View), Ok(view)) = (self.keys.topic(key), ViewRecord::from_bytes(value)) {
                    self.views.push((revision, view));
                }
            }
            Op::Delete(key) => drop(self.entries.remove(key)),
        }
    }

    fn end(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_some() {
            self.revision += 1;
            self.entries.retain(|_, entry| entry.lease != lease);
        }
    }
}
