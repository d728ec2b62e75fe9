//! The program, run as others run it.

use std::process::{Command, Output};

fn program(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockmaster-sim"));
    command.args(arguments.split_whitespace()).output().expect("the program starts")
}

fn lines(output: &Output) -> Vec<&str> {
    core::str::from_utf8(&output.stdout).expect("it prints text").lines().collect()
}

#[test]
fn two_processes_do_the_same_by_the_same_seeds() {
    for shape in ["", "--moving --nodes 3", "--still --steps 900"] {
        // On one thread and on three: how seeds are shared out must not matter either.
        let one = program(&format!("run --seeds 40..80 --hashes --threads 1 {shape}"));
        let other = program(&format!("run --seeds 40..80 --hashes --threads 3 {shape}"));
        assert!(one.status.success(), "{one:?}");
        assert_eq!(lines(&one).len(), 40, "each seed has a line");
        assert_eq!(lines(&one), lines(&other), "{shape}");
        let mut hashes: Vec<&str> = lines(&one).iter().filter_map(|line| line.split(' ').nth(1)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 40, "another seed is another run");
    }
}

#[test]
fn who_watches_a_run_does_not_change_it() {
    let hash = program("run --seeds 7..8 --hashes");
    let shown = program("run --seed 7 --trace");
    let named = lines(&hash)[0].split(' ').nth(1).expect("a hash follows the seed").to_owned();
    assert!(lines(&shown).iter().any(|line| line.ends_with(&named)), "the trace ends with {named}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for arguments in [
        "run --seeds 5..5",
        "run --trace",
        "run --seed 1 --seeds 0..2",
        "run --nodes 9",
        "run --without rain",
    ] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
    }
}
