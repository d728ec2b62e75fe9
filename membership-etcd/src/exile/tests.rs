use super::*;

const T: Duration = Duration::from_secs(10);

#[test]
fn each_exile_after_a_short_membership_is_twice_as_long_up_to_a_bound() {
    let mut now = Instant::START;
    let mut exile = Exile::default();
    for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
        let joined_at = now;
        now = now.after(T);
        exile = exile.after(joined_at, now, true, T);
        assert_eq!(exile.left(now), T * expected);
        now = now.after(T * expected);
        assert_eq!(exile.left(now), Duration::ZERO);
    }
    let joined_at = now;
    now = now.after(T * 17);
    exile = exile.after(joined_at, now, true, T);
    assert_eq!(exile.left(now), T, "after a good one it begins anew");
}

#[test]
fn another_end_is_no_exile() {
    let now = Instant::START.after(T);
    let exile = Exile::default().after(Instant::START, now, true, T);
    let other = exile.after(now, now.after(T), false, T);
    assert_eq!(other.left(now), Duration::ZERO);
    assert_eq!(other.after(now, now, true, T).left(now), T * 2, "but it does not excuse either");
}
