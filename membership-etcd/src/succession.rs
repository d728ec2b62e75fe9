//! Which view follows the one that is stored, and the transaction that stores it.

use std::collections::BTreeMap;

use lockmaster_async::lockmaster_core::{Epoch, Incarnation, MEMBERS_MAX};
use lockmaster_async::{Instant, NodeId};

use crate::keys::{Keys, Topic};
use crate::record::{FenceRecord, Record, Removal, Seat, ViewRecord, Why};
use crate::store::{Compare, OPS_MAX, Op, Registered, Revision, Snapshot, Transaction, created};
use crate::timing::Timing;

/// One life of a node: its number, and the revision that created its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
}

/// Since when this node has seen that the lease of a life has ended which is in the view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absences {
    since: BTreeMap<Life, Instant>,
}

/// Who proposes, and what it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposer<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) life: Life,
    pub(crate) digest: u64,
    /// When its last renewal that was answered was sent.
    pub(crate) renewed_at: Instant,
    /// The waits after a lease has ended.
    pub(crate) timing: Timing,
    pub(crate) absences: &'a Absences,
}

/// What to do about the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Succession {
    /// It is as it should be.
    Settled,
    /// Nothing before this instant.
    Later(Instant),
    /// A new one is to be stored.
    Due(Transaction),
}

impl Absences {
    /// Takes note of a snapshot that was answered at `now`: whoever is absent was so by then.
    pub(crate) fn note(&mut self, now: Instant, snapshot: &Snapshot) {
        let seats = snapshot.view().map_or(&[][..], |view| &view.members);
        let is_absent = |seat: &&Seat| snapshot.has_ended(seat.node(), seat.incarnation());
        let absent = seats.iter().filter(is_absent).map(Life::of);
        self.since = absent.map(|life| (life, self.since.get(&life).copied().unwrap_or(now))).collect();
    }

    /// From when on the life of a seat may be removed; `None` while its lease has not ended.
    ///
    /// Whoever lets a lease run out has stopped by then: the wait is only for what is on its way. Whose lease was
    /// revoked may believe in it for as long as it would have lasted.
    fn removable_at(&self, seat: &Seat, snapshot: &Snapshot, timing: Timing) -> Option<Instant> {
        let absent = *self.since.get(&Life::of(seat))?;
        let was_revoked = snapshot.fences.contains_key(&(seat.node(), seat.incarnation()));
        let timing = timing.with_ttl(seat.ttl());
        Some(absent.after(if was_revoked { timing.after_revocation() } else { timing.settle }))
    }
}

impl Life {
    fn of(seat: &Seat) -> Self {
        Self { node: seat.node(), incarnation: seat.incarnation() }
    }
}

impl Proposer<'_> {
    /// The view that should follow the stored one at `now`.
    pub(crate) fn succession(&self, now: Instant, snapshot: &Snapshot) -> Succession {
        let mut draft = Draft::new(snapshot);
        let later = draft.remove(self, now, snapshot);
        draft.mark_leaving(snapshot);
        draft.add(self, snapshot);
        if !draft.has_changed {
            return later.map_or(Succession::Settled, Succession::Later);
        }
        if let Some(last) = draft.last_absence
            && self.is_last(&draft)
            && self.renewed_at <= last
        {
            // If all leases end together, one of them is the last to: etcd must have renewed it since.
            return Succession::Later(Instant::NEVER);
        }
        // Epochs that are used up end the cluster; at one a second that takes 136 years.
        let Some(epoch) = draft.epoch.0.checked_add(1) else { return Succession::Settled };
        Succession::Due(draft.transaction(self, Epoch(epoch), snapshot))
    }

    /// The transaction by which this node leaves in order; `None` if it is in no view.
    pub(crate) fn departure(&self, snapshot: &Snapshot) -> Option<Transaction> {
        let Life { node, incarnation } = self.life;
        let view = snapshot.view().filter(|view| view.has(node, incarnation))?;
        let mut draft = Draft::new(snapshot);
        draft.seats.remove(&node);
        draft.removed.push(Removal { node: node.0, incarnation: incarnation.0, why: Why::Left });
        let mut transaction = draft.transaction(self, Epoch(view.epoch.checked_add(1)?), snapshot);
        let own = [Topic::Member(node), Topic::Lease(node), Topic::Reach(node)];
        transaction.ops.extend(own.map(|topic| Op::Delete(self.keys.name(topic))));
        assert!(transaction.ops.len() <= OPS_MAX, "a departure keeps to the bound of a transaction");
        Some(transaction)
    }

    /// The transaction that says that another's lease is to be revoked. One that is itself condemned condemns nobody.
    pub(crate) fn sentence(&self, other: Life, why: Why, snapshot: &Snapshot) -> Transaction {
        let fence = |life: Life| self.keys.name(Topic::Fence(life.node, life.incarnation));
        let compares = vec![
            Compare::Modified(self.keys.name(Topic::View), snapshot.view_modified()),
            self.compare_life(self.life),
            self.compare_life(other),
            Compare::Created(fence(self.life), Revision(0)),
        ];
        let record = FenceRecord::new(self.life.node, why);
        Transaction { compares, ops: vec![Op::Put(fence(other), record.to_bytes(), None)] }
    }

    /// The key of this life is still there.
    pub(crate) fn compare_life(&self, life: Life) -> Compare {
        Compare::Created(self.keys.name(Topic::Member(life.node)), created(life.incarnation))
    }

    /// Would this node be the only survivor of the stored view?
    fn is_last(&self, draft: &Draft) -> bool {
        let is_me = |seat: &Seat| Life::of(seat) == self.life;
        draft.survivors == 1 && draft.seats.values().any(is_me)
    }
}

/// A view in the making.
struct Draft {
    epoch: Epoch,
    digest: Option<u64>,
    seats: BTreeMap<NodeId, Seat>,
    removed: Vec<Removal>,
    compares: BTreeMap<NodeId, Compare>,
    /// Members of the stored view that stay.
    survivors: usize,
    last_absence: Option<Instant>,
    has_changed: bool,
}

impl Draft {
    /// Compares that are left for the members: the others are for the view and for the proposer.
    const COMPARES_MAX: usize = OPS_MAX - 2;
    /// Notes that are deleted: the other operations are the view, and the keys of one who leaves.
    const VOID_MAX: usize = OPS_MAX - 4;

    fn new(snapshot: &Snapshot) -> Self {
        let view = snapshot.view();
        let seats = view.map_or(&[][..], |view| &view.members);
        Self {
            epoch: Epoch(view.map_or(0, |view| view.epoch)),
            digest: view.map(|view| view.digest),
            seats: seats.iter().map(|seat| (seat.node(), *seat)).collect(),
            removed: Vec::new(),
            compares: BTreeMap::new(),
            survivors: seats.len(),
            last_absence: None,
            has_changed: false,
        }
    }

    /// Takes out whoever may be removed. Returns when the next one may.
    fn remove(&mut self, proposer: &Proposer<'_>, now: Instant, snapshot: &Snapshot) -> Option<Instant> {
        let mut later: Option<Instant> = None;
        let seats: Vec<Seat> = self.seats.values().copied().collect();
        for seat in seats {
            let removable = proposer.absences.removable_at(&seat, snapshot, proposer.timing);
            let Some(at) = removable else { continue };
            if now < at {
                later = Some(later.map_or(at, |other| other.min(at)));
                continue;
            }
            let why = snapshot.fences.get(&(seat.node(), seat.incarnation()));
            let why = why.map_or(Why::Expired, |fence| fence.why);
            self.removed.push(Removal { node: seat.node, incarnation: seat.incarnation, why });
            // The number may have another life by now; what matters is that this one is over.
            let key = snapshot.members.get(&seat.node()).map(|other| created(other.incarnation));
            let name = proposer.keys.name(Topic::Member(seat.node()));
            self.compares.insert(seat.node(), Compare::Created(name, key.unwrap_or_default()));
            self.seats.remove(&seat.node());
            self.survivors -= 1;
            self.last_absence = self.last_absence.max(proposer.absences.since.get(&Life::of(&seat)).copied());
            self.has_changed = true;
        }
        later
    }

    /// Marks whoever has said that it is about to leave.
    fn mark_leaving(&mut self, snapshot: &Snapshot) {
        for seat in self.seats.values_mut() {
            let life = snapshot.life(seat.node(), seat.incarnation());
            if !seat.leaving && life.is_some_and(|life| life.record.leaving) {
                seat.leaving = true;
                self.has_changed = true;
            }
        }
    }

    /// Adds whoever lives and is no member yet, lowest number first, as far as there is room.
    fn add(&mut self, proposer: &Proposer<'_>, snapshot: &Snapshot) {
        // The first view, and one that inherits from nobody, is of the proposer's configuration.
        let inherited = self.digest.filter(|_| self.survivors > 0);
        let digest = *self.digest.insert(inherited.unwrap_or(proposer.digest));
        let is_wanted = |(node, other): &(&NodeId, &Registered)| {
            other.record.digest == digest && !snapshot.holds.contains(node) && !other.record.leaving
        };
        for (node, other) in snapshot.members.iter().filter(is_wanted) {
            let has_room = self.seats.len() < MEMBERS_MAX && self.compares.len() < Self::COMPARES_MAX;
            let is_fenced = snapshot.fences.contains_key(&(*node, other.incarnation));
            if !has_room || is_fenced || self.seats.contains_key(node) {
                continue;
            }
            let joined = Epoch(self.epoch.0.saturating_add(1));
            self.seats.insert(*node, Seat::new(*node, other.incarnation, joined, &other.record));
            // It may say meanwhile that it runs in another configuration.
            let name = proposer.keys.name(Topic::Member(*node));
            self.compares.insert(*node, Compare::Modified(name, other.modified));
            self.has_changed = true;
        }
    }

    fn transaction(self, proposer: &Proposer<'_>, epoch: Epoch, snapshot: &Snapshot) -> Transaction {
        let name = |topic| proposer.keys.name(topic);
        let mut compares = vec![Compare::Modified(name(Topic::View), snapshot.view_modified())];
        compares.push(proposer.compare_life(proposer.life));
        let others = self.compares.into_iter().filter(|(node, _)| *node != proposer.life.node);
        compares.extend(others.map(|(_, compare)| compare));
        let digest = self.digest.unwrap_or(proposer.digest);
        let view = ViewRecord::new(epoch, digest, self.seats.into_values().collect(), self.removed);
        let mut ops = vec![Op::Put(name(Topic::View), view.to_bytes(), None)];
        // Nobody asks any more why a life ended that is over and in no view.
        let is_void = |life: &&(NodeId, Incarnation)| {
            !view.has(life.0, life.1) && snapshot.life(life.0, life.1).is_none()
        };
        let void = snapshot.fences.keys().filter(is_void).take(Self::VOID_MAX);
        ops.extend(void.map(|(node, incarnation)| Op::Delete(name(Topic::Fence(*node, *incarnation)))));
        assert!(compares.len() <= OPS_MAX && ops.len() <= OPS_MAX, "a transaction keeps to its bound");
        Transaction { compares, ops }
    }
}

#[cfg(test)]
mod tests;
