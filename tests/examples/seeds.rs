//! Runs seeds of the simulator: `seeds FROM TO`, or `seeds SEED --trace` for every line of one.
//! `seeds FROM TO --count` goes on after a failure and counts them by rule. `--steps N` makes runs longer, `--moving`
//! moves slots all the time in every seed, `--still` in none.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use lockmaster_sim::{Moving, Options};
use lockmaster_tests::seeds::{examine, examine_all};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|argument| argument.parse::<u64>().ok());
    let (Some(from), to) = (number(0), number(1)) else {
        eprintln!("usage: seeds FROM TO [--count] | seeds SEED [--trace]; [--steps N] [--moving | --still]");
        return ExitCode::from(2);
    };
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let echo = has("--trace").then_some((|line| println!("{line}")) as fn(&str));
    let steps = arguments.iter().position(|argument| argument == "--steps").and_then(|at| number(at + 1));
    let steps = steps.and_then(|steps| u32::try_from(steps).ok()).unwrap_or(Options::default().steps);
    let moving = match (has("--moving"), has("--still")) {
        (true, _) => Moving::Often,
        (false, true) => Moving::Never,
        (false, false) => Moving::Drawn,
    };
    let options = Options { echo, steps, moving, ..Options::default() };
    if has("--count") {
        return count(from, to.unwrap_or(from + 1), &options);
    }
    let begin = Instant::now();
    let to = to.unwrap_or(from + 1);
    let result = if to == from + 1 { examine(from, &options) } else { examine_all(from..to, 2, &options) };
    let seconds = begin.elapsed().as_secs_f64();
    match result {
        Ok(report) => {
            for (what, count) in report.all().into_iter().chain(report.moves.all()).chain(report.faults.all())
            {
                println!("{count:>12} {what}");
            }
            println!("{:016x} trace", report.trace);
            println!("{seconds:.1} s, {:.0} seeds/s", (to - from) as f64 / seconds);
            ExitCode::SUCCESS
        }
        Err(failed) => {
            println!("{}", failed.story);
            ExitCode::FAILURE
        }
    }
}

/// Counts failures by rule, each with its first seed.
fn count(from: u64, to: u64, options: &Options) -> ExitCode {
    let options = Options { lines: 0, ..options.clone() };
    let mut kinds: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    for seed in from..to {
        let Err(failed) = examine(seed, &options) else { continue };
        let kind = failed.rule.map_or_else(|| failed.story.clone(), |rule| format!("{rule:?}"));
        let kind = kind.split("panic: ").last().unwrap_or_default().to_owned();
        kinds.entry(kind).or_insert((0, seed, failed.story)).0 += 1;
    }
    for (kind, (count, seed, story)) in &kinds {
        println!("{count:>6} {kind}, first seed {seed}: {story}");
    }
    if kinds.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
