use super::*;

#[test]
fn pauses_grow_to_a_bound_and_start_over() {
    let mut backoff = Backoff::new(7);
    let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
    assert!(pauses[0] >= SHORTEST / 2 && pauses[0] <= SHORTEST);
    assert!(pauses.iter().all(|pause| *pause <= LONGEST));
    assert!(pauses[10..].iter().all(|pause| *pause >= LONGEST / 2));
    backoff.reset();
    assert!(backoff.pause() <= SHORTEST);
}

#[test]
fn a_seed_gives_the_same_pauses() {
    let pauses = |seed| {
        let mut backoff = Backoff::new(seed);
        [(); 8].map(|()| backoff.pause())
    };
    assert_eq!(pauses(1), pauses(1));
    assert_ne!(pauses(1), pauses(2));
}
