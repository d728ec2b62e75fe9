//! The thread that joins, and that calls the session: a provider may block, and a node's tasks must not.
//!
//! ```text
//!               join                        fenced, every loss told by every machine
//!   Joining ───────────▶ Joined ─────────────────────────────────────▶ Joining (with a pause, and again until it works)
//!      │ error            │ announce_leaving, report_reachable (stays)
//!      ▼                  ▼ the node is shut down
//!   the start fails    leave, or after a panic just dropped
//! ```

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc as StdArc, Mutex, PoisonError};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant as Clock;

use lockmaster_core::{Incarnation, NodeId};

use super::duty::Duty;
use super::{Candidate, Ear, Hear, Inbox, Joined, Membership, MembershipError, Session};
use crate::backoff::Backoff;
use crate::calm::wake_all;
use crate::lifecycle::Lifecycle;
use crate::machines::Machines;
use crate::runtime::Runtime;
use crate::shared::{State, Ticket};
use crate::sync::Arc;
use crate::trace;

/// A node that joins for the first time: its thread runs, and the node is made when it knows who it is.
pub(crate) struct Keeper<R: Runtime> {
    ear: StdArc<Ear<R>>,
    joined: StdArc<FirstJoin>,
    begin: Option<SyncSender<Begun<R>>>,
}

/// The node is there; its end waits for the thread's.
struct Begun<R: Runtime> {
    machines: StdArc<Machines<R>>,
    ticket: Ticket<R>,
}

/// How the first join ended, for who waits for it.
#[derive(Default)]
struct FirstJoin {
    place: Mutex<(Option<FirstOutcome>, Option<Waker>)>,
}

type FirstOutcome = Result<FirstLife, MembershipError>;

/// Who the node is in its first life, and in which of its configurations it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FirstLife {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) digest: u64,
}

/// Tells who waits for the first join that the thread is gone, if it ends without a word.
struct Awaited(StdArc<FirstJoin>);

/// What the thread keeps.
struct Work<R: Runtime> {
    runtime: Arc<R>,
    provider: Box<dyn Membership>,
    candidate: Candidate,
    backoff: Backoff,
}

/// A life of the node, as the thread sees it.
struct Life<R: Runtime> {
    ear: StdArc<Ear<R>>,
    session: Box<dyn Session>,
}

/// Shuts the node down if the provider panics: nobody sees to its membership any more, so it must grant nothing by the
/// time at which the session is dropped.
struct Alarm<'a, R: Runtime>(&'a Machines<R>);

/// What follows a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Life,
    Nothing,
}

impl<R: Runtime> Keeper<R> {
    /// Begins to join on a thread of its own.
    pub(crate) fn start(
        runtime: Arc<R>,
        provider: Box<dyn Membership>,
        candidate: Candidate,
        seed: u64,
    ) -> io::Result<Self> {
        let ear = StdArc::new(Ear::new(Arc::clone(&runtime), None));
        let joined = StdArc::new(FirstJoin::default());
        let (begin, begun) = sync_channel(1);
        let work = Work { runtime, provider, candidate, backoff: Backoff::new(seed) };
        let (own_ear, first) = (StdArc::clone(&ear), Awaited(StdArc::clone(&joined)));
        let thread = thread::Builder::new().name("lockmaster-membership".to_owned());
        thread.spawn(move || work.run(own_ear, &first, &begun))?;
        Ok(Self { ear, joined, begin: Some(begin) })
    }

    /// Who the node is, once it has joined.
    pub(crate) async fn joined(&self) -> FirstOutcome {
        core::future::poll_fn(|context| self.joined.poll(context)).await
    }

    /// The node is there: it hears from now on.
    pub(crate) fn begin(mut self, machines: &StdArc<Machines<R>>) {
        self.ear.attach(machines, machines.look(|state| state.members.life()).collect());
        if let Some(begin) = self.begin.take() {
            let begun = Begun { machines: StdArc::clone(machines), ticket: Ticket::new(machines.lead()) };
            // If the thread is gone, it has panicked: the ticket counts it as ended, and nobody leaves.
            let _ = begin.send(begun);
        }
    }
}

impl<R: Runtime> Drop for Keeper<R> {
    fn drop(&mut self) {
        // The start was given up, or failed: the thread need not wait for anything.
        if self.begin.is_some() {
            self.ear.end();
        }
    }
}

impl FirstJoin {
    fn set(&self, outcome: FirstOutcome) {
        let waker = {
            let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            place.0 = Some(outcome);
            place.1.take()
        };
        wake_all(waker);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<FirstOutcome> {
        let before;
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = place.0.take() {
            return Poll::Ready(outcome);
        }
        before = place.1.replace(context.waker().clone());
        drop(place);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set(Err(MembershipError::Unreachable("the provider has panicked".to_owned())));
        }
    }
}

impl<R: Runtime> Drop for Alarm<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close();
            trace::broken(self.0.id());
        }
    }
}

impl<R: Runtime> Work<R> {
    fn run(mut self, ear: StdArc<Ear<R>>, first: &Awaited, begun: &Receiver<Begun<R>>) {
        let Joined { node, incarnation, digest, session } = match self.join(&ear) {
            Ok(joined) => joined,
            Err(error) => return first.0.set(Err(error)),
        };
        // Later lives are of the same node, in the same configuration.
        self.candidate.node = Some(node);
        self.candidate.digests = vec![digest];
        first.0.set(Ok(FirstLife { node, incarnation, digest }));
        let Ok(Begun { machines, ticket: _ticket }) = begun.recv() else {
            ear.end();
            return session.leave();
        };
        self.keep(&machines, Life { ear, session });
    }

    /// Joins, and holds the provider to what the candidate says of itself.
    fn join(&self, ear: &StdArc<Ear<R>>) -> Result<Joined, MembershipError> {
        let inbox = Inbox::new(StdArc::clone(ear) as StdArc<dyn Hear>);
        let joined = self.provider.join(&self.candidate, inbox)?;
        let why = match self.candidate.node {
            Some(node) if node != joined.node => {
                format!("the engine takes node {node} for node {}", joined.node)
            }
            Some(_) | None if !self.candidate.digests.contains(&joined.digest) => {
                "the engine has chosen a configuration in which the node cannot run".to_owned()
            }
            Some(_) | None => return Ok(joined),
        };
        joined.session.leave();
        Err(MembershipError::Untrusted(why))
    }

    /// Sees to one life after the other.
    fn keep(mut self, machines: &StdArc<Machines<R>>, mut life: Life<R>) {
        loop {
            if Self::keep_life(machines, life) == Next::Nothing {
                return;
            }
            let Some(next) = self.rejoin(machines) else { return };
            life = next;
        }
    }

    /// Does what a life has to do until its end.
    fn keep_life(machines: &Machines<R>, life: Life<R>) -> Next {
        let Life { ear, session } = life;
        // After the session, so that it is dropped before it.
        let _alarm = Alarm(machines);
        let mut reported: Option<Vec<NodeId>> = None;
        loop {
            let sight = |state: &mut State<R::Writer>| state.members.sight(&state.lifecycle);
            match block_on(machines.when(sight, |sights| Duty::of(sights, reported.as_deref())), None) {
                Some(Duty::Announce) => machines.announced(session.announce_leaving()),
                Some(Duty::Report(reachable)) => {
                    session.report_reachable(&reachable);
                    reported = Some(reachable);
                }
                Some(Duty::Fence) => ear.fenced("it has ended for one of the node's machines"),
                Some(Duty::Rejoin) => {
                    ear.end();
                    drop(session);
                    return Next::Life;
                }
                Some(Duty::Leave) => {
                    machines.close();
                    ear.end();
                    session.leave();
                    return Next::Nothing;
                }
                Some(Duty::Die) | None => {
                    machines.close();
                    ear.end();
                    drop(session);
                    return Next::Nothing;
                }
            }
        }
    }

    /// Joins until it works; nothing if the node is shut down before.
    fn rejoin(&mut self, machines: &StdArc<Machines<R>>) -> Option<Life<R>> {
        self.backoff.reset();
        let _alarm = Alarm(machines);
        loop {
            let ear = StdArc::new(Ear::new(Arc::clone(&self.runtime), Some(StdArc::clone(machines))));
            match self.rejoin_once(machines, &ear) {
                Ok(life) => return life,
                Err(error) => trace::join_failed(machines.id(), &error),
            }
            ear.end();
            let until = Clock::now() + self.backoff.pause();
            block_on(machines.lead().until(Lifecycle::is_closed), Some(until));
            if machines.is_closed() {
                return None;
            }
        }
    }

    fn rejoin_once(
        &self,
        machines: &StdArc<Machines<R>>,
        ear: &StdArc<Ear<R>>,
    ) -> Result<Option<Life<R>>, MembershipError> {
        let Joined { incarnation, session, .. } = self.join(ear)?;
        match machines.rejoin(incarnation) {
            Ok(Some(lives)) => {
                ear.attach(machines, lives);
                Ok(Some(Life { ear: StdArc::clone(ear), session }))
            }
            Ok(None) => {
                session.leave();
                Ok(None)
            }
            Err(error) => {
                session.leave();
                Err(error)
            }
        }
    }
}

/// Polls a future on this thread, which sleeps meanwhile; nothing if it is not ready in time.
fn block_on<T>(future: impl Future<Output = T>, until: Option<Clock>) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(StdArc::new(Sleeper(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        match until {
            None => thread::park(),
            Some(until) => {
                let left = until.saturating_duration_since(Clock::now());
                if left == Duration::ZERO {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: StdArc<Self>) {
        self.0.unpark();
    }
}
