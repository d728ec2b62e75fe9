//! Joining, leaving, crashing.

use std::net::TcpListener;
use std::sync::Arc;

use etcd_client::{Client, Error, Permission, PermissionType};
use lockmaster_async::{Candidate, ClusterView, Inbox, Membership as _, MembershipError, NodeId};
use lockmaster_etcd::Etcd;

use crate::cluster::{
    Ear, MARGIN, Node, SETTLE, Site, TTL, candidate, check_views, ids, key, member, now, options,
};
use crate::server::Servers;

#[test]
fn nodes_join_and_leave() {
    let servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let first = site.join(1);
    let (_, view) = first.wait_view(&[1]);
    assert_eq!(view.epoch.0, 1);
    assert_eq!(member(&view, 1).incarnation, first.incarnation);

    let mut second = site.join(2);
    let (_, view) = first.wait_view(&[1, 2]);
    assert_eq!(second.wait_view(&[1, 2]).1, view);
    assert_eq!((member(&view, 1).joined.0, member(&view, 2).joined.0), (1, 2));
    assert_eq!(member(&view, 2).address.port(), 7002);

    // Whoever does not care gets the lowest number that is free.
    let chosen = Site::lasting(&servers.endpoints());
    let third = Node::join_as(&chosen.etcd, candidate(None)).unwrap();
    assert_eq!(third.id, NodeId(3));
    first.wait_view(&[1, 2, 3]);

    second.session.as_ref().unwrap().announce_leaving().unwrap();
    first.ear.wait_for_view(|view| ids(view) == [1, 2, 3] && member(view, 2).is_leaving);
    let leaves_at = now();
    second.leave();
    let (removed_at, _) = first.wait_view(&[1, 3]);
    // Nobody waits for the lease of one who has left.
    assert!(removed_at < leaves_at.after(TTL - MARGIN), "{removed_at:?} {leaves_at:?}");
    assert!(!second.is_fenced());

    let again = site.join(2);
    assert!(again.incarnation > second.incarnation);
    first.wait_view(&[1, 2, 3]);
    check_views([&first, &second, &third, &again]);
}

#[test]
fn a_join_that_nobody_waits_for_any_more_is_given_up() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::lasting(&[format!("http://{}", silent.local_addr().unwrap())]);
    let ear = Arc::new(Ear::default());
    ear.end();
    let refused = site.etcd.join(&candidate(Some(1)), Inbox::new(ear)).err();
    assert!(matches!(refused, Some(MembershipError::Abandoned)), "{refused:?}");
}

#[test]
fn a_crashed_member_is_removed_once_it_has_stopped_and_its_number_waits() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let near = Site::lasting(&servers.endpoints());
    let first = near.join(1);
    let mut second = site.join(2);
    first.wait_view(&[1, 2]);
    second.wait_renewed();
    second.crash();
    // Another process, which does not know the lease: it has to wait for its end.
    let anew = site.anew(&servers.endpoints());
    let again = Node::join(&anew, 2).unwrap();
    assert!(again.incarnation > second.incarnation);
    let fenced_at = second.certainty().fenced_at;
    let is_new = |view: &ClusterView| member(view, 2).incarnation == again.incarnation;
    let (removed_at, _) = first.ear.wait_for_view(|view| ids(view) == [1, 2] && is_new(view));
    assert!(removed_at > fenced_at.after(SETTLE));
    assert!(again.joined_at > fenced_at.after(SETTLE));
    assert!(!first.is_fenced());
    check_views([&first, &again]);
}

#[test]
fn a_number_that_was_chosen_is_kept_and_so_is_what_must_not_be_forgotten() {
    let servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let mut first = Node::join_as(&site.etcd, candidate(None)).unwrap();
    assert_eq!(first.id, NodeId(1));
    let kept = |site: &Site| {
        let entries = std::fs::read_dir(site.state.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = kept(&site);
    assert_eq!(before.len(), 1);
    first.crash();
    // A node comes back with the number that it was given.
    let mut again = Node::join(&site.etcd, 1).unwrap();
    assert!(again.incarnation > first.incarnation);
    assert_eq!(kept(&site), before, "one file for all lives");
    again.leave();
}

#[test]
fn many_that_join_and_leave_at_once_agree() {
    let servers = Servers::start(1);
    let site = Site::lasting(&servers.endpoints());
    let nodes: Vec<Node> = std::thread::scope(|scope| {
        let joins: Vec<_> = (1..=8)
            .map(|number| {
                let site = &site;
                scope.spawn(move || {
                    let mut node = site.join(number);
                    if number % 2 == 0 {
                        node.leave();
                        return vec![node, site.join(number)];
                    }
                    vec![node]
                })
            })
            .collect();
        joins.into_iter().flat_map(|join| join.join().unwrap()).collect()
    });
    let staying: Vec<&Node> = nodes.iter().filter(|node| node.session.is_some()).collect();
    for node in &staying {
        node.wait_view(&[1, 2, 3, 4, 5, 6, 7, 8]);
    }
    check_views(&nodes);
    // Every change was one transaction: no epoch is missing, and none is there twice.
    let history = servers.history(&key("view"));
    for (view, epoch) in history.iter().zip(1..) {
        assert!(view.contains(&format!("\"epoch\":{epoch},")), "{view}");
    }
    assert!(history.len() > 1);
}

#[test]
fn a_number_that_is_taken_is_refused() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let first = site.join(1);
    let other = Site::of(&servers);
    let refused = Node::join(&other.etcd, 1).err().unwrap();
    assert!(matches!(refused, MembershipError::Taken(NodeId(1))), "{refused}");
    assert!(!first.is_fenced());
}

#[test]
fn another_configuration_is_refused() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let _first = site.join(1);
    let other = Candidate { digests: vec![8, 9], ..candidate(Some(2)) };
    let refused = Node::join_as(&site.etcd, other).err().unwrap();
    assert!(matches!(refused, MembershipError::Configuration(_)), "{refused}");
}

#[test]
fn whom_an_operator_holds_is_removed_and_kept_out() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let near = Site::lasting(&servers.endpoints());
    let first = near.join(1);
    let second = site.join(2);
    first.wait_view(&[1, 2]);
    servers.put(&key("fence/2"), "disk is being replaced");
    let (_, why) = second.wait_fenced();
    assert!(why.contains("operator"), "{why}");
    let (removed_at, _) = first.ear.wait_for_view(|view| ids(view) == [1] && view.epoch.0 > 2);
    assert!(removed_at > second.certainty().fenced_at);
    let refused = Node::join(&site.etcd, 2).err().unwrap();
    assert!(matches!(refused, MembershipError::Configuration(_)), "{refused}");
    servers.delete(&key("fence/2"));
    let again = site.join(2);
    assert!(again.incarnation > second.incarnation);
}

#[test]
fn whose_key_somebody_deletes_stops_and_is_removed_once_its_lease_has_ended() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let near = Site::lasting(&servers.endpoints());
    let first = near.join(1);
    let mut second = site.join(2);
    first.wait_view(&[1, 2]);
    second.wait_renewed();
    servers.delete(&key("members/2"));
    let (_, why) = second.wait_fenced();
    assert!(why.contains("its key at etcd is gone"), "{why}");
    let (removed_at, _) = first.ear.wait_for_view(|view| ids(view) == [1] && view.epoch.0 > 2);
    assert!(removed_at > second.certainty().fenced_at.after(SETTLE));
    assert!(!first.is_fenced());
    // The next life ends the lease itself.
    let mut third = site.join(2);
    first.wait_view(&[1, 2]);
    servers.delete(&key("members/2"));
    third.wait_fenced();
    third.crash();
    let start = now();
    let again = site.join(2);
    assert!(now() < start.after(TTL), "it does not wait for a lease of its own");
    assert!(again.incarnation > third.incarnation && third.incarnation > second.incarnation);
    second.crash();
    check_views([&first, &second, &third, &again]);
}

#[test]
fn a_node_that_is_stuck_loses_its_lease() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let near = Site::lasting(&servers.endpoints());
    let first = near.join(1);
    let second = site.join(2);
    first.wait_view(&[1, 2]);
    second.ear.get_stuck();
    let (fenced_at, _) = second.wait_fenced();
    let (removed_at, _) = first.ear.wait_for_view(|view| ids(view) == [1] && view.epoch.0 > 2);
    assert!(removed_at > second.certainty().fenced_at.after(SETTLE));
    assert!(fenced_at < removed_at);
    assert!(!first.is_fenced());
}

#[test]
fn the_smaller_side_of_a_split_is_revoked_and_waited_for() {
    let servers = Servers::start(1);
    let site = Site::of(&servers);
    let mut nodes = [site.join(1), site.join(2), site.join(3)];
    for node in &nodes {
        node.wait_view(&[1, 2, 3]);
    }
    // Node 1 is alone, and as live at etcd as the others.
    nodes[0].report_reachable(&[]);
    nodes[1].report_reachable(&[3]);
    nodes[2].report_reachable(&[2]);
    let (_, why) = nodes[0].wait_fenced();
    assert!(why.contains("could not reach it"), "{why}");
    for node in &nodes[1..] {
        let (removed_at, _) = node.wait_view(&[2, 3]);
        assert!(removed_at > nodes[0].certainty().fenced_at.after(SETTLE));
        assert!(!node.is_fenced());
    }
    check_views(&nodes);

    nodes[0].crash();
    let away = Node::join(&site.etcd, 1).err().unwrap();
    assert!(away.to_string().contains("may join again in"), "{away}");
}

#[test]
fn where_etcd_asks_for_users_one_that_may_use_our_keys_is_enough() {
    let servers = Servers::start(1);
    let authorised = servers.with(0, async |mut client: Client| {
        client.user_add("root", "root", None).await?;
        client.user_grant_role("root", "root").await?;
        client.role_add("lockmaster").await?;
        let ours = Permission::new(PermissionType::Readwrite, "/lockmaster/").with_prefix();
        client.role_grant_permission("lockmaster", ours).await?;
        client.user_add("orders", "secret", None).await?;
        client.user_grant_role("orders", "lockmaster").await?;
        client.auth_enable().await?;
        Ok::<(), Error>(())
    });
    authorised.unwrap();
    let state = tempfile::tempdir().unwrap();
    let join = |options| Node::join(&Etcd::new(options).unwrap(), 1);
    let options = || options(&servers.endpoints(), state.path());
    for denied in [options(), options().user("orders", "guess")] {
        let start = now();
        let why = join(denied).err().unwrap();
        assert!(matches!(why, MembershipError::Unreachable(_)), "{why}");
        assert!(now() < start.after(TTL * 4), "it is not tried again and again: {why}");
    }
    let node = join(options().user("orders", "secret")).unwrap();
    node.wait_view(&[1]);
    node.wait_renewed();
}
