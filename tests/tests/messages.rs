//! What operations cost in messages: the table of `docs/performance.md` is the one that this test makes.

use core::time::Duration;

use Mode::{Exclusive, ProtectedRead};
use lockmaster_core::wire::{Body, Message, PositionKind};
use lockmaster_core::{Flags, Limits, LockId, Mode, NodeId, Retention, Value, ValueWrite};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, Frame, MASTER, request_for};

/// The page.
const PAGE: &str = include_str!("../../docs/performance.md");

/// Whoever repeats something, or asks whether a release was lost, has done so by then.
const LATER: Duration = Duration::from_secs(30);

/// A row of the table.
struct Row {
    operation: &'static str,
    retention: Retention,
    /// Messages that it may cost, at most.
    promised: usize,
    /// What the nodes did before.
    before: fn(&mut Cluster),
    /// The operation.
    act: fn(&mut Cluster),
}

const KEPT: Retention = Retention::UntilDemanded;

const ROWS: &[Row] = &[
    Row {
        operation: "a retained lock, taken again",
        retention: KEPT,
        promised: 0,
        before: |cluster| take(cluster, ANNA, Exclusive),
        act: |cluster| take(cluster, ANNA, Exclusive),
    },
    Row {
        operation: "a lock mastered by this node",
        retention: Retention::Never,
        promised: 0,
        before: |_| {},
        act: |cluster| take(cluster, MASTER, Exclusive),
    },
    Row {
        operation: "remote lock + unlock, not retained",
        retention: Retention::Never,
        promised: 3,
        before: |_| {},
        act: |cluster| take(cluster, ANNA, Exclusive),
    },
    Row {
        operation: "hand-over of a retained EX lock between two nodes with a third as master",
        retention: KEPT,
        promised: 4,
        before: |cluster| take(cluster, ANNA, Exclusive),
        act: |cluster| take(cluster, BERT, Exclusive),
    },
    Row {
        operation: "the same from the master to another node",
        retention: KEPT,
        promised: 2,
        before: |cluster| take(cluster, MASTER, Exclusive),
        act: |cluster| take(cluster, ANNA, Exclusive),
    },
    Row {
        operation: "the same from another node to the master",
        retention: KEPT,
        promised: 2,
        before: |cluster| take(cluster, ANNA, Exclusive),
        act: |cluster| take(cluster, MASTER, Exclusive),
    },
    Row {
        operation: "a PR lock beside that of another node, retained",
        retention: KEPT,
        promised: 2,
        before: |cluster| take(cluster, ANNA, ProtectedRead),
        act: |cluster| take(cluster, BERT, ProtectedRead),
    },
    Row {
        operation: "an EX lock that another node and the master retain in PR",
        retention: KEPT,
        promised: 4,
        before: |cluster| {
            take(cluster, ANNA, ProtectedRead);
            take(cluster, MASTER, ProtectedRead);
        },
        act: |cluster| take(cluster, BERT, Exclusive),
    },
    Row {
        operation: "a retained PR lock, taken in EX",
        retention: KEPT,
        promised: 2,
        before: |cluster| take(cluster, ANNA, ProtectedRead),
        act: |cluster| take(cluster, ANNA, Exclusive),
    },
    Row {
        operation: "a value block, read and written under a retained EX lock",
        retention: KEPT,
        promised: 2,
        before: |cluster| count(cluster, ANNA),
        act: |cluster| count(cluster, ANNA),
    },
    Row {
        operation: "the same where another node retains the lock, and wrote",
        retention: KEPT,
        promised: 6,
        before: |cluster| count(cluster, BERT),
        act: |cluster| count(cluster, ANNA),
    },
];

/// A node takes the lock, has it, and gives it back.
fn take(cluster: &mut Cluster, node: NodeId, mode: Mode) {
    let lock = cluster.lock(node, mode, Flags::NONE);
    give_back(cluster, node, lock, ValueWrite::Keep);
}

/// A node reads the value block under EX, and writes it.
fn count(cluster: &mut Cluster, node: NodeId) {
    let lock = cluster.lock(node, Exclusive, Flags::VALUE);
    give_back(cluster, node, lock, ValueWrite::Set(Value::new(b"counted").expect("it is short")));
}

fn give_back(cluster: &mut Cluster, node: NodeId, lock: LockId, write: ValueWrite) {
    cluster.release_with(node, lock, write);
    cluster.run();
}

/// The messages that are said while something is done, and whatever comes of it later.
fn said_during(cluster: &mut Cluster, act: impl FnOnce(&mut Cluster)) -> Vec<Frame> {
    cluster.settle(LATER);
    cluster.said();
    let before = sent(cluster);
    act(cluster);
    cluster.settle(LATER);
    let said = cluster.said();
    assert_eq!(sent(cluster) - before, said.len() as u64, "the nodes count as many: {:?}", kinds(&said));
    said
}

/// Messages that all nodes have counted as sent.
fn sent(cluster: &mut Cluster) -> u64 {
    cluster.members().into_iter().map(|node| cluster.node(node).stats().messages_out).sum()
}

/// What messages are called in the table.
fn kinds(said: &[Frame]) -> Vec<&'static str> {
    said.iter().flat_map(Frame::messages).map(|message| kind(&message)).collect()
}

fn kind(message: &Message<'_>) -> &'static str {
    match message {
        Message::Lock(message) => match message.body {
            Body::Position(position) => match position.kind {
                PositionKind::Request => "Request",
                PositionKind::Downgrade => "Downgrade",
                PositionKind::Cancel => "Cancel",
            },
            Body::Queued(_) => "Queued",
            Body::Grant(_) => "Grant",
            Body::Deny(_) => "Deny",
            Body::Demand(_) => "Demand",
            Body::Written(_) => "Written",
            Body::Redirect(_) => "Redirect",
            Body::UpdatedLocks(_) => "UpdatedLocks",
        },
        Message::Transfer(_) => "of a transfer",
        Message::View(_) => "of a view",
    }
}

/// The row, once its operation was done so.
fn said_by(row: &Row, cluster: &mut Cluster) -> Vec<&'static str> {
    (row.before)(cluster);
    let said = said_during(cluster, row.act);
    let kinds = kinds(&said);
    assert!(kinds.len() <= row.promised, "{}: at most {} messages: {kinds:?}", row.operation, row.promised);
    kinds
}

#[test]
fn the_page_has_the_messages_of_operations() {
    let rows = ROWS.iter().map(|row| {
        let kinds = said_by(row, &mut Cluster::trio(row.retention));
        let list = kinds.join(", ");
        let said = if kinds.is_empty() { "0".to_owned() } else { format!("{}: {list}", kinds.len()) };
        format!("| {} | {said} |\n", row.operation)
    });
    let table = format!("| operation | messages |\n|---|---|\n{}\n", rows.collect::<String>());
    assert!(PAGE.contains(&table), "docs/performance.md should have this table:\n\n{table}");
}

#[test]
fn events_that_are_polled_late_cost_no_message() {
    for row in ROWS {
        for laziness in [2, 3, 7] {
            let mut cluster = Cluster::trio(row.retention);
            cluster.be_lazy(laziness);
            said_by(row, &mut cluster);
        }
    }
}

#[test]
fn what_is_done_often_costs_as_much_each_time() {
    for (retention, promised) in [(Retention::Never, 3), (KEPT, 4)] {
        let mut cluster = Cluster::trio(retention);
        take(&mut cluster, BERT, Exclusive);
        for round in 0..50 {
            let taker = [ANNA, BERT][round % 2];
            let said = said_during(&mut cluster, |cluster| take(cluster, taker, Exclusive));
            assert_eq!(said.len(), promised, "{retention:?}, round {round}: {:?}", kinds(&said));
        }
    }
}

#[test]
fn every_mode_costs_three_messages_where_nothing_is_retained() {
    for mode in Mode::ALL {
        let mut cluster = Cluster::trio(Retention::Never);
        let said = said_during(&mut cluster, |cluster| take(cluster, ANNA, mode));
        assert_eq!(kinds(&said), ["Request", "Grant", "Downgrade"], "{mode:?}");
    }
}

#[test]
fn what_a_node_masters_or_retains_costs_nothing_in_any_mode() {
    for (node, retention) in [(MASTER, Retention::Never), (MASTER, KEPT), (ANNA, KEPT)] {
        for mode in Mode::ALL {
            let mut cluster = Cluster::trio(retention);
            take(&mut cluster, node, Exclusive);
            let said = said_during(&mut cluster, |cluster| {
                for _ in 0..50 {
                    take(cluster, node, mode);
                    let other = cluster.lock(node, mode, Flags::NONE);
                    take(cluster, node, Mode::Null);
                    give_back(cluster, node, other, ValueWrite::Keep);
                }
            });
            assert_eq!(kinds(&said), [""; 0], "{node} {retention:?} {mode:?}");
        }
    }
}

#[test]
fn a_lock_taken_at_rest_costs_nothing() {
    let mut cluster = Cluster::trio(KEPT);
    take(&mut cluster, ANNA, Exclusive);
    let name = cluster.name();
    let said = said_during(&mut cluster, |cluster| {
        for _ in 0..50 {
            let now = cluster.now();
            let asked = cluster.node(ANNA).request_at_rest(now, &request_for(&name, Exclusive, Flags::NONE));
            let asked = asked.expect("what is retained is taken at rest");
            assert!(cluster.node(ANNA).release_at_rest(asked.lock), "and given back");
            cluster.attend(ANNA);
        }
    });
    assert_eq!(kinds(&said), [""; 0]);
}

/// A thousand resources at once cost what each of them costs, whatever shares a frame.
#[test]
fn resources_side_by_side_cost_what_each_does() {
    const MANY: usize = 1000;
    let room = vec![Limits::uniform(2000); 3];
    for (retention, promised) in [(Retention::Never, 3), (KEPT, 4)] {
        let mut cluster = Cluster::with(&room, retention);
        let names: Vec<_> = (0..MANY).map(|at| cluster.other_name(&format!("many{at}-"))).collect();
        let take_all = |cluster: &mut Cluster, node| {
            let ask = |name: &Vec<u8>| cluster.ask_for(name, node, Exclusive, Flags::NONE);
            let asked: Vec<_> = names.iter().map(ask).collect();
            cluster.run();
            for asked in asked {
                cluster.release(node, asked.expect("there is room").lock);
            }
            cluster.run();
        };
        take_all(&mut cluster, ANNA);
        let said = said_during(&mut cluster, |cluster| take_all(cluster, BERT));
        assert_eq!(said.len(), promised * MANY, "{retention:?}");
    }
}

#[test]
fn what_is_said_again_counts_again() {
    let mut cluster = Cluster::trio(Retention::Never);
    let said = said_during(&mut cluster, |cluster| {
        let lock = cluster.request(ANNA, Exclusive);
        cluster.exchange(ANNA, MASTER);
        let _lost = cluster.frame(MASTER, ANNA);
        cluster.settle(LATER);
        give_back(cluster, ANNA, lock, ValueWrite::Keep);
    });
    assert_eq!(kinds(&said), ["Request", "Grant", "Request", "Grant", "Downgrade"]);
}
