//! The contract of wakers, as a check: what the futures of the node promise, without a runtime.
//!
//! Every future here is polled when it was woken and only then, each time with a waker of its own. After each poll
//! nothing holds an earlier waker; once it has resolved or was dropped nothing holds any. A waker is neither run nor
//! dropped under the node's mutex: it looks for itself.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{TryLockError, Weak};
use std::task::Wake;

use super::still::Still;
use super::{Arc, Shared};
use crate::Node;

mod cases;
mod rig;

/// The waker of one poll.
struct Bell {
    shared: Weak<Shared<Still>>,
    tally: Arc<Tally>,
}

/// What came of the wakers of a future.
#[derive(Default)]
struct Tally {
    /// Since the last poll began.
    rung: AtomicUsize,
    /// How often one was run or dropped while the mutex was taken.
    stuck: AtomicUsize,
}

impl Bell {
    /// A waker may lock its node: that would never end if the mutex were taken now.
    fn look(&self) {
        let Some(shared) = self.shared.upgrade() else { return };
        if matches!(shared.state.try_lock(), Err(TryLockError::WouldBlock)) {
            self.tally.stuck.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.look();
        self.tally.rung.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.look();
    }
}

/// A future that is polled when it was woken.
struct Driven<T> {
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
    shared: Weak<Shared<Still>>,
    tally: Arc<Tally>,
    /// The waker of the last poll, while anybody has it.
    bell: Weak<Bell>,
    is_new: bool,
}

impl<T> Driven<T> {
    /// A future of this node.
    fn new(node: &Node<Still>, future: impl Future<Output = T> + 'static) -> Self {
        Self {
            future: Some(Box::pin(future)),
            shared: Arc::downgrade(node.machines().lead()),
            tally: Arc::default(),
            bell: Weak::new(),
            is_new: true,
        }
    }

    /// Was it woken since the last poll?
    fn is_due(&self) -> bool {
        self.future.is_some() && (self.is_new || self.tally.rung.load(Ordering::SeqCst) > 0)
    }

    /// Polls it with a fresh waker. Who wants to keep the contract asks [`Driven::is_due`] before.
    fn poll(&mut self) -> Option<T> {
        let bell = Arc::new(Bell { shared: self.shared.clone(), tally: Arc::clone(&self.tally) });
        let before = core::mem::replace(&mut self.bell, Arc::downgrade(&bell));
        let waker = Waker::from(bell);
        self.is_new = false;
        self.tally.rung.store(0, Ordering::SeqCst);
        let future = self.future.as_mut().expect("a future is polled until it resolves");
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        drop(waker);
        assert_eq!(before.strong_count(), 0, "only the last waker is kept");
        assert_eq!(self.tally.stuck.load(Ordering::SeqCst), 0, "no waker is run or dropped under the mutex");
        let Poll::Ready(output) = polled else { return None };
        assert_eq!(self.bell.strong_count(), 0, "a future that has resolved is woken no more");
        self.future = None;
        Some(output)
    }

    /// Drops the future where it is.
    fn cancel(mut self) {
        self.future = None;
        assert_eq!(self.bell.strong_count(), 0, "a future that was dropped leaves no waker");
        assert_eq!(self.tally.stuck.load(Ordering::SeqCst), 0, "no waker is run or dropped under the mutex");
    }
}
