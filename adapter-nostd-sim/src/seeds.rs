//! Runs of many seeds on the threads of the host. This is the one part of the library that needs `std`.

mod shrink;

use core::cell::RefCell;
use core::ops::{ControlFlow, Range};
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::catch_unwind;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, thread};

use crate::options::Options;
use crate::report::{Report, Rule};
use crate::run::run;
pub use shrink::{Shrunk, shrink};

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// Steps until it was seen, if a checker saw it.
    pub steps: Option<u64>,
    /// The checker that noticed; absent if the core found its own tables in disorder.
    pub rule: Option<Rule>,
    /// What was seen.
    pub what: String,
    /// The same with its place, after the last lines of the trace.
    pub story: String,
}

impl Failed {
    /// What failures of one cause have in common: the rule, or what the core said.
    #[must_use]
    pub fn kind(&self) -> String {
        // What the core says of its tables may begin with the name of a resource.
        let what = self.what.rsplit_once("\": ").map_or(&*self.what, |(_, what)| what);
        self.rule.map_or_else(|| what.to_string(), |rule| format!("{rule:?}"))
    }
}

/// What many seeds did.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Seeds that were run.
    pub seeds: u64,
    /// What those did that did not fail.
    pub report: Report,
    /// Their traces.
    pub hashes: BTreeSet<u64>,
    /// The others by kind: how many, and the lowest of them.
    pub failures: BTreeMap<String, (u64, Failed)>,
}

impl Sum {
    fn add(&mut self, result: Result<Report, Failed>) {
        self.seeds += 1;
        match result {
            Ok(report) => {
                self.report += report;
                self.hashes.insert(report.trace);
            }
            Err(failed) => self.fail(1, failed),
        }
    }

    fn fail(&mut self, count: u64, failed: Failed) {
        let (known, first) = self.failures.entry(failed.kind()).or_insert_with(|| (0, failed.clone()));
        *known += count;
        if failed.seed < first.seed {
            *first = failed;
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.report += other.report;
        self.hashes.extend(other.hashes);
        for (count, failed) in other.failures.into_values() {
            self.fail(count, failed);
        }
    }

    /// The failed seed that is lowest.
    #[must_use]
    pub fn first_failure(&self) -> Option<&Failed> {
        self.failures.values().map(|(_, failed)| failed).min_by_key(|failed| failed.seed)
    }
}

// ---- one seed ----

/// Lines of the trace that are shown of a run in which the core itself stopped.
const LINES: usize = 60;

std::thread_local! {
    static LAST_LINES: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

fn remember(line: &str) {
    LAST_LINES.with_borrow_mut(|lines| {
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_string());
    });
}

/// Runs one seed.
///
/// # Errors
/// [`Failed`] if a checker or the core itself complained.
pub fn examine(seed: u64, options: &Options) -> Result<Report, Failed> {
    match catch_unwind(AssertUnwindSafe(|| run(seed, options))) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(failure)) => Err(Failed {
            seed,
            steps: Some(failure.step),
            rule: Some(failure.rule),
            story: failure.to_string(),
            what: failure.what,
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let story = format!("{}seed {seed}: panic: {text}", retrace(seed, options));
            Err(Failed { seed, steps: None, rule: None, what: text.to_string(), story })
        }
    }
}

/// The last lines of a run in which the core panics.
fn retrace(seed: u64, options: &Options) -> String {
    if options.lines == 0 || options.echo.is_some() {
        return String::new();
    }
    LAST_LINES.with_borrow_mut(VecDeque::clear);
    let echoing = Options { echo: Some(remember), watch: None, ..options.clone() };
    // It panics again, at the same place.
    let again = catch_unwind(AssertUnwindSafe(|| run(seed, &echoing)));
    assert!(again.is_err(), "a seed repeats exactly");
    LAST_LINES.with_borrow(|lines| lines.iter().map(|line| format!("    {line}\n")).collect())
}

// ---- many seeds ----

/// Runs seeds in order on some threads. After each of them `look` is called on its thread and says whether more are
/// to be begun.
pub fn examine_while(
    seeds: Range<u64>,
    threads: usize,
    options: &Options,
    look: impl Fn(u64, &Result<Report, Failed>) -> ControlFlow<()> + Sync,
) -> Sum {
    let next = AtomicU64::new(seeds.start);
    let is_over = AtomicBool::new(false);
    let work = || {
        let mut sum = Sum::default();
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let result = examine(seed, options);
            if look(seed, &result).is_break() {
                is_over.store(true, Ordering::Relaxed);
            }
            sum.add(result);
        }
        sum
    };
    let mut total = Sum::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            total.merge(worker.join().expect("a panic of the core is caught"));
        }
    });
    total
}

/// Runs many seeds on some threads and adds up what they did, until one fails.
///
/// # Errors
/// The lowest of the seeds that fail: lower ones were begun before it, and each is run to its end.
pub fn examine_all(seeds: Range<u64>, threads: usize, options: &Options) -> Result<Report, Failed> {
    let sum = examine_while(seeds, threads, options, |_, result| match result {
        Ok(_) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    });
    match sum.first_failure() {
        Some(failed) => Err(failed.clone()),
        None => Ok(sum.report),
    }
}
