//! Connections: cut, stuck, garbled, refused.

use core::future::Future;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use lockmaster_core::wire::{FRAME_MAX, Frames, Hello};

use super::proxy;
use super::rig::{
    EX, Rig, locks_go_round, name_at, names_at, nobody_locks, nothing_is_left, poll_once, socket,
};
use super::steered::Steered;
use super::task::on_thread;
use crate::{
    Builder, Incarnation, Limits, LockError, Node, NodeId, Runtime, SpaceConfig, SpaceId, StartError,
};

/// A lock that was asked for, and is let go at once when it comes.
type Asked = Pin<Box<dyn Future<Output = Result<(), LockError>> + Send>>;

pub(super) async fn a_cut_connection_is_made_again_and_nothing_is_lost<R: Runtime + Clone>(rig: &Rig<R>) {
    let (nodes, proxy) = proxy::pair(rig).await;
    let name = name_at(&nodes[0], &nodes[1]);
    for round in 1..=3 {
        let guard = nodes[0].lock(&name, EX).await.unwrap();
        let waiting = rig.spawn({
            let (node, name) = (nodes[1].clone(), name.clone());
            async move { node.lock(&name, EX).await.map(drop) }
        });
        rig.until(|| nodes[1].snapshot().waits().next().is_some()).await;
        proxy.cut();
        drop(guard);
        waiting.await.unwrap().unwrap();
        rig.until(|| nodes.iter().all(|node| node.link_stats().begun > round && node.link_stats().up == 1))
            .await;
    }
}

pub(super) async fn a_connection_that_is_hung_up_is_made_again<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.cluster(2).await;
    let name = name_at(&nodes[0], &nodes[1]);
    for (round, node) in (1..).zip([&nodes[0], &nodes[1], &nodes[0]]) {
        node.disconnect(NodeId(if node.id() == NodeId(1) { 2 } else { 1 }));
        rig.until(|| nodes[0].link_stats().ended >= round).await;
        drop(nodes[0].lock(&name, EX).await.unwrap());
        drop(nodes[1].lock(&name, EX).await.unwrap());
    }
    assert!(nodes[0].link_stats().begun >= 4);
    assert_eq!(nodes[0].link_stats().hellos_refused, 0);
}

pub(super) async fn locks_come_and_go_while_connections_are_cut<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(3).await;
    let names = names_at(&nodes[0], &nodes[1], 4);
    let mut tasks = Vec::new();
    for task in 0..60 {
        let (node, name, runtime) = (nodes[task % 3].clone(), names[task % 4].clone(), rig.runtime.clone());
        tasks.push(rig.spawn(async move {
            for _ in 0..3 {
                let guard = node.lock(&name, EX).await.unwrap();
                runtime.yield_now().await;
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
    rig.until(|| nobody_locks(&nodes)).await;
}

/// Says hello as a member that never started, and gives the connection.
async fn pretend<R: Runtime + Clone>(rig: &Rig<R>, node: &Node<R>, at: SocketAddr, number: u16) -> TcpStream {
    let begun = node.link_stats().begun;
    let hello = on_thread(move || {
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
    rig.until(|| node.link_stats().begun > begun).await;
    stream
}

pub(super) fn read_hello(stream: &mut impl Read) -> Hello {
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
pub(super) fn is_at_end(stream: &mut impl Read) -> bool {
    let mut sink = [0; 4096];
    loop {
        match stream.read(&mut sink) {
            Ok(0) | Err(_) => return true,
            Ok(_) => {}
        }
    }
}

pub(super) async fn a_member_that_does_not_read_stops_nobody_else<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = &rig.of_one_machine();
    let large = |builder: Builder<R>| builder.limits(Limits::uniform(1 << 17));
    let (listener_two, at_two) = socket();
    let (listener_three, at_three) = socket();
    let two = large(rig.builder(2)).listener(listener_two).member(1, at_two).member(3, at_three);
    let three = large(rig.builder(3)).listener(listener_three).member(1, at_two).member(2, at_two);
    let (two, three) = (two.start().await.unwrap(), three.start().await.unwrap());
    // Member 1 is nobody: it says hello to both and never reads again.
    let stuck = [pretend(rig, &two, at_two, 1).await, pretend(rig, &three, at_three, 1).await];
    two.opened().await;
    three.opened().await;

    // Requests to the stuck member, until its socket takes no more.
    let waiting = fill_up(rig, &two, NodeId(1)).await;

    let names = names_at(&two, &three, 50);
    for name in &names {
        drop(two.lock(name, EX).await.unwrap());
        drop(three.lock(name, EX).await.unwrap());
    }
    // Also what is stuck in the socket does not hold up the end.
    two.shutdown().await;
    three.shutdown().await;
    drop((stuck, waiting));
}

pub(super) async fn a_slow_member_gets_everything_in_the_end<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = Steered::rig(rig);
    let nodes = rig.cluster_with(2, |builder| builder.limits(Limits::uniform(1 << 17))).await;
    let [one, two] = [&nodes[0], &nodes[1]];
    rig.runtime.hold();
    let waiting = fill_up(&rig, one, two.id()).await;
    // What was sent last stands in the socket, and is not whole perhaps.
    rig.runtime.let_go();
    for lock in waiting {
        lock.await.unwrap();
    }
    let begun = (one.link_stats().begun, two.link_stats().malformed);
    assert_eq!(begun, (rig.machines.into(), 0), "over one connection a machine");
}

/// Asks for locks that a member masters who reads nothing, until the socket to it takes no more.
async fn fill_up<R: Runtime + Clone>(rig: &Rig<R>, node: &Node<R>, stuck: NodeId) -> Vec<Asked> {
    let mut waiting = Vec::new();
    let mut sent = node.stats().frames_out;
    let mut idle = 0;
    for number in 0.. {
        let name = format!("a resource with a rather long name, number {number}");
        if node.master_of(SpaceId(0), &name) != Some(stuck) {
            continue;
        }
        let mut lock: Asked = Box::pin({
            let node = node.clone();
            async move { node.lock(name, EX).await.map(drop) }
        });
        if poll_once(&mut lock).await.is_pending() {
            waiting.push(lock);
        }
        // What a call has left is written by a task, as far as the socket takes it.
        rig.yield_now().await;
        idle = if node.stats().frames_out == sent { idle + 1 } else { 0 };
        sent = node.stats().frames_out;
        if idle > 100 || waiting.len() > 100_000 {
            break;
        }
    }
    assert!(idle > 100, "the socket of a member that does not read fills up");
    waiting
}

pub(super) async fn garbage_ends_only_its_own_connection<R: Runtime + Clone>(rig: &Rig<R>) {
    let sockets = [socket(), socket()];
    let at = [sockets[0].1, sockets[1].1];
    let [(first, _), (second, _)] = sockets;
    let one = rig.builder(1).listener(first).member(2, at[1]).start().await.unwrap();
    let two = rig.builder(2).listener(second).member(1, at[0]).start().await.unwrap();
    two.opened().await;
    let nodes = [one, two];

    for garbage in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 3 * FRAME_MAX], vec![0xff; 5]] {
        let failed = nodes[1].link_stats().handshakes_failed;
        let mut stream = TcpStream::connect(at[1]).unwrap();
        let _ = stream.write_all(&garbage);
        let ended = on_thread(move || is_at_end(&mut stream));
        assert!(ended.await.unwrap());
        rig.until(|| nodes[1].link_stats().handshakes_failed > failed).await;
    }
    assert_eq!((nodes[1].link_stats().up, nodes[1].link_stats().ended), (1, 0));
    let name = name_at(&nodes[0], &nodes[1]);
    drop(nodes[0].lock(&name, EX).await.unwrap());
}

pub(super) async fn garbage_after_a_hello_ends_the_connection_and_not_the_node<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let rig = &rig.of_one_machine();
    let (listener, at) = socket();
    let node = rig.builder(2).listener(listener).member(1, at).start().await.unwrap();
    for round in 1..=2 {
        let mut stream = pretend(rig, &node, at, 1).await;
        stream.write_all(&[0xee; 100]).unwrap();
        assert!(on_thread(move || is_at_end(&mut stream)).await.unwrap());
        rig.until(|| node.link_stats().ended == round).await;
        assert_eq!(node.link_stats().malformed, round);
    }
    let name = name_at(&node, &node);
    drop(node.lock(&name, EX).await.unwrap());
}

pub(super) async fn another_incarnation_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let rig = &rig.of_one_machine();
    let (listener, at) = socket();
    let node = rig.builder(2).listener(listener).member(1, at).start().await.unwrap();
    drop(pretend(rig, &node, at, 1).await);
    rig.until(|| node.link_stats().ended == 1).await;

    let again = rig.builder(1).member(2, at).incarnation(8).start().await.unwrap();
    rig.until(|| node.link_stats().hellos_refused > 0).await;
    again.shutdown().await;
    assert_eq!(node.link_stats().begun, 1);
}

pub(super) async fn a_node_that_is_configured_otherwise_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let (listener, at) = socket();
    let odd = SpaceConfig::new("other").unwrap();
    let one = rig.builder(1).member(2, at).space(odd).start().await.unwrap();
    let two = rig.builder(2).listener(listener).member(1, at).start().await.unwrap();
    rig.until(|| one.link_stats().hellos_refused > 0 && two.link_stats().hellos_refused > 0).await;
    assert_eq!((one.link_stats().up, two.link_stats().up), (0, 0));
    one.shutdown().await;
    two.shutdown().await;
}

pub(super) async fn addresses_that_others_can_reach_are_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 1));
    let refused = rig.builder(1).listen(anywhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(address)) if address == anywhere));
    let refused = rig.builder(1).member(2, elsewhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(address)) if address == elsewhere));
    let listener = TcpListener::bind(anywhere).unwrap();
    let refused = rig.builder(1).listener(listener).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
    rig.builder(1).listen(anywhere).insecure().start().await.unwrap().shutdown().await;
}

pub(super) async fn a_node_that_cannot_work_does_not_start<R: Runtime + Clone>(rig: &Rig<R>) {
    let (taken, at) = socket();
    assert!(matches!(rig.named("test").member(2, at).start().await, Err(StartError::NoNode)));
    assert!(matches!(rig.builder(2).member(1, at).start().await, Err(StartError::NoListener)));
    assert!(matches!(rig.builder(1).member(1, at).start().await, Err(StartError::Config(_))));
    assert!(matches!(rig.builder(1).listen(at).start().await, Err(StartError::Listen(_))));
    drop(taken);
}

pub(super) async fn a_node_frees_its_address_when_it_ends<R: Runtime + Clone>(rig: &Rig<R>) {
    let (listener, at) = socket();
    let node = rig.builder(1).listener(listener).start().await.unwrap();
    node.shutdown().await;
    let again = rig.builder(1).listen(at).start().await.unwrap();
    again.shutdown().await;
}

pub(super) async fn a_cluster_of_five_forgets_everything_that_was_released<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = rig.forgetful_cluster(5).await;
    locks_go_round(&nodes).await;
    rig.until(|| nothing_is_left(&nodes)).await;
}
