//! What a connection has given so far, split into frames.

use lockmaster_core::Dropped;
use lockmaster_core::wire::{FRAME_MAX, Frames};

/// A buffer with room for one frame behind another that is not whole yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; 2 * FRAME_MAX].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Takes the next whole frame; `None` until more was read.
    ///
    /// # Errors
    /// [`Dropped`] if the stream makes no sense any more.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, Dropped> {
        let Some(len) = Frames::next_len(&self.bytes[self.start..self.end])? else { return Ok(None) };
        let frame = self.start..self.start + len;
        self.start = frame.end;
        Ok(Some(&self.bytes[frame]))
    }

    /// Is there a whole frame, or something that can be none?
    pub(crate) fn has_next(&self) -> bool {
        !matches!(Frames::next_len(&self.bytes[self.start..self.end]), Ok(None))
    }

    /// Room to read into, never empty once all whole frames were taken.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let used = self.end - self.start;
        if self.start > 0 && (used == 0 || self.bytes.len() - self.end < FRAME_MAX) {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, used);
        }
        assert!(self.end < self.bytes.len(), "what is left is less than a frame");
        &mut self.bytes[self.end..]
    }

    /// This many bytes were read into the room.
    pub(crate) fn filled(&mut self, len: usize) {
        self.end += len;
        assert!(self.end <= self.bytes.len(), "a reader stays in its room");
    }
}
