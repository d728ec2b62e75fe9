//! Offers: refused in the call, refused by the other node, taken back; and the room that is made for them.

use Mode::{Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::{OfferAnswer, TransferBody};
use lockmaster_core::{
    Config, Denial, Event, Flags, Full, Limits, Mode, NodeId, Refusal, RequestError, Retention, SlotId,
    SlotRange, Stage, TRANSFERS_MAX, TransferError, TransferId, WithdrawError,
};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, EVERYBODY, IDLE, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, ask_with, begin, finish, give,
    is_chunk, is_settled_on, lock, long_names, mode_of, quartet, range_of, release, slot_of, slow_quartet,
    small_chunks,
};

// ---- refused in the call ----

/// The call is refused for this reason, leaves no trace, and nobody hears of it.
fn refuses(cluster: &mut Cluster, node: NodeId, range: SlotRange, to: NodeId, error: TransferError) {
    cluster.news(node);
    let before = EVERYBODY.map(|node| cluster.node(node).digest());
    assert_eq!(cluster.transfer(node, range, to), Err(error), "{range} from {node} to {to}");
    assert_eq!(EVERYBODY.map(|node| cluster.node(node).digest()), before, "{error}: nothing has changed");
    assert_eq!(cluster.news(node), []);
    for to in EVERYBODY {
        assert!(to == node || cluster.is_silent(node, to), "{error}: node {to} hears nothing");
    }
}

const fn range(first: u32, len: u32) -> SlotRange {
    SlotRange { first: SlotId(first), len }
}

#[test]
fn there_must_be_such_slots() {
    let mut cluster = quartet();
    let all = cluster.node(OLD).all_slots();
    assert_eq!(all, range(0, 16));
    let (idle, plain) = (cluster.node(OLD).slots(IDLE).unwrap(), cluster.node(OLD).slots(PLAIN).unwrap());
    assert_eq!((idle, plain), (range(0, 8), range(8, 8)));
    for wrong in
        [range(0, 0), range(16, 1), range(15, 2), range(0, 17), range(u32::MAX, 1), range(1, u32::MAX)]
    {
        refuses(&mut cluster, OLD, wrong, NEW, TransferError::Range);
    }
}

#[test]
fn a_node_gives_away_what_it_is_master_of() {
    let mut cluster = quartet();
    for wrong in [range(2, 1), range(1, 2), range(0, 16), range(0, 8)] {
        refuses(&mut cluster, OLD, wrong, NEW, TransferError::NotMaster);
    }
    refuses(&mut cluster, NEW, range(0, 2), CARL, TransferError::NotMaster);
    cluster.hand_over(OLD, range(0, 1), NEW);
    refuses(&mut cluster, OLD, range(0, 1), CARL, TransferError::NotMaster);
    refuses(&mut cluster, OLD, range(0, 2), CARL, TransferError::NotMaster);
}

#[test]
fn a_node_gives_slots_to_another_member() {
    let mut cluster = quartet();
    for nobody in [OLD, NodeId(0), NodeId(5), NodeId(u16::MAX)] {
        refuses(&mut cluster, OLD, range(0, 1), nobody, TransferError::Member(nobody));
    }
}

#[test]
fn a_slot_moves_once_at_a_time() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 3);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let slots = [range.first, SlotId(range.first.0 + 1)];
    give(&mut cluster, range);
    // At each step: offered, moving, announced.
    let steps: [fn(&Frame) -> bool; 3] =
        [|frame| frame.is(Word::Offer), is_chunk, |frame| frame.is(Word::NewMaster)];
    let mut held = Vec::new();
    for step in steps {
        cluster.deliver_all(&held);
        held = cluster.run_but(step);
        assert!(!held.is_empty());
        for slot in slots {
            let view = cluster.node(OLD).slot(slot).unwrap();
            assert!(view.is_moving);
            for to in [NEW, DORA] {
                refuses(&mut cluster, OLD, SlotRange::one(slot), to, TransferError::InTransfer);
            }
            // The new master does not pass on what is not wholly its own yet.
            if cluster.node(NEW).slot(slot).unwrap().master == Some(NEW) {
                refuses(&mut cluster, NEW, SlotRange::one(slot), DORA, TransferError::InTransfer);
            }
        }
        // All chunks at the next step.
        while held.iter().any(is_chunk) {
            let chunk = held.remove(0);
            cluster.deliver(&chunk);
            held.extend(cluster.run_but(|frame| is_chunk(frame) || frame.is(Word::NewMaster)));
        }
        if held.iter().any(|frame| frame.is(Word::NewMaster)) {
            break;
        }
    }
    for slot in slots {
        let error = cluster.transfer(NEW, SlotRange::one(slot), DORA);
        assert_eq!(error, Err(TransferError::InTransfer), "the interval lasts");
    }
    cluster.deliver_all(&held);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    cluster.hand_over(NEW, SlotRange::one(slots[0]), DORA);
    finish(&mut cluster, &owned);
}

#[test]
fn a_node_gives_so_many_transfers_at_a_time() {
    let most = u32::try_from(TRANSFERS_MAX).unwrap();
    let mut cluster = Cluster::of_slots(&[Limits::uniform(64); 4], 20, |_| {});
    let first = cluster.slots_of(OLD, PLAIN)[0].0;
    for at in 0..most {
        cluster.transfer(OLD, range(first + at, 1), [NEW, CARL, DORA][at as usize % 3]).unwrap();
    }
    refuses_but_talks(&mut cluster, range(first + most, 1));
    cluster.settle(SHORT);
    assert_eq!(cluster.ends(OLD), [Stage::Done; TRANSFERS_MAX]);
    cluster.hand_over(OLD, range(first + most, 1), NEW);
}

/// As `refuses`, of a node that has much to say.
fn refuses_but_talks(cluster: &mut Cluster, range: SlotRange) {
    let before = cluster.node(OLD).digest();
    assert_eq!(cluster.transfer(OLD, range, NEW), Err(TransferError::TooMany));
    assert_eq!(cluster.node(OLD).digest(), before);
}

#[test]
fn nothing_moves_before_every_member_was_heard() {
    let mut cluster = Cluster::unacquainted(4, Retention::Never);
    refuses(&mut cluster, OLD, range(0, 1), NEW, TransferError::NotOpen);
    for from in [NEW, CARL] {
        cluster.introduce(from, OLD);
        refuses(&mut cluster, OLD, range(0, 1), NEW, TransferError::NotOpen);
    }
}

#[test]
fn slots_are_shown_as_they_are() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let before = cluster.node(OLD).slot(slot).unwrap();
    assert_eq!((before.master, before.is_moving, before.room.resources), (Some(OLD), false, 0));
    assert_eq!(cluster.node(OLD).slot(SlotId(16)), None);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    assert_eq!(cluster.node(CARL).slot_of(PLAIN, &name), Ok(Some(slot)));
    let owned = lock(&mut cluster, &name, CARL, Exclusive);
    let room = cluster.node(OLD).slot(slot).unwrap().room;
    assert_eq!((room.resources, room.physical, room.values), (1, 1, 0));
    cluster.hand_over(OLD, SlotRange::one(slot), NEW);
    let after = EVERYBODY.map(|node| cluster.node(node).slot(slot).unwrap());
    for view in after {
        assert_eq!((view.master, view.version, view.is_moving), (Some(NEW), after[0].version, false));
        assert!(view.version > before.version);
    }
    assert_eq!((after[0].room.physical, after[1].room.physical), (0, 1));
    assert_eq!(cluster.decider(PLAIN, &name), Some(NEW));
    finish(&mut cluster, &[owned]);
}

// ---- refused by the other node ----

/// The new master has little room; the slot needs more of one kind.
fn is_refused(limits: Limits, full: Full) {
    let roomy = Limits::uniform(64);
    let mut cluster = Cluster::of_slots(&[roomy, limits, roomy, roomy], 2, |_| {});
    let names = long_names(&mut cluster, 6);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned = Vec::new();
    for name in &names {
        owned.push(ask_with(&mut cluster, name, CARL, Exclusive, Flags::VALUE));
        cluster.run();
    }
    let records =
        |cluster: &mut Cluster| names.iter().map(|name| cluster.look_at(OLD, PLAIN, name)).collect();
    let before: Vec<lockmaster_tests::cluster::Look> = records(&mut cluster);
    let maps = cluster.maps(range.first);
    give(&mut cluster, range);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Refused(Refusal::Full(full))]);
    assert_eq!(cluster.maps(range.first), maps);
    assert_eq!(cluster.moving(range.first), [false; 4]);
    let after: Vec<lockmaster_tests::cluster::Look> = records(&mut cluster);
    assert_eq!(format!("{after:?}"), format!("{before:?}"), "nothing has changed");
    // Nobody keeps room or a reservation of the name.
    cluster.settle(LONG);
    cluster.hand_over(OLD, range, DORA);
    finish(&mut cluster, &owned);
}

#[test]
fn a_node_without_room_refuses_and_says_what_is_full() {
    let roomy = Limits::uniform(64);
    is_refused(Limits { resources: 5, ..roomy }, Full::Resources);
    is_refused(Limits { physical: 5, ..roomy }, Full::Physical);
    is_refused(Limits { names: 5, ..roomy }, Full::Names);
    is_refused(Limits { values: 5, ..roomy }, Full::Values);
}

#[test]
fn a_node_takes_so_many_transfers_at_a_time() {
    let each = 10;
    let mut cluster = Cluster::of_slots(&[Limits::uniform(256); 4], each, |_| {});
    let mut transfers = 0;
    // Nobody's transfer comes further than its acceptance.
    for giver in [OLD, CARL] {
        for slot in cluster.slots_of(giver, PLAIN).into_iter().take(9) {
            cluster.transfer(giver, SlotRange::one(slot), NEW).unwrap();
            transfers += 1;
        }
    }
    let held = cluster.run_but(|frame| frame.is(Word::Accepted));
    assert_eq!((transfers, held.len()), (18, TRANSFERS_MAX));
    let ends = [cluster.ends(OLD), cluster.ends(CARL)].concat();
    assert_eq!(ends, [Stage::Refused(Refusal::TooMany); 2]);
    cluster.deliver_all(&held);
    cluster.run();
    let ends = [cluster.ends(OLD), cluster.ends(CARL)].concat();
    assert_eq!(ends, [Stage::Done; TRANSFERS_MAX]);
}

#[test]
fn slots_that_the_other_node_knows_as_anothers_are_refused() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    // Dora has not heard that the slot is the new master's, who offers it to her already... it cannot before the
    // interval has ended. But her answer to an offer of somebody who is not its master says so.
    let version = cluster.node(OLD).slot(range.first).unwrap().version;
    let version = lockmaster_core::MapVersion { count: version.count + 1, ..version };
    let room = lockmaster_core::Room::NONE;
    let body = TransferBody::Offer { to: DORA, need: room, room };
    let message = lockmaster_core::wire::TransferMessage { range, version, body };
    cluster.deliver(&Frame::forged_transfer(CARL, DORA, &message).unwrap());
    if let Some(answer) = cluster.next_frame(DORA, CARL) {
        let refused = TransferBody::OfferAnswer(OfferAnswer::Refused(Refusal::Stale));
        assert_eq!(answer.transfer().body, refused);
    }
    assert_eq!(cluster.moving(range.first), [false; 4]);
    cluster.hand_over(OLD, range, DORA);
}

// ---- taken back ----

fn withdrawn(cluster: &mut Cluster, range: SlotRange, transfer: TransferId) {
    assert_eq!(cluster.withdraw(OLD, transfer), Ok(()));
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Withdrawn]);
    is_settled_on(cluster, range, OLD);
    assert_eq!(cluster.withdraw(OLD, transfer), Err(WithdrawError::Unknown));
}

#[test]
fn an_offer_can_be_taken_back_until_records_move() {
    let holds: [fn(&Frame) -> bool; 4] = [
        |frame| frame.is(Word::Offer),
        |frame| frame.is(Word::Offer) && frame.to == NEW,
        |frame| frame.is(Word::Accepted),
        |frame| frame.is(Word::Noted) && frame.from == DORA,
    ];
    for hold in holds {
        for is_late in [false, true] {
            let mut cluster = quartet();
            let range = SlotRange::one(slot_of(&mut cluster));
            let name = long_names(&mut cluster, 1).remove(0);
            let owned = lock(&mut cluster, &name, CARL, Exclusive);
            let transfer = give(&mut cluster, range);
            let held = cluster.run_but(hold);
            assert!(!held.is_empty());
            assert_eq!(cluster.decider(PLAIN, &name), Some(OLD));
            if is_late {
                // What was on its way arrives after the withdrawal.
                withdrawn(&mut cluster, range, transfer);
                cluster.deliver_all(&held);
            } else {
                cluster.withdraw(OLD, transfer).unwrap();
                cluster.deliver_all(&held);
                cluster.settle(LONG);
                assert_eq!(cluster.ends(OLD), [Stage::Withdrawn]);
            }
            cluster.settle(LONG);
            is_settled_on(&mut cluster, range, OLD);
            assert_eq!(cluster.decider(PLAIN, &name), Some(OLD));
            cluster.hand_over(OLD, range, CARL);
            finish(&mut cluster, &[owned]);
        }
    }
}

#[test]
fn an_offer_can_be_taken_back_when_all_have_agreed_and_nothing_was_packed() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    let name = long_names(&mut cluster, 1).remove(0);
    let owned = lock(&mut cluster, &name, CARL, Exclusive);
    let transfer = give(&mut cluster, range);
    let answers = cluster.run_but(|frame| frame.is(Word::Accepted) || frame.is(Word::Noted));
    assert_eq!(answers.len(), 3);
    cluster.deliver_all(&answers);
    // Nobody has asked for a frame with a chunk yet.
    cluster.withdraw(OLD, transfer).unwrap();
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Withdrawn]);
    is_settled_on(&mut cluster, range, OLD);
    cluster.deliver_all(&answers);
    cluster.settle(LONG);
    is_settled_on(&mut cluster, range, OLD);
    finish(&mut cluster, &[owned]);
}

#[test]
fn once_records_move_there_is_no_way_back() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 3);
    let range = SlotRange::one(slot_of(&mut cluster));
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (transfer, flight) = begin(&mut cluster, range);
    let before = cluster.node(OLD).digest();
    assert_eq!(cluster.withdraw(OLD, transfer), Err(WithdrawError::Begun));
    assert_eq!(cluster.node(OLD).digest(), before);
    assert_eq!(cluster.withdraw(CARL, transfer), Err(WithdrawError::Unknown), "it is not Carl's");
    cluster.deliver_all(&flight);
    let held = cluster.run_but(|frame| frame.is(Word::NewMaster));
    assert_eq!(cluster.withdraw(OLD, transfer), Err(WithdrawError::Begun));
    cluster.deliver_all(&held);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    assert_eq!(cluster.withdraw(OLD, transfer), Err(WithdrawError::Unknown));
    finish(&mut cluster, &owned);
}

#[test]
fn a_lost_withdrawal_is_repeated() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    let transfer = give(&mut cluster, range);
    cluster.run_but(|frame| frame.is(Word::Accepted));
    cluster.withdraw(OLD, transfer).unwrap();
    let lost = cluster.run_but(|frame| frame.is(Word::Withdraw));
    assert_eq!(lost.len(), 3);
    assert!(cluster.moving(range.first)[1], "the other still keeps room");
    let lost = cluster.settle_but(SHORT, |frame| frame.is(Word::WithdrawAck));
    assert!(!lost.is_empty());
    cluster.settle(SHORT * 2);
    is_settled_on(&mut cluster, range, OLD);
    assert_eq!(cluster.ends(OLD), [Stage::Withdrawn]);
    cluster.said();
    cluster.settle(LONG);
    assert_eq!(cluster.said().len(), 0, "all have acknowledged");
}

#[test]
fn requests_are_served_beside_a_withdrawal() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    let name = long_names(&mut cluster, 1).remove(0);
    let transfer = give(&mut cluster, range);
    let held = cluster.run_but(|frame| frame.is(Word::Accepted));
    let mut owned = Vec::new();
    for node in EVERYBODY {
        owned.push(lock(&mut cluster, &name, node, ProtectedRead));
    }
    cluster.withdraw(OLD, transfer).unwrap();
    for node in EVERYBODY {
        owned.push(ask(&mut cluster, &name, node, Null));
    }
    cluster.deliver_all(&held);
    cluster.settle(LONG);
    is_settled_on(&mut cluster, range, OLD);
    finish(&mut cluster, &owned);
}

// ---- room ----

#[test]
fn what_is_reserved_is_kept_from_others() {
    let roomy = Limits::uniform(64);
    let mut cluster =
        Cluster::of_slots(&[roomy, Limits { physical: 24, ..roomy }, roomy, roomy], 2, small_chunks);
    let names = long_names(&mut cluster, 6);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, flight) = begin(&mut cluster, range);
    // Now others want all that the new master has left.
    let elsewhere = cluster.slots_of(NEW, PLAIN)[0];
    let mut denied = 0;
    for name in cluster.names_in(PLAIN, elsewhere, "mine", 30) {
        let dora = ask(&mut cluster, &name, DORA, Exclusive);
        cluster.run_but(is_chunk);
        let is_live = cluster.node(DORA).held(dora.1).is_ok();
        denied += usize::from(!is_live);
        owned.extend(is_live.then_some(dora));
    }
    assert!(denied >= 12, "{denied} of 30 did not fit beside 6 that are coming");
    cluster.deliver_all(&flight);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(&mut cluster, range, NEW);
    finish(&mut cluster, &owned);
}

/// Records come into being in the slot while it moves, more than were offered.
fn grows(limits: Limits, count: usize, shape: impl Fn(&mut Config)) -> (usize, usize) {
    let roomy = Limits::uniform(512);
    let mut cluster = Cluster::of_slots(&[roomy, limits, roomy, roomy], 2, shape);
    let names = long_names(&mut cluster, count + 6);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> = names[..6].iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, mut flight) = begin(&mut cluster, range);
    let (mut granted, mut denied) = (0, 0);
    for name in &names[6..] {
        let dora = ask(&mut cluster, name, DORA, Exclusive);
        flight.extend(cluster.run_but(is_chunk));
        match cluster.happened(DORA)[..] {
            [Event::Granted { .. }] => {
                granted += 1;
                owned.push(dora);
            }
            [Event::Denied { reason: Denial::Full, .. }] => denied += 1,
            ref other => panic!("granted or full: {other:?}"),
        }
    }
    while !flight.is_empty() {
        let chunk = flight.remove(0);
        cluster.deliver(&chunk);
        flight.extend(cluster.run_but(is_chunk));
    }
    cluster.settle(SHORT);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(&mut cluster, range, NEW);
    // Nothing is lost: every grant is on record at the new master.
    for owned in &owned {
        assert_eq!(mode_of(&mut cluster, *owned), Some(Exclusive));
    }
    let records = cluster.node(NEW).slot(range.first).expect("there is such a slot").room;
    assert_eq!(records.physical as usize, owned.len());
    finish(&mut cluster, &owned);
    (granted, denied)
}

#[test]
fn more_room_is_asked_for_while_records_come_into_being() {
    assert_eq!(grows(Limits::uniform(512), 100, small_chunks), (100, 0));
}

#[test]
fn beyond_the_room_of_the_new_master_requests_are_denied_and_nothing_is_lost() {
    let roomy = Limits::uniform(512);
    for limits in
        [Limits { physical: 40, ..roomy }, Limits { resources: 40, ..roomy }, Limits { names: 40, ..roomy }]
    {
        let (granted, denied) = grows(limits, 100, small_chunks);
        assert!(granted <= 34 && denied >= 66, "{granted} granted, {denied} denied of 100");
        assert!(granted > 0, "there is head-room");
    }
}

#[test]
fn an_owner_at_the_old_master_is_told_full_too() {
    let roomy = Limits::uniform(512);
    let mut cluster =
        Cluster::of_slots(&[roomy, Limits { physical: 12, ..roomy }, roomy, roomy], 2, small_chunks);
    let names = long_names(&mut cluster, 56);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> = names[..6].iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let mut refused = 0;
    for name in &names[6..] {
        match cluster.ask_in(PLAIN, name, OLD, Exclusive, Flags::NONE) {
            Ok(asked) => owned.push((OLD, asked.lock)),
            Err(RequestError::Full(_)) => refused += 1,
            Err(other) => panic!("granted or full: {other:?}"),
        }
        cluster.run_but(is_chunk);
    }
    owned.retain(|(node, lock)| cluster.node(*node).held(*lock).is_ok());
    assert!(refused > 0, "in the call");
    assert!(
        cluster.happened(OLD).iter().all(|event| !matches!(event, Event::Denied { .. })),
        "and not later"
    );
    cluster.deliver_all(&flight);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    for owned in owned.clone() {
        if mode_of(&mut cluster, owned).is_some() {
            release(&mut cluster, owned);
        }
    }
    owned.retain(|(node, lock)| cluster.node(*node).held(*lock).is_ok());
    finish(&mut cluster, &owned);
}

/// The new master has room for more records than a slot was offered with; names of that slot, six of them locked.
fn growing() -> (Cluster, SlotRange, Vec<Vec<u8>>, Vec<Owned>) {
    let mut cluster = Cluster::of_slots(&[Limits::uniform(512); 4], 2, small_chunks);
    let names = long_names(&mut cluster, 90);
    let range = SlotRange::one(slot_of(&mut cluster));
    let owned = names[..6].iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    (cluster, range, names, owned)
}

#[test]
fn an_answer_that_comes_too_late_for_a_larger_offer_is_not_waited_for_after_the_end() {
    let (mut cluster, range, names, mut owned) = growing();
    let (_, mut flight) = begin(&mut cluster, range);
    cluster.said();
    let is_held = |frame: &Frame| is_chunk(frame) || frame.is(Word::Accepted) || frame.is(Word::EndAck);
    for name in &names[6..66] {
        owned.push(ask(&mut cluster, name, DORA, Exclusive));
        flight.extend(cluster.run_but(is_held).into_iter().filter(is_chunk));
    }
    assert!(cluster.said().iter().any(|frame| frame.is(Word::Offer)), "it has asked for more");
    let mut end = Vec::new();
    while !flight.is_empty() {
        let chunk = flight.remove(0);
        cluster.deliver(&chunk);
        let (chunks, others): (Vec<_>, Vec<_>) = cluster.run_but(is_held).into_iter().partition(is_chunk);
        flight.extend(chunks);
        end.extend(others.into_iter().filter(|frame| frame.is(Word::EndAck)));
    }
    assert_eq!(end.len(), 1);
    // What was not answered is due again when the end is acknowledged, and nobody polls events.
    cluster.be_lazy(u64::MAX);
    cluster.pass(SHORT);
    cluster.deliver_all(&end);
    while let Some(frame) = cluster.next_frame(OLD, NEW) {
        assert!(!frame.words().contains(&Word::Offer), "it is over");
    }
    cluster.be_lazy(1);
    cluster.attend(OLD);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn a_lost_offer_of_more_is_made_again_while_chunks_come_and_go() {
    let (mut cluster, range, names, mut owned) = growing();
    let (_, mut flight) = begin(&mut cluster, range);
    let is_held = |frame: &Frame| is_chunk(frame) || frame.is(Word::Offer);
    let mut more = names[6..].iter();
    let mut is_lost = false;
    while !is_lost {
        owned.push(ask(&mut cluster, more.next().expect("more is asked for"), DORA, Exclusive));
        let (chunks, offers): (Vec<_>, Vec<_>) = cluster.run_but(is_held).into_iter().partition(is_chunk);
        flight.extend(chunks);
        is_lost = !offers.is_empty();
    }
    for name in more {
        owned.push(ask(&mut cluster, name, DORA, Exclusive));
        flight.extend(cluster.run_but(is_chunk));
    }
    assert!(owned.iter().any(|owned| mode_of(&mut cluster, *owned).is_none()), "there is no room yet");
    // Each answer to a chunk puts off the timer of the transfer.
    for _ in 0..6 {
        cluster.pass(SHORT / 2);
        cluster.deliver(&flight.remove(0));
        flight.extend(cluster.run_but(is_chunk));
    }
    for owned in &owned {
        assert_eq!(mode_of(&mut cluster, *owned), Some(Exclusive));
    }
    assert_ne!(cluster.decider(PLAIN, &names[89]), Some(NEW), "the transfer goes on");
    cluster.deliver_all(&flight);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}
