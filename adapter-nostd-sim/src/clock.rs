//! A node's own clock: it runs a little too fast or too slow, and may leap ahead.

use core::time::Duration;

use lockmaster_core::Instant;

/// Parts of a rate, a million of which are one second a second.
const MILLION: u128 = 1_000_000;

/// From the true time, which no node knows, to what a node reads.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// What it gains in a second, in millionths of a second.
    error: i32,
    /// Since when it has run without a leap, in true time and by itself.
    since: Instant,
    own_since: Instant,
}

impl Clock {
    pub(crate) const fn new(error: i32) -> Self {
        Self { error, since: Instant::START, own_since: Instant::START }
    }

    /// Does it run as fast as the true time?
    pub(crate) const fn is_right(&self) -> bool {
        self.error == 0
    }

    /// What it reads at a true time.
    pub(crate) fn read(&self, at: Instant) -> Instant {
        let passed = u128::from(at.as_nanos().saturating_sub(self.since.as_nanos()));
        self.own_since.after(nanos(passed * self.rate() / MILLION))
    }

    /// The first true time at which it reads so much.
    pub(crate) fn when(&self, own: Instant) -> Instant {
        let passed = u128::from(own.as_nanos().saturating_sub(self.own_since.as_nanos()));
        self.since.after(nanos((passed * MILLION).div_ceil(self.rate())))
    }

    /// It leaps ahead.
    pub(crate) fn leap(&mut self, at: Instant, span: Duration) {
        self.own_since = self.read(at).after(span);
        self.since = at;
    }

    fn rate(&self) -> u128 {
        MILLION.saturating_add_signed(i128::from(self.error))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
