//! Anything that can be said, written and read.

use lockmaster_core::wire::{
    Body, FRAME_HEADER_LEN, FRAME_LEAST, FRAME_MAX, FrameHeader, FrameWriter, Frames, Hello, LockMessage,
    Message, Messages, TransferBody, TransferMessage, VersionRange,
};
use lockmaster_core::{ClusterId, Epoch, Incarnation, NodeId, SpaceId};

use crate::choices::Choices;
use crate::words::{Chunk, OwnedUnit, ViewWords, Words};
use crate::written::push_chunk;

/// Something that was said.
enum Said {
    Lock((SpaceId, Vec<u8>), Body),
    Transfer(TransferMessage<'static>),
    Chunk(Chunk),
    View(ViewWords),
}

/// Writes a hello, and a frame of as many messages of every kind as fit, and reads them.
///
/// # Panics
/// If what is read is not what was written, if something does not fit that must, or if something that did not fit left
/// traces.
pub fn roundtrip(data: &[u8]) {
    let mut words = Words::new(Choices::new(data), None);
    check_hello(&mut words);
    let header = FrameHeader { len: 0, ..header(&mut words) };
    let len = words.choices.pick(&[FRAME_HEADER_LEN, 100, 300, FRAME_LEAST, 8192, FRAME_MAX]);
    let mut buf = vec![0xee; len];
    let mut frame = FrameWriter::new(header, &mut buf);
    let mut said = Vec::new();
    while !words.choices.is_spent() && said.len() < 64 {
        let mut next = next(&mut words);
        let was_empty = frame.is_empty();
        if push(&mut frame, &mut next) {
            said.push(next);
        } else {
            let is_long = match &next {
                Said::Chunk(_) => true,
                Said::View(said) => said.is_long(),
                Said::Lock(..) | Said::Transfer(_) => false,
            };
            let fits_anywhere = !is_long && len >= FRAME_LEAST;
            assert!(!(was_empty && fits_anywhere), "any message fits a frame of {len} bytes");
        }
    }
    let used = frame.finish();
    if said.is_empty() {
        assert_eq!(used, 0, "a frame without messages is not sent");
        return;
    }
    assert_eq!(Frames::next_len(&buf), Ok(Some(used)));
    let (read, mut messages) = Messages::new(&buf[..used]).expect("what is written can be read");
    assert_eq!(read, FrameHeader { len: u32::try_from(used).expect("it fits a frame"), ..header });
    for said in &said {
        let message = messages.next().expect("nothing is lost");
        assert!(is_said(said, &message), "{message:?}");
    }
    assert!(messages.next().is_none() && messages.skipped() == 0, "nothing is added");
}

fn header(words: &mut Words<'_, '_>) -> FrameHeader {
    FrameHeader {
        versions: VersionRange::OURS,
        cluster: ClusterId(words.choices.count()),
        epoch: Epoch(words.choices.u32()),
        from: NodeId(words.choices.u16()),
        incarnation: Incarnation(words.choices.count()),
        len: 0,
    }
}

fn check_hello(words: &mut Words<'_, '_>) {
    let header = header(words);
    let lowest = words.choices.byte();
    let hello = Hello {
        cluster: header.cluster,
        node: header.from,
        incarnation: header.incarnation,
        versions: VersionRange { lowest, highest: lowest.max(words.choices.byte()) },
        epoch: header.epoch,
        digest: words.choices.count(),
        frame_max: words.choices.u32(),
    };
    let mut buf = [0xee; 64];
    let len = hello.encode(&mut buf).expect("a hello is short");
    assert_eq!(Hello::decode(&buf[..len]), Ok(hello));
    assert_eq!(hello.encode(&mut buf[..len - 1]), None, "it does not fit");
}

fn next(words: &mut Words<'_, '_>) -> Said {
    let choice = words.choices.byte();
    if choice >= 176 {
        return Said::View(words.view_message());
    }
    match choice % 4 {
        0 | 1 => {
            let named = words.named();
            Said::Lock(named, words.body())
        }
        2 => Said::Transfer(words.transfer_message()),
        _ => Said::Chunk(words.chunk()),
    }
}

fn push(frame: &mut FrameWriter<'_>, said: &mut Said) -> bool {
    match said {
        Said::Lock(named, body) => frame.push(&Words::lock_message(named, *body)),
        Said::Transfer(message) => frame.push_transfer(message),
        Said::Chunk(chunk) => push_chunk(frame, chunk),
        Said::View(said) => said.push_to(frame),
    }
}

fn is_said(said: &Said, message: &Message<'_>) -> bool {
    match (said, message) {
        (Said::Lock(named, body), Message::Lock(message)) => {
            let LockMessage { space, name, body: read } = message;
            *space == named.0 && *name == named.1 && read == body
        }
        (Said::Transfer(said), Message::Transfer(message)) => said == message,
        (Said::Chunk(said), Message::Transfer(message)) => {
            let TransferMessage { range, version, body: TransferBody::InitialLocks(chunk) } = message else {
                return false;
            };
            (*range, *version, chunk.head, chunk.sent, chunk.is_last)
                == (said.range, said.version, said.head, said.sent, said.is_last)
                && chunk.floors.eq(said.floors.iter().copied())
                && chunk.units.eq(said.units.iter().map(OwnedUnit::unit))
        }
        (Said::View(said), Message::View(message)) => said.is_said_by(message),
        (Said::Lock(..), Message::Transfer(_) | Message::View(_))
        | (Said::Transfer(_) | Said::Chunk(_), Message::Lock(_) | Message::View(_))
        | (Said::View(_), Message::Lock(_) | Message::Transfer(_)) => false,
    }
}
