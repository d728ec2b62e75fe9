//! A look at the tables, for people and for checkers.

use crate::id::{LockId, NodeId, Number, OwnerId, SpaceId, Token};
use crate::machine::Machine;
use crate::mode::Mode;
use crate::queue::{Place, Queues};
use crate::record::{Lock, Passage, Physical, Resource};
use crate::table::{Idx, Slab};
use crate::value::ValueState;

/// Is shown what a node knows, resource by resource: each resource first, then its locks in queue order.
pub trait Visit {
    /// A resource begins.
    fn resource(&mut self, resource: ResourceView<'_>);
    /// A physical lock of the resource, if this node is its master.
    fn physical(&mut self, physical: PhysicalView);
    /// A logical lock of the resource.
    fn lock(&mut self, lock: LockView);
}

/// Which queue a lock stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueName {
    /// It is granted and waits for nothing.
    Granted,
    /// It is granted in a mode and waits for another.
    Convert,
    /// It waits.
    Wait,
}

/// A resource and this node's own physical lock on it.
#[derive(Clone, Copy, Debug)]
pub struct ResourceView<'a> {
    /// Its space.
    pub space: SpaceId,
    /// Its name.
    pub name: &'a [u8],
    /// Its master, as this node's map has it; [`NodeId::GONE`] if nobody is, or none is known.
    pub master: NodeId,
    /// Mode that this node holds.
    pub held: Option<Mode>,
    /// Mode that this node has asked the master for.
    pub wanted: Option<Mode>,
    /// Number of this node's last position.
    pub number: Number,
    /// Physical token of this node's grant.
    pub token: Token,
    /// Mode that a demand lets stay, if one is not met yet.
    pub demanded: Option<Mode>,
    /// The value block at the master; only there.
    pub value: Option<ValueState>,
    /// What is shown of physical locks is a copy of a record that has gone to a new master.
    pub is_packed: bool,
}

/// A physical lock as the master has it on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalView {
    /// The node that holds or wants it; [`NodeId::GONE`] if it has departed and is about to be forgotten.
    pub node: NodeId,
    /// Where it stands.
    pub queue: QueueName,
    /// Mode held.
    pub held: Option<Mode>,
    /// Mode pinned.
    pub pinned: Option<Mode>,
    /// Mode wanted.
    pub wanted: Option<Mode>,
    /// Number on record.
    pub number: Number,
    /// Token of its last grant.
    pub token: Token,
    /// Mode that a demand lets stay, if one is out.
    pub demanded: Option<Mode>,
}

/// A logical lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockView {
    /// Its handle.
    pub lock: LockId,
    /// Its owner.
    pub owner: OwnerId,
    /// Where it stands.
    pub queue: QueueName,
    /// Mode held.
    pub held: Option<Mode>,
    /// Mode wanted.
    pub wanted: Option<Mode>,
    /// Token of its last grant.
    pub token: Token,
}

const QUEUES: [(Place, QueueName); 3] = [
    (Place::Granted, QueueName::Granted),
    (Place::Convert, QueueName::Convert),
    (Place::Wait, QueueName::Wait),
];

impl Machine<'_> {
    pub(crate) fn visit(&self, visit: &mut dyn Visit) {
        for at in 0..self.resources.len() {
            let at = Idx::new(at);
            if self.resources[at].name_len > 0 {
                self.visit_resource(at, visit);
            }
        }
    }

    fn visit_resource(&self, at: Idx<Resource>, visit: &mut dyn Visit) {
        let resource = &self.resources[at];
        let holding = &resource.holding;
        let name = self.name_of(resource);
        visit.resource(ResourceView {
            space: resource.space,
            name: name.as_bytes(),
            master: self.node_or_gone(self.master_at(resource)),
            held: holding.held,
            wanted: holding.wish().map(|wish| wish.wanted),
            number: holding.number,
            token: holding.token,
            demanded: holding.demand().map(|demand| demand.stay),
            value: resource.mastery.value.map(|cell| self.values[cell].state),
            is_packed: resource.passage == Passage::Packed,
        });
        for_each(&resource.mastery.queues, &self.physical, |queue, physical: &Physical, _| {
            visit.physical(PhysicalView {
                node: self.node_or_gone(physical.member),
                queue,
                held: physical.claim.held,
                pinned: physical.claim.pinned,
                wanted: physical.claim.wanted,
                number: physical.number,
                token: physical.token.token(),
                demanded: physical.demand.map(|demand| demand.stay),
            });
        });
        for_each(&holding.locks, &self.locks, |queue, lock: &Lock, at| {
            visit.lock(LockView {
                lock: lock.id(at),
                owner: lock.owner,
                queue,
                held: lock.claim.held,
                wanted: lock.claim.wanted,
                token: lock.token,
            });
        });
    }
}

fn for_each<T: crate::queue::Entry>(
    queues: &Queues<T>,
    slab: &Slab<'_, T>,
    mut visit: impl FnMut(QueueName, &T, Idx<T>),
) {
    for (place, name) in QUEUES {
        let mut walk = queues.head(place);
        while let Some(at) = walk {
            visit(name, &slab[at], at);
            walk = Queues::next(slab, at);
        }
    }
}
