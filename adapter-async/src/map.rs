//! Who masters what, as one node knows it.

use lockmaster_core::{HeapMemory, Node, NodeId, Room};

/// The master map of a node at one moment, summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterMap {
    /// The node whose map it is.
    pub node: NodeId,
    /// One for each member, this node among them, in the order of their numbers.
    pub shares: Vec<MasterShare>,
    /// Resources and locks on record here: those of the slots that the node masters.
    pub room: Room,
}

/// What one member masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasterShare {
    /// The member.
    pub master: NodeId,
    /// Slots that it masters.
    pub slots: u32,
    /// Of them, those that this node knows to be moving: a transfer of them is not over.
    pub moving: u32,
}

impl MasterMap {
    pub(crate) fn of(node: &mut Node<HeapMemory>) -> Self {
        let members = node.view().members.iter();
        let shares = members.map(|member| MasterShare { master: member.node, slots: 0, moving: 0 }).collect();
        let mut map = Self { node: node.config().node, shares, room: Room::NONE };
        for slot in node.all_slots().slots() {
            let view = node.slot(slot).expect("all slots are there");
            let share = map.shares.iter_mut().find(|share| Some(share.master) == view.master);
            if let Some(share) = share {
                share.slots += 1;
                share.moving += u32::from(view.is_moving);
            }
            map.room += view.room;
        }
        map
    }

    /// The map of two machines together.
    pub(crate) fn merged(mut self, other: Self) -> Self {
        for other in other.shares {
            match self.shares.iter_mut().find(|share| share.master == other.master) {
                Some(share) => {
                    share.slots += other.slots;
                    share.moving += other.moving;
                }
                // One of the two machines has another view yet.
                None => self.shares.push(other),
            }
        }
        self.shares.sort_unstable_by_key(|share| share.master);
        self.room += other.room;
        self
    }

    /// Slots that a member masters; none if there is no such member.
    #[must_use]
    pub fn slots_of(&self, master: NodeId) -> u32 {
        self.shares.iter().find(|share| share.master == master).map_or(0, |share| share.slots)
    }
}
