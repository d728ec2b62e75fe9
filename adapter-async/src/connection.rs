//! One connection from hello to end.
//!
//! Of two nodes the one with the lower number dials and the other accepts: there is never a second connection
//! between them to choose from, and only one side has to try again. Whom it dials, and where, it looks up before each
//! attempt: members come, go and move, and the task that dials one ends with it.

use core::future::{Future, poll_fn, ready};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use lockmaster_core::wire::Hello;
use lockmaster_core::{Dropped, HelloError, Instant, NodeId};

use crate::backoff::{self, Backoff};
use crate::calm::wake_all;
use crate::errands::Errands;
use crate::handshake::Failed;
use crate::incoming::Incoming;
use crate::links::{Claim, Detached, LinkId};
use crate::members::Target;
use crate::outgoing::{Outgoing, Written};
use crate::runtime::{Listener, Reader, Runtime, Writer};
use crate::shared::{Shared, State, TASK_BUDGET};
use crate::stale::Stale;
use crate::sync::Arc;
use crate::tls::{self, Secured};
use crate::trace::{self, Note};

/// Most accepted connections that have not said hello yet.
const GUESTS_MAX: u32 = 128;
/// Longest pause before a member is dialled again that is there, but does not take this node for one yet, or the reverse.
const SOON: Duration = Duration::from_millis(250);

/// Most bytes that are read of a peer before it has said who it is, TLS apart: later versions append to a hello.
const HELLO_MAX: usize = 1024;

/// Who began a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// This node, and to reach this one.
    Dialled(NodeId),
    /// Somebody else.
    Accepted,
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
    outgoing: Outgoing,
}

/// Proves who this node is and says hello, and waits for the peer to do the same, on the connection that `socket` gives.
pub(crate) async fn greet<R: Runtime>(
    shared: &Shared<R>,
    side: Side,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let until = shared.runtime.now().after(shared.gate.patience);
    let mut asleep = pin!(shared.runtime.sleep_until(until));
    let mut greeting = pin!(greet_both(shared, side, socket));
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
    side: Side,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let (mut reader, writer) = socket.await?;
    let Some(identity) = &shared.gate.identity else {
        let (mut incoming, mut outgoing) = (Incoming::new(None), Outgoing::new(None));
        let life = say_hello(shared, &mut outgoing, &writer).await?;
        let hello = hear_hello(&mut incoming, &mut reader).await?;
        return greeted_in(shared, Greeted { hello, life, reader, writer, incoming, outgoing });
    };

    let Secured { proved, opening, sealing } = tls::shake_hands(identity, side, &mut reader, &writer).await?;
    let (mut incoming, mut outgoing) = (Incoming::new(Some(opening)), Outgoing::new(Some(sealing)));
    // Who dials knows already to whom it speaks; who accepts says nothing before it does.
    let (life, hello) = match side {
        Side::Dialled(_) => {
            let life = say_hello(shared, &mut outgoing, &writer).await?;
            let hello = hear_hello(&mut incoming, &mut reader).await?;
            identity.check(&proved, hello.node)?;
            (life, hello)
        }
        Side::Accepted => {
            let hello = hear_hello(&mut incoming, &mut reader).await?;
            identity.check(&proved, hello.node)?;
            (say_hello(shared, &mut outgoing, &writer).await?, hello)
        }
    };
    greeted_in(shared, Greeted { hello, life, reader, writer, incoming, outgoing })
}

/// A node that has begun another life meanwhile has said what is not so any more.
fn greeted_in<R: Runtime>(shared: &Shared<R>, greeted: Greeted<R>) -> Result<Greeted<R>, Failed> {
    if shared.lock().members.life() != greeted.life {
        return Err(Failed::AnotherLife);
    }
    Ok(greeted)
}

/// Gives the life of which it was said.
async fn say_hello<R: Runtime>(
    shared: &Shared<R>,
    outgoing: &mut Outgoing,
    writer: &R::Writer,
) -> Result<u64, Failed> {
    let (life, hello) = {
        let state = shared.lock();
        (state.members.life(), state.node.hello())
    };
    let is_whole = outgoing.fill(|frame| hello.encode(frame));
    assert!(is_whole, "a hello fits any frame");
    if write_out(outgoing, writer).await { Ok(life) } else { Err(Failed::HungUp) }
}

async fn hear_hello(incoming: &mut Incoming, reader: &mut impl Reader) -> Result<Hello, Failed> {
    while !incoming.has_next() {
        if incoming.len() >= HELLO_MAX {
            return Err(Failed::TooLong);
        }
        if incoming.read(reader, HELLO_MAX - incoming.len()).await.map_err(tls::failed_read)? == 0 {
            return Err(Failed::HungUp);
        }
    }
    if tls::is_tls(incoming.unread()) {
        return Err(Failed::OneSided);
    }
    let frame = incoming.next_frame()?.expect("a whole frame is there");
    Ok(Hello::decode(frame)?)
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
    let Greeted { hello, life, mut reader, writer, mut incoming, outgoing } = greeted;
    let writer = Arc::new(writer);
    let mut errands = Errands::new();
    let link = match serve_begin(shared, &mut errands, &hello, life, &writer, outgoing) {
        Ok(link) => link,
        Err(served) => {
            writer.close();
            return served;
        }
    };
    Shared::spawn(shared, keep_writing(Arc::clone(shared), link));
    while serve_frames(shared, &mut errands, link, &mut incoming) {
        match incoming.read(&mut reader, usize::MAX).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                // Somebody changed what the peer has sealed.
                if error.kind() == io::ErrorKind::InvalidData {
                    shared.lock().stats.malformed += 1;
                }
                break;
            }
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
    outgoing: Outgoing,
) -> Result<LinkId, Served> {
    let now = shared.runtime.now();
    let begun = shared.turn_with(errands, TASK_BUDGET, |state, errands| {
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
                errands.notes.add(node, Note::HelloRefused(error));
                return Err(Served::Refused);
            }
        }
        state.stats.begun += 1;
        errands.notes.add(node, Note::PeerUp(hello.node));
        Ok(state.links.attach(hello.node, Arc::clone(writer), outgoing))
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
    let goes_on = shared.turn_with(errands, TASK_BUDGET, |state, errands| {
        let now = state.advance(now);
        // A connection that was replaced says nothing more.
        state.links.is_current(link) && serve_frames_each(state, errands, now, link, incoming)
    });
    errands.run(shared);
    goes_on == Some(true)
}

fn serve_frames_each<W: Writer>(
    state: &mut State<W>,
    errands: &mut Errands<W>,
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
        errands.notes.add(state.node.config().node, Note::FrameDropped(link.peer, dropped));
        if dropped == Dropped::Malformed {
            state.stats.malformed += 1;
            return false;
        }
    }
}

/// The connection has ended; if it was not replaced, the peer is away.
fn serve_end<R: Runtime>(shared: &Shared<R>, errands: &mut Errands<R::Writer>, link: LinkId) {
    let now = shared.runtime.now();
    let detached = shared.turn_with(errands, TASK_BUDGET, |state, errands| {
        let detached = state.links.detach(link);
        state.stats.ended += 1;
        if detached.is_some() {
            let now = state.advance(now);
            state.node.handle_disconnect(now, link.peer);
            errands.notes.add(state.node.config().node, Note::PeerDown(link.peer));
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
        let socket = greet(&shared, Side::Dialled(peer), shared.runtime.connect(target.address));
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
        wake_all(wakers);
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
    let greeted = shared.unless_closed(greet(&shared, Side::Accepted, ready(Ok(socket)))).await;
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
    let node = {
        let mut state = shared.lock();
        state.stats.handshakes_failed += 1;
        error.count(&mut state.stats.failed);
        state.node.config().node
    };
    trace::handshake_failed(node, error);
}
