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

use crate::config::Config;
use crate::error::DivisionError;
use crate::id::{ClusterId, SlotId, SlotRange, SpaceId};
use crate::memory::Limits;
use crate::name::hash;
use crate::wire::Hello;

/// Most machines of a node.
pub const MACHINES_MAX: u8 = 16;
/// Most slots of a space.
const SLOTS_MAX: u32 = 65_536;
/// Part of its share that a machine has more, because hashes are uneven.
const SLACK_PART: u32 = 8;
/// What it has more beside that, so that small tables are not too small.
const SLACK_LEAST: u32 = 32;

/// How a node is divided among machines that run side by side, each of them a [`Node`](crate::Node) with a part of the
/// resources.
///
/// Machine k of a node talks to machine k of the others alone, and is with them a cluster of its own. All nodes of a cluster
/// have the same number of machines. Who drives them makes each from its part of the configuration, asks the machine of a
/// resource for it, has frames go between machines of equal number, and tells all of them what concerns the node: its
/// views, its certainty, its end. They are counted from 0. Slots of the node are those of its whole configuration; each is
/// one slot of one machine.
///
/// ```
/// use lockmaster_core::{ClusterId, Config, Division, Incarnation, NodeId, SpaceConfig, SpaceId};
///
/// let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(1));
/// config.spaces.push(SpaceConfig::new("orders")?).expect("one of 16");
/// let division = Division::new(config, 4)?;
///
/// let machine = division.machine_of(SpaceId(0), b"invoice/42");
/// assert!(machine < division.machines());
/// assert_eq!(division.config(machine).slots(), 1024, "it has a fourth of the slots");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Division {
    machines: u8,
    /// Seed of the hash that chooses the machine.
    seed: u64,
    /// The configuration of the node as a whole.
    whole: Config,
}

impl Division {
    /// A node with this configuration and so many machines.
    ///
    /// With one machine everything is as it is configured.
    ///
    /// # Errors
    /// [`DivisionError`] says what keeps it from being divided so.
    pub fn new(whole: Config, machines: u8) -> Result<Self, DivisionError> {
        if !(1..=MACHINES_MAX).contains(&machines) {
            return Err(DivisionError::Machines);
        }
        let slots = u32::from(machines)..=SLOTS_MAX;
        if whole.spaces.iter().any(|space| !slots.contains(&space.slots)) {
            return Err(DivisionError::Slots);
        }
        let seed = hash(whole.hash_seed, SpaceId(machines.into()), b"machine of a name");
        Ok(Self { machines, seed, whole })
    }

    /// How many machines there are.
    #[must_use]
    pub const fn machines(&self) -> usize {
        self.machines as usize
    }

    /// The machine of a resource. It does not depend on what the machine's own hash says, which gives the slot there.
    #[must_use]
    pub fn machine_of(&self, space: SpaceId, name: &[u8]) -> usize {
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
    ///
    /// # Panics
    /// If there is no such machine.
    #[must_use]
    pub fn config(&self, machine: usize) -> Config {
        let (machine, machines) = (self.part(machine), u32::from(self.machines));
        let mut config = self.whole.clone();
        if machines == 1 {
            return config;
        }
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
    #[must_use]
    pub fn machine_meant(&self, hello: &Hello) -> usize {
        let is_meant = |machine: &usize| self.cluster(self.part(*machine)) == hello.cluster;
        (0..self.machines()).find(is_meant).unwrap_or(0)
    }

    /// How many machines the sender of a hello runs, if that is what is wrong with it.
    #[must_use]
    pub fn machines_of(&self, hello: &Hello) -> Option<u8> {
        let others = (1..=MACHINES_MAX).filter(|machines| *machines != self.machines);
        let mut others = others.filter_map(|machines| Self::new(self.whole.clone(), machines).ok());
        let other = others.find(|other| {
            (0..other.machines()).any(|machine| {
                let config = other.config(machine);
                (config.cluster, config.digest()) == (hello.cluster, hello.digest)
            })
        });
        other.map(|other| other.machines)
    }

    /// The room of a machine: an equal share, and an eighth of that and 32 records more, but never more than all.
    #[must_use]
    pub fn limits(&self, limits: Limits) -> Limits {
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
    #[must_use]
    pub fn all_slots(&self) -> SlotRange {
        SlotRange { first: SlotId(0), len: self.whole.slots() }
    }

    /// The slots of a space; nothing if there is no such space.
    #[must_use]
    pub fn slots(&self, space: SpaceId) -> Option<SlotRange> {
        let at = usize::from(space.0);
        let slots = self.whole.spaces.get(at)?.slots;
        let first = self.whole.spaces[..at].iter().map(|space| space.slots).sum();
        Some(SlotRange { first: SlotId(first), len: slots })
    }

    /// Whose slot it is, and which one there; nothing if there is no such slot.
    #[must_use]
    pub fn place(&self, slot: SlotId) -> Option<(usize, SlotId)> {
        let machines = u32::from(self.machines);
        let mut first = 0;
        for space in &self.whole.spaces {
            if slot.0 - first < space.slots {
                let machine = (slot.0 - first) % machines;
                return Some((machine as usize, SlotId(self.below(machine, slot.0))));
            }
            first += space.slots;
        }
        None
    }

    /// The slot of the node that is this one of a machine; nothing if there is no such machine or slot.
    #[must_use]
    pub fn whole_slot(&self, machine: usize, slot: SlotId) -> Option<SlotId> {
        if machine >= self.machines() {
            return None;
        }
        let (machine, machines) = (self.part(machine), u32::from(self.machines));
        let (mut first, mut first_there) = (0, 0);
        for space in &self.whole.spaces {
            let there = turns(space.slots, machine, machines);
            if slot.0 - first_there < there {
                return Some(SlotId(first + (slot.0 - first_there) * machines + machine));
            }
            first += space.slots;
            first_there += there;
        }
        None
    }

    /// The slots of a range of the node that are a machine's; nothing if there are none.
    ///
    /// # Panics
    /// If there is no such machine.
    #[must_use]
    pub fn range(&self, machine: usize, range: SlotRange) -> Option<SlotRange> {
        let machine = self.part(machine);
        let end = range.first.0.checked_add(range.len)?;
        let first = self.below(machine, range.first.0);
        let len = self.below(machine, end) - first;
        (len > 0).then_some(SlotRange { first: SlotId(first), len })
    }

    /// How many of the slots below this one are a machine's.
    fn below(&self, machine: u32, slot: u32) -> u32 {
        let machines = u32::from(self.machines);
        let (mut left, mut below) = (slot, 0);
        for space in &self.whole.spaces {
            let here = left.min(space.slots);
            below += turns(here, machine, machines);
            left -= here;
        }
        below
    }

    /// Number of a machine that there is.
    fn part(&self, machine: usize) -> u32 {
        assert!(machine < self.machines(), "machine {machine} of {}", self.machines);
        u32::try_from(machine).expect("there are few machines")
    }
}

/// Of so many that are given out in turn, how many one gets.
const fn turns(count: u32, machine: u32, machines: u32) -> u32 {
    (count + machines - 1 - machine) / machines
}

#[cfg(test)]
mod tests;
