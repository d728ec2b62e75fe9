//! What random schedules have found, retold as short scripts.
//!
//! Each test is one mistake that was made once, in the words of the rule that it broke.

use core::time::Duration;

use Mode::{ConcurrentRead, ConcurrentWrite, Exclusive, Null, ProtectedRead, ProtectedWrite};
use lockmaster_core::{
    ConvertError, Denial, Event, Flags, Full, Limits, LockId, Mode, NodeId, RequestError, Retention, Value,
    ValueState, ValueWrite,
};
use lockmaster_tests::cluster::{ANNA, BERT, Cluster, MASTER};

const LONG: Duration = Duration::from_secs(5);

fn set(bytes: &[u8]) -> ValueWrite {
    ValueWrite::Set(Value::new(bytes).expect("the value is short"))
}

fn valid(bytes: &[u8]) -> ValueState {
    ValueState::Valid(Value::new(bytes).expect("the value is short"))
}

fn ask(cluster: &mut Cluster, node: NodeId, mode: Mode, flags: Flags) -> LockId {
    cluster.ask(node, mode, flags).expect("the request is taken").lock
}

/// A conversion that waits.
fn convert(cluster: &mut Cluster, node: NodeId, lock: LockId, mode: Mode, flags: Flags) {
    let converted = cluster.convert(node, lock, mode, flags, ValueWrite::Keep);
    assert_eq!(converted, Ok(None), "the conversion has to wait");
    cluster.run();
}

fn read(cluster: &mut Cluster, node: NodeId) -> ValueState {
    let lock = cluster.lock(node, ProtectedRead, Flags::VALUE);
    let value = cluster.value(node, lock);
    cluster.release(node, lock);
    cluster.run();
    value
}

/// What a lock was denied for, if it was.
fn denial(cluster: &mut Cluster, node: NodeId, lock: LockId) -> Option<Denial> {
    cluster.happened(node).iter().find_map(|event| match event {
        Event::Denied { lock: of, reason, .. } if *of == lock => Some(*reason),
        Event::Denied { .. }
        | Event::Granted { .. }
        | Event::Demanded { .. }
        | Event::Lost { .. }
        | Event::Transfer(_) => None,
    })
}

// ---- what a node gives up and asks back ----

/// Some node has a reader and somebody who wants EX and passes others; another node waits to read.
fn gives_up_and_asks_back(holder: NodeId, flags: Flags) {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let strong = cluster.lock(holder, Exclusive, Flags::NONE);
    let lowered = cluster.convert(holder, strong, ProtectedRead, Flags::NONE, ValueWrite::Keep);
    assert!(matches!(lowered, Ok(Some(_))), "{lowered:?}");
    let waiter = ask(&mut cluster, holder, Exclusive, flags);
    let reader = ask(&mut cluster, BERT, ProtectedRead, Flags::NONE);
    // This ends, and so does what follows.
    cluster.settle(LONG);
    cluster.release(holder, strong);
    cluster.settle(LONG);
    for (node, lock) in [(holder, waiter), (BERT, reader)] {
        if cluster.mode(node, lock).is_some() {
            cluster.release(node, lock);
            cluster.settle(LONG);
        }
    }
    assert!(!cluster.look(BERT).locks.iter().any(|view| view.wanted.is_some()), "Bert has had his turn");
}

#[test]
fn what_is_asked_back_at_once_is_not_given_up() {
    for holder in [MASTER, ANNA] {
        for flags in [Flags::HEAD_OF_QUEUE, Flags::NO_ORDER, Flags::ALTERNATE_CW] {
            gives_up_and_asks_back(holder, flags);
        }
    }
}

#[test]
fn conversions_in_each_others_way_do_not_ask_their_master_for_ever() {
    for holder in [MASTER, ANNA] {
        let mut cluster = Cluster::trio(Retention::UntilDemanded);
        let first = cluster.lock(holder, ConcurrentRead, Flags::NONE);
        let second = cluster.lock(holder, ProtectedRead, Flags::NONE);
        let flags = Flags::NO_DEADLOCK_WAIT;
        convert(&mut cluster, holder, first, ConcurrentWrite, flags);
        // Whether it passes or waits: they may block each other, but nobody else is bothered.
        cluster.convert(holder, second, ProtectedWrite, flags, ValueWrite::Keep).unwrap();
        ask(&mut cluster, BERT, ConcurrentWrite, Flags::NONE);
        cluster.settle(LONG);
        cluster.settle(LONG);
    }
}

#[test]
fn what_nobody_pins_is_given_up_to_a_conversion() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    // Anna's node holds PW, of which her owners need PR, and she wants EX.
    let writer = cluster.lock(ANNA, ProtectedWrite, Flags::NONE);
    let bert = cluster.lock(BERT, ConcurrentRead, Flags::NONE);
    let anna = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    ask(&mut cluster, ANNA, Exclusive, Flags::NONE);
    cluster.run();
    convert(&mut cluster, BERT, bert, ProtectedRead, Flags::NONE);
    convert(&mut cluster, ANNA, anna, ProtectedRead, Flags::NONE);
    cluster.release(ANNA, writer);
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(ANNA, anna), Some(ProtectedRead));
    convert(&mut cluster, ANNA, anna, Exclusive, Flags::NONE);
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(BERT, bert), Some(ProtectedRead));
}

// ---- conversions ----

#[test]
fn nobody_takes_over_the_place_of_a_conversion_that_accepts_a_deadlock() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let bold = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let meek = cluster.lock(ANNA, Null, Flags::NONE);
    let bert = cluster.lock(BERT, ProtectedWrite, Flags::NONE);
    convert(&mut cluster, BERT, bert, Exclusive, Flags::NONE);
    // It goes before Bert's, who is in its way, and accepts that.
    convert(&mut cluster, ANNA, bold, Exclusive, Flags::HEAD_OF_QUEUE | Flags::NO_DEADLOCK_WAIT);
    convert(&mut cluster, ANNA, meek, ProtectedWrite, Flags::NONE);
    cluster.cancel(ANNA, bold);
    cluster.release(ANNA, bold);
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(BERT, bert), Some(Exclusive), "nothing but NL is held beside him");
    cluster.release(BERT, bert);
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(ANNA, meek), Some(ProtectedWrite));
}

#[test]
fn a_conversion_that_may_pass_is_not_left_behind_one_that_it_blocks() {
    let mut cluster = Cluster::pair(Retention::UntilDemanded);
    let first = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let second = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    convert(&mut cluster, ANNA, first, ConcurrentWrite, Flags::NONE);
    let converted = cluster.convert(ANNA, second, ProtectedWrite, Flags::NONE, ValueWrite::Keep);
    cluster.settle(LONG);
    let is_granted = cluster.mode(ANNA, second) == Some(ProtectedWrite);
    let is_refused = converted == Err(ConvertError::Deadlock)
        || denial(&mut cluster, ANNA, second) == Some(Denial::Deadlock);
    assert!(is_granted || is_refused, "it ends: {converted:?}");
    cluster.release(ANNA, second);
    cluster.run();
    assert_eq!(cluster.mode(ANNA, first), Some(ConcurrentWrite));
}

#[test]
fn a_conversion_at_the_head_of_the_queue_can_be_in_a_deadlock() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    let third = cluster.lock(MASTER, ProtectedRead, Flags::NONE);
    convert(&mut cluster, BERT, bert, ProtectedWrite, Flags::NONE);
    convert(&mut cluster, ANNA, anna, ProtectedWrite, Flags::HEAD_OF_QUEUE);
    cluster.release(MASTER, third);
    cluster.settle(LONG);
    let is_refused = denial(&mut cluster, ANNA, anna) == Some(Denial::Deadlock);
    let is_granted = cluster.mode(BERT, bert) == Some(ProtectedWrite);
    assert!(is_refused || is_granted, "they do not wait for each other");
    cluster.release(ANNA, anna);
    cluster.run();
    assert_eq!(cluster.mode(BERT, bert), Some(ProtectedWrite));
}

#[test]
fn who_is_demoted_lets_others_go_first_also_from_the_head_of_the_queue() {
    for retention in [Retention::Never, Retention::UntilDemanded] {
        let mut cluster = Cluster::trio(retention);
        let anna = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
        let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
        convert(&mut cluster, ANNA, anna, Exclusive, Flags::NONE);
        convert(&mut cluster, BERT, bert, Exclusive, Flags::DEMOTE_ON_DEADLOCK | Flags::HEAD_OF_QUEUE);
        cluster.settle(LONG);
        assert_eq!(cluster.mode(ANNA, anna), Some(Exclusive));
        cluster.release(ANNA, anna);
        cluster.settle(LONG);
        assert_eq!(cluster.mode(BERT, bert), Some(Exclusive));
    }
}

#[test]
fn a_conversion_whose_grant_is_taken_back_is_looked_at_anew() {
    let mut cluster = Cluster::pair(Retention::Never);
    let strong = cluster.lock(ANNA, ProtectedWrite, Flags::NONE);
    let weak = cluster.lock(ANNA, Null, Flags::NONE);
    let own = cluster.lock(MASTER, Null, Flags::NONE);
    convert(&mut cluster, MASTER, own, Exclusive, Flags::NONE);
    // Anna's node is given EX for one owner; before it knows, it asks for another, who pins PW.
    let converted = cluster.convert(ANNA, weak, Exclusive, Flags::NONE, ValueWrite::Keep);
    assert_eq!(converted, Ok(None));
    cluster.exchange(ANNA, MASTER);
    let grant = cluster.frame(MASTER, ANNA);
    let converted = cluster.convert(ANNA, strong, Exclusive, Flags::NONE, ValueWrite::Keep);
    let restated = cluster.next_frame(ANNA, MASTER);
    cluster.deliver(&grant);
    if let Some(restated) = restated {
        cluster.deliver(&restated);
    }
    cluster.settle(LONG);
    let is_granted = cluster.mode(ANNA, strong) == Some(Exclusive);
    let is_refused = converted.is_err() || denial(&mut cluster, ANNA, strong) == Some(Denial::Deadlock);
    assert!(is_granted || is_refused, "nobody waits for ever: {converted:?}");
}

#[test]
fn who_pins_more_than_before_is_asked_for_less() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let bert = cluster.lock(BERT, ConcurrentWrite, Flags::NONE);
    let reader = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let victim = cluster.lock(ANNA, ConcurrentWrite, Flags::NONE);
    convert(&mut cluster, BERT, bert, ProtectedRead, Flags::NONE);
    // Anna's victim falls to NL; then her reader converts too, and pins CR.
    convert(&mut cluster, ANNA, victim, ProtectedWrite, Flags::DEMOTE_ON_DEADLOCK);
    cluster.convert(ANNA, reader, ProtectedRead, Flags::NONE, ValueWrite::Keep).unwrap();
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(BERT, bert), Some(ProtectedRead), "Anna's node needs no more than CR");
}

#[test]
fn what_nobody_pins_is_given_up_to_one_that_comes_to_the_head() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let own = cluster.lock(MASTER, ConcurrentRead, Flags::NONE);
    let reader = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let writer = cluster.lock(ANNA, ProtectedWrite, Flags::NONE);
    // Anna's node is asked for everything, in the name of Bert, and can give up nothing yet.
    ask(&mut cluster, BERT, Exclusive, Flags::NONE);
    convert(&mut cluster, ANNA, reader, Exclusive, Flags::NONE);
    cluster.release(ANNA, writer);
    cluster.settle(LONG);
    cluster.convert(MASTER, own, ProtectedWrite, Flags::HEAD_OF_QUEUE, ValueWrite::Keep).unwrap();
    cluster.settle(LONG * 2);
    assert_eq!(cluster.mode(MASTER, own), Some(ProtectedWrite), "Anna's node pins CR only");
}

#[test]
fn a_demotion_that_others_on_the_node_undo_ends_all_the_same() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let bert = cluster.lock(BERT, Null, Flags::NONE);
    let other = cluster.lock(ANNA, ConcurrentRead, Flags::NONE);
    let victim = cluster.lock(ANNA, ConcurrentWrite, Flags::NONE);
    convert(&mut cluster, BERT, bert, Exclusive, Flags::NONE);
    let flags = Flags::DEMOTE_ON_DEADLOCK;
    let converted = cluster.convert(ANNA, victim, ProtectedWrite, flags, ValueWrite::Keep);
    assert_eq!(converted, Ok(None));
    // Before the master can order the demotion, another owner converts, and pins CR for the node.
    let converted = cluster.convert(ANNA, other, ProtectedRead, Flags::NONE, ValueWrite::Keep);
    cluster.settle(LONG * 2);
    let waiting = [(BERT, bert, Exclusive), (ANNA, victim, ProtectedWrite), (ANNA, other, ProtectedRead)]
        .into_iter()
        .filter(|(node, lock, wanted)| {
            let is_granted = cluster.mode(*node, *lock) == Some(*wanted);
            !is_granted && denial(&mut cluster, *node, *lock).is_none()
        });
    assert!(waiting.count() < 3 || converted.is_err(), "they do not all wait for each other");
}

#[test]
fn an_order_to_demote_outlives_a_plain_demand() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    let bert = cluster.lock(BERT, ProtectedRead, Flags::NONE);
    convert(&mut cluster, ANNA, anna, Exclusive, Flags::NONE);
    // Bert has been told that Anna waits for EX before he becomes a victim, and is told so again after.
    let waiter = ask(&mut cluster, MASTER, Exclusive, Flags::NONE);
    convert(&mut cluster, BERT, bert, Exclusive, Flags::DEMOTE_ON_DEADLOCK);
    cluster.settle(LONG);
    assert_eq!(cluster.mode(ANNA, anna), Some(Exclusive));
    cluster.release(ANNA, anna);
    cluster.settle(LONG);
    assert_eq!((cluster.mode(BERT, bert), cluster.mode(MASTER, waiter)), (Some(Exclusive), None));
}

#[test]
fn an_alternate_mode_is_the_one_that_was_named_wherever_the_master_is() {
    for node in [MASTER, ANNA] {
        let mut cluster = Cluster::trio(Retention::Never);
        cluster.lock(BERT, ConcurrentRead, Flags::NONE);
        let lock = cluster.lock(node, ConcurrentWrite, Flags::NONE);
        cluster.convert(node, lock, Exclusive, Flags::ALTERNATE_PR, ValueWrite::Keep).unwrap();
        cluster.run();
        assert_eq!(cluster.mode(node, lock), Some(ProtectedRead));
    }
}

#[test]
fn lowering_below_pw_never_waits_for_the_value_block() {
    let mut cluster = Cluster::pair(Retention::UntilDemanded);
    let lock = cluster.lock(ANNA, ConcurrentRead, Flags::VALUE);
    let lowered = cluster.convert(ANNA, lock, Null, Flags::VALUE, ValueWrite::Keep);
    assert!(matches!(lowered, Ok(Some(_))), "{lowered:?}");
}

// ---- no-queue ----

#[test]
fn who_may_wait_is_not_refused_in_the_name_of_one_who_might_not() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    let anna = cluster.lock(ANNA, Exclusive, Flags::NONE);
    let impatient = ask(&mut cluster, BERT, Exclusive, Flags::NO_QUEUE);
    cluster.exchange(BERT, MASTER);
    // While Anna is asked, the impatient one goes and a patient one stands in its place.
    let patient = ask(&mut cluster, BERT, Exclusive, Flags::NONE);
    cluster.cancel(BERT, impatient);
    cluster.settle(LONG);
    assert_eq!(denial(&mut cluster, BERT, patient), None);
    cluster.release(ANNA, anna);
    cluster.settle(LONG);
    assert_eq!(cluster.mode(BERT, patient), Some(Exclusive));
}

// ---- demands ----

#[test]
fn a_watcher_hears_of_a_demand_although_it_did_not_listen_to_an_earlier_one() {
    let mut cluster = Cluster::trio(Retention::Never);
    let anna = cluster.lock(ANNA, ProtectedWrite, Flags::NONE);
    let other = ask(&mut cluster, ANNA, ConcurrentWrite, Flags::NONE);
    cluster.cancel(ANNA, other);
    cluster.run();
    assert_eq!(cluster.watch(ANNA, anna), None);
    ask(&mut cluster, BERT, ConcurrentWrite, Flags::NONE);
    cluster.run();
    let events = cluster.happened(ANNA);
    assert!(matches!(events[..], [Event::Demanded { lock, .. }] if lock == anna), "{events:?}");
}

// ---- value blocks ----

#[test]
fn a_write_counts_although_its_node_has_had_a_later_grant() {
    for node in [MASTER, ANNA] {
        let mut cluster = Cluster::trio(Retention::UntilDemanded);
        cluster.lock(BERT, Null, Flags::NONE);
        let writer = cluster.lock(node, ProtectedWrite, Flags::VALUE);
        // The node is given EX for somebody else, and keeps it for later.
        let other = ask(&mut cluster, node, Exclusive, Flags::NONE);
        cluster.run();
        cluster.convert(node, writer, ProtectedWrite, Flags::VALUE, set(b"written")).unwrap();
        cluster.run();
        cluster.cancel(node, other);
        cluster.release(node, writer);
        cluster.run();
        assert_eq!(read(&mut cluster, BERT), valid(b"written"));
    }
}

#[test]
fn a_block_that_was_never_read_is_not_written() {
    let mut cluster = Cluster::pair(Retention::Never);
    let lock = cluster.lock(ANNA, Exclusive, Flags::NONE);
    let converted = cluster.convert(ANNA, lock, Exclusive, Flags::VALUE, set(b"lost"));
    assert_eq!(converted, Err(ConvertError::WithoutValue), "the master has no room for it");
}

#[test]
fn a_writer_that_takes_over_another_ones_request_has_room_for_its_block() {
    for is_granted_first in [false, true] {
        let mut cluster = Cluster::trio(Retention::Never);
        let own = cluster.lock(MASTER, Exclusive, Flags::NONE);
        let plain = ask(&mut cluster, ANNA, Exclusive, Flags::NONE);
        cluster.exchange(ANNA, MASTER);
        // A grant for the plain request may be on its way already when the writer comes before it.
        if is_granted_first {
            cluster.release(MASTER, own);
        }
        let writer = ask(&mut cluster, ANNA, Exclusive, Flags::VALUE | Flags::HEAD_OF_QUEUE);
        cluster.exchange(ANNA, MASTER);
        if !is_granted_first {
            cluster.release(MASTER, own);
        }
        cluster.lock(BERT, Null, Flags::NONE);
        cluster.settle(LONG);
        let is_plain_first = cluster.mode(ANNA, plain).is_some();
        if is_plain_first {
            cluster.release(ANNA, plain);
            cluster.settle(LONG);
        }
        cluster.release_with(ANNA, writer, set(b"written"));
        cluster.settle(LONG);
        if !is_plain_first {
            cluster.release(ANNA, plain);
            cluster.settle(LONG);
        }
        assert_eq!(read(&mut cluster, BERT), valid(b"written"), "granted first: {is_granted_first}");
    }
}

#[test]
fn a_reader_that_takes_over_a_request_sees_what_was_written_before_it_came() {
    for mode in [Null, ConcurrentRead] {
        let mut cluster = Cluster::pair(Retention::UntilDemanded);
        let writer = cluster.lock(MASTER, ProtectedWrite, Flags::VALUE);
        let first = ask(&mut cluster, ANNA, mode, Flags::VALUE);
        cluster.exchange(ANNA, MASTER);
        let grant = cluster.frame(MASTER, ANNA);
        cluster.convert(MASTER, writer, ProtectedWrite, Flags::VALUE, set(b"written")).unwrap();
        let second = ask(&mut cluster, ANNA, mode, Flags::VALUE);
        cluster.cancel(ANNA, first);
        cluster.deliver(&grant);
        cluster.settle(LONG);
        assert_eq!(cluster.mode(ANNA, second), Some(mode));
        assert_eq!(cluster.value(ANNA, second), valid(b"written"));
    }
}

#[test]
fn who_was_served_long_ago_does_not_read_an_old_copy() {
    let mut cluster = Cluster::trio(Retention::UntilDemanded);
    cluster.lock(MASTER, Null, Flags::NONE);
    let reader = cluster.lock(ANNA, ProtectedRead, Flags::NONE);
    // Anna's node is given PW for one who has to wait for her reader, then EX for another.
    let late = ask(&mut cluster, ANNA, ProtectedWrite, Flags::VALUE);
    cluster.run();
    let first = ask(&mut cluster, ANNA, Exclusive, Flags::HEAD_OF_QUEUE);
    cluster.run();
    // It gives up both, and Bert writes.
    let bert = cluster.lock(BERT, ProtectedRead, Flags::VALUE);
    convert(&mut cluster, BERT, bert, Exclusive, Flags::VALUE);
    cluster.release(ANNA, reader);
    cluster.settle(LONG);
    assert_eq!(cluster.mode(BERT, bert), Some(Exclusive));
    cluster.release_with(BERT, bert, set(b"written"));
    cluster.settle(LONG);
    assert_eq!((cluster.mode(ANNA, first), cluster.mode(ANNA, late)), (Some(Exclusive), None));
    cluster.release(ANNA, first);
    cluster.settle(LONG);
    assert_eq!(cluster.mode(ANNA, late), Some(ProtectedWrite));
    assert_eq!(cluster.value(ANNA, late), valid(b"written"));
}

#[test]
fn a_demand_that_a_conversion_has_met_is_not_told_after_its_grant() {
    let mut cluster = Cluster::single(Retention::UntilDemanded);
    let crossing = cluster.lock(MASTER, ProtectedRead, Flags::NONE);
    let reader = cluster.lock(MASTER, ProtectedRead, Flags::NONE);
    cluster.watch(MASTER, crossing);
    convert(&mut cluster, MASTER, crossing, ConcurrentWrite, Flags::NONE);
    cluster.happened(MASTER);
    // Nobody polls while a writer asks in vain, and while the conversion is granted.
    cluster.be_lazy(3);
    let in_vain = cluster.ask(MASTER, ConcurrentWrite, Flags::NO_QUEUE | Flags::NO_QUEUE_DEMAND);
    assert_eq!(in_vain, Err(RequestError::Busy));
    cluster.release(MASTER, reader);
    cluster.be_lazy(1);
    cluster.attend(MASTER);
    let told = cluster.happened(MASTER);
    assert!(matches!(told[..], [Event::Granted { lock, .. }] if lock == crossing), "{told:?}");
    cluster.release(MASTER, crossing);
    cluster.settle(LONG);
}

// ---- full tables ----

#[test]
fn a_node_that_is_full_of_what_it_retains_makes_room() {
    let limits = Limits { resources: 2, physical: 2, ..Limits::uniform(8) };
    let mut cluster = Cluster::with(&[limits, Limits::uniform(8)], Retention::UntilDemanded);
    for name in ["a", "b"] {
        let name = cluster.other_name(name);
        let lock = cluster.ask_for(&name, MASTER, Exclusive, Flags::NONE).unwrap().lock;
        cluster.release(MASTER, lock);
    }
    let name = cluster.other_name("c");
    let refused = cluster.ask_for(&name, MASTER, Exclusive, Flags::NONE);
    assert_eq!(refused, Err(RequestError::Full(Full::Resources)));
    let asked = cluster.ask_for(&name, MASTER, Exclusive, Flags::NONE);
    assert!(asked.is_ok(), "what is idle has gone: {asked:?}");
}
