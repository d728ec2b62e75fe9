//! What happens once the network is well: nothing is overlooked, everything ends, and nothing is left behind.

use core::time::Duration;

use lockmaster_core::{Flags, Instant, Mode, NodeId, QueueName, Retention, Storage, ValueWrite};

use super::Cluster;
use crate::ghost::{GhostLock, Standing};
use crate::moves::{Move, Moves};
use crate::report::{Violation, broken, ensure};
use crate::sight::Sight;

/// Steps that a cluster may take to come to rest; more is a storm.
const STEPS_MAX: u64 = 20_000;

/// How often a request on a network that is well may be told to renew its number. Each late frame about another resource
/// of the slot may cost one, since floors are of slots; that it goes on is what must not be.
const RENEWALS_MAX: u64 = 8;

impl<S: Storage> Cluster<S> {
    // ---- still ----

    /// The network is well and owners do nothing. In the end whoever is waited for knows it.
    pub(crate) fn keep_still(&mut self) -> Result<(), Violation> {
        self.next_action = None;
        let members = &self.members;
        self.network.calm(self.now, |way| members[usize::from(way.to.0)].connected[usize::from(way.from.0)]);
        self.begin_phase("the weather is fine");
        // What was in clogged outboxes goes out now, and timers are late no more.
        for node in self.nodes() {
            self.member(node).timer = None;
            self.settle(node)?;
        }
        let begin = self.now;
        self.finish_moves()?;
        if self.is_changing() {
            self.settle_members()?;
        }
        self.report.healing = self.now.since(begin);
        let until = self.now.after(self.plan.repeat_waiting_after() * 3 + self.slack());
        self.step_until(until)?;
        if self.is_short() {
            return Ok(());
        }
        self.check_map()?;
        self.check_stillness()
    }

    fn begin_phase(&mut self, what: &'static str) {
        self.trace.line(self.now, format_args!("{what}"));
        self.watcher.see(self.now, || Sight::Phase(what));
    }

    /// Every transfer ends, whatever owners do.
    fn finish_moves(&mut self) -> Result<(), Violation> {
        // Each of a few hundred chunks may need a repeat and its way.
        let until = self.now.after((self.plan.repeat_after() + self.plan.weather.delay_max * 2) * 500);
        let begin = self.report.steps;
        while self.running().is_some() {
            let steps = self.report.steps - begin;
            let is_in_time = steps < STEPS_MAX && self.next_at().is_some_and(|at| at <= until);
            let left = self.running();
            ensure!(is_in_time, Progress, "after {steps} steps a transfer has not ended: {left:?}");
            self.step()?;
        }
        Ok(())
    }

    /// A transfer that has not ended.
    fn running(&self) -> Option<&Move> {
        self.moves.iter().find_map(Moves::running)
    }

    /// Every slot has one master, all nodes know it, and nothing is left of the transfers.
    fn check_map(&mut self) -> Result<(), Violation> {
        if self.is_changing() {
            return self.check_agreement();
        }
        for machine in 0..self.plan.layout.machines() {
            self.check_map_of(machine)?;
        }
        Ok(())
    }

    fn check_map_of(&mut self, machine: usize) -> Result<(), Violation> {
        for slot in self.moves[machine].slots() {
            let reign = self.moves[machine].reign(slot);
            for node in self.plan.layout.cluster(machine) {
                let view = self.member(node).node.slot(slot);
                let is_known = view.is_some_and(|view| {
                    view.master == Some(reign.master) && view.version == reign.version && !view.is_moving
                });
                ensure!(is_known, Map, "node {node} has {view:?} of {slot:?}, of which is true {reign:?}");
            }
        }
        self.moves[machine].check_over()
    }

    /// Longest time that a few round trips take.
    fn slack(&self) -> Duration {
        self.plan.repeat_after() * 8 + self.plan.weather.delay_max * 20
    }

    fn step_until(&mut self, until: Instant) -> Result<(), Violation> {
        let begin = self.report.steps;
        while self.next_at().is_some_and(|at| at <= until) {
            self.step()?;
            let steps = self.report.steps - begin;
            ensure!(steps < STEPS_MAX, BoundedOutput, "{steps} steps and no rest while owners do nothing");
        }
        self.now = self.now.max(until);
        Ok(())
    }

    /// Master and nodes agree, and whoever is in somebody's way was told.
    fn check_stillness(&self) -> Result<(), Violation> {
        for at in 0..self.plan.resources.len() {
            let Some(master) = self.master(at) else { continue };
            let record = &self.members[usize::from(master.0)].tables.rows[at];
            for node in self.nodes() {
                let row = &self.members[usize::from(node.0)].tables.rows[at];
                let known = record.of_node(node).and_then(|physical| physical.wanted);
                // A lost Cancel comes to light only when what it withdrew is granted.
                let Some(wanted) = row.wanted else { continue };
                ensure!(
                    known == Some(wanted),
                    Progress,
                    "node {node} wants {wanted} of resource {at}; its master has {known:?} on record"
                );
                self.check_demanded(at, node, wanted)?;
            }
        }
        Ok(())
    }

    /// Every watched owner on another node that stands in the way of this request has been told so, but for
    /// those whose node converts, as far as the master knows.
    fn check_demanded(&self, at: usize, asking: NodeId, wanted: Mode) -> Result<(), Violation> {
        let Some(master) = self.master(at) else { return Ok(()) };
        let record = &self.members[usize::from(master.0)].tables.rows[at];
        for ghost in self.ghost.of_resource(at).filter(|ghost| ghost.node != asking && ghost.is_watched) {
            let Standing::Held(held) = ghost.standing else { continue };
            if record.of_node(ghost.node).is_some_and(|physical| physical.queue == QueueName::Convert) {
                continue;
            }
            ensure!(
                held.is_compatible(wanted) || ghost.is_demanded,
                LostDemand,
                "owner {} of node {} holds {held} of resource {at}; node {asking} waits for {wanted}",
                ghost.owner.0,
                ghost.node
            );
        }
        Ok(())
    }

    // ---- healing ----

    /// Owners release what they get. Everything that waits ends.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.begin_phase("owners release what they get");
        self.cancel_endless()?;
        if self.plan.mobility.is_healing && !self.is_changing() {
            self.begin_moves()?;
        }
        let since = self.now;
        let until = since.after(self.plan.repeat_waiting_after() * 60 + self.slack() * 10);
        let begin = self.report.steps;
        while self.ghost.locks.iter().any(GhostLock::is_waiting) {
            self.heal_one()?;
            let steps = self.report.steps - begin;
            let has_waiter = self.ghost.locks.iter().find(|ghost| ghost.is_waiting());
            let is_in_time = self.now < until && steps < STEPS_MAX;
            ensure!(
                is_in_time || has_waiter.is_none(),
                Progress,
                "after {steps} steps of healing there still is {has_waiter:?}"
            );
        }
        self.report.healing += self.now.since(since);
        while let Some(at) = self.ghost.locks.len().checked_sub(1) {
            self.release(at, ValueWrite::Keep)?;
        }
        Ok(())
    }

    /// Conversions that accept a deadlock would wait for ever: that is what they asked for.
    fn cancel_endless(&mut self) -> Result<(), Violation> {
        loop {
            let is_endless = |ghost: &GhostLock| {
                let is_conversion = matches!(ghost.standing, Standing::Converting { .. });
                is_conversion && ghost.flags.has(Flags::NO_DEADLOCK_WAIT)
            };
            let Some(at) = self.ghost.locks.iter().position(is_endless) else { return Ok(()) };
            self.cancel(at)?;
        }
    }

    fn heal_one(&mut self) -> Result<(), Violation> {
        let is_patient = self.plan.appetite.is_patient;
        let unwatched = |ghost: &GhostLock| {
            let is_held = matches!(ghost.standing, Standing::Held(_));
            is_patient && is_held && !ghost.is_watched
        };
        if let Some(at) = self.ghost.locks.iter().position(unwatched) {
            return self.watch(at);
        }
        let released = |ghost: &GhostLock| {
            let is_held = matches!(ghost.standing, Standing::Held(_));
            is_held && (!is_patient || ghost.is_demanded)
        };
        if let Some(at) = self.ghost.locks.iter().position(released) {
            return self.release(at, ValueWrite::Keep);
        }
        let is_over = self.next_at().is_none();
        let waiter = self.ghost.locks.iter().find(|ghost| ghost.is_waiting());
        ensure!(!is_over, Progress, "nothing happens any more, and there still is {waiter:?}");
        self.step()
    }

    // ---- sweeping ----

    /// Somebody asks for everything once, so that what was lost on the way comes to light, and releases it.
    pub(crate) fn sweep(&mut self) -> Result<(), Violation> {
        // A release that meets a record on its way may be lost, as on a bad network.
        self.finish_moves()?;
        if self.is_short() {
            self.settle_members()?;
        }
        self.begin_phase("everything is asked for once more");
        for at in 0..self.plan.resources.len() {
            self.sweep_resource(at)?;
        }
        let until =
            self.now.after(self.plan.repeat_waiting_after() * 3 + self.slack() + Duration::from_secs(1));
        self.step_until(until)?;
        for at in 0..self.plan.resources.len() {
            self.check_swept(at)?;
        }
        self.check_map()?;
        self.check_rest()
    }

    /// The master of a resource in the end, if any node runs.
    fn master(&self, at: usize) -> Option<NodeId> {
        if self.is_changing() { self.decider(at) } else { Some(self.moves_at(at).master(at)) }
    }

    fn pick_sweeper(&mut self) -> Option<NodeId> {
        let node = self.pick_node();
        if !self.is_down(node) {
            return Some(node);
        }
        self.nodes().find(|node| !self.is_down(*node))
    }

    fn sweep_resource(&mut self, at: usize) -> Result<(), Violation> {
        self.plan.appetite.patience = 0;
        let Some(node) = self.pick_sweeper() else { return Ok(()) };
        let node = self.plan.asked_of(node, at);
        for _ in 0..8 {
            let renewals = self.member(node).node.stats().renewals;
            self.request(node, at, Mode::Exclusive, Flags::NONE)?;
            let until = self.now.after(self.plan.repeat_waiting_after() * 20 + self.slack() * 4);
            while self.ghost.locks.iter().any(GhostLock::is_waiting) {
                let next = self.next_at().filter(|at| *at <= until);
                ensure!(next.is_some(), Progress, "node {node} waits for resource {at}, alone");
                self.step()?;
            }
            // A number of this life is above every floor of it, but for a copy that is late.
            let renewals = self.member(node).node.stats().renewals - renewals;
            ensure!(
                renewals <= RENEWALS_MAX,
                Progress,
                "node {node} was told {renewals} times to renew a request"
            );
            if !self.ghost.locks.is_empty() {
                return self.release(0, ValueWrite::Keep);
            }
            // Full: what others retain is being given up.
            let until = self.now.after(self.slack());
            self.step_until(until)?;
        }
        Err(broken!(Bounds, "node {node} finds no room for resource {at}, and nobody uses anything"))
    }

    /// Nothing is left of a resource but what a node may retain.
    fn check_swept(&self, at: usize) -> Result<(), Violation> {
        let (space, _) = self.plan.resources[at];
        let may_retain = match self.plan.retention(space) {
            Retention::Never | Retention::Idle(_) => false,
            Retention::UntilDemanded => true,
        };
        let mut retaining = 0;
        for node in self.nodes() {
            let row = &self.members[usize::from(node.0)].tables.rows[at];
            let is_used = !row.locks.is_empty() || row.wanted.is_some();
            ensure!(!is_used, Bounds, "node {node} still has {row:?} of resource {at}");
            retaining += usize::from(row.held.is_some_and(|held| held != Mode::Null));
            // Nobody is ever in the way of NL, so a lost release of it comes to light by an audit only.
            let is_null_only = row.physical.iter().all(|physical| physical.held == Some(Mode::Null));
            let is_master = self.master(at) == Some(node) && !row.physical.is_empty();
            ensure!(
                row.is_known == (row.held.is_some() || is_master),
                Bounds,
                "node {node} keeps {row:?} of resource {at} for nothing"
            );
            let is_let_go = row.held.is_none() && (!is_master || is_null_only);
            ensure!(may_retain || is_let_go, Bounds, "node {node} keeps {row:?} of resource {at}");
        }
        ensure!(retaining <= 1, Bounds, "{retaining} nodes retain resource {at} after it was held at EX");
        Ok(())
    }

    /// Nobody has anything left to say.
    fn check_rest(&mut self) -> Result<(), Violation> {
        let is_late_copy_only = self.network.is_empty();
        for node in self.nodes() {
            if self.is_down(node) {
                continue;
            }
            let deadline = self.member(node).node.poll_timeout();
            // A bound may be too early once; the timeout that it costs makes it exact.
            if let Some(deadline) = deadline {
                let at = self.member(node).clock.when(deadline);
                self.now = self.now.max(at);
                self.timeout(node)?;
                self.settle(node)?;
            }
            let deadline = self.member(node).node.poll_timeout();
            let is_at_rest = deadline.is_none() || !is_late_copy_only;
            ensure!(is_at_rest, Bounds, "node {node} still waits for {deadline:?}");
        }
        Ok(())
    }
}
