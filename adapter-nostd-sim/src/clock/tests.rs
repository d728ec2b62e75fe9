use super::*;

#[test]
fn a_deadline_is_reached_when_the_clock_says_so_and_not_before() {
    for error in [-1_000, -1, 0, 7, 1_000] {
        let mut clock = Clock::new(error);
        for step in 1..200_u64 {
            let at = Instant::from_nanos(step * 999_983);
            if step % 50 == 0 {
                clock.leap(at, Duration::from_nanos(step * 12_345));
            }
            let deadline = clock.read(at).after(Duration::from_nanos(step * 77_777));
            let when = clock.when(deadline);
            assert!(clock.read(when) >= deadline, "{clock:?} reads {deadline:?} at {when:?}");
            let before = Instant::from_nanos(when.as_nanos() - 1);
            assert!(clock.read(before) < deadline, "{clock:?} reads {deadline:?} before {when:?}");
        }
    }
}

#[test]
fn a_clock_that_gains_reads_more() {
    let second = Instant::from_nanos(1_000_000_000);
    assert_eq!(Clock::new(1_000).read(second).as_nanos(), 1_001_000_000);
    assert_eq!(Clock::new(-1_000).read(second).as_nanos(), 999_000_000);
    assert_eq!(Clock::new(0).read(second), second);
}
