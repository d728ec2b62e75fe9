//! The one drain loop: every adapter and simulator moves a node through it.

use crate::event::Event;
use crate::id::NodeId;
use crate::memory::Storage;
use crate::node::Node;
use crate::time::Instant;

/// What an adapter does with a node's outputs. Nothing here waits and nothing keeps time.
pub trait Outlet {
    /// Something happened to a logical lock.
    fn event(&mut self, event: Event);
    /// Something waits for a peer: call [`fill`] for it until it returns nothing, now or when its socket can
    /// take it.
    fn ready(&mut self, peer: NodeId);
}

/// What an adapter waits for before it calls [`run`] again, besides the next input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Wait {
    /// When the node wants to be called again.
    pub until: Option<Instant>,
    /// The budget ran out with work left: let others run, then come straight back.
    pub is_spent: bool,
}

/// Handles a timeout that is due, then drains events and ready peers, at most `budget` of them.
pub fn run<S: Storage>(now: Instant, node: &mut Node<S>, outlet: &mut impl Outlet, budget: u32) -> Wait {
    if node.is_quiet(now) {
        return Wait { until: node.poll_timeout(), is_spent: false };
    }
    if node.poll_timeout().is_some_and(|until| until <= now) {
        node.handle_timeout(now);
        debug_assert!(node.poll_timeout().is_none_or(|until| until > now), "a timeout was handled");
    }
    for _ in 0..budget {
        // Events first: a slow peer must not hold back the local application.
        if let Some(event) = node.poll_event() {
            outlet.event(event);
        } else if let Some(peer) = node.poll_ready() {
            outlet.ready(peer);
        } else {
            return Wait { until: node.poll_timeout(), is_spent: false };
        }
    }
    Wait { until: Some(now), is_spent: true }
}

/// Fills one frame for a peer; `None` when nothing is left for it.
///
/// The next deadline may be earlier afterwards: what was sent is repeated if it is not answered.
pub fn fill<S: Storage>(now: Instant, node: &mut Node<S>, to: NodeId, frame: &mut [u8]) -> Option<usize> {
    node.poll_transmit(now, to, frame)
}
