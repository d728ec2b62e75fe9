//! What was read, written again.

use lockmaster_core::wire::{
    FRAME_HEADER_LEN, FRAME_MAX, FrameHeader, FrameWriter, InitialLocks, LockMessage, MapPage, Message,
    PageKind, Report, TransferBody, TransferMessage, VersionRange, ViewMessage, encode_message,
    encode_transfer,
};
use lockmaster_core::{ClusterId, Epoch, Incarnation, MapVersion, NodeId, SlotRange};

use crate::words::Chunk;

/// A header like any other.
pub(crate) const HEADER: FrameHeader = FrameHeader {
    versions: VersionRange::OURS,
    cluster: ClusterId(7),
    epoch: Epoch(1),
    from: NodeId(3),
    incarnation: Incarnation(103),
    len: 0,
};

/// A message in at most so many bytes; nothing if it does not fit.
pub(crate) fn written(message: &Message<'_>, room: usize) -> Option<Vec<u8>> {
    match message {
        Message::Lock(message) => written_lock(message, room),
        Message::Transfer(message) => {
            if let TransferBody::InitialLocks(chunk) = &message.body {
                return written_chunk(message.range, message.version, chunk, room);
            }
            written_transfer(message, room)
        }
        Message::View(message) => written_view(message, room),
    }
}

fn written_lock(message: &LockMessage<'_>, room: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; room];
    let len = encode_message(message, &mut bytes)?;
    bytes.truncate(len);
    Some(bytes)
}

fn written_transfer(message: &TransferMessage<'_>, room: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; room];
    let len = encode_transfer(message, &mut bytes)?;
    bytes.truncate(len);
    Some(bytes)
}

fn written_chunk(
    range: SlotRange,
    version: MapVersion,
    chunk: &InitialLocks<'_>,
    room: usize,
) -> Option<Vec<u8>> {
    let mut bytes = vec![0; FRAME_HEADER_LEN + room];
    let mut frame = FrameWriter::new(HEADER, &mut bytes);
    let mut writer = frame.begin_chunk(range, version, &chunk.head, chunk.floors)?;
    for unit in chunk.units {
        if !writer.push(&unit) {
            return None;
        }
    }
    writer.finish(chunk.sent, chunk.is_last);
    let len = frame.finish();
    bytes.truncate(len);
    Some(bytes.split_off(FRAME_HEADER_LEN))
}

fn written_view(message: &ViewMessage<'_>, room: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; FRAME_HEADER_LEN + room];
    let mut frame = FrameWriter::new(HEADER, &mut bytes);
    if !push_view(&mut frame, message) {
        return None;
    }
    let len = frame.finish();
    bytes.truncate(len);
    Some(bytes.split_off(FRAME_HEADER_LEN))
}

/// Appends a message about a view to a frame, whole; `false` if it does not fit, the frame may then have a part of it.
pub(crate) fn push_view(frame: &mut FrameWriter<'_>, message: &ViewMessage<'_>) -> bool {
    match message {
        ViewMessage::MapReport(page) => push_page(frame, PageKind::Report, page),
        ViewMessage::MapInstall(page) => push_page(frame, PageKind::Install, page),
        ViewMessage::Report(report) => push_report(frame, report),
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

fn push_page(frame: &mut FrameWriter<'_>, kind: PageKind, page: &MapPage<'_>) -> bool {
    let slots = page.runs.map(|run| run.len).sum();
    frame.push_page(kind, page.first, page.room, page.runs, FRAME_MAX) == Some(slots)
}

fn push_report(frame: &mut FrameWriter<'_>, report: &Report<'_>) -> bool {
    let Some(mut writer) = frame.begin_report(&report.head) else { return false };
    for unit in report.units {
        if !writer.push(&unit) {
            return false;
        }
    }
    writer.finish(report.end, report.is_last);
    true
}

/// Appends a chunk to a frame; `false` if it does not fit, the frame is then as it was.
pub(crate) fn push_chunk(frame: &mut FrameWriter<'_>, chunk: &Chunk) -> bool {
    let floors = chunk.floors.iter().copied();
    let Some(mut writer) = frame.begin_chunk(chunk.range, chunk.version, &chunk.head, floors) else {
        return false;
    };
    if !chunk.units.iter().all(|unit| writer.push(&unit.unit())) {
        return false;
    }
    writer.finish(chunk.sent, chunk.is_last);
    true
}
