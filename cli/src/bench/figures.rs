//! What was measured: as a table for people, and as rows for programs.

use core::time::Duration;

use serde::Serialize;

use crate::args::{BenchArgs, Workload};
use crate::bench::Run;
use crate::bench::meter::Seen;
use crate::bench::timeline::Timeline;
use crate::text::{columns, count, counted, duration};

/// Titles of the table.
pub(super) const TITLES: [&str; 8] = ["", "operations", "a second", "p50", "p90", "p99", "p99.9", "max"];
/// The shares of operations whose times the table has.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// What one workload came to.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) workload: Workload,
    pub(super) seen: Seen,
    pub(super) elapsed: Duration,
    /// Tasks that did not end in time and were abandoned.
    pub(super) unfinished: u64,
    pub(super) timeline: Timeline,
}

/// The same as a row.
#[derive(Serialize)]
struct Row {
    row: &'static str,
    workload: &'static str,
    operations: u64,
    elapsed_ms: u64,
    per_second: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    refused: u64,
    unfinished: u64,
    /// Views that came meanwhile, and times in which slots were moving.
    views: usize,
    moves: usize,
}

impl Figures {
    fn per_second(&self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        let operations = u128::from(self.seen.latencies.count());
        u64::try_from(operations * 1_000_000 / micros).unwrap_or(u64::MAX)
    }

    /// The line of the table.
    pub(super) fn cells(&self) -> [String; 8] {
        let latencies = &self.seen.latencies;
        let time = |time: Duration| if latencies.count() == 0 { "-".to_owned() } else { duration(time) };
        let [p50, p90, p99, p999] = QUANTILES.map(|share| time(latencies.quantile(share)));
        [
            self.workload.name().to_owned(),
            count(latencies.count()),
            count(self.per_second()),
            p50,
            p90,
            p99,
            p999,
            time(latencies.max()),
        ]
    }

    /// What went wrong, and what else went on, a line each.
    pub(super) fn notes(&self) -> Vec<String> {
        let name = self.workload.name();
        let mut notes = Vec::new();
        if let Some(reason) = &self.seen.reason {
            let refused = counted(self.seen.refused, "lock");
            notes.push(format!("{name}: {refused} REFUSED, the first one because {reason}"));
        }
        if self.unfinished > 0 {
            let tasks = counted(self.unfinished, "task");
            notes.push(format!("{name}: {tasks} did not end in time and had to be abandoned"));
        }
        let (views, moves) = (self.timeline.views().len() as u64, self.timeline.moves().len() as u64);
        if views + moves > 0 {
            let (views, moves) = (counted(views, "view"), counted(moves, "time"));
            notes.push(format!("{name}: {views} came meanwhile, and slots were moving {moves}"));
        }
        notes
    }

    fn row(&self) -> Row {
        let latencies = &self.seen.latencies;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let [p50_ns, p90_ns, p99_ns, p999_ns] = QUANTILES.map(|share| nanos(latencies.quantile(share)));
        Row {
            row: "bench",
            workload: self.workload.name(),
            operations: latencies.count(),
            elapsed_ms: u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            per_second: self.per_second(),
            p50_ns,
            p90_ns,
            p99_ns,
            p999_ns,
            max_ns: nanos(latencies.max()),
            refused: self.seen.refused,
            unfinished: self.unfinished,
            views: self.timeline.views().len(),
            moves: self.timeline.moves().len(),
        }
    }
}

/// Rows, one a line.
pub(super) fn rows(figures: &[Figures]) -> String {
    let line = |figures: &Figures| {
        let mut line = serde_json::to_string(&figures.row()).expect("every row has its JSON");
        line.push('\n');
        line
    };
    figures.iter().map(line).collect()
}

/// What was run, as the table and the page say it.
pub(super) fn described(args: &BenchArgs, run: &Run) -> String {
    format!(
        "{} with {} each in cluster {}, {} with those of the bench, {}, {}, mix {}, seed {}{}",
        counted(args.nodes.into(), "node"),
        counted(args.tasks.into(), "task"),
        run.facts.cluster,
        counted(run.facts.members, "member"),
        counted(args.resources.into(), "resource"),
        match args.operations {
            Some(operations) => format!("{} of each workload", counted(operations, "operation")),
            None => format!("{} s of each workload", args.seconds.as_secs_f64()),
        },
        args.mix,
        args.seed,
        if run.was_interrupted { ", then interrupted" } else { "" },
    )
}

/// The table.
pub(super) fn table(args: &BenchArgs, run: &Run) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(run.figures.iter().map(Figures::cells));
    let notes = run.figures.iter().flat_map(Figures::notes).map(|note| note + "\n");
    format!("ran {}\n\n{}{}", described(args, run), columns(&lines), notes.collect::<String>())
}
