//! Locks that are lent, where what lies on the shelf is in somebody's way, or outlives the life in which it was lent.

use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;

use lockmaster_core::{Flags, Mode};

use super::Instant;
use super::still::{
    EX, ME, PEER, PR, Still, granted, keeping, lone_member, name_at, node, node_of, poll, view,
};
use crate::{ConvertError, Guard, Incarnation, LockOptions, Node, OwnerId};

fn lent(node: &Node<Still>) -> u32 {
    node.machines().lead().lock().lending.count()
}

/// A guard of a lock that is lent.
fn borrowed(node: &Node<Still>, name: &str, mode: Mode) -> Guard<Still> {
    let before = lent(node);
    drop(granted(node.lock(name, mode)));
    let guard = granted(node.lock(name, mode));
    assert_eq!(lent(node), before + 1);
    guard
}

/// A node that begins its next life while the guard of the last one is there, and lends a lock in the same place.
fn reborn() -> (Node<Still>, Guard<Still>) {
    let node = lone_member();
    let old = borrowed(&node, "a", EX);
    let lead = node.machines().lead();
    lead.hear_fenced(1, "by the test");
    assert!(old.is_lost());
    let life = lead.rejoin(Incarnation(2)).expect("every loss was told").expect("it runs");
    lead.hear_view(life, view(2, 2, &[]));
    let new = borrowed(&node, "a", EX);
    assert_eq!(new.lock().place(), old.lock().place());
    drop(new);
    (node, old)
}

#[test]
fn a_guard_of_an_earlier_life_does_not_touch_what_is_lent_in_this_one() {
    let (node, old) = reborn();
    drop(old);
    assert_eq!(lent(&node), 1);
    assert!(!node.machines().is_closed());
    assert_eq!(node.machines().lead().lock().guards, 0);
    drop(granted(node.lock("a", EX)));
}

#[test]
fn a_conversion_of_an_earlier_life_does_not_touch_what_is_lent_in_this_one() {
    let (node, mut old) = reborn();
    let converted = poll(pin!(old.convert(PR)), Waker::noop());
    assert_eq!(converted, Poll::Ready(Err(ConvertError::Lost)));
    assert!(!node.machines().is_closed());
    assert_eq!(lent(&node), 1);
}

#[test]
fn a_conversion_that_does_not_queue_finds_free_what_nobody_uses() {
    for timeout in [None, Some(Duration::ZERO)] {
        let flags = if timeout.is_none() { Flags::NO_QUEUE } else { Flags::NONE };
        let node = node(&[ME]);
        let mut guard = borrowed(&node, "a", PR);
        let other = granted(node.lock("a", PR));
        assert_eq!(lent(&node), 2);
        drop(other);
        let converted = poll(pin!(guard.convert_with(EX, flags, timeout)), Waker::noop());
        assert_eq!(converted, Poll::Ready(Ok(())), "{flags:?} {timeout:?}: nobody uses the other");
    }
}

#[test]
fn who_has_no_patience_finds_free_what_nobody_uses() {
    let ways =
        [LockOptions::new(PR), LockOptions::new(EX).value(true), LockOptions::new(EX).owner(OwnerId(7))];
    for way in ways {
        let node = node(&[ME]);
        drop(borrowed(&node, "a", EX));
        let guard = granted(node.lock_with("a", way.timeout(Duration::ZERO)));
        assert_eq!(guard.mode(), way.mode);
    }
}

#[test]
fn no_more_is_lent_and_not_used_than_may_be_retained() {
    let node = keeping(2);
    for name in ["a", "b", "c", "d", "e", "f"] {
        for _ in 0..4 {
            drop(granted(node.lock(name, EX)));
        }
    }
    assert!(lent(&node) <= 2, "{} locks are kept without an owner", lent(&node));
}

#[test]
fn what_is_counted_stays_counted_when_the_node_is_shut_down() {
    let node = node(&[ME]);
    drop(borrowed(&node, "a", EX));
    for _ in 0..10 {
        drop(granted(node.lock("a", EX)));
    }
    let before = node.stats();
    node.machines().close();
    assert_eq!(node.stats(), before);
}

#[test]
fn what_lies_ready_is_counted_as_if_it_were_taken_back() {
    for is_in_use in [false, true] {
        let node = node(&[ME]);
        drop(borrowed(&node, "a", EX));
        let first = node.stats();
        assert_eq!((first.asked, first.requests.local, first.releases.local), (2, 2, 2));
        for _ in 0..10 {
            drop(granted(node.lock("a", EX)));
        }
        let last = is_in_use.then(|| granted(node.lock("a", EX)));
        let counted = node.stats();
        let takes = 12 + u64::from(is_in_use);
        assert_eq!((counted.asked, counted.granted, counted.granted_retained), (takes, takes, takes - 1));
        assert_eq!((counted.requests.local, counted.releases.local), (takes, 12));
        node.machines().lead().lock().take_back_all();
        assert_eq!((lent(&node), node.stats()), (0, counted), "{last:?}");
    }
}

#[test]
fn a_snapshot_has_the_token_of_the_last_take() {
    let node = node(&[ME]);
    drop(borrowed(&node, "a", EX));
    let guard = granted(node.lock("a", EX));
    let snapshot = node.snapshot();
    let tokens: Vec<_> = snapshot.locks().map(|lock| lock.token).collect();
    assert_eq!(tokens, [guard.fencing_token()]);
}

#[test]
fn what_was_asked_back_is_not_lent_at_once_wherever_it_lay() {
    let node = node(&[ME]);
    // The second reader's lock lies beside the first place of the name.
    let first = borrowed(&node, "a", PR);
    let second = granted(node.lock("a", PR));
    assert_eq!(lent(&node), 2);
    drop(first);
    // The first is taken back as idle, so that the second lies alone.
    assert!(node.machines().lead().turn(|state, _| state.take_back_some()).unwrap());
    assert_eq!(lent(&node), 1);
    let mut writer = Box::pin(node.lock("a", EX));
    assert!(poll(writer.as_mut(), Waker::noop()).is_pending());
    drop(second);
    let Poll::Ready(Ok(guard)) = poll(writer.as_mut(), Waker::noop()) else { panic!("it is free") };
    drop(guard);
    assert_eq!(lent(&node), 0);
    drop(granted(node.lock("a", EX)));
    assert_eq!(lent(&node), 0, "it was asked back just now");
}

/// Two nodes that have heard each other, and say nothing by themselves.
fn pair() -> [Node<Still>; 2] {
    let nodes = [ME, PEER].map(|id| node_of(id, &[ME, PEER]));
    let hellos = nodes.each_ref().map(|node| node.machines().lead().lock().node.hello());
    for (node, hello) in nodes.iter().zip(hellos.iter().rev()) {
        let heard =
            node.machines().lead().turn(|state, _| state.node.handle_hello(Instant::from_nanos(1), hello));
        assert_eq!(heard, Some(Ok(())));
    }
    nodes
}

/// The second one says to the first what it has to say.
fn say([first, second]: &[Node<Still>; 2]) {
    let (now, mut frame) = (Instant::from_nanos(1), vec![0; 4096]);
    let len = second.machines().lead().turn(|state, _| state.node.poll_transmit(now, ME, &mut frame));
    let frame = &frame[..len.unwrap().expect("it has something to say")];
    let heard = first.machines().lead().turn(|state, _| state.node.handle_frame(now, PEER, frame));
    assert_eq!(heard, Some(Ok(())));
}

#[test]
fn room_is_made_also_when_something_is_asked_back() {
    let nodes = pair();
    let [node, peer] = &nodes;
    let name = |nth: u32| name_at(node, ME, nth * 1000);
    drop(borrowed(node, &name(0), EX));
    drop(borrowed(node, &name(1), EX));
    // Only one more record fits into the tables of 64.
    let _held: Vec<_> = (2..63).map(|nth| granted(node.lock(name(nth), EX))).collect();
    assert_eq!(lent(node), 2);
    let mut asked = [name(0), name(63)].map(|name| Box::pin(peer.lock(name, EX)));
    assert!(asked.iter_mut().all(|asked| poll(asked.as_mut(), Waker::noop()).is_pending()));
    say(&nodes);
    assert_eq!(lent(node), 0, "one was asked back, and the other makes room");
}
