//! A network between two nodes that does what a case says.

use core::net::SocketAddr;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use super::rig::socket;

/// Forwards connections to an address.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    flow: Arc<Flow>,
}

#[derive(Default)]
struct Flow {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: Vec<TcpStream>,
    /// Connections that were begun.
    begun: usize,
    /// Nothing is read any more.
    is_stopped: bool,
}

impl Proxy {
    pub(super) fn to(target: SocketAddr) -> Self {
        let (listener, address) = socket();
        let flow = Arc::new(Flow::default());
        let proxy = Self { address, flow: Arc::clone(&flow) };
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(target).unwrap();
                flow.state().begun += 1;
                for (from, to) in [(&near, &far), (&far, &near)] {
                    to.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    flow.state().open.push(from.try_clone().unwrap());
                    let flow = Arc::clone(&flow);
                    thread::spawn(move || flow.forward(from, to));
                }
            }
        });
        proxy
    }

    /// Ends all connections; new ones are forwarded again.
    pub(super) fn cut(&self) {
        for stream in self.flow.state().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Reads nothing more, but for what it waits for already.
    pub(super) fn stop(&self) {
        self.flow.state().is_stopped = true;
    }

    /// Reads on.
    pub(super) fn go_on(&self) {
        self.flow.state().is_stopped = false;
        self.flow.changed.notify_all();
    }

    /// How many connections were begun.
    pub(super) fn begun(&self) -> usize {
        self.flow.state().begun
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.go_on();
    }
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let _ = self.forward_all(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Ends with the connection.
    fn forward_all(&self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            drop(self.changed.wait_while(self.state(), |state| state.is_stopped).unwrap());
            let len = from.read(&mut bytes)?;
            if len == 0 {
                return Ok(());
            }
            to.write_all(&bytes[..len])?;
        }
    }
}
