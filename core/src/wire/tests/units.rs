//! Single units, each in a chunk of its own.

extern crate std;

use std::vec::Vec;

use super::super::units::{LOCK_MAX, RECORD_MAX, encode_unit};
use super::super::*;
use super::random::lock_samples;
use super::vectors::{example_last_chunk, example_units};
use super::{ChunkParts, token, write_len};
use crate::id::{SpaceId, Token};
use crate::mode::Mode;
use crate::snapshot::QueueName;
use crate::value::{Value, ValueCopy, ValueState};

const BITS_AT: usize = 5;

#[test]
fn locks_come_back_as_they_went() {
    for lock in lock_samples(5000) {
        assert_eq!(decoded(&encoded(&Unit::Lock(lock))), Ok(Unit::Lock(lock)));
    }
}

#[test]
fn the_longest_units_have_the_stated_lengths() {
    let state = ValueState::Invalid(Value::new(&[7; 64]).unwrap());
    let value = Some(ValueCopy { version: token(1), state });
    let record = RecordUnit { space: SpaceId(0), name: &[7; 64], locks: 64, value, is_value_lost: false };
    assert_eq!((encoded(&Unit::Record(record)).len(), RECORD_MAX), (152, 152));

    let denied = LockUnit { answer: Some(Err(DenyReason::Busy)), due: [false; 3], ..example_holder() };
    assert_eq!((encoded(&Unit::Lock(denied)).len(), LOCK_MAX), (93, 93));
    assert!(lock_samples(5000).into_iter().all(|lock| encoded(&Unit::Lock(lock)).len() <= LOCK_MAX));
}

#[test]
fn a_unit_cut_short_is_malformed() {
    let mut units: Vec<_> = lock_samples(200).into_iter().map(Unit::Lock).collect();
    units.extend(example_units());
    for unit in units {
        let bytes = encoded(&unit);
        for len in 1..bytes.len() {
            assert_eq!(decoded(&bytes[..len]), Err(DecodeError::Malformed), "{len} bytes of {unit:?}");
        }
    }
}

#[test]
fn values_of_a_record_that_cannot_be_are_malformed() {
    let value = ValueCopy { version: token(1), state: ValueState::Valid(Value::EMPTY) };
    let record =
        RecordUnit { space: SpaceId(0), name: b"n", locks: 0, value: Some(value), is_value_lost: false };
    let good = encoded(&Unit::Record(record));
    // A name of no bytes or of 65, too many locks, no such presence, no such state, too long a value.
    for (at, wrong) in
        [(3, 0), (3, 65), (3, 255), (5, 65), (5, 255), (6, 3), (6, 255), (23, 3), (24, 65), (24, 255)]
    {
        let mut bytes = good.clone();
        bytes.resize(400, 0);
        bytes[at] = wrong;
        assert_eq!(decoded(&bytes), Err(DecodeError::Malformed), "{wrong} at {at}");
    }
    for kind in 2..=u8::MAX {
        let mut bytes = good.clone();
        bytes[0] = kind;
        assert_eq!(decoded(&bytes), Err(DecodeError::Malformed), "a unit of kind {kind}");
    }
}

#[test]
fn values_of_a_lock_that_cannot_be_are_malformed() {
    let holder = example_holder();
    let denied = LockUnit { answer: Some(Err(DenyReason::Busy)), due: [false; 3], ..holder };
    let good = encoded(&Unit::Lock(denied));
    let (stay_at, reason_at) = (LOCK_MAX - 3, LOCK_MAX - 1);
    for (at, wrong) in [
        (3, 0xf6),
        (3, 0x6f),
        (4, 0x6f),
        (4, 0x0e),
        (stay_at, 6),
        (stay_at, 15),
        (reason_at, 0),
        (reason_at, 5),
        (reason_at, 255),
    ] {
        let mut bytes = good.clone();
        bytes[at] = wrong;
        assert_eq!(decoded(&bytes), Err(DecodeError::Malformed), "{wrong} at {at}");
    }
}

#[test]
fn bits_that_contradict_each_other_are_malformed() {
    let at_rest = LockUnit {
        told: None,
        writing_since: Token::NONE,
        copy: Token::NONE,
        answer: None,
        demand: None,
        due: [false; 3],
        ..example_holder()
    };
    let waiting = LockUnit { queue: QueueName::Wait, held: None, wanted: Some(Mode::Exclusive), ..at_rest };
    let converting = LockUnit {
        queue: QueueName::Convert,
        held: Some(Mode::Null),
        pinned: Some(Mode::Null),
        wanted: Some(Mode::Exclusive),
        ..at_rest
    };
    for (lock, bit, story) in [
        (at_rest, 0, "it converts and wants nothing"),
        (at_rest, 1, "it waits and wants nothing"),
        (waiting, 0, "it stands in two queues"),
        (waiting, 1, "it is granted and wants a mode"),
        (converting, 0, "it is granted and pins a mode"),
        (converting, 1, "it stands in two queues"),
        (at_rest, 5, "no answer is due"),
        (at_rest, 6, "it has no place in a queue"),
        (at_rest, 7, "no demand is due"),
        (waiting, 8, "it waits and is granted"),
        (converting, 8, "it converts and is granted"),
        (at_rest, 13, "no demand demotes"),
        (at_rest, 14, "no demand is answered"),
    ] {
        let mut bytes = encoded(&Unit::Lock(lock));
        flip(&mut bytes, bit);
        bytes.resize(LOCK_MAX, 0);
        assert_eq!(decoded_first(&bytes), Err(DecodeError::Malformed), "{story}");
    }
    let mut bytes = encoded(&Unit::Lock(LockUnit { answer: Some(Err(DenyReason::Busy)), ..at_rest }));
    flip(&mut bytes, 8);
    assert_eq!(decoded(&bytes), Err(DecodeError::Malformed), "it is granted and denied");
}

#[test]
fn a_lock_that_contradicts_itself_is_not_written() {
    let holder = example_holder();
    let [_, _, Unit::Lock(waiter)] = example_units() else { panic!("the last example is a lock") };
    for lock in [
        LockUnit { held: None, ..holder },
        LockUnit { wanted: Some(Mode::Exclusive), ..holder },
        LockUnit { pinned: Some(Mode::Null), ..holder },
        LockUnit { answer: None, due: [true, false, false], ..holder },
        LockUnit { due: [false, true, false], ..holder },
        LockUnit { demand: None, ..holder },
        LockUnit { wanted: None, ..waiter },
        LockUnit { held: Some(Mode::Null), pinned: Some(Mode::Null), ..waiter },
        LockUnit { answer: Some(Ok(())), ..waiter },
        LockUnit { queue: QueueName::Convert, ..waiter },
        LockUnit { queue: QueueName::Convert, held: Some(Mode::Null), ..waiter },
    ] {
        let mut buf = [0; LOCK_MAX];
        assert_eq!(encode_unit(&Unit::Lock(lock), &mut buf), None, "{lock:?}");
    }
}

#[test]
fn bits_of_a_newer_version_are_ignored() {
    for lock in lock_samples(200) {
        let mut bytes = encoded(&Unit::Lock(lock));
        flip(&mut bytes, 15);
        bytes[BITS_AT + 3] |= 0xf8;
        assert_eq!(decoded(&bytes), Ok(Unit::Lock(lock)));
    }
}

#[test]
fn a_token_that_is_there_may_be_none() {
    let lock = LockUnit { writing_since: token(1), copy: token(2), ..example_holder() };
    let mut bytes = encoded(&Unit::Lock(lock));
    bytes[54..86].fill(0);
    let none = Token::NONE;
    assert_eq!(decoded(&bytes), Ok(Unit::Lock(LockUnit { writing_since: none, copy: none, ..lock })));
}

// What the tests above are made of.

fn example_holder() -> LockUnit {
    match example_units()[1] {
        Unit::Lock(lock) => lock,
        Unit::Record(_) => panic!("the second example is a lock"),
    }
}

fn encoded(unit: &Unit<'_>) -> Vec<u8> {
    let mut buf = [0; RECORD_MAX];
    let len = encode_unit(unit, &mut buf).unwrap();
    buf[..len].to_vec()
}

/// The one unit of a chunk with these bytes.
fn decoded(bytes: &[u8]) -> Result<Unit<'_>, DecodeError> {
    let head = ChunkParts { units: &[], is_last: false, ..example_last_chunk() }.encoded();
    let mut chunk = head;
    chunk.extend(bytes);
    write_len(&mut chunk);
    decode_message(&chunk)?;
    let mut units = Units::new(bytes);
    let unit = units.next().unwrap();
    assert!(units.is_empty() && units.next().is_none());
    Ok(unit)
}

fn decoded_first(bytes: &[u8]) -> Result<Unit<'_>, DecodeError> {
    Units::new(bytes).next_unit().map(Option::unwrap)
}

fn flip(lock: &mut [u8], bit: usize) {
    lock[BITS_AT + bit / 8] ^= 1 << (bit % 8);
}
