//! What tasks measure, together and in bounded memory.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::bench::stop::Stop;
use crate::latencies::Latencies;

/// Times that a task keeps to itself before the others wait for it.
const BATCH: usize = 256;
/// Longest time that it does so.
const BATCH_TIME: Duration = Duration::from_millis(20);

/// What all tasks of a workload share.
#[derive(Debug)]
pub(super) struct Meter {
    seen: Mutex<Seen>,
    /// Operations that may still be begun.
    left: Option<AtomicU64>,
    /// No operation begins any more.
    pub(super) stop: Stop,
}

/// What tasks have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) latencies: Latencies,
    pub(super) refused: u64,
    /// Why the first of them was.
    pub(super) reason: Option<String>,
}

impl Meter {
    /// For so many operations, or for as long as nobody stops it.
    pub(super) fn new(operations: Option<u64>) -> Self {
        Self { seen: Mutex::default(), left: operations.map(AtomicU64::new), stop: Stop::default() }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// May one more operation begin? The last one ends the others' wait for more.
    fn goes_on(&self) -> bool {
        if self.stop.is_said() {
            return false;
        }
        let take = |left: &AtomicU64| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        let goes_on = self.left.as_ref().is_none_or(take);
        if !goes_on {
            self.stop.say();
        }
        goes_on
    }
}

/// What one task has seen and not told yet. It tells what is left when it is dropped, also if the task is abandoned.
pub(super) struct Tally {
    meter: Arc<Meter>,
    times: Vec<Duration>,
    told: Instant,
}

impl Tally {
    pub(super) fn new(meter: Arc<Meter>) -> Self {
        Self { meter, times: Vec::with_capacity(BATCH), told: Instant::now() }
    }

    /// May one more operation begin?
    pub(super) fn goes_on(&self) -> bool {
        self.meter.goes_on()
    }

    /// Waits until none may.
    pub(super) async fn stopped(&self) {
        self.meter.stop.said().await;
    }

    /// An operation that began then is done.
    pub(super) fn done(&mut self, began: Instant) {
        let now = Instant::now();
        self.times.push(now - began);
        if self.times.len() == BATCH || now - self.told >= BATCH_TIME {
            self.tell();
            self.told = now;
        }
    }

    /// An operation was refused.
    pub(super) fn refused(&mut self, why: impl ToString) {
        let mut seen = self.meter.seen();
        seen.refused += 1;
        seen.reason.get_or_insert_with(|| why.to_string());
    }

    fn tell(&mut self) {
        let mut seen = self.meter.seen();
        self.times.drain(..).for_each(|time| seen.latencies.record(time));
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests;
