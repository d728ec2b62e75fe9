//! What was found in a history, in words.

use core::fmt::Write;
use core::time::Duration;

use lockmaster_tokio::Mode;

use crate::history::check::{Findings, Violation};
use crate::history::merge::{Merge, Seen};
use crate::text::{count, counted, duration};

/// Open locks that are named; all are counted.
const OPEN_SHOWN_MAX: usize = 5;

/// The report on a history, with its verdict as the last line.
pub(super) fn render(findings: &Findings, merge: &Merge) -> String {
    let mut text = String::new();
    render_into(&mut text, findings, merge).expect("a string takes everything");
    text
}

fn render_into(text: &mut String, findings: &Findings, merge: &Merge) -> core::fmt::Result {
    let [granted, released, lost] = findings.entries;
    let (first, last) = findings.span.unwrap_or_default();
    let files = u64::try_from(merge.files().len()).unwrap_or(u64::MAX);
    writeln!(
        text,
        "history    {} with {} over {}",
        counted(files, "file"),
        counted(granted + released + lost, "line"),
        duration(Duration::from_nanos(last - first)),
    )?;
    writeln!(
        text,
        "of         {}, {}",
        counted(findings.owners, "owner"),
        counted(findings.resources, "resource")
    )?;
    write!(text, "granted    {}", count(granted))?;
    for mode in Mode::ALL {
        match findings.grants[mode as usize] {
            0 => {}
            grants => write!(text, "  {mode} {}", count(grants))?,
        }
    }
    writeln!(text, "\nreleased   {}", count(released))?;
    if lost > 0 {
        writeln!(text, "lost       {}", count(lost))?;
    }
    for file in merge.files().iter().filter(|file| file.is_cut_short()) {
        writeln!(
            text,
            "cut short  {}:{}: the last line is not whole and was left out, as its process was killed",
            file.name(),
            file.line()
        )?;
    }
    render_open(text, findings, merge)?;
    render_violations(text, findings, merge)
}

fn render_open(text: &mut String, findings: &Findings, merge: &Merge) -> core::fmt::Result {
    let open = u64::try_from(findings.open.len()).unwrap_or(u64::MAX);
    if open == 0 {
        return Ok(());
    }
    writeln!(text, "open       {} without an end, which is no violation", counted(open, "lock"))?;
    for seen in findings.open.iter().take(OPEN_SHOWN_MAX) {
        writeln!(text, "           {}", describe(seen, merge))?;
    }
    if findings.open.len() > OPEN_SHOWN_MAX {
        writeln!(text, "           …")?;
    }
    if findings.unjudged > 0 {
        let grants = counted(findings.unjudged, "later grant");
        writeln!(text, "unjudged   {grants} beside open locks of a process that was killed")?;
    }
    Ok(())
}

fn render_violations(text: &mut String, findings: &Findings, merge: &Merge) -> core::fmt::Result {
    for (at, violation) in findings.shown.iter().enumerate() {
        let (first, second) = match *violation {
            Violation::Overlap { held, granted } | Violation::GrantedTwice { held, granted } => {
                (Some(held), granted)
            }
            Violation::TokenNotHigher { before, granted } => (Some(before), granted),
            Violation::NotHeld { ended } => (None, ended),
            Violation::EndedOtherwise { held, ended } => (Some(held), ended),
        };
        let resource = &merge.names()[second.entry.resource];
        writeln!(text, "violation {}: {resource}: {}", at + 1, Violation::KINDS[violation.kind()])?;
        for seen in first.iter().chain([&second]) {
            writeln!(text, "           {}", describe(seen, merge))?;
        }
    }
    if findings.is_clean() {
        return writeln!(
            text,
            "verdict    clean: no incompatible locks at once, every release has its grant, every token is higher \
             than those before it"
        );
    }
    let kinds = Violation::KINDS.iter().zip(findings.violations).filter(|(_, violations)| *violations > 0);
    let kinds: Vec<String> =
        kinds.map(|(kind, violations)| format!("{} {kind}", count(violations))).collect();
    writeln!(text, "verdict    FAILED: {}", kinds.join(", "))
}

/// An entry and where it stands.
fn describe(seen: &Seen, merge: &Merge) -> String {
    let entry = seen.entry;
    format!(
        "{}:{}: t {} node {} owner {} {} {} {} token {}",
        merge.file_name(seen.file),
        seen.line,
        entry.t,
        entry.owner.node,
        &merge.names()[entry.owner.name],
        &merge.names()[entry.resource],
        entry.happening,
        entry.mode,
        entry.token
    )
}
