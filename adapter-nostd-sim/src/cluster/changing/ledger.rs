//! What the simulator remembers of each resource from one master to the next: numbers, acknowledged places, and who has
//! the value block. It is read off what arrives and what nodes show, never off what a rebuild makes of it.

use alloc::vec::Vec;

use lockmaster_core::{Epoch, Mode, NodeId, Number, PhysicalView, QueueName, QueueTicket, Token};

use crate::report::{Violation, ensure};
use crate::tables::Row;

/// The account of one resource.
#[derive(Debug)]
pub(super) struct Account {
    nodes: Vec<OfNode>,
    /// Records of who decides, when that was seen last.
    present: Vec<(NodeId, Number)>,
    /// Epochs of the last rebuilds after which the records were seen, and who has the value block.
    rebuilt: Epoch,
    judged: Epoch,
}

/// What one node has to do with a resource, in this life.
#[derive(Clone, Copy, Debug, Default)]
struct OfNode {
    /// The highest number of a position that it has shown.
    shown: Number,
    /// The same when it took its last view, if it was a member before, and the epoch of that.
    before: (Epoch, Number),
    /// No record of it with this number, or a lower one, may come any more.
    gone: Number,
    /// The request that was acknowledged last, and its place.
    place: Option<(Number, QueueTicket)>,
    /// Under which it was granted what it holds, when it was shown last.
    token: Token,
    /// It has read or written the value block, and has held a mode since in which nobody else can write.
    has_copy: bool,
    /// It has read the block since it was shown last.
    has_read: bool,
}

impl Account {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes: alloc::vec![OfNode::default(); nodes],
            present: Vec::new(),
            rebuilt: Epoch(0),
            judged: Epoch(0),
        }
    }

    fn of(&mut self, node: NodeId) -> &mut OfNode {
        &mut self.nodes[usize::from(node.0)]
    }

    // ---- what happens ----

    /// A node shows what it holds and wants.
    pub(super) fn shows(&mut self, node: NodeId, row: &Row) {
        let of = self.of(node);
        // What is granted with a position that was not seen before may have been given up for a moment.
        let is_regained = row.token != of.token && row.number != of.shown;
        let has_kept = !is_regained || of.has_read;
        of.has_copy &= has_kept && row.held.is_some_and(Mode::keeps_value_current);
        of.has_read = false;
        of.shown = of.shown.max(row.number);
        of.token = row.token;
    }

    /// A node takes a view; who joins with it is not reported.
    pub(super) fn takes_view(&mut self, node: NodeId, epoch: Epoch, is_joining: bool) {
        let of = self.of(node);
        of.before = (epoch, if is_joining { Number(0) } else { of.shown });
    }

    /// A node is told the place of its request.
    pub(super) fn queued(&mut self, node: NodeId, number: Number, ticket: QueueTicket) {
        self.of(node).place = Some((number, ticket));
    }

    /// An owner of the node has read the last value.
    pub(super) fn read(&mut self, node: NodeId) {
        let of = self.of(node);
        (of.has_copy, of.has_read) = (true, true);
    }

    /// The node's life is over: its next one knows nothing.
    pub(super) fn forget(&mut self, node: NodeId) {
        *self.of(node) = OfNode::default();
        self.present.retain(|(of, _)| *of != node);
    }

    pub(super) fn has_copy(&self, node: NodeId) -> bool {
        self.nodes[usize::from(node.0)].has_copy
    }

    pub(super) const fn rebuilt(&self) -> Epoch {
        self.rebuilt
    }

    /// Is it the first time that a rebuild in this view is seen?
    pub(super) fn is_news(&mut self, epoch: Epoch) -> bool {
        let is_news = epoch > self.judged;
        self.judged = self.judged.max(epoch);
        is_news
    }

    // ---- rules ----

    /// Records of a master are of positions that their nodes have stated.
    pub(super) fn check_stated(&mut self, at: usize, records: &[(NodeId, Number)]) -> Result<(), Violation> {
        for (node, number) in records {
            let shown = self.of(*node).shown;
            ensure!(
                *number <= shown,
                ExactlyOnce,
                "resource {at}: number {} of node {node} is on record, which never went beyond {}",
                number.0,
                shown.0
            );
        }
        Ok(())
    }

    /// What has gone does not come back.
    pub(super) fn follow(&mut self, at: usize, records: &[(NodeId, Number)]) -> Result<(), Violation> {
        for (node, number) in records {
            let of = *self.of(*node);
            let is_new = self.present.iter().all(|(known, _)| known != node);
            ensure!(
                !is_new || *number > of.gone,
                ExactlyOnce,
                "resource {at}: number {} of node {node} is on record, which was over with {}",
                number.0,
                of.gone.0
            );
        }
        for (node, number) in core::mem::take(&mut self.present) {
            if records.iter().all(|(known, _)| *known != node) {
                let of = self.of(node);
                of.gone = of.gone.max(number);
            }
        }
        self.present.extend_from_slice(records);
        Ok(())
    }

    /// The resource is decided about again: only what was reported is on record, and all that was said before is over.
    pub(super) fn rebuild(&mut self, epoch: Epoch, records: &[(NodeId, Number)]) {
        self.rebuilt = epoch;
        self.present.clear();
        self.present.extend_from_slice(records);
        for of in &mut self.nodes {
            let (taken, number) = of.before;
            of.gone = if taken == epoch { number } else { Number(0) };
        }
    }

    /// Who waited in an acknowledged place waits in that order; says how many pairs were compared. `is_served` says
    /// whether a lock was granted just now, in its turn.
    pub(super) fn check_order(
        &self,
        at: usize,
        records: &[PhysicalView],
        is_served: impl Fn(&PhysicalView) -> bool,
    ) -> Result<u64, Violation> {
        let place = |record: &PhysicalView| {
            let of = self.nodes.get(usize::from(record.node.0))?;
            of.place.filter(|(number, _)| *number == record.number).map(|(_, ticket)| ticket)
        };
        let turn = |record: &PhysicalView| match record.queue {
            QueueName::Convert => Some(Turn::Convert),
            QueueName::Wait => Some(Turn::Wait),
            QueueName::Granted if is_served(record) => Some(Turn::Wait),
            QueueName::Granted => None,
        };
        let placed = records.iter().filter_map(|record| Some((record, turn(record)?, place(record)?)));
        let placed: Vec<_> = placed.collect();
        let mut pairs = 0;
        for (nth, (late, turn, later)) in placed.iter().enumerate() {
            for (early, _, earlier) in placed[..nth].iter().filter(|(_, other, _)| other == turn) {
                if early.queue == QueueName::Granted && late.queue == QueueName::Granted {
                    // Which of them was first is not seen.
                    continue;
                }
                pairs += 1;
                ensure!(
                    earlier <= later,
                    Order,
                    "resource {at}: node {} stands before node {}, in place {earlier:?} before {later:?}",
                    early.node,
                    late.node
                );
            }
        }
        Ok(pairs)
    }
}

/// Which of the two queues a lock waits in, or did until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Convert,
    Wait,
}
