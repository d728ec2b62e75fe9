//! In which configuration a node runs whose cluster was founded, and founded anew, while it joined.

use super::desk::{Desk, SETTLE, T, able, keys};
use super::engine::Engine;
use super::*;
use crate::record::{MemberRecord, Record as _};

/// Hands the engine from one desk to the next.
fn take(desk: &mut Desk) -> Engine {
    core::mem::replace(&mut desk.engine, Engine::new(keys()))
}

/// Registers a node, and does no more.
fn register(desk: &mut Desk) {
    while !matches!(desk.member.stage, Stage::Candidate(_)) {
        let call = desk.member.poll_call(desk.now).unwrap();
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        desk.member.handle_answer(desk.now, answer);
    }
}

/// The next call that changes something, which is on its way from now on.
fn commit(desk: &mut Desk) -> Call {
    loop {
        let call = desk.member.poll_call(desk.now).unwrap();
        if matches!(call, Call::Commit(_)) {
            return call;
        }
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        desk.member.handle_answer(desk.now, answer);
    }
}

/// What the node's key says.
fn stated(engine: &mut Engine, node: u16) -> u64 {
    let Answer::Read(entries) = engine.apply(0, &Call::Read) else { panic!("it answers") };
    let key = keys().name(Topic::Member(NodeId(node)));
    let entry = entries.iter().find(|entry| entry.key == key).unwrap();
    MemberRecord::from_bytes(&entry.value).unwrap().digest
}

/// Node 1 has registered for the first of these configurations, and then node 5 has founded a cluster in configuration 1.
fn registered_before_five(digests: &[u64]) -> Desk {
    let mut one = Desk::new(able(1, digests));
    register(&mut one);
    let mut five = Desk::with(able(5, &[1]), take(&mut one));
    five.pass(T / 4);
    assert_eq!(five.members(), [5], "node 1 is configured otherwise so far");
    one.engine = take(&mut five);
    one
}

#[test]
fn who_has_registered_before_another_founds_the_cluster_runs_as_that_one_does() {
    let mut one = registered_before_five(&[9, 1]);
    one.pass(T / 2);
    assert_eq!((one.members(), one.member.digest(), one.engine.view().unwrap().digest), (vec![1, 5], 1, 1));
}

/// Node 1 registers for configuration 9. Node 5 founds a cluster in configuration 1, and node 1 is about to say that it
/// runs so, too. Then node 5 dies, and node 2 founds the cluster anew in configuration 9, perhaps with node 1
/// as it has registered. What node 1 wanted to say arrives before that or after it.
fn overtaken(is_early: bool) -> (Desk, u64) {
    let mut one = registered_before_five(&[9, 1]);
    one.hint_later();
    let statement = commit(&mut one);

    let mut two = Desk::with(able(2, &[9]), take(&mut one));
    two.engine.bury(5);
    two.pass_to_last_commit(T / 2, is_early.then_some(&statement));
    let digest = two.engine.view().unwrap().digest;
    assert_eq!((two.members().contains(&2), digest), (true, 9));
    one.engine = take(&mut two);
    if !is_early {
        one.engine.apply(one.now.as_nanos(), &statement);
    }
    one.member.handle_answer(one.now, Answer::Committed);
    one.pass(T / 4);
    (one, digest)
}

#[test]
fn who_is_seated_while_it_states_a_configuration_runs_as_the_view_does() {
    let (one, digest) = overtaken(false);
    assert!(one.told.iter().any(|event| matches!(event, Event::Joined(_))));
    assert_eq!(one.member.digest(), digest);
}

#[test]
fn nor_does_it_run_otherwise_if_it_stated_it_just_before() {
    let (one, digest) = overtaken(true);
    assert!(one.told.iter().any(|event| matches!(event, Event::Joined(_))));
    assert_eq!(one.member.digest(), digest);
}

#[test]
fn who_comes_next_is_admitted() {
    let (mut one, digest) = overtaken(false);
    let mut four = Desk::with(able(4, &[7, 1, 9]), take(&mut one));
    four.pass(T * 8);
    assert_eq!((four.refused(), four.member.digest()), (None, digest));
}

#[test]
fn a_statement_that_comes_late_does_not_undo_a_later_one() {
    let mut one = registered_before_five(&[7, 1, 9]);
    one.hint_later();
    let late = commit(&mut one);
    one.member.handle_answer(one.now, Answer::Nothing("no answer".to_owned()));

    let mut two = Desk::with(able(2, &[9]), take(&mut one));
    two.engine.bury(5);
    two.pass(T / 2);
    assert_eq!(two.members(), [2]);
    one.engine = take(&mut two);
    one.pass(T / 4);
    assert_eq!((one.members(), one.member.digest()), (vec![1, 2], 9));
    one.engine.apply(one.now.as_nanos(), &late);
    assert_eq!(stated(&mut one.engine, 1), 9, "it is what the member runs as");

    let mut four = Desk::with(able(4, &[7, 1, 9]), take(&mut one));
    four.pass(T * 8);
    assert_eq!((four.refused(), four.member.digest()), (None, 9));
}

/// Node 1 has lost its lease, but its process runs, in configuration 1 for good. It has not left.
#[test]
fn who_founds_a_cluster_anew_that_nobody_has_left_runs_as_it_did() {
    let mut one = Desk::joined(1, &[]);
    let mut four = Desk::with(able(4, &[9, 1]), take(&mut one));
    four.engine.bury(1);
    four.pass(SETTLE * 2);
    assert_eq!(four.members(), [4]);
    let floor = one.member.plan.floor;
    let mut again = Desk::with(Plan { floor, ..able(1, &[1]) }, take(&mut four));
    again.pass(T / 2);
    assert_eq!((again.refused(), again.members()), (None, vec![1, 4]));
}
