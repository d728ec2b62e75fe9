//! Clusters by lot: in none may two views share an epoch, or a member be removed that still believes in itself.

use super::acts::{Bugs, run};
use super::ledger::Counts;
use super::world::SECOND;

fn check(seeds: core::ops::Range<u64>) {
    let mut counts = Counts::default();
    for seed in seeds {
        match run(seed, Bugs::default()) {
            Ok((happened, _)) => counts.add(&happened),
            Err(problem) => panic!("seed {seed}: {problem}"),
        }
    }
    println!("{counts:?}");
    assert!(counts.missing().is_empty(), "never seen: {:?}", counts.missing());
}

#[test]
fn no_member_is_removed_while_it_believes_in_itself_and_no_epoch_has_two_views() {
    check(0..120);
}

#[test]
#[ignore = "takes minutes"]
fn nor_in_many_more_runs() {
    check(1_000..6_000);
}

#[test]
fn a_seed_does_the_same_twice() {
    for seed in 7..12 {
        assert_eq!(run(seed, Bugs::default()), run(seed, Bugs::default()));
    }
}

/// Some of a few seeds find the bug.
fn is_found(bugs: Bugs, says: &str) {
    let found = (0..60).filter_map(|seed| run(seed, bugs).err()).collect::<Vec<_>>();
    assert!(found.iter().any(|problem| problem.contains(says)), "{bugs:?}: {found:?}");
}

#[test]
fn a_member_that_stops_too_late_is_noticed() {
    is_found(Bugs { overconfidence: 3 * SECOND, ..Bugs::default() }, "believes in itself until");
}

#[test]
fn a_revocation_that_is_not_waited_for_is_noticed() {
    is_found(Bugs { hides_fences: true, ..Bugs::default() }, "believes in itself until");
}

#[test]
fn a_deleted_key_that_passes_for_a_lease_that_ran_out_is_noticed() {
    is_found(Bugs { hides_leases: true, ..Bugs::default() }, "believes in itself until");
}

#[test]
fn a_swap_without_comparing_is_noticed() {
    is_found(Bugs { is_credulous: true, ..Bugs::default() }, "epoch");
}
