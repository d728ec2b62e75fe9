//! Random schedules of clusters whose members change: whole runs of the simulator, each from one seed, in which nodes
//! crash, start, leave and are fenced while everything else goes on.
//!
//! A failure prints the seed and the last lines of its trace. `cargo run --release -p lockmaster-sim -- run --changing
//! --seed SEED` makes it small and says how to see all of them.

use core::ops::Range;

use lockmaster_sim::seeds::examine_all;
use lockmaster_sim::{FaultKinds, Options, Report};

/// Seeds of one test; there are two of them.
const SEEDS: u64 = 1_500;

/// Seeds that once found something, with how many nodes and steps, and what they found.
const KEPT: [(u64, u16, u32, &str); 3] = [
    (
        532,
        3,
        611,
        "a transfer that was withdrawn long ago was cut, and stopped the one that had its slots now",
    ),
    (66, 4, 1_089, "a node gave slots away after the end of its membership"),
    (263, 5, 1_124, "a newcomer forgot that an offer was withdrawn, and waited for the transfer for ever"),
];

/// The same for seeds that decide about nodes and steps themselves.
const KEPT_WHOLE: [(u64, &str); 17] = [
    (
        3_399,
        "a reporter asked about its last slot, which had moved on, and never heard that the others were open",
    ),
    (
        14_120,
        "a report that found no room was said again at once, for ever, and what was wanted kept its room",
    ),
    (31_938, "a page of the map that was said again was shorter, and its acknowledgement not believed"),
    (1_008_398, "a conversion kept the room that a slot needed for what was held in it, and waited for it"),
    (1_012_116, "a reporter that was reconnected said its next slot where its last one had been"),
    (1_029_031, "a slot went on before its report was acknowledged, and the slots after it were not heard"),
    (
        1_029_511,
        "what a report had kept in its slot was thought of no use before the end of a life had come to it",
    ),
    (1_033_031, "the end of a transfer ended the report of its slot, which had been lost since"),
    (1_053_340, "a record came with locks of the departed only, and its value block was thought to be gone"),
    (1_081_477, "what a writer wrote found no room in a rebuild, was acknowledged, and lost"),
    (
        1_094_964,
        "an orphan that had been offered to a member, which kept room for it, was not reported by it",
    ),
    (1_014_645, "a report that was refused, and then heard of an earlier copy, was never asked about again"),
    (3_048_731, "who had not heard that its transfer had ended kept a slot that had been lost since"),
    (
        3_068_796,
        "a slot that lacked room began to make some, and the turn ended before anything was given up",
    ),
    (
        4_015_898,
        "a position was heard before what a rebuild had lost was known to be lost, and read as never written",
    ),
    (4_026_738, "a transfer was withdrawn in the call that ended its node's life, and never ended"),
    (
        8_405_946,
        "the checker took a node that had given up its mode for a moment for one that kept the block",
    ),
];

fn examine(seeds: Range<u64>) -> Report {
    let count = seeds.end - seeds.start;
    println!("seeds {} to {}", seeds.start, seeds.end - 1);
    let report = match examine_all(seeds, 1, &Options::changing()) {
        Ok(report) => report,
        Err(failed) => panic!("\n{}", failed.story),
    };
    // What is on in some seeds must have happened, or nothing was tried.
    for (what, times) in report.changes.all() {
        assert!(times > 0, "{what} never happened in {count} seeds");
    }
    for (kind, fault) in report.faults.all() {
        assert!(fault.times > 0, "{kind:?} never happened in {count} seeds");
    }
    report
}

#[test]
fn first_half_of_the_changes() {
    examine(0..SEEDS);
}

#[test]
fn second_half_of_the_changes() {
    examine(SEEDS..2 * SEEDS);
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 0..20 {
        let run = || examine_all(seed..seed + 1, 1, &Options::changing()).map(|report| report.trace);
        let traces = (run().expect("the seed holds"), run().expect("the seed holds"));
        assert_eq!(traces.0, traces.1, "seed {seed}");
    }
}

#[test]
fn kept_seeds() {
    for (seed, story) in KEPT_WHOLE {
        if let Err(failed) = examine_all(seed..seed + 1, 1, &Options::changing()) {
            panic!("\n{}\n(this seed once found: {story})", failed.story);
        }
    }
    for (seed, nodes, steps, story) in KEPT {
        let options =
            Options { nodes: (nodes, nodes), steps, without: FaultKinds::NONE, ..Options::changing() };
        if let Err(failed) = examine_all(seed..seed + 1, 1, &options) {
            panic!("\n{}\n(this seed once found: {story})", failed.story);
        }
    }
}
