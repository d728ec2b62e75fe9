//! One run as one page: it needs nothing but a browser.

mod recording;

use core::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use lockmaster_core::Instant;
use lockmaster_sim::seeds::{Failed, examine};
use lockmaster_sim::{Options, Report};

use recording::{Recording, record, take};

/// The page, with a place for what happened.
const PAGE: &str = include_str!("page/page.html");

/// Where the title goes, and what happened.
const TITLE: &str = "@TITLE@";
const RUN: &str = "@RUN@";

/// Runs a seed and writes what happened to a file.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(path: &Path, seed: u64, options: &Options) -> io::Result<Result<Report, Failed>> {
    let watched = Options { watch: Some(record), ..options.clone() };
    let result = examine(seed, &watched);
    let recording = take();
    fs::write(path, page(seed, &recording, &result))?;
    Ok(result)
}

fn page(seed: u64, recording: &Recording, result: &Result<Report, Failed>) -> String {
    let end = match result {
        Ok(_) => "every rule held".to_owned(),
        Err(failed) => failed.story.lines().last().unwrap_or_default().to_owned(),
    };
    let title = format!("Lockmaster, seed {seed}: {end}");
    PAGE.replace(TITLE, &escaped_html(&title)).replace(RUN, &run(recording, result))
}

/// What happened, as the page reads it.
fn run(recording: &Recording, result: &Result<Report, Failed>) -> String {
    let mut text = String::from("{");
    let has_failed = result.is_err();
    write!(text, "nodes:{},end:{},failed:{has_failed},", recording.nodes, micros(recording.end))
        .and_then(|()| list(&mut text, "messages", &recording.messages()))
        .and_then(|()| list(&mut text, "marks", &recording.marks))
        .and_then(|()| list(&mut text, "spells", &recording.spells))
        .and_then(|()| list(&mut text, "transfers", &recording.transfers()))
        .and_then(|()| list(&mut text, "phases", &recording.phases))
        .expect("a string grows");
    text.push('}');
    text
}

fn list(text: &mut String, name: &str, items: &[String]) -> core::fmt::Result {
    writeln!(text, "{name}:[\n{}],", items.iter().map(|item| format!("{item},\n")).collect::<String>())
}

fn micros(at: Instant) -> String {
    format!("{}.{:03}", at.as_nanos() / 1000, at.as_nanos() % 1000)
}

/// Text in quotes, for a script inside a page.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '<' | '>' | '&' | '\0'..' ' => {
                write!(quoted, "\\u{:04x}", u32::from(letter)).expect("a string grows");
            }
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
