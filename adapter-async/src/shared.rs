//! The node behind its mutex, and the one way in: a turn.
//!
//! A turn locks the node, does what the caller wants, drains the node, lets go of it, and then runs the
//! errands: it writes frames and wakes tasks. No waker runs and nothing is written under the mutex.

use core::future::{Future, poll_fn};
use core::mem;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::PoisonError;

use lockmaster_core::drive::{self, Outlet};
use lockmaster_core::{Event, HeapMemory, Instant, LockId, Node, NodeId, OwnerId, ValueState};

use crate::errands::Errands;
use crate::gate::Gate;
use crate::lifecycle::Lifecycle;
use crate::links::{Claim, Detached, Links};
use crate::outgoing::Written;
use crate::registry::{Denied, Registry};
use crate::runtime::{Runtime, Writer};
use crate::stale::Stale;
use crate::stats::LinkStats;
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::timer::{Sleep, Timer};
use crate::trace;
use crate::waiters::WaiterId;

/// Events and peers that a call sees to before it leaves the rest to the timer task.
pub(crate) const CALL_BUDGET: u32 = 16;
/// The same for a task of the node.
pub(crate) const TASK_BUDGET: u32 = 256;
/// Frames that a call writes on one connection before it leaves the rest to the writer task.
const CALL_FRAMES: u32 = 4;

pub(crate) struct Shared<R: Runtime> {
    pub(crate) runtime: R,
    /// What every connection passes first.
    pub(crate) gate: Gate,
    state: Mutex<State<R::Writer>>,
}

/// Everything behind the mutex.
pub(crate) struct State<W> {
    pub(crate) node: Node<HeapMemory>,
    pub(crate) registry: Registry,
    pub(crate) links: Links<W>,
    pub(crate) timer: Timer,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) stats: LinkStats,
    /// Accepted connections that have not said hello yet.
    pub(crate) guests: u32,
    /// The latest instant that anybody came with.
    now: Instant,
    owners: u64,
}

/// Shuts the node down unless it is disarmed: a panic under the mutex may have left the tables in disorder.
struct Alarm<'a, R: Runtime>(&'a Shared<R>);

impl<R: Runtime> Shared<R> {
    pub(crate) fn new(runtime: R, node: Node<HeapMemory>, locks: u32) -> Self {
        let id = node.config().node;
        let links = Links::new(node.config().members.iter().copied().filter(|member| *member != id));
        let state = State {
            node,
            registry: Registry::new(locks),
            links,
            timer: Timer::new(),
            lifecycle: Lifecycle::default(),
            stats: LinkStats::default(),
            guests: 0,
            now: runtime.now(),
            owners: 0,
        };
        Self { runtime, gate: Gate::default(), state: Mutex::new(state) }
    }

    /// A look at the state, or a change that the node has nothing to say about.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R::Writer>> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = PoisonError::into_inner(poisoned);
            // Whoever panicked wakes the others in a moment.
            state.lifecycle.condemn();
            state
        })
    }

    /// One turn of an application's call; nothing if the node is shut down.
    pub(crate) fn turn<T>(
        &self,
        act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
    ) -> Option<T> {
        let mut errands = Errands::new();
        let result = self.turn_with(&mut errands, CALL_BUDGET, act);
        errands.run(self);
        result
    }

    /// One turn whose errands the caller runs; nothing if the node is shut down.
    pub(crate) fn turn_with<T>(
        &self,
        errands: &mut Errands<R::Writer>,
        budget: u32,
        act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
    ) -> Option<T> {
        let alarm = Alarm(self);
        let result = {
            let mut state = self.lock();
            if state.lifecycle.is_closed() {
                None
            } else {
                let result = act(&mut state, errands);
                state.drain(&self.runtime, errands, budget);
                Some(result)
            }
        };
        mem::forget(alarm);
        result
    }

    /// Writes a claimed frame, and the next ones; what the socket does not take is left to the writer task.
    pub(crate) fn write(&self, mut claim: Claim<R::Writer>) {
        for _ in 0..CALL_FRAMES {
            match claim.outgoing.write(&*claim.writer) {
                Written::All => {}
                Written::Part => break,
                Written::Broken => return claim.writer.close(),
            }
            match self.refill(claim) {
                Some(more) => claim = more,
                None => return,
            }
        }
        let left = self.lock().links.leave(claim);
        if let Ok(Some(task)) = left {
            task.wake();
        }
    }

    /// Makes the next frame of a claim; if there is none, the claim ends.
    pub(crate) fn refill(&self, mut claim: Claim<R::Writer>) -> Option<Claim<R::Writer>> {
        let now = self.runtime.now();
        let alarm = Alarm(self);
        let (claim, timer) = {
            let mut state = self.lock();
            if state.lifecycle.is_closed() || !state.links.is_current(claim.link) {
                (None, None)
            } else if state.fill(now, &mut claim) {
                (Some(claim), state.set_timer())
            } else {
                state.links.settle(claim);
                (None, None)
            }
        };
        mem::forget(alarm);
        timer.into_iter().for_each(Waker::wake);
        claim
    }

    /// Shuts the node down: whoever waits is woken and finds it closed, connections end, tasks end.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        let (detached, is_news): (Vec<Detached<_>>, bool) = {
            let mut state = self.lock();
            let is_news = state.lifecycle.close(|waker| wakers.push(waker));
            state.registry.close(|waker| wakers.push(waker));
            wakers.extend(state.timer.close());
            (state.links.close().collect(), is_news)
        };
        detached.into_iter().for_each(Detached::close);
        wakers.into_iter().for_each(Waker::wake);
        if is_news {
            trace::closed(self.id());
        }
    }

    /// Number of this node.
    pub(crate) fn id(&self) -> NodeId {
        self.lock().node.config().node
    }

    /// Runs a task that the node's end waits for.
    pub(crate) fn spawn(shared: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        shared.lock().lifecycle.begin_task();
        let ticket = Ticket(Arc::clone(shared));
        shared.runtime.spawn(async move {
            let _ticket = ticket;
            task.await;
        });
    }

    /// Resolves once the condition on the node's life holds.
    pub(crate) fn until(&self, is_there: fn(&Lifecycle) -> bool) -> Until<'_, R> {
        Until { shared: self, is_there, id: None }
    }

    /// The work's output, or nothing if the node is shut down before.
    pub(crate) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut closed = pin!(self.until(Lifecycle::is_closed));
        poll_fn(|context| {
            if closed.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// The node's task for deadlines, and for what is left when a budget ran out.
    pub(crate) async fn keep_time(shared: Arc<Self>) {
        let mut errands = Errands::new();
        loop {
            let now = shared.runtime.now();
            let turn = shared.turn_with(&mut errands, TASK_BUDGET, |state, _| {
                state.advance(now);
            });
            errands.run(&shared);
            if turn.is_none() {
                return;
            }
            let sleep = shared.lock().timer.sleep();
            match sleep {
                Sleep::Yield => yield_once().await,
                Sleep::Until(until) => shared.keep_time_until(until).await,
            }
        }
    }

    async fn keep_time_until(&self, until: Instant) {
        let mut sleep = pin!(self.runtime.sleep_until(until));
        poll_fn(|context| {
            let mut stale = Stale::new();
            {
                let mut state = self.lock();
                let State { lifecycle, timer, .. } = &mut *state;
                if lifecycle.is_closed() || timer.poll(until, context.waker(), &mut stale).is_ready() {
                    return Poll::Ready(());
                }
            }
            if until == Instant::NEVER { Poll::Pending } else { sleep.as_mut().poll(context) }
        })
        .await;
    }
}

impl<W: Writer> State<W> {
    /// It is at least this late. Returns the time to give to the node.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// An owner that nobody else is.
    pub(crate) const fn fresh_owner(&mut self) -> OwnerId {
        self.owners += 1;
        // Owners that the application numbers itself count from below.
        OwnerId(u64::MAX - self.owners)
    }

    /// The value block that a grant gives its owner.
    pub(crate) fn value(&mut self, lock: LockId) -> ValueState {
        self.node.value(lock).unwrap_or_default()
    }

    /// Takes from the node what it has to say, within the budget.
    pub(crate) fn drain<R: Runtime<Writer = W>>(
        &mut self,
        runtime: &R,
        errands: &mut Errands<W>,
        budget: u32,
    ) {
        let claimed = errands.claims().len();
        let mut drain = Drain {
            registry: &mut self.registry,
            links: &mut self.links,
            errands,
            node: self.node.config().node,
        };
        let wait = drive::run(self.now, &mut self.node, &mut drain, budget);
        if errands.claims().len() > claimed {
            // What is sent arms timers, and a release came without the time.
            self.advance(runtime.now());
            self.drain_fill(errands, claimed);
        }
        self.set_timer().into_iter().for_each(|task| errands.wake(task));
        if wait.is_spent {
            self.timer.spend().into_iter().for_each(|task| errands.wake(task));
        }
        if self.node.is_open() && self.lifecycle.open(|waker| errands.wake(waker)) {
            trace::opened(self.node.config().node);
        }
    }

    /// Makes a frame for each claim but the first ones, which have theirs.
    fn drain_fill(&mut self, errands: &mut Errands<W>, filled: usize) {
        let claims = errands.claims();
        for at in (filled..claims.len()).rev() {
            if !self.fill(self.now, &mut claims[at]) {
                self.links.settle(claims.swap_remove(at));
            }
        }
    }

    /// Makes the next frame for a peer; tells whether there is one.
    fn fill(&mut self, now: Instant, claim: &mut Claim<W>) -> bool {
        let now = self.advance(now);
        claim.outgoing.fill(|frame| drive::fill(now, &mut self.node, claim.link.peer, frame))
    }

    /// Tells the timer of the node's next deadline.
    #[must_use]
    fn set_timer(&mut self) -> Option<Waker> {
        self.timer.set(self.node.poll_timeout())
    }
}

impl<W: Writer> Detached<W> {
    /// Ends the connection and its writer task.
    pub(crate) fn close(self) {
        self.writer.close();
        self.task.into_iter().for_each(Waker::wake);
    }
}

/// Where the node's outputs go.
struct Drain<'a, W> {
    registry: &'a mut Registry,
    links: &'a mut Links<W>,
    errands: &'a mut Errands<W>,
    node: NodeId,
}

impl<W: Writer> Outlet for Drain<'_, W> {
    fn event(&mut self, event: Event) {
        let waker = match event {
            Event::Granted { lock, owner: _, grant } => self.registry.complete(lock, Ok(grant)),
            Event::Denied { lock, owner, reason, held } => {
                trace::denied(self.node, owner, reason);
                self.registry.complete(lock, Err(Denied { reason, held }))
            }
            Event::Demanded { lock, owner: _, mode } => {
                return self.registry.demand(lock, mode, |waker| self.errands.wake(waker));
            }
            Event::Transfer(progress) => {
                trace::transfer(self.node, &progress);
                if !progress.stage.is_end() {
                    return;
                }
                self.registry.transfers.complete(progress)
            }
        };
        waker.into_iter().for_each(|waker| self.errands.wake(waker));
    }

    fn ready(&mut self, peer: NodeId) {
        if self.errands.is_deferred() {
            return self.links.defer(peer).into_iter().for_each(|task| self.errands.wake(task));
        }
        let Some(claim) = self.links.claim(peer) else { return };
        if let Err(claim) = self.errands.write(claim) {
            let left = self.links.leave(claim);
            let task = left.unwrap_or_else(|_| unreachable!("what was claimed now has its connection"));
            task.into_iter().for_each(|task| self.errands.wake(task));
        }
    }
}

impl<R: Runtime> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        self.0.close();
        trace::broken(self.0.id());
    }
}

/// Counts a task of the node until it is dropped.
struct Ticket<R: Runtime>(Arc<Shared<R>>);

impl<R: Runtime> Drop for Ticket<R> {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.0.lock().lifecycle.end_task(|waker| wakers.push(waker));
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Resolves once a condition on the node's life holds.
pub(crate) struct Until<'a, R: Runtime> {
    shared: &'a Shared<R>,
    is_there: fn(&Lifecycle) -> bool,
    id: Option<WaiterId>,
}

impl<R: Runtime> Future for Until<'_, R> {
    type Output = ();

    fn poll(mut self: core::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared;
        let mut stale = Stale::new();
        let mut state = shared.lock();
        if (self.is_there)(&state.lifecycle) {
            if let Some(id) = self.id.take() {
                state.lifecycle.waiters.remove(id, &mut stale);
            }
            return Poll::Ready(());
        }
        state.lifecycle.waiters.wait(&mut self.id, context.waker(), &mut stale);
        Poll::Pending
    }
}

impl<R: Runtime> Drop for Until<'_, R> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut stale = Stale::new();
        self.shared.lock().lifecycle.waiters.remove(id, &mut stale);
    }
}

/// Lets other tasks run first.
async fn yield_once() {
    let mut is_first = true;
    poll_fn(|context| {
        if !mem::take(&mut is_first) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod contract;
#[cfg(lockmaster_shuttle)]
#[cfg(test)]
mod crowds;
#[cfg(lockmaster_loom)]
#[cfg(test)]
mod models;
#[cfg(test)]
#[cfg_attr(lockmaster_shuttle, expect(dead_code, reason = "crowds need less of it than the other tests"))]
mod still;
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
