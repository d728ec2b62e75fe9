//! The units of a chunk: records of a master as they go to another one. `docs/wire.md`, "Units".

use super::bytes::{Reader, Short, Writer};
use super::codec::{
    DecodeError, bit, decode_mode, decode_name, decode_value_copy, encode_name, encode_value_copy, nibble,
    optional_mode, reason_from_u8, reason_to_u8,
};
use super::message::DenyReason;
use crate::flags::Flags;
use crate::id::{DemandId, Epoch, MEMBERS_MAX, NodeId, Number, Priority, QueueTicket, SpaceId, Token};
use crate::mode::Mode;
use crate::name::NAME_MAX;
use crate::snapshot::QueueName;
use crate::value::{VALUE_MAX, ValueCopy};

/// Most bytes of a unit.
pub(super) const UNIT_MAX: usize = if RECORD_MAX > LOCK_MAX { RECORD_MAX } else { LOCK_MAX };
pub(super) const RECORD_MAX: usize = 1 + 2 + 1 + NAME_MAX + 1 + 1 + 16 + 1 + 1 + VALUE_MAX;
pub(super) const LOCK_MAX: usize = 1 + LOCK_FIXED + 2 * TOKEN + DEMAND + REASON;
/// Node, modes, bits, flags, priority, number, asked, token, ticket.
const LOCK_FIXED: usize = 2 + 2 + 2 + 2 + 1 + 8 + 8 + TOKEN + 12;
/// What a lock may have beside: since when it writes and its copy, a token each; its demand; why it was denied.
const TOKEN: usize = 16;
const DEMAND: usize = 6;
const REASON: usize = 1;

/// A piece of a master's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit<'a> {
    /// A resource begins.
    Record(RecordUnit<'a>),
    /// The next of its physical locks, in the order of its queues: granted, convert, wait.
    Lock(LockUnit),
}

/// A resource, without its locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordUnit<'a> {
    /// Its space.
    pub space: SpaceId,
    /// Its name.
    pub name: &'a [u8],
    /// How many locks follow, at most one for each of 64 members.
    pub locks: u8,
    /// Its value block, if there is room for one.
    pub value: Option<ValueCopy>,
    /// The block may have been lost with a master: the first that there is room for is invalid and not absent.
    pub is_value_lost: bool,
}

/// A physical lock with everything that its master knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record that they are copied from")]
pub struct LockUnit {
    /// The node; [`NodeId::GONE`] if it has left the cluster since.
    pub node: NodeId,
    pub queue: QueueName,
    pub held: Option<Mode>,
    pub pinned: Option<Mode>,
    pub wanted: Option<Mode>,
    pub told: Option<Mode>,
    pub flags: Flags,
    pub alternate: bool,
    pub demoted: bool,
    pub priority: Priority,
    pub number: Number,
    pub asked: Number,
    pub token: Token,
    pub ticket: QueueTicket,
    pub writing_since: Token,
    pub copy: Token,
    /// How the request under this number was answered, if it was.
    pub answer: Option<Result<(), DenyReason>>,
    pub demand: Option<DemandUnit>,
    pub is_asking_holders: bool,
    /// What the node is still to be told: the answer, its place in the queue, the demand.
    pub due: [bool; 3],
}

/// A demand that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the record that they are copied from")]
pub struct DemandUnit {
    pub id: DemandId,
    pub stay: Mode,
    pub priority: Priority,
    pub demote: bool,
    pub is_answered: bool,
}

/// Bits of a lock.
mod lock_bit {
    pub(super) const CONVERT: u16 = 1;
    pub(super) const WAIT: u16 = 1 << 1;
    pub(super) const ALTERNATE: u16 = 1 << 2;
    pub(super) const DEMOTED: u16 = 1 << 3;
    pub(super) const ASKING_HOLDERS: u16 = 1 << 4;
    pub(super) const DUE: [u16; 3] = [1 << 5, 1 << 6, 1 << 7];
    pub(super) const GRANTED: u16 = 1 << 8;
    pub(super) const DENIED: u16 = 1 << 9;
    pub(super) const WRITING: u16 = 1 << 10;
    pub(super) const COPY: u16 = 1 << 11;
    pub(super) const DEMAND: u16 = 1 << 12;
    pub(super) const DEMOTE: u16 = 1 << 13;
    pub(super) const ANSWERED: u16 = 1 << 14;
}

const RECORD: u8 = 0;
const LOCK: u8 = 1;

/// Bits of a record, of which one at most is set.
const VALUE: u8 = 1;
const VALUE_LOST: u8 = 1 << 1;

/// The units of a chunk, in order.
///
/// They were checked when the chunk was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units<'a>(&'a [u8]);

impl<'a> Units<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that are left.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Are there none left?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The records alone, of units that were checked; their locks are passed over unread.
    pub(crate) fn records(self) -> impl Iterator<Item = (SpaceId, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        core::iter::from_fn(move || {
            while reader.u8().ok()? == LOCK {
                pass_lock(&mut reader).ok()?;
            }
            let space = SpaceId(reader.u16().ok()?);
            let name = decode_name(&mut reader).ok()?;
            let [_locks, has_value] = reader.array().ok()?;
            if has_value == VALUE {
                decode_value_copy(&mut reader).ok()?;
            }
            Some((space, name))
        })
    }

    /// The next unit of bytes that were not checked yet.
    #[inline(always)]
    pub(super) fn next_unit(&mut self) -> Result<Option<Unit<'a>>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(self.0);
        let unit = match reader.u8()? {
            RECORD => Unit::Record(decode_record(&mut reader)?),
            LOCK => Unit::Lock(decode_lock(&mut reader)?),
            _ => return Err(DecodeError::Malformed),
        };
        self.0 = reader.rest();
        Ok(Some(unit))
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Unit<'a>> {
        self.next_unit().ok().flatten()
    }
}

impl LockUnit {
    /// Does it agree with itself? What is built from it relies on that.
    fn makes_sense(&self) -> bool {
        let [is_answer_due, is_queued_due, is_demand_due] = self.due;
        let stands = (self.held.is_some(), self.pinned.is_some(), self.wanted.is_some());
        let is_waiting = match (self.queue, stands) {
            (QueueName::Granted, (true, false, false)) => false,
            (QueueName::Convert, (true, true, true)) | (QueueName::Wait, (_, false, true)) => true,
            (QueueName::Granted | QueueName::Convert | QueueName::Wait, _) => return false,
        };
        let is_answered = self.answer.is_some();
        !(is_waiting && is_answered)
            && (is_answered || !is_answer_due)
            && (is_waiting || !is_queued_due)
            && (self.demand.is_some() || !is_demand_due)
    }
}

/// Writes a unit to the front of `buf` and gives its length; `None` if it does not fit or cannot be.
#[inline]
pub(crate) fn encode_unit(unit: &Unit<'_>, buf: &mut [u8]) -> Option<usize> {
    let room = buf.len();
    let mut writer = Writer::new(buf);
    match unit {
        Unit::Record(record) => encode_record(record, &mut writer).ok()?,
        Unit::Lock(lock) => encode_lock(lock, &mut writer).ok()?,
    }
    Some(room - writer.room())
}

#[inline]
fn encode_record(record: &RecordUnit<'_>, writer: &mut Writer<'_>) -> Result<(), Short> {
    let is_sound = record.value.is_none() || !record.is_value_lost;
    if usize::from(record.locks) > MEMBERS_MAX || !is_sound {
        return Err(Short);
    }
    writer.u8(RECORD)?;
    writer.u16(record.space.0)?;
    encode_name(record.name, writer)?;
    writer.u8(record.locks)?;
    writer.u8(bit(record.value.is_some(), VALUE) | bit(record.is_value_lost, VALUE_LOST))?;
    match &record.value {
        Some(value) => encode_value_copy(value, writer),
        None => Ok(()),
    }
}

fn decode_record<'a>(reader: &mut Reader<'a>) -> Result<RecordUnit<'a>, DecodeError> {
    let space = SpaceId(reader.u16()?);
    let name = decode_name(reader)?;
    let locks = reader.u8()?;
    if usize::from(locks) > MEMBERS_MAX {
        return Err(DecodeError::Malformed);
    }
    let (value, is_value_lost) = match reader.u8()? {
        0 => (None, false),
        VALUE => (Some(decode_value_copy(reader)?), false),
        VALUE_LOST => (None, true),
        _ => return Err(DecodeError::Malformed),
    };
    Ok(RecordUnit { space, name, locks, value, is_value_lost })
}

#[inline]
fn encode_lock(lock: &LockUnit, writer: &mut Writer<'_>) -> Result<(), Short> {
    if !lock.makes_sense() {
        return Err(Short);
    }
    let mut fixed = writer.fields::<{ 1 + LOCK_FIXED }>()?;
    fixed.u8(LOCK)?;
    fixed.u16(lock.node.0)?;
    fixed.u8(nibble(lock.held) | nibble(lock.pinned) << 4)?;
    fixed.u8(nibble(lock.wanted) | nibble(lock.told) << 4)?;
    fixed.u16(bits_of(lock))?;
    fixed.u16(lock.flags.bits())?;
    fixed.u8(lock.priority.0)?;
    fixed.u64(lock.number.0)?;
    fixed.u64(lock.asked.0)?;
    fixed.token(lock.token)?;
    fixed.u32(lock.ticket.epoch.0)?;
    fixed.u64(lock.ticket.count)?;
    if lock.writing_since != Token::NONE {
        writer.token(lock.writing_since)?;
    }
    if lock.copy != Token::NONE {
        writer.token(lock.copy)?;
    }
    if let Some(demand) = lock.demand {
        writer.u32(demand.id.0)?;
        writer.u8(demand.stay as u8)?;
        writer.u8(demand.priority.0)?;
    }
    match lock.answer {
        Some(Err(reason)) => writer.u8(reason_to_u8(reason)),
        Some(Ok(())) | None => Ok(()),
    }
}

#[inline]
fn bits_of(lock: &LockUnit) -> u16 {
    let demand = lock.demand;
    let mut bits = match lock.queue {
        QueueName::Granted => 0,
        QueueName::Convert => lock_bit::CONVERT,
        QueueName::Wait => lock_bit::WAIT,
    };
    bits |= bit(lock.alternate, lock_bit::ALTERNATE)
        | bit(lock.demoted, lock_bit::DEMOTED)
        | bit(lock.is_asking_holders, lock_bit::ASKING_HOLDERS)
        | bit(lock.answer == Some(Ok(())), lock_bit::GRANTED)
        | bit(matches!(lock.answer, Some(Err(_))), lock_bit::DENIED)
        | bit(lock.writing_since != Token::NONE, lock_bit::WRITING)
        | bit(lock.copy != Token::NONE, lock_bit::COPY)
        | bit(demand.is_some(), lock_bit::DEMAND)
        | bit(demand.is_some_and(|demand| demand.demote), lock_bit::DEMOTE)
        | bit(demand.is_some_and(|demand| demand.is_answered), lock_bit::ANSWERED);
    for (is_due, due) in lock.due.into_iter().zip(lock_bit::DUE) {
        bits |= bit(is_due, due);
    }
    bits
}

fn pass_lock(reader: &mut Reader<'_>) -> Result<(), Short> {
    let mut fixed = reader.fields::<LOCK_FIXED>()?;
    let [_, _, _, _, low, high] = fixed.array()?;
    let bits = u16::from_le_bytes([low, high]);
    let has = |bit: u16| bits & bit != 0;
    let rest = bit(has(lock_bit::WRITING), TOKEN)
        + bit(has(lock_bit::COPY), TOKEN)
        + bit(has(lock_bit::DEMAND), DEMAND)
        + bit(has(lock_bit::DENIED), REASON);
    reader.bytes(rest).map(|_| ())
}

#[inline(always)]
fn decode_lock(reader: &mut Reader<'_>) -> Result<LockUnit, DecodeError> {
    let mut fixed = reader.fields::<LOCK_FIXED>()?;
    let node = NodeId(fixed.u16()?);
    let [first, second] = fixed.array()?;
    let bits = fixed.u16()?;
    let has = |bit: u16| bits & bit != 0;
    let queue = match (has(lock_bit::CONVERT), has(lock_bit::WAIT)) {
        (false, false) => QueueName::Granted,
        (true, false) => QueueName::Convert,
        (false, true) => QueueName::Wait,
        (true, true) => return Err(DecodeError::Malformed),
    };
    let mut lock = LockUnit {
        node,
        queue,
        held: optional_mode(first & 0xf)?,
        pinned: optional_mode(first >> 4)?,
        wanted: optional_mode(second & 0xf)?,
        told: optional_mode(second >> 4)?,
        flags: Flags::from_bits(fixed.u16()?),
        alternate: has(lock_bit::ALTERNATE),
        demoted: has(lock_bit::DEMOTED),
        priority: Priority(fixed.u8()?),
        number: Number(fixed.u64()?),
        asked: Number(fixed.u64()?),
        token: fixed.token()?,
        ticket: QueueTicket { epoch: Epoch(fixed.u32()?), count: fixed.u64()? },
        writing_since: Token::NONE,
        copy: Token::NONE,
        answer: None,
        demand: None,
        is_asking_holders: has(lock_bit::ASKING_HOLDERS),
        due: lock_bit::DUE.map(has),
    };
    if has(lock_bit::WRITING) {
        lock.writing_since = reader.token()?;
    }
    if has(lock_bit::COPY) {
        lock.copy = reader.token()?;
    }
    if has(lock_bit::DEMAND) {
        lock.demand = Some(DemandUnit {
            id: DemandId(reader.u32()?),
            stay: decode_mode(reader.u8()?)?,
            priority: Priority(reader.u8()?),
            demote: has(lock_bit::DEMOTE),
            is_answered: has(lock_bit::ANSWERED),
        });
    } else if has(lock_bit::DEMOTE) || has(lock_bit::ANSWERED) {
        return Err(DecodeError::Malformed);
    }
    lock.answer = match (has(lock_bit::GRANTED), has(lock_bit::DENIED)) {
        (false, false) => None,
        (true, false) => Some(Ok(())),
        (false, true) => Some(Err(reason_from_u8(reader.u8()?).ok_or(DecodeError::Malformed)?)),
        (true, true) => return Err(DecodeError::Malformed),
    };
    if lock.makes_sense() { Ok(lock) } else { Err(DecodeError::Malformed) }
}
