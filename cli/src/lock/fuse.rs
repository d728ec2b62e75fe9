//! When a command is to be ended, so that it has ended before its lock can be lost.

use core::time::Duration;

/// How long before the lock can be lost the command is killed, at most.
const KILL_AHEAD: u64 = 1_000_000_000;

/// Two instants before the lock can be lost (`CLOCK_BOOTTIME` in nanoseconds); none if no clock ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fuse {
    /// The command is told to end.
    pub(super) ask_at: Option<u64>,
    /// It is killed.
    pub(super) kill_at: Option<u64>,
}

impl Fuse {
    /// For a lock that cannot be lost until then.
    ///
    /// Neither the time to kill nor the grace takes more than a quarter of what is left: the command shall have the
    /// other half, in which the membership is renewed.
    pub(super) fn lit(now: u64, until: Option<u64>, grace: Duration) -> Self {
        let Some(until) = until else { return Self { ask_at: None, kill_at: None } };
        let quarter = until.saturating_sub(now) / 4;
        let grace = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX).min(quarter);
        let kill_at = until - KILL_AHEAD.min(quarter).min(until);
        Self { ask_at: Some(kill_at - grace.min(kill_at)), kill_at: Some(kill_at) }
    }
}

#[cfg(test)]
mod tests;
