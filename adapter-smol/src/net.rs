//! Sockets.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, OnceLock};

use lockmaster_async::{Listener, Reader, Writer, system};
use smol::{Async, future};

/// Most reads in a row that find something, before other tasks have a turn.
const READS_MAX: u8 = 32;

/// A listening socket.
#[derive(Debug)]
pub struct SmolListener(Async<TcpListener>);

/// The reading half of a connection.
#[derive(Debug)]
pub struct SmolReader {
    socket: Arc<Async<TcpStream>>,
    /// Reads since other tasks had a turn.
    reads: u8,
}

/// The writing half of a connection.
#[derive(Debug)]
pub struct SmolWriter(Arc<Async<TcpStream>>);

/// Both halves of a connection, ready for small frames.
pub(crate) fn split(stream: Async<TcpStream>) -> io::Result<(SmolReader, SmolWriter)> {
    system::prepare(&stream)?;
    let socket = Arc::new(stream);
    Ok((SmolReader { socket: Arc::clone(&socket), reads: 0 }, SmolWriter(socket)))
}

/// Resolves once the reactor has looked at all sockets.
///
/// A task that merely wakes itself is run up to two hundred times before that: so often an executor runs tasks before it
/// lets its thread look. So this waits for a socket which is always ready, and which is found so by the next look.
pub(crate) async fn look() {
    static READY: OnceLock<Option<Async<UnixDatagram>>> = OnceLock::new();
    let ready = READY.get_or_init(|| Async::new(UnixDatagram::unbound().ok()?).ok());
    let looked = match ready {
        Some(socket) => socket.writable().await.is_ok(),
        None => false,
    };
    if !looked {
        future::yield_now().await;
    }
}

impl SmolListener {
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        Async::new(listener).map(Self)
    }
}

impl Listener for SmolListener {
    type Reader = SmolReader;
    type Writer = SmolWriter;

    async fn accept(&self) -> io::Result<(SmolReader, SmolWriter)> {
        // Before it accepts: what is accepted must not be dropped with this future.
        future::yield_now().await;
        let (stream, _) = self.0.accept().await?;
        split(stream)
    }
}

impl Reader for SmolReader {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.reads == READS_MAX {
            self.reads = 0;
            future::yield_now().await;
        }
        self.reads += 1;
        self.socket.read_with(|mut socket| socket.read(buf)).await
    }
}

impl Writer for SmolWriter {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(bytes)
    }

    async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    fn close(&self) {
        system::close(&*self.0);
    }
}

#[cfg(test)]
mod tests;
