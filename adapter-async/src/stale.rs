//! Wakers that nobody needs any more.

use core::task::Waker;

use crate::calm::calmly;

/// Collects under the mutex the wakers that were replaced or given up, to be dropped when the mutex is free.
///
/// What runs when a waker is dropped is not ours: it may be the last that is known of a task, whose end calls the node.
/// So a `Stale` is made before the mutex is locked, and outlives the lock.
#[derive(Debug, Default)]
pub(crate) struct Stale(Vec<Waker>);

impl Stale {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, waker: Waker) {
        self.0.push(waker);
    }

    /// Keeps `waker` in `place`. Nothing happens if the one there wakes the same task.
    pub(crate) fn replace(&mut self, place: &mut Option<Waker>, waker: &Waker) {
        if place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        if let Some(before) = place.replace(waker.clone()) {
            self.add(before);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops what was collected, as its end does. The mutex must be free.
    #[inline]
    pub(crate) fn clear(&mut self) {
        // Mostly there are none.
        while let Some(waker) = self.0.pop() {
            calmly(|| drop(waker));
        }
    }
}

impl Drop for Stale {
    fn drop(&mut self) {
        self.clear();
    }
}
