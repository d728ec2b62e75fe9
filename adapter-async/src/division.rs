//! How a node is divided among its machines: the resources, the slots, and the room in its tables.
//!
//! Each space gives its slots to the machines in turn. So the slots of a range, however short, keep all machines busy, and a
//! range is a range on each of them, too:
//!
//! ```text
//!   slots of a space of the node    0 1 2 3 4 5 6 7
//!   machine, of three               0 1 2 0 1 2 0 1
//!   slot of that space there        0 0 0 1 1 1 2 2
//! ```

use lockmaster_core::wire::Hello;
use lockmaster_core::{ClusterId, Config, Limits, SlotId, SlotRange, SpaceId, hash};

/// Most machines of a node.
pub(crate) const MACHINES_MAX: u8 = 16;
/// Part of its share that a machine has more, because hashes are uneven.
const SLACK_PART: u32 = 8;
/// What it has more beside that, so that small tables are not too small.
const SLACK_LEAST: u32 = 32;

/// A cluster's configuration, and how many machines each of its nodes runs.
#[derive(Clone, Debug)]
pub(crate) struct Division {
    machines: u8,
    /// Seed of the hash that chooses the machine.
    seed: u64,
    /// The configuration of the node as a whole.
    whole: Config,
}

impl Division {
    /// A node with this configuration and so many machines, at least one.
    pub(crate) fn new(whole: Config, machines: u8) -> Self {
        assert!((1..=MACHINES_MAX).contains(&machines), "the builder has checked the number of machines");
        let seed = hash(whole.hash_seed, SpaceId(machines.into()), b"machine of a name");
        Self { machines, seed, whole }
    }

    pub(crate) const fn machines(&self) -> usize {
        self.machines as usize
    }

    /// Has every space a slot for each machine?
    pub(crate) fn is_possible(&self) -> bool {
        self.whole.spaces.iter().all(|space| space.slots >= self.machines.into())
    }

    /// The machine of a resource. It does not depend on what the machine's own hash says, which gives the slot there.
    pub(crate) fn machine_of(&self, space: SpaceId, name: &[u8]) -> usize {
        if self.machines == 1 {
            return 0;
        }
        let hash = hash(self.seed, space, name);
        let machine = ((hash >> 32) * u64::from(self.machines)) >> 32;
        usize::try_from(machine).expect("below the number of machines")
    }

    /// The configuration of a machine. Each is a cluster of its own with the same machine of the other nodes: what is meant
    /// for another one, or comes of a node that is divided otherwise, is refused as that of another cluster or
    /// configuration.
    pub(crate) fn config(&self, machine: usize) -> Config {
        let mut config = self.whole.clone();
        if self.machines == 1 {
            return config;
        }
        let (machine, machines) = (part(machine), u32::from(self.machines));
        config.cluster = self.cluster(machine);
        config.hash_seed = hash(config.hash_seed, SpaceId(self.machines.into()), &machine.to_le_bytes());
        for space in &mut config.spaces {
            space.slots = turns(space.slots, machine, machines);
            space.retained_max = self.share(space.retained_max);
        }
        config
    }

    /// The cluster that a machine is one of; the first one's is that of the nodes.
    fn cluster(&self, machine: u32) -> ClusterId {
        if machine == 0 {
            return self.whole.cluster;
        }
        let seed = self.whole.cluster.0;
        ClusterId(hash(seed, SpaceId(0), &machine.to_le_bytes()))
    }

    /// The machine that a hello is meant for; the first one if there is none, to refuse it.
    pub(crate) fn machine_meant(&self, hello: &Hello) -> usize {
        let is_meant = |machine: &usize| self.cluster(part(*machine)) == hello.cluster;
        (0..self.machines()).find(is_meant).unwrap_or(0)
    }

    /// How many machines the sender of a hello runs, if that is what is wrong with it.
    pub(crate) fn machines_of(&self, hello: &Hello) -> Option<u8> {
        (1..=MACHINES_MAX).filter(|machines| *machines != self.machines).find(|machines| {
            let other = Self::new(self.whole.clone(), *machines);
            (0..other.machines()).any(|machine| {
                let config = other.config(machine);
                (config.cluster, config.digest()) == (hello.cluster, hello.digest)
            })
        })
    }

    /// The room of a machine: an equal share, and an eighth of that and 32 records more.
    pub(crate) fn limits(&self, limits: Limits) -> Limits {
        let Limits { resources, physical, locks, names, values, relays } = limits;
        Limits {
            resources: self.share(resources),
            physical: self.share(physical),
            locks: self.share(locks),
            names: self.share(names),
            values: self.share(values),
            relays: self.share(relays),
        }
    }

    /// What one machine gets of so many, which is never more than all.
    fn share(&self, count: u32) -> u32 {
        let share = count.div_ceil(self.machines.into());
        let ample = share.saturating_add(share / SLACK_PART).saturating_add(SLACK_LEAST);
        ample.min(count)
    }

    // ---- slots ----

    /// The slots of the whole node.
    pub(crate) fn all_slots(&self) -> SlotRange {
        SlotRange { first: SlotId(0), len: self.whole.slots() }
    }

    /// The slots of a space; nothing if there is none.
    pub(crate) fn slots(&self, space: SpaceId) -> Option<SlotRange> {
        let at = usize::from(space.0);
        let slots = self.whole.spaces.get(at)?.slots;
        let first = self.whole.spaces[..at].iter().map(|space| space.slots).sum();
        Some(SlotRange { first: SlotId(first), len: slots })
    }

    /// Whose slot it is, and which one there; nothing if there is no such slot.
    pub(crate) fn place(&self, slot: SlotId) -> Option<(usize, SlotId)> {
        let machines = u32::from(self.machines);
        let mut first = 0;
        for space in &self.whole.spaces {
            if slot.0 - first < space.slots {
                let machine = ((slot.0 - first) % machines) as usize;
                return Some((machine, SlotId(self.below(machine, slot.0))));
            }
            first += space.slots;
        }
        None
    }

    /// The slot of the node that is this one of a machine.
    pub(crate) fn whole_slot(&self, machine: usize, slot: SlotId) -> SlotId {
        let (machine, machines) = (part(machine), u32::from(self.machines));
        let (mut first, mut first_there) = (0, 0);
        for space in &self.whole.spaces {
            let there = turns(space.slots, machine, machines);
            if slot.0 - first_there < there {
                return SlotId(first + (slot.0 - first_there) * machines + machine);
            }
            first += space.slots;
            first_there += there;
        }
        unreachable!("a slot of a machine is one of the node")
    }

    /// The slots of a range that are a machine's; nothing if there are none.
    pub(crate) fn range(&self, machine: usize, range: SlotRange) -> Option<SlotRange> {
        let end = range.first.0.checked_add(range.len)?;
        let first = self.below(machine, range.first.0);
        let len = self.below(machine, end) - first;
        (len > 0).then_some(SlotRange { first: SlotId(first), len })
    }

    /// How many of the slots below this one are a machine's.
    fn below(&self, machine: usize, slot: u32) -> u32 {
        let (machine, machines) = (part(machine), u32::from(self.machines));
        let (mut left, mut below) = (slot, 0);
        for space in &self.whole.spaces {
            let here = left.min(space.slots);
            below += turns(here, machine, machines);
            left -= here;
        }
        below
    }
}

/// Of so many that are given out in turn, how many one gets.
const fn turns(count: u32, machine: u32, machines: u32) -> u32 {
    (count + machines - 1 - machine) / machines
}

fn part(machine: usize) -> u32 {
    u32::try_from(machine).expect("there are few machines")
}

#[cfg(test)]
mod tests;
