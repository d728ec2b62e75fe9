//! Transfers and views together: O, N, a C or the coordinator dies at every step (rule W4).

use lockmaster_core::{Event, LockId, Mode, SlotId, SlotRange, Stage, ValueWrite};
use lockmaster_tests::changing::{Changing, SLOTS};

const O: u16 = 2;
const N: u16 = 3;
const C: u16 = 4;
const COORDINATOR: u16 = 1;

/// Who holds what, under which handle.
type Held = (u16, Vec<u8>, LockId);

/// Four members, locks held by C and N and waited for by the coordinator on slots of O, and a transfer to N that has gone
/// on for so many frames.
fn in_transfer(frames: usize) -> (Changing, Vec<Held>, bool) {
    let mut world = Changing::of(&[COORDINATOR, O, N, C]);
    let mut held = Vec::new();
    for at in 0..6 {
        let name = world.name_at(O, &format!("lock{at}-"));
        let holder = [C, N, COORDINATOR][at % 3];
        let lock = world.take(holder, &name, Mode::Exclusive);
        held.push((holder, name, lock));
    }
    let first = (0..).zip(world.masters()).find(|(_, master)| *master == O);
    let (first, _) = first.expect("it masters something");
    let range = SlotRange { first: SlotId(first), len: SLOTS / 4 };
    world.transfer(O, range, N);
    let is_over = world.step(frames);
    (world, held, is_over)
}

/// Somebody dies after so many frames; everybody else keeps what they hold, and gets the rest.
fn dies_at_every_step(victim: u16) {
    for frames in 0.. {
        let (mut world, held, is_over) = in_transfer(frames);
        world.crash(victim);
        world.change();
        world.settle();
        world.pass(1000);
        let masters = world.masters();
        assert!(masters.iter().all(|master| *master != victim), "after {frames} frames: {masters:?}");
        for (holder, name, lock) in &held {
            let asker = if *holder == COORDINATOR { C } else { COORDINATOR };
            let asker = if asker == victim { N } else { asker };
            if asker == *holder {
                continue;
            }
            let waits = world.ask(asker, name, Mode::Exclusive);
            world.pass(1000);
            let is_dead = *holder == victim;
            let is_granted = world.grant_of(asker, waits).is_some();
            assert_eq!(is_granted, is_dead, "{holder} holds, {asker} asks, after {frames} frames");
            if !is_dead {
                world.release(*holder, *lock, ValueWrite::Keep);
                world.settle();
                assert!(world.grant_of(asker, waits).is_some(), "after {frames} frames");
            }
        }
        if is_over {
            assert!(frames > 10, "a transfer takes some frames");
            return;
        }
    }
}

#[test]
fn the_old_master_dies_at_every_step() {
    dies_at_every_step(O);
}

#[test]
fn the_new_master_dies_at_every_step() {
    dies_at_every_step(N);
}

#[test]
fn another_member_dies_at_every_step() {
    dies_at_every_step(C);
}

#[test]
fn the_coordinator_dies_at_every_step() {
    dies_at_every_step(COORDINATOR);
}

#[test]
fn a_member_joins_at_every_step() {
    for frames in 0.. {
        let (mut world, held, is_over) = in_transfer(frames);
        world.start(7);
        world.change();
        world.settle();
        world.pass(1000);
        world.masters();
        let ends: Vec<_> = world
            .events(O)
            .into_iter()
            .filter_map(
                |event| if let Event::Transfer(progress) = event { Some(progress.stage) } else { None },
            )
            .filter(|stage| stage.is_end())
            .collect();
        assert_eq!(ends, [Stage::Done], "after {frames} frames");
        for (holder, name, lock) in &held {
            let waits = world.ask(7, name, Mode::Exclusive);
            world.pass(500);
            assert!(world.grant_of(7, waits).is_none());
            world.release(*holder, *lock, ValueWrite::Keep);
            world.settle();
            assert!(world.grant_of(7, waits).is_some());
        }
        if is_over {
            return;
        }
    }
}

#[test]
fn the_end_of_a_cut_transfer_is_told_once() {
    let (mut world, _, _) = in_transfer(6);
    world.crash(N);
    world.change();
    world.settle();
    let ends = world
        .events(O)
        .into_iter()
        .filter(|event| matches!(event, Event::Transfer(progress) if progress.stage == Stage::Cut));
    assert_eq!(ends.count(), 1);
    world.start(9);
    world.change();
    world.settle();
    assert!(!world.events(O).iter().any(|event| matches!(event, Event::Transfer(_))));
}
