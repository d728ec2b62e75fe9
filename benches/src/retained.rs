//! A retained lock through the tokio API, beside a table of names behind a mutex.

use core::hint::black_box;
use std::time::Instant as Clock;

use hashbrown::HashTable;
use lockmaster_core::{SpaceId, hash};
use lockmaster_tokio::{Mode, Node};
use parking_lot::Mutex;

use crate::compare::{Numbers, Plan, Row, Side, WARM_UP, name};

const RESOURCES: u32 = 10_000;
const SEED: u64 = 7;
const BATCH: u32 = 10_000;

pub(crate) fn run() -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let names: Vec<_> = (0..u64::from(RESOURCES)).map(name).collect();
    let node = runtime.block_on(async { Node::builder("bench").hash_seed(SEED).machines(1).start().await });
    let node = node.expect("one node is a cluster");
    let table = Mutex::new(Table::new(&names));
    let mut numbers = [Numbers(1), Numbers(1)];
    let plan = Plan {
        what: "tokio: lock + unlock of a retained resource, 10 000 resources",
        baseline: "parking_lot lock, hashbrown lookup by name, unlock",
        aim: 3.0,
        batch: BATCH,
        warm_up: WARM_UP,
        rounds: 400,
    };
    runtime.block_on(async {
        for name in &names {
            drop(node.lock(name, Mode::Exclusive).await.expect("a lone node grants"));
        }
    });
    plan.run(|side| match side {
        Side::Ours => runtime.block_on(async {
            let started = Clock::now();
            for _ in 0..BATCH {
                let name = &names[numbers[0].below(RESOURCES) as usize];
                drop(black_box(node.lock(name, Mode::Exclusive).await.expect("a lone node grants")));
            }
            started.elapsed()
        }),
        Side::Theirs => runtime.block_on(async {
            let started = Clock::now();
            for _ in 0..BATCH {
                let name = &names[numbers[1].below(RESOURCES) as usize];
                black_box(table.lock().find(name));
            }
            started.elapsed()
        }),
    })
}

/// Names with an index over them, hashed as the core hashes.
struct Table {
    names: Vec<[u8; 16]>,
    index: HashTable<u32>,
}

impl Table {
    fn new(names: &[[u8; 16]]) -> Self {
        let mut index = HashTable::with_capacity(names.len());
        for at in 0..RESOURCES {
            let hash_at = |at: &u32| hash(SEED, SpaceId(0), &names[*at as usize]);
            index.insert_unique(hash_at(&at), at, hash_at);
        }
        Self { names: names.to_vec(), index }
    }

    fn find(&self, name: &[u8; 16]) -> Option<u32> {
        self.index.find(hash(SEED, SpaceId(0), name), |at| self.names[*at as usize] == *name).copied()
    }
}
