//! Transfers and views together: O, N, a C or the coordinator dies at every step (rule W4).

use core::time::Duration;

use lockmaster_core::wire::{Message, TransferBody, ViewMessage};
use lockmaster_core::{
    Certainty, Event, LockId, Mode, NodeId, Refusal, SlotId, SlotRange, SpaceId, Stage, ValueWrite,
    WithdrawError,
};
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
        let ends: Vec<_> = stages(&mut world, O).into_iter().filter(|stage| stage.is_end()).collect();
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

/// The new master has a record that the old one holds EX on and somebody waits for, but not the end of its slot. It is so
/// tight that the departed are forgotten in the call that tells of a view.
fn with_a_part_of_a_slot(frames: usize) -> Option<(Changing, Vec<u8>, LockId)> {
    let mut world = Changing::tight(&[COORDINATOR, O, N, C]);
    let name = world.name_at(O, "lost");
    let slot = world.node(O).slot_of(SpaceId(0), &name).ok().flatten().expect("the name is sound");
    world.take(O, &name, Mode::Exclusive);
    let waits = world.ask(C, &name, Mode::Exclusive);
    // So much that it takes several chunks.
    for at in 0..100 {
        let filler = format!("{}{at}", "filler".repeat(8)).into_bytes();
        if world.node(O).slot_of(SpaceId(0), &filler) == Ok(Some(slot)) {
            world.take(O, &filler, Mode::ProtectedRead);
        }
    }
    world.transfer(O, SlotRange::one(slot), N);
    world.step(frames);
    let has_record = world.node(N).decides(SpaceId(0), &name) == Ok(true);
    let is_whole = world.node(N).slot(slot).is_some_and(|view| view.master == Some(NodeId(N)));
    (has_record && !is_whole).then_some((world, name, waits))
}

#[test]
fn what_a_new_master_has_lost_is_granted_by_nobody() {
    let (mut world, name, waits) =
        (1..100).find_map(with_a_part_of_a_slot).expect("the record comes at some time");
    world.crash(O);
    world.crash(COORDINATOR);
    world.start(O);
    world.start(COORDINATOR);
    world.make_view();
    world.start(9);
    world.crash(9);
    world.make_view();
    let slot = world.node(N).slot_of(SpaceId(0), &name).unwrap().unwrap();
    let grants = |world: &mut Changing| world.node(N).slot_counters(slot).unwrap().0;
    let before = grants(&mut world);
    world.tell(N);
    assert_eq!(
        grants(&mut world),
        before + 1,
        "one for the block that its writer took along, none for who waits"
    );
    assert!(!world.node(N).decides(SpaceId(0), &name).unwrap());
    world.tell(C);
    world.tell(O);
    world.tell(COORDINATOR);
    world.connect();
    world.settle();
    assert!(world.grant_of(C, waits).is_some());
}

fn is_end_ack(message: &Message<'_>) -> bool {
    matches!(message, Message::Transfer(message) if message.body == TransferBody::EndAck)
}

fn is_report(message: &Message<'_>) -> bool {
    matches!(message, Message::View(ViewMessage::Report(_)))
}

/// A cluster of one, which others have joined since and share its slots.
fn grown(earliest: u16, others: &[u16]) -> Changing {
    let mut world = Changing::of(&[earliest]);
    others.iter().for_each(|id| world.start(*id));
    world.change();
    world.settle();
    world.balance();
    world
}

#[test]
fn the_end_of_a_transfer_does_not_end_the_rebuild_of_its_slot() {
    const EARLIEST: u16 = 9;
    const HOLDER: u16 = 4;
    const FIRST: u16 = 1;
    const SECOND: u16 = 2;
    const THIRD: u16 = 3;
    let mut world = grown(EARLIEST, &[FIRST, SECOND, THIRD, HOLDER]);
    let name = world.name_at(FIRST, "held");
    let slot = world.node(FIRST).slot_of(SpaceId(0), &name).ok().flatten().expect("the name is sound");
    let held = world.take(HOLDER, &name, Mode::Exclusive);
    world.lose_next(SECOND, FIRST, is_end_ack);
    world.transfer(FIRST, SlotRange::one(slot), SECOND);
    world.settle();
    world.transfer(SECOND, SlotRange::one(slot), THIRD);
    world.settle();
    world.crash(THIRD);
    // All others are about to leave, so the first one is given the slot back.
    for id in [EARLIEST, SECOND, HOLDER] {
        world.leave(id);
    }
    // The holder's report is lost, and the end of the first transfer is answered before it is said again.
    world.close(SECOND, FIRST);
    world.lose_next(HOLDER, FIRST, is_report);
    world.change();
    world.settle();
    world.open();
    assert_eq!(world.node(FIRST).slot(slot).and_then(|view| view.master), Some(NodeId(FIRST)));
    let waits = world.ask(FIRST, &name, Mode::Exclusive);
    world.settle();
    assert!(world.grant_of(FIRST, waits).is_none(), "the holder was not heard");
    world.pass(1000);
    world.masters();
    assert!(world.grant_of(FIRST, waits).is_none(), "it holds the lock");
    world.release(HOLDER, held, ValueWrite::Keep);
    world.settle();
    assert!(world.grant_of(FIRST, waits).is_some());
}

#[test]
fn who_was_a_master_before_the_last_one_does_not_keep_a_slot_that_is_nobodys() {
    const EARLIEST: u16 = 9;
    const HOLDER: u16 = 4;
    const FIRST: u16 = 1;
    const SECOND: u16 = 2;
    const THIRD: u16 = 3;
    for frames in 0.. {
        let mut world = grown(EARLIEST, &[FIRST, SECOND, THIRD, HOLDER]);
        let name = world.name_at(FIRST, "held");
        let slot = world.node(FIRST).slot_of(SpaceId(0), &name).ok().flatten().expect("the name is sound");
        let held = world.take(HOLDER, &name, Mode::Exclusive);
        // The first one does not hear that its transfer has ended while the second one gives the slot on.
        world.lose_next(SECOND, FIRST, is_end_ack);
        world.transfer(FIRST, SlotRange::one(slot), SECOND);
        world.settle();
        world.transfer(SECOND, SlotRange::one(slot), THIRD);
        let is_over = world.step(frames);
        world.crash(THIRD);
        world.change();
        world.settle();
        world.pass(1000);
        assert!(world.masters().iter().all(|master| *master != THIRD), "after {frames} frames");
        let waits = world.ask(EARLIEST, &name, Mode::Exclusive);
        world.pass(1000);
        assert!(world.grant_of(EARLIEST, waits).is_none(), "it is held, after {frames} frames");
        world.release(HOLDER, held, ValueWrite::Keep);
        world.settle();
        assert!(world.grant_of(EARLIEST, waits).is_some(), "after {frames} frames");
        if is_over {
            assert!(frames > 10, "a transfer takes some frames");
            return;
        }
    }
}

fn is_withdraw(message: &Message<'_>) -> bool {
    matches!(message, Message::Transfer(message) if message.body == TransferBody::Withdraw)
}

fn is_offer_answer(message: &Message<'_>) -> bool {
    matches!(message, Message::Transfer(message) if matches!(message.body, TransferBody::OfferAnswer(_)))
}

#[test]
fn an_orphan_that_was_offered_to_its_reporter_is_reported() {
    const EARLIEST: u16 = 9;
    const FIRST: u16 = 1;
    const SECOND: u16 = 2;
    const THIRD: u16 = 3;
    let mut world = grown(EARLIEST, &[FIRST, SECOND, THIRD]);
    let name = world.name_at(FIRST, "held");
    let slot = world.node(FIRST).slot_of(SpaceId(0), &name).ok().flatten().expect("the name is sound");
    let held = world.take(SECOND, &name, Mode::Exclusive);
    // The second member keeps room for the slot, and does not hear that the offer was taken back.
    world.lose_next(SECOND, FIRST, is_offer_answer);
    let offer = world.transfer(FIRST, SlotRange::one(slot), SECOND);
    world.settle();
    world.lose_next(FIRST, SECOND, is_withdraw);
    let now = world.now();
    world.node(FIRST).withdraw(now, offer).expect("nothing has been packed");
    world.settle();
    // Nor that somebody else has the slot.
    world.close(THIRD, SECOND);
    world.transfer(FIRST, SlotRange::one(slot), THIRD);
    world.settle();
    assert_eq!(world.node(FIRST).slot(slot).and_then(|view| view.master), Some(NodeId(THIRD)));
    world.crash(THIRD);
    world.close(FIRST, SECOND);
    for id in [EARLIEST, SECOND] {
        world.leave(id);
    }
    world.change();
    world.settle();
    world.open();
    world.pass(1000);
    assert_eq!(world.masters()[slot.0 as usize], FIRST);
    let waits = world.ask(FIRST, &name, Mode::Exclusive);
    world.pass(1000);
    assert!(world.grant_of(FIRST, waits).is_none());
    world.release(SECOND, held, ValueWrite::Keep);
    world.settle();
    assert!(world.grant_of(FIRST, waits).is_some(), "the slot is open");
}

#[test]
fn what_ended_with_its_nodes_life_is_not_withdrawn() {
    let mut world = grown(1, &[2]);
    let range = SlotRange::one(slot_of(&mut world, 1));
    world.close(1, 2);
    let transfer = world.transfer(1, range, 2);
    let begin = world.now();
    let [suspect_at, fenced_at, later] = [1, 2, 3].map(|secs| begin.after(Duration::from_secs(secs)));
    world.node(1).handle_certainty(begin, Certainty { suspect_at, fenced_at });
    assert_eq!(world.node(1).withdraw(later, transfer), Err(WithdrawError::Unknown));
    let progress = world.node(1).progress(transfer).expect("its end was not polled");
    assert_eq!(progress.stage, Stage::Cut);
}

#[test]
fn a_member_that_is_about_to_leave_refuses_what_it_was_offered_before() {
    let mut world = Changing::of(&[1, O, N]);
    let slot = slot_of(&mut world, O);
    // The offer is heard only when N's view says that it is about to leave.
    world.close(O, N);
    world.transfer(O, SlotRange::one(slot), N);
    world.leave(N);
    world.make_view();
    for id in [1, O, N] {
        world.tell(id);
    }
    world.open();
    world.pass(1000);
    assert_eq!(stages(&mut world, O), [Stage::Offered, Stage::Refused(Refusal::Leaving)]);
    assert_eq!(world.masters()[slot.0 as usize], O);
}

/// A slot of this node.
fn slot_of(world: &mut Changing, master: u16) -> SlotId {
    let slot = world.masters().iter().position(|one| *one == master).expect("it masters something");
    SlotId(u32::try_from(slot).expect("slots are few"))
}

/// Stages of transfers that a node was told of since it was asked last.
fn stages(world: &mut Changing, node: u16) -> Vec<Stage> {
    let of = |event| if let Event::Transfer(progress) = event { Some(progress.stage) } else { None };
    world.events(node).into_iter().filter_map(of).collect()
}
