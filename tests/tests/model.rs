//! Every interleaving of small clusters of real nodes, within the bounds of each scenario.
//!
//! `cargo xtask model` checks the same in larger sizes, and `cargo xtask scoreboard` hunts bugs with them.

use std::collections::BTreeSet;

use lockmaster_tests::cluster::Word;
use lockmaster_tests::model::{Scenario, Search, explore, reduced};

/// States after which a search would be given up.
const MOST: usize = 2_000_000;

/// What must have been said for a scenario to have shown something.
fn expected(scenario: &Scenario) -> BTreeSet<Word> {
    let mut words = BTreeSet::from([Word::Position, Word::Grant]);
    if scenario.budgets.iter().filter(|budget| budget.requests > 0).count() > 1 {
        words.extend([Word::Queued, Word::Demand]);
    }
    if scenario.has_values {
        words.insert(Word::Written);
    }
    if scenario.budgets.iter().any(|budget| budget.transfers > 0) {
        words.extend([
            Word::Offer,
            Word::Accepted,
            Word::InitialLocks,
            Word::Received,
            Word::End,
            Word::EndAck,
        ]);
    }
    if let Some(changes) = scenario.changes {
        words.extend([Word::Here, Word::MapReport, Word::MapReported, Word::MapInstall, Word::MapInstalled]);
        if changes.crashes > 0 {
            words.extend([Word::Report, Word::Reported]);
        }
    }
    words
}

#[test]
fn every_rule_holds_in_every_state() {
    for scenario in reduced() {
        let outcome = explore(&scenario, Search::Depth, MOST, 1);
        println!("{outcome}");
        assert!(outcome.is_complete, "{outcome}");
        assert!(outcome.words.is_superset(&expected(&scenario)), "{}: {:?}", scenario.name, outcome.words);
    }
}

/// The search that leaves out what is part of other states comes by the same nodes, steps, messages and owners as one
/// that leaves out nothing, in another order: so nothing is missed, and nothing that matters is left out of a state's
/// fingerprint.
#[test]
fn what_is_left_out_is_part_of_others() {
    let scenario = reduced().into_iter().find(|scenario| scenario.name == "fleeting").unwrap();
    let all = explore(&scenario, Search::All, MOST, 1);
    assert!(all.is_complete, "{all}");
    for search in [Search::Depth, Search::Breadth] {
        let some = explore(&scenario, search, MOST, 1);
        assert!(some.is_complete, "{some}");
        assert!(some.unique < all.unique, "{} of {} are left out", all.unique - some.unique, all.unique);
        assert_eq!((some.parts, some.healed, some.words), (all.parts, all.healed, all.words.clone()));
    }
}
