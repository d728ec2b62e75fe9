//! A node leaves its cluster.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use lockmaster_core::Standing;

use crate::errands::Errands;
use crate::machines::Machines;
use crate::map::MasterMap;
use crate::node::Node;
use crate::runtime::{Runtime, Writer};
use crate::shared::{Shared, State};
use crate::sync::Arc;

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
    /// Did it leave no slots and no guards?
    #[must_use]
    pub const fn is_clean(self) -> bool {
        self.slots == 0 && self.guards == 0
    }
}

/// What is still to be done. Of several machines the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Nothing,
    /// The others are to know that nothing is left.
    Part,
    Wait,
    /// More can be given up at once.
    More,
}

pub(crate) async fn leave<R: Runtime>(node: &Node<R>, within: Duration) -> Left {
    let machines = node.machines();
    let runtime = machines.runtime();
    let mut asleep = pin!(runtime.sleep_until(runtime.now().after(within)));
    {
        let mut draining = pin!(leave_drain(machines));
        poll_fn(|context| match draining.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => asleep.as_mut().poll(context),
        })
        .await;
    }
    let left = machines.look(State::left_behind);
    let left =
        left.reduce(|one, other| Left { slots: one.slots + other.slots, guards: one.guards + other.guards });
    machines.close();
    machines.ended().await;
    left.expect("a node has a machine")
}

/// Gives away what the node masters and takes nothing any more. Returns whether it is all gone.
pub(crate) async fn drain<R: Runtime>(node: &Node<R>) -> bool {
    let machines = node.machines();
    loop {
        let steps = leaving_turns(machines, |state, _| state.drain_step());
        if steps.iter().any(|step| matches!(step, None | Some(Some(false)))) {
            return false;
        }
        if steps.iter().all(|step| *step == Some(Some(true))) {
            return true;
        }
        machines.runtime().sleep_until(machines.runtime().now().after(LOOK_EVERY)).await;
    }
}

/// Gives up everything that can be given up, and waits for the rest.
async fn leave_drain<R: Runtime>(machines: &Machines<R>) {
    let runtime = machines.runtime();
    loop {
        let steps = leaving_turns(machines, |state, _| state.leave_step());
        match steps.into_iter().flatten().max() {
            None | Some(Step::Nothing) => return,
            Some(Step::More) => {
                runtime.yield_now().await;
                continue;
            }
            Some(Step::Part) => {
                let parted = leaving_turns(machines, State::part_step);
                if parted.into_iter().flatten().all(|has_parted| has_parted) {
                    return;
                }
            }
            Some(Step::Wait) => {}
        }
        let look_at = runtime.now().after(LOOK_EVERY);
        let seen: Vec<_> = machines.look(State::leave_sight).collect();
        let is_news = |now: &[Option<_>]| (now != seen).then_some(());
        machines.unless(State::leave_sight, is_news, runtime.sleep_until(look_at)).await;
    }
}

/// One step of each machine of a node that is about to leave, which everybody is to know; nothing of those that are shut
/// down.
fn leaving_turns<R: Runtime, T>(
    machines: &Machines<R>,
    step: impl Fn(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
) -> Vec<Option<T>> {
    let now = machines.runtime().now();
    let turn = |machine: &Arc<Shared<R>>| {
        machine.turn(|state, errands| {
            let now = state.advance(now);
            state.members.begin_leaving(now);
            state.take_back_all();
            state.lifecycle.waiters.wake(|waker| errands.wake(waker));
            step(state, errands)
        })
    };
    machines.each().iter().map(turn).collect()
}

impl<W: Writer> State<W> {
    /// Whether the node is drained, once that is known.
    fn drain_step(&mut self) -> Option<bool> {
        let has_nobody = self.node.config().is_static() || self.is_alone();
        if self.node.is_drained() && (has_nobody || self.members.is_known_to_leave()) {
            return Some(true);
        }
        let is_member = matches!(self.node.standing(self.now()), Standing::Member | Standing::Suspect);
        if !is_member || has_nobody {
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
        let is_drained = self.members.is_known_to_leave() && self.node.is_drained();
        let is_drained = is_drained || self.node.config().is_static() || self.is_alone();
        match (has_more, is_drained && self.guards == 0) {
            (true, _) => Step::More,
            (false, true) => Step::Part,
            (false, false) => Step::Wait,
        }
    }

    /// Do the others know that the node has nothing any more? If not, a lock whose release was lost is taken for that of a
    /// writer that has died. Who is neither connected nor stays is not waited for.
    fn part_step(&mut self, errands: &mut Errands<W>) -> bool {
        if self.guards > 0 {
            // Somebody was granted something since that was looked at.
            return false;
        }
        let now = self.now();
        let has_nobody = self.node.config().is_static() || self.is_alone();
        let Self { node, links, members, registry, .. } = self;
        let Some(mut unheard) = node.part(now) else {
            // What somebody merely waits for is as good as refused.
            for lock in registry.refuse_all(|waker| errands.wake(waker)) {
                // It may have ended already.
                let _ = node.abandon(lock);
            }
            return has_nobody;
        };
        !unheard.any(|peer| {
            links.connected().any(|other| other == peer) || members.staying_peers().any(|other| other == peer)
        })
    }

    /// What a step depends on, as far as somebody tells; nothing once the machine is shut down.
    fn leave_sight(&mut self) -> Option<(bool, u64)> {
        (!self.lifecycle.is_closed()).then(|| (self.guards == 0, self.members.changes()))
    }

    /// What is left of a node whose time to leave is over.
    fn left_behind(&mut self) -> Left {
        let node = self.node.config().node;
        let slots = if self.is_alone() { 0 } else { MasterMap::of(&mut self.node).slots_of(node) };
        Left { slots, guards: self.guards }
    }

    /// Is there nobody to whom anything could be given? Who leaves too takes nothing: if all of a cluster leave at once,
    /// none waits for the others.
    fn is_alone(&self) -> bool {
        self.members.staying_peers().next().is_none()
    }
}
