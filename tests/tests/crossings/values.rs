//! Writes of the value block and their acknowledgements.

use Mode::{ConcurrentRead, Exclusive, Null, ProtectedRead};
use lockmaster_core::wire::Body;
use lockmaster_core::{Flags, Mode, NodeId, Retention, ValueState, ValueWrite};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, Frame, MASTER};

use crate::{LONG, SHORT, is_grant, number, value};
/// Anna has written and released; the release is on its way.
fn written(retention: Retention) -> (Cluster, Frame) {
    let mut cluster = Cluster::trio(retention);
    cluster.lock(MASTER, Null, Flags::NONE);
    let anna = cluster.lock(ANNA, Exclusive, Flags::VALUE);
    cluster.release_with(ANNA, anna, ValueWrite::Set(value(b"anna")));
    let release = cluster.frame(ANNA, MASTER);
    assert!(matches!(release.body(), Body::Position(position) if position.write.is_some()));
    (cluster, release)
}

fn read(cluster: &mut Cluster, node: NodeId, mode: Mode) -> ValueState {
    let lock = cluster.lock(node, mode, Flags::VALUE);
    let state = cluster.value(node, lock);
    cluster.release(node, lock);
    cluster.run();
    state
}

#[test]
fn a_lost_write_is_repeated_until_it_is_acknowledged() {
    for retention in [Retention::Never, Retention::UntilDemanded] {
        let (mut cluster, lost) = written(retention);
        cluster.pass(SHORT);
        let repeat = cluster.exchange(ANNA, MASTER);
        assert_eq!(number(&repeat), number(&lost));
        let acknowledgement = cluster.frame(MASTER, ANNA);
        assert!(matches!(acknowledgement.body(), Body::Written(_)));
        cluster.pass(SHORT);
        cluster.exchange(ANNA, MASTER);
        cluster.exchange(MASTER, ANNA);
        cluster.pass(LONG);
        assert!(cluster.is_silent(ANNA, MASTER), "it is acknowledged");
        assert_eq!(read(&mut cluster, BERT, ProtectedRead), ValueState::Valid(value(b"anna")));
    }
}

#[test]
fn a_late_copy_of_a_write_does_not_undo_a_later_one() {
    let (mut cluster, release) = written(Retention::Never);
    cluster.deliver(&release);
    cluster.run();
    let bert = cluster.lock(BERT, Exclusive, Flags::VALUE);
    cluster.release_with(BERT, bert, ValueWrite::Set(value(b"bert")));
    cluster.run();
    cluster.deliver(&release);
    assert!(
        matches!(cluster.exchange(MASTER, ANNA).body(), Body::Written(_)),
        "it is acknowledged all the same"
    );
    cluster.run();
    assert_eq!(read(&mut cluster, ANNA, ProtectedRead), ValueState::Valid(value(b"bert")));
}

#[test]
fn an_acknowledgement_of_an_earlier_write_does_not_count_for_the_last() {
    let mut cluster = Cluster::trio(Retention::Never);
    cluster.lock(MASTER, Null, Flags::NONE);
    let anna = cluster.lock(ANNA, Exclusive, Flags::VALUE);
    let first = ValueWrite::Set(value(b"one"));
    cluster.convert(ANNA, anna, Exclusive, Flags::VALUE, first).unwrap();
    cluster.exchange(ANNA, MASTER);
    let early = cluster.frame(MASTER, ANNA);
    cluster.release_with(ANNA, anna, ValueWrite::Set(value(b"two")));
    cluster.frame(ANNA, MASTER);
    cluster.deliver(&early);
    cluster.settle(SHORT * 3);
    assert_eq!(read(&mut cluster, BERT, ProtectedRead), ValueState::Valid(value(b"two")));
}

#[test]
fn a_write_crosses_a_grant() {
    let mut cluster = Cluster::trio(Retention::Never);
    let keeper = cluster.lock(MASTER, ConcurrentRead, Flags::NONE);
    let anna = cluster.lock(ANNA, Mode::ProtectedWrite, Flags::VALUE);
    let other = cluster.request(ANNA, Exclusive);
    cluster.exchange(ANNA, MASTER);
    cluster.release(MASTER, keeper);
    let grant = cluster.frame(MASTER, ANNA);
    assert!(is_grant(&grant));
    // She writes under the token that she knows, while the master has given her another.
    cluster.convert(ANNA, anna, Null, Flags::VALUE, ValueWrite::Set(value(b"anna"))).unwrap();
    let written = cluster.frame(ANNA, MASTER);
    cluster.deliver(&grant);
    cluster.deliver(&written);
    cluster.settle(SHORT * 3);
    if cluster.mode(ANNA, other) == Some(Exclusive) {
        cluster.release(ANNA, other);
        cluster.run();
    }
    assert_eq!(read(&mut cluster, BERT, ProtectedRead), ValueState::Valid(value(b"anna")));
}

#[test]
fn a_write_comes_before_the_next_reader_whoever_is_faster() {
    let (mut cluster, release) = written(Retention::Never);
    let bert = cluster.ask(BERT, ProtectedRead, Flags::VALUE).unwrap().lock;
    cluster.exchange(BERT, MASTER);
    assert_eq!(cluster.mode(BERT, bert), None, "the master still has Anna on record");
    cluster.deliver(&release);
    cluster.run();
    assert_eq!(cluster.value(BERT, bert), ValueState::Valid(value(b"anna")));
}
