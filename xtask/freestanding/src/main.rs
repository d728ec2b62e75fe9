//! Link test: a program of `lockmaster-core` and nothing else, no `std`, no `alloc`, no libc.
//!
//! If any of them had found its way into the core, this would not link. It also runs, and says what it does; the exit
//! status is 0, or the number of the first check that failed, or 101 after a panic.
#![no_std]
#![no_main]

#[path = "../../../core/examples/superloop/board.rs"]
mod board;
mod control;
mod runtime;

use core::hint::black_box;

use board::Board;
use lockmaster_core::{Mode, Name, SpaceId, hash};
use runtime::{Console, Taken};

/// What the program does with the core. Each takes its inputs through [`black_box`]: what the compiler can work out by
/// itself is never linked.
const CHECKS: &[fn() -> bool] = &[modes, names, nodes];

/// Where the nodes of the last check live.
static BOARD: Taken<Board> = Taken::new(Board::VACANT);

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

/// The core's example of three nodes in static memory.
fn nodes() -> bool {
    let end = black_box(&BOARD).lend(|board| board::run(board, &mut Console));
    end.is_some_and(|end| end.is_ok())
}
