//! Clocks that jump, and clocks that stand still: what a machine does that was asleep, and a guest that was stopped.

use core::time::Duration;

use super::rig::{EX, PR, Rig, locks_go_round, name_at, poll_once};
use super::script::Script;
use super::steered::{Clock, Steered};
use crate::{Certainty, ConvertError, LockError, LockOptions, NodeId, Runtime, Standing};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) async fn a_jump_ends_membership_in_the_next_look<R: Runtime + Clone>(rig: &Rig<R>) {
    let (script, rig) = (Script::default(), Steered::rig(rig));
    let nodes = script.cluster(&rig, 1).await;
    let node = &nodes[0];
    let mut guard = node.lock("a", EX).await.unwrap();
    let until = node.now().after(HOUR);
    script.certainty(1, Certainty { suspect_at: until, fenced_at: until });
    assert!(guard.is_certain());
    script.close();
    // Its timers were set for an hour, and the machine sleeps for two.
    rig.runtime.set(Clock::Ahead(2 * HOUR));
    assert!(guard.is_lost() && !guard.is_certain());
    assert_eq!(node.standing(), Standing::Fenced);
    assert_eq!(guard.convert(PR).await, Err(ConvertError::Lost));
    guard.lost().await;
    let mut waiting = node.lock("b", EX);
    assert!(poll_once(&mut waiting).await.is_pending(), "nothing is granted before it is a member again");
    script.open();
    drop(waiting.await.unwrap());
}

pub(super) async fn a_jump_tells_who_waits_for_the_loss<R: Runtime + Clone>(rig: &Rig<R>) {
    let (script, rig) = (Script::default(), Steered::rig(rig));
    let nodes = script.cluster(&rig, 1).await;
    let node = &nodes[0];
    let guard = node.lock("a", EX).await.unwrap();
    let until = node.now().after(HOUR);
    script.certainty(1, Certainty { suspect_at: until, fenced_at: until });
    let mut lost = Box::pin(guard.lost());
    assert!(poll_once(&mut lost).await.is_pending());
    // Nobody calls anything: the node looks at its clock by itself.
    rig.runtime.set(Clock::Ahead(2 * HOUR));
    lost.await;
}

pub(super) async fn a_jump_ends_patience<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = rig.cluster(2).await;
    for (round, master) in (0..).zip(&nodes) {
        let name = name_at(&nodes[0], master);
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        let mut waiting = nodes[1].lock_with(&name, LockOptions::new(EX).timeout(HOUR));
        assert!(poll_once(&mut waiting).await.is_pending());
        rig.runtime.set(Clock::Ahead((round + 1) * 2 * HOUR));
        // Whatever is asked of another node reads the clock.
        drop(nodes[1].lock(format!("elsewhere {round}"), EX).await.unwrap());
        assert_eq!(waiting.await.unwrap_err(), LockError::TimedOut);
        drop(guard);
    }
}

pub(super) async fn a_clock_that_goes_back_and_forth_loses_nothing<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = rig.cluster(3).await;
    let name = name_at(&nodes[0], &nodes[1]);
    let guard = nodes[2].lock(&name, EX).await.unwrap();
    let mut waiting = nodes[0].lock(&name, EX);
    assert!(poll_once(&mut waiting).await.is_pending());
    for ahead in [HOUR, Duration::ZERO, 3 * HOUR, HOUR, 4 * HOUR] {
        rig.runtime.set(Clock::Ahead(ahead));
        for node in &nodes {
            drop(node.lock(format!("round of {}", ahead.as_secs()), EX).await.unwrap());
        }
        assert!(!guard.is_lost());
        assert!(poll_once(&mut waiting).await.is_pending());
    }
    drop(guard);
    drop(waiting.await.unwrap());
}

pub(super) async fn a_clock_that_stands_still_holds_up_no_lock<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = rig.cluster(3).await;
    let now = rig.runtime.now();
    rig.runtime.set(Clock::Still(now));
    locks_go_round(&nodes).await;
    nodes[0].disconnect(NodeId(2));
    // It is dialled again after a pause, which the clock has to end.
    rig.runtime.set(Clock::Ahead(HOUR));
    locks_go_round(&nodes).await;
}
