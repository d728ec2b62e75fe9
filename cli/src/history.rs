//! Lock histories: what each process was granted and gave back, recorded while it runs and verified afterwards.
//!
//! A history is a directory with one file of JSON lines for each process:
//!
//! ```text
//! {"t":81234567,"node":1,"owner":"1/17","resource":"page/42","event":"granted","mode":"EX","token":"0000…"}
//! ```
//!
//! `t` is `CLOCK_MONOTONIC` in nanoseconds, which all processes of a machine share; a file is in its order.
//! `granted` is written after the call that asked has returned, `released` before the lock is given back and
//! `lost` when it is known to be gone, so a lock was held at least for the time between its lines, and
//! incompatible locks whose times overlap were really held at once. A conversion is written as a release before
//! and a grant after it.

mod check;
mod entry;
mod file;
mod journal;
mod merge;
mod names;
mod report;

use std::path::{Path, PathBuf};

pub(crate) use self::entry::Happening;
pub(crate) use self::journal::{Journal, Scribe, clear};
use crate::history::check::Checker;
use crate::history::merge::{Merge, Step};
use crate::text::print;
use crate::{Failure, Verdict};

/// Why a directory has no history that could be verified.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    /// There are no history files in it: name the directory that was recorded.
    #[error("{}: no *.jsonl files", .0.display())]
    Empty(PathBuf),
    /// It, or a file in it, cannot be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line is no entry of a history.
    #[error("{file}:{line}: {reason}")]
    Line {
        /// Name of the file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Empty(_) | HistoryError::Io { .. } => Self::Usage(error.to_string()),
            HistoryError::Line { .. } => Self::Broken(error.to_string()),
        }
    }
}

/// Verifies the history in a directory and prints what it found.
///
/// # Errors
/// [`Failure`] if there is no history, or a line in it is none of a history's.
pub(crate) fn run(directory: &Path) -> Result<Verdict, Failure> {
    let mut merge = Merge::open(directory)?;
    let mut checker = Checker::default();
    while let Some(step) = merge.next()? {
        match step {
            Step::Entry(seen) => checker.take(seen),
            Step::CutShort(file) => checker.cut_short(file),
        }
    }
    let findings = checker.finish();
    print(&report::render(&findings, &merge));
    Ok(if findings.is_clean() { Verdict::Clean } else { Verdict::Failed })
}

#[cfg(test)]
mod tests;
