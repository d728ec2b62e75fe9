//! One seed from its beginning to its end.

use alloc::string::String;
use alloc::vec::Vec;

use lockmaster_core::{Config, HeapMemory, Limits, Storage};

use crate::cluster::Cluster;
use crate::options::Options;
use crate::report::{Failure, Report, Violation, ensure};

/// Runs a seed on heap memory.
///
/// # Errors
/// [`Failure`] names the rule that did not hold.
///
/// # Panics
/// If the core finds its tables in disorder.
pub fn run(seed: u64, options: &Options) -> Result<Report, Failure> {
    run_on(seed, options, |config, limits| HeapMemory::new(limits, config))
}

/// Runs a seed on memory that `make` provides, the same for equal arguments.
///
/// # Errors
/// [`Failure`] names the rule that did not hold.
///
/// # Panics
/// If the core finds its tables in disorder, or the memory does not fit the configuration.
pub fn run_on<S: Storage>(
    seed: u64,
    options: &Options,
    mut make: impl FnMut(&Config, &Limits) -> S,
) -> Result<Report, Failure> {
    let silent = Options { lines: 0, ..options.clone() };
    let first = if options.echo.is_some() { options } else { &silent };
    match run_once(seed, first, &mut make) {
        Ok(report) => Ok(report),
        Err(failure) if options.lines == 0 || !failure.trace.is_empty() => Err(failure),
        // The same again, with the lines that nobody wanted to see before.
        Err(_) => run_once(seed, &Options { watch: None, ..options.clone() }, &mut make),
    }
}

fn run_once<S: Storage>(
    seed: u64,
    options: &Options,
    make: &mut impl FnMut(&Config, &Limits) -> S,
) -> Result<Report, Failure> {
    let mut cluster = Cluster::new(seed, options, make);
    match run_phases(&mut cluster) {
        Ok(()) => Ok(cluster.report()),
        Err(Violation { rule, what }) => {
            let trace: Vec<String> = cluster.trace().last_lines();
            let step = cluster.report().steps;
            Err(Failure { seed, step, now: cluster.now(), rule, what, trace })
        }
    }
}

fn run_phases<S: Storage>(cluster: &mut Cluster<S>) -> Result<(), Violation> {
    for _ in 0..cluster.plan().steps {
        cluster.step()?;
    }
    cluster.keep_still()?;
    cluster.heal()?;
    cluster.sweep()?;
    let report = cluster.report();
    // Where members change all of them may be gone at once for the whole run.
    let may_be_idle = cluster.plan().turnover.is_some();
    ensure!(report.grants > 0 || may_be_idle, Exercise, "nothing was granted in {} steps", report.steps);
    Ok(())
}
