//! What the demonstration's tests share.

use core::time::Duration;
use std::path::PathBuf;

use clap::Parser;

use crate::args::{Args, Command, DemoArgs, Retain};
use crate::demo::message::Plan;

/// What a node is told when nothing was said on the command line.
pub(super) fn plan() -> Plan {
    Plan {
        node: 1,
        life: 0,
        meeting: None,
        addresses: Vec::new(),
        machines: 1,
        threads: 1,
        data_file: PathBuf::new(),
        history: None,
        tasks: 16,
        pages: 256,
        skew: 0.8,
        read_share: 0.5,
        retention: Retain::UntilDemanded,
        grants_after_demand: 0,
        transfer_interval: Duration::ZERO,
        seed: 1,
        without_locks: false,
    }
}

/// The arguments when nothing was said on the command line.
pub(super) fn args() -> DemoArgs {
    let Command::Demo(args) = Args::parse_from(["lockmaster", "demo"]).command else {
        panic!("another command")
    };
    args
}
