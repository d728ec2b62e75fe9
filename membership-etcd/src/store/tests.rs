use core::time::Duration;

use lockmaster_async::lockmaster_core::ClusterId;

use super::*;

fn entry(key: &str, value: &[u8]) -> Entry {
    let (created, modified) = (Revision(3), Revision(8));
    Entry { key: key.to_owned(), value: value.to_vec(), created, modified, lease: LeaseId(1) }
}

fn member() -> Vec<u8> {
    MemberRecord::new("127.0.0.1:1".parse().unwrap(), 0, Duration::from_secs(2), false).to_bytes()
}

#[test]
fn the_incarnation_is_the_revision_that_created_the_key() {
    let keys = Keys::new(ClusterId(1));
    let entries = [entry(&keys.name(Topic::Member(NodeId(2))), &member())];
    let snapshot = Snapshot::new(&keys, &entries).unwrap();
    assert_eq!(snapshot.members[&NodeId(2)].incarnation, Incarnation(3));
    assert!(snapshot.life(NodeId(2), Incarnation(3)).is_some());
    assert!(snapshot.life(NodeId(2), Incarnation(8)).is_none());
}

#[test]
fn a_key_that_makes_no_sense_spoils_the_snapshot() {
    let keys = Keys::new(ClusterId(1));
    let good = entry(&keys.name(Topic::Member(NodeId(2))), &member());
    for topic in [Topic::View, Topic::Member(NodeId(1)), Topic::Fence(NodeId(1), Incarnation(1))] {
        let bad = entry(&keys.name(topic), b"{");
        let told = Snapshot::new(&keys, &[good.clone(), bad.clone()]).unwrap_err();
        assert!(told.0.starts_with(&bad.key), "{}", told.0);
    }
}

#[test]
fn a_member_key_that_no_node_has_written_spoils_the_snapshot() {
    let keys = Keys::new(ClusterId(1));
    let entry = entry(&keys.name(Topic::Member(NodeId(2))), &member());
    assert!(Snapshot::new(&keys, core::slice::from_ref(&entry)).is_ok());
    let told = Snapshot::new(&keys, &[Entry { lease: LeaseId(0), ..entry }]).unwrap_err();
    assert!(told.0.contains("no lease"), "{}", told.0);
}

#[test]
fn keys_of_others_and_what_an_operator_wrote_are_taken_as_they_are() {
    let keys = Keys::new(ClusterId(1));
    let entries =
        [entry("/lockmaster/else", b"{"), entry(&keys.name(Topic::Hold(NodeId(4))), b"gone for repair")];
    let snapshot = Snapshot::new(&keys, &entries).unwrap();
    assert!(snapshot.holds.contains(&NodeId(4)));
    assert!(snapshot.members.is_empty());
}
