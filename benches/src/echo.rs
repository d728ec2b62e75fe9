//! The baseline: requests and responses of any number of tasks over one connection to a server that echoes.
//!
//! A request is a frame of as many bytes as a frame with one lock request. Requests that come while the
//! socket is being written collect and go out together; responses are handed out by their number.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

/// Bytes of a frame with one request for a resource with a name of 16 bytes.
const FRAME: usize = 71;

/// Echoes every connection, for ever.
pub(crate) async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.expect("loopback accepts");
        stream.set_nodelay(true).expect("a TCP option");
        tokio::spawn(async move {
            let mut buf = vec![0; 1 << 16];
            while let Ok(len) = stream.read(&mut buf).await {
                if len == 0 || stream.write_all(&buf[..len]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The client's end of the connection.
pub(crate) struct Echo {
    writer: RefCell<Option<OwnedWriteHalf>>,
    reader: RefCell<Option<OwnedReadHalf>>,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    out: RefCell<Vec<u8>>,
    written: Notify,
    calls: RefCell<Vec<Option<oneshot::Sender<()>>>>,
}

impl Echo {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("the other process listens");
        stream.set_nodelay(true).expect("a TCP option");
        let (reader, writer) = stream.into_split();
        Self { writer: RefCell::new(Some(writer)), reader: RefCell::new(Some(reader)), shared: Rc::default() }
    }

    /// One request and its response.
    pub(crate) async fn call(&self, number: u32) {
        let is_alone = self.shared.calls.borrow().is_empty() && tokio::task::try_id().is_none();
        if is_alone {
            return self.call_alone(number).await;
        }
        self.begin();
        let (send, receive) = oneshot::channel();
        {
            let mut calls = self.shared.calls.borrow_mut();
            if calls.len() <= number as usize {
                calls.resize_with(number as usize + 1, || None);
            }
            calls[number as usize] = Some(send);
            let mut out = self.shared.out.borrow_mut();
            let mut frame = [0; FRAME];
            frame[..4].copy_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&frame);
        }
        self.shared.written.notify_one();
        receive.await.expect("the connection stays");
    }

    /// Without other tasks: write, read, nothing else.
    async fn call_alone(&self, number: u32) {
        let (mut writer, mut reader) = (self.writer.take(), self.reader.take());
        let (Some(write), Some(read)) = (&mut writer, &mut reader) else { unreachable!("nobody else calls") };
        let mut frame = [0; FRAME];
        frame[..4].copy_from_slice(&number.to_le_bytes());
        write.write_all(&frame).await.expect("the connection stays");
        read.read_exact(&mut frame).await.expect("the connection stays");
        self.writer.replace(writer);
        self.reader.replace(reader);
    }

    /// Starts the tasks that write and read, at the first call.
    fn begin(&self) {
        let (Some(mut writer), Some(mut reader)) = (self.writer.take(), self.reader.take()) else { return };
        let shared = Rc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            loop {
                let out = core::mem::take(&mut *shared.out.borrow_mut());
                if out.is_empty() {
                    shared.written.notified().await;
                } else if writer.write_all(&out).await.is_err() {
                    return;
                }
            }
        });
        let shared = Rc::clone(&self.shared);
        tokio::task::spawn_local(async move {
            let mut buf = Vec::with_capacity(1 << 16);
            while reader.read_buf(&mut buf).await.is_ok_and(|len| len > 0) {
                let whole = buf.len() / FRAME * FRAME;
                for frame in buf[..whole].chunks_exact(FRAME) {
                    let number = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
                    let call = shared.calls.borrow_mut()[number as usize].take();
                    let _ = call.expect("a response has its call").send(());
                }
                buf.drain(..whole);
            }
        });
    }
}
