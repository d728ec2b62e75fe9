//! The page: what was run and on what, the table, and for each workload how long operations took and how many there were
//! over time. It needs nothing but itself.

mod chart;

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Failure;
use crate::args::{BenchArgs, Workload};
use crate::bench::figures::{Figures, TITLES, described};
use crate::bench::{Run, host};

/// The page around what is measured.
const FRAME: &str = include_str!("report/page.html");

/// A file that has its name only when it is whole.
pub(super) struct Page {
    file: NamedTempFile,
    path: PathBuf,
}

impl Page {
    /// Begins it, so that a place where it cannot be is found before anything is measured.
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        // What is there is replaced in the end: a device or a link must not be.
        if path.symlink_metadata().is_ok_and(|known| !known.is_file()) {
            return Err(Failure::Usage(format!("{}: that is there, and no file", path.display())));
        }
        let mut file = tempfile::Builder::new();
        // What the user's mask takes away is not in it.
        file.prefix(".lockmaster-bench-").permissions(Permissions::from_mode(0o666));
        let file = file.tempfile_in(directory).map_err(Failure::unusable(path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes it and gives it its name.
    pub(super) fn end(mut self, text: &str) -> Result<(), Failure> {
        let broken = |error: io::Error| Failure::Broken(format!("{}: {error}", self.path.display()));
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.as_file().sync_all()).map_err(broken)?;
        self.file.persist(&self.path).map_err(|error| broken(error.error))?;
        Ok(())
    }
}

/// The page of a run.
pub(super) fn page(args: &BenchArgs, run: &Run) -> String {
    let parts: String = run.figures.iter().map(part).collect();
    FRAME
        .replace("@HOST@", &escaped(&host::described()))
        .replace("@TABLE@", &table(run))
        .replace("@PARTS@", &parts)
        // Last: it has the cluster's name, which may say anything.
        .replace("@RUN@", &escaped(&described(args, run)))
}

fn table(run: &Run) -> String {
    let titles = TITLES.map(|title| {
        let title = if title.is_empty() { "workload" } else { title };
        format!("<th scope=\"col\">{title}</th>")
    });
    let line = |figures: &Figures| {
        let [name, cells @ ..] = figures.cells();
        let cells = cells.map(|cell| format!("<td>{}</td>", escaped(&cell)));
        format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", escaped(&name), cells.concat())
    };
    let lines: String = run.figures.iter().map(line).collect();
    format!("<thead><tr>{}</tr></thead>\n<tbody>\n{lines}</tbody>", titles.concat())
}

/// One workload: what it does, its charts, what else there is to say.
fn part(figures: &Figures) -> String {
    let (name, what) = (figures.workload.name(), what(figures.workload));
    let notes: String =
        figures.notes().iter().map(|note| format!("<p class=\"note\">{}</p>\n", escaped(note))).collect();
    format!(
        "<section>\n<h2>{name}</h2>\n<p>{what}</p>\n{}{}{notes}</section>\n",
        chart::latencies(figures),
        chart::throughput(figures),
    )
}

const fn what(workload: Workload) -> &'static str {
    match workload {
        Workload::Retained => "EX locks that their node retains, taken again: no message is sent.",
        Workload::Remote => {
            "EX locks that another node masters and nobody else wants, and that are not retained."
        }
        Workload::Handover => {
            "EX locks that a task on each node wants all the time and keeps until another one does."
        }
        Workload::Mix => "Locks that all tasks on all nodes share, in modes by lot.",
        Workload::Value => "Retained EX locks whose value block is read and written each time.",
    }
}

/// As text between tags, or in an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
