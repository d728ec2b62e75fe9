//! Slots move to other nodes while their locks are in use.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use lockmaster_core::ConfigError;

use super::crowd::Crowd;
use super::rig::{EX, PR, Rig, SLOTS, name_at, names_at, nobody_locks, poll_once, small_space, socket};
use super::steered::Steered;
use crate::{
    Limits, MasterShare, Node, NodeId, Refusal, Runtime, SlotId, SlotRange, SpaceConfig, SpaceId, Stage,
    StartError, TRANSFERS_MAX, TransferError, WithdrawError,
};

/// As many nodes, connected and open, with few slots.
async fn cluster<R: Runtime + Clone>(rig: &Rig<R>, count: u16) -> Vec<Node<R>> {
    rig.cluster_with(count, |builder| builder.space(small_space())).await
}

/// The first slots that follow each other and are a node's in its own map.
fn slots_of<R: Runtime>(node: &Node<R>) -> SlotRange {
    let is_own = |slot: &u32| node.slot(SlotId(*slot)).unwrap().master == Some(node.id());
    let end = node.all_slots().len;
    let first = (0..end).find(is_own).expect("a node masters something");
    let len = (first..end).take_while(is_own).count();
    SlotRange { first: SlotId(first), len: u32::try_from(len).unwrap() }
}

/// All nodes agree that the slots are this node's, and that none of them moves.
fn is_master_of<R: Runtime>(nodes: &[Node<R>], range: SlotRange, master: &Node<R>) -> bool {
    nodes.iter().all(|node| {
        range.slots().all(|slot| {
            let view = node.slot(slot).unwrap();
            view.master == Some(master.id()) && !view.is_moving
        })
    })
}

pub(super) async fn every_node_has_the_same_map_at_first<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = cluster(rig, 3).await;
    for node in &nodes {
        let map = node.map();
        assert_eq!(map.node, node.id());
        assert_eq!(map.shares, nodes[0].map().shares);
        // Each machine has the same map as the others of its kind, and some slots over perhaps.
        let is_fair = |share: &MasterShare| share.slots.abs_diff(SLOTS / 3) < rig.machines.into();
        assert!(map.shares.iter().all(|share| is_fair(share) && share.moving == 0));
        assert_eq!(node.slots(SpaceId(0)), Some(SlotRange { first: SlotId(0), len: SLOTS }));
        assert_eq!(node.slots(SpaceId(1)), None);
        assert_eq!(node.all_slots().len, SLOTS);
        assert_eq!(node.slot(SlotId(SLOTS)), None);
        assert_eq!(node.slot_of(SpaceId(0), ""), None);
        assert_eq!(node.slot_of(SpaceId(1), "a"), None);
        let slot = node.slot_of(SpaceId(0), "a").unwrap();
        assert_eq!(node.slot(slot).and_then(|view| view.master), node.master_of(SpaceId(0), "a"));
    }
}

pub(super) async fn locks_stay_held_and_waiting_while_their_slots_move<R: Runtime + Clone>(rig: &Rig<R>) {
    for count in [2, 3] {
        let nodes = cluster(rig, count).await;
        let (old, new, last) = (&nodes[0], &nodes[1], nodes.last().unwrap());
        let range = slots_of(old);
        let both = new.map().slots_of(old.id()) + new.map().slots_of(new.id());
        let names = names_at(old, old, 20);
        let mut held = Vec::new();
        let mut waiting = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let holder = &nodes[at % nodes.len()];
            held.push(holder.lock(name, EX).await.unwrap());
            let (waiter, name) = (nodes[(at + 1) % nodes.len()].clone(), name.clone());
            waiting.push(
                rig.spawn(async move { waiter.lock(name, PR).await.map(|guard| guard.fencing_token()) }),
            );
        }
        rig.until(|| old.snapshot().waits().count() >= names.len()).await;

        let end = old.transfer(range, new.id()).await.unwrap();
        assert_eq!((end.range, end.to, end.stage), (range, new.id(), Stage::Done));
        assert_eq!(end.resources, 20);
        assert!(end.locks >= 20 && end.bytes > 0, "{end:?}");
        assert!(is_master_of(&nodes, range, new));
        for (at, name) in names.iter().enumerate() {
            assert!(nodes.iter().all(|node| node.master_of(SpaceId(0), name) == Some(new.id())));
            let other = &nodes[(at + 1) % nodes.len()];
            assert!(other.try_lock(name, PR).await.is_err(), "{name} is held");
        }
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        for (guard, waiting) in held.into_iter().zip(waiting) {
            let before = guard.fencing_token();
            drop(guard);
            assert!(waiting.await.unwrap().unwrap() > before, "tokens rise");
        }
        let guard = last.lock(&names[0], EX).await.unwrap();
        assert_eq!(guard.mode(), EX);
        assert_eq!(new.map().slots_of(new.id()), both);
        let moved = (old.stats().transfers_out, new.stats().transfers_in);
        assert_eq!(moved, (rig.machines.into(), rig.machines.into()), "one a machine");
    }
}

pub(super) async fn a_transfer_tells_how_far_it_is<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = cluster(&rig, 3).await;
    let names = names_at(&nodes[0], &nodes[0], 5);
    for name in &names {
        drop(nodes[2].lock(name, EX).await.unwrap());
    }
    let range = slots_of(&nodes[0]);
    let mut transfer = nodes[0].transfer(range, nodes[1].id());
    assert_eq!(transfer.progress(), None);
    rig.runtime.hold();
    assert!(poll_once(&mut transfer).await.is_pending());
    let progress = transfer.progress().unwrap();
    assert_eq!((progress.stage, progress.range, progress.to), (Stage::Offered, range, nodes[1].id()));
    assert!(nodes[0].slot(range.first).unwrap().is_moving);
    rig.runtime.let_go();
    let end = (&mut transfer).await.unwrap();
    assert_eq!(transfer.progress(), Some(end));
    assert_eq!((end.stage, end.resources), (Stage::Done, 5));
}

pub(super) async fn a_future_that_was_never_polled_transfers_nothing<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = cluster(rig, 2).await;
    let range = slots_of(&nodes[0]);
    let transfer = nodes[0].transfer(range, nodes[1].id());
    assert_eq!(transfer.withdraw(), Err(WithdrawError::Unknown));
    drop(transfer);
    assert!(is_master_of(&nodes, range, &nodes[0]));
}

pub(super) async fn a_dropped_future_lets_the_transfer_go_on<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = cluster(rig, 3).await;
    let range = slots_of(&nodes[0]);
    let name = name_at(&nodes[0], &nodes[0]);
    let guard = nodes[2].lock(&name, EX).await.unwrap();
    // Often enough that places which are never given back would run out.
    for round in 0..2 * TRANSFERS_MAX + 2 {
        let (from, to) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let mut transfer = from.transfer(range, to.id());
        assert!(poll_once(&mut transfer).await.is_pending());
        drop(transfer);
        rig.until(|| is_master_of(&nodes, range, to)).await;
    }
    assert!(nodes[1].try_lock(&name, PR).await.is_err());
    drop(guard);
    drop(nodes[1].lock(&name, EX).await.unwrap());
}

pub(super) async fn a_transfer_is_withdrawn_before_it_moves_anything<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = cluster(&rig, 3).await;
    let range = slots_of(&nodes[0]);
    let name = name_at(&nodes[0], &nodes[0]);
    let guard = nodes[2].lock(&name, EX).await.unwrap();
    let mut transfer = nodes[0].transfer(range, nodes[1].id());
    rig.runtime.hold();
    assert!(poll_once(&mut transfer).await.is_pending());
    transfer.withdraw().unwrap();
    assert_eq!((&mut transfer).await, Err(TransferError::Withdrawn));
    assert_eq!(transfer.progress().unwrap().stage, Stage::Withdrawn);
    assert_eq!(transfer.withdraw(), Err(WithdrawError::Unknown));
    rig.runtime.let_go();
    rig.until(|| is_master_of(&nodes, range, &nodes[0])).await;
    assert!(nodes[1].try_lock(&name, PR).await.is_err());
    drop(guard);

    let transfer = nodes[0].transfer(range, nodes[1].id()).await;
    assert_eq!(transfer.unwrap().stage, Stage::Done);
}

pub(super) async fn what_cannot_be_transferred_is_refused_in_the_call<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = cluster(&rig, 3).await;
    let (node, other) = (&nodes[0], nodes[1].id());
    let range = slots_of(node);
    let refused = async |range, to| node.transfer(range, to).await.unwrap_err();
    for wrong in [SlotRange { len: 0, ..range }, SlotRange { first: SlotId(SLOTS - 1), len: 2 }] {
        assert_eq!(refused(wrong, other).await, TransferError::Range);
    }
    let more = SlotRange { len: range.len + 1, ..range };
    for wrong in [more, slots_of(&nodes[1])] {
        assert_eq!(refused(wrong, other).await, TransferError::NotMaster);
    }
    for wrong in [node.id(), NodeId(9)] {
        assert_eq!(refused(range, wrong).await, TransferError::Member(wrong));
    }
    let mut first = node.transfer(range, other);
    rig.runtime.hold();
    assert!(poll_once(&mut first).await.is_pending());
    assert_eq!(refused(SlotRange::one(range.first), other).await, TransferError::InTransfer);
    rig.runtime.let_go();
    assert_eq!(first.await.unwrap().stage, Stage::Done);
    assert_eq!(refused(range, other).await, TransferError::NotMaster);
}

pub(super) async fn only_so_many_transfers_go_on_at_a_time<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let machines = u32::from(rig.machines);
    let space = SpaceConfig { slots: SLOTS * machines, ..small_space() };
    let nodes = rig.cluster_with(2, |builder| builder.space(space.clone())).await;
    rig.runtime.hold();
    let range = slots_of(&nodes[0]);
    // Those of one machine.
    let mut slots = range.slots().step_by(rig.machines.into()).map(SlotRange::one);
    let mut under_way = Vec::new();
    for slot in slots.by_ref().take(TRANSFERS_MAX) {
        let mut transfer = nodes[0].transfer(slot, nodes[1].id());
        assert!(poll_once(&mut transfer).await.is_pending());
        under_way.push(transfer);
    }
    let next = slots.next().unwrap();
    assert_eq!(nodes[0].transfer(next, nodes[1].id()).await, Err(TransferError::TooMany));
    rig.runtime.let_go();
    for transfer in under_way {
        assert_eq!(transfer.await.unwrap().stage, Stage::Done);
    }
    assert_eq!(nodes[0].transfer(next, nodes[1].id()).await.unwrap().stage, Stage::Done);
}

pub(super) async fn a_node_without_room_refuses<R: Runtime + Clone>(rig: &Rig<R>) {
    let number = Cell::new(0);
    let nodes = rig.cluster_with(2, |builder| {
        number.set(number.get() + 1);
        let builder = builder.space(small_space());
        if number.get() == 2 { builder.limits(Limits::uniform(8)) } else { builder }
    });
    let nodes = nodes.await;
    let range = slots_of(&nodes[0]);
    let mut held = Vec::new();
    for name in names_at(&nodes[0], &nodes[0], 20 * usize::from(rig.machines)) {
        held.push(nodes[0].lock(name, EX).await.unwrap());
    }
    let refused = nodes[0].transfer(range, nodes[1].id()).await.unwrap_err();
    assert!(matches!(refused, TransferError::Refused(Refusal::Full(_))), "{refused}");
    rig.until(|| is_master_of(&nodes, range, &nodes[0])).await;
}

pub(super) async fn a_node_that_has_not_heard_all_gives_nothing_away<R: Runtime + Clone>(rig: &Rig<R>) {
    let (_nobody, at) = socket();
    let node = rig.builder(1).space(small_space()).member(2, at).start().await.unwrap();
    let refused = node.transfer(slots_of(&node), NodeId(2)).await;
    assert_eq!(refused, Err(TransferError::NotOpen));
}

pub(super) async fn shutdown_ends_the_wait_for_a_transfer<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = cluster(&rig, 2).await;
    let range = slots_of(&nodes[0]);
    let mut transfer = nodes[0].transfer(range, nodes[1].id());
    rig.runtime.hold();
    assert!(poll_once(&mut transfer).await.is_pending());
    let mut ending = Box::pin(nodes[0].shutdown());
    assert!(poll_once(&mut ending).await.is_pending());
    // Nothing that comes now is heard; only the ends of connections are.
    rig.runtime.let_go();
    ending.await;
    assert_eq!(transfer.progress(), None);
    assert_eq!(transfer.withdraw(), Err(WithdrawError::Unknown));
    assert_eq!(transfer.await, Err(TransferError::Closed));
    assert_eq!(nodes[0].transfer(range, nodes[1].id()).await, Err(TransferError::Closed));
}

pub(super) async fn small_chunks_bring_everything_too<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster_with(2, |builder| builder.space(small_space()).chunk(256).window(256)).await;
    let range = slots_of(&nodes[0]);
    let names = names_at(&nodes[0], &nodes[0], 300);
    let mut held = Vec::new();
    for (at, name) in names.iter().enumerate() {
        held.push(nodes[at % 2].lock(name, EX).await.unwrap());
    }
    let end = nodes[0].transfer(range, nodes[1].id()).await.unwrap();
    assert_eq!((end.resources, end.locks), (300, 300));
    for (at, name) in names.iter().enumerate() {
        assert!(nodes[(at + 1) % 2].try_lock(name, PR).await.is_err());
    }

    for (chunk, window) in [(255, 1024), (1 << 17, 1 << 18), (1024, 512)] {
        let odd = rig.builder(1).chunk(chunk).window(window).start().await;
        assert!(matches!(odd, Err(StartError::Config(ConfigError::Chunks))));
    }
}

pub(super) async fn locks_come_and_go_while_slots_go_round<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster_with(3, |builder| builder.space(small_space()).chunk(512).window(2048)).await;
    let crowd = Crowd::new(&nodes, 4);
    let mut tasks = Vec::new();
    for task in 0..300_usize {
        let (node, crowd, runtime) = (nodes[task % 3].clone(), crowd.clone(), rig.runtime.clone());
        tasks.push(rig.spawn(async move {
            for round in 0..20 {
                crowd.visit(&runtime, &node, task / 3 + round * 5, (task + round) % 3 == 0).await;
            }
        }));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mut movers = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let (node, to, is_over) = (node.clone(), nodes[(at + 1) % 3].id(), Arc::clone(&is_over));
        let runtime = rig.runtime.clone();
        movers.push(rig.spawn(async move {
            let mut done = 0;
            while done == 0 || !is_over.load(Ordering::Relaxed) {
                let own = (0..SLOTS).find(|slot| node.slot(SlotId(*slot)).unwrap().master == Some(node.id()));
                let Some(first) = own else {
                    runtime.yield_now().await;
                    continue;
                };
                match node.transfer(SlotRange::one(SlotId(first)), to).await {
                    Ok(_) => done += 1,
                    Err(TransferError::InTransfer | TransferError::Refused(_)) => {
                        runtime.yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    for mover in movers {
        mover.await.unwrap();
    }
    assert!(nobody_locks(&nodes));
    let maps: Vec<_> = nodes.iter().map(Node::map).collect();
    assert!(maps.iter().all(|map| map.shares == maps[0].shares), "{maps:?}");
    let own: u32 = nodes.iter().map(|node| node.map().slots_of(node.id())).sum();
    assert_eq!(own, SLOTS);
}
