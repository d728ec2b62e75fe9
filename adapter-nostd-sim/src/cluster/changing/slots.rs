//! Slots that move while members change: by hand, and by balance.

use alloc::vec::Vec;

use lockmaster_core::{NodeId, SlotId, SlotRange, Storage, TransferError};

use super::Cluster;
use crate::report::{Change, Violation, ensure};

impl<S: Storage> Cluster<S> {
    /// Somebody may move slots, or look for balance.
    pub(super) fn move_somehow(&mut self) -> Result<(), Violation> {
        let turnover = self.plan.turnover.clone().expect("members change");
        let rate = self.plan.mobility.rate;
        let changing = self.changes();
        let (is_balance, is_move) = (changing.random.chance(turnover.balance), changing.random.chance(rate));
        let nodes: Vec<NodeId> = self.nodes().filter(|node| !self.is_paused(*node)).collect();
        if nodes.is_empty() {
            return Ok(());
        }
        if is_balance {
            let node = *self.changes().random.pick(&nodes);
            self.balance(node, turnover.balance_most)?;
        }
        if is_move {
            let (node, to) = (*self.mover.pick(&nodes), *self.mover.pick(&nodes));
            let to = self.plan.layout.on(to, self.plan.layout.machine(node));
            if self.mover.chance(self.plan.mobility.withdraw) {
                return self.take_back(node);
            }
            if let Some(range) = self.pick_range(node) {
                return self.give(node, range, to);
            }
        }
        Ok(())
    }

    pub(super) fn balance(&mut self, node: NodeId, most: usize) -> Result<(), Violation> {
        let now = self.now_of(node);
        let count = self.member(node).node.balance(now, most);
        if count > 0 {
            self.trace.line(self.now, format_args!("node {node}: {count} transfers run after balance"));
        }
        self.report.changes.add(Change::Balanced, u64::from(count > 0));
        self.settle(node)
    }

    /// Transfers of a node whose end was not told yet.
    fn transfers_of(&self, node: NodeId) -> Vec<lockmaster_core::TransferId> {
        self.known().given.iter().filter(|(of, _)| *of == node).map(|(_, id)| *id).collect()
    }

    fn give(&mut self, node: NodeId, range: SlotRange, to: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let before = self.member(node).node.digest();
        let was_over = self.is_ended(node);
        let asked = self.member(node).node.transfer(now, range, to);
        self.trace.line(self.now, format_args!("node {node}: slots {range} to node {to}: {asked:?}"));
        match asked {
            Ok(id) => {
                self.report.changes.hit(Change::Offered);
                ensure!(!was_over, Transfer, "node {node} gives slots, and is no member");
                self.changes().given.push((node, id));
            }
            Err(TransferError::Range | TransferError::InTransfer | TransferError::NotMaster) if !was_over => {
                ensure!(false, Transfer, "node {node} is asked to give {range} to node {to}: {asked:?}");
            }
            Err(_) if was_over => {}
            Err(_) => self.unchanged(node, before)?,
        }
        self.settle(node)
    }

    fn take_back(&mut self, node: NodeId) -> Result<(), Violation> {
        let ids = self.transfers_of(node);
        if ids.is_empty() {
            return Ok(());
        }
        let id = *self.mover.pick(&ids);
        let now = self.now_of(node);
        let withdrawn = self.member(node).node.withdraw(now, id);
        self.trace.line(self.now, format_args!("node {node}: withdraws {id:?}: {withdrawn:?}"));
        self.settle(node)
    }

    /// Who decides about a resource.
    pub(in crate::cluster) fn decider(&self, at: usize) -> Option<NodeId> {
        self.living().into_iter().find(|node| self.members[usize::from(node.0)].tables.rows[at].decides)
    }

    /// All slots of the machines of a place.
    pub(super) fn all_slots(&self, machine: usize) -> impl Iterator<Item = SlotId> + use<S> {
        self.members[machine].node.all_slots().slots()
    }
}
