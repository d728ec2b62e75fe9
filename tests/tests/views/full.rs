//! Resources that were opened before their slots, and tables that are full (rules W14 and W19).

use lockmaster_core::wire::{Message, ViewMessage};
use lockmaster_core::{Limits, LockId, Mode, SpaceId, ValueWrite};
use lockmaster_tests::changing::Changing;

const OLD: u16 = 3;
const MASTER: u16 = 1;
const WAITER: u16 = 2;
const HOLDER: u16 = 4;

fn is_report(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::Report(_)))
}

#[test]
fn what_is_open_with_nothing_left_of_it_makes_room_for_what_is_held() {
    // All in one slot, and tables of 64.
    let mut world = Changing::of_slots(&[OLD], 1);
    for id in [MASTER, WAITER, HOLDER] {
        world.start(id);
        world.change();
        world.settle();
    }
    let held: Vec<(Vec<u8>, LockId)> = (0..50)
        .map(|at| format!("held{at}").into_bytes())
        .map(|name| (name.clone(), world.take(HOLDER, &name, Mode::Exclusive)))
        .collect();
    world.crash(OLD);
    for id in [WAITER, HOLDER] {
        world.leave(id);
    }
    // The holder's reports are late, and the waiter has used many other resources meanwhile.
    for _ in 0..8 {
        world.lose_next(HOLDER, MASTER, is_report);
    }
    world.change();
    world.settle();
    for at in 0..30 {
        let name = format!("used{at}").into_bytes();
        let lock = world.ask(WAITER, &name, Mode::Exclusive);
        world.settle();
        if world.grant_of(WAITER, lock).is_some() {
            world.release(WAITER, lock, ValueWrite::Keep);
        } else {
            let _ended = world.node(WAITER).cancel(lock);
        }
        world.settle();
    }
    let now = world.now();
    while !world.node(WAITER).release_retained(now) {
        world.settle();
    }
    assert!(world.node(MASTER).stats().resources_early > 10, "they were open before their slots");
    for _ in 0..100 {
        world.pass(1000);
    }
    assert!(world.node(MASTER).is_settled(), "the slots are open");
    for (name, _) in held {
        assert_eq!(
            world.node(MASTER).decides(SpaceId(0), &name),
            Ok(true),
            "all that is held has found room"
        );
    }
}

#[test]
fn who_stands_behind_what_gives_way_is_granted() {
    const LOCKS: u32 = 16;
    const NEXT: u16 = 5;
    let limits = Limits { physical: LOCKS, ..Limits::uniform(64) };
    let mut world = Changing::with(&[OLD, MASTER, WAITER, HOLDER, NEXT], limits);
    let first = world.name_at(OLD, "first");
    let slot = world.node(OLD).slot_of(SpaceId(0), &first);
    let names = (0..1000).map(|at: u32| format!("other{at}").into_bytes());
    let others: Vec<_> =
        names.filter(|name| world.node(OLD).slot_of(SpaceId(0), name) == slot).take(6).collect();
    for at in 0..LOCKS - 7 {
        let name = world.name_at(MASTER, &format!("own{at}-"));
        world.take(MASTER, &name, Mode::Exclusive);
    }
    for name in &others {
        world.take(HOLDER, name, Mode::Exclusive);
    }
    world.take(HOLDER, &first, Mode::ProtectedRead);
    world.take(NEXT, &first, Mode::Null);
    let gives_way = world.ask(WAITER, &first, Mode::Exclusive);
    world.settle();
    let waits = world.ask(NEXT, &first, Mode::ProtectedRead);
    world.settle();
    world.pass(60);
    assert!(world.grant_of(NEXT, waits).is_none());
    world.crash(OLD);
    for id in [WAITER, HOLDER, NEXT] {
        world.leave(id);
    }
    world.lose_next(HOLDER, MASTER, is_report);
    world.change();
    world.settle();
    assert_eq!(world.node(MASTER).decides(SpaceId(0), &first), Ok(true), "it is open before its slot");
    for _ in 0..20 {
        world.pass(1000);
    }
    assert_eq!(world.node(MASTER).decides(SpaceId(0), &others[5]), Ok(false), "there is no room");
    assert!(world.node(WAITER).held(gives_way).is_err(), "what is merely wanted gives way");
    assert!(world.node(NEXT).held(waits).is_ok(), "it was not denied");
    assert!(world.grant_of(NEXT, waits).is_some(), "nothing is in its way any more");
}
