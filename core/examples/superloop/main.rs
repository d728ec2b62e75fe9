//! Three nodes on fixed memory, taking turns on one processor: no heap, no threads, no interrupts.
//!
//! ```sh
//! cargo run -p lockmaster-core --example superloop
//! ```
//!
//! All that happens is in `board.rs`, which needs no `std`. `xtask/freestanding` runs the same file as a program with
//! nothing below it, and `xtask/baremetal` on a Cortex-M4; the gate checks that they print the same.

mod board;

use core::fmt;
use std::sync::Mutex;

use board::Board;

/// Where the nodes live: there before the program begins, and as large as it will ever be.
static BOARD: Mutex<Board> = Mutex::new(Board::VACANT);

fn main() -> fmt::Result {
    let mut board = BOARD.try_lock().expect("nobody else uses the board");
    let mut said = String::new();
    let end = board::run(&mut board, &mut said);
    print!("{said}");
    end
}
