//! Link test: a program of `lockmaster-core` and nothing else, no `std`, no `alloc`, no libc.
//!
//! If any of them had found its way into the core, this would not link. It also runs: the exit status is 0,
//! or the number of the first check that failed, or 101 after a panic.
#![no_std]
#![no_main]

mod control;
mod runtime;

use core::hint::black_box;

use lockmaster_core::{Mode, Name, SpaceId, hash};

/// What the program does with the core, one check for each part of it that has to link. Add new parts here.
///
/// Each takes its inputs through [`black_box`]: what the compiler can work out by itself is never linked.
const CHECKS: &[fn() -> bool] = &[modes, names];

/// Runs all checks; the number of the first that fails, or 0.
fn run() -> u8 {
    control::run();
    for (number, check) in (1..).zip(CHECKS) {
        if !black_box(*check)() {
            return number;
        }
    }
    0
}

fn modes() -> bool {
    let (strong, weak) = (black_box(Mode::Exclusive), black_box(Mode::ProtectedRead));
    strong.covers(weak) && !weak.covers(strong) && !strong.is_compatible(weak)
}

fn names() -> bool {
    let (seed, bytes) = (black_box(7), black_box(b"invoice/42".as_slice()));
    let Ok(name) = Name::new(bytes) else { return false };
    hash(seed, SpaceId(1), name.as_bytes()) == hash(seed, SpaceId(1), bytes)
        && hash(seed, SpaceId(1), bytes) != hash(seed, SpaceId(2), bytes)
}
