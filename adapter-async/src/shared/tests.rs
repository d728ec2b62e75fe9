//! The node on a still runtime, polled by hand.

use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::task::Wake;

use lockmaster_core::wire::{FRAME_HEADER_LEN, Frames};
use lockmaster_core::{Flags, Priority, Request, SpaceId};

use super::still::{
    EX, ME, PEER, Pipe, Still, granted, link_up, lone_member, name_at_peer, node, node_with_peer, outsider,
    own_slot, poll, view,
};
use super::{Arc, HeapMemory, Instant, OwnerId, Shared};
use crate::acquire::RESTED_MAX;
use crate::connection::keep_writing;
use crate::links::Detached;
use crate::outgoing::Outgoing;
use crate::tls::tests::{Line, secured};
use crate::{Certainty, LockError, LockOptions, TRANSFERS_MAX, TransferError};

/// Counts how often it was woken, and looks whether the mutex is free then.
struct Alarmed {
    shared: Arc<Shared<Still>>,
    woken: AtomicUsize,
}

impl Alarmed {
    fn new(shared: &Arc<Shared<Still>>) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), woken: AtomicUsize::new(0) })
    }

    fn woken(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }
}

impl Wake for Alarmed {
    fn wake(self: Arc<Self>) {
        let is_free = !matches!(self.shared.state.try_lock(), Err(std::sync::TryLockError::WouldBlock));
        assert!(is_free, "no waker runs under the mutex");
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn what_a_retained_lock_changes_is_in_one_line_of_the_cache() {
    const LINE: usize = 64;
    let node = node(&[ME]);
    let shared = node.machines().lead();
    let begin = (&raw const **shared).addr();
    assert_eq!(begin % (2 * LINE), 0, "machines share no pair of lines");
    let state = shared.lock();
    for changed in [&raw const state.guards, &raw const state.rested].map(<*const u32>::addr) {
        assert!(changed < begin + LINE);
    }
    assert!((&raw const state.owners).addr() < begin + LINE);
    let end = (&raw const state.node).addr() + lockmaster_core::Node::<HeapMemory>::AT_REST_LEN;
    assert!(end <= begin + LINE, "{} bytes", end - begin);
}

#[test]
fn wakers_run_when_the_mutex_is_free() {
    let node = node(&[ME]);
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let guard = granted(node.lock("a", EX));
    let mut waiting = pin!(node.lock("a", EX));
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    let mut contended = Box::pin(guard.contended());
    assert_eq!(poll(contended.as_mut(), &waker), Poll::Ready(EX));
    drop(contended);
    assert_eq!(alarmed.woken(), 0);
    drop(guard);
    assert_eq!(alarmed.woken(), 1);
    let Poll::Ready(Ok(_)) = poll(waiting, &waker) else { panic!("the lock is free") };
}

#[test]
fn a_panic_in_a_turn_shuts_the_node_down_and_wakes_who_waits() {
    let node = node(&[ME]);
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let guard = granted(node.lock("a", EX));
    let mut waiting = pin!(node.lock("a", EX));
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    let panicking = || node.machines().lead().turn(|_, _| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert_eq!(alarmed.woken(), 1);
    assert!(matches!(poll(waiting, &waker), Poll::Ready(Err(LockError::Closed))));
    assert!(poll(pin!(guard.lost()), &waker).is_ready());
    drop(guard);
    assert!(matches!(poll(pin!(node.lock("b", EX)), &waker), Poll::Ready(Err(LockError::Closed))));
}

/// Panics when it is woken, and when it is dropped for the last time.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        core::mem::forget(self);
        panic!("on purpose");
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_else_from_being_woken_and_nothing_from_being_written() {
    let pipe = Pipe::with_room(usize::MAX / 2);
    let (node, _) = node_with_peer(&pipe);
    let shared = node.machines().lead();
    let alarmed = Alarmed::new(shared);
    let (bomb, waker) = (|| Waker::from(Arc::new(Bomb)), Waker::from(Arc::clone(&alarmed)));
    let name = name_at_peer(&node, 0);
    let request = Request {
        space: SpaceId(0),
        name: name.as_bytes(),
        owner: OwnerId(1),
        mode: EX,
        flags: Flags::default(),
        priority: Priority::default(),
        patience: None,
    };
    // The call that wakes it gets its result: what it has asked for would be nobody's else.
    let asked = shared.turn(|state, errands| {
        errands.wake(waker.clone());
        errands.wake(bomb());
        errands.wake(waker.clone());
        errands.stale.add(bomb());
        errands.stale.add(waker.clone());
        state.node.request(Instant::from_nanos(1), &request).unwrap()
    });
    assert!(asked.is_some());
    assert_eq!(alarmed.woken(), 2);
    assert_eq!(pipe.frames(), (1, 0), "what was claimed is written");
    // The connection is claimed by nobody.
    let mut waiting = pin!(node.lock(name_at_peer(&node, 1000), EX));
    assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (2, 0));
}

#[test]
fn a_call_that_wakes_what_panics_has_its_request_all_the_same() {
    let node = node(&[ME]);
    let bomb = Waker::from(Arc::new(Bomb));
    let guard = granted(node.lock("a", EX));
    let mut contended = Box::pin(guard.contended());
    assert!(poll(contended.as_mut(), &bomb).is_pending());
    let mut waiting = Box::pin(node.lock("a", EX));
    assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
    drop(waiting);
    drop(contended);
    drop(guard);
    // Nothing waits any more that nobody knows of.
    drop(granted(node.lock("a", EX)));
    core::mem::forget(bomb);
}

#[test]
fn a_waker_that_panics_does_not_end_the_task_for_deadlines() {
    let node = node(&[ME]);
    let bomb = Waker::from(Arc::new(Bomb));
    let guard = granted(node.lock("a", EX));
    let options = LockOptions::new(EX).timeout(Duration::from_nanos(1));
    let mut waiting = Box::pin(node.lock_with("a", options));
    assert!(poll(waiting.as_mut(), &bomb).is_pending());
    node.machines().lead().lock().advance(Instant::from_nanos(100));
    let mut task = Box::pin(Shared::keep_time(Arc::clone(node.machines().lead())));
    assert!(poll(task.as_mut(), Waker::noop()).is_pending());
    assert!(matches!(poll(waiting.as_mut(), Waker::noop()), Poll::Ready(Err(LockError::TimedOut))));
    drop(guard);
    core::mem::forget(bomb);
}

#[test]
fn what_was_granted_and_is_over_when_it_is_fetched_is_waited_for_anew() {
    let node = lone_member();
    let end = Instant::from_nanos(1000);
    node.machines().lead().hear_certainty(1, Certainty { suspect_at: end, fenced_at: end });
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let guard = granted(node.lock("a", EX));
    let mut waiting = pin!(node.lock("a", EX));
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    drop(guard);
    node.machines().lead().lock().advance(end);
    assert_eq!(alarmed.woken(), 1, "it is granted");
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    assert_eq!(alarmed.woken(), 2, "it wakes itself, to ask anew");
    assert!(poll(waiting.as_mut(), &waker).is_pending());
    assert_eq!((alarmed.woken(), node.machines().lead().lock().registry.waiting()), (2, 1));
}

#[test]
fn who_takes_the_same_lock_for_ever_lets_others_run() {
    const ROUNDS: u32 = 1000;
    let node = node(&[ME]);
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    drop(granted(node.lock("a", EX)));
    for _ in 0..ROUNDS {
        let mut taken = pin!(node.lock("a", EX));
        if poll(taken.as_mut(), &waker).is_pending() {
            assert!(poll(taken, &waker).is_ready(), "once is enough");
        }
    }
    // It wakes itself each time: it waits for nothing.
    assert_eq!(alarmed.woken(), ROUNDS as usize / RESTED_MAX as usize);
}

#[test]
fn who_writes_the_same_value_block_for_ever_lets_others_run() {
    const ROUNDS: u32 = 1000;
    let node = node(&[ME]);
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    for round in 0..ROUNDS {
        let mut taken = pin!(node.lock_with("a", LockOptions::new(EX).value(true)));
        let mut guard = match poll(taken.as_mut(), &waker) {
            Poll::Ready(guard) => guard.expect("a lone node grants"),
            Poll::Pending => granted(taken),
        };
        guard.set_value(&round.to_be_bytes()).expect("it may write");
    }
    assert_eq!(alarmed.woken(), ROUNDS as usize / RESTED_MAX as usize);
}

#[test]
fn a_call_writes_its_frame_itself() {
    let pipe = Pipe::with_room(usize::MAX / 2);
    let (node, link) = node_with_peer(&pipe);
    let mut waiting = pin!(node.lock(name_at_peer(&node, 0), EX));
    assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (1, 0));
    let mut writing = pin!(keep_writing(Arc::clone(node.machines().lead()), link));
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (1, 0));
}

#[test]
fn the_writer_task_goes_on_where_the_socket_was_full() {
    let pipe = Pipe::with_room(FRAME_HEADER_LEN);
    let (node, link) = node_with_peer(&pipe);
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let mut writing = pin!(keep_writing(Arc::clone(node.machines().lead()), link));
    assert!(poll(writing.as_mut(), &waker).is_pending());

    let first = name_at_peer(&node, 0);
    let second = name_at_peer(&node, 1000);
    let mut waiting = pin!(node.lock(&first, EX));
    assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
    assert_eq!((pipe.frames(), alarmed.woken()), ((0, FRAME_HEADER_LEN), 1));
    // While the first frame is stuck nobody else writes.
    let mut more = pin!(node.lock(&second, EX));
    assert!(poll(more.as_mut(), Waker::noop()).is_pending());
    assert!(poll(writing.as_mut(), &waker).is_pending());
    assert_eq!(pipe.frames(), (0, FRAME_HEADER_LEN));
    // Once there is room the rest of it goes out, and what came meanwhile.
    pipe.room.store(usize::MAX / 2, Ordering::SeqCst);
    assert!(poll(writing.as_mut(), &waker).is_pending());
    assert_eq!(pipe.frames(), (2, 0));
}

#[test]
fn what_shares_its_way_is_left_to_the_writer_task() {
    let pipe = Pipe::with_room(usize::MAX / 2);
    let (node, link) = node_with_peer(&pipe);
    let mut writing = pin!(keep_writing(Arc::clone(node.machines().lead()), link));
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    let names = [0, 1000, 2000].map(|from| name_at_peer(&node, from));
    let mut waiting = names.each_ref().map(|name| Box::pin(node.lock(name, EX)));
    for wait in &mut waiting {
        assert!(poll(wait.as_mut(), Waker::noop()).is_pending());
    }
    // The first went out at once, the others wait for each other.
    assert_eq!(pipe.frames(), (1, 0));
    // The writer task lets others have a turn, then sends both in one frame.
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (1, 0));
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (2, 0));
    // What was taken back meanwhile goes along with the next that is in a hurry.
    drop(waiting);
    let last = name_at_peer(&node, 3000);
    let mut last = pin!(node.lock(&last, EX));
    assert!(poll(last.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames().1, 0);
    assert!(pipe.frames().0 > 2);
}

#[test]
fn a_connection_that_is_replaced_ends_its_writer_task() {
    let (old, new) = (Pipe::with_room(0), Pipe::with_room(usize::MAX / 2));
    let (node, link) = node_with_peer(&old);
    let shared = node.machines().lead();
    let mut writing = pin!(keep_writing(Arc::clone(shared), link));
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    let before = shared.turn(|state, _| state.links.attach(PEER, Arc::clone(&new), Outgoing::new(None)).1);
    before.flatten().unwrap().close();
    assert_eq!(old.closed.load(Ordering::SeqCst), 1);
    assert!(poll(writing.as_mut(), Waker::noop()).is_ready());
    let mut waiting = pin!(node.lock(name_at_peer(&node, 0), EX));
    assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
    assert_eq!((old.frames(), new.frames()), ((0, 0), (1, 0)));
}

/// What is sealed is left to the writer task as a whole: a call may not take the connection over although its own frame
/// was sealed to the end, and once the socket takes it everything comes out in order.
#[test]
fn what_is_sealed_and_not_written_is_left_to_the_writer_task() {
    let lines = [Line::wide(), Line::wide()];
    let (mine, mut theirs) = secured(&lines);
    let (old, pipe) = (Pipe::with_room(0), Pipe::with_room(10));
    let (node, _) = node_with_peer(&old);
    let shared = node.machines().lead();
    let sealing = Outgoing::new(Some(mine.sealing));
    let attached = shared.turn(|state, _| state.links.attach(PEER, Arc::clone(&pipe), sealing));
    let (link, before) = attached.unwrap();
    before.into_iter().for_each(Detached::close);

    let mut first = pin!(node.lock(name_at_peer(&node, 0), EX));
    assert!(poll(first.as_mut(), Waker::noop()).is_pending());
    let mut second = pin!(node.lock(name_at_peer(&node, 1000), EX));
    assert!(poll(second.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.taken.lock().unwrap().len(), 10, "a part of one record");
    assert_eq!(node.stats().frames_out, 1, "no frame is made before the last has left");
    let mut writing = pin!(keep_writing(Arc::clone(shared), link));
    assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    for room in [1, 60, usize::MAX / 2] {
        pipe.room.store(room, Ordering::SeqCst);
        assert!(poll(writing.as_mut(), Waker::noop()).is_pending());
    }

    lines[0].flow.lock().unwrap().bytes.extend(pipe.taken.lock().unwrap().iter());
    let (mut reader, mut room) = (Arc::clone(&lines[0]), vec![0; 4096]);
    let len = {
        let opened = pin!(theirs.opening.read(&mut reader, &mut room));
        let Poll::Ready(Ok(len)) = poll(opened, Waker::noop()) else { panic!("everything was written") };
        len
    };
    let first = Frames::next_len(&room[..len]).unwrap().unwrap();
    assert_eq!(Frames::next_len(&room[first..len]).unwrap(), Some(len - first));
}

#[test]
fn a_transfer_is_offered_in_the_call() {
    let pipe = Pipe::with_room(usize::MAX / 2);
    let (node, _) = node_with_peer(&pipe);
    let mut transfer = pin!(node.transfer(own_slot(&node), PEER));
    assert!(poll(transfer.as_mut(), Waker::noop()).is_pending());
    assert_eq!(pipe.frames(), (1, 0));
}

#[test]
fn a_withdrawn_transfer_wakes_who_waits_for_it() {
    let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let mut transfer = pin!(node.transfer(own_slot(&node), PEER));
    assert!(poll(transfer.as_mut(), &waker).is_pending());
    transfer.withdraw().unwrap();
    assert_eq!(alarmed.woken(), 1);
    // The end is there, also for who asks after the node was shut down.
    node.machines().lead().close();
    assert_eq!(poll(transfer, &waker), Poll::Ready(Err(TransferError::Withdrawn)));
}

#[test]
fn a_transfer_ends_with_its_node() {
    let (node, _) = node_with_peer(&Pipe::with_room(usize::MAX / 2));
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let mut transfer = pin!(node.transfer(own_slot(&node), PEER));
    assert!(poll(transfer.as_mut(), &waker).is_pending());
    node.machines().lead().close();
    assert_eq!(alarmed.woken(), 1);
    assert_eq!(poll(transfer, &waker), Poll::Ready(Err(TransferError::Closed)));
}

#[test]
fn dropped_transfers_take_no_place() {
    // Nothing is sent, so all that is withdrawn stays in the core's table.
    let (node, _) = node_with_peer(&Pipe::with_room(0));
    let range = own_slot(&node);
    let mut transfers = (0..=TRANSFERS_MAX).map(|_| Box::pin(node.transfer(range, PEER)));
    for mut transfer in transfers.by_ref().take(TRANSFERS_MAX) {
        assert!(poll(transfer.as_mut(), Waker::noop()).is_pending());
        transfer.withdraw().unwrap();
    }
    let mut one_too_many = transfers.next().unwrap();
    assert_eq!(poll(one_too_many.as_mut(), Waker::noop()), Poll::Ready(Err(TransferError::TooMany)));
    assert!(!node.machines().lead().lock().registry.transfers.is_full());
}

#[test]
fn a_fence_wakes_who_waits_for_it() {
    let node = lone_member();
    let alarmed = Alarmed::new(node.machines().lead());
    let waker = Waker::from(Arc::clone(&alarmed));
    let guard = granted(node.lock("a", EX));
    let mut changed = pin!(node.changed());
    let mut lost = Box::pin(guard.lost());
    assert!(poll(changed.as_mut(), &waker).is_pending());
    assert!(poll(lost.as_mut(), &waker).is_pending());
    assert_eq!(alarmed.woken(), 0);
    node.machines().lead().hear_fenced(1, "by the test");
    assert_eq!(alarmed.woken(), 2);
    assert!(poll(changed.as_mut(), &waker).is_ready());
    assert!(poll(lost.as_mut(), &waker).is_ready());
    drop(lost);
    drop(guard);
    assert!(node.machines().lead().lock().registry.is_idle());
    assert!(node.machines().lead().lock().lifecycle.waiters.is_idle());
}

#[test]
fn a_connection_ends_with_its_peers_membership_and_not_before() {
    let node = outsider();
    let shared = node.machines().lead();
    shared.hear_view(1, view(1, 1, &[PEER]));
    let pipe = Pipe::with_room(usize::MAX / 2);
    let link = link_up(&node, PEER, &pipe);
    shared.hear_view(1, view(2, 1, &[PEER]));
    assert_eq!(pipe.closed.load(Ordering::SeqCst), 0);
    assert!(shared.lock().links.is_current(link));
    shared.hear_view(1, view(3, 1, &[]));
    assert_eq!(pipe.closed.load(Ordering::SeqCst), 1);
    assert!(!shared.lock().links.is_current(link));
}
