//! How long locks take while something happens to a node.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::demo::figures::Latencies;
use crate::page::PageNumber;

/// So long after an event a lock that is asked for counts as asked for during it.
const SPAN: Duration = Duration::from_secs(2);

/// What a node measured of the events that it has seen.
#[derive(Default)]
pub(super) struct Watch(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    now: Option<Now>,
    seen: BTreeMap<u32, Disturbance>,
}

/// The event that is watched.
struct Now {
    event: u32,
    since: Instant,
    /// Pages whose slots it concerns: their master is the node that something happens to.
    concerned: Vec<bool>,
    /// Locks that this node had rebuilt before.
    rebuilt_before: u64,
}

/// What one or more nodes measured of an event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Disturbance {
    /// Time to get locks whose slots it concerned.
    pub(super) concerned: Latencies,
    /// Time to get others.
    pub(super) others: Latencies,
    /// Locks that were rebuilt.
    pub(super) rebuilt: u64,
}

impl Disturbance {
    /// Adds what another node measured.
    pub(super) fn add(&mut self, other: &Self) {
        self.concerned.add(&other.concerned);
        self.others.add(&other.others);
        self.rebuilt += other.rebuilt;
    }
}

impl Watch {
    /// Something is about to happen. So many locks were rebuilt so far. Returns what was measured before.
    pub(super) fn begin(&self, event: u32, concerned: Vec<bool>, rebuilt: u64) -> BTreeMap<u32, Disturbance> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.end(rebuilt);
        watched.now = Some(Now { event, since: Instant::now(), concerned, rebuilt_before: rebuilt });
        core::mem::replace(&mut watched.seen, BTreeMap::from([(event, Disturbance::default())]))
    }

    /// A lock was asked for then, and had after this time.
    pub(super) fn acquired(&self, page: PageNumber, start: Instant, time: Duration) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { now: Some(now), seen } = &mut *watched else { return };
        if start + time < now.since || start > now.since + SPAN {
            return;
        }
        let Some(disturbance) = seen.get_mut(&now.event) else { return };
        let is_concerned = now.concerned.get(page.0 as usize) == Some(&true);
        if is_concerned { &mut disturbance.concerned } else { &mut disturbance.others }.record(time);
    }

    /// What was measured, at the end. So many locks were rebuilt.
    pub(super) fn end(&self, rebuilt: u64) -> BTreeMap<u32, Disturbance> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.end(rebuilt);
        core::mem::take(&mut watched.seen)
    }
}

impl Watched {
    fn end(&mut self, rebuilt: u64) {
        let Some(now) = self.now.take() else { return };
        if let Some(disturbance) = self.seen.get_mut(&now.event) {
            disturbance.rebuilt = rebuilt - now.rebuilt_before;
        }
    }
}

#[cfg(test)]
mod tests;
