//! Waiting for what real processes do.

use core::time::Duration;
use std::thread;
use std::time::Instant;

/// How long anything may take before a test gives up on it. It is no expectation: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is something.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks again and again until it is so.
pub(crate) fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
