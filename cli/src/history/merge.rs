//! The files of a history as one sequence, in the order of their common clock.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;

use crate::history::HistoryError;
use crate::history::entry::{Entry, Happening};
use crate::history::file::HistoryFile;
use crate::history::names::Names;

/// Place of a file among those of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileIdx(usize);

/// An entry and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) entry: Entry,
    pub(super) file: FileIdx,
    pub(super) line: u64,
}

/// The next thing in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Entry(Seen),
    /// All of this file has been seen, and it ends in the middle of a line.
    CutShort(FileIdx),
}

/// All files of a history.
pub(super) struct Merge {
    files: Vec<HistoryFile>,
    names: Names,
    /// The next entry of each file that has one.
    heads: Vec<Option<Seen>>,
    /// Files by the time of their next entry. At the same instant, what ends comes before what begins: only
    /// then is every overlap that is found a real one.
    order: BinaryHeap<Reverse<(u64, bool, FileIdx)>>,
    cut_short: Vec<FileIdx>,
}

impl Merge {
    /// Opens every `*.jsonl` file in a directory.
    ///
    /// # Errors
    /// There is none, one cannot be read, or its first line is no entry.
    pub(super) fn open(directory: &Path) -> Result<Self, HistoryError> {
        let unreadable = |error| HistoryError::Io { path: directory.to_owned(), error };
        let mut paths = Vec::new();
        for entry in directory.read_dir().map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(HistoryError::Empty(directory.to_owned()));
        }
        paths.sort();

        let files = paths.iter().map(|path| HistoryFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut merge = Self {
            heads: files.iter().map(|_| None).collect(),
            order: BinaryHeap::with_capacity(files.len()),
            files,
            names: Names::default(),
            cut_short: Vec::new(),
        };
        for file in 0..merge.files.len() {
            merge.advance(FileIdx(file))?;
        }
        Ok(merge)
    }

    /// The next entry of all; absent at the end of the history.
    ///
    /// # Errors
    /// A line that is no entry.
    pub(super) fn next(&mut self) -> Result<Option<Step>, HistoryError> {
        if let Some(file) = self.cut_short.pop() {
            return Ok(Some(Step::CutShort(file)));
        }
        let Some(Reverse((_, _, file))) = self.order.pop() else { return Ok(None) };
        let seen = self.heads[file.0].take().expect("a file in the order has a next entry");
        self.advance(file)?;
        Ok(Some(Step::Entry(seen)))
    }

    fn advance(&mut self, file: FileIdx) -> Result<(), HistoryError> {
        let source = &mut self.files[file.0];
        match source.next(&mut self.names)? {
            Some(entry) => {
                let begins = entry.happening == Happening::Granted;
                self.order.push(Reverse((entry.t, begins, file)));
                self.heads[file.0] = Some(Seen { entry, file, line: source.line() });
            }
            None if source.is_cut_short() => self.cut_short.push(file),
            None => {}
        }
        Ok(())
    }

    /// The files, in the order of their names.
    pub(super) fn files(&self) -> &[HistoryFile] {
        &self.files
    }

    /// Name of a file.
    pub(super) fn file_name(&self, file: FileIdx) -> &str {
        self.files[file.0].name()
    }

    /// The names in the entries.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }
}
