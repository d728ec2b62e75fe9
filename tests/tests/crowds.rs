//! Many owners, many resources, many members: work is done in pieces, and all of it is done.

use core::time::Duration;

use lockmaster_core::{
    Denial, Event, Flags, Full, HeapMemory, Instant, Limits, LockId, Mode, Node, NodeId, OwnerId, Request,
    RequestError, Retention, SCAN_MAX, ValueWrite,
};
use lockmaster_tests::cluster::{ANNA, Cluster, MASTER, config_of, request_for};

const CROWD: u32 = 300;
const NOW: Instant = Instant::START;
const SECOND: Duration = Duration::from_secs(1);

fn single(retention: Retention) -> Node<HeapMemory> {
    let config = config_of(1, 1, retention);
    let memory = HeapMemory::new(&Limits::uniform(CROWD + 1), &config);
    Node::new(config, memory).expect("the memory fits")
}

/// Owners that wait for EX to go.
fn crowd(node: &mut Node<HeapMemory>, mode: Mode, patience: Option<Duration>) -> (LockId, Vec<LockId>) {
    let first = node.request(NOW, &request_for(b"r", Mode::Exclusive, Flags::NONE)).expect("there is room");
    let wait = |owner| {
        let request = Request { owner: OwnerId(owner), patience, ..request_for(b"r", mode, Flags::NONE) };
        node.request(NOW, &request).expect("there is room").lock
    };
    (first.lock, (1..=u64::from(CROWD)).map(wait).collect())
}

fn events(node: &mut Node<HeapMemory>) -> Vec<Event> {
    let events = core::iter::from_fn(|| node.poll_event()).collect();
    node.check();
    events
}

// ---- owners ----

#[test]
fn a_crowd_of_readers_is_granted_in_order() {
    let mut node = single(Retention::Never);
    let (writer, readers) = crowd(&mut node, Mode::ProtectedRead, None);
    node.release(writer, ValueWrite::Keep).unwrap();
    let granted: Vec<LockId> = events(&mut node)
        .iter()
        .map(|event| match event {
            Event::Granted { lock, .. } => *lock,
            Event::Denied { .. } | Event::Demanded { .. } | Event::Lost { .. } | Event::Transfer(_) => {
                panic!("{event:?}")
            }
        })
        .collect();
    assert_eq!(granted, readers);
}

#[test]
fn a_crowd_of_writers_gets_its_turns() {
    let mut node = single(Retention::Never);
    let (mut holder, writers) = crowd(&mut node, Mode::Exclusive, None);
    for writer in writers {
        node.release(holder, ValueWrite::Keep).unwrap();
        assert!(matches!(events(&mut node)[..], [Event::Granted { lock, .. }] if lock == writer));
        holder = writer;
    }
}

#[test]
fn a_crowd_loses_its_patience_at_once_and_the_timer_moves_on() {
    let mut node = single(Retention::Never);
    let (_, waiters) = crowd(&mut node, Mode::ProtectedRead, Some(SECOND));
    let deadline = node.poll_timeout().unwrap();
    assert_eq!(deadline, NOW.after(SECOND));
    node.handle_timeout(deadline);
    assert!(
        node.poll_timeout().is_none_or(|next| next > deadline),
        "what is overdue is worked off by polling"
    );
    let denied = events(&mut node);
    assert_eq!(denied.len(), waiters.len());
    assert!(denied.iter().all(|event| matches!(event, Event::Denied { reason: Denial::TimedOut, .. })));
    node.handle_timeout(deadline);
    assert_eq!((node.poll_event(), node.poll_timeout()), (None, None));
}

#[test]
fn a_crowd_can_be_abandoned_between_two_polls() {
    let mut node = single(Retention::Never);
    let (writer, readers) = crowd(&mut node, Mode::ProtectedRead, None);
    node.release(writer, ValueWrite::Keep).unwrap();
    for reader in readers {
        node.abandon(reader).unwrap();
        node.check();
    }
    assert_eq!(node.poll_event(), None, "no event names an abandoned lock");
    assert!(node.request(NOW, &request_for(b"r", Mode::Exclusive, Flags::NONE)).unwrap().grant.is_some());
}

#[test]
fn no_order_is_looked_for_among_the_first_places_only() {
    for (ahead, is_granted) in [(SCAN_MAX - 1, true), (SCAN_MAX, false)] {
        let mut node = single(Retention::Never);
        let holder = node.request(NOW, &request_for(b"r", Mode::Exclusive, Flags::NONE)).unwrap().lock;
        for _ in 0..ahead {
            let asked = node.request(NOW, &request_for(b"r", Mode::Exclusive, Flags::NONE)).unwrap();
            assert_eq!(asked.grant, None);
        }
        let reader = node.request(NOW, &request_for(b"r", Mode::ProtectedRead, Flags::NO_ORDER)).unwrap();
        let converted = node.convert(NOW, holder, Mode::ProtectedRead, Default::default(), ValueWrite::Keep);
        assert!(matches!(converted, Ok(Some(_))));
        let granted = events(&mut node);
        let is_reader = |event: &Event| matches!(event, Event::Granted { lock, .. } if *lock == reader.lock);
        assert_eq!(granted.iter().any(is_reader), is_granted, "{ahead} ahead");
    }
}

// ---- resources ----

#[test]
fn a_crowd_of_idle_locks_goes_when_its_time_has_come() {
    let mut node = single(Retention::Idle(SECOND));
    for at in 0..CROWD {
        let lock =
            node.request(NOW, &request_for(&at.to_be_bytes(), Mode::Exclusive, Flags::NONE)).unwrap().lock;
        node.release(lock, ValueWrite::Keep).unwrap();
    }
    let full = Limits::uniform(CROWD + 1).resources - CROWD;
    for at in 0..full {
        let name = [b'x', u8::try_from(at).unwrap()];
        assert!(node.request(NOW, &request_for(&name, Mode::Null, Flags::NONE)).is_ok());
    }
    let refused = node.request(NOW, &request_for(b"one more", Mode::Null, Flags::NONE));
    assert_eq!(refused, Err(RequestError::Full(Full::Resources)));
    let mut turns = 0;
    while let Some(deadline) = node.poll_timeout() {
        node.handle_timeout(deadline);
        assert_eq!(events(&mut node), []);
        turns += 1;
        assert!(turns < 10, "idle locks go after one to two idle times");
    }
    for at in 0..CROWD {
        assert!(node.request(NOW, &request_for(&at.to_be_bytes(), Mode::Exclusive, Flags::NONE)).is_ok());
    }
}

#[test]
fn a_connection_that_comes_back_brings_a_crowd_of_requests() {
    let limits = Limits::uniform(CROWD + 1);
    let mut cluster = Cluster::with(&[limits, limits], Retention::Never);
    let names: Vec<Vec<u8>> = (0..CROWD).map(|at| cluster.other_name(&format!("crowd {at} "))).collect();
    cluster.lose(ANNA, MASTER);
    let locks: Vec<LockId> = names
        .iter()
        .map(|name| cluster.ask_for(name, ANNA, Mode::Exclusive, Flags::VALUE).unwrap().lock)
        .collect();
    assert!(cluster.is_silent(ANNA, MASTER));
    cluster.introduce(MASTER, ANNA);
    cluster.introduce(ANNA, MASTER);
    cluster.run();
    assert_eq!(cluster.happened(ANNA).len(), locks.len(), "all were granted without a timer");
}

// ---- members ----

#[test]
fn sixty_four_members_share_and_give_way() {
    let members: u16 = 64;
    let limits = vec![Limits::uniform(u32::from(members)); usize::from(members)];
    let mut cluster = Cluster::with(&limits, Retention::UntilDemanded);
    for node in (1..=members).map(NodeId) {
        let lock = cluster.lock(node, Mode::ProtectedRead, Flags::NONE);
        cluster.release(node, lock);
    }
    cluster.run();
    assert_eq!(cluster.look(MASTER).physical.len(), usize::from(members));
    let last = NodeId(members);
    let writer = cluster.lock(last, Mode::Exclusive, Flags::NONE);
    assert_eq!(cluster.look(MASTER).physical.len(), 1, "everybody else gave way");
    let reader = cluster.request(NodeId(members - 1), Mode::ProtectedRead);
    cluster.run();
    assert_eq!(cluster.mode(NodeId(members - 1), reader), None);
    cluster.release(last, writer);
    cluster.run();
    assert_eq!(cluster.mode(NodeId(members - 1), reader), Some(Mode::ProtectedRead));
}
