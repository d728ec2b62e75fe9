use super::*;

fn sample(number: u64) -> Sample {
    Sample { at: Duration::from_millis(50 * number), operations: 10 * number, ..Sample::default() }
}

#[test]
fn however_long_it_takes_the_samples_are_few_and_none_is_forgotten() {
    let mut timeline = Timeline::new(sample(0));
    let mut number = 0;
    while number < 100_000 {
        number = u64::try_from(timeline.due().as_millis()).unwrap() / 50;
        // Slots move, and a view comes, once in a long time.
        let (moving, epoch) = (u32::from(number == 60_000), 1 + u32::from(number >= 80_000));
        timeline.add(Sample { moving, epoch, ..sample(number) });
        assert!(timeline.samples.len() <= SAMPLES_MAX);
    }
    assert!(timeline.samples.len() >= SAMPLES_MAX / 2);
    let operations: f64 =
        timeline.slices().map(|slice| slice.rate * (slice.to - slice.from).as_secs_f64()).sum();
    assert!((operations - 10.0 * number as f64).abs() < 0.5, "{operations}");
    assert_eq!(timeline.views().iter().map(|(_, epoch)| *epoch).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn slots_that_moved_in_between_have_a_mark_when_samples_go() {
    for moving_at in 1..SAMPLES_MAX as u64 {
        let mut timeline = Timeline::new(sample(0));
        for number in 1..SAMPLES_MAX as u64 {
            timeline.add(Sample { moving: u32::from(number == moving_at), ..sample(number) });
        }
        timeline.halve();
        let moves = timeline.moves();
        let at = sample(moving_at).at;
        // The very last one may have gone into the next, which is not there yet.
        if moving_at + 1 < SAMPLES_MAX as u64 {
            assert!(moves.iter().any(|(from, to)| (*from..=*to).contains(&at)), "{at:?}: {moves:?}");
        }
    }
}

#[test]
fn moves_that_follow_each_other_are_one() {
    let mut timeline = Timeline::new(sample(0));
    for number in 1..20 {
        let transfers = if number < 10 { 0 } else { 1 };
        timeline.add(Sample { moving: u32::from((3..=5).contains(&number)), transfers, ..sample(number) });
    }
    let millis = |span: &(Duration, Duration)| (span.0.as_millis(), span.1.as_millis());
    // From the sample before the first that saw it to the one after the last; and a transfer that no sample saw.
    assert_eq!(timeline.moves().iter().map(millis).collect::<Vec<_>>(), [(100, 300), (450, 500)]);
}

#[test]
fn the_last_sample_makes_no_slice_of_an_instant() {
    let mut timeline = Timeline::new(sample(0));
    timeline.add(sample(1));
    let late = Sample { at: sample(1).at + Duration::from_micros(10), operations: 1000, ..Sample::default() };
    timeline.end(late);
    let slices: Vec<_> = timeline.slices().collect();
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0].to, late.at);
    timeline.end(Sample { at: Duration::from_millis(500), ..late });
    assert_eq!(timeline.slices().count(), 2);
    // A run that ends at once has a slice all the same.
    let mut short = Timeline::new(sample(0));
    short.end(Sample { at: Duration::from_micros(10), ..late });
    assert_eq!(short.slices().count(), 1);
}
