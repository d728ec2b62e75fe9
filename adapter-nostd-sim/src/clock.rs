//! A node's own clock: it runs a little too fast or too slow, and may leap ahead.

use core::time::Duration;

use lockmaster_core::Instant;

/// What a clock gains is told in millionths.
const MILLION: u64 = 1_000_000;

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
        let passed = at.as_nanos().saturating_sub(self.since.as_nanos());
        if self.is_right() {
            return self.own_since.after(Duration::from_nanos(passed));
        }
        self.own_since.after(nanos(u128::from(passed) * self.rate() / u128::from(MILLION)))
    }

    /// The first true time at which it reads so much.
    pub(crate) fn when(&self, own: Instant) -> Instant {
        let passed = own.as_nanos().saturating_sub(self.own_since.as_nanos());
        if self.is_right() {
            return self.since.after(Duration::from_nanos(passed));
        }
        self.since.after(nanos((u128::from(passed) * u128::from(MILLION)).div_ceil(self.rate())))
    }

    /// It leaps ahead.
    pub(crate) fn leap(&mut self, at: Instant, span: Duration) {
        self.own_since = self.read(at).after(span);
        self.since = at;
    }

    fn rate(&self) -> u128 {
        u128::from(MILLION.saturating_add_signed(i64::from(self.error)))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
