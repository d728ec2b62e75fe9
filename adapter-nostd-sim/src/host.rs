//! What the commands do.

mod args;
mod failure;
mod page;
mod progress;
mod table;
mod watchdog;

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use lockmaster_sim::Options;
use lockmaster_sim::seeds::{Failed, Sum, examine, examine_while};

pub(crate) use args::Args;
use args::{Command, RunArgs, SoakArgs};
use progress::Progress;
use watchdog::Watchdog;

/// Runs a command; says how it ended.
pub(crate) fn run(args: &Args) -> ExitCode {
    // Whoever looks at one seed wants to see where the core stopped.
    if !matches!(&args.command, Command::Run(args) if args.trace) {
        be_quiet();
    }
    let is_well = match &args.command {
        Command::Run(args) if args.seed.is_some() => run_one(args),
        Command::Run(args) if args.hashes => run_hashes(args),
        Command::Run(args) => run_many(args),
        Command::Soak(args) => soak(args),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A panic of the core is what is looked for: it is caught, and told with its seed. Seeds never run on the first
/// thread, whose own panics stay loud.
fn be_quiet() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread::current().name() == Some("main") {
            loud(panic);
        }
    }));
}

/// Does something on a thread on which panics are quiet.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().expect("a panic of the core is caught"))
}

// ---- one seed ----

fn run_one(args: &RunArgs) -> bool {
    let seed = args.seed.unwrap_or_default();
    let echo = args.trace.then_some((|line| println!("{line}")) as fn(&str));
    let options = Options { echo, ..args.shape.options() };
    let begin = Instant::now();
    let result = match &args.trace_html {
        None => Ok(aside(|| examine(seed, &options))),
        Some(path) => aside(|| page::write(path, seed, &options)).map_err(|error| (path, error)),
    };
    let result = match result {
        Ok(result) => result,
        Err((path, error)) => {
            eprintln!("{}: {error}", path.display());
            return false;
        }
    };
    match result {
        Ok(report) => {
            let sum = Sum { seeds: 1, report, hashes: [report.trace].into(), ..Sum::default() };
            print!("{}", table::show(&sum, begin.elapsed()));
            true
        }
        // Every line of this very run was printed.
        Err(failed) if args.trace => {
            println!("{}", failed.story);
            false
        }
        Err(failed) => {
            print!("{}", aside(|| failure::show(&failed, &options)));
            false
        }
    }
}

// ---- many seeds ----

fn run_many(args: &RunArgs) -> bool {
    let options = args.shape.options();
    let seeds = args.seeds.clone();
    let progress = Progress::of_seeds(seeds.end - seeds.start);
    let begin = Instant::now();
    let quiet = Options { lines: 0, ..options.clone() };
    let watchdog = Watchdog::start(seeds.start, &options);
    let sum = examine_while(seeds, args.threads.count(), &quiet, |seed, result| {
        watchdog.ended(seed);
        progress.step();
        match result {
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    // What is made small below has a patience of its own.
    drop(watchdog);
    progress.end();
    conclude(&sum, begin.elapsed(), &options)
}

/// Prints the table, and what failed. Returns whether nothing did.
fn conclude(sum: &Sum, took: Duration, options: &Options) -> bool {
    print!("{}", table::show(sum, took));
    for (count, failed) in sum.failures.values() {
        println!("\n{count} of {} seeds failed by {}, first seed {}", sum.seeds, failed.kind(), failed.seed);
        print!("{}", aside(|| failure::show(failed, options)));
    }
    let missed = table::missed(&sum.report, options);
    for kind in &missed {
        println!("\n{} was on in many seeds and never happened: nothing of it was tried", kind.name());
    }
    sum.failures.is_empty() && missed.is_empty()
}

/// Prints each seed with the hash of its trace, in order, and nothing else.
fn run_hashes(args: &RunArgs) -> bool {
    let quiet = Options { lines: 0, ..args.shape.options() };
    let lines: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let sum = examine_while(args.seeds.clone(), args.threads.count(), &quiet, |seed, result| {
        let line = result.as_ref().map_or_else(Failed::kind, |report| format!("{:016x}", report.trace));
        lines.lock().expect("no holder panics").insert(seed, line);
        ControlFlow::Continue(())
    });
    for (seed, line) in lines.into_inner().expect("no holder panics") {
        println!("{seed} {line}");
    }
    sum.failures.is_empty()
}

fn soak(args: &SoakArgs) -> bool {
    let options = args.shape.options();
    let quiet = Options { lines: 0, ..options.clone() };
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let progress = Progress::of_time(time);
    let watchdog = Watchdog::start(args.from, &options);
    let begin = Instant::now();
    let sum = examine_while(args.from..u64::MAX, args.threads.count(), &quiet, |seed, result| {
        watchdog.ended(seed);
        progress.soak(begin.elapsed(), result.is_err());
        if begin.elapsed() < time { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    drop(watchdog);
    progress.end();
    println!("seeds {} to {}", args.from, args.from + sum.seeds - 1);
    conclude(&sum, begin.elapsed(), &options)
}
