//! One task of a node: operation after operation until it is told to stop.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lockmaster_tokio::{Mode, OwnerId, Path};
use tokio::sync::Notify;

use crate::demo::data_file::{DataFile, ReadError, Suspect};
use crate::demo::figures::{Course, Figures};
use crate::demo::locks::{Held, Locks};
use crate::demo::message::Plan;
use crate::demo::redo::RedoLog;
use crate::demo::watch::Watch;
use crate::demo::workload::{Account, Operation, Workload};
use crate::history::{Happening, Journal, Scribe};
use crate::page::{Page, PageNumber};

/// What all tasks of a node share.
pub(super) struct Bench {
    pub(super) locks: Locks,
    pub(super) file: DataFile,
    /// What would be half done; only if nodes are killed.
    pub(super) redo: Option<RedoLog>,
    pub(super) watch: Watch,
    pub(super) journal: Option<Arc<Journal>>,
    pub(super) figures: Mutex<Figures>,
    pub(super) must_stop: AtomicBool,
    /// Tells the same to who transfers slots, and waits for long.
    pub(super) stopping: Notify,
}

impl Bench {
    /// The figures, for a moment.
    pub(super) fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task.
pub(super) struct Worker {
    bench: Arc<Bench>,
    owner: OwnerId,
    workload: Workload,
    scribe: Option<Arc<Scribe>>,
    pages: [Page; 2],
    /// Its entry in the redo log.
    entry: u32,
}

impl Worker {
    /// The task with this number.
    pub(super) fn new(bench: Arc<Bench>, plan: &Plan, task: u32) -> Self {
        let scribe = bench.journal.as_ref().map(|journal| Arc::new(Scribe::new(Arc::clone(journal), task)));
        let pages = [Page::vacant(), Page::vacant()];
        Self {
            bench,
            owner: OwnerId(task.into()),
            workload: Workload::new(plan, task),
            scribe,
            pages,
            entry: entry(plan, task),
        }
    }

    /// Works until it must stop.
    ///
    /// # Errors
    /// The data file cannot be read or written.
    pub(super) async fn run(mut self) -> io::Result<()> {
        while !self.bench.must_stop.load(Ordering::Relaxed) {
            match self.workload.next() {
                Operation::Audit(page) => self.audit(page).await?,
                Operation::Transfer { from, to, amount } => self.transfer(from, to, amount).await?,
            }
            // A task that finds all its locks on its own node never waits, and would keep the thread from those
            // that talk to other nodes.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn audit(&mut self, page: PageNumber) -> io::Result<()> {
        let Some(held) = self.lock(page, Mode::ProtectedRead).await else { return Ok(()) };
        let is_sound = self.read(0, &held)?;
        drop(held);
        self.bench.figures().audits += u64::from(is_sound);
        Ok(())
    }

    async fn transfer(&mut self, from: Account, to: Account, amount: u64) -> io::Result<()> {
        // All tasks take the lower page first, so no two can wait for each other.
        let (low, high) = (from.page.min(to.page), from.page.max(to.page));
        let Some(first) = self.lock(low, Mode::Exclusive).await else { return Ok(()) };
        let second = if low == high {
            None
        } else {
            let Some(second) = self.lock(high, Mode::Exclusive).await else { return Ok(()) };
            Some(second)
        };
        let is_sound =
            self.read(0, &first)? && second.as_ref().map_or(Ok(true), |held| self.read(1, held))?;
        if is_sound {
            self.move_money((from, to), low, amount);
            self.write([Some(&first), second.as_ref()])?;
        }
        drop((second, first));
        self.bench.figures().transfers += u64::from(is_sound);
        Ok(())
    }

    /// Writes the pages of these locks.
    fn write(&mut self, held: [Option<&PageLock>; 2]) -> io::Result<()> {
        let mut written = Vec::with_capacity(held.len());
        for (page, held) in self.pages.iter_mut().zip(held) {
            if let Some(held) = held {
                page.seal(held.lock.token);
                written.push(&*page);
            }
        }
        if let Some(redo) = &self.bench.redo {
            redo.announce(self.entry, &written)?;
        }
        for page in written {
            self.bench.file.write(page.number(), page)?;
        }
        self.bench.redo.as_ref().map_or(Ok(()), |redo| redo.done(self.entry))
    }

    /// Finishes what the same task of an earlier process of this node was killed at.
    pub(super) async fn redo(&mut self) -> io::Result<()> {
        let Some(redo) = &self.bench.redo else { return Ok(()) };
        for page in redo.pages(self.entry)? {
            let Some(held) = self.lock(page.number(), Mode::Exclusive).await else { return Ok(()) };
            if self.read(0, &held)? {
                self.bench.file.write(held.page, &self.pages[0])?;
            }
        }
        self.bench.redo.as_ref().map_or(Ok(()), |redo| redo.done(self.entry))
    }

    /// Moves money in memory; the page `low` is in the first place.
    fn move_money(&mut self, (from, to): (Account, Account), low: PageNumber, amount: u64) {
        let place = |account: Account| usize::from(account.page != low);
        let source = &mut self.pages[place(from)];
        let amount = amount.min(source.balance(from.place));
        source.set_balance(from.place, source.balance(from.place) - amount);
        let target = &mut self.pages[place(to)];
        target.set_balance(to.place, target.balance(to.place) + amount);
    }

    async fn lock(&mut self, page: PageNumber, mode: Mode) -> Option<PageLock> {
        let was_moving = self.bench.locks.is_moving(page);
        let start = Instant::now();
        let answer = self.bench.locks.lock(self.owner, page, mode).await;
        let time = start.elapsed();
        match answer {
            Ok(lock) => {
                let held = PageLock { page, mode, lock, scribe: self.scribe.clone() };
                held.write(Happening::Granted);
                let path = held.lock.path;
                // Who asks no master does not care where the slot is.
                let was_moving = was_moving.filter(|_| path != Path::Retained);
                let course = was_moving.and_then(|was| {
                    // Not at any time in between: the longer a wait, the more transfers it would count as its own.
                    let is_moving = was || self.bench.locks.is_moving(page)?;
                    Some(if is_moving { Course::InTransfer } else { Course::AtRest })
                });
                self.bench.watch.acquired(page, start, time);
                self.bench.figures().acquired(path, course, time);
                Some(held)
            }
            Err(reason) => {
                let mut figures = self.bench.figures();
                figures.refused += 1;
                figures.note(format!("{page} was not granted: {reason}"));
                None
            }
        }
    }

    /// Reads the page of a lock into one of the places. Returns whether it may be used.
    fn read(&mut self, place: usize, held: &PageLock) -> io::Result<bool> {
        let suspect = match self.bench.file.read(
            held.page,
            held.lock.token,
            &mut self.pages[place],
            self.bench.redo.as_ref(),
        ) {
            Ok(()) => return Ok(true),
            Err(ReadError::Suspect(suspect)) => suspect,
            Err(ReadError::Io(error)) => return Err(error),
        };
        let mut figures = self.bench.figures();
        match suspect {
            Suspect::Torn(..) => figures.torn += 1,
            Suspect::TokenBack { .. } => figures.tokens_back += 1,
        }
        figures.note(suspect.to_string());
        Ok(false)
    }
}

/// Place of a task's entry in the redo log.
fn entry(plan: &Plan, task: u32) -> u32 {
    u32::from(plan.node - 1) * plan.tasks + task - 1
}

/// A page that is locked until this is dropped, also if its task is abandoned.
struct PageLock {
    page: PageNumber,
    mode: Mode,
    /// Released after the history says so.
    lock: Held,
    scribe: Option<Arc<Scribe>>,
}

impl PageLock {
    fn write(&self, happening: Happening) {
        if let Some(scribe) = &self.scribe {
            scribe.write(happening, self.page, self.mode, self.lock.token);
        }
    }
}

impl Drop for PageLock {
    fn drop(&mut self) {
        self.write(Happening::Released);
    }
}
