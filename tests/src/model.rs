//! Model checking: every interleaving of what happens to a small cluster of real nodes.
//!
//! A state of the model is a state of each node, the messages that were ever sent, and what owners were told. The
//! network only grows: each message may arrive at any time, again and again, or never; so loss, repetition and
//! reordering need no actions of their own. Owners ask, convert, cancel and release within a [`Budget`], and the
//! timers of a node are due whenever the model likes.
//!
//! What a node says leaves at once: that one message is made of two things that wait for a slow peer is left to the
//! simulator. So is time: all timers of a node run out together.
//!
//! The rules of `docs/protocol.md` are checked in every state against the model's own account of who was told what,
//! and from every state the network heals: then everybody must be served.

mod ghost;
mod healing;
mod locals;
mod network;
mod scenario;
mod scenarios;
mod trace;
mod world;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use crate::cluster::Word;
use world::Cluster;

pub use ghost::Rule;
pub use scenario::{Budget, Changes, Scenario};
#[cfg(lockmaster_faults)]
pub use scenarios::{Caught, hunt};
pub use scenarios::{full, reduced};

/// How a scenario is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// In depth, which comes by the fullest networks first and so has the fewest states to look at.
    Depth,
    /// In breadth, which finds a shortest trace.
    Breadth,
    /// In breadth, and also states that are part of others.
    All,
}

/// What a search has found.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// States that were come by, as often as they were.
    pub states: u64,
    /// States that were looked at.
    pub unique: usize,
    /// Steps to the farthest of them.
    pub depth: usize,
    /// All states were looked at, within the scenario's bounds.
    pub is_complete: bool,
    /// States of single nodes, steps of single nodes, and messages.
    pub parts: [usize; 3],
    /// States of all nodes and owners, whatever is on its way, that were healed.
    pub healed: usize,
    /// What was said.
    pub words: BTreeSet<Word>,
    /// Time that it took.
    pub took: Duration,
    /// The rule that was broken, and how it came to that.
    pub failure: Option<(Rule, String)>,
}

/// Looks at the states of a scenario, at most this many.
///
/// # Panics
/// If the model contradicts itself.
#[must_use]
pub fn explore(scenario: &Scenario, search: Search, most: usize, threads: usize) -> Outcome {
    let begin = Instant::now();
    let cluster = Cluster::new(scenario.clone(), search != Search::All);
    let checker =
        cluster.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).target_state_count(most);
    match search {
        Search::Depth => conclude(scenario, most, begin, &checker.spawn_dfs().join()),
        Search::Breadth | Search::All => conclude(scenario, most, begin, &checker.spawn_bfs().join()),
    }
}

fn conclude(scenario: &Scenario, most: usize, begin: Instant, checker: &impl Checker<Cluster>) -> Outcome {
    let cluster = checker.model();
    let failure = checker.discoveries().into_values().next();
    let failure = failure.map(|path| trace::tell(cluster, path.into_vec()));
    let (parts, words) = cluster.locals.counts();
    Outcome {
        scenario: scenario.clone(),
        states: cluster.states(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        is_complete: failure.is_none() && checker.state_count() < most,
        parts,
        healed: cluster.healed(),
        words,
        took: begin.elapsed(),
        failure,
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, states, unique, depth, healed, .. } = self;
        let [locals, steps, messages] = self.parts;
        let is_complete = if self.is_complete { "complete" } else { "TRUNCATED" };
        writeln!(f, "{:<22} {is_complete}, {:.1} s", scenario.name, self.took.as_secs_f64())?;
        writeln!(f, "    {states} states, {unique} looked at, depth {depth}, {healed} healed")?;
        writeln!(f, "    {locals} states of nodes, {steps} steps of nodes, {messages} messages")?;
        write!(f, "    {scenario}")?;
        match &self.failure {
            Some((rule, story)) => write!(f, "\n{rule:?} is broken:\n{story}"),
            None => Ok(()),
        }
    }
}
