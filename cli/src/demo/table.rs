//! The table at the end of a demonstration.

mod events;
mod slots;

use core::fmt::{Result, Write};
use core::time::Duration;

use lockmaster_tokio::Path;

use crate::args::Retain;
use crate::demo::figures::{COURSES, Latencies, PATHS};
use crate::demo::summary::Summary;
use crate::text::{count, counted, duration};

/// The table, with the verdict as its last line.
pub(super) fn render(summary: &Summary<'_>) -> String {
    let mut text = String::new();
    render_run(&mut text, summary)
        .and_then(|()| render_latencies(&mut text, summary))
        .and_then(|()| slots::render(&mut text, summary))
        .and_then(|()| events::render(&mut text, summary))
        .and_then(|()| render_findings(&mut text, summary))
        .expect("a string takes everything");
    text
}

fn render_run(text: &mut String, summary: &Summary<'_>) -> Result {
    let (args, figures) = (summary.args, &summary.figures);
    writeln!(
        text,
        "ran          {} with {} each on {}, for {:.1} s{}",
        counted(args.nodes.into(), "node"),
        counted(args.tasks.into(), "task"),
        counted(args.pages.into(), "page"),
        summary.elapsed.as_secs_f64(),
        if summary.was_interrupted { ", then interrupted" } else { "" },
    )?;
    let retention = match args.retention {
        Retain::Never => "never".to_owned(),
        Retain::Idle(time) => format!("idle:{}", time.as_millis()),
        Retain::UntilDemanded => "demanded".to_owned(),
    };
    let transfers = if summary.has_transfers() {
        format!("slot transfers every {}", interval(args.transfer_interval))
    } else {
        "no slot transfers".to_owned()
    };
    writeln!(
        text,
        "with         skew {}, read share {}, retention {retention}, grants after demand {}, {transfers}, seed {}{}{}",
        args.skew,
        args.read_share,
        args.grants_after_demand,
        args.seed,
        if args.machines > 1 { format!(", {} machines a node", args.machines) } else { String::new() },
        if args.without_locks { ", without locks" } else { "" },
    )?;
    let operations = figures.operations();
    writeln!(
        text,
        "operations   {}, {} a second: {}, {}",
        count(operations),
        count(rate(operations, summary.elapsed)),
        counted(figures.transfers, "transfer"),
        counted(figures.audits, "audit"),
    )?;
    writeln!(
        text,
        "messages     {} an operation, {} in all",
        ratio(figures.messages, operations),
        count(figures.messages)
    )
}

fn render_latencies(text: &mut String, summary: &Summary<'_>) -> Result {
    let all: u64 = summary.figures.acquire.iter().map(Latencies::count).sum();
    writeln!(
        text,
        "\n{:<20}{:>12}{:>9}{:>11}{:>11}{:>11}{:>11}",
        "acquired locks", "count", "share", "p50", "p99", "p99.9", "max"
    )?;
    for (at, (path, name)) in PATHS.iter().enumerate() {
        render_latency(text, name, &summary.figures.acquire[at], all)?;
        // Who retained a lock asks no master, wherever its slot is.
        if summary.has_transfers() && *path != Path::Retained {
            for ((_, course), latencies) in COURSES.iter().zip(&summary.figures.acquire_by_course[at]) {
                render_latency(text, &format!("  {course}"), latencies, all)?;
            }
        }
    }
    writeln!(text)
}

fn render_latency(text: &mut String, name: &str, latencies: &Latencies, all: u64) -> Result {
    write!(text, "{name:<20}{:>12}", count(latencies.count()))?;
    if latencies.count() == 0 {
        return writeln!(text, "{:>9}{:>11}{:>11}{:>11}{:>11}", "-", "-", "-", "-", "-");
    }
    write!(text, "{:>7} %", percent(latencies.count(), all))?;
    for share in [0.5, 0.99, 0.999] {
        write!(text, "{:>11}", duration(latencies.quantile(share)))?;
    }
    writeln!(text, "{:>11}", duration(latencies.max()))
}

fn render_findings(text: &mut String, summary: &Summary<'_>) -> Result {
    let figures = &summary.figures;
    for missing in &summary.missing {
        writeln!(text, "NODE         {missing}; the figures above are without it")?;
    }
    if figures.unfinished > 0 {
        let tasks = counted(figures.unfinished, "task");
        writeln!(text, "TASKS        {tasks} did not end in time and had to be abandoned")?;
    }
    if figures.slots.unfinished > 0 {
        let transfers = counted(figures.slots.unfinished, "slot transfer");
        writeln!(text, "SLOTS        {transfers} did not end in time and had to be abandoned")?;
    }
    if !summary.is_map_agreed() {
        writeln!(text, "MASTERS      NODES DISAGREE who decides about which slots")?;
    }
    if figures.refused > 0 {
        writeln!(text, "LOCKS        {} refused", counted(figures.refused, "lock"))?;
    }
    let (before, after) = (summary.expected_total(), summary.audit.total);
    if summary.is_money_conserved() {
        writeln!(text, "money        conserved: {before} before and after")?;
    } else {
        writeln!(text, "MONEY        NOT CONSERVED: {before} before, {after} after")?;
    }
    match summary.torn() {
        0 => writeln!(text, "pages        none torn")?,
        torn => writeln!(text, "PAGES        TORN: found {}", counted(torn, "time"))?,
    }
    match figures.tokens_back {
        0 => writeln!(text, "tokens       none went back")?,
        back => writeln!(text, "TOKENS       WENT BACK: found {}", counted(back, "time"))?,
    }
    let in_the_end = summary.audit.torn.iter().take(1).map(|suspect| format!("in the end, {suspect}"));
    for note in figures.notes.iter().cloned().chain(in_the_end) {
        writeln!(text, "             {note}")?;
    }
    writeln!(text, "verdict      {}", if summary.is_clean() { "clean" } else { "FAILED" })
}

/// A time as it was asked for: `50 ms`, `2 s`.
fn interval(time: Duration) -> String {
    match time.as_millis() {
        millis if millis.is_multiple_of(1000) => format!("{} s", millis / 1000),
        millis => format!("{millis} ms"),
    }
}

/// So many a second.
fn rate(number: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    u64::try_from(u128::from(number) * 1000 / millis).unwrap_or(u64::MAX)
}

/// A ratio with two decimals.
fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let hundredths = (part * 100 + whole / 2) / whole;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A share in percent with one decimal.
fn percent(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole.max(1)));
    let tenths = (part * 1000 + whole / 2) / whole;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
