use core::time::Duration;

use lockmaster_async::lockmaster_core::ClusterId;

use super::*;
use crate::record::MemberRecord;
use crate::store::LeaseId;

const TIMING: Timing =
    Timing { ttl: Duration::from_secs(10), margin: Duration::from_secs(1), settle: Duration::from_secs(1) };
const LATER: Instant = Instant::from_nanos(1_000_000_000_000);

fn record(digest: u64, leaving: bool) -> MemberRecord {
    MemberRecord::new("127.0.0.1:1".parse().unwrap(), digest, TIMING.ttl, leaving)
}

/// A view of these nodes in their first lives, and keys of those in later ones.
fn snapshot(seats: impl Iterator<Item = u16>, live: impl Iterator<Item = u16>) -> Snapshot {
    let seat = |node| Seat::new(NodeId(node), Incarnation(u64::from(node) + 1), Epoch(1), &record(1, false));
    let view = ViewRecord::new(Epoch(7), 1, seats.map(seat).collect(), Vec::new());
    let mut snapshot = Snapshot { view: Some((view, Revision(5000), 0)), ..Snapshot::default() };
    for node in live {
        let incarnation = Incarnation(u64::from(node) + 1001);
        let registered = Registered {
            incarnation,
            modified: created(incarnation),
            lease: LeaseId(1),
            record: record(1, false),
        };
        snapshot.members.insert(NodeId(node), registered);
    }
    snapshot
}

/// The transaction of the lowest live node, long after everything was seen.
fn propose(snapshot: &Snapshot) -> Option<(Transaction, ViewRecord)> {
    let keys = Keys::new(ClusterId(1));
    let mut absences = Absences::default();
    absences.note(Instant::START, snapshot);
    let (node, registered) = snapshot.members.first_key_value().unwrap();
    let life = Life { node: *node, incarnation: registered.incarnation };
    let proposer =
        Proposer { keys: &keys, life, digest: 1, renewed_at: LATER, timing: TIMING, absences: &absences };
    let Succession::Due(transaction) = proposer.succession(LATER, snapshot) else { return None };
    let Op::Put(_, bytes, None) = &transaction.ops[0] else {
        panic!("the view comes first, without a lease")
    };
    let view = ViewRecord::from_bytes(bytes).unwrap();
    Some((transaction, view))
}

fn members(view: &ViewRecord) -> Vec<u16> {
    view.members.iter().map(|seat| seat.node).collect()
}

#[test]
fn the_largest_change_is_made_in_transactions_of_bounded_length() {
    // 64 that are gone, and 64 others that have come.
    let mut snapshot = snapshot(0..64, 100..164);
    for node in 0..64 {
        let fence = FenceRecord::new(NodeId(100), Why::Unreachable);
        snapshot.fences.insert((NodeId(node), Incarnation(u64::from(node) + 1)), fence);
    }
    let (first, view) = propose(&snapshot).unwrap();
    assert!(first.compares.len() <= OPS_MAX && first.ops.len() <= OPS_MAX);
    assert_eq!((view.epoch, view.removed.len()), (8, 64));
    // The proposer itself is among those that have come, and its key is compared once.
    assert_eq!(first.compares.len(), OPS_MAX - 1);
    assert_eq!(view.members.len(), 62);
    snapshot.view = Some((view, Revision(5001), 0));
    let (second, view) = propose(&snapshot).unwrap();
    assert_eq!(members(&view), (100..164).collect::<Vec<_>>());
    assert!(second.compares.len() < 10, "only the difference is compared");
}

#[test]
fn the_transaction_compares_what_it_rests_on() {
    let keys = Keys::new(ClusterId(1));
    let member = |node| keys.name(Topic::Member(NodeId(node)));
    // 2 is gone, 3 has come back as another life, 4 is new; 1 proposes.
    let mut snapshot = snapshot([1, 2, 3].into_iter(), [3, 4].into_iter());
    let registered = Registered {
        incarnation: Incarnation(2),
        modified: Revision(2),
        lease: LeaseId(1),
        record: record(1, false),
    };
    snapshot.members.insert(NodeId(1), registered);
    let (transaction, view) = propose(&snapshot).unwrap();
    let compares = [
        Compare::Modified(keys.name(Topic::View), Revision(5000)),
        Compare::Created(member(1), Revision(2)),
        Compare::Created(member(2), Revision(0)),
        Compare::Modified(member(3), Revision(1004)),
        Compare::Modified(member(4), Revision(1005)),
    ];
    assert_eq!(transaction.compares, compares);
    assert_eq!(members(&view), [1, 3, 4]);
    assert_eq!(view.members.iter().map(|seat| seat.joined).collect::<Vec<_>>(), [1, 8, 8]);
}

#[test]
fn nothing_is_proposed_where_nothing_has_changed() {
    let mut snapshot = snapshot([1].into_iter(), [].into_iter());
    let registered = Registered {
        incarnation: Incarnation(2),
        modified: Revision(2),
        lease: LeaseId(1),
        record: record(1, false),
    };
    snapshot.members.insert(NodeId(1), registered);
    assert!(propose(&snapshot).is_none());
}

#[test]
fn only_who_may_come_is_added() {
    let mut snapshot = snapshot([1].into_iter(), [2, 3, 4, 5].into_iter());
    let registered = Registered {
        incarnation: Incarnation(2),
        modified: Revision(2),
        lease: LeaseId(1),
        record: record(1, false),
    };
    snapshot.members.insert(NodeId(1), registered);
    snapshot.holds.insert(NodeId(2));
    snapshot.members.get_mut(&NodeId(3)).unwrap().record = record(9, false);
    snapshot.members.get_mut(&NodeId(4)).unwrap().record = record(1, true);
    snapshot.fences.insert((NodeId(5), Incarnation(1006)), FenceRecord::new(NodeId(1), Why::Held));
    assert!(propose(&snapshot).is_none());
}

#[test]
fn there_is_room_for_as_many_as_the_core_takes() {
    let mut snapshot = snapshot(1..=60, 101..=110);
    for node in 1..=60 {
        let incarnation = Incarnation(u64::from(node) + 1);
        let registered = Registered {
            incarnation,
            modified: created(incarnation),
            lease: LeaseId(1),
            record: record(1, false),
        };
        snapshot.members.insert(NodeId(node), registered);
    }
    let (_, view) = propose(&snapshot).unwrap();
    assert_eq!(members(&view), (1..=60).chain(101..=104).collect::<Vec<_>>());
}

#[test]
fn epochs_that_are_used_up_are_not_used_again() {
    let mut snapshot = snapshot([1].into_iter(), [2].into_iter());
    snapshot.view.as_mut().unwrap().0.epoch = u32::MAX;
    assert!(propose(&snapshot).is_none());
}
