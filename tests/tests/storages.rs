//! Arrays, vectors with and without a heap, boxes: the same node on each, and on each the same when it is full.

use lockmaster_core::wire::{Body, DenyReason};
use lockmaster_core::{
    Asked, Conversion, ConvertError, Event, Flags, Full, HeapMemory, Instant, Limits, LockId, Mode, Node,
    NodeId, RequestError, Retention, SlotId, SlotRange, Storage, TransferError, ValueWrite,
};
use lockmaster_sim::{Moving, Options, Report, run_on};
use lockmaster_tests::cluster::{ANNA, Cluster, MASTER, config_of, request_for};
use lockmaster_tests::notation::traces;
use lockmaster_tests::owners::Owners;
use lockmaster_tests::storages::{LIMITS, SLOTS, arrays, boxes, inline, vectors};

// ---- the same everywhere ----

fn passes_the_traces<S: Storage>(make: impl Fn() -> S) {
    for trace in traces() {
        let mut owners = Owners::new(make());
        for step in &trace.steps {
            assert_eq!(owners.operate(step.operation), step.outcomes, "{}: {}", trace.id, step.text);
        }
        assert_eq!(owners.queues(), trace.queues, "{}", trace.id);
    }
}

#[test]
fn the_traces_hold_on_arrays() {
    passes_the_traces(arrays);
}

#[test]
fn the_traces_hold_on_vectors_without_a_heap() {
    passes_the_traces(inline);
}

#[test]
fn the_traces_hold_on_vectors() {
    passes_the_traces(vectors);
}

#[test]
fn the_traces_hold_on_boxes() {
    passes_the_traces(|| boxes(&config_of(1, 1, Retention::Never)));
}

#[test]
fn a_seed_does_the_same_on_every_storage_and_every_time() {
    let mut total = Report::default();
    for seed in 0..60 {
        let moving = if seed % 2 == 0 { Moving::Often } else { Moving::Drawn };
        let options = Options { limits: Some(LIMITS), moving, ..Options::default() };
        let report = run_on(seed, &options, |config, _| boxes(config)).expect("the seed is sound");
        let again = run_on(seed, &options, |config, _| boxes(config)).expect("the seed is sound");
        let on_arrays =
            run_on(seed, &options, |_, _| Box::new(arrays()).into_lent()).expect("the seed is sound");
        let on_inline =
            run_on(seed, &options, |_, _| Box::new(inline()).into_lent()).expect("the seed is sound");
        let on_vectors = run_on(seed, &options, |_, _| vectors()).expect("the seed is sound");
        for other in [again, on_arrays, on_inline, on_vectors] {
            assert_eq!(other, report, "seed {seed}");
        }
        total += report;
    }
    let is_much = total.grants > 0 && total.messages > 0 && total.moves.done > 0 && total.moves.relays > 0;
    assert!(is_much, "something was compared: {total:?}");
}

#[test]
fn memory_for_more_slots_makes_no_more_of_them() {
    let mut config = config_of(1, 1, Retention::Never);
    config.spaces[0].slots = 3;
    let mut roomy = Node::new(config.clone(), Box::new(arrays()).into_lent()).expect("the memory fits");
    let mut exact = Node::new(config.clone(), boxes(&config)).expect("the memory fits");
    assert_eq!(roomy.digest(), exact.digest());
    let all = SlotRange { first: SlotId(0), len: 3 };
    assert_eq!((roomy.all_slots(), exact.all_slots()), (all, all));
    for slot in [SlotId(3), SlotId(u32::try_from(SLOTS).expect("slots are few"))] {
        assert_eq!((roomy.slot(slot), exact.slot(slot)), (None, None));
        let range = SlotRange { first: SlotId(1), len: slot.0 };
        let beyond = Err(TransferError::Range);
        assert_eq!(roomy.transfer(NOW, range, NodeId(2)), beyond);
        assert_eq!(exact.transfer(NOW, range, NodeId(2)), beyond);
    }
}

/// Large tables, moved to the heap as a whole, so that many of them fit.
struct Lent<S>(Box<S>);

trait IntoLent: Sized {
    type Storage;
    fn into_lent(self) -> Lent<Self::Storage>;
}

impl<S: Storage> IntoLent for Box<S> {
    type Storage = S;

    fn into_lent(self) -> Lent<S> {
        Lent(self)
    }
}

impl<S: Storage> Storage for Lent<S> {
    fn tables(&mut self) -> lockmaster_core::Tables<'_> {
        self.0.tables()
    }
}

// ---- full tables, among owners ----

const ROOMY: Limits = Limits::uniform(8);
const NOW: Instant = Instant::START;

fn single(limits: &Limits) -> Node<HeapMemory> {
    let config = config_of(1, 1, Retention::Never);
    let memory = HeapMemory::new(limits, &config);
    Node::new(config, memory).expect("the memory fits")
}

fn ask(node: &mut Node<HeapMemory>, name: &[u8], mode: Mode, flags: Flags) -> Result<Asked, RequestError> {
    let asked = node.request(NOW, &request_for(name, mode, flags));
    node.check();
    asked
}

/// A request is taken.
fn takes(node: &mut Node<HeapMemory>, name: &[u8], mode: Mode, flags: Flags) -> LockId {
    ask(node, name, mode, flags).expect("there is room").lock
}

/// A request is refused because this table is full, and changes nothing.
fn is_full(node: &mut Node<HeapMemory>, full: Full, name: &[u8], flags: Flags) {
    let before = node.digest();
    for _ in 0..3 {
        assert_eq!(ask(node, name, Mode::Exclusive, flags), Err(RequestError::Full(full)));
        assert_eq!(node.digest(), before, "a refusal changes nothing");
        assert_eq!(node.poll_event(), None);
    }
}

#[test]
fn a_full_table_of_locks_refuses_and_takes_again_what_fits() {
    let mut node = single(&Limits { locks: 2, ..ROOMY });
    let first = takes(&mut node, b"a", Mode::ProtectedRead, Flags::NONE);
    let second = ask(&mut node, b"a", Mode::Exclusive, Flags::NONE).unwrap();
    assert_eq!(second.grant, None);
    is_full(&mut node, Full::Locks, b"a", Flags::NONE);
    is_full(&mut node, Full::Locks, b"b", Flags::NONE);
    node.release(first, ValueWrite::Keep).unwrap();
    assert!(matches!(node.poll_event(), Some(Event::Granted { lock, .. }) if lock == second.lock));
    takes(&mut node, b"b", Mode::Exclusive, Flags::NONE);
}

#[test]
fn a_full_table_of_resources_refuses_and_takes_again_what_fits() {
    let mut node = single(&Limits { resources: 2, ..ROOMY });
    let first = takes(&mut node, b"a", Mode::Exclusive, Flags::NONE);
    takes(&mut node, b"b", Mode::Exclusive, Flags::NONE);
    is_full(&mut node, Full::Resources, b"c", Flags::NONE);
    takes(&mut node, b"b", Mode::Exclusive, Flags::NONE);
    node.release(first, ValueWrite::Keep).unwrap();
    takes(&mut node, b"c", Mode::Exclusive, Flags::NONE);
}

#[test]
fn a_full_table_of_long_names_refuses_long_names_only() {
    let mut node = single(&Limits { names: 1, ..ROOMY });
    let long = [[b'a'; 25], [b'b'; 25]];
    let first = takes(&mut node, &long[0], Mode::Exclusive, Flags::NONE);
    is_full(&mut node, Full::Names, &long[1], Flags::NONE);
    takes(&mut node, &long[1][..24], Mode::Exclusive, Flags::NONE);
    takes(&mut node, &long[0], Mode::Exclusive, Flags::NONE);
    node.abandon(first).unwrap();
}

#[test]
fn a_full_table_of_value_blocks_refuses_those_who_want_one() {
    // One for the resource and one for the node's copy.
    let mut node = single(&Limits { values: 2, ..ROOMY });
    takes(&mut node, b"a", Mode::Exclusive, Flags::VALUE);
    is_full(&mut node, Full::Values, b"b", Flags::VALUE);
    let plain = takes(&mut node, b"b", Mode::Null, Flags::NONE);
    let before = node.digest();
    let conversion = Conversion { flags: Flags::VALUE, patience: None };
    let converted = node.convert(NOW, plain, Mode::Exclusive, conversion, ValueWrite::Keep);
    assert_eq!(converted, Err(ConvertError::Full(Full::Values)));
    assert_eq!(node.digest(), before, "a refusal changes nothing");
}

#[test]
fn a_full_table_of_physical_locks_refuses_in_the_call() {
    let mut node = single(&Limits { physical: 1, ..ROOMY });
    let first = takes(&mut node, b"a", Mode::Exclusive, Flags::NONE);
    is_full(&mut node, Full::Physical, b"b", Flags::NONE);
    node.release(first, ValueWrite::Keep).unwrap();
    takes(&mut node, b"b", Mode::Exclusive, Flags::NONE);
}

// ---- full tables, at the master ----

/// The master has used up a table with its own locks; Anna is told so, and the master is as it was.
fn denies_full(limits: Limits, uses: &[(&str, Flags)], flags: Flags) {
    let mut cluster = Cluster::with(&[limits, ROOMY], Retention::Never);
    for (name, flags) in uses {
        let name = cluster.other_name(name);
        let asked = cluster.ask_for(&name, MASTER, Mode::ProtectedRead, *flags);
        assert!(asked.is_ok(), "the table has room for this: {asked:?}");
    }
    cluster.run();
    let before = cluster.node(MASTER).digest();
    let asked = cluster.ask(ANNA, Mode::Exclusive, flags).expect("Anna has room");
    let frame = cluster.exchange(ANNA, MASTER);
    let deny = cluster.frame(MASTER, ANNA);
    assert!(matches!(deny.body(), Body::Deny(deny) if deny.reason == DenyReason::Full), "{:?}", deny.body());
    assert_eq!(cluster.node(MASTER).digest(), before, "a denial for want of room changes nothing");
    assert_eq!(cluster.record(ANNA), None);
    // A late copy finds it denied already.
    cluster.deliver(&frame);
    cluster.deliver(&deny);
    cluster.run();
    let events = cluster.happened(ANNA);
    let is_ended = matches!(events[..], [Event::Denied { lock, held: None, .. }] if lock == asked.lock);
    assert!(is_ended, "{events:?}");
    assert_eq!(cluster.node(MASTER).digest(), before);
}

#[test]
fn a_master_with_full_tables_denies_and_is_as_it_was() {
    let plain = Flags::NONE;
    denies_full(Limits { physical: 1, ..ROOMY }, &[("x", plain)], plain);
    denies_full(Limits { resources: 1, ..ROOMY }, &[("x", plain)], plain);
    denies_full(Limits { values: 2, ..ROOMY }, &[("x", Flags::VALUE)], Flags::VALUE);
}

#[test]
fn a_master_with_room_again_grants_again() {
    let mut cluster = Cluster::with(&[Limits { physical: 1, ..ROOMY }, ROOMY], Retention::Never);
    let own = cluster.lock(MASTER, Mode::Exclusive, Flags::NONE);
    let anna = cluster.request(ANNA, Mode::Exclusive);
    cluster.run();
    assert!(matches!(cluster.happened(ANNA)[..], [Event::Denied { lock, .. }] if lock == anna));
    cluster.release(MASTER, own);
    cluster.lock(ANNA, Mode::Exclusive, Flags::NONE);
    assert_eq!(cluster.record(NodeId(2)).unwrap().held, Some(Mode::Exclusive));
}
