//! Frames in the hands of a script: what they say, and frames that a script writes itself.

use lockmaster_core::wire::{
    Body, ChunkHead, DenyReason, FRAME_HEADER_LEN, FrameHeader, FrameWriter, InitialLocks, LockMessage,
    LockUnit, Message, Messages, OfferAnswer, RecordUnit, TransferBody, TransferMessage, Unit, VersionRange,
    ViewMessage,
};
use lockmaster_core::{ClusterId, Epoch, Incarnation, MapVersion, NodeId, Number, SlotRange};

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Who sent it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    pub(crate) bytes: Vec<u8>,
}

/// The kinds of messages, as scripts tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are those of the wire, and an answer to an offer for each of its sorts")]
pub enum Word {
    Position,
    Queued,
    Grant,
    Deny,
    Demand,
    Written,
    Redirect,
    UpdatedLocks,
    Offer,
    Noted,
    Accepted,
    Refused,
    InitialLocks,
    Received,
    NewMaster,
    NewMasterAck,
    End,
    EndAck,
    Withdraw,
    WithdrawAck,
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

/// A unit with a name of its own, to be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are those of the wire")]
pub enum OwnedUnit {
    Record {
        space: u16,
        name: Vec<u8>,
        locks: u8,
        value: Option<lockmaster_core::ValueCopy>,
        is_value_lost: bool,
    },
    Lock(LockUnit),
}

impl Frame {
    /// A frame that a node has written.
    #[must_use]
    pub const fn new(from: NodeId, to: NodeId, bytes: Vec<u8>) -> Self {
        Self { from, to, bytes }
    }

    /// The same frame on its way to somebody else.
    #[must_use]
    pub fn strayed_to(&self, to: NodeId) -> Self {
        Self { to, ..self.clone() }
    }

    /// Its messages, each in a frame of its own: a script may lose one and keep another.
    #[must_use]
    pub fn split(&self) -> Vec<Self> {
        let (header, mut rest) = self.bytes.split_at(FRAME_HEADER_LEN);
        let mut frames = Vec::new();
        while let [_, _, low, high, ..] = *rest {
            let (message, others) = rest.split_at(4 + usize::from(u16::from_le_bytes([low, high])));
            rest = others;
            let mut bytes = [header, message].concat();
            let len = u32::try_from(bytes.len()).expect("a frame is small");
            bytes[8..12].copy_from_slice(&len.to_le_bytes());
            frames.push(Self { bytes, ..*self });
        }
        frames
    }

    /// All that it says.
    ///
    /// # Panics
    /// If it is no frame of messages.
    #[must_use]
    pub fn messages(&self) -> Vec<Message<'_>> {
        let (_, messages) = Messages::new(&self.bytes).expect("the frame is sound");
        messages.collect()
    }

    /// What it says of resources.
    ///
    /// # Panics
    /// If it is no frame of messages.
    #[must_use]
    pub fn bodies(&self) -> Vec<Body> {
        let body_of = |message| match message {
            Message::Lock(LockMessage { body, .. }) => Some(body),
            Message::Transfer(_) | Message::View(_) => None,
        };
        self.messages().into_iter().filter_map(body_of).collect()
    }

    /// The one thing that it says of a resource.
    ///
    /// # Panics
    /// If it says more.
    #[must_use]
    pub fn body(&self) -> Body {
        let bodies = self.bodies();
        let [body] = bodies[..] else { panic!("one message was expected: {bodies:?}") };
        body
    }

    /// Why it denies a request; nothing if it says something else.
    ///
    /// # Panics
    /// If it says more than one thing of resources.
    #[must_use]
    pub fn denial(&self) -> Option<DenyReason> {
        match self.body() {
            Body::Deny(deny) => Some(deny.reason),
            Body::Position(_)
            | Body::Queued(_)
            | Body::Grant(_)
            | Body::Demand(_)
            | Body::Written(_)
            | Body::Redirect(_)
            | Body::UpdatedLocks(_) => None,
        }
    }

    /// The one thing that it says of a transfer.
    ///
    /// # Panics
    /// If it says something else, or more.
    #[must_use]
    pub fn transfer(&self) -> TransferMessage<'_> {
        let messages = self.messages();
        let [Message::Transfer(message)] = messages[..] else { panic!("no transfer: {messages:?}") };
        message
    }

    /// The chunk that it is.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn chunk(&self) -> InitialLocks<'_> {
        match self.transfer().body {
            TransferBody::InitialLocks(chunk) => chunk,
            other @ (TransferBody::Offer { .. }
            | TransferBody::OfferAnswer(_)
            | TransferBody::Received { .. }
            | TransferBody::NewMaster { .. }
            | TransferBody::NewMasterAck
            | TransferBody::End
            | TransferBody::EndAck
            | TransferBody::Withdraw
            | TransferBody::WithdrawAck) => panic!("no chunk: {other:?}"),
        }
    }

    /// The units of the chunk that it is.
    ///
    /// # Panics
    /// If it is no chunk.
    #[must_use]
    pub fn units(&self) -> Vec<OwnedUnit> {
        self.chunk().units.map(OwnedUnit::from).collect()
    }

    /// The kinds of its messages.
    #[must_use]
    pub fn words(&self) -> Vec<Word> {
        self.messages().iter().map(Word::of).collect()
    }

    /// The kind of its only message.
    ///
    /// # Panics
    /// If there are more.
    #[must_use]
    pub fn word(&self) -> Word {
        let words = self.words();
        let [word] = words[..] else { panic!("one message was expected: {words:?}") };
        word
    }

    /// Is this all that it says?
    #[must_use]
    pub fn is(&self, word: Word) -> bool {
        self.words() == [word]
    }

    /// Is it a message about this resource?
    #[must_use]
    pub fn is_about(&self, name: &[u8]) -> bool {
        let is_named = |message: &Message<'_>| match message {
            Message::Lock(message) => message.name == name,
            Message::Transfer(_) | Message::View(_) => false,
        };
        self.messages().iter().any(is_named)
    }
}

// ---- frames that nobody but a script writes ----

fn forged(from: NodeId, to: NodeId, write: impl FnOnce(&mut FrameWriter<'_>)) -> Frame {
    let header = FrameHeader {
        versions: VersionRange::OURS,
        cluster: ClusterId(1),
        epoch: Epoch(1),
        from,
        incarnation: Incarnation(u64::from(from.0) + 100),
        len: 0,
    };
    let mut bytes = vec![0; 4096];
    let mut writer = FrameWriter::new(header, &mut bytes);
    write(&mut writer);
    let len = writer.finish();
    bytes.truncate(len);
    Frame { from, to, bytes }
}

impl Frame {
    /// A message about a resource that a member never wrote.
    ///
    /// # Panics
    /// Never: one message fits.
    #[must_use]
    pub fn forged(from: NodeId, to: NodeId, message: &LockMessage<'_>) -> Self {
        forged(from, to, |writer| assert!(writer.push(message), "one message fits"))
    }

    /// A message about a transfer that a member never wrote; nothing if the format has no bytes for it.
    #[must_use]
    pub fn forged_transfer(from: NodeId, to: NodeId, message: &TransferMessage<'_>) -> Option<Self> {
        let mut is_written = false;
        let frame = forged(from, to, |writer| is_written = writer.push_transfer(message));
        is_written.then_some(frame)
    }

    /// A chunk that a member never wrote; nothing if the format has no bytes for it.
    #[must_use]
    pub fn forged_chunk(from: NodeId, to: NodeId, chunk: &ForgedChunk<'_>) -> Option<Self> {
        let mut is_written = false;
        let frame = forged(from, to, |writer| {
            let floors = chunk.floors.iter().copied();
            let Some(mut begun) = writer.begin_chunk(chunk.range, chunk.version, &chunk.head, floors) else {
                return;
            };
            is_written = chunk.units.iter().all(|unit| begun.push(unit));
            begun.finish(chunk.sent, chunk.is_last);
        });
        is_written.then_some(frame)
    }

    /// The same message without its last bytes, its lengths put right.
    ///
    /// # Panics
    /// If it is not that long.
    #[must_use]
    pub fn shortened(&self, by: usize) -> Self {
        let mut frame = self.clone();
        frame.bytes.truncate(self.bytes.len() - by);
        let len = frame.bytes.len();
        frame.bytes[8..12].copy_from_slice(&u32::try_from(len).expect("a frame is small").to_le_bytes());
        let body = u16::try_from(len - FRAME_HEADER_LEN - 4).expect("a message is small");
        frame.bytes[FRAME_HEADER_LEN + 2..FRAME_HEADER_LEN + 4].copy_from_slice(&body.to_le_bytes());
        frame
    }
}

/// A chunk, to be forged.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are those of a chunk")]
pub struct ForgedChunk<'a> {
    pub range: SlotRange,
    pub version: MapVersion,
    pub head: ChunkHead,
    pub floors: &'a [(NodeId, Number)],
    pub units: &'a [Unit<'a>],
    pub sent: u64,
    pub is_last: bool,
}

impl Word {
    fn of(message: &Message<'_>) -> Self {
        match message {
            Message::Lock(message) => match message.body {
                Body::Position(_) => Self::Position,
                Body::Queued(_) => Self::Queued,
                Body::Grant(_) => Self::Grant,
                Body::Deny(_) => Self::Deny,
                Body::Demand(_) => Self::Demand,
                Body::Written(_) => Self::Written,
                Body::Redirect(_) => Self::Redirect,
                Body::UpdatedLocks(_) => Self::UpdatedLocks,
            },
            Message::Transfer(message) => match message.body {
                TransferBody::Offer { .. } => Self::Offer,
                TransferBody::OfferAnswer(OfferAnswer::Noted) => Self::Noted,
                TransferBody::OfferAnswer(OfferAnswer::Accepted(_)) => Self::Accepted,
                TransferBody::OfferAnswer(OfferAnswer::Refused(_)) => Self::Refused,
                TransferBody::InitialLocks(_) => Self::InitialLocks,
                TransferBody::Received { .. } => Self::Received,
                TransferBody::NewMaster { .. } => Self::NewMaster,
                TransferBody::NewMasterAck => Self::NewMasterAck,
                TransferBody::End => Self::End,
                TransferBody::EndAck => Self::EndAck,
                TransferBody::Withdraw => Self::Withdraw,
                TransferBody::WithdrawAck => Self::WithdrawAck,
            },
            Message::View(message) => match message {
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
            },
        }
    }
}

impl From<Unit<'_>> for OwnedUnit {
    fn from(unit: Unit<'_>) -> Self {
        match unit {
            Unit::Record(RecordUnit { space, name, locks, value, is_value_lost }) => {
                Self::Record { space: space.0, name: name.to_vec(), locks, value, is_value_lost }
            }
            Unit::Lock(lock) => Self::Lock(lock),
        }
    }
}
