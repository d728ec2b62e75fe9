//! The end of a life, and the next one (rules W16 to W18).

use core::time::Duration;

use lockmaster_core::{
    Certainty, Event, Incarnation, Instant, LockId, Mode, RejoinError, Standing, ValueWrite, ViewError,
};
use lockmaster_tests::changing::Changing;

fn lost(events: &[Event]) -> Vec<LockId> {
    let lost = |event: &Event| if let Event::Lost { lock, .. } = event { Some(*lock) } else { None };
    events.iter().filter_map(lost).collect()
}

fn after(world: &Changing, millis: u64) -> Instant {
    world.now().after(Duration::from_millis(millis))
}

#[test]
fn every_owner_is_told_once_that_its_lock_is_lost() {
    let mut world = Changing::of(&[1, 2]);
    let names: Vec<_> = (0..20).map(|at| world.name_at(1 + at % 2, &format!("lock{at}-"))).collect();
    let locks: Vec<_> = names.iter().map(|name| world.take(2, name, Mode::Exclusive)).collect();
    let now = world.now();
    world.node(2).fence(now);
    world.settle();
    let mut told = lost(&world.events(2));
    told.sort_unstable();
    let mut all = locks.clone();
    all.sort_unstable();
    assert_eq!(told, all);
    for lock in locks {
        assert!(world.node(2).release(lock, ValueWrite::Keep).is_err(), "it has ended");
    }
    world.node(2).fence(now);
    world.settle();
    assert!(lost(&world.events(2)).is_empty());
}

#[test]
fn certainty_ends_a_life_at_its_instant_and_not_before() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(2, "mine");
    let lock = world.take(2, &name, Mode::Exclusive);
    let certainty = Certainty { suspect_at: after(&world, 100), fenced_at: after(&world, 300) };
    let now = world.now();
    world.node(2).handle_certainty(now, certainty);
    assert_eq!(world.node(2).certain_until(), certainty.fenced_at);
    for (millis, standing) in [(99, Standing::Member), (2, Standing::Suspect), (198, Standing::Suspect)] {
        world.pass(millis);
        let now = world.now();
        assert_eq!(world.node(2).standing(now), standing);
        assert!(lost(&world.events(2)).is_empty());
    }
    world.pass(1);
    assert_eq!(lost(&world.events(2)), [lock]);
    let now = world.now();
    assert_eq!(world.node(2).standing(now), Standing::Fenced);
    assert_eq!(world.node(2).certain_until(), Instant::START);
}

#[test]
fn a_renewal_in_time_takes_suspicion_back() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(2, "mine");
    let now = world.now();
    let short = Certainty { suspect_at: after(&world, 100), fenced_at: after(&world, 900) };
    world.node(2).handle_certainty(now, short);
    world.pass(150);
    let lock = world.ask(1, &name, Mode::Exclusive);
    world.pass(500);
    assert_eq!(world.grant_of(1, lock), None, "a suspect grants nothing as a master");
    let now = world.now();
    world.node(2).handle_certainty(now, Certainty::FOR_EVER);
    world.pass(200);
    assert!(world.grant_of(1, lock).is_some());
}

#[test]
fn a_suspect_serves_its_own_owners_from_what_it_holds() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(1, "retained");
    let lock = world.take(2, &name, Mode::Exclusive);
    world.release(2, lock, ValueWrite::Keep);
    let now = world.now();
    let short = Certainty { suspect_at: after(&world, 100), fenced_at: after(&world, 900) };
    world.node(2).handle_certainty(now, short);
    world.pass(200);
    world.take(2, &name, Mode::Exclusive);
}

#[test]
fn a_fenced_node_grants_decides_and_says_nothing() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(2, "mine");
    let now = world.now();
    world.node(2).fence(now);
    assert!(!world.node(2).decides(lockmaster_core::SpaceId(0), &name).unwrap());
    let own = world.ask(2, &name, Mode::Exclusive);
    let other = world.ask(1, &name, Mode::Exclusive);
    world.pass(10_000);
    assert_eq!(world.grant_of(2, own), None);
    assert_eq!(world.grant_of(1, other), None);
    let view = world.view().clone();
    assert_eq!(world.node(2).handle_view(now, &view), Err(ViewError::Fenced));
}

#[test]
fn requests_that_wait_are_granted_in_the_next_life() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(1, "wanted");
    let held = world.take(1, &name, Mode::Exclusive);
    let waits = world.ask(2, &name, Mode::Exclusive);
    world.settle();
    let now = world.now();
    world.node(2).fence(now);
    assert_eq!(world.node(2).rejoin(now, Incarnation(99)), Err(RejoinError::Alive), "events come first");
    world.settle();
    assert_eq!(world.node(2).rejoin(now, Incarnation(2)), Err(RejoinError::Incarnation));
    world.rejoin(2);
    world.change();
    world.settle();
    assert_eq!(world.grant_of(2, waits), None);
    world.release(1, held, ValueWrite::Keep);
    world.settle();
    assert!(world.grant_of(2, waits).is_some());
}

#[test]
fn a_view_without_a_node_ends_its_life() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "held");
    let lock = world.take(3, &name, Mode::Exclusive);
    world.expel(3);
    world.tell(3);
    world.settle();
    assert_eq!(lost(&world.events(3)), [lock]);
    world.take(2, &name, Mode::Exclusive);
}

#[test]
fn a_grant_that_was_not_told_yet_is_told_before_its_loss() {
    let mut world = Changing::of(&[1, 2]);
    let name = world.name_at(2, "mine");
    let held = world.take(2, &name, Mode::Exclusive);
    let now = world.now();
    let waits = world.ask(2, &name, Mode::Exclusive);
    world.node(2).release(held, ValueWrite::Keep).unwrap();
    world.node(2).fence(now);
    world.settle();
    let events = world.events(2);
    let is_of_lock = |event: &&Event| matches!(event, Event::Granted { lock, .. } | Event::Lost { lock, .. } if *lock == waits);
    let of_lock = events.iter().filter(is_of_lock);
    let of_lock: Vec<_> = of_lock.collect();
    assert!(matches!(of_lock[..], [Event::Granted { .. }, Event::Lost { .. }]), "{of_lock:?}");
}
