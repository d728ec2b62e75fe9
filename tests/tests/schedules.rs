//! Random schedules: whole runs of the simulator, each from one seed, with everything that a network can do.
//!
//! A failure prints the seed and the last lines of its trace. `cargo run --release -p lockmaster-sim -- run --seed
//! SEED` makes it small and says how to see all of them.

use core::ops::Range;

use lockmaster_sim::seeds::examine_all;
use lockmaster_sim::{FaultKind, FaultKinds, Moving, Options, Report};

/// Seeds of one test; there are four of them.
const SEEDS: u64 = 5_000;

/// Seeds that once found something, before slots moved, with what they found.
const KEPT_STILL: [(u64, &str); 6] = [
    (4_568, "a holder that came to pin more was still asked for what it could not give any more"),
    (5_069, "a conversion whose grant was taken back stood behind one that it blocked"),
    (29_511, "a demoted owner waited for another one of its node, which waited for it"),
    (39_725, "what was given up beside a request that was out was asked back at once, for ever"),
    (71_939, "an owner whose conversion had ended was not told who waited for it"),
    (229_631, "a waiter that was served long ago read an old copy of the value block"),
];

/// Seeds that once found something about slots that move.
const KEPT: [(u64, &str); 6] = [
    (8, "a late grant of the old master was answered to it, after the new one was acknowledged"),
    (20, "a straggler was passed on after the end of the transfer interval"),
    (51, "a resource that came to be held after its slot was packed went into a repeated chunk"),
    (89, "what was to be looked at of a moved slot had gone by itself, and stayed counted"),
    (772, "an answer to a lost run of chunks made room in the window for the next one"),
    (11_517, "a release that was lost while its slot moved left a lock on record for ever"),
];

/// The same, with slots that move all the time.
const KEPT_MOVING: [(u64, &str); 4] = [
    (
        602,
        "a resource that came to be held after its slot was packed was counted, and the transfer never ended",
    ),
    (731_054, "a conversion was refused for want of a value block at the new master after it had been taken"),
    (
        531_007,
        "a demand that had been overtaken at the new master's node was taken for answered once its record was there",
    ),
    (1_956, "a late demand of the old master took the place of one that the new master made of itself"),
];

/// The same, with nodes that are slow, paused, mute and split, and with clocks that drift and leap.
const KEPT_MACHINES: [(u64, &str); 2] = [
    (
        18_075,
        "a conversion took over the place of one that accepts a deadlock, before the one that it waited for",
    ),
    (1_429_588, "an owner was told of a demand that its conversion, which was granted meanwhile, had met"),
];

fn examine(seeds: Range<u64>) -> Report {
    let count = seeds.end - seeds.start;
    println!("seeds {} to {}", seeds.start, seeds.end - 1);
    let report = match examine_all(seeds, 1, &Options::default()) {
        Ok(report) => report,
        Err(failed) => panic!("\n{}", failed.story),
    };
    // What is on in some seeds must have happened, or nothing was tried.
    for (what, times) in report.all().into_iter().chain(report.moves.all()) {
        assert!(times > 0, "{what} never happened in {count} seeds");
    }
    for (kind, fault) in report.faults.all() {
        assert!(fault.times > 0, "{kind:?} never happened in {count} seeds");
    }
    report
}

#[test]
fn first_quarter_of_the_schedules() {
    examine(0..SEEDS);
}

#[test]
fn second_quarter_of_the_schedules() {
    examine(SEEDS..2 * SEEDS);
}

#[test]
fn third_quarter_of_the_schedules() {
    examine(2 * SEEDS..3 * SEEDS);
}

#[test]
fn fourth_quarter_of_the_schedules() {
    examine(3 * SEEDS..4 * SEEDS);
}

#[test]
fn longer_schedules() {
    let options = Options { steps: 2_000, ..Options::default() };
    if let Err(failed) = examine_all(1_000_000..1_000_200, 1, &options) {
        panic!("\n{}", failed.story);
    }
}

#[test]
fn larger_clusters() {
    for nodes in [(6, 16), (64, 64)] {
        let options = Options { nodes, ..Options::default() };
        let seeds = if nodes.1 == 64 { 0..3 } else { 0..100 };
        let report = examine_all(seeds, 1, &options).unwrap_or_else(|failed| panic!("\n{}", failed.story));
        assert!(report.grants > 0, "{nodes:?}");
    }
}

#[test]
fn kept_seeds() {
    // They were found before there were these kinds of faults, which make other runs of them.
    let later = [
        FaultKind::Split,
        FaultKind::Mute,
        FaultKind::Slow,
        FaultKind::Pause,
        FaultKind::Drift,
        FaultKind::Leap,
    ];
    let without: FaultKinds = later.into_iter().collect();
    let all = FaultKinds::NONE;
    let kinds = [
        (Moving::Never, without, &KEPT_STILL[..]),
        (Moving::Drawn, without, &KEPT[..]),
        (Moving::Often, without, &KEPT_MOVING[..]),
        (Moving::Drawn, all, &KEPT_MACHINES[..]),
    ];
    for (moving, without, kept) in kinds {
        let options = Options { moving, without, ..Options::default() };
        for (seed, story) in kept {
            if let Err(failed) = examine_all(*seed..seed + 1, 1, &options) {
                panic!("\n{}\n(this seed once found: {story})", failed.story);
            }
        }
    }
}

#[test]
fn slots_that_move_all_the_time() {
    let options = Options { moving: Moving::Often, ..Options::default() };
    if let Err(failed) = examine_all(2_000_000..2_001_000, 1, &options) {
        panic!("\n{}", failed.story);
    }
}
