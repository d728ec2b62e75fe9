//! Recording a history while the process works.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lockmaster_tokio::{Mode, Token};

use crate::clock;
use crate::history::entry::{Happening, write_rest};

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 18;

/// Room for a line without its time; a longer one is written all the same.
const REST: usize = 160;

/// The last bytes of a line, which stay behind when the buffer is written: until the journal is closed its file
/// ends in the middle of a line, by which a reader knows that its process was killed.
const LINE_END: usize = 2;

/// The history of one process.
pub(crate) struct Journal {
    node: u16,
    pages: Mutex<Pages>,
}

struct Pages {
    file: File,
    buf: Vec<u8>,
    /// Why nothing more is written.
    broken: Option<io::Error>,
}

impl Journal {
    /// Starts the history of this node's process in a directory; it had so many before, which were killed.
    ///
    /// # Errors
    /// Its file cannot be made.
    pub(crate) fn create(directory: &Path, node: u16, life: u32) -> io::Result<Self> {
        let name = if life == 0 { format!("node-{node}") } else { format!("node-{node}-{life}") };
        let file = File::create(directory.join(name + ".jsonl"))?;
        let buf = Vec::with_capacity(BUFFER + BUFFER / 8);
        Ok(Self { node, pages: Mutex::new(Pages { file, buf, broken: None }) })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// The first thing that could not be written, and nothing after it was.
    pub(crate) fn close(&self) -> io::Result<()> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.write(0);
        pages.broken.take().map_or(Ok(()), Err)
    }

    /// The time is read when it is this line's turn, so that the file is in the order of the clock.
    fn write(&self, rest: &str) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        write!(pages.buf, r#"{{"t":{}"#, clock::now()).expect("memory takes everything");
        pages.buf.extend_from_slice(rest.as_bytes());
        if pages.buf.len() >= BUFFER {
            pages.write(LINE_END);
        }
    }
}

impl Pages {
    /// Writes all but the last bytes.
    fn write(&mut self, left: usize) {
        let len = self.buf.len().saturating_sub(left);
        if self.broken.is_none() {
            self.broken = self.file.write_all(&self.buf[..len]).err();
        }
        self.buf.drain(..len);
    }
}

/// One owner's access to the journal of its process.
pub(crate) struct Scribe {
    journal: Arc<Journal>,
    owner: String,
}

impl Scribe {
    /// The scribe of the owner with this number on the journal's node.
    pub(crate) fn new(journal: Arc<Journal>, owner: u32) -> Self {
        let owner = format!("{}/{owner}", journal.node);
        Self { journal, owner }
    }

    /// Writes down what happens now. The resource's name needs no escapes in JSON.
    pub(crate) fn write(
        &self,
        happening: Happening,
        resource: impl core::fmt::Display,
        mode: Mode,
        token: Token,
    ) {
        let mut rest = String::with_capacity(REST);
        write_rest(&mut rest, (self.journal.node, &self.owner), resource, happening, (mode, token));
        self.journal.write(&rest);
    }
}

/// Makes a directory ready for a new history: there is one, and no files of an earlier history are in it.
///
/// # Errors
/// It cannot be made or read, or a file cannot be removed.
pub(crate) fn clear(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in directory.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node-")?.strip_suffix(".jsonl"));
        // The node, and its life if that is not the first.
        if number.is_some_and(|number| number.splitn(2, '-').all(|part| part.parse::<u32>().is_ok())) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
