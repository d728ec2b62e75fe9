//! What many seeds did, as a table.

use core::fmt::Write as _;
use core::time::Duration;

use lockmaster_sim::seeds::Sum;
use lockmaster_sim::{ChangeCounts, FaultKind, MachineCounts, Options, Report};

/// Runs with a kind on, from which on it must have happened. Each kind happens in more than half of such runs.
const RUNS_MIN: u64 = 50;

/// Kinds of faults that were on in many runs and never happened; shorter runs than usual prove nothing.
pub(super) fn missed(report: &Report, options: &Options) -> Vec<FaultKind> {
    if options.steps < Options::default().steps {
        return Vec::new();
    }
    let is_missed =
        |(_, count): &(FaultKind, lockmaster_sim::FaultCount)| count.runs >= RUNS_MIN && count.times == 0;
    report.faults.all().filter(is_missed).map(|(kind, _)| kind).collect()
}

/// The table.
pub(super) fn show(sum: &Sum, took: Duration) -> String {
    let report = &sum.report;
    let hours = report.span.as_secs_f64() / 3600.0;
    let mut rows = vec![
        Row::new("seeds", grouped(sum.seeds)),
        Row::new("seeds failed", grouped(sum.failures.values().map(|(count, _)| count).sum())),
        Row::new("different traces", grouped(sum.hashes.len() as u64)),
        Row::new("simulated hours", format!("{hours:.2}")),
        Row::new("longest time to heal", format!("{:.3} s", report.healing.as_secs_f64())),
        Row::new("steps a second", per_second(report.steps, took)),
        Row::new("seeds a second", per_second(sum.seeds, took)),
    ];
    rows.push(Row::heading("what owners did"));
    rows.extend(report.all().into_iter().map(|(what, count)| Row::new(what, grouped(count))));
    if report.lent > 0 {
        rows.push(Row::new("lent", grouped(report.lent)));
    }
    rows.push(Row::heading("slots that moved"));
    rows.extend(report.moves.all().into_iter().map(|(what, count)| Row::new(what, grouped(count))));
    if report.changes != ChangeCounts::default() {
        rows.push(Row::heading("members that changed"));
        rows.extend(report.changes.all().map(|(what, count)| Row::new(what, grouped(count))));
    }
    if report.machines != MachineCounts::default() {
        rows.push(Row::heading("machines beside each other"));
        rows.extend(report.machines.all().into_iter().map(|(what, count)| Row::new(what, grouped(count))));
    }
    rows.push(Row::heading("what went wrong"));
    rows.extend(report.faults.all().map(|(kind, count)| Row {
        what: format!("{}: {}", kind.name(), kind.counted()),
        count: grouped(count.times),
        note: format!("in {} of {} seeds", grouped(count.runs_hit), grouped(count.runs)),
    }));
    rows.push(Row::new("trace", format!("{:016x}", report.trace)));
    lay_out(&rows)
}

struct Row {
    what: String,
    count: String,
    note: String,
}

impl Row {
    fn new(what: &str, count: String) -> Self {
        Self { what: what.to_owned(), count, note: String::new() }
    }

    fn heading(what: &str) -> Self {
        Self { what: format!("-- {what}"), count: String::new(), note: String::new() }
    }
}

fn lay_out(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (whats, counts) = (width(|row| &row.what), width(|row| &row.count));
    let mut text = String::new();
    for Row { what, count, note } in rows {
        let line = format!("{what:<whats$}  {count:>counts$}  {note}");
        writeln!(text, "{}", line.trim_end()).expect("a string grows");
    }
    text
}

fn per_second(count: u64, took: Duration) -> String {
    let rate = u128::from(count) * 1_000_000_000 / took.as_nanos().max(1);
    grouped(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
