//! The messages about views, as values and as bytes: `docs/wire.md`, "Views".

use super::bytes::{Reader, Short, Writer};
use super::codec::{
    DecodeError, HEADER_LEN, bit, decode_name, decode_position, decode_value_copy, encode_name,
    encode_position, encode_value_copy, kind_from_u8, kind_to_u8, message_header,
};
use super::message::Position;
use super::transfer::{decode_room, encode_room};
use crate::id::{Epoch, MapVersion, NodeId, Number, QueueTicket, SlotId, SpaceId, Token};
use crate::name::NAME_MAX;
use crate::transfer::Room;
use crate::value::{VALUE_MAX, ValueCopy};
use crate::view::Claimed;

/// Bytes of one run of a map.
const RUN_LEN: usize = 4 + 1 + 2 + 4 + 8;
/// Bytes of a page of a map before its runs: first slot, room.
const PAGE_FIXED: usize = 4 + 4 * 4;
/// Slot, position, end, number, bits.
const REPORT_FIXED: usize = 4 + 8 + 8 + 8 + 1;
/// What an answer begins with: numbers of the question and of the last position.
const TOLD_FIXED: usize = 4 + 8;
/// Most bytes of a report before its units.
pub(super) const REPORT_HEAD_MAX: usize = HEADER_LEN + REPORT_FIXED;
/// Most bytes of a unit of a report.
pub(super) const REPORT_UNIT_MAX: usize =
    2 + 1 + NAME_MAX + 1 + super::codec::POSITION_MAX + 1 + 16 + 12 + 16 + 2 + VALUE_MAX + 16;
/// Offset of the fields of a report that are known last.
const REPORT_END_AT: usize = HEADER_LEN + 4 + 8;

/// Bit of a report that ends its slot.
const LAST: u8 = 1;
/// Bits of an answer to reports.
const FULL: u8 = 1;
const AGAIN: u8 = 1 << 1;
const WANTED_AGAIN: u8 = 1 << 2;
/// Stands for no master.
const NO_NODE: u16 = u16::MAX;

/// Bits that say which fields of a unit of a report follow its position, in this order.
mod unit_field {
    pub(super) const TOKEN: u8 = 1;
    pub(super) const TICKET: u8 = 1 << 1;
    pub(super) const VALUE: u8 = 1 << 2;
    pub(super) const SINCE: u8 = 1 << 3;
}

/// One message about the view that its frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewMessage<'a> {
    /// Any member to any other: I have this view, and of you I know that you have that one.
    Here {
        /// The latest view that the receiver is known to have.
        known: Epoch,
    },
    /// Member to coordinator: what this node could say of its map when the view came.
    MapReport(MapPage<'a>),
    /// Coordinator to member: the map before this slot is here.
    MapReported(SlotId),
    /// Coordinator to member: the map that all have agreed on.
    MapInstall(MapPage<'a>),
    /// Member to coordinator: the map before this slot is installed.
    MapInstalled(SlotId),
    /// Member to a master that was given a lost slot: what this node holds and wants there.
    Report(Report<'a>),
    /// That master to a member: how much of its reports is here, and which slots are decided about again.
    Reported(Reported),
    /// Member to such a master: somebody here waits for this resource, so open it before its slot. One unit.
    Wanted(ReportUnits<'a>),
    /// That master to a member: what do you hold and want of this resource?
    Ask(Ask<'a>),
    /// The answer.
    Told(Told<'a>),
    /// Any member to any other: I had nothing any more when this was the last number that I had given to a position.
    Parting(Number),
    /// The answer: what you had nothing of under this number and before was given up.
    Parted(Number),
}

/// A question about one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Number of the question, for the answer.
    pub question: u32,
    /// Space of the resource.
    pub space: SpaceId,
    /// Its name.
    pub name: &'a [u8],
}

/// The answer to a question about one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    /// Number of the question.
    pub question: u32,
    /// The last number that the member gave to a position: what it wanted of the resource up to then is in the answer, or
    /// over.
    pub number: Number,
    /// The position; none if nothing is held or wanted.
    pub units: ReportUnits<'a>,
}

/// Some slots of a map, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPage<'a> {
    /// The first of them.
    pub first: SlotId,
    /// Free records of the sender; of a report only.
    pub room: Room,
    /// What is said of them.
    pub runs: MapRuns<'a>,
}

/// Slots in a row of which the same is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRun {
    /// How many slots.
    pub len: u32,
    /// What the sender of a report can say of them; nothing in an install.
    pub claim: Claimed,
    /// Their master, if one is known that is in the view.
    pub master: Option<NodeId>,
    /// Version of the entry.
    pub version: MapVersion,
}

/// The runs of a page, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapRuns<'a>(&'a [u8]);

impl Iterator for MapRuns<'_> {
    type Item = MapRun;

    fn next(&mut self) -> Option<MapRun> {
        let mut reader = Reader::new(self.0);
        let run = decode_run(&mut reader).ok()?;
        self.0 = reader.rest();
        Some(run)
    }
}

/// A part of what a node holds and wants in a slot whose master was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// What is known before the first unit is written.
    pub head: ReportHead,
    /// Steps of the sequence after this part.
    pub end: u64,
    /// The slot ends with this part.
    pub is_last: bool,
    /// The positions.
    pub units: ReportUnits<'a>,
}

/// Where a part of a report stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportHead {
    /// The slot.
    pub slot: SlotId,
    /// The place of its first step: the slot in the upper half, and in the lower half the steps of the slot before it.
    /// A resource of the reporter is a step, and so is the end of the slot.
    pub position: u64,
    /// The last number that the reporter gave to a position: the floor of the slot.
    pub number: Number,
}

/// How far reports have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The place before which all steps are here.
    pub position: u64,
    /// The master's new slots before this one are decided about again.
    pub frontier: SlotId,
    /// There was no room for the part after that.
    pub is_full: bool,
    /// A part came too early, or one before it is missing: everything after `position` is to be said again.
    pub is_again: bool,
    /// What the member waits for was not all taken up, and is to be said again.
    pub is_wanted_again: bool,
}

/// One position of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportUnit<'a> {
    /// Space of the resource.
    pub space: SpaceId,
    /// Its name.
    pub name: &'a [u8],
    /// The position, as it would be repeated.
    pub position: Position,
    /// Physical token of what is held; [`Token::NONE`] if nothing is.
    pub token: Token,
    /// Place in the queue that the old master has acknowledged.
    pub ticket: Option<QueueTicket>,
    /// The node's copy of the value block, if it is current.
    pub value: Option<ValueCopy>,
    /// Physical token since which an owner may write the block without a break; [`Token::NONE`] if it is that of the
    /// node.
    pub since: Token,
}

/// The units of a report, in order. They were checked when the report was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportUnits<'a>(&'a [u8]);

impl<'a> ReportUnits<'a> {
    fn next_unit(&mut self) -> Result<Option<ReportUnit<'a>>, DecodeError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(self.0);
        let unit = decode_report_unit(&mut reader)?;
        self.0 = reader.rest();
        Ok(Some(unit))
    }
}

impl<'a> Iterator for ReportUnits<'a> {
    type Item = ReportUnit<'a>;

    fn next(&mut self) -> Option<ReportUnit<'a>> {
        self.next_unit().ok().flatten()
    }
}

/// What the first byte of a message about a view says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ViewKind {
    Here,
    MapReport,
    MapReported,
    MapInstall,
    MapInstalled,
    Report,
    Reported,
    Wanted,
    Ask,
    Told,
    Parting,
    Parted,
}

impl ViewKind {
    const fn of(message: &ViewMessage<'_>) -> Self {
        match message {
            ViewMessage::Here { .. } => Self::Here,
            ViewMessage::MapReport(_) => Self::MapReport,
            ViewMessage::MapReported(_) => Self::MapReported,
            ViewMessage::MapInstall(_) => Self::MapInstall,
            ViewMessage::MapInstalled(_) => Self::MapInstalled,
            ViewMessage::Report(_) => Self::Report,
            ViewMessage::Reported(_) => Self::Reported,
            ViewMessage::Wanted(_) => Self::Wanted,
            ViewMessage::Ask(_) => Self::Ask,
            ViewMessage::Told(_) => Self::Told,
            ViewMessage::Parting(_) => Self::Parting,
            ViewMessage::Parted(_) => Self::Parted,
        }
    }

    pub(super) const fn to_u8(self) -> u8 {
        match self {
            Self::Here => 21,
            Self::MapReport => 22,
            Self::MapReported => 23,
            Self::MapInstall => 24,
            Self::MapInstalled => 25,
            Self::Report => 26,
            Self::Reported => 27,
            Self::Wanted => 28,
            Self::Ask => 29,
            Self::Told => 30,
            Self::Parting => 31,
            Self::Parted => 32,
        }
    }

    pub(super) const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            21 => Self::Here,
            22 => Self::MapReport,
            23 => Self::MapReported,
            24 => Self::MapInstall,
            25 => Self::MapInstalled,
            26 => Self::Report,
            27 => Self::Reported,
            28 => Self::Wanted,
            29 => Self::Ask,
            30 => Self::Told,
            31 => Self::Parting,
            32 => Self::Parted,
            _ => return None,
        })
    }
}

// ---- to bytes ----

/// Writes a message to the front of `buf` and gives its length in bytes; `None` if it does not fit.
///
/// Pages of maps, reports and single units are written by [`FrameWriter`](super::FrameWriter), piece by piece; one that is
/// given here is not written.
#[must_use]
pub fn encode_view(message: &ViewMessage<'_>, buf: &mut [u8]) -> Option<usize> {
    let (header, rest) = buf.split_first_chunk_mut::<HEADER_LEN>()?;
    let room = rest.len();
    let mut writer = Writer::new(rest);
    match message {
        ViewMessage::Here { known } => writer.u32(known.0).ok()?,
        ViewMessage::MapReported(slot) | ViewMessage::MapInstalled(slot) => writer.u32(slot.0).ok()?,
        ViewMessage::Parting(until) | ViewMessage::Parted(until) => writer.u64(until.0).ok()?,
        ViewMessage::MapReport(_)
        | ViewMessage::MapInstall(_)
        | ViewMessage::Report(_)
        | ViewMessage::Wanted(_)
        | ViewMessage::Told(_) => return None,
        ViewMessage::Reported(reported) => {
            writer.u64(reported.position).ok()?;
            writer.u32(reported.frontier.0).ok()?;
            let wanted_again = bit(reported.is_wanted_again, WANTED_AGAIN);
            writer.u8(bit(reported.is_full, FULL) | bit(reported.is_again, AGAIN) | wanted_again).ok()?;
        }
        ViewMessage::Ask(ask) => {
            writer.u32(ask.question).ok()?;
            writer.u16(ask.space.0).ok()?;
            encode_name(ask.name, &mut writer).ok()?;
        }
    }
    let len = room - writer.room();
    *header = message_header(ViewKind::of(message).to_u8(), len).ok()?;
    Some(HEADER_LEN + len)
}

/// Which of the two messages a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// [`ViewMessage::MapReport`].
    Report,
    /// [`ViewMessage::MapInstall`].
    Install,
}

/// Writes a page of a map with as many runs as fit, and gives its length and the number of its slots; `None` if not one
/// run fits. It ends before a run that no reader would take: one of no slots, or one that goes on beyond the last slot.
pub(super) fn encode_page(
    kind: PageKind,
    first: SlotId,
    room: Room,
    runs: impl Iterator<Item = MapRun>,
    buf: &mut [u8],
) -> Option<(usize, u32)> {
    let head = HEADER_LEN + PAGE_FIXED;
    let mut writer = Writer::new(buf.get_mut(HEADER_LEN..)?);
    writer.u32(first.0).ok()?;
    encode_room(room, &mut writer).ok()?;
    let (mut end, mut count) = (first.0, 0);
    for run in runs {
        let next = end.checked_add(run.len).filter(|next| *next > end);
        let Some(next) = next.filter(|_| encode_run(&run, &mut writer).is_ok()) else { break };
        end = next;
        count += 1;
    }
    let len = head + count * RUN_LEN;
    let kind = match kind {
        PageKind::Report => ViewKind::MapReport,
        PageKind::Install => ViewKind::MapInstall,
    };
    let header = message_header(kind.to_u8(), len - HEADER_LEN).ok()?;
    buf[..HEADER_LEN].copy_from_slice(&header);
    (count > 0).then_some((len, end - first.0))
}

fn encode_run(run: &MapRun, writer: &mut Writer<'_>) -> Result<(), Short> {
    let mut fixed = writer.fields::<RUN_LEN>()?;
    fixed.u32(run.len)?;
    fixed.u8(run.claim as u8)?;
    fixed.u16(run.master.map_or(NO_NODE, |node| node.0))?;
    fixed.u32(run.version.epoch.0)?;
    fixed.u64(run.version.count)
}

/// Writes what comes before the units of a report and gives its length. Its end is for [`finish_report`].
pub(super) fn encode_report_head(head: &ReportHead, buf: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(buf);
    writer.bytes(&[0; HEADER_LEN]).ok()?;
    writer.u32(head.slot.0).ok()?;
    writer.u64(head.position).ok()?;
    writer.u64(0).ok()?;
    writer.u64(head.number.0).ok()?;
    writer.u8(0).ok()?;
    Some(REPORT_HEAD_MAX)
}

/// Completes a report of this length.
pub(super) fn finish_report(bytes: &mut [u8], end: u64, is_last: bool) {
    let header = message_header(ViewKind::Report.to_u8(), bytes.len() - HEADER_LEN);
    bytes[..HEADER_LEN].copy_from_slice(&header.expect("a report fits a frame"));
    bytes[REPORT_END_AT..REPORT_END_AT + 8].copy_from_slice(&end.to_le_bytes());
    bytes[REPORT_HEAD_MAX - 1] = if is_last { LAST } else { 0 };
}

/// Writes the position of who waits for a resource, and gives the length of the message; `None` if it does not fit or cannot
/// be.
pub(super) fn encode_wanted(unit: &ReportUnit<'_>, buf: &mut [u8]) -> Option<usize> {
    let len = encode_report_unit(unit, buf.get_mut(HEADER_LEN..)?)?;
    finish_view(ViewKind::Wanted, len, buf)
}

/// Writes the answer to a question, and gives the length of the message; `None` if it does not fit or cannot be.
pub(super) fn encode_told(
    question: u32,
    number: Number,
    unit: Option<&ReportUnit<'_>>,
    buf: &mut [u8],
) -> Option<usize> {
    let (fixed, rest) = buf.get_mut(HEADER_LEN..)?.split_first_chunk_mut::<TOLD_FIXED>()?;
    fixed[..4].copy_from_slice(&question.to_le_bytes());
    fixed[4..].copy_from_slice(&number.0.to_le_bytes());
    let len = unit.map_or(Some(0), |unit| encode_report_unit(unit, rest))?;
    finish_view(ViewKind::Told, TOLD_FIXED + len, buf)
}

/// Writes the header before a body of this length, and gives the length of the message.
fn finish_view(kind: ViewKind, len: usize, buf: &mut [u8]) -> Option<usize> {
    let header = message_header(kind.to_u8(), len).ok()?;
    buf[..HEADER_LEN].copy_from_slice(&header);
    Some(HEADER_LEN + len)
}

/// Writes a unit to the front of `buf` and gives its length; `None` if it does not fit or cannot be.
pub(super) fn encode_report_unit(unit: &ReportUnit<'_>, buf: &mut [u8]) -> Option<usize> {
    let room = buf.len();
    let mut writer = Writer::new(buf);
    writer.u16(unit.space.0).ok()?;
    encode_name(unit.name, &mut writer).ok()?;
    writer.u8(kind_to_u8(unit.position.kind)).ok()?;
    encode_position(&unit.position, &mut writer).ok()?;
    let fields = bit(unit.token != Token::NONE, unit_field::TOKEN)
        | bit(unit.ticket.is_some(), unit_field::TICKET)
        | bit(unit.value.is_some(), unit_field::VALUE)
        | bit(unit.since != Token::NONE, unit_field::SINCE);
    writer.u8(fields).ok()?;
    if unit.token != Token::NONE {
        writer.token(unit.token).ok()?;
    }
    if let Some(ticket) = unit.ticket {
        writer.u32(ticket.epoch.0).ok()?;
        writer.u64(ticket.count).ok()?;
    }
    if let Some(value) = &unit.value {
        encode_value_copy(value, &mut writer).ok()?;
    }
    if unit.since != Token::NONE {
        writer.token(unit.since).ok()?;
    }
    Some(room - writer.room())
}

// ---- from bytes ----

/// Reads the body of a message about a view, but not the units of a report: they are for [`check_report`].
pub(super) fn decode_view(kind: ViewKind, bytes: &[u8]) -> Result<ViewMessage<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    Ok(match kind {
        ViewKind::Here => ViewMessage::Here { known: Epoch(reader.u32()?) },
        ViewKind::MapReport => ViewMessage::MapReport(decode_page(&mut reader)?),
        ViewKind::MapReported => ViewMessage::MapReported(SlotId(reader.u32()?)),
        ViewKind::MapInstall => ViewMessage::MapInstall(decode_page(&mut reader)?),
        ViewKind::MapInstalled => ViewMessage::MapInstalled(SlotId(reader.u32()?)),
        ViewKind::Report => {
            let (slot, position, end) = (SlotId(reader.u32()?), reader.u64()?, reader.u64()?);
            let number = Number(reader.u64()?);
            let is_last = reader.u8()? & LAST != 0;
            if end <= position {
                return Err(DecodeError::Malformed);
            }
            let head = ReportHead { slot, position, number };
            ViewMessage::Report(Report { head, end, is_last, units: ReportUnits(reader.rest()) })
        }
        ViewKind::Reported => {
            let (position, frontier) = (reader.u64()?, SlotId(reader.u32()?));
            let bits = reader.u8()?;
            let (is_full, is_again) = (bits & FULL != 0, bits & AGAIN != 0);
            let is_wanted_again = bits & WANTED_AGAIN != 0;
            ViewMessage::Reported(Reported { position, frontier, is_full, is_again, is_wanted_again })
        }
        ViewKind::Wanted => ViewMessage::Wanted(decode_single(&mut reader)?.ok_or(DecodeError::Malformed)?),
        ViewKind::Ask => {
            let (question, space) = (reader.u32()?, SpaceId(reader.u16()?));
            ViewMessage::Ask(Ask { question, space, name: decode_name(&mut reader)? })
        }
        ViewKind::Told => {
            let (question, number) = (reader.u32()?, Number(reader.u64()?));
            let units = decode_single(&mut reader)?.unwrap_or(ReportUnits(&[]));
            ViewMessage::Told(Told { question, number, units })
        }
        ViewKind::Parting => ViewMessage::Parting(Number(reader.u64()?)),
        ViewKind::Parted => ViewMessage::Parted(Number(reader.u64()?)),
    })
}

/// What is left, if anything, as one unit of a report. What a newer version appended to it is passed over.
fn decode_single<'a>(reader: &mut Reader<'a>) -> Result<Option<ReportUnits<'a>>, DecodeError> {
    let rest = reader.rest();
    if rest.is_empty() {
        return Ok(None);
    }
    let mut after = Reader::new(rest);
    decode_report_unit(&mut after)?;
    let len = rest.len() - after.rest().len();
    Ok(Some(ReportUnits(&rest[..len])))
}

/// A page that says something of at least one slot, and of none twice or beyond the last number of a slot.
fn decode_page<'a>(reader: &mut Reader<'a>) -> Result<MapPage<'a>, DecodeError> {
    let first = SlotId(reader.u32()?);
    let room = decode_room(reader)?;
    let runs = reader.rest();
    let mut rest = Reader::new(runs);
    let mut end = u64::from(first.0);
    while !rest.rest().is_empty() {
        end += u64::from(decode_run(&mut rest)?.len);
    }
    if runs.is_empty() || end > u64::from(u32::MAX) {
        return Err(DecodeError::Malformed);
    }
    Ok(MapPage { first, room, runs: MapRuns(runs) })
}

fn decode_run(reader: &mut Reader<'_>) -> Result<MapRun, DecodeError> {
    let mut fixed = reader.fields::<RUN_LEN>()?;
    let len = fixed.u32()?;
    let claim = Claimed::from_u8(fixed.u8()?).ok_or(DecodeError::Malformed)?;
    let master = Some(fixed.u16()?).filter(|node| *node != NO_NODE).map(NodeId);
    let version = MapVersion { epoch: Epoch(fixed.u32()?), count: fixed.u64()? };
    if len == 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(MapRun { len, claim, master, version })
}

/// Are the units of a report units?
pub(super) fn check_report(report: &Report<'_>) -> Result<(), DecodeError> {
    let mut units = report.units;
    while units.next_unit()?.is_some() {}
    Ok(())
}

fn decode_report_unit<'a>(reader: &mut Reader<'a>) -> Result<ReportUnit<'a>, DecodeError> {
    let space = SpaceId(reader.u16()?);
    let name = decode_name(reader)?;
    let kind = kind_from_u8(reader.u8()?).ok_or(DecodeError::Malformed)?;
    let position = decode_position(kind, reader)?;
    let fields = reader.u8()?;
    let (token, since) = (Token::NONE, Token::NONE);
    let mut unit = ReportUnit { space, name, position, token, ticket: None, value: None, since };
    if fields & unit_field::TOKEN != 0 {
        unit.token = reader.token()?;
    }
    if fields & unit_field::TICKET != 0 {
        unit.ticket = Some(QueueTicket { epoch: Epoch(reader.u32()?), count: reader.u64()? });
    }
    if fields & unit_field::VALUE != 0 {
        unit.value = Some(decode_value_copy(reader)?);
    }
    if fields & unit_field::SINCE != 0 {
        unit.since = reader.token()?;
    }
    Ok(unit)
}
