//! Messages as lines of JSON on a stream, within bounds of size and time.

use core::mem::MaybeUninit;
use core::time::Duration;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Longest line, its end included.
pub(crate) const LINE_MAX: usize = 64 << 10;

/// How long the rest of a line may take once its first byte is there.
const LINE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the other side may take to receive what [`Lines::send`] sends.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// Why nothing more can be said on a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is longer than [`LINE_MAX`].
    #[error("a line is longer than {LINE_MAX} bytes")]
    TooLong,
    /// The connection ended within a line.
    #[error("the connection ended within a line")]
    CutShort,
    /// The other side began a line and did not end it in time.
    #[error("a line was begun and not ended in time")]
    SlowToSend,
    /// The other side does not receive.
    #[error("the other side does not receive what it is sent")]
    SlowToReceive,
    /// A line is no message.
    #[error("a line makes no sense: {0}")]
    Senseless(#[from] serde_json::Error),
}

/// A connection on which both sides send lines.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: UnixStream,
    /// What was received of the next lines.
    received: Vec<u8>,
    /// When the first byte of an unfinished line was received.
    begun: Option<Instant>,
    /// What has not been sent yet.
    unsent: Vec<u8>,
    /// Open files that come with the bytes are taken; otherwise the kernel closes them.
    takes_file: bool,
    file: Option<OwnedFd>,
}

impl Lines {
    pub(crate) const fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), begun: None, unsent: Vec::new(), takes_file: false, file: None }
    }

    pub(crate) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The stream itself; what was received of further lines is forgotten.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// The next message, or nothing at the end of the stream. Sends meanwhile what was queued.
    ///
    /// Nothing is lost if the future is dropped.
    pub(crate) async fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<M>, LineError> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let message = serde_json::from_slice(&self.received[..end]);
                self.received.drain(..=end);
                self.begun = (!self.received.is_empty()).then(Instant::now);
                return Ok(Some(message?));
            }
            if self.received.len() >= LINE_MAX {
                return Err(LineError::TooLong);
            }
            if self.receive_more().await? == 0 {
                return if self.received.is_empty() { Ok(None) } else { Err(LineError::CutShort) };
            }
            self.begun.get_or_insert_with(Instant::now);
        }
    }

    async fn receive_more(&mut self) -> Result<usize, LineError> {
        loop {
            match self.try_flush() {
                Err(LineError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                flushed => flushed?,
            }
            let wanted = if self.unsent.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = self.stream.ready(wanted);
            match self.begun {
                None => ready.await?,
                Some(begun) => {
                    timeout_at(begun + LINE_TIME_MAX, ready).await.map_err(|_| LineError::SlowToSend)??
                }
            };
            let mut bytes = [0; 4096];
            let room = bytes.len().min(LINE_MAX - self.received.len());
            match self.try_read(&mut bytes[..room]) {
                Ok(count) => {
                    self.received.extend_from_slice(&bytes[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !self.takes_file {
            return self.stream.try_read(bytes);
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let stream = &self.stream;
        let received = stream.try_io(Interest::READABLE, || {
            let slices = &mut [IoSliceMut::new(bytes)];
            Ok(recvmsg(stream, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?)
        })?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.last();
            }
        }
        Ok(received.bytes)
    }

    /// From now on, takes the open file that comes with a message.
    pub(crate) const fn take_files(&mut self) {
        self.takes_file = true;
    }

    /// The open file that came last.
    pub(crate) const fn file(&mut self) -> Option<OwnedFd> {
        self.file.take()
    }

    /// Sends a message and an open file with it.
    pub(crate) async fn send_with<M: Serialize>(
        &mut self,
        message: &M,
        file: OwnedFd,
    ) -> Result<(), LineError> {
        self.flush().await?;
        self.queue(message)?;
        let files = [file.as_fd()];
        let sent = loop {
            self.stream.writable().await?;
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)), "there is space for one file");
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let slices = &[IoSlice::new(&self.unsent)];
                Ok(sendmsg(&self.stream, slices, &mut ancillary, SendFlags::NOSIGNAL)?)
            });
            match sent {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.unsent.drain(..sent);
        self.flush().await
    }

    /// Adds a message to what is to be sent. It is sent by [`Lines::receive`] or [`Lines::flush`].
    pub(crate) fn queue<M: Serialize>(&mut self, message: &M) -> Result<(), LineError> {
        let start = self.unsent.len();
        serde_json::to_writer(&mut self.unsent, message)?;
        self.unsent.push(b'\n');
        if self.unsent.len() - start > LINE_MAX {
            self.unsent.truncate(start);
            return Err(LineError::TooLong);
        }
        Ok(())
    }

    /// Is there something that was queued and not sent yet?
    pub(crate) const fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what was queued. Nothing is lost or said twice if the future is dropped.
    pub(crate) async fn flush(&mut self) -> Result<(), LineError> {
        loop {
            self.try_flush()?;
            if self.unsent.is_empty() {
                return Ok(());
            }
            self.stream.writable().await?;
        }
    }

    /// Sends a message and waits until the system has it.
    pub(crate) async fn send<M: Serialize>(&mut self, message: &M) -> Result<(), LineError> {
        self.queue(message)?;
        timeout(SEND_TIME_MAX, self.flush()).await.map_err(|_| LineError::SlowToReceive)?
    }

    /// Lets the other side see the end of the stream.
    pub(crate) async fn hang_up(&mut self) {
        // It may have hung up itself.
        let _ended = self.stream.shutdown().await;
    }

    fn try_flush(&mut self) -> Result<(), LineError> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    // Nobody will ever hear it; but what the other side said before it hung up can be heard.
                    self.unsent.clear();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
