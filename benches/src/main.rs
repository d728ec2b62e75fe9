//! Figures of Lockmaster, each beside its baseline in the same run: `cargo run --release -p lockmaster-benches`.
//!
//! An argument chooses the lines whose text contains it.

mod compare;
mod echo;
mod remote;
mod retained;
mod table;

use compare::Row;

/// A line's name and what measures it.
type Line = (&'static str, fn() -> Row);

const LINES: &[Line] = &[
    ("table", table::run),
    ("retained", retained::run),
    ("remote-one", remote::one_task),
    ("remote-many", remote::many_tasks),
];

fn main() {
    let choice = std::env::args().nth(1).unwrap_or_default();
    if choice == "peer" {
        return remote::serve();
    }
    println!("{:<64} {:>10} {:>10} {:>7} {:>5}", "what", "ours ns", "base ns", "ratio", "aim");
    for (_, run) in LINES.iter().filter(|(name, _)| name.contains(&choice)) {
        let row = run();
        let ratio = row.ratio();
        println!("{:<64} {:>10.1} {:>10.1} {:>7.2} {:>5.1}", row.what, row.ours, row.theirs, ratio, row.aim);
        println!("    beside: {}", row.baseline);
    }
}
