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

fn address(listener: &TcpListener) -> SocketAddr {
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
        let input = child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{}", address(ours)).expect("it reads");
        (Self(child), addresses)
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
    /// Where the first process's node listens.
    pub(crate) other: SocketAddr,
}

/// In the other process: says its addresses, hears ours, and sees to its end.
pub(crate) async fn begin() -> Begun {
    let (node, baseline) = (listener(), listener());
    println!("{} {}", address(&node), address(&baseline));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent says its address");
    let other = line.trim().parse().expect("an address");
    std::thread::spawn(|| {
        // The parent closes our input when it is done, or is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    baseline.set_nonblocking(true).expect("a socket can be made non-blocking");
    let baseline = tokio::net::TcpListener::from_std(baseline).expect("inside a runtime");
    Begun { node, baseline, other }
}
