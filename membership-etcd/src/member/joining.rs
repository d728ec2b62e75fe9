//! From the wish to join to a key of one's own.

use core::time::Duration;

use lockmaster_async::lockmaster_core::{Incarnation, MEMBERS_MAX};
use lockmaster_async::{Instant, MembershipError, NodeId};

use super::{Lease, Member, Stage};
use crate::keys::Topic;
use crate::record::{MemberRecord, Record, Seat};
use crate::store::{Call, Compare, LeaseId, Op, Revision, Transaction};
use crate::succession::Life;

impl Member {
    /// What to do about a number that is to become this node's.
    pub(super) fn seek(&mut self, now: Instant) -> Option<Call> {
        if let Some(why) = self.distrust() {
            self.refuse(MembershipError::Untrusted(why));
            return None;
        }
        let Some(node) = self.plan.candidate.node.or_else(|| self.seek_number()) else {
            self.refuse_full();
            return None;
        };
        if self.snapshot.holds.contains(&node) {
            self.end_held(node);
            return None;
        }
        if !self.take_configuration() {
            return None;
        }
        if let Some(registered) = self.snapshot.occupant(node) {
            let (incarnation, ttl) = (registered.incarnation, registered.record.ttl());
            if self.plan.previous == Some(registered.lease) {
                return self.plan.previous.take().map(Call::Revoke);
            }
            return self.seek_wait(now, node, incarnation, ttl);
        }
        if !self.seek_has_room(node) {
            self.refuse_full();
            return None;
        }
        self.stage = Stage::Granting(node);
        Some(Call::Grant(i64::try_from(self.plan.timing.ttl.as_secs()).unwrap_or(i64::MAX)))
    }

    fn refuse_full(&mut self) {
        self.refuse(MembershipError::Configuration(format!("it has {MEMBERS_MAX} members already")));
    }

    /// Waits for the lease of whoever has the number; if it does not end, its holder is alive.
    fn seek_wait(
        &mut self,
        now: Instant,
        node: NodeId,
        incarnation: Incarnation,
        ttl: Duration,
    ) -> Option<Call> {
        let since = match self.occupant {
            Some((occupant, since)) if occupant == incarnation => since,
            Some(_) | None => now,
        };
        self.occupant = Some((incarnation, since));
        let taken_at = since.after(self.plan.timing.with_ttl(ttl).taken_after());
        // Its lease may be much longer than this node's, and the wait with it.
        self.join_by = self.join_by.max(taken_at.after(self.plan.timing.ttl));
        if now >= taken_at {
            self.refuse(MembershipError::Taken(node));
            return None;
        }
        self.decide_at = taken_at;
        None
    }

    /// The lowest number that nobody has, had lately, or must not have.
    fn seek_number(&self) -> Option<NodeId> {
        let snapshot = &self.snapshot;
        let is_free = |node: &NodeId| {
            let is_seated = snapshot.view().is_some_and(|view| view.seat(*node).is_some());
            snapshot.occupant(*node).is_none() && !is_seated && !snapshot.holds.contains(node)
        };
        (1..NodeId::GONE.0).map(NodeId).find(is_free)
    }

    fn seek_has_room(&self, node: NodeId) -> bool {
        let seats = self.snapshot.view().map_or(&[][..], |view| &view.members);
        let lives = |seat: &&Seat| {
            seat.node() != node && self.snapshot.life(seat.node(), seat.incarnation()).is_some()
        };
        seats.iter().filter(lives).count() < MEMBERS_MAX
    }

    /// Takes the configuration of the members, also if none lives: who has not left may come back, and can run in no other.
    /// `false` if it cannot run so while one lives, and is refused.
    pub(super) fn take_configuration(&mut self) -> bool {
        let candidate = &self.plan.candidate;
        let lives = |seat: &Seat| self.snapshot.life(seat.node(), seat.incarnation()).is_some();
        let view = self.snapshot.view().filter(|view| !view.members.is_empty());
        let is_alive = view.is_some_and(|view| view.members.iter().any(lives));
        let chosen = candidate.choose(view.map(|view| view.digest));
        match if is_alive { chosen } else { chosen.or_else(|_| candidate.choose(None)) } {
            Ok(digest) => {
                self.plan.digest = digest;
                true
            }
            Err(error) => {
                self.refuse(error);
                false
            }
        }
    }

    pub(super) fn handle_grant(&mut self, sent_at: Instant, id: LeaseId, ttl_s: u64) {
        let timing = self.plan.timing.with_ttl(Duration::from_secs(ttl_s));
        let Stage::Granting(node) = self.stage else {
            self.farewell = Some(id);
            return;
        };
        self.stage = Stage::Registering(node);
        self.lease = Some(Lease { id, timing, sent_at, renew_at: sent_at.after(timing.renew_every()) });
        self.decide_at = sent_at;
    }

    /// Registers, but only where nobody is.
    pub(super) fn register(&mut self, node: NodeId) -> Option<Call> {
        let lease = self.lease.expect("who registers has a lease");
        if self.snapshot.occupant(node).is_some() {
            // Somebody was faster. The lease has no key.
            self.stage = Stage::Seeking;
            self.lease = None;
            return Some(Call::Revoke(lease.id));
        }
        let key = self.plan.keys.name(Topic::Member(node));
        let hold = self.plan.keys.name(Topic::Hold(node));
        let record =
            MemberRecord::new(self.plan.candidate.address, self.plan.digest, lease.timing.ttl, false);
        let beside = self.plan.keys.name(Topic::Lease(node));
        let compares = [&key, &beside, &hold].map(|key| Compare::Created(key.clone(), Revision(0))).to_vec();
        let ops = [key, beside].map(|key| Op::Put(key, record.to_bytes(), Some(lease.id))).to_vec();
        Some(Call::Commit(Transaction { compares, ops }))
    }

    /// Is there a key with this node's lease? Then it has registered, whether it was told so or not.
    pub(super) fn recognise(&mut self) {
        let Some(lease) = self.lease else { return };
        let mut members = self.snapshot.members.iter();
        let Some((node, mine)) = members.find(|(_, registered)| registered.lease == lease.id) else { return };
        let life = Life { node: *node, incarnation: mine.incarnation };
        if life.incarnation <= self.plan.floor.incarnation {
            let (new, old) = (life.incarnation.0, self.plan.floor.incarnation.0);
            let why = format!("etcd is at revision {new}, but this node has lived at revision {old} before");
            return self.refuse(MembershipError::Untrusted(why));
        }
        self.plan.candidate.node = Some(life.node);
        self.stage = Stage::Candidate(life);
    }
}
