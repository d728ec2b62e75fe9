use super::*;

/// Who stays of members 1 to `count` with these cuts.
fn check(count: u16, cuts: &[(u16, u16)], staying_members: &[u16]) {
    let members = (1..=count).map(NodeId).collect();
    let cuts = cuts.iter().map(|(a, b)| (NodeId(*a), NodeId(*b))).collect();
    let expected: BTreeSet<NodeId> = staying_members.iter().copied().map(NodeId).collect();
    assert_eq!(staying(&members, &cuts), expected);
}

#[test]
fn without_cuts_all_stay() {
    check(3, &[], &[1, 2, 3]);
    check(0, &[], &[]);
}

#[test]
fn the_larger_side_stays() {
    check(3, &[(1, 2), (1, 3)], &[2, 3]);
    check(3, &[(1, 3), (2, 3)], &[1, 2]);
    check(5, &[(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)], &[3, 4, 5]);
}

#[test]
fn of_equal_sides_the_one_with_the_lowest_number_stays() {
    check(2, &[(1, 2)], &[1]);
    // Sides {1, 4} and {2, 3}.
    check(4, &[(1, 2), (1, 3), (2, 4), (3, 4)], &[1, 4]);
    check(3, &[(1, 2), (1, 3), (2, 3)], &[1]);
}

#[test]
fn within_a_side_the_one_with_the_most_cuts_goes() {
    // 4 reaches 1 alone.
    check(4, &[(2, 4), (3, 4)], &[1, 2, 3]);
    // One link is missing: the higher end goes.
    check(3, &[(1, 3)], &[1, 2]);
    // A ring of four has two missing links.
    check(4, &[(1, 3), (2, 4)], &[1, 2]);
}

#[test]
fn those_that_stay_can_all_talk_to_each_other() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2000 {
        let count = random.u16(1..=12);
        let members: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
        let pairs = (1..=count).flat_map(|a| (a + 1..=count).map(move |b| (NodeId(a), NodeId(b))));
        let cuts: BTreeSet<Cut> = pairs.filter(|_| random.u8(..) < 60).collect();
        let staying = staying(&members, &cuts);
        assert!(!staying.is_empty());
        assert!(!cuts.iter().any(|(a, b)| staying.contains(a) && staying.contains(b)), "{cuts:?}");
    }
}
