//! The data file that all nodes share.
//!
//! Reads and writes are made in the call, not handed to a pool of threads: the file is small and never forced to
//! the disk, so each is a copy of 8 KiB to or from the page cache, about a microsecond, which is much less than
//! a hand-over.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lockmaster_tokio::Token;
use lockmaster_tokio::lockmaster_core::Epoch;

use crate::demo::redo::RedoLog;
use crate::page::{ACCOUNTS_PER_PAGE, PAGE_SIZE, Page, PageNumber, Torn};

/// Money in every account at the start.
const BALANCE: u64 = 1000;

/// A page is not what its locks should have kept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Suspect {
    /// It is torn.
    #[error("{0} is torn: {1}")]
    Torn(PageNumber, Torn),
    /// Its last writer's token is not lower than that of the reader, who came later.
    #[error("token going back: {page} was written under {written}, then locked under {ours}")]
    TokenBack { page: PageNumber, written: Token, ours: Token },
}

/// Why a page was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It was read, but must not be used.
    #[error(transparent)]
    Suspect(#[from] Suspect),
    /// The file cannot be read.
    #[error("reading the data file: {0}")]
    Io(#[from] io::Error),
}

/// What is in the data file in the end.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Money in all whole pages.
    pub(super) total: u128,
    /// The pages that are torn.
    pub(super) torn: Vec<Suspect>,
}

/// Money in a data file of so many pages, as long as none is lost.
pub(super) fn expected_total(pages: u32) -> u128 {
    u128::from(pages) * u128::from(ACCOUNTS_PER_PAGE) * u128::from(BALANCE)
}

/// An open data file.
pub(super) struct DataFile {
    file: File,
}

impl DataFile {
    /// Makes a data file with so many pages; there must be none at the path.
    pub(super) fn create(path: &Path, pages: u32) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let data_file = Self { file };
        for number in (0..pages).map(PageNumber) {
            data_file.write(number, &Page::opened(number, BALANCE))?;
        }
        Ok(data_file)
    }

    /// Opens a data file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().read(true).write(true).open(path)? })
    }

    /// Reads a page under a lock with this fencing token, with what a dead node left of it, and checks it as a storage
    /// would.
    ///
    /// The token on the page must be lower, also for a lock that only reads: it is of an earlier grant, and that
    /// grant was for writing.
    ///
    /// # Errors
    /// [`ReadError`]; what `page` holds then must not be used.
    pub(super) fn read(
        &self,
        number: PageNumber,
        ours: Token,
        page: &mut Page,
        redo: Option<&RedoLog>,
    ) -> Result<(), ReadError> {
        self.file.read_exact_at(page.bytes_mut(), offset(number))?;
        if let Some(redo) = redo {
            redo.mend(number, ours, page)?;
        }
        page.check(number).map_err(|torn| Suspect::Torn(number, torn))?;
        let written = page.token();
        if written >= ours {
            return Err(Suspect::TokenBack { page: number, written, ours }.into());
        }
        Ok(())
    }

    /// Writes a page, which must have been sealed.
    pub(super) fn write(&self, number: PageNumber, page: &Page) -> io::Result<()> {
        self.file.write_all_at(page.bytes(), offset(number))
    }

    /// Looks at all pages, with what dead nodes left of them. Nobody may be writing.
    pub(super) fn audit(&self, pages: u32, redo: Option<&RedoLog>) -> io::Result<Audit> {
        let last = Token { epoch: Epoch(u32::MAX), grant: u64::MAX, local: u32::MAX };
        let mut audit = Audit::default();
        let mut page = Page::vacant();
        for number in (0..pages).map(PageNumber) {
            match self.read(number, last, &mut page, redo) {
                Ok(()) => audit.total += page.total(),
                Err(ReadError::Suspect(suspect)) => audit.torn.push(suspect),
                Err(ReadError::Io(error)) => return Err(error),
            }
        }
        Ok(audit)
    }
}

fn offset(number: PageNumber) -> u64 {
    u64::from(number.0) * PAGE_SIZE as u64
}

#[cfg(test)]
mod tests;
