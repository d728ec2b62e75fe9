//! Service while a transfer lasts: seed claims 1 to 6, and what a grant costs meanwhile.

use Mode::{ConcurrentRead, Exclusive, ProtectedRead};
use lockmaster_core::wire::Body;
use lockmaster_core::{Mode, NodeId, SlotRange, Stage};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, begin, finish, give, go_on_until, is_chunk,
    is_settled_on, lock, long_names, mode_of, names_of, quartet, range_of, release, slot_of, slow_quartet,
};

/// A name of the range that moves, on which everybody keeps a weak lock.
fn scene(cluster: &mut Cluster) -> (SlotRange, Vec<u8>, Vec<Owned>) {
    let slot = slot_of(cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    let range = range_of(cluster, OLD, PLAIN);
    let keepers = [OLD, NEW, CARL, DORA].map(|node| lock(cluster, &name, node, ConcurrentRead));
    (range, name, keepers.to_vec())
}

fn number_of(frame: &Frame) -> u64 {
    let Body::Position(position) = frame.body() else { panic!("no position: {frame:?}") };
    position.number.0
}

// ---- with an acknowledgement withheld ----

#[test]
fn a_request_at_the_old_master_is_granted_while_an_acknowledgement_is_missing() {
    let mut cluster = quartet();
    let (range, name, mut owned) = scene(&mut cluster);
    give(&mut cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMaster) && frame.to == DORA);
    assert_eq!(withheld.len(), 1);
    cluster.said();
    // Dora has not heard of the new master and asks the old one; Carl's owner comes after her.
    let dora = ask(&mut cluster, &name, DORA, ProtectedRead);
    cluster.run_but(|frame| frame.is(Word::NewMaster));
    let said = cluster.said();
    assert!((said[0].from, said[0].to) == (DORA, OLD), "she asks the old master");
    assert_eq!(mode_of(&mut cluster, dora), Some(ProtectedRead));
    let ends = said.iter().filter(|frame| frame.is(Word::End)).count();
    assert_eq!((ends, cluster.ends(OLD)), (0, vec![]), "the interval lasts");
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(&mut cluster, range, NEW);
    owned.push(dora);
    finish(&mut cluster, &owned);
}

#[test]
fn a_request_at_the_new_master_is_granted_before_the_end() {
    let mut cluster = quartet();
    let (range, name, mut owned) = scene(&mut cluster);
    give(&mut cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMasterAck) && frame.from == DORA);
    assert_eq!(withheld.len(), 1);
    cluster.said();
    let carl = ask(&mut cluster, &name, CARL, ProtectedRead);
    cluster.run();
    let said = cluster.said();
    let path: Vec<_> = said.iter().map(|frame| (frame.from, frame.to, frame.word())).collect();
    assert_eq!(path, [(CARL, NEW, Word::Position), (NEW, CARL, Word::Grant)], "without a detour");
    assert_eq!(mode_of(&mut cluster, carl), Some(ProtectedRead));
    assert_eq!(cluster.ends(OLD), []);
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    owned.push(carl);
    finish(&mut cluster, &owned);
}

#[test]
fn owners_at_both_masters_are_served_while_an_acknowledgement_is_missing() {
    let mut cluster = quartet();
    let (range, name, mut owned) = scene(&mut cluster);
    give(&mut cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMasterAck) && frame.from == DORA);
    for node in [OLD, NEW] {
        let reader = ask(&mut cluster, &name, node, ProtectedRead);
        cluster.run();
        assert_eq!(mode_of(&mut cluster, reader), Some(ProtectedRead), "node {node}");
        owned.push(reader);
    }
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn the_end_comes_after_the_last_acknowledgement() {
    for order in [[CARL, DORA], [DORA, CARL]] {
        let mut cluster = quartet();
        let (range, _, owned) = scene(&mut cluster);
        give(&mut cluster, range);
        let is_ack = |frame: &Frame| frame.is(Word::NewMasterAck);
        let mut withheld = cluster.run_but(is_ack);
        withheld.sort_by_key(|frame| frame.from != order[0]);
        assert_eq!(withheld.iter().map(|frame| frame.from).collect::<Vec<_>>(), order);
        for ack in withheld {
            // However often the new master announces itself, and however often that is acknowledged.
            cluster.settle_but(LONG, |frame| is_ack(frame) && frame.from == order[1]);
            let ends = cluster.said().iter().filter(|frame| frame.is(Word::End)).count();
            assert_eq!((ends, cluster.ends(OLD)), (0, vec![]));
            cluster.deliver(&ack);
            if ack.from == order[0] {
                cluster.settle_but(SHORT, is_ack);
            }
        }
        cluster.run();
        assert!(cluster.said().iter().any(|frame| frame.is(Word::End)));
        assert_eq!(cluster.ends(OLD), [Stage::Done]);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn who_has_acknowledged_sends_nothing_more_to_the_old_master() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let names = cluster.names_in(PLAIN, slot, "r", 4);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    // Carl waits for one and cannot give up the others yet.
    owned.push(lock(&mut cluster, &names[0], OLD, Mode::Null));
    give(&mut cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMasterAck) && frame.from == DORA);
    let said = cluster.said();
    assert!(said.iter().any(|frame| frame.is(Word::NewMasterAck) && frame.from == CARL));
    // He lowers, releases, cancels, asks, and answers demands; everything goes to the new master.
    convert_down(&mut cluster, owned[1]);
    release(&mut cluster, owned.remove(2));
    let dora = ask(&mut cluster, &names[0], DORA, Exclusive);
    let again = ask(&mut cluster, &names[3], CARL, ProtectedRead);
    cluster.settle(LONG);
    let to_old: Vec<_> = cluster.said().into_iter().filter(|f| f.from == CARL && f.to == OLD).collect();
    assert!(to_old.iter().all(|frame| !frame.is(Word::Position)), "{to_old:?}");
    cluster.deliver_all(&withheld);
    owned.extend([dora, again]);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

fn convert_down(cluster: &mut Cluster, (node, lock): Owned) {
    let converted =
        cluster.convert(node, lock, ConcurrentRead, Default::default(), lockmaster_core::ValueWrite::Keep);
    assert!(matches!(converted, Ok(Some(_))), "lowering never waits");
}

#[test]
fn what_was_asked_of_the_old_master_is_asked_of_the_new_one_under_the_same_number() {
    let mut cluster = quartet();
    let (range, name, mut owned) = scene(&mut cluster);
    owned.push(lock(&mut cluster, &name, OLD, ProtectedRead));
    let carl = ask(&mut cluster, &name, CARL, Exclusive);
    let request = cluster.frame(CARL, OLD);
    // It is lost.
    cluster.said();
    give(&mut cluster, range);
    cluster.run();
    let said = cluster.said();
    let is_repeat = |frame: &&Frame| frame.from == CARL && frame.is(Word::Position);
    let repeats: Vec<_> = said.iter().filter(is_repeat).collect();
    assert!(!repeats.is_empty(), "no timer was needed");
    for repeat in repeats {
        assert_eq!((repeat.to, number_of(repeat)), (NEW, number_of(&request)));
    }
    cluster.deliver(&request);
    owned.push(carl);
    finish(&mut cluster, &owned);
}

// ---- nobody waits for the end of the copy ----

#[test]
fn what_is_not_packed_is_granted_by_the_old_master_while_records_are_on_their_way() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 6);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, ConcurrentRead)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let last = names.last().unwrap();
    assert!(!names_of(&flight).contains(last));
    cluster.said();
    for node in [OLD, NEW, CARL, DORA] {
        let reader = ask(&mut cluster, last, node, ProtectedRead);
        cluster.run();
        assert_eq!(mode_of(&mut cluster, reader), Some(ProtectedRead), "node {node}");
        owned.push(reader);
    }
    let fresh = long_names(&mut cluster, 7).remove(6);
    let new = ask(&mut cluster, &fresh, DORA, Exclusive);
    cluster.run();
    assert_eq!(mode_of(&mut cluster, new), Some(Exclusive), "also what had no record");
    assert!(cluster.said().iter().all(|frame| !frame.is(Word::UpdatedLocks)), "nothing was passed on");
    owned.push(new);
    cluster.deliver_all(&flight);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn what_has_arrived_is_granted_by_the_new_master_while_the_rest_is_on_its_way() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 6);
    let range = range_of(&mut cluster, OLD, PLAIN);
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, ConcurrentRead)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let flight = go_on_until(&mut cluster, flight, |cluster| cluster.decider(PLAIN, &names[0]) == Some(NEW));
    assert_eq!(cluster.decider(PLAIN, &names[5]), Some(OLD));
    for node in [OLD, NEW, CARL, DORA] {
        cluster.said();
        let reader = ask(&mut cluster, &names[0], node, ProtectedRead);
        let chunks = cluster.run_but(is_chunk);
        assert_eq!((mode_of(&mut cluster, reader), chunks.len()), (Some(ProtectedRead), 0), "node {node}");
        let grants: Vec<_> = cluster.said().into_iter().filter(|frame| frame.is(Word::Grant)).collect();
        assert!(grants.iter().all(|frame| frame.from == NEW), "{grants:?}");
        owned.push(reader);
    }
    cluster.deliver_all(&flight);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn everything_else_goes_on_as_always() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 6);
    let other_slot = cluster.slots_of(OLD, PLAIN)[1];
    let other = cluster.names_in(PLAIN, other_slot, "other", 1).remove(0);
    let elsewhere = cluster.slots_of(NEW, PLAIN)[0];
    let foreign = cluster.names_in(PLAIN, elsewhere, "other", 1).remove(0);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, ConcurrentRead)).collect();
    let (_, flight) = begin(&mut cluster, range);
    for (name, master) in [(&other, OLD), (&foreign, NEW)] {
        cluster.said();
        let carl = ask(&mut cluster, name, CARL, Exclusive);
        cluster.run();
        assert_eq!(mode_of(&mut cluster, carl), Some(Exclusive));
        let path: Vec<_> = cluster.said().iter().map(|frame| (frame.from, frame.to)).collect();
        assert_eq!(path, [(CARL, master), (master, CARL)]);
        owned.push(carl);
    }
    cluster.deliver_all(&flight);
    cluster.run();
    finish(&mut cluster, &owned);
}

// ---- what it costs ----

/// Messages about a resource between a request and its grant.
fn cost(cluster: &mut Cluster, name: &[u8], node: NodeId, owned: &mut Vec<Owned>) -> usize {
    cluster.said();
    let reader = ask(cluster, name, node, ProtectedRead);
    let held = cluster.run_but(|frame| is_chunk(frame) || frame.is(Word::NewMaster));
    assert_eq!(held, [], "nothing else happens");
    assert_eq!(mode_of(cluster, reader), Some(ProtectedRead), "no timer is needed");
    owned.push(reader);
    cluster.said().iter().filter(|frame| frame.is_about(name)).count()
}

#[test]
fn a_grant_takes_one_hop_more_at_most() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 16);
    let slot = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> =
        names[..8].iter().map(|name| lock(&mut cluster, name, CARL, ConcurrentRead)).collect();
    let mut fresh = names[8..].iter();
    assert_eq!(cost(&mut cluster, &names[0], DORA, &mut owned), 2, "without a transfer");
    let (_, mut flight) = begin(&mut cluster, slot);
    loop {
        // Whatever somebody decides about now, and what nobody has asked for yet.
        for name in &names[1..8] {
            let is_here = cluster.look_at(DORA, PLAIN, name).held.is_some();
            if cluster.decider(PLAIN, name).is_some() && !is_here {
                assert!(cost(&mut cluster, name, DORA, &mut owned) <= 3);
                break;
            }
        }
        // When the last chunk is on its way, nobody decides about a name without a record.
        if let Some(name) = fresh.next().filter(|name| cluster.decider(PLAIN, name).is_some()) {
            assert!(cost(&mut cluster, name, DORA, &mut owned) <= 3);
        }
        if flight.is_empty() {
            break;
        }
        cluster.deliver(&flight.remove(0));
        // Dora never learns who is the new master.
        let hold = |frame: &Frame| is_chunk(frame) || frame.is(Word::NewMaster) && frame.to == DORA;
        flight.extend(cluster.run_but(hold).into_iter().filter(is_chunk));
    }
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

#[test]
fn what_overtakes_its_record_waits_for_a_repeat_only() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 3);
    let range = SlotRange::one(slot_of(&mut cluster));
    let mut owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, ConcurrentRead)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let first = names_of(&flight).remove(0);
    assert_eq!(cluster.decider(PLAIN, &first), None, "it is on its way");
    for node in [DORA, NEW, OLD] {
        let reader = ask(&mut cluster, &first, node, ProtectedRead);
        cluster.run_but(is_chunk);
        assert_eq!(mode_of(&mut cluster, reader), None, "nobody decides");
        owned.push(reader);
    }
    cluster.deliver_all(&flight);
    cluster.settle(SHORT * 2);
    for reader in &owned[3..] {
        assert_eq!(mode_of(&mut cluster, *reader), Some(ProtectedRead));
    }
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}
