//! What wakes the keeper of a command: signals and a timer.

use core::future::{pending, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::fs;
use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tokio::time::sleep;

use crate::clock;

/// Signals that are passed on, and the one that tells of children.
const SIGNALS: [Signal; 11] = [
    Signal::CHILD,
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

/// Signals that this process has caught.
pub(super) struct Signals {
    caught: Vec<(Signal, Caught)>,
}

impl Signals {
    /// Catches them from now on. What whoever started this process wants ignored stays so, for the command too.
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored();
        let is_caught = |signal: &Signal| *signal == Signal::CHILD || !ignored.contains(signal);
        let catch = |which: Signal| Ok((which, signal(SignalKind::from_raw(which.as_raw()))?));
        let caught = SIGNALS.into_iter().filter(is_caught).map(catch).collect::<io::Result<_>>()?;
        Ok(Self { caught })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (which, caught) in &mut self.caught {
                if caught.poll_recv(context).is_ready() {
                    return Poll::Ready(*which);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Signals of ours that are ignored.
fn ignored() -> Vec<Signal> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    SIGNALS.into_iter().filter(|signal| mask >> (signal.as_raw() - 1) & 1 == 1).collect()
}

/// Longest time for which the clock is not looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Resolves at this time (`CLOCK_BOOTTIME` in nanoseconds), never if there is none.
///
/// Timers stand still while the machine sleeps. So the clock is looked at now and then, and time that was slept through
/// is noticed soon.
pub(super) async fn ring(at: Option<u64>) {
    let Some(at) = at else { return pending().await };
    loop {
        let left = Duration::from_nanos(at.saturating_sub(clock::since_boot()));
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK_EVERY)).await;
    }
}
