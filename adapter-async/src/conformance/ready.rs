//! Retained locks that lie ready: taken again and again, they are taken without the machine that knows of them.

use core::time::Duration;

use super::rig::{EX, PR, Rig, name_at, names_at, poll_once};
use super::script::Script;
use crate::{
    ConvertError, Flags, Limits, LockError, LockOptions, Mode, Node, OwnerId, Path, Priority, Runtime,
    SpaceId, Standing,
};

/// So often is a lock taken until it surely lies ready: it is granted, retained, and lent, but not soon again after it was
/// wanted elsewhere.
const TAKES: usize = 16;
/// More than a lock can be taken before it has to be lent anew.
const MANY: usize = 10_000;

/// Has a lock lie ready.
async fn make_ready<R: Runtime>(node: &Node<R>, name: &str, mode: Mode) {
    let before = ready(node);
    for _ in 0..TAKES {
        drop(node.lock(name, mode).await.unwrap());
    }
    assert_eq!(ready(node), before + 1);
}

/// How many locks lie ready, or are held by who took them so.
fn ready<R: Runtime>(node: &Node<R>) -> u32 {
    node.machines().look(|state| state.lending.count()).sum()
}

pub(super) async fn tokens_rise_while_nobody_else_is_asked<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let first = nodes[0].lock(&name, EX).await.unwrap();
    let (before, mut last) = (nodes[0].stats(), first.fencing_token());
    drop(first);
    for _ in 0..MANY {
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        assert_eq!((guard.mode(), guard.path()), (EX, Path::Retained));
        assert!(guard.fencing_token() > last);
        last = guard.fencing_token();
    }
    assert_eq!(ready(&nodes[0]), 1);
    let after = nodes[0].stats();
    assert_eq!(after.messages_out, before.messages_out);
    for (after, before) in [(after.granted_retained, before.granted_retained), (after.asked, before.asked)] {
        assert_eq!(after, before + MANY as u64);
    }
    let other = nodes[1].lock(&name, EX).await.unwrap();
    assert!(other.fencing_token() > last);
    assert_eq!(ready(&nodes[0]), 0);
    let counted = nodes[0].stats();
    assert_eq!(counted.granted_retained, after.granted_retained, "what was counted is counted once");
}

pub(super) async fn whoever_wants_it_gets_it<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let names = names_at(&nodes[0], &nodes[0], 2).into_iter().chain(names_at(&nodes[0], &nodes[1], 2));
    for name in names {
        for mode in [EX, PR, Mode::ProtectedWrite] {
            for asking in [1, 2] {
                make_ready(&nodes[0], &name, mode).await;
                assert_eq!(nodes[asking].lock(&name, EX).await.unwrap().mode(), EX);
                make_ready(&nodes[0], &name, mode).await;
                assert_eq!(nodes[asking].try_lock(&name, EX).await.unwrap().mode(), EX, "it is not busy");
            }
        }
    }
}

pub(super) async fn other_ways_to_ask_find_it_free<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(1).await;
    let options = LockOptions::new(EX);
    let ways = [
        LockOptions::new(PR),
        LockOptions::new(PR).flags(Flags::NO_QUEUE),
        options.flags(Flags::NO_QUEUE),
        options.value(true),
        options.value(true).flags(Flags::NO_QUEUE),
        options.owner(OwnerId(7)),
        options.priority(Priority(1)),
        options.timeout(Duration::ZERO),
    ];
    for (nth, way) in ways.into_iter().enumerate() {
        let name = format!("resource {nth}");
        make_ready(&nodes[0], &name, EX).await;
        let guard = nodes[0].lock_with(&name, way).await.unwrap();
        assert_eq!(guard.mode(), way.mode);
        assert_eq!(nodes[0].try_lock(&name, EX).await.unwrap_err(), LockError::Busy, "it is held: {way:?}");
        assert_eq!(nodes[0].snapshot().locks().count(), 1, "by one owner: {way:?}");
        drop(guard);
    }
}

pub(super) async fn it_excludes_as_any_other<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    make_ready(&nodes[0], &name, EX).await;
    let guard = nodes[0].lock(&name, EX).await.unwrap();
    for node in &nodes {
        assert_eq!(node.try_lock(&name, PR).await.unwrap_err(), LockError::Busy);
    }
    // Whoever looked has it taken back; from here on it is a lock as any other.
    drop(guard);
    make_ready(&nodes[0], &name, PR).await;
    let readers = [nodes[0].lock(&name, PR).await.unwrap(), nodes[0].lock(&name, PR).await.unwrap()];
    let other = nodes[1].lock(&name, PR).await.unwrap();
    assert_eq!(nodes[1].try_lock(&name, EX).await.unwrap_err(), LockError::Busy);
    drop((readers, other));
    assert!(nodes[1].try_lock(&name, EX).await.is_ok());
}

pub(super) async fn its_holder_can_do_what_others_can<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    // Who waits is seen, whether it came before or after.
    for is_first in [true, false] {
        make_ready(&nodes[0], &name, EX).await;
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        let mut waiting = nodes[1].lock(&name, PR);
        if is_first {
            assert!(poll_once(&mut waiting).await.is_pending());
            rig.until(|| ready(&nodes[0]) == 0).await;
        }
        let mut contended = guard.contended();
        if !is_first {
            assert!(poll_once(&mut contended).await.is_pending());
            assert!(poll_once(&mut waiting).await.is_pending());
        }
        assert_eq!(contended.await, PR);
        drop(guard);
        assert_eq!(waiting.await.unwrap().mode(), PR);
    }
    make_ready(&nodes[0], &name, EX).await;
    let mut guard = nodes[0].lock(&name, EX).await.unwrap();
    let token = guard.fencing_token();
    guard.convert(PR).await.unwrap();
    assert_eq!(nodes[1].lock(&name, PR).await.unwrap().mode(), PR);
    guard.convert(EX).await.unwrap();
    assert!(guard.fencing_token() > token && guard.is_certain() && !guard.is_lost());
}

pub(super) async fn the_end_of_a_life_is_its_end<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    rig.until(|| nodes.iter().all(|node| node.is_settled() && node.standing() == Standing::Member)).await;
    let before = nodes[1].incarnation();
    make_ready(&nodes[1], "lies", EX).await;
    make_ready(&nodes[1], "held", EX).await;
    let guard = nodes[1].lock("held", EX).await.unwrap();
    let token = guard.fencing_token();
    let lost = nodes[1].stats().locks_lost;
    script.fence(2);
    assert!(guard.is_lost() && ready(&nodes[1]) == 0);
    guard.lost().await;
    let mut late = nodes[1].lock("lies", EX);
    // It may have begun its next life by now, in which it knows nothing of the earlier one.
    let is_granted = poll_once(&mut late).await.is_ready();
    assert!(!is_granted || nodes[1].incarnation() > before);
    rig.until(|| nodes[1].incarnation() > before && nodes[1].standing() == Standing::Member).await;
    drop(guard);
    let again = nodes[1].lock("held", EX).await.unwrap();
    assert!(again.fencing_token() > token);
    assert_eq!(nodes[1].stats().locks_lost, lost + 1, "what nobody held is no loss");
}

pub(super) async fn a_guard_of_an_earlier_life_ends_no_later_one<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let node = script.start(rig, 1).await;
    let is_there = |node: &Node<R>| node.is_settled() && node.standing() == Standing::Member;
    rig.until(|| is_there(&node)).await;
    let before = node.incarnation();
    let mut guards = Vec::new();
    for name in ["a", "b", "c"] {
        make_ready(&node, name, EX).await;
        guards.push(node.lock(name, EX).await.unwrap());
    }
    script.fence(1);
    for guard in &guards {
        guard.lost().await;
    }
    rig.until(|| node.incarnation() > before && is_there(&node)).await;
    // Locks of this life have the places in the tables that those of the last one had.
    for name in ["a", "b", "c"] {
        make_ready(&node, name, EX).await;
    }
    let mut last = guards.pop().unwrap();
    assert_eq!(last.convert(PR).await.unwrap_err(), ConvertError::Lost);
    assert!(poll_once(&mut last.contended()).await.is_pending());
    drop((last, guards));
    assert_eq!(ready(&node), 3);
    for name in ["a", "b", "c"] {
        assert_eq!(node.lock(name, EX).await.unwrap().path(), Path::Retained);
    }
}

pub(super) async fn nothing_is_taken_that_is_not_certain<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let node = script.start(rig, 1).await;
    rig.until(|| node.is_settled() && node.standing() == Standing::Member).await;
    make_ready(&node, "a", EX).await;
    script.fail(u32::MAX);
    let now = node.now();
    script.certainty(1, crate::Certainty { suspect_at: now, fenced_at: now });
    assert!(poll_once(&mut node.lock("a", EX)).await.is_pending());
    script.fail(0);
}

pub(super) async fn who_leaves_gives_it_up<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    rig.until(|| nodes.iter().all(|node| node.is_settled() && node.standing() == Standing::Member)).await;
    make_ready(&nodes[1], "lies", EX).await;
    make_ready(&nodes[1], "held", EX).await;
    let guard = nodes[1].lock("held", EX).await.unwrap();
    let leaving = rig.spawn({
        let node = nodes[1].clone();
        async move { node.leave(Duration::from_secs(600)).await }
    });
    rig.until(|| ready(&nodes[1]) == 0).await;
    assert!(!guard.is_lost());
    drop(guard);
    let left = leaving.await.unwrap();
    assert!(left.is_clean(), "{left:?}");
}

pub(super) async fn it_makes_room<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.of_one_machine().cluster_with(2, |builder| builder.limits(Limits::uniform(64))).await;
    let names = names_at(&nodes[0], &nodes[0], 100);
    for name in &names[..10] {
        make_ready(&nodes[0], name, EX).await;
    }
    // More than there is room for beside them, on both sides.
    let mut held = Vec::new();
    for name in &names[10..70] {
        match nodes[1].lock(name, EX).await {
            Ok(guard) => held.push(guard),
            Err(LockError::Full(_) | LockError::MasterFull) => {}
            Err(error) => panic!("{error}"),
        }
    }
    rig.until(|| ready(&nodes[0]) == 0).await;
    assert!(held.len() > 50, "{}", held.len());
}

pub(super) async fn it_is_seen_as_what_it_is<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(1).await;
    make_ready(&nodes[0], "lies", EX).await;
    make_ready(&nodes[0], "held", EX).await;
    let guard = nodes[0].lock("held", EX).await.unwrap();
    let snapshot = nodes[0].snapshot();
    assert_eq!(snapshot.locks().count(), 1, "nobody has the other");
    let held = |name: &str| snapshot.resource(SpaceId(0), name.as_bytes()).and_then(|entry| entry.held);
    assert_eq!([held("lies"), held("held")], [Some(EX); 2]);
    drop(guard);
    make_ready(&nodes[0], "lies", EX).await;
}

pub(super) async fn it_keeps_no_node_alive<R: Runtime + Clone>(rig: &Rig<R>) {
    let mut nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    make_ready(&nodes[1], &name, EX).await;
    let guard = nodes[1].lock(&name, EX).await.unwrap();
    nodes.truncate(1);
    assert!(!guard.is_lost(), "a guard does");
    drop(guard);
    rig.until(|| nodes[0].link_stats().up == 0).await;
}
