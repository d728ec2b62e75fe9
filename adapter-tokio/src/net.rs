//! Sockets.

use core::future::poll_fn;
use core::pin::Pin;
use std::io;

use lockmaster_async::{Listener, Reader, Writer, system};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

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
    system::prepare(&stream)?;
    let (reader, writer) = stream.into_split();
    Ok((TokioReader(reader), TokioWriter(writer)))
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
        system::close(self.0.as_ref());
    }
}

#[cfg(test)]
mod tests;
