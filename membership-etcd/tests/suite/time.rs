//! Waiting for what real processes do.

use core::time::Duration;
use std::thread;

use lockmaster_async::Instant;

use crate::cluster::now;

/// How long anything may take before a test gives up on it. It is no expectation: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is something. Whoever is asked takes his time: it is a real server.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let give_up_at = now().after(PATIENCE);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(now() < give_up_at, "waited in vain for: {what}");
        thread::yield_now();
    }
}

/// Lets time pass until the clock of all nodes shows this: what a stall of a real server does comes from nothing else.
pub(crate) fn pass(until: Instant) {
    while now() < until {
        thread::sleep(until.since(now()));
    }
}
