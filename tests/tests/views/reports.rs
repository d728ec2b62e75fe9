//! Reports whose parts and answers get lost, cross, or find no room, while slots go on (rules W8, W11 to W14).

use lockmaster_core::{
    Conversion, Denial, Event, Flags, Limits, LockId, Mode, NodeId, SlotId, SlotRange, SpaceId, ValueWrite,
    wire::Message, wire::ViewMessage,
};
use lockmaster_tests::changing::{Changing, SLOTS};

/// The old master of all slots, which dies, and who survives. Who joins first of these is the coordinator then.
const OLD: u16 = 3;
const MASTER: u16 = 1;
const REPORTER: u16 = 4;
const THIRD: u16 = 2;

fn is_install(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::MapInstall(_)))
}

fn is_installed(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::MapInstalled(_)))
}

fn is_report(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::Report(_)))
}

fn is_report_beyond_two(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::Report(report)) if report.head.slot.0 >= 2)
}

fn is_answer(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::Reported(reported)) if reported.position > 0)
}

/// All slots are those of one master; the others join one after the other.
fn joined(others: &[u16], limits: Limits) -> Changing {
    let mut world = Changing::with(&[OLD], limits);
    for id in others {
        world.start(*id);
        world.change();
        world.settle();
    }
    world
}

/// A name in each slot, so long that the reports of a few slots fill a frame.
fn names(world: &mut Changing) -> Vec<Vec<u8>> {
    let node = world.node(OLD);
    let mut of_slot = |slot: u32| {
        let mut names = (0..10_000).map(|at| format!("{:->60}", format!("{slot}-{at}")).into_bytes());
        names.find(|name| node.slot_of(SpaceId(0), name) == Ok(Some(SlotId(slot))))
    };
    (0..SLOTS).map(|slot| of_slot(slot).expect("every slot has names")).collect()
}

/// The reporter has a lock in every slot, and the old master is gone.
fn orphaned(others: &[u16]) -> (Changing, Vec<(Vec<u8>, LockId)>) {
    let mut world = joined(others, Limits::uniform(64));
    let names = names(&mut world);
    let mut take = |name: Vec<u8>| {
        let lock = world.take(REPORTER, &name, Mode::Exclusive);
        (name, lock)
    };
    let held = names.into_iter().map(&mut take).collect();
    world.crash(OLD);
    (world, held)
}

/// Slots of the new master, as they will be: once the map is agreed on.
fn slots_to_be(others: &[u16]) -> Vec<u32> {
    let (mut world, _) = orphaned(others);
    world.change();
    world.settle();
    (0..).zip(world.masters()).filter(|(_, master)| *master == MASTER).map(|(slot, _)| slot).collect()
}

/// Everybody has the next view, and everything that is said of it is still on its way.
fn change_slowly(world: &mut Changing) {
    let members = world.members();
    for from in &members {
        for to in &members {
            world.close(*from, *to);
        }
    }
    world.make_view();
    for id in members {
        world.tell(id);
    }
    world.connect();
}

fn decides(world: &mut Changing, name: &[u8]) -> bool {
    world.node(MASTER).decides(SpaceId(0), name) == Ok(true)
}

/// Everything comes to rest, nobody gets what the reporter holds before it is released, and then everybody does.
fn all_is_well(world: &mut Changing, held: &[(Vec<u8>, LockId)], what: &str) {
    for _ in 0..10 {
        world.pass(1000);
    }
    for id in world.members() {
        assert!(world.node(id).is_settled(), "node {id}: {what}");
    }
    world.masters();
    for (name, lock) in held {
        let waits = world.ask(MASTER, name, Mode::Exclusive);
        world.pass(1000);
        assert!(world.grant_of(MASTER, waits).is_none(), "{what}: the reporter holds {name:?}");
        world.release(REPORTER, *lock, ValueWrite::Keep);
        world.settle();
        assert!(world.grant_of(MASTER, waits).is_some(), "{what}: the reporter has released {name:?}");
    }
}

#[test]
fn a_slot_that_goes_on_does_not_stand_for_one_that_was_never_reported() {
    let others = [MASTER, THIRD, REPORTER];
    let slots = slots_to_be(&others);
    assert_eq!(slots, [0, 1, 2, 3, 4]);
    let (mut world, held) = orphaned(&others);
    // Two slots fit into a frame. What is said of the first two arrives; its answer is lost, and all that follows.
    for _ in 0..2 {
        world.lose_next(REPORTER, MASTER, is_report_beyond_two);
        world.lose_next(MASTER, REPORTER, is_answer);
    }
    world.change();
    world.settle();
    let is_open: Vec<_> = slots.iter().map(|slot| decides(&mut world, &held[*slot as usize].0)).collect();
    assert_eq!(is_open, [true, true, false, false, false]);
    world.transfer(MASTER, SlotRange::one(SlotId(0)), THIRD);
    world.settle();
    assert_eq!(world.node(REPORTER).slot(SlotId(0)).unwrap().master, Some(NodeId(THIRD)));
    all_is_well(&mut world, &held, "the first slot has gone on");
}

#[test]
fn whatever_is_lost_is_reported_in_the_end() {
    for frames in 0.. {
        let (mut world, held) = orphaned(&[REPORTER, MASTER]);
        change_slowly(&mut world);
        let is_over = world.step(frames);
        // They meet again, and everything that was not answered is said again at once.
        world.connect();
        all_is_well(&mut world, &held, &format!("after {frames} frames"));
        if is_over {
            assert!(frames > 5, "agreement and reports take some frames");
            return;
        }
    }
}

/// The same, but what the reporter holds is in one slot, whose report has several parts.
fn orphaned_in_one_slot(others: &[u16]) -> (Changing, Vec<(Vec<u8>, LockId)>) {
    let mut world = joined(others, Limits::uniform(64));
    let names = (0..10_000).map(|at| format!("{at:->60}").into_bytes());
    let names = names.filter(|name| world.node(OLD).slot_of(SpaceId(0), name) == Ok(Some(SlotId(0))));
    let names: Vec<_> = names.take(8).collect();
    let mut take = |name: Vec<u8>| {
        let lock = world.take(REPORTER, &name, Mode::Exclusive);
        (name, lock)
    };
    let held = names.into_iter().map(&mut take).collect();
    // Nobody but the master is given the slot.
    world.leave(REPORTER);
    world.crash(OLD);
    (world, held)
}

#[test]
fn a_master_without_the_map_does_not_ask_for_reports_again_and_again() {
    for orphaned in [orphaned, orphaned_in_one_slot] {
        let (mut world, held) = orphaned(&[REPORTER, MASTER]);
        // The map is lost, and the first part of the report in the same frame; the others come.
        world.lose_next(REPORTER, MASTER, is_install);
        world.change();
        world.settle();
        assert!(!world.node(MASTER).is_settled(), "it waits for the map");
        all_is_well(&mut world, &held, "once the map was said again");
    }
}

#[test]
fn a_reporter_that_has_gone_back_hears_that_its_master_is_further() {
    let (mut world, held) = orphaned(&[REPORTER, MASTER]);
    // The first frame of the report is lost, and with it the map; so the map is said once more, alone.
    world.lose_next(REPORTER, MASTER, is_report);
    world.close(MASTER, REPORTER);
    world.change();
    world.open();
    // The master misses the first part and says so; then it gets it, but not the second one.
    world.close(MASTER, REPORTER);
    world.pass(1000);
    world.lose_next(REPORTER, MASTER, is_report);
    world.pass(1000);
    // Both answers come at once.
    world.open();
    all_is_well(&mut world, &held, "after two answers at once");
}

#[test]
fn a_reporter_asks_about_the_slots_that_are_left_when_its_last_one_has_gone_on() {
    let others = [REPORTER, MASTER, THIRD];
    let slots = slots_to_be(&others);
    let (mut world, held) = orphaned(&others);
    // The third member's report is late, so the reporter's is all acknowledged before any slot is open.
    world.close(THIRD, MASTER);
    world.change();
    world.settle();
    let is_open = |world: &mut Changing, slot: u32| decides(world, &held[slot as usize].0);
    assert!(!slots.iter().any(|slot| is_open(&mut world, *slot)), "the third member was not heard");
    // That they are open then is lost.
    world.close(MASTER, REPORTER);
    world.open_one(THIRD, MASTER);
    assert!(slots.iter().all(|slot| is_open(&mut world, *slot)));
    world.lose();
    let last = slots[slots.len() - 1];
    world.transfer(MASTER, SlotRange::one(SlotId(last)), THIRD);
    world.settle();
    assert_eq!(world.node(REPORTER).slot(SlotId(last)).unwrap().master, Some(NodeId(THIRD)));
    assert!(!world.node(REPORTER).is_settled(), "it does not know that the others are open");
    all_is_well(&mut world, &held, "the last slot has gone on");
}

#[test]
fn a_page_of_the_map_is_acknowledged_as_it_was_said_first() {
    let slots = 40;
    let mut world = Changing::of_slots(&[MASTER], slots);
    world.start(REPORTER);
    // The whole map is one page, whose acknowledgement is lost.
    world.lose_next(REPORTER, MASTER, is_installed);
    world.change();
    world.settle();
    // Slots go one by one, so that the same page has room for fewer of them.
    for slot in (0..slots).step_by(2) {
        world.transfer(MASTER, SlotRange::one(SlotId(slot)), REPORTER);
        world.settle();
    }
    let said = |world: &mut Changing| world.node(MASTER).stats().repeats;
    world.pass(1000);
    let before = said(&mut world);
    world.pass(10_000);
    assert_eq!(said(&mut world), before, "the acknowledgement is believed");
}

#[test]
fn what_is_converted_gives_way_to_what_is_held() {
    // Room for the value blocks of what the reporter holds, and for no more.
    const BLOCKS: u32 = 1;
    let others = [MASTER, REPORTER];
    let slots = slots_to_be(&others);
    let mut world = joined(&others, Limits { values: BLOCKS + 1, ..Limits::uniform(64) });
    let names = names(&mut world);
    let of = |nth: usize| names[slots[nth] as usize].clone();
    for nth in 1..=BLOCKS as usize {
        let lock = world.ask_with(REPORTER, &of(nth), Mode::Exclusive, Flags::VALUE);
        world.settle();
        assert!(world.grant_of(REPORTER, lock).is_some());
    }
    // The master itself converts in the first of its slots.
    let held = world.take(MASTER, &of(0), Mode::ConcurrentRead);
    world.take(REPORTER, &of(0), Mode::ConcurrentRead);
    let now = world.now();
    let conversion = Conversion { flags: Flags::VALUE, ..Conversion::default() };
    let asked = world.node(MASTER).convert(now, held, Mode::Exclusive, conversion, ValueWrite::Keep);
    assert_eq!(asked, Ok(None));
    world.crash(OLD);
    world.change();
    for _ in 0..10 {
        world.pass(1000);
    }
    assert!(world.node(MASTER).is_settled(), "all that is held has found room");
    let is_full =
        |event: &Event| matches!(event, Event::Denied { lock, reason: Denial::Full, .. } if *lock == held);
    assert!(world.events(MASTER).iter().any(is_full));
    assert_eq!(world.node(MASTER).held(held), Ok(Some(Mode::ConcurrentRead)));
}

/// Four names of one slot of the old master.
fn names_of_one_slot(world: &mut Changing) -> Vec<Vec<u8>> {
    let first = world.name_at(OLD, &"-".repeat(55));
    let slot = world.node(OLD).slot_of(SpaceId(0), &first);
    let names = (0..1000).map(|at| format!("{at:->60}").into_bytes());
    names.filter(|name| world.node(OLD).slot_of(SpaceId(0), name) == slot).take(4).collect()
}

#[test]
fn a_report_goes_on_where_it_was_although_what_it_said_last_has_ended() {
    // The new master has room for three more locks.
    const LOCKS: u32 = 16;
    let mut world =
        Changing::with(&[OLD, MASTER, REPORTER], Limits { physical: LOCKS, ..Limits::uniform(64) });
    let mut own = |at: u32| {
        let name = world.name_at(MASTER, &format!("own{at}-"));
        world.take(MASTER, &name, Mode::Exclusive)
    };
    let own: Vec<_> = (0..LOCKS - 3).map(&mut own).collect();
    let names = names_of_one_slot(&mut world);
    // The reporter holds two resources, merely wants the third, with which a part of its report ends, and holds the next.
    let mut held: Vec<_> =
        names[..2].iter().map(|name| (name.clone(), world.take(REPORTER, name, Mode::Exclusive))).collect();
    world.close(REPORTER, OLD);
    world.ask(REPORTER, &names[2], Mode::Exclusive);
    world.lose();
    held.push((names[3].clone(), world.take(REPORTER, &names[3], Mode::Exclusive)));
    world.crash(OLD);
    world.leave(REPORTER);
    world.events(REPORTER);
    world.change();
    world.settle();
    let is_full = |event: &Event| matches!(event, Event::Denied { reason: Denial::Full, .. });
    let denied = world.events(REPORTER).into_iter().filter(is_full).count();
    assert_eq!(denied, 1, "what is wanted gives way to what is held");
    for lock in own {
        world.release(MASTER, lock, ValueWrite::Keep);
    }
    let now = world.now();
    assert!(world.node(MASTER).release_retained(now));
    world.settle();
    all_is_well(&mut world, &held, "after it was said again");
}

#[test]
fn a_report_that_was_cut_otherwise_before_still_gives_way() {
    // The new master has room for three more locks.
    const LOCKS: u32 = 16;
    let mut world =
        Changing::with(&[OLD, MASTER, REPORTER], Limits { physical: LOCKS, ..Limits::uniform(64) });
    for at in 0..LOCKS - 3 {
        let name = world.name_at(MASTER, &format!("own{at}-"));
        world.take(MASTER, &name, Mode::Exclusive);
    }
    let names = names_of_one_slot(&mut world);
    // The reporter holds two resources and wants two more; its first part ends with the third.
    for name in &names[..2] {
        world.take(REPORTER, name, Mode::Exclusive);
    }
    world.close(REPORTER, OLD);
    let [third, last] = [2, 3].map(|at: usize| world.ask(REPORTER, &names[at], Mode::Exclusive));
    world.lose();
    world.crash(OLD);
    world.leave(REPORTER);
    // The master has heard the first part and has no room for the second: both answers are lost.
    for _ in 0..2 {
        world.lose_next(MASTER, REPORTER, is_answer);
    }
    world.change();
    world.settle();
    world.events(REPORTER);
    // Nobody wants the third any more, so what is said again is one part, and the master is in the middle of it.
    world.node(REPORTER).abandon(third).expect("it waits");
    for _ in 0..10 {
        world.pass(1000);
    }
    let is_full =
        |event: &Event| matches!(event, Event::Denied { lock, reason: Denial::Full, .. } if *lock == last);
    assert!(world.events(REPORTER).iter().any(is_full), "what is merely wanted gives way");
}
