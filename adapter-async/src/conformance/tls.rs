//! Nodes that prove themselves to each other, and peers that cannot.

pub(super) mod joining;
mod papers;
mod peer;

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::Write as _;
use std::net::TcpStream;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};

use papers::{Authority, Papers};
use peer::{Peer, hello_of_one};

use super::connections::is_at_end;
use super::rig::{Rig, locks_go_round, socket};
use super::task::on_thread;
use crate::{
    Builder, ClusterId, FailedHandshakes, LinkStats, Node, NodeId, Runtime, StartError, TlsError, node_name,
};

/// Nodes 1 and 2 with these papers; without any they speak plainly.
async fn pair<R: Runtime + Clone>(rig: &Rig<R>, one: Option<&Papers>, two: Option<&Papers>) -> [Node<R>; 2] {
    let with = |builder: Builder<R>, papers: Option<&Papers>| match papers {
        Some(papers) => builder.tls(papers.tls()),
        None => builder,
    };
    let (listener, address) = socket();
    let one = with(rig.builder(1), one).member(2, address).start().await.unwrap();
    let two = with(rig.builder(2), two).listener(listener).member(1, address).start().await.unwrap();
    [one, two]
}

/// Node 2, which is dialled, and where.
async fn acceptor<R: Runtime + Clone>(rig: &Rig<R>, papers: &Papers) -> (Node<R>, SocketAddr) {
    let (listener, address) = socket();
    let node = rig.builder(2).tls(papers.tls()).listener(listener).member(1, address).start().await.unwrap();
    (node, address)
}

type Counter = fn(&FailedHandshakes) -> u64;

/// This node has refused others for this reason alone, let nobody in and read no lock message.
async fn refuses<R: Runtime + Clone>(rig: &Rig<R>, node: &Node<R>, counter: Counter) {
    rig.until(|| counter(&node.link_stats().failed) > 0).await;
    let LinkStats { up, begun, handshakes_failed, failed, .. } = node.link_stats();
    assert_eq!((up, begun, node.stats().frames_in), (0, 0, 0));
    assert_eq!(counter(&failed), handshakes_failed, "{failed:?}");
}

/// What node 2 does with a peer by hand.
async fn accepts_not<R: Runtime + Clone>(
    rig: &Rig<R>,
    papers: &Papers,
    counter: Counter,
    act: impl FnOnce(SocketAddr) + Send + 'static,
) {
    let (node, at) = acceptor(rig, papers).await;
    on_thread(move || act(at)).await.unwrap();
    refuses(rig, &node, counter).await;
    node.shutdown().await;
}

pub(super) async fn nodes_take_locks_from_one_another<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let nodes = pair(rig, Some(&authority.node(1)), Some(&authority.node(2))).await;
    locks_go_round(&nodes).await;
    for node in &nodes {
        assert_eq!(node.link_stats().failed, FailedHandshakes::default());
    }
}

pub(super) async fn a_connection_is_made_again_while_the_certificates_last<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let nodes = pair(rig, Some(&authority.node(1)), Some(&authority.node(2))).await;
    locks_go_round(&nodes).await;
    authority.pass_days(9);
    for round in 1..=3 {
        nodes[0].disconnect(NodeId(2));
        rig.until(|| nodes.iter().all(|node| node.link_stats().begun > round && node.link_stats().up == 1))
            .await;
        locks_go_round(&nodes).await;
    }
}

pub(super) async fn an_expired_certificate_of_who_dials_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let short = authority.named(&[node_name("test", NodeId(1)).unwrap()], 2);
    let nodes = pair(rig, Some(&short), Some(&authority.node(2))).await;
    locks_go_round(&nodes).await;
    authority.pass_days(2);
    assert_eq!(nodes[1].link_stats().failed.expired, 0, "what is connected stays connected");
    nodes[0].disconnect(NodeId(2));
    rig.until(|| nodes[1].link_stats().failed.expired > 0).await;
    assert_eq!((nodes[1].link_stats().up, nodes[1].link_stats().begun), (0, rig.machines.into()));
}

pub(super) async fn an_expired_certificate_of_who_accepts_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let short = authority.named(&[node_name("test", NodeId(2)).unwrap()], 2);
    let nodes = pair(rig, Some(&authority.node(1)), Some(&short)).await;
    locks_go_round(&nodes).await;
    authority.pass_days(2);
    nodes[0].disconnect(NodeId(2));
    rig.until(|| nodes[0].link_stats().failed.expired > 0 && nodes[1].link_stats().failed.rejected > 0).await;
    assert_eq!((nodes[0].link_stats().up, nodes[0].link_stats().begun), (0, rig.machines.into()));
}

pub(super) async fn another_authority_is_refused_by_who_dials<R: Runtime + Clone>(rig: &Rig<R>) {
    let nodes = pair(rig, Some(&Authority::new().node(1)), Some(&Authority::new().node(2))).await;
    refuses(rig, &nodes[0], |failed| failed.untrusted).await;
    rig.until(|| nodes[1].link_stats().failed.rejected > 0).await;
}

pub(super) async fn another_authority_is_refused_by_who_accepts<R: Runtime + Clone>(rig: &Rig<R>) {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (two, shown) = (ours.node(2), theirs.node(1));
    let trusted = ours.node(1);
    accepts_not(
        rig,
        &two,
        |failed| failed.untrusted,
        move |at| {
            assert!(Peer::dial(at, Some(&shown), &trusted).is_refused());
        },
    )
    .await;
}

pub(super) async fn a_certificate_for_another_use_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let mut params = CertificateParams::new([node_name("test", NodeId(1)).unwrap()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let papers = authority.signed(params, 10);
    let (_, at) = socket();
    let refused = rig.builder(1).tls(papers.tls()).member(2, at).start().await;
    assert!(matches!(refused, Err(StartError::Tls(TlsError::Certificate { .. }))), "{refused:?}");
    accepts_not(
        rig,
        &authority.node(2),
        |failed| failed.untrusted,
        move |at| {
            assert!(Peer::dial(at, Some(&papers), &papers).is_refused());
        },
    )
    .await;
}

pub(super) async fn who_shows_no_certificate_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let trusted = authority.node(1);
    accepts_not(
        rig,
        &authority.node(2),
        |failed| failed.uncertified,
        move |at| {
            assert!(Peer::dial(at, None, &trusted).is_refused());
        },
    )
    .await;
}

pub(super) async fn a_hello_of_another_node_than_the_certificate_is_refused<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let authority = Authority::new();
    let hello = hello_of_one(rig).await;
    let named = |number: u16| node_name("test", NodeId(number)).unwrap();
    let others = [named(3), named(11), "*.test.lockmaster".to_owned(), "node-1.other.lockmaster".to_owned()];
    for name in others {
        let papers = authority.named(&[name], 10);
        accepts_not(
            rig,
            &authority.node(2),
            |failed| failed.misnamed,
            move |at| {
                let mut peer = Peer::dial(at, Some(&papers), &papers);
                peer.say_hello(&hello);
                assert!(peer.is_refused());
            },
        )
        .await;
    }
}

pub(super) async fn a_node_that_was_not_dialled_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let (listener, at) = socket();
    let three = rig.builder(3).tls(authority.node(3).tls()).listener(listener).member(1, at).member(2, at);
    let three = three.start().await.unwrap();
    let one = rig.builder(1).tls(authority.node(1).tls()).member(2, at).member(3, at).start().await.unwrap();
    rig.until(|| one.link_stats().failed.misnamed > 0).await;
    rig.until(|| one.link_stats().up == 1).await;
    rig.until(|| three.link_stats().failed.rejected > 0).await;
}

pub(super) async fn another_cluster_of_the_same_authority_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let papers = |number| authority.named(&[node_name("other", NodeId(number)).unwrap()], 10);
    // It dials us.
    let (two, at) = acceptor(rig, &authority.node(2)).await;
    let stranger = rig.named("other").node(1).tls(papers(1).tls()).member(2, at).start().await.unwrap();
    refuses(rig, &stranger, |failed| failed.misnamed).await;
    rig.until(|| two.link_stats().failed.rejected > 0).await;
    // We dial it.
    let (listener, at) = socket();
    let stranger = rig.named("other").node(2).tls(papers(2).tls()).listener(listener).member(1, at);
    let _stranger = stranger.start().await.unwrap();
    let one = rig.builder(1).tls(authority.node(1).tls()).member(2, at).start().await.unwrap();
    refuses(rig, &one, |failed| failed.misnamed).await;
}

pub(super) async fn a_good_certificate_does_not_help_a_hello_of_another_cluster<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let authority = Authority::new();
    let (two, at) = acceptor(rig, &authority.node(2)).await;
    let papers = authority.node(1);
    let mut hello = hello_of_one(rig).await;
    hello.cluster = ClusterId(hello.cluster.0 + 1);
    let refused = on_thread(move || {
        let mut peer = Peer::dial(at, Some(&papers), &papers);
        peer.say_hello(&hello);
        is_at_end(&mut peer.0)
    });
    assert!(refused.await.unwrap());
    rig.until(|| two.link_stats().hellos_refused == 1).await;
    assert_eq!((two.link_stats().begun, two.stats().frames_in), (0, 0));
}

pub(super) async fn an_earlier_life_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let (two, at) = acceptor(rig, &authority.node(2)).await;
    let life = |number| rig.builder(1).tls(authority.node(1).tls()).member(2, at).incarnation(number);
    let first = life(8).start().await.unwrap();
    rig.until(|| two.link_stats().up == 1).await;
    first.shutdown().await;
    let earlier = life(7).start().await.unwrap();
    rig.until(|| two.link_stats().hellos_refused > 0).await;
    earlier.shutdown().await;
    assert_eq!(two.link_stats().begun, rig.machines.into());
}

pub(super) async fn tls_on_one_side_alone_is_told<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let nodes = pair(rig, None, Some(&authority.node(2))).await;
    refuses(rig, &nodes[1], |failed| failed.one_sided).await;
    rig.until(|| nodes[0].link_stats().failed.one_sided > 0).await;
    let nodes = pair(rig, Some(&authority.node(1)), None).await;
    refuses(rig, &nodes[0], |failed| failed.one_sided).await;
    rig.until(|| nodes[1].link_stats().failed.one_sided > 0).await;
}

pub(super) async fn garbage_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let garbage: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0; 5000], &[22, 3, 1, 0, 4, 9, 9, 9, 9], &[23, 3, 3, 0, 1, 0]];
    for garbage in garbage.map(<[u8]>::to_vec) {
        accepts_not(
            rig,
            &authority.node(2),
            |failed| failed.garbled,
            move |at| {
                let mut stream = TcpStream::connect(at).unwrap();
                stream.write_all(&garbage).unwrap();
                assert!(is_at_end(&mut stream));
            },
        )
        .await;
    }
}

pub(super) async fn another_protocol_inside_is_refused<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    for protocol in [Some("h2"), None] {
        let papers = authority.node(1);
        accepts_not(
            rig,
            &authority.node(2),
            |failed| failed.garbled,
            move |at| {
                assert!(Peer::dial_as(at, Some(&papers), &papers, protocol).is_refused());
            },
        )
        .await;
    }
}

pub(super) async fn more_than_a_hello_is_not_read_before_it<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let papers = authority.node(1);
    // The head of a frame of 65000 bytes, and its first two thousand.
    let mut long = b"LKMR\x01\x01\x00\x00".to_vec();
    long.extend(65_000_u32.to_le_bytes());
    long.resize(2000, 0);
    let plainly = long.clone();
    accepts_not(
        rig,
        &authority.node(2),
        |failed| failed.garbled,
        move |at| {
            let mut peer = Peer::dial(at, Some(&papers), &papers);
            peer.say(&long);
            assert!(peer.is_refused());
        },
    )
    .await;

    let (listener, at) = socket();
    let node = rig.builder(2).listener(listener).member(1, at).start().await.unwrap();
    let refused = on_thread(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(&plainly).unwrap();
        is_at_end(&mut stream)
    });
    assert!(refused.await.unwrap());
    refuses(rig, &node, |failed| failed.garbled).await;
}

pub(super) async fn a_peer_that_stops_half_way_is_given_up<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let papers = authority.node(1);
    let (listener, at) = socket();
    let node = rig.builder(2).tls(authority.node(2).tls()).handshake_timeout(Duration::from_millis(1));
    let node = node.listener(listener).member(1, at).start().await.unwrap();
    let stalled = on_thread(move || {
        let mut silent = TcpStream::connect(at).unwrap();
        let mut begun = TcpStream::connect(at).unwrap();
        begun.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252]).unwrap();
        assert!(is_at_end(&mut silent) && is_at_end(&mut begun));
    });
    stalled.await.unwrap();
    rig.until(|| node.link_stats().failed.timed_out == 2).await;
    refuses(rig, &node, |failed| failed.timed_out).await;
    node.shutdown().await;

    // One that has proved itself and then says nothing.
    let (listener, at) = socket();
    let node = rig.builder(2).tls(authority.node(2).tls()).handshake_timeout(Duration::from_millis(300));
    let node = node.listener(listener).member(1, at).start().await.unwrap();
    let stalled = on_thread(move || Peer::dial(at, Some(&papers), &papers).is_refused());
    assert!(stalled.await.unwrap());
    refuses(rig, &node, |failed| failed.timed_out).await;
}

pub(super) async fn half_open_connections_are_bounded_and_members_come_in_after_them<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    /// More than there may be.
    const MORE: u64 = 22;
    let most = 128 * u64::from(rig.machines);
    let authority = Authority::new();
    let (listener, at) = socket();
    let node = rig.builder(2).tls(authority.node(2).tls()).handshake_timeout(Duration::from_secs(3600));
    let two = node.listener(listener).member(1, at).start().await.unwrap();
    let crowd = on_thread(move || {
        let half_open = || {
            let mut half = TcpStream::connect(at).unwrap();
            let _ = half.write_all(&[22, 3, 1, 1, 0]);
            half
        };
        (0..most + MORE).map(|_| half_open()).collect::<Vec<_>>()
    });
    let crowd = crowd.await.unwrap();
    rig.until(|| two.link_stats().turned_away == MORE).await;
    assert_eq!(two.link_stats().handshakes_failed, 0);
    drop(crowd);
    rig.until(|| two.link_stats().failed.unreachable == most).await;
    let one = rig.builder(1).tls(authority.node(1).tls()).member(2, at).start().await.unwrap();
    locks_go_round(&[one, two]).await;
}

pub(super) async fn with_tls_a_node_may_be_reached_from_elsewhere<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let node = rig.builder(1).tls(authority.node(1).tls()).listen(anywhere).start().await.unwrap();
    node.shutdown().await;
    let refused = rig.builder(1).listen(anywhere).start().await;
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
}

pub(super) async fn papers_of_another_node_do_not_start_one<R: Runtime + Clone>(rig: &Rig<R>) {
    let authority = Authority::new();
    let refused = rig.builder(2).tls(authority.node(1).tls()).start().await;
    let Err(StartError::Tls(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.to_string(), "the other nodes would refuse the certificate of node-2.test.lockmaster");
    let refused = rig.named("").node(1).tls(authority.node(1).tls()).start().await;
    assert!(matches!(refused, Err(StartError::Tls(TlsError::ClusterName(_)))));
}
