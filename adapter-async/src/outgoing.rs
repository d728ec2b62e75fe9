//! One frame on its way out.

use std::io;

use lockmaster_core::wire::FRAME_MAX;

use crate::runtime::Writer;
use crate::tls::Sealing;

/// A buffer with the frame that is being written to a socket.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Seals what is written, if the connection is secured.
    sealing: Option<Sealing>,
}

/// How far a frame got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it is with the socket.
    All,
    /// The socket takes no more for now.
    Part,
    /// The connection is broken.
    Broken,
}

impl Outgoing {
    /// For a connection that is secured, if `sealing` is there.
    pub(crate) fn new(sealing: Option<Sealing>) -> Self {
        Self { bytes: vec![0; FRAME_MAX].into_boxed_slice(), start: 0, end: 0, sealing }
    }

    /// Is all of it written?
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end && self.sealing.as_ref().is_none_or(Sealing::is_empty)
    }

    /// Fills the empty buffer. `fill` gives the length of the frame, or nothing if there is none; returns
    /// whether there is one.
    pub(crate) fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        assert!(self.is_empty(), "a frame was written before the next is made");
        let len = fill(&mut self.bytes);
        (self.start, self.end) = (0, len.unwrap_or(0));
        assert!(self.end <= self.bytes.len(), "a frame fits its buffer");
        len.is_some()
    }

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self, writer: &impl Writer) -> Written {
        let frame = &self.bytes[..self.end];
        match &mut self.sealing {
            None => push(writer, frame, &mut self.start),
            Some(sealing) => sealing.write(writer, frame, &mut self.start),
        }
    }
}

/// Writes `bytes` from `start` on, as many as the socket takes, and moves `start` behind them.
pub(crate) fn push(writer: &impl Writer, bytes: &[u8], start: &mut usize) -> Written {
    while *start < bytes.len() {
        match writer.try_write(&bytes[*start..]) {
            Ok(0) => return Written::Broken,
            Ok(len) => *start += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Written::Broken,
        }
    }
    Written::All
}
