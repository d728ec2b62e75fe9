//! Wrong readings of the protocol: each is switched on in turn, and some checker of the simulator must notice.
//!
//! `RUSTFLAGS="--cfg lockmaster_faults" cargo test --release -p lockmaster-tests --test readings -- --nocapture`
//! prints the scoreboard. Without the `cfg` there is nothing to switch, and this binary is empty.
#![cfg(lockmaster_faults)]

use core::fmt::Write as _;
use core::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lockmaster_core::fault::Faults;
use lockmaster_sim::seeds::{Failed, examine};
use lockmaster_sim::{Moving, Options};

/// Seeds within which a wrong reading must be noticed.
const SEEDS: u64 = 20_000;

/// Slots move in every seed: some readings are wrong only then.
fn options(faults: Faults) -> Options {
    Options { faults, lines: 0, moving: Moving::Often, ..Options::default() }
}

/// The first seed at which somebody notices.
fn notice(faults: Faults) -> Option<Failed> {
    let options = options(faults);
    (0..SEEDS).find_map(|seed| examine(seed, &options).err())
}

/// Keeps the many panics of the core's own checks quiet.
fn be_quiet() {
    std::panic::set_hook(Box::new(|_| {}));
}

#[test]
fn every_wrong_reading_is_noticed() {
    be_quiet();
    let next = AtomicU64::new(0);
    let mut rows: Vec<(usize, Option<Failed>)> = thread::scope(|scope| {
        let work = || {
            let mut rows = Vec::new();
            loop {
                let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                let Some((_, faults)) = Faults::ALL.get(at) else { return rows };
                rows.push((at, notice(*faults)));
            }
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    rows.sort_by_key(|(at, _)| *at);

    let mut scoreboard = String::new();
    for (at, failed) in &rows {
        let (what, _) = Faults::ALL[*at];
        match failed {
            Some(Failed { seed, rule: Some(rule), .. }) => {
                writeln!(scoreboard, "{:>6} seeds  {rule:?}: {what}", seed + 1).unwrap();
            }
            Some(Failed { seed, rule: None, what: story, .. }) => {
                writeln!(scoreboard, "{:>6} seeds  the core itself ({story}): {what}", seed + 1).unwrap();
            }
            None => writeln!(scoreboard, "  none of {SEEDS} seeds: {what}").unwrap(),
        }
    }
    println!("{scoreboard}");
    let escaped = rows.iter().filter(|(_, failed)| failed.is_none()).count();
    assert_eq!(escaped, 0, "wrong readings that nobody notices:\n{scoreboard}");
    // With every rule in force the same seeds find nothing.
    let last = rows.iter().filter_map(|(_, failed)| failed.as_ref()).map(|failed| failed.seed).max();
    let options = Options { lines: 60, ..options(Faults::NONE) };
    for seed in 0..=last.unwrap_or(0) {
        if let Err(failed) = examine(seed, &options) {
            panic!("with no rule switched off:\n{}", failed.story);
        }
    }
}
