//! Chunks: what stands before the units, and the units as a whole.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::super::transfer::CHUNK_HEAD_MAX;
use super::super::units::UNIT_MAX;
use super::super::*;
use super::random::{chunk_samples, lock_samples};
use super::vectors::{example_chunk, example_last_chunk, example_message, example_units};
use super::{ChunkParts, check_each_byte_wrong, decoded, example_header, write_len};
use crate::id::{MEMBERS_MAX, NodeId, Number, SlotId, SlotRange, SpaceId};
use crate::value::{Value, ValueCopy, ValueState};

/// Offsets in a chunk: after the header of a message, the range and the version.
const BITS_AT: usize = 24 + 20;
const FLOORS_AT: usize = BITS_AT + 1 + 4 + 8 + 8;

#[test]
fn chunks_come_back_as_they_went() {
    check_samples(500, 8, |chunk, bytes| assert!(chunk.is_said_by(&decoded(bytes)), "{chunk:?}"));
}

#[test]
fn a_part_of_a_chunk_is_no_chunk() {
    check_samples(20, 4, |_, bytes| {
        for len in 0..bytes.len() {
            assert_eq!(decode_message(&bytes[..len]), Err(DecodeError::Truncated));
        }
    });
}

#[test]
fn a_chunk_that_ends_within_a_unit_is_malformed() {
    check_samples(100, 4, |chunk, bytes| {
        let ends = ends_of_units(chunk);
        for len in 4..bytes.len() {
            let mut short = bytes[..len].to_vec();
            write_len(&mut short);
            let Some(units) = ends.iter().position(|end| *end == len) else {
                assert_eq!(decode_message(&short), Err(DecodeError::Malformed), "{len} bytes");
                continue;
            };
            let units = &chunk.units[..units];
            if chunk.is_last && is_record_cut_short(units) {
                assert_eq!(decode_message(&short), Err(DecodeError::Malformed), "{len} bytes");
            } else {
                assert!(ChunkParts { units, ..chunk.clone() }.is_said_by(&decoded(&short)));
            }
        }
    });
}

#[test]
fn any_byte_may_be_wrong() {
    check_samples(20, 2, |chunk, bytes| {
        if bytes.len() < 500 {
            check_each_byte_wrong(bytes);
        }
        assert!(chunk.is_said_by(&decoded(bytes)));
    });
    check_each_byte_wrong(&example_chunk().encoded());
}

#[test]
fn a_chunk_has_no_room_for_fields_of_a_newer_version() {
    let chunk = example_chunk();
    let mut bytes = chunk.encoded();
    bytes[1] = 0xff;
    bytes[BITS_AT] |= 0xfe;
    assert!(chunk.is_said_by(&decoded(&bytes)), "reserved bytes and bits are ignored");
    for tail in [&[0][..], &[1], &[2], &[1, 2, 3, 4, 5], &[0xff; 100]] {
        let mut longer = bytes.clone();
        longer.extend(tail);
        write_len(&mut longer);
        assert_eq!(decode_message(&longer), Err(DecodeError::Malformed), "{tail:?} is no unit");
    }
}

#[test]
fn a_record_has_the_locks_that_it_announces() {
    let [record, holder, waiter] = example_units();
    let chunk = |units: &[Unit<'_>], is_last| {
        let bytes = ChunkParts { units, is_last, ..example_chunk() }.encoded();
        decode_message(&bytes).is_ok()
    };
    let whole = [record, holder, waiter];
    for (units, in_the_middle, at_the_end) in [
        (&[][..], true, true),
        (&whole, true, true),
        (&[record, holder], true, false),
        (&[record], true, false),
        (&[waiter], true, true),
        (&[waiter, record, holder, waiter], true, true),
        (&[record, holder, waiter, record], true, false),
        (&[record, holder, record, holder, waiter], false, false),
        (&[record, record], false, false),
        (&[record, holder, waiter, waiter], false, false),
    ] {
        assert_eq!(chunk(units, false), in_the_middle, "in the middle of a slot: {units:?}");
        assert_eq!(chunk(units, true), at_the_end, "at the end of a slot: {units:?}");
    }
}

#[test]
fn floors_are_those_of_64_members_at_most() {
    let floors: Vec<_> = (0..65).map(|node| (NodeId(node), Number(1))).collect();
    for count in [0, 1, 63, MEMBERS_MAX] {
        let chunk = ChunkParts { floors: &floors[..count], ..example_chunk() };
        assert!(chunk.is_said_by(&decoded(&chunk.encoded())));
    }
    let mut buf = vec![0; FRAME_MAX];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    assert!(ChunkParts { floors: &floors, ..example_chunk() }.begin(&mut frame).is_none());
    assert!(frame.is_empty());

    let mut bytes = example_last_chunk().encoded();
    bytes[FLOORS_AT] = 65;
    bytes.resize(FLOORS_AT + 1 + 65 * 10, 0);
    write_len(&mut bytes);
    assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "too many, though they are there");
    bytes[FLOORS_AT] = 64;
    bytes.truncate(FLOORS_AT + 1 + 64 * 10);
    write_len(&mut bytes);
    assert!(decode_message(&bytes).is_ok());
    bytes.pop();
    write_len(&mut bytes);
    assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "the last is cut short");
}

#[test]
fn a_chunk_is_of_a_slot_of_its_transfer() {
    let last = SlotRange { first: SlotId(u32::MAX), len: 1 };
    for (range, slot, is_in) in [
        (SlotRange { first: SlotId(5), len: 2 }, 4, false),
        (SlotRange { first: SlotId(5), len: 2 }, 5, true),
        (SlotRange { first: SlotId(5), len: 2 }, 6, true),
        (SlotRange { first: SlotId(5), len: 2 }, 7, false),
        (SlotRange { first: SlotId(5), len: 0 }, 5, false),
        (last, u32::MAX, true),
        (SlotRange { len: 2, ..last }, u32::MAX, false),
    ] {
        let example = example_last_chunk();
        let head = ChunkHead { slot: SlotId(slot), ..example.head };
        let chunk = ChunkParts { range, head, ..example.clone() };
        let mut buf = vec![0; FRAME_LEAST];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        assert_eq!(chunk.push_to(&mut frame), is_in, "slot {slot} of {range:?}");
        assert_eq!(frame.is_empty(), !is_in);

        let mut bytes = example.encoded();
        bytes[4..8].copy_from_slice(&range.first.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&range.len.to_le_bytes());
        bytes[24..28].copy_from_slice(&slot.to_le_bytes());
        assert_eq!(decode_message(&bytes).is_ok(), is_in, "slot {slot} of {range:?}");
    }
}

#[test]
fn the_smallest_frame_holds_the_longest_unit_beside_all_floors() {
    assert_eq!((CHUNK_HEAD_MAX, UNIT_MAX), (706, 152));
    let floors: Vec<_> = (0..64).map(|node| (NodeId(node), Number(u64::MAX))).collect();
    let state = ValueState::Valid(Value::new(&[7; 64]).unwrap());
    let value = ValueCopy { version: super::token(1), state };
    let record =
        RecordUnit { space: SpaceId(3), name: &[7; 64], locks: 64, value: Some(value), is_value_lost: false };
    let mut buf = [0; FRAME_LEAST];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    let longest = ChunkParts { floors: &floors, units: &[Unit::Record(record)], ..example_chunk() };
    assert!(longest.push_to(&mut frame));
    assert_eq!(frame.finish(), FRAME_HEADER_LEN + CHUNK_HEAD_MAX + UNIT_MAX);
}

#[test]
fn a_chunk_takes_what_fits_and_no_more() {
    check_samples(20, 3, |chunk, bytes| {
        let ends = ends_of_units(chunk);
        for room in 0..=bytes.len() {
            let mut buf = vec![0xa5; FRAME_HEADER_LEN + bytes.len()];
            let mut frame = FrameWriter::new(example_header(), &mut buf[..FRAME_HEADER_LEN + room]);
            let Some(mut writer) = chunk.begin(&mut frame) else {
                assert!(room < ends[0]);
                continue;
            };
            assert!(writer.is_empty());
            let fitting = ends.iter().take_while(|end| **end <= room).count() - 1;
            for unit in &chunk.units[..fitting] {
                assert!(writer.push(unit));
                assert!(!writer.is_empty());
            }
            if let Some(unit) = chunk.units.get(fitting) {
                assert!(!writer.push(unit));
            }
            assert_eq!(writer.used(), ends[fitting]);
            writer.finish(chunk.sent, false);
            assert_eq!(frame.finish(), FRAME_HEADER_LEN + ends[fitting]);
            assert!(buf[FRAME_HEADER_LEN + room..].iter().all(|byte| *byte == 0xa5));
            let written = decoded(&buf[FRAME_HEADER_LEN..FRAME_HEADER_LEN + ends[fitting]]);
            let units = &chunk.units[..fitting];
            assert!(ChunkParts { units, is_last: false, ..chunk.clone() }.is_said_by(&written));
        }
    });
}

#[test]
fn a_chunk_that_is_dropped_leaves_the_frame_as_it_was() {
    let mut expected = vec![0; FRAME_LEAST];
    let mut frame = FrameWriter::new(example_header(), &mut expected);
    assert!(frame.push(&example_message("request")) && frame.push(&example_message("release")));
    let len = frame.finish();

    let mut buf = vec![0; FRAME_LEAST];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    begin_and_drop_chunk(&mut frame);
    assert!(frame.is_empty());
    assert!(frame.push(&example_message("request")));
    begin_and_drop_chunk(&mut frame);
    assert!(frame.push(&example_message("release")));
    begin_and_drop_chunk(&mut frame);
    assert_eq!(frame.finish(), len);
    assert_eq!(buf[..len], expected[..len]);
}

#[test]
fn units_that_cannot_be_leave_a_chunk_as_it_was() {
    let mut buf = vec![0; FRAME_MAX];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    let chunk = example_chunk();
    let mut writer = chunk.begin(&mut frame).unwrap();
    let long = [1; 300];
    for (name, locks) in [(&long[..0], 1), (&long[..65], 1), (&long[..], 1), (&long[..1], 65)] {
        let record = RecordUnit { space: SpaceId(3), name, locks, value: None, is_value_lost: false };
        assert!(!writer.push(&Unit::Record(record)));
        assert!(writer.is_empty());
    }
    for lock in lock_samples(50) {
        assert!(!writer.push(&Unit::Lock(LockUnit { wanted: None, due: [true; 3], answer: None, ..lock })));
        assert!(writer.is_empty());
    }
    assert!(chunk.units.iter().all(|unit| writer.push(unit)));
    writer.finish(chunk.sent, chunk.is_last);
    let len = frame.finish();
    assert_eq!(buf[FRAME_HEADER_LEN..len], chunk.encoded());
}

// What the tests above are made of.

fn begin_and_drop_chunk(frame: &mut FrameWriter<'_>) {
    let chunk = example_chunk();
    let mut writer = chunk.begin(frame).unwrap();
    assert!(chunk.units.iter().all(|unit| writer.push(unit)));
}

/// Encodes samples of chunks and hands each to `check` with its bytes.
fn check_samples(count: usize, records: usize, check: impl Fn(&ChunkParts<'_>, &[u8])) {
    for sample in chunk_samples(count, records) {
        sample.check(|chunk| check(chunk, &chunk.encoded()));
    }
}

/// Bytes of a chunk with none of its units, with the first, with the first two, and so on.
fn ends_of_units(chunk: &ChunkParts<'_>) -> Vec<usize> {
    (0..=chunk.units.len())
        .map(|units| ChunkParts { units: &chunk.units[..units], ..chunk.clone() }.encoded().len())
        .collect()
}

/// Does the last record lack locks?
fn is_record_cut_short(units: &[Unit<'_>]) -> bool {
    let locks_after = |at: usize| units.len() - at - 1;
    units.iter().enumerate().rev().find_map(|(at, unit)| match unit {
        Unit::Record(record) => Some(locks_after(at) < usize::from(record.locks)),
        Unit::Lock(_) => None,
    }) == Some(true)
}
