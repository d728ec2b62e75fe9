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
use std::sync::Arc as StdArc;

use lockmaster_core::wire::Hello;
use lockmaster_core::{Dropped, HelloError, Instant, NodeId};

use crate::backoff::{self, Backoff};
use crate::calm::wake_all;
use crate::errands::Errands;
use crate::handshake::Failed;
use crate::incoming::Incoming;
use crate::links::{Claim, Detached, LinkId};
use crate::machines::Machines;
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
    /// The machine that it is for.
    shared: Arc<Shared<R>>,
    pub(crate) hello: Hello,
    /// The life in which this node said hello.
    life: u64,
    reader: R::Reader,
    writer: R::Writer,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// Who says hello.
enum Greeter<'a, R: Runtime> {
    /// A machine, to this peer.
    Dialling(&'a Arc<Shared<R>>, NodeId),
    /// The machine that is meant.
    Accepting(&'a Machines<R>),
}

// Copied also where the runtime cannot be.
impl<R: Runtime> Clone for Greeter<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Runtime> Copy for Greeter<'_, R> {}

impl<R: Runtime> Greeter<'_, R> {
    /// A machine of the node.
    fn any(&self) -> &Arc<Shared<R>> {
        match self {
            Self::Dialling(shared, _) => shared,
            Self::Accepting(machines) => machines.lead(),
        }
    }
}

/// Proves who this node is and says hello, and waits for the peer to do the same, on the connection that `socket` gives.
async fn greet<R: Runtime>(
    greeter: Greeter<'_, R>,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let any = greeter.any();
    let until = any.runtime.now().after(any.gate.patience);
    let mut asleep = pin!(any.runtime.sleep_until(until));
    let mut greeting = pin!(greet_both(greeter, socket));
    poll_fn(|context| {
        if let Poll::Ready(greeted) = greeting.as_mut().poll(context) {
            return Poll::Ready(greeted);
        }
        asleep.as_mut().poll(context).map(|()| Err(Failed::TimedOut))
    })
    .await
}

/// Who dials speaks first, because it knows to whom and for which machine.
async fn greet_both<R: Runtime>(
    greeter: Greeter<'_, R>,
    socket: impl Future<Output = io::Result<(R::Reader, R::Writer)>>,
) -> Result<Greeted<R>, Failed> {
    let (mut reader, writer) = socket.await?;
    let identity = greeter.any().gate.identity.as_ref();
    let side = match greeter {
        Greeter::Dialling(_, peer) => Side::Dialled(peer),
        Greeter::Accepting(_) => Side::Accepted,
    };
    let (proved, opening, sealing) = match identity {
        None => (None, None, None),
        Some(identity) => {
            let Secured { proved, opening, sealing } =
                tls::shake_hands(identity, side, &mut reader, &writer).await?;
            (Some((identity, proved)), Some(opening), Some(sealing))
        }
    };
    let (mut incoming, mut outgoing) = (Incoming::new(opening), Outgoing::new(sealing));
    let is_proved = |hello: &Hello| match &proved {
        None => Ok(()),
        Some((identity, proved)) => identity.check(proved, hello.node),
    };
    let (shared, life, hello) = match greeter {
        Greeter::Dialling(shared, _) => {
            let life = say_hello(shared, &mut outgoing, &writer).await?;
            let hello = hear_hello(&mut incoming, &mut reader).await?;
            is_proved(&hello)?;
            (shared, life, hello)
        }
        Greeter::Accepting(machines) => {
            let lead = machines.lead();
            // Where nobody proves anything and no other machine can be meant, there is nothing to wait for.
            let said = match (&proved, machines.each()) {
                (None, [only]) => Some(say_hello(only, &mut outgoing, &writer).await?),
                (None | Some(_), _) => None,
            };
            let heard = hear_hello(&mut incoming, &mut reader).await;
            if said.is_none() && matches!(heard, Err(Failed::OneSided)) {
                // So that the other side can tell, too.
                say_hello(lead, &mut outgoing, &writer).await?;
            }
            let hello = heard?;
            is_proved(&hello)?;
            match said {
                Some(life) => (lead, life, hello),
                None => {
                    let shared = &machines.each()[machines.division.machine_meant(&hello)];
                    (shared, say_hello(shared, &mut outgoing, &writer).await?, hello)
                }
            }
        }
    };
    // A node that has begun another life meanwhile has said what is not so any more.
    if shared.lock().members.life() != life {
        return Err(Failed::AnotherLife);
    }
    let shared = Arc::clone(shared);
    Ok(Greeted { shared, hello, life, reader, writer, incoming, outgoing })
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
pub(crate) async fn serve<R: Runtime>(greeted: Greeted<R>) -> Served {
    let Greeted { shared, hello, life, mut reader, writer, mut incoming, outgoing } = greeted;
    let shared = &shared;
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
    let mut refused = None;
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
                refused = Some(error);
                return Err(Served::Refused);
            }
        }
        state.stats.begun += 1;
        errands.notes.add(node, Note::PeerUp(hello.node));
        Ok(state.links.attach(hello.node, Arc::clone(writer), outgoing))
    });
    errands.run(shared);
    refused.into_iter().for_each(|error| serve_refused(shared, hello, error));
    let (link, before) = begun.unwrap_or(Err(Served::Ended))?;
    before.into_iter().for_each(Detached::close);
    shared.report_reachable();
    Ok(link)
}

/// Counts and tells why a hello was refused.
fn serve_refused<R: Runtime>(shared: &Shared<R>, hello: &Hello, error: HelloError) {
    let machines = shared.gate.machines_of(hello);
    {
        let mut state = shared.lock();
        state.stats.hellos_refused += 1;
        state.stats.machines_differ += u64::from(machines.is_some());
    }
    trace::hello_refused(shared.id(), error, machines);
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
        let socket = greet(Greeter::Dialling(&shared, peer), shared.runtime.connect(target.address));
        let served = match shared.while_dialled(peer, target, socket).await {
            None => None,
            Some(Ok(greeted)) if greeted.hello.node == peer => Some(serve(greeted).await),
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

/// Lets in members with lower numbers, for all machines.
pub(crate) async fn keep_accepting<R: Runtime>(
    machines: StdArc<Machines<R>>,
    listener: R::Listener,
    seed: u64,
) {
    let lead = machines.lead();
    let mut backoff = Backoff::new(seed);
    loop {
        match lead.unless_closed(listener.accept()).await {
            None => return,
            Some(Ok(socket)) => {
                backoff.reset();
                accept(&machines, socket);
            }
            // Out of files, most likely: trying at once again would only make it worse.
            Some(Err(error)) => {
                trace::accept_failed(lead.id(), &error);
                let wake_at = lead.runtime.now().after(backoff.pause());
                if lead.unless_closed(lead.runtime.sleep_until(wake_at)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Lets a connection in if not too many others are about to say hello.
fn accept<R: Runtime>(machines: &StdArc<Machines<R>>, socket: (R::Reader, R::Writer)) {
    let lead = machines.lead();
    let mut state = lead.lock();
    let machine_count = u32::try_from(machines.each().len()).expect("machines are few");
    let most = GUESTS_MAX * machine_count;
    if !state.lifecycle.is_closed() && state.guests < most {
        state.guests += 1;
        drop(state);
        Shared::spawn(lead, answer(StdArc::clone(machines), socket));
    } else {
        state.stats.turned_away += 1;
        drop(state);
        socket.1.close();
    }
}

async fn answer<R: Runtime>(machines: StdArc<Machines<R>>, socket: (R::Reader, R::Writer)) {
    let lead = machines.lead();
    let greeted = lead.unless_closed(greet(Greeter::Accepting(&machines), ready(Ok(socket)))).await;
    let me = {
        let mut state = lead.lock();
        state.guests -= 1;
        state.node.config().node
    };
    match greeted {
        None => {}
        Some(Ok(greeted)) if greeted.hello.node < me => {
            serve(greeted).await;
        }
        Some(Ok(_)) => failed(lead, &Failed::Stranger),
        Some(Err(error)) => failed(lead, &error),
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
