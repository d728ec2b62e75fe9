//! One connection from hello to end.
//!
//! Of two nodes the one with the lower number dials and the other accepts: there is never a second connection
//! between them to choose from, and only one side has to try again. Whom it dials, and where, it looks up before each
//! attempt: members come, go and move, and the task that dials one ends with it.

use core::future::{Future, poll_fn, ready};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::io;

use lockmaster_core::wire::Hello;
use lockmaster_core::{Dropped, HelloError, Instant, NodeId};

use crate::backoff::{self, Backoff};
use crate::errands::Errands;
use crate::incoming::Incoming;
use crate::links::{Claim, Detached, LinkId};
use crate::members::Target;
use crate::outgoing::{Outgoing, Written};
use crate::runtime::{Listener, Reader, Runtime, Writer};
use crate::shared::{Shared, State, TASK_BUDGET};
use crate::stale::Stale;
use crate::sync::Arc;
use crate::trace;

/// Longest time from the first attempt to connect to the peer's hello.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Most accepted connections that have not said hello yet.
const GUESTS_MAX: u32 = 128;
/// Longest pause before a member is dialled again that is there, but does not take this node for one yet, or the reverse.
const SOON: Duration = Duration::from_millis(250);

/// Why a connection never began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the socket failed")]
    Io(#[from] io::Error),
    #[error("the peer hung up")]
    HungUp,
    #[error("no hello came in time")]
    TimedOut,
    #[error("no hello came first")]
    NoHello(#[from] Dropped),
    #[error("the hello is not of the member that is meant here")]
    Stranger,
    #[error("the node has begun another life since it said hello")]
    AnotherLife,
}

/// How a connection ended whose peer had said hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// The peer is configured otherwise, or is nobody of this cluster.
    Refused,
    /// One of the two does not know the latest view yet.
    Stranger,
    /// It was there.
    Ended,
}

/// A connection whose peer has said hello.
pub(crate) struct Greeted<R: Runtime> {
    pub(crate) hello: Hello,
    /// The life in which this node said hello.
    life: u64,
    reader: R::Reader,
    writer: R::Writer,
    incoming: Incoming,
}

/// Says hello and waits for the peer's, on the connection that `socket` gives.
pub(crate) async fn greet<R: Runtime>(
    shared: &Shared<R>,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let until = shared.runtime.now().after(HANDSHAKE);
    let mut asleep = pin!(shared.runtime.sleep_until(until));
    let mut greeting = pin!(greet_both(shared, socket));
    poll_fn(|context| {
        if let Poll::Ready(greeted) = greeting.as_mut().poll(context) {
            return Poll::Ready(greeted);
        }
        asleep.as_mut().poll(context).map(|()| Err(Failed::TimedOut))
    })
    .await
}

async fn greet_both<R: Runtime>(
    shared: &Shared<R>,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let (mut reader, writer) = socket.await?;
    let (life, hello) = {
        let state = shared.lock();
        (state.members.life(), state.node.hello())
    };
    let mut outgoing = Outgoing::new();
    let is_whole = outgoing.fill(|frame| hello.encode(frame));
    assert!(is_whole, "a hello fits any frame");
    if !write_out(&mut outgoing, &writer).await {
        return Err(Failed::HungUp);
    }

    let mut incoming = Incoming::new();
    let hello = loop {
        if let Some(frame) = incoming.next_frame()? {
            break Hello::decode(frame)?;
        }
        match reader.read(incoming.room()).await? {
            0 => return Err(Failed::HungUp),
            len => incoming.filled(len),
        }
    };
    if shared.lock().members.life() != life {
        return Err(Failed::AnotherLife);
    }
    Ok(Greeted { hello, life, reader, writer, incoming })
}

/// Writes a whole frame; `false` if the connection broke.
async fn write_out(outgoing: &mut Outgoing, writer: &impl Writer) -> bool {
    loop {
        match outgoing.write(writer) {
            Written::All => return true,
            Written::Broken => return false,
            Written::Part => {}
        }
        if writer.writable().await.is_err() {
            return false;
        }
    }
}

/// Runs a connection to its end.
pub(crate) async fn serve<R: Runtime>(shared: &Arc<Shared<R>>, greeted: Greeted<R>) -> Served {
    let Greeted { hello, life, mut reader, writer, mut incoming } = greeted;
    let writer = Arc::new(writer);
    let mut errands = Errands::new();
    let link = match serve_begin(shared, &mut errands, &hello, life, &writer) {
        Ok(link) => link,
        Err(served) => {
            writer.close();
            return served;
        }
    };
    Shared::spawn(shared, keep_writing(Arc::clone(shared), link));
    while serve_frames(shared, &mut errands, link, &mut incoming) {
        match reader.read(incoming.room()).await {
            Ok(0) | Err(_) => break,
            Ok(len) => incoming.filled(len),
        }
    }
    serve_end(shared, &mut errands, link);
    writer.close();
    Served::Ended
}

/// Takes the connection in if the node agrees.
fn serve_begin<R: Runtime>(
    shared: &Shared<R>,
    errands: &mut Errands<R::Writer>,
    hello: &Hello,
    life: u64,
    writer: &Arc<R::Writer>,
) -> Result<LinkId, Served> {
    let now = shared.runtime.now();
    let begun = shared.turn_with(errands, TASK_BUDGET, |state, _| {
        let now = state.advance(now);
        let node = state.node.config().node;
        if state.members.life() != life {
            return Err(Served::Stranger);
        }
        match state.node.handle_hello(now, hello) {
            Ok(()) => {}
            Err(HelloError::Stranger(..)) => {
                state.stats.strangers += 1;
                return Err(Served::Stranger);
            }
            Err(error) => {
                state.stats.hellos_refused += 1;
                trace::hello_refused(node, error);
                return Err(Served::Refused);
            }
        }
        state.stats.begun += 1;
        trace::peer_up(node, hello.node);
        Ok(state.links.attach(hello.node, Arc::clone(writer)))
    });
    errands.run(shared);
    let (link, before) = begun.unwrap_or(Err(Served::Ended))?;
    before.into_iter().for_each(Detached::close);
    shared.report_reachable();
    Ok(link)
}

/// Handles every whole frame that was read, in one turn. `false` if the connection has to end.
fn serve_frames<R: Runtime>(
    shared: &Shared<R>,
    errands: &mut Errands<R::Writer>,
    link: LinkId,
    incoming: &mut Incoming,
) -> bool {
    if !incoming.has_next() {
        return true;
    }
    let now = shared.runtime.now();
    let goes_on = shared.turn_with(errands, TASK_BUDGET, |state, _| {
        let now = state.advance(now);
        // A connection that was replaced says nothing more.
        state.links.is_current(link) && serve_frames_each(state, now, link, incoming)
    });
    errands.run(shared);
    goes_on == Some(true)
}

fn serve_frames_each<W: Writer>(
    state: &mut State<W>,
    now: Instant,
    link: LinkId,
    incoming: &mut Incoming,
) -> bool {
    loop {
        let handled = match incoming.next_frame() {
            Ok(None) => return true,
            Ok(Some(frame)) => state.node.handle_frame(now, link.peer, frame),
            Err(dropped) => Err(dropped),
        };
        let Err(dropped) = handled else { continue };
        trace::frame_dropped(state.node.config().node, link.peer, dropped);
        if dropped == Dropped::Malformed {
            state.stats.malformed += 1;
            return false;
        }
    }
}

/// The connection has ended; if it was not replaced, the peer is away.
fn serve_end<R: Runtime>(shared: &Shared<R>, errands: &mut Errands<R::Writer>, link: LinkId) {
    let now = shared.runtime.now();
    let detached = shared.turn_with(errands, TASK_BUDGET, |state, _| {
        let detached = state.links.detach(link);
        state.stats.ended += 1;
        if detached.is_some() {
            let now = state.advance(now);
            state.node.handle_disconnect(now, link.peer);
            trace::peer_down(state.node.config().node, link.peer);
        }
        detached
    });
    errands.run(shared);
    detached.flatten().into_iter().for_each(Detached::close);
    shared.report_reachable();
}

/// The writer task of a connection: goes on where a call could not, as fast as the socket takes it, and sends
/// what calls had time for, after others have had their turn to add to it.
pub(crate) async fn keep_writing<R: Runtime>(shared: Arc<Shared<R>>, link: LinkId) {
    while let Some(claim) = next_left(&shared, link).await {
        let mut next = Some(claim);
        while let Some(mut claim) = next {
            if !write_out(&mut claim.outgoing, &*claim.writer).await {
                return claim.writer.close();
            }
            next = shared.refill(claim);
        }
    }
}

/// What was left for the writer task. Where nobody is in a hurry, other tasks run once before it is taken.
async fn next_left<R: Runtime>(shared: &Shared<R>, link: LinkId) -> Option<Claim<R::Writer>> {
    let mut has_yielded = false;
    poll_fn(|context| {
        let mut stale = Stale::new();
        {
            let mut state = shared.lock();
            if has_yielded || !state.links.is_deferred(link) {
                return state.links.poll_left(link, context.waker(), &mut stale);
            }
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Has every member with a higher number dialled, by a task for each.
pub(crate) async fn keep_dialling<R: Runtime>(shared: Arc<Shared<R>>, seed: u64) {
    loop {
        let new = shared.when(|state| {
            if state.lifecycle.is_closed() {
                return Some(Vec::new());
            }
            state.members.undialled()
        });
        let new = new.await;
        if new.is_empty() {
            return;
        }
        for peer in new {
            let seed = seed ^ u64::from(peer.0);
            Shared::spawn(&shared, keep_dialling_one(Arc::clone(&shared), peer, seed));
        }
    }
}

/// Keeps a connection to a member as long as it is one: dials, serves, and dials again.
pub(crate) async fn keep_dialling_one<R: Runtime>(shared: Arc<Shared<R>>, peer: NodeId, seed: u64) {
    let mut backoff = Backoff::new(seed);
    loop {
        let target = shared.lock().members.target_or_end(peer);
        let Some(target) = target else { return };
        let began = shared.runtime.now();
        let socket = greet(&shared, shared.runtime.connect(target.address));
        let served = match shared.while_dialled(peer, target, socket).await {
            None => None,
            Some(Ok(greeted)) if greeted.hello.node == peer => Some(serve(&shared, greeted).await),
            Some(Ok(_)) => {
                failed(&shared, &Failed::Stranger);
                None
            }
            Some(Err(error)) => {
                failed(&shared, &error);
                None
            }
        };
        if shared.lock().lifecycle.is_closed() {
            return;
        }
        if shared.runtime.now().since(began) > backoff::LONGEST {
            backoff.reset();
        }
        let pause = match served {
            // It is there: it will have the view, or this node will, before long.
            Some(Served::Stranger | Served::Ended) => backoff.pause_at_most(SOON),
            Some(Served::Refused) | None => backoff.pause(),
        };
        let asleep = shared.runtime.sleep_until(shared.runtime.now().after(pause));
        if shared.while_dialled(peer, target, asleep).await.is_none() {
            backoff.reset();
        }
    }
}

impl<R: Runtime> Shared<R> {
    /// The work's output, or nothing if the member is gone, or is elsewhere, before.
    async fn while_dialled<T>(
        &self,
        peer: NodeId,
        target: Target,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let is_over = move |state: &mut State<R::Writer>| {
            let is_over = state.lifecycle.is_closed() || state.members.target(peer) != Some(target);
            is_over.then_some(())
        };
        self.unless(is_over, work).await
    }

    /// Lets the provider know whom this node is connected to.
    fn report_reachable(&self) {
        let mut wakers = Vec::new();
        {
            let mut state = self.lock();
            if state.node.config().is_static() {
                return;
            }
            let State { links, members, lifecycle, .. } = &mut *state;
            members.connect(links.connected());
            lifecycle.waiters.wake(|waker| wakers.push(waker));
        }
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Lets in members with lower numbers.
pub(crate) async fn keep_accepting<R: Runtime>(shared: Arc<Shared<R>>, listener: R::Listener, seed: u64) {
    let mut backoff = Backoff::new(seed);
    loop {
        match shared.unless_closed(listener.accept()).await {
            None => return,
            Some(Ok(socket)) => {
                backoff.reset();
                accept(&shared, socket);
            }
            // Out of files, most likely: trying at once again would only make it worse.
            Some(Err(error)) => {
                trace::accept_failed(shared.id(), &error);
                let wake_at = shared.runtime.now().after(backoff.pause());
                if shared.unless_closed(shared.runtime.sleep_until(wake_at)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Lets a connection in if not too many others are about to say hello.
fn accept<R: Runtime>(shared: &Arc<Shared<R>>, socket: (R::Reader, R::Writer)) {
    let mut state = shared.lock();
    if !state.lifecycle.is_closed() && state.guests < GUESTS_MAX {
        state.guests += 1;
        drop(state);
        Shared::spawn(shared, answer(Arc::clone(shared), socket));
    } else {
        state.stats.turned_away += 1;
        drop(state);
        socket.1.close();
    }
}

async fn answer<R: Runtime>(shared: Arc<Shared<R>>, socket: (R::Reader, R::Writer)) {
    let greeted = shared.unless_closed(greet(&shared, ready(Ok(socket)))).await;
    let me = {
        let mut state = shared.lock();
        state.guests -= 1;
        state.node.config().node
    };
    match greeted {
        None => {}
        Some(Ok(greeted)) if greeted.hello.node < me => {
            serve(&shared, greeted).await;
        }
        Some(Ok(_)) => failed(&shared, &Failed::Stranger),
        Some(Err(error)) => failed(&shared, &error),
    }
}

fn failed<R: Runtime>(shared: &Shared<R>, error: &Failed) {
    let mut state = shared.lock();
    state.stats.handshakes_failed += 1;
    trace::handshake_failed(state.node.config().node, error);
}
