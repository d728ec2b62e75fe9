//! Nodes leave.

use core::time::Duration;

use super::rig::{EX, PR, Rig, SLOTS, name_at, names_at, poll_once};
use super::script::Script;
use crate::{Left, LockError, Node, NodeId, Runtime, Standing};

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

pub(super) async fn a_node_that_leaves_with_nothing_waits_until_it_is_given_nothing<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let one = script.builder(rig, 1).balance(0).start().await.unwrap();
    one.opened().await;
    let two = script.builder(rig, 2).balance(0).start().await.unwrap();
    two.opened().await;
    assert_eq!(two.map().slots_of(NodeId(2)), 0);
    script.deafen(2);
    let mut leaving = Box::pin(two.leave(LONG));
    assert!(poll_once(&mut leaving).await.is_pending(), "others may give it some, as far as it knows");
    rig.until(|| script.events().contains(&"announce 2".to_owned())).await;
    assert!(poll_once(&mut leaving).await.is_pending());
    script.let_hear(2);
    assert!(leaving.await.is_clean());
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
