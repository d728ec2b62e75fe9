//! The lock table as it was at one moment.

use core::fmt;

use lockmaster_core::{
    HeapMemory, LockView, Mode, Node, NodeId, Number, OwnerId, PhysicalView, QueueName, ResourceView,
    SpaceId, Token, ValueState, Visit,
};

/// What a node knew at one moment, resource by resource. Prints as a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The node.
    pub node: NodeId,
    /// Had it heard every member?
    pub is_open: bool,
    /// The resources, in no meaningful order.
    pub resources: Vec<ResourceEntry>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceEntry {
    /// Its space.
    pub space: SpaceId,
    /// Its name.
    pub name: Vec<u8>,
    /// Its master, as the node's map had it.
    pub master: NodeId,
    /// Mode that the node held.
    pub held: Option<Mode>,
    /// Mode that the node had asked the master for.
    pub wanted: Option<Mode>,
    /// Number of the node's last position.
    pub number: Number,
    /// Physical token of the node's grant.
    pub token: Token,
    /// Mode that a demand lets stay, if one was not met yet.
    pub demanded: Option<Mode>,
    /// The value block; only at the master.
    pub value: Option<ValueState>,
    /// Locks of nodes, in queue order; only at the master.
    pub physical: Vec<PhysicalView>,
    /// Locks of the node's owners, in queue order.
    pub locks: Vec<LockView>,
}

/// Somebody waits for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<'a> {
    /// The resource that is waited for.
    pub resource: &'a ResourceEntry,
    /// Who waits.
    pub waiter: Party,
    /// Who holds it in a mode that is in the way.
    pub holder: Party,
}

/// Who waits or holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A node, at the resource's master.
    Node(NodeId),
    /// An owner, at its node.
    Owner(OwnerId),
}

/// One lock of either level, as far as a wait is concerned.
struct Claim {
    party: Party,
    held: Option<Mode>,
    wanted: Option<Mode>,
}

impl Snapshot {
    pub(crate) fn of(node: &mut Node<HeapMemory>) -> Self {
        let mut snapshot = Self { node: node.config().node, is_open: node.is_open(), resources: Vec::new() };
        node.visit(&mut snapshot);
        snapshot
    }

    /// What two machines knew together.
    pub(crate) fn merged(mut self, other: Self) -> Self {
        self.is_open &= other.is_open;
        self.resources.extend(other.resources);
        self
    }

    /// The resource with this name, if the node knew it.
    #[must_use]
    pub fn resource(&self, space: SpaceId, name: &[u8]) -> Option<&ResourceEntry> {
        self.resources.iter().find(|resource| resource.space == space && resource.name == name)
    }

    /// All locks of the node's owners.
    pub fn locks(&self) -> impl Iterator<Item = &LockView> {
        self.resources.iter().flat_map(|resource| &resource.locks)
    }

    /// Who waits for whom: of each resource nodes at its master, and owners at this node.
    ///
    /// One line of the waits-for graph for each holder in the way; who merely stands before another in a queue
    /// is not named.
    pub fn waits(&self) -> impl Iterator<Item = Wait<'_>> {
        self.resources.iter().flat_map(ResourceEntry::waits)
    }
}

impl ResourceEntry {
    fn waits(&self) -> Vec<Wait<'_>> {
        let nodes: Vec<_> = self.physical.iter().map(Claim::of_node).collect();
        let owners: Vec<_> = self.locks.iter().map(Claim::of_owner).collect();
        let mut waits = Vec::new();
        for claims in [nodes, owners] {
            for (at, waiter) in claims.iter().enumerate() {
                let Some(wanted) = waiter.wanted else { continue };
                for (other, holder) in claims.iter().enumerate() {
                    let is_in_the_way = holder.held.is_some_and(|held| !held.is_compatible(wanted));
                    if at != other && is_in_the_way {
                        waits.push(Wait { resource: self, waiter: waiter.party, holder: holder.party });
                    }
                }
            }
        }
        waits
    }
}

impl Claim {
    fn of_node(lock: &PhysicalView) -> Self {
        Self { party: Party::Node(lock.node), held: lock.held, wanted: lock.wanted }
    }

    fn of_owner(lock: &LockView) -> Self {
        Self { party: Party::Owner(lock.owner), held: lock.held, wanted: lock.wanted }
    }
}

impl Visit for Snapshot {
    fn resource(&mut self, resource: ResourceView<'_>) {
        self.resources.push(ResourceEntry {
            space: resource.space,
            name: resource.name.to_vec(),
            master: resource.master,
            held: resource.held,
            wanted: resource.wanted,
            number: resource.number,
            token: resource.token,
            demanded: resource.demanded,
            value: resource.value,
            physical: Vec::new(),
            locks: Vec::new(),
        });
    }

    fn physical(&mut self, physical: PhysicalView) {
        self.resources.last_mut().expect("a lock follows its resource").physical.push(physical);
    }

    fn lock(&mut self, lock: LockView) {
        self.resources.last_mut().expect("a lock follows its resource").locks.push(lock);
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.is_open { "open" } else { "not open yet" };
        writeln!(f, "node {}, {open}, {} resources", self.node, self.resources.len())?;
        self.resources.iter().try_for_each(|resource| write!(f, "{resource}"))
    }
}

impl fmt::Display for ResourceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        write!(f, "{}/{name} at {} {}", self.space.0, self.master, Modes(self.held, self.wanted))?;
        if let Some(stay) = self.demanded {
            write!(f, ", may keep {stay}")?;
        }
        match self.value {
            None | Some(ValueState::Absent) => {}
            Some(ValueState::Valid(value)) => write!(f, ", value \"{}\"", value.as_bytes().escape_ascii())?,
            Some(ValueState::Invalid(value)) => {
                write!(f, ", invalid value \"{}\"", value.as_bytes().escape_ascii())?;
            }
        }
        writeln!(f)?;
        for lock in &self.physical {
            let (queue, modes) = (queue_word(lock.queue), Modes(lock.held, lock.wanted));
            writeln!(f, "  {queue:7} node  {} {modes} {}", lock.node, lock.token)?;
        }
        for lock in &self.locks {
            let (queue, modes) = (queue_word(lock.queue), Modes(lock.held, lock.wanted));
            writeln!(f, "  {queue:7} owner {} {modes} {}", lock.owner.0, lock.token)?;
        }
        Ok(())
    }
}

/// A mode held and a mode wanted: `EX`, `PR->EX`, `->EX`.
struct Modes(Option<Mode>, Option<Mode>);

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(None, None) => f.write_str("-"),
            Self(Some(held), None) => write!(f, "{held}"),
            Self(None, Some(wanted)) => write!(f, "->{wanted}"),
            Self(Some(held), Some(wanted)) => write!(f, "{held}->{wanted}"),
        }
    }
}

const fn queue_word(queue: QueueName) -> &'static str {
    match queue {
        QueueName::Granted => "granted",
        QueueName::Convert => "convert",
        QueueName::Wait => "wait",
    }
}
