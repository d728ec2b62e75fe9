//! How far the seeds are: a bar on a terminal, nothing elsewhere.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar as long as the seeds are many.
    pub(super) fn of_seeds(seeds: u64) -> Self {
        Self::new(seeds, "{wide_bar:.cyan} {pos} of {len} seeds, {per_sec}, {eta} left")
    }

    /// A bar as long as the time.
    pub(super) fn of_time(time: Duration) -> Self {
        Self::new(millis(time), "{wide_bar:.cyan} {elapsed} {msg}")
    }

    fn new(len: u64, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the template is right");
        Self { bar: ProgressBar::new(len).with_style(style) }
    }

    /// One more seed has ended.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// So much time is over, and one more seed has ended.
    pub(super) fn soak(&self, elapsed: Duration, has_failed: bool) {
        self.bar.set_position(millis(elapsed));
        if has_failed {
            self.bar.set_message("with failures");
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
