//! The superloop of the core's examples, and some seeds of the simulator, with the nodes on fixed memory: on a Cortex-M4
//! without an operating system, and on the host. Both must print the same, down to the hash over all that happened.
//!
//! The nodes are in statics and allocate nothing. What the simulator itself keeps, its plan, its network and its
//! checkers' account, needs a heap; on the board that is a region of its own.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(target_os = "none")]
mod board;
mod seeds;
#[path = "../../../core/examples/superloop/board.rs"]
mod superloop;

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let first = args.next().and_then(|first| first.parse().ok()).unwrap_or(seeds::FIRST);
    let is_sound = seeds::run(first, |line| print!("{line}"));
    if is_sound { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
