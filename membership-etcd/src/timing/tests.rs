use super::*;

const DEFAULT: Timing =
    Timing { ttl: Duration::from_secs(10), margin: Duration::from_secs(1), settle: Duration::from_secs(1) };

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap()
}

#[test]
fn certainty_is_counted_from_the_sending_and_ends_before_the_lease() {
    let sent_at = Instant::from_nanos(5_000_000_000);
    let certainty = DEFAULT.certainty(sent_at);
    // T / 3, and T (1 - 2 * 0.1 %) - 1 s.
    assert_eq!(certainty.suspect_at.since(sent_at), Duration::from_secs(10) / 3);
    assert_eq!(certainty.fenced_at.since(sent_at), Duration::from_millis(8980));
}

#[test]
fn a_member_with_a_slow_clock_stops_before_a_server_with_a_fast_one_expires_its_lease() {
    for seconds in 2..=600 {
        let timing = DEFAULT.with_ttl(Duration::from_secs(seconds));
        let lasting = nanos(timing.certainty(Instant::START).fenced_at.since(Instant::START));
        // True times, with both clocks wrong by 0.1 %.
        let stopped = lasting / 999 * 1000 + 1000;
        let expired = nanos(timing.ttl) / 1001 * 1000;
        assert!(stopped + nanos(timing.margin) <= expired + nanos(timing.ttl) / 100_000, "{seconds} s");
    }
}

#[test]
fn a_margin_longer_than_the_lease_leaves_no_certainty() {
    let timing = Timing { margin: Duration::from_secs(20), ..DEFAULT };
    assert_eq!(timing.certainty(Instant::START).fenced_at, Instant::START);
}

#[test]
fn spans_are_parts_of_the_granted_lease() {
    let timing = DEFAULT.with_ttl(Duration::from_secs(20));
    assert_eq!(timing.renew_every(), Duration::from_secs(4));
    assert_eq!(timing.call_max(), Duration::from_secs(4));
    assert_eq!(timing.read_every(), Duration::from_secs(10));
    assert_eq!(timing.after_revocation(), Duration::from_secs(21));
}

#[test]
fn the_lowest_has_its_turn_at_once_and_others_in_order_after_it() {
    assert_eq!(DEFAULT.turn_after(0, 0.9), Duration::ZERO);
    for rank in 1..6 {
        assert!(DEFAULT.turn_after(rank, 0.999) < DEFAULT.turn_after(rank + 1, 0.0));
    }
    assert!(DEFAULT.turn_after(63, 0.999) < DEFAULT.ttl);
}

#[test]
fn the_longest_lease_that_etcd_grants_has_spans() {
    let timing = DEFAULT.with_ttl(Duration::from_secs(9_000_000_000));
    let spans = [timing.after_revocation(), timing.taken_after(), timing.join_max(), timing.cut_patience()];
    assert!(spans.iter().all(|span| *span > timing.ttl));
    assert!(timing.certainty(Instant::START).fenced_at > Instant::START);
}
