//! What the timer task sleeps for, and when it must be woken to sleep for something earlier.

use core::task::{Poll, Waker};

use lockmaster_core::Instant;

use crate::stale::Stale;

#[derive(Debug)]
pub(crate) struct Timer {
    /// The node's next deadline.
    until: Instant,
    /// What the task sleeps for; nothing later need wake it.
    asleep_until: Instant,
    /// A budget ran out with work left: the task comes straight back.
    is_spent: bool,
    task: Option<Waker>,
}

/// What the timer task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleep {
    Until(Instant),
    /// There is work left: let others run, then come back.
    Yield,
}

impl Timer {
    /// A timer that has nothing to wait for.
    pub(crate) const fn new() -> Self {
        Self { until: Instant::NEVER, asleep_until: Instant::NEVER, is_spent: false, task: None }
    }

    /// The node's next deadline is this. Returns the task if it sleeps for too long.
    #[must_use]
    pub(crate) fn set(&mut self, until: Option<Instant>) -> Option<Waker> {
        self.until = until.unwrap_or(Instant::NEVER);
        if self.until >= self.asleep_until {
            return None;
        }
        self.asleep_until = self.until;
        self.task.take()
    }

    /// A budget ran out. Returns the task, which will go on.
    #[must_use]
    pub(crate) const fn spend(&mut self) -> Option<Waker> {
        self.is_spent = true;
        self.task.take()
    }

    /// The task is about to sleep.
    pub(crate) const fn sleep(&mut self) -> Sleep {
        if self.is_spent {
            self.is_spent = false;
            return Sleep::Yield;
        }
        self.asleep_until = self.until;
        Sleep::Until(self.until)
    }

    /// Must the task stop sleeping until `slept_until`?
    pub(crate) fn poll(&mut self, slept_until: Instant, waker: &Waker, stale: &mut Stale) -> Poll<()> {
        if self.is_spent || self.until < slept_until {
            return Poll::Ready(());
        }
        stale.replace(&mut self.task, waker);
        Poll::Pending
    }

    /// Returns the task for the last time.
    #[must_use]
    pub(crate) const fn close(&mut self) -> Option<Waker> {
        self.task.take()
    }
}

#[cfg(test)]
mod tests;
