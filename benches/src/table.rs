//! The core alone: a lock on a resource that is made and dropped each time, with a million others resident.

use core::hint::black_box;
use std::time::Instant as Clock;

use hashbrown::HashTable;
use lockmaster_core::{
    ClusterId, Config, Flags, HeapMemory, Incarnation, Instant, Limits, Mode, Node, NodeId, OwnerId,
    Priority, Request, Retention, SpaceConfig, SpaceId, ValueWrite, hash,
};

use crate::compare::{Numbers, Plan, Row, Side, WARM_UP, name};

pub(crate) const RESIDENT: u32 = 1_000_000;
const SEED: u64 = 7;
/// Operations a round, each on a fresh random name.
const BATCH: u32 = 1_000;

pub(crate) fn run() -> Vec<Row> {
    let mut node = resident_node();
    let mut table = ResidentTable::new();
    let (mut ours, mut theirs) = (Numbers(1), Numbers(1));
    let plan = Plan {
        what: "core: lock + unlock, made and dropped, 1 M others resident",
        baseline: "hashbrown: remove + insert of random names among 1 M",
        aim: 2.0,
        batch: BATCH,
        warm_up: WARM_UP,
        rounds: 400,
    };
    plan.run(|side| {
        let started = Clock::now();
        for _ in 0..BATCH {
            match side {
                Side::Ours => lock_and_unlock(&mut node, &name(ours.next() | 1 << 63)),
                Side::Theirs => table.replace(&mut theirs),
            }
        }
        started.elapsed()
    })
}

fn lock_and_unlock(node: &mut Node<HeapMemory>, name: &[u8]) {
    let asked = node.request(Instant::START, &request(name));
    let asked = black_box(asked.expect("there is room"));
    node.release(asked.lock, ValueWrite::Keep).expect("it is granted");
}

fn request(name: &[u8]) -> Request<'_> {
    Request {
        space: SpaceId(0),
        name,
        owner: OwnerId(1),
        mode: Mode::Exclusive,
        flags: Flags::NONE,
        priority: Priority(0),
        patience: None,
    }
}

fn resident_node() -> Node<HeapMemory> {
    let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(1));
    config.members.push(NodeId(1)).expect("one member fits");
    config.hash_seed = SEED;
    let space =
        SpaceConfig { retention: Retention::Never, ..SpaceConfig::new("bench").expect("a short name") };
    config.spaces.push(space).expect("one space fits");
    let limits = Limits { names: 1, values: 1, ..Limits::uniform(RESIDENT + 16) };
    let memory = HeapMemory::new(&limits, &config);
    let mut node = Node::new(config, memory).expect("the memory fits the configuration");
    for number in 0..u64::from(RESIDENT) {
        let asked = node.request(Instant::START, &request(&name(number)));
        assert!(asked.expect("there is room").grant.is_some());
    }
    node
}

/// The baseline: a slab of names with an index over it.
pub(crate) struct ResidentTable {
    names: Vec<[u8; 16]>,
    index: HashTable<u32>,
    next: u64,
}

impl ResidentTable {
    pub(crate) fn new() -> Self {
        let names: Vec<_> = (0..u64::from(RESIDENT)).map(name).collect();
        let mut index = HashTable::with_capacity(RESIDENT as usize * 2);
        for at in 0..RESIDENT {
            let hash_at = |at: &u32| hash(SEED, SpaceId(0), &names[*at as usize]);
            index.insert_unique(hash_at(&at), at, hash_at);
        }
        Self { names, index, next: u64::from(RESIDENT) }
    }

    /// Removes a random name and inserts a new one in its place.
    pub(crate) fn replace(&mut self, numbers: &mut Numbers) {
        let Self { names, index, next } = self;
        let at = numbers.below(RESIDENT);
        let old = names[at as usize];
        let found = index.find_entry(hash(SEED, SpaceId(0), &old), |other| names[*other as usize] == old);
        let Ok(entry) = found else { unreachable!("every name is in the index") };
        let (at, _) = entry.remove();
        names[at as usize] = name(*next);
        *next += 1;
        let hash_at = |at: &u32| hash(SEED, SpaceId(0), &names[*at as usize]);
        index.insert_unique(hash_at(&at), at, hash_at);
    }
}
