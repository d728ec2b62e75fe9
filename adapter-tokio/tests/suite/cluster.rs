//! Clusters in one process, and what every test needs.

use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::net::TcpListener;

use tokio::time::timeout;

use lockmaster_tokio::{Builder, Limits, Node, Retention, SpaceConfig, SpaceId};

/// Names of resources that are tried until one has the wanted master.
const NAMES: u32 = 10_000;
/// How long a test waits for what must come, on the slowest machine.
const GIVE_UP: Duration = Duration::from_secs(60);

/// A bound socket on a free port, with its address.
pub(crate) fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A node before its start, with small tables.
pub(crate) fn builder(number: u16) -> Builder {
    Node::builder("test").node(number).limits(Limits::uniform(4096))
}

/// As many nodes, numbered from 1, connected and open.
pub(crate) async fn cluster(count: u16) -> Vec<Node> {
    cluster_with(count, |builder| builder).await
}

/// The same with retention off.
pub(crate) async fn forgetful_cluster(count: u16) -> Vec<Node> {
    let mut space = SpaceConfig::new("default").unwrap();
    space.retention = Retention::Never;
    cluster_with(count, |builder| builder.space(space.clone())).await
}

/// The same, each builder changed.
pub(crate) async fn cluster_with(count: u16, change: impl Fn(Builder) -> Builder) -> Vec<Node> {
    let sockets: Vec<_> = (1..=count).map(|number| (number, socket())).collect();
    let addresses: Vec<_> = sockets.iter().map(|(number, (_, address))| (*number, *address)).collect();
    let mut nodes = Vec::new();
    for (number, (listener, _)) in sockets {
        let mut builder = change(builder(number).listener(listener));
        for (other, address) in &addresses {
            if *other != number {
                builder = builder.member(*other, *address);
            }
        }
        nodes.push(builder.start().await.unwrap());
    }
    for node in &nodes {
        node.opened().await;
    }
    nodes
}

/// A name whose master is `master`, as `node` sees it.
pub(crate) async fn name_at(node: &Node, master: &Node) -> String {
    names_at(node, master, 1).await.remove(0)
}

/// Different names whose master is `master`, as `node` sees it.
pub(crate) async fn names_at(node: &Node, master: &Node, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..NAMES)
        .map(|number| format!("resource {number}"))
        .filter(|name| node.master_of(SpaceId(0), name) == Some(master.id()))
        .take(count)
        .collect();
    assert_eq!(names.len(), count, "a node masters its share of names");
    names
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Lets other tasks run until a condition holds, which it must sooner or later.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    // So that what never comes is a failure and no hang.
    timeout(GIVE_UP, waiting).await.expect("the condition comes about");
}

/// No owner holds or waits for anything, on any node.
pub(crate) fn nobody_locks(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| node.snapshot().locks().next().is_none())
}

/// No node knows of any resource.
pub(crate) fn nothing_is_left(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| node.snapshot().resources.is_empty())
}
