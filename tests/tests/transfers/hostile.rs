//! Members that say what is not theirs to say, and a master that sends what no honest one sends: no effect beyond
//! what is the liar's own, counted, and nobody stops.

use Mode::{Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::{
    Body, ChunkHead, LockMessage, LockUnit, OfferAnswer, Position, PositionKind, RecordUnit, Redirect,
    TransferBody, TransferMessage, Unit, UpdatedLocks,
};
use lockmaster_core::{
    DemandId, Dropped, Epoch, Flags, Full, Incarnation, MapVersion, Mode, NodeId, Number, Priority,
    QueueName, QueueTicket, Refusal, Room, SlotId, SlotRange, SpaceId, Stage, Token,
};
use lockmaster_tests::cluster::{Cluster, ForgedChunk, Frame, Word};

use crate::{
    CARL, DORA, EVERYBODY, IDLE, LONG, NEW, OLD, PLAIN, SHORT, ask, begin, finish, give, go_on_until,
    is_chunk, is_settled_on, lock, long_names, mode_of, quartet, slot_of, slow_quartet,
};

// ---- what is said ----

const ROOM: Room = Room { resources: 3, physical: 3, names: 3, values: 3 };

fn version(count: u64) -> MapVersion {
    MapVersion { epoch: Epoch(1), count }
}

fn forged(from: NodeId, to: NodeId, range: SlotRange, version: MapVersion, body: TransferBody<'_>) -> Frame {
    let message = TransferMessage { range, version, body };
    Frame::forged_transfer(from, to, &message).expect("the format has bytes for it")
}

fn empty_chunk(range: SlotRange, version: MapVersion) -> ForgedChunk<'static> {
    let head = ChunkHead { slot: range.first, position: 0, demand: DemandId(0), grants: 9, arrivals: 9 };
    ForgedChunk { range, version, head, floors: &[], units: &[], sent: 100, is_last: true }
}

/// All that a member can say of a transfer.
fn everything(from: NodeId, to: NodeId, range: SlotRange, version: MapVersion) -> Vec<Frame> {
    let others = EVERYBODY.into_iter().filter(|node| *node != from);
    let offers = others.clone().map(|heir| TransferBody::Offer { to: heir, need: Room::NONE, room: ROOM });
    let news = EVERYBODY.map(|old| TransferBody::NewMaster { old });
    let answers = [
        OfferAnswer::Noted,
        OfferAnswer::Accepted(ROOM),
        OfferAnswer::Refused(Refusal::Stale),
        OfferAnswer::Refused(Refusal::Full(Full::Physical)),
    ];
    let plain = [
        TransferBody::Received { position: 0, sent: 0, is_busy: false },
        TransferBody::Received { position: 1, sent: 100, is_busy: false },
        TransferBody::Received { position: u64::MAX, sent: u64::MAX, is_busy: false },
        TransferBody::NewMasterAck,
        TransferBody::End,
        TransferBody::EndAck,
        TransferBody::Withdraw,
        TransferBody::WithdrawAck,
    ];
    let bodies = offers.chain(news).chain(answers.map(TransferBody::OfferAnswer)).chain(plain);
    let frames =
        bodies.filter_map(|body| Frame::forged_transfer(from, to, &TransferMessage { range, version, body }));
    frames.chain(Frame::forged_chunk(from, to, &empty_chunk(range, version))).collect()
}

// ---- members that meddle ----

/// Where a slot is, who decides about its names and what is on record, everywhere.
fn picture(cluster: &mut Cluster, names: &[Vec<u8>], slot: SlotId) -> String {
    let maps = cluster.maps(slot);
    let moving = cluster.moving(slot);
    let deciders: Vec<_> = names.iter().map(|name| cluster.decider(PLAIN, name)).collect();
    let mut records = Vec::new();
    for name in names {
        for node in EVERYBODY {
            records.push(cluster.look_at(node, PLAIN, name).physical);
        }
    }
    format!("{maps:?} {moving:?} {deciders:?} {records:?}")
}

/// A meddler says everything there is to everybody; whatever it is answered is lost.
fn meddle(
    cluster: &mut Cluster,
    names: &[Vec<u8>],
    meddler: NodeId,
    range: SlotRange,
    versions: &[MapVersion],
) {
    for to in EVERYBODY.into_iter().filter(|to| *to != meddler) {
        for version in versions {
            for frame in everything(meddler, to, range, *version) {
                let before = picture(cluster, names, range.first);
                cluster.deliver(&frame);
                let after = picture(cluster, names, range.first);
                assert_eq!(after, before, "{:?} from {meddler} to {to}", frame.transfer());
            }
        }
    }
}

#[test]
fn who_is_not_the_master_moves_nothing() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let names = cluster.names_in(PLAIN, slot, "r", 3);
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, DORA, Exclusive)).collect();
    let range = SlotRange::one(slot);
    for meddler in [NEW, CARL] {
        meddle(&mut cluster, &names, meddler, range, &[version(0), version(1), version(u64::MAX)]);
        let wide = cluster.node(OLD).all_slots();
        meddle(&mut cluster, &names, meddler, wide, &[version(0), version(7)]);
        cluster.settle(LONG);
        is_settled_on(&mut cluster, range, OLD);
    }
    cluster.hand_over(OLD, range, NEW);
    finish(&mut cluster, &owned);
}

#[test]
fn a_third_member_does_not_meddle_with_a_transfer() {
    let stops: [fn(&Frame) -> bool; 6] = [
        |frame| frame.is(Word::Offer),
        |frame| frame.is(Word::Accepted),
        is_chunk,
        |frame| frame.is(Word::NewMaster) && frame.to == DORA,
        |frame| frame.is(Word::NewMasterAck) && frame.from == DORA,
        |frame| frame.is(Word::EndAck),
    ];
    for (at, stop) in stops.into_iter().enumerate() {
        let mut cluster = slow_quartet();
        let names = long_names(&mut cluster, 4);
        let range = SlotRange::one(slot_of(&mut cluster));
        let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, DORA, ProtectedRead)).collect();
        give(&mut cluster, range);
        let held = cluster.run_but(stop);
        let now = cluster.said().into_iter().find(|frame| frame.is(Word::Offer)).unwrap().transfer().version;
        // Carl is one of those who are asked: what is his to say he says himself.
        let his_own = [Word::Noted, Word::NewMasterAck];
        for to in [OLD, NEW, DORA] {
            for version in [now, MapVersion { count: now.count + 1, ..now }, version(0), version(u64::MAX)] {
                for frame in everything(CARL, to, range, version) {
                    if version == now && his_own.contains(&frame.word()) {
                        continue;
                    }
                    let before = picture(&mut cluster, &names, range.first);
                    cluster.deliver(&frame);
                    let after = picture(&mut cluster, &names, range.first);
                    assert_eq!(after, before, "stop {at}: {:?} to {to}", frame.transfer());
                }
            }
        }
        cluster.deliver_all(&held);
        cluster.settle(LONG);
        assert_eq!(cluster.ends(OLD), [Stage::Done], "stop {at}");
        is_settled_on(&mut cluster, range, NEW);
        finish(&mut cluster, &owned);
    }
}

#[test]
fn an_answer_counts_from_whom_it_is_asked_for() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    give(&mut cluster, range);
    let held =
        cluster.run_but(|frame| frame.is(Word::Accepted) || frame.is(Word::Noted) && frame.from == DORA);
    let version = held[0].transfer().version;
    let lies = [
        (CARL, TransferBody::OfferAnswer(OfferAnswer::Accepted(ROOM))),
        (DORA, TransferBody::OfferAnswer(OfferAnswer::Accepted(ROOM))),
        (CARL, TransferBody::OfferAnswer(OfferAnswer::Refused(Refusal::TooMany))),
        (NEW, TransferBody::OfferAnswer(OfferAnswer::Noted)),
        (NEW, TransferBody::NewMasterAck),
        (CARL, TransferBody::WithdrawAck),
        (NEW, TransferBody::EndAck),
        (NEW, TransferBody::Received { position: 1, sent: 1, is_busy: false }),
    ];
    for (from, body) in lies {
        let dropped = cluster.node(OLD).stats().messages_dropped;
        cluster.deliver(&forged(from, OLD, range, version, body));
        assert_eq!(cluster.node(OLD).stats().messages_dropped, dropped + 1, "{body:?} of {from} is counted");
    }
    cluster.said();
    cluster.settle_but(SHORT, |_| true);
    assert!(cluster.said().iter().all(|frame| !is_chunk(frame)), "nothing moves before all have answered");
    cluster.deliver_all(&held);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
}

#[test]
fn what_was_not_sent_is_not_received() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 6);
    let range = SlotRange::one(slot_of(&mut cluster));
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let version = flight[0].transfer().version;
    let sent =
        flight.iter().map(|chunk| chunk.chunk().head.position + chunk.units().len() as u64).max().unwrap();
    for position in [sent + 1, sent + 2, 13, 1000, u64::MAX] {
        let body = TransferBody::Received { position, sent: u64::MAX, is_busy: false };
        let dropped = cluster.node(OLD).stats().messages_dropped;
        cluster.deliver(&forged(NEW, OLD, range, version, body));
        assert_eq!(cluster.node(OLD).stats().messages_dropped, dropped + 1, "{position} of {sent}");
    }
    // As many bytes as one likes: the window is that of what was sent.
    cluster.deliver(&forged(
        NEW,
        OLD,
        range,
        version,
        TransferBody::Received { position: 0, sent: u64::MAX, is_busy: false },
    ));
    let more = cluster.run_but(is_chunk);
    cluster.deliver_all(flight.iter().chain(&more));
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(&mut cluster, range, NEW);
    finish(&mut cluster, &owned);
}

// ---- positions passed on by somebody who may not ----

fn updated(about: &[u8], from: NodeId, incarnation: u64, position: Position) -> LockMessage<'_> {
    let body = Body::UpdatedLocks(UpdatedLocks { from, incarnation: Incarnation(incarnation), position });
    LockMessage { space: PLAIN, name: about, body }
}

#[test]
fn positions_are_passed_on_by_the_old_master_only() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    let range = SlotRange::one(slot);
    let owned = lock(&mut cluster, &name, DORA, Exclusive);
    let release = Position { kind: PositionKind::Downgrade, number: Number(1000), ..Position::default() };
    let wish = Position {
        kind: PositionKind::Request,
        number: Number(1000),
        asked: Number(1000),
        wanted: Some(Exclusive),
        ..Position::default()
    };
    let lies =
        [(DORA, 104, release), (DORA, 104, wish), (CARL, 103, wish), (NEW, 102, wish), (OLD, 101, wish)];
    let is_refused = |cluster: &mut Cluster, from: NodeId, to: NodeId, message: &LockMessage<'_>| {
        let before = picture(cluster, core::slice::from_ref(&name), slot);
        let dropped = cluster.node(to).stats().messages_dropped;
        cluster.deliver(&Frame::forged(from, to, message));
        assert_eq!(picture(cluster, core::slice::from_ref(&name), slot), before, "{message:?}");
        assert_eq!(cluster.node(to).stats().messages_dropped, dropped + 1, "it is counted");
    };
    // Without a transfer nobody passes anything on.
    for (of, incarnation, position) in lies {
        let message = updated(&name, of, incarnation, position);
        for (from, to) in [(CARL, OLD), (CARL, NEW), (OLD, NEW), (OLD, DORA)] {
            is_refused(&mut cluster, from, to, &message);
        }
    }
    // In the interval the old master does; nobody else, and of nobody who is no member.
    give(&mut cluster, range);
    let withheld = cluster.run_but(|frame| frame.is(Word::NewMasterAck) && frame.from == DORA);
    for (of, incarnation, position) in lies {
        let message = updated(&name, of, incarnation, position);
        for (from, to) in [(CARL, NEW), (CARL, OLD), (CARL, DORA), (OLD, DORA), (NEW, OLD)] {
            is_refused(&mut cluster, from, to, &message);
        }
    }
    for (of, incarnation) in [(DORA, 105), (DORA, 0), (NodeId(9), 109), (NodeId(0), 100)] {
        is_refused(&mut cluster, OLD, NEW, &updated(&name, of, incarnation, release));
    }
    cluster.deliver_all(&withheld);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    // And after it nobody does.
    for (of, incarnation, position) in lies {
        is_refused(&mut cluster, OLD, NEW, &updated(&name, of, incarnation, position));
    }
    finish(&mut cluster, &[owned]);
}

#[test]
fn a_grant_is_believed_from_nobody_but_the_master_its_heir_and_the_master_before() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    let range = SlotRange::one(slot);
    lock(&mut cluster, &name, DORA, Exclusive);
    let carl = ask(&mut cluster, &name, CARL, Exclusive);
    // It is Carl's first request.
    let number = Number(1);
    let token = Token { epoch: Epoch(1), grant: 99, local: 0 };
    let grant = lockmaster_core::wire::Grant { number, mode: Exclusive, token, value: None, demand: None };
    let lie = LockMessage { space: PLAIN, name: &name, body: Body::Grant(grant) };
    let is_unheard = |cluster: &mut Cluster, from: NodeId| {
        cluster.deliver(&Frame::forged(from, CARL, &lie));
        assert_eq!(mode_of(cluster, carl), None, "node {from} grants nothing");
    };
    is_unheard(&mut cluster, NEW);
    is_unheard(&mut cluster, DORA);
    cluster.hand_over(OLD, range, NEW);
    is_unheard(&mut cluster, DORA);
    cluster.hand_over(NEW, range, DORA);
    is_unheard(&mut cluster, OLD);
    // The same lie of the master before is believed, so it was dropped for who told it.
    cluster.betray();
    cluster.deliver(&Frame::forged(NEW, CARL, &lie));
    assert_eq!(mode_of(&mut cluster, carl), Some(Exclusive));
}

// ---- a master that sends what no honest one sends ----

fn lock_unit(node: NodeId, held: Option<Mode>) -> LockUnit {
    LockUnit {
        node,
        queue: QueueName::Granted,
        held,
        pinned: None,
        wanted: None,
        told: None,
        flags: Flags::NONE,
        alternate: false,
        demoted: false,
        priority: Priority(0),
        number: Number(50),
        asked: Number(50),
        token: Token { epoch: Epoch(1), grant: 5, local: 0 },
        ticket: QueueTicket { epoch: Epoch(1), count: 5 },
        writing_since: Token::NONE,
        copy: Token::NONE,
        answer: None,
        demand: None,
        is_asking_holders: false,
        due: [false; 3],
    }
}

const fn record_unit(space: SpaceId, name: &[u8], locks: u8) -> Unit<'_> {
    Unit::Record(RecordUnit { space, name, locks, value: None, is_value_lost: false })
}

fn units(locks: impl IntoIterator<Item = LockUnit>) -> Vec<Unit<'static>> {
    locks.into_iter().map(Unit::Lock).collect()
}

/// An offer of the old master has been accepted, and it sends these units as its first chunk. They are not taken,
/// and whatever comes after them stops nobody.
fn is_unsound(story: &str, make: impl Fn(&[u8], &[u8]) -> Vec<Unit<'static>>, named: Named) {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 3);
    let range = SlotRange::one(slot_of(&mut cluster));
    for name in &names {
        lock(&mut cluster, name, CARL, Null);
    }
    let elsewhere = cluster.names_in(PLAIN, SlotId(range.first.0 + 1), "elsewhere", 1).remove(0);
    let (_, flight) = begin(&mut cluster, range);
    cluster.betray();
    let mut chunk = empty_chunk(range, flight[0].transfer().version);
    let own = make(&names[0], &elsewhere);
    let mut all = match named {
        Named::Here(locks) => vec![record_unit(PLAIN, &names[0], locks)],
        Named::Elsewhere => vec![record_unit(PLAIN, &elsewhere, 0)],
        Named::OtherSpace(space) => vec![record_unit(space, &names[0], 0)],
        Named::Nothing => vec![],
    };
    all.extend(own);
    chunk.units = &all;
    chunk.is_last = !matches!(named, Named::Here(1..));
    // Of what the format has no bytes for, its own tests speak.
    if let Some(frame) = Frame::forged_chunk(OLD, NEW, &chunk) {
        is_counted(&mut cluster, story, &frame);
    }
    assert_eq!(cluster.maps(range.first)[1], OLD, "{story}: the slot is not complete");
    cluster.deliver_all(&flight);
    for node in EVERYBODY {
        let _ = ask(&mut cluster, &names[0], node, ProtectedRead);
    }
    cluster.settle(LONG);
}

/// It is dropped, alone or with its whole frame.
fn is_counted(cluster: &mut Cluster, story: &str, frame: &Frame) {
    let before = cluster.node(frame.to).stats();
    let heard = cluster.hear(frame);
    let after = cluster.node(frame.to).stats();
    let dropped =
        (after.messages_dropped - before.messages_dropped, after.frames_dropped - before.frames_dropped);
    let expected = if heard.is_ok() { (1, 0) } else { (0, 1) };
    assert_eq!(dropped, expected, "{story}: it is counted");
}

/// What a forged chunk begins with.
#[derive(Clone, Copy)]
enum Named {
    /// A record of the slot with so many locks.
    Here(u8),
    /// A record of another slot.
    Elsewhere,
    /// A record of another space.
    OtherSpace(SpaceId),
    /// No record.
    Nothing,
}

#[test]
fn a_chunk_that_no_honest_master_sends_is_not_taken() {
    let nobody = |_: &[u8], _: &[u8]| vec![];
    is_unsound("another slot's name", nobody, Named::Elsewhere);
    is_unsound("another space's name", nobody, Named::OtherSpace(IDLE));
    is_unsound("a space that is not", nobody, Named::OtherSpace(SpaceId(77)));
    let holder = |node| lock_unit(node, Some(Exclusive));
    is_unsound("a lock of no record", |_, _| units([holder(CARL)]), Named::Nothing);
    is_unsound("more locks than said", |_, _| units([holder(CARL), holder(DORA)]), Named::Here(0));
    is_unsound("two holders of EX", |_, _| units([holder(CARL), holder(DORA)]), Named::Here(2));
    is_unsound(
        "a member twice",
        |_, _| units([lock_unit(CARL, Some(Null)), lock_unit(CARL, Some(Null))]),
        Named::Here(2),
    );
    is_unsound("nobody's lock", |_, _| units([holder(NodeId(77))]), Named::Here(1));
    is_unsound("more locks than members", nobody, Named::Here(200));
    is_unsound("a lock that is not held", |_, _| units([lock_unit(CARL, None)]), Named::Here(1));
    is_unsound(
        "a lock without a number",
        |_, _| units([LockUnit { number: Number(0), ..holder(CARL) }]),
        Named::Here(1),
    );
    is_unsound(
        "pinned beyond what is held",
        |_, _| {
            let lock = lock_unit(CARL, Some(Null));
            let queue = QueueName::Convert;
            units([LockUnit { queue, pinned: Some(Exclusive), wanted: Some(Exclusive), ..lock }])
        },
        Named::Here(1),
    );
    is_unsound(
        "waiting for nothing",
        |_, _| units([LockUnit { queue: QueueName::Wait, ..lock_unit(CARL, None) }]),
        Named::Here(1),
    );
    is_unsound(
        "converting from nothing",
        |_, _| {
            units([LockUnit { queue: QueueName::Convert, wanted: Some(Exclusive), ..lock_unit(CARL, None) }])
        },
        Named::Here(1),
    );
    is_unsound(
        "granted what is not held",
        |_, _| {
            let queue = QueueName::Wait;
            units([LockUnit {
                queue,
                wanted: Some(Exclusive),
                answer: Some(Ok(())),
                ..lock_unit(CARL, None)
            }])
        },
        Named::Here(1),
    );
}

#[test]
fn the_end_of_a_slot_in_the_middle_of_a_record_is_none() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 2);
    let range = SlotRange::one(slot_of(&mut cluster));
    for name in &names {
        lock(&mut cluster, name, CARL, Null);
    }
    let (_, flight) = begin(&mut cluster, range);
    cluster.betray();
    let unit = [record_unit(PLAIN, &names[0], 2), Unit::Lock(lock_unit(CARL, Some(Null)))];
    let chunk = ForgedChunk { units: &unit, ..empty_chunk(range, flight[0].transfer().version) };
    is_counted(&mut cluster, "the end too early", &Frame::forged_chunk(OLD, NEW, &chunk).unwrap());
    assert_eq!(cluster.node(NEW).slot(range.first).unwrap().master, Some(OLD));
    cluster.settle(LONG);
}

#[test]
fn a_chunk_with_bytes_that_are_no_units_is_not_taken() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 3);
    let range = SlotRange::one(slot_of(&mut cluster));
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let mut dropped = 0;
    for by in (1..60).rev() {
        // Where the cut is between units, those before it are taken; the rest comes with the repeat.
        let heard = cluster.hear(&flight[0].shortened(by));
        dropped += usize::from(heard == Err(Dropped::Malformed));
    }
    assert!(dropped >= 57, "{dropped} of 59 were no chunks");
    cluster.deliver_all(&flight);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    is_settled_on(&mut cluster, range, NEW);
    finish(&mut cluster, &owned);
}

#[test]
fn a_message_that_is_cut_off_is_no_frame() {
    let mut cluster = quartet();
    let range = SlotRange::one(slot_of(&mut cluster));
    give(&mut cluster, range);
    let held = cluster.run_but(|frame| frame.is(Word::Offer) && frame.to == NEW);
    for by in 1..38 {
        cluster.refuse(&held[0].shortened(by), OLD, NEW, Dropped::Malformed);
    }
    cluster.deliver_all(&held);
    cluster.run();
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
}

#[test]
fn ranges_and_versions_beyond_all_bounds_stop_nobody() {
    let mut cluster = quartet();
    let range = |first, len| SlotRange { first: SlotId(first), len };
    let odd = [range(0, 0), range(0, u32::MAX), range(u32::MAX, u32::MAX), range(16, 1), range(8, 9)];
    let before = EVERYBODY.map(|node| cluster.maps(SlotId(u32::from(node.0))));
    for odd in odd {
        for to in [NEW, CARL, DORA] {
            for frame in everything(OLD, to, odd, version(5)) {
                is_counted(&mut cluster, "no such slots", &frame);
            }
        }
    }
    // Of another view.
    let slots = range(8, 1);
    for epoch in [0, 2, u32::MAX] {
        let version = MapVersion { epoch: Epoch(epoch), count: 5 };
        for to in [NEW, DORA] {
            for frame in everything(OLD, to, slots, version) {
                cluster.deliver(&frame);
            }
        }
    }
    cluster.settle(LONG);
    assert_eq!(EVERYBODY.map(|node| cluster.maps(SlotId(u32::from(node.0)))), before);
    cluster.hand_over(OLD, slots, NEW);
}

#[test]
fn a_version_far_ahead_is_offered_in_vain() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let range = SlotRange::one(slot);
    for count in [1 << 33, u64::MAX / 2] {
        let version = MapVersion { epoch: Epoch(1), count };
        for to in [NEW, DORA] {
            let offer = TransferBody::Offer { to: NEW, need: Room::NONE, room: ROOM };
            cluster.deliver(&forged(OLD, to, range, version, offer));
            cluster.deliver(&forged(OLD, to, range, version, TransferBody::Withdraw));
            assert_eq!(cluster.node(to).slot(slot).map(|slot| slot.is_moving), Some(false));
        }
    }
    // Nobody has forgotten how to count.
    cluster.run();
    cluster.hand_over(OLD, range, NEW);
    cluster.hand_over(NEW, range, DORA);
}

#[test]
fn a_redirect_far_ahead_is_not_believed() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let range = SlotRange::one(slot);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    for count in [1 << 33, u64::MAX] {
        let redirect = Redirect { slot, master: DORA, version: version(count) };
        let lie = LockMessage { space: PLAIN, name: &name, body: Body::Redirect(redirect) };
        cluster.deliver(&Frame::forged(OLD, CARL, &lie));
        assert_eq!(cluster.maps(slot), [OLD; 4], "a version of {count}");
    }
    cluster.hand_over(OLD, range, NEW);
    is_settled_on(&mut cluster, range, NEW);
}

#[test]
fn counters_near_their_end_are_not_believed() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let range = SlotRange::one(slot);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    let owned = lock(&mut cluster, &name, CARL, Exclusive);
    let last = version(u64::MAX);
    for to in [CARL, DORA, NEW] {
        let dropped = cluster.node(to).stats().messages_dropped;
        cluster.deliver(&forged(
            OLD,
            to,
            range,
            last,
            TransferBody::Offer { to: NEW, need: Room::NONE, room: ROOM },
        ));
        assert_eq!(cluster.node(to).stats().messages_dropped, dropped + 1);
    }
    assert_eq!(cluster.moving(slot), [false; 4]);
    let (_, flight) = begin(&mut cluster, range);
    let sound = empty_chunk(range, flight[0].transfer().version);
    let heads =
        [ChunkHead { grants: u64::MAX, ..sound.head }, ChunkHead { arrivals: u64::MAX, ..sound.head }];
    for head in heads {
        let dropped = cluster.node(NEW).stats().messages_dropped;
        cluster.deliver(&Frame::forged_chunk(OLD, NEW, &ForgedChunk { head, ..sound }).unwrap());
        assert_eq!(cluster.node(NEW).stats().messages_dropped, dropped + 1);
    }
    cluster.deliver_all(&flight);
    cluster.settle(SHORT);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    cluster.hand_over(NEW, range, DORA);
    finish(&mut cluster, &[owned]);
}

#[test]
fn demands_and_numbers_at_their_end_stop_nobody() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let names = cluster.names_in(PLAIN, slot, "r", 2);
    let range = SlotRange::one(slot);
    give(&mut cluster, range);
    let chunks = cluster.run_but(is_chunk);
    cluster.betray();
    let sound = empty_chunk(range, chunks[0].transfer().version);
    let unit = [
        record_unit(PLAIN, &names[0], 1),
        Unit::Lock(LockUnit { number: Number(u64::MAX), ..lock_unit(CARL, Some(Exclusive)) }),
    ];
    let head = ChunkHead { demand: DemandId(u32::MAX), ..sound.head };
    let chunk = ForgedChunk { head, units: &unit, ..sound };
    cluster.deliver(&Frame::forged_chunk(OLD, NEW, &chunk).expect("the chunk has its bytes"));
    cluster.run();
    assert_eq!(cluster.node(NEW).slot(slot).unwrap().master, Some(NEW));
    for node in EVERYBODY {
        for name in &names {
            let _ = cluster.ask_in(PLAIN, name, node, ProtectedRead, Flags::NONE);
        }
    }
    cluster.settle(LONG);
}

// ---- members that lie about what is their own ----

/// A transfer is accepted, and the old master sends this as the only chunk.
fn forged_slot(cluster: &mut Cluster, range: SlotRange, floors: &[(NodeId, Number)], units: &[Unit<'_>]) {
    give(cluster, range);
    let chunks = cluster.run_but(is_chunk);
    cluster.betray();
    let sound = empty_chunk(range, chunks[0].transfer().version);
    let chunk = ForgedChunk { floors, units, ..sound };
    cluster.deliver(&Frame::forged_chunk(OLD, NEW, &chunk).expect("the chunk has its bytes"));
    cluster.run();
    assert_eq!(cluster.node(NEW).slot(range.first).and_then(|slot| slot.master), Some(NEW));
}

#[test]
fn a_floor_above_all_that_a_node_has_numbered_does_not_keep_it_busy_for_ever() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    forged_slot(&mut cluster, SlotRange::one(slot), &[(NEW, Number(u64::MAX))], &[]);
    let owned = lock(&mut cluster, &name, NEW, Exclusive);
    finish(&mut cluster, &[owned]);
}

#[test]
fn a_record_without_locks_does_not_stay() {
    let mut cluster = quartet();
    let slot = slot_of(&mut cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    forged_slot(&mut cluster, SlotRange::one(slot), &[], &[record_unit(PLAIN, &name, 0)]);
    cluster.settle(LONG);
    assert!(!cluster.look_at(NEW, PLAIN, &name).is_known);
}

#[test]
fn a_new_master_that_passes_slots_on_before_it_has_them_does_not_upset_the_old_one() {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 8);
    let range = SlotRange::one(slot_of(&mut cluster));
    let owned: Vec<_> = names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
    let (_, flight) = begin(&mut cluster, range);
    let is_half = |cluster: &mut Cluster| cluster.decider(PLAIN, &names[3]) == Some(NEW);
    let mut flight = go_on_until(&mut cluster, flight, is_half);
    cluster.betray();
    let version = flight[0].transfer().version;
    let next = MapVersion { count: version.count + 1, ..version };
    cluster.deliver(&forged(NEW, DORA, range, version, TransferBody::NewMaster { old: OLD }));
    for to in [OLD, DORA] {
        let offer = TransferBody::Offer { to: DORA, need: Room::NONE, room: Room::NONE };
        cluster.deliver(&forged(NEW, to, range, next, offer));
    }
    flight.extend(cluster.run_but(is_chunk));
    // Dora takes it, in good faith, and tells everybody.
    cluster.deliver(&Frame::forged_chunk(NEW, DORA, &empty_chunk(range, next)).unwrap());
    flight.extend(cluster.run_but(is_chunk));
    assert_eq!(cluster.node(DORA).slot(range.first).unwrap().master, Some(DORA));
    for owned in &owned {
        cluster.release(owned.0, owned.1);
    }
    flight.extend(cluster.run_but(is_chunk));
    cluster.deliver_all(&flight);
    cluster.settle(LONG);
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    for name in &names {
        assert!(!cluster.look_at(OLD, PLAIN, name).is_known, "nothing is left of what was packed");
    }
}
