//! Random schedules of clusters whose nodes run several machines side by side: whole runs of the simulator, each from one
//! seed. What a name is locked by is judged over all machines, and what happens to a node happens to all of its own.
//!
//! A failure prints the seed and the last lines of its trace. `cargo run --release -p lockmaster-sim -- run --machines 2
//! --seed SEED` makes it small and says how to see all of them.

use lockmaster_core::MACHINES_MAX;
use lockmaster_sim::seeds::examine_all;
use lockmaster_sim::{Moving, Options, Report};

fn examine(count: u64, options: &Options) -> Report {
    let report = examine_all(0..count, 1, options).unwrap_or_else(|failed| panic!("\n{}", failed.story));
    // A cluster of several machines is one in which owners use some of them at a time.
    assert!(report.machines.grants_beside > 0, "nobody used two machines of a node in {count} seeds");
    assert!(report.machines.astray > 0, "no hello came to the wrong machine in {count} seeds");
    report
}

#[test]
fn machines_beside_each_other() {
    for machines in [2, 3] {
        examine(150, &Options { machines: (machines, machines), ..Options::default() });
    }
}

#[test]
fn slots_that_move_on_several_machines() {
    for machines in [2, 3] {
        let options = Options { machines: (machines, machines), moving: Moving::Often, ..Options::default() };
        let report = examine(80, &options);
        assert!(report.moves.done > 0);
    }
}

#[test]
fn as_many_machines_as_there_can_be() {
    examine(10, &Options { machines: (MACHINES_MAX, MACHINES_MAX), ..Options::default() });
}

#[test]
fn nodes_that_change_with_all_their_machines() {
    for machines in [2, 3] {
        let report = examine(40, &Options { machines: (machines, machines), ..Options::changing() });
        for (what, times) in report.machines.all() {
            assert!(times > 0, "{what} never happened with {machines} machines");
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for options in [Options::default(), Options::changing()] {
        let options = Options { machines: (1, 3), ..options };
        for seed in 0..5 {
            let run = || examine_all(seed..seed + 1, 1, &options).map(|report| report.trace);
            let traces = (run().expect("the seed holds"), run().expect("the seed holds"));
            assert_eq!(traces.0, traces.1, "seed {seed}");
        }
    }
}
