//! Values of every kind out of a list of numbers: quickcheck draws the numbers, and shrinks what is made of them by making
//! them fewer and smaller.

use lockmaster_core::wire::{
    Body, Demand, DemandUnit, Deny, DenyReason, Grant, LockUnit, OfferAnswer, Position, PositionKind, Queued,
    Redirect, TransferBody, UpdatedLocks, Write,
};
use lockmaster_core::{
    DemandId, Epoch, Flags, Full, Incarnation, MapVersion, Mode, NodeId, Number, Priority, QueueName,
    QueueTicket, Refusal, Room, SlotId, SlotRange, Token, Value, ValueCopy, ValueState,
};

/// Numbers that were drawn, taken one after the other; zeros when there are no more.
#[derive(Debug)]
pub struct Draws<'a>(core::slice::Iter<'a, u64>);

/// How many kinds of bodies [`Draws::body`] makes.
pub const BODIES: u64 = 8;
/// How many kinds [`Draws::transfer_body`] makes.
pub const TRANSFER_BODIES: u64 = 9;

impl<'a> Draws<'a> {
    /// From these numbers.
    #[must_use]
    pub fn new(numbers: &'a [u64]) -> Self {
        Self(numbers.iter())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0.next().copied().unwrap_or(0)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).expect("it is below a length")]
    }

    /// Heads or tails.
    pub fn is_heads(&mut self) -> bool {
        self.below(2) == 1
    }

    /// The lowest bits.
    pub fn u32(&mut self) -> u32 {
        u32::try_from(self.number() & 0xffff_ffff).expect("it was cut")
    }

    /// The lowest bits.
    pub fn u16(&mut self) -> u16 {
        u16::try_from(self.number() & 0xffff).expect("it was cut")
    }

    /// The lowest bits.
    pub fn u8(&mut self) -> u8 {
        u8::try_from(self.number() & 0xff).expect("it was cut")
    }

    /// At least so many bytes, and less than so many.
    pub fn bytes(&mut self, least: u64, below: u64) -> Vec<u8> {
        let len = least + self.below(below - least);
        (0..len).map(|_| self.u8()).collect()
    }

    /// A name.
    pub fn name(&mut self) -> Vec<u8> {
        self.bytes(1, 65)
    }

    /// A mode.
    pub fn mode(&mut self) -> Mode {
        self.one_of(&Mode::ALL)
    }

    fn some_mode(&mut self) -> Option<Mode> {
        self.is_heads().then(|| self.mode())
    }

    fn token(&mut self) -> Token {
        Token { epoch: Epoch(self.u32()), grant: self.number(), local: self.u32() }
    }

    fn value(&mut self) -> Value {
        Value::new(&self.bytes(0, 65)).expect("the value is short enough")
    }

    /// A copy of a value block.
    pub fn value_copy(&mut self) -> ValueCopy {
        let states = [ValueState::Absent, ValueState::Valid(self.value()), ValueState::Invalid(self.value())];
        ValueCopy { version: self.token(), state: self.one_of(&states) }
    }

    fn reason(&mut self) -> DenyReason {
        self.one_of(&[DenyReason::Busy, DenyReason::Deadlock, DenyReason::Full, DenyReason::Renew])
    }

    fn ticket(&mut self) -> QueueTicket {
        QueueTicket { epoch: Epoch(self.u32()), count: self.number() }
    }

    /// A version of the map.
    pub fn version(&mut self) -> MapVersion {
        MapVersion { epoch: Epoch(self.u32()), count: self.number() }
    }

    /// A range of slots.
    pub fn range(&mut self) -> SlotRange {
        let first = self.u32();
        let most = (u32::MAX - first).saturating_add(1).max(1);
        SlotRange { first: SlotId(first), len: 1 + self.u32() % most }
    }

    fn room(&mut self) -> Room {
        Room { resources: self.u32(), physical: self.u32(), names: self.u32(), values: self.u32() }
    }

    fn position(&mut self) -> Position {
        let kinds = [PositionKind::Request, PositionKind::Downgrade, PositionKind::Cancel];
        let write = Write { version: self.token(), value: self.is_heads().then(|| self.value()) };
        Position {
            kind: self.one_of(&kinds),
            number: Number(self.number()),
            asked: Number(self.number()),
            held: self.some_mode(),
            pinned: self.some_mode(),
            wanted: self.some_mode(),
            flags: Flags::from_bits(self.u16()),
            priority: Priority(self.u8()),
            patience_ms: self.u32(),
            hits: self.u32(),
            copy: if self.is_heads() { self.token() } else { Token::NONE },
            answers: DemandId(self.u32()),
            write: self.is_heads().then_some(write),
        }
    }

    /// The body of a message about a lock, of one kind.
    pub fn body(&mut self, kind: u64) -> Body {
        let number = Number(self.number());
        match kind % BODIES {
            0 => Body::Written(number),
            1 => Body::Queued(Queued { number, ticket: self.ticket() }),
            2 => Body::Deny(Deny { number, reason: self.reason() }),
            3 => Body::Demand(Demand {
                id: DemandId(self.u32()),
                number,
                held: self.mode(),
                stay: self.mode(),
                priority: Priority(self.u8()),
                demote: self.is_heads(),
            }),
            4 => Body::Redirect(Redirect {
                slot: SlotId(self.u32()),
                master: NodeId(self.u16()),
                version: self.version(),
            }),
            5 => {
                let (copy, demand) = (self.value_copy(), (DemandId(self.u32()), self.mode()));
                Body::Grant(Grant {
                    number,
                    mode: self.mode(),
                    token: self.token(),
                    value: self.is_heads().then_some(copy),
                    demand: self.is_heads().then_some(demand),
                })
            }
            6 => Body::UpdatedLocks(UpdatedLocks {
                from: NodeId(self.u16()),
                incarnation: Incarnation(self.number()),
                position: self.position(),
            }),
            _ => Body::Position(self.position()),
        }
    }

    /// The body of a message about a transfer that is no chunk, of one kind.
    pub fn transfer_body(&mut self, kind: u64) -> TransferBody<'static> {
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
        match kind % TRANSFER_BODIES {
            0 => TransferBody::End,
            1 => TransferBody::EndAck,
            2 => TransferBody::Withdraw,
            3 => TransferBody::WithdrawAck,
            4 => TransferBody::NewMasterAck,
            5 => TransferBody::NewMaster { old: NodeId(self.u16()) },
            6 => TransferBody::Received {
                position: self.number(),
                sent: self.number(),
                is_busy: self.is_heads(),
            },
            7 => TransferBody::Offer { to: NodeId(self.u16()), need: self.room(), room: self.room() },
            _ => TransferBody::OfferAnswer(match self.below(3) {
                0 => OfferAnswer::Noted,
                1 => OfferAnswer::Accepted(self.room()),
                _ => OfferAnswer::Refused(self.one_of(&refusals)),
            }),
        }
    }

    /// A lock of a chunk that does not contradict itself.
    pub fn lock(&mut self) -> LockUnit {
        let queue = self.one_of(&[QueueName::Granted, QueueName::Convert, QueueName::Wait]);
        let is_waiting = queue != QueueName::Granted;
        let answers = [None, Some(Ok(())), Some(Err(self.reason()))];
        let answer = if is_waiting { None } else { self.one_of(&answers) };
        let demand = DemandUnit {
            id: DemandId(self.u32()),
            stay: self.mode(),
            priority: Priority(self.u8()),
            demote: self.is_heads(),
            is_answered: self.is_heads(),
        };
        let demand = self.is_heads().then_some(demand);
        LockUnit {
            node: NodeId(self.u16()),
            queue,
            held: if queue == QueueName::Wait { self.some_mode() } else { Some(self.mode()) },
            pinned: (queue == QueueName::Convert).then(|| self.mode()),
            wanted: is_waiting.then(|| self.mode()),
            told: self.some_mode(),
            flags: Flags::from_bits(self.u16()),
            alternate: self.is_heads(),
            demoted: self.is_heads(),
            priority: Priority(self.u8()),
            number: Number(self.number()),
            asked: Number(self.number()),
            token: self.token(),
            ticket: self.ticket(),
            writing_since: if self.is_heads() { self.token() } else { Token::NONE },
            copy: if self.is_heads() { self.token() } else { Token::NONE },
            answer,
            demand,
            is_asking_holders: self.is_heads(),
            due: [
                answer.is_some() && self.is_heads(),
                is_waiting && self.is_heads(),
                demand.is_some() && self.is_heads(),
            ],
        }
    }
}
