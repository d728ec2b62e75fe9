//! One file of a history, read line by line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::history::HistoryError;
use crate::history::entry::{Entry, Line, Owner};
use crate::history::names::Names;

const BUFFER: usize = 1 << 18;

/// What one process recorded.
pub(super) struct HistoryFile {
    name: String,
    lines: BufReader<File>,
    buf: Vec<u8>,
    line: u64,
    last_t: u64,
    is_cut_short: bool,
}

impl HistoryFile {
    /// Opens the file.
    pub(super) fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = File::open(path).map_err(|error| HistoryError::Io { path: path.to_owned(), error })?;
        Ok(Self {
            name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            lines: BufReader::with_capacity(BUFFER, file),
            buf: Vec::new(),
            line: 0,
            last_t: 0,
            is_cut_short: false,
        })
    }

    /// Its name, without the directory.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The line that was read last, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Did the file end in the middle of a line, as that of a killed process does?
    pub(super) fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    /// The next entry; absent at the end of the file. A last line that was cut short counts as the end.
    ///
    /// # Errors
    /// A line that is no entry, or earlier than the one before it.
    pub(super) fn next(&mut self, names: &mut Names) -> Result<Option<Entry>, HistoryError> {
        self.buf.clear();
        self.line += 1;
        let len = match self.lines.read_until(b'\n', &mut self.buf) {
            Ok(len) => len,
            Err(error) => return Err(self.error(error.to_string())),
        };
        if len == 0 {
            return Ok(None);
        }
        let line: Line<'_> = match serde_json::from_slice(&self.buf) {
            Ok(line) => line,
            Err(_) if self.buf.last() != Some(&b'\n') => {
                self.is_cut_short = true;
                return Ok(None);
            }
            Err(error) => return Err(self.error(format!("no entry of a history: {}", reason(&error)))),
        };
        if line.t < self.last_t {
            return Err(self.error("earlier than the line before it".to_owned()));
        }
        self.last_t = line.t;
        Ok(Some(Entry {
            t: line.t,
            owner: Owner { node: line.node, name: names.place(&line.owner) },
            resource: names.place(&line.resource),
            happening: line.happening,
            mode: line.mode,
            token: line.token,
        }))
    }

    fn error(&self, reason: String) -> HistoryError {
        HistoryError::Line { file: self.name.clone(), line: self.line, reason }
    }
}

/// The error without its line number, which is that of a text of one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}
