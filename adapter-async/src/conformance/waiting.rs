//! Waits: cancelled, timed out, cut short by shutdown, and very many of them.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::task::Wake;

use super::crowd::Crowd;
use super::rig::{EX, PR, Rig, name_at, nobody_locks, nothing_is_left, poll_once};
use super::task::on_thread;
use crate::{ConvertError, LockError, LockOptions, Mode, Runtime};

pub(super) async fn a_future_that_was_never_polled_asks_for_nothing<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(1).await;
    drop(nodes[0].lock("a", EX));
    assert_eq!(nodes[0].stats().asked, 0);
}

pub(super) async fn cancelled_futures_leave_nothing_behind<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        for polls in 1..30 {
            let mut waiting = nodes[0].lock(&name, EX);
            for _ in 0..polls {
                if poll_once(&mut waiting).await.is_ready() {
                    break;
                }
                rig.yield_now().await;
            }
            drop(waiting);
        }
        rig.until(|| nothing_is_left(&nodes)).await;
    }
}

/// Whether somebody was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a future that has to wait, and waits until it was woken.
async fn until_woken<R: Runtime + Clone, F: Future + Unpin>(rig: &Rig<R>, mut future: F) -> F {
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
    rig.until(|| flag.0.load(Ordering::SeqCst)).await;
    future
}

pub(super) async fn what_was_granted_and_not_fetched_is_released<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        // Another one holds it, and lets go as soon as somebody waits.
        let guard = nodes[1].lock(&name, EX).await.unwrap();
        let letting = rig.spawn(async move {
            guard.contended().await;
        });
        drop(until_woken(rig, nodes[0].lock(&name, EX)).await);
        letting.await.unwrap();
        rig.until(|| nothing_is_left(&nodes)).await;
        drop(nodes[2].try_lock(&name, EX).await.unwrap());
        rig.until(|| nothing_is_left(&nodes)).await;
    }
}

pub(super) async fn a_conversion_that_was_granted_and_not_fetched_counts<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        let mut guard = nodes[0].lock(&name, PR).await.unwrap();
        let other = nodes[1].lock(&name, PR).await.unwrap();
        let letting = rig.spawn(async move {
            other.contended().await;
        });
        drop(until_woken(rig, guard.convert(EX)).await);
        letting.await.unwrap();
        // What its owner sees is what the others see.
        assert_eq!(guard.mode(), EX);
        assert_eq!(nodes[2].try_lock(&name, PR).await.unwrap_err(), LockError::Busy);
        drop(guard);
        rig.until(|| nothing_is_left(&nodes)).await;
    }
}

pub(super) async fn cancelled_waiters_do_not_stand_in_the_way<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let guard = nodes[0].lock(&name, PR).await.unwrap();
    let mut writer = nodes[2].lock(&name, EX);
    assert!(poll_once(&mut writer).await.is_pending());
    guard.contended().await;
    drop(writer);
    let second = nodes[1].lock(&name, PR).await.unwrap();
    drop((guard, second));
    rig.until(|| nothing_is_left(&nodes)).await;
}

pub(super) async fn a_cancelled_conversion_keeps_a_mode_that_others_agree_on<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let nodes = rig.forgetful_cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    for polls in 1..30 {
        let mut guard = nodes[0].lock(&name, PR).await.unwrap();
        let other = nodes[2].lock(&name, PR).await.unwrap();
        let mut converting = guard.convert(EX);
        assert!(poll_once(&mut converting).await.is_pending());
        drop(other);
        for _ in 0..polls {
            if poll_once(&mut converting).await.is_ready() {
                break;
            }
            rig.yield_now().await;
        }
        drop(converting);
        if guard.mode() == PR {
            drop(nodes[1].lock(&name, PR).await.unwrap());
        } else {
            assert_eq!(guard.mode(), EX, "after {polls} polls");
            assert_eq!(nodes[1].try_lock(&name, PR).await.unwrap_err(), LockError::Busy);
        }
    }
    rig.until(|| nothing_is_left(&nodes)).await;
}

pub(super) async fn a_leaked_conversion_is_ended_by_the_next_one<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut guard = nodes[0].lock(&name, PR).await.unwrap();
    let other = nodes[1].lock(&name, PR).await.unwrap();
    let mut converting = guard.convert(EX);
    assert!(poll_once(&mut converting).await.is_pending());
    core::mem::forget(converting);
    guard.convert(Mode::ConcurrentRead).await.unwrap();
    assert_eq!(guard.mode(), Mode::ConcurrentRead);
    let mut converting = guard.convert(EX);
    assert!(poll_once(&mut converting).await.is_pending());
    core::mem::forget(converting);
    drop((guard, other));
    rig.until(|| nobody_locks(&nodes)).await;
}

pub(super) async fn patience_ends<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(2).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master);
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        let hasty = LockOptions::new(EX).timeout(Duration::from_millis(1));
        for node in &nodes {
            assert_eq!(node.lock_with(&name, hasty).await.unwrap_err(), LockError::TimedOut);
        }
        drop(guard);
    }
    rig.until(|| nothing_is_left(&nodes)).await;
}

pub(super) async fn shutdown_ends_every_wait<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let mut guard = nodes[0].lock(&name, PR).await.unwrap();
    let other = nodes[2].lock(&name, PR).await.unwrap();
    let waiting = rig.spawn({
        let (node, name) = (nodes[0].clone(), name.clone());
        async move { node.lock(&name, EX).await.map(drop) }
    });
    rig.until(|| nodes[0].snapshot().locks().count() == 2).await;
    let mut converting = guard.convert(EX);
    assert!(poll_once(&mut converting).await.is_pending());

    nodes[0].shutdown().await;
    assert_eq!(converting.await, Err(ConvertError::Closed));
    assert_eq!(waiting.await.unwrap(), Err(LockError::Closed));
    guard.lost().await;
    assert_eq!(nodes[0].lock(&name, EX).await.unwrap_err(), LockError::Closed);
    assert_eq!(guard.convert(EX).await, Err(ConvertError::Closed));
    drop((guard, other));
    nodes[0].shutdown().await;
    nodes[0].opened().await;
    rig.until(|| nodes[1].link_stats().up == 1).await;
}

pub(super) async fn a_guard_can_be_dropped_outside_the_runtime<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let guard = nodes[0].lock(&name, EX).await.unwrap();
    on_thread(move || drop(guard)).await.unwrap();
    drop(nodes[1].lock(&name, EX).await.unwrap());
}

pub(super) async fn the_last_handle_ends_the_node<R: Runtime + Clone>(rig: &Rig<R>) {
    let mut nodes = rig.cluster(2).await;
    let gone = nodes.remove(0);
    let guard = gone.lock("a", EX).await.unwrap();
    let clone = gone.clone();
    drop(gone);
    drop(clone);
    rig.until(|| nodes[0].link_stats().up == 1).await;
    drop(guard);
    rig.until(|| nodes[0].link_stats().up == 0).await;
}

pub(super) async fn thousands_of_tasks_on_few_resources_all_finish<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(3).await;
    let crowd = Crowd::new(&nodes, 2);
    let mut tasks = Vec::new();
    for task in 0..3000_usize {
        let (node, crowd, runtime) = (nodes[task % 3].clone(), crowd.clone(), rig.runtime.clone());
        tasks.push(rig.spawn(async move {
            for round in 0..3 {
                crowd.visit(&runtime, &node, task / 3, (task + round) % 3 == 0).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert!(nobody_locks(&nodes));
}
