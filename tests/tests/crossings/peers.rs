//! Who may speak, and when.

use Mode::{Exclusive, ProtectedRead};
use lockmaster_core::wire::{Body, PositionKind};
use lockmaster_core::{Dropped, Flags, HelloError, Incarnation, Mode, Retention};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, MASTER};

use crate::LONG;
#[test]
fn a_request_that_strays_is_redirected() {
    let mut cluster = Cluster::trio(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    let request = cluster.frame(ANNA, MASTER);
    cluster.deliver(&request.strayed_to(BERT));
    let redirect = cluster.exchange(BERT, ANNA);
    assert!(matches!(redirect.body(), Body::Redirect(redirect) if redirect.master == MASTER));
    assert_eq!(cluster.look(BERT).physical, []);
    cluster.deliver(&request);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, lock), Some(Exclusive));
}

#[test]
fn nothing_is_granted_before_every_member_was_heard() {
    let mut cluster = Cluster::unacquainted(3, Retention::Never);
    let own = cluster.request(MASTER, Exclusive);
    let anna = cluster.request(ANNA, ProtectedRead);
    let acquaintances = [(ANNA, MASTER), (MASTER, ANNA), (BERT, ANNA), (ANNA, BERT), (MASTER, BERT)];
    for (from, to) in acquaintances {
        cluster.introduce(from, to);
        cluster.settle(LONG);
        assert!(!cluster.node(MASTER).is_open());
        assert_eq!((cluster.mode(MASTER, own), cluster.mode(ANNA, anna)), (None, None));
    }
    cluster.introduce(BERT, MASTER);
    cluster.settle(LONG);
    assert!(cluster.node(MASTER).is_open());
    assert_eq!(cluster.mode(MASTER, own), Some(Exclusive));
    cluster.release(MASTER, own);
    cluster.settle(LONG);
    assert_eq!(cluster.mode(ANNA, anna), Some(ProtectedRead));
}

#[test]
fn another_life_of_a_member_is_refused() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.lock(ANNA, Exclusive, Flags::NONE);
    let mut hello = cluster.node(ANNA).hello();
    hello.incarnation = Incarnation(hello.incarnation.0 + 1);
    let now = cluster.now();
    let before = cluster.node(MASTER).digest();
    assert_eq!(cluster.node(MASTER).handle_hello(now, &hello), Err(HelloError::Incarnation(ANNA)));
    assert_eq!(cluster.node(MASTER).digest(), before);
    cluster.release(ANNA, lock);
    cluster.run();
    assert_eq!(cluster.record(ANNA), None, "the first life still counts");
}

#[test]
fn a_frame_of_somebody_else_is_dropped() {
    let mut cluster = Cluster::unacquainted(3, Retention::Never);
    let members = [MASTER, ANNA, BERT];
    for (from, to) in members.iter().flat_map(|from| members.map(|to| (*from, to))) {
        // Bert does not know Anna yet.
        if from != to && (from, to) != (ANNA, BERT) {
            cluster.introduce(from, to);
        }
    }
    cluster.request(ANNA, Exclusive);
    let request = cluster.frame(ANNA, MASTER);
    let now = cluster.now();
    let mut bytes = vec![0; 256];
    let hello = cluster.node(ANNA).hello().encode(&mut bytes).unwrap();
    assert_eq!(cluster.node(MASTER).handle_frame(now, ANNA, &bytes[..hello]), Err(Dropped::Malformed));
    assert_eq!(cluster.node(MASTER).handle_frame(now, ANNA, b"LK"), Err(Dropped::Malformed));
    cluster.refuse(&request, BERT, MASTER, Dropped::Peer);
    cluster.refuse(&request, ANNA, BERT, Dropped::Peer);
    cluster.deliver(&request);
    cluster.run();
    assert_eq!(cluster.held(ANNA), Some(Exclusive));
}

#[test]
fn a_connection_that_comes_back_brings_what_was_not_answered() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.request(ANNA, Exclusive);
    cluster.frame(ANNA, MASTER);
    cluster.lose(ANNA, MASTER);
    cluster.introduce(MASTER, ANNA);
    cluster.introduce(ANNA, MASTER);
    let repeat = cluster.exchange(ANNA, MASTER);
    assert!(matches!(repeat.body(), Body::Position(position) if position.kind == PositionKind::Request));
    cluster.run();
    assert_eq!(cluster.mode(ANNA, lock), Some(Exclusive), "no timer was needed");
}

#[test]
fn a_lost_connection_takes_no_lock() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, Exclusive, Flags::NONE);
    cluster.lose(ANNA, MASTER);
    let bert = cluster.request(BERT, Exclusive);
    cluster.settle(LONG * 4);
    assert_eq!(cluster.mode(BERT, bert), None);
    assert_eq!(cluster.mode(ANNA, anna), Some(Exclusive));
    cluster.release(ANNA, anna);
    cluster.introduce(MASTER, ANNA);
    cluster.introduce(ANNA, MASTER);
    cluster.run();
    assert_eq!(cluster.mode(BERT, bert), Some(Exclusive));
}
