//! The clusters that are checked: small enough for every build, and as large as some minutes allow.

use lockmaster_core::{Mode, Retention};

use super::scenario::{Budget, Changes, Scenario};
#[cfg(lockmaster_faults)]
use super::{Rule, Search, explore};
use Mode::{Exclusive, ProtectedRead};

/// A member that has no owners: a master, or one that is told of transfers.
const BARE: Budget = Budget { requests: 0, converts: 0, cancels: 0, transfers: 0, ticks: None, answers: 1 };

/// A master without owners that gives its slot away. A chunk that it sends again counts its bytes anew and so is
/// another message, so its timeouts must have a bound.
const GIVER: Budget = Budget { transfers: 1, ticks: Some(0), answers: 0, ..BARE };

/// Nothing is said about resources that are not known: states are fewer.
const fn silent(budget: Budget) -> Budget {
    Budget { answers: 0, ..budget }
}

/// A member without owners whose timers are due when the network heals only: nothing is lost before.
const CALM: Budget = Budget { ticks: Some(0), answers: 0, ..BARE };

/// The same with so many owners.
const fn calm(requests: u8) -> Budget {
    Budget { requests, ..CALM }
}

/// The first member dies, and a view without it is made.
const ONE_DIES: Changes = Changes { first: 0b111, mortal: 1, crashes: 1, views: 1 };
/// The first two members die, one after the other.
const TWO_DIE: Changes = Changes { first: 0b111, mortal: 0b011, crashes: 2, views: 2 };
/// One of the first two members dies.
const EITHER_DIES: Changes = Changes { first: 0b111, mortal: 0b011, crashes: 1, views: 1 };
/// A master that gives its slot away, and may die of it.
const DYING: Budget = Budget { transfers: 1, ..CALM };
/// The third member joins.
const ONE_JOINS: Changes = Changes { first: 0b011, mortal: 0, crashes: 0, views: 1 };

const fn owners(requests: u8, converts: u8, cancels: u8) -> Budget {
    Budget { requests, converts, cancels, ..BARE }
}

fn scenario(name: &'static str, budgets: &[Budget]) -> Scenario {
    Scenario {
        name,
        budgets: budgets.to_vec(),
        resources: 1,
        has_chunks: false,
        modes: &[ProtectedRead, Exclusive],
        conversions: &[(ProtectedRead, Exclusive), (Exclusive, ProtectedRead)],
        retention: Retention::UntilDemanded,
        has_values: false,
        changes: None,
        stride: 1,
        #[cfg(lockmaster_faults)]
        faults: lockmaster_core::fault::Faults::NONE,
    }
}

/// Nothing is kept without an owner: records come and go, and floors with them.
fn fleeting(name: &'static str, budgets: &[Budget]) -> Scenario {
    Scenario { retention: Retention::Never, ..scenario(name, budgets) }
}

/// Two resources in a slot that takes several chunks: too many states to look at all of them.
#[cfg(lockmaster_faults)]
fn chunks(name: &'static str, budgets: &[Budget]) -> Scenario {
    Scenario { resources: 2, has_chunks: true, modes: &[Exclusive], ..fleeting(name, budgets) }
}

/// The only resource's master, or somebody else of these members, dies, and the others go on.
fn changing(name: &'static str, budgets: &[Budget], changes: Changes) -> Scenario {
    Scenario { changes: Some(changes), modes: &[Exclusive], conversions: &[], ..fleeting(name, budgets) }
}

/// Two resources, each mastered by one of two nodes, with counters in their value blocks.
fn counters(name: &'static str, budgets: &[Budget]) -> Scenario {
    Scenario { resources: 2, has_values: true, ..scenario(name, budgets) }
}

/// A wrong reading of the protocol that a search has caught.
#[cfg(lockmaster_faults)]
#[derive(Debug)]
pub struct Caught {
    /// The scenario that caught it.
    pub scenario: &'static str,
    /// The rule that was broken.
    pub rule: Rule,
    /// States that were looked at until then, those of scenarios before it included.
    pub states: usize,
    /// How it came to that.
    pub story: String,
}

/// Searches the scenarios of every build, one after the other and at most so many states of each, with rules switched
/// off, until one of them is broken.
#[cfg(lockmaster_faults)]
#[must_use]
pub fn hunt(faults: lockmaster_core::fault::Faults, most: usize) -> Option<Caught> {
    let mut states = 0;
    let chunks = chunks("several chunks", &[GIVER, silent(owners(2, 0, 0))]);
    let is_it = |scenario: &Scenario| scenario.changes.is_some() == faults.is_of_views();
    let others = [
        chunks,
        changing("one after another dies", &[CALM, CALM, calm(1)], TWO_DIE),
        changing("transfer and death", &[DYING, CALM, calm(1)], EITHER_DIES),
    ];
    for scenario in reduced().into_iter().chain(others).filter(is_it) {
        let scenario = Scenario { faults, ..scenario };
        let outcome = explore(&scenario, Search::Breadth, most, 1);
        states += outcome.unique;
        if let Some((rule, story)) = outcome.failure {
            return Some(Caught { scenario: scenario.name, rule, states, story });
        }
    }
    None
}

/// Those that every build checks.
#[must_use]
pub fn reduced() -> Vec<Scenario> {
    vec![
        scenario("retained", &[BARE, owners(1, 1, 1), owners(1, 1, 1)]),
        fleeting("fleeting", &[BARE, owners(1, 1, 0), owners(1, 0, 1)]),
        scenario("master with owners", &[owners(1, 1, 1), owners(1, 1, 1)]),
        scenario("transfer to an owner", &[GIVER, owners(1, 1, 1)]),
        fleeting("transfer beside one", &[GIVER, silent(BARE), silent(owners(1, 0, 0))]),
        counters("counters", &[owners(2, 0, 0), owners(1, 0, 0)]),
        changing("master dies", &[CALM, calm(1), calm(1)], ONE_DIES),
        changing("member joins", &[CALM, CALM, calm(1)], ONE_JOINS),
    ]
}

/// The same in sizes that take minutes.
#[must_use]
pub fn full() -> Vec<Scenario> {
    let again = Budget { ticks: Some(1), ..GIVER };
    let user = Budget { requests: 1, ..GIVER };
    vec![
        scenario("retained", &[BARE, owners(2, 1, 1), owners(1, 0, 1)]),
        fleeting("fleeting", &[BARE, owners(2, 1, 1), owners(1, 0, 1)]),
        scenario("master with owners", &[owners(2, 1, 1), owners(1, 1, 1)]),
        scenario("transfer to an owner", &[Budget { answers: 1, ..again }, owners(1, 1, 1)]),
        scenario("transfer between two", &[Budget { answers: 1, ..user }, owners(1, 0, 0)]),
        scenario("transfer beside one", &[GIVER, silent(BARE), silent(owners(1, 1, 1))]),
        scenario("transfer said again", &[again, silent(BARE), silent(owners(1, 0, 0))]),
        counters("counters", &[owners(2, 0, 0), owners(2, 0, 0)]),
        changing("master dies", &[CALM, calm(2), calm(1)], ONE_DIES),
        changing("one after another dies", &[CALM, CALM, calm(1)], TWO_DIE),
        changing("member joins", &[CALM, calm(1), calm(1)], ONE_JOINS),
        changing("transfer and death", &[DYING, CALM, calm(1)], EITHER_DIES),
    ]
}
