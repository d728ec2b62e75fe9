use lockmaster_core::{
    ClusterId, Config, Flags, HeapMemory, Incarnation, Instant, Limits, Node, NodeId, OwnerId, Priority,
    Request, SpaceConfig, SpaceId, ValueWrite,
};

use super::*;

const BUSY: Unmet = Unmet::Denied(Denied { reason: Denial::Busy, held: None });

/// Two handles of which the second has the place of the first.
fn one_place_twice() -> (LockId, LockId) {
    let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(1));
    config.members.push(NodeId(1)).unwrap();
    config.spaces.push(SpaceConfig::new("default").unwrap()).unwrap();
    let memory = HeapMemory::new(&Limits::uniform(4), &config);
    let mut node = Node::new(config, memory).unwrap();
    let request = Request {
        space: SpaceId(0),
        name: b"a",
        owner: OwnerId(1),
        mode: Mode::Exclusive,
        flags: Flags::NONE,
        priority: Priority(0),
        patience: None,
    };
    let first = node.request(Instant::START, &request).unwrap().lock;
    node.release(first, ValueWrite::Keep).unwrap();
    let second = node.request(Instant::START, &request).unwrap().lock;
    assert!(first != second && first.place() == second.place());
    (first, second)
}

#[test]
fn an_outcome_is_fetched_once() {
    let (lock, _) = one_place_twice();
    let mut registry = Registry::new(4);
    registry.wait(lock, &mut Stale::new());
    assert!(registry.poll(lock, Waker::noop(), &mut Stale::new()).is_pending());
    assert!(registry.complete(lock, Err(BUSY)).is_some());
    assert!(registry.complete(lock, Err(BUSY)).is_none());
    assert_eq!(registry.poll(lock, Waker::noop(), &mut Stale::new()), Poll::Ready(Err(BUSY)));
    assert_eq!(registry.take(lock), None);
    registry.wait(lock, &mut Stale::new());
    assert!(registry.poll(lock, Waker::noop(), &mut Stale::new()).is_pending());
}

#[test]
fn an_outcome_outlives_its_place() {
    let (old, new) = one_place_twice();
    let mut registry = Registry::new(4);
    registry.wait(old, &mut Stale::new());
    assert!(registry.complete(old, Err(BUSY)).is_none());
    registry.wait(new, &mut Stale::new());
    assert_eq!(registry.poll(old, Waker::noop(), &mut Stale::new()), Poll::Ready(Err(BUSY)));
    assert!(registry.poll(new, Waker::noop(), &mut Stale::new()).is_pending());
    assert!(registry.aside.is_empty());
}

#[test]
fn what_is_forgotten_is_told_nothing() {
    let (old, new) = one_place_twice();
    let mut registry = Registry::new(4);
    registry.wait(old, &mut Stale::new());
    registry.forget(old, &mut Stale::new());
    assert!(registry.complete(old, Err(BUSY)).is_none());
    assert_eq!(registry.take(old), None);
    registry.wait(old, &mut Stale::new());
    assert!(registry.complete(old, Err(BUSY)).is_none());
    registry.wait(new, &mut Stale::new());
    registry.forget(old, &mut Stale::new());
    assert!(registry.aside.is_empty());
}

#[test]
fn every_watcher_is_told_once() {
    let (lock, other) = one_place_twice();
    let mut registry = Registry::new(4);
    let mut watches = [None, None];
    for watch in &mut watches {
        assert!(registry.poll_watch(lock, watch, Waker::noop(), &mut Stale::new()).is_pending());
    }
    let mut woken = 0;
    registry.demand(other, Mode::Exclusive, |_| woken += 1);
    assert_eq!(woken, 0);
    registry.demand(lock, Mode::Exclusive, |_| woken += 1);
    registry.demand(lock, Mode::Exclusive, |_| woken += 1);
    assert_eq!(woken, 2);
    for watch in &mut watches {
        assert_eq!(
            registry.poll_watch(lock, watch, Waker::noop(), &mut Stale::new()),
            Poll::Ready(Mode::Exclusive)
        );
        assert!(registry.poll_watch(lock, watch, Waker::noop(), &mut Stale::new()).is_pending());
        registry.unwatch(lock, watch.unwrap(), &mut Stale::new());
    }
    registry.demand(lock, Mode::Exclusive, |_| woken += 1);
    assert_eq!(woken, 2);
}

#[test]
fn who_watched_a_place_before_is_given_up() {
    let (old, new) = one_place_twice();
    let mut registry = Registry::new(4);
    let (mut leaked, mut stale) = (None, Stale::new());
    assert!(registry.poll_watch(old, &mut leaked, Waker::noop(), &mut stale).is_pending());
    assert_eq!(stale.len(), 0);
    registry.wait(new, &mut stale);
    assert_eq!(stale.len(), 1);
    registry.unwatch(old, leaked.unwrap(), &mut stale);
    assert_eq!(stale.len(), 1);
}
