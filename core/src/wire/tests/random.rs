//! Samples of everything that is written: the same ones in every run.

extern crate std;

use std::boxed::Box;
use std::vec::Vec;

use super::super::*;
use super::ChunkParts;
use super::views::{PageSample, ReportSample, ReportUnitSample, ViewSample};
use crate::error::Full;
use crate::flags::Flags;
use crate::id::{
    DemandId, Epoch, Incarnation, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId, SlotRange,
    SpaceId, Token,
};
use crate::mode::Mode;
use crate::snapshot::QueueName;
use crate::transfer::{Refusal, Room};
use crate::value::{Value, ValueCopy, ValueState};
use crate::view::Claimed;

/// A message that owns its name.
pub(super) struct Sample {
    space: SpaceId,
    name: Vec<u8>,
    body: Body,
}

impl Sample {
    pub(super) fn message(&self) -> LockMessage<'_> {
        LockMessage { space: self.space, name: &self.name, body: self.body }
    }
}

pub(super) fn samples(count: usize) -> Vec<Sample> {
    let mut random = Random(42);
    (0..count)
        .map(|_| Sample { space: SpaceId(random.u16()), name: random.name(), body: random.body() })
        .collect()
}

/// Messages about transfers that are no chunks.
pub(super) fn transfer_samples(count: usize) -> Vec<TransferMessage<'static>> {
    let mut random = Random(43);
    (0..count).map(|_| random.transfer_message()).collect()
}

/// A chunk that owns its names.
pub(super) struct ChunkSample {
    range: SlotRange,
    version: MapVersion,
    head: ChunkHead,
    floors: Vec<(NodeId, Number)>,
    units: Vec<UnitSample>,
    sent: u64,
    is_last: bool,
}

enum UnitSample {
    Record { space: SpaceId, name: Vec<u8>, locks: u8, value: Option<ValueCopy>, is_value_lost: bool },
    Lock(LockUnit),
}

impl ChunkSample {
    pub(super) fn check(&self, check: impl FnOnce(&ChunkParts<'_>)) {
        let units: Vec<_> = self.units.iter().map(UnitSample::unit).collect();
        check(&ChunkParts {
            range: self.range,
            version: self.version,
            head: self.head,
            floors: &self.floors,
            units: &units,
            sent: self.sent,
            is_last: self.is_last,
        });
    }
}

impl UnitSample {
    fn unit(&self) -> Unit<'_> {
        match self {
            Self::Record { space, name, locks, value, is_value_lost } => Unit::Record(RecordUnit {
                space: *space,
                name,
                locks: *locks,
                value: *value,
                is_value_lost: *is_value_lost,
            }),
            Self::Lock(lock) => Unit::Lock(*lock),
        }
    }
}

/// Chunks with up to so many records.
pub(super) fn chunk_samples(count: usize, records: usize) -> Vec<ChunkSample> {
    let mut random = Random(44);
    (0..count).map(|_| random.chunk(records)).collect()
}

pub(super) fn lock_samples(count: usize) -> Vec<LockUnit> {
    let mut random = Random(45);
    (0..count).map(|_| random.lock()).collect()
}

/// Messages about views of all kinds; pages and reports have up to so many pieces.
pub(super) fn view_samples(count: usize, pieces: usize) -> Vec<ViewSample> {
    let mut random = Random(46);
    (0..count).map(|_| random.view_message(pieces)).collect()
}

/// A xorshift generator: the same samples in every run.
pub(super) struct Random(pub(super) u64);

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

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % bound
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u8()).collect()
    }

    fn name(&mut self) -> Vec<u8> {
        let len = 1 + self.below(64);
        self.bytes(len)
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

    fn value_copy(&mut self) -> ValueCopy {
        let states = [ValueState::Absent, ValueState::Valid(self.value()), ValueState::Invalid(self.value())];
        ValueCopy { version: self.token(), state: states[self.below(3)] }
    }

    fn granting(&mut self) -> Grant {
        let copy = self.value_copy();
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
        match self.below(12) {
            0 => Body::Queued(Queued { number, ticket: self.ticket() }),
            1 => Body::Deny(Deny { number, reason: self.reason() }),
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
                version: self.version(),
            }),
            5 | 6 => Body::Grant(self.granting()),
            7 | 8 => Body::UpdatedLocks(UpdatedLocks {
                from: NodeId(self.u16()),
                incarnation: Incarnation(self.u64()),
                position: self.position(),
            }),
            _ => Body::Position(self.position()),
        }
    }

    fn reason(&mut self) -> DenyReason {
        let reasons = [DenyReason::Busy, DenyReason::Deadlock, DenyReason::Full, DenyReason::Renew];
        reasons[self.below(4)]
    }

    fn ticket(&mut self) -> QueueTicket {
        QueueTicket { epoch: Epoch(self.u32()), count: self.u64() }
    }

    fn version(&mut self) -> MapVersion {
        MapVersion { epoch: Epoch(self.u32()), count: self.u64() }
    }

    fn room(&mut self) -> Room {
        Room { resources: self.u32(), physical: self.u32(), names: self.u32(), values: self.u32() }
    }

    /// From no slot on, or up to the last number that a slot can have, or somewhere.
    fn range(&mut self) -> SlotRange {
        let first = self.u32();
        let most = u64::from(u32::MAX - first) + 1;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let len = [1, most, 1 + self.u32() % most];
        SlotRange { first: SlotId(first), len: len[self.below(3)] }
    }

    fn offer_answer(&mut self) -> OfferAnswer {
        let refusals = [
            Refusal::TooMany,
            Refusal::Stale,
            Refusal::Full(Full::Resources),
            Refusal::Full(Full::Physical),
            Refusal::Full(Full::Names),
            Refusal::Full(Full::Values),
            Refusal::Full(Full::Locks),
            Refusal::Leaving,
        ];
        match self.below(3) {
            0 => OfferAnswer::Noted,
            1 => OfferAnswer::Accepted(self.room()),
            _ => OfferAnswer::Refused(refusals[self.below(7)]),
        }
    }

    fn transfer_message(&mut self) -> TransferMessage<'static> {
        let body = match self.below(12) {
            0 | 1 => TransferBody::Offer { to: NodeId(self.u16()), need: self.room(), room: self.room() },
            2..5 => TransferBody::OfferAnswer(self.offer_answer()),
            5 => {
                TransferBody::Received { position: self.u64(), sent: self.u64(), is_busy: self.below(2) == 0 }
            }
            6 => TransferBody::NewMaster { old: NodeId(self.u16()) },
            7 => TransferBody::NewMasterAck,
            8 => TransferBody::End,
            9 => TransferBody::EndAck,
            10 => TransferBody::Withdraw,
            _ => TransferBody::WithdrawAck,
        };
        TransferMessage { range: self.range(), version: self.version(), body }
    }

    fn view_message(&mut self, pieces: usize) -> ViewSample {
        match self.below(15) {
            0 => ViewSample::Short(ViewMessage::Here { known: Epoch(self.u32()) }),
            1 => ViewSample::Short(ViewMessage::MapReported(SlotId(self.u32()))),
            2 => ViewSample::Short(ViewMessage::MapInstalled(SlotId(self.u32()))),
            3 => ViewSample::Short(ViewMessage::Reported(Reported {
                position: self.u64(),
                frontier: SlotId(self.u32()),
                is_full: self.one_in(2),
                is_again: self.one_in(2),
                is_wanted_again: self.one_in(2),
            })),
            4 => ViewSample::Page(self.page(PageKind::Report, pieces)),
            5 => ViewSample::Page(self.page(PageKind::Install, pieces)),
            6 | 7 => ViewSample::Wanted(Box::new(self.report_unit())),
            8 => {
                let (question, space, name) = (self.u32(), SpaceId(self.u16()), self.name().leak());
                ViewSample::Short(ViewMessage::Ask(Ask { question, space, name }))
            }
            9 => ViewSample::Told((self.u32(), Number(self.u64())), None),
            10 => {
                let numbers = (self.u32(), Number(self.u64()));
                ViewSample::Told(numbers, Some(Box::new(self.report_unit())))
            }
            11 => ViewSample::Short(ViewMessage::Parting(Number(self.u64()))),
            12 => ViewSample::Short(ViewMessage::Parted(Number(self.u64()))),
            _ => ViewSample::Report(self.report(pieces)),
        }
    }

    /// Runs that end at the last slot that there can be, or before it.
    fn page(&mut self, kind: PageKind, pieces: usize) -> PageSample {
        let mut first = self.u32();
        let mut runs = Vec::new();
        let mut left = u32::MAX - first;
        for _ in 0..=self.below(pieces) {
            let lens = [1, left, self.u32()];
            let len = lens[self.below(3)].min(left);
            if len == 0 {
                break;
            }
            left -= len;
            let claims = [Claimed::Neither, Claimed::Mine, Claimed::Moving];
            let master = NodeId(self.u16());
            runs.push(MapRun {
                len,
                claim: claims[self.below(3)],
                master: Some(master).filter(|node| *node != NodeId::GONE),
                version: self.version(),
            });
        }
        if runs.is_empty() {
            first = u32::MAX - 1;
            runs.push(MapRun { len: 1, claim: Claimed::Mine, master: None, version: self.version() });
        }
        PageSample { kind, first: SlotId(first), room: self.room(), runs }
    }

    fn report(&mut self, pieces: usize) -> ReportSample {
        let (one, other) = (self.u64(), self.u64());
        let position = one.min(other).min(u64::MAX - 1);
        let head = ReportHead { slot: SlotId(self.u32()), position, number: Number(self.u64()) };
        let units = (0..self.below(pieces + 1)).map(|_| self.report_unit()).collect();
        ReportSample { head, end: one.max(other).max(position + 1), is_last: self.one_in(2), units }
    }

    fn report_unit(&mut self) -> ReportUnitSample {
        let (space, name, position) = (SpaceId(self.u16()), self.name(), self.position());
        let (token, ticket, value) = (self.token(), self.ticket(), self.value_copy());
        let since = self.token();
        ReportUnitSample {
            space,
            name,
            position,
            token: if self.one_in(2) { token } else { Token::NONE },
            ticket: self.one_in(2).then_some(ticket),
            value: self.one_in(2).then_some(value),
            since: if self.one_in(2) { since } else { Token::NONE },
        }
    }

    fn demand(&mut self) -> DemandUnit {
        DemandUnit {
            id: DemandId(self.u32()),
            stay: self.mode(),
            priority: Priority(self.u8()),
            demote: self.one_in(2),
            is_answered: self.one_in(2),
        }
    }

    fn lock(&mut self) -> LockUnit {
        let queues = [QueueName::Granted, QueueName::Convert, QueueName::Wait];
        let queue = queues[self.below(3)];
        let is_waiting = queue != QueueName::Granted;
        let held = if queue == QueueName::Wait { self.optional_mode() } else { Some(self.mode()) };
        let answers = [None, Some(Ok(())), Some(Err(self.reason()))];
        let answer = answers[if is_waiting { 0 } else { self.below(3) }];
        let demand = self.one_in(2).then(|| self.demand());
        LockUnit {
            node: NodeId(self.u16()),
            queue,
            held,
            pinned: (queue == QueueName::Convert).then(|| self.mode()),
            wanted: is_waiting.then(|| self.mode()),
            told: self.optional_mode(),
            flags: Flags::from_bits(self.u16()),
            alternate: self.one_in(2),
            demoted: self.one_in(2),
            priority: Priority(self.u8()),
            number: Number(self.u64()),
            asked: Number(self.u64()),
            token: self.token(),
            ticket: self.ticket(),
            writing_since: if self.one_in(2) { self.token() } else { Token::NONE },
            copy: if self.one_in(2) { self.token() } else { Token::NONE },
            answer,
            demand,
            is_asking_holders: self.one_in(2),
            due: [
                answer.is_some() && self.one_in(2),
                is_waiting && self.one_in(2),
                demand.is_some() && self.one_in(2),
            ],
        }
    }

    /// The rest of a record, whole records, and often the beginning of another.
    fn chunk(&mut self, records: usize) -> ChunkSample {
        let is_last = self.one_in(3);
        let mut units = Vec::new();
        for _ in 0..self.below(4) {
            units.push(UnitSample::Lock(self.lock()));
        }
        let records = self.below(records + 1);
        for record in 0..records {
            let locks = if self.one_in(10) { 64 } else { self.below(4) };
            let value = self.one_in(2).then(|| self.value_copy());
            units.push(UnitSample::Record {
                space: SpaceId(self.u16()),
                name: self.name(),
                locks: u8::try_from(locks).unwrap(),
                value,
                is_value_lost: value.is_none() && self.one_in(2),
            });
            let goes_on = record + 1 == records && !is_last && locks > 0 && self.one_in(2);
            let here = if goes_on { self.below(locks) } else { locks };
            for _ in 0..here {
                units.push(UnitSample::Lock(self.lock()));
            }
        }
        let range = self.range();
        let slot = SlotId(range.first.0 + self.u32() % range.len);
        let floors = [0, self.below(4), self.below(65)];
        let floors = floors[self.below(3)];
        ChunkSample {
            range,
            version: self.version(),
            head: ChunkHead {
                slot,
                position: self.u64(),
                demand: DemandId(self.u32()),
                grants: self.u64(),
                arrivals: self.u64(),
            },
            floors: (0..floors).map(|_| (NodeId(self.u16()), Number(self.u64()))).collect(),
            units,
            sent: self.u64(),
            is_last,
        }
    }
}
