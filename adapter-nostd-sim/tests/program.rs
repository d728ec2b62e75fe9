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
    for shape in ["", "--moving --nodes 3", "--still --steps 900", "--changing", "--machines 2"] {
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
        "run --nodes 65",
        "run --machines 0",
        "run --machines 17",
        "run --machines 3-2",
        "run --without rain",
    ] {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {output:?}");
    }
}

/// With a rule of the protocol switched off: what fails is made small, and what is printed repeats it.
#[cfg(lockmaster_faults)]
#[test]
fn a_failure_is_made_small_and_its_command_repeats_it() {
    // No pass after a release, floors that stay, and an end that comes too early.
    for wrong in [7, 10, 14] {
        let found = program(&format!("run --seeds 0..20000 --moving --wrong {wrong}"));
        assert_eq!(found.status.code(), Some(1), "reading {wrong} is noticed: {found:?}");
        let command = |label: &str| {
            let line = lines(&found).into_iter().find(|line| line.starts_with(label));
            line.and_then(|line| line.split(" -- ").nth(1)).expect("a command is printed").to_owned()
        };
        let as_found = program(&command("as it was found"));
        let command = command("repeat it small");
        let small = program(&command);
        assert_eq!((as_found.status.code(), small.status.code()), (Some(1), Some(1)), "{small:?}");
        let rule = |output: &Output| {
            let last = lines(output).last().copied().unwrap_or_default().to_owned();
            last.split(" us: ").nth(1).and_then(|what| what.split(':').next()).map(str::to_owned)
        };
        assert_eq!(rule(&as_found), rule(&small), "it fails by the same rule");
        assert!(rule(&small).is_some(), "{small:?}");
        println!("reading {wrong}, {:?}: {command}", rule(&small));
        let steps = command.split_once("--steps ").map(|(_, rest)| rest.split(' ').next().unwrap_or(rest));
        let steps = steps.and_then(|steps| steps.parse::<u32>().ok());
        assert!(steps.is_some_and(|steps| steps < 400), "{command}");
        assert!(command.contains("--without ") && command.contains("--nodes "), "{command}");
    }
}
