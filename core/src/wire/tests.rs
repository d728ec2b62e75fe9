extern crate std;

use std::vec::Vec;

use super::*;
use crate::id::{ClusterId, Epoch, Incarnation, MapVersion, NodeId, Number, SlotRange, Token};

mod chunks;
mod frames;
mod messages;
mod random;
mod transfers;
mod units;
mod vectors;
mod views;

fn encoded(message: &LockMessage<'_>) -> Vec<u8> {
    let mut buf = [0; MESSAGE_MAX];
    let len = encode_message(message, &mut buf).unwrap();
    buf[..len].to_vec()
}

/// Any message again as bytes; a chunk is written unit by unit.
fn encoded_anew(message: &Message<'_>) -> Vec<u8> {
    match message {
        Message::Lock(message) => encoded(message),
        Message::Transfer(message) => encoded_transfer(message),
        Message::View(message) => encoded_view(message),
    }
}

fn encoded_transfer(message: &TransferMessage<'_>) -> Vec<u8> {
    if let TransferBody::InitialLocks(chunk) = &message.body {
        let floors: Vec<_> = chunk.floors.collect();
        let units: Vec<_> = chunk.units.collect();
        return ChunkParts {
            range: message.range,
            version: message.version,
            head: chunk.head,
            floors: &floors,
            units: &units,
            sent: chunk.sent,
            is_last: chunk.is_last,
        }
        .encoded();
    }
    let mut buf = [0; MESSAGE_MAX];
    let len = encode_transfer(message, &mut buf).unwrap();
    buf[..len].to_vec()
}

fn encoded_view(message: &ViewMessage<'_>) -> Vec<u8> {
    let mut buf = std::vec![0; FRAME_MAX];
    let mut frame = FrameWriter::new(example_header(), &mut buf);
    assert!(push_view(&mut frame, message), "{message:?}");
    let len = frame.finish();
    buf[FRAME_HEADER_LEN..len].to_vec()
}

/// Appends a message about a view, piece by piece if it has pieces; `false` if not all of it fits.
fn push_view(frame: &mut FrameWriter<'_>, message: &ViewMessage<'_>) -> bool {
    let mut push_page = |kind, page: &MapPage<'_>| {
        let slots = page.runs.map(|run| run.len).sum();
        frame.push_page(kind, page.first, page.room, page.runs, FRAME_MAX) == Some(slots)
    };
    match message {
        ViewMessage::MapReport(page) => push_page(PageKind::Report, page),
        ViewMessage::MapInstall(page) => push_page(PageKind::Install, page),
        ViewMessage::Report(report) => {
            let Some(mut writer) = frame.begin_report(&report.head) else { return false };
            if !report.units.into_iter().all(|unit| writer.push(&unit)) {
                return false;
            }
            writer.finish(report.end, report.is_last);
            true
        }
        ViewMessage::Wanted(units) => {
            let mut units = *units;
            units.next().is_some_and(|unit| frame.push_wanted(&unit))
        }
        ViewMessage::Told(told) => {
            let mut units = told.units;
            frame.push_told(told.question, told.number, units.next().as_ref())
        }
        ViewMessage::Here { .. }
        | ViewMessage::MapReported(_)
        | ViewMessage::MapInstalled(_)
        | ViewMessage::Reported(_)
        | ViewMessage::Ask(_)
        | ViewMessage::Parting(_)
        | ViewMessage::Parted(_) => frame.push_view(message),
    }
}

/// What a chunk is made of.
#[derive(Clone, Debug, PartialEq)]
struct ChunkParts<'a> {
    range: SlotRange,
    version: MapVersion,
    head: ChunkHead,
    floors: &'a [(NodeId, Number)],
    units: &'a [Unit<'a>],
    sent: u64,
    is_last: bool,
}

impl ChunkParts<'_> {
    fn begin<'f, 'b>(&self, frame: &'f mut FrameWriter<'b>) -> Option<ChunkWriter<'f, 'b>> {
        frame.begin_chunk(self.range, self.version, &self.head, self.floors.iter().copied())
    }

    /// Appends the whole chunk; `false` if it does not fit.
    fn push_to(&self, frame: &mut FrameWriter<'_>) -> bool {
        let Some(mut chunk) = self.begin(frame) else { return false };
        if !self.units.iter().all(|unit| chunk.push(unit)) {
            return false;
        }
        chunk.finish(self.sent, self.is_last);
        true
    }

    fn encoded(&self) -> Vec<u8> {
        let mut buf = std::vec![0; FRAME_MAX];
        let mut frame = FrameWriter::new(example_header(), &mut buf);
        assert!(self.push_to(&mut frame));
        let len = frame.finish();
        buf[FRAME_HEADER_LEN..len].to_vec()
    }

    /// Is this what the message says?
    fn is_said_by(&self, message: &Message<'_>) -> bool {
        let Message::Transfer(TransferMessage { range, version, body: TransferBody::InitialLocks(chunk) }) =
            message
        else {
            return false;
        };
        let floors: Vec<_> = chunk.floors.collect();
        let units: Vec<_> = chunk.units.collect();
        let said = ChunkParts {
            range: *range,
            version: *version,
            head: chunk.head,
            floors: &floors,
            units: &units,
            sent: chunk.sent,
            is_last: chunk.is_last,
        };
        *self == said
    }
}

/// The message that these bytes are, all of them.
fn decoded(bytes: &[u8]) -> Message<'_> {
    let (message, len) = decode_message(bytes).unwrap();
    assert_eq!(len, bytes.len());
    message.unwrap()
}

/// What was read is a message like any other, whatever it was meant to be: it can be written, and read as the same.
fn check_again(message: &Message<'_>) {
    let bytes = encoded_anew(message);
    let again = decoded(&bytes);
    if let (Message::Transfer(one), Message::Transfer(other)) = (message, &again)
        && let (TransferBody::InitialLocks(chunk), TransferBody::InitialLocks(same)) =
            (&one.body, &other.body)
    {
        assert_eq!((one.range, one.version, chunk.head), (other.range, other.version, same.head));
        assert_eq!((chunk.sent, chunk.is_last), (same.sent, same.is_last));
        assert!(chunk.floors.eq(same.floors) && chunk.units.eq(same.units), "{message:?}, {again:?}");
        let records = chunk.units.filter_map(|unit| match unit {
            Unit::Record(record) => Some((record.space, record.name)),
            Unit::Lock(_) => None,
        });
        assert!(chunk.units.records().eq(records), "{message:?}: locks are passed over as they are read");
        return;
    }
    if let (Message::View(message), Message::View(again)) = (message, &again) {
        return check_same_view(message, again);
    }
    assert_eq!(*message, again);
}

/// Two messages about a view say the same; units are compared as they are read.
fn check_same_view(message: &ViewMessage<'_>, again: &ViewMessage<'_>) {
    match (message, again) {
        (ViewMessage::Report(one), ViewMessage::Report(other)) => {
            assert_eq!((one.head, one.end, one.is_last), (other.head, other.end, other.is_last));
            assert!(one.units.eq(other.units), "{message:?}, {again:?}");
        }
        (ViewMessage::Wanted(one), ViewMessage::Wanted(other)) => {
            assert_eq!(one.count(), 1, "{message:?}");
            assert!((*one).eq(*other), "{message:?}, {again:?}");
        }
        (ViewMessage::Told(one), ViewMessage::Told(other)) => {
            assert!(one.units.count() <= 1, "{message:?}");
            assert_eq!((one.question, one.number), (other.question, other.number));
            assert!(one.units.eq(other.units), "{message:?}, {again:?}");
        }
        _ => assert_eq!(message, again),
    }
}

/// Decodes a message. What a frame is looked through for says the same of it.
fn decoded_as_checked(bytes: &[u8]) -> Result<(Option<Message<'_>>, usize), DecodeError> {
    let decoded = decode_message(bytes);
    let expected = decoded.as_ref().map(|(message, len)| (message.is_some(), *len)).map_err(|error| *error);
    assert_eq!(check::check_message(bytes), expected, "{bytes:?}");
    decoded
}

/// Every byte of a message in turn, wrong in every way.
fn check_each_byte_wrong(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        for wrong in 1..=u8::MAX {
            bytes[at] ^= wrong;
            if let Ok((Some(message), len)) = decoded_as_checked(&bytes) {
                assert!(len <= bytes.len());
                check_again(&message);
            }
            bytes[at] ^= wrong;
        }
    }
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
