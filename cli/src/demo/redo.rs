//! What a node that is killed would leave half done.
//!
//! A transfer of money writes two pages. So before it writes the first, a task writes both, as they will be, into its own
//! entry of a file that all nodes share, and empties the entry when both are in the data file. If its node is killed in
//! between, whoever has a page's lock next finds the page here: it is the one with the higher token. Nobody else can have
//! written the page meanwhile, since the lock that it was written under ended with the node.
//!
//! The file is read when a lock's token tells of a new view: somebody may have died then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lockmaster_tokio::Token;
use lockmaster_tokio::lockmaster_core::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use crate::page::{PAGE_SIZE, Page, PageNumber};

/// Pages of one entry, at most.
const PAGES_MAX: usize = 2;
/// Checksum and number of pages.
const HEAD: usize = 16;
const ENTRY_SIZE: usize = HEAD + PAGES_MAX * PAGE_SIZE;

/// The file of all entries.
pub(super) struct RedoLog {
    file: File,
    entries: u32,
    seen: Mutex<Seen>,
}

/// What was found when the file was read last.
struct Seen {
    epoch: Epoch,
    pages: BTreeMap<PageNumber, Page>,
}

impl RedoLog {
    /// Opens the file, and makes it if there is none.
    pub(super) fn open(path: &Path, entries: u32) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(u64::from(entries) * ENTRY_SIZE as u64)?;
        Ok(Self { file, entries, seen: Mutex::new(Seen { epoch: Epoch(0), pages: BTreeMap::new() }) })
    }

    /// Says what is about to be written.
    pub(super) fn announce(&self, entry: u32, pages: &[&Page]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(ENTRY_SIZE);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&u64::try_from(pages.len()).expect("two at most").to_be_bytes());
        pages.iter().for_each(|page| bytes.extend_from_slice(page.bytes()));
        let checksum = xxh3_64(&bytes[8..]);
        bytes[..8].copy_from_slice(&checksum.to_be_bytes());
        self.file.write_all_at(&bytes, offset(entry))
    }

    /// It has been written.
    pub(super) fn done(&self, entry: u32) -> io::Result<()> {
        self.file.write_all_at(&[0; HEAD], offset(entry))
    }

    /// The pages of an entry: none if it is empty, or was being written when its node was killed.
    pub(super) fn pages(&self, entry: u32) -> io::Result<Vec<Page>> {
        let mut bytes = vec![0; ENTRY_SIZE];
        self.file.read_exact_at(&mut bytes[..HEAD], offset(entry))?;
        let count = usize::try_from(word(&bytes[8..HEAD])).unwrap_or(usize::MAX);
        if !(1..=PAGES_MAX).contains(&count) {
            return Ok(Vec::new());
        }
        let bytes = &mut bytes[..HEAD + count * PAGE_SIZE];
        self.file.read_exact_at(bytes, offset(entry))?;
        if word(bytes) != xxh3_64(&bytes[8..]) {
            return Ok(Vec::new());
        }
        let page = |bytes: &[u8]| {
            let mut page = Page::vacant();
            page.bytes_mut().copy_from_slice(bytes);
            page
        };
        Ok(bytes[HEAD..].chunks(PAGE_SIZE).map(page).collect())
    }

    /// All pages in the file, the latest of each.
    pub(super) fn latest(&self) -> io::Result<BTreeMap<PageNumber, Page>> {
        let mut latest: BTreeMap<PageNumber, Page> = BTreeMap::new();
        for entry in 0..self.entries {
            for page in self.pages(entry)? {
                let known = latest.get(&page.number());
                if known.is_none_or(|known| known.token() < page.token()) {
                    latest.insert(page.number(), page);
                }
            }
        }
        Ok(latest)
    }

    /// Puts into `page` what should be in the data file, if what was read there is older or torn. The lock that it was
    /// read under has this token.
    pub(super) fn mend(&self, number: PageNumber, ours: Token, page: &mut Page) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.epoch < ours.epoch {
            *seen = Seen { epoch: ours.epoch, pages: self.latest()? };
        }
        if let Some(latest) = seen.pages.get(&number)
            && latest.token() < ours
            && (page.check(number).is_err() || page.token() < latest.token())
        {
            page.bytes_mut().copy_from_slice(latest.bytes());
        }
        Ok(())
    }
}

fn offset(entry: u32) -> u64 {
    u64::from(entry) * ENTRY_SIZE as u64
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests;
