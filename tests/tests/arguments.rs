//! Arguments and states that are refused or harmless: table B5. A refusal changes nothing.

use lockmaster_core::{
    Asked, Cancelled, Conversion, ConvertError, Event, Flags, FlagsError, HeapMemory, Instant, Limits,
    LockId, Mode, NameError, Node, OwnerId, ReleaseError, Request, RequestError, Retention, SpaceId,
    UnknownLock, Value, ValueWrite,
};
use lockmaster_tests::cluster::{config_of, request_for};

const NOW: Instant = Instant::START;

fn node() -> Node<HeapMemory> {
    let config = config_of(1, 1, Retention::Never);
    let memory = HeapMemory::new(&Limits::uniform(8), &config);
    Node::new(config, memory).expect("the memory fits")
}

fn ask(node: &mut Node<HeapMemory>, mode: Mode, flags: Flags) -> Asked {
    node.request(NOW, &request_for(b"r", mode, flags)).expect("the request is taken")
}

fn granted(node: &mut Node<HeapMemory>, mode: Mode) -> LockId {
    let asked = ask(node, mode, Flags::NONE);
    assert!(asked.grant.is_some(), "nobody is in the way");
    asked.lock
}

fn convert(node: &mut Node<HeapMemory>, lock: LockId, mode: Mode, flags: Flags) -> Result<(), ConvertError> {
    let conversion = Conversion { flags, patience: None };
    node.convert(NOW, lock, mode, conversion, ValueWrite::Keep).map(|_| ())
}

/// The call is refused so, and the tables are as they were.
fn refuses<E: PartialEq + core::fmt::Debug>(
    node: &mut Node<HeapMemory>,
    refusal: E,
    call: impl FnOnce(&mut Node<HeapMemory>) -> Result<(), E>,
) {
    let before = node.digest();
    assert_eq!(call(node), Err(refusal));
    assert_eq!(node.digest(), before, "a refusal changes nothing");
    assert_eq!(node.poll_event(), None);
    node.check();
}

fn refuses_request(refusal: RequestError, request: &Request<'_>) {
    refuses(&mut node(), refusal, |node| node.request(NOW, request).map(|_| ()));
}

#[test]
fn a_name_has_1_to_64_bytes() {
    let name = [b'n'; 65];
    for name in [&name[..], b""] {
        refuses_request(NameError.into(), &request_for(name, Mode::Null, Flags::NONE));
    }
    let asked = node().request(NOW, &request_for(&name[..64], Mode::Null, Flags::NONE));
    assert!(asked.unwrap().grant.is_some());
}

#[test]
fn a_space_is_a_configured_one() {
    let sound = request_for(b"r", Mode::Null, Flags::NONE);
    refuses_request(RequestError::UnknownSpace, &Request { space: SpaceId(1), ..sound });
}

#[test]
fn flags_of_conversions_are_for_conversions() {
    for flags in [Flags::QUEUE_CONVERT, Flags::DEMOTE_ON_DEADLOCK] {
        let request = request_for(b"r", Mode::Null, flags);
        refuses_request(FlagsError::ConversionOnly.into(), &request);
    }
}

#[test]
fn demote_on_deadlock_waits_and_no_queue_does_not() {
    let mut node = node();
    let lock = granted(&mut node, Mode::ProtectedRead);
    let flags = Flags::DEMOTE_ON_DEADLOCK | Flags::NO_QUEUE;
    refuses(&mut node, FlagsError::DemoteWithNoQueue.into(), |node| {
        convert(node, lock, Mode::Exclusive, flags)
    });
}

#[test]
fn expedite_is_for_new_nl_requests_that_may_wait() {
    for mode in Mode::ALL.into_iter().filter(|mode| *mode != Mode::Null) {
        refuses_request(FlagsError::Expedite.into(), &request_for(b"r", mode, Flags::EXPEDITE));
    }
    let flags = Flags::EXPEDITE | Flags::NO_QUEUE;
    refuses_request(FlagsError::Expedite.into(), &request_for(b"r", Mode::Null, flags));
    let mut node = node();
    let lock = granted(&mut node, Mode::Null);
    for flags in [Flags::EXPEDITE, Flags::EXPEDITE | Flags::QUEUE_CONVERT] {
        refuses(&mut node, FlagsError::Expedite.into(), |node| convert(node, lock, Mode::Null, flags));
    }
}

#[test]
fn queue_convert_is_for_upgrades_and_between_cw_and_pr() {
    let letters = |mode: Mode| mode.letters();
    let allowed = [
        ("NL", "CR CW PR PW EX"),
        ("CR", "CW PR PW EX"),
        ("CW", "PR PW EX"),
        ("PR", "CW PW EX"),
        ("PW", "EX"),
        ("EX", ""),
    ];
    for (from, allowed) in allowed {
        let from = Mode::from_letters(from).unwrap();
        for to in Mode::ALL {
            let mut node = node();
            let lock = granted(&mut node, from);
            if allowed.split(' ').any(|mode| mode == letters(to)) {
                assert_eq!(convert(&mut node, lock, to, Flags::QUEUE_CONVERT), Ok(()), "{from} to {to}");
            } else {
                refuses(&mut node, FlagsError::QueueConvert.into(), |node| {
                    convert(node, lock, to, Flags::QUEUE_CONVERT)
                });
            }
        }
    }
}

#[test]
fn no_queue_demand_needs_no_queue() {
    let request = request_for(b"r", Mode::Exclusive, Flags::NO_QUEUE_DEMAND);
    refuses_request(FlagsError::DemandWithoutNoQueue.into(), &request);
}

#[test]
fn there_is_one_alternate_mode() {
    let request = request_for(b"r", Mode::Exclusive, Flags::ALTERNATE_PR | Flags::ALTERNATE_CW);
    refuses_request(FlagsError::TwoAlternates.into(), &request);
}

#[test]
fn a_block_is_written_by_a_lock_that_was_asked_for_with_it() {
    let mut node = node();
    let lock = granted(&mut node, Mode::Exclusive);
    let write = ValueWrite::Set(Value::new(b"v").unwrap());
    refuses(&mut node, ReleaseError::WithoutValue, |node| node.release(lock, write));
    refuses(&mut node, ConvertError::WithoutValue, |node| {
        node.convert(NOW, lock, Mode::Null, Conversion::default(), write).map(|_| ())
    });
}

#[test]
fn what_waits_or_converts_is_neither_converted_nor_released() {
    let mut node = node();
    granted(&mut node, Mode::ProtectedRead);
    let converting = granted(&mut node, Mode::ProtectedRead);
    convert(&mut node, converting, Mode::Exclusive, Flags::NONE).unwrap();
    let waiting = ask(&mut node, Mode::Exclusive, Flags::NONE).lock;
    for lock in [converting, waiting] {
        refuses(&mut node, ConvertError::InFlight, |node| convert(node, lock, Mode::Null, Flags::NONE));
        refuses(&mut node, ReleaseError::InFlight, |node| node.release(lock, ValueWrite::Keep));
    }
}

#[test]
fn an_ended_lock_is_known_as_such() {
    let mut node = node();
    let ended = granted(&mut node, Mode::Exclusive);
    node.release(ended, ValueWrite::Keep).unwrap();
    // The next lock stands in the same place, under another handle.
    let next = granted(&mut node, Mode::Exclusive);
    assert_eq!((next.place(), next == ended), (ended.place(), false));
    refuses(&mut node, ReleaseError::Unknown, |node| node.release(ended, ValueWrite::Keep));
    refuses(&mut node, ConvertError::Unknown, |node| convert(node, ended, Mode::Null, Flags::NONE));
    refuses(&mut node, UnknownLock, |node| node.cancel(ended).map(|_| ()));
    refuses(&mut node, UnknownLock, |node| node.abandon(ended));
    refuses(&mut node, UnknownLock, |node| node.watch(ended).map(|_| ()));
    refuses(&mut node, UnknownLock, |node| node.token(ended).map(|_| ()));
    refuses(&mut node, UnknownLock, |node| node.value(ended).map(|_| ()));
}

#[test]
fn a_cancel_of_a_granted_lock_is_no_error_and_does_nothing() {
    let mut node = node();
    let lock = granted(&mut node, Mode::Exclusive);
    let before = node.digest();
    assert_eq!(node.cancel(lock), Ok(Cancelled::Nothing));
    assert_eq!(node.digest(), before);
}

#[test]
fn a_cancelled_waiter_is_gone_and_a_cancelled_conversion_keeps_its_mode() {
    let mut node = node();
    granted(&mut node, Mode::ProtectedRead);
    let converting = granted(&mut node, Mode::ProtectedRead);
    convert(&mut node, converting, Mode::Exclusive, Flags::NONE).unwrap();
    let waiting = ask(&mut node, Mode::Exclusive, Flags::NONE).lock;
    assert_eq!(node.cancel(waiting), Ok(Cancelled::Request));
    assert_eq!(node.cancel(waiting), Err(UnknownLock), "there is no second cancel");
    assert_eq!(node.cancel(converting), Ok(Cancelled::Conversion));
    assert_eq!(node.cancel(converting), Ok(Cancelled::Nothing));
    assert_eq!(node.poll_event(), None, "a cancel is over when the call returns");
    node.release(converting, ValueWrite::Keep).unwrap();
}

#[test]
fn a_cancel_that_loses_to_the_grant_leaves_the_lock_granted() {
    let mut node = node();
    let first = granted(&mut node, Mode::Exclusive);
    let second = ask(&mut node, Mode::Exclusive, Flags::NONE).lock;
    node.release(first, ValueWrite::Keep).unwrap();
    assert_eq!(node.cancel(second), Ok(Cancelled::Nothing));
    assert!(matches!(node.poll_event(), Some(Event::Granted { lock, .. }) if lock == second));
    node.release(second, ValueWrite::Keep).unwrap();
}

#[test]
fn an_abandoned_lock_is_gone_whatever_it_did() {
    let mut node = node();
    let first = granted(&mut node, Mode::ProtectedRead);
    let converting = granted(&mut node, Mode::ProtectedRead);
    convert(&mut node, converting, Mode::Exclusive, Flags::NONE).unwrap();
    let waiting = ask(&mut node, Mode::Exclusive, Flags::NONE).lock;
    for lock in [waiting, converting, first] {
        assert_eq!(node.abandon(lock), Ok(()));
        assert_eq!(node.abandon(lock), Err(UnknownLock));
    }
    assert_eq!(node.poll_event(), None, "no event names an abandoned lock");
    node.check();
}

#[test]
fn events_name_the_owner_as_it_named_itself() {
    let mut node = node();
    let first = granted(&mut node, Mode::Exclusive);
    let request = Request { owner: OwnerId(77), ..request_for(b"r", Mode::Exclusive, Flags::NONE) };
    let second = node.request(NOW, &request).unwrap().lock;
    node.release(first, ValueWrite::Keep).unwrap();
    let event = node.poll_event().unwrap();
    assert!(matches!(event, Event::Granted { lock, owner: OwnerId(77), .. } if lock == second));
}
