//! Numbers, floors and late copies (seed claim 7): what was released never comes back.

use Mode::{ConcurrentRead, Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::{Body, DenyReason};
use lockmaster_core::{Mode, NodeId, SlotRange, Stage};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, LONG, NEW, OLD, Owned, PLAIN, ask, finish, give, is_settled_on, lock, mode_of, quartet,
    release, slot_of,
};

/// A name, and its slot as a range.
fn scene(cluster: &mut Cluster) -> (SlotRange, Vec<u8>) {
    let slot = slot_of(cluster);
    (SlotRange::one(slot), cluster.names_in(PLAIN, slot, "r", 1).remove(0))
}

/// All has moved, but Dora and Carl have not heard of it: the interval lasts.
fn interval(cluster: &mut Cluster, range: SlotRange) -> Vec<Frame> {
    give(cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMaster));
    assert_eq!(withheld.len(), 2);
    withheld
}

/// A request as it left, and then arrived.
fn request(cluster: &mut Cluster, name: &[u8], node: NodeId, mode: Mode, to: NodeId) -> (Owned, Frame) {
    let owned = ask(cluster, name, node, mode);
    let frame = cluster.exchange(node, to);
    assert!(frame.is(Word::Position));
    cluster.run_but(|frame| frame.is(Word::NewMaster));
    (owned, frame)
}

fn records(cluster: &mut Cluster, master: NodeId, name: &[u8]) -> Vec<lockmaster_core::PhysicalView> {
    cluster.look_at(master, PLAIN, name).physical
}

fn nodes(cluster: &mut Cluster, master: NodeId, name: &[u8]) -> Vec<NodeId> {
    records(cluster, master, name).iter().map(|record| record.node).collect()
}

#[test]
fn what_is_passed_on_with_a_lower_number_is_dropped() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let own = lock(&mut cluster, &name, OLD, ConcurrentRead);
    let (carl, early) = request(&mut cluster, &name, CARL, Exclusive, OLD);
    let withheld = interval(&mut cluster, range);
    cluster.cancel(carl.0, carl.1);
    let (carl, _) = request(&mut cluster, &name, CARL, ProtectedRead, OLD);
    assert_eq!(mode_of(&mut cluster, carl), Some(ProtectedRead));
    let (before, dropped) = (records(&mut cluster, NEW, &name), cluster.node(NEW).stats().messages_dropped);
    cluster.deliver(&early);
    let relayed = cluster.run_but(|frame| frame.is(Word::UpdatedLocks));
    assert_eq!(relayed.len(), 1, "the old master applies nothing and passes it on");
    cluster.deliver_all(&relayed);
    cluster.run_but(|frame| frame.is(Word::NewMaster));
    assert_eq!(records(&mut cluster, NEW, &name), before);
    assert!(cluster.node(NEW).stats().messages_dropped > dropped, "it is counted");
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &[own, carl]);
}

#[test]
fn what_is_passed_on_with_an_equal_number_is_answered_and_not_applied() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let own = lock(&mut cluster, &name, OLD, ProtectedRead);
    let (carl, granted) = request(&mut cluster, &name, CARL, ProtectedRead, OLD);
    let (dora, waiting) = request(&mut cluster, &name, DORA, Exclusive, OLD);
    let withheld = interval(&mut cluster, range);
    let before = records(&mut cluster, NEW, &name);
    for (repeat, answer) in [(&granted, Word::Grant), (&waiting, Word::Queued)] {
        cluster.said();
        cluster.deliver(repeat);
        cluster.run_but(|frame| frame.is(Word::NewMaster));
        let said = cluster.said();
        let path: Vec<_> = said.iter().map(|frame| (frame.from, frame.to, frame.word())).collect();
        assert_eq!(path[..2], [(OLD, NEW, Word::UpdatedLocks), (NEW, repeat.from, answer)]);
        assert_eq!(records(&mut cluster, NEW, &name), before);
    }
    cluster.deliver_all(&withheld);
    finish(&mut cluster, &[own, carl, dora]);
}

#[test]
fn lower_numbers_of_other_nodes_are_kept() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    // Carl's numbers are far ahead of Dora's.
    for _ in 0..20 {
        let owned = lock(&mut cluster, &name, CARL, Null);
        release(&mut cluster, owned);
    }
    let (carl, _) = request(&mut cluster, &name, CARL, ProtectedRead, OLD);
    let withheld = interval(&mut cluster, range);
    let (dora, _) = request(&mut cluster, &name, DORA, ProtectedRead, OLD);
    assert_eq!(mode_of(&mut cluster, dora), Some(ProtectedRead));
    let numbers: Vec<_> = records(&mut cluster, NEW, &name).iter().map(|record| record.number).collect();
    assert_eq!(nodes(&mut cluster, NEW, &name), [CARL, DORA]);
    assert!(numbers[1] < numbers[0], "{numbers:?}");
    cluster.deliver_all(&withheld);
    finish(&mut cluster, &[carl, dora]);
}

// ---- what was released ----

/// Carl had a lock and released it before the transfer, in it or after it; returns all that he ever sent.
#[derive(Clone, Copy, Debug)]
enum Released {
    Before,
    Within,
    After,
}

fn released(cluster: &mut Cluster, when: Released) -> (Vec<u8>, Vec<Frame>) {
    let (range, name) = scene(cluster);
    lock(cluster, &name, DORA, Null);
    cluster.said();
    let carl = lock(cluster, &name, CARL, Exclusive);
    if matches!(when, Released::Before) {
        release(cluster, carl);
        cluster.run();
    }
    let withheld = interval(cluster, range);
    if matches!(when, Released::Within) {
        release(cluster, carl);
        cluster.run_but(|frame| frame.is(Word::NewMaster));
    }
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(cluster, range, NEW);
    if matches!(when, Released::After) {
        release(cluster, carl);
        cluster.run();
    }
    let mut said = cluster.said();
    said.retain(|frame| matches!(frame.word(), Word::Position | Word::UpdatedLocks) && frame.is_about(&name));
    said.retain(|frame| frame.from == CARL || frame.is(Word::UpdatedLocks));
    assert!(said.len() >= 2, "{said:?}");
    (name, said)
}

#[test]
fn a_released_lock_never_comes_back_by_any_late_copy() {
    for when in [Released::Before, Released::Within, Released::After] {
        let mut cluster = quartet();
        let (name, copies) = released(&mut cluster, when);
        assert_eq!(nodes(&mut cluster, NEW, &name), [DORA]);
        for copy in copies.iter().chain(copies.iter().rev()) {
            for to in [OLD, NEW, DORA].into_iter().filter(|to| *to != copy.from) {
                cluster.deliver(&copy.strayed_to(to));
                cluster.run();
                assert_eq!(nodes(&mut cluster, NEW, &name), [DORA], "{when:?}: {:?}", copy.body());
                assert_eq!(nodes(&mut cluster, OLD, &name), [], "{when:?}");
            }
        }
        cluster.settle(LONG);
        assert_eq!(nodes(&mut cluster, NEW, &name), [DORA]);
        assert_eq!(cluster.look_at(CARL, PLAIN, &name).held, None);
    }
}

#[test]
fn floors_travel_with_the_slot() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let (carl, copy) = request(&mut cluster, &name, CARL, Exclusive, OLD);
    release(&mut cluster, carl);
    cluster.run();
    // No record is left, only the floor.
    cluster.hand_over(OLD, range, NEW);
    cluster.deliver(&copy.strayed_to(NEW));
    let answer = cluster.frame(NEW, CARL);
    assert_eq!(answer.denial(), Some(DenyReason::Renew));
    assert_eq!(nodes(&mut cluster, NEW, &name), []);
    cluster.deliver(&answer);
    assert!(cluster.is_silent(CARL, NEW), "who wants nothing renews nothing");
    // And further on.
    cluster.hand_over(NEW, range, DORA);
    cluster.deliver(&copy.strayed_to(DORA));
    assert_eq!(cluster.exchange(DORA, CARL).denial(), Some(DenyReason::Renew));
    let dora = lock(&mut cluster, &name, DORA, Exclusive);
    finish(&mut cluster, &[dora]);
}

#[test]
fn a_floor_that_rises_within_the_interval_counts_too() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let dora = lock(&mut cluster, &name, DORA, Null);
    let (carl, copy) = request(&mut cluster, &name, CARL, Exclusive, OLD);
    let withheld = interval(&mut cluster, range);
    release(&mut cluster, carl);
    cluster.run_but(|frame| frame.is(Word::NewMaster));
    assert_eq!(nodes(&mut cluster, NEW, &name), [DORA]);
    // By way of the old master, and straight.
    for to in [OLD, NEW] {
        cluster.deliver(&copy.strayed_to(to));
        cluster.run_but(|frame| frame.is(Word::NewMaster));
        assert_eq!(nodes(&mut cluster, NEW, &name), [DORA]);
    }
    cluster.deliver_all(&withheld);
    cluster.run();
    finish(&mut cluster, &[dora]);
}

#[test]
fn who_still_wants_a_lock_renews_it_at_the_new_master() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let first = ask(&mut cluster, &name, CARL, Exclusive);
    cluster.frame(CARL, OLD);
    cluster.cancel(first.0, first.1);
    let cancel = cluster.frame(CARL, OLD);
    let second = ask(&mut cluster, &name, CARL, Exclusive);
    cluster.frame(CARL, OLD);
    // The cancel alone arrives: a floor without a record. Then another lock raises it beyond the request.
    cluster.deliver(&cancel);
    cluster.hand_over(OLD, range, NEW);
    cluster.settle(LONG);
    assert_eq!(mode_of(&mut cluster, second), Some(Exclusive));
    finish(&mut cluster, &[second]);
}

// ---- stragglers ----

#[test]
fn a_straggler_is_shown_the_new_master() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let dora = lock(&mut cluster, &name, DORA, Exclusive);
    let carl = ask(&mut cluster, &name, CARL, Exclusive);
    let late = cluster.frame(CARL, OLD);
    cluster.hand_over(OLD, range, NEW);
    cluster.said();
    cluster.deliver(&late);
    let redirect = cluster.frame(OLD, CARL);
    let Body::Redirect(shown) = redirect.body() else { panic!("a redirect: {:?}", redirect.body()) };
    assert_eq!((shown.slot, shown.master), (range.first, NEW));
    let version = cluster.node(NEW).slot(range.first).unwrap().version;
    assert_eq!(shown.version, version);
    cluster.deliver(&redirect);
    cluster.run();
    assert!(
        cluster.said().iter().all(|frame| !frame.is(Word::UpdatedLocks)),
        "nothing is passed on any more"
    );
    finish(&mut cluster, &[dora, carl]);
}

#[test]
fn a_redirect_of_an_older_version_changes_no_map() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    cluster.hand_over(OLD, range, NEW);
    let carl = ask(&mut cluster, &name, CARL, Exclusive);
    let request = cluster.exchange(CARL, NEW);
    cluster.run();
    cluster.deliver(&request.strayed_to(OLD));
    let redirect = cluster.frame(OLD, CARL);
    assert!(redirect.is(Word::Redirect));
    // By the time it arrives the slot is with Dora, or back where it was.
    cluster.hand_over(NEW, range, DORA);
    cluster.deliver(&redirect);
    assert_eq!(cluster.maps(range.first), [DORA; 4]);
    cluster.hand_over(DORA, range, OLD);
    cluster.deliver(&redirect);
    assert_eq!(cluster.maps(range.first), [OLD; 4]);
    finish(&mut cluster, &[carl]);
}

#[test]
fn tokens_go_on_rising_across_transfers() {
    let mut cluster = quartet();
    let (range, name) = scene(&mut cluster);
    let mut last = lockmaster_core::Token::NONE;
    let mut master = OLD;
    for to in [NEW, CARL, DORA, OLD, NEW] {
        for node in [CARL, DORA] {
            let (node, lock) = lock(&mut cluster, &name, node, Exclusive);
            let token = cluster.node(node).token(lock).unwrap();
            assert!(token > last, "{token} comes after {last}");
            last = token;
            release(&mut cluster, (node, lock));
            cluster.run();
        }
        cluster.hand_over(master, range, to);
        master = to;
    }
}
