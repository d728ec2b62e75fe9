//! What is not ours may panic: the rest is done all the same.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::panic::{catch_unwind, resume_unwind};

/// Does one thing after the other, and hands on the first panic at the end.
#[derive(Default)]

pub(crate) struct Calm(Option<Box<dyn Any + Send>>);

impl Calm {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Does something whose panic must not keep what follows from being done.
    pub(crate) fn run(&mut self, act: impl FnOnce()) {
        // What it has left half done is its own.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
            self.0.get_or_insert(panic);
        }
    }

    pub(crate) const fn has_panicked(&self) -> bool {
        self.0.is_some()
    }

    /// Everything was done: goes on with the first panic, if there was one.
    pub(crate) fn end(self) {
        if let Some(panic) = self.0 {
            resume_unwind(panic);
        }
    }
}
