//! Figures of Lockmaster, each beside its baseline in the same run: `cargo run --release -p lockmaster-benches`.
//!
//! An argument chooses the lines whose text contains it.

mod compare;
mod echo;
mod process;
mod remote;
mod retained;
mod table;
mod transfer;

use std::os::unix::process::CommandExt;
use std::process::Command;

use compare::Row;

/// A line's name and what measures it; some measure several at once.
type Line = (&'static str, fn() -> Vec<Row>);

const LINES: &[Line] = &[
    ("table", table::run),
    ("retained", retained::run),
    ("remote-one", remote::one_task),
    ("remote-many", remote::many_tasks),
    ("transfer-alone", transfer::alone),
    ("transfer-load", transfer::under_load),
];

/// Begins anew with the heap on huge pages, which large tables want; for both sides of each line.
fn use_huge_pages() {
    const VARIABLE: &str = "GLIBC_TUNABLES";
    if std::env::var_os(VARIABLE).is_none() {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        let error = command.args(std::env::args_os().skip(1)).env(VARIABLE, "glibc.malloc.hugetlb=1").exec();
        panic!("this program can be started: {error}");
    }
}

fn main() {
    use_huge_pages();
    let choice = std::env::args().nth(1).unwrap_or_default();
    match choice.as_str() {
        "peer" => return remote::serve(),
        transfer::ROLE => return transfer::serve(),
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
