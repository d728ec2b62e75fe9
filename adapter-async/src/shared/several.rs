//! Nodes of several machines on a still runtime, polled by hand.

use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Poll, Waker};
use std::panic::catch_unwind;
use std::sync::Arc as StdArc;
use std::task::Wake;
use std::thread;

use super::still::{EX, Still, granted, poll, several_outside, view};
use super::{Arc, Shared};
use crate::lane::{LANES, lane};
use crate::machines::Machines;
use crate::membership::duty::Duty;
use crate::{Incarnation, LockError, Node, SpaceId, Standing};

#[derive(Debug, Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn each(node: &Node<Still>) -> [&Arc<Shared<Still>>; 3] {
    let [one, two, three] = node.machines().each() else { panic!("there are three machines") };
    [one, two, three]
}

/// A member with nobody else.
fn member() -> Node<Still> {
    let node = several_outside(3);
    each(&node).iter().for_each(|machine| machine.hear_view(1, view(1, 1, &[])));
    node
}

/// A name of the machine with this number.
fn name_of(node: &Node<Still>, machine: usize) -> String {
    let mut names = (0..).map(|number| format!("name {number}"));
    names.find(|name| node.machine_of(SpaceId(0), name) == machine).unwrap()
}

#[test]
fn every_thread_finds_the_machine_of_a_name() {
    let node = member();
    let names: Vec<_> = (0..3).map(|machine| name_of(&node, machine)).collect();
    let find = || {
        for (machine, name) in names.iter().enumerate() {
            let handle = node.handle_of(SpaceId(0), name.as_bytes());
            assert!(Arc::ptr_eq(&handle.shared, each(&node)[machine]), "in lane {}", lane());
        }
        core::ptr::from_ref(node.handle_of(SpaceId(0), b"any")).addr()
    };
    let threads = 2 * LANES;
    let mut handles: Vec<_> =
        (0..threads).map(|_| thread::scope(|s| s.spawn(find).join().unwrap())).collect();
    assert_eq!(find(), find(), "a thread keeps to its lane");
    handles.sort_unstable();
    handles.dedup();
    assert!(handles.len() > 1, "threads do not all count the same handle");
}

#[test]
fn a_panic_in_one_machine_ends_all() {
    let node = member();
    let guard = granted(node.lock(name_of(&node, 2), EX));
    let counted = StdArc::new(Counted::default());
    let waker = Waker::from(StdArc::clone(&counted));
    let mut waiting = pin!(node.lock(name_of(&node, 2), EX));
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    let mut task = pin!(Machines::fall_together(StdArc::clone(node.machines()), 1));
    assert!(poll(task.as_mut(), &waker).is_pending());

    let panicking = || each(&node)[1].turn(|_, _| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert_eq!(counted.0.load(Ordering::SeqCst), 1, "the task that ends the others is woken");
    assert!(poll(task, &waker).is_ready());
    assert!(matches!(poll(waiting, &waker), Poll::Ready(Err(LockError::Closed))));
    assert!(guard.is_lost());
    let sights = node.machines().look(|state| state.members.sight(&state.lifecycle));
    assert_eq!(Duty::of(&sights.collect::<Vec<_>>(), None), Some(Duty::Die), "nobody leaves in order");
}

#[test]
fn the_last_handle_or_guard_of_any_machine_ends_all() {
    let node = member();
    let machines = StdArc::clone(node.machines());
    let guards = [0, 2].map(|machine| granted(node.lock(name_of(&node, machine), EX)));
    drop(node);
    let [first, last] = guards;
    drop(last);
    assert!(!machines.is_closed(), "a guard keeps the whole node running");
    drop(first);
    assert!(machines.look(|state| state.lifecycle.is_closed()).all(|is_closed| is_closed));
}

#[test]
fn who_waits_for_the_node_is_woken_by_any_machine_and_forgotten_by_all() {
    let node = several_outside(3);
    for machine in 0..3 {
        let counted = StdArc::new(Counted::default());
        let waker = Waker::from(StdArc::clone(&counted));
        let mut changed = pin!(node.changed());
        assert!(poll(changed.as_mut(), &waker).is_pending());
        each(&node)[machine].hear_view(1, view(1, 1, &[]));
        assert!(counted.0.load(Ordering::SeqCst) > 0);
        assert!(poll(changed, &waker).is_ready());
        let is_idle = node.machines().look(|state| state.lifecycle.waiters.is_idle()).all(|is_idle| is_idle);
        assert!(is_idle);
    }
}

#[test]
fn a_node_is_what_the_least_of_its_machines_is() {
    let node = several_outside(3);
    let [one, two, three] = each(&node);
    one.hear_view(1, view(1, 1, &[]));
    three.hear_view(1, view(1, 1, &[]));
    assert_eq!((node.standing(), node.view()), (Standing::Outside, None));
    assert!(!node.snapshot().is_open);
    two.hear_view(1, view(1, 1, &[]));
    assert_eq!(node.standing(), Standing::Member);
    assert!(node.view().is_some() && node.snapshot().is_open);

    two.hear_fenced(1, "by the test");
    assert_eq!(node.standing(), Standing::Fenced);
    assert_eq!(node.view(), None);
    one.hear_fenced(1, "by the test");
    three.hear_fenced(1, "by the test");
    let lives = node.machines().rejoin(Incarnation(2)).unwrap();
    assert_eq!(lives.as_deref(), Some(&[2, 2, 2][..]));
    assert_eq!((node.standing(), node.incarnation()), (Standing::Outside, Incarnation(2)));
}

#[test]
fn an_incarnation_that_is_refused_is_so_by_all_machines() {
    let node = member();
    each(&node).iter().for_each(|machine| machine.hear_fenced(1, "by the test"));
    assert!(node.machines().rejoin(Incarnation(1)).is_err());
    assert_eq!(node.machines().look(|state| state.members.life()).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(node.machines().rejoin(Incarnation(2)).unwrap().is_some(), "nothing has changed");
}

#[test]
fn owners_that_nobody_named_differ_whatever_their_machine() {
    let node = member();
    let names: Vec<_> = [0, 1, 2].map(|machine| [0, 1].map(|_| name_of(&node, machine))).concat();
    let taken: Vec<_> =
        names.iter().map(|name| granted(node.lock(name, crate::Mode::ProtectedRead))).collect();
    let snapshot = node.snapshot();
    let owners: std::collections::BTreeSet<_> = snapshot.locks().map(|lock| lock.owner).collect();
    assert_eq!(owners.len(), taken.len(), "{owners:?}");
}
