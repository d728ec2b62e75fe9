//! Runs of the simulator over many seeds, on the threads of the host.

use core::cell::RefCell;
use core::ops::Range;
use core::panic::AssertUnwindSafe;
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::thread;

use lockmaster_sim::{Options, Report, Rule, run};

/// Lines of the trace that are shown of a run in which the core itself stopped.
const LINES: usize = 60;

/// A seed that failed.
#[derive(Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The checker that noticed; absent if the core found its own tables in disorder.
    pub rule: Option<Rule>,
    /// What was seen, after the last lines of the trace.
    pub story: String,
}

thread_local! {
    static LAST_LINES: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

fn remember(line: &str) {
    LAST_LINES.with_borrow_mut(|lines| {
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    });
}

/// Runs one seed.
///
/// # Errors
/// [`Failed`] if a checker or the core itself complained.
pub fn examine(seed: u64, options: &Options) -> Result<Report, Failed> {
    match catch_unwind(AssertUnwindSafe(|| run(seed, options))) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(failure)) => Err(Failed { seed, rule: Some(failure.rule), story: failure.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Failed {
                seed,
                rule: None,
                story: format!("{}seed {seed}: panic: {text}", retrace(seed, options)),
            })
        }
    }
}

/// The last lines of a run in which the core panics.
fn retrace(seed: u64, options: &Options) -> String {
    if options.lines == 0 {
        return String::new();
    }
    LAST_LINES.with_borrow_mut(VecDeque::clear);
    let echoing = Options { echo: Some(remember), ..options.clone() };
    // It panics again, at the same place.
    let again = catch_unwind(AssertUnwindSafe(|| run(seed, &echoing)));
    assert!(again.is_err(), "a seed repeats exactly");
    LAST_LINES.with_borrow(|lines| lines.iter().map(|line| format!("    {line}\n")).collect())
}

/// Runs many seeds on some threads and adds up what they did; the earliest failure wins.
///
/// # Errors
/// The failed seed that is lowest among those that were run.
pub fn examine_all(seeds: Range<u64>, threads: u64, options: &Options) -> Result<Report, Failed> {
    let results: Vec<Result<Report, Failed>> = thread::scope(|scope| {
        let examine_some = |first: u64| {
            let seeds =
                (seeds.start + first..seeds.end).step_by(usize::try_from(threads).expect("threads are few"));
            let mut total = Report::default();
            for seed in seeds {
                total += examine(seed, options)?;
            }
            Ok(total)
        };
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || examine_some(first))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a panic of the core is caught")).collect()
    });
    let mut total = Report::default();
    let mut worst: Option<Failed> = None;
    for result in results {
        match result {
            Ok(report) => total += report,
            Err(failed) if worst.as_ref().is_none_or(|worst| failed.seed < worst.seed) => {
                worst = Some(failed)
            }
            Err(_) => {}
        }
    }
    match worst {
        Some(failed) => Err(failed),
        None => Ok(total),
    }
}
