//! The bytes between nodes: one frame carries many messages.
//!
//! `docs/wire.md` describes the format byte by byte.

mod bytes;
mod codec;
mod frame;
mod message;

pub use codec::{DecodeError, MESSAGE_MAX, decode_message, encode_message};
pub use frame::{
    FRAME_HEADER_LEN, FRAME_MAX, FrameHeader, FrameKind, FrameWriter, Frames, Hello, Messages, VERSION,
    VersionRange,
};
pub use message::{
    Body, Demand, Deny, DenyReason, Grant, Message, Position, PositionKind, Queued, Redirect, Write,
};

#[cfg(test)]
mod tests;
