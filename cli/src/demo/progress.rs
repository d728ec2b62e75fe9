//! What is shown while the nodes work: a bar on a terminal, else a line now and then.

use core::time::Duration;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use crate::args::DemoArgs;
use crate::text::{count, counted};

/// Time between lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far the demonstration is, on the standard error output.
pub(super) struct Progress {
    start: Instant,
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    /// The nodes begin to work.
    pub(super) fn start(args: &DemoArgs) -> Self {
        let seconds = u64::from(args.seconds);
        let bar = ProgressBar::new(seconds * 1000);
        let style = ProgressStyle::with_template("{wide_bar:.cyan} {msg}").expect("the template is right");
        bar.set_style(style);
        if bar.is_hidden() {
            let (nodes, tasks) = (counted(args.nodes.into(), "node"), counted(args.tasks.into(), "task"));
            eprintln!("running: {nodes} with {tasks} each, for {}", counted(seconds, "second"));
        }
        let start = Instant::now();
        Self { start, bar, last_line: start }
    }

    /// Time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// So many operations are done.
    pub(super) fn show(&mut self, operations: u64) {
        let elapsed = self.elapsed();
        let message = format!("{} operations in {:.0} s", count(operations), elapsed.as_secs_f64());
        if !self.bar.is_hidden() {
            self.bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            self.bar.set_message(message);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{message}");
        }
    }

    /// Nothing more is to be shown.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
