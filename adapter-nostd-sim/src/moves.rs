//! The account of transfers: what was asked for, what every message about it said, and the rules that can be read
//! off that. What nodes believe is no part of it.
//!
//! ```text
//!  asked ──► offered ──► begun: the first chunk was sent ──► ended
//!                │                                             ▲
//!                └─────────────────────────────────────────────┘ refused, withdrawn
//! ```

mod watch;

use alloc::vec::Vec;
use core::fmt;

use lockmaster_core::wire::LockUnit;
use lockmaster_core::{
    MapVersion, NodeId, PhysicalView, Progress, Refusal, SlotId, SlotRange, Stage, TransferId, ValueCopy,
};

use crate::report::{MoveCounts, Violation, broken, ensure};
use crate::tables::Row;

/// All transfers of a run, and who was master of what.
#[derive(Debug)]
pub(crate) struct Moves {
    /// For each node, whether it is of another cluster: nobody waits for what it says.
    strangers: Vec<bool>,
    pub(crate) all: Vec<Move>,
    /// For each slot its masters, one after the other.
    reigns: Vec<Vec<Reign>>,
    /// For each resource its slot, if it is one of this cluster.
    slots: Vec<Option<SlotId>>,
    /// For each resource, the latest reign in which its new master has decided.
    passed: Vec<usize>,
    /// For each resource who decided, and from which step on.
    deciders: Vec<Vec<(u64, Option<NodeId>)>>,
    /// For each node and slot, the version of the latest new master that the node has acknowledged.
    acknowledged: Vec<MapVersion>,
    /// Most bytes of a chunk, and of chunks on their way.
    chunk: usize,
    window: usize,
    pub(crate) counts: MoveCounts,
}

/// A master of a slot. It is so from the instant on at which its predecessor packs the first record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reign {
    pub(crate) version: MapVersion,
    pub(crate) master: NodeId,
    /// Who was it before.
    pub(crate) old: NodeId,
}

/// One transfer.
pub(crate) struct Move {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) range: SlotRange,
    pub(crate) id: TransferId,
    /// Known from the first offer on.
    version: Option<MapVersion>,
    /// What the application was told last.
    told: Stage,
    /// In which step.
    told_at: u64,
    /// It was taken back.
    pub(crate) is_withdrawn: bool,
    // Who has said what, as far as it has arrived.
    noted: Vec<bool>,
    refusals: Vec<Refusal>,
    informed: Vec<bool>,
    acks: Vec<bool>,
    withdraw_acks: Vec<bool>,
    // What was sent of it.
    units: Vec<Sent>,
    /// Unit after the last chunk that was sent.
    cursor: usize,
    /// Chunks that are on their way, as far as the old master can know: where each ends, and its bytes.
    under_way: Vec<(usize, usize)>,
    /// Units that have come to the new master without a gap, and those of them that the old one knows of.
    arrived: usize,
    received: usize,
    is_end_sent: bool,
    is_end_acked: bool,
    /// Records as they were when they were packed.
    frozen: Vec<(usize, Vec<PhysicalView>)>,
}

/// A unit as it was sent first.
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Record { resource: usize, locks: u8, value: Option<ValueCopy> },
    Lock(LockUnit),
    End(SlotId),
}

/// Are all of them true, but for some nodes that do not count?
fn all_but(of: &[bool], but: &[NodeId]) -> bool {
    of.iter().enumerate().all(|(at, is_true)| *is_true || but.iter().any(|node| usize::from(node.0) == at))
}

impl Move {
    /// Has the old master packed a record?
    pub(crate) fn is_begun(&self) -> bool {
        !self.units.is_empty()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.told.is_end()
    }

    /// Does the old master have nothing to remember of it any more?
    pub(crate) fn is_over(&self) -> bool {
        match self.told {
            Stage::Done => true,
            Stage::Refused(_) | Stage::Withdrawn => all_but(&self.withdraw_acks, &[self.from]),
            Stage::Cut => true,
            Stage::Offered | Stage::Moving | Stage::Announced => false,
        }
    }

    fn ends(&self) -> usize {
        self.units.iter().filter(|unit| matches!(unit, Sent::End(_))).count()
    }

    /// Has everything come to the new master?
    fn is_complete(&self) -> bool {
        self.arrived == self.units.len() && self.ends() == self.range.len as usize
    }

    fn records(&self) -> usize {
        self.units.iter().filter(|unit| matches!(unit, Sent::Record { .. })).count()
    }

    fn locks(&self) -> usize {
        self.units.iter().filter(|unit| matches!(unit, Sent::Lock(_))).count()
    }

    /// The locks of a resource that were sent.
    fn locks_of(&self, resource: usize) -> impl Iterator<Item = &LockUnit> {
        let is_record =
            move |unit: &&Sent| matches!(unit, Sent::Record { resource: of, .. } if *of == resource);
        let after = self.units.iter().skip_while(move |unit| !is_record(unit)).skip(1);
        after.map_while(|unit| match unit {
            Sent::Lock(lock) => Some(lock),
            Sent::Record { .. } | Sent::End(_) => None,
        })
    }

    /// May this stage follow what was told last?
    fn may_become(&self, stage: Stage) -> bool {
        match (self.told, stage) {
            (Stage::Offered, _) => true,
            // It may be taken back until the first record is packed.
            (Stage::Moving, Stage::Moving | Stage::Announced | Stage::Done | Stage::Withdrawn)
            | (Stage::Announced, Stage::Announced | Stage::Done) => true,
            (Stage::Moving, Stage::Offered | Stage::Refused(_))
            | (Stage::Announced, Stage::Offered | Stage::Moving | Stage::Refused(_) | Stage::Withdrawn)
            | (Stage::Done | Stage::Refused(_) | Stage::Withdrawn | Stage::Cut, _)
            | (Stage::Moving | Stage::Announced, Stage::Cut) => false,
        }
    }
}

impl Moves {
    /// The masters at the beginning; `slots` are those of the resources.
    pub(crate) fn new(
        strangers: Vec<bool>,
        masters: &[(NodeId, MapVersion)],
        slots: Vec<Option<SlotId>>,
    ) -> Self {
        let first = |(master, version): &(NodeId, MapVersion)| {
            alloc::vec![Reign { version: *version, master: *master, old: *master }]
        };
        let oldest = masters.iter().map(|(_, version)| *version).min().unwrap_or_default();
        Self {
            all: Vec::new(),
            reigns: masters.iter().map(first).collect(),
            passed: alloc::vec![0; slots.len()],
            deciders: alloc::vec![Vec::new(); slots.len()],
            slots,
            acknowledged: alloc::vec![oldest; strangers.len() * masters.len()],
            strangers,
            chunk: 0,
            window: 0,
            counts: MoveCounts::default(),
        }
    }

    pub(crate) fn limit(&mut self, chunk: u32, window: u32) {
        (self.chunk, self.window) = (chunk as usize, window as usize);
    }

    // ---- who is master ----

    pub(crate) fn slots(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..u32::try_from(self.reigns.len()).expect("slots are few")).map(SlotId)
    }

    /// The resources of some slots.
    pub(crate) fn resources_in(&self, range: SlotRange) -> impl Iterator<Item = usize> {
        self.slots
            .iter()
            .enumerate()
            .filter(move |(_, slot)| slot.is_some_and(|slot| range.contains(slot)))
            .map(|(at, _)| at)
    }

    fn slot_of(&self, resource: usize) -> SlotId {
        self.slots[resource].expect("the resource is one of this cluster")
    }

    /// The latest reign of a slot.
    pub(crate) fn reign(&self, slot: SlotId) -> Reign {
        *self.reigns[slot.0 as usize].last().expect("every slot has a master")
    }

    /// The master of a resource's slot, once all that has begun has ended.
    pub(crate) fn master(&self, resource: usize) -> NodeId {
        self.reign(self.slot_of(resource)).master
    }

    /// Who has the record of a resource: the node that decides, or the old master while nobody does.
    pub(crate) fn keeper(&self, resource: usize) -> NodeId {
        let decider = self.deciders[resource].last().and_then(|(_, decider)| *decider);
        decider.unwrap_or_else(|| self.reign(self.slot_of(resource)).old)
    }

    /// May a node have parts of a resource's record although it does not keep it? While a transfer of the slot has begun
    /// and not ended, its two masters may.
    pub(crate) fn may_have_record(&self, node: NodeId, resource: usize) -> bool {
        let slot = self.slot_of(resource);
        self.all.iter().any(|one| {
            one.is_begun()
                && !one.is_ended()
                && one.range.contains(slot)
                && (one.from == node || one.to == node)
        })
    }

    /// Is a resource's slot between two masters?
    pub(crate) fn is_moving(&self, resource: usize) -> bool {
        let slot = self.slot_of(resource);
        self.all.iter().any(|one| one.is_begun() && !one.is_ended() && one.range.contains(slot))
    }

    /// Was there a transfer at some time since this step?
    pub(crate) fn has_moved(&self, since: u64) -> bool {
        self.all.iter().any(|one| !one.is_ended() || one.told_at >= since)
    }

    /// These nodes say that they decide about a resource.
    pub(crate) fn follow(
        &mut self,
        step: u64,
        resource: usize,
        mut deciders: impl Iterator<Item = NodeId>,
        is_open: impl Fn(NodeId) -> bool,
    ) -> Result<(), Violation> {
        let decider = deciders.next();
        if let (Some(one), Some(other)) = (decider, deciders.next()) {
            return Err(broken!(Authority, "nodes {one} and {other} both decide about resource {resource}"));
        }
        let slot = self.slot_of(resource);
        let known = &mut self.deciders[resource];
        if known.last().is_some_and(|(_, known)| *known == decider) {
            return Ok(());
        }
        known.push((step, decider));
        let reigns = &self.reigns[slot.0 as usize];
        let last = reigns.len() - 1;
        let reign = reigns[last];
        let has_passed = self.passed[resource] == last;
        match decider {
            Some(decider) if decider == reign.master => self.passed[resource] = last,
            Some(decider) => ensure!(
                decider == reign.old && !has_passed,
                Authority,
                "node {decider} decides about resource {resource}, which went from node {} to node {}",
                reign.old,
                reign.master
            ),
            None => ensure!(
                !has_passed || !is_open(reign.master),
                Authority,
                "nobody decides about resource {resource}, whose master is node {}",
                reign.master
            ),
        }
        Ok(())
    }

    /// Did the node decide about a resource at some time since this step?
    pub(crate) fn has_decided(&self, node: NodeId, resource: usize, since: u64) -> bool {
        let known = &self.deciders[resource];
        let ends = known.iter().skip(1).map(|(step, _)| *step).chain([u64::MAX]);
        known.iter().zip(ends).any(|((_, decider), end)| *decider == Some(node) && end >= since)
    }

    /// Did another node ever decide about a resource?
    pub(crate) fn has_other_decided(&self, node: NodeId, resource: usize) -> bool {
        self.deciders[resource].iter().any(|(_, decider)| decider.is_some_and(|decider| decider != node))
    }

    /// What an old master shows of a packed record is what it sent, and does not change.
    pub(crate) fn check_frozen(&mut self, node: NodeId, resource: usize, row: &Row) -> Result<(), Violation> {
        let slot = self.slot_of(resource);
        if row.decides || row.physical.is_empty() {
            return Ok(());
        }
        // The slot may be on its way back already, before the end of its own transfer was polled.
        let last = self.all.iter_mut().rev().find(|one| one.is_begun() && one.range.contains(slot));
        let is_his = |one: &&mut Move| one.from == node && !one.is_ended();
        let Some(one) = last.filter(is_his) else { return Ok(()) };
        let mut shown = row.physical.iter();
        for lock in one.locks_of(resource) {
            let view = shown.next();
            let is_same = view.is_some_and(|view| is_shown_by(lock, view));
            ensure!(is_same, Transfer, "node {node} packs {view:?} of resource {resource} as {lock:?}");
        }
        match one.frozen.iter().find(|(of, _)| *of == resource) {
            Some((_, frozen)) => ensure!(
                *frozen == row.physical,
                Transfer,
                "node {node} changes resource {resource}, which is packed, from {frozen:?} to {:?}",
                row.physical
            ),
            None => one.frozen.push((resource, row.physical.clone())),
        }
        Ok(())
    }

    // ---- what the application does and is told ----

    /// A transfer was taken.
    pub(crate) fn asked(
        &mut self,
        from: NodeId,
        to: NodeId,
        range: SlotRange,
        id: TransferId,
    ) -> Result<(), Violation> {
        let is_new = self.find(from, id).is_none();
        ensure!(is_new, Transfer, "handle {:x} of node {from} was given before", id.to_u64());
        self.counts.asked += 1;
        self.all.push(Move {
            from,
            to,
            range,
            id,
            version: None,
            told: Stage::Offered,
            told_at: 0,
            is_withdrawn: false,
            noted: self.strangers.clone(),
            refusals: Vec::new(),
            informed: self.strangers.clone(),
            acks: self.strangers.clone(),
            withdraw_acks: self.strangers.clone(),
            units: Vec::new(),
            cursor: 0,
            under_way: Vec::new(),
            arrived: 0,
            received: 0,
            is_end_sent: false,
            is_end_acked: false,
            frozen: Vec::new(),
        });
        Ok(())
    }

    pub(crate) fn find(&self, from: NodeId, id: TransferId) -> Option<usize> {
        self.all.iter().position(|one| one.from == from && one.id == id)
    }

    /// Transfers of a node that take a place in its table.
    pub(crate) fn given_by(&self, node: NodeId) -> usize {
        self.all.iter().filter(|one| one.from == node && !one.is_over()).count()
    }

    /// A transfer that has not ended.
    pub(crate) fn running(&self) -> Option<&Move> {
        self.all.iter().find(|one| !one.is_ended())
    }

    /// Every transfer has ended, and the old masters may have forgotten it.
    pub(crate) fn check_over(&self) -> Result<(), Violation> {
        let left = self.all.iter().find(|one| !one.is_over());
        ensure!(left.is_none(), Map, "something is left of {left:?}");
        Ok(())
    }

    /// A node tells its application how far a transfer has come.
    pub(crate) fn told(&mut self, step: u64, node: NodeId, progress: &Progress) -> Result<(), Violation> {
        let at = self.find(node, progress.transfer);
        let Some(at) = at else { return Err(broken!(Transfer, "{progress:?}, which nobody asked for")) };
        let one = &mut self.all[at];
        let is_it = one.range == progress.range && one.to == progress.to;
        ensure!(is_it, Transfer, "{progress:?} of {one:?}");
        ensure!(one.may_become(progress.stage), Transfer, "{progress:?} after {:?}", one.told);
        one.told = progress.stage;
        one.told_at = step;
        let is_true = match progress.stage {
            Stage::Offered => !one.is_begun(),
            Stage::Moving => all_but(&one.noted, &[one.from]) && !one.is_withdrawn,
            Stage::Announced => one.is_complete() && one.received == one.units.len(),
            Stage::Done => one.is_complete() && one.is_end_acked,
            Stage::Refused(why) => {
                // That the slots have outgrown the room is seen at the old master.
                let is_outgrown = matches!(why, Refusal::Full(_)) && one.noted[usize::from(one.to.0)];
                !one.is_begun() && (is_outgrown || one.refusals.contains(&why))
            }
            Stage::Withdrawn => !one.is_begun() && one.is_withdrawn,
            Stage::Cut => false,
        };
        ensure!(is_true, Transfer, "{progress:?} of {one:?}");
        match progress.stage {
            Stage::Offered | Stage::Moving | Stage::Announced => {}
            Stage::Done => {
                let moved = (one.records() as u64, one.locks() as u64);
                let is_counted = moved == (progress.resources, progress.locks);
                ensure!(is_counted, Transfer, "{progress:?} after {moved:?} records and locks were sent");
                self.counts.done += 1;
            }
            Stage::Refused(_) => self.counts.refused += 1,
            Stage::Withdrawn => self.counts.withdrawn += 1,
            Stage::Cut => {}
        }
        Ok(())
    }
}

impl fmt::Debug for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.map_or(0, |version| version.count);
        write!(f, "slots {} of node {} to node {} under {version}", self.range, self.from, self.to)?;
        write!(f, ": {:?}, {} units, sent to {}", self.told, self.units.len(), self.cursor)?;
        write!(f, ", {} arrived, {} received", self.arrived, self.received)?;
        write!(f, "; noted {:?}, refused {:?}, informed {:?}", self.noted, self.refusals, self.informed)?;
        write!(f, ", acknowledged {:?}, withdrawn {:?}", self.acks, self.withdraw_acks)
    }
}

fn is_shown_by(lock: &LockUnit, view: &PhysicalView) -> bool {
    let shown = (view.node, view.queue, view.held, view.pinned, view.wanted, view.number, view.token);
    let sent = (lock.node, lock.queue, lock.held, lock.pinned, lock.wanted, lock.number, lock.token);
    shown == sent && view.demanded == lock.demand.map(|demand| demand.stay)
}
