//! The machines of a node, side by side: each is a node of the core behind a mutex of its own ([`Shared`]), and masters
//! and holds its part of the resources ([`Division`]). What concerns the node as a whole is put together here.
//!
//! No two mutexes are ever held at once: machines are looked at one after the other, so what is seen of the node may never
//! have been so at one instant. Whoever waits for several machines is woken by each of them, and looks again at all.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::sync::Arc as StdArc;

use lockmaster_core::{Division, NodeId, SpaceId};

use crate::lifecycle::Lifecycle;
use crate::runtime::Runtime;
use crate::shared::{Shared, State};
use crate::stale::Stale;
use crate::sync::Arc;
use crate::waiters::WaiterId;

pub(crate) struct Machines<R: Runtime> {
    each: Box<[Arc<Shared<R>>]>,
    pub(crate) division: StdArc<Division>,
}

impl<R: Runtime> Machines<R> {
    /// At least one.
    pub(crate) fn new(each: Vec<Arc<Shared<R>>>, division: StdArc<Division>) -> Self {
        assert_eq!(each.len(), division.machines(), "there is a machine for each part");
        for (machine, shared) in (0..).zip(&each) {
            shared.lock().take_part(machine, each.len() as u64);
        }
        Self { each: each.into_boxed_slice(), division }
    }

    pub(crate) const fn each(&self) -> &[Arc<Shared<R>>] {
        &self.each
    }

    /// The first, which sees to what is done once for the node.
    pub(crate) fn lead(&self) -> &Arc<Shared<R>> {
        &self.each[0]
    }

    pub(crate) fn runtime(&self) -> &Arc<R> {
        &self.lead().runtime
    }

    /// Number of the node.
    pub(crate) fn id(&self) -> NodeId {
        self.lead().id()
    }

    /// The machine of a resource.
    pub(crate) fn of(&self, space: SpaceId, name: &[u8]) -> &Arc<Shared<R>> {
        &self.each[self.division.machine_of(space, name)]
    }

    /// Looks at each machine, one after the other.
    pub(crate) fn look<T>(&self, look: impl Fn(&mut State<R::Writer>) -> T) -> impl Iterator<Item = T> {
        self.each.iter().map(move |machine| look(&mut machine.lock()))
    }

    /// Shuts the node down.
    pub(crate) fn close(&self) {
        self.each.iter().for_each(|machine| machine.close());
    }

    /// Has a machine been shut down? The others follow it.
    pub(crate) fn is_closed(&self) -> bool {
        self.look(|state| state.lifecycle.is_closed()).any(|is_closed| is_closed)
    }

    /// Resolves once `judge` finds something in what was seen of each machine. They are looked at again when the life, the
    /// view or the standing of one of them changes.
    pub(crate) const fn when<S, T, L, J>(&self, look: L, judge: J) -> When<'_, R, L, J>
    where
        L: Fn(&mut State<R::Writer>) -> S,
        J: FnMut(&[S]) -> Option<T>,
    {
        When { machines: self, look, judge, watch: Watch::new() }
    }

    /// Peers that every machine is connected to.
    pub(crate) fn reachable(&self) -> Vec<NodeId> {
        let each: Vec<Vec<NodeId>> = self.look(|state| state.links.connected().collect()).collect();
        reachable(each.iter().map(|connected| &**connected))
    }

    /// Resolves once every machine has come to its end.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> {
        self.when(|state| state.lifecycle.is_ended(), |ended| (!ended.contains(&false)).then_some(()))
    }

    /// Resolves once every machine can grant, or the node is shut down.
    pub(crate) fn opened(&self) -> impl Future<Output = ()> {
        let look = |state: &mut State<R::Writer>| (state.lifecycle.is_open(), state.lifecycle.is_closed());
        self.when(look, |seen| {
            let is_there =
                seen.iter().all(|(is_open, _)| *is_open) || seen.iter().any(|(_, is_closed)| *is_closed);
            is_there.then_some(())
        })
    }

    /// Does the work until it is done, or until `judge` finds something in what was seen of each machine.
    pub(crate) async fn unless<S>(
        &self,
        look: impl Fn(&mut State<R::Writer>) -> S,
        judge: impl FnMut(&[S]) -> Option<()>,
        work: impl Future<Output = ()>,
    ) {
        let mut work = pin!(work);
        let mut looking = pin!(self.when(look, judge));
        core::future::poll_fn(|context| {
            if looking.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            work.as_mut().poll(context)
        })
        .await;
    }

    /// The task that shuts the node down when one of its machines was: after a panic, that is.
    pub(crate) async fn fall_together(machines: StdArc<Self>, machine: usize) {
        machines.each[machine].until(Lifecycle::is_closed).await;
        machines.close();
    }
}

/// Peers that every machine is connected to, of those that each is.
pub(crate) fn reachable<'a>(each: impl Iterator<Item = &'a [NodeId]>) -> Vec<NodeId> {
    let mut each = each.map(<[NodeId]>::to_vec);
    let mut peers = each.next().unwrap_or_default();
    each.for_each(|connected| peers.retain(|peer| connected.contains(peer)));
    peers
}

/// A task's places among those who wait for a change, one at each machine.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Empty until it first waits.
    places: Vec<Option<WaiterId>>,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    /// What `look` sees of each machine. Who changes anything of it from then on wakes the task.
    pub(crate) fn look<R: Runtime, S>(
        &mut self,
        machines: &Machines<R>,
        context: &Context<'_>,
        look: impl Fn(&mut State<R::Writer>) -> S,
    ) -> Vec<S> {
        self.places.resize(machines.each.len(), None);
        let mut seen = Vec::with_capacity(machines.each.len());
        for (machine, place) in machines.each.iter().zip(&mut self.places) {
            let mut stale = Stale::new();
            let mut state = machine.lock();
            state.lifecycle.waiters.wait(place, context.waker(), &mut stale);
            seen.push(look(&mut state));
        }
        seen
    }

    /// Waits no more.
    pub(crate) fn end<R: Runtime>(&mut self, machines: &Machines<R>) {
        for (machine, place) in machines.each.iter().zip(self.places.drain(..)) {
            let Some(place) = place else { continue };
            let mut stale = Stale::new();
            machine.lock().lifecycle.waiters.remove(place, &mut stale);
        }
    }
}

/// Resolves once a look at all machines finds something.
pub(crate) struct When<'a, R: Runtime, L, J> {
    machines: &'a Machines<R>,
    look: L,
    judge: J,
    watch: Watch,
}

// Nothing in it is ever pinned.
impl<R: Runtime, L, J> Unpin for When<'_, R, L, J> {}

impl<R, S, T, L, J> Future for When<'_, R, L, J>
where
    R: Runtime,
    L: Fn(&mut State<R::Writer>) -> S,
    J: FnMut(&[S]) -> Option<T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let seen = this.watch.look(this.machines, context, &this.look);
        let Some(found) = (this.judge)(&seen) else { return Poll::Pending };
        this.watch.end(this.machines);
        Poll::Ready(found)
    }
}

impl<R: Runtime, L, J> Drop for When<'_, R, L, J> {
    fn drop(&mut self) {
        self.watch.end(self.machines);
    }
}
