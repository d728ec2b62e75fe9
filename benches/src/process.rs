//! Two processes on one machine, one tokio thread each: the other one is this program again.

use core::net::SocketAddr;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tokio::runtime::Runtime;

pub(crate) fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the runtime starts")
}

pub(crate) fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("loopback is there")
}

pub(crate) fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it is bound")
}

/// Where the other process listens.
pub(crate) struct Addresses {
    pub(crate) node: SocketAddr,
    pub(crate) baseline: SocketAddr,
}

/// The other process; it ends when this is dropped.
pub(crate) struct Other(Child);

impl Other {
    /// Starts it in this role and tells it where our node listens.
    pub(crate) fn start(role: &str, ours: &TcpListener) -> (Self, Addresses) {
        Self::start_with(&[role.as_ref()], ours)
    }

    /// The same with other arguments behind the role.
    pub(crate) fn start_with(arguments: &[&OsStr], ours: &TcpListener) -> (Self, Addresses) {
        let (mut other, addresses) = Self::spawn(arguments);
        other.tell(&[address(ours)]);
        (other, addresses)
    }

    /// Starts it; it waits until it is told where other nodes listen.
    pub(crate) fn spawn(arguments: &[&OsStr]) -> (Self, Addresses) {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = command.expect("this program can be started");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("it says its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let addresses = Addresses {
            node: addresses.next().expect("two addresses"),
            baseline: addresses.next().expect("two addresses"),
        };
        (Self(child), addresses)
    }

    /// Tells it where other nodes listen.
    pub(crate) fn tell(&mut self, others: &[SocketAddr]) {
        let input = self.0.stdin.as_mut().expect("its input is piped");
        let others: Vec<_> = others.iter().map(SocketAddr::to_string).collect();
        writeln!(input, "{}", others.join(" ")).expect("it reads");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What the other process begins with.
pub(crate) struct Begun {
    pub(crate) node: TcpListener,
    pub(crate) baseline: tokio::net::TcpListener,
    /// Where other nodes listen, the first process's first.
    pub(crate) others: Vec<SocketAddr>,
}

/// In the other process: says its addresses, hears those of others, and sees to its end.
pub(crate) async fn begin() -> Begun {
    let (node, baseline) = (listener(), listener());
    println!("{} {}", address(&node), address(&baseline));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent says its address");
    let others = line.split_whitespace().map(|text| text.parse().expect("an address")).collect();
    std::thread::spawn(|| {
        // The parent closes our input when it is done, or is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    baseline.set_nonblocking(true).expect("a socket can be made non-blocking");
    let baseline = tokio::net::TcpListener::from_std(baseline).expect("inside a runtime");
    Begun { node, baseline, others }
}
