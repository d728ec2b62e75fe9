//! The one drain loop: every adapter and simulator moves a node through it.

use crate::event::Event;
use crate::id::NodeId;
use crate::machine::Machine;
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

/// What one [`run`] may do before it lets others run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Events, ready peers, and things that earlier calls left to be looked at once more.
    pub outputs: u32,
    /// Records of long work: a purge, a rebuild, a slot that has moved, the end of a life. With none, it is left to
    /// another run, which has to come.
    pub records: u32,
}

impl Budget {
    /// As much as there is.
    pub const ALL: Self = Self { outputs: u32::MAX, records: u32::MAX };

    /// Takes one output from the budget. What was found at the price of the last one is free.
    pub(crate) const fn take_output(&mut self) {
        self.outputs = self.outputs.saturating_sub(1);
    }

    const fn is_spent(self) -> bool {
        self.outputs == 0 || self.records == 0
    }
}

/// Handles a timeout that is due, then does what earlier calls left and drains events and ready peers, within the budget.
pub fn run<S: Storage>(now: Instant, node: &mut Node<S>, outlet: &mut impl Outlet, budget: Budget) -> Wait {
    if node.is_quiet(now) {
        return Wait { until: node.poll_timeout(), is_spent: false };
    }
    run_machine(now, &mut node.machine(), outlet, budget)
}

/// The machine is put together once for all that there is to do.
fn run_machine(now: Instant, machine: &mut Machine<'_>, outlet: &mut impl Outlet, budget: Budget) -> Wait {
    if machine.s.poll_timeout().is_some_and(|until| until <= now) {
        machine.handle_timeout(now);
        debug_assert!(machine.s.poll_timeout().is_none_or(|until| until > now), "a timeout was handled");
    }
    let mut left = budget;
    // Events first: a slow peer must not hold back the local application. Naming who is ready makes no new ones.
    while left.outputs > 0
        && let Some(event) = machine.poll_event(&mut left)
    {
        outlet.event(event);
        left.take_output();
    }
    while left.outputs > 0
        && let Some(peer) = machine.poll_ready()
    {
        outlet.ready(peer);
        left.take_output();
    }
    let is_spent = left.is_spent() && !machine.s.is_quiet(now);
    let until = if is_spent { Some(now) } else { machine.s.poll_timeout() };
    Wait { until, is_spent }
}

/// Fills one frame for a peer; `None` when nothing is left for it.
///
/// The next deadline may be earlier afterwards: what was sent is repeated if it is not answered.
pub fn fill<S: Storage>(now: Instant, node: &mut Node<S>, to: NodeId, frame: &mut [u8]) -> Option<usize> {
    node.poll_transmit(now, to, frame)
}
