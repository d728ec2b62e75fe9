//! Who waits for which transfer, and how those ended that were not fetched yet.
//!
//! ```text
//!            wait                complete               poll
//!   (none) ───────▶ Waiting ────────────────▶ Over ───────────▶ (none)
//!      ▲               │ forget                │ forget
//!      └───────────────┴───────────────────────┘
//! ```
//!
//! A transfer that is not here goes on all the same; nobody waits for its end.

use core::task::{Poll, Waker};

use heapless::Vec as Few;
use lockmaster_core::{Progress, TRANSFERS_MAX, TransferId};

use crate::stale::Stale;

/// A place for each transfer that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    places: Few<Place, TRANSFERS_MAX>,
}

#[derive(Debug)]
struct Place {
    transfer: TransferId,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Waiting(Option<Waker>),
    Over(Progress),
}

impl Transfers {
    /// Is there no place for another? An end that was not fetched still has its place.
    pub(crate) fn is_full(&self) -> bool {
        self.places.is_full()
    }

    /// Does nobody wait for any?
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.places.is_empty()
    }

    /// Somebody begins to wait for a transfer. [`Transfers::poll`] names who is to be woken.
    pub(crate) fn wait(&mut self, transfer: TransferId) {
        assert!(self.find(transfer).is_none(), "a transfer is waited for by who asked for it");
        let place = Place { transfer, phase: Phase::Waiting(None) };
        self.places.push(place).expect("there is a place for who asks");
    }

    /// Is the transfer over? If so its end is forgotten, otherwise `waker` is woken then.
    pub(crate) fn poll(&mut self, transfer: TransferId, waker: &Waker, stale: &mut Stale) -> Poll<Progress> {
        let at = self.find(transfer).expect("a transfer that is waited for has its place");
        match &mut self.places[at].phase {
            Phase::Over(end) => {
                let end = *end;
                self.places.swap_remove(at);
                Poll::Ready(end)
            }
            Phase::Waiting(known) => {
                stale.replace(known, waker);
                Poll::Pending
            }
        }
    }

    /// How the transfer ended, if that was not fetched yet.
    pub(crate) fn end(&self, transfer: TransferId) -> Option<Progress> {
        match self.places[self.find(transfer)?].phase {
            Phase::Over(end) => Some(end),
            Phase::Waiting(_) => None,
        }
    }

    /// Nobody waits for this transfer any more.
    pub(crate) fn forget(&mut self, transfer: TransferId, stale: &mut Stale) {
        let Some(at) = self.find(transfer) else { return };
        if let Phase::Waiting(Some(waker)) = self.places.swap_remove(at).phase {
            stale.add(waker);
        }
    }

    /// A transfer has ended. Returns who is to be woken; an end that nobody waits for is ignored.
    #[must_use]
    pub(crate) fn complete(&mut self, end: Progress) -> Option<Waker> {
        let at = self.find(end.transfer)?;
        match core::mem::replace(&mut self.places[at].phase, Phase::Over(end)) {
            Phase::Waiting(waker) => waker,
            Phase::Over(_) => unreachable!("a transfer ends once"),
        }
    }

    /// Gives up all wakers: whoever is woken will find the node closed.
    pub(crate) fn close(&mut self, wake: impl FnMut(Waker)) {
        let wakers = self.places.iter_mut().filter_map(|place| match &mut place.phase {
            Phase::Waiting(waker) => waker.take(),
            Phase::Over(_) => None,
        });
        wakers.for_each(wake);
    }

    fn find(&self, transfer: TransferId) -> Option<usize> {
        self.places.iter().position(|place| place.transfer == transfer)
    }
}
