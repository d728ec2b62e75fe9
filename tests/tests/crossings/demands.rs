//! Demands, releases, retained locks, and requests that do not wait.

use Mode::{Exclusive, Null};
use lockmaster_core::wire::{Body, DenyReason};
use lockmaster_core::{Denial, Flags, LockId, Mode, Retention};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, Frame, MASTER};

use crate::{LONG, SHORT, is_demand, is_denied, is_grant, is_granted, number};

// ---- demands ----

/// Anna has EX, Bert asks for it, and the demand of her is on its way.
fn demanded(retention: Retention) -> (Cluster, LockId, LockId, Frame) {
    let mut cluster = Cluster::trio(retention);
    let anna = cluster.lock(ANNA, Exclusive, Flags::NONE);
    let bert = cluster.request(BERT, Exclusive);
    cluster.exchange(BERT, MASTER);
    let demand = cluster.frame(MASTER, ANNA);
    assert!(is_demand(&demand));
    (cluster, anna, bert, demand)
}

#[test]
fn a_demand_that_overtakes_its_grant_is_answered_by_the_request() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.request(ANNA, Exclusive);
    let request = cluster.exchange(ANNA, MASTER);
    let grant = cluster.frame(MASTER, ANNA);
    let bert = cluster.request(BERT, Exclusive);
    cluster.exchange(BERT, MASTER);
    let demand = cluster.frame(MASTER, ANNA);
    assert!(is_grant(&grant) && is_demand(&demand));
    cluster.deliver(&demand);
    let answer = cluster.frame(ANNA, MASTER);
    assert_eq!(number(&answer), number(&request));
    cluster.deliver(&grant);
    cluster.deliver(&answer);
    assert!(is_granted(&mut cluster, ANNA, anna));
    cluster.run();
    assert_eq!(cluster.look(ANNA).demanded, Some(Null), "the grant that is said again brings the demand");
    cluster.release(ANNA, anna);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn a_demand_known_at_the_grant_comes_with_it() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.request(ANNA, Exclusive);
    let bert = cluster.request(BERT, Exclusive);
    cluster.exchange(ANNA, MASTER);
    cluster.exchange(BERT, MASTER);
    let grant = cluster.exchange(MASTER, ANNA);
    assert!(matches!(grant.body(), Body::Grant(grant) if grant.demand.is_some_and(|(_, stay)| stay == Null)));
    assert_eq!(cluster.watch(ANNA, anna), Some(Exclusive));
    cluster.release(ANNA, anna);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn a_demand_crosses_the_release() {
    let (mut cluster, anna, bert, demand) = demanded(Retention::Never);
    cluster.release(ANNA, anna);
    let release = cluster.frame(ANNA, MASTER);
    cluster.deliver(&demand);
    let answer = cluster.frame(ANNA, MASTER);
    assert!(number(&answer) >= number(&release), "who has no record says so");
    cluster.deliver(&release);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
    cluster.deliver(&answer);
    cluster.deliver(&demand);
    cluster.run();
    assert_eq!(cluster.held(BERT), Some(Exclusive));
}

#[test]
fn a_lost_release_comes_to_light_by_the_next_demand() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, Exclusive, Flags::NONE);
    cluster.release(ANNA, anna);
    cluster.frame(ANNA, MASTER);
    cluster.settle(LONG * 2);
    assert_eq!(cluster.record(ANNA).unwrap().held, Some(Exclusive), "a plain release needs no answer");
    let bert = cluster.request(BERT, Exclusive);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
    assert_eq!(cluster.record(ANNA), None);
}

#[test]
fn a_lost_demand_is_made_again() {
    let (mut cluster, anna, bert, lost) = demanded(Retention::Never);
    cluster.pass(SHORT);
    let demand = cluster.exchange(MASTER, ANNA);
    assert_eq!(demand.body(), lost.body());
    cluster.release(ANNA, anna);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn a_demand_that_must_wait_for_owners_is_answered_and_then_repeated_seldom() {
    let (mut cluster, anna, bert, demand) = demanded(Retention::UntilDemanded);
    let Body::Demand(asked) = demand.body() else { panic!("a demand") };
    cluster.deliver(&demand);
    let answer = cluster.exchange(ANNA, MASTER);
    assert!(matches!(answer.body(), Body::Position(position) if position.answers == asked.id));
    cluster.pass(SHORT * 4);
    assert!(cluster.is_silent(MASTER, ANNA));
    cluster.pass(LONG);
    assert!(is_demand(&cluster.exchange(MASTER, ANNA)));
    cluster.release(ANNA, anna);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn a_late_copy_of_a_demand_takes_nothing() {
    let (mut cluster, anna, bert, demand) = demanded(Retention::UntilDemanded);
    cluster.deliver(&demand);
    cluster.release(ANNA, anna);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
    cluster.release(BERT, bert);
    let again = cluster.lock(ANNA, Exclusive, Flags::NONE);
    cluster.deliver(&demand);
    cluster.release(ANNA, again);
    cluster.run();
    assert_eq!(cluster.held(ANNA), Some(Exclusive), "the demand was of an earlier position");
}

#[test]
fn a_retained_lock_goes_when_it_is_demanded() {
    let (mut cluster, anna, bert, demand) = demanded(Retention::UntilDemanded);
    cluster.release(ANNA, anna);
    assert!(cluster.is_silent(ANNA, MASTER), "it is retained");
    cluster.deliver(&demand);
    let answer = cluster.exchange(ANNA, MASTER);
    assert!(matches!(answer.body(), Body::Position(position) if position.held.is_none()));
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn owners_that_come_after_a_demand_wait_for_their_turn() {
    let (mut cluster, anna, bert, demand) = demanded(Retention::UntilDemanded);
    cluster.deliver(&demand);
    cluster.release(ANNA, anna);
    let late = cluster.request(ANNA, Exclusive);
    assert_eq!(cluster.mode(ANNA, late), None);
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
    cluster.release(BERT, bert);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, late), Some(Exclusive));
}

// ---- no-queue ----

#[test]
fn what_is_merely_retained_is_not_busy() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let anna = cluster.lock(ANNA, Exclusive, Flags::NONE);
    cluster.release(ANNA, anna);
    cluster.run();
    let bert = cluster.ask(BERT, Exclusive, Flags::NO_QUEUE).unwrap().lock;
    cluster.exchange(BERT, MASTER);
    assert!(is_demand(&cluster.exchange(MASTER, ANNA)), "there is one round of demands");
    cluster.run();
    assert!(is_granted(&mut cluster, BERT, bert));
}

#[test]
fn what_is_in_use_is_busy() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    cluster.lock(ANNA, Exclusive, Flags::NONE);
    let bert = cluster.ask(BERT, Exclusive, Flags::NO_QUEUE).unwrap().lock;
    cluster.run();
    assert_eq!(is_denied(&mut cluster, BERT, bert), Some(Denial::Busy));
    assert_eq!(cluster.record(BERT), None);
}

#[test]
fn a_lost_answer_to_the_round_of_demands_only_takes_longer() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    cluster.lock(ANNA, Exclusive, Flags::NONE);
    let bert = cluster.ask(BERT, Exclusive, Flags::NO_QUEUE).unwrap().lock;
    cluster.exchange(BERT, MASTER);
    cluster.exchange(MASTER, ANNA);
    cluster.frame(ANNA, MASTER);
    cluster.settle(SHORT * 4);
    assert_eq!(is_denied(&mut cluster, BERT, bert), Some(Denial::Busy));
}

#[test]
fn without_retention_there_is_no_round_of_demands() {
    let mut cluster = Cluster::trio(Retention::Never);
    cluster.lock(ANNA, Exclusive, Flags::NONE);
    let bert = cluster.ask(BERT, Exclusive, Flags::NO_QUEUE).unwrap().lock;
    cluster.exchange(BERT, MASTER);
    assert_eq!(cluster.exchange(MASTER, BERT).denial(), Some(DenyReason::Busy));
    assert!(cluster.is_silent(MASTER, ANNA));
    assert_eq!(is_denied(&mut cluster, BERT, bert), Some(Denial::Busy));
}
