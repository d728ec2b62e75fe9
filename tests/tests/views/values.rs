//! The value block when masters and writers die (rule W15), and when writers leave (rule W20).

use lockmaster_core::wire::{Message, TransferBody};
use lockmaster_core::{
    Conversion, Flags, LockId, Mode, NodeId, SlotRange, SpaceId, Value, ValueState, ValueWrite,
};
use lockmaster_tests::changing::Changing;

fn write(bytes: &[u8]) -> ValueWrite {
    ValueWrite::Set(Value::new(bytes).expect("it is short"))
}

fn valid(bytes: &[u8]) -> ValueState {
    ValueState::Valid(Value::new(bytes).expect("it is short"))
}

fn take(world: &mut Changing, node: u16, name: &[u8], mode: Mode) -> LockId {
    let lock = world.ask_with(node, name, mode, Flags::VALUE);
    world.settle();
    assert!(world.grant_of(node, lock).is_some());
    lock
}

/// Node 1 has written "one" on a resource of node 3, and holds NL so that the record stays.
fn written() -> (Changing, Vec<u8>) {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "value");
    take(&mut world, 2, &name, Mode::Null);
    let lock = take(&mut world, 1, &name, Mode::Exclusive);
    world.release(1, lock, write(b"one"));
    world.settle();
    (world, name)
}

fn read(world: &mut Changing, node: u16, name: &[u8]) -> ValueState {
    let lock = take(world, node, name, Mode::ConcurrentRead);
    world.value(node, lock)
}

#[test]
fn a_reader_at_pr_brings_the_block_through_its_masters_death() {
    let (mut world, name) = written();
    take(&mut world, 2, &name, Mode::ProtectedRead);
    world.crash(3);
    world.change();
    world.settle();
    assert_eq!(read(&mut world, 1, &name), valid(b"one"));
}

#[test]
fn a_writer_brings_what_it_has_written_itself() {
    let (mut world, name) = written();
    let lock = take(&mut world, 1, &name, Mode::ProtectedWrite);
    let other = take(&mut world, 1, &name, Mode::ConcurrentRead);
    assert_eq!(world.value(1, other), valid(b"one"));
    // The write does not reach the master.
    world.close(1, 3);
    world.release(1, lock, write(b"two"));
    world.crash(3);
    world.lose();
    world.change();
    world.settle();
    assert_eq!(read(&mut world, 2, &name), valid(b"two"), "node 1 retains what lets nobody else write");
}

#[test]
fn without_a_reader_above_cr_the_block_is_invalid_until_somebody_writes() {
    let (mut world, name) = written();
    let lock = take(&mut world, 2, &name, Mode::Exclusive);
    world.convert(2, lock, Mode::Null);
    let lower = take(&mut world, 1, &name, Mode::ConcurrentRead);
    world.settle();
    assert_eq!(world.value(1, lower), valid(b"one"));
    // Node 1 holds CR at most; what node 2 retains goes with it.
    world.crash(3);
    world.crash(2);
    world.start(2);
    world.change();
    world.settle();
    assert!(matches!(read(&mut world, 2, &name), ValueState::Invalid(_)));
    let lock = take(&mut world, 2, &name, Mode::ProtectedWrite);
    world.release(2, lock, write(b"new"));
    world.settle();
    assert_eq!(read(&mut world, 1, &name), valid(b"new"));
}

#[test]
fn a_lost_block_is_known_again_once_a_writer_that_had_asked_before_has_written() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "value");
    take(&mut world, 2, &name, Mode::Null);
    let lock = take(&mut world, 1, &name, Mode::ConcurrentRead);
    world.crash(3);
    world.crash(2);
    world.start(2);
    world.change();
    world.settle();
    world.convert(1, lock, Mode::ProtectedWrite);
    world.settle();
    world.release(1, lock, write(b"new"));
    world.settle();
    assert_eq!(read(&mut world, 2, &name), valid(b"new"));
}

#[test]
fn a_writer_that_read_the_block_before_is_heard_although_nobody_brought_it() {
    let (mut world, name) = written();
    let lock = take(&mut world, 1, &name, Mode::ConcurrentRead);
    // Another writer, so that the copy is not current any more.
    let other = take(&mut world, 2, &name, Mode::ProtectedWrite);
    world.release(2, other, ValueWrite::Keep);
    assert_eq!(world.convert(1, lock, Mode::ProtectedWrite), None);
    world.settle();
    assert_eq!(world.node(1).held(lock), Ok(Some(Mode::ProtectedWrite)));
    world.crash(3);
    world.change();
    world.settle();
    world.release(1, lock, write(b"two"));
    world.settle();
    assert_eq!(read(&mut world, 2, &name), valid(b"two"));
}

#[test]
fn a_conversion_reads_the_block_although_one_that_was_cancelled_had_been_granted_without() {
    let (mut world, name) = written();
    let lock = world.take(2, &name, Mode::ProtectedRead);
    let other = world.take(2, &name, Mode::ProtectedRead);
    // Node 2 is granted EX for it, but another owner of its own still reads.
    assert_eq!(world.convert(2, lock, Mode::Exclusive), None);
    world.settle();
    world.node(2).cancel(lock).expect("the conversion waits");
    world.release(2, other, ValueWrite::Keep);
    world.settle();
    let now = world.now();
    let conversion = Conversion { flags: Flags::VALUE, ..Conversion::default() };
    let converted = world.node(2).convert(now, lock, Mode::Exclusive, conversion, ValueWrite::Keep);
    converted.expect("the conversion is taken");
    world.settle();
    assert_eq!(world.value(2, lock), valid(b"one"));
}

#[test]
fn a_writer_that_dies_leaves_the_block_invalid() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "value");
    take(&mut world, 2, &name, Mode::Null);
    take(&mut world, 3, &name, Mode::Exclusive);
    world.crash(3);
    world.change();
    world.settle();
    assert!(matches!(read(&mut world, 2, &name), ValueState::Invalid(_)));
}

#[test]
fn a_reader_that_dies_leaves_it_as_it_is() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "value");
    let lock = take(&mut world, 2, &name, Mode::Exclusive);
    world.release(2, lock, write(b"kept"));
    take(&mut world, 3, &name, Mode::ProtectedRead);
    take(&mut world, 2, &name, Mode::Null);
    world.crash(3);
    world.change();
    world.settle();
    assert_eq!(read(&mut world, 2, &name), valid(b"kept"));
}

#[test]
fn a_copy_that_was_told_invalid_stays_so() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let name = world.name_at(3, "value");
    take(&mut world, 2, &name, Mode::Null);
    take(&mut world, 4, &name, Mode::Exclusive);
    world.crash(4);
    world.change();
    world.settle();
    let reader = take(&mut world, 1, &name, Mode::ProtectedRead);
    assert!(matches!(world.value(1, reader), ValueState::Invalid(_)));
    world.crash(3);
    world.change();
    world.settle();
    assert!(matches!(read(&mut world, 2, &name), ValueState::Invalid(_)));
}

#[test]
fn an_owner_that_began_before_its_node_was_granted_more_may_still_write() {
    let (mut world, name) = written();
    // The writer asks without the block for its node, and with it for itself: the node is granted EX twice.
    let plain = world.take(1, &name, Mode::Exclusive);
    world.release(1, plain, ValueWrite::Keep);
    let lock = take(&mut world, 1, &name, Mode::Exclusive);
    let reader = world.ask_with(1, &name, Mode::Exclusive, Flags::VALUE);
    world.settle();
    world.crash(3);
    world.change();
    world.settle();
    world.release(1, lock, write(b"mine"));
    world.settle();
    assert!(world.grant_of(1, reader).is_some());
    world.release(1, reader, ValueWrite::Keep);
    assert_eq!(read(&mut world, 2, &name), valid(b"mine"));
}

/// Node 1 gives up the one lock that it retains; the master is never told of it.
fn give_up_unheard(world: &mut Changing) {
    world.close(1, 3);
    let now = world.now();
    assert!(world.node(1).release_retained(now), "it retains one lock");
    world.settle();
    world.lose();
}

/// Members that do not know yet that node 1 has nothing any more, if that is so.
fn unheard(world: &mut Changing) -> Option<Vec<NodeId>> {
    let now = world.now();
    let unheard = world.node(1).part(now)?.collect();
    Some(unheard)
}

/// Node 1 says that it has nothing any more, and the master does not hear it yet.
fn say_unheard(world: &mut Changing) {
    world.close(1, 3);
    assert!(unheard(world).is_some());
}

/// Node 1 goes.
fn go(world: &mut Changing) {
    assert_eq!(unheard(world), Some(vec![]), "everybody has heard that it has nothing any more");
    world.expel(1);
    world.settle();
}

#[test]
fn a_writer_that_leaves_has_given_its_lock_up_though_nobody_heard_that() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    assert_eq!(unheard(&mut world), Some(vec![NodeId(2), NodeId(3)]));
    world.settle();
    go(&mut world);
    assert_eq!(read(&mut world, 2, &name), valid(b"one"));
    assert_eq!(world.node(3).stats().locks_purged, 1, "it was on record all the while");
}

#[test]
fn that_a_node_has_nothing_is_said_until_it_is_heard() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    for (from, to) in [(1, 3), (3, 1)] {
        world.close(from, to);
        assert!(unheard(&mut world).is_some());
        world.settle();
        world.lose();
        assert_eq!(unheard(&mut world), Some(vec![NodeId(3)]));
    }
    world.pass(1000);
    go(&mut world);
    assert_eq!(read(&mut world, 2, &name), valid(b"one"));
}

#[test]
fn that_a_node_has_nothing_is_said_again_in_the_next_view() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    say_unheard(&mut world);
    world.settle();
    world.change();
    world.open();
    world.settle();
    world.start(4);
    world.change();
    world.settle();
    assert!(unheard(&mut world).is_some_and(|unheard| unheard.contains(&NodeId(4))), "it is new");
    world.pass(1000);
    go(&mut world);
    assert_eq!(read(&mut world, 2, &name), valid(b"one"));
}

#[test]
fn a_node_that_has_something_does_not_say_that_it_has_nothing() {
    let (mut world, name) = written();
    assert_eq!(unheard(&mut world), None, "it retains a lock");
    give_up_unheard(&mut world);
    world.close(1, 3);
    let lock = world.ask_with(1, &name, Mode::Exclusive, Flags::VALUE);
    world.settle();
    assert_eq!(unheard(&mut world), None, "it asks for one");
    world.open();
    world.settle();
    world.close(1, 3);
    world.release(1, lock, write(b"two"));
    let now = world.now();
    assert!(world.node(1).release_retained(now));
    world.settle();
    assert_eq!(unheard(&mut world), None, "a write is not acknowledged");
    world.open();
    world.settle();
    assert!(unheard(&mut world).is_some());
    world.settle();
    go(&mut world);
    assert_eq!(read(&mut world, 2, &name), valid(b"two"));
}

#[test]
fn what_a_node_takes_after_it_had_nothing_is_lost_with_it() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    // It is heard only after the node has asked again, and does not concern that.
    say_unheard(&mut world);
    world.ask_with(1, &name, Mode::Exclusive, Flags::VALUE);
    world.open();
    world.settle();
    world.pass(1000);
    world.crash(1);
    world.change();
    world.settle();
    assert_eq!(read(&mut world, 2, &name), ValueState::Invalid(Value::new(b"one").unwrap()));
}

#[test]
fn a_request_that_was_granted_and_given_up_is_over_when_the_node_has_nothing() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    // The grant is on its way when the request is withdrawn, and nobody hears of that.
    world.close(3, 1);
    let lock = world.ask_with(1, &name, Mode::Exclusive, Flags::VALUE);
    world.settle();
    world.close(1, 3);
    world.node(1).cancel(lock).expect("it waits");
    world.settle();
    world.lose();
    world.pass(1000);
    assert!(unheard(&mut world).is_some());
    world.settle();
    go(&mut world);
    assert_eq!(read(&mut world, 2, &name), valid(b"one"));
}

#[test]
fn a_writer_that_had_nothing_has_given_its_lock_up_where_the_record_is_on_its_way() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    assert!(unheard(&mut world).is_some());
    world.settle();
    let slot = world.node(3).slot_of(SpaceId(0), &name).expect("it is a name").expect("there is a space");
    let is_chunk = |message: &Message<'_>| match message {
        Message::Transfer(message) => matches!(message.body, TransferBody::InitialLocks(_)),
        Message::Lock(_) | Message::View(_) => false,
    };
    world.lose_next(3, 2, is_chunk);
    world.transfer(3, SlotRange::one(slot), 2);
    world.settle();
    go(&mut world);
    world.pass(1000);
    assert_eq!(world.node(2).master_of(SpaceId(0), &name), Ok(Some(NodeId(2))));
    assert_eq!(read(&mut world, 3, &name), valid(b"one"));
}

#[test]
fn what_a_node_is_asked_when_it_has_nothing_does_not_make_it_say_so_again() {
    let (mut world, name) = written();
    give_up_unheard(&mut world);
    assert!(unheard(&mut world).is_some());
    world.settle();
    take(&mut world, 2, &name, Mode::Exclusive);
    assert_eq!(unheard(&mut world), Some(vec![]), "it has answered a demand, and has had nothing since");
    let other = world.name_at(3, "other");
    let lock = take(&mut world, 1, &other, Mode::Null);
    assert_eq!(unheard(&mut world), None);
    world.release(1, lock, ValueWrite::Keep);
    let now = world.now();
    assert!(world.node(1).release_retained(now));
    world.settle();
    assert_eq!(unheard(&mut world), Some(vec![NodeId(2), NodeId(3)]), "it has had something");
    world.settle();
    assert_eq!(unheard(&mut world), Some(vec![]), "no interval has to be over");
}
