//! Sockets.

use core::future::poll_fn;
use core::pin::Pin;
#[cfg(any(target_os = "linux", target_os = "android"))]
use core::time::Duration;
use std::io;
use std::net::Shutdown;

use lockmaster_async::{Listener, Reader, Writer};
use socket2::SockRef;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How often an idle connection is probed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long the other end may leave data or probes unanswered. A process that is merely stopped answers as
/// long as its buffers have room: its system does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A listening socket.
#[derive(Debug)]
pub struct TokioListener(tokio::net::TcpListener);

/// The reading half of a connection.
#[derive(Debug)]
pub struct TokioReader(OwnedReadHalf);

/// The writing half of a connection.
#[derive(Debug)]
pub struct TokioWriter(OwnedWriteHalf);

/// Both halves of a connection, ready for small frames.
pub(crate) fn split(stream: TcpStream) -> io::Result<(TokioReader, TokioWriter)> {
    stream.set_nodelay(true)?;
    bound_silence(&stream)?;
    let (reader, writer) = stream.into_split();
    Ok((TokioReader(reader), TokioWriter(writer)))
}

/// Has the kernel end a connection whose other end is silent for too long.
///
/// A network that drops what it cannot deliver tells nobody. Without this a connection through it would seem well for a
/// quarter of an hour, and after the network has healed, what was to be said would wait for a repeat about as long as the
/// cut had lasted.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_EVERY).with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))
}

/// Elsewhere that is left to how the system is set up.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bound_silence(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

impl TokioListener {
    pub(crate) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        tokio::net::TcpListener::from_std(listener).map(Self)
    }
}

impl Listener for TokioListener {
    type Reader = TokioReader;
    type Writer = TokioWriter;

    async fn accept(&self) -> io::Result<(TokioReader, TokioWriter)> {
        let (stream, _) = self.0.accept().await?;
        split(stream)
    }
}

impl Reader for TokioReader {
    async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        poll_fn(|context| Pin::new(&mut self.0).poll_read(context, &mut buf)).await?;
        Ok(buf.filled().len())
    }
}

impl Writer for TokioWriter {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    fn close(&self) {
        // It fails if the other side was faster.
        let _ = SockRef::from(self.0.as_ref()).shutdown(Shutdown::Both);
    }
}
