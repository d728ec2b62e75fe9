//! Ranges and clusters of every shape, chains, and several transfers at a time.

use Mode::{ConcurrentRead, Exclusive, ProtectedRead};
use lockmaster_core::wire::FRAME_LEAST;
use lockmaster_core::{
    Config, Flags, Limits, Mode, NodeId, SlotId, SlotRange, Stage, Value, ValueState, ValueWrite,
};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, EVERYBODY, IDLE, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, ask_with, finish, give, is_chunk,
    is_settled_on, lock, mode_of, range_of, release, small_chunks,
};

fn cluster_of(members: u16, slots: u32, shape: impl Fn(&mut Config)) -> Cluster {
    Cluster::of_slots(&vec![Limits::uniform(128); usize::from(members)], slots, shape)
}

/// A lock of some member on some names of each slot of a range.
fn populate(cluster: &mut Cluster, range: SlotRange, each: usize) -> Vec<Owned> {
    let members = cluster.members();
    let mut owned = Vec::new();
    for slot in range.slots() {
        let plain = cluster.node(OLD).slots(PLAIN).expect("the space is configured");
        let space = if plain.contains(slot) { PLAIN } else { IDLE };
        for name in cluster.names_in(space, slot, "name ", each) {
            let node = members[owned.len() % members.len()];
            let asked =
                cluster.ask_in(space, &name, node, ProtectedRead, Flags::NONE).expect("there is room");
            owned.push((node, asked.lock));
        }
    }
    cluster.run();
    assert!(owned.iter().all(|owned| mode_of(cluster, *owned) == Some(ProtectedRead)));
    owned
}

// ---- small ----

#[test]
fn a_cluster_of_two_has_nobody_to_wait_for() {
    for shape in [small_chunks, |_: &mut Config| {}] {
        let mut cluster = cluster_of(2, 1, shape);
        let range = range_of(&mut cluster, OLD, PLAIN);
        assert_eq!(range.len, 1);
        let owned = populate(&mut cluster, range, 5);
        cluster.said();
        cluster.hand_over(OLD, range, NEW);
        let said = cluster.said();
        assert!(said.iter().all(|frame| !frame.is(Word::NewMaster) && !frame.is(Word::NewMasterAck)));
        is_settled_on(&mut cluster, range, NEW);
        cluster.hand_over(NEW, range, OLD);
        is_settled_on(&mut cluster, range, OLD);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn owners_of_a_cluster_of_two_are_served_while_everything_moves() {
    let mut cluster = cluster_of(2, 2, small_chunks);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let mut owned = populate(&mut cluster, range, 4);
    let name = cluster.names_in(PLAIN, range.first, "name ", 1).remove(0);
    give(&mut cluster, range);
    let mut held = cluster.run_but(is_chunk);
    while !held.is_empty() {
        for node in [OLD, NEW] {
            owned.push(ask(&mut cluster, &name, node, ConcurrentRead));
        }
        let chunk = held.remove(0);
        cluster.deliver(&chunk);
        held.extend(cluster.run_but(is_chunk));
    }
    cluster.settle(SHORT * 2);
    for reader in &owned {
        assert!(mode_of(&mut cluster, *reader).is_some());
    }
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn ranges_of_one_slot_move_alone() {
    let mut cluster = cluster_of(4, 3, |_| {});
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned = populate(&mut cluster, range, 3);
    let middle = SlotRange::one(SlotId(range.first.0 + 1));
    cluster.hand_over(OLD, middle, DORA);
    is_settled_on(&mut cluster, middle, DORA);
    for slot in [range.first, SlotId(range.first.0 + 2)] {
        is_settled_on(&mut cluster, SlotRange::one(slot), OLD);
    }
    // What is left is not a range of its own any more.
    assert!(cluster.transfer(OLD, range, NEW).is_err());
    cluster.hand_over(DORA, middle, OLD);
    cluster.hand_over(OLD, range, NEW);
    is_settled_on(&mut cluster, range, NEW);
    finish(&mut cluster, &owned);
}

// ---- large ----

#[test]
fn the_whole_map_moves_as_one_range() {
    for members in [2, 4] {
        let mut cluster = cluster_of(members, 2, small_chunks);
        let all = cluster.node(OLD).all_slots();
        let owned = populate(&mut cluster, all, 2);
        // Everything comes to the old master first, from everybody at the same time.
        let mut givers = Vec::new();
        for node in cluster.members().into_iter().filter(|node| *node != OLD) {
            for space in [IDLE, PLAIN] {
                let range = range_of(&mut cluster, node, space);
                cluster.transfer(node, range, OLD).unwrap();
                givers.push(node);
            }
        }
        cluster.run();
        for node in cluster.members().into_iter().filter(|node| *node != OLD) {
            assert_eq!(cluster.ends(node), [Stage::Done; 2]);
        }
        is_settled_on(&mut cluster, all, OLD);
        cluster.hand_over(OLD, all, NEW);
        is_settled_on(&mut cluster, all, NEW);
        assert_eq!(usize::try_from(cluster.node(NEW).stats().locks_in).unwrap(), owned.len());
        for owned in &owned {
            assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead));
        }
        finish(&mut cluster, &owned);
    }
}

#[test]
fn a_slot_of_many_records_moves_without_a_timer() {
    let roomy = Limits::uniform(2048);
    let mut cluster =
        Cluster::of_slots(&[roomy; 3], 1, |config| (config.chunk, config.window) = (2_000, 10_000));
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned = populate(&mut cluster, range, 500);
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    let chunks = cluster.said().into_iter().filter(is_chunk).count();
    assert!(chunks > 2, "{chunks} chunks");
    let room = cluster.node(NEW).slot(range.first).map(|view| view.room);
    assert_eq!(room.map(|room| (room.resources, room.physical)), Some((500, 500)));
    assert_eq!(cluster.node(OLD).stats().repeats, 0);
    for owned in &owned {
        assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead));
    }
}

#[test]
fn many_records_go_from_hand_to_hand_while_nobody_is_in_a_hurry_to_poll() {
    for laziness in [3, 20] {
        let roomy = Limits::uniform(1024);
        let mut cluster =
            Cluster::of_slots(&[roomy; 4], 1, |config| (config.chunk, config.window) = (2000, 4000));
        let range = range_of(&mut cluster, OLD, PLAIN);
        let names = cluster.names_in(PLAIN, range.first, "name ", 80);
        let mut owned = populate(&mut cluster, range, 80);
        for (at, name) in names.iter().enumerate() {
            owned.push(ask(&mut cluster, name, EVERYBODY[at % 4], Exclusive));
        }
        cluster.run();
        cluster.be_lazy(laziness);
        let mut master = OLD;
        for next in [NEW, CARL, OLD, DORA] {
            cluster.transfer(master, range, next).expect("the slot is still again");
            for (at, name) in names.iter().enumerate().take(30) {
                owned.push(ask(&mut cluster, name, EVERYBODY[(at + 1) % 4], ConcurrentRead));
            }
            cluster.settle(SHORT);
            master = next;
        }
        cluster.settle(LONG);
        is_settled_on(&mut cluster, range, DORA);
        cluster.be_lazy(1);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn the_smallest_frames_carry_everything() {
    for members in [2, 64] {
        let mut cluster = cluster_of(members, 1, |_| {});
        let range = range_of(&mut cluster, OLD, PLAIN);
        let names = cluster.names_in(PLAIN, range.first, &"n".repeat(59), 3);
        let nodes = cluster.members();
        // The longest names and values, and a floor of everybody.
        for node in &nodes {
            let owned = ask_with(&mut cluster, &names[0], *node, Exclusive, Flags::VALUE);
            cluster.run();
            cluster.release_with(*node, owned.1, ValueWrite::Set(Value::new(&[7; 64]).unwrap()));
            cluster.run();
        }
        let mut owned = vec![ask_with(&mut cluster, &names[1], NEW, Exclusive, Flags::VALUE)];
        cluster.run();
        let set = ValueWrite::Set(Value::new(&[8; 64]).unwrap());
        cluster.convert(NEW, owned[0].1, ConcurrentRead, Flags::VALUE, set).unwrap();
        cluster.run();
        for node in nodes {
            owned.push(ask(&mut cluster, &names[2], node, Exclusive));
            cluster.run();
        }
        cluster.limit_frames(FRAME_LEAST);
        cluster.hand_over(OLD, range, NEW);
        is_settled_on(&mut cluster, range, NEW);
        let value = cluster.look_at(NEW, PLAIN, &names[1]).value;
        assert_eq!(value, Some(ValueState::Valid(Value::new(&[8; 64]).unwrap())));
        cluster.hand_over(NEW, range, OLD);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn many_pending_requests_are_repeated_to_the_new_master() {
    let roomy = Limits::uniform(1024);
    let mut cluster = Cluster::of_slots(&[roomy; 4], 1, |_| {});
    let range = range_of(&mut cluster, OLD, PLAIN);
    let names = cluster.names_in(PLAIN, range.first, "name ", 100);
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, DORA, ProtectedRead)).collect();
    owned.extend(names.iter().map(|name| ask(&mut cluster, name, CARL, ProtectedRead)));
    // All of them are lost.
    let lost = cluster.run_but(|_| true);
    assert_eq!(lost.len(), names.len());
    cluster.hand_over(OLD, range, NEW);
    for owned in &owned {
        assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead), "no timer was needed");
    }
    cluster.deliver_all(&lost);
    cluster.run();
    finish(&mut cluster, &owned);
}

#[test]
fn a_range_without_records_moves_in_a_few_messages() {
    let mut cluster = cluster_of(4, 500, |_| {});
    let range = range_of(&mut cluster, OLD, PLAIN);
    assert_eq!(range.len, 500);
    cluster.hand_over(OLD, range, NEW);
    is_settled_on(&mut cluster, range, NEW);
}

#[test]
fn a_range_over_two_spaces_moves_as_one() {
    let mut cluster = cluster_of(2, 1, |_| {});
    let idle = range_of(&mut cluster, NEW, IDLE);
    let plain = range_of(&mut cluster, OLD, PLAIN);
    assert_eq!(idle.first.0 + 1, plain.first.0, "they follow each other");
    cluster.hand_over(OLD, plain, NEW);
    let both = SlotRange { first: idle.first, len: 2 };
    let owned = populate(&mut cluster, both, 3);
    cluster.hand_over(NEW, both, OLD);
    is_settled_on(&mut cluster, both, OLD);
    finish(&mut cluster, &owned);
}

// ---- one after the other ----

#[test]
fn slots_go_from_hand_to_hand() {
    for shape in [small_chunks, |_: &mut Config| {}] {
        let mut cluster = cluster_of(4, 2, shape);
        let range = range_of(&mut cluster, OLD, PLAIN);
        let mut owned = populate(&mut cluster, range, 4);
        let name = cluster.names_in(PLAIN, range.first, "strong", 1).remove(0);
        let mut version = cluster.node(OLD).slot(range.first).unwrap().version;
        let mut master = OLD;
        for next in [NEW, CARL, OLD, DORA, NEW, OLD, NEW, OLD] {
            let strong = lock(&mut cluster, &name, CARL, Exclusive);
            let waiting = ask(&mut cluster, &name, master, ProtectedRead);
            cluster.hand_over(master, range, next);
            is_settled_on(&mut cluster, range, next);
            let now = cluster.node(next).slot(range.first).unwrap().version;
            assert!(now > version, "versions rise");
            (version, master) = (now, next);
            release(&mut cluster, strong);
            cluster.settle(SHORT);
            assert_eq!(mode_of(&mut cluster, waiting), Some(ProtectedRead));
            release(&mut cluster, waiting);
            cluster.run();
        }
        owned.push(lock(&mut cluster, &name, DORA, Exclusive));
        finish(&mut cluster, &owned);
    }
}

#[test]
fn slots_go_on_before_everybody_has_settled() {
    // The next transfer begins as soon as the new master may, with news of the last one still on their way.
    let mut cluster = cluster_of(4, 1, |_| {});
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned = populate(&mut cluster, range, 4);
    let mut late: Vec<Frame> = Vec::new();
    let mut master = OLD;
    for next in [NEW, CARL, DORA] {
        cluster.transfer(master, range, next).unwrap();
        // The last word of each transfer comes late.
        let held = cluster.run_but(|frame| frame.is(Word::EndAck));
        late.extend(held);
        master = next;
    }
    cluster.deliver_all(&late);
    cluster.settle(LONG);
    is_settled_on(&mut cluster, range, DORA);
    for node in EVERYBODY {
        assert!(cluster.ends(node).iter().all(|end| *end == Stage::Done));
    }
    finish(&mut cluster, &owned);
}

// ---- several at a time ----

#[test]
fn two_members_exchange_their_slots() {
    for shape in [small_chunks, |_: &mut Config| {}] {
        let mut cluster = cluster_of(4, 2, shape);
        let (one, other) = (range_of(&mut cluster, OLD, PLAIN), range_of(&mut cluster, NEW, PLAIN));
        let mut owned = populate(&mut cluster, one, 4);
        owned.extend(populate(&mut cluster, other, 4));
        cluster.transfer(OLD, one, NEW).unwrap();
        cluster.transfer(NEW, other, OLD).unwrap();
        cluster.run();
        assert_eq!((cluster.ends(OLD), cluster.ends(NEW)), (vec![Stage::Done], vec![Stage::Done]));
        is_settled_on(&mut cluster, one, NEW);
        is_settled_on(&mut cluster, other, OLD);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn everybody_gives_to_everybody() {
    let mut cluster = cluster_of(4, 3, small_chunks);
    let all = cluster.node(OLD).all_slots();
    let owned = populate(&mut cluster, all, 2);
    let mut moves = Vec::new();
    for giver in EVERYBODY {
        let takers = EVERYBODY.into_iter().filter(|taker| *taker != giver);
        let slots = [IDLE, PLAIN].map(|space| cluster.slots_of(giver, space)).concat();
        for (slot, taker) in slots.into_iter().zip(takers.cycle()) {
            cluster.transfer(giver, SlotRange::one(slot), taker).unwrap();
            moves.push((slot, taker));
        }
    }
    cluster.run();
    for giver in EVERYBODY {
        assert_eq!(cluster.ends(giver), [Stage::Done; 6]);
    }
    for (slot, taker) in moves {
        is_settled_on(&mut cluster, SlotRange::one(slot), taker);
    }
    for owned in &owned {
        assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead));
    }
    finish(&mut cluster, &owned);
}

#[test]
fn ranges_beside_each_other_do_not_know_of_each_other() {
    let mut cluster = cluster_of(4, 4, small_chunks);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned = populate(&mut cluster, range, 3);
    let part = |at: u32, len: u32| SlotRange { first: SlotId(range.first.0 + at), len };
    cluster.transfer(OLD, part(0, 2), NEW).unwrap();
    let transfer = cluster.transfer(OLD, part(2, 1), CARL).unwrap();
    cluster.transfer(OLD, part(3, 1), NEW).unwrap();
    let held = cluster.run_but(|frame| frame.is(Word::Accepted) && frame.from == CARL);
    assert_eq!(cluster.ends(OLD), [Stage::Done; 2]);
    cluster.withdraw(OLD, transfer).unwrap();
    cluster.deliver_all(&held);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Withdrawn]);
    is_settled_on(&mut cluster, part(0, 2), NEW);
    is_settled_on(&mut cluster, part(2, 1), OLD);
    is_settled_on(&mut cluster, part(3, 1), NEW);
    finish(&mut cluster, &owned);
}

#[test]
fn members_whose_ids_are_far_apart_and_many_take_part() {
    let mut cluster = cluster_of(20, 1, |_| {});
    let range = range_of(&mut cluster, OLD, PLAIN);
    let owned = populate(&mut cluster, range, 20);
    cluster.said();
    cluster.hand_over(OLD, range, NodeId(20));
    let acks = cluster.said().iter().filter(|frame| frame.is(Word::NewMasterAck)).count();
    assert_eq!(acks, 18);
    is_settled_on(&mut cluster, range, NodeId(20));
    finish(&mut cluster, &owned);
}
