//! The node behind its mutex, and the one way in: a turn.
//!
//! A turn locks the node, does what the caller wants, drains the node, lets go of it, and then runs the
//! errands: it writes frames and wakes tasks. No waker runs and nothing is written under the mutex.

use core::future::{Future, poll_fn};
use core::mem;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc as StdArc, PoisonError};

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::{Event, HeapMemory, Instant, LockId, Node, NodeId, OwnerId, Standing, Use, ValueState};

use crate::balance::Balance;
use crate::calm::{calmly, wake_all};
use crate::errands::Errands;
use crate::gate::Gate;
use crate::lending::Lending;
use crate::lifecycle::Lifecycle;
use crate::links::{Claim, Detached, Links};
use crate::members::Members;
use crate::outgoing::Written;
use crate::registry::{Denied, Registry, Unmet};
use crate::runtime::{Runtime, Writer};
use crate::shelf::Shelf;
use crate::stale::Stale;
use crate::stats::LinkStats;
use crate::sync::{self, Arc, Mutex, MutexGuard};
use crate::timer::{Sleep, Timer};
use crate::trace::{self, Note};
use crate::waiters::WaiterId;

/// What a call sees to before it leaves the rest to the timer task: nothing of long work, so that nobody waits for it.
pub(crate) const CALL_BUDGET: Budget = Budget { outputs: 16, records: 0 };
/// The same for a task of the node that has heard something.
pub(crate) const TASK_BUDGET: Budget = Budget { outputs: 256, records: 0 };
/// The same for the timer task, and for a provider's news: with as much long work as takes some ten microseconds, under
/// the node's mutex.
pub(crate) const LONG_BUDGET: Budget = Budget { outputs: 256, records: 128 };
/// Turns of long work after which other threads and processes of this machine come first, too: half a millisecond or so.
/// Where cores are few, whoever works on would else keep its own until the system takes it away, some milliseconds later,
/// and whoever waits for an answer of another process waits for all of them.
const TURNS_OF_WORK: u32 = 4;
/// Frames that a call writes on one connection before it leaves the rest to the writer task.
const CALL_FRAMES: u32 = 4;
/// A node that is a member by a provider's word shows so often that it is alive.
const ALIVE_EVERY: Duration = Duration::from_millis(500);

// The mutex comes first, so that all that a retained lock changes is in its line of the cache: threads hand each line that
// they change from core to core. Many processors read two lines together, so no other machine is in the next one either.
#[repr(C, align(128))]
pub(crate) struct Shared<R: Runtime> {
    state: Mutex<State<R::Writer>>,
    pub(crate) runtime: Arc<R>,
    /// Retained locks that lie ready.
    pub(crate) shelf: Arc<Shelf>,
    /// What every connection passes first.
    pub(crate) gate: StdArc<Gate>,
}

/// Everything behind the mutex.
///
/// The order of the first fields is kept, so that what changes when a retained lock is taken and given back stands together:
/// counts of the adapter, and then the node, which begins with what changes in it.
#[repr(C)]
pub(crate) struct State<W> {
    /// Guards that were not dropped yet.
    pub(crate) guards: u32,
    /// Grants without a wait since anybody waited, or others could run.
    pub(crate) rested: u32,
    owners: u64,
    pub(crate) node: Node<HeapMemory>,
    /// The latest instant that anybody came with.
    now: Instant,
    pub(crate) registry: Registry,
    pub(crate) links: Links<W>,
    pub(crate) timer: Timer,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) members: Members,
    pub(crate) balance: Balance,
    pub(crate) lending: Lending,
    pub(crate) stats: LinkStats,
    /// Accepted connections that have not said hello yet.
    pub(crate) guests: u32,
    /// When the timer task last ran.
    pub(crate) alive: Instant,
    /// Which of the node's machines this is, of how many.
    part: (u64, u64),
}

/// Shuts the node down unless it is disarmed: a panic under the mutex may have left the tables in disorder.
struct Alarm<'a, R: Runtime>(&'a Shared<R>);

impl<R: Runtime> Shared<R> {
    pub(crate) fn new(
        runtime: Arc<R>,
        node: Node<HeapMemory>,
        locks: u32,
        members: Members,
        balance: Balance,
    ) -> Self {
        let mut links = Links::new();
        // Nobody is connected yet.
        let _ = links.follow(members.peers());
        let now = runtime.now();
        let lending = Lending::new(locks, node.config());
        let shelf = Arc::clone(&lending.shelf);
        let state = State {
            node,
            registry: Registry::new(locks),
            links,
            timer: Timer::new(),
            lifecycle: Lifecycle::default(),
            members,
            balance,
            lending,
            stats: LinkStats::default(),
            guests: 0,
            guards: 0,
            rested: 0,
            alive: now,
            now,
            owners: 0,
            part: (0, 1),
        };
        Self { runtime, shelf, gate: StdArc::default(), state: Mutex::new(state) }
    }

    /// A look at the state, or a change that the node has nothing to say about.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R::Writer>> {
        sync::lock(&self.state).unwrap_or_else(|poisoned| {
            let mut state = PoisonError::into_inner(poisoned);
            // Whoever panicked wakes the others in a moment.
            state.lifecycle.condemn();
            state
        })
    }

    /// One turn of an application's call; nothing if the node is shut down.
    // Inlined, for a retained lock is hardly more than this.
    #[inline]
    pub(crate) fn turn<T>(
        &self,
        act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
    ) -> Option<T> {
        let mut errands = Errands::new();
        let result = self.turn_with(&mut errands, CALL_BUDGET, act);
        errands.run(self);
        result
    }

    /// One turn of an application's call that may find that it leaves nothing to be driven: then `rest` has done all of it.
    /// If not, `act` drains the node itself, so that it sees what came of that.
    #[inline]
    pub(crate) fn turn_at_rest<T>(
        &self,
        rest: impl FnOnce(&mut State<R::Writer>) -> Option<T>,
        act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
    ) -> Option<T> {
        let alarm = Alarm(self);
        let mut state = self.lock();
        if state.lifecycle.is_closed() {
            drop(state);
            mem::forget(alarm);
            return None;
        }
        if let Some(result) = rest(&mut state) {
            drop(state);
            mem::forget(alarm);
            return Some(result);
        }
        let mut errands = Errands::new();
        let result = act(&mut state, &mut errands);
        drop(state);
        mem::forget(alarm);
        errands.run(self);
        Some(result)
    }

    /// One turn whose errands the caller runs; nothing if the node is shut down.
    #[inline]
    pub(crate) fn turn_with<T>(
        &self,
        errands: &mut Errands<R::Writer>,
        budget: Budget,
        act: impl FnOnce(&mut State<R::Writer>, &mut Errands<R::Writer>) -> T,
    ) -> Option<T> {
        let alarm = Alarm(self);
        let result = {
            let mut state = self.lock();
            if state.lifecycle.is_closed() {
                None
            } else {
                let result = act(&mut state, errands);
                let is_task = budget != CALL_BUDGET;
                if is_task && let Some(view) = state.members.take_put_off() {
                    state.install(view, errands);
                }
                state.drain(&*self.runtime, errands, budget);
                if is_task {
                    state.settle(errands);
                }
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
        self.leave(claim);
    }

    /// The writer task goes on with a claim.
    fn leave(&self, claim: Claim<R::Writer>) {
        let left = self.lock().links.leave(claim);
        wake_all(left.ok().flatten());
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
        wake_all(timer);
        claim
    }

    /// Shuts the node down: whoever waits is woken and finds it closed, connections end, tasks end.
    pub(crate) fn close(&self) {
        let mut wakers = Vec::new();
        let (detached, is_news): (Vec<Detached<_>>, bool) = {
            let mut state = self.lock();
            let is_news = state.lifecycle.close(|waker| wakers.push(waker));
            state.registry.close(|waker| wakers.push(waker));
            state.lending.close();
            wakers.extend(state.timer.close());
            (state.links.close().map(|(_, detached)| detached).collect(), is_news)
        };
        detached.into_iter().for_each(Detached::close);
        wake_all(wakers);
        if is_news {
            calmly(|| trace::closed(self.id()));
        }
    }

    /// Number of this node.
    pub(crate) fn id(&self) -> NodeId {
        self.lock().node.config().node
    }

    /// Runs a task that the node's end waits for.
    pub(crate) fn spawn(shared: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let ticket = Ticket::new(shared);
        shared.runtime.spawn(async move {
            let _ticket = ticket;
            task.await;
        });
    }

    /// Resolves once the condition on the node's life holds.
    pub(crate) fn until(&self, is_there: fn(&Lifecycle) -> bool) -> impl Future<Output = ()> {
        self.when(move |state| is_there(&state.lifecycle).then_some(()))
    }

    /// Resolves once `look` finds something. It is called again when the node's life, its view or its standing changes.
    pub(crate) const fn when<T, L: FnMut(&mut State<R::Writer>) -> Option<T>>(
        &self,
        look: L,
    ) -> When<'_, R, L> {
        When { shared: self, look, id: None }
    }

    /// The work's output, or nothing if the node is shut down before.
    pub(crate) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.unless(|state| state.lifecycle.is_closed().then_some(()), work).await
    }

    /// The work's output, or nothing if `look` finds something before.
    pub(crate) async fn unless<T>(
        &self,
        look: impl FnMut(&mut State<R::Writer>) -> Option<()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut work = pin!(work);
        let mut looking = pin!(self.when(look));
        poll_fn(|context| {
            if looking.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// The node's task for deadlines, and for what is left when a budget ran out.
    pub(crate) async fn keep_time(shared: Arc<Self>) {
        let mut errands = Errands::new();
        let mut turns = 0;
        loop {
            let now = shared.runtime.now();
            let turn = shared.turn_with(&mut errands, LONG_BUDGET, |state, _| {
                state.advance(now);
                state.alive = now;
                state.balance.tick(now);
                !state.node.config().is_static()
            });
            errands.run(&shared);
            let Some(shows_life) = turn else { return };
            let sleep = shared.lock().timer.sleep();
            turns = if sleep == Sleep::Yield { turns + 1 } else { 0 };
            if turns == TURNS_OF_WORK {
                turns = 0;
                std::thread::yield_now();
            }
            match sleep {
                Sleep::Yield => shared.runtime.yield_now().await,
                Sleep::Until(until) if shows_life => {
                    shared.keep_time_until(until.min(now.after(ALIVE_EVERY))).await;
                }
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

    /// The latest instant that anybody came with.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// This is one of several machines.
    pub(crate) const fn take_part(&mut self, machine: u64, machines: u64) {
        self.part = (machine, machines);
    }

    /// An owner that nobody else is, at none of the node's machines.
    pub(crate) const fn fresh_owner(&mut self) -> OwnerId {
        let (machine, machines) = self.part;
        self.owners += 1;
        // Owners that the application numbers itself count from below.
        OwnerId(u64::MAX - (self.owners * machines + machine))
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
        budget: Budget,
    ) {
        // Before events are polled: it may end the node's life, and that is to be told.
        let standing = self.node.standing(self.now);
        if standing == Standing::Fenced {
            self.take_back_all();
        }
        self.lending.shelf.set_until(self.node.certain_until());
        self.take_back_called();
        if let Some(most) = self.balance.due(standing) {
            self.node.balance(self.now, most);
        }
        let is_spent = !self.is_seen_to(errands) && self.drain_run(runtime, errands, budget);
        self.set_timer().into_iter().for_each(|task| errands.wake(task));
        self.drain_members(standing, errands, is_spent);
        if is_spent || self.balance.is_due() {
            self.timer.spend().into_iter().for_each(|task| errands.wake(task));
        }
    }

    /// Is nothing to be told but to peers that somebody asks for frames already? Then the node need not be driven.
    fn is_seen_to(&self, errands: &Errands<W>) -> bool {
        let is_seen_to = |peer| self.links.is_seen_to(peer, errands.is_deferred());
        self.node.only_ready(self.now).is_some_and(|mut peers| peers.all(is_seen_to))
    }

    /// Drives the node; says whether the budget ran out with work left.
    fn drain_run<R: Runtime<Writer = W>>(
        &mut self,
        runtime: &R,
        errands: &mut Errands<W>,
        budget: Budget,
    ) -> bool {
        let claimed = errands.claims().len();
        let mut is_spent = self.drain_outputs(errands, budget);
        // What somebody waits for may make no room, or not enough.
        if self.take_back_called() | self.take_back_for_room() {
            is_spent = self.drain_outputs(errands, budget);
        }
        if errands.claims().len() > claimed {
            // What is sent arms timers, and a release came without the time.
            self.advance(runtime.now());
            self.drain_fill(errands, claimed);
        }
        is_spent || self.lending.is_called()
    }

    fn drain_outputs(&mut self, errands: &mut Errands<W>, budget: Budget) -> bool {
        let mut drain = Drain {
            registry: &mut self.registry,
            links: &mut self.links,
            balance: &mut self.balance,
            lending: &mut self.lending,
            guards: &mut self.guards,
            errands,
            node: self.node.config().node,
            machine: self.part.0,
        };
        drive::run(self.now, &mut self.node, &mut drain, budget).is_spent
    }

    /// Looks at what the node is in its cluster, and tells who waits for it.
    fn drain_members(&mut self, standing: Standing, errands: &mut Errands<W>, is_spent: bool) {
        let node = self.node.config().node;
        let mut is_news = self.members.stand(standing);
        if is_news {
            errands.notes.add(node, Note::Stands(standing));
            self.balance.call_for();
        }
        if standing == Standing::Fenced {
            self.hang_up_all(errands);
            is_news |= !is_spent && self.members.mourn();
        }
        if self.node.config().is_static() && self.node.is_open() {
            self.open(errands);
        }
        if is_news {
            self.lifecycle.waiters.wake(|waker| errands.wake(waker));
        }
    }

    /// Looks whether the map of the last view is agreed. That is a walk over all slots, so only tasks do it.
    fn settle(&mut self, errands: &mut Errands<W>) {
        if !self.members.is_settling() || !self.node.is_settled() {
            return;
        }
        self.members.settle();
        self.open(errands);
        self.lifecycle.waiters.wake(|waker| errands.wake(waker));
        self.balance.call_for();
        if self.balance.is_due() {
            self.timer.spend().into_iter().for_each(|task| errands.wake(task));
        }
    }

    /// The node can grant.
    fn open(&mut self, errands: &mut Errands<W>) {
        if self.lifecycle.open(|waker| errands.wake(waker)) {
            errands.notes.add(self.node.config().node, Note::Opened);
        }
    }

    /// Every connection ends: this life is over.
    fn hang_up_all(&mut self, errands: &mut Errands<W>) {
        for (peer, detached) in self.links.close() {
            self.node.handle_disconnect(self.now, peer);
            errands.hang_up(detached);
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
        wake_all(self.task);
    }
}

/// Where the node's outputs go.
struct Drain<'a, W> {
    registry: &'a mut Registry,
    links: &'a mut Links<W>,
    balance: &'a mut Balance,
    lending: &'a mut Lending,
    guards: &'a mut u32,
    errands: &'a mut Errands<W>,
    node: NodeId,
    machine: u64,
}

impl<W: Writer> Outlet for Drain<'_, W> {
    fn event(&mut self, event: Event) {
        let waker = match event {
            Event::Granted { lock, owner: _, grant } => self.registry.complete(lock, Ok(grant)),
            Event::Denied { lock, owner, reason, held } => {
                self.errands.notes.add(self.node, Note::Denied(owner, reason));
                self.registry.complete(lock, Err(Unmet::Denied(Denied { reason, held })))
            }
            Event::Demanded { lock, owner: _, mode } => {
                if self.lending.call(lock) {
                    return;
                }
                return self.registry.demand(lock, mode, |waker| self.errands.wake(waker));
            }
            Event::Lost { lock, owner } => {
                if let Some(Use::Held(_)) = self.lending.withdraw(lock) {
                    *self.guards += 1;
                }
                self.errands.notes.add(self.node, Note::Lost(owner));
                return self.registry.lose(lock, |waker| self.errands.wake(waker));
            }
            Event::Transfer(progress) => {
                self.errands.notes.add(self.node, Note::Transfer(self.machine, progress));
                if !progress.stage.is_end() {
                    return;
                }
                self.balance.call_for();
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
pub(crate) struct Ticket<R: Runtime>(Arc<Shared<R>>);

impl<R: Runtime> Ticket<R> {
    pub(crate) fn new(shared: &Arc<Shared<R>>) -> Self {
        shared.lock().lifecycle.begin_task();
        Self(Arc::clone(shared))
    }
}

impl<R: Runtime> Drop for Ticket<R> {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.0.lock().lifecycle.end_task(|waker| wakers.push(waker));
        wake_all(wakers);
    }
}

/// Resolves once a look at the state finds something.
pub(crate) struct When<'a, R: Runtime, L> {
    shared: &'a Shared<R>,
    look: L,
    id: Option<WaiterId>,
}

// Nothing in it is ever pinned.
impl<R: Runtime, L> Unpin for When<'_, R, L> {}

impl<R: Runtime, T, L: FnMut(&mut State<R::Writer>) -> Option<T>> Future for When<'_, R, L> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        let mut stale = Stale::new();
        let mut state = this.shared.lock();
        if let Some(found) = (this.look)(&mut state) {
            if let Some(id) = this.id.take() {
                state.lifecycle.waiters.remove(id, &mut stale);
            }
            return Poll::Ready(found);
        }
        state.lifecycle.waiters.wait(&mut this.id, context.waker(), &mut stale);
        Poll::Pending
    }
}

impl<R: Runtime, L> Drop for When<'_, R, L> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut stale = Stale::new();
        self.shared.lock().lifecycle.waiters.remove(id, &mut stale);
    }
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod contract;
#[cfg(lockmaster_shuttle)]
#[cfg(test)]
mod crowds;
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod lent;
#[cfg(lockmaster_loom)]
#[cfg(test)]
mod models;
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod several;
#[cfg(test)]
#[cfg_attr(lockmaster_shuttle, expect(dead_code, reason = "crowds need less of it than the other tests"))]
mod still;
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
#[cfg(all(feature = "tracing", not(any(lockmaster_loom, lockmaster_shuttle))))]
#[cfg(test)]
mod told;
