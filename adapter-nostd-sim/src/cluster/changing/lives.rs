//! What becomes of single nodes: they crash, start, are fenced, begin another life, leave.

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::{
    Epoch, Incarnation, LockId, NodeId, OwnerId, Progress, RejoinError, Stage, Standing as Stands, Storage,
};
use lockmaster_core::{Node, ValueWrite};

use super::{Cluster, Leaving};
use crate::cluster::ear::Ear;
use crate::ghost::Standing;
use crate::report::{Change, Violation, broken, ensure};
use crate::tables::Tables;

/// In how many of a thousand crashes one machine is gone before the others.
const ALONE: u32 = 300;

impl<S: Storage> Cluster<S> {
    fn pick_of(&mut self, nodes: &[NodeId]) -> Option<NodeId> {
        (!nodes.is_empty()).then(|| *self.changes().random.pick(nodes))
    }

    /// First machines of hosts.
    fn leads_that(&self, fit: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        self.plan.layout.leads().filter(|lead| fit(*lead)).collect()
    }

    /// Something may happen to a host.
    pub(super) fn live(&mut self) -> Result<(), Violation> {
        let turnover = self.plan.turnover.clone().expect("members change");
        let up = self.leads_that(|lead| !self.beside_up(lead).is_empty());
        let mut chance = |rate| self.changes().random.chance(rate);
        let (is_crash, is_start) = (chance(turnover.crash), chance(turnover.start));
        let (is_fence, is_rejoin) = (chance(turnover.fence), chance(turnover.rejoin));
        let is_leave = chance(turnover.leave);
        if is_crash && let Some(node) = self.pick_of(&up) {
            self.report.changes.hit(Change::Crash);
            self.crash(node);
        }
        let down = self.leads_that(|lead| self.beside_up(lead).is_empty());
        if is_start
            && self.plan.layout.hosts() - down.len() < turnover.living_max
            && let Some(node) = self.pick_of(&down)
        {
            self.start(node);
        }
        let members = self.leads_that(|lead| self.is_living_member(lead));
        if is_fence && let Some(node) = self.pick_of(&members).filter(|node| !self.is_paused(*node)) {
            self.report.changes.hit(Change::FencedByCall);
            for machine in self.plan.layout.beside(node) {
                self.fence(machine)?;
            }
        }
        let over = self.leads_that(|lead| self.is_whole(lead) && self.is_ended(lead));
        if is_rejoin && let Some(node) = self.pick_of(&over).filter(|node| !self.is_paused(*node)) {
            self.rejoin_all(node)?;
        }
        if is_leave
            && let Some(node) = self.pick_of(&members)
            && self.changes().life(node).leaving == Leaving::No
        {
            for machine in self.plan.layout.beside(node) {
                self.changes().life(machine).leaving = Leaving::Begun;
            }
            self.report.changes.hit(Change::Leave);
            self.trace.line(self.now, format_args!("node {node}: wants to leave"));
        }
        Ok(())
    }

    /// Is a node's time over, and can it know that?
    pub(super) fn is_ended(&self, node: NodeId) -> bool {
        let life = &self.known().lives[usize::from(node.0)];
        life.is_told || self.now_of(node) >= life.certainty.fenced_at
    }

    fn is_installed(&self, node: NodeId) -> bool {
        self.known().lives[usize::from(node.0)].installed != Epoch(0)
    }

    /// Do all machines of a host run, is none of them over, and has one of them been a member?
    fn is_living_member(&self, lead: NodeId) -> bool {
        let lives = |node| !self.is_down(node) && !self.is_over(node);
        let mut machines = self.plan.layout.beside(lead);
        self.plan.layout.beside(lead).all(lives) && machines.any(|node| self.is_installed(node))
    }

    // ---- down and up ----

    /// A host crashes with all its machines; or one of them crashes, and the others follow when they hear of it.
    fn crash(&mut self, lead: NodeId) {
        let machines = self.beside_up(lead);
        if machines.len() > 1 && self.divider.chance(ALONE) {
            self.report.machines.crashes_alone += 1;
            let first = *self.divider.pick(&machines);
            let at = self.now.after(self.divider.span(Duration::ZERO, self.plan.weather.spell_max));
            self.shut_down(first);
            for node in machines.into_iter().filter(|node| *node != first) {
                self.changes().life(node).falls_at = Some(at);
            }
            return;
        }
        for node in machines {
            self.shut_down(node);
        }
    }

    /// Machines follow the one that has crashed beside them, and end their lives with the one that is over.
    pub(super) fn fall(&mut self) -> Result<(), Violation> {
        if self.plan.layout.machines() == 1 {
            return Ok(());
        }
        for node in self.nodes() {
            let falls_at = self.changes().life(node).falls_at;
            if !self.is_down(node) && falls_at.is_some_and(|at| at <= self.now) {
                self.shut_down(node);
            }
        }
        for node in self.nodes() {
            let is_left = !self.is_paused(node) && !self.is_ended(node);
            let is_over = |other: &NodeId| !self.is_down(*other) && self.is_ended(*other);
            if is_left && self.plan.layout.beside(node).any(|other| is_over(&other)) {
                self.report.machines.ended_with += 1;
                self.fence(node)?;
            }
        }
        Ok(())
    }

    /// A node is gone from one instant to the next, with its memory.
    pub(super) fn shut_down(&mut self, node: NodeId) {
        self.trace.line(self.now, format_args!("node {node}: is gone"));
        self.see_ends();
        self.count_stats(node);
        self.ghost.crashed(node);
        self.network.vanish(self.now, node);
        if self.beside_up(node) == [node] {
            self.network.wake(node);
        }
        let (nodes, resources) = (self.members.len(), self.plan.resources.len());
        let changing = self.changes();
        changing.life(node).is_up = false;
        changing.life(node).falls_at = None;
        changing.life(node).due.clear();
        changing.life(node).met.fill(None);
        changing.given.retain(|(of, _)| *of != node);
        for life in &mut changing.lives {
            life.dialling[usize::from(node.0)] = false;
        }
        changing.life(node).dialling.fill(false);
        let member = self.member(node);
        member.tables = Tables::new(resources);
        member.owed = alloc::vec![false; nodes];
        member.connected = alloc::vec![false; nodes];
        member.timer = None;
    }

    /// Adds up what a node has counted when it ends.
    pub(super) fn count_stats(&mut self, node: NodeId) {
        let stats = self.member(node).node.stats();
        let changes = &mut self.report.changes;
        changes.add(Change::RebuiltSlots, stats.slots_rebuilt);
        changes.add(Change::Early, stats.resources_early);
        changes.add(Change::RebuiltLocks, stats.locks_rebuilt);
        changes.add(Change::PurgedLocks, stats.locks_purged);
    }

    /// A host that runs nothing starts as another life, or for the first time.
    fn start(&mut self, lead: NodeId) {
        let Some(memory) = self.changes().spares.pop() else { return };
        self.report.changes.hit(Change::Restart);
        for (node, memory) in self.plan.layout.beside(lead).zip(memory) {
            self.start_machine(node, memory);
        }
    }

    fn start_machine(&mut self, node: NodeId, memory: S) {
        self.begin_life(node);
        let incarnation = self.changes().life(node).incarnation;
        let mut config = self.plan.configs[usize::from(node.0)].clone();
        config.incarnation = incarnation;
        self.trace.line(self.now, format_args!("node {node}: starts as life {}", incarnation.0));
        let made = Node::new(config, memory).expect("the memory fits");
        self.member(node).node = made;
        let hello = self.member(node).node.hello();
        self.network.call_itself(node, hello);
        self.look(node);
    }

    /// The next life of a node knows nothing of the last one.
    fn begin_life(&mut self, node: NodeId) {
        let nodes = self.members.len();
        self.changes().life(node).next(nodes);
        for account in &mut self.changes().accounts {
            account.forget(node);
        }
    }

    // ---- the end of membership ----

    /// The node knows that it is no member any more.
    pub(super) fn end(&mut self, node: NodeId) {
        self.changes().life(node).is_told = true;
        self.changes().life(node).is_counted = true;
        self.see_ends();
        self.changes().given.retain(|(of, _)| *of != node);
    }

    fn fence(&mut self, node: NodeId) -> Result<(), Violation> {
        self.trace.line(self.now, format_args!("node {node}: is fenced"));
        let now = self.now_of(node);
        self.member(node).node.fence(now);
        self.end(node);
        self.settle(node)
    }

    /// All machines of a host begin their next lives. Those that are not over yet end first.
    pub(super) fn rejoin_all(&mut self, lead: NodeId) -> Result<(), Violation> {
        for node in self.plan.layout.beside(lead) {
            if !self.is_ended(node) {
                self.fence(node)?;
            }
        }
        for node in self.plan.layout.beside(lead) {
            self.rejoin(node)?;
        }
        Ok(())
    }

    fn rejoin(&mut self, node: NodeId) -> Result<(), Violation> {
        // Every loss must be told before.
        self.listen(node, Ear::Open)?;
        let nodes = self.members.len();
        let now = self.now_of(node);
        let life = self.changes().life(node);
        let incarnation = Incarnation(life.incarnation.0 + 1);
        let standing = self.member(node).node.standing(now);
        ensure!(standing == Stands::Fenced, Membership, "node {node} is over and stands as {standing:?}");
        self.listen(node, Ear::Open)?;
        let rejoined = self.member(node).node.rejoin(now, incarnation);
        self.trace
            .line(self.now, format_args!("node {node}: rejoins as life {}: {rejoined:?}", incarnation.0));
        ensure!(rejoined != Err(RejoinError::Incarnation), Membership, "node {node}: {rejoined:?}");
        ensure!(rejoined.is_ok(), Membership, "node {node} has told all its losses: {rejoined:?}");
        self.report.changes.hit(Change::Rejoined);
        // What it was is waited for by nobody: it was over.
        self.begin_life(node);
        let member = self.member(node);
        member.connected = alloc::vec![false; nodes];
        member.owed = alloc::vec![false; nodes];
        let hello = member.node.hello();
        self.network.call_itself(node, hello);
        self.see_ends();
        self.settle(node)
    }

    /// An owner is told that its lock is lost.
    pub(in crate::cluster) fn lose(
        &mut self,
        node: NodeId,
        lock: LockId,
        owner: OwnerId,
    ) -> Result<(), Violation> {
        if !self.is_changing() {
            return Err(broken!(Lost, "a lock is lost without an end of membership"));
        }
        self.check_owner(node, lock, owner)?;
        self.see_ends();
        self.report.changes.hit(Change::Lost);
        self.ghost.lost(node, lock)
    }

    // ---- leaving ----

    /// Nodes that leave empty themselves.
    pub(super) fn leave(&mut self) -> Result<(), Violation> {
        for node in self.nodes() {
            let is_flagged = self.known().installed(node).and_then(|view| view.member(node));
            let is_flagged = is_flagged.is_some_and(|member| member.is_leaving);
            let is_begun = self.known().lives[usize::from(node.0)].leaving == Leaving::Begun;
            if !is_flagged || !is_begun || self.is_paused(node) || self.is_over(node) {
                continue;
            }
            self.leave_some(node)?;
        }
        Ok(())
    }

    fn leave_some(&mut self, node: NodeId) -> Result<(), Violation> {
        self.listen(node, Ear::Open)?;
        let now = self.now_of(node);
        let most = self.plan.turnover.as_ref().map_or(1, |turnover| turnover.balance_most);
        self.balance(node, most)?;
        let is_it = |ghost: &crate::ghost::GhostLock| ghost.node == node;
        if let Some(at) = self.ghost.locks.iter().position(is_it) {
            let ghost = &self.ghost.locks[at];
            return match ghost.standing {
                Standing::Held(_) => self.release(at, ValueWrite::Keep),
                Standing::Waiting { .. } | Standing::Converting { .. } => self.cancel(at),
            };
        }
        let has_released = self.member(node).node.release_retained(now);
        self.settle(node)?;
        let is_empty = has_released && self.member(node).node.is_drained() && self.is_parted(node);
        if is_empty && self.known().is_member(node) {
            let retains = self.member(node).tables.rows.iter().any(|row| row.held.is_some());
            ensure!(
                !retains,
                Membership,
                "node {node} has released all that it retains, and holds something"
            );
            self.trace.line(self.now, format_args!("node {node}: has emptied itself"));
            self.changes().life(node).leaving = Leaving::Empty;
        }
        Ok(())
    }

    /// Do all who stay know that a node has nothing any more?
    fn is_parted(&mut self, node: NodeId) -> bool {
        let now = self.now_of(node);
        let unheard: Option<Vec<NodeId>> = self.member(node).node.part(now).map(Iterator::collect);
        let view = self.known().installed(node).expect("who leaves has a view");
        let stays = |peer: &NodeId| view.member(*peer).is_some_and(|member| !member.is_leaving);
        unheard.is_some_and(|unheard| !unheard.iter().any(stays))
    }

    /// Does the node take no requests because it is about to go?
    pub(in crate::cluster) fn is_closing(&self, node: NodeId) -> bool {
        let changing = self.changing.as_ref();
        changing.is_some_and(|changing| changing.lives[usize::from(node.0)].leaving != Leaving::No)
    }

    /// What a node says of a transfer.
    pub(in crate::cluster) fn hear_of_transfer(
        &mut self,
        node: NodeId,
        progress: &Progress,
    ) -> Result<(), Violation> {
        let id = progress.transfer;
        let incarnation = self.known().lives[usize::from(node.0)].incarnation;
        let is_old = self.known().ended.contains(&(node, incarnation, id));
        ensure!(!is_old, Transfer, "news of {progress:?} of node {node}, whose end was told");
        let known = self.known().given.iter().position(|given| *given == (node, id));
        let change = match progress.stage {
            Stage::Offered | Stage::Moving | Stage::Announced => {
                if known.is_none() {
                    self.changes().given.push((node, id));
                }
                return Ok(());
            }
            Stage::Done => Change::MoveDone,
            Stage::Refused(_) => Change::MoveRefused,
            Stage::Withdrawn => Change::Withdrawn,
            Stage::Cut => Change::MoveCut,
        };
        self.report.changes.hit(change);
        self.changes().ended.insert((node, incarnation, id));
        if let Some(at) = known {
            self.changes().given.swap_remove(at);
        }
        Ok(())
    }

    /// Is what the node tells its owners of no use any more?
    pub(in crate::cluster) fn is_told_late(&self, node: NodeId) -> bool {
        self.is_changing() && self.is_over(node)
    }
}
