//! The wait for another view or standing.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::node::Node;
use crate::runtime::Runtime;
use crate::stale::Stale;
use crate::waiters::WaiterId;

/// Resolves when the node has another view or standing than when the future was made; also once it is shut down.
#[derive(Debug)]
#[must_use = "what comes is waited for when the future is awaited"]
pub struct Changed<'a, R: Runtime> {
    node: &'a Node<R>,
    /// Changes until the future was made.
    seen: u64,
    id: Option<WaiterId>,
}

impl<'a, R: Runtime> Changed<'a, R> {
    pub(crate) fn new(node: &'a Node<R>) -> Self {
        let seen = node.life.shared.lock().members.changes();
        Self { node, seen, id: None }
    }
}

impl<R: Runtime> Future for Changed<'_, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut stale = Stale::new();
        let mut state = self.node.life.shared.lock();
        if state.members.changes() == self.seen && !state.lifecycle.is_closed() {
            state.lifecycle.waiters.wait(&mut self.id, context.waker(), &mut stale);
            return Poll::Pending;
        }
        if let Some(id) = self.id.take() {
            state.lifecycle.waiters.remove(id, &mut stale);
        }
        Poll::Ready(())
    }
}

impl<R: Runtime> Drop for Changed<'_, R> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut stale = Stale::new();
        self.node.life.shared.lock().lifecycle.waiters.remove(id, &mut stale);
    }
}
