//! What locks do: modes, conversions, value blocks, retention.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use super::rig::{EX, PR, Rig, name_at, nothing_is_left, poll_once};
use crate::{
    ConvertError, Flags, LockError, LockOptions, Mode, Path, Runtime, SetValueError, SpaceId, ValueState,
};

fn with_value(mode: Mode) -> LockOptions {
    LockOptions::new(mode).value(true)
}

/// Waits for two at a time.
async fn both<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = two.as_mut().poll(context)
        {
            second = Some(output);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

fn bytes(value: Option<ValueState>) -> Vec<u8> {
    match value {
        Some(ValueState::Valid(value)) => value.as_bytes().to_vec(),
        other => panic!("no valid value: {other:?}"),
    }
}

pub(super) async fn a_node_alone_needs_no_network<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(1).await;
    let guard = nodes[0].lock("a", EX).await.unwrap();
    assert_eq!(guard.mode(), EX);
    assert_eq!(nodes[0].try_lock("a", PR).await.unwrap_err(), LockError::Busy);
    drop(guard);
    let again = nodes[0].lock("a", EX).await.unwrap();
    assert_eq!(again.path(), Path::Retained);
}

pub(super) async fn three_nodes_share_and_exclude<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        let mut readers = Vec::new();
        for node in &nodes {
            readers.push(node.lock(&name, PR).await.unwrap());
        }
        for node in &nodes {
            assert_eq!(node.try_lock(&name, EX).await.unwrap_err(), LockError::Busy);
        }
        drop(readers);
        let mut last = None;
        for node in &nodes {
            let guard = node.lock(&name, EX).await.unwrap();
            assert!(Some(guard.fencing_token()) > last, "tokens rise");
            last = Some(guard.fencing_token());
        }
    }
}

pub(super) async fn three_nodes_pass_a_lock_round<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    for round in 0..100 {
        let guard = nodes[round % 3].lock(&name, EX).await.unwrap();
        assert_eq!(guard.mode(), EX);
    }
}

pub(super) async fn the_path_says_who_was_asked<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let (here, there) = (name_at(&nodes[0], &nodes[0]), name_at(&nodes[0], &nodes[1]));
    assert_eq!(nodes[0].lock(&here, EX).await.unwrap().path(), Path::Local);
    assert_eq!(nodes[0].lock(&there, EX).await.unwrap().path(), Path::Remote);
    assert_eq!(nodes[0].lock(&there, EX).await.unwrap().path(), Path::Retained);
}

pub(super) async fn a_retained_lock_is_taken_again_without_a_message<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    drop(nodes[0].lock(&name, EX).await.unwrap());
    let before = nodes[0].stats();
    for _ in 0..100 {
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        assert_eq!(guard.path(), Path::Retained);
    }
    let after = nodes[0].stats();
    assert_eq!(after.messages_out, before.messages_out);
    assert_eq!(after.granted_retained, before.granted_retained + 100);
}

pub(super) async fn a_demand_moves_a_retained_lock<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    drop(nodes[0].lock(&name, EX).await.unwrap());
    let guard = nodes[2].lock(&name, EX).await.unwrap();
    assert_eq!(guard.mode(), EX);
    let held = nodes[0].snapshot().resource(SpaceId(0), name.as_bytes()).and_then(|entry| entry.held);
    assert!(held.is_none_or(|held| held == Mode::Null), "{held:?} is held beside EX");
}

pub(super) async fn a_lock_that_is_merely_retained_elsewhere_is_not_busy<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    drop(nodes[0].lock(&name, EX).await.unwrap());
    assert_eq!(nodes[2].try_lock(&name, EX).await.unwrap().mode(), EX);
}

pub(super) async fn a_dropped_guard_lets_the_next_one_in<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let guard = nodes[0].lock(&name, EX).await.unwrap();
    let waiting = rig.spawn({
        let (node, name) = (nodes[2].clone(), name.clone());
        async move { node.lock(&name, EX).await.map(|guard| guard.mode()) }
    });
    guard.contended().await;
    drop(guard);
    assert_eq!(waiting.await.unwrap(), Ok(EX));
    rig.until(|| nothing_is_left(&nodes)).await;
}

pub(super) async fn a_holder_learns_who_waits<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let guard = nodes[0].lock(&name, EX).await.unwrap();
    let waiting = rig.spawn({
        let (node, name) = (nodes[2].clone(), name.clone());
        async move { node.lock(&name, PR).await.map(|guard| guard.mode()) }
    });
    let (first, second) = both(guard.contended(), guard.contended()).await;
    assert!(!first.is_compatible(EX) && !second.is_compatible(EX));
    guard.release();
    assert_eq!(waiting.await.unwrap(), Ok(PR));
}

pub(super) async fn conversions_go_up_and_down<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut one = nodes[0].lock(&name, PR).await.unwrap();
    let mut two = nodes[2].lock(&name, PR).await.unwrap();
    let busy = one.convert_with(EX, Flags::NO_QUEUE, None).await;
    assert_eq!(busy, Err(ConvertError::Busy));
    assert_eq!(one.mode(), PR);

    let up = rig.spawn(async move {
        one.convert(EX).await.unwrap();
        one
    });
    rig.until(|| nodes[1].snapshot().waits().next().is_some()).await;
    assert_eq!(two.convert(EX).await, Err(ConvertError::Deadlock));
    assert_eq!(two.mode(), PR);
    two.convert(Mode::Null).await.unwrap();
    let mut one = up.await.unwrap();
    assert_eq!(one.mode(), EX);
    one.convert(PR).await.unwrap();
    two.convert(PR).await.unwrap();
    assert_eq!((one.mode(), two.mode()), (PR, PR));
}

pub(super) async fn a_conversion_times_out_and_the_mode_stays<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut one = nodes[0].lock(&name, PR).await.unwrap();
    let two = nodes[1].lock(&name, PR).await.unwrap();
    let patience = Some(Duration::from_millis(1));
    assert_eq!(one.convert_with(EX, Flags::NONE, patience).await, Err(ConvertError::TimedOut));
    assert_eq!((one.mode(), two.mode()), (PR, PR));
}

pub(super) async fn a_value_goes_from_writer_to_reader<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        let mut writer = nodes[0].lock_with(&name, with_value(EX)).await.unwrap();
        assert_eq!(writer.value(), Some(ValueState::Absent));
        writer.set_value(b"one").unwrap();
        assert_eq!(bytes(writer.value()), b"one");
        drop(writer);

        let mut reader = nodes[2].lock_with(&name, with_value(PR)).await.unwrap();
        assert_eq!(bytes(reader.value()), b"one");
        assert_eq!(reader.set_value(b"two"), Err(SetValueError::NotWritable));
        assert_eq!(nodes[1].lock(&name, PR).await.unwrap().value(), None);
    }
}

pub(super) async fn a_conversion_writes_and_reads_the_value<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut guard = nodes[0].lock_with(&name, with_value(EX)).await.unwrap();
    guard.set_value(b"old").unwrap();
    guard.convert(Mode::ProtectedWrite).await.unwrap();

    // From PW to EX the unsaved edit is lost.
    guard.set_value(b"mine").unwrap();
    guard.convert(EX).await.unwrap();
    assert_eq!(bytes(guard.value()), b"old");

    // From EX it is written, to whatever mode.
    guard.set_value(b"new").unwrap();
    guard.convert(Mode::Null).await.unwrap();
    assert_eq!(bytes(guard.value()), b"new");
    let mut other = nodes[1].lock_with(&name, with_value(EX)).await.unwrap();
    assert_eq!(bytes(other.value()), b"new");

    // Marked invalid instead of written.
    other.invalidate_value().unwrap();
    drop(other);
    guard.convert(PR).await.unwrap();
    assert!(matches!(guard.value(), Some(ValueState::Invalid(value)) if value.as_bytes() == b"new"));
}

pub(super) async fn a_refused_conversion_keeps_the_edit<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut guard = nodes[0].lock_with(&name, with_value(Mode::ProtectedWrite)).await.unwrap();
    let reader = nodes[1].lock(&name, Mode::ConcurrentRead).await.unwrap();
    guard.set_value(b"mine").unwrap();
    // A refused conversion reads nothing.
    assert_eq!(guard.convert_with(EX, Flags::NO_QUEUE, None).await, Err(ConvertError::Busy));
    assert_eq!(bytes(guard.value()), b"mine");
    drop((guard, reader));
    assert_eq!(bytes(nodes[1].lock_with(&name, with_value(PR)).await.unwrap().value()), b"mine");
}

pub(super) async fn bad_requests_are_refused_with_the_reason<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(1).await;
    let node = &nodes[0];
    assert!(matches!(node.lock("", EX).await, Err(LockError::Name(_))));
    assert!(matches!(node.lock([7; 65], EX).await, Err(LockError::Name(_))));
    let elsewhere = LockOptions::new(EX).space(SpaceId(1));
    assert_eq!(node.lock_with("a", elsewhere).await.unwrap_err(), LockError::UnknownSpace);
    let odd = LockOptions::new(EX).flags(Flags::EXPEDITE);
    assert!(matches!(node.lock_with("a", odd).await, Err(LockError::Flags(_))));
    assert_eq!(node.space("default"), Some(SpaceId(0)));
    assert_eq!(node.space("other"), None);
    let mut guard = node.lock("a", EX).await.unwrap();
    assert_eq!(guard.set_value(b"x"), Err(SetValueError::NotAsked));
}

pub(super) async fn a_snapshot_prints_who_waits_for_whom<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[0]);
    let guard = nodes[0].lock(&name, EX).await.unwrap();
    let mut waiting = nodes[1].lock(&name, EX);
    assert!(poll_once(&mut waiting).await.is_pending());
    guard.contended().await;
    let snapshot = nodes[0].snapshot();
    assert_eq!(snapshot.waits().count(), 1);
    let table = snapshot.to_string();
    assert!(table.contains("->EX") && table.contains(&name), "{table}");
}
