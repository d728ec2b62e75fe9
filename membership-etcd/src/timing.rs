//! Every span of time that membership rests on, as a part of the lease's time to live.

use core::time::Duration;

use lockmaster_async::Instant;
use lockmaster_async::lockmaster_core::Certainty;

/// How much the rates of two clocks may differ from true time, each: one part in this many.
const RATE_ERROR: u32 = 1000;

/// The spans of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Time to live of the lease, as etcd granted it.
    pub(crate) ttl: Duration,
    /// How much earlier a member stops than its lease can end.
    pub(crate) margin: Duration,
    /// How long to wait after a lease has ended before its holder is removed.
    pub(crate) settle: Duration,
}

impl Timing {
    /// The same margins around a lease of another length.
    pub(crate) fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// Until when a renewal that was sent at this instant, and answered, makes membership certain.
    ///
    /// Counted from the sending, since etcd cannot have heard of it earlier. Both clocks may go wrong, etcd's too fast
    /// and this one too slowly, therefore twice the error of the rate.
    pub(crate) fn certainty(self, sent_at: Instant) -> Certainty {
        let lasting = self.ttl.saturating_sub(self.ttl * 2 / RATE_ERROR).saturating_sub(self.margin);
        let suspect = (self.ttl / 3).min(lasting);
        Certainty { suspect_at: sent_at.after(suspect), fenced_at: sent_at.after(lasting) }
    }

    /// From one renewal to the next.
    pub(crate) fn renew_every(self) -> Duration {
        self.ttl / 5
    }

    /// How long any call may take: a frozen server would let it wait for ever.
    pub(crate) fn call_max(self) -> Duration {
        self.ttl / 5
    }

    /// Pause before a call that failed is made again.
    pub(crate) fn retry_after(self) -> Duration {
        self.ttl / 20
    }

    /// From one reading to the next if no watch hints at anything.
    pub(crate) fn read_every(self) -> Duration {
        self.ttl / 2
    }

    /// A node whose driver has not run for so long is stuck, and its lease is not renewed.
    pub(crate) fn alive_within(self) -> Duration {
        self.ttl / 2
    }

    /// How long the holder of a lease may still believe in it after it was revoked, and the wait after that.
    pub(crate) fn after_revocation(self) -> Duration {
        self.ttl + self.settle
    }

    /// How long the key of a number may stay before its holder must be alive.
    pub(crate) fn taken_after(self) -> Duration {
        self.ttl + self.ttl / 2 + self.settle
    }

    /// How long joining is tried at a time.
    pub(crate) fn join_max(self) -> Duration {
        self.ttl * 6 + self.settle * 2
    }

    /// How long leaving in order is tried.
    pub(crate) fn leave_max(self) -> Duration {
        self.ttl / 2
    }

    /// Shortest time that a peer must be out of reach before it is reported.
    pub(crate) fn report_after(self) -> Duration {
        self.ttl / 5
    }

    /// How long the same members must have reported the same before anybody is revoked. A member that has crashed is
    /// gone by then.
    pub(crate) fn cut_patience(self) -> Duration {
        self.ttl + self.settle
    }

    /// How much later than the lowest live member the one of this rank proposes. `lot` is below 1.
    pub(crate) fn turn_after(self, rank: usize, lot: f64) -> Duration {
        let Ok(rank @ 1..) = u32::try_from(rank.min(6)) else { return Duration::ZERO };
        let step = self.ttl / 10;
        step * rank + step.mul_f64(lot)
    }
}

#[cfg(test)]
mod tests;
