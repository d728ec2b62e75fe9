//! What happens when etcd, or the way to it, fails.

use core::time::Duration;

use lockmaster_async::MembershipError;

use crate::cluster::{Node, SETTLE, Site, TTL, check_views, ids, key, member, now};
use crate::proxy::Proxy;
use crate::server::Servers;
use crate::time::pass;

#[test]
fn a_member_that_is_cut_off_is_suspect_then_fenced_before_anybody_removes_it() {
    let servers = Servers::start(1);
    let proxy = Proxy::start(servers.address());
    let far = Site::new(&[proxy.endpoint()]);
    let near = Site::lasting(&servers.endpoints());
    let first = near.join(1);
    let second = far.join(2);
    first.wait_view(&[1, 2]);
    second.wait_renewed();
    let cut_at = now();
    proxy.cut();
    let (told_at, _) = second.wait_fenced();
    let certainty = second.certainty();
    assert!(certainty.suspect_at < certainty.fenced_at);
    assert!(
        certainty.fenced_at < cut_at.after(TTL),
        "it counts from what it sent, and nothing was heard since"
    );
    assert!(certainty.fenced_at <= told_at);
    let (removed_at, _) = first.ear.wait_for_view(|view| ids(view) == [1] && view.epoch.0 > 2);
    assert!(removed_at > certainty.fenced_at.after(SETTLE), "{removed_at:?} {certainty:?}");
    assert!(!first.is_fenced());

    proxy.mend();
    let again = far.join(2);
    assert!(again.incarnation > second.incarnation);
    check_views([&first, &second, &again]);
}

#[test]
fn a_leader_that_dies_changes_no_membership() {
    let mut servers = Servers::start(3);
    let site = Site::lasting(&servers.endpoints());
    let nodes = [site.join(1), site.join(2)];
    nodes[0].wait_view(&[1, 2]);
    servers.kill(servers.leader());
    // Membership goes on with the others.
    for node in &nodes {
        node.wait_renewed();
        node.wait_renewed();
    }
    let third = site.join(3);
    for node in &nodes {
        node.wait_view(&[1, 2, 3]);
        assert!(!node.is_fenced());
    }
    assert_eq!(third.views()[0].epoch.0, nodes[0].views().last().unwrap().epoch.0);
    check_views(&nodes);
}

#[test]
fn a_server_that_freezes_is_left_for_another() {
    let servers = Servers::start(3);
    // The one that is used at first, and does not lead.
    let frozen = (servers.leader() + 1) % 3;
    let mut endpoints = servers.endpoints();
    endpoints.rotate_left(frozen);
    let site = Site::lasting(&endpoints);
    let nodes = [site.join(1), site.join(2)];
    nodes[0].wait_view(&[1, 2]);
    servers.pause(frozen);
    for node in &nodes {
        node.wait_renewed();
        node.wait_renewed();
    }
    let third = site.join(3);
    for node in nodes.iter().chain([&third]) {
        assert_eq!(node.wait_view(&[1, 2, 3]).1.epoch.0, 3);
        assert!(!node.is_fenced());
    }
}

#[test]
fn a_short_stall_of_etcd_changes_nothing() {
    let servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let nodes = [site.join(1), site.join(2)];
    for node in &nodes {
        node.wait_view(&[1, 2]);
        node.wait_renewed();
    }
    servers.pause(0);
    // Long enough that both are suspect, and much shorter than their leases.
    for node in &nodes {
        pass(node.certainty().suspect_at.after(Duration::from_millis(1)));
    }
    servers.resume(0);
    for node in &nodes {
        node.wait_renewed();
        assert!(!node.is_fenced());
    }
    for node in &nodes {
        assert_eq!(node.views().last().unwrap().epoch.0, 2);
    }
}

#[test]
fn a_long_stall_of_etcd_is_a_total_restart() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let nodes = [site.join(1), site.join(2), site.join(3)];
    for node in &nodes {
        node.wait_view(&[1, 2, 3]);
    }
    servers.pause(0);
    for node in &nodes {
        let (told_at, _) = node.wait_fenced();
        assert!(told_at >= node.certainty().fenced_at);
    }
    // The server comes back when all leases have ended.
    for node in &nodes {
        pass(node.certainty().fenced_at.after(TTL / 2));
    }
    servers.resume(0);
    let again: Vec<Node> = std::thread::scope(|scope| {
        let joins: Vec<_> = (1..=3)
            .map(|number| {
                scope.spawn({
                    let site = &site;
                    move || site.join(number)
                })
            })
            .collect();
        joins.into_iter().map(|join| join.join().unwrap()).collect()
    });
    // Nobody has survived: all have joined after the last view of before. Who comes before the engine has ended the old
    // leases may find some of them in its first view.
    for (node, before) in again.iter().zip(&nodes) {
        node.wait_view_of("new lives", |seat| seat.joined.0 > 3);
        assert!(node.incarnation > before.incarnation);
    }
    check_views(nodes.iter().chain(&again));
}

#[test]
fn a_server_that_restarts_with_its_data_changes_nothing() {
    let mut servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let nodes = [site.join(1), site.join(2)];
    nodes[0].wait_view(&[1, 2]);
    servers.kill(0);
    servers.restart(0);
    for node in &nodes {
        node.wait_renewed();
        assert!(!node.is_fenced());
    }
    let third = site.join(3);
    for node in nodes.iter().chain([&third]) {
        assert_eq!(node.wait_view(&[1, 2, 3]).1.epoch.0, 3);
    }
    check_views(&nodes);
}

#[test]
fn a_node_whose_watch_is_compacted_away_reads_anew() {
    let servers = Servers::start(1);
    let proxy = Proxy::start(servers.address());
    let site = Site::lasting(&servers.endpoints());
    let far = Site::lasting(&[proxy.endpoint()]);
    let first = site.join(1);
    let second = far.join(2);
    first.wait_view(&[1, 2]);
    second.wait_renewed();
    // The watch hears nothing; meanwhile the history that it has not heard is thrown away.
    proxy.cut();
    let mut third = site.join(3);
    first.wait_view(&[1, 2, 3]);
    third.leave();
    let (_, view) = first.ear.wait_for_view(|view| ids(view) == [1, 2] && view.epoch.0 > 3);
    let newest =
        servers.with(0, async |mut client| Ok(client.get(key("view"), None).await?.kvs()[0].mod_revision()));
    servers.with(0, async |mut client| client.compact(newest.unwrap(), None).await).unwrap();
    proxy.mend();
    assert_eq!(second.ear.wait_for_view(|told| told.epoch == view.epoch).1, view);
    assert!(!second.is_fenced());
}

#[test]
fn an_older_backup_is_refused() {
    let mut servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let first = site.join(1);
    servers.kill(0);
    let backup = tempfile::tempdir().unwrap();
    servers.save(0, &backup.path().join("data"));
    servers.restart(0);
    first.wait_renewed();
    let _second = site.join(2);
    let (_, view) = first.wait_view(&[1, 2]);
    servers.kill(0);
    servers.restore(0, &backup.path().join("data"));
    servers.restart(0);
    let (_, why) = first.wait_fenced();
    assert!(why.contains(&format!("accepted the view of epoch {}", view.epoch.0)), "{why}");
    // Nor does it join again, nor in another process.
    for etcd in [site.etcd.clone(), site.anew(&servers.endpoints())] {
        let refused = Node::join(&etcd, 1).err().unwrap();
        assert!(matches!(refused, MembershipError::Untrusted(_)), "{refused}");
    }
}

#[test]
fn everybody_restarts_with_other_incarnations_and_higher_epochs() {
    let mut servers = Servers::start(1);
    let site = Site::of(&servers);
    let mut nodes = [site.join(1), site.join(2)];
    nodes[0].wait_view(&[1, 2]);
    for node in &mut nodes {
        node.crash();
    }
    servers.kill(0);
    servers.restart(0);
    let anew = site.anew(&servers.endpoints());
    let again = Node::join(&anew, 2).unwrap();
    let view = again.views().remove(0);
    assert!(again.incarnation > nodes[1].incarnation);
    assert!(view.epoch.0 > 2);
    assert_eq!(member(&view, 2).joined, view.epoch);
    assert!(again.joined_at > nodes[1].certainty().fenced_at);
}

#[test]
fn an_engine_that_is_not_there_is_said_to_be_unreachable() {
    let site = Site::new(&["http://127.0.0.1:1".to_owned()]);
    let refused = Node::join(&site.etcd, 1).err().unwrap();
    assert!(
        matches!(&refused, MembershipError::Unreachable(why) if why.contains("127.0.0.1:1")),
        "{refused}"
    );
}
