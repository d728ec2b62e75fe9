//! When the node is asked to balance the map: after a view, after the end of a transfer, and now and then.

use core::time::Duration;

use lockmaster_core::{Instant, Standing};

/// Without other reasons it is asked so often.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Balance {
    /// Most transfers at a time; 0 if slots stay where they are.
    most: usize,
    is_called_for: bool,
    ticked: Instant,
}

impl Balance {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, is_called_for: false, ticked: Instant::START }
    }

    /// Something has changed: the node is to be asked in its next turn.
    pub(crate) const fn call_for(&mut self) {
        self.is_called_for = self.most > 0;
    }

    /// Is the node to be asked? It is taken for asked then.
    pub(crate) fn due(&mut self, standing: Standing) -> Option<usize> {
        let is_due = core::mem::take(&mut self.is_called_for) && standing == Standing::Member;
        is_due.then_some(self.most)
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.is_called_for
    }

    /// The timer task runs.
    pub(crate) fn tick(&mut self, now: Instant) {
        if now.since(self.ticked) >= EVERY {
            self.ticked = now;
            self.call_for();
        }
    }
}
