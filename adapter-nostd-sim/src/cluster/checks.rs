//! The rules that are checked after every step.

use alloc::vec::Vec;

use lockmaster_core::{Flags, Grant, LockId, LockView, Mode, NodeId, OwnerId, Path, QueueName, Storage};

use super::Cluster;
use crate::ghost::{GhostLock, Standing};
use crate::network::Way;
use crate::report::{Violation, broken, ensure};

impl<S: Storage> Cluster<S> {
    // ---- laws ----

    /// L1 and L3: after a drain there is nothing new, neither unasked nor by a timeout that is not due.
    pub(super) fn check_laws(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        if self.ghost.is_deaf(node) {
            return Ok(());
        }
        let is_changing = self.is_changing();
        let member = self.member(node);
        let is_due = member.node.poll_timeout().is_some_and(|deadline| deadline <= now);
        // Time that has passed since the input may end a node's membership.
        if is_due && is_changing {
            return Ok(());
        }
        self.check_silence(node, "without an input")?;
        let member = self.member(node);
        let is_due = member.node.poll_timeout().is_some_and(|deadline| deadline <= now);
        if is_due {
            return Ok(());
        }
        member.node.handle_timeout(now);
        let silence = self.check_silence(node, "after a timeout that is not due");
        silence.map_err(|violation| broken!(QuietTimeout, "{}", violation.what))
    }

    fn check_silence(&mut self, node: NodeId, when: &str) -> Result<(), Violation> {
        let now = self.now_of(node);
        for peer in self.peers(node) {
            let is_clogged = self.network.is_clogged(Way { from: node, to: peer });
            let member = self.member(node);
            if !is_clogged && member.node.poll_transmit(now, peer, &mut member.frame).is_some() {
                return Err(broken!(NothingUnasked, "node {node} has a frame for node {peer} {when}"));
            }
        }
        let member = self.member(node);
        let event = member.node.poll_event();
        ensure!(event.is_none(), NothingUnasked, "node {node} has {event:?} {when}");
        let ready = member.node.poll_ready();
        ensure!(ready.is_none(), NothingUnasked, "node {node} has something for {ready:?} {when}");
        Ok(())
    }

    // ---- invariants ----

    pub(super) fn look(&mut self, node: NodeId) {
        let names = &self.plan.resources;
        let member = &mut self.members[usize::from(node.0)];
        member.node.check();
        member.tables.look(names, |visit| member.node.visit(visit));
        for at in self.plan.resources_of(self.plan.layout.machine(node)) {
            let (space, name) = &names[at];
            member.tables.rows[at].decides = member.node.decides(*space, name) == Ok(true);
        }
        if self.trace.is_shown() {
            self.show(node);
        }
    }

    fn show(&mut self, node: NodeId) {
        let rows = &self.members[usize::from(node.0)].tables.rows;
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.is_known) {
            self.trace.detail(self.now, format_args!("        node {node}, resource {at}: {row}"));
        }
    }

    /// Everything that can be checked now that this node has changed.
    pub(super) fn check_rules(&mut self, node: NodeId) -> Result<(), Violation> {
        if self.is_changing() {
            return self.check_changing(node);
        }
        let member = &self.members[usize::from(node.0)];
        let is_open = self.is_open(node);
        ensure!(member.node.is_open() == is_open, Opening, "node {node} is open: {}", member.node.is_open());
        member.tables.check(&self.plan.limits, is_open)?;
        self.check_machines(node)?;
        self.check_owners(node)?;
        self.check_conservation(node)?;
        for at in self.resources_of(node) {
            self.check_authority(node, at)?;
            self.check_coverage(at)?;
            self.look_at_value(node, at);
        }
        Ok(())
    }

    /// The resources of a node's machine.
    pub(super) fn resources_of(&self, node: NodeId) -> Vec<usize> {
        self.plan.resources_of(self.plan.layout.machine(node)).collect()
    }

    /// What a node has in its tables is its machine's.
    pub(super) fn check_machines(&self, node: NodeId) -> Result<(), Violation> {
        let rows = &self.members[usize::from(node.0)].tables.rows;
        let mut known = (0..rows.len()).filter(|at| rows[*at].is_known);
        known.try_for_each(|at| self.check_machine(node, at))
    }

    pub(super) fn check_machine(&self, node: NodeId, resource: usize) -> Result<(), Violation> {
        let (machine, own) = (self.plan.machine_of(resource), self.plan.layout.machine(node));
        ensure!(
            machine == own,
            Authority,
            "node {node} has resource {resource}, which is of machine {machine}"
        );
        Ok(())
    }

    /// One node decides about each resource, or none while its record is on its way; nobody else has records of it.
    fn check_authority(&mut self, node: NodeId, at: usize) -> Result<(), Violation> {
        let step = self.report.steps;
        let deciders = self.members.iter().zip(0..).filter(|(member, _)| member.tables.rows[at].decides);
        let members = &self.members;
        let is_open = |node: NodeId| members[usize::from(node.0)].node.is_open();
        let moves = &mut self.moves[self.plan.machine_of(at)];
        moves.follow(step, at, deciders.map(|(_, node)| NodeId(node)), is_open)?;
        let row = &self.members[usize::from(node.0)].tables.rows[at];
        if moves.keeper(at) == node {
            self.rolls[at].follow(at, &row.physical)?;
        } else {
            ensure!(
                row.physical.is_empty() || moves.may_have_record(node, at),
                Authority,
                "node {node} has locks of resource {at} on record, which is not its own"
            );
        }
        moves.check_frozen(node, at, row)
    }

    pub(super) fn is_open(&self, node: NodeId) -> bool {
        if self.is_changing() {
            return self.members[usize::from(node.0)].node.is_open();
        }
        let heard = &self.members[usize::from(node.0)].heard;
        self.peers(node).all(|peer| peer == node || heard[usize::from(peer.0)])
    }

    pub(super) fn check_owner(&self, node: NodeId, lock: LockId, owner: OwnerId) -> Result<(), Violation> {
        let Some(at) = self.ghost.at(node, lock) else {
            return Err(broken!(
                ExactlyOnce,
                "an event for lock {:x} of node {node}, which has ended",
                lock.to_u64()
            ));
        };
        let known = self.ghost.locks[at].owner;
        ensure!(known == owner, ExactlyOnce, "an event for owner {} of a lock of owner {}", owner.0, known.0);
        Ok(())
    }

    /// Nothing is granted before the master has heard every member, and a grant says truly where it came from.
    pub(super) fn check_path(
        &mut self,
        node: NodeId,
        lock: LockId,
        resource: usize,
        grant: &Grant,
    ) -> Result<(), Violation> {
        let keeper = self.moves_at(resource).keeper(resource);
        ensure!(self.is_open(keeper), Opening, "node {keeper} granted before every member was heard");
        let since = self.ghost.at(node, lock).map_or(0, |at| self.ghost.locks[at].since);
        let is_true = match grant.path {
            Path::Retained => true,
            // Its record may have come in the step that is not over yet.
            Path::Local => {
                self.decides(node, resource) || self.moves_at(resource).has_decided(node, resource, since)
            }
            // The grant may have been under way when the resource came to this node.
            Path::Remote => self.moves_at(resource).has_other_decided(node, resource),
        };
        ensure!(is_true, Answer, "{:?} of node {node}, resource {resource} of node {keeper}", grant.path);
        self.report.retained += u64::from(grant.path == Path::Retained);
        let is_moving = self.moves_at(resource).is_moving(resource);
        self.moves_of(node).counts.grants += u64::from(is_moving);
        Ok(())
    }

    fn decides(&mut self, node: NodeId, resource: usize) -> bool {
        let (space, name) = &self.plan.resources[resource];
        self.members[usize::from(node.0)].node.decides(*space, name) == Ok(true)
    }

    /// The node's logical locks are those that its owners know of.
    pub(super) fn check_owners(&self, node: NodeId) -> Result<(), Violation> {
        let rows = &self.members[usize::from(node.0)].tables.rows;
        let (is_deaf, is_open) = (self.ghost.is_deaf(node), self.is_open(node));
        let shown = rows.iter().map(|row| row.locks.len()).sum::<usize>();
        let known = self.ghost.of_node(node).count();
        let is_same = shown == known || (is_deaf && shown < known);
        ensure!(is_same, ExactlyOnce, "node {node} has {shown} locks, its owners know of {known}");
        for (at, row) in rows.iter().enumerate() {
            for view in row.locks.iter().filter(|_| !is_deaf) {
                let ghost = self.ghost.of_node(node).find(|ghost| ghost.lock == view.lock);
                let is_known = ghost.is_some_and(|ghost| ghost.resource == at && is_shown_by(ghost, view));
                ensure!(is_known, ExactlyOnce, "node {node}: {view:?}, of which its owner knows {ghost:?}");
            }
            if is_open {
                self.check_first_owner(node, at)?;
            }
        }
        for ghost in self.ghost.of_node(node) {
            let Some(mode) = self.ghost.holds(ghost) else { continue };
            let (at, held) = (ghost.resource, rows[ghost.resource].held);
            let is_covered = held.is_some_and(|held| held.covers(mode));
            ensure!(is_covered, Coverage, "node {node} holds {held:?} of resource {at}, its owner {mode}");
        }
        Ok(())
    }

    /// The first waiter of a node is not one that the node could serve from what it holds.
    fn check_first_owner(&self, node: NodeId, at: usize) -> Result<(), Violation> {
        let row = &self.members[usize::from(node.0)].tables.rows[at];
        let head = |queue| row.locks.iter().find(|view| view.queue == queue);
        let convert = head(QueueName::Convert);
        let Some(first) = convert.or_else(|| head(QueueName::Wait)) else { return Ok(()) };
        let Some(wanted) = first.wanted else { return Ok(()) };
        let may_wait_for_demand = convert.is_none() && row.demanded.is_some();
        let waits_for_value =
            self.ghost.of_node(node).any(|ghost| ghost.lock == first.lock && ghost.flags.has(Flags::VALUE));
        let is_covered = row.held.is_some_and(|held| held.covers(wanted));
        if may_wait_for_demand || waits_for_value || !is_covered {
            return Ok(());
        }
        let is_blocked = row.locks.iter().any(|other| {
            other.lock != first.lock && other.held.is_some_and(|held| !held.is_compatible(wanted))
        });
        ensure!(
            is_blocked,
            LostWakeup,
            "node {node} holds {:?} of resource {at} and owner {} waits for {wanted}",
            row.held,
            first.owner.0
        );
        Ok(())
    }

    /// What is on record where the resource is decided, or frozen, covers what each node holds.
    fn check_coverage(&self, at: usize) -> Result<(), Violation> {
        let keeper = self.moves_at(at).keeper(at);
        let record = &self.members[usize::from(keeper.0)].tables.rows[at];
        for node in self.nodes() {
            let Some(held) = self.members[usize::from(node.0)].tables.rows[at].held else { continue };
            let known = record.of_node(node).and_then(|physical| physical.held);
            ensure!(
                known.is_some_and(|known| known.covers(held)),
                Coverage,
                "node {node} holds {held} of resource {at}; node {keeper} has {known:?} on record"
            );
        }
        Ok(())
    }

    pub(super) fn check_conservation(&self, node: NodeId) -> Result<(), Violation> {
        let member = &self.members[usize::from(node.0)];
        let stats = member.node.stats();
        let locks = member.tables.rows.iter().flat_map(|row| &row.locks);
        let pending = locks.filter(|view| view.wanted.is_some()).count() as u64;
        ensure!(
            stats.asked == stats.granted + stats.denied + stats.cancelled + pending,
            Conservation,
            "node {node}: {stats:?} and {pending} pending"
        );
        let told = self.ghost.grants_of(node);
        let is_told = told.contains(&stats.granted);
        ensure!(is_told, Conservation, "node {node}: {} grants, {told:?} told", stats.granted);
        Ok(())
    }

    /// What the master's table shows of the value block moves the ghost's account forward.
    fn look_at_value(&mut self, node: NodeId, at: usize) {
        // The record may have been dropped, or written, in the same step in which the slot was packed.
        if self.moves_at(at).keeper(at) != node {
            return;
        }
        let row = &self.members[usize::from(node.0)].tables.rows[at];
        let history = &mut self.ghost.values[at];
        if row.physical.is_empty() {
            history.dropped();
        } else if let Some(state) = row.value {
            history.applied(state);
        }
    }
}

fn is_shown_by(ghost: &GhostLock, view: &LockView) -> bool {
    match ghost.standing {
        Standing::Waiting { wanted } => {
            view.queue == QueueName::Wait && view.held.is_none() && is_wanted(ghost, view, wanted)
        }
        Standing::Held(mode) => {
            view.queue == QueueName::Granted && view.held == Some(mode) && view.wanted.is_none()
        }
        Standing::Converting { held, wanted } => {
            let is_demoted = ghost.flags.has(Flags::DEMOTE_ON_DEADLOCK) && view.held == Some(Mode::Null);
            view.queue == QueueName::Convert
                && is_wanted(ghost, view, wanted)
                && (view.held == Some(held) || is_demoted)
        }
    }
}

/// Does the lock wait for what its owner asked for, or for the alternate that it accepts?
fn is_wanted(ghost: &GhostLock, view: &LockView, wanted: Mode) -> bool {
    let takes_alternate = ghost.flags.has(Flags::ALTERNATE_PR) || ghost.flags.has(Flags::ALTERNATE_CW);
    view.wanted == Some(wanted) || takes_alternate
}
