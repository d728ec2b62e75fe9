//! Messages about transfers that are no chunks.

use super::super::*;
use super::random::transfer_samples;
use super::vectors::example_last_chunk;
use super::{check_each_byte_wrong, decoded, encoded_transfer, write_len};
use crate::error::Full;
use crate::id::{Epoch, MapVersion, NodeId, SlotId, SlotRange};
use crate::transfer::{Refusal, Room};

#[test]
fn messages_come_back_as_they_went() {
    check_samples(2000, |message, bytes| assert_eq!(decoded(bytes), Message::Transfer(*message)));
}

#[test]
fn each_kind_has_its_number_and_its_length() {
    let room = Room { resources: 1, physical: 2, names: 3, values: 4 };
    let answers = [OfferAnswer::Noted, OfferAnswer::Accepted(room), OfferAnswer::Refused(Refusal::Stale)];
    for (body, kind, len) in [
        (TransferBody::Offer { to: NodeId(1), need: room, room }, 11, 34),
        (TransferBody::OfferAnswer(answers[0]), 12, 1),
        (TransferBody::OfferAnswer(answers[1]), 12, 17),
        (TransferBody::OfferAnswer(answers[2]), 12, 1),
        (TransferBody::Received { position: 1, sent: 2, is_busy: true }, 14, 17),
        (TransferBody::NewMaster { old: NodeId(1) }, 15, 2),
        (TransferBody::NewMasterAck, 16, 0),
        (TransferBody::End, 17, 0),
        (TransferBody::EndAck, 18, 0),
        (TransferBody::Withdraw, 19, 0),
        (TransferBody::WithdrawAck, 20, 0),
    ] {
        let bytes = encoded_transfer(&message(body));
        assert_eq!((bytes[0], bytes.len()), (kind, 4 + 20 + len), "{body:?}");
    }
}

#[test]
fn a_message_that_does_not_fit_is_not_written() {
    check_samples(200, |message, bytes| {
        for len in 0..bytes.len() {
            let mut buf = [0xa5; MESSAGE_MAX];
            assert_eq!(encode_transfer(message, &mut buf[..len]), None);
            assert!(buf[len..].iter().all(|byte| *byte == 0xa5), "nothing beyond the buffer is touched");

            let mut buf = [0; FRAME_HEADER_LEN + MESSAGE_MAX];
            let mut frame = FrameWriter::new(super::example_header(), &mut buf[..FRAME_HEADER_LEN + len]);
            assert!(!frame.push_transfer(message));
            assert!(frame.is_empty());
        }
    });
}

#[test]
fn a_part_of_a_message_is_no_message() {
    check_samples(200, |_, bytes| {
        for len in 0..bytes.len() {
            assert_eq!(decode_message(&bytes[..len]), Err(DecodeError::Truncated));
        }
    });
}

#[test]
fn a_message_too_short_for_its_kind_is_malformed() {
    check_samples(200, |_, bytes| {
        for len in 4..bytes.len() {
            let mut short = bytes[..len].to_vec();
            write_len(&mut short);
            assert_eq!(decode_message(&short), Err(DecodeError::Malformed));
        }
    });
}

#[test]
fn any_byte_may_be_wrong() {
    check_samples(200, |_, bytes| check_each_byte_wrong(bytes));
}

#[test]
fn fields_of_a_newer_version_are_passed_over() {
    check_samples(500, |message, bytes| {
        let mut longer = bytes.to_vec();
        longer[1] = 0xff;
        longer.extend([1, 2, 3, 4, 5]);
        write_len(&mut longer);
        assert_eq!(decoded(&longer), Message::Transfer(*message));
    });
}

#[test]
fn a_range_has_slots_and_each_of_them_a_number() {
    let last = u32::MAX;
    for (first, len, is_range) in [
        (0, 0, false),
        (7, 0, false),
        (last, 0, false),
        (0, 1, true),
        (0, last, true),
        (1, last, true),
        (2, last, false),
        (last, 1, true),
        (last, 2, false),
        (last, last, false),
    ] {
        let range = SlotRange { first: SlotId(first), len };
        let given = TransferMessage { range, ..message(TransferBody::End) };
        let mut bytes = [0; MESSAGE_MAX];
        let written = encode_transfer(&given, &mut bytes);
        assert_eq!(written, is_range.then_some(24), "{len} slots from {first} on");

        let mut bytes = encoded_transfer(&message(TransferBody::End));
        bytes[4..8].copy_from_slice(&first.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let expected =
            if is_range { Ok((Some(Message::Transfer(given)), 24)) } else { Err(DecodeError::Malformed) };
        assert_eq!(decode_message(&bytes), expected, "{len} slots from {first} on");
    }
}

#[test]
fn refusals_that_are_not_known_are_malformed() {
    let refusals = [
        (2, Refusal::TooMany),
        (3, Refusal::Stale),
        (4, Refusal::Full(Full::Resources)),
        (5, Refusal::Full(Full::Physical)),
        (6, Refusal::Full(Full::Names)),
        (7, Refusal::Full(Full::Values)),
        (8, Refusal::Full(Full::Locks)),
        (9, Refusal::Leaving),
    ];
    let mut bytes = encoded_transfer(&message(TransferBody::OfferAnswer(OfferAnswer::Noted)));
    for (number, refusal) in refusals {
        bytes[24] = number;
        let body = TransferBody::OfferAnswer(OfferAnswer::Refused(refusal));
        assert_eq!(decoded(&bytes), Message::Transfer(message(body)));
        assert_eq!(encoded_transfer(&message(body)), bytes);
    }
    for number in 10..=u8::MAX {
        bytes[24] = number;
        assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "refusal {number}");
    }
    bytes[24] = 1;
    assert_eq!(decode_message(&bytes), Err(DecodeError::Malformed), "accepted without a room");
}

#[test]
fn a_chunk_is_not_written_as_one_piece() {
    let bytes = example_last_chunk().encoded();
    let Message::Transfer(chunk) = decoded(&bytes) else { panic!("a chunk is about a transfer") };
    assert_eq!(encode_transfer(&chunk, &mut [0; FRAME_LEAST]), None);
}

// What the tests above are made of.

/// Encodes samples of all bodies and hands each to `check` with its bytes.
fn check_samples(count: usize, check: impl Fn(&TransferMessage<'_>, &[u8])) {
    for message in transfer_samples(count) {
        check(&message, &encoded_transfer(&message));
    }
}

fn message(body: TransferBody<'_>) -> TransferMessage<'_> {
    let range = SlotRange { first: SlotId(3), len: 4 };
    TransferMessage { range, version: MapVersion { epoch: Epoch(1), count: 2 }, body }
}
