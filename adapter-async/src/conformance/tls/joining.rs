//! Nodes that prove themselves, and whose members come and go.

use core::net::SocketAddr;

use super::papers::Authority;
use crate::conformance::rig::{self, Rig, socket};
use crate::conformance::script::Script;
use crate::{FailedHandshakes, LinkStats, Node, Runtime, StartError, TlsError};

/// Nodes 1 and 2, which have joined and are connected.
async fn pair<R: Runtime + Clone>(rig: &Rig<R>, script: &Script, authority: &Authority) -> [Node<R>; 2] {
    let one = script.builder(rig, 1).tls(authority.node(1).tls()).start().await.unwrap();
    one.opened().await;
    let two = script.builder(rig, 2).tls(authority.node(2).tls()).start().await.unwrap();
    two.opened().await;
    let nodes = [one, two];
    until_met(rig, &nodes).await;
    nodes
}

async fn until_met<R: Runtime + Clone>(rig: &Rig<R>, nodes: &[Node<R>; 2]) {
    rig.until(|| nodes.iter().all(|node| node.is_settled() && node.link_stats().up == 1)).await;
}

/// Locks go round once slots have come to both.
async fn locks_go_round<R: Runtime + Clone>(rig: &Rig<R>, nodes: &[Node<R>; 2]) {
    rig.until(|| nodes.iter().all(|node| node.map().shares.iter().all(|share| share.slots > 0))).await;
    rig::locks_go_round(nodes).await;
}

pub(in crate::conformance) async fn nodes_that_join_prove_themselves<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = pair(rig, &Script::default(), &Authority::new()).await;
    locks_go_round(rig, &nodes).await;
    for node in &nodes {
        let LinkStats { handshakes_failed, failed, .. } = node.link_stats();
        assert_eq!((handshakes_failed, failed), (0, FailedHandshakes::default()));
    }
}

pub(in crate::conformance) async fn a_node_that_comes_back_proves_itself_again<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let nodes = pair(rig, &script, &Authority::new()).await;
    let (before, begun) = (nodes[1].incarnation(), nodes[0].link_stats().begun);
    script.fence(2);
    rig.until(|| nodes[1].incarnation() > before && nodes[0].link_stats().begun > begun).await;
    until_met(rig, &nodes).await;
    locks_go_round(rig, &nodes).await;
    assert_eq!(nodes[0].link_stats().failed.untrusted, 0);
}

pub(in crate::conformance) async fn a_member_by_the_view_alone_is_none<R: Runtime + Clone>(rig: &Rig<R>) {
    let (script, ours) = (Script::default(), Authority::new());
    let one = script.builder(rig, 1).tls(ours.node(1).tls()).start().await.unwrap();
    one.opened().await;
    let two = script.builder(rig, 2).tls(Authority::new().node(2).tls()).start().await.unwrap();
    rig.until(|| one.link_stats().failed.untrusted > 0 && two.link_stats().failed.rejected > 0).await;
    assert_eq!((one.link_stats().begun, one.stats().frames_in), (0, 0));
}

pub(in crate::conformance) async fn papers_of_another_number_are_refused_at_the_start<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let (script, authority) = (Script::default(), Authority::new());
    let refused = script.builder(rig, 1).tls(authority.node(2).tls()).start().await;
    assert!(matches!(refused, Err(StartError::Tls(TlsError::Certificate { .. }))), "{refused:?}");
    assert!(script.events().is_empty(), "what is named is checked before the node joins");

    // A number that the provider chooses is known when the node has joined.
    let (listener, _) = socket();
    let builder = rig.named("test").listener(listener).tls(authority.node(2).tls());
    let refused = builder.join(script).start().await;
    assert!(matches!(refused, Err(StartError::Tls(TlsError::Certificate { .. }))), "{refused:?}");
}

pub(in crate::conformance) async fn what_proves_itself_may_be_reached_from_elsewhere<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let elsewhere: SocketAddr = "192.0.2.1:7000".parse().unwrap();
    let refused = Script::default().builder(rig, 1).advertise(elsewhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(address)) if address == elsewhere), "{refused:?}");
    let papers = Authority::new().node(1);
    let node =
        Script::default().builder(rig, 1).advertise(elsewhere).tls(papers.tls()).start().await.unwrap();
    node.opened().await;
    assert_eq!(node.members()[0].address, elsewhere);
}
