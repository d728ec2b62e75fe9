//! Checks on the text of the repository: what no compiler looks at.

mod arrows;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longest source file, in lines. There are no exceptions.
const LINES_MAX: usize = 800;

/// Notes to oneself and code that is not there yet. Written in halves, so that this file passes.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
];

/// Beginnings of attributes that silence a lint.
const SILENCERS: [&str; 4] =
    [concat!("#[", "allow"), concat!("#![", "allow"), concat!("#[", "expect("), concat!("#![", "expect(")];

/// Names of files, by their ends, that are text of ours.
const TEXTS: [&str; 7] = [".rs", ".toml", ".md", ".yml", ".sh", ".ci/run", ".editorconfig"];

/// Is every file tidy, and does every dependency point the right way?
///
/// # Errors
/// All findings, one a line.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    walk(root, &mut files).map_err(|error| format!("reading the tree: {error}"))?;
    files.sort();

    let mut findings = Vec::new();
    let mut sources = 0;
    for file in &files {
        let path = file.strip_prefix(root).unwrap_or(file).display().to_string().replace('\\', "/");
        if !TEXTS.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        match fs::read_to_string(file) {
            Ok(text) => check_text(&path, &text, &mut findings),
            Err(error) => findings.push(format!("{path}: {error}")),
        }
        sources += usize::from(path.ends_with(".rs"));
    }
    arrows::check(root, &mut findings);

    if sources == 0 {
        findings.push("no source file was found: nothing was checked".to_owned());
    }
    if findings.is_empty() {
        println!("{sources} source files");
        return Ok(());
    }
    Err(findings.join("\n"))
}

/// All files that are ours, without build output.
fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir() && name != ".git" && !name.starts_with("target") {
            walk(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// `path` is relative to the workspace, with slashes.
fn check_text(path: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.split('\n')) {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(format!("{path}:{number}: white space at the end of the line"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(format!("{path}: the last line has no end"));
    }
    if path.ends_with(".rs") {
        check_source(path, text, findings);
    }
}

fn check_source(path: &str, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines >= LINES_MAX {
        findings.push(format!("{path}: {lines} lines, {LINES_MAX} are too many; split it"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(word) = UNFINISHED.iter().find(|word| line.contains(**word)) {
            findings.push(format!("{path}:{number}: {word}"));
        }
    }
    for silencer in SILENCERS {
        for (at, _) in text.match_indices(silencer) {
            let attribute = &text[at..];
            let attribute = &attribute[..attribute.find(")]").unwrap_or(attribute.len())];
            if !attribute.contains("reason") {
                let number = text[..at].matches('\n').count() + 1;
                findings.push(format!("{path}:{number}: {silencer} without a reason"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
