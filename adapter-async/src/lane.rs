//! Lanes: places of which each thread keeps to one, so that what threads count is not handed from core to core.

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) use of_threads::{LANES, lane, rest, takes_a_rest};

/// Lanes of everything that has them; models have no caches.
#[cfg(any(lockmaster_loom, lockmaster_shuttle))]
pub(crate) const LANES: usize = 1;

#[cfg(any(lockmaster_loom, lockmaster_shuttle))]
pub(crate) const fn lane() -> usize {
    0
}

#[cfg(any(lockmaster_loom, lockmaster_shuttle))]
pub(crate) const fn takes_a_rest() -> bool {
    false
}

#[cfg(any(lockmaster_loom, lockmaster_shuttle))]
pub(crate) const fn rest() {}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
mod of_threads {
    use core::cell::Cell;
    use core::sync::atomic::{AtomicUsize, Ordering};

    use crate::acquire::RESTED_MAX;

    /// Lanes of everything that has them; more threads than that share some.
    pub(crate) const LANES: usize = 16;

    /// Lanes that were dealt, counted on where they begin anew.
    static DEALT: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        static LANE: Cell<Option<usize>> = const { Cell::new(None) };
        static RESTED: Cell<u32> = const { Cell::new(0) };
    }

    /// Has this thread taken so much of its shelves that others come first? It counts anew then.
    pub(crate) fn takes_a_rest() -> bool {
        let is_due = RESTED.get() >= RESTED_MAX;
        if is_due {
            RESTED.set(0);
        }
        is_due
    }

    /// This thread has taken something of a shelf.
    pub(crate) fn rest() {
        RESTED.set(RESTED.get() + 1);
    }

    /// The lane of this thread.
    pub(crate) fn lane() -> usize {
        let deal = || {
            let lane = DEALT.fetch_add(1, Ordering::Relaxed) % LANES;
            LANE.set(Some(lane));
            lane
        };
        LANE.get().unwrap_or_else(deal)
    }
}
