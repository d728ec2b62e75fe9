//! The same tables behind anything that lends them.

use lockmaster_core::{
    ArrayMemory, Bucket, Config, Deadline, HeapMemory, Limits, Lock, Memory, NameCell, Number, Peer,
    Physical, RelayCell, Resource, Slot, ValueCell,
};

/// Records of each kind in the fixed memories.
pub const RECORDS: usize = 48;
/// Places in their index.
pub const BUCKETS: usize = 128;
/// Slots that they have room for.
pub const SLOTS: usize = lockmaster_sim::SLOTS_MAX as usize;
/// Members that they have room for.
pub const MEMBERS: usize = 5;
/// A floor for each slot and member.
pub const FLOORS: usize = SLOTS * MEMBERS;

/// Capacities of the fixed memories.
pub const LIMITS: Limits = Limits::uniform(48);

/// Tables in arrays.
pub type Arrays = ArrayMemory<RECORDS, BUCKETS, SLOTS, FLOORS, MEMBERS>;

/// Tables in vectors that own no heap.
pub type Inline = Memory<
    heapless::Vec<Resource, RECORDS>,
    heapless::Vec<Physical, RECORDS>,
    heapless::Vec<Lock, RECORDS>,
    heapless::Vec<NameCell, RECORDS>,
    heapless::Vec<ValueCell, RECORDS>,
    heapless::Vec<RelayCell, RECORDS>,
    heapless::Vec<Bucket, BUCKETS>,
    heapless::Vec<u32, RECORDS>,
    heapless::Vec<u32, RECORDS>,
    heapless::Vec<Slot, SLOTS>,
    heapless::Vec<Number, FLOORS>,
    heapless::Vec<Deadline, RECORDS>,
    heapless::Vec<Peer, MEMBERS>,
>;

/// Tables in vectors.
pub type Vectors = Memory<
    Vec<Resource>,
    Vec<Physical>,
    Vec<Lock>,
    Vec<NameCell>,
    Vec<ValueCell>,
    Vec<RelayCell>,
    Vec<Bucket>,
    Vec<u32>,
    Vec<u32>,
    Vec<Slot>,
    Vec<Number>,
    Vec<Deadline>,
    Vec<Peer>,
>;

/// Vacant tables in arrays.
#[must_use]
pub fn arrays() -> Arrays {
    Arrays::VACANT
}

/// Vacant tables in vectors without a heap.
#[must_use]
pub fn inline() -> Inline {
    Memory {
        resources: (0..RECORDS).map(|_| Resource::VACANT).collect(),
        physical: (0..RECORDS).map(|_| Physical::VACANT).collect(),
        locks: (0..RECORDS).map(|_| Lock::VACANT).collect(),
        names: (0..RECORDS).map(|_| NameCell::VACANT).collect(),
        values: (0..RECORDS).map(|_| ValueCell::VACANT).collect(),
        relays: (0..RECORDS).map(|_| RelayCell::VACANT).collect(),
        buckets: (0..BUCKETS).map(|_| Bucket::EMPTY).collect(),
        free_resources: (0..RECORDS).map(|_| 0).collect(),
        free_physical: (0..RECORDS).map(|_| 0).collect(),
        slots: (0..SLOTS).map(|_| Slot::VACANT).collect(),
        floors: (0..FLOORS).map(|_| Number(0)).collect(),
        patience: (0..RECORDS).map(|_| Deadline::NONE).collect(),
        peers: (0..MEMBERS).map(|_| Peer::VACANT).collect(),
    }
}

/// Vacant tables in vectors.
#[must_use]
pub fn vectors() -> Vectors {
    Memory {
        resources: (0..RECORDS).map(|_| Resource::VACANT).collect(),
        physical: (0..RECORDS).map(|_| Physical::VACANT).collect(),
        locks: (0..RECORDS).map(|_| Lock::VACANT).collect(),
        names: (0..RECORDS).map(|_| NameCell::VACANT).collect(),
        values: (0..RECORDS).map(|_| ValueCell::VACANT).collect(),
        relays: (0..RECORDS).map(|_| RelayCell::VACANT).collect(),
        buckets: (0..BUCKETS).map(|_| Bucket::EMPTY).collect(),
        free_resources: (0..RECORDS).map(|_| 0).collect(),
        free_physical: (0..RECORDS).map(|_| 0).collect(),
        slots: (0..SLOTS).map(|_| Slot::VACANT).collect(),
        floors: (0..FLOORS).map(|_| Number(0)).collect(),
        patience: (0..RECORDS).map(|_| Deadline::NONE).collect(),
        peers: (0..MEMBERS).map(|_| Peer::VACANT).collect(),
    }
}

/// Vacant tables in boxed slices, no larger than the configuration needs.
#[must_use]
pub fn boxes(config: &Config) -> HeapMemory {
    HeapMemory::new(&LIMITS, config)
}
