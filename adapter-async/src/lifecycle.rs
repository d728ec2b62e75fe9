//! The life of a node's handle: started, open once locks can be granted, closed; and the tasks that end with it. Lives
//! of the node as a member come and go meanwhile (`members.rs`).
//!
//! ```text
//!   started ──(the map is agreed; every member was heard)──▶ open
//!      └──────────────────────(shutdown)─────────────────────┴───▶ closed ──(last task ends)──▶ ended
//! ```

use core::task::Waker;

use crate::waiters::Waiters;

#[derive(Debug, Default)]
pub(crate) struct Lifecycle {
    is_open: bool,
    is_closed: bool,
    is_condemned: bool,
    tasks: u32,
    pub(crate) waiters: Waiters,
}

impl Lifecycle {
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closed by a panic.
    pub(crate) const fn is_condemned(&self) -> bool {
        self.is_condemned
    }

    /// Closed, and no task runs any more.
    pub(crate) const fn is_ended(&self) -> bool {
        self.is_closed && self.tasks == 0
    }

    /// The node can grant. Tells whether that is news.
    pub(crate) fn open(&mut self, wake: impl FnMut(Waker)) -> bool {
        if self.is_open || self.is_closed {
            return false;
        }
        self.is_open = true;
        self.waiters.wake(wake);
        true
    }

    /// The end: nothing is granted any more. Tells whether that is news.
    ///
    /// Wakes again when called again: the first call may have been cut short by a panic.
    pub(crate) fn close(&mut self, wake: impl FnMut(Waker)) -> bool {
        let is_news = !self.is_closed;
        self.is_closed = true;
        self.waiters.wake(wake);
        is_news
    }

    /// A panic may have left the node in disorder: it is closed. [`Lifecycle::close`] still has to wake.
    pub(crate) const fn condemn(&mut self) {
        self.is_condemned = !self.is_closed || self.is_condemned;
        self.is_closed = true;
    }

    pub(crate) const fn begin_task(&mut self) {
        self.tasks += 1;
    }

    pub(crate) fn end_task(&mut self, wake: impl FnMut(Waker)) {
        assert!(self.tasks > 0, "a task that ends was begun");
        self.tasks -= 1;
        if self.is_ended() {
            self.waiters.wake(wake);
        }
    }
}
