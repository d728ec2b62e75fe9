extern crate std;

use std::collections::BTreeMap;
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::error::Dropped;
use crate::flags::Flags;
use crate::id::{
    ClusterId, DemandId, Epoch, Incarnation, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId,
    SpaceId, Token,
};
use crate::mode::Mode;
use crate::value::{Value, ValueCopy, ValueState};

const NAME: &[u8] = b"orders/000000042";

// The bytes are those of the documentation.

#[test]
fn vectors_of_the_documentation_are_what_the_code_writes_and_reads() {
    let mut documented = documented_vectors();
    for (title, body) in example_bodies() {
        let message = Message { space: SpaceId(3), name: NAME, body };
        let bytes = documented.remove(title).unwrap();
        assert_eq!(hex(&encoded(&message)), hex(&bytes), "{title}");
        assert_eq!(decode_message(&bytes), Ok((Some(message), bytes.len())), "{title}");
    }

    let bytes = documented.remove("hello").unwrap();
    let mut buf = [0; 64];
    let len = example_hello().encode(&mut buf).unwrap();
    assert_eq!(hex(&buf[..len]), hex(&bytes));
    assert_eq!(Hello::decode(&bytes), Ok(example_hello()));

    let bytes = documented.remove("frame").unwrap();
    assert_eq!(hex(&example_frame()), hex(&bytes));
    let (header, messages) = Messages::new(&bytes).unwrap();
    assert_eq!(header, FrameHeader { len: u32::try_from(bytes.len()).unwrap(), ..example_header() });
    let bodies: Vec<Body> = messages.map(|message| message.body).collect();
    let examples: Vec<Body> = example_bodies().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [examples[0], examples[2]]);

    assert!(documented.is_empty(), "documented but not tested: {documented:?}");
}

#[test]
fn plain_messages_are_small() {
    let len_of = |title| {
        let (_, body) = example_bodies().into_iter().find(|(known, _)| *known == title).unwrap();
        encoded(&Message { space: SpaceId(3), name: NAME, body }).len()
    };
    assert_eq!((len_of("request"), len_of("grant"), len_of("release")), (35, 49, 35));
}

// Messages.

#[test]
fn messages_come_back_as_they_went() {
    check_samples(2000, |message, bytes| {
        assert_eq!(decode_message(bytes), Ok((Some(*message), bytes.len())));
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
    let longest = Message { space: SpaceId(0), name: &[7; 64], body: Body::Position(position) };
    assert_eq!(encoded(&longest).len(), MESSAGE_MAX);
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
        let message = Message { space: SpaceId(0), name, body: Body::Written(Number(1)) };
        assert_eq!(encode_message(&message, &mut buf), None);
    }
}

#[test]
fn a_part_of_a_message_is_no_message() {
    check_samples(200, |_, bytes| {
        for len in 0..bytes.len() {
            assert_eq!(decode_message(&bytes[..len]), Err(DecodeError::Truncated));
        }
    });
}

#[test]
fn a_message_too_short_for_its_kind_is_malformed() {
    check_samples(200, |_, bytes| {
        for len in 4..bytes.len() {
            let mut short = bytes[..len].to_vec();
            write_len(&mut short);
            assert_eq!(decode_message(&short), Err(DecodeError::Malformed));
        }
    });
}

#[test]
fn any_byte_may_be_wrong() {
    check_samples(100, |_, bytes| {
        for at in 0..bytes.len() {
            for wrong in 1..=u8::MAX {
                let mut bytes = bytes.to_vec();
                bytes[at] ^= wrong;
                let Ok((Some(message), len)) = decode_message(&bytes) else { continue };
                assert!(len <= bytes.len());
                // What was read is a message like any other, whatever it was meant to be.
                let bytes = encoded(&message);
                assert_eq!(decode_message(&bytes), Ok((Some(message), bytes.len())));
            }
        }
    });
}

#[test]
fn noise_is_no_reason_to_panic() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let len = random.below(96);
        let mut bytes = random.bytes(len);
        if let Some(kind) = bytes.first_mut() {
            *kind %= 12;
        }
        if bytes.len() >= 4 && random.one_in(2) {
            write_len(&mut bytes);
        }
        if let Ok((_, len)) = decode_message(&bytes) {
            assert!(len <= bytes.len());
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
}

#[test]
fn lengths_of_names_and_values_are_bounded_also_when_the_bytes_are_there() {
    let mut bytes = encoded(&Message { space: SpaceId(0), name: b"n", body: Body::Written(Number(1)) });
    bytes.resize(400, 1);
    write_len(&mut bytes);
    for (len, accepted) in [(0, false), (1, true), (64, true), (65, false), (255, false)] {
        bytes[6] = len;
        assert_eq!(decode_message(&bytes).is_ok(), accepted, "name of {len} bytes");
    }

    let write = Write { version: token(1), value: Some(Value::EMPTY) };
    let position = Position { write: Some(write), ..Position::default() };
    let mut bytes = encoded(&Message { space: SpaceId(0), name: b"n", body: Body::Position(position) });
    let at = bytes.len() - 1;
    bytes.resize(400, 1);
    write_len(&mut bytes);
    for (len, accepted) in [(0, true), (64, true), (65, false), (254, false), (255, true)] {
        bytes[at] = len;
        assert_eq!(decode_message(&bytes).is_ok(), accepted, "value of {len} bytes");
    }
}

#[test]
fn kinds_of_a_newer_version_are_passed_over() {
    for kind in (0..=u8::MAX).filter(|kind| !(1..=9).contains(kind)) {
        assert_eq!(decode_message(&[kind, 0, 2, 0, 1, 2, 3]), Ok((None, 6)));
        assert_eq!(decode_message(&[kind, 0, 0, 0]), Ok((None, 4)));
        assert_eq!(decode_message(&[kind, 0, 2, 0, 1]), Err(DecodeError::Truncated));
    }
}

#[test]
fn fields_of_a_newer_version_are_passed_over() {
    check_samples(500, |message, bytes| {
        let mut longer = bytes.to_vec();
        longer[1] = 0xff;
        longer.extend([1, 2, 3, 4, 5]);
        write_len(&mut longer);
        assert_eq!(decode_message(&longer), Ok((Some(*message), longer.len())));
        longer.push(9);
        assert_eq!(decode_message(&longer), Ok((Some(*message), longer.len() - 1)), "the next message");
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
            Body::Queued(_) | Body::Deny(_) | Body::Written(_) | Body::Redirect(_) => {}
        }
        assert_eq!(decode_message(&newer), Ok((Some(*message), newer.len())));
    });
}

// Frames.

#[test]
fn a_frame_gives_its_messages_in_order() {
    let samples = samples(300);
    let mut buf = vec![0; FRAME_MAX + 100];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    assert!(samples.iter().all(|sample| writer.push(&sample.message())));
    let len = writer.finish();

    assert_eq!(Frames::next_len(&buf), Ok(Some(len)));
    assert_eq!(FrameKind::of(&buf[..len]), Ok(FrameKind::Messages));
    let (header, messages) = Messages::new(&buf[..len]).unwrap();
    assert_eq!(header, FrameHeader { len: u32::try_from(len).unwrap(), ..example_header() });
    assert_eq!(messages.skipped(), 0);
    assert!(messages.eq(samples.iter().map(Sample::message)));
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
    let message = Message { space: SpaceId(3), name: NAME, body: Body::Written(Number(1)) };
    let one = encoded(&message).len();
    for len in 0..FRAME_HEADER_LEN + 3 * one {
        let mut buf = vec![0; len];
        let mut writer = FrameWriter::new(example_header(), &mut buf);
        let fits = len.saturating_sub(FRAME_HEADER_LEN) / one;
        for _ in 0..fits {
            assert!(writer.push(&message));
        }
        assert!(!writer.push(&message));
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
    for tail in [&[1][..], &[1, 0, 9, 0], &[8, 0, 0, 0], &[200, 0, 1, 0]] {
        let mut frame = good.clone();
        frame.extend(tail);
        write_frame_len(&mut frame);
        assert_eq!(Messages::new(&frame).err(), Some(Dropped::Malformed));
    }
}

#[test]
fn a_part_of_a_frame_asks_for_more() {
    for frame in [example_frame(), encoded_hello()] {
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
    for frame in [example_frame(), encoded_hello()] {
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

// What the tests above are made of.

/// Encodes samples of all bodies and hands each to `check` with its bytes.
fn check_samples(count: usize, check: impl Fn(&Message<'_>, &[u8])) {
    for sample in samples(count) {
        let message = sample.message();
        check(&message, &encoded(&message));
    }
}

/// A message with one wrong byte, counted from the start of its body's fields, is malformed.
fn check_malformed(body: Body, at: usize, wrong: u8) {
    let mut bytes = encoded(&Message { space: SpaceId(0), name: b"n", body });
    assert!(decode_message(&bytes).is_ok());
    bytes[8 + at] = wrong;
    assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "{body:?} with {wrong} at {at}");
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut buf = [0; MESSAGE_MAX];
    let len = encode_message(message, &mut buf).unwrap();
    buf[..len].to_vec()
}

fn write_len(message: &mut [u8]) {
    let len = u16::try_from(message.len() - 4).unwrap();
    message[2..4].copy_from_slice(&len.to_le_bytes());
}

fn write_frame_len(frame: &mut [u8]) {
    let len = u32::try_from(frame.len()).unwrap();
    frame[8..12].copy_from_slice(&len.to_le_bytes());
}

fn token(grant: u64) -> Token {
    Token { epoch: Epoch(2), grant, local: 0 }
}

/// The messages of the documentation's vectors, by title.
fn example_bodies() -> [(&'static str, Body); 13] {
    let request = Position {
        kind: PositionKind::Request,
        number: Number(0x0102),
        asked: Number(0x0102),
        wanted: Some(Mode::Exclusive),
        ..Position::default()
    };
    let conversion = Position {
        kind: PositionKind::Request,
        number: Number(0x0105),
        asked: Number(0x0102),
        held: Some(Mode::ProtectedRead),
        pinned: Some(Mode::ConcurrentRead),
        wanted: Some(Mode::ProtectedWrite),
        flags: Flags::NO_QUEUE | Flags::VALUE,
        priority: Priority(7),
        patience_ms: 1500,
        hits: 12,
        copy: token(0x21),
        answers: DemandId(0x31),
        write: Some(Write { version: token(0x22), value: Some(Value::new(b"value").unwrap()) }),
    };
    let release = Position { kind: PositionKind::Downgrade, number: Number(0x0103), ..Position::default() };
    let downgrade = Position {
        held: Some(Mode::ConcurrentRead),
        answers: DemandId(0x31),
        write: Some(Write { version: token(0x22), value: None }),
        ..release
    };
    let cancel = Position { kind: PositionKind::Cancel, held: Some(Mode::Null), ..release };
    let grant = Grant {
        number: Number(0x0102),
        mode: Mode::Exclusive,
        token: token(0x23),
        value: None,
        demand: None,
    };
    let valid = ValueState::Valid(Value::new(b"value").unwrap());
    let invalid = ValueState::Invalid(Value::EMPTY);
    let with_value = Grant { value: Some(ValueCopy { version: token(0x22), state: valid }), ..grant };
    let with_demand = Grant {
        value: Some(ValueCopy { version: token(0x22), state: invalid }),
        demand: Some((DemandId(0x31), Mode::ConcurrentRead)),
        ..grant
    };
    let demand = Demand {
        id: DemandId(0x31),
        number: Number(0x0102),
        held: Mode::Exclusive,
        stay: Mode::ConcurrentRead,
        priority: Priority(7),
        demote: true,
    };
    let ticket = QueueTicket { epoch: Epoch(2), count: 0x41 };
    let version = MapVersion { epoch: Epoch(2), count: 5 };
    [
        ("request", Body::Position(request)),
        ("request-every-field", Body::Position(conversion)),
        ("release", Body::Position(release)),
        ("downgrade", Body::Position(downgrade)),
        ("cancel", Body::Position(cancel)),
        ("queued", Body::Queued(Queued { number: Number(0x0102), ticket })),
        ("grant", Body::Grant(grant)),
        ("grant-value", Body::Grant(with_value)),
        ("grant-every-field", Body::Grant(with_demand)),
        ("deny", Body::Deny(Deny { number: Number(0x0102), reason: DenyReason::Renew })),
        ("demand", Body::Demand(demand)),
        ("written", Body::Written(Number(0x0103))),
        ("redirect", Body::Redirect(Redirect { slot: SlotId(0x51), master: NodeId(2), version })),
    ]
}

fn example_header() -> FrameHeader {
    FrameHeader {
        versions: VersionRange::OURS,
        cluster: ClusterId(0x1122_3344_5566_7788),
        epoch: Epoch(2),
        from: NodeId(1),
        incarnation: Incarnation(0x61),
        len: 0,
    }
}

/// A frame with the examples "request" and "release".
fn example_frame() -> Vec<u8> {
    let examples = example_bodies();
    let mut buf = [0; 300];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    for (_, body) in [examples[0], examples[2]] {
        assert!(writer.push(&Message { space: SpaceId(3), name: NAME, body }));
    }
    let len = writer.finish();
    buf[..len].to_vec()
}

fn example_hello() -> Hello {
    Hello {
        cluster: ClusterId(0x1122_3344_5566_7788),
        node: NodeId(1),
        incarnation: Incarnation(0x61),
        versions: VersionRange::OURS,
        epoch: Epoch(2),
        digest: 0x99aa_bbcc_ddee_ff00,
        frame_max: 65_536,
    }
}

fn encoded_hello() -> Vec<u8> {
    let mut buf = [0; 64];
    let len = example_hello().encode(&mut buf).unwrap();
    buf[..len].to_vec()
}

/// The vectors of `docs/wire.md`: lines `title: hex` in the block marked `vectors`.
fn documented_vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let text = include_str!("../../../docs/wire.md");
    let (_, block) = text.split_once("```vectors\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut vectors = BTreeMap::new();
    for line in block.lines() {
        let (title, digits) = line.split_once(": ").unwrap();
        let bytes = digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert!(vectors.insert(title, bytes).is_none(), "{title} is there twice");
    }
    vectors
}

fn hex(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// A message that owns its name.
struct Sample {
    space: SpaceId,
    name: Vec<u8>,
    body: Body,
}

impl Sample {
    fn message(&self) -> Message<'_> {
        Message { space: self.space, name: &self.name, body: self.body }
    }
}

fn samples(count: usize) -> Vec<Sample> {
    let mut random = Random(42);
    (0..count)
        .map(|_| Sample {
            space: SpaceId(random.u16()),
            name: {
                let len = 1 + random.below(64);
                random.bytes(len)
            },
            body: random.body(),
        })
        .collect()
}

/// A xorshift generator: the same samples in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small numbers and large ones, and often zero.
    fn u64(&mut self) -> u64 {
        let bits = self.below(65);
        self.next().checked_shr(64 - u32::try_from(bits).unwrap()).unwrap_or(0)
    }

    fn u32(&mut self) -> u32 {
        u32::try_from(self.u64() & 0xffff_ffff).unwrap()
    }

    fn u16(&mut self) -> u16 {
        u16::try_from(self.u64() & 0xffff).unwrap()
    }

    fn u8(&mut self) -> u8 {
        u8::try_from(self.u64() & 0xff).unwrap()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % bound
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u8()).collect()
    }

    fn mode(&mut self) -> Mode {
        Mode::ALL[self.below(6)]
    }

    fn optional_mode(&mut self) -> Option<Mode> {
        Mode::ALL.get(self.below(7)).copied()
    }

    fn token(&mut self) -> Token {
        Token { epoch: Epoch(self.u32()), grant: self.u64(), local: self.u32() }
    }

    fn value(&mut self) -> Value {
        let len = self.below(65);
        Value::new(&self.bytes(len)).unwrap()
    }

    fn position(&mut self) -> Position {
        let number = Number(self.u64());
        let kinds = [PositionKind::Request, PositionKind::Downgrade, PositionKind::Cancel];
        let asked = [number, Number(0), Number(self.u64())];
        let write = Write { version: self.token(), value: self.one_in(2).then(|| self.value()) };
        Position {
            kind: kinds[self.below(3)],
            number,
            asked: asked[self.below(3)],
            held: self.optional_mode(),
            pinned: self.optional_mode(),
            wanted: self.optional_mode(),
            flags: Flags::from_bits(self.u16()),
            priority: Priority(self.u8()),
            patience_ms: self.u32(),
            hits: self.u32(),
            copy: if self.one_in(2) { self.token() } else { Token::NONE },
            answers: DemandId(self.u32()),
            write: self.one_in(2).then_some(write),
        }
    }

    fn granting(&mut self) -> Grant {
        let states = [ValueState::Absent, ValueState::Valid(self.value()), ValueState::Invalid(self.value())];
        let copy = ValueCopy { version: self.token(), state: states[self.below(3)] };
        let demand = (DemandId(self.u32()), self.mode());
        Grant {
            number: Number(self.u64()),
            mode: self.mode(),
            token: self.token(),
            value: self.one_in(2).then_some(copy),
            demand: self.one_in(2).then_some(demand),
        }
    }

    fn body(&mut self) -> Body {
        let number = Number(self.u64());
        let reasons = [DenyReason::Busy, DenyReason::Deadlock, DenyReason::Full, DenyReason::Renew];
        match self.below(10) {
            0 => Body::Queued(Queued {
                number,
                ticket: QueueTicket { epoch: Epoch(self.u32()), count: self.u64() },
            }),
            1 => Body::Deny(Deny { number, reason: reasons[self.below(4)] }),
            2 => Body::Demand(Demand {
                id: DemandId(self.u32()),
                number,
                held: self.mode(),
                stay: self.mode(),
                priority: Priority(self.u8()),
                demote: self.one_in(2),
            }),
            3 => Body::Written(number),
            4 => Body::Redirect(Redirect {
                slot: SlotId(self.u32()),
                master: NodeId(self.u16()),
                version: MapVersion { epoch: Epoch(self.u32()), count: self.u64() },
            }),
            5 | 6 => Body::Grant(self.granting()),
            _ => Body::Position(self.position()),
        }
    }
}
