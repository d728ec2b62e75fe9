//! What a connection has given so far, split into frames.

use std::io;

use lockmaster_core::Dropped;
use lockmaster_core::wire::{FRAME_MAX, Frames};

use crate::runtime::Reader;
use crate::tls::Opening;

/// A buffer with room for one frame behind another that is not whole yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Opens what is read, if the connection is secured.
    opening: Option<Opening>,
}

impl Incoming {
    /// For a connection that is secured, if `opening` is there.
    pub(crate) fn new(opening: Option<Opening>) -> Self {
        Self { bytes: vec![0; 2 * FRAME_MAX].into_boxed_slice(), start: 0, end: 0, opening }
    }

    /// Bytes that were read and not taken.
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// What was read and not taken.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
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

    /// Reads what there is, at least one byte and `most` bytes at most, and gives the number of bytes; 0 at the end of
    /// the stream. All whole frames were taken before.
    ///
    /// # Errors
    /// As [`Opening::read`].
    pub(crate) async fn read(&mut self, reader: &mut impl Reader, most: usize) -> io::Result<usize> {
        self.read_room();
        let Self { bytes, start: _, end, opening } = self;
        let room = &mut bytes[*end..];
        let most = most.min(room.len());
        let len = match opening {
            None => reader.read(&mut room[..most]).await?,
            Some(opening) => opening.read(reader, &mut room[..most]).await?,
        };
        *end += len;
        assert!(*end <= bytes.len(), "a reader stays in its room");
        Ok(len)
    }

    /// Makes room behind what was not taken.
    fn read_room(&mut self) {
        let used = self.end - self.start;
        if self.start > 0 && (used == 0 || self.bytes.len() - self.end < FRAME_MAX) {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, used);
        }
        assert!(self.end < self.bytes.len(), "what is left is less than a frame");
    }
}
