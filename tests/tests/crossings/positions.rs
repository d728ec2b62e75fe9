//! Positions that overtake each other, and conversions against each other.

use Mode::{ConcurrentRead, Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::Body;
use lockmaster_core::{Cancelled, Denial, Event, Flags, Mode, Retention, ValueWrite};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, MASTER};

use crate::{LONG, QUEUED, SHORT, is_demand, is_denied, is_grant, number, order};

// ---- positions that overtake each other ----

#[test]
fn a_stale_position_is_dropped() {
    let mut cluster = Cluster::trio(Retention::Never);
    let reader = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    let converted = cluster.convert(ANNA, reader, Exclusive, Flags::NONE, ValueWrite::Keep);
    assert_eq!(converted, Ok(None));
    let request = cluster.frame(ANNA, MASTER);
    assert_eq!(cluster.cancel(ANNA, reader), Cancelled::Conversion);
    let cancel = cluster.frame(ANNA, MASTER);
    cluster.deliver(&cancel);
    cluster.deliver(&request);
    let record = cluster.record(ANNA).unwrap();
    assert_eq!((record.held, record.wanted), (Some(ProtectedRead), None));
    cluster.lock(BERT, ProtectedRead, Flags::NONE);
}

#[test]
fn a_downgrade_crosses_a_grant() {
    let mut cluster = Cluster::trio(Retention::Never);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    let first = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let second = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    cluster.convert(BERT, bert, Exclusive, Flags::NONE, ValueWrite::Keep).unwrap();
    cluster.exchange(BERT, MASTER);
    let demand = cluster.frame(MASTER, ANNA);
    assert!(is_demand(&demand));
    // Bert gives way, and Anna's EX is on its way when she lowers what she holds.
    cluster.cancel(BERT, bert);
    cluster.release(BERT, bert);
    while let Some(frame) = cluster.next_frame(BERT, MASTER) {
        cluster.deliver(&frame);
    }
    let grant = cluster.frame(MASTER, ANNA);
    assert!(is_grant(&grant));
    cluster.deliver(&demand);
    cluster.release(ANNA, first);
    let lowered = cluster.frame(ANNA, MASTER);
    assert!(number(&lowered) > number(&grant));
    cluster.deliver(&grant);
    assert_eq!(cluster.mode(ANNA, second), None, "the request has a new number");
    cluster.deliver(&lowered);
    assert_eq!(cluster.record(ANNA).unwrap().held, Some(Exclusive), "it is granted again");
    cluster.run();
    assert_eq!(cluster.mode(ANNA, second), Some(Exclusive));
    assert_eq!(cluster.mode(ANNA, first), None);
}

#[test]
fn a_request_that_is_renumbered_for_as_much_or_less_keeps_its_place() {
    for weaker in [Exclusive, ProtectedRead] {
        let mut cluster = Cluster::trio(Retention::Never);
        cluster.lock(MASTER, Exclusive, Flags::NONE);
        let first = cluster.request(ANNA, Exclusive);
        cluster.request(ANNA, weaker);
        cluster.run();
        cluster.request(BERT, Exclusive);
        cluster.run();
        let before = cluster.record(ANNA).unwrap().number;
        assert_eq!(order(&mut cluster), [MASTER, ANNA, BERT]);
        cluster.cancel(ANNA, first);
        cluster.run();
        let record = cluster.record(ANNA).unwrap();
        assert_eq!(record.wanted, Some(weaker));
        // Whoever it is for: a request for the same is the same request.
        assert_eq!(record.number > before, weaker != Exclusive);
        assert_eq!(order(&mut cluster), [MASTER, ANNA, BERT]);
    }
}

#[test]
fn a_request_for_more_goes_to_the_tail() {
    let mut cluster = Cluster::trio(Retention::Never);
    cluster.lock(MASTER, Exclusive, Flags::NONE);
    let first = cluster.request(ANNA, ProtectedRead);
    cluster.request(ANNA, Exclusive);
    cluster.run();
    cluster.request(BERT, Exclusive);
    cluster.run();
    cluster.cancel(ANNA, first);
    cluster.run();
    assert_eq!(cluster.record(ANNA).unwrap().wanted, Some(Exclusive));
    assert_eq!(order(&mut cluster), [MASTER, BERT, ANNA]);
}

#[test]
fn a_waiting_request_learns_its_place_and_is_then_repeated_seldom() {
    let mut cluster = Cluster::pair(Retention::Never);
    let own = cluster.lock(MASTER, Exclusive, Flags::NONE);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.run();
    cluster.pass(QUEUED);
    let queued = cluster.exchange(MASTER, ANNA);
    assert!(matches!(queued.body(), Body::Queued(_)));
    cluster.pass(SHORT * 4);
    assert!(cluster.is_silent(ANNA, MASTER));
    cluster.pass(LONG);
    let repeat = cluster.exchange(ANNA, MASTER);
    assert_eq!(number(&repeat), number(&queued));
    let again = cluster.exchange(MASTER, ANNA);
    assert_eq!(again.body(), queued.body(), "its place is the same");
    cluster.release(MASTER, own);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, lock), Some(Exclusive));
}

#[test]
fn who_waits_while_it_is_asked_for_something_learns_its_place_when_it_repeats() {
    let mut cluster = Cluster::trio(Retention::Never);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    let reader = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    let writer = cluster.request(ANNA, Exclusive);
    cluster.run();
    let other = cluster.request(BERT, Exclusive);
    cluster.exchange(BERT, MASTER);
    assert!(is_demand(&cluster.frame(MASTER, ANNA)), "her reader is in Bert's way, and his in hers");
    cluster.pass(QUEUED * 2);
    assert!(cluster.is_silent(MASTER, ANNA) && cluster.is_silent(MASTER, BERT));
    cluster.pass(SHORT);
    cluster.exchange(ANNA, MASTER);
    let told = cluster.exchange(MASTER, ANNA);
    let [queued, demand] = &told.split()[..] else { panic!("{told:?}") };
    assert!(matches!(queued.body(), Body::Queued(_)) && is_demand(demand));
    cluster.run();
    // What was asked of her is done, and she waits under a new number.
    cluster.release(ANNA, reader);
    cluster.run();
    cluster.pass(QUEUED);
    let anew = cluster.exchange(MASTER, ANNA);
    assert!(matches!(anew.body(), Body::Queued(_)) && number(&anew) > number(queued));
    cluster.release(BERT, bert);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, writer), Some(Exclusive));
    cluster.release(ANNA, writer);
    cluster.run();
    assert_eq!(cluster.mode(BERT, other), Some(Exclusive));
}

#[test]
fn a_queued_that_comes_after_the_grant_means_nothing() {
    let mut cluster = Cluster::pair(Retention::Never);
    let own = cluster.lock(MASTER, Exclusive, Flags::NONE);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.run();
    cluster.pass(QUEUED);
    let queued = cluster.frame(MASTER, ANNA);
    cluster.release(MASTER, own);
    cluster.run();
    cluster.deliver(&queued);
    assert_eq!(cluster.mode(ANNA, lock), Some(Exclusive));
    cluster.settle(LONG);
    assert_eq!(cluster.held(ANNA), Some(Exclusive));
}

// ---- conversions ----

#[test]
fn two_nodes_that_convert_against_each_other_are_told_apart() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    cluster.convert(ANNA, anna, Exclusive, Flags::NONE, ValueWrite::Keep).unwrap();
    cluster.run();
    cluster.convert(BERT, bert, Exclusive, Flags::NONE, ValueWrite::Keep).unwrap();
    cluster.run();
    assert_eq!(is_denied(&mut cluster, BERT, bert), Some(Denial::Deadlock));
    assert_eq!(cluster.mode(BERT, bert), Some(ProtectedRead));
    cluster.release(BERT, bert);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, anna), Some(Exclusive));
}

#[test]
fn a_victim_that_allows_it_is_demoted_and_waits() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    cluster.convert(ANNA, anna, Exclusive, Flags::NONE, ValueWrite::Keep).unwrap();
    cluster.run();
    cluster.convert(BERT, bert, Exclusive, Flags::DEMOTE_ON_DEADLOCK, ValueWrite::Keep).unwrap();
    cluster.exchange(BERT, MASTER);
    let lost = cluster.frame(MASTER, BERT);
    assert!(matches!(lost.body(), Body::Demand(demand) if demand.demote));
    cluster.settle(SHORT * 3);
    assert_eq!(cluster.mode(ANNA, anna), Some(Exclusive));
    assert_eq!(cluster.mode(BERT, bert), Some(Null));
    cluster.release(ANNA, anna);
    cluster.run();
    let events = cluster.happened(BERT);
    assert!(matches!(events[..], [Event::Granted { grant, .. }] if grant.demoted && grant.mode == Exclusive));
}
