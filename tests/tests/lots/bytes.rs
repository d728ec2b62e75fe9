//! What is written is read as it was; what was spoilt on the way is refused or read as something that can be written.

use lockmaster_core::wire::{
    ChunkHead, DecodeError, FRAME_HEADER_LEN, FRAME_MAX, FrameHeader, FrameWriter, LockMessage, MESSAGE_MAX,
    Message, Messages, RecordUnit, TransferBody, TransferMessage, Unit, VersionRange, ViewMessage,
    decode_message, encode_message, encode_transfer, encode_view,
};
use lockmaster_core::{ClusterId, DemandId, Epoch, Incarnation, NodeId, Number, SlotId, SpaceId};
use lockmaster_tests::draws::{BODIES, Draws, TRANSFER_BODIES};

use super::{Count, check};

/// Numbers that a message needs at most, most of them small.
const SIZE: usize = 300;
const TESTS: u64 = 4000;

/// The bytes of one message, written at the front of more.
fn written(write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut buf = vec![0xee; 2 * MESSAGE_MAX];
    let len = write(&mut buf).expect("it fits");
    assert!(len <= MESSAGE_MAX, "no message is longer than it may be");
    assert!(buf[len..].iter().all(|byte| *byte == 0xee), "nothing is written beyond the message");
    buf.truncate(len);
    buf
}

/// What one message says, and whether reading stopped at its end.
fn comes_back(bytes: &[u8], said: &Message<'_>) -> bool {
    let mut more = bytes.to_vec();
    more.extend([0xff; 40]);
    let alone = decode_message(bytes) == Ok((Some(*said), bytes.len()));
    let followed = decode_message(&more) == Ok((Some(*said), bytes.len()));
    let cut = (0..bytes.len()).all(|len| decode_message(&bytes[..len]) == Err(DecodeError::Truncated));
    alone && followed && cut
}

#[test]
fn messages_about_locks_come_back() {
    fn property(numbers: Vec<u64>) -> bool {
        (0..BODIES).all(|kind| {
            let mut draws = Draws::new(&numbers);
            let (space, name, body) = (SpaceId(draws.u16()), draws.name(), draws.body(kind));
            let message = LockMessage { space, name: &name, body };
            comes_back(&written(|buf| encode_message(&message, buf)), &Message::Lock(message))
        })
    }
    check(TESTS, SIZE, property as fn(Vec<u64>) -> bool);
}

#[test]
fn messages_about_transfers_come_back() {
    fn property(numbers: Vec<u64>) -> bool {
        (0..TRANSFER_BODIES).all(|kind| {
            let mut draws = Draws::new(&numbers);
            let (range, version) = (draws.range(), draws.version());
            let message = TransferMessage { range, version, body: draws.transfer_body(kind) };
            comes_back(&written(|buf| encode_transfer(&message, buf)), &Message::Transfer(message))
        })
    }
    check(TESTS, SIZE, property as fn(Vec<u64>) -> bool);
}

fn header() -> FrameHeader {
    FrameHeader {
        versions: VersionRange::OURS,
        cluster: ClusterId(1),
        epoch: Epoch(1),
        from: NodeId(2),
        incarnation: Incarnation(3),
        len: 0,
    }
}

/// A frame with a message about a lock, one about a transfer, and a chunk; and what the chunk was made of.
fn frame(numbers: &[u64], check_chunk: impl FnOnce(&ChunkHead, &[(NodeId, Number)], &[Unit<'_>])) -> Vec<u8> {
    let mut draws = Draws::new(numbers);
    let mut buf = vec![0; 1 << 15];
    let mut frame = FrameWriter::new(header(), &mut buf);
    let (kind, name) = (draws.number(), draws.name());
    let body = draws.body(kind);
    assert!(frame.push(&LockMessage { space: SpaceId(draws.u16()), name: &name, body }));
    let (range, version, kind) = (draws.range(), draws.version(), draws.number());
    let body = draws.transfer_body(kind);
    assert!(frame.push_transfer(&TransferMessage { range, version, body }));

    let head = ChunkHead {
        slot: SlotId(range.first.0 + draws.u32() % range.len),
        position: draws.number(),
        demand: DemandId(draws.u32()),
        grants: draws.number(),
        arrivals: draws.number(),
    };
    let floors: Vec<_> = (0..draws.below(4)).map(|_| (NodeId(draws.u16()), Number(draws.number()))).collect();
    let names: Vec<_> = (0..draws.below(4)).map(|_| draws.name()).collect();
    let mut units = Vec::new();
    for name in &names {
        let locks = draws.below(4);
        let value = draws.is_heads().then(|| draws.value_copy());
        let (locks_here, space) = (u8::try_from(locks).expect("locks are few"), SpaceId(draws.u16()));
        let is_value_lost = value.is_none() && draws.is_heads();
        units.push(Unit::Record(RecordUnit { space, name, locks: locks_here, value, is_value_lost }));
        units.extend((0..locks).map(|_| Unit::Lock(draws.lock())));
    }
    let mut chunk = frame.begin_chunk(range, version, &head, floors.iter().copied()).expect("it has room");
    assert!(units.iter().all(|unit| chunk.push(unit)), "every unit has room");
    chunk.finish(draws.number(), draws.is_heads());
    check_chunk(&head, &floors, &units);
    let len = frame.finish();
    buf.truncate(len);
    buf
}

#[test]
fn chunks_come_back() {
    fn property(numbers: Vec<u64>) -> bool {
        let mut is_sound = false;
        let mut parts = None;
        let bytes = frame(&numbers, |head, floors, units| {
            parts = Some((
                *head,
                floors.to_vec(),
                units.iter().map(|unit| format!("{unit:?}")).collect::<Vec<_>>(),
            ));
        });
        let (_, messages) = Messages::new(&bytes).expect("the frame is sound");
        for message in messages {
            if let Message::Transfer(TransferMessage { body: TransferBody::InitialLocks(chunk), .. }) =
                message
            {
                let units = chunk.units.map(|unit| format!("{unit:?}")).collect();
                is_sound = parts == Some((chunk.head, chunk.floors.collect(), units));
            }
        }
        is_sound
    }
    check(TESTS, SIZE, property as fn(Vec<u64>) -> bool);
}

/// Reads a message and everything in it, and writes again what it says.
fn read_all(message: &Message<'_>) {
    match message {
        Message::Lock(message) => {
            let bytes = written(|buf| encode_message(message, buf));
            assert!(comes_back(&bytes, &Message::Lock(*message)), "what was read can be written");
        }
        Message::Transfer(TransferMessage { body: TransferBody::InitialLocks(chunk), .. }) => {
            assert!(chunk.units.count() < chunk.message_len(), "a unit has bytes");
            assert!(chunk.floors.count() <= 64);
        }
        Message::Transfer(message) => {
            let bytes = written(|buf| encode_transfer(message, buf));
            assert!(comes_back(&bytes, &Message::Transfer(*message)), "what was read can be written");
        }
        Message::View(ViewMessage::MapReport(page) | ViewMessage::MapInstall(page)) => {
            assert!(page.runs.count() > 0, "a page says something");
        }
        Message::View(ViewMessage::Report(report)) => {
            assert!(report.units.count() < FRAME_MAX, "a unit has bytes");
        }
        Message::View(ViewMessage::Wanted(units)) => {
            assert_eq!(units.count(), 1, "what is waited for is one resource");
        }
        Message::View(ViewMessage::Told(told)) => {
            assert!(told.units.count() <= 1, "an answer is about one resource");
        }
        Message::View(message) => {
            let bytes = written(|buf| encode_view(message, buf));
            assert!(comes_back(&bytes, &Message::View(*message)), "what was read can be written");
        }
    }
}

#[test]
fn what_was_spoilt_is_refused_or_read_whole() {
    static READ: Count = Count::new();
    static REFUSED: Count = Count::new();
    fn property(numbers: Vec<u64>, spoilt: Vec<(u16, u8)>, cut: u16) -> bool {
        let mut bytes = frame(&numbers, |_, _, _| {});
        for (at, byte) in spoilt.iter().take(8) {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *byte;
        }
        if let Ok((_, messages)) = Messages::new(&bytes) {
            messages.for_each(|message| read_all(&message));
            READ.add();
        } else {
            REFUSED.add();
        }
        // The same without the frame's own length, which notices most of it, and from anywhere.
        let from = usize::from(cut) % bytes.len();
        for start in [FRAME_HEADER_LEN.min(bytes.len()), from] {
            let mut rest = &bytes[start..];
            while let Ok((message, len)) = decode_message(rest) {
                assert!((1..=rest.len()).contains(&len), "reading goes on, and stays within the bytes");
                assert_eq!(
                    decode_message(&rest[..len]),
                    Ok((message, len)),
                    "nothing beyond the message counts"
                );
                message.iter().for_each(read_all);
                rest = &rest[len..];
            }
        }
        true
    }
    check(3 * TESTS, SIZE, property as fn(Vec<u64>, Vec<(u16, u8)>, u16) -> bool);
    assert!(READ.is_above(100) && REFUSED.is_above(100));
}
