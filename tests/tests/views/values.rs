//! The value block when masters and writers die (rule W15).

use lockmaster_core::{Conversion, Flags, LockId, Mode, Value, ValueState, ValueWrite};
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
