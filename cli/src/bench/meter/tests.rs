use super::*;

/// An operation that took this long.
fn ago(time: Duration) -> Instant {
    Instant::now().checked_sub(time).unwrap()
}

#[test]
fn what_tasks_have_seen_is_told_when_they_end() {
    let meter = Arc::new(Meter::new(None));
    let mut tallies = [Tally::new(Arc::clone(&meter)), Tally::new(Arc::clone(&meter))];
    for _ in 0..3 * BATCH + 5 {
        tallies[0].done(ago(Duration::from_micros(5)));
        tallies[1].done(ago(Duration::from_millis(1)));
    }
    tallies[1].refused("of something");
    tallies[1].refused("of something else");
    assert!(meter.seen().latencies.count() <= 6 * BATCH as u64 + 10);
    assert!(meter.seen().latencies.count() >= 6 * BATCH as u64, "a full batch is told");
    drop(tallies);
    let seen = meter.seen().clone();
    assert_eq!(seen.latencies.count(), 6 * BATCH as u64 + 10);
    assert!(seen.latencies.quantile(0.25) < seen.latencies.quantile(0.75));
    assert_eq!((seen.refused, seen.reason.as_deref()), (2, Some("of something")));
}

#[test]
fn so_many_operations_begin_and_no_more() {
    let meter = Arc::new(Meter::new(Some(10)));
    let tally = Tally::new(Arc::clone(&meter));
    assert_eq!((0..20).filter(|_| tally.goes_on()).count(), 10);
    assert!(meter.stop.is_said(), "whoever waits for more does so in vain");
}

#[tokio::test]
async fn a_stop_is_heard_by_who_waits_and_by_who_comes_late() {
    let meter = Arc::new(Meter::new(None));
    let tally = Tally::new(Arc::clone(&meter));
    assert!(tally.goes_on());
    tokio::join!(tally.stopped(), tally.stopped(), async { meter.stop.say() });
    tally.stopped().await;
    assert!(!tally.goes_on());
}
