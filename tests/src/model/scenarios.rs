//! The clusters that are checked: small enough for every build, and as large as some minutes allow.

use lockmaster_core::{Mode, Retention};

use super::scenario::{Budget, Scenario};
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
    for scenario in reduced().into_iter().chain([chunks]) {
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
    ]
}
