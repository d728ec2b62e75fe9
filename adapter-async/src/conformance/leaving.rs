//! Nodes leave.

use core::time::Duration;

use super::rig::{EX, PR, Rig, SLOTS, name_at, names_at, poll_once};
use super::script::Script;
use super::steered::Steered;
use crate::{Left, LockError, LockOptions, Mode, Node, NodeId, Runtime, Standing, ValueState};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// Nodes that each master something.
async fn spread<R: Runtime + Clone>(rig: &Rig<R>, script: &Script, count: u16) -> Vec<Node<R>> {
    let nodes = script.cluster(rig, count).await;
    let least = SLOTS / u32::from(count) - 2;
    let is_spread =
        |node: &Node<R>| node.map().shares.iter().all(|share| share.slots >= least && share.moving == 0);
    rig.until(|| nodes.iter().all(|node| node.is_settled() && is_spread(node))).await;
    nodes
}

pub(super) async fn a_node_that_leaves_gives_everything_away<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let mut nodes = spread(rig, &script, 3).await;
    let names = names_at(&nodes[0], &nodes[2], 10);
    let mut held = Vec::new();
    let mut waiting = Vec::new();
    for name in &names {
        // Retained by the one that leaves, held by another, waited for by a third.
        drop(nodes[2].lock(name, EX).await.unwrap());
        held.push(nodes[0].lock(name, EX).await.unwrap());
        let (node, name) = (nodes[1].clone(), name.clone());
        waiting.push(rig.spawn(async move { node.lock(name, EX).await }));
    }
    drop(nodes[2].lock("retained", PR).await.unwrap());
    rig.until(|| nodes[2].snapshot().waits().count() >= 10).await;
    let rebuilt = [0, 1].map(|at: usize| nodes[at].stats().slots_rebuilt);
    let left = nodes[2].leave(LONG).await;
    assert!(left.is_clean(), "{left:?}");
    assert!(held.iter().all(|guard| !guard.is_lost()));
    let tokens: Vec<_> = held.iter().map(|guard| guard.fencing_token()).collect();
    drop(held);
    for (waiting, before) in waiting.into_iter().zip(tokens) {
        assert!(waiting.await.unwrap().unwrap().fencing_token() > before);
    }
    assert_eq!(nodes[2].lock("late", EX).await.unwrap_err(), LockError::Closed);
    let events = script.events();
    assert_eq!(events[events.len() - 2..], ["announce 3", "leave 3"]);
    nodes.truncate(2);
    rig.until(|| nodes.iter().all(|node| node.members().len() == 2 && node.is_settled())).await;
    let rebuilt_now = [0, 1].map(|at: usize| nodes[at].stats().slots_rebuilt);
    assert_eq!(rebuilt, rebuilt_now, "nothing had to be found out");
}

pub(super) async fn a_drained_node_masters_nothing_and_grants<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = spread(rig, &script, 2).await;
    let held = nodes[1].lock("a", EX).await.unwrap();
    assert!(nodes[1].drain().await);
    assert_eq!(nodes[1].map().slots_of(NodeId(2)), 0);
    assert!(!held.is_lost() && nodes[1].standing() == Standing::Member);
    drop(nodes[1].lock("b", EX).await.unwrap());
    rig.until(|| nodes[0].map().slots_of(NodeId(1)) == SLOTS).await;
    assert!(nodes[1].drain().await);
    drop(held);
    assert!(nodes[1].leave(LONG).await.is_clean());
    // Nobody is there any more.
    rig.until(|| nodes[0].members().len() == 1).await;
    assert!(!nodes[0].drain().await);
}

pub(super) async fn a_node_that_leaves_waits_for_its_guards<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = spread(rig, &script, 2).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    let mut leaving = Box::pin(nodes[1].leave(LONG));
    assert!(poll_once(&mut leaving).await.is_pending());
    rig.until(|| nodes[0].map().slots_of(NodeId(1)) == SLOTS).await;
    assert!(poll_once(&mut leaving).await.is_pending());
    assert!(!guard.is_lost());
    // Until the end it grants as before, whatever machine a name is at.
    let names = ["b", "c", "d", "e", "f", "g", "h", "i"];
    let mut held = Vec::new();
    let mut waiting = Vec::new();
    for name in names {
        held.push(nodes[0].lock(name, EX).await.unwrap());
        let node = nodes[1].clone();
        waiting.push(rig.spawn(async move { node.lock(name, EX).await }));
    }
    rig.until(|| nodes[0].snapshot().waits().count() == names.len()).await;
    assert!(poll_once(&mut leaving).await.is_pending());
    drop(held);
    for waiting in waiting {
        drop(waiting.await.unwrap().unwrap());
    }
    drop(guard);
    assert!(leaving.await.is_clean());
}

pub(super) async fn a_node_that_must_leave_at_once_loses_its_guards<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = spread(rig, &script, 2).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    let name = name_at(&nodes[0], &nodes[1]);
    let kept = nodes[0].lock(&name, EX).await.unwrap();
    let left = nodes[1].leave(Duration::ZERO).await;
    assert_eq!(left.guards, 1);
    assert!(guard.is_lost() && !kept.is_lost());
    drop(nodes[0].lock("a", EX).await.unwrap());
    assert_eq!(nodes[0].try_lock(&name, PR).await.unwrap_err(), LockError::Busy, "it is still held");
}

/// Two nodes, of which the first masters everything.
async fn lopsided<R: Runtime + Clone, S: Runtime + Clone>(
    script: &Script,
    first: &Rig<R>,
    second: &Rig<S>,
) -> (Node<R>, Node<S>) {
    let one = script.builder(first, 1).balance(0).start().await.unwrap();
    one.opened().await;
    let two = script.builder(second, 2).balance(0).start().await.unwrap();
    two.opened().await;
    assert_eq!(two.map().slots_of(NodeId(2)), 0);
    (one, two)
}

fn announcements(script: &Script) -> usize {
    script.events().iter().filter(|event| *event == "announce 2").count()
}

pub(super) async fn a_node_that_masters_nothing_leaves_when_its_view_says_so<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let (_one, two) = lopsided(&script, rig, rig).await;
    script.deafen(2);
    let mut draining = Box::pin(two.drain());
    let mut leaving = Box::pin(two.leave(LONG));
    for announced in [0, 1] {
        rig.until(|| announcements(&script) >= announced).await;
        assert!(poll_once(&mut draining).await.is_pending(), "others may give it some, as far as it knows");
        assert!(poll_once(&mut leaving).await.is_pending());
    }
    script.let_hear(2);
    assert!(draining.await);
    assert!(leaving.await.is_clean());
}

pub(super) async fn a_node_whose_view_does_not_say_that_it_leaves_says_so_again<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let (_one, two) = lopsided(&script, rig, rig).await;
    let guard = two.lock("a", EX).await.unwrap();
    let mut leaving = Box::pin(two.leave(LONG));
    assert!(poll_once(&mut leaving).await.is_pending());
    rig.until(|| two.members().iter().any(|member| member.is_leaving)).await;
    script.unmark(2);
    rig.until(|| announcements(&script) == 2).await;
    drop(guard);
    assert!(leaving.await.is_clean());
}

pub(super) async fn a_node_whose_engine_cannot_be_told_leaves_all_the_same<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let (_one, two) = lopsided(&script, rig, rig).await;
    script.lose_touch();
    assert!(two.leave(LONG).await.is_clean());
    assert_eq!(announcements(&script), 1);
}

pub(super) async fn a_node_leaves_when_others_know_that_it_has_nothing<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let steered = Steered::rig(rig);
    let (one, two) = lopsided(&script, &steered, rig).await;
    // A block is kept as long as somebody has a lock.
    let kept = one.lock("a", Mode::Null).await.unwrap();
    let options = LockOptions::new(EX).value(true);
    let mut guard = two.lock_with("a", options).await.unwrap();
    guard.set_value(b"one").unwrap();
    drop(guard);
    assert!(two.drain().await);
    steered.runtime.hold();
    let mut leaving = Box::pin(two.leave(LONG));
    // Often enough for all that it waits for but the master.
    for _ in 0..100 {
        assert!(poll_once(&mut leaving).await.is_pending(), "the master has not heard it");
        rig.yield_now().await;
    }
    steered.runtime.let_go();
    assert!(leaving.await.is_clean());
    rig.until(|| one.members().len() == 1).await;
    let reader = one.lock_with("a", options).await.unwrap();
    assert!(matches!(reader.value(), Some(ValueState::Valid(value)) if value.as_bytes() == b"one"));
    drop(kept);
}

pub(super) async fn a_node_that_leaves_does_not_wait_for_locks_of_others<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let (one, two) = lopsided(&script, rig, rig).await;
    let guard = one.lock("a", EX).await.unwrap();
    let waiting = {
        let two = two.clone();
        rig.spawn(async move { two.lock("a", EX).await })
    };
    rig.until(|| one.snapshot().waits().count() == 1).await;
    assert!(two.leave(LONG).await.is_clean());
    assert_eq!(waiting.await.unwrap().unwrap_err(), LockError::Closed);
    assert!(!guard.is_lost());
}

pub(super) async fn a_node_that_leaves_takes_back_what_nobody_has_fetched<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let (one, two) = lopsided(&script, rig, rig).await;
    let guard = one.lock("a", EX).await.unwrap();
    let mut waiting = Box::pin(two.lock("a", EX));
    assert!(poll_once(&mut waiting).await.is_pending());
    rig.until(|| one.snapshot().waits().count() == 1).await;
    drop(guard);
    rig.until(|| two.snapshot().waits().count() == 0).await;
    assert!(two.leave(LONG).await.is_clean());
    assert_eq!(waiting.await.unwrap_err(), LockError::Closed);
    drop(one.lock("a", EX).await.unwrap());
}

pub(super) async fn the_last_node_leaves_without_asking_anybody<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 1).await;
    drop(nodes[0].lock("a", EX).await.unwrap());
    assert_eq!(nodes[0].leave(LONG).await, Left { slots: 0, guards: 0 });
    assert_eq!(script.events().last().map(String::as_str), Some("leave 1"));
}

pub(super) async fn a_node_that_is_fenced_while_it_leaves_has_nothing_to_wait_for<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let nodes = spread(rig, &script, 2).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    let mut leaving = Box::pin(nodes[1].leave(LONG));
    assert!(poll_once(&mut leaving).await.is_pending());
    script.close();
    script.fence(2);
    guard.lost().await;
    assert_eq!(leaving.await.slots, 0);
    assert_eq!(nodes[1].standing(), Standing::Fenced);
}

pub(super) async fn a_node_that_is_shut_down_or_dropped_leaves_as_well<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let mut nodes = spread(rig, &script, 3).await;
    nodes[2].shutdown().await;
    assert_eq!(script.events().last().map(String::as_str), Some("leave 3"));
    nodes.truncate(2);
    rig.until(|| nodes.iter().all(|node| node.members().len() == 2 && node.is_settled())).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    nodes.truncate(1);
    assert!(!guard.is_lost(), "a guard keeps its node running");
    drop(guard);
    rig.until(|| nodes[0].members().len() == 1).await;
    assert_eq!(script.events().last().map(String::as_str), Some("leave 2"));
    drop(nodes[0].lock("a", EX).await.unwrap());
}

pub(super) async fn nodes_that_all_leave_at_once_wait_for_nobody<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = spread(rig, &script, 3).await;
    let guard = nodes[0].lock("a", EX).await.unwrap();
    let within = Duration::from_secs(10);
    let leaving = |at: usize| {
        let node = nodes[at].clone();
        rig.spawn(async move { node.leave(within).await })
    };
    let [one, two, three] = [0, 1, 2].map(leaving);
    assert!(two.await.unwrap().is_clean());
    assert!(three.await.unwrap().is_clean());
    assert!(!one.is_finished() && !guard.is_lost(), "it waits for its own owners");
    drop(guard);
    assert!(one.await.unwrap().is_clean());
}
