//! What is not ours may panic, and that goes no further.

use core::panic::AssertUnwindSafe;
use core::task::Waker;
use std::panic::catch_unwind;

/// Does something of somebody else: wakes or drops a waker, tells a subscriber of events.
///
/// If it panics, the process's panic hook has said so, and it ends here. Neither the call that happened to do it nor the
/// node's own tasks have anything to do with it, and what they have in hand must not be lost.
pub(crate) fn calmly(act: impl FnOnce()) {
    // What it has left half done is its own.
    let _ = catch_unwind(AssertUnwindSafe(act));
}

/// Wakes all of them.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| calmly(|| waker.wake()));
}
