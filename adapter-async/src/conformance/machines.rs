//! Nodes of several machines, whatever the other cases run.

use core::time::Duration;
use std::thread::available_parallelism;

use super::rig::{EX, PR, Rig, SLOTS, names_at, poll_once, small_space, socket};
use super::script::Script;
use super::steered::Steered;
use crate::{
    Builder, LockError, MembershipError, NodeId, Runtime, SlotId, SlotRange, SpaceConfig, SpaceId, Stage,
    Standing, StartError, TransferError,
};

const MACHINES: u8 = 3;

fn several<R: Runtime + Clone>(rig: &Rig<R>) -> Rig<R> {
    Rig { machines: MACHINES, ..rig.clone() }
}

/// The machine of a resource, by its slot.
fn machine_of(slot: SlotId) -> usize {
    slot.0 as usize % usize::from(MACHINES)
}

pub(super) async fn a_resource_is_of_the_same_machine_on_all_nodes<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = several(rig);
    let nodes = rig.cluster_with(3, |builder| builder.space(small_space())).await;
    assert!(nodes.iter().all(|node| node.machine_count() == usize::from(MACHINES)));
    let mut seen = [0; MACHINES as usize];
    for number in 0..300 {
        let name = format!("resource {number}");
        let slot = nodes[0].slot_of(SpaceId(0), &name).unwrap();
        seen[machine_of(slot)] += 1;
        let master = nodes[0].slot(slot).unwrap().master;
        for node in &nodes {
            assert_eq!(node.slot_of(SpaceId(0), &name), Some(slot));
            assert_eq!(node.master_of(SpaceId(0), &name), master, "the slot's master is the resource's");
        }
        // What one takes the others wait for: it is one resource.
        let guard = nodes[number % 3].lock(&name, EX).await.unwrap();
        let busy = nodes[(number + 1) % 3].try_lock(&name, PR).await;
        assert_eq!(busy.unwrap_err(), LockError::Busy);
        drop(guard);
    }
    assert!(seen.iter().all(|resources| *resources > 50), "{seen:?}");
}

pub(super) async fn a_range_of_slots_moves_on_every_machine<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = several(rig);
    let other_space = SpaceConfig { slots: 7, ..SpaceConfig::new("other").unwrap() };
    let nodes = rig.cluster_with(2, |builder| builder.space(small_space()).space(other_space.clone())).await;
    let [old, new] = [&nodes[0], &nodes[1]];
    assert_eq!(old.slots(SpaceId(1)), Some(SlotRange { first: SlotId(SLOTS), len: 7 }));
    assert_eq!(old.slot(SlotId(SLOTS + 7)), None);
    let mut held = Vec::new();
    for name in names_at(old, old, 60) {
        let guard = old.lock(&name, EX).await.unwrap();
        held.push((old.slot_of(SpaceId(0), &name).unwrap(), guard));
    }
    // Five slots are some of each machine, and one of one.
    for range in [SlotRange { first: SlotId(4), len: 5 }, SlotRange::one(SlotId(2))] {
        let end = old.transfer(range, new.id()).await.unwrap();
        assert_eq!((end.range, end.stage), (range, Stage::Done));
        let there = held.iter().filter(|(slot, _)| range.contains(*slot)).count();
        assert_eq!(end.locks, there as u64);
        for node in &nodes {
            let is_moved = |slot: SlotId| node.slot(slot).unwrap().master == Some(new.id());
            assert!(range.slots().all(is_moved));
        }
    }
    let still = (0..24).map(SlotId).filter(|slot| old.slot(*slot).unwrap().master == Some(old.id()));
    assert!(still.eq((0..24).filter(|slot| ![2, 4, 5, 6, 7, 8].contains(slot)).map(SlotId)));
}

pub(super) async fn a_part_that_is_refused_takes_the_others_back<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(&several(rig));
    let nodes = rig.cluster_with(2, |builder| builder.space(small_space())).await;
    let [old, new] = [&nodes[0], &nodes[1]];
    rig.runtime.hold();
    // A slot of the last machine is on its way already.
    let first = SlotRange::one(SlotId(5));
    let mut moving = old.transfer(first, new.id());
    assert!(poll_once(&mut moving).await.is_pending());
    let all = SlotRange { first: SlotId(0), len: 24 };
    assert_eq!(old.transfer(all, new.id()).await, Err(TransferError::InTransfer));
    rig.runtime.let_go();
    assert_eq!(moving.await.unwrap().stage, Stage::Done);
    let is_back = |slot: SlotId| {
        let view = old.slot(slot).unwrap();
        view.master == Some(if first.contains(slot) { new.id() } else { old.id() }) && !view.is_moving
    };
    rig.until(|| all.slots().all(is_back)).await;
    let range = SlotRange { first: SlotId(6), len: 18 };
    assert_eq!(old.transfer(range, new.id()).await.unwrap().stage, Stage::Done);
}

pub(super) async fn nodes_with_other_numbers_of_machines_refuse_each_other<R: Runtime + Clone>(rig: &Rig<R>) {
    for (ours, theirs) in [(1, 3), (3, 1), (2, 3)] {
        let (listener, at) = socket();
        let one = rig.builder(1).machines(ours).member(2, at).start().await.unwrap();
        let two = rig.builder(2).machines(theirs).listener(listener).member(1, at).start().await.unwrap();
        let differ = || [one.link_stats().machines_differ, two.link_stats().machines_differ];
        rig.until(|| differ().iter().all(|count| *count >= ours.into())).await;
        for node in [&one, &two] {
            let stats = node.link_stats();
            assert_eq!((stats.up, stats.begun), (0, 0));
            assert_eq!(stats.hellos_refused, stats.machines_differ, "that is all that is wrong");
        }
        one.shutdown().await;
        two.shutdown().await;
    }
}

pub(super) async fn nodes_that_name_other_numbers_run_as_many_as_the_members<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let unnamed = |number| {
        let builder = Builder::new("test", rig.runtime.clone()).node(number).space(small_space());
        builder.listener(socket().0).join(script.clone())
    };
    let found = async |first, machines: u8, others: &[(u16, Option<u8>)]| {
        let mut nodes = vec![unnamed(first).machines(machines).start().await.unwrap()];
        for (number, named) in others {
            let builder = unnamed(*number);
            let builder = match named {
                Some(machines) => builder.machines(*machines),
                None => builder,
            };
            nodes.push(builder.start().await.unwrap());
        }
        assert!(nodes.iter().all(|node| node.machine_count() == usize::from(machines)));
        for number in 0..30 {
            let name = format!("resource {number}");
            let guard = nodes[number % nodes.len()].lock(&name, EX).await.unwrap();
            let busy = nodes[(number + 1) % nodes.len()].try_lock(&name, PR).await;
            assert_eq!(busy.unwrap_err(), LockError::Busy);
            drop(guard);
        }
        for node in nodes {
            assert!(node.leave(Duration::from_secs(60)).await.is_clean());
        }
    };
    found(1, 3, &[(2, Some(1)), (3, Some(16)), (4, None)]).await;
    // All have left, so the cluster is founded anew.
    found(3, 1, &[(1, Some(3)), (2, None)]).await;
}

pub(super) async fn where_no_number_is_named_there_is_a_machine_for_each_core<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let unnamed = || Builder::new("test", rig.runtime.clone()).node(1);
    let cores = available_parallelism().map_or(1, usize::from);
    for (slots, most) in [(24, 4), (2, 2), (1, 1)] {
        let space = SpaceConfig { slots, ..small_space() };
        let node = unnamed().space(space).start().await.unwrap();
        assert_eq!(node.machine_count(), cores.min(most));
    }
    let named = unnamed().member(2, socket().1).start().await.unwrap();
    assert_eq!(named.machine_count(), 1, "it cannot ask the other one");
}

pub(super) async fn a_configuration_that_a_provider_makes_up_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    script.make_up(true);
    let refused = script.builder(rig, 1).start().await;
    assert!(matches!(refused, Err(StartError::Membership(MembershipError::Untrusted(_)))));
    assert_eq!(script.events(), ["join 1", "leave 1"]);
    script.make_up(false);
    let node = script.start(rig, 1).await;
    node.opened().await;
    script.make_up(true);
    script.fence(1);
    let left = || script.events().iter().filter(|event| *event == "leave 1").count();
    rig.until(|| left() >= 3).await;
    assert_eq!(node.standing(), Standing::Fenced);
    script.make_up(false);
    rig.until(|| node.standing() == Standing::Member).await;
    node.shutdown().await;
}

pub(super) async fn a_node_stays_outside_a_cluster_that_was_founded_otherwise<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let one = script.builder(rig, 1).machines(3).start().await.unwrap();
    script.remove(1);
    let two = script.builder(rig, 2).machines(2).start().await.unwrap();
    drop(two.lock("a", EX).await.unwrap());
    script.inbox(1).fenced("by the test");
    let attempts = || script.events().iter().filter(|event| *event == "join 1").count();
    rig.until(|| attempts() >= 3).await;
    assert_eq!(one.standing(), Standing::Fenced);
    assert_eq!(two.members().len(), 1);
    assert!(two.leave(Duration::from_secs(60)).await.is_clean());
    rig.until(|| one.standing() == Standing::Member).await;
    assert_eq!(one.machine_count(), 3);
    drop(one.lock("a", EX).await.unwrap());
    one.shutdown().await;
}

pub(super) async fn so_many_machines_as_cannot_be_do_not_start<R: Runtime + Clone>(rig: &Rig<R>) {
    for machines in [0, 17] {
        let refused = rig.builder(1).machines(machines).start().await;
        assert!(matches!(refused, Err(StartError::Machines)));
    }
    let few = SpaceConfig { slots: 3, ..small_space() };
    let refused = rig.builder(1).machines(4).space(few.clone()).start().await;
    assert!(matches!(refused, Err(StartError::Machines)));
    rig.builder(1).machines(3).space(few).start().await.unwrap().shutdown().await;
}

pub(super) async fn a_fenced_node_comes_back_with_all_machines<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = several(rig);
    let script = Script::default();
    let one = script.start(&rig, 1).await;
    let two = script.start(&rig, 2).await;
    let names: Vec<_> = (0..30).map(|number| format!("resource {number}")).collect();
    for _ in 0..3 {
        rig.until(|| two.is_settled() && two.standing() == Standing::Member).await;
        let before = two.incarnation();
        let mut guards = Vec::new();
        for name in &names {
            guards.push(two.lock(name, EX).await.unwrap());
        }
        script.fence(2);
        assert!(
            guards.iter().all(|guard| guard.is_lost()),
            "it is lost on every machine when the call returns"
        );
        for guard in &guards {
            guard.lost().await;
        }
        rig.until(|| two.incarnation() > before && two.standing() == Standing::Member).await;
        // Nothing of the earlier life is in the way, on any machine.
        for name in &names {
            drop(one.lock(name, EX).await.unwrap());
        }
    }
}

pub(super) async fn shutdown_ends_waits_on_every_machine<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = several(rig).cluster(2).await;
    let names: Vec<_> = (0..30).map(|number| format!("resource {number}")).collect();
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    for name in names {
        held.push(nodes[0].lock(&name, EX).await.unwrap());
        let waiter = nodes[1].clone();
        waiting.push(rig.spawn(async move { waiter.lock(name, EX).await.map(drop) }));
    }
    let waits = || nodes.iter().map(|node| node.snapshot().waits().count()).sum::<usize>();
    rig.until(|| waits() >= held.len()).await;
    nodes[1].shutdown().await;
    for task in waiting {
        assert_eq!(task.await.unwrap(), Err(LockError::Closed));
    }
    assert!(held.iter().all(|guard| !guard.is_lost()), "nobody else has lost anything");
}

pub(super) async fn a_node_of_several_machines_leaves_with_nothing_left<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = several(rig);
    let script = Script::default();
    let one = script.start(&rig, 1).await;
    let two = script.start(&rig, 2).await;
    rig.until(|| one.is_settled() && two.is_settled() && two.map().slots_of(NodeId(2)) > 0).await;
    for number in 0..30 {
        drop(two.lock(format!("resource {number}"), EX).await.unwrap());
    }
    let rebuilt = one.stats().slots_rebuilt;
    let left = two.leave(Duration::from_secs(60)).await;
    assert!(left.is_clean(), "{left:?}");
    rig.until(|| one.members().len() == 1 && one.is_settled()).await;
    assert_eq!(one.stats().slots_rebuilt, rebuilt, "all of it was given");
}
