//! The trace table of `data/traces.txt`, at both levels of the queue.

use std::collections::BTreeSet;

use lockmaster_core::{HeapMemory, Mode};
use lockmaster_tests::masters::Masters;
use lockmaster_tests::notation::{Outcome, Queues, Trace, traces};
use lockmaster_tests::owners::Owners;

/// Runs a row among the owners of one node; says what differs.
fn run_among_owners(trace: &Trace) -> Vec<String> {
    let mut owners: Owners<HeapMemory> = Owners::on_heap();
    let mut differences = Vec::new();
    for step in &trace.steps {
        let told = owners.operate(step.operation);
        if told != step.outcomes {
            differences.push(format!("{}: {}: {}", trace.id, step.text, difference(&told, &step.outcomes)));
        }
    }
    let queues = owners.queues();
    if queues != trace.queues {
        differences.push(format!("{}: queues are {queues}, not {}", trace.id, trace.queues));
    }
    differences
}

/// Rows that exist among owners only: a master refuses no argument, and a node that holds a mode does not ask
/// its master for the same one; nor do modes of nodes ever cross from CW to PR.
const AMONG_OWNERS_ONLY: [&str; 3] = ["M36", "M47", "M49"];

/// Runs a row among members at their master; says what differs.
fn run_at_master(trace: &Trace) -> Vec<String> {
    let mut masters = Masters::default();
    let mut differences = Vec::new();
    for step in &trace.steps {
        let told = masters.operate(step.operation);
        let is_demand = |outcome: &Outcome| matches!(outcome, Outcome::Demanded(..));
        let (demands, expected): (BTreeSet<Outcome>, BTreeSet<Outcome>) =
            step.outcomes.iter().partition(|outcome| is_demand(outcome));
        if told != expected {
            differences.push(format!("{}: {}: {}", trace.id, step.text, difference(&told, &expected)));
        }
        for demand in demands {
            let Outcome::Demanded(who, mode) = demand else { continue };
            // What is out lets no more stay than what may stay beside the mode.
            let stay = masters.demanded(who);
            if !stay.is_some_and(|stay| mode.leaves().covers(stay)) {
                differences.push(format!("{}: {}: {who} may keep {stay:?}", trace.id, step.text));
            }
        }
    }
    let (queues, expected) = (masters.queues(), queues_at_master(trace));
    if queues != expected {
        differences.push(format!("{}: queues are {queues}, not {expected}", trace.id));
    }
    differences
}

/// The queues at the end, where a conversion from CW to PR is one to PW.
fn queues_at_master(trace: &Trace) -> Queues {
    let mut queues = trace.queues.clone();
    for (_, held, wanted) in &mut queues.convert {
        *wanted = Mode::join(*held, *wanted);
    }
    queues
}

#[test]
fn every_row_holds_among_the_members_at_their_master() {
    let traces = traces();
    let of_members = traces.iter().filter(|trace| !AMONG_OWNERS_ONLY.contains(&trace.id.as_str()));
    let differences: Vec<String> = of_members.flat_map(run_at_master).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn difference(told: &BTreeSet<Outcome>, expected: &BTreeSet<Outcome>) -> String {
    let missing: Vec<&Outcome> = expected.difference(told).collect();
    let unexpected: Vec<&Outcome> = told.difference(expected).collect();
    format!("missing {missing:?}, unexpected {unexpected:?}")
}

#[test]
fn every_row_holds_among_the_owners_of_a_node() {
    let traces = traces();
    assert_eq!(traces.len(), 51, "the table is whole");
    let differences: Vec<String> = traces.iter().flat_map(run_among_owners).collect();
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}
