//! One message to and from bytes: `docs/wire.md`, "Messages".

use super::bytes::{Reader, Short, Writer};
use super::message::{
    Body, Demand, Deny, DenyReason, Grant, LockMessage, Message, Position, PositionKind, Queued, Redirect,
    UpdatedLocks, Write,
};
use super::transfer::{TransferBody, TransferKind, TransferMessage, check_chunk, decode_transfer};
use super::view::{ViewKind, ViewMessage, check_report, decode_view};
use crate::flags::Flags;
use crate::id::{
    DemandId, Epoch, Incarnation, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId, SpaceId, Token,
};
use crate::mode::Mode;
use crate::name::{NAME_MAX, check_name};
use crate::value::{VALUE_MAX, Value, ValueCopy, ValueState};

/// Most bytes of a message about a resource that this version writes; a newer one may write longer messages.
pub const MESSAGE_MAX: usize = HEADER_LEN + RESOURCE_MAX + 2 + 8 + 1 + POSITION_MAX;

/// Kind, reserved, length of the body.
pub(super) const HEADER_LEN: usize = 4;
/// Space, length of the name, name.
const RESOURCE_MAX: usize = 2 + 1 + NAME_MAX;
/// What each position begins with: number, modes, which fields follow.
pub(super) const POSITION_FIXED: usize = 8 + 2 + 2;
/// What each grant begins with: number, mode, which fields follow, token.
pub(super) const GRANT_FIXED: usize = 8 + 1 + 1 + 16;
/// A position with every field, the longest of the bodies.
pub(super) const POSITION_MAX: usize = POSITION_FIXED + 8 + 2 + 1 + 4 + 4 + 16 + 4 + (16 + 1 + VALUE_MAX);

/// Stands for an absent mode in four bits.
pub(super) const NO_MODE: u8 = 0xf;
/// Stands for a block marked invalid where the length of a value is written.
pub(super) const NO_VALUE: u8 = 0xff;
/// Bit of a demand whose owner is to be demoted.
const DEMOTE: u8 = 1;

/// Bits that say which fields of a position follow, in this order.
pub(super) mod position_field {
    pub(in crate::wire) const ASKED: u16 = 1;
    pub(in crate::wire) const FLAGS: u16 = 1 << 1;
    pub(in crate::wire) const PRIORITY: u16 = 1 << 2;
    pub(in crate::wire) const PATIENCE: u16 = 1 << 3;
    pub(in crate::wire) const HITS: u16 = 1 << 4;
    pub(in crate::wire) const COPY: u16 = 1 << 5;
    pub(in crate::wire) const ANSWERS: u16 = 1 << 6;
    pub(in crate::wire) const WRITE: u16 = 1 << 7;

    /// Bytes of the fields that follow, but for the write, which says its own.
    pub(in crate::wire) fn len_of(fields: u16) -> usize {
        let lens =
            [(ASKED, 8), (FLAGS, 2), (PRIORITY, 1), (PATIENCE, 4), (HITS, 4), (COPY, 16), (ANSWERS, 4)];
        lens.into_iter().map(|(field, len)| if fields & field == 0 { 0 } else { len }).sum()
    }
}

/// Bits that say which fields of a grant follow, in this order.
pub(super) mod grant_field {
    pub(in crate::wire) const VALUE: u8 = 1;
    pub(in crate::wire) const DEMAND: u8 = 1 << 1;
}

/// State of a value block in a grant.
pub(super) mod value_state {
    pub(in crate::wire) const ABSENT: u8 = 0;
    pub(in crate::wire) const VALID: u8 = 1;
    pub(in crate::wire) const INVALID: u8 = 2;
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the message does: give more, or drop the frame if there is no more of it.
    #[error("the bytes end before the message does")]
    Truncated,
    /// The message is too short for its kind, or a field has a value that cannot be: drop the frame.
    #[error("the message is too short for its kind or has an impossible value")]
    Malformed,
}

impl From<Short> for DecodeError {
    fn from(Short: Short) -> Self {
        Self::Malformed
    }
}

/// Writes a message to the front of `buf` and gives its length in bytes, at most [`MESSAGE_MAX`].
///
/// `None` if it does not fit, or if the name is empty or too long; `buf` may then hold a part of it.
#[must_use]
pub fn encode_message(message: &LockMessage<'_>, buf: &mut [u8]) -> Option<usize> {
    let (header, body) = buf.split_first_chunk_mut::<HEADER_LEN>()?;
    let room = body.len();
    let mut writer = Writer::new(body);
    writer.u16(message.space.0).ok()?;
    encode_name(message.name, &mut writer).ok()?;
    encode_body(&message.body, &mut writer).ok()?;
    let len = room - writer.room();
    *header = message_header(Kind::of(&message.body).to_u8(), len).ok()?;
    Some(HEADER_LEN + len)
}

/// Reads the message at the front of `bytes`, and gives the length to skip to the next one.
///
/// The message is absent if its kind is of a newer version. Fields that a newer version appended are
/// passed over. Of a chunk and of a report all units are checked.
///
/// # Errors
/// [`DecodeError`] if the bytes end before the message does, or are none that any version writes.
#[inline]
pub fn decode_message(bytes: &[u8]) -> Result<(Option<Message<'_>>, usize), DecodeError> {
    let (message, len) = decode_all_but_units(bytes)?;
    match &message {
        Some(Message::Transfer(TransferMessage { body: TransferBody::InitialLocks(chunk), .. })) => {
            check_chunk(chunk)?;
        }
        Some(Message::View(ViewMessage::Report(report))) => check_report(report)?,
        _ => {}
    }
    Ok((message, len))
}

/// Reads a message whose units, if it is a chunk or a report, are or will be checked elsewhere.
#[inline]
pub(super) fn decode_all_but_units(bytes: &[u8]) -> Result<(Option<Message<'_>>, usize), DecodeError> {
    let mut reader = Reader::new(bytes);
    let [kind, _reserved, low, high] = reader.array().map_err(|Short| DecodeError::Truncated)?;
    let len = usize::from(u16::from_le_bytes([low, high]));
    let body = reader.bytes(len).map_err(|Short| DecodeError::Truncated)?;
    let message = if let Some(kind) = Kind::from_u8(kind) {
        Some(Message::Lock(decode_lock_message(kind, body)?))
    } else if let Some(kind) = TransferKind::from_u8(kind) {
        Some(Message::Transfer(decode_transfer(kind, body)?))
    } else if let Some(kind) = ViewKind::from_u8(kind) {
        Some(Message::View(decode_view(kind, body)?))
    } else {
        None
    };
    Ok((message, HEADER_LEN + len))
}

#[inline]
fn decode_lock_message(kind: Kind, bytes: &[u8]) -> Result<LockMessage<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let space = SpaceId(reader.u16()?);
    let name = decode_name(&mut reader)?;
    let body = decode_body(kind, &mut reader)?;
    Ok(LockMessage { space, name, body })
}

/// The first bytes of a message of which so many follow.
pub(super) fn message_header(kind: u8, len: usize) -> Result<[u8; HEADER_LEN], Short> {
    let [low, high] = u16::try_from(len).map_err(|_| Short)?.to_le_bytes();
    Ok([kind, 0, low, high])
}

/// What the first byte of a message about a resource says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Position(PositionKind),
    Queued,
    Grant,
    Deny,
    Demand,
    Written,
    Redirect,
    UpdatedLocks,
}

/// A kind of position as one byte.
pub(super) const fn kind_to_u8(kind: PositionKind) -> u8 {
    Kind::Position(kind).to_u8()
}

pub(super) const fn kind_from_u8(number: u8) -> Option<PositionKind> {
    match Kind::from_u8(number) {
        Some(Kind::Position(kind)) => Some(kind),
        _ => None,
    }
}

impl Kind {
    const fn of(body: &Body) -> Self {
        match body {
            Body::Position(position) => Self::Position(position.kind),
            Body::Queued(_) => Self::Queued,
            Body::Grant(_) => Self::Grant,
            Body::Deny(_) => Self::Deny,
            Body::Demand(_) => Self::Demand,
            Body::Written(_) => Self::Written,
            Body::Redirect(_) => Self::Redirect,
            Body::UpdatedLocks(_) => Self::UpdatedLocks,
        }
    }

    const fn to_u8(self) -> u8 {
        match self {
            Self::Position(PositionKind::Request) => 1,
            Self::Position(PositionKind::Downgrade) => 2,
            Self::Position(PositionKind::Cancel) => 3,
            Self::Queued => 4,
            Self::Grant => 5,
            Self::Deny => 6,
            Self::Demand => 7,
            Self::Written => 8,
            Self::Redirect => 9,
            Self::UpdatedLocks => 10,
        }
    }

    pub(super) const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Position(PositionKind::Request),
            2 => Self::Position(PositionKind::Downgrade),
            3 => Self::Position(PositionKind::Cancel),
            4 => Self::Queued,
            5 => Self::Grant,
            6 => Self::Deny,
            7 => Self::Demand,
            8 => Self::Written,
            9 => Self::Redirect,
            10 => Self::UpdatedLocks,
            _ => return None,
        })
    }
}

fn encode_body(body: &Body, writer: &mut Writer<'_>) -> Result<(), Short> {
    match body {
        Body::Position(position) => encode_position(position, writer),
        Body::Queued(queued) => {
            writer.u64(queued.number.0)?;
            writer.u32(queued.ticket.epoch.0)?;
            writer.u64(queued.ticket.count)
        }
        Body::Grant(granting) => encode_grant(granting, writer),
        Body::Deny(deny) => {
            writer.u64(deny.number.0)?;
            writer.u8(reason_to_u8(deny.reason))
        }
        Body::Demand(demand) => {
            writer.u32(demand.id.0)?;
            writer.u64(demand.number.0)?;
            writer.u8(demand.held as u8)?;
            writer.u8(demand.stay as u8)?;
            writer.u8(demand.priority.0)?;
            writer.u8(bit(demand.demote, DEMOTE))
        }
        Body::Written(number) => writer.u64(number.0),
        Body::Redirect(redirect) => {
            writer.u32(redirect.slot.0)?;
            writer.u16(redirect.master.0)?;
            writer.u32(redirect.version.epoch.0)?;
            writer.u64(redirect.version.count)
        }
        Body::UpdatedLocks(updated) => {
            writer.u16(updated.from.0)?;
            writer.u64(updated.incarnation.0)?;
            writer.u8(kind_to_u8(updated.position.kind))?;
            encode_position(&updated.position, writer)
        }
    }
}

#[inline]
pub(super) fn decode_body(kind: Kind, reader: &mut Reader<'_>) -> Result<Body, DecodeError> {
    Ok(match kind {
        Kind::Position(kind) => Body::Position(decode_position(kind, reader)?),
        Kind::Queued => {
            let number = Number(reader.u64()?);
            let ticket = QueueTicket { epoch: Epoch(reader.u32()?), count: reader.u64()? };
            Body::Queued(Queued { number, ticket })
        }
        Kind::Grant => Body::Grant(decode_grant(reader)?),
        Kind::Deny => {
            let number = Number(reader.u64()?);
            let reason = reason_from_u8(reader.u8()?).ok_or(DecodeError::Malformed)?;
            Body::Deny(Deny { number, reason })
        }
        Kind::Demand => Body::Demand(Demand {
            id: DemandId(reader.u32()?),
            number: Number(reader.u64()?),
            held: decode_mode(reader.u8()?)?,
            stay: decode_mode(reader.u8()?)?,
            priority: Priority(reader.u8()?),
            demote: reader.u8()? & DEMOTE != 0,
        }),
        Kind::Written => Body::Written(Number(reader.u64()?)),
        Kind::Redirect => {
            let slot = SlotId(reader.u32()?);
            let master = NodeId(reader.u16()?);
            let version = MapVersion { epoch: Epoch(reader.u32()?), count: reader.u64()? };
            Body::Redirect(Redirect { slot, master, version })
        }
        Kind::UpdatedLocks => {
            let (from, incarnation) = (NodeId(reader.u16()?), Incarnation(reader.u64()?));
            let kind = kind_from_u8(reader.u8()?).ok_or(DecodeError::Malformed)?;
            let position = decode_position(kind, reader)?;
            Body::UpdatedLocks(UpdatedLocks { from, incarnation, position })
        }
    })
}

pub(super) fn encode_position(position: &Position, writer: &mut Writer<'_>) -> Result<(), Short> {
    let asked = asked_by_default(position.number, position.wanted);
    let fields = bit(position.asked != asked, position_field::ASKED)
        | bit(position.flags != Flags::NONE, position_field::FLAGS)
        | bit(position.priority != Priority(0), position_field::PRIORITY)
        | bit(position.patience_ms != 0, position_field::PATIENCE)
        | bit(position.hits != 0, position_field::HITS)
        | bit(position.copy != Token::NONE, position_field::COPY)
        | bit(position.answers != DemandId(0), position_field::ANSWERS)
        | bit(position.write.is_some(), position_field::WRITE);
    let mut fixed = writer.fields::<POSITION_FIXED>()?;
    fixed.u64(position.number.0)?;
    fixed.u8(nibble(position.held) | nibble(position.pinned) << 4)?;
    fixed.u8(nibble(position.wanted))?;
    fixed.u16(fields)?;
    if fields & position_field::ASKED != 0 {
        writer.u64(position.asked.0)?;
    }
    if fields & position_field::FLAGS != 0 {
        writer.u16(position.flags.bits())?;
    }
    if fields & position_field::PRIORITY != 0 {
        writer.u8(position.priority.0)?;
    }
    if fields & position_field::PATIENCE != 0 {
        writer.u32(position.patience_ms)?;
    }
    if fields & position_field::HITS != 0 {
        writer.u32(position.hits)?;
    }
    if fields & position_field::COPY != 0 {
        writer.token(position.copy)?;
    }
    if fields & position_field::ANSWERS != 0 {
        writer.u32(position.answers.0)?;
    }
    if let Some(write) = &position.write {
        writer.token(write.version)?;
        match &write.value {
            Some(value) => encode_value(value, writer)?,
            None => writer.u8(NO_VALUE)?,
        }
    }
    Ok(())
}

#[inline]
pub(super) fn decode_position(kind: PositionKind, reader: &mut Reader<'_>) -> Result<Position, DecodeError> {
    let number = Number(reader.u64()?);
    let [first, second] = reader.array()?;
    let held = optional_mode(first & 0xf)?;
    let pinned = optional_mode(first >> 4)?;
    let wanted = optional_mode(second & 0xf)?;
    let fields = reader.u16()?;
    let mut position = Position {
        kind,
        number,
        asked: asked_by_default(number, wanted),
        held,
        pinned,
        wanted,
        ..Position::default()
    };
    if fields & position_field::ASKED != 0 {
        position.asked = Number(reader.u64()?);
    }
    if fields & position_field::FLAGS != 0 {
        position.flags = Flags::from_bits(reader.u16()?);
    }
    if fields & position_field::PRIORITY != 0 {
        position.priority = Priority(reader.u8()?);
    }
    if fields & position_field::PATIENCE != 0 {
        position.patience_ms = reader.u32()?;
    }
    if fields & position_field::HITS != 0 {
        position.hits = reader.u32()?;
    }
    if fields & position_field::COPY != 0 {
        position.copy = reader.token()?;
    }
    if fields & position_field::ANSWERS != 0 {
        position.answers = DemandId(reader.u32()?);
    }
    if fields & position_field::WRITE != 0 {
        let version = reader.token()?;
        let value = match reader.u8()? {
            NO_VALUE => None,
            len => Some(decode_value(len, reader)?),
        };
        position.write = Some(Write { version, value });
    }
    Ok(position)
}

fn encode_grant(granting: &Grant, writer: &mut Writer<'_>) -> Result<(), Short> {
    let mut fixed = writer.fields::<GRANT_FIXED>()?;
    fixed.u64(granting.number.0)?;
    fixed.u8(granting.mode as u8)?;
    fixed.u8(bit(granting.value.is_some(), grant_field::VALUE)
        | bit(granting.demand.is_some(), grant_field::DEMAND))?;
    fixed.token(granting.token)?;
    if let Some(copy) = &granting.value {
        encode_value_copy(copy, writer)?;
    }
    if let Some((id, stay)) = granting.demand {
        writer.u32(id.0)?;
        writer.u8(stay as u8)?;
    }
    Ok(())
}

#[inline]
fn decode_grant(reader: &mut Reader<'_>) -> Result<Grant, DecodeError> {
    let number = Number(reader.u64()?);
    let mode = decode_mode(reader.u8()?)?;
    let fields = reader.u8()?;
    let token = reader.token()?;
    let mut granting = Grant { number, mode, token, value: None, demand: None };
    if fields & grant_field::VALUE != 0 {
        granting.value = Some(decode_value_copy(reader)?);
    }
    if fields & grant_field::DEMAND != 0 {
        granting.demand = Some((DemandId(reader.u32()?), decode_mode(reader.u8()?)?));
    }
    Ok(granting)
}

pub(super) fn encode_value_copy(copy: &ValueCopy, writer: &mut Writer<'_>) -> Result<(), Short> {
    writer.token(copy.version)?;
    match &copy.state {
        ValueState::Absent => writer.u8(value_state::ABSENT),
        ValueState::Valid(value) => {
            writer.u8(value_state::VALID)?;
            encode_value(value, writer)
        }
        ValueState::Invalid(value) => {
            writer.u8(value_state::INVALID)?;
            encode_value(value, writer)
        }
    }
}

pub(super) fn decode_value_copy(reader: &mut Reader<'_>) -> Result<ValueCopy, DecodeError> {
    let version = reader.token()?;
    let state = match reader.u8()? {
        value_state::ABSENT => ValueState::Absent,
        value_state::VALID => ValueState::Valid(decode_value(reader.u8()?, reader)?),
        value_state::INVALID => ValueState::Invalid(decode_value(reader.u8()?, reader)?),
        _ => return Err(DecodeError::Malformed),
    };
    Ok(ValueCopy { version, state })
}

/// Writes a name with its length; one of no or too many bytes is not written.
pub(super) fn encode_name(name: &[u8], writer: &mut Writer<'_>) -> Result<(), Short> {
    writer.u8(check_name(name).map_err(|_| Short)?)?;
    writer.bytes(name)
}

#[inline]
pub(super) fn decode_name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let len = reader.u8()?;
    let name = reader.bytes(usize::from(len))?;
    check_name(name).map_err(|_| DecodeError::Malformed)?;
    Ok(name)
}

/// What `asked` is when it is not written: a request that was never renumbered, or none.
const fn asked_by_default(number: Number, wanted: Option<Mode>) -> Number {
    if wanted.is_some() { number } else { Number(0) }
}

fn encode_value(value: &Value, writer: &mut Writer<'_>) -> Result<(), Short> {
    let bytes = value.as_bytes();
    writer.u8(u8::try_from(bytes.len()).map_err(|_| Short)?)?;
    writer.bytes(bytes)
}

#[inline]
fn decode_value(len: u8, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Value::new(reader.bytes(usize::from(len))?).map_err(|_| DecodeError::Malformed)
}

pub(super) fn nibble(mode: Option<Mode>) -> u8 {
    mode.map_or(NO_MODE, |mode| mode as u8)
}

#[inline]
pub(super) fn optional_mode(nibble: u8) -> Result<Option<Mode>, DecodeError> {
    if nibble == NO_MODE { Ok(None) } else { decode_mode(nibble).map(Some) }
}

#[inline]
pub(super) fn decode_mode(number: u8) -> Result<Mode, DecodeError> {
    Mode::from_u8(number).ok_or(DecodeError::Malformed)
}

pub(super) const fn reason_to_u8(reason: DenyReason) -> u8 {
    match reason {
        DenyReason::Busy => 1,
        DenyReason::Deadlock => 2,
        DenyReason::Full => 3,
        DenyReason::Renew => 4,
    }
}

pub(super) const fn reason_from_u8(number: u8) -> Option<DenyReason> {
    Some(match number {
        1 => DenyReason::Busy,
        2 => DenyReason::Deadlock,
        3 => DenyReason::Full,
        4 => DenyReason::Renew,
        _ => return None,
    })
}

/// The bit if the condition holds, else no bit.
pub(super) fn bit<T: Default>(condition: bool, bit: T) -> T {
    if condition { bit } else { T::default() }
}
