//! Work elsewhere, whose end can be awaited whatever the runtime is.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// Work that was begun. It goes on if this is dropped.
#[derive(Debug)]
pub(super) struct Task<T>(Arc<Mutex<Slot<T>>>);

/// The work's side.
pub(super) struct Done<T>(Arc<Mutex<Slot<T>>>);

/// The work ended without an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

#[derive(Debug)]
struct Slot<T> {
    output: Option<T>,
    is_over: bool,
    waker: Option<Waker>,
}

/// Both sides of work that somebody else runs.
pub(super) fn new<T>() -> (Done<T>, Task<T>) {
    let slot = Arc::new(Mutex::new(Slot { output: None, is_over: false, waker: None }));
    (Done(Arc::clone(&slot)), Task(slot))
}

/// Runs what blocks on a thread of its own.
pub(super) fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    let (done, task) = new();
    thread::spawn(move || done.tell(work()));
    task
}

impl<T> Done<T> {
    pub(super) fn tell(self, output: T) {
        lock(&self.0).output = Some(output);
    }
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = lock(&self.0);
            slot.is_over = true;
            slot.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Task<T> {
    pub(super) fn is_finished(&self) -> bool {
        lock(&self.0).is_over
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Broken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.0);
        if slot.is_over {
            return Poll::Ready(slot.output.take().ok_or(Broken));
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap()
}
