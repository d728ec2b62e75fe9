//! The part of the table that tells what happened to nodes, and what that took.

use core::fmt::{Result, Write};

use crate::demo::disturber::{Event, Kind};
use crate::demo::summary::Summary;
use crate::demo::watch::Disturbance;
use crate::text::{columns, count, duration};

/// Each event: how long locks took whose slots it concerned, how long others did, how many locks were rebuilt.
pub(super) fn render(text: &mut String, summary: &Summary<'_>) -> Result {
    if summary.events.is_empty() {
        return Ok(());
    }
    let header = ["events", "after", "its slots", "p50", "max", "others", "p50", "max", "rebuilt"];
    let mut rows = vec![header.map(str::to_owned)];
    let nothing = Disturbance::default();
    for (number, event) in (1..).zip(&summary.events) {
        rows.push(row(event, summary.figures.disturbances.get(&number).unwrap_or(&nothing)));
    }
    writeln!(text, "{}\n", columns(&rows).trim_end_matches('\n'))
}

fn row(event: &Event, disturbance: &Disturbance) -> [String; 9] {
    let what = match event.kind {
        Kind::Killed => "killed",
        Kind::Joined => "joined",
        Kind::Left => "left",
        Kind::Paused => "paused",
    };
    let Disturbance { concerned, others, rebuilt } = disturbance;
    let time = |known: u64, time| if known == 0 { "-".to_owned() } else { duration(time) };
    [
        format!("node {} {what}", event.node),
        duration(event.at),
        count(concerned.count()),
        time(concerned.count(), concerned.quantile(0.5)),
        time(concerned.count(), concerned.max()),
        count(others.count()),
        time(others.count(), others.quantile(0.5)),
        time(others.count(), others.max()),
        count(*rebuilt),
    ]
}
