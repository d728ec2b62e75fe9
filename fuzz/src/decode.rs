//! Any bytes, to everything that reads bytes.

use lockmaster_core::wire::{
    FRAME_HEADER_LEN, FRAME_MAX, FrameHeader, FrameKind, FrameWriter, Frames, Hello, Message, Messages,
    TransferBody, ViewMessage, decode_message,
};
use lockmaster_core::{NAME_MAX, Name, SpaceConfig, VALUE_MAX, Value};

use crate::reserved::without_reserved;
use crate::written::{HEADER, written};

/// Bytes of a hello that this version writes.
const HELLO_LEN: usize = 48;
/// Bytes of a chunk before its floors and units.
const CHUNK_HEAD_LEN: usize = 4 + 20 + 42;
/// Bytes of a page before its runs, and of a report and of an answer before their units, without the header of the
/// message.
const PAGE_HEAD_LEN: usize = 20;
const REPORT_HEAD_LEN: usize = 29;
const TOLD_HEAD_LEN: usize = 12;

/// Gives the bytes to every reader: as a stream, as a frame, as a message, as the messages of a frame, as the units of
/// a chunk, as a name and as a value.
///
/// # Panics
/// If a reader panics, or if what was read is written differently: in a message that is as short as it can be, only
/// what `docs/wire.md` calls reserved may differ.
pub fn decode(data: &[u8]) {
    check_stream(data);
    check_hello(data);
    check_frame(data);
    check_message(data);
    if data.len() <= FRAME_MAX - FRAME_HEADER_LEN {
        check_frame(&framed(data));
        check_units(data);
        check_pieces(data);
    }
    check_small(data);
}

/// What is known of the front of a stream is not taken back when more of it comes.
fn check_stream(data: &[u8]) {
    let whole = Frames::next_len(data);
    let part = Frames::next_len(&data[..data.len().min(12)]);
    match (part, whole) {
        (Ok(None), _) => {}
        (Ok(Some(len)), _) => panic!("a frame of {len} bytes is there after 12"),
        (Err(_), whole) => assert!(whole.is_err(), "a stream recovers"),
    }
    if let Ok(Some(len)) = whole {
        assert!((FRAME_HEADER_LEN..=FRAME_MAX.min(data.len())).contains(&len), "a frame of {len} bytes");
    }
}

fn check_hello(data: &[u8]) {
    let Ok(hello) = Hello::decode(data) else { return };
    assert_eq!(FrameKind::of(data), Ok(FrameKind::Hello));
    let mut bytes = [0; HELLO_LEN];
    assert_eq!(hello.encode(&mut bytes), Some(HELLO_LEN));
    assert_eq!(Hello::decode(&bytes), Ok(hello));
    let mut given: [u8; HELLO_LEN] = *data.first_chunk().expect("a hello has all its fields");
    // Reserved, and the length of one to which a newer version appended something.
    given[7] = 0;
    given[34..36].fill(0);
    if data.len() == HELLO_LEN {
        assert_eq!(given, bytes);
    }
}

fn check_frame(frame: &[u8]) {
    let Ok((header, messages)) = Messages::new(frame) else { return };
    assert_eq!(FrameKind::of(frame), Ok(FrameKind::Messages));
    assert_eq!(header.len as usize, frame.len());
    let skipped = messages.skipped();
    let read: Vec<_> = messages.collect();
    // The same messages, one by one.
    let mut rest = &frame[FRAME_HEADER_LEN..];
    let (mut count, mut unknown) = (0, 0);
    while !rest.is_empty() {
        let (message, len) = decode_message(rest).expect("a frame was checked");
        match message {
            Some(message) => {
                assert!(is_same(&message, &read[count]), "{message:?}, {:?}", read[count]);
                check_again(&message, &rest[..len]);
                count += 1;
            }
            None => unknown += 1,
        }
        rest = &rest[len..];
    }
    assert_eq!((count, unknown), (read.len(), skipped));
    check_header(header);
}

/// What a header says it says again, with any messages after it.
fn check_header(header: FrameHeader) {
    let mut buf = [0; FRAME_HEADER_LEN];
    assert_eq!(FrameWriter::new(header, &mut buf).finish(), 0, "a frame without messages is not sent");
}

fn check_message(data: &[u8]) {
    if let Ok((Some(message), len)) = decode_message(data) {
        check_again(&message, &data[..len]);
    }
}

/// The bytes as units of a chunk that is all right but for them.
fn check_units(data: &[u8]) {
    for is_last in [0, 1] {
        let len = CHUNK_HEAD_LEN - 4 + data.len();
        let Ok(len) = u16::try_from(len) else { return };
        let mut chunk = [0; CHUNK_HEAD_LEN];
        chunk[0] = 13;
        chunk[2..4].copy_from_slice(&len.to_le_bytes());
        chunk[8] = 1;
        chunk[CHUNK_HEAD_LEN - 22] = is_last;
        check_message(&[&chunk, data].concat());
    }
}

/// The bytes as runs of a page, and as units of a report and of messages of one unit, that are all right but for them.
fn check_pieces(data: &[u8]) {
    let pages = [(22, PAGE_HEAD_LEN), (24, PAGE_HEAD_LEN)];
    let units = [(26, REPORT_HEAD_LEN), (28, 0), (30, TOLD_HEAD_LEN)];
    for (kind, fixed) in pages.into_iter().chain(units) {
        let Ok(len) = u16::try_from(fixed + data.len()) else { return };
        let mut head = vec![0; 4 + fixed];
        head[0] = kind;
        head[2..4].copy_from_slice(&len.to_le_bytes());
        if kind == 26 {
            // It takes a step.
            head[4 + 12] = 1;
        }
        check_message(&[&head, data].concat());
    }
}

fn check_small(data: &[u8]) {
    let is_name = (1..=NAME_MAX).contains(&data.len());
    let name = Name::new(data);
    assert_eq!(name.is_ok(), is_name);
    assert!(name.is_ok_and(|name| name.as_bytes() == data) || !is_name);
    let value = Value::new(data);
    assert_eq!(value.is_ok(), data.len() <= VALUE_MAX);
    assert!(value.is_ok_and(|value| value.as_bytes() == data) || data.len() > VALUE_MAX);
    if let Ok(text) = core::str::from_utf8(data) {
        assert_eq!(SpaceConfig::new(text).is_ok(), is_name);
    }
}

/// The bytes as messages of a frame.
fn framed(messages: &[u8]) -> Vec<u8> {
    let len = u32::try_from(FRAME_HEADER_LEN + messages.len()).expect("a frame is at most 64 KiB");
    let mut frame = vec![0; FRAME_HEADER_LEN];
    frame[..4].copy_from_slice(b"LKMR");
    frame[4..7].copy_from_slice(&[HEADER.versions.lowest, HEADER.versions.highest, 1]);
    frame[8..12].copy_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(messages);
    frame
}

/// What was read can be written, in no more bytes, and is then read as the same. If it takes as many bytes, they are
/// the same but for what is reserved.
fn check_again(message: &Message<'_>, given: &[u8]) {
    let bytes = written(message, given.len());
    let bytes = bytes.unwrap_or_else(|| panic!("more than {} bytes for {message:?}", given.len()));
    let (again, len) = decode_message(&bytes).expect("what is written can be read");
    assert_eq!(len, bytes.len());
    let again = again.expect("a kind that was read is known");
    assert!(is_same(message, &again), "{message:?}, {again:?}");
    if bytes.len() == given.len() {
        assert_eq!(bytes, without_reserved(given), "{message:?}");
    }
}

/// A frame that a node wrote: every message can be read, and is as short as it can be.
pub(crate) fn check_written(frame: &[u8]) {
    let mut rest = &frame[FRAME_HEADER_LEN..];
    assert!(!rest.is_empty(), "a frame without messages is not sent");
    while !rest.is_empty() {
        let (message, len) = decode_message(rest).expect("a node writes what can be read");
        let message = message.expect("a node writes what it knows");
        assert_eq!(written(&message, len).as_deref(), Some(&rest[..len]), "{message:?}");
        rest = &rest[len..];
    }
}

/// Do two messages say the same? Floors and units are compared as they are read.
fn is_same(one: &Message<'_>, other: &Message<'_>) -> bool {
    if let (Message::Transfer(one), Message::Transfer(other)) = (one, other)
        && let (TransferBody::InitialLocks(a), TransferBody::InitialLocks(b)) = (&one.body, &other.body)
    {
        return (one.range, one.version, a.head, a.sent, a.is_last)
            == (other.range, other.version, b.head, b.sent, b.is_last)
            && a.floors.eq(b.floors)
            && a.units.eq(b.units);
    }
    match (one, other) {
        (Message::View(one), Message::View(other)) => is_same_view(one, other),
        _ => one == other,
    }
}

/// A message of one unit has no more.
fn is_same_view(one: &ViewMessage<'_>, other: &ViewMessage<'_>) -> bool {
    match (one, other) {
        (ViewMessage::Report(one), ViewMessage::Report(other)) => {
            (one.head, one.end, one.is_last) == (other.head, other.end, other.is_last)
                && one.units.eq(other.units)
        }
        (ViewMessage::Wanted(one), ViewMessage::Wanted(other)) => one.count() == 1 && (*one).eq(*other),
        (ViewMessage::Told(one), ViewMessage::Told(other)) => {
            (one.question, one.number) == (other.question, other.number)
                && one.units.count() <= 1
                && one.units.eq(other.units)
        }
        _ => one == other,
    }
}
