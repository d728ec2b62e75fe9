//! The messages of a transfer, as values and as bytes: `docs/wire.md`, "Transfers".

use super::bytes::{Reader, Short, Writer};
use super::codec::{DecodeError, HEADER_LEN, bit, message_header};
use super::units::{Unit, Units};
use crate::error::Full;
use crate::id::{DemandId, Epoch, MEMBERS_MAX, MapVersion, NodeId, Number, SlotId, SlotRange};
use crate::transfer::{Refusal, Room};

/// Most bytes of a chunk before its units.
pub(super) const CHUNK_HEAD_MAX: usize = HEADER_LEN + KEY_LEN + CHUNK_FIXED_LEN + MEMBERS_MAX * FLOOR_LEN;

/// Range and version.
const KEY_LEN: usize = 4 + 4 + 4 + 8;
/// Slot, position, sent, bits, demand, grants, arrivals, count of floors.
const CHUNK_FIXED_LEN: usize = 4 + 8 + 8 + 1 + 4 + 8 + 8 + 1;
/// Offset of the bits of a chunk in its message.
const CHUNK_BITS_AT: usize = HEADER_LEN + KEY_LEN + 4 + 8 + 8;
/// Offset of the count of bytes sent.
const CHUNK_SENT_AT: usize = HEADER_LEN + KEY_LEN + 4 + 8;
/// Node and number.
const FLOOR_LEN: usize = 2 + 8;
/// Bit of a chunk that ends its slot.
const LAST: u8 = 1;
/// Bit of an acknowledgement by a node that has other work.
const BUSY: u8 = 1;

/// First byte of an answer to an offer; the numbers after these are those of a refusal.
mod answer {
    pub(super) const NOTED: u8 = 0;
    pub(super) const ACCEPTED: u8 = 1;
}

/// One message about a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferMessage<'a> {
    /// The slots that move.
    pub range: SlotRange,
    /// Version of the map that the transfer makes. Range and version name the transfer.
    pub version: MapVersion,
    /// What is said of it.
    pub body: TransferBody<'a>,
}

/// What a message about a transfer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferBody<'a> {
    /// Old master to every other member: the slots shall go to this node, which needs room.
    Offer {
        /// The new master.
        to: NodeId,
        /// What the slots take now.
        need: Room,
        /// What the new master shall have room for, if it can.
        room: Room,
    },
    /// Any member to the old master: what became of its offer.
    OfferAnswer(OfferAnswer),
    /// Old master to new master: a part of a slot's locks (seed claims 2 and 4: initial lock information).
    InitialLocks(InitialLocks<'a>),
    /// New master to old master: everything before this is here.
    Received {
        /// Units that are here.
        position: u64,
        /// What the last chunk that was heard said of the bytes sent.
        sent: u64,
        /// The new master has other work, too: the transfer gives way to it.
        is_busy: bool,
    },
    /// New master to every other member but the old one (seed claims 4 and 5: broadcast message).
    NewMaster {
        /// The old master, which is to be told.
        old: NodeId,
    },
    /// Every such member to the old master (seed claims 2 and 5: acknowledgement).
    NewMasterAck,
    /// Old master to new master: the last of the updated lock information; the transfer interval ends (claim 3).
    End,
    /// New master to old master: the interval has ended here.
    EndAck,
    /// Old master to every other member: the offer is taken back, or was refused.
    Withdraw,
    /// Every other member to the old master: it hears no new master, and keeps no room any more.
    WithdrawAck,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferAnswer {
    /// The member will hear the new master.
    Noted,
    /// The new master has made this room.
    Accepted(Room),
    /// It does not take the slots.
    Refused(Refusal),
}

/// A chunk: some units of one slot, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitialLocks<'a> {
    /// What is known before the first unit is written.
    pub head: ChunkHead,
    /// Bytes of chunks that were sent, this one included.
    pub sent: u64,
    /// The slot ends with this chunk.
    pub is_last: bool,
    /// Floors of the slot.
    pub floors: Floors<'a>,
    /// The units.
    pub units: Units<'a>,
}

impl InitialLocks<'_> {
    /// Bytes of the message.
    #[must_use]
    pub const fn message_len(&self) -> usize {
        HEADER_LEN + KEY_LEN + CHUNK_FIXED_LEN + self.floors.0.len() + self.units.len()
    }
}

/// What a chunk says of its slot and of its place in the transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHead {
    /// The slot.
    pub slot: SlotId,
    /// Units of the transfer before the first one of this chunk. The end of a slot counts as a unit.
    pub position: u64,
    /// Last demand of the old master: the new one names its own beyond it.
    pub demand: DemandId,
    /// Grants of the slot.
    pub grants: u64,
    /// Arrivals of the slot.
    pub arrivals: u64,
}

/// Floors of a slot: at most 64 members with the number up to which their records were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors<'a>(&'a [u8]);

impl Iterator for Floors<'_> {
    type Item = (NodeId, Number);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.0);
        let floor = (NodeId(reader.u16().ok()?), Number(reader.u64().ok()?));
        self.0 = self.0.get(FLOOR_LEN..)?;
        Some(floor)
    }
}

// ---- to bytes ----

/// Writes a message to the front of `buf` and gives its length in bytes.
///
/// `None` if it does not fit, or if its range is of no slots or ends beyond the last number of a slot; `buf` may then
/// hold a part of it.
///
/// Chunks are written by [`FrameWriter::begin_chunk`](super::FrameWriter::begin_chunk), piece by piece; one that is
/// given here is not written.
#[must_use]
pub fn encode_transfer(message: &TransferMessage<'_>, buf: &mut [u8]) -> Option<usize> {
    let (header, rest) = buf.split_first_chunk_mut::<HEADER_LEN>()?;
    let room = rest.len();
    let mut writer = Writer::new(rest);
    encode_key(message.range, message.version, &mut writer).ok()?;
    match &message.body {
        TransferBody::Offer { to, need, room } => {
            writer.u16(to.0).ok()?;
            encode_room(*need, &mut writer).ok()?;
            encode_room(*room, &mut writer).ok()?;
        }
        TransferBody::OfferAnswer(answer) => encode_answer(*answer, &mut writer).ok()?,
        TransferBody::InitialLocks(_) => return None,
        TransferBody::Received { position, sent, is_busy } => {
            writer.u64(*position).ok()?;
            writer.u64(*sent).ok()?;
            writer.u8(bit(*is_busy, BUSY)).ok()?;
        }
        TransferBody::NewMaster { old } => writer.u16(old.0).ok()?,
        TransferBody::NewMasterAck
        | TransferBody::End
        | TransferBody::EndAck
        | TransferBody::Withdraw
        | TransferBody::WithdrawAck => {}
    }
    let len = room - writer.room();
    *header = message_header(TransferKind::of(&message.body).to_u8(), len).ok()?;
    Some(HEADER_LEN + len)
}

/// What the first byte of a message about a transfer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferKind {
    Offer,
    OfferAnswer,
    InitialLocks,
    Received,
    NewMaster,
    NewMasterAck,
    End,
    EndAck,
    Withdraw,
    WithdrawAck,
}

impl TransferKind {
    const fn of(body: &TransferBody<'_>) -> Self {
        match body {
            TransferBody::Offer { .. } => Self::Offer,
            TransferBody::OfferAnswer(_) => Self::OfferAnswer,
            TransferBody::InitialLocks(_) => Self::InitialLocks,
            TransferBody::Received { .. } => Self::Received,
            TransferBody::NewMaster { .. } => Self::NewMaster,
            TransferBody::NewMasterAck => Self::NewMasterAck,
            TransferBody::End => Self::End,
            TransferBody::EndAck => Self::EndAck,
            TransferBody::Withdraw => Self::Withdraw,
            TransferBody::WithdrawAck => Self::WithdrawAck,
        }
    }

    const fn to_u8(self) -> u8 {
        match self {
            Self::Offer => 11,
            Self::OfferAnswer => 12,
            Self::InitialLocks => 13,
            Self::Received => 14,
            Self::NewMaster => 15,
            Self::NewMasterAck => 16,
            Self::End => 17,
            Self::EndAck => 18,
            Self::Withdraw => 19,
            Self::WithdrawAck => 20,
        }
    }

    pub(super) const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            11 => Self::Offer,
            12 => Self::OfferAnswer,
            13 => Self::InitialLocks,
            14 => Self::Received,
            15 => Self::NewMaster,
            16 => Self::NewMasterAck,
            17 => Self::End,
            18 => Self::EndAck,
            19 => Self::Withdraw,
            20 => Self::WithdrawAck,
            _ => return None,
        })
    }
}

/// Has a range slots, and a number for each of them?
const fn is_range(range: SlotRange) -> bool {
    range.len > 0 && range.end() - 1 <= u32::MAX as u64
}

fn encode_key(range: SlotRange, version: MapVersion, writer: &mut Writer<'_>) -> Result<(), Short> {
    if !is_range(range) {
        return Err(Short);
    }
    writer.u32(range.first.0)?;
    writer.u32(range.len)?;
    writer.u32(version.epoch.0)?;
    writer.u64(version.count)
}

pub(super) fn encode_room(room: Room, writer: &mut Writer<'_>) -> Result<(), Short> {
    writer.u32(room.resources)?;
    writer.u32(room.physical)?;
    writer.u32(room.names)?;
    writer.u32(room.values)
}

fn encode_answer(answer: OfferAnswer, writer: &mut Writer<'_>) -> Result<(), Short> {
    match answer {
        OfferAnswer::Noted => writer.u8(answer::NOTED),
        OfferAnswer::Accepted(room) => {
            writer.u8(answer::ACCEPTED)?;
            encode_room(room, writer)
        }
        OfferAnswer::Refused(refusal) => writer.u8(refusal_to_u8(refusal)),
    }
}

/// Writes what comes before the units of a chunk and gives its length. Whether it is the last of its slot, and what
/// was sent, is for [`finish_chunk`].
pub(super) fn encode_chunk_head(
    range: SlotRange,
    version: MapVersion,
    head: &ChunkHead,
    floors: impl Iterator<Item = (NodeId, Number)>,
    buf: &mut [u8],
) -> Option<usize> {
    if !range.contains(head.slot) {
        return None;
    }
    let room = buf.len();
    let mut writer = Writer::new(buf);
    writer.bytes(&[0; HEADER_LEN]).ok()?;
    encode_key(range, version, &mut writer).ok()?;
    writer.u32(head.slot.0).ok()?;
    writer.u64(head.position).ok()?;
    writer.u64(0).ok()?;
    writer.u8(0).ok()?;
    writer.u32(head.demand.0).ok()?;
    writer.u64(head.grants).ok()?;
    writer.u64(head.arrivals).ok()?;
    let count_at = room - writer.room();
    writer.u8(0).ok()?;
    let mut count = 0;
    for (node, number) in floors {
        if count == MEMBERS_MAX {
            return None;
        }
        writer.u16(node.0).ok()?;
        writer.u64(number.0).ok()?;
        count += 1;
    }
    let len = room - writer.room();
    buf[count_at] = u8::try_from(count).ok()?;
    Some(len)
}

/// Completes a chunk of this length.
pub(super) fn finish_chunk(bytes: &mut [u8], sent: u64, is_last: bool) {
    let header = message_header(TransferKind::InitialLocks.to_u8(), bytes.len() - HEADER_LEN);
    bytes[..HEADER_LEN].copy_from_slice(&header.expect("a chunk fits a frame"));
    bytes[CHUNK_SENT_AT..CHUNK_SENT_AT + 8].copy_from_slice(&sent.to_le_bytes());
    bytes[CHUNK_BITS_AT] = if is_last { LAST } else { 0 };
}

// ---- from bytes ----

/// Reads the body of a message about a transfer, but not the units of a chunk: they are for [`check_chunk`].
pub(super) fn decode_transfer(kind: TransferKind, bytes: &[u8]) -> Result<TransferMessage<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let range = SlotRange { first: SlotId(reader.u32()?), len: reader.u32()? };
    if !is_range(range) {
        return Err(DecodeError::Malformed);
    }
    let version = MapVersion { epoch: Epoch(reader.u32()?), count: reader.u64()? };
    let body = match kind {
        TransferKind::Offer => TransferBody::Offer {
            to: NodeId(reader.u16()?),
            need: decode_room(&mut reader)?,
            room: decode_room(&mut reader)?,
        },
        TransferKind::OfferAnswer => TransferBody::OfferAnswer(decode_answer(&mut reader)?),
        TransferKind::InitialLocks => TransferBody::InitialLocks(decode_chunk(range, &mut reader)?),
        TransferKind::Received => TransferBody::Received {
            position: reader.u64()?,
            sent: reader.u64()?,
            is_busy: reader.u8()? & BUSY != 0,
        },
        TransferKind::NewMaster => TransferBody::NewMaster { old: NodeId(reader.u16()?) },
        TransferKind::NewMasterAck => TransferBody::NewMasterAck,
        TransferKind::End => TransferBody::End,
        TransferKind::EndAck => TransferBody::EndAck,
        TransferKind::Withdraw => TransferBody::Withdraw,
        TransferKind::WithdrawAck => TransferBody::WithdrawAck,
    };
    Ok(TransferMessage { range, version, body })
}

pub(super) fn decode_room(reader: &mut Reader<'_>) -> Result<Room, Short> {
    Ok(Room {
        resources: reader.u32()?,
        physical: reader.u32()?,
        names: reader.u32()?,
        values: reader.u32()?,
    })
}

fn decode_answer(reader: &mut Reader<'_>) -> Result<OfferAnswer, DecodeError> {
    Ok(match reader.u8()? {
        answer::NOTED => OfferAnswer::Noted,
        answer::ACCEPTED => OfferAnswer::Accepted(decode_room(reader)?),
        number => OfferAnswer::Refused(refusal_from_u8(number).ok_or(DecodeError::Malformed)?),
    })
}

fn decode_chunk<'a>(range: SlotRange, reader: &mut Reader<'a>) -> Result<InitialLocks<'a>, DecodeError> {
    let (slot, position, sent) = (SlotId(reader.u32()?), reader.u64()?, reader.u64()?);
    let is_last = reader.u8()? & LAST != 0;
    let demand = DemandId(reader.u32()?);
    let (grants, arrivals) = (reader.u64()?, reader.u64()?);
    let count = usize::from(reader.u8()?);
    if count > MEMBERS_MAX || !range.contains(slot) {
        return Err(DecodeError::Malformed);
    }
    let floors = Floors(reader.bytes(count * FLOOR_LEN)?);
    let units = Units::new(reader.rest());
    let head = ChunkHead { slot, position, demand, grants, arrivals };
    Ok(InitialLocks { head, sent, is_last, floors, units })
}

/// Are the units of a chunk units, and do all records but one that goes on in the next chunk have their locks?
pub(super) fn check_chunk(chunk: &InitialLocks<'_>) -> Result<(), DecodeError> {
    let mut units = chunk.units;
    // Of a record that began in an earlier chunk it is not known how many locks it lacks.
    let mut lacking = None;
    while let Some(unit) = units.next_unit()? {
        lacking = match (unit, lacking) {
            (Unit::Record(record), None | Some(0)) => Some(record.locks),
            (Unit::Record(_), Some(_)) => return Err(DecodeError::Malformed),
            (Unit::Lock(_), None) => None,
            (Unit::Lock(_), Some(locks)) => Some(locks.checked_sub(1).ok_or(DecodeError::Malformed)?),
        };
    }
    let is_whole = matches!(lacking, None | Some(0));
    if is_whole || !chunk.is_last { Ok(()) } else { Err(DecodeError::Malformed) }
}

const fn refusal_to_u8(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::TooMany => 2,
        Refusal::Stale => 3,
        Refusal::Full(Full::Resources) => 4,
        Refusal::Full(Full::Physical) => 5,
        Refusal::Full(Full::Names) => 6,
        Refusal::Full(Full::Values) => 7,
        Refusal::Full(Full::Locks) => 8,
        Refusal::Leaving => 9,
    }
}

const fn refusal_from_u8(number: u8) -> Option<Refusal> {
    Some(match number {
        2 => Refusal::TooMany,
        3 => Refusal::Stale,
        4 => Refusal::Full(Full::Resources),
        5 => Refusal::Full(Full::Physical),
        6 => Refusal::Full(Full::Names),
        7 => Refusal::Full(Full::Values),
        8 => Refusal::Full(Full::Locks),
        9 => Refusal::Leaving,
        _ => return None,
    })
}
