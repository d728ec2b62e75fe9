//! Nodes that prove themselves to each other, and peers that cannot.

mod papers;

use lockmaster_tokio::{Mode, Node};

use crate::cluster::{builder, name_at, socket, until};

use papers::{Authority, Papers};

const EX: Mode = Mode::Exclusive;

/// Nodes 1 and 2 with these papers.
async fn pair(one: &Papers, two: &Papers) -> [Node; 2] {
    let (listener, address) = socket();
    let one = builder(1).tls(one.tls()).member(2, address).start().await.unwrap();
    let two = builder(2).tls(two.tls()).listener(listener).member(1, address).start().await.unwrap();
    [one, two]
}

/// Each node takes a lock that the other one masters.
async fn locks_go_round(nodes: &[Node; 2]) {
    let [one, two] = nodes;
    for (node, master) in [(one, two), (two, one)] {
        let name = name_at(node, master).await;
        drop(node.lock(&name, EX).await.unwrap());
        drop(master.lock(&name, EX).await.unwrap());
    }
}

#[tokio::test]
async fn nodes_take_locks_from_one_another() {
    let authority = Authority::new();
    let nodes = pair(&authority.node(1), &authority.node(2)).await;
    locks_go_round(&nodes).await;
    for node in &nodes {
        assert_eq!(node.link_stats().failed, Default::default());
    }
}
