//! Properties of what has one right answer, on values drawn by lot and shrunk when they fail: the bytes on the wire, the
//! tables of a node, the map of masters.

mod bytes;
mod map;
mod tables;

use core::sync::atomic::{AtomicU64, Ordering};

use quickcheck::{Gen, QuickCheck, Testable};

const SEED: u64 = 11;

/// How often something happened in all tries of a property: one that exercised nothing has shown nothing.
struct Count(AtomicU64);

impl Count {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_above(&self, least: u64) -> bool {
        let count = self.0.load(Ordering::Relaxed);
        println!("{count} times, more than {least} are expected");
        count > least
    }
}

/// Tries a property on so many values, the same in every run.
fn check(tests: u64, size: usize, property: impl Testable) {
    let check = QuickCheck::new().rng(Gen::from_size_and_seed(size, SEED));
    check.tests(tests).max_tests(tests).quickcheck(property);
}
