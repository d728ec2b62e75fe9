//! Figures of Lockmaster, each beside its baseline in the same run: `cargo run --release -p lockmaster-benches`.
//!
//! An argument chooses the lines whose text contains it; one more is the number of locks where a cluster changes.

mod change;
mod compare;
mod control;
mod cores;
mod echo;
mod handover;
mod huge;
mod papers;
mod process;
mod remote;
mod retained;
mod secured;
mod served;
mod table;
mod threads;
mod transfer;

use std::path::Path;

use compare::Row;

/// A line's name and what measures it; some measure several at once.
type Line = (&'static str, fn() -> Vec<Row>);

const LINES: &[Line] = &[
    ("table", table::run),
    ("served", served::run),
    ("retained", retained::run),
    ("threads", threads::run),
    ("remote-one", remote::one_task),
    ("remote-many", remote::many_tasks),
    ("secured-one", secured::one_task),
    ("secured-many", secured::many_tasks),
    ("handover-contended", handover::contended),
    ("handover-master", handover::contended_by_master),
    ("handover-retained", handover::retained),
    ("transfer-alone", transfer::alone),
    ("transfer-load", transfer::under_load),
    ("change-crash", change::crash),
    ("change-crash-load", change::crash_under_load),
    ("change-planned", change::planned),
];

#[global_allocator]
static ALLOCATOR: huge::HugePages = huge::HugePages;

fn main() {
    let choice = std::env::args().nth(1).unwrap_or_default();
    match choice.as_str() {
        remote::ROLE => return remote::serve(std::env::args_os().nth(2).as_deref().map(Path::new)),
        handover::ROLE => return handover::serve(),
        transfer::ROLE => return transfer::serve(),
        change::ROLE => return change::serve(),
        _ => {}
    }
    println!("{:<64} {:>10} {:>10} {:<3} {:>7} {:>7}", "what", "ours", "base", "", "ratio", "aim");
    for (_, run) in LINES.iter().filter(|(name, _)| name.contains(&choice)) {
        for row in run() {
            let (ratio, aim) = (row.ratio(), row.aim.to_string());
            let Row { what, ours, theirs, unit, .. } = row;
            println!("{what:<64} {ours:>10.1} {theirs:>10.1} {unit:<3} {ratio:>7.2} {aim:>7}");
            println!("    beside: {}", row.baseline);
            row.notes.iter().for_each(|note| println!("    {note}"));
        }
    }
}
