//! What a registered node does about what it has read.

use std::collections::BTreeSet;

use lockmaster_async::{Instant, NodeId};

use super::{Duty, Lease, Member, Plan, Stage, Turn};
use crate::keys::Topic;
use crate::record::{MemberRecord, ReachRecord, Record, Seat, Why};
use crate::sides;
use crate::store::{Call, Compare, Op, Transaction};
use crate::succession::{Life, Proposer, Succession};

impl Member {
    /// The next call on what is known; otherwise `decide_at` is when to ask again.
    pub(super) fn decide(&mut self, now: Instant) -> Option<Call> {
        let (life, lease) = match (self.stage, self.lease) {
            (Stage::Seeking, _) => return self.seek(now),
            (Stage::Registering(node), _) => return self.register(node),
            (Stage::Candidate(life) | Stage::Seated(life), Some(lease)) => (life, lease),
            (Stage::Candidate(_) | Stage::Seated(_), None) | (Stage::Granting(_) | Stage::Over, _) => {
                return None;
            }
        };
        if self.leave_by.is_some() {
            return self.decide_departure(life, lease);
        }
        if matches!(self.stage, Stage::Candidate(_)) && !self.take_configuration() {
            return None;
        }
        if !self.has_stated(life) {
            return Some(self.statement(life, lease));
        }
        if let Some(call) = self.decide_report(now, life, lease) {
            return Some(call);
        }
        // Who is not certain of itself judges nobody. A renewal makes it look again.
        if now >= lease.timing.certainty(lease.sent_at).suspect_at {
            return None;
        }
        if let Some((duty, by_rank, call)) = self.decide_sentence(now, life, lease) {
            return self.take_turn(now, duty, by_rank, call);
        }
        match self.proposer(life, lease).succession(now, &self.snapshot) {
            Succession::Settled => {
                self.turn = None;
                None
            }
            Succession::Later(at) => {
                self.turn = None;
                self.decide_at = self.decide_at.min(at);
                None
            }
            Succession::Due(transaction) => {
                let duty = Duty::View(self.snapshot.view_modified());
                let ranks: BTreeSet<NodeId> = self.snapshot.members.keys().copied().collect();
                self.take_turn(now, duty, rank(&ranks, life.node), Call::Commit(transaction))
            }
        }
    }

    fn proposer(&self, life: Life, lease: Lease) -> Proposer<'_> {
        Proposer {
            keys: &self.plan.keys,
            life,
            digest: self.plan.digest,
            renewed_at: lease.sent_at,
            timing: self.plan.timing,
            absences: &self.absences,
        }
    }

    /// Does what the lowest does at once and the others after it, unless it is done by then.
    fn take_turn(&mut self, now: Instant, duty: Duty, rank: usize, call: Call) -> Option<Call> {
        let at = match self.turn {
            Some(turn) if turn.duty == duty => turn.at,
            Some(_) | None => now.after(self.plan.timing.turn_after(rank, self.random.f64())),
        };
        if now < at {
            self.turn = Some(Turn { duty, at });
            self.decide_at = self.decide_at.min(at);
            return None;
        }
        // If it does not help, it is not done again at once.
        self.turn = Some(Turn { duty, at: now.after(self.timing().retry_after()) });
        Some(call)
    }

    fn decide_departure(&mut self, life: Life, lease: Lease) -> Option<Call> {
        let departure = self.proposer(life, lease).departure(&self.snapshot);
        if departure.is_none() {
            self.left();
        }
        departure.map(Call::Commit)
    }

    /// Does the node's key say in which configuration it is to run, and whether it is about to leave?
    fn has_stated(&self, life: Life) -> bool {
        let Some(registered) = self.snapshot.life(life.node, life.incarnation) else { return true };
        let record = &registered.record;
        (record.digest, record.leaving) == (self.plan.digest, self.wants_to_announce)
    }

    fn statement(&self, life: Life, lease: Lease) -> Call {
        let Plan { candidate, digest, .. } = &self.plan;
        let record = MemberRecord::new(candidate.address, *digest, lease.timing.ttl, self.wants_to_announce);
        let key = self.plan.keys.name(Topic::Member(life.node));
        // What arrives late must not undo what was said about a view that came later.
        let view = Compare::Modified(self.plan.keys.name(Topic::View), self.snapshot.view_modified());
        let compares = vec![self.proposer(life, lease).compare_life(life), view];
        Call::Commit(Transaction { compares, ops: vec![Op::Put(key, record.to_bytes(), Some(lease.id))] })
    }

    /// Says whom this node cannot talk to, if that is news, and not too often.
    fn decide_report(&mut self, now: Instant, life: Life, lease: Lease) -> Option<Call> {
        let after = lease.timing.report_after();
        let lasting = |since: &Instant| since.after(after);
        let cut = self.unreachable.iter().filter(|(_, since)| now >= lasting(since)).map(|(other, _)| other);
        let report = ReachRecord::new(cut.map(|other| (other.node, other.incarnation)));
        let next = self.unreachable.values().map(lasting).filter(|at| *at > now).min();
        self.decide_at = self.decide_at.min(next.unwrap_or(Instant::NEVER));

        let said = self.snapshot.reach.get(&life.node);
        if said.map_or(report.cut.is_empty(), |said| *said == report) {
            return None;
        }
        if now < self.report_at {
            self.decide_at = self.decide_at.min(self.report_at);
            return None;
        }
        self.report_at = now.after(after);
        let key = self.plan.keys.name(Topic::Reach(life.node));
        let op = if report.cut.is_empty() {
            Op::Delete(key)
        } else {
            Op::Put(key, report.to_bytes(), Some(lease.id))
        };
        let compares = vec![self.proposer(life, lease).compare_life(life)];
        Some(Call::Commit(Transaction { compares, ops: vec![op] }))
    }

    /// Whose lease has to be revoked, or be said to be: the duty, this node's rank in it, and the call.
    fn decide_sentence(&mut self, now: Instant, life: Life, lease: Lease) -> Option<(Duty, usize, Call)> {
        let live: BTreeSet<NodeId> = self.snapshot.members.keys().copied().collect();
        // What somebody has begun is finished first.
        for ((node, incarnation), fence) in &self.snapshot.fences {
            let Some(registered) = self.snapshot.life(*node, *incarnation) else { continue };
            let duty = Duty::Revoke(Life { node: *node, incarnation: *incarnation });
            let rank = if fence.by == life.node.0 { 0 } else { rank(&live, life.node) };
            return Some((duty, rank, Call::Revoke(registered.lease)));
        }
        let held = self.snapshot.holds.iter().find_map(|node| self.living(*node));
        if let Some(other) = held {
            let call = self.proposer(life, lease).sentence(other, Why::Held, &self.snapshot);
            return Some((Duty::Sentence(other), rank(&live, life.node), Call::Commit(call)));
        }
        if self.cuts.is_empty() {
            return None;
        }
        let due_at = self.cuts_since.after(lease.timing.cut_patience());
        if now < due_at {
            self.decide_at = self.decide_at.min(due_at);
            return None;
        }
        let view = self.snapshot.view()?;
        let is_live = |seat: &&Seat| self.snapshot.life(seat.node(), seat.incarnation()).is_some();
        let members: BTreeSet<NodeId> = view.members.iter().filter(is_live).map(|seat| seat.node()).collect();
        let staying = sides::staying(&members, &self.cuts);
        // Whoever has to go leaves it to the others.
        if !staying.contains(&life.node) {
            return None;
        }
        let other = members.difference(&staying).find_map(|node| self.living(*node))?;
        let call = self.proposer(life, lease).sentence(other, Why::Unreachable, &self.snapshot);
        Some((Duty::Sentence(other), rank(&staying, life.node), Call::Commit(call)))
    }

    /// The life whose key the node has now.
    fn living(&self, node: NodeId) -> Option<Life> {
        self.snapshot.members.get(&node).map(|registered| Life { node, incarnation: registered.incarnation })
    }
}

/// How many of them come before this one.
fn rank(nodes: &BTreeSet<NodeId>, node: NodeId) -> usize {
    nodes.range(..node).count()
}
