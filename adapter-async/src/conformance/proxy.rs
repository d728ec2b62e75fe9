//! A network between two nodes that does what a case says.

use core::net::SocketAddr;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::rig::{Rig, socket};
use crate::{Node, Runtime};

/// Forwards connections to an address.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    flow: Arc<Mutex<Flow>>,
}

#[derive(Default)]
struct Flow {
    open: Vec<TcpStream>,
    /// Connections that were begun.
    begun: usize,
}

/// Nodes 1 and 2, open, and the proxy between them.
pub(super) async fn pair<R: Runtime + Clone>(rig: &Rig<R>) -> ([Node<R>; 2], Proxy) {
    let (listener, address) = socket();
    let proxy = Proxy::to(address);
    // The lower number dials, so it must be the one that is led through the proxy.
    let one = rig.builder(1).member(2, proxy.address).start().await.unwrap();
    let two = rig.builder(2).listener(listener).member(1, address).start().await.unwrap();
    one.opened().await;
    two.opened().await;
    ([one, two], proxy)
}

impl Proxy {
    pub(super) fn to(target: SocketAddr) -> Self {
        let (listener, address) = socket();
        let flow = Arc::<Mutex<Flow>>::default();
        let proxy = Self { address, flow: Arc::clone(&flow) };
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(target).unwrap();
                flow.lock().unwrap().begun += 1;
                for (from, to) in [(&near, &far), (&far, &near)] {
                    to.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    flow.lock().unwrap().open.push(from.try_clone().unwrap());
                    thread::spawn(move || forward(from, to));
                }
            }
        });
        proxy
    }

    /// Ends all connections; new ones are forwarded again.
    pub(super) fn cut(&self) {
        for stream in self.flow.lock().unwrap().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many connections were begun.
    pub(super) fn begun(&self) -> usize {
        self.flow.lock().unwrap().begun
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
