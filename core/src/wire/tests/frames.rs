//! Frames and hellos.

extern crate std;

use std::vec;
use std::vec::Vec;

use super::super::*;
use super::random::{samples, transfer_samples};
use super::vectors::{encoded_hello, example_chunk, example_frame, example_hello, example_message};
use super::{encoded, example_header, write_frame_len, write_len};
use crate::error::Dropped;

#[test]
fn a_frame_gives_its_messages_in_order() {
    let (samples, transfers) = (samples(200), transfer_samples(200));
    let mut buf = vec![0; FRAME_MAX + 100];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    for (sample, transfer) in samples.iter().zip(&transfers) {
        assert!(writer.push(&sample.message()));
        assert!(writer.push_transfer(transfer));
    }
    assert!(writer.push_written(&encoded(&example_message("deny"))));
    assert!(example_chunk().push_to(&mut writer));
    assert!(writer.push(&example_message("grant")));
    let len = writer.finish();

    assert_eq!(Frames::next_len(&buf), Ok(Some(len)));
    assert_eq!(FrameKind::of(&buf[..len]), Ok(FrameKind::Messages));
    let (header, mut messages) = Messages::new(&buf[..len]).unwrap();
    assert_eq!(header, FrameHeader { len: u32::try_from(len).unwrap(), ..example_header() });
    assert_eq!(messages.skipped(), 0);
    for (sample, transfer) in samples.iter().zip(transfers) {
        assert_eq!(messages.next(), Some(Message::Lock(sample.message())));
        assert_eq!(messages.next(), Some(Message::Transfer(transfer)));
    }
    assert_eq!(messages.next(), Some(Message::Lock(example_message("deny"))));
    assert!(example_chunk().is_said_by(&messages.next().unwrap()));
    assert_eq!(messages.next(), Some(Message::Lock(example_message("grant"))));
    assert_eq!(messages.next(), None);
}

#[test]
fn a_frame_without_messages_is_not_sent() {
    for len in [0, 1, FRAME_HEADER_LEN - 1, FRAME_HEADER_LEN, 300] {
        let mut buf = vec![0xa5; len];
        let writer = FrameWriter::new(example_header(), &mut buf);
        assert!(writer.is_empty());
        assert_eq!(writer.finish(), 0);
    }
}

#[test]
fn a_frame_takes_what_fits_and_no_more() {
    let message = example_message("written");
    let one = encoded(&message).len();
    for len in 0..FRAME_HEADER_LEN + 3 * one {
        let mut buf = vec![0; len];
        let mut writer = FrameWriter::new(example_header(), &mut buf);
        let fits = len.saturating_sub(FRAME_HEADER_LEN) / one;
        for _ in 0..fits {
            assert!(writer.push(&message));
        }
        assert!(!writer.push(&message));
        assert!(!writer.push_written(&encoded(&message)));
        assert_eq!(writer.is_empty(), fits == 0);
        let written = writer.finish();
        assert_eq!(written, if fits == 0 { 0 } else { FRAME_HEADER_LEN + fits * one });
        if written > 0 {
            assert_eq!(Messages::new(&buf[..written]).unwrap().1.count(), fits);
        }
    }

    let mut buf = vec![0; 2 * FRAME_MAX];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    while writer.push(&message) {}
    let len = writer.finish();
    assert!(len <= FRAME_MAX && len + one > FRAME_MAX);
    assert_eq!(Frames::next_len(&buf), Ok(Some(len)));
}

#[test]
fn messages_of_a_newer_version_are_counted_and_passed_over() {
    let mut frame = example_frame();
    frame.splice(FRAME_HEADER_LEN..FRAME_HEADER_LEN, [200, 0, 1, 0, 7]);
    frame.extend([201, 0, 0, 0]);
    write_frame_len(&mut frame);
    let (_, messages) = Messages::new(&frame).unwrap();
    assert_eq!(messages.skipped(), 2);
    assert_eq!(messages.count(), 2);
}

#[test]
fn one_malformed_message_makes_the_whole_frame_malformed() {
    let good = example_frame();
    let mut chunk = example_chunk().encoded();
    *chunk.last_mut().unwrap() ^= 1;
    chunk.push(0);
    write_len(&mut chunk);
    for tail in [&[1][..], &[1, 0, 9, 0], &[8, 0, 0, 0], &[11, 0, 0, 0], &[200, 0, 1, 0], &chunk] {
        let mut frame = good.clone();
        frame.extend(tail);
        write_frame_len(&mut frame);
        assert_eq!(Messages::new(&frame).err(), Some(Dropped::Malformed));
    }
}

#[test]
fn a_part_of_a_frame_asks_for_more() {
    for frame in [example_frame(), frame_with_a_chunk(), encoded_hello()] {
        for len in 0..frame.len() {
            assert_eq!(Frames::next_len(&frame[..len]), Ok(None));
            assert_eq!(Messages::new(&frame[..len]).err(), Some(Dropped::Malformed));
            assert_eq!(Hello::decode(&frame[..len]), Err(Dropped::Malformed));
            assert_eq!(FrameKind::of(&frame[..len]), Err(Dropped::Malformed));
        }
        let mut more = frame.clone();
        more.push(b'L');
        assert_eq!(Frames::next_len(&more), Ok(Some(frame.len())));
        assert_eq!(FrameKind::of(&more), Err(Dropped::Malformed));
    }
}

#[test]
fn garbage_is_recognised_at_its_first_byte() {
    assert_eq!(Frames::next_len(b"G"), Err(Dropped::Malformed));
    assert_eq!(Frames::next_len(b"LKMX"), Err(Dropped::Malformed));
    let mut start = *b"LKMR\x01\x01\x01\x00\x00\x00\x00\x00";
    for (len, expected) in [
        (0, Err(Dropped::Malformed)),
        (35, Err(Dropped::Malformed)),
        (36, Ok(None)),
        (65_536, Ok(None)),
        (65_537, Err(Dropped::Malformed)),
        (u32::MAX, Err(Dropped::Malformed)),
    ] {
        start[8..].copy_from_slice(&u32::to_le_bytes(len));
        assert_eq!(Frames::next_len(&start), expected, "a frame of {len} bytes");
    }
}

#[test]
fn any_byte_of_a_frame_may_be_wrong() {
    for frame in [example_frame(), frame_with_a_chunk(), encoded_hello()] {
        for at in 0..frame.len() {
            for wrong in 1..=u8::MAX {
                let mut frame = frame.clone();
                frame[at] ^= wrong;
                let messages = Messages::new(&frame).map(|(_, messages)| messages.count());
                let hello = Hello::decode(&frame);
                assert!(messages.is_err() || hello.is_err(), "a frame has one kind");
                if at < 4 || (8..12).contains(&at) {
                    assert_eq!((messages, hello), (Err(Dropped::Malformed), Err(Dropped::Malformed)));
                }
            }
        }
    }
}

#[test]
fn a_hello_may_be_longer_but_not_shorter() {
    let mut frame = encoded_hello();
    frame.extend([1, 2, 3]);
    write_frame_len(&mut frame);
    assert_eq!(Hello::decode(&frame), Ok(example_hello()));
    for len in FRAME_HEADER_LEN..48 {
        frame.truncate(len);
        write_frame_len(&mut frame);
        assert_eq!(Hello::decode(&frame), Err(Dropped::Malformed));
        frame.resize(48, 0);
    }
    for len in 0..48 {
        let mut buf = vec![0xa5; len];
        assert_eq!(example_hello().encode(&mut buf), None);
        assert!(buf.iter().all(|byte| *byte == 0xa5));
    }
}

#[test]
fn each_kind_of_frame_has_its_own_reader() {
    assert_eq!(FrameKind::of(&encoded_hello()), Ok(FrameKind::Hello));
    assert_eq!(Messages::new(&encoded_hello()).err(), Some(Dropped::Malformed));
    assert_eq!(Hello::decode(&example_frame()), Err(Dropped::Malformed));
    let mut unknown = example_frame();
    unknown[6] = 2;
    assert_eq!(FrameKind::of(&unknown), Err(Dropped::Malformed));
}

#[test]
fn versions_agree_on_the_newest_that_both_read() {
    let range = |lowest, highest| VersionRange { lowest, highest };
    for (one, other, common) in [
        (range(1, 1), range(1, 1), Some(1)),
        (range(1, 3), range(2, 5), Some(3)),
        (range(1, 9), range(4, 6), Some(6)),
        (range(1, 2), range(3, 4), None),
    ] {
        assert_eq!(one.common(other), common);
        assert_eq!(other.common(one), common);
    }
}

#[test]
fn messages_of_another_version_are_not_read_but_its_hello_is() {
    let mut frame = example_frame();
    (frame[4], frame[5]) = (2, 3);
    assert_eq!(Messages::new(&frame).err(), Some(Dropped::Version));
    (frame[4], frame[5]) = (2, 1);
    assert_eq!(Messages::new(&frame).err(), Some(Dropped::Malformed));
    (frame[4], frame[5]) = (0, 2);
    assert!(Messages::new(&frame).is_ok());

    let mut hello = encoded_hello();
    (hello[4], hello[5]) = (2, 3);
    let versions = VersionRange { lowest: 2, highest: 3 };
    assert_eq!(Hello::decode(&hello), Ok(Hello { versions, ..example_hello() }));
}

/// A frame with an example of a chunk.
fn frame_with_a_chunk() -> Vec<u8> {
    let mut buf = vec![0; FRAME_LEAST];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    assert!(example_chunk().push_to(&mut writer));
    let len = writer.finish();
    buf.truncate(len);
    buf
}
