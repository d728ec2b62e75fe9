//! The wait for another view or standing.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::machines::Watch;
use crate::node::Node;
use crate::runtime::{Runtime, Writer};
use crate::shared::State;

/// Resolves when the node has another view or standing than when the future was made; also once it is shut down.
#[derive(Debug)]
#[must_use = "what comes is waited for when the future is awaited"]
pub struct Changed<'a, R: Runtime> {
    node: &'a Node<R>,
    /// Changes of each machine until the future was made.
    seen: Vec<u64>,
    watch: Watch,
}

impl<'a, R: Runtime> Changed<'a, R> {
    pub(crate) fn new(node: &'a Node<R>) -> Self {
        let seen = node.machines().look(|state| state.members.changes()).collect();
        Self { node, seen, watch: Watch::new() }
    }
}

impl<R: Runtime> Future for Changed<'_, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = this.watch.look(this.node.machines(), context, State::changes_unless_closed);
        if now.iter().zip(&this.seen).all(|(now, seen)| *now == Some(*seen)) {
            return Poll::Pending;
        }
        this.watch.end(this.node.machines());
        Poll::Ready(())
    }
}

impl<R: Runtime> Drop for Changed<'_, R> {
    fn drop(&mut self) {
        self.watch.end(self.node.machines());
    }
}

impl<W: Writer> State<W> {
    fn changes_unless_closed(&mut self) -> Option<u64> {
        (!self.lifecycle.is_closed()).then(|| self.members.changes())
    }
}
