//! The baseline of a rebuild: as many bytes go over loopback, between as many processes.

use core::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::clock;

/// Bytes that are read or written at a time: as many as a frame has.
const BATCH: usize = 65_536;

/// Connections to the other processes.
#[derive(Default)]
pub(super) struct Copies {
    readers: Vec<OwnedReadHalf>,
    writers: Vec<OwnedWriteHalf>,
}

impl Copies {
    /// Dials these processes and is dialled by so many others.
    pub(super) async fn connect(&mut self, dialled: &[SocketAddr], listener: &TcpListener, others: usize) {
        let mut streams = Vec::new();
        for address in dialled {
            streams.push(TcpStream::connect(address).await.expect("the other process listens"));
        }
        for _ in 0..others {
            streams.push(listener.accept().await.expect("loopback accepts").0);
        }
        for stream in streams {
            stream.set_nodelay(true).expect("a TCP option");
            let (reader, writer) = stream.into_split();
            self.readers.push(reader);
            self.writers.push(writer);
        }
    }

    /// Sends so many bytes to each of the others and reads as many from each; when that began and ended.
    pub(super) async fn copy(&mut self, bytes: usize) -> (u64, u64) {
        let began = clock();
        let writers = core::mem::take(&mut self.writers).into_iter();
        let writing: Vec<_> = writers.map(|writer| tokio::task::spawn_local(write(writer, bytes))).collect();
        let readers = core::mem::take(&mut self.readers).into_iter();
        let reading: Vec<_> = readers.map(|reader| tokio::task::spawn_local(read(reader, bytes))).collect();
        for task in writing {
            self.writers.push(task.await.expect("a task ends well"));
        }
        for task in reading {
            self.readers.push(task.await.expect("a task ends well"));
        }
        (began, clock())
    }
}

async fn write(mut writer: OwnedWriteHalf, bytes: usize) -> OwnedWriteHalf {
    let batch = vec![1; BATCH];
    for first in (0..bytes).step_by(BATCH) {
        let len = BATCH.min(bytes - first);
        writer.write_all(&batch[..len]).await.expect("the connection stays");
    }
    writer
}

async fn read(mut reader: OwnedReadHalf, bytes: usize) -> OwnedReadHalf {
    let (mut batch, mut left) = (vec![0; BATCH], bytes);
    while left > 0 {
        let len = reader.read(&mut batch).await.expect("the connection stays");
        assert!(len > 0, "the connection stays");
        left -= len;
    }
    reader
}
