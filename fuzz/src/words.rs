//! Everything that can be said on the wire, chosen by bytes.

use std::collections::VecDeque;

use lockmaster_core::wire::{
    Ask, Body, ChunkHead, Demand, DemandUnit, Deny, DenyReason, FRAME_MAX, FrameWriter, Grant, LockMessage,
    LockUnit, MapPage, MapRun, OfferAnswer, PageKind, Position, PositionKind, Queued, RecordUnit, Redirect,
    ReportHead, ReportUnit, Reported, TransferBody, TransferMessage, Unit, UpdatedLocks, ViewMessage, Write,
};
use lockmaster_core::{
    Claimed, DemandId, Epoch, Flags, Full, Incarnation, MapVersion, Mode, NAME_MAX, NodeId, Number, Priority,
    QueueName, QueueTicket, Refusal, Room, SlotId, SlotRange, SpaceId, Token, VALUE_MAX, Value, ValueCopy,
    ValueState,
};

use crate::choices::Choices;

/// What is said.
pub(crate) struct Words<'a, 'w> {
    pub(crate) choices: Choices<'a>,
    /// What is spoken of; anything at all if absent.
    pub(crate) world: Option<&'w World>,
}

/// What a speaker knows of a cluster: most of what is said is about this.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) names: Vec<(SpaceId, Vec<u8>)>,
    pub(crate) slots: u32,
    pub(crate) epoch: Epoch,
    /// Added to a node's number it gives the node's incarnation.
    pub(crate) incarnations: u64,
    /// What was heard of late, to be said again.
    pub(crate) echoes: Echoes,
}

/// Numbers, transfers and questions that were heard, a few of each.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    numbers: VecDeque<u64>,
    transfers: VecDeque<(SlotRange, MapVersion)>,
    questions: VecDeque<(u32, (SpaceId, Vec<u8>))>,
}

impl Echoes {
    const MAX: usize = 8;

    pub(crate) fn hear_number(&mut self, number: u64) {
        if !self.numbers.contains(&number) {
            self.numbers.push_front(number);
            self.numbers.truncate(Self::MAX);
        }
    }

    pub(crate) fn hear_transfer(&mut self, range: SlotRange, version: MapVersion) {
        if !self.transfers.contains(&(range, version)) {
            self.transfers.push_front((range, version));
            self.transfers.truncate(Self::MAX);
        }
    }

    pub(crate) fn hear_question(&mut self, ask: &Ask<'_>) {
        self.questions.push_front((ask.question, (ask.space, ask.name.to_vec())));
        self.questions.truncate(Self::MAX);
    }
}

/// A chunk that owns its names.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) range: SlotRange,
    pub(crate) version: MapVersion,
    pub(crate) head: ChunkHead,
    pub(crate) floors: Vec<(NodeId, Number)>,
    pub(crate) units: Vec<OwnedUnit>,
    pub(crate) sent: u64,
    pub(crate) is_last: bool,
}

/// A unit that owns its name.
#[derive(Debug)]
pub(crate) enum OwnedUnit {
    Record { space: SpaceId, name: Vec<u8>, locks: u8, value: Option<ValueCopy>, is_value_lost: bool },
    Lock(LockUnit),
}

impl OwnedUnit {
    pub(crate) fn unit(&self) -> Unit<'_> {
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

/// A message about a view that owns its pieces.
#[derive(Debug)]
pub(crate) enum ViewWords {
    Short(ViewMessage<'static>),
    Page(PageWords),
    Report(ReportWords),
    Wanted(Box<ReportUnitWords>),
    /// The number of a question, and what it asks about.
    Ask(u32, (SpaceId, Vec<u8>)),
    /// The number of a question, and the answer.
    Told((u32, Number), Option<Box<ReportUnitWords>>),
}

#[derive(Debug)]
pub(crate) struct PageWords {
    kind: PageKind,
    first: SlotId,
    room: Room,
    runs: Vec<MapRun>,
}

#[derive(Debug)]
pub(crate) struct ReportWords {
    head: ReportHead,
    end: u64,
    is_last: bool,
    units: Vec<ReportUnitWords>,
}

#[derive(Debug)]
pub(crate) struct ReportUnitWords {
    named: (SpaceId, Vec<u8>),
    position: Position,
    token: Token,
    ticket: Option<QueueTicket>,
    value: Option<ValueCopy>,
    since: Token,
}

impl ReportUnitWords {
    fn unit(&self) -> ReportUnit<'_> {
        let ((space, name), position) = (&self.named, self.position);
        ReportUnit {
            space: *space,
            name,
            position,
            token: self.token,
            ticket: self.ticket,
            value: self.value,
            since: self.since,
        }
    }
}

impl ViewWords {
    /// A map that gives all slots to one node, as lost ones.
    pub(crate) fn gift(world: &World, master: NodeId) -> Self {
        let version = MapVersion { epoch: world.epoch, count: 0 };
        let run = MapRun { len: world.slots, claim: Claimed::Neither, master: Some(master), version };
        Self::Page(PageWords { kind: PageKind::Install, first: SlotId(0), room: Room::NONE, runs: vec![run] })
    }

    /// Appends the message; `false` if it does not fit. Of a page as much is appended as fits, and the rest forgotten.
    pub(crate) fn push_to(&mut self, frame: &mut FrameWriter<'_>) -> bool {
        match self {
            Self::Short(message) => frame.push_view(message),
            Self::Page(page) => {
                let runs = page.runs.iter().copied();
                let pushed = frame.push_page(page.kind, page.first, page.room, runs, FRAME_MAX);
                let Some(slots) = pushed else { return false };
                let mut left = slots;
                page.runs.retain(|run| {
                    let is_said = left > 0;
                    left = left.saturating_sub(run.len);
                    is_said
                });
                true
            }
            Self::Report(report) => {
                let Some(mut writer) = frame.begin_report(&report.head) else { return false };
                if !report.units.iter().all(|unit| writer.push(&unit.unit())) {
                    return false;
                }
                writer.finish(report.end, report.is_last);
                true
            }
            Self::Wanted(unit) => frame.push_wanted(&unit.unit()),
            Self::Ask(question, (space, name)) => {
                frame.push_view(&ViewMessage::Ask(Ask { question: *question, space: *space, name }))
            }
            Self::Told((question, number), unit) => {
                let unit = unit.as_ref().map(|unit| unit.unit());
                frame.push_told(*question, *number, unit.as_ref())
            }
        }
    }

    /// Is there so much to be said that no frame need have room for it?
    pub(crate) const fn is_long(&self) -> bool {
        matches!(self, Self::Report(report) if report.units.len() > 1)
    }

    /// Is this what a message says?
    pub(crate) fn is_said_by(&self, message: &ViewMessage<'_>) -> bool {
        match (self, message) {
            (Self::Short(said), message) => said == message,
            (Self::Page(said), ViewMessage::MapReport(page)) => said.is(PageKind::Report, page),
            (Self::Page(said), ViewMessage::MapInstall(page)) => said.is(PageKind::Install, page),
            (Self::Report(said), ViewMessage::Report(report)) => {
                (said.head, said.end, said.is_last) == (report.head, report.end, report.is_last)
                    && report.units.eq(said.units.iter().map(ReportUnitWords::unit))
            }
            (Self::Wanted(said), ViewMessage::Wanted(units)) => (*units).eq([said.unit()]),
            (Self::Ask(question, (space, name)), ViewMessage::Ask(ask)) => {
                (ask.question, ask.space, ask.name) == (*question, *space, name)
            }
            (Self::Told(numbers, said), ViewMessage::Told(told)) => {
                (told.question, told.number) == *numbers && told.units.eq(said.iter().map(|unit| unit.unit()))
            }
            (Self::Page(_) | Self::Report(_) | Self::Wanted(_) | Self::Ask(..) | Self::Told(..), _) => false,
        }
    }
}

impl PageWords {
    fn is(&self, kind: PageKind, page: &MapPage<'_>) -> bool {
        (self.kind, self.first, self.room) == (kind, page.first, page.room)
            && page.runs.eq(self.runs.iter().copied())
    }
}

impl<'a, 'w> Words<'a, 'w> {
    pub(crate) const fn new(choices: Choices<'a>, world: Option<&'w World>) -> Self {
        Self { choices, world }
    }

    // ---- what is spoken of ----

    /// A resource: of the world, or of any name.
    pub(crate) fn named(&mut self) -> (SpaceId, Vec<u8>) {
        let at = self.choices.byte();
        if let Some(world) = self.world
            && at < 240
        {
            return world.names[usize::from(at) % world.names.len()].clone();
        }
        let len = usize::from(at) % NAME_MAX + 1;
        (SpaceId(self.choices.u16()), self.choices.bytes(len))
    }

    pub(crate) fn node(&mut self) -> NodeId {
        match self.world {
            Some(_) => NodeId(self.choices.u16() % 6),
            None => NodeId(self.choices.u16()),
        }
    }

    fn epoch(&mut self) -> Epoch {
        match self.world {
            Some(world) if !self.choices.one_in(16) => world.epoch,
            Some(_) | None => Epoch(self.choices.u32()),
        }
    }

    fn version(&mut self) -> MapVersion {
        MapVersion { epoch: self.epoch(), count: self.choices.count() }
    }

    /// Slots, of which there are some and which have numbers.
    pub(crate) fn range(&mut self) -> SlotRange {
        let (first, len) = (self.choices.u32(), self.choices.u32());
        if let Some(world) = self.world
            && !self.choices.one_in(16)
        {
            let first = first % world.slots;
            return SlotRange { first: SlotId(first), len: 1 + len % (world.slots - first) };
        }
        let most = u32::try_from((1 << 32) - u64::from(first)).unwrap_or(u32::MAX);
        SlotRange { first: SlotId(first), len: (len % most).max(1) }
    }

    fn token(&mut self) -> Token {
        Token { epoch: self.epoch(), grant: self.choices.count(), local: self.choices.u32() }
    }

    fn optional_token(&mut self) -> Token {
        if self.choices.one_in(2) { self.token() } else { Token::NONE }
    }

    fn number(&mut self) -> Number {
        Number(self.echoed())
    }

    fn demand_id(&mut self) -> DemandId {
        let number = self.echoed();
        DemandId(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Often a number that was heard, or one beside it.
    fn echoed(&mut self) -> u64 {
        if let Some(heard) = self.world.map(|world| &world.echoes.numbers).filter(|heard| !heard.is_empty()) {
            let choice = usize::from(self.choices.byte());
            let number = heard[choice / 4 % heard.len()];
            match choice % 4 {
                0 | 1 => return number,
                2 => return number.wrapping_add(1),
                _ => {}
            }
        }
        self.choices.count()
    }

    /// The transfer that is spoken of: mostly one that was heard of.
    fn transfer(&mut self) -> (SlotRange, MapVersion) {
        let known = self.world.map(|world| &world.echoes.transfers).filter(|known| !known.is_empty());
        if let Some(known) = known {
            let choice = usize::from(self.choices.byte());
            if choice % 4 != 3 {
                return known[choice / 4 % known.len()];
            }
        }
        (self.range(), self.version())
    }

    pub(crate) fn mode(&mut self) -> Mode {
        self.choices.pick(&Mode::ALL)
    }

    fn optional_mode(&mut self) -> Option<Mode> {
        Mode::ALL.get(self.choices.below(7)).copied()
    }

    pub(crate) fn flags(&mut self) -> Flags {
        let [low, high] = [self.choices.byte(), self.choices.byte()];
        Flags::from_bits(u16::from_le_bytes([low, high]))
    }

    fn priority(&mut self) -> Priority {
        Priority(self.choices.byte())
    }

    pub(crate) fn value(&mut self) -> Value {
        let len = self.choices.below(VALUE_MAX + 1);
        Value::new(&self.choices.bytes(len)).expect("it is short enough")
    }

    fn value_copy(&mut self) -> ValueCopy {
        let state = match self.choices.below(3) {
            0 => ValueState::Absent,
            1 => ValueState::Valid(self.value()),
            _ => ValueState::Invalid(self.value()),
        };
        ValueCopy { version: self.token(), state }
    }

    fn ticket(&mut self) -> QueueTicket {
        QueueTicket { epoch: self.epoch(), count: self.choices.count() }
    }

    fn reason(&mut self) -> DenyReason {
        self.choices.pick(&[DenyReason::Busy, DenyReason::Deadlock, DenyReason::Full, DenyReason::Renew])
    }

    fn room(&mut self) -> Room {
        let [resources, physical, names, values] = core::array::from_fn(|_| self.choices.u32());
        Room { resources, physical, names, values }
    }

    // ---- about resources ----

    pub(crate) fn position(&mut self) -> Position {
        let kind = [PositionKind::Request, PositionKind::Downgrade, PositionKind::Cancel];
        let kind = self.choices.pick(&kind);
        let number = self.number();
        let mut position = Position {
            kind,
            number,
            held: self.optional_mode(),
            wanted: self.optional_mode(),
            ..Position::default()
        };
        position.asked = if position.wanted.is_some() { number } else { Number(0) };
        let fields = self.choices.byte();
        let has = |bit: u8| fields >> bit & 1 != 0;
        if has(0) {
            position.asked = self.number();
        }
        if has(1) {
            position.flags = self.flags();
        }
        if has(2) {
            (position.priority, position.hits) = (self.priority(), self.choices.u32());
        }
        if has(3) {
            position.patience_ms = self.choices.u32();
        }
        if has(4) {
            position.pinned = self.optional_mode();
        }
        if has(5) {
            position.copy = self.token();
        }
        if has(6) {
            position.answers = self.demand_id();
        }
        if has(7) {
            let value = if self.choices.one_in(3) { None } else { Some(self.value()) };
            position.write = Some(Write { version: self.token(), value });
        }
        position
    }

    fn grant(&mut self) -> Grant {
        let mut grant = Grant {
            number: self.number(),
            mode: self.mode(),
            token: self.token(),
            value: None,
            demand: None,
        };
        if self.choices.one_in(2) {
            grant.value = Some(self.value_copy());
        }
        if self.choices.one_in(2) {
            grant.demand = Some((DemandId(self.choices.u32()), self.mode()));
        }
        grant
    }

    fn demand(&mut self) -> Demand {
        Demand {
            id: self.demand_id(),
            number: self.number(),
            held: self.mode(),
            stay: self.mode(),
            priority: self.priority(),
            demote: self.choices.one_in(2),
        }
    }

    pub(crate) fn body(&mut self) -> Body {
        match self.choices.below(10) {
            0..3 => Body::Position(self.position()),
            3 => Body::Queued(Queued { number: self.number(), ticket: self.ticket() }),
            4 => Body::Grant(self.grant()),
            5 => Body::Deny(Deny { number: self.number(), reason: self.reason() }),
            6 => Body::Demand(self.demand()),
            7 => Body::Written(self.number()),
            8 => {
                let slot = SlotId(self.choices.u32());
                Body::Redirect(Redirect { slot, master: self.node(), version: self.version() })
            }
            _ => {
                let from = self.node();
                let incarnation = match self.world {
                    Some(world) if !self.choices.one_in(16) => world.incarnations + u64::from(from.0),
                    Some(_) | None => self.choices.count(),
                };
                let incarnation = Incarnation(incarnation);
                Body::UpdatedLocks(UpdatedLocks { from, incarnation, position: self.position() })
            }
        }
    }

    /// What a body says, of a resource that lives elsewhere.
    pub(crate) const fn lock_message(named: &(SpaceId, Vec<u8>), body: Body) -> LockMessage<'_> {
        LockMessage { space: named.0, name: named.1.as_slice(), body }
    }

    // ---- about transfers ----

    /// A message about a transfer that is no chunk.
    pub(crate) fn transfer_message(&mut self) -> TransferMessage<'static> {
        let (range, version) = self.transfer();
        let body = match self.choices.below(9) {
            0 => TransferBody::Offer { to: self.node(), need: self.room(), room: self.room() },
            1 => TransferBody::OfferAnswer(self.offer_answer()),
            2 => TransferBody::Received {
                position: self.choices.count(),
                sent: self.choices.count(),
                is_busy: self.choices.one_in(2),
            },
            3 => TransferBody::NewMaster { old: self.node() },
            4 => TransferBody::NewMasterAck,
            5 => TransferBody::End,
            6 => TransferBody::EndAck,
            7 => TransferBody::Withdraw,
            _ => TransferBody::WithdrawAck,
        };
        TransferMessage { range, version, body }
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
        match self.choices.below(3) {
            0 => OfferAnswer::Noted,
            1 => OfferAnswer::Accepted(self.room()),
            _ => OfferAnswer::Refused(self.choices.pick(&refusals)),
        }
    }

    // ---- about views ----

    /// Slots of the world, or any.
    fn slot(&mut self) -> SlotId {
        let slot = self.choices.u32();
        match self.world {
            Some(world) if !self.choices.one_in(16) => SlotId(slot % (world.slots + 1)),
            Some(_) | None => SlotId(slot),
        }
    }

    /// A message about a view. Every reader takes it.
    pub(crate) fn view_message(&mut self) -> ViewWords {
        match self.choices.below(10) {
            0 => ViewWords::Short(ViewMessage::Here { known: self.epoch() }),
            1 => ViewWords::Short(ViewMessage::MapReported(self.slot())),
            2 => ViewWords::Short(ViewMessage::MapInstalled(self.slot())),
            3 => ViewWords::Short(ViewMessage::Reported(Reported {
                position: self.choices.count(),
                frontier: self.slot(),
                is_full: self.choices.one_in(2),
                is_again: self.choices.one_in(2),
                is_wanted_again: self.choices.one_in(2),
            })),
            4 => ViewWords::Page(self.page(PageKind::Report)),
            5 => ViewWords::Page(self.page(PageKind::Install)),
            6 => ViewWords::Report(self.report()),
            7 => ViewWords::Short(ViewMessage::Parting(self.number())),
            8 => ViewWords::Short(ViewMessage::Parted(self.number())),
            _ => self.early(),
        }
    }

    /// A message about a resource that is opened before its slot, or one that closes all slots.
    fn early(&mut self) -> ViewWords {
        match self.choices.below(4) {
            0 => ViewWords::Wanted(Box::new(self.report_unit())),
            1 => ViewWords::Ask(self.choices.u32(), self.named()),
            2 => self.told(),
            _ => match self.world {
                Some(world) => ViewWords::gift(world, self.node()),
                None => ViewWords::Page(self.page(PageKind::Install)),
            },
        }
    }

    /// An answer: mostly to a question that was heard, and then about what it asks.
    fn told(&mut self) -> ViewWords {
        let choice = usize::from(self.choices.byte());
        let heard = self.world.map(|world| &world.echoes.questions).filter(|heard| !heard.is_empty());
        let heard = heard.filter(|_| choice % 8 != 7).map(|heard| heard[choice / 8 % heard.len()].clone());
        let question = heard.as_ref().map_or_else(|| self.choices.u32(), |(question, _)| *question);
        let unit = self.choices.one_in(2).then(|| {
            let mut unit = self.report_unit();
            if let Some((_, named)) = heard.filter(|_| choice % 8 != 6) {
                unit.named = named;
            }
            Box::new(unit)
        });
        ViewWords::Told((question, self.number()), unit)
    }

    fn page(&mut self, kind: PageKind) -> PageWords {
        let first = if self.choices.one_in(2) { self.slot() } else { SlotId(0) };
        let first = SlotId(first.0.min(u32::MAX - 1));
        let end = self.world.filter(|world| first.0 < world.slots).map_or(u32::MAX, |world| world.slots);
        let end = if self.choices.one_in(16) { u32::MAX } else { end };
        let mut left = end - first.0;
        let mut runs = Vec::new();
        for _ in 0..=self.choices.below(4) {
            if left > 0 {
                let choice = self.choices.u32();
                let len = if choice % 4 == 3 { left } else { 1 + choice / 4 % left };
                left -= len;
                runs.push(self.run(len));
            }
        }
        if left > 0 && self.world.is_some() && !self.choices.one_in(4) {
            runs.push(self.run(left));
        }
        PageWords { kind, first, room: self.room(), runs }
    }

    fn run(&mut self, len: u32) -> MapRun {
        let master = Some(self.node()).filter(|node| *node != NodeId::GONE && node.0 != 5);
        let claim = self.choices.pick(&[Claimed::Neither, Claimed::Mine, Claimed::Moving]);
        let mut version = self.version();
        if self.choices.one_in(2) {
            version.count = 0;
        }
        MapRun { len, claim, master, version }
    }

    fn report(&mut self) -> ReportWords {
        let slot = self.slot();
        let choice = self.choices.byte();
        // What follows on nothing, or on little, of its slot is heard.
        let first = u64::from(slot.0) << 32;
        let position =
            if choice < 224 { first + u64::from(choice % 3) } else { self.choices.count().min(u64::MAX - 1) };
        let steps = 1 + self.choices.count() % 16;
        let is_last = self.choices.one_in(2);
        let end = if is_last && choice < 224 {
            first.saturating_add(1 << 32)
        } else {
            position.saturating_add(steps)
        };
        let head = ReportHead { slot, position, number: self.number() };
        let units = (0..self.choices.below(4)).map(|_| self.report_unit()).collect();
        ReportWords { head, end, is_last, units }
    }

    fn report_unit(&mut self) -> ReportUnitWords {
        let (named, position) = (self.named(), self.position());
        let token = self.optional_token();
        let fields = self.choices.byte();
        let ticket = (fields & 1 != 0).then(|| self.ticket());
        let value = (fields & 2 != 0).then(|| self.value_copy());
        let since = if fields & 4 == 0 { Token::NONE } else { self.token() };
        ReportUnitWords { named, position, token, ticket, value, since }
    }

    /// A lock that agrees with itself.
    pub(crate) fn lock_unit(&mut self) -> LockUnit {
        let queue = self.choices.pick(&[QueueName::Granted, QueueName::Convert, QueueName::Wait]);
        let is_waiting = queue != QueueName::Granted;
        let held = if queue == QueueName::Wait { self.optional_mode() } else { Some(self.mode()) };
        let bits = self.choices.byte();
        let has = |bit: u8| bits >> bit & 1 != 0;
        let answer = match self.choices.below(3) {
            1 if !is_waiting => Some(Ok(())),
            2 if !is_waiting => Some(Err(self.reason())),
            _ => None,
        };
        let demand = has(0).then(|| DemandUnit {
            id: DemandId(self.choices.u32()),
            stay: self.mode(),
            priority: self.priority(),
            demote: has(1),
            is_answered: has(2),
        });
        LockUnit {
            node: self.node(),
            queue,
            held,
            pinned: (queue == QueueName::Convert).then(|| self.mode()),
            wanted: is_waiting.then(|| self.mode()),
            told: self.optional_mode(),
            flags: self.flags(),
            alternate: has(3),
            demoted: has(4),
            priority: self.priority(),
            number: self.number(),
            asked: self.number(),
            token: self.token(),
            ticket: self.ticket(),
            writing_since: self.optional_token(),
            copy: self.optional_token(),
            answer,
            demand,
            is_asking_holders: has(5),
            due: [answer.is_some() && has(6), is_waiting && has(6), demand.is_some() && has(7)],
        }
    }

    /// The rest of a record, whole records, and often the beginning of another. Every reader takes it.
    pub(crate) fn chunk(&mut self) -> Chunk {
        let (range, version) = self.transfer();
        let is_last = self.choices.one_in(2);
        let mut units = Vec::new();
        for _ in 0..self.choices.below(3) {
            units.push(OwnedUnit::Lock(self.lock_unit()));
        }
        let records = self.choices.below(4);
        for record in 0..records {
            let (space, name) = self.named();
            let locks = self.choices.below(4);
            let known = self.choices.below(4);
            let (value, is_value_lost) = ((known % 2 == 1).then(|| self.value_copy()), known == 2);
            let locks_here = u8::try_from(locks).expect("it is small");
            units.push(OwnedUnit::Record { space, name, locks: locks_here, value, is_value_lost });
            let goes_on = record + 1 == records && !is_last && locks > 0 && self.choices.one_in(2);
            let here = if goes_on { self.choices.below(locks) } else { locks };
            for _ in 0..here {
                units.push(OwnedUnit::Lock(self.lock_unit()));
            }
        }
        let slot = SlotId(range.first.0 + self.choices.u32() % range.len);
        let position = self.choices.count();
        let demand = DemandId(self.choices.u32());
        let (grants, arrivals) = (self.choices.count(), self.choices.count());
        let floors = self.choices.pick(&[0, 0, 1, 3, 64]);
        let floors = (0..floors).map(|_| (self.node(), self.number())).collect();
        let head = ChunkHead { slot, position, demand, grants, arrivals };
        Chunk { range, version, head, floors, units, sent: self.choices.count(), is_last }
    }
}
