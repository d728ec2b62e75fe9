//! The shelf: what is taken and given back without the mutex, against what is withdrawn under it.

use super::{
    Arc, AtomicU64, EX, Instant, LockError, Mode, Node, Ordering, PR, Poll, Reach, Still, Waker, block_on,
    granted, is_clean, lock_aside, model, node, pin, poll, thread,
};
use crate::shared::still::{ME, lone_member};
use crate::{Guard, Standing};

/// A node with a lock on "a" that lies on its shelf.
fn stocked(node: Node<Still>, mode: Mode) -> Node<Still> {
    drop(granted(node.lock("a", mode)));
    drop(granted(node.lock("a", mode)));
    assert!(is_stocked(&node));
    node
}

fn is_stocked(node: &Node<Still>) -> bool {
    node.machines().lead().lock().lending.count() == 1
}

/// Who has a lock in EX is alone, also while others run.
fn be_alone(inside: &AtomicU64, guard: Guard<Still>) {
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "nobody else holds it");
    thread::yield_now();
    inside.fetch_sub(1, Ordering::SeqCst);
    drop(guard);
}

#[test]
fn one_at_a_time_has_what_lies_there() {
    model(Reach::Preemptions(3), || {
        let node = stocked(node(&[ME]), EX);
        let inside = std::sync::Arc::new(AtomicU64::new(0));
        let (other, within) = (node.clone(), std::sync::Arc::clone(&inside));
        let other = thread::spawn(move || be_alone(&within, block_on(other.lock("a", EX)).unwrap()));
        be_alone(&inside, block_on(node.lock("a", EX)).unwrap());
        other.join().unwrap();
        assert!(is_clean(&node));
    });
}

#[test]
fn who_does_not_queue_is_refused_only_while_somebody_has_it() {
    model(Reach::Complete, || {
        let node = stocked(node(&[ME]), EX);
        let has_it = std::sync::Arc::new(AtomicU64::new(0));
        let (other, has) = (node.clone(), std::sync::Arc::clone(&has_it));
        let other = thread::spawn(move || {
            has.store(1, Ordering::SeqCst);
            assert_eq!(block_on(other.lock("a", EX)).map(drop), Ok(()));
            has.store(2, Ordering::SeqCst);
        });
        let before = has_it.load(Ordering::SeqCst);
        let Poll::Ready(tried) = poll(pin!(node.try_lock("a", EX)), Waker::noop()) else {
            panic!("who does not queue is answered at once");
        };
        let after = has_it.load(Ordering::SeqCst);
        match tried {
            Ok(guard) => drop(guard),
            Err(error) => {
                assert_eq!(error, LockError::Busy);
                assert!(before < 2 && after > 0, "somebody has it meanwhile");
            }
        }
        other.join().unwrap();
    });
}

#[test]
fn a_waiter_gets_what_is_given_back_while_it_asks() {
    model(Reach::Complete, || {
        let node = stocked(node(&[ME]), PR);
        let reader = granted(node.lock("a", PR));
        let writer = lock_aside(&node, EX);
        drop(reader);
        assert_eq!(writer.join().unwrap(), Ok(()));
        assert!(is_clean(&node));
    });
}

#[test]
fn nothing_is_taken_after_the_end_of_a_life() {
    model(Reach::Complete, || {
        let node = stocked(lone_member(), EX);
        let other = node.clone();
        let other = thread::spawn(move || {
            let mut waiting = pin!(other.lock("a", EX));
            match poll(waiting.as_mut(), Waker::noop()) {
                Poll::Ready(Ok(guard)) => Some(guard),
                Poll::Ready(Err(error)) => panic!("{error}"),
                Poll::Pending => None,
            }
        });
        let lead = Arc::clone(node.machines().lead());
        let _: Option<()> = lead.turn(|state, _| state.node.fence(Instant::from_nanos(1)));
        assert_eq!(node.standing(), Standing::Fenced);
        let mut waiting = pin!(node.lock("a", EX));
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending(), "nobody takes anything any more");
        if let Some(guard) = other.join().unwrap() {
            assert!(guard.is_lost());
        }
    });
}

#[test]
fn nothing_is_taken_of_a_node_that_is_shut_down() {
    model(Reach::Complete, || {
        let node = stocked(node(&[ME]), EX);
        let other = lock_aside(&node, EX);
        node.machines().close();
        let polled = poll(pin!(node.lock("a", EX)), Waker::noop());
        assert!(matches!(polled, Poll::Ready(Err(LockError::Closed))));
        let _ = other.join().unwrap();
    });
}

#[test]
fn a_guard_of_what_was_withdrawn_gives_it_back_to_the_machine() {
    model(Reach::Complete, || {
        let node = stocked(node(&[ME]), EX);
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || {
            let _: Option<()> = other.machines().lead().turn(|state, _| state.take_back_all());
        });
        drop(guard);
        other.join().unwrap();
        assert_eq!(node.machines().lead().lock().guards, 0, "it is counted once");
        assert!(!is_stocked(&node) && is_clean(&node));
    });
}
