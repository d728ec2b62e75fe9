//! A cable between a node and a server, that can be cut.

use core::net::SocketAddr;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What is sent to its endpoint goes to the server, unless it is cut: then nothing comes through, and nobody is told.
pub(crate) struct Proxy {
    address: SocketAddr,
    cable: Arc<Cable>,
}

#[derive(Default)]
struct Cable {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    is_over: bool,
    /// All that were ever connected.
    streams: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cable = Arc::new(Cable::default());
        let (shared, server) = (Arc::clone(&cable), server.to_owned());
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(&server) else { continue };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                if !shared.hold([&near, &far]) {
                    return;
                }
                for (from, to) in [(near, far), (far_too, near_too)] {
                    let cable = Arc::clone(&shared);
                    thread::spawn(move || cable.forward(from, to));
                }
            }
        });
        Self { address, cable }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn cut(&self) {
        self.cable.change(|state| state.is_cut = true);
    }

    pub(crate) fn mend(&self) {
        self.cable.change(|state| state.is_cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cable.change(|state| {
            state.is_over = true;
            // Wakes whoever reads.
            state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        });
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Cable {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    /// Keeps hold of both ends of a connection; `false` if everything is over.
    fn hold(&self, streams: [&TcpStream; 2]) -> bool {
        let mut state = self.state.lock().unwrap();
        state.streams.extend(streams.map(|stream| stream.try_clone().unwrap()));
        !state.is_over
    }

    /// Waits as long as it is cut; `false` if everything is over.
    fn pass(&self) -> bool {
        let state =
            self.changed.wait_while(self.state.lock().unwrap(), |state| state.is_cut && !state.is_over);
        !state.unwrap().is_over
    }

    /// What was read waits here while it is cut, and so does the end of what is read.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buf = [0; 4096];
        loop {
            let read = from.read(&mut buf);
            let is_there = self.pass();
            match read {
                Ok(len @ 1..) if is_there && to.write_all(&buf[..len]).is_ok() => {}
                Ok(_) | Err(_) => break,
            }
        }
        drop(to.shutdown(Shutdown::Both));
    }
}
