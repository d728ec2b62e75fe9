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
