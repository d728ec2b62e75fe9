//! Which stage notices which bug: rules of the protocol are switched off one at a time, and each stage hunts for that
//! within a bound of its own.
//!
//! Everything is seeded: a cell changes only if something that is run does.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Instant;
use std::{fs, io, thread};

use lockmaster_core::fault::Faults;
use lockmaster_sim::seeds::{examine, examine_all};
use lockmaster_sim::{Moving, Options, run_guided_wrong};
use quickcheck::{Arbitrary, Gen};

use crate::{model, reference};

/// Seeds of the simulator within which a bug must be noticed.
const SEEDS: u64 = 10_000;
/// Seeds of clusters whose members change, the same.
const CHANGING_SEEDS: u64 = 5_000;
/// States of each scenario after which the model has noticed nothing.
const STATES: usize = 50_000;
/// Lists of verbs at each level after which the reference has noticed nothing.
const LISTS: u64 = 2_000;
/// Inputs of the fuzz target `cluster` by lot, after those that are kept.
const INPUTS: usize = 1_000;
/// Most steps that such an input has, of three bytes each.
const STEPS_MAX: usize = 150;
const INPUTS_SEED: u64 = 3;

/// Threads that hunt.
const THREADS: usize = 2;

/// What hunts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Simulator,
    Changing,
    Model,
    Reference,
    Fuzz,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Simulator, Self::Changing, Self::Model, Self::Reference, Self::Fuzz];

    const fn title(self) -> &'static str {
        match self {
            Self::Simulator => "simulator, seeds",
            Self::Changing => "changing, seeds",
            Self::Model => "model, states",
            Self::Reference => "reference, lists",
            Self::Fuzz => "fuzzing, inputs",
        }
    }
}

/// Bugs that the model is not hunted with, since its small clusters have found none of them: they take writes that cross, reads below CW, several chunks with more
/// owners, value blocks in slots that move, or conversions that are denied while they wait.
const BEYOND_MODEL: [Faults; 8] = [
    Faults::WRITE_BY_MODE,
    Faults::STALE_VALUE,
    Faults::CHUNK_TWICE,
    Faults::EMPTY_DROPPED,
    Faults::END_EARLY,
    Faults::REPEAT_LIVE,
    Faults::VALUE_STAYS,
    Faults::VICTIM_QUEUED,
];

/// Rules about views that small clusters show. The others take value blocks, tables that are full, reports in parts,
/// fences or places that are used again; none of them was found within 400 000 states of each scenario.
const OF_VIEWS_WITHIN_MODEL: [Faults; 3] = [Faults::DECIDE_EARLY, Faults::OPEN_EARLY, Faults::REBUILD_HEARS];

/// The rule about views whose breach has not been seen in clusters whose members change: it takes a report in parts, of
/// which one finds no room, and what the last one before it ended with is refused to make room. A script shows it,
/// `a_report_goes_on_where_it_was_although_what_it_said_last_has_ended`.
const BEYOND_CHANGING: [Faults; 1] = [Faults::REPORT_LIVE];

/// Bugs of the queues themselves; the others need frames that cross.
const WITHIN_REFERENCE: [Faults; 2] = [Faults::NO_PASS, Faults::GRANT_UNASKED];

/// Must this stage notice this bug? Fuzzing with inputs by lot owes nothing.
fn is_owed(stage: Stage, faults: Faults) -> bool {
    match stage {
        Stage::Simulator => !faults.is_of_views(),
        Stage::Changing => is_hunted(stage, faults) && faults != Faults::NONE,
        Stage::Model => is_hunted(stage, faults),
        Stage::Reference => WITHIN_REFERENCE.contains(&faults),
        Stage::Fuzz => false,
    }
}

/// Is it tried at all?
fn is_hunted(stage: Stage, faults: Faults) -> bool {
    let is_of_views = faults.is_of_views();
    match stage {
        // With every rule in force both simulators run as many seeds as the others needed.
        Stage::Simulator => !is_of_views,
        Stage::Changing => is_of_views && !BEYOND_CHANGING.contains(&faults),
        Stage::Model if is_of_views => OF_VIEWS_WITHIN_MODEL.contains(&faults),
        Stage::Model => !BEYOND_MODEL.contains(&faults),
        Stage::Reference | Stage::Fuzz => !is_of_views,
    }
}

/// How a bug was noticed.
struct Caught {
    /// Seeds, states, lists or inputs until then.
    after: u64,
    /// What rule was seen to be broken.
    rule: String,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.after.to_string())?;
        if self.rule.is_empty() { Ok(()) } else { write!(f, " {}", self.rule) }
    }
}

// ---- the stages ----

fn hunt(stage: Stage, faults: Faults, inputs: &[Vec<u8>]) -> Option<Caught> {
    match stage {
        Stage::Simulator => hunt_seeds(SEEDS, &options(faults)),
        Stage::Changing => hunt_seeds(CHANGING_SEEDS, &changing(faults)),
        Stage::Model => model::hunt(faults, STATES)
            .map(|caught| Caught { after: caught.states as u64, rule: format!("{:?}", caught.rule) }),
        Stage::Reference => {
            let after = reference::hunt(faults, LISTS)?;
            Some(Caught { after, rule: String::new() })
        }
        Stage::Fuzz => hunt_inputs(faults, inputs),
    }
}

fn hunt_seeds(seeds: u64, options: &Options) -> Option<Caught> {
    (0..seeds).find_map(|seed| {
        let failed = examine(seed, options).err()?;
        let rule = failed.rule.map_or_else(|| "Core".to_owned(), |rule| format!("{rule:?}"));
        Some(Caught { after: seed + 1, rule })
    })
}

fn changing(faults: Faults) -> Options {
    Options { faults, lines: 0, ..Options::changing() }
}

/// Slots move in every seed: some bugs are there only then.
fn options(faults: Faults) -> Options {
    Options { faults, lines: 0, moving: Moving::Often, ..Options::default() }
}

fn hunt_inputs(faults: Faults, inputs: &[Vec<u8>]) -> Option<Caught> {
    (1..).zip(inputs).find_map(|(after, input)| {
        let run = AssertUnwindSafe(|| run_guided_wrong(input, faults));
        let rule = match catch_unwind(run) {
            Ok(Ok(_)) => return None,
            Ok(Err(failure)) => format!("{:?}", failure.rule),
            Err(_) => "Core".to_owned(),
        };
        Some(Caught { after, rule })
    })
}

/// The kept inputs of the target, then others by lot.
fn inputs(corpus: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut kept =
        fs::read_dir(corpus)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    kept.sort_unstable();
    let mut inputs = kept.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
    let mut random = Gen::from_size_and_seed(STEPS_MAX, INPUTS_SEED);
    inputs.extend((0..INPUTS).map(|_| {
        let steps = usize::arbitrary(&mut random) % STEPS_MAX;
        (0..3 * (steps + 1)).map(|_| u8::arbitrary(&mut random)).collect()
    }));
    Ok(inputs)
}

// ---- the board ----

/// One bug, or none, and what the stages made of it.
struct Row {
    what: &'static str,
    faults: Faults,
    cells: [Option<Caught>; Stage::ALL.len()],
}

/// Hunts every bug with every stage and prints the board. Returns whether each was noticed by whom it had to be, and
/// nothing was noticed with every rule in force.
///
/// # Errors
/// The kept inputs of the fuzz target `cluster` cannot be read.
///
/// # Panics
/// If the hunt itself fails.
pub fn run(corpus: &Path) -> io::Result<bool> {
    let begin = Instant::now();
    let inputs = inputs(corpus)?;
    let kept = inputs.len() - INPUTS;
    // Nothing that the core's own checks say is to be printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let rows = hunt_all(&inputs);
    let last = |stage: Stage| {
        let caught = rows.iter().filter_map(|row| row.cells[stage as usize].as_ref());
        caught.map(|caught| caught.after).max().unwrap_or(1)
    };
    let (still, changed) = (last(Stage::Simulator), last(Stage::Changing));
    let sound = examine_all(0..still, THREADS, &Options { lines: 60, ..options(Faults::NONE) })
        .and_then(|_| examine_all(0..changed, THREADS, &Options { lines: 60, ..changing(Faults::NONE) }));
    std::panic::set_hook(hook);

    print_all(&rows);
    println!();
    println!(
        "Bounds: {SEEDS} and {CHANGING_SEEDS} seeds; {STATES} states of each scenario; {LISTS} lists at each level; {kept} kept inputs, {INPUTS} by lot."
    );
    println!("–: not noticed within that; ·: not tried.");
    println!(
        "With every rule in force the first {still} and {changed} seeds, and the others within their bounds, must find nothing."
    );
    println!("{:.0} s on {THREADS} threads", begin.elapsed().as_secs_f64());
    let mut is_sound = true;
    if let Err(failed) = sound {
        println!("with every rule in force:\n{}", failed.story);
        is_sound = false;
    }
    for complaint in rows.iter().flat_map(complaints) {
        println!("{complaint}");
        is_sound = false;
    }
    Ok(is_sound)
}

/// Every cell of the board, by some threads.
fn hunt_all(inputs: &[Vec<u8>]) -> Vec<Row> {
    let bugs = || Faults::ALL.into_iter().chain([("every rule is in force", Faults::NONE)]);
    // Those that take longest are begun first.
    let stages = [Stage::Model, Stage::Changing, Stage::Simulator, Stage::Fuzz, Stage::Reference];
    let jobs: Vec<(usize, Stage, Faults)> = stages
        .into_iter()
        .flat_map(|stage| bugs().enumerate().map(move |(at, (_, faults))| (at, stage, faults)))
        // Its seeds are run at the end, as many as were needed for the others.
        .filter(|(_, stage, faults)| !(*stage == Stage::Simulator && *faults == Faults::NONE))
        .filter(|(_, stage, faults)| is_hunted(*stage, *faults))
        .collect();
    let mut rows: Vec<Row> = bugs()
        .map(|(what, faults)| Row { what, faults, cells: [const { None }; Stage::ALL.len()] })
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((at, stage, faults)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begin = Instant::now();
            let caught = hunt(*stage, *faults, inputs);
            let (shown, seconds) = (shown(&caught), begin.elapsed().as_secs_f64());
            println!(
                "{}: {}: {shown} ({seconds:.1} s)",
                stage.title(),
                Faults::ALL.get(*at).map_or("no bug", |(what, _)| *what)
            );
            found.push((*at, *stage, caught));
        }
        found
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for (at, stage, caught) in worker.join().expect("a panic of the core is caught") {
                rows[at].cells[stage as usize] = caught;
            }
        }
    });
    rows
}

fn complaints(row: &Row) -> impl Iterator<Item = String> {
    let is_wrong = |stage: Stage| {
        let is_caught = row.cells[stage as usize].is_some();
        if row.faults == Faults::NONE { is_caught } else { !is_caught && is_owed(stage, row.faults) }
    };
    let verdict = if row.faults == Faults::NONE { "but something was noticed" } else { "and nobody notices" };
    let what = row.what;
    Stage::ALL
        .into_iter()
        .filter(move |stage| is_wrong(*stage))
        .map(move |stage| format!("{}: {what}, {verdict}", stage.title()))
}

fn shown(caught: &Option<Caught>) -> String {
    caught.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string)
}

fn print_all(rows: &[Row]) {
    let mut lines = vec![
        core::iter::once("bug".to_owned()).chain(Stage::ALL.map(|stage| stage.title().to_owned())).collect(),
    ];
    lines.extend(rows.iter().map(|row| -> Vec<String> {
        let cell = |stage: Stage| {
            let is_hunted = is_hunted(stage, row.faults);
            if is_hunted { shown(&row.cells[stage as usize]) } else { "·".to_owned() }
        };
        core::iter::once(row.what.to_owned()).chain(Stage::ALL.map(cell)).collect()
    }));
    let width = |column: usize| {
        lines.iter().map(|line: &Vec<String>| line[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..=Stage::ALL.len()).map(width).collect();
    for (at, line) in lines.iter().enumerate() {
        let cells =
            line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |", width = *width));
        println!("|{}", cells.collect::<String>());
        if at == 0 {
            println!(
                "|{}",
                widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect::<String>()
            );
        }
    }
}
