//! Frames: a header that says who speaks, then a hello or messages. `docs/wire.md`, "Frames".

use super::bytes::{Reader, Short};
use super::check::check_message;
use super::codec::{decode_all_but_units, encode_message};
use super::message::{LockMessage, Message};
use super::transfer::{ChunkHead, TransferMessage, encode_chunk_head, encode_transfer, finish_chunk};
use super::units::{LOCK_MAX, RECORD_MAX, Unit, encode_unit};
use super::view::{
    MapRun, PageKind, ReportHead, ReportUnit, ViewMessage, encode_page, encode_report_head,
    encode_report_unit, encode_told, encode_view, encode_wanted, finish_report,
};
use crate::error::Dropped;
use crate::id::{ClusterId, Epoch, Incarnation, MapVersion, NodeId, Number, SlotId, SlotRange};
use crate::transfer::Room;

/// Version of the format that this code writes.
pub const VERSION: u8 = 1;

/// Bytes of a frame before its first message.
pub const FRAME_HEADER_LEN: usize = 36;

/// Most bytes of a frame, its header included.
pub const FRAME_MAX: usize = 65_536;

const MAGIC: [u8; 4] = *b"LKMR";
/// Bytes of a header up to and including the length.
const LEN_END: usize = 12;
/// Bytes of a hello that this version knows.
const HELLO_LEN: usize = FRAME_HEADER_LEN + 8 + 4;

/// Versions of the format that a node can read, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The oldest.
    pub lowest: u8,
    /// The newest.
    pub highest: u8,
}

impl VersionRange {
    /// What this code can read.
    pub const OURS: Self = Self { lowest: VERSION, highest: VERSION };

    /// The newest version that both sides can read: the one to speak.
    #[must_use]
    pub const fn common(self, other: Self) -> Option<u8> {
        let lowest = if self.lowest > other.lowest { self.lowest } else { other.lowest };
        let highest = if self.highest < other.highest { self.highest } else { other.highest };
        if lowest <= highest { Some(highest) } else { None }
    }
}

/// What follows the header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A [`Hello`], first on every connection.
    Hello,
    /// Messages, to be read with [`Messages`].
    Messages,
}

impl FrameKind {
    /// Which reader a frame is for.
    ///
    /// # Errors
    /// [`Dropped::Malformed`] if it is no whole frame of a known kind.
    pub fn of(frame: &[u8]) -> Result<Self, Dropped> {
        FrameHeader::decode(frame).map(|(kind, _)| kind)
    }

    const fn to_u8(self) -> u8 {
        match self {
            Self::Hello => 0,
            Self::Messages => 1,
        }
    }

    const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Hello),
            1 => Some(Self::Messages),
            _ => None,
        }
    }
}

/// Who speaks, in which view, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Versions that the sender can read.
    pub versions: VersionRange,
    /// Cluster of the sender.
    pub cluster: ClusterId,
    /// View of the sender.
    pub epoch: Epoch,
    /// The sender.
    pub from: NodeId,
    /// Life of the sender.
    pub incarnation: Incarnation,
    /// Bytes of the frame, this header included; writers fill it in themselves.
    pub len: u32,
}

impl FrameHeader {
    fn encode(self, kind: FrameKind) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.versions.lowest;
        bytes[5] = self.versions.highest;
        bytes[6] = kind.to_u8();
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.cluster.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.incarnation.0.to_le_bytes());
        bytes[32..34].copy_from_slice(&self.from.0.to_le_bytes());
        bytes
    }

    /// The header of a whole frame.
    fn decode(frame: &[u8]) -> Result<(FrameKind, Self), Dropped> {
        if Frames::next_len(frame)? != Some(frame.len()) {
            return Err(Dropped::Malformed);
        }
        let mut reader = Reader::new(frame);
        let [_, _, _, _, lowest, highest, kind, _reserved] = reader.array()?;
        let header = Self {
            versions: VersionRange { lowest, highest },
            len: reader.u32()?,
            epoch: Epoch(reader.u32()?),
            cluster: ClusterId(reader.u64()?),
            incarnation: Incarnation(reader.u64()?),
            from: NodeId(reader.u16()?),
        };
        let kind = FrameKind::from_u8(kind).ok_or(Dropped::Malformed)?;
        if lowest > highest {
            return Err(Dropped::Malformed);
        }
        Ok((kind, header))
    }
}

/// First frame on every connection: who is there, and is it one of us?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Cluster of the sender.
    pub cluster: ClusterId,
    /// The sender.
    pub node: NodeId,
    /// Life of the sender.
    pub incarnation: Incarnation,
    /// Versions that the sender can read.
    pub versions: VersionRange,
    /// View of the sender.
    pub epoch: Epoch,
    /// Digest of what must be configured alike: hash, seed, slots and spaces.
    pub digest: u64,
    /// Bytes of the largest frame that the sender takes, the header included.
    pub frame_max: u32,
}

impl Hello {
    /// Writes the whole frame to the front of `buf` and gives its length; `None` if it does not fit.
    #[must_use]
    pub fn encode(&self, buf: &mut [u8]) -> Option<usize> {
        let header = FrameHeader {
            versions: self.versions,
            cluster: self.cluster,
            epoch: self.epoch,
            from: self.node,
            incarnation: self.incarnation,
            len: u32::try_from(HELLO_LEN).ok()?,
        };
        let frame = buf.get_mut(..HELLO_LEN)?;
        frame[..FRAME_HEADER_LEN].copy_from_slice(&header.encode(FrameKind::Hello));
        frame[FRAME_HEADER_LEN..FRAME_HEADER_LEN + 8].copy_from_slice(&self.digest.to_le_bytes());
        frame[FRAME_HEADER_LEN + 8..].copy_from_slice(&self.frame_max.to_le_bytes());
        Some(HELLO_LEN)
    }

    /// Reads a whole frame; what a newer version appended is passed over.
    ///
    /// The versions are given, not judged: a hello is the same in all of them.
    ///
    /// # Errors
    /// [`Dropped::Malformed`] if it is no whole hello.
    pub fn decode(frame: &[u8]) -> Result<Self, Dropped> {
        let (kind, header) = FrameHeader::decode(frame)?;
        match kind {
            FrameKind::Hello => {}
            FrameKind::Messages => return Err(Dropped::Malformed),
        }
        let mut reader = Reader::new(&frame[FRAME_HEADER_LEN..]);
        Ok(Self {
            cluster: header.cluster,
            node: header.from,
            incarnation: header.incarnation,
            versions: header.versions,
            epoch: header.epoch,
            digest: reader.u64()?,
            frame_max: reader.u32()?,
        })
    }
}

/// Splits a stream of bytes into frames.
#[derive(Clone, Copy, Debug)]
pub enum Frames {}

impl Frames {
    /// Length of the frame at the front of what a stream has given so far; `None` until all of it is there.
    ///
    /// # Errors
    /// [`Dropped::Malformed`] as soon as it can be no frame: close the stream, nothing after it can be
    /// trusted.
    pub fn next_len(buffered: &[u8]) -> Result<Option<usize>, Dropped> {
        if buffered.iter().zip(&MAGIC).any(|(given, expected)| given != expected) {
            return Err(Dropped::Malformed);
        }
        let Some(start) = buffered.first_chunk::<LEN_END>() else { return Ok(None) };
        let [.., a, b, c, d] = *start;
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| Dropped::Malformed)?;
        if !(FRAME_HEADER_LEN..=FRAME_MAX).contains(&len) {
            return Err(Dropped::Malformed);
        }
        Ok((buffered.len() >= len).then_some(len))
    }
}

/// Builds one frame of messages in a buffer.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    header: FrameHeader,
    buf: &'a mut [u8],
    /// Bytes taken, the header's place included.
    used: usize,
}

impl<'a> FrameWriter<'a> {
    /// A frame without messages; of `buf` at most [`FRAME_MAX`] bytes are used.
    ///
    /// Give no more of a buffer than the peer's hello allows. The length in `header` is ignored.
    #[must_use]
    pub fn new(header: FrameHeader, buf: &'a mut [u8]) -> Self {
        let room = buf.len().min(FRAME_MAX);
        Self { header, buf: &mut buf[..room], used: FRAME_HEADER_LEN }
    }

    /// Appends a message; `false` if it does not fit, the frame is then as it was.
    ///
    /// A frame of [`FRAME_HEADER_LEN`] + [`MESSAGE_MAX`](super::MESSAGE_MAX) bytes has room for any one
    /// message.
    #[must_use]
    pub fn push(&mut self, message: &LockMessage<'_>) -> bool {
        let Some(rest) = self.buf.get_mut(self.used..) else { return false };
        let Some(len) = encode_message(message, rest) else { return false };
        self.used += len;
        true
    }

    /// Appends a message about a transfer that is no chunk; `false` if it does not fit, the frame is then as it was.
    #[must_use]
    pub fn push_transfer(&mut self, message: &TransferMessage<'_>) -> bool {
        let Some(rest) = self.buf.get_mut(self.used..) else { return false };
        let Some(len) = encode_transfer(message, rest) else { return false };
        self.used += len;
        true
    }

    /// Appends a message that was written before; `false` if it does not fit, the frame is then as it was.
    #[must_use]
    pub(crate) fn push_written(&mut self, message: &[u8]) -> bool {
        let Some(place) = self.buf.get_mut(self.used..self.used + message.len()) else { return false };
        place.copy_from_slice(message);
        self.used += message.len();
        true
    }

    /// Begins a chunk; nothing if it does not fit, or if no reader would take it: its slot is not in the range, or
    /// there are more than 64 floors.
    #[must_use]
    pub fn begin_chunk(
        &mut self,
        range: SlotRange,
        version: MapVersion,
        head: &ChunkHead,
        floors: impl Iterator<Item = (NodeId, Number)>,
    ) -> Option<ChunkWriter<'_, 'a>> {
        let rest = self.buf.get_mut(self.used..)?;
        let len = encode_chunk_head(range, version, head, floors, rest)?;
        let units_at = self.used + len;
        Some(ChunkWriter { frame: self, units_at, end: units_at })
    }

    /// Appends a message about a view that is no page of a map and has no units; `false` if it does not fit, the frame is
    /// then as it was.
    #[must_use]
    pub fn push_view(&mut self, message: &ViewMessage<'_>) -> bool {
        let Some(rest) = self.buf.get_mut(self.used..) else { return false };
        let Some(len) = encode_view(message, rest) else { return false };
        self.used += len;
        true
    }

    /// Appends a page of a map of at most so many bytes, with as many runs as fit, and gives the number of its slots;
    /// `None` if not one run fits, the frame is then as it was.
    pub fn push_page(
        &mut self,
        kind: PageKind,
        first: SlotId,
        room: Room,
        runs: impl Iterator<Item = MapRun>,
        most: usize,
    ) -> Option<u32> {
        let rest = self.buf.get_mut(self.used..)?;
        let most = most.min(rest.len());
        let (len, slots) = encode_page(kind, first, room, runs, &mut rest[..most])?;
        self.used += len;
        Some(slots)
    }

    /// Appends what a member holds of a resource that it waits for; `false` if it does not fit, the frame is then as it was.
    #[must_use]
    pub fn push_wanted(&mut self, unit: &ReportUnit<'_>) -> bool {
        let Some(rest) = self.buf.get_mut(self.used..) else { return false };
        let Some(len) = encode_wanted(unit, rest) else { return false };
        self.used += len;
        true
    }

    /// Appends the answer to a question; `false` if it does not fit, the frame is then as it was.
    #[must_use]
    pub fn push_told(&mut self, question: u32, number: Number, unit: Option<&ReportUnit<'_>>) -> bool {
        let Some(rest) = self.buf.get_mut(self.used..) else { return false };
        let Some(len) = encode_told(question, number, unit, rest) else { return false };
        self.used += len;
        true
    }

    /// Begins a part of a report; nothing if it does not fit.
    #[must_use]
    pub fn begin_report(&mut self, head: &ReportHead) -> Option<ReportWriter<'_, 'a>> {
        let rest = self.buf.get_mut(self.used..)?;
        let end = self.used + encode_report_head(head, rest)?;
        Some(ReportWriter { frame: self, end })
    }

    /// Has nothing been appended?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == FRAME_HEADER_LEN
    }

    /// Completes the header and gives the length of the frame; 0 if there is nothing to send.
    #[must_use]
    pub fn finish(mut self) -> usize {
        if self.is_empty() {
            return 0;
        }
        assert!(self.used <= self.buf.len(), "what was appended lies in the buffer");
        self.header.len = u32::try_from(self.used).expect("a frame is at most 64 KiB");
        self.buf[..FRAME_HEADER_LEN].copy_from_slice(&self.header.encode(FrameKind::Messages));
        self.used
    }
}

/// Builds one chunk in a frame. One that is dropped unfinished leaves the frame as it was.
#[derive(Debug)]
pub struct ChunkWriter<'f, 'a> {
    frame: &'f mut FrameWriter<'a>,
    units_at: usize,
    end: usize,
}

impl ChunkWriter<'_, '_> {
    /// Appends a unit; `false` if it does not fit, or if no reader would take it: a name of no or too many bytes, a
    /// lock that contradicts itself. The chunk is then as it was.
    ///
    /// In a frame of its own of [`FRAME_LEAST`](super::FRAME_LEAST) bytes a chunk has room for any one unit.
    #[must_use]
    #[inline]
    pub fn push(&mut self, unit: &Unit<'_>) -> bool {
        let Some(rest) = self.frame.buf.get_mut(self.end..) else { return false };
        let Some(len) = encode_unit(unit, rest) else { return false };
        self.end += len;
        true
    }

    /// Has an eighth of a frame room for a record with this many locks, however long it is?
    pub(crate) const fn has_room_for_record(&self, locks: u8) -> bool {
        RECORD_MAX + locks as usize * LOCK_MAX <= self.frame.buf.len() / 8
    }

    /// Where the chunk ends now.
    pub(crate) const fn mark(&self) -> usize {
        self.end
    }

    /// Takes back what was appended since it ended there.
    pub(crate) const fn back_to(&mut self, mark: usize) {
        self.end = mark;
    }

    /// Bytes of the chunk so far, what comes before its units included.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.end - self.frame.used
    }

    /// Has no unit been appended?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end == self.units_at
    }

    /// Completes the chunk: bytes sent including it, and whether its slot ends with it.
    pub fn finish(self, sent: u64, is_last: bool) {
        finish_chunk(&mut self.frame.buf[self.frame.used..self.end], sent, is_last);
        self.frame.used = self.end;
    }
}

/// Builds one part of a report in a frame. One that is dropped unfinished leaves the frame as it was.
#[derive(Debug)]
pub struct ReportWriter<'f, 'a> {
    frame: &'f mut FrameWriter<'a>,
    end: usize,
}

impl ReportWriter<'_, '_> {
    /// Appends a unit; `false` if it does not fit, or has a name of no or too many bytes. The report is then as it was.
    #[must_use]
    pub fn push(&mut self, unit: &ReportUnit<'_>) -> bool {
        let Some(rest) = self.frame.buf.get_mut(self.end..) else { return false };
        let Some(len) = encode_report_unit(unit, rest) else { return false };
        self.end += len;
        true
    }

    /// Bytes of the report so far.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.end - self.frame.used
    }

    /// Completes the report: steps of the sequence after it, and whether its slot ends with it.
    pub fn finish(self, end: u64, is_last: bool) {
        finish_report(&mut self.frame.buf[self.frame.used..self.end], end, is_last);
        self.frame.used = self.end;
    }
}

/// The messages of one frame, in the order in which they were appended.
///
/// All of them are checked before the first is given, so a malformed frame has no effect at all.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    skipped: u32,
}

impl<'a> Messages<'a> {
    /// Checks a whole frame and gives its header and its messages.
    ///
    /// Whether cluster, view and sender of the header are right is for the caller to judge.
    ///
    /// # Errors
    /// [`Dropped::Version`] if it is of no version that this code reads, [`Dropped::Malformed`] if it is no
    /// whole frame of messages.
    pub fn new(frame: &'a [u8]) -> Result<(FrameHeader, Self), Dropped> {
        let (kind, header) = FrameHeader::decode(frame)?;
        if header.versions.common(VersionRange::OURS).is_none() {
            return Err(Dropped::Version);
        }
        match kind {
            FrameKind::Messages => {}
            FrameKind::Hello => return Err(Dropped::Malformed),
        }
        let messages = &frame[FRAME_HEADER_LEN..];
        let mut rest = messages;
        let mut skipped = 0;
        while !rest.is_empty() {
            let (is_known, len) = check_message(rest).map_err(|_| Dropped::Malformed)?;
            skipped += u32::from(!is_known);
            rest = rest.get(len..).ok_or(Dropped::Malformed)?;
        }
        Ok((header, Self { rest: messages, skipped }))
    }

    /// Messages of the frame whose kind is of a newer version; they are passed over.
    #[must_use]
    pub const fn skipped(&self) -> u32 {
        self.skipped
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        // The whole frame was checked, so an error here means its end.
        while let Ok((message, len)) = decode_all_but_units(self.rest) {
            self.rest = self.rest.get(len..)?;
            if message.is_some() {
                return message;
            }
        }
        None
    }
}

impl From<Short> for Dropped {
    fn from(Short: Short) -> Self {
        Self::Malformed
    }
}
