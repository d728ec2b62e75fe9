//! What the tables of a node show, and the rules that can be read off them.

use alloc::vec::Vec;
use core::fmt;

use lockmaster_core::{
    Limits, LockView, Mode, NodeId, Number, PhysicalView, QueueName, ResourceView, SpaceId, Token,
    ValueState, Visit,
};

use crate::report::{Violation, ensure};
use crate::show::{ShownValue, letters};

/// The tables of one node, a row for each resource of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    pub(crate) rows: Vec<Row>,
    strangers: u32,
}

/// The records of one resource's physical locks, followed from master to master.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll {
    present: Vec<(NodeId, Number)>,
    /// Records that have gone: node, and the highest number that one of them had.
    gone: Vec<(NodeId, Number)>,
}

/// One resource, as one node has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) is_known: bool,
    /// The node says that it decides about the resource.
    pub(crate) decides: bool,
    pub(crate) master: Option<NodeId>,
    pub(crate) held: Option<Mode>,
    pub(crate) wanted: Option<Mode>,
    pub(crate) number: Number,
    pub(crate) token: Token,
    pub(crate) demanded: Option<Mode>,
    pub(crate) value: Option<ValueState>,
    pub(crate) physical: Vec<PhysicalView>,
    pub(crate) locks: Vec<LockView>,
}

impl Row {
    fn clear(&mut self) {
        let (mut physical, mut locks) =
            (core::mem::take(&mut self.physical), core::mem::take(&mut self.locks));
        physical.clear();
        locks.clear();
        *self = Self { physical, locks, ..Self::default() };
    }

    pub(crate) fn of_node(&self, node: NodeId) -> Option<&PhysicalView> {
        self.physical.iter().find(|physical| physical.node == node)
    }

    fn head(&self, queue: QueueName) -> Option<&PhysicalView> {
        self.physical.iter().find(|physical| physical.queue == queue)
    }

    /// The waiter that must be granted next, if its mode allows it.
    fn first(&self) -> Option<&PhysicalView> {
        self.head(QueueName::Convert).or_else(|| self.head(QueueName::Wait))
    }
}

impl fmt::Display for Row {
    /// What the node holds and wants; then the queues of a master; then its owners, named by their places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} > {}", self.number.0, letters(self.held), letters(self.wanted))?;
        if let Some(stay) = self.demanded {
            write!(f, " until {stay}")?;
        }
        if let Some(value) = &self.value {
            write!(f, ", {}", ShownValue(*value))?;
        }
        for one in &self.physical {
            let queue = QUEUE_LETTERS[one.queue as usize];
            let pinned = one.pinned.map_or("", Mode::letters);
            write!(f, " [{queue} node {} #{} {}", one.node, one.number.0, letters(one.held))?;
            write!(f, "({pinned}) > {}", letters(one.wanted))?;
            if let Some(stay) = one.demanded {
                write!(f, " until {stay}")?;
            }
            f.write_str("]")?;
        }
        for one in &self.locks {
            let queue = QUEUE_LETTERS[one.queue as usize];
            write!(f, " ({queue} owner {} {} > {})", one.owner.0, letters(one.held), letters(one.wanted))?;
        }
        Ok(())
    }
}

/// For each queue its letter.
const QUEUE_LETTERS: [&str; 3] = ["G", "C", "W"];

/// Fills the rows during a visit.
struct Look<'a> {
    names: &'a [(SpaceId, Vec<u8>)],
    tables: &'a mut Tables,
    at: Option<usize>,
}

impl Look<'_> {
    fn row(&mut self) -> Option<&mut Row> {
        self.at.map(|at| &mut self.tables.rows[at])
    }
}

impl Visit for Look<'_> {
    fn resource(&mut self, resource: ResourceView<'_>) {
        self.at = self
            .names
            .iter()
            .position(|(space, name)| *space == resource.space && name[..] == *resource.name);
        let Some(row) = self.row() else {
            self.tables.strangers += 1;
            return;
        };
        row.is_known = true;
        row.master = Some(resource.master);
        row.held = resource.held;
        row.wanted = resource.wanted;
        row.number = resource.number;
        row.token = resource.token;
        row.demanded = resource.demanded;
        row.value = resource.value;
    }

    fn physical(&mut self, physical: PhysicalView) {
        if let Some(row) = self.row() {
            row.physical.push(physical);
        }
    }

    fn lock(&mut self, lock: LockView) {
        if let Some(row) = self.row() {
            row.locks.push(lock);
        }
    }
}

impl Tables {
    pub(crate) fn new(resources: usize) -> Self {
        let rows = alloc::vec![Row::default(); resources];
        Self { rows, strangers: 0 }
    }

    /// Looks again; `visit` shows the node's tables.
    pub(crate) fn look(&mut self, names: &[(SpaceId, Vec<u8>)], visit: impl FnOnce(&mut dyn Visit)) {
        self.strangers = 0;
        for row in &mut self.rows {
            row.clear();
        }
        visit(&mut Look { names, tables: self, at: None });
    }

    /// Rules about one node alone.
    pub(crate) fn check(&self, limits: &Limits, is_open: bool) -> Result<(), Violation> {
        self.check_bounds(limits)?;
        for (at, row) in self.rows.iter().enumerate() {
            check_physical_exclusion(at, row)?;
            // A record that is partly here, or packed, waits for nobody.
            if is_open && row.decides {
                check_first(at, row)?;
            }
        }
        Ok(())
    }

    fn check_bounds(&self, limits: &Limits) -> Result<(), Violation> {
        ensure!(self.strangers == 0, Bounds, "{} resources that nobody named", self.strangers);
        let count = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        let counts = [
            ("resources", count(|row| usize::from(row.is_known)), limits.resources),
            ("physical locks", count(|row| row.physical.len()), limits.physical),
            ("locks", count(|row| row.locks.len()), limits.locks),
        ];
        for (what, count, limit) in counts {
            ensure!(count <= limit as usize, Bounds, "{count} {what}, with room for {limit}");
        }
        Ok(())
    }
}

impl Roll {
    /// Keeps account of the records that have gone and come; `now` is what their keeper shows.
    pub(crate) fn follow(&mut self, at: usize, now: &[PhysicalView]) -> Result<(), Violation> {
        for new in now.iter().filter(|new| self.present.iter().all(|(node, _)| *node != new.node)) {
            let is_back = self.gone.iter().any(|(node, number)| *node == new.node && new.number <= *number);
            ensure!(!is_back, ExactlyOnce, "resource {at}: a record that had gone came back: {new:?}");
        }
        for (node, number) in &self.present {
            if now.iter().any(|new| new.node == *node) {
                continue;
            }
            match self.gone.iter_mut().find(|(of, _)| of == node) {
                Some((_, highest)) => *highest = (*highest).max(*number),
                None => self.gone.push((*node, *number)),
            }
        }
        self.present.clear();
        self.present.extend(now.iter().map(|one| (one.node, one.number)));
        Ok(())
    }
}

fn check_physical_exclusion(at: usize, row: &Row) -> Result<(), Violation> {
    for (place, one) in row.physical.iter().enumerate() {
        for other in &row.physical[..place] {
            let is_twice = one.node == other.node && one.node != NodeId::GONE;
            ensure!(!is_twice, PhysicalExclusion, "node {} is on record twice", one.node);
            let (Some(a), Some(b)) = (one.held, other.held) else { continue };
            ensure!(
                a.is_compatible(b),
                PhysicalExclusion,
                "resource {at}: node {} holds {a} and node {} holds {b}",
                one.node,
                other.node
            );
        }
    }
    Ok(())
}

fn check_first(at: usize, row: &Row) -> Result<(), Violation> {
    let Some(first) = row.first() else { return Ok(()) };
    let Some(wanted) = first.wanted else { return Ok(()) };
    let is_blocked = row
        .physical
        .iter()
        .any(|other| other.node != first.node && other.held.is_some_and(|held| !held.is_compatible(wanted)));
    ensure!(is_blocked, LostWakeup, "resource {at}: node {} waits for {wanted}, and may have it", first.node);
    Ok(())
}
