//! The memory of a node: slices of records, from an array, a `heapless::Vec`, a `Vec` or a box.

use crate::id::Number;
use crate::record::{Lock, NameCell, Peer, Physical, RelayCell, Resource, Slot, ValueCell};
use crate::table::{Bucket, Deadline};

/// How many records of each kind a node has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Resources known to the node, as master or as holder.
    pub resources: u32,
    /// Physical locks of all members on resources that the node masters.
    pub physical: u32,
    /// Logical locks of the node's owners.
    pub locks: u32,
    /// Names longer than 24 bytes.
    pub names: u32,
    /// Value blocks: one for a mastered resource that has one, one for each copy that the node holds.
    pub values: u32,
    /// Positions that wait to be passed on to new masters while slots move, about 230 bytes each. When there are
    /// more, the nodes that stated them say them again.
    pub relays: u32,
}

impl Default for Limits {
    /// 65536 of each, but 1024 relays.
    fn default() -> Self {
        Self { relays: 1 << 10, ..Self::uniform(1 << 16) }
    }
}

impl Limits {
    /// The same number of each kind.
    #[must_use]
    pub const fn uniform(count: u32) -> Self {
        Self { resources: count, physical: count, locks: count, names: count, values: count, relays: count }
    }
}

/// The tables of a node, each a slice of vacant records behind anything that lends it.
///
/// Lengths are the node's capacities, but for these: `buckets` is a power of two above the resources (twice as
/// many is best), at most 2^31; `free_resources` and `free_physical` are as long as their tables, `patience` as `locks`; the
/// configuration gives `slots` (those of all spaces), `floors` (one for each slot and member) and `peers` (one for
/// each member).
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are the tables that the type's docs name")]
pub struct Memory<Re, Ph, Lo, Na, Va, Ry, Bu, Fr, Fp, Sl, Fl, Pa, Pe> {
    pub resources: Re,
    pub physical: Ph,
    pub locks: Lo,
    pub names: Na,
    pub values: Va,
    pub relays: Ry,
    pub buckets: Bu,
    pub free_resources: Fr,
    pub free_physical: Fp,
    pub slots: Sl,
    pub floors: Fl,
    pub patience: Pa,
    pub peers: Pe,
}

/// The tables of a node as slices.
pub type Tables<'a> = Memory<
    &'a mut [Resource],
    &'a mut [Physical],
    &'a mut [Lock],
    &'a mut [NameCell],
    &'a mut [ValueCell],
    &'a mut [RelayCell],
    &'a mut [Bucket],
    &'a mut [u32],
    &'a mut [u32],
    &'a mut [Slot],
    &'a mut [Number],
    &'a mut [Deadline],
    &'a mut [Peer],
>;

/// Anything that lends the tables of a node.
pub trait Storage {
    /// The tables, always the same ones.
    fn tables(&mut self) -> Tables<'_>;
}

impl<Re, Ph, Lo, Na, Va, Ry, Bu, Fr, Fp, Sl, Fl, Pa, Pe> Storage
    for Memory<Re, Ph, Lo, Na, Va, Ry, Bu, Fr, Fp, Sl, Fl, Pa, Pe>
where
    Re: AsMut<[Resource]>,
    Ph: AsMut<[Physical]>,
    Lo: AsMut<[Lock]>,
    Na: AsMut<[NameCell]>,
    Va: AsMut<[ValueCell]>,
    Ry: AsMut<[RelayCell]>,
    Bu: AsMut<[Bucket]>,
    Fr: AsMut<[u32]>,
    Fp: AsMut<[u32]>,
    Sl: AsMut<[Slot]>,
    Fl: AsMut<[Number]>,
    Pa: AsMut<[Deadline]>,
    Pe: AsMut<[Peer]>,
{
    #[inline]
    fn tables(&mut self) -> Tables<'_> {
        Memory {
            resources: self.resources.as_mut(),
            physical: self.physical.as_mut(),
            locks: self.locks.as_mut(),
            names: self.names.as_mut(),
            values: self.values.as_mut(),
            relays: self.relays.as_mut(),
            buckets: self.buckets.as_mut(),
            free_resources: self.free_resources.as_mut(),
            free_physical: self.free_physical.as_mut(),
            slots: self.slots.as_mut(),
            floors: self.floors.as_mut(),
            patience: self.patience.as_mut(),
            peers: self.peers.as_mut(),
        }
    }
}

/// Tables in arrays, sized when the program is compiled: `RECORDS` resources, physical locks, logical locks,
/// long names, value blocks and relays each, `BUCKETS` places in the index.
pub type ArrayMemory<
    const RECORDS: usize,
    const BUCKETS: usize,
    const SLOTS: usize,
    const FLOORS: usize,
    const MEMBERS: usize,
> = Memory<
    [Resource; RECORDS],
    [Physical; RECORDS],
    [Lock; RECORDS],
    [NameCell; RECORDS],
    [ValueCell; RECORDS],
    [RelayCell; RECORDS],
    [Bucket; BUCKETS],
    [u32; RECORDS],
    [u32; RECORDS],
    [Slot; SLOTS],
    [Number; FLOORS],
    [Deadline; RECORDS],
    [Peer; MEMBERS],
>;

impl<
    const RECORDS: usize,
    const BUCKETS: usize,
    const SLOTS: usize,
    const FLOORS: usize,
    const MEMBERS: usize,
> ArrayMemory<RECORDS, BUCKETS, SLOTS, FLOORS, MEMBERS>
{
    /// Vacant tables; a constant, so that they can be a `static`.
    pub const VACANT: Self = Self {
        resources: [const { Resource::VACANT }; RECORDS],
        physical: [const { Physical::VACANT }; RECORDS],
        locks: [const { Lock::VACANT }; RECORDS],
        names: [const { NameCell::VACANT }; RECORDS],
        values: [const { ValueCell::VACANT }; RECORDS],
        relays: [const { RelayCell::VACANT }; RECORDS],
        buckets: [Bucket::EMPTY; BUCKETS],
        free_resources: [0; RECORDS],
        free_physical: [0; RECORDS],
        slots: [const { Slot::VACANT }; SLOTS],
        floors: [Number(0); FLOORS],
        patience: [Deadline::NONE; RECORDS],
        peers: [const { Peer::VACANT }; MEMBERS],
    };
}

/// Tables in boxed slices, allocated once.
#[cfg(feature = "alloc")]
pub type HeapMemory = Memory<
    alloc::boxed::Box<[Resource]>,
    alloc::boxed::Box<[Physical]>,
    alloc::boxed::Box<[Lock]>,
    alloc::boxed::Box<[NameCell]>,
    alloc::boxed::Box<[ValueCell]>,
    alloc::boxed::Box<[RelayCell]>,
    alloc::boxed::Box<[Bucket]>,
    alloc::boxed::Box<[u32]>,
    alloc::boxed::Box<[u32]>,
    alloc::boxed::Box<[Slot]>,
    alloc::boxed::Box<[Number]>,
    alloc::boxed::Box<[Deadline]>,
    alloc::boxed::Box<[Peer]>,
>;

#[cfg(feature = "alloc")]
impl HeapMemory {
    /// Tables for this configuration with room for this many records.
    #[must_use]
    pub fn new(limits: &Limits, config: &crate::config::Config) -> Self {
        let (slots, members) = (config.slots() as usize, config.members_max());
        Self {
            resources: (0..limits.resources).map(|_| Resource::VACANT).collect(),
            physical: (0..limits.physical).map(|_| Physical::VACANT).collect(),
            locks: (0..limits.locks).map(|_| Lock::VACANT).collect(),
            names: (0..limits.names).map(|_| NameCell::VACANT).collect(),
            values: (0..limits.values).map(|_| ValueCell::VACANT).collect(),
            relays: (0..limits.relays).map(|_| RelayCell::VACANT).collect(),
            buckets: (0..(limits.resources as usize * 2).next_power_of_two())
                .map(|_| Bucket::EMPTY)
                .collect(),
            free_resources: (0..limits.resources).map(|_| 0).collect(),
            free_physical: (0..limits.physical).map(|_| 0).collect(),
            slots: (0..slots).map(|_| Slot::VACANT).collect(),
            floors: (0..slots * members).map(|_| Number(0)).collect(),
            patience: (0..limits.locks).map(|_| Deadline::NONE).collect(),
            peers: (0..members).map(|_| Peer::VACANT).collect(),
        }
    }
}
