//! The wait for the loss of a lock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use lockmaster_core::{Instant, LockId, Standing};

use crate::guard::Guard;
use crate::registry::WatchId;
use crate::runtime::{Runtime, Writer};
use crate::shared::State;
use crate::stale::Stale;

/// Resolves when the lock of a guard is lost.
#[derive(Debug)]
#[must_use = "a guard is watched when the future is awaited"]
pub struct Lost<'a, R: Runtime> {
    guard: &'a Guard<R>,
    watch: Option<WatchId>,
}

impl<'a, R: Runtime> Lost<'a, R> {
    pub(crate) const fn new(guard: &'a Guard<R>) -> Self {
        Self { guard, watch: None }
    }
}

impl<R: Runtime> Future for Lost<'_, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (guard, lock) = (self.guard, self.guard.lock());
        let now = guard.handle.shared.runtime.now();
        let mut stale = Stale::new();
        let mut state = guard.handle.shared.lock();
        if state.is_lost(now, lock) {
            if let Some(watch) = self.watch.take() {
                state.registry.unwatch(lock, watch, &mut stale);
            }
            return Poll::Ready(());
        }
        state.registry.watch_loss(lock, &mut self.watch, context.waker(), &mut stale);
        Poll::Pending
    }
}

impl<R: Runtime> Drop for Lost<'_, R> {
    fn drop(&mut self) {
        let Some(watch) = self.watch else { return };
        let mut stale = Stale::new();
        self.guard.handle.shared.lock().registry.unwatch(self.guard.lock(), watch, &mut stale);
    }
}

impl<W: Writer> State<W> {
    /// Is a lock that was granted no lock any more? What the clock says counts, also if nobody was told yet.
    pub(crate) fn is_lost(&mut self, now: Instant, lock: LockId) -> bool {
        self.lifecycle.is_closed()
            || self.node.held(lock).is_err()
            || self.node.standing(now) == Standing::Fenced
    }
}
