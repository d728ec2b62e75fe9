//! What must be so when a resource is decided about again, or a member has departed: places, numbers, value blocks.

use alloc::vec::Vec;

use lockmaster_core::wire::{Body, Message, Messages};
use lockmaster_core::{Flags, MapVersion, Mode, NodeId, Number, PhysicalView, Storage};

use super::Cluster;
use crate::ghost::Reading;
use crate::report::{Change, Violation};

impl<S: Storage> Cluster<S> {
    /// Takes note of what a node shows, and checks what it has on record of what it decides about.
    pub(super) fn keep_account(&mut self, node: NodeId) -> Result<(), Violation> {
        if self.is_over(node) {
            return Ok(());
        }
        for at in self.resources_of(node) {
            let row = &self.members[usize::from(node.0)].tables.rows[at];
            let changing = self.changing.as_mut().expect("members change");
            changing.accounts[at].shows(node, row);
            self.doubt_departed(node, at);
        }
        for at in self.resources_of(node) {
            if self.members[usize::from(node.0)].tables.rows[at].decides {
                self.check_account(node, at)?;
            }
        }
        Ok(())
    }

    fn check_account(&mut self, node: NodeId, at: usize) -> Result<(), Violation> {
        let records: Vec<(NodeId, Number)> = self.members[usize::from(node.0)].tables.rows[at]
            .physical
            .iter()
            .filter(|record| self.is_of_member(node, record))
            .map(|record| (record.node, record.number))
            .collect();
        self.see_copies(node, at);
        let version = self.version_at(node, at);
        let account = &mut self.changes().accounts[at];
        account.check_stated(at, &records)?;
        if version.count > 0 || version.epoch <= account.rebuilt() {
            return account.follow(at, &records);
        }
        account.rebuild(version.epoch, &records);
        self.see_order(node, at)
    }

    /// The version under which a node knows the slot of a resource.
    fn version_at(&mut self, node: NodeId, at: usize) -> MapVersion {
        let slot = self.known().slots[at];
        self.member(node).node.slot(slot).expect("the slot exists").version
    }

    /// Is a record of the life that its node lives now, as the master's view has it?
    fn is_of_member(&self, master: NodeId, record: &PhysicalView) -> bool {
        let Some(life) = self.known().lives.get(usize::from(record.node.0)) else { return false };
        let member = self.known().installed(master).and_then(|view| view.member(record.node));
        member.is_some_and(|member| member.incarnation == life.incarnation)
    }

    /// Whoever waited in an acknowledged place is served in its turn.
    fn see_order(&mut self, node: NodeId, at: usize) -> Result<(), Violation> {
        let records: Vec<PhysicalView> = self.members[usize::from(node.0)].tables.rows[at]
            .physical
            .iter()
            .filter(|record| self.is_of_member(node, record))
            .copied()
            .collect();
        let is_served = |record: &PhysicalView| {
            let row = &self.members[usize::from(record.node.0)].tables.rows[at];
            let is_out_of_turn = |flags: Flags| flags.has(Flags::NO_ORDER);
            let mut owners = self.ghost.of_node(record.node).filter(|ghost| ghost.resource == at);
            row.number == record.number
                && row.held.is_none()
                && row.wanted.is_some()
                && !owners.any(|ghost| is_out_of_turn(ghost.flags))
        };
        let pairs = self.known().accounts[at].check_order(at, &records, is_served)?;
        self.report.changes.add(Change::PlacesKept, pairs);
        Ok(())
    }

    /// A value block may be lost with its master if no survivor has it. It is judged before the first grant is told.
    fn see_copies(&mut self, node: NodeId, at: usize) {
        let version = self.version_at(node, at);
        if version.count > 0 || !self.changes().accounts[at].is_news(version.epoch) {
            return;
        }
        let is_kept = self.living().iter().any(|node| self.known().accounts[at].has_copy(*node));
        let was_written = self.ghost.values[at].was_written();
        if is_kept {
            self.report.changes.add(Change::ValuesKept, u64::from(was_written));
        } else {
            self.ghost.values[at].doubt();
        }
    }

    /// A value block may be marked invalid when somebody departs whom its master believes to be a writer.
    fn doubt_departed(&mut self, node: NodeId, at: usize) {
        let changing = self.known();
        let Some(latest) = changing.latest_of(node) else { return };
        let installed = changing.lives[usize::from(node.0)].installed;
        let row = &self.members[usize::from(node.0)].tables.rows[at];
        let is_departed =
            |record: &PhysicalView| latest.member(record.node).is_none_or(|member| member.joined > installed);
        let is_lost =
            |record: &PhysicalView| record.held.is_some_and(Mode::may_write_value) && is_departed(record);
        if row.physical.iter().any(is_lost) {
            self.ghost.values[at].doubt();
        }
    }

    /// The same for all nodes, whose views will be older than the one that is made.
    pub(super) fn doubt_values(&mut self) {
        for node in self.nodes() {
            for at in self.resources_of(node) {
                self.doubt_departed(node, at);
            }
        }
    }

    /// An owner is granted a lock with the value block.
    pub(in crate::cluster) fn reads_value(&mut self, node: NodeId, at: usize, reading: Reading) {
        let (space, name) = &self.plan.resources[at];
        if self.members[usize::from(node.0)].node.decides(*space, name) == Ok(true) {
            self.see_copies(node, at);
        }
        if reading == Reading::Last {
            // The node has it as long as nobody else can write.
            self.changes().accounts[at].read(node);
        }
    }

    /// Takes note of the places that a frame acknowledges, once its node has taken it.
    pub(super) fn note_places(&mut self, node: NodeId, frame: &[u8]) {
        let Ok((_, messages)) = Messages::new(frame) else { return };
        for message in messages {
            let Message::Lock(message) = message else { continue };
            let Body::Queued(queued) = message.body else { continue };
            let Some(at) = self.plan.resource(message.space, message.name) else { continue };
            let row = &self.members[usize::from(node.0)].tables.rows[at];
            if row.number == queued.number && row.wanted.is_some() {
                self.changes().accounts[at].queued(node, queued.number, queued.ticket);
            }
        }
    }
}
