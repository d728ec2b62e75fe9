//! One frame on its way out.

use std::io;

use lockmaster_core::wire::FRAME_MAX;

use crate::runtime::Writer;

/// A buffer with the frame that is being written to a socket.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
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
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FRAME_MAX].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Is all of it written?
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
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
        while self.start < self.end {
            match writer.try_write(&self.bytes[self.start..self.end]) {
                Ok(0) => return Written::Broken,
                Ok(len) => self.start += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Written::Part,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Written::Broken,
            }
        }
        Written::All
    }
}
