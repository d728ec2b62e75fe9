//! How long a node stays away that the others could not reach.

use core::time::Duration;

use lockmaster_async::Instant;

/// Most times that the pause is doubled.
const DOUBLED_MAX: u32 = 6;
/// A membership of so many leases was a good one.
const GOOD: u32 = 16;

/// A node whose lease was revoked because nobody could reach it would only be a nuisance if it came back at once: every
/// coming and going is a view. So it stays away for a lease, and for twice as long each time that it did not help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exile {
    times: u32,
    until: Instant,
}

impl Exile {
    /// After a membership from `joined_at` to `now`, which ended in exile or otherwise.
    pub(crate) fn after(self, joined_at: Instant, now: Instant, is_exiled: bool, ttl: Duration) -> Self {
        let was_good = now.since(joined_at) > ttl * GOOD;
        let times = if was_good { 0 } else { self.times };
        if !is_exiled {
            return Self { times, until: Instant::START };
        }
        let pause = ttl * 2_u32.pow(times.min(DOUBLED_MAX));
        Self { times: times.saturating_add(1), until: now.after(pause) }
    }

    /// How long it still has to stay away.
    pub(crate) fn left(self, now: Instant) -> Duration {
        self.until.since(now)
    }
}

#[cfg(test)]
mod tests;
