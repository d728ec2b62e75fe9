//! The bytes between nodes: one frame carries many messages.
//!
//! `docs/wire.md` describes the format byte by byte.

mod bytes;
mod check;
mod codec;
mod frame;
mod message;
mod transfer;
mod units;
mod view;

pub use codec::{DecodeError, MESSAGE_MAX, decode_message, encode_message};
pub use frame::{
    ChunkWriter, FRAME_HEADER_LEN, FRAME_MAX, FrameHeader, FrameKind, FrameWriter, Frames, Hello, Messages,
    ReportWriter, VERSION, VersionRange,
};
pub use message::{
    Body, Demand, Deny, DenyReason, Grant, LockMessage, Message, Position, PositionKind, Queued, Redirect,
    UpdatedLocks, Write,
};
pub use transfer::{
    ChunkHead, Floors, InitialLocks, OfferAnswer, TransferBody, TransferMessage, encode_transfer,
};
#[cfg(feature = "check")]
pub(crate) use units::encode_unit;
pub use units::{DemandUnit, LockUnit, RecordUnit, Unit, Units};
pub use view::{
    Ask, MapPage, MapRun, MapRuns, PageKind, Report, ReportHead, ReportUnit, ReportUnits, Reported, Told,
    ViewMessage, encode_view,
};

/// Bytes of the smallest frame that any one message, and any one unit in a chunk of its own, fits.
pub const FRAME_LEAST: usize = 1024;
const _: () = assert!(FRAME_HEADER_LEN + MESSAGE_MAX <= FRAME_LEAST, "any message fits any frame");
const _: () = assert!(
    FRAME_HEADER_LEN + transfer::CHUNK_HEAD_MAX + units::UNIT_MAX <= FRAME_LEAST,
    "any unit fits any frame"
);
const _: () = assert!(
    FRAME_HEADER_LEN + view::REPORT_HEAD_MAX + view::REPORT_UNIT_MAX <= FRAME_LEAST,
    "any unit of a report fits any frame"
);

#[cfg(test)]
mod tests;
