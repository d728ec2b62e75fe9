//! What the application is told of a transfer, and what is counted.

use Mode::{Exclusive, Null, ProtectedRead};
use lockmaster_core::{
    Denial, Event, Flags, Mode, OwnerId, Priority, Request, SlotRange, Stage, WithdrawError,
};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, EVERYBODY, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, begin, finish, give, is_chunk, lock,
    long_names, mode_of, names_of, quartet, slot_of, slow_quartet,
};

fn stages(cluster: &mut Cluster) -> Vec<Stage> {
    let mut stages: Vec<_> = cluster.news(OLD).iter().map(|progress| progress.stage).collect();
    stages.dedup();
    stages
}

fn scene(cluster: &mut Cluster) -> (SlotRange, Vec<Vec<u8>>, Vec<Owned>) {
    let names = long_names(cluster, 4);
    let range = SlotRange::one(slot_of(cluster));
    let mut owned: Vec<_> = names.iter().map(|name| lock(cluster, name, CARL, ProtectedRead)).collect();
    owned.extend(names.iter().map(|name| lock(cluster, name, OLD, ProtectedRead)));
    (range, names, owned)
}

#[test]
fn each_stage_is_told_and_the_end_once() {
    let mut cluster = slow_quartet();
    let (range, _, owned) = scene(&mut cluster);
    let transfer = give(&mut cluster, range);
    assert_eq!(cluster.node(OLD).progress(transfer).map(|progress| progress.stage), Some(Stage::Offered));
    let held = cluster.run_but(is_chunk);
    assert_eq!(cluster.node(OLD).progress(transfer).map(|progress| progress.stage), Some(Stage::Moving));
    cluster.deliver_all(&held);
    let held = cluster.run_but(|frame| frame.is(Word::NewMaster));
    assert_eq!(cluster.node(OLD).progress(transfer).map(|progress| progress.stage), Some(Stage::Announced));
    cluster.deliver_all(&held);
    cluster.run();
    assert_eq!(stages(&mut cluster), [Stage::Offered, Stage::Moving, Stage::Announced, Stage::Done]);
    assert_eq!(cluster.node(OLD).progress(transfer), None, "its end was told");
    assert_eq!(cluster.withdraw(OLD, transfer), Err(WithdrawError::Unknown));
    cluster.settle(LONG);
    for node in EVERYBODY {
        assert_eq!(cluster.news(node), [], "nothing more is told, and nobody else is told anything");
    }
    let next = cluster.transfer(OLD, SlotRange::one(cluster_slot(range)), NEW).unwrap();
    assert_ne!(next, transfer, "a handle is not used again");
    cluster.run();
    finish(&mut cluster, &owned);
}

/// The slot after a range.
fn cluster_slot(range: SlotRange) -> lockmaster_core::SlotId {
    lockmaster_core::SlotId(range.first.0 + range.len)
}

#[test]
fn a_transfer_is_counted_on_both_sides() {
    let mut cluster = slow_quartet();
    let (range, _, mut owned) = scene(&mut cluster);
    let (_, held) = begin(&mut cluster, range);
    // What is on its way is passed on, for Dora and for the old master's own owner.
    let moving = names_of(&held).remove(0);
    for node in [DORA, OLD] {
        owned.push(ask(&mut cluster, &moving, node, Null));
    }
    cluster.run_but(is_chunk);
    cluster.deliver_all(&held);
    cluster.settle(SHORT * 2);
    let news = cluster.news(OLD);
    let end = news.last().unwrap();
    assert_eq!((end.stage, end.range, end.to), (Stage::Done, range, NEW));
    assert_eq!((end.resources, end.locks), (4, 8));
    let (old, new) = (cluster.node(OLD).stats(), cluster.node(NEW).stats());
    assert_eq!((old.transfers_out, new.transfers_in), (1, 1));
    assert_eq!((old.locks_out, new.locks_in), (8, 8));
    assert_eq!((old.chunk_bytes_out, end.bytes), (new.chunk_bytes_in, new.chunk_bytes_in));
    assert_eq!((old.relayed_out, old.relays_dropped), (end.relayed, 0));
    assert!(end.relayed >= 1, "Dora's request was passed on");
    assert_eq!((old.transfers_in, new.transfers_out, new.locks_out), (0, 0, 0));
    for owned in &owned {
        assert!(mode_of(&mut cluster, *owned).is_some());
    }
    finish(&mut cluster, &owned);
}

#[test]
fn progress_grows_and_never_shrinks() {
    let mut cluster = slow_quartet();
    let (range, _, owned) = scene(&mut cluster);
    let (transfer, mut held) = begin(&mut cluster, range);
    let mut before = cluster.node(OLD).progress(transfer).unwrap();
    while !held.is_empty() {
        let chunk = held.remove(0);
        cluster.deliver(&chunk);
        held.extend(cluster.run_but(is_chunk));
        let Some(now) = cluster.node(OLD).progress(transfer) else { break };
        assert!(now.resources >= before.resources && now.locks >= before.locks && now.bytes >= before.bytes);
        before = now;
    }
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    finish(&mut cluster, &owned);
}

// ---- patience ----

#[test]
fn patience_ends_also_while_nobody_decides() {
    for node in EVERYBODY {
        let mut cluster = slow_quartet();
        let (range, _, mut owned) = scene(&mut cluster);
        let (_, held) = begin(&mut cluster, range);
        let moving = names_of(&held).remove(0);
        let now = cluster.now();
        let request = Request {
            space: PLAIN,
            name: &moving,
            owner: OwnerId(99),
            mode: Exclusive,
            flags: Flags::NONE,
            priority: Priority(0),
            patience: Some(SHORT / 2),
        };
        let asked = cluster.node(node).request(now, &request).unwrap();
        cluster.attend(node);
        cluster.settle_but(SHORT, is_chunk);
        let events = cluster.happened(node);
        let is_timed_out = |event: &Event| matches!(event, Event::Denied { lock, reason: Denial::TimedOut, .. } if *lock == asked.lock);
        assert!(events.iter().any(is_timed_out), "node {node}: {events:?}");
        cluster.deliver_all(&held);
        cluster.settle(LONG);
        assert_eq!(cluster.ends(OLD), [Stage::Done]);
        let waiting = |cluster: &mut Cluster| {
            let records = cluster.look_at(NEW, PLAIN, &moving).physical;
            records.iter().filter(|record| record.wanted.is_some()).count()
        };
        assert_eq!(waiting(&mut cluster), 0, "node {node}: nobody waits any more");
        owned.push(lock(&mut cluster, &moving, DORA, Null));
        finish(&mut cluster, &owned);
    }
}

#[test]
fn what_a_member_hears_of_before_its_map_says_so_is_believed() {
    // Carl hears a demand of the heir, and answers whom his map names.
    let mut cluster = quartet();
    let (range, names, owned) = scene(&mut cluster);
    give(&mut cluster, range);
    let held = cluster.run_but(|frame| frame.is(Word::NewMaster) && frame.to == CARL);
    cluster.said();
    let waiting = ask(&mut cluster, &names[0], DORA, Exclusive);
    cluster.run();
    let said = cluster.said();
    let demands: Vec<&Frame> = said.iter().filter(|frame| frame.is(Word::Demand)).collect();
    assert!(demands.iter().any(|frame| (frame.from, frame.to) == (NEW, CARL)), "{demands:?}");
    let answer = said.iter().find(|frame| frame.from == CARL && frame.is(Word::Position)).unwrap();
    assert_eq!(answer.to, OLD, "his map says so");
    assert!(said.iter().any(|frame| frame.is(Word::UpdatedLocks)), "and it is passed on");
    assert!(said.iter().all(|frame| !frame.is(Word::Redirect)));
    cluster.deliver_all(&held);
    cluster.run();
    let mut owned = owned;
    owned.push(waiting);
    finish(&mut cluster, &owned);
}
