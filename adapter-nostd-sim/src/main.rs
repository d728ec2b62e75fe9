//! The program of the simulator: it runs seeds on all cores, shows one of them, and makes a failing one small.

mod host;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    host::run(&host::Args::parse())
}
