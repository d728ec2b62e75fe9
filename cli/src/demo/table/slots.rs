//! The part of the table that tells what became of slots.

use core::fmt::{Result, Write};

use crate::demo::figures::{SlotTransfers, Survey};
use crate::demo::summary::Summary;
use crate::text::{bytes, columns, count, duration};

/// What was transferred, and who masters what in the end.
pub(super) fn render(text: &mut String, summary: &Summary<'_>) -> Result {
    if summary.has_transfers() {
        render_transfers(text, summary)?;
    }
    render_masters(text, summary)
}

fn render_transfers(text: &mut String, summary: &Summary<'_>) -> Result {
    let header = [
        "slot transfers",
        "done",
        "refused",
        "slots",
        "locks",
        "bytes",
        "p50",
        "max",
        "relayed",
        "renewed",
        "redirected",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(summary.nodes.iter().map(|node| transfers_row(node_name(node.node), &node.transfers)));
    let all = &summary.figures.slots;
    rows.push(transfers_row(ALL.to_owned(), all));
    writeln!(text, "{}", columns(&rows).trim_end_matches('\n'))?;
    for (reason, number) in &all.refusals {
        writeln!(text, "{} refused: {reason}", count(*number))?;
    }
    writeln!(text)
}

fn transfers_row(name: String, transfers: &SlotTransfers) -> [String; 11] {
    let time = |time| if transfers.done == 0 { "-".to_owned() } else { duration(time) };
    [
        name,
        count(transfers.done),
        count(transfers.refused()),
        count(transfers.slots),
        count(transfers.locks),
        bytes(transfers.bytes),
        time(transfers.time.quantile(0.5)),
        time(transfers.time.max()),
        count(transfers.relayed),
        count(transfers.renewed),
        count(transfers.redirected),
    ]
}

fn render_masters(text: &mut String, summary: &Summary<'_>) -> Result {
    let mut rows = vec![["masters in the end", "slots", "resources", "locks"].map(str::to_owned)];
    let mut all = Survey::default();
    for node in &summary.nodes {
        let Some(survey) = &node.survey else { continue };
        rows.push(masters_row(node_name(node.node), survey));
        all.slots += survey.slots;
        all.resources += survey.resources;
        all.locks += survey.locks;
    }
    if rows.len() == 1 {
        return Ok(());
    }
    rows.push(masters_row(ALL.to_owned(), &all));
    writeln!(text, "{}", columns(&rows))
}

fn masters_row(name: String, survey: &Survey) -> [String; 4] {
    [name, count(survey.slots), count(survey.resources), count(survey.locks)]
}

fn node_name(node: u16) -> String {
    format!("node {node}")
}

/// Name of the line that adds up the others.
const ALL: &str = "all nodes";
