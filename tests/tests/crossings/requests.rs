//! Requests, grants, denials and cancels.

use Mode::Exclusive;
use lockmaster_core::wire::DenyReason;
use lockmaster_core::{Cancelled, Flags, Mode, Retention};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, MASTER};

use crate::{SHORT, is_grant, is_granted, number};
#[test]
fn a_lost_request_is_repeated_under_its_number() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    let lost = cluster.frame(ANNA, MASTER);
    cluster.pass(SHORT);
    let repeat = cluster.exchange(ANNA, MASTER);
    assert_eq!(number(&repeat), number(&lost));
    cluster.run();
    assert_eq!(cluster.mode(ANNA, lock), Some(Exclusive));
}

#[test]
fn a_lost_grant_is_given_again_and_is_the_same() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    let lost = cluster.frame(MASTER, ANNA);
    cluster.pass(SHORT);
    cluster.exchange(ANNA, MASTER);
    let grant = cluster.exchange(MASTER, ANNA);
    assert_eq!(grant.body(), lost.body(), "a repeat is answered and never applied");
    assert!(is_granted(&mut cluster, ANNA, lock));
}

#[test]
fn a_grant_that_comes_twice_counts_once() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    let grant = cluster.exchange(MASTER, ANNA);
    assert!(is_granted(&mut cluster, ANNA, lock));
    cluster.deliver(&grant);
    assert_eq!(cluster.happened(ANNA), []);
    cluster.release(ANNA, lock);
    cluster.deliver(&grant);
    assert_eq!(cluster.held(ANNA), None, "a released lock never comes back");
    cluster.run();
    assert_eq!(cluster.record(ANNA), None);
}

#[test]
fn a_grant_crosses_a_cancel() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    let grant = cluster.frame(MASTER, ANNA);
    assert!(is_grant(&grant));
    assert_eq!(cluster.cancel(ANNA, lock), Cancelled::Request);
    let cancel = cluster.frame(ANNA, MASTER);
    cluster.deliver(&grant);
    assert_eq!(cluster.held(ANNA), None, "a grant counts for the number that is pending");
    assert_eq!(cluster.record(ANNA).and_then(|record| record.held), Some(Exclusive));
    cluster.deliver(&cancel);
    assert_eq!(cluster.record(ANNA), None);
    cluster.run();
    assert_eq!((cluster.held(ANNA), cluster.happened(ANNA)), (None, vec![]));
}

#[test]
fn a_grant_that_is_not_wanted_any_more_is_answered_by_the_position_if_the_cancel_was_lost() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    cluster.cancel(ANNA, lock);
    let lost = cluster.frame(ANNA, MASTER);
    cluster.exchange(MASTER, ANNA);
    let answer = cluster.exchange(ANNA, MASTER);
    assert!(number(&answer) >= number(&lost));
    assert_eq!(cluster.record(ANNA), None);
}

#[test]
fn a_grant_for_an_earlier_request_is_not_a_grant_for_this_one() {
    let mut cluster = Cluster::pair(Retention::Never);
    let first = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    let early = cluster.frame(MASTER, ANNA);
    cluster.cancel(ANNA, first);
    cluster.frame(ANNA, MASTER);
    let second = cluster.request(ANNA, Exclusive);
    let request = cluster.frame(ANNA, MASTER);
    cluster.deliver(&early);
    assert_eq!(cluster.mode(ANNA, second), None);
    cluster.deliver(&request);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, second), Some(Exclusive));
}

#[test]
fn a_cancel_that_overtakes_its_request_keeps_it_out() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    let request = cluster.frame(ANNA, MASTER);
    cluster.cancel(ANNA, lock);
    let cancel = cluster.frame(ANNA, MASTER);
    cluster.deliver(&cancel);
    cluster.deliver(&request);
    assert_eq!(cluster.record(ANNA), None, "its number is not above the floor");
    assert_eq!(cluster.exchange(MASTER, ANNA).denial(), Some(DenyReason::Renew));
    cluster.run();
    assert_eq!((cluster.held(ANNA), cluster.record(ANNA)), (None, None));
}

#[test]
fn a_late_copy_of_a_request_does_not_bring_a_released_lock_back() {
    let mut cluster = Cluster::trio(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    let request = cluster.exchange(ANNA, MASTER);
    cluster.run();
    cluster.release(ANNA, lock);
    cluster.run();
    cluster.deliver(&request);
    assert_eq!(cluster.record(ANNA), None);
    assert_eq!(cluster.exchange(MASTER, ANNA).denial(), Some(DenyReason::Renew));
    assert!(cluster.is_silent(ANNA, MASTER), "who wants nothing renews nothing");
    cluster.lock(BERT, Exclusive, Flags::NONE);
}

#[test]
fn who_still_wants_the_lock_renews_a_request_that_the_floor_has_passed() {
    let mut cluster = Cluster::pair(Retention::Never);
    let first = cluster.request(ANNA, Exclusive);
    let early = cluster.frame(ANNA, MASTER);
    cluster.cancel(ANNA, first);
    let cancel = cluster.frame(ANNA, MASTER);
    // The second request is renumbered when its own copy comes back as too old.
    let second = cluster.request(ANNA, Exclusive);
    let request = cluster.frame(ANNA, MASTER);
    cluster.deliver(&cancel);
    cluster.deliver(&early);
    let renew = cluster.frame(MASTER, ANNA);
    assert_eq!((renew.denial(), number(&renew)), (Some(DenyReason::Renew), number(&early)));
    cluster.deliver(&renew);
    assert!(cluster.is_silent(ANNA, MASTER), "it names an older request");
    cluster.deliver(&request);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, second), Some(Exclusive));
}

#[test]
fn a_denial_crosses_a_cancel() {
    let mut cluster = Cluster::pair(Retention::Never);
    cluster.lock(MASTER, Exclusive, Flags::NONE);
    let lock = cluster.ask(ANNA, Exclusive, Flags::NO_QUEUE).unwrap().lock;
    cluster.exchange(ANNA, MASTER);
    let deny = cluster.frame(MASTER, ANNA);
    assert_eq!(deny.denial(), Some(DenyReason::Busy));
    assert_eq!(cluster.cancel(ANNA, lock), Cancelled::Request);
    let next = cluster.request(ANNA, Exclusive);
    cluster.deliver(&deny);
    cluster.run();
    assert_eq!(cluster.happened(ANNA), [], "the denial was of an earlier request");
    assert_eq!(cluster.look(ANNA).locks.len(), 1);
    assert_eq!(cluster.mode(ANNA, next), None);
}
