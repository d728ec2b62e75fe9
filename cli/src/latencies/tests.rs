use super::*;

/// The time within which so many thousandths were done, of a list in order.
fn quantile_of(sorted: &[u64], thousandths: u32) -> u64 {
    let rank = (thousandths as usize * sorted.len()).div_ceil(1000);
    sorted[rank.max(1) - 1]
}

#[test]
fn quantiles_are_those_of_a_sorted_list() {
    let mut lots = fastrand::Rng::with_seed(11);
    for spread in [1, 3, 10, 30, 39] {
        let mut latencies = Latencies::default();
        let draw = |_| {
            let most = 1 << lots.u32(0..=spread);
            lots.u64(1..=most)
        };
        let mut times: Vec<u64> = (0..20_000).map(draw).collect();
        times.iter().for_each(|nanos| latencies.record(Duration::from_nanos(*nanos)));
        times.sort_unstable();
        for thousandths in [0, 100, 500, 900, 990, 999, 1000] {
            let expected = quantile_of(&times, thousandths);
            let seen = latencies.quantile(f64::from(thousandths) / 1000.0);
            let seen = u64::try_from(seen.as_nanos()).unwrap();
            // Three digits.
            assert!(
                seen >= expected && seen - expected <= expected / 1000,
                "{thousandths}: {seen}, not {expected}"
            );
        }
        let (last, longest) = (times[times.len() - 1], u64::try_from(latencies.max().as_nanos()).unwrap());
        assert!(longest >= last && longest - last <= last / 1000, "{longest}, not {last}");
        assert_eq!(latencies.count(), 20_000);
        assert_eq!(latencies.recorded().map(|(_, count)| count).sum::<u64>(), 20_000);
    }
}

#[test]
fn what_is_added_counts_as_if_it_had_been_recorded() {
    let mut lots = fastrand::Rng::with_seed(12);
    let (mut all, mut parts) = (Latencies::default(), [Latencies::default(), Latencies::default()]);
    for _ in 0..10_000 {
        let time = Duration::from_nanos(lots.u64(1..10_000_000));
        all.record(time);
        parts[usize::from(lots.bool())].record(time);
    }
    let [mut sum, other] = parts;
    sum.add(&other);
    assert!(all.recorded().eq(sum.recorded()));
}

#[test]
fn what_takes_longer_than_an_hour_counts_as_an_hour() {
    let mut latencies = Latencies::default();
    latencies.record(Duration::from_secs(1_000_000));
    assert!(latencies.max() >= Duration::from_secs(3600) && latencies.max() < Duration::from_secs(3610));
}
