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
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn check(now: u64, until: Option<u64>, grace: u64, ask_at: Option<u64>, kill_at: Option<u64>) {
        assert_eq!(Fuse::lit(now, until, Duration::from_nanos(grace)), Fuse { ask_at, kill_at });
    }

    #[test]
    fn no_clock_ends_what_is_certain_for_ever() {
        check(5, None, SECOND, None, None);
    }

    #[test]
    fn there_is_time_to_end_and_to_be_killed() {
        check(10 * SECOND, Some(19 * SECOND), 2 * SECOND, Some(16 * SECOND), Some(18 * SECOND));
    }

    #[test]
    fn half_of_a_short_time_is_left_to_the_command() {
        check(10 * SECOND, Some(12 * SECOND), 60 * SECOND, Some(11 * SECOND), Some(11 * SECOND + SECOND / 2));
    }

    #[test]
    fn what_is_over_is_killed_now() {
        check(10 * SECOND, Some(10 * SECOND), SECOND, Some(10 * SECOND), Some(10 * SECOND));
        check(10 * SECOND, Some(3), SECOND, Some(3), Some(3));
    }
}
