//! A word that ends something, for whoever looks and whoever waits.

use core::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Has it been said?
#[derive(Debug, Default)]
pub(super) struct Stop {
    is_said: AtomicBool,
    told: Notify,
}

impl Stop {
    pub(super) fn say(&self) {
        self.is_said.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    pub(super) fn is_said(&self) -> bool {
        self.is_said.load(Ordering::Acquire)
    }

    /// Waits until it is said.
    pub(super) async fn said(&self) {
        let told = self.told.notified();
        tokio::pin!(told);
        // Whoever is not among the waiters when they are told sees it here.
        told.as_mut().enable();
        if !self.is_said() {
            told.await;
        }
    }
}
