//! Every order in which threads can take the mutex, tried by loom:
//! `RUSTFLAGS="--cfg lockmaster_loom" cargo test -p lockmaster-async --release models`.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};

use loom::future::block_on;
use loom::thread;

use lockmaster_core::wire::FRAME_HEADER_LEN;

use super::still::{EX, ME, PEER, Pipe, Still, granted, name_at_peer, node, node_with_peer, own_slot, poll};
use super::{Arc, Instant};
use crate::{LockError, Node, TransferError};

/// Words of the stack on which a node is made: its state is moved about several times until it is in its place.
const STACK: usize = 1 << 16;

/// Tries every order of what `act` does.
fn model(act: impl Fn() + Send + Sync + 'static) {
    let act = Arc::new(act);
    loom::model(move || {
        let act = Arc::clone(&act);
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || act());
        thread.unwrap().join().unwrap();
    });
}

fn nobody_locks(node: &Node<Still>) -> bool {
    node.snapshot().locks().next().is_none()
}

#[test]
fn no_wake_up_is_missed() {
    model(|| {
        let node = node(&[ME]);
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.lock("a", EX)).map(drop));
        assert_eq!(block_on(node.lock("a", EX)).map(drop), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(nobody_locks(&node));
    });
}

#[test]
fn a_cancelled_wait_leaves_nothing_behind() {
    model(|| {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = pin!(other.lock("a", EX));
            poll(waiting.as_mut(), Waker::noop()).is_ready()
        });
        drop(guard);
        other.join().unwrap();
        assert!(nobody_locks(&node));
    });
}

#[test]
fn a_cancelled_conversion_keeps_the_mode_that_the_node_keeps() {
    model(|| {
        let node = node(&[ME]);
        let (mine, mut other) = (granted(node.lock("a", PR)), granted(node.lock("a", PR)));
        let other = thread::spawn(move || {
            let _ = poll(pin!(other.convert(EX)), Waker::noop());
            other.mode()
        });
        drop(mine);
        assert!([PR, EX].contains(&other.join().unwrap()));
        assert!(nobody_locks(&node));
    });
}

#[test]
fn shutdown_ends_every_wait() {
    model(|| {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.lock("a", EX)).map(drop));
        node.life.shared.close();
        block_on(guard.lost());
        assert_eq!(other.join().unwrap(), Err(LockError::Closed));
    });
}

#[test]
fn a_holder_learns_of_a_waiter() {
    model(|| {
        let node = node(&[ME]);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.lock("a", EX)).map(drop));
        assert_eq!(block_on(guard.contended()), EX);
        drop(guard);
        assert_eq!(other.join().unwrap(), Ok(()));
    });
}

#[test]
fn what_two_calls_say_is_written_by_one_of_them() {
    model(|| {
        let pipe = Pipe::with_room(usize::MAX / 2);
        let (node, _) = node_with_peer(&pipe);
        let (one, two) = (name_at_peer(&node, 0), name_at_peer(&node, 1000));
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = Box::pin(async move { other.lock(two, EX).await.map(drop) });
            assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
            core::mem::forget(waiting);
        });
        let mut waiting = pin!(node.lock(one, EX));
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        other.join().unwrap();
        let claim = node.life.shared.lock().links.claim(PEER);
        let claim = claim.expect("whoever wrote last has settled, or left the rest to the writer task");
        node.life.shared.write(claim);
        assert_eq!(node.stats().messages_out, 2);
        assert_eq!(pipe.frames().1, 0);
    });
}

#[test]
fn the_writer_task_hears_of_what_is_left() {
    model(|| {
        let pipe = Pipe::with_room(FRAME_HEADER_LEN);
        let (node, link) = node_with_peer(&pipe);
        let name = name_at_peer(&node, 0);
        let shared = Arc::clone(&node.life.shared);
        let writer = thread::spawn(move || {
            block_on(poll_fn(|context| {
                shared.lock().links.poll_left(link, context.waker(), &mut Stale::new())
            }))
        });
        let mut waiting = pin!(node.lock(name, EX));
        assert!(matches!(poll(waiting.as_mut(), Waker::noop()), Poll::Pending));
        assert!(writer.join().unwrap().is_some());
    });
}

#[test]
fn the_end_of_a_transfer_is_not_missed() {
    model(|| {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let mut transfer = Box::pin(node.transfer(range, PEER));
        assert!(poll(transfer.as_mut(), Waker::noop()).is_pending());
        let id = transfer.progress().unwrap().transfer;
        let other = node.clone();
        let other = thread::spawn(move || {
            let taken_back =
                other.life.shared.turn(|state, _| state.node.withdraw(Instant::from_nanos(1), id));
            assert_eq!(taken_back, Some(Ok(())));
        });
        assert_eq!(block_on(transfer), Err(TransferError::Withdrawn));
        other.join().unwrap();
    });
}

#[test]
fn shutdown_ends_the_wait_for_a_transfer() {
    model(|| {
        let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
        let range = own_slot(&node);
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.transfer(range, PEER)));
        node.life.shared.close();
        assert_eq!(other.join().unwrap(), Err(TransferError::Closed));
    });
}

const PR: lockmaster_core::Mode = lockmaster_core::Mode::ProtectedRead;
