//! A connection after the handshake: what opens records and what seals them.

use std::io;

use rustls::Connection;

use crate::outgoing::{Written, push};
use crate::runtime::{Reader, Writer};
use crate::sync::{Arc, Mutex};

/// Bytes that are read from the socket at once.
const READ: usize = 32 * 1024;
/// Bytes of a frame that are sealed at once, and so most that wait for the socket, but for what sealing adds.
const SEAL: usize = 32 * 1024;

/// The state of TLS, which both halves share.
#[derive(Debug)]
pub(crate) struct Session(Mutex<Connection>);

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(connection))
    }

    /// Does something with the state. After a panic in there nothing can be trusted any more.
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> io::Result<T>) -> io::Result<T> {
        let Ok(mut connection) = self.0.lock() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        act(&mut connection)
    }
}

/// The reader's half.
#[derive(Debug)]
pub(crate) struct Opening {
    session: Arc<Session>,
    /// What was read and is still sealed.
    sealed: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Opening {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, sealed: vec![0; READ].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Reads what there is, at least one byte, and gives the number of bytes; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`], with the [`rustls::Error`] inside, if what was read is not what the peer has sealed;
    /// else whatever the system says.
    pub(crate) async fn read(&mut self, reader: &mut impl Reader, room: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(opened) = self.open(room)? {
                return Ok(opened);
            }
            self.start = 0;
            self.end = reader.read(&mut self.sealed).await?;
            if self.end == 0 {
                // Frames say where they end, so a stream that is cut is no worse than one that was ended.
                return Ok(0);
            }
        }
    }

    /// Opens what there is room for; nothing until more was read.
    fn open(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        let Self { session, sealed, start, end } = self;
        session.with(|connection| {
            let mut opened = 0;
            loop {
                match io::Read::read(&mut connection.reader(), &mut room[opened..]) {
                    // The peer has said that it says no more, or there is no more room.
                    Ok(0) => return Ok(Some(opened)),
                    Ok(len) => opened += len,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if start == end {
                            return Ok((opened > 0).then_some(opened));
                        }
                        let mut unread = &sealed[*start..*end];
                        *start += connection.read_tls(&mut unread)?;
                        connection.process_new_packets().map_err(invalid)?;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// The writer's half: what has been sealed and not yet written is finished before anything else is sealed.
#[derive(Debug)]
pub(crate) struct Sealing {
    session: Arc<Session>,
    sealed: Vec<u8>,
    start: usize,
}

impl Sealing {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, sealed: Vec::new(), start: 0 }
    }

    /// Has everything been written that was sealed?
    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.sealed.len()
    }

    /// Seals `bytes` from `start` on and writes what the socket takes. `start` says how much has been sealed; all of
    /// it is with the socket when this returns [`Written::All`].
    // Kept apart, so that who writes without TLS does not carry it along.
    #[inline(never)]
    pub(crate) fn write(&mut self, writer: &impl Writer, bytes: &[u8], start: &mut usize) -> Written {
        loop {
            match push(writer, &self.sealed, &mut self.start) {
                Written::All => {}
                unfinished @ (Written::Part | Written::Broken) => return unfinished,
            }
            if *start == bytes.len() {
                return Written::All;
            }
            let next = &bytes[*start..bytes.len().min(*start + SEAL)];
            match self.seal(next) {
                Ok(len) if len > 0 => *start += len,
                Ok(_) | Err(_) => return Written::Broken,
            }
        }
    }

    /// Seals some bytes into the empty buffer; gives their number.
    fn seal(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealed.clear();
        self.start = 0;
        let Self { session, sealed, start: _ } = self;
        session.with(|connection| {
            let len = io::Write::write(&mut connection.writer(), bytes)?;
            while connection.wants_write() {
                connection.write_tls(sealed)?;
            }
            Ok(len)
        })
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
