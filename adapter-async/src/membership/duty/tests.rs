use super::*;

/// Machines that are so far, connected to everybody.
fn machines(lives: [LifeSight; 2]) -> [Sight; 2] {
    lives.map(|life| Sight { life, is_leave_asked: false, connected: vec![NodeId(2)] })
}

#[test]
fn a_life_begins_when_every_machine_has_mourned_the_last() {
    use LifeSight::{Broken, Closed, Fenced, GoesOn, Mourned};
    let cases = [
        ([GoesOn, GoesOn], None),
        ([GoesOn, Fenced], Some(Duty::Fence)),
        ([GoesOn, Mourned], Some(Duty::Fence)),
        ([Fenced, Fenced], None),
        ([Mourned, Fenced], None),
        ([Mourned, Mourned], Some(Duty::Rejoin)),
        ([GoesOn, Closed], Some(Duty::Leave)),
        ([Closed, Closed], Some(Duty::Leave)),
        ([Fenced, Closed], Some(Duty::Die)),
        ([Closed, Broken], Some(Duty::Die)),
    ];
    for (lives, duty) in cases {
        let mut both = machines(lives);
        assert_eq!(Duty::of(&both, Some(&[NodeId(2)])), duty, "{lives:?}");
        both.reverse();
        assert_eq!(Duty::of(&both, Some(&[NodeId(2)])), duty, "{lives:?}, the other way round");
    }
}

#[test]
fn a_peer_is_reached_if_every_machine_reaches_it() {
    let mut both = machines([LifeSight::GoesOn; 2]);
    both[0].connected = vec![NodeId(2), NodeId(3), NodeId(5)];
    both[1].connected = vec![NodeId(3), NodeId(4), NodeId(5)];
    let reachable = vec![NodeId(3), NodeId(5)];
    assert_eq!(Duty::of(&both, Some(&[])), Some(Duty::Report(reachable.clone())));
    assert_eq!(Duty::of(&both, Some(&reachable)), None, "the engine knows it");
    both[1].is_leave_asked = true;
    assert_eq!(Duty::of(&both, Some(&[])), Some(Duty::Announce));
}

#[test]
fn that_nobody_is_reached_is_news_to_an_engine_that_was_told_nothing() {
    let mut both = machines([LifeSight::GoesOn; 2]);
    both[1].connected.clear();
    assert_eq!(Duty::of(&both, None), Some(Duty::Report(Vec::new())));
    assert_eq!(Duty::of(&both, Some(&[])), None);
}
