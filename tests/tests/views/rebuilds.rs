//! Slots that get another master without their records (rules W3 and W10 to W14).

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::{
    Denial, Event, Flags, Limits, LockId, Mode, NodeId, SlotId, SpaceId, Value, ValueState, ValueWrite,
};
use lockmaster_tests::changing::Changing;

fn is_granted(world: &Changing, node: u16, lock: LockId) -> bool {
    world.grant_of(node, lock).is_some()
}

#[test]
fn what_a_dead_member_held_goes_to_who_waits_at_a_surviving_master() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "held");
    world.take(3, &name, Mode::Exclusive);
    let waits = world.ask(2, &name, Mode::Exclusive);
    world.settle();
    assert!(!is_granted(&world, 2, waits));
    world.crash(3);
    world.pass(10_000);
    assert!(!is_granted(&world, 2, waits), "a member that is merely silent keeps its locks");
    world.change();
    world.settle();
    assert!(is_granted(&world, 2, waits));
    assert_eq!(world.node(1).stats().locks_purged, 1);
}

#[test]
fn who_holds_a_lock_of_a_dead_master_keeps_it_through_the_rebuild() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "held");
    let held = world.take(1, &name, Mode::Exclusive);
    world.crash(3);
    world.change();
    world.settle();
    let waits = world.ask(2, &name, Mode::ProtectedRead);
    world.pass(1000);
    assert!(!is_granted(&world, 2, waits));
    world.release(1, held, ValueWrite::Keep);
    world.settle();
    assert!(is_granted(&world, 2, waits));
}

#[test]
fn a_queue_keeps_its_order_through_a_rebuild() {
    let mut world = Changing::of(&[1, 2, 3, 4, 5]);
    let name = world.name_at(5, "queue");
    let held = world.take(1, &name, Mode::Exclusive);
    // In an order that is not that of the nodes. Each hears its place.
    let mut queue = Vec::new();
    for id in [4, 2, 3] {
        queue.push((id, world.ask(id, &name, Mode::Exclusive)));
        world.settle();
    }
    world.pass(60);
    world.crash(5);
    world.change();
    world.settle();
    world.release(1, held, ValueWrite::Keep);
    for (at, (id, lock)) in queue.iter().enumerate() {
        world.settle();
        assert!(is_granted(&world, *id, *lock), "node {id} is next");
        let later = &queue[at + 1..];
        assert!(later.iter().all(|(id, lock)| !is_granted(&world, *id, *lock)));
        world.release(*id, *lock, ValueWrite::Keep);
    }
}

#[test]
fn a_request_that_was_never_acknowledged_stands_behind_those_that_were() {
    let mut world = Changing::of(&[1, 2, 3, 4, 5]);
    let name = world.name_at(5, "queue");
    let held = world.take(1, &name, Mode::Exclusive);
    world.close(2, 5);
    let early = world.ask(2, &name, Mode::Exclusive);
    let late = world.ask(4, &name, Mode::Exclusive);
    world.pass(60);
    world.crash(5);
    world.lose();
    world.change();
    world.settle();
    world.release(1, held, ValueWrite::Keep);
    world.settle();
    assert!(is_granted(&world, 4, late));
    assert!(!is_granted(&world, 2, early));
}

#[test]
fn a_further_crash_begins_the_rebuild_again() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let name = world.name_at(4, "orphan");
    let held = world.take(2, &name, Mode::Exclusive);
    let waits = world.ask(1, &name, Mode::Exclusive);
    world.settle();
    world.crash(4);
    // Nothing of the reports arrives, wherever the slot went.
    for from in [1, 2, 3] {
        for to in [1, 2, 3] {
            world.close(from, to);
        }
    }
    world.change();
    world.settle();
    world.crash(3);
    world.lose();
    world.change();
    world.settle();
    world.masters();
    assert!(!is_granted(&world, 1, waits));
    world.release(2, held, ValueWrite::Keep);
    world.settle();
    assert!(is_granted(&world, 1, waits));
}

#[test]
fn reports_of_an_ended_view_do_nothing() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let name = world.name_at(4, "orphan");
    let held = world.take(2, &name, Mode::Exclusive);
    world.crash(4);
    world.close(2, 1);
    world.close(2, 3);
    world.change();
    world.pass(500);
    // What node 2 has said of this view comes after the next one.
    world.release(2, held, ValueWrite::Keep);
    world.start(4);
    world.change();
    world.open();
    world.pass(500);
    world.masters();
    let lock = world.ask(3, &name, Mode::Exclusive);
    world.settle();
    assert!(is_granted(&world, 3, lock), "node 2 holds nothing any more");
}

#[test]
fn a_released_lock_does_not_come_back_by_a_late_request() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "late");
    let held = world.take(2, &name, Mode::Exclusive);
    world.release(2, held, ValueWrite::Keep);
    world.crash(3);
    world.change();
    world.settle();
    let other = world.take(1, &name, Mode::Exclusive);
    assert!(world.node(1).token(other).is_ok());
    let back = world.ask(2, &name, Mode::Exclusive);
    world.pass(1000);
    assert!(!is_granted(&world, 2, back));
}

#[test]
fn a_conversion_goes_on_waiting_with_what_it_holds() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "convert");
    let first = world.take(1, &name, Mode::ProtectedRead);
    let second = world.take(2, &name, Mode::ProtectedRead);
    assert_eq!(world.convert(1, first, Mode::Exclusive), None);
    world.settle();
    world.events(1);
    world.crash(3);
    world.change();
    world.settle();
    assert_eq!(world.grant_of(1, first), None);
    assert_eq!(world.node(1).held(first), Ok(Some(Mode::ProtectedRead)));
    world.release(2, second, ValueWrite::Keep);
    world.settle();
    assert_eq!(world.grant_of(1, first).map(|grant| grant.mode), Some(Mode::Exclusive));
}

#[test]
fn conversions_that_meet_in_a_rebuild_do_not_wait_for_each_other_for_ever() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "deadlock");
    let first = world.take(1, &name, Mode::Null);
    let second = world.take(2, &name, Mode::ConcurrentRead);
    assert_eq!(world.convert(1, first, Mode::Exclusive), None);
    world.settle();
    world.pass(60);
    // The old master never hears of the second one, which would have been denied.
    world.close(2, 3);
    assert_eq!(world.convert(2, second, Mode::ConcurrentWrite), None);
    world.crash(3);
    world.lose();
    world.events(2);
    world.change();
    world.settle();
    let is_denied = |event: &Event| matches!(event, Event::Denied { lock, reason: Denial::Deadlock, .. } if *lock == second);
    assert!(world.events(2).iter().any(is_denied));
    world.release(2, second, ValueWrite::Keep);
    world.settle();
    assert_eq!(world.grant_of(1, first).map(|grant| grant.mode), Some(Mode::Exclusive));
}

#[test]
fn a_no_queue_request_is_answered_after_the_rebuild() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "busy");
    world.take(1, &name, Mode::Exclusive);
    world.crash(3);
    let lock = world.ask_with(2, &name, Mode::Exclusive, Flags::NO_QUEUE);
    world.change();
    world.settle();
    let is_denied = |event: &Event| matches!(event, Event::Denied { lock: denied, reason: Denial::Busy, .. } if *denied == lock);
    assert!(world.events(2).iter().any(is_denied));
}

#[test]
fn tokens_rise_over_a_rebuild() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "token");
    let mut last = None;
    for id in [1, 2, 1, 2] {
        let lock = world.take(id, &name, Mode::Exclusive);
        last = world.grant_of(id, lock).map(|grant| grant.token).max(last);
        world.release(id, lock, ValueWrite::Keep);
        world.settle();
    }
    world.crash(3);
    world.change();
    world.settle();
    let lock = world.take(1, &name, Mode::Exclusive);
    // Node 1 or 2 may have retained it: then it is granted under its old token, with a higher last part.
    assert!(world.grant_of(1, lock).map(|grant| grant.token) > last);
}

#[test]
fn a_new_master_without_room_makes_others_give_up_what_they_do_not_need() {
    let mut world = Changing::with(&[1, 2, 3], Limits { resources: 24, physical: 24, ..Limits::uniform(64) });
    // Node 2 retains many locks of the slots of node 3, and holds one.
    let held = world.name_at(3, "held");
    let kept = world.take(2, &held, Mode::Exclusive);
    for at in 0..12 {
        let name = world.name_at(3, &format!("retained{at}-"));
        let lock = world.take(2, &name, Mode::Exclusive);
        world.release(2, lock, ValueWrite::Keep);
        let own = world.name_at(1, &format!("own{at}-"));
        world.take(1, &own, Mode::Exclusive);
    }
    world.crash(3);
    world.change();
    for _ in 0..20 {
        world.pass(250);
    }
    world.masters();
    assert!(world.node(1).is_settled() && world.node(2).is_settled());
    assert_eq!(world.node(2).held(kept), Ok(Some(Mode::Exclusive)));
    let waits = world.ask(1, &held, Mode::Exclusive);
    world.pass(1000);
    assert!(!is_granted(&world, 1, waits), "what is held is on record");
}

/// A name whose slot node 3 masters, and node 2 if node 3 has died.
fn name_that_goes_to_2(start: &str) -> Vec<u8> {
    let mut world = Changing::of(&[1, 2, 3]);
    let (before, after) = (world.masters(), {
        world.crash(3);
        world.change();
        world.settle();
        world.masters()
    });
    let names = (0..1000).map(|at: u32| format!("{start}{at}").into_bytes());
    let mut slots = names.map(|name| {
        let SlotId(slot) = world.node(1).slot_of(SpaceId(0), &name).expect("a sound name").expect("its slot");
        (name, slot as usize)
    });
    slots.find(|(_, slot)| before[*slot] == 3 && after[*slot] == 2).expect("there is one").0
}

#[test]
fn what_is_held_finds_room_where_other_slots_are_merely_wanted() {
    // Tables of one: node 2 can know one resource.
    let mut world = Changing::with(&[1, 2, 3], Limits { resources: 1, ..Limits::uniform(8) });
    let [held, wanted] = ["held", "wanted"].map(name_that_goes_to_2);
    let kept = world.take(1, &held, Mode::Exclusive);
    world.crash(3);
    let waits = world.ask(2, &wanted, Mode::Exclusive);
    world.change();
    for _ in 0..10 {
        world.pass(250);
    }
    let is_denied =
        |event: &Event| matches!(event, Event::Denied { lock, reason: Denial::Full, .. } if *lock == waits);
    assert!(world.events(2).iter().any(is_denied), "what is merely wanted gives way");
    assert!(world.node(2).is_settled());
    assert_eq!(world.node(1).held(kept), Ok(Some(Mode::Exclusive)));
    assert_eq!(world.node(2).stats().locks_rebuilt, 1);
}

struct Nothing;

impl Outlet for Nothing {
    fn event(&mut self, _event: Event) {}
    fn ready(&mut self, _peer: NodeId) {}
}

/// One node says to another all that it has to say to it. Neither does anything else.
fn say(world: &mut Changing, from: u16, to: u16) {
    let (now, mut frame) = (world.now(), [0; 4096]);
    while let Some(len) = world.node(from).poll_transmit(now, NodeId(to), &mut frame) {
        world.node(to).handle_frame(now, NodeId(from), &frame[..len]).expect("both have the view");
    }
}

#[test]
fn what_was_rebuilt_takes_part_before_anybody_is_heard_about_it() {
    let name = name_that_goes_to_2("lost");
    let mut world = Changing::of(&[1, 2, 3]);
    let writer = world.ask_with(3, &name, Mode::Exclusive, Flags::VALUE);
    world.settle();
    world.release(3, writer, ValueWrite::Set(Value::new(b"lost").expect("it is short")));
    // From now on the block is at its master alone.
    let held = world.take(1, &name, Mode::ProtectedWrite);
    let waits = world.ask_with(2, &name, Mode::Exclusive, Flags::VALUE);
    world.settle();
    world.crash(3);
    world.make_view();
    let (now, view) = (world.now(), world.view().clone());
    for id in [1, 2] {
        world.node(id).handle_view(now, &view).expect("the view is sound");
    }
    // The slot is open, and what is in it was not looked at yet.
    for step in 0.. {
        if world.node(2).decides(SpaceId(0), &name) == Ok(true) {
            break;
        }
        assert!(step < 1000, "the slot is opened");
        for (from, to) in [(1, 2), (2, 1)] {
            say(&mut world, from, to);
            let one = Budget { outputs: 1, records: 1 };
            let _more = drive::run(now, world.node(from), &mut Nothing, one);
        }
    }
    say(&mut world, 2, 1);
    let _more = drive::run(now, world.node(1), &mut Nothing, Budget::ALL);
    world.node(1).release(held, ValueWrite::Keep).expect("it is held");
    say(&mut world, 1, 2);
    world.settle();
    assert!(is_granted(&world, 2, waits));
    assert!(matches!(world.value(2, waits), ValueState::Invalid(_)), "{:?}", world.value(2, waits));
}

#[test]
fn a_purge_takes_as_many_steps_as_its_budget_allows() {
    const LOCKS: usize = 50;
    let mut world = Changing::of(&[1, 2]);
    for at in 0..LOCKS {
        let name = world.name_at(1, &format!("held{at}-"));
        world.take(2, &name, Mode::Exclusive);
    }
    world.crash(2);
    world.make_view();
    let (now, view) = (world.now(), world.view().clone());
    let node = world.node(1);
    node.handle_view(now, &view).expect("the view is sound");
    for _ in 0..3 {
        let wait = drive::run(now, node, &mut Nothing, Budget { outputs: 16, records: 0 });
        assert!(wait.is_spent, "somebody has to come back");
        assert_eq!(node.stats().locks_purged, 0, "a call without a budget leaves long work to others");
    }
    let mut purged = 0;
    for _ in 0..2 * LOCKS {
        let wait = drive::run(now, node, &mut Nothing, Budget { outputs: 16, records: 7 });
        let more = node.stats().locks_purged - purged;
        assert!(more <= 7, "{more} in one call");
        purged += more;
        if !wait.is_spent {
            break;
        }
    }
    assert_eq!(purged, LOCKS as u64);
}

#[test]
fn a_restarted_member_inherits_nothing() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "mine");
    world.take(3, &name, Mode::Exclusive);
    world.crash(3);
    world.start(3);
    world.change();
    world.settle();
    let lock = world.take(2, &name, Mode::Exclusive);
    assert!(is_granted(&world, 2, lock));
    assert_eq!(world.slots_of(3), 4, "what it mastered is given out anew, to it as well");
}
