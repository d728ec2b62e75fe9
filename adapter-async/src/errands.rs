//! What a call has to do once it has let go of the node: write frames and wake tasks.

use core::task::Waker;

use heapless::Vec as Few;

use crate::calm::{calmly, wake_all};
use crate::links::{Claim, Detached};
use crate::runtime::{Runtime, Writer};
use crate::shared::Shared;
use crate::stale::Stale;
use crate::trace::Notes;

/// Wakers that fit without a heap allocation.
const WAKERS: usize = 16;
/// Connections that one call writes on itself; the writer tasks take the others.
const CLAIMS: usize = 4;

/// Wakers and claims that were collected under the mutex.
pub(crate) struct Errands<W> {
    wakers: Few<Waker, WAKERS>,
    more: Vec<Waker>,
    claims: Few<Claim<W>, CLAIMS>,
    detached: Vec<Detached<W>>,
    /// Wakers that nobody needs any more.
    pub(crate) stale: Stale,
    /// What is to be told.
    pub(crate) notes: Notes,
    /// Nobody waits for what this call has to say: the writer tasks send it with what else comes.
    is_deferred: bool,
}

impl<W: Writer> Errands<W> {
    pub(crate) const fn new() -> Self {
        Self {
            wakers: Few::new(),
            more: Vec::new(),
            claims: Few::new(),
            detached: Vec::new(),
            stale: Stale::new(),
            notes: Notes::new(),
            is_deferred: false,
        }
    }

    /// A task is to be woken.
    pub(crate) fn wake(&mut self, waker: Waker) {
        if let Err(waker) = self.wakers.push(waker) {
            self.more.push(waker);
        }
    }

    /// A connection is to be closed.
    pub(crate) fn hang_up(&mut self, detached: Detached<W>) {
        self.detached.push(detached);
    }

    /// Leaves what is to be written to the writer tasks, so that it shares a frame with what others say.
    pub(crate) const fn defer(&mut self) {
        self.is_deferred = true;
    }

    pub(crate) const fn is_deferred(&self) -> bool {
        self.is_deferred
    }

    /// There is something to say on a connection; gives the claim back if this call has enough of them.
    pub(crate) fn write(&mut self, claim: Claim<W>) -> Result<(), Claim<W>> {
        self.claims.push(claim)
    }

    /// Claims without a frame yet.
    pub(crate) fn claims(&mut self) -> &mut Few<Claim<W>, CLAIMS> {
        &mut self.claims
    }

    /// Does everything that was collected. The mutex must be free.
    pub(crate) fn run<R: Runtime<Writer = W>>(&mut self, shared: &Shared<R>) {
        calmly(|| self.notes.tell());
        // Mostly there is little of all this, so nothing is drained that is empty.
        while let Some(detached) = self.detached.pop() {
            detached.close();
        }
        while let Some(waker) = self.wakers.pop() {
            calmly(|| waker.wake());
        }
        if !self.more.is_empty() {
            wake_all(self.more.drain(..));
        }
        while let Some(claim) = self.claims.pop() {
            shared.write(claim);
        }
        self.stale.clear();
    }
}
