use super::*;

#[test]
fn locks_count_for_the_event_that_they_waited_through() {
    let watch = Watch::default();
    let (page, other) = (PageNumber(0), PageNumber(1));
    let before = Instant::now();
    watch.acquired(page, before, Duration::ZERO);
    assert!(watch.begin(1, vec![true, false], 10).is_empty());
    let since = Instant::now();
    watch.acquired(page, before, Duration::ZERO);
    watch.acquired(page, before, Duration::from_secs(1));
    watch.acquired(other, since, Duration::from_millis(1));
    watch.acquired(other, since + SPAN + Duration::from_millis(1), Duration::ZERO);
    let mut seen = watch.begin(2, vec![], 17);
    watch.acquired(page, Instant::now(), Duration::ZERO);
    seen.append(&mut watch.end(17));
    let counts =
        |event: u32| (seen[&event].concerned.count(), seen[&event].others.count(), seen[&event].rebuilt);
    assert_eq!((counts(1), counts(2)), ((1, 1, 7), (0, 1, 0)));
}
