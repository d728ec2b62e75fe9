use super::*;
use crate::demo::tests::plan;

const SLOTS: u32 = 64;

/// The choices of node 2 of 4, of which these slots are free.
fn choices(seed: u64, is_free: impl Fn(SlotId) -> bool) -> Vec<(SlotRange, NodeId)> {
    let addresses = vec!["127.0.0.1:1".parse().unwrap(); 4];
    let mut choice = Choice::new(&Plan { node: 2, addresses, seed, ..plan() }, SLOTS);
    (0..1000).filter_map(|_| choice.next(&is_free)).collect()
}

#[test]
fn a_seed_gives_the_same_choices_again() {
    assert_eq!(choices(1, |_| true), choices(1, |_| true));
    assert_ne!(choices(1, |_| true), choices(2, |_| true));
}

#[test]
fn only_free_slots_are_chosen_and_every_other_node() {
    let is_free = |SlotId(slot): SlotId| slot % 16 < 10;
    let choices = choices(1, is_free);
    assert_eq!(choices.len(), 1000);
    for (range, _) in &choices {
        assert!((1..=SLOTS / PART_MAX).contains(&range.len));
        assert!(range.slots().all(is_free));
    }
    for wanted in 1..=SLOTS / PART_MAX {
        assert!(choices.iter().any(|(range, _)| range.len == wanted));
    }
    for node in 0..=5 {
        let is_chosen = choices.iter().any(|(_, to)| *to == NodeId(node));
        assert_eq!(is_chosen, [1, 3, 4].contains(&node), "node {node}");
    }
}

#[test]
fn without_a_free_slot_nothing_is_chosen() {
    assert_eq!(choices(1, |_| false), []);
}
