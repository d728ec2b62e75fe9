//! Nodes that meet in a real server of etcd.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::common::{Cluster, Running, check, program, until};

/// A server, killed when this is dropped.
struct Server(Child, String);

impl Server {
    fn start(place: &Path) -> Self {
        let ports: [TcpListener; 2] = core::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [client, peer] = ports.map(|port| format!("http://{}", port.local_addr().unwrap()));
        let mut command = Command::new("etcd");
        command.args(["--name=s", "--log-level=error", "--logger=zap"]).stdin(Stdio::null());
        command.arg(format!("--data-dir={}", place.join("etcd").display()));
        command
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"));
        command
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"));
        command.arg(format!("--initial-cluster=s={peer}"));
        Self(command.spawn().unwrap(), client)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn nodes_meet_in_etcd_and_leave() {
    let cluster = Cluster::new();
    let server = Server::start(cluster.scratch());
    let socket = |number: u16| cluster.scratch().join(format!("socket-{number}"));
    let node = |number: u16| {
        let mut command = program("node --id");
        command.arg(number.to_string()).args(["--etcd", &server.1, "--etcd-state"]);
        command.arg(cluster.scratch().join(format!("state-{number}"))).arg("--socket").arg(socket(number));
        command
    };
    // The server may not answer yet.
    let mut first = None;
    until("a node joins", || {
        let started = Running::start(&mut node(1));
        first = started.line.starts_with("node 1 is ready").then_some(started);
        first.is_some()
    });
    let mut second = Running::start(&mut node(2));
    assert!(second.line.starts_with("node 2 is ready"), "{}", second.line);
    for name in 0..8 {
        for number in [1, 2] {
            let mut lock = program("lock --socket");
            check(lock.arg(socket(number)).args([&format!("job-{name}"), "--", "true"]), 0);
        }
    }
    second.signal(Signal::TERM);
    second.check(0);
    until("the other has the view without it", || {
        let members = check(program("members --json --socket").arg(socket(1)), 0);
        members.lines().count() == 1
    });
}
