//! A node leaves its cluster.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use lockmaster_core::Standing;

use crate::lifecycle::Lifecycle;
use crate::map::MasterMap;
use crate::node::Node;
use crate::runtime::{Runtime, Writer};
use crate::shared::{Shared, State};

/// How often a leaving node looks at what is left, if nothing tells it to.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a node left behind when it left its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Left {
    /// Slots that it still mastered: the others have to find out who holds what in them.
    pub slots: u32,
    /// Guards that were not dropped in time and are lost.
    pub guards: u32,
}

impl Left {
    /// Did it leave nothing?
    #[must_use]
    pub const fn is_clean(self) -> bool {
        self.slots == 0 && self.guards == 0
    }
}

/// What is still to be done.
enum Step {
    Nothing,
    /// More can be given up at once.
    More,
    Wait,
}

pub(crate) async fn leave<R: Runtime>(node: &Node<R>, within: Duration) -> Left {
    let shared = &node.life.shared;
    let until = shared.runtime.now().after(within);
    let mut asleep = pin!(shared.runtime.sleep_until(until));
    {
        let mut draining = pin!(leave_drain(shared));
        poll_fn(|context| match draining.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => asleep.as_mut().poll(context),
        })
        .await;
    }
    let left = {
        let mut state = shared.lock();
        let node = state.node.config().node;
        let slots = if state.is_alone() { 0 } else { MasterMap::of(&mut state.node).slots_of(node) };
        Left { slots, guards: state.guards }
    };
    shared.close();
    shared.until(Lifecycle::is_ended).await;
    left
}

/// Gives away what the node masters and takes nothing any more. Returns whether it is all gone.
pub(crate) async fn drain<R: Runtime>(node: &Node<R>) -> bool {
    let shared = &node.life.shared;
    loop {
        match leaving_turn(shared, State::drain_step) {
            None => return false,
            Some(Some(is_drained)) => return is_drained,
            Some(None) => shared.runtime.sleep_until(shared.runtime.now().after(LOOK_EVERY)).await,
        }
    }
}

/// Gives up everything that can be given up, and waits for the rest.
async fn leave_drain<R: Runtime>(shared: &Shared<R>) {
    loop {
        match leaving_turn(shared, State::leave_step) {
            None | Some(Step::Nothing) => return,
            Some(Step::More) => shared.runtime.yield_now().await,
            Some(Step::Wait) => {
                let look_at = shared.runtime.now().after(LOOK_EVERY);
                let seen = shared.lock().leave_sight();
                let is_news = |state: &mut State<R::Writer>| (state.leave_sight() != seen).then_some(());
                let _: Option<()> = shared.unless(is_news, shared.runtime.sleep_until(look_at)).await;
            }
        }
    }
}

/// One step of a node that is about to leave, which everybody is to know; nothing if it is shut down.
fn leaving_turn<R: Runtime, T>(
    shared: &Shared<R>,
    step: impl FnOnce(&mut State<R::Writer>) -> T,
) -> Option<T> {
    let now = shared.runtime.now();
    shared.turn(|state, errands| {
        let now = state.advance(now);
        state.members.begin_leaving(now);
        state.lifecycle.waiters.wake(|waker| errands.wake(waker));
        step(state)
    })
}

impl<W: Writer> State<W> {
    /// Whether the node is drained, once that is known.
    fn drain_step(&mut self) -> Option<bool> {
        if self.node.is_drained() {
            return Some(true);
        }
        let is_member = matches!(self.node.standing(self.now()), Standing::Member | Standing::Suspect);
        if !is_member || self.node.config().is_static() || self.is_alone() {
            return Some(false);
        }
        self.balance.call_for();
        None
    }

    fn leave_step(&mut self) -> Step {
        let now = self.now();
        if matches!(self.node.standing(now), Standing::Outside | Standing::Fenced) {
            return Step::Nothing;
        }
        let has_more = !self.node.release_retained(now);
        self.balance.call_for();
        let is_drained = self.node.is_drained() || self.node.config().is_static() || self.is_alone();
        match (has_more, is_drained && self.guards == 0) {
            (true, _) => Step::More,
            (false, true) => Step::Nothing,
            (false, false) => Step::Wait,
        }
    }

    /// What a step depends on, as far as somebody tells.
    const fn leave_sight(&self) -> (bool, u64) {
        (self.guards == 0, self.members.changes())
    }

    /// Is there nobody to whom anything could be given? Who leaves too takes nothing: if all of a cluster leave at once,
    /// none waits for the others.
    fn is_alone(&self) -> bool {
        !self.members.has_staying_peer()
    }
}
