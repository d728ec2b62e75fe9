//! The core alone: a lock on a resource that is made and dropped each time, with a million others resident.

use core::hint::black_box;

use hashbrown::HashTable;
use lockmaster_core::{
    ClusterId, Config, Flags, HeapMemory, Incarnation, Limits, Mode, Node, NodeId, OwnerId, Priority, Request,
    Retention, SpaceConfig, SpaceId, ValueWrite, hash,
};

use crate::compare::{Numbers, Row, compare};

const RESIDENT: u32 = 1_000_000;
const SEED: u64 = 7;
/// Names that are locked and dropped again; more than any cache holds.
const BATCH: u64 = 1_000;

/// A name of 16 bytes.
fn name(number: u64) -> [u8; 16] {
    let mut name = *b"resource........";
    name[8..].copy_from_slice(&number.to_le_bytes());
    name
}

pub(crate) fn run() -> Row {
    let mut node = resident_node();
    let mut table = ResidentTable::new();
    let mut ours = Numbers(1);
    let mut theirs = Numbers(1);
    compare(
        "core: lock + unlock, resource made and dropped, 1 M others resident",
        "hashbrown: remove + insert of random names among 1 M",
        3.0,
        BATCH,
        || {
            for _ in 0..BATCH {
                let asked = node.request(lockmaster_core::Instant::START, &request(&name(ours.next() | 1 << 63)));
                let asked = black_box(asked.expect("there is room"));
                node.release(asked.lock, ValueWrite::Keep).expect("it is granted");
            }
        },
        || {
            for _ in 0..BATCH {
                table.replace(&mut theirs);
            }
        },
    )
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
    let space = SpaceConfig { retention: Retention::Never, ..SpaceConfig::new("bench").expect("a short name") };
    config.spaces.push(space).expect("one space fits");
    let limits = Limits { names: 1, values: 1, ..Limits::uniform(RESIDENT + 16) };
    let memory = HeapMemory::new(&limits, &config);
    let mut node = Node::new(config, memory).expect("the memory fits the configuration");
    for number in 0..u64::from(RESIDENT) {
        let asked = node.request(lockmaster_core::Instant::START, &request(&name(number)));
        assert!(asked.expect("there is room").grant.is_some());
    }
    node
}

/// The baseline: a slab of names with an index over it.
struct ResidentTable {
    names: Vec<[u8; 16]>,
    index: HashTable<u32>,
    next: u64,
}

impl ResidentTable {
    fn new() -> Self {
        let names: Vec<_> = (0..u64::from(RESIDENT)).map(name).collect();
        let mut index = HashTable::with_capacity(RESIDENT as usize * 2);
        for at in 0..RESIDENT {
            let hash_at = |at: &u32| hash(SEED, SpaceId(0), &names[*at as usize]);
            index.insert_unique(hash_at(&at), at, hash_at);
        }
        Self { names, index, next: u64::from(RESIDENT) }
    }

    /// Removes a random name and inserts a new one in its place.
    fn replace(&mut self, numbers: &mut Numbers) {
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
