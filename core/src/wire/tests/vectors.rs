//! What the documentation shows is what the code writes and reads.

extern crate std;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::format;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::views::{PageSample, ReportSample, ReportUnitSample, ViewSample};
use super::{ChunkParts, decoded, encoded, encoded_transfer, example_header, token};
use crate::error::Full;
use crate::flags::Flags;
use crate::id::{
    ClusterId, DemandId, Epoch, Incarnation, MapVersion, NodeId, Number, Priority, QueueTicket, SlotId,
    SlotRange, SpaceId, Token,
};
use crate::mode::Mode;
use crate::snapshot::QueueName;
use crate::transfer::{Refusal, Room};
use crate::value::{Value, ValueCopy, ValueState};
use crate::view::Claimed;

const NAME: &[u8] = b"orders/000000042";

#[test]
fn vectors_of_the_documentation_are_what_the_code_writes_and_reads() {
    let mut documented = documented_vectors();
    for (title, body) in example_bodies() {
        let message = LockMessage { space: SpaceId(3), name: NAME, body };
        let bytes = documented.remove(title).unwrap();
        assert_eq!(hex(&encoded(&message)), hex(&bytes), "{title}");
        assert_eq!(decoded(&bytes), Message::Lock(message), "{title}");
    }
    for (title, body) in example_transfers() {
        let message = TransferMessage { range: RANGE, version: VERSION_OF_TRANSFER, body };
        let bytes = documented.remove(title).unwrap();
        assert_eq!(hex(&encoded_transfer(&message)), hex(&bytes), "{title}");
        assert_eq!(decoded(&bytes), Message::Transfer(message), "{title}");
    }
    for (title, chunk) in [
        ("initial-locks", example_chunk()),
        ("initial-locks-lost", example_lost_chunk()),
        ("initial-locks-last", example_last_chunk()),
    ] {
        let bytes = documented.remove(title).unwrap();
        assert_eq!(hex(&chunk.encoded()), hex(&bytes), "{title}");
        assert!(chunk.is_said_by(&decoded(&bytes)), "{title}");
    }

    for (title, sample) in example_views() {
        let bytes = documented.remove(title).unwrap();
        assert_eq!(hex(&sample.encoded()), hex(&bytes), "{title}");
        assert!(sample.is_said_by(&decoded(&bytes)), "{title}");
    }

    let bytes = documented.remove("hello").unwrap();
    let mut buf = [0; 64];
    let len = example_hello().encode(&mut buf).unwrap();
    assert_eq!(hex(&buf[..len]), hex(&bytes));
    assert_eq!(Hello::decode(&bytes), Ok(example_hello()));

    let bytes = documented.remove("frame").unwrap();
    assert_eq!(hex(&example_frame()), hex(&bytes));
    let (header, messages) = Messages::new(&bytes).unwrap();
    assert_eq!(header, FrameHeader { len: u32::try_from(bytes.len()).unwrap(), ..example_header() });
    assert!(messages.eq(["request", "release"].map(|title| Message::Lock(example_message(title)))));

    assert!(documented.is_empty(), "documented but not tested: {documented:?}");
}

#[test]
fn plain_messages_are_small() {
    let len_of = |title| encoded(&example_message(title)).len();
    assert_eq!((len_of("request"), len_of("grant"), len_of("release")), (35, 49, 35));
}

// The examples.

/// The lock message of this title.
pub(super) fn example_message(title: &str) -> LockMessage<'static> {
    let (_, body) = example_bodies().into_iter().find(|(known, _)| *known == title).unwrap();
    LockMessage { space: SpaceId(3), name: NAME, body }
}

/// The messages of the documentation's vectors, by title.
fn example_bodies() -> [(&'static str, Body); 14] {
    let request = Position {
        kind: PositionKind::Request,
        number: Number(0x0102),
        asked: Number(0x0102),
        wanted: Some(Mode::Exclusive),
        ..Position::default()
    };
    let conversion = Position {
        kind: PositionKind::Request,
        number: Number(0x0105),
        asked: Number(0x0102),
        held: Some(Mode::ProtectedRead),
        pinned: Some(Mode::ConcurrentRead),
        wanted: Some(Mode::ProtectedWrite),
        flags: Flags::NO_QUEUE | Flags::VALUE,
        priority: Priority(7),
        patience_ms: 1500,
        hits: 12,
        copy: token(0x21),
        answers: DemandId(0x31),
        write: Some(Write { version: token(0x22), value: Some(Value::new(b"value").unwrap()) }),
    };
    let release = Position { kind: PositionKind::Downgrade, number: Number(0x0103), ..Position::default() };
    let downgrade = Position {
        held: Some(Mode::ConcurrentRead),
        answers: DemandId(0x31),
        write: Some(Write { version: token(0x22), value: None }),
        ..release
    };
    let cancel = Position { kind: PositionKind::Cancel, held: Some(Mode::Null), ..release };
    let grant = Grant {
        number: Number(0x0102),
        mode: Mode::Exclusive,
        token: token(0x23),
        value: None,
        demand: None,
    };
    let valid = ValueState::Valid(Value::new(b"value").unwrap());
    let invalid = ValueState::Invalid(Value::EMPTY);
    let with_value = Grant { value: Some(ValueCopy { version: token(0x22), state: valid }), ..grant };
    let with_demand = Grant {
        value: Some(ValueCopy { version: token(0x22), state: invalid }),
        demand: Some((DemandId(0x31), Mode::ConcurrentRead)),
        ..grant
    };
    let demand = Demand {
        id: DemandId(0x31),
        number: Number(0x0102),
        held: Mode::Exclusive,
        stay: Mode::ConcurrentRead,
        priority: Priority(7),
        demote: true,
    };
    let updated = UpdatedLocks { from: NodeId(3), incarnation: Incarnation(0x63), position: request };
    let ticket = QueueTicket { epoch: Epoch(2), count: 0x41 };
    let version = MapVersion { epoch: Epoch(2), count: 5 };
    [
        ("request", Body::Position(request)),
        ("request-every-field", Body::Position(conversion)),
        ("release", Body::Position(release)),
        ("downgrade", Body::Position(downgrade)),
        ("cancel", Body::Position(cancel)),
        ("queued", Body::Queued(Queued { number: Number(0x0102), ticket })),
        ("grant", Body::Grant(grant)),
        ("grant-value", Body::Grant(with_value)),
        ("grant-every-field", Body::Grant(with_demand)),
        ("deny", Body::Deny(Deny { number: Number(0x0102), reason: DenyReason::Renew })),
        ("demand", Body::Demand(demand)),
        ("written", Body::Written(Number(0x0103))),
        ("updated-locks", Body::UpdatedLocks(updated)),
        ("redirect", Body::Redirect(Redirect { slot: SlotId(0x51), master: NodeId(2), version })),
    ]
}

const RANGE: SlotRange = SlotRange { first: SlotId(0x50), len: 0x10 };
const VERSION_OF_TRANSFER: MapVersion = MapVersion { epoch: Epoch(2), count: 6 };

/// The messages about transfers of the documentation's vectors that are no chunks, by title.
fn example_transfers() -> [(&'static str, TransferBody<'static>); 11] {
    let need = Room { resources: 0x20, physical: 0x30, ..Room::NONE };
    let room = Room { resources: 0x30, physical: 0x40, names: 2, values: 5 };
    let refusal = Refusal::Full(Full::Physical);
    [
        ("offer", TransferBody::Offer { to: NodeId(2), need, room }),
        ("offer-answer-noted", TransferBody::OfferAnswer(OfferAnswer::Noted)),
        ("offer-answer-accepted", TransferBody::OfferAnswer(OfferAnswer::Accepted(room))),
        ("offer-answer-refused", TransferBody::OfferAnswer(OfferAnswer::Refused(refusal))),
        ("received", TransferBody::Received { position: 0xb, sent: 0x1056, is_busy: true }),
        ("new-master", TransferBody::NewMaster { old: NodeId(1) }),
        ("new-master-ack", TransferBody::NewMasterAck),
        ("end", TransferBody::End),
        ("end-ack", TransferBody::EndAck),
        ("withdraw", TransferBody::Withdraw),
        ("withdraw-ack", TransferBody::WithdrawAck),
    ]
}

const EXAMPLE_HEAD: ChunkHead =
    ChunkHead { slot: SlotId(0x51), position: 7, demand: DemandId(0x31), grants: 0x23, arrivals: 0x41 };
const EXAMPLE_FLOORS: &[(NodeId, Number)] = &[(NodeId(1), Number(0x0101)), (NodeId(3), Number(5))];

/// A record with a holder that a waiter is in the way of.
pub(super) fn example_units() -> [Unit<'static>; 3] {
    let value = ValueCopy { version: token(0x22), state: ValueState::Valid(Value::new(b"value").unwrap()) };
    let holder = LockUnit {
        node: NodeId(1),
        queue: QueueName::Granted,
        held: Some(Mode::ProtectedWrite),
        pinned: None,
        wanted: None,
        told: Some(Mode::Exclusive),
        flags: Flags::VALUE,
        alternate: false,
        demoted: false,
        priority: Priority(0),
        number: Number(0x0102),
        asked: Number(0x0102),
        token: token(0x23),
        ticket: QueueTicket { epoch: Epoch(2), count: 0x40 },
        writing_since: token(0x23),
        copy: token(0x22),
        answer: Some(Ok(())),
        demand: Some(DemandUnit {
            id: DemandId(0x31),
            stay: Mode::Null,
            priority: Priority(7),
            demote: false,
            is_answered: false,
        }),
        is_asking_holders: false,
        due: [false, false, true],
    };
    let waiter = LockUnit {
        node: NodeId(3),
        queue: QueueName::Wait,
        held: None,
        wanted: Some(Mode::Exclusive),
        told: None,
        flags: Flags::NONE,
        priority: Priority(7),
        number: Number(6),
        asked: Number(6),
        token: Token::NONE,
        ticket: QueueTicket { epoch: Epoch(2), count: 0x41 },
        writing_since: Token::NONE,
        copy: Token::NONE,
        answer: None,
        demand: None,
        due: [false, true, false],
        ..holder
    };
    let record =
        RecordUnit { space: SpaceId(3), name: NAME, locks: 2, value: Some(value), is_value_lost: false };
    [Unit::Record(record), Unit::Lock(holder), Unit::Lock(waiter)]
}

/// A resource whose block was lost with a master, and that a node which has departed since waits for.
fn example_lost_chunk() -> ChunkParts<'static> {
    let [_, _, Unit::Lock(waiter)] = example_units() else { panic!("the third unit is a lock") };
    let record = RecordUnit { space: SpaceId(3), name: NAME, locks: 1, value: None, is_value_lost: true };
    let units = vec![Unit::Record(record), Unit::Lock(LockUnit { node: NodeId::GONE, ..waiter })];
    ChunkParts { units: units.leak(), floors: &[], ..example_chunk() }
}

/// The messages about views of the documentation's vectors, by title.
fn example_views() -> [(&'static str, ViewSample); 16] {
    let room = Room { resources: 0x30, physical: 0x40, names: 2, values: 5 };
    let old = MapVersion { epoch: Epoch(1), count: 6 };
    let run = |len, claim, master: u16, version| {
        let master = Some(NodeId(master)).filter(|node| *node != NodeId::GONE);
        MapRun { len, claim, master, version }
    };
    let report = vec![
        run(0x10, Claimed::Mine, 3, old),
        run(0x20, Claimed::Neither, NodeId::GONE.0, MapVersion { count: 0, ..old }),
        run(1, Claimed::Moving, 1, old),
    ];
    let install = vec![
        run(0x10, Claimed::Neither, 3, old),
        run(0x21, Claimed::Neither, 1, MapVersion { epoch: Epoch(2), count: 0 }),
    ];
    let page = |kind, room, runs| ViewSample::Page(PageSample { kind, first: SlotId(0x50), room, runs });
    let (unit, waiting) = example_report_units();
    let head = ReportHead { slot: SlotId(0x60), position: 0x60_0000_0007, number: Number(0x0105) };
    let report_of =
        |head, end, is_last, units| ViewSample::Report(ReportSample { head, end, is_last, units });
    let reported = Reported {
        position: 0x61_0000_0000,
        frontier: SlotId(0x61),
        is_full: false,
        is_again: false,
        is_wanted_again: false,
    };
    let refused = Reported { is_full: true, is_again: true, ..reported };
    let wanted_again = Reported { is_wanted_again: true, ..reported };
    let wanted = ViewSample::Wanted(Box::new(waiting.clone()));
    let ask = Ask { question: 0x71, space: SpaceId(3), name: NAME };
    let told = ViewSample::Told((0x71, Number(0x0105)), Some(Box::new(unit.clone())));
    [
        ("here", ViewSample::Short(ViewMessage::Here { known: Epoch(1) })),
        ("map-report", page(PageKind::Report, room, report)),
        ("map-reported", ViewSample::Short(ViewMessage::MapReported(SlotId(0x81)))),
        ("map-install", page(PageKind::Install, room, install)),
        ("map-installed", ViewSample::Short(ViewMessage::MapInstalled(SlotId(0x81)))),
        ("report", report_of(head, 0x60_0000_0009, false, vec![unit, waiting])),
        (
            "report-last",
            report_of(ReportHead { position: 0x60_0000_0009, ..head }, 0x61_0000_0000, true, vec![]),
        ),
        ("reported", ViewSample::Short(ViewMessage::Reported(reported))),
        ("reported-again", ViewSample::Short(ViewMessage::Reported(refused))),
        ("reported-wanted-again", ViewSample::Short(ViewMessage::Reported(wanted_again))),
        ("wanted", wanted),
        ("ask", ViewSample::Short(ViewMessage::Ask(ask))),
        ("told", told),
        ("told-nothing", ViewSample::Told((0x71, Number(0x0105)), None)),
        ("parting", ViewSample::Short(ViewMessage::Parting(Number(0x0105)))),
        ("parted", ViewSample::Short(ViewMessage::Parted(Number(0x0105)))),
    ]
}

/// What a node holds and has a current value block of, and what one waits for.
fn example_report_units() -> (ReportUnitSample, ReportUnitSample) {
    let [(_, Body::Position(request)), ..] = example_bodies() else { panic!("it is a request") };
    let held = Some(Mode::ProtectedRead);
    let state = ValueState::Valid(Value::new(b"value").unwrap());
    let number = Number(0x0104);
    let holder = ReportUnitSample {
        space: SpaceId(3),
        name: NAME.to_vec(),
        position: Position { number, held, copy: token(0x22), ..Position::default() },
        token: token(0x23),
        ticket: None,
        value: Some(ValueCopy { version: token(0x22), state }),
        since: Token::NONE,
    };
    let waiting = ReportUnitSample {
        name: b"orders".to_vec(),
        position: request,
        token: Token::NONE,
        ticket: Some(QueueTicket { epoch: Epoch(1), count: 0x41 }),
        value: None,
        ..holder.clone()
    };
    (holder, waiting)
}

pub(super) fn example_chunk() -> ChunkParts<'static> {
    ChunkParts {
        range: RANGE,
        version: VERSION_OF_TRANSFER,
        head: EXAMPLE_HEAD,
        floors: EXAMPLE_FLOORS,
        units: example_units().to_vec().leak(),
        sent: 0x1000,
        is_last: false,
    }
}

/// The end of the same slot, of which nothing is left to be said.
pub(super) fn example_last_chunk() -> ChunkParts<'static> {
    let head = ChunkHead { position: 0xa, ..EXAMPLE_HEAD };
    ChunkParts { head, units: &[], sent: 0x1056, is_last: true, ..example_chunk() }
}

/// A frame with the examples "request" and "release".
pub(super) fn example_frame() -> Vec<u8> {
    let mut buf = [0; 300];
    let mut writer = FrameWriter::new(example_header(), &mut buf);
    assert!(writer.push(&example_message("request")));
    assert!(writer.push(&example_message("release")));
    let len = writer.finish();
    buf[..len].to_vec()
}

pub(super) fn example_hello() -> Hello {
    Hello {
        cluster: ClusterId(0x1122_3344_5566_7788),
        node: NodeId(1),
        incarnation: Incarnation(0x61),
        versions: VersionRange::OURS,
        epoch: Epoch(2),
        digest: 0x99aa_bbcc_ddee_ff00,
        frame_max: 65_536,
    }
}

pub(super) fn encoded_hello() -> Vec<u8> {
    let mut buf = [0; 64];
    let len = example_hello().encode(&mut buf).unwrap();
    buf[..len].to_vec()
}

/// The vectors of `docs/wire.md`: lines `title: hex` in the block marked `vectors`.
fn documented_vectors() -> BTreeMap<&'static str, Vec<u8>> {
    let text = include_str!("../../../../docs/wire.md");
    let (_, block) = text.split_once("```vectors\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut vectors = BTreeMap::new();
    for line in block.lines() {
        let (title, digits) = line.split_once(": ").unwrap();
        let bytes = digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert!(vectors.insert(title, bytes).is_none(), "{title} is there twice");
    }
    vectors
}

fn hex(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
