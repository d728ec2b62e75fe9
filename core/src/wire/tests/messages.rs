//! Messages about resources.

extern crate std;

use super::super::*;
use super::random::{Random, samples};
use super::{check_again, check_each_byte_wrong, decoded_as_checked, encoded, token, write_len};
use crate::flags::Flags;
use crate::id::{DemandId, Incarnation, NodeId, Number, Priority, SpaceId};
use crate::mode::Mode;
use crate::value::{Value, ValueCopy, ValueState};

#[test]
fn messages_come_back_as_they_went() {
    check_samples(2000, |message, bytes| {
        assert_eq!(decoded_as_checked(bytes), Ok((Some(Message::Lock(*message)), bytes.len())));
    });
}

#[test]
fn the_longest_message_has_the_stated_length() {
    let write = Write { version: token(1), value: Some(Value::new(&[7; 64]).unwrap()) };
    let position = Position {
        number: Number(1),
        asked: Number(9),
        flags: Flags::NO_ORDER,
        priority: Priority(1),
        patience_ms: 1,
        hits: 1,
        copy: token(2),
        answers: DemandId(1),
        write: Some(write),
        ..Position::default()
    };
    let updated = UpdatedLocks { from: NodeId(1), incarnation: Incarnation(1), position };
    let longest = LockMessage { space: SpaceId(0), name: &[7; 64], body: Body::UpdatedLocks(updated) };
    assert_eq!((encoded(&longest).len(), MESSAGE_MAX), (214, 214));
    check_samples(2000, |_, bytes| assert!(bytes.len() <= MESSAGE_MAX));
}

#[test]
fn a_message_that_does_not_fit_is_not_written() {
    check_samples(200, |message, bytes| {
        for len in 0..bytes.len() {
            let mut buf = [0xa5; MESSAGE_MAX];
            assert_eq!(encode_message(message, &mut buf[..len]), None);
            assert!(buf[len..].iter().all(|byte| *byte == 0xa5), "nothing beyond the buffer is touched");
        }
    });
}

#[test]
fn names_of_no_or_too_many_bytes_are_not_written() {
    let mut buf = [0; 256];
    for name in [&[][..], &[1; 65], &[1; 300]] {
        let message = LockMessage { space: SpaceId(0), name, body: Body::Written(Number(1)) };
        assert_eq!(encode_message(&message, &mut buf), None);
    }
}

#[test]
fn a_part_of_a_message_is_no_message() {
    check_samples(200, |_, bytes| {
        for len in 0..bytes.len() {
            assert_eq!(decoded_as_checked(&bytes[..len]), Err(DecodeError::Truncated));
        }
    });
}

#[test]
fn a_message_too_short_for_its_kind_is_malformed() {
    check_samples(200, |_, bytes| {
        for len in 4..bytes.len() {
            let mut short = bytes[..len].to_vec();
            write_len(&mut short);
            assert_eq!(decoded_as_checked(&short), Err(DecodeError::Malformed));
        }
    });
}

#[test]
fn any_byte_may_be_wrong() {
    check_samples(100, |_, bytes| check_each_byte_wrong(bytes));
}

#[test]
fn noise_is_no_reason_to_panic() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let len = random.below(96);
        let mut bytes = random.bytes(len);
        if let Some(kind) = bytes.first_mut() {
            *kind %= 22;
        }
        if bytes.len() >= 4 && random.one_in(2) {
            write_len(&mut bytes);
        }
        if let Ok((message, len)) = decoded_as_checked(&bytes) {
            assert!(len <= bytes.len());
            message.iter().for_each(check_again);
        }
    }
}

#[test]
fn values_that_cannot_be_are_malformed() {
    // Offsets in the body of a message with a name of one byte: 4 + 3 + 1 before it.
    let position = Body::Position(Position { number: Number(1), ..Position::default() });
    for (at, wrong) in [(8, 0x6f), (8, 0xf6), (9, 0x0e)] {
        check_malformed(position, at, wrong);
    }
    let deny = Body::Deny(Deny { number: Number(1), reason: DenyReason::Busy });
    for wrong in [0, 5, 255] {
        check_malformed(deny, 8, wrong);
    }
    let demand = Demand {
        id: DemandId(1),
        number: Number(1),
        held: Mode::Exclusive,
        stay: Mode::Null,
        priority: Priority(0),
        demote: false,
    };
    for at in [12, 13] {
        check_malformed(Body::Demand(demand), at, 6);
    }
    let value = ValueCopy { version: token(1), state: ValueState::Valid(Value::EMPTY) };
    let granting = Grant {
        number: Number(1),
        mode: Mode::ProtectedRead,
        token: token(2),
        value: Some(value),
        demand: Some((DemandId(1), Mode::Null)),
    };
    for (at, wrong) in [(8, 6), (42, 3), (43, 65), (43, 255), (48, 6)] {
        check_malformed(Body::Grant(granting), at, wrong);
    }
    let updated =
        UpdatedLocks { from: NodeId(1), incarnation: Incarnation(1), position: Position::default() };
    for wrong in [0, 4, 10, 11, 255] {
        check_malformed(Body::UpdatedLocks(updated), 10, wrong);
    }
    for (at, wrong) in [(11 + 8, 0x6f), (11 + 9, 0x0e)] {
        check_malformed(Body::UpdatedLocks(updated), at, wrong);
    }
}

#[test]
fn lengths_of_names_and_values_are_bounded_also_when_the_bytes_are_there() {
    let mut bytes = encoded(&LockMessage { space: SpaceId(0), name: b"n", body: Body::Written(Number(1)) });
    bytes.resize(400, 1);
    write_len(&mut bytes);
    for (len, accepted) in [(0, false), (1, true), (64, true), (65, false), (255, false)] {
        bytes[6] = len;
        assert_eq!(decoded_as_checked(&bytes).is_ok(), accepted, "name of {len} bytes");
    }

    let write = Write { version: token(1), value: Some(Value::EMPTY) };
    let position = Position { write: Some(write), ..Position::default() };
    let mut bytes = encoded(&LockMessage { space: SpaceId(0), name: b"n", body: Body::Position(position) });
    let at = bytes.len() - 1;
    bytes.resize(400, 1);
    write_len(&mut bytes);
    for (len, accepted) in [(0, true), (64, true), (65, false), (254, false), (255, true)] {
        bytes[at] = len;
        assert_eq!(decoded_as_checked(&bytes).is_ok(), accepted, "value of {len} bytes");
    }
}

#[test]
fn kinds_of_a_newer_version_are_passed_over() {
    for kind in (0..=u8::MAX).filter(|kind| !(1..=32).contains(kind)) {
        assert_eq!(decoded_as_checked(&[kind, 0, 2, 0, 1, 2, 3]), Ok((None, 6)));
        assert_eq!(decoded_as_checked(&[kind, 0, 0, 0]), Ok((None, 4)));
        assert_eq!(decoded_as_checked(&[kind, 0, 2, 0, 1]), Err(DecodeError::Truncated));
    }
}

#[test]
fn fields_of_a_newer_version_are_passed_over() {
    check_samples(500, |message, bytes| {
        let mut longer = bytes.to_vec();
        longer[1] = 0xff;
        longer.extend([1, 2, 3, 4, 5]);
        write_len(&mut longer);
        assert_eq!(decoded_as_checked(&longer), Ok((Some(Message::Lock(*message)), longer.len())));
        longer.push(9);
        assert_eq!(
            decoded_as_checked(&longer),
            Ok((Some(Message::Lock(*message)), longer.len() - 1)),
            "the next message"
        );
    });
}

#[test]
fn bits_of_a_newer_version_are_ignored() {
    check_samples(500, |message, bytes| {
        let body = 7 + message.name.len();
        let mut newer = bytes.to_vec();
        match message.body {
            Body::Position(_) => {
                newer[body + 9] |= 0xf0;
                newer[body + 11] |= 0xff;
            }
            Body::Grant(_) => newer[body + 9] |= 0xfc,
            Body::Demand(_) => newer[body + 15] |= 0xfe,
            Body::UpdatedLocks(_) => {
                newer[body + 11 + 9] |= 0xf0;
                newer[body + 11 + 11] |= 0xff;
            }
            Body::Queued(_) | Body::Deny(_) | Body::Written(_) | Body::Redirect(_) => {}
        }
        assert_eq!(decoded_as_checked(&newer), Ok((Some(Message::Lock(*message)), newer.len())));
    });
}

// What the tests above are made of.

/// Encodes samples of all bodies and hands each to `check` with its bytes.
fn check_samples(count: usize, check: impl Fn(&LockMessage<'_>, &[u8])) {
    for sample in samples(count) {
        let message = sample.message();
        check(&message, &encoded(&message));
    }
}

/// A message with one wrong byte, counted from the start of its body's fields, is malformed.
fn check_malformed(body: Body, at: usize, wrong: u8) {
    let mut bytes = encoded(&LockMessage { space: SpaceId(0), name: b"n", body });
    assert!(decoded_as_checked(&bytes).is_ok());
    bytes[8 + at] = wrong;
    assert_eq!(decoded_as_checked(&bytes), Err(DecodeError::Malformed), "{body:?} with {wrong} at {at}");
}
