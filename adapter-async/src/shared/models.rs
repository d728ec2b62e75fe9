//! Every order in which threads can take the mutex and let go of a node, tried by loom: `cargo xtask verify loom`.
//!
//! One model or more for each piece of state that threads share. All of it lies behind one mutex, so two threads have
//! few orders, and their models are complete; where three threads or a chain of wakings make too many, a model says at
//! how many points it takes the processor away from a thread that could go on.

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;

use loom::future::block_on;
use loom::model::Builder;
use loom::thread::{self, JoinHandle};

use lockmaster_core::wire::FRAME_HEADER_LEN;

use super::still::{
    EX, ME, PEER, PR, Pipe, Still, granted, link_up, name_at_peer, node, node_with_peer, own_slot, poll,
};
use super::{Alarm, Arc, Instant, Shared, Sleep, Ticket};
use crate::connection::keep_writing;
use crate::lifecycle::Lifecycle;
use crate::outgoing::Outgoing;
use crate::stale::Stale;
use crate::{ConvertError, LockError, LockOptions, Mode, Node, TransferError, TransferId};

mod shelf;
mod views;

/// Words of the stack on which a node is made: its state is moved about several times until it is in its place.
const STACK: usize = 1 << 16;
/// Orders below which a model has shown nothing.
const ORDERS_MIN: u64 = 2;

/// How many of the orders are tried.
#[derive(Clone, Copy)]
enum Reach {
    Complete,
    /// Those in which threads that could go on are made to wait this often.
    Preemptions(usize),
}

/// Tries the orders of what `act` does, and prints how many there were.
fn model(reach: Reach, act: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    (builder.max_permutations, builder.max_duration) = (None, None);
    builder.preemption_bound = match reach {
        Reach::Complete => None,
        Reach::Preemptions(most) => Some(most),
    };
    // Counted outside of what is modelled.
    let orders = std::sync::Arc::new(AtomicU64::new(0));
    let (act, counter) = (std::sync::Arc::new(act), std::sync::Arc::clone(&orders));
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let act = std::sync::Arc::clone(&act);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || act());
        thread.unwrap().join().unwrap();
    });
    let orders = orders.load(Ordering::Relaxed);
    let current = std::thread::current();
    let name = current.name().and_then(|name| name.rsplit("::").next()).unwrap_or("model");
    match reach {
        Reach::Complete => println!("{name}: {orders} executions, complete"),
        Reach::Preemptions(most) => println!("{name}: {orders} executions, at most {most} preemptions"),
    }
    assert!(orders >= ORDERS_MIN, "a model without a choice shows nothing");
}

/// Nobody holds or waits for anything, as far as the node and its registry know.
fn is_clean(node: &Node<Still>) -> bool {
    node.snapshot().locks().next().is_none() && node.machines().lead().lock().registry.is_idle()
}

/// Another thread locks "a" in this mode, and lets go of it.
fn lock_aside(node: &Node<Still>, mode: Mode) -> JoinHandle<Result<(), LockError>> {
    let node = node.clone();
    thread::spawn(move || block_on(node.lock("a", mode)).map(drop))
}

/// Another thread takes back a transfer that has not begun.
fn take_back_aside(node: &Node<Still>, transfer: TransferId) -> JoinHandle<()> {
    let node = node.clone();
    thread::spawn(move || {
        let now = Instant::from_nanos(1);
        let taken_back = node.machines().lead().turn(|state, _| state.node.withdraw(now, transfer));
        assert_eq!(taken_back, Some(Ok(())));
    })
}

// The registry: who waits, who is woken.

#[test]
fn no_wake_up_is_missed() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let other = lock_aside(&node, EX);
        assert_eq!(block_on(node.lock("a", EX)).map(drop), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

#[test]
fn three_take_turns() {
    model(Reach::Preemptions(4), || {
        let node = node(&[ME]);
        let others = [EX; 2].map(|mode| lock_aside(&node, mode));
        assert_eq!(block_on(node.lock("a", EX)).map(drop), Ok(()));
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), Ok(())));
        assert!(is_clean(&node));
    });
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = pin!(other.lock("a", EX));
            match poll(waiting.as_mut(), Waker::noop()) {
                Poll::Ready(outcome) => outcome.map(drop),
                Poll::Pending => block_on(waiting).map(drop),
            }
        });
        drop(guard);
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

#[test]
fn an_outcome_waits_for_its_future_while_its_place_is_taken_again() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let options = LockOptions::new(EX).timeout(Duration::from_nanos(1));
        let other = thread::spawn(move || block_on(other.lock_with("a", options)).map(drop));
        // Time passes, so that the wait ends if it has begun; if it has not, it is granted or ends below.
        let late = Instant::from_nanos(1000);
        node.machines().lead().turn(|state, _| {
            state.advance(late);
        });
        let another = granted(node.lock("b", EX));
        drop(guard);
        let outcome = other.join().unwrap();
        assert!(matches!(outcome, Ok(()) | Err(LockError::TimedOut)));
        drop(another);
        assert!(is_clean(&node));
    });
}

// Cancelling.

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = pin!(other.lock("a", EX));
            poll(waiting.as_mut(), Waker::noop()).is_ready()
        });
        drop(guard);
        other.join().unwrap();
        assert!(is_clean(&node));
    });
}

#[test]
fn a_cancelled_wait_holds_up_nobody_behind_it() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let mut first = Box::pin(node.lock("a", EX));
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        let other = lock_aside(&node, PR);
        let releases = thread::spawn(move || drop(guard));
        drop(first);
        assert_eq!(other.join().unwrap(), Ok(()));
        releases.join().unwrap();
        assert!(is_clean(&node));
    });
}

// Conversions.

#[test]
fn no_end_of_a_conversion_is_missed() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let (mine, mut other) = (granted(node.lock("a", PR)), granted(node.lock("a", PR)));
        let other = thread::spawn(move || {
            assert_eq!(block_on(other.convert(EX)), Ok(()));
            other.mode()
        });
        drop(mine);
        assert_eq!(other.join().unwrap(), EX);
        assert!(is_clean(&node));
    });
}

#[test]
fn a_cancelled_conversion_keeps_the_mode_that_the_node_keeps() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let (mine, mut other) = (granted(node.lock("a", PR)), granted(node.lock("a", PR)));
        let other = thread::spawn(move || {
            let _ = poll(pin!(other.convert(EX)), Waker::noop());
            let node_says = other.handle.shared.lock().node.held(other.lock()).unwrap();
            assert_eq!(Some(other.mode()), node_says);
            other.mode()
        });
        drop(mine);
        assert!([PR, EX].contains(&other.join().unwrap()));
        assert!(is_clean(&node));
    });
}

#[test]
fn of_two_conversions_in_deadlock_one_is_granted() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let (mut mine, mut other) = (granted(node.lock("a", PR)), granted(node.lock("a", PR)));
        let other = thread::spawn(move || block_on(other.convert(EX)));
        let converted = block_on(mine.convert(EX));
        drop(mine);
        let outcomes = [converted, other.join().unwrap()];
        assert!(outcomes.contains(&Ok(())));
        let is_expected = |outcome: &Result<(), _>| matches!(outcome, Ok(()) | Err(ConvertError::Deadlock));
        assert!(outcomes.iter().all(is_expected));
        assert!(is_clean(&node));
    });
}

// Watches.

#[test]
fn a_holder_learns_of_a_waiter() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = lock_aside(&node, EX);
        assert_eq!(block_on(guard.contended()), EX);
        drop(guard);
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

#[test]
fn a_watch_that_is_dropped_leaves_nothing_behind() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = lock_aside(&node, PR);
        if let Poll::Ready(mode) = poll(pin!(guard.contended()), Waker::noop()) {
            assert_eq!(mode, PR);
        }
        drop(guard);
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

#[test]
fn two_who_watch_are_both_told() {
    model(Reach::Preemptions(3), || {
        let node = node(&[ME]);
        let guard = Arc::new(granted(node.lock("a", EX)));
        let watched = Arc::clone(&guard);
        let watcher = thread::spawn(move || block_on(watched.contended()));
        let other = lock_aside(&node, EX);
        assert_eq!(block_on(guard.contended()), EX);
        assert_eq!(watcher.join().unwrap(), EX);
        drop(guard);
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

// Transfers.

#[test]
fn the_end_of_a_transfer_is_not_missed() {
    model(Reach::Complete, || {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let mut transfer = Box::pin(node.transfer(range, PEER));
        assert!(poll(transfer.as_mut(), Waker::noop()).is_pending());
        let id = transfer.progress().unwrap().transfer;
        let other = take_back_aside(&node, id);
        assert_eq!(block_on(transfer), Err(TransferError::Withdrawn));
        other.join().unwrap();
        assert!(is_clean(&node));
    });
}

#[test]
fn a_transfer_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    model(Reach::Complete, || {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let mut transfer = Box::pin(node.transfer(range, PEER));
        assert!(poll(transfer.as_mut(), Waker::noop()).is_pending());
        let id = transfer.progress().unwrap().transfer;
        let other = take_back_aside(&node, id);
        drop(transfer);
        other.join().unwrap();
        assert!(is_clean(&node));
    });
}

#[test]
fn two_transfers_end_for_who_asked_for_each() {
    model(Reach::Complete, || {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let ends = [(); 2].map(|()| {
            let node = node.clone();
            move || {
                let mut transfer = Box::pin(node.transfer(range, PEER));
                match poll(transfer.as_mut(), Waker::noop()) {
                    Poll::Ready(end) => end,
                    Poll::Pending => {
                        transfer.withdraw().unwrap();
                        block_on(transfer)
                    }
                }
            }
        });
        let [mine, other] = ends;
        let other = thread::spawn(other);
        for end in [mine(), other.join().unwrap()] {
            assert!(matches!(end, Err(TransferError::Withdrawn | TransferError::InTransfer)));
        }
        assert!(is_clean(&node));
    });
}

// Shutdown, and handles that are dropped.

#[test]
fn shutdown_ends_every_wait() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = lock_aside(&node, EX);
        node.machines().lead().close();
        block_on(guard.lost());
        assert_eq!(other.join().unwrap(), Err(LockError::Closed));
    });
}

#[test]
fn shutdown_ends_the_wait_for_a_conversion() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let (mine, mut other) = (granted(node.lock("a", PR)), granted(node.lock("a", PR)));
        let other = thread::spawn(move || block_on(other.convert(EX)));
        node.machines().lead().close();
        assert_eq!(other.join().unwrap(), Err(ConvertError::Closed));
        drop(mine);
    });
}

#[test]
fn shutdown_ends_the_wait_for_a_transfer() {
    model(Reach::Complete, || {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.transfer(range, PEER)));
        node.machines().lead().close();
        assert_eq!(other.join().unwrap(), Err(TransferError::Closed));
    });
}

#[test]
fn two_who_shut_down_agree() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.shutdown()));
        block_on(node.shutdown());
        other.join().unwrap();
        drop(guard);
        assert_eq!(block_on(node.lock("a", EX)).map(drop), Err(LockError::Closed));
    });
}

#[test]
fn shutdown_waits_for_the_tasks_of_the_node() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let shared = Arc::clone(node.machines().lead());
        shared.lock().lifecycle.begin_task();
        let ticket = Ticket(Arc::clone(&shared));
        let task = thread::spawn(move || {
            block_on(Shared::keep_time(shared));
            drop(ticket);
        });
        block_on(node.shutdown());
        assert!(node.machines().lead().lock().lifecycle.is_ended());
        task.join().unwrap();
    });
}

#[test]
fn the_last_handle_ends_the_node() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let shared = Arc::clone(node.machines().lead());
        let guard = granted(node.lock("a", EX));
        let other = thread::spawn(move || {
            assert!(!guard.handle.shared.lock().lifecycle.is_closed(), "a guard keeps its node running");
            drop(guard);
        });
        drop(node);
        block_on(shared.until(Lifecycle::is_closed));
        other.join().unwrap();
    });
}

#[test]
fn a_future_that_is_dropped_with_the_last_handle_leaves_nothing_behind() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let shared = Arc::clone(node.machines().lead());
        let guard = granted(node.lock("a", EX));
        let other = thread::spawn(move || {
            let mut waiting = Box::pin(node.lock("a", EX));
            let is_granted = poll(waiting.as_mut(), Waker::noop()).is_ready();
            drop(waiting);
            drop(node);
            is_granted
        });
        drop(guard);
        other.join().unwrap();
        assert!(shared.lock().lifecycle.is_closed());
        assert!(shared.lock().lifecycle.waiters.is_idle());
    });
}

#[test]
fn who_waits_for_the_members_is_woken() {
    model(Reach::Complete, || {
        let node = node(&[ME, PEER]);
        let other = node.clone();
        let other = thread::spawn(move || link_up(&other, PEER, &Pipe::with_room(usize::MAX / 2)));
        block_on(node.opened());
        other.join().unwrap();
        assert!(node.machines().lead().lock().lifecycle.waiters.is_idle());
    });
}

#[test]
fn a_panic_in_a_turn_ends_every_wait() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = lock_aside(&node, EX);
        // What a panic leaves behind, without the panic, which loom would take for a failure of the model.
        node.machines().lead().lock().lifecycle.condemn();
        drop(Alarm(node.machines().lead()));
        assert_eq!(other.join().unwrap(), Err(LockError::Closed));
        drop(guard);
    });
}

// The writer task, and who may write.

#[test]
fn what_two_calls_say_is_written_by_one_of_them() {
    model(Reach::Complete, || {
        let pipe = Pipe::with_room(usize::MAX / 2);
        let (node, _) = node_with_peer(&pipe);
        let (one, two) = (name_at_peer(&node, 0), name_at_peer(&node, 1000));
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = Box::pin(other.lock(two, EX));
            assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        });
        let mut waiting = pin!(node.lock(one, EX));
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        other.join().unwrap();
        let claim = node.machines().lead().lock().links.claim(PEER);
        let claim = claim.expect("whoever wrote last has settled, or left the rest to the writer task");
        node.machines().lead().write(claim);
        assert!((2..=3).contains(&node.stats().messages_out), "two requests, and perhaps a cancel");
        assert_eq!(pipe.frames().1, 0);
    });
}

#[test]
fn the_writer_task_hears_of_what_is_left() {
    model(Reach::Complete, || {
        let pipe = Pipe::with_room(FRAME_HEADER_LEN);
        let (node, link) = node_with_peer(&pipe);
        let name = name_at_peer(&node, 0);
        let shared = Arc::clone(node.machines().lead());
        let writer = thread::spawn(move || {
            block_on(poll_fn(|context| {
                let mut stale = Stale::new();
                shared.lock().links.poll_left(link, context.waker(), &mut stale)
            }))
        });
        let mut waiting = pin!(node.lock(name, EX));
        assert!(matches!(poll(waiting.as_mut(), Waker::noop()), Poll::Pending));
        assert!(writer.join().unwrap().is_some());
    });
}

#[test]
fn the_writer_task_sends_what_calls_had_time_for() {
    model(Reach::Preemptions(4), || {
        let pipe = Pipe::with_room(usize::MAX / 2);
        let (node, link) = node_with_peer(&pipe);
        let names = [0, 1000].map(|from| name_at_peer(&node, from));
        let writer = keep_writing(Arc::clone(node.machines().lead()), link);
        let writer = thread::spawn(move || block_on(writer));
        let [mut first, mut second] = names.map(|name| Box::pin(node.lock(name, EX)));
        assert!(poll(first.as_mut(), Waker::noop()).is_pending());
        // The second shares its way with the first, so it is the task's.
        assert!(poll(second.as_mut(), Waker::noop()).is_pending());
        // The task ends with the connection, when everything is said.
        while node.stats().messages_out < 2 {
            thread::yield_now();
        }
        drop((first, second));
        node.machines().lead().close();
        writer.join().unwrap();
        assert!(pipe.frames().0 >= 1);
        assert_eq!(pipe.frames().1, 0);
    });
}

#[test]
fn a_writer_task_ends_with_its_connection() {
    model(Reach::Complete, || {
        let (old, new) = (Pipe::with_room(FRAME_HEADER_LEN), Pipe::with_room(usize::MAX / 2));
        let (node, link) = node_with_peer(&old);
        let writer = keep_writing(Arc::clone(node.machines().lead()), link);
        let writer = thread::spawn(move || block_on(writer));
        let (_, before) =
            node.machines().lead().lock().links.attach(PEER, Arc::clone(&new), Outgoing::new(None));
        before.unwrap().close();
        writer.join().unwrap();
    });
}

// The timer task.

#[test]
fn an_earlier_deadline_wakes_the_timer_task() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let shared = Arc::clone(node.machines().lead());
        let timer = thread::spawn(move || {
            let sleep = shared.lock().timer.sleep();
            let Sleep::Until(until) = sleep else { return };
            block_on(poll_fn(|context| {
                let mut stale = Stale::new();
                shared.lock().timer.poll(until.max(Instant::from_nanos(1000)), context.waker(), &mut stale)
            }));
        });
        let options = LockOptions::new(EX).timeout(Duration::from_nanos(10));
        let mut waiting = Box::pin(node.lock_with("a", options));
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        timer.join().unwrap();
        drop((waiting, guard));
        assert!(is_clean(&node));
    });
}

#[test]
fn work_that_is_left_brings_the_timer_task_back() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let shared = Arc::clone(node.machines().lead());
        let timer = thread::spawn(move || {
            loop {
                let sleep = shared.lock().timer.sleep();
                let Sleep::Until(until) = sleep else { return };
                block_on(poll_fn(|context| {
                    let mut stale = Stale::new();
                    shared.lock().timer.poll(until, context.waker(), &mut stale)
                }));
            }
        });
        let task = node.machines().lead().lock().timer.spend();
        task.into_iter().for_each(Waker::wake);
        timer.join().unwrap();
    });
}

#[test]
fn a_mode_is_never_held_twice() {
    model(Reach::Complete, || {
        let node = node(&[ME]);
        let holders = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let others = [EX, Mode::ProtectedWrite].map(|mode| {
            let (node, holders) = (node.clone(), Arc::clone(&holders));
            thread::spawn(move || {
                let guard = block_on(node.lock("a", mode)).unwrap();
                assert_eq!(holders.fetch_add(1, loom::sync::atomic::Ordering::SeqCst), 0);
                holders.fetch_sub(1, loom::sync::atomic::Ordering::SeqCst);
                drop(guard);
            })
        });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(is_clean(&node));
    });
}
