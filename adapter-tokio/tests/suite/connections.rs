//! Connections: cut, stuck, garbled, refused.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use lockmaster_tokio::lockmaster_core::Incarnation;
use lockmaster_tokio::lockmaster_core::wire::{FRAME_MAX, Frames, Hello};
use lockmaster_tokio::{Limits, Mode, Node, NodeId, SpaceConfig, StartError};

use crate::cluster::{
    builder, cluster, cluster_with, forgetful_cluster, name_at, names_at, nothing_is_left, poll_once, socket,
    until,
};

const EX: Mode = Mode::Exclusive;

/// Forwards connections to an address until they are cut.
struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn to(target: SocketAddr) -> Self {
        let (listener, address) = socket();
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&open);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(target).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    all.lock().unwrap().push(from.try_clone().unwrap());
                    thread::spawn(move || forward(from, to));
                }
            }
        });
        Self { address, open }
    }

    /// Ends all connections; new ones are forwarded again.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Two nodes, and the proxy between them.
async fn pair_with_proxy() -> (Vec<Node>, Proxy) {
    let (listener, address) = socket();
    let proxy = Proxy::to(address);
    // The lower number dials, so it must be the one that is led through the proxy.
    let one = builder(1).member(2, proxy.address).start().await.unwrap();
    let two = builder(2).listener(listener).member(1, address).start().await.unwrap();
    one.opened().await;
    two.opened().await;
    (vec![one, two], proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_made_again_and_nothing_is_lost() {
    let (nodes, proxy) = pair_with_proxy().await;
    let name = name_at(&nodes[0], &nodes[1]).await;
    for round in 1..=3 {
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        let waiting = tokio::spawn({
            let (node, name) = (nodes[1].clone(), name.clone());
            async move { node.lock(&name, EX).await.map(drop) }
        });
        until(|| nodes[1].snapshot().waits().next().is_some()).await;
        proxy.cut();
        drop(guard);
        waiting.await.unwrap().unwrap();
        until(|| nodes.iter().all(|node| node.link_stats().begun > round && node.link_stats().up == 1)).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_hung_up_is_made_again() {
    let nodes = cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]).await;
    for (round, node) in (1..).zip([&nodes[0], &nodes[1], &nodes[0]]) {
        node.disconnect(NodeId(if node.id() == NodeId(1) { 2 } else { 1 }));
        until(|| nodes[0].link_stats().ended >= round).await;
        drop(nodes[0].lock(&name, EX).await.unwrap());
        drop(nodes[1].lock(&name, EX).await.unwrap());
    }
    assert!(nodes[0].link_stats().begun >= 4);
    assert_eq!(nodes[0].link_stats().hellos_refused, 0);
}

#[tokio::test]
async fn locks_come_and_go_while_connections_are_cut() {
    let nodes = forgetful_cluster(3).await;
    let names = names_at(&nodes[0], &nodes[1], 4).await;
    let mut tasks = Vec::new();
    for task in 0..60 {
        let (node, name) = (nodes[task % 3].clone(), names[task % 4].clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..3 {
                let guard = node.lock(&name, EX).await.unwrap();
                tokio::task::yield_now().await;
                drop(guard);
            }
        }));
    }
    for (at, task) in tasks.into_iter().enumerate() {
        if at % 10 == 5 {
            nodes[0].disconnect(NodeId(2));
            nodes[2].disconnect(NodeId(2));
        }
        task.await.unwrap();
    }
    until(|| nodes.iter().all(|node| node.snapshot().locks().next().is_none())).await;
}

/// Says hello as a member that never started, and gives the connection.
async fn pretend(node: &Node, at: SocketAddr, number: u16) -> TcpStream {
    let begun = node.link_stats().begun;
    let hello = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        let mut hello = read_hello(&mut stream);
        hello.node = NodeId(number);
        hello.incarnation = Incarnation(7);
        let mut frame = [0; 512];
        let len = hello.encode(&mut frame).unwrap();
        stream.write_all(&frame[..len]).unwrap();
        stream
    });
    let stream = hello.await.unwrap();
    until(|| node.link_stats().begun > begun).await;
    stream
}

pub(crate) fn read_hello(stream: &mut impl Read) -> Hello {
    let mut bytes = Vec::new();
    loop {
        if let Some(len) = Frames::next_len(&bytes).unwrap() {
            return Hello::decode(&bytes[..len]).unwrap();
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
}

/// Has the other side hung up?
pub(crate) fn is_at_end(stream: &mut impl Read) -> bool {
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_does_not_read_stops_nobody_else() {
    let large = |builder: lockmaster_tokio::Builder| builder.limits(Limits::uniform(1 << 17));
    let (listener_two, at_two) = socket();
    let (listener_three, at_three) = socket();
    let two = large(builder(2)).listener(listener_two).member(1, at_two).member(3, at_three);
    let three = large(builder(3)).listener(listener_three).member(1, at_two).member(2, at_two);
    let (two, three) = (two.start().await.unwrap(), three.start().await.unwrap());
    // Member 1 is nobody: it says hello to both and never reads again.
    let stuck = [pretend(&two, at_two, 1).await, pretend(&three, at_three, 1).await];
    two.opened().await;
    three.opened().await;

    // Requests to the stuck member, until its socket takes no more.
    let stuck_master = NodeId(1);
    let mut waiting = Vec::new();
    let mut sent = two.stats().frames_out;
    let mut idle = 0;
    for number in 0.. {
        let name = format!("a resource with a rather long name, number {number}");
        if two.master_of(lockmaster_tokio::SpaceId(0), &name) != Some(stuck_master) {
            continue;
        }
        let mut lock = Box::pin({
            let two = two.clone();
            async move { two.lock(name, EX).await.map(drop) }
        });
        let _ = poll_once(&mut lock).await;
        waiting.push(lock);
        idle = if two.stats().frames_out == sent { idle + 1 } else { 0 };
        sent = two.stats().frames_out;
        if idle > 100 || waiting.len() > 100_000 {
            break;
        }
    }
    assert!(idle > 100, "the socket of a member that does not read fills up");

    let names = names_at(&two, &three, 50).await;
    for name in &names {
        drop(two.lock(name, EX).await.unwrap());
        drop(three.lock(name, EX).await.unwrap());
    }
    // Also what is stuck in the socket does not hold up the end.
    two.shutdown().await;
    three.shutdown().await;
    drop((stuck, waiting));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_only_its_own_connection() {
    let sockets = [socket(), socket()];
    let at = [sockets[0].1, sockets[1].1];
    let [(first, _), (second, _)] = sockets;
    let one = builder(1).listener(first).member(2, at[1]).start().await.unwrap();
    let two = builder(2).listener(second).member(1, at[0]).start().await.unwrap();
    two.opened().await;
    let nodes = [one, two];

    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 3 * FRAME_MAX], vec![0xff; 5]] {
        let failed = nodes[1].link_stats().handshakes_failed;
        let mut stream = TcpStream::connect(at[1]).unwrap();
        let _ = stream.write_all(&garbage);
        let ended = tokio::task::spawn_blocking(move || is_at_end(&mut stream));
        assert!(ended.await.unwrap());
        until(|| nodes[1].link_stats().handshakes_failed > failed).await;
    }
    assert_eq!((nodes[1].link_stats().up, nodes[1].link_stats().ended), (1, 0));
    let name = name_at(&nodes[0], &nodes[1]).await;
    drop(nodes[0].lock(&name, EX).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_after_a_hello_ends_the_connection_and_not_the_node() {
    let (listener, at) = socket();
    let node = builder(2).listener(listener).member(1, at).start().await.unwrap();
    for round in 1..=2 {
        let mut stream = pretend(&node, at, 1).await;
        stream.write_all(&[0xee; 100]).unwrap();
        assert!(tokio::task::spawn_blocking(move || is_at_end(&mut stream)).await.unwrap());
        until(|| node.link_stats().ended == round).await;
        assert_eq!(node.link_stats().malformed, round);
    }
    let name = name_at(&node, &node).await;
    drop(node.lock(&name, EX).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_incarnation_is_refused() {
    let (listener, at) = socket();
    let node = builder(2).listener(listener).member(1, at).start().await.unwrap();
    drop(pretend(&node, at, 1).await);
    until(|| node.link_stats().ended == 1).await;

    let again = builder(1).member(2, at).incarnation(8).start().await.unwrap();
    until(|| node.link_stats().hellos_refused > 0).await;
    again.shutdown().await;
    assert_eq!(node.link_stats().begun, 1);
}

#[tokio::test]
async fn a_node_that_is_configured_otherwise_is_refused() {
    let (listener, at) = socket();
    let odd = SpaceConfig::new("other").unwrap();
    let one = builder(1).member(2, at).space(odd).start().await.unwrap();
    let two = builder(2).listener(listener).member(1, at).start().await.unwrap();
    until(|| one.link_stats().hellos_refused > 0 && two.link_stats().hellos_refused > 0).await;
    assert_eq!((one.link_stats().up, two.link_stats().up), (0, 0));
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn addresses_that_others_can_reach_are_refused() {
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 1));
    let refused = builder(1).listen(anywhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(address)) if address == anywhere));
    let refused = builder(1).member(2, elsewhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(address)) if address == elsewhere));
    let listener = TcpListener::bind(anywhere).unwrap();
    let refused = builder(1).listener(listener).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
    builder(1).listen(anywhere).insecure().start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_node_that_cannot_work_does_not_start() {
    let (taken, at) = socket();
    assert!(matches!(Node::builder("test").member(2, at).start().await, Err(StartError::NoNode)));
    assert!(matches!(builder(2).member(1, at).start().await, Err(StartError::NoListener)));
    assert!(matches!(builder(1).member(1, at).start().await, Err(StartError::Config(_))));
    assert!(matches!(builder(1).listen(at).start().await, Err(StartError::Listen(_))));
    drop(taken);
}

#[tokio::test]
async fn a_node_frees_its_address_when_it_ends() {
    let (listener, at) = socket();
    let node = builder(1).listener(listener).start().await.unwrap();
    node.shutdown().await;
    let again = builder(1).listen(at).start().await.unwrap();
    again.shutdown().await;
}

#[tokio::test]
async fn a_cluster_of_five_forgets_everything_that_was_released() {
    let nodes = forgetful_cluster(5).await;
    for master in &nodes {
        let name = name_at(&nodes[0], master).await;
        for node in &nodes {
            drop(node.lock(&name, EX).await.unwrap());
        }
    }
    until(|| nothing_is_left(&nodes)).await;
    drop(cluster_with(1, |builder| builder).await);
}
