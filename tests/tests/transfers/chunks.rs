//! Chunks that are lost, repeated, late or out of order, and records of many chunks.

use Mode::{ConcurrentRead, Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::FRAME_LEAST;
use lockmaster_core::{Config, Limits, Mode, NodeId, PhysicalView, SlotRange, Stage};
use lockmaster_tests::cluster::{Cluster, ForgedChunk, Frame, OwnedUnit, Word};

use crate::{
    CARL, DORA, EVERYBODY, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, begin, finish, give, go_on_until,
    is_chunk, is_settled_on, lock, long_names, mode_of, names_of, quartet, release, slot_of, slow_quartet,
    small_chunks,
};

fn wide_window(config: &mut Config) {
    config.chunk = 256;
    config.window = 2048;
}

/// Names of one slot with a lock on each, and the slot as a range.
fn scene(cluster: &mut Cluster, count: usize) -> (SlotRange, Vec<Vec<u8>>, Vec<Owned>) {
    let names = long_names(cluster, count);
    let range = SlotRange::one(slot_of(cluster));
    let owned = names.iter().map(|name| lock(cluster, name, CARL, ProtectedRead)).collect();
    (range, names, owned)
}

/// All records of these names at a node, in the order of their queues.
fn records(cluster: &mut Cluster, node: NodeId, names: &[Vec<u8>]) -> Vec<Vec<PhysicalView>> {
    names.iter().map(|name| cluster.look_at(node, PLAIN, name).physical).collect()
}

/// A transfer has ended well, and what was on record is.
fn is_done(cluster: &mut Cluster, range: SlotRange, names: &[Vec<u8>], before: &[Vec<PhysicalView>]) {
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(cluster, range, NEW);
    assert_eq!(records(cluster, NEW, names), before);
    assert!(records(cluster, OLD, names).iter().all(Vec::is_empty), "the old master keeps nothing");
}

// ---- lost, repeated, out of order ----

#[test]
fn chunks_are_bounded_and_follow_each_other() {
    let mut cluster = slow_quartet();
    let (range, names, owned) = scene(&mut cluster, 6);
    let before = records(&mut cluster, OLD, &names);
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    let said = cluster.said();
    let chunks: Vec<_> = said.into_iter().filter(is_chunk).collect();
    assert!(chunks.len() >= 4, "{} chunks", chunks.len());
    let mut units = 0;
    for (at, chunk) in chunks.iter().enumerate() {
        let (head, is_last) = (chunk.chunk(), at + 1 == chunks.len());
        assert_eq!((head.head.slot, head.head.position, head.is_last), (range.first, units, is_last));
        units += chunk.units().len() as u64;
    }
    assert_eq!(names_of(&chunks), names, "in the order in which they came into being");
    assert_eq!(records(&mut cluster, NEW, &names), before);
    assert!(cluster.node(NEW).stats().locks_in == 6 && cluster.node(OLD).stats().locks_out == 6);
    finish(&mut cluster, &owned);
}

#[test]
fn a_lost_chunk_is_sent_again_and_is_the_same() {
    let mut cluster = slow_quartet();
    let (range, names, owned) = scene(&mut cluster, 3);
    let before = records(&mut cluster, OLD, &names);
    let (_, lost) = begin(&mut cluster, range);
    cluster.pass(SHORT);
    let again = cluster.run_but(is_chunk);
    assert_eq!(again.len(), lost.len());
    assert_eq!(again[0].units(), lost[0].units());
    assert_eq!(again[0].chunk().head.position, lost[0].chunk().head.position);
    cluster.deliver_all(&again);
    cluster.run();
    is_done(&mut cluster, range, &names, &before);
    cluster.deliver_all(&lost);
    cluster.run();
    assert_eq!(records(&mut cluster, NEW, &names), before);
    finish(&mut cluster, &owned);
}

#[test]
fn a_chunk_that_comes_twice_is_installed_once() {
    let mut cluster = slow_quartet();
    let (range, names, mut owned) = scene(&mut cluster, 3);
    let (_, flight) = begin(&mut cluster, range);
    let first = names_of(&flight).remove(0);
    let copy = flight[0].clone();
    let flight = go_on_until(&mut cluster, flight, |cluster| cluster.decider(PLAIN, &first) == Some(NEW));
    // Meanwhile the record is another.
    let dora = ask(&mut cluster, &first, DORA, ProtectedRead);
    cluster.run_but(is_chunk);
    assert_eq!(mode_of(&mut cluster, dora), Some(ProtectedRead));
    release(&mut cluster, owned.remove(names.iter().position(|name| *name == first).unwrap()));
    cluster.run_but(is_chunk);
    let before = records(&mut cluster, NEW, &names);
    cluster.said();
    cluster.deliver(&copy);
    assert_eq!(records(&mut cluster, NEW, &names), before);
    let answers = cluster.run_but(is_chunk);
    assert!(cluster.said().iter().any(|frame| frame.is(Word::Received)), "it is acknowledged again");
    cluster.deliver_all(flight.iter().chain(&answers));
    cluster.run();
    cluster.deliver(&copy);
    cluster.settle(SHORT * 2);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    owned.push(dora);
    finish(&mut cluster, &owned);
}

#[test]
fn records_behind_those_that_are_here_are_found_by_their_own_names() {
    let mut twin = slow_quartet();
    let (range, ..) = scene(&mut twin, 3);
    twin.said();
    twin.hand_over(OLD, range, NEW);
    let chunks: Vec<_> = twin.said().into_iter().filter(is_chunk).collect();
    let mut cluster = slow_quartet();
    let (_, names, mut owned) = scene(&mut cluster, 3);
    let (_, flight) = begin(&mut cluster, range);
    cluster.deliver(&flight[0]);
    cluster.run_but(is_chunk);
    // All of the slot once more, from its first unit on.
    let units: Vec<_> = chunks.iter().flat_map(|chunk| chunk.chunk().units).collect();
    let (head, sent) = (flight[0].chunk().head, flight[0].chunk().sent);
    let version = flight[0].transfer().version;
    let all = ForgedChunk { range, version, head, floors: &[], units: &units, sent, is_last: true };
    cluster.deliver(&Frame::forged_chunk(OLD, NEW, &all).expect("they fit one chunk"));
    cluster.settle(LONG);
    for name in &names {
        let dora = ask(&mut cluster, name, DORA, Exclusive);
        cluster.run();
        assert_eq!(mode_of(&mut cluster, dora), None, "Carl has it");
        owned.push(dora);
    }
    finish(&mut cluster, &owned);
}

#[test]
fn a_position_that_is_passed_on_finds_its_record() {
    for chunk in (256..512).step_by(16) {
        let small = |config: &mut Config| (config.chunk, config.window) = (chunk, chunk);
        let mut cluster = Cluster::of_slots(&[Limits::uniform(64); 4], 2, small);
        let (range, _, mut owned) = scene(&mut cluster, 6);
        let (_, mut flight) = begin(&mut cluster, range);
        while let [first] = &flight[..] {
            // Dora asks the old master for each record that is on its way, and no time passes.
            let asked: Vec<_> =
                names_of(&flight).iter().map(|name| ask(&mut cluster, name, DORA, ProtectedRead)).collect();
            let behind = cluster.run_but(|frame| (frame.from, frame.to) == (OLD, NEW));
            cluster.deliver(first);
            cluster.deliver_all(&behind);
            flight = cluster.run_but(is_chunk);
            for dora in &asked {
                assert_eq!(mode_of(&mut cluster, *dora), Some(ProtectedRead), "chunks of {chunk} bytes");
            }
            owned.extend(asked);
        }
        assert!(flight.is_empty() && owned.len() == 12);
        cluster.settle(SHORT);
        assert_eq!(cluster.ends(OLD), [Stage::Done]);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn chunks_out_of_order_are_taken_in_order() {
    let mut cluster = Cluster::of_slots(&[Limits::uniform(64); 4], 2, wide_window);
    let (range, names, owned) = scene(&mut cluster, 8);
    let before = records(&mut cluster, OLD, &names);
    let (_, mut flight) = begin(&mut cluster, range);
    assert!(flight.len() > 2, "a window of several chunks");
    flight.reverse();
    cluster.deliver_all(&flight);
    // The first was the last to arrive; what came before it is not there.
    let ahead = names_of(&flight[..flight.len() - 1]);
    for name in ahead {
        assert_eq!(cluster.look_at(NEW, PLAIN, &name).physical, [], "what comes too early is dropped");
    }
    cluster.settle(SHORT * 6);
    is_done(&mut cluster, range, &names, &before);
    finish(&mut cluster, &owned);
}

#[test]
fn what_is_sent_again_is_what_was_packed() {
    let mut cluster = slow_quartet();
    let (range, names, mut owned) = scene(&mut cluster, 3);
    let (_, lost) = begin(&mut cluster, range);
    let first = names_of(&lost).remove(0);
    let at = names.iter().position(|name| *name == first).unwrap();
    // The old master hears of a release, of a request and of a conversion; it changes nothing.
    release(&mut cluster, owned.remove(at));
    let dora = ask(&mut cluster, &first, DORA, Exclusive);
    let old = ask(&mut cluster, &first, OLD, ConcurrentRead);
    cluster.run_but(is_chunk);
    cluster.pass(SHORT);
    let again = cluster.run_but(is_chunk);
    assert_eq!(again[0].units(), lost[0].units());
    cluster.deliver_all(&again);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    owned.extend([dora, old]);
    finish(&mut cluster, &owned);
}

#[test]
fn what_the_old_master_asks_for_after_the_last_chunk_is_no_part_of_the_slot() {
    for is_lost in [false, true] {
        let mut cluster = quartet();
        let (range, names, mut owned) = scene(&mut cluster, 3);
        let before = records(&mut cluster, OLD, &names);
        let (_, flight) = begin(&mut cluster, range);
        assert!(flight.last().unwrap().chunk().is_last);
        // All is packed. Now its own owners want something of the slot that had no record.
        let fresh = long_names(&mut cluster, 5);
        for name in &fresh[3..] {
            owned.push(ask(&mut cluster, name, OLD, Exclusive));
        }
        if is_lost {
            cluster.pass(SHORT);
            let again = cluster.run_but(is_chunk);
            assert_eq!(names_of(&again), names);
            cluster.deliver_all(&again);
        } else {
            cluster.deliver_all(&flight);
        }
        cluster.settle(SHORT * 2);
        assert_eq!(cluster.ends(OLD), [Stage::Done]);
        is_settled_on(&mut cluster, range, NEW);
        assert_eq!(records(&mut cluster, NEW, &names), before);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn a_chunk_that_fills_its_frame_ends_with_a_whole_record() {
    for frame_len in (3900..4096).step_by(30) {
        let large = |config: &mut Config| (config.chunk, config.window) = (65_536, 65_536);
        let mut cluster = Cluster::of_slots(&[Limits::uniform(256); 4], 2, large);
        cluster.limit_frames(frame_len);
        for name in long_names(&mut cluster, 60) {
            lock(&mut cluster, &name, CARL, ProtectedRead);
            lock(&mut cluster, &name, DORA, ProtectedRead);
        }
        let range = SlotRange::one(slot_of(&mut cluster));
        cluster.said();
        cluster.hand_over(OLD, range, NEW);
        let chunks: Vec<_> = cluster.said().into_iter().filter(is_chunk).collect();
        assert!(chunks.len() > 2, "{} chunks", chunks.len());
        for chunk in &chunks {
            let mut lacking = 0;
            for unit in chunk.units() {
                match unit {
                    OwnedUnit::Record { locks, .. } => lacking = locks,
                    OwnedUnit::Lock(_) => lacking -= 1,
                }
            }
            assert_eq!(lacking, 0, "locks that come with the next chunk, in frames of {frame_len} bytes");
        }
    }
}

// ---- records of many chunks ----

/// Many members that each hold or want a lock on one resource. Frames have room for few of them.
fn crowd(members: u16, chunk: impl Fn(&mut Config)) -> (Cluster, SlotRange, Vec<Vec<u8>>, Vec<Owned>) {
    let limits = vec![Limits::uniform(256); usize::from(members)];
    let mut cluster = Cluster::of_slots(&limits, 1, chunk);
    cluster.limit_frames(FRAME_LEAST);
    let names = long_names(&mut cluster, 3);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned = Vec::new();
    for node in (1..=members).map(NodeId) {
        owned.push(lock(&mut cluster, &names[0], node, Null));
        let mode = if node.0 < members / 2 { ProtectedRead } else { Exclusive };
        owned.push(ask(&mut cluster, &names[1], node, mode));
        cluster.run();
    }
    owned.push(lock(&mut cluster, &names[2], DORA, Exclusive));
    (cluster, range, names, owned)
}

#[test]
fn a_record_too_long_for_a_frame_goes_in_many_chunks() {
    let (mut cluster, range, names, owned) = crowd(64, small_chunks);
    let before = records(&mut cluster, OLD, &names);
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 1]);
    let (_, flight) = begin(&mut cluster, range);
    let begun = names_of(&flight).remove(0);
    // The record is nobody's until its last lock has arrived.
    let mut flight = flight;
    let mut chunks = 0;
    while cluster.decider(PLAIN, &begun).is_none() {
        assert_eq!(cluster.decider(PLAIN, &names[2]), Some(OLD));
        let chunk = flight.remove(0);
        cluster.deliver(&chunk);
        flight.extend(cluster.run_but(is_chunk));
        chunks += 1;
    }
    assert!(chunks > 3, "{chunks} chunks");
    assert_eq!(cluster.decider(PLAIN, &begun), Some(NEW));
    assert_eq!(records(&mut cluster, NEW, &names)[0], before[0]);
    cluster.deliver_all(&flight);
    cluster.run();
    is_done(&mut cluster, range, &names, &before);
    finish(&mut cluster, &owned);
}

#[test]
fn a_chunk_lost_in_the_middle_of_a_record_is_made_good() {
    let (mut cluster, range, names, owned) = crowd(64, wide_window);
    let before = records(&mut cluster, OLD, &names);
    for lost in [1, 2, 5] {
        let master = cluster.maps(range.first)[0];
        let to = if master == OLD { NEW } else { OLD };
        cluster.transfer(master, range, to).unwrap();
        let mut seen = 0;
        let is_lost = |frame: &Frame| {
            seen += usize::from(is_chunk(frame));
            is_chunk(frame) && seen == lost + 1
        };
        assert_eq!(cluster.run_but(is_lost).len(), 1);
        assert_eq!(cluster.ends(master), []);
        cluster.settle(SHORT * 4);
        assert_eq!(cluster.ends(master), [Stage::Done]);
        assert_eq!(records(&mut cluster, to, &names), before, "chunk {lost}");
    }
    finish(&mut cluster, &owned);
}

#[test]
fn the_largest_cluster_moves_with_the_smallest_chunks() {
    let (mut cluster, range, names, owned) = crowd(64, small_chunks);
    let other = long_names(&mut cluster, 4).remove(3);
    for node in cluster.members() {
        // Everybody has a floor, and all of them take more than a chunk is to have.
        let owned = lock(&mut cluster, &other, node, Exclusive);
        release(&mut cluster, owned);
        cluster.run();
    }
    let before = records(&mut cluster, OLD, &names);
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    let said = cluster.said();
    let chunk = said.iter().find(|frame| is_chunk(frame)).unwrap();
    assert_eq!(chunk.chunk().floors.count(), 64);
    assert_eq!(records(&mut cluster, NEW, &names), before);
    assert!(owned.len() > 64);
}

#[test]
fn chunks_of_every_size_carry_the_same() {
    let mut units: Option<Vec<OwnedUnit>> = None;
    for chunk in [256, 300, 333, 512, 1024, 4096, 65_536] {
        let (mut cluster, range, names, owned) = crowd(8, |config| {
            config.chunk = chunk;
            config.window = chunk.max(1000);
        });
        let before = records(&mut cluster, OLD, &names);
        cluster.said();
        cluster.hand_over(OLD, range, NEW);
        let sent: Vec<_> =
            cluster.said().iter().filter(|frame| is_chunk(frame)).flat_map(Frame::units).collect();
        assert_eq!(records(&mut cluster, NEW, &names), before, "chunks of {chunk} bytes");
        assert_eq!(*units.get_or_insert(sent.clone()), sent, "chunks of {chunk} bytes");
        finish(&mut cluster, &owned);
    }
}

// ---- records that become empty on the way ----

#[test]
fn an_installed_record_that_became_empty_stays_until_the_slot_is_complete() {
    let mut cluster = slow_quartet();
    let (range, names, mut owned) = scene(&mut cluster, 4);
    let (_, flight) = begin(&mut cluster, range);
    let first = names_of(&flight).remove(0);
    let copy = flight[0].clone();
    let flight = go_on_until(&mut cluster, flight, |cluster| cluster.decider(PLAIN, &first) == Some(NEW));
    let at = names.iter().position(|name| *name == first).unwrap();
    release(&mut cluster, owned.remove(at));
    cluster.run_but(is_chunk);
    assert!(cluster.look_at(NEW, PLAIN, &first).is_known, "it is kept without a lock");
    assert_eq!(cluster.look_at(NEW, PLAIN, &first).physical, []);
    assert_eq!(cluster.decider(PLAIN, &first), Some(NEW));
    // Nothing but the new master grants it, whoever is asked.
    for node in EVERYBODY {
        let owned = ask(&mut cluster, &first, node, Exclusive);
        cluster.run_but(is_chunk);
        assert_eq!(mode_of(&mut cluster, owned), Some(Exclusive), "node {node}");
        release(&mut cluster, owned);
        cluster.run_but(is_chunk);
    }
    cluster.deliver(&copy);
    assert_eq!(cluster.look_at(NEW, PLAIN, &first).physical, []);
    cluster.deliver_all(&flight);
    cluster.run();
    assert!(!cluster.look_at(NEW, PLAIN, &first).is_known, "the slot is complete");
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn a_slot_without_records_moves_too() {
    let mut cluster = slow_quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    cluster.hand_over(OLD, range, NEW);
    is_settled_on(&mut cluster, range, NEW);
    let name = long_names(&mut cluster, 1);
    let owned = lock(&mut cluster, &name[0], CARL, Exclusive);
    finish(&mut cluster, &[owned]);
}

// ---- copies that come late ----

#[test]
fn late_copies_of_everything_change_nothing_also_after_a_transfer_back() {
    let mut cluster = quartet();
    let (range, names, owned) = scene(&mut cluster, 3);
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    let mut copies = cluster.said();
    // A transfer that is taken back, for the words that the other does not have.
    let transfer = cluster.transfer(NEW, range, CARL).unwrap();
    cluster.withdraw(NEW, transfer).unwrap();
    cluster.settle(LONG);
    assert_eq!(cluster.ends(NEW), [Stage::Withdrawn]);
    copies.extend(cluster.said());
    let words: std::collections::BTreeSet<_> = copies.iter().map(Frame::word).collect();
    let all = [
        Word::Offer,
        Word::Noted,
        Word::Accepted,
        Word::InitialLocks,
        Word::Received,
        Word::NewMaster,
        Word::NewMasterAck,
        Word::End,
        Word::EndAck,
        Word::Withdraw,
        Word::WithdrawAck,
    ];
    for word in all {
        assert!(words.contains(&word), "{word:?} was said: {words:?}");
    }
    let mut master = NEW;
    for next in [OLD, DORA, NEW, CARL] {
        let before = records(&mut cluster, master, &names);
        for copy in copies.iter().chain(copies.iter().rev()) {
            cluster.deliver(copy);
            cluster.run();
            let story = format!("{:?} from {} to {}, at {master}", copy.word(), copy.from, copy.to);
            is_settled_on(&mut cluster, range, master);
            assert_eq!(records(&mut cluster, master, &names), before, "{story}");
            assert_eq!(cluster.decider(PLAIN, &names[0]), Some(master), "{story}");
        }
        for node in EVERYBODY {
            assert_eq!(cluster.news(node), [], "nothing is told of what has ended");
        }
        cluster.said();
        cluster.hand_over(master, range, next);
        copies.extend(cluster.said().into_iter().filter(|frame| !matches!(frame.word(), Word::Position)));
        master = next;
    }
    cluster.settle(LONG);
    is_settled_on(&mut cluster, range, CARL);
    finish(&mut cluster, &owned);
}

#[test]
fn late_copies_in_the_next_transfer_do_not_count_for_it() {
    let mut cluster = quartet();
    let (range, names, owned) = scene(&mut cluster, 3);
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    cluster.hand_over(NEW, range, OLD);
    let copies = cluster.said();
    let before = records(&mut cluster, OLD, &names);
    // The same way again: at each step every copy of the first time comes too.
    give(&mut cluster, range);
    for _ in 0..1000 {
        let frames = cluster.run_but(|_| true);
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            for copy in copies.iter().filter(|copy| copy.word() != Word::Position) {
                cluster.deliver(copy);
                // What it is answered is lost.
                let answers = cluster.next_frame(copy.to, copy.from);
                assert!(answers.is_none_or(|answer| !answer.words().contains(&Word::Grant)));
            }
            cluster.deliver(&frame);
        }
    }
    cluster.settle(LONG * 2);
    is_done(&mut cluster, range, &names, &before);
    finish(&mut cluster, &owned);
}

// ---- what the new master's owners ask for meanwhile ----

#[test]
fn what_an_owner_at_the_new_master_asks_for_between_two_chunks_is_decided_once_the_slot_is_complete() {
    let mut cluster = slow_quartet();
    let (range, mut names, mut owned) = scene(&mut cluster, 3);
    let unknown = names.remove(2);
    release(&mut cluster, owned.remove(2));
    cluster.run();
    let (_, flight) = begin(&mut cluster, range);
    let first = names_of(&flight).remove(0);
    let mut flight = go_on_until(&mut cluster, flight, |cluster| cluster.decider(PLAIN, &first) == Some(NEW));
    let own = ask(&mut cluster, &unknown, NEW, Exclusive);
    // The request is lost on its way to the old master; all else arrives.
    let held = cluster.run_but(|frame| is_chunk(frame) || frame.is(Word::Position));
    assert!(held.iter().any(|frame| frame.is(Word::Position)));
    flight.extend(held.into_iter().filter(is_chunk));
    go_on_until(&mut cluster, flight, |cluster| {
        cluster.node(NEW).slot(range.first).unwrap().master == Some(NEW)
    });
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    assert_eq!(mode_of(&mut cluster, own), Some(Exclusive), "no timer is waited for");
    owned.push(own);
    finish(&mut cluster, &owned);
}
