//! What a cluster agrees on before it starts, and what a node is told about itself.

use core::time::Duration;

use heapless::Vec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::ConfigError;
use crate::id::{ClusterId, Epoch, Incarnation, MEMBERS_MAX, NodeId, SPACES_MAX};
use crate::name::{Name, NameError};

/// Slots of a space unless it says otherwise.
pub const SLOTS_DEFAULT: u32 = 4096;

/// Everything a node must know before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster; frames of others are dropped.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This life of this node; higher than all before it, not zero.
    pub incarnation: Incarnation,
    /// All members, this node among them, if they never change. Sorted when the node is made. Without any, members come
    /// and go with views.
    pub members: Vec<NodeId, MEMBERS_MAX>,
    /// How many members there is room for if they change, those that departed lately included: 1 to 64.
    pub places: u8,
    /// Epoch of the only view, if members never change.
    pub epoch: Epoch,
    /// Seed of the hash of resource names; the same on every node. Keep it from those who choose names.
    pub hash_seed: u64,
    /// The spaces; the same on every node, in the same order.
    pub spaces: Vec<SpaceConfig, SPACES_MAX>,
    /// What is not answered is repeated after this long.
    pub repeat_after: Duration,
    /// What is known to wait is repeated after this long.
    pub repeat_waiting_after: Duration,
    /// A request that has waited this long at its master is told its place in the queue.
    pub queued_after: Duration,
    /// Bytes at which a chunk of a transfer ends, with the record that reaches them, and so the records that one call
    /// packs or installs: 256 to 65536.
    pub chunk: u32,
    /// Bytes of a transfer's chunks on their way at which no further chunk is sent; at least a chunk.
    pub window: u32,
    /// Rules that a test switched off.
    #[cfg(lockmaster_faults)]
    pub faults: crate::fault::Faults,
}

/// One space: a set of resources with policies of its own (Linux dlm: lockspace).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceConfig {
    /// Name of the space.
    pub name: Name,
    /// Number of slots, 1 to 65536: how finely mastery can be spread.
    pub slots: u32,
    /// What becomes of a physical lock after its last logical lock.
    pub retention: Retention,
    /// Most physical locks that one node retains without an owner.
    pub retained_max: u32,
    /// New local grants that are still made once a demand is known, if the physical lock covers them. 65 535 and more are
    /// as many.
    pub grants_after_demand: u32,
}

/// What becomes of a physical lock when its last logical lock is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// It is released with it.
    Never,
    /// It stays until it was unused for one to two of these spans, or is demanded.
    Idle(Duration),
    /// It stays until it is demanded.
    UntilDemanded,
}

impl SpaceConfig {
    /// A space with this name and the defaults: 4096 slots, retention until demanded, 65536 retained, no grants
    /// after a demand.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty or too long.
    pub fn new(name: &str) -> Result<Self, NameError> {
        Ok(Self {
            name: Name::new(name.as_bytes())?,
            slots: SLOTS_DEFAULT,
            retention: Retention::UntilDemanded,
            retained_max: 65_536,
            grants_after_demand: 0,
        })
    }
}

impl Config {
    /// A node of a cluster without spaces yet, whose members come with views, with the default intervals: 200 ms, 5 s,
    /// 50 ms; chunks of 16 KiB, of which 128 KiB may be on their way.
    #[must_use]
    pub fn new(cluster: ClusterId, node: NodeId, incarnation: Incarnation) -> Self {
        Self {
            cluster,
            node,
            incarnation,
            members: Vec::new(),
            places: 16,
            epoch: Epoch(1),
            hash_seed: 0,
            spaces: Vec::new(),
            repeat_after: Duration::from_millis(200),
            repeat_waiting_after: Duration::from_secs(5),
            queued_after: Duration::from_millis(50),
            chunk: 16 << 10,
            window: 128 << 10,
            #[cfg(lockmaster_faults)]
            faults: crate::fault::Faults::NONE,
        }
    }

    /// Checks the configuration and brings the members into order.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong.
    pub fn check(&mut self) -> Result<(), ConfigError> {
        if self.incarnation == Incarnation(0) {
            return Err(ConfigError::Incarnation);
        }
        if self.node == NodeId::GONE || self.members.contains(&NodeId::GONE) {
            return Err(ConfigError::Node);
        }
        self.members.sort_unstable();
        let is_repeated = self.members.windows(2).any(|pair| pair[0] == pair[1]);
        let is_static = self.is_static();
        if is_repeated || is_static && !self.members.contains(&self.node) {
            return Err(ConfigError::Members);
        }
        if !is_static && !(1..=MEMBERS_MAX).contains(&usize::from(self.places)) {
            return Err(ConfigError::Places);
        }
        let is_odd = |at: usize, space: &SpaceConfig| {
            !(1..=65_536).contains(&space.slots)
                || self.spaces[..at].iter().any(|other| other.name == space.name)
        };
        if self.spaces.is_empty() || self.spaces.iter().enumerate().any(|(at, space)| is_odd(at, space)) {
            return Err(ConfigError::Spaces);
        }
        if self.repeat_after.is_zero()
            || self.queued_after.is_zero()
            || self.repeat_waiting_after < self.repeat_after
        {
            return Err(ConfigError::Intervals);
        }
        if !(256..=65_536).contains(&self.chunk) || self.window < self.chunk {
            return Err(ConfigError::Chunks);
        }
        Ok(())
    }

    /// Do members never change?
    #[must_use]
    pub fn is_static(&self) -> bool {
        !self.members.is_empty()
    }

    /// How many members there is room for.
    #[must_use]
    pub fn members_max(&self) -> usize {
        if self.is_static() { self.members.len() } else { usize::from(self.places) }
    }

    /// Slots of all spaces together.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.spaces.iter().map(|space| space.slots).sum()
    }

    /// Digest of what must be the same on every node: hash, seed, members, spaces and their slots.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = xxh3_64_with_seed(b"xxh3-64", self.hash_seed);
        for member in &self.members {
            digest = xxh3_64_with_seed(&member.0.to_le_bytes(), digest);
        }
        for space in &self.spaces {
            digest = xxh3_64_with_seed(space.name.as_bytes(), digest);
            digest = xxh3_64_with_seed(&space.slots.to_le_bytes(), digest);
        }
        digest
    }
}
