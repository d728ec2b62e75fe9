//! A runtime whose sockets take what the test says, and nodes on it to be polled by hand.

use core::future::{Future, pending};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use std::io;
use std::net::TcpListener;
use std::sync::{Arc as StdArc, Mutex};

use lockmaster_core::wire::{Frames, Hello};
use lockmaster_core::{
    ClusterId, Config, Division, Epoch, Incarnation, Limits, Mode, SlotId, SlotRange, SpaceConfig, SpaceId,
};

use super::{Arc, Balance, HeapMemory, Instant, Members, Node, NodeId, Runtime, Shared, Writer, poll_fn};
use crate::LockError;
use crate::links::LinkId;
use crate::machines::Machines;
use crate::membership::{ClusterMember, ClusterView};
use crate::outgoing::Outgoing;
use crate::runtime::{Listener, Reader};

pub(crate) const EX: Mode = Mode::Exclusive;
pub(crate) const ME: NodeId = NodeId(1);
pub(crate) const PR: Mode = Mode::ProtectedRead;
pub(crate) const PEER: NodeId = NodeId(2);

/// Time stands still, and tasks are dropped.
#[derive(Debug, Default)]
pub(crate) struct Still;

#[derive(Debug)]
pub(crate) struct Nothing;

/// Takes as many bytes as there is room for.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) room: AtomicUsize,
    pub(crate) taken: Mutex<Vec<u8>>,
    pub(crate) closed: AtomicUsize,
}

impl Runtime for Still {
    type Listener = Nothing;
    type Reader = Nothing;
    type Writer = Pipe;

    fn now(&self) -> Instant {
        Instant::from_nanos(1)
    }

    fn listen(&self, _: TcpListener) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn connect(&self, _: SocketAddr) -> impl Future<Output = io::Result<(Nothing, Pipe)>> + Send {
        pending()
    }

    fn sleep_until(&self, _: Instant) -> impl Future<Output = ()> + Send {
        pending()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task);
    }
}

impl Listener for Nothing {
    type Reader = Self;
    type Writer = Pipe;

    fn accept(&self) -> impl Future<Output = io::Result<(Self, Pipe)>> + Send {
        pending()
    }
}

impl Reader for Nothing {
    fn read(&mut self, _: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send {
        pending()
    }
}

impl Writer for Pipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.room.load(Ordering::SeqCst).min(bytes.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.fetch_sub(len, Ordering::SeqCst);
        self.taken.lock().unwrap().extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    /// Resolves at once if there is room; a test that makes room polls again.
    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        poll_fn(|_| match self.room.load(Ordering::SeqCst) {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        })
    }

    fn close(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

impl Pipe {
    pub(crate) fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self { room: AtomicUsize::new(room), ..Self::default() })
    }

    /// The first frame that was taken whole, which is gone then.
    #[cfg(not(lockmaster_loom))]
    pub(crate) fn take_frame(&self) -> Option<Vec<u8>> {
        let mut taken = self.taken.lock().unwrap();
        let len = Frames::next_len(&taken).unwrap()?;
        Some(taken.drain(..len).collect())
    }

    /// Frames that were taken whole, and bytes of a further one.
    pub(crate) fn frames(&self) -> (usize, usize) {
        let taken = self.taken.lock().unwrap();
        let (mut frames, mut start) = (0, 0);
        while let Some(len) = Frames::next_len(&taken[start..]).unwrap() {
            (frames, start) = (frames + 1, start + len);
        }
        (frames, taken.len() - start)
    }
}

pub(crate) fn node(members: &[NodeId]) -> crate::Node<Still> {
    node_of(ME, members)
}

pub(crate) fn node_of(id: NodeId, members: &[NodeId]) -> crate::Node<Still> {
    let mut config = config(id);
    config.members.extend_from_slice(members).unwrap();
    let view = ClusterView { epoch: Epoch(1), members: members.iter().copied().map(member).collect() };
    node_with(config, 1, || Members::fixed(id, false, view.clone()))
}

/// A node by itself that retains so many locks without an owner at most.
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) fn keeping(most: u32) -> crate::Node<Still> {
    let mut config = config(ME);
    config.members.push(ME).unwrap();
    config.spaces[0].retained_max = most;
    let view = ClusterView { epoch: Epoch(1), members: vec![member(ME)] };
    node_with(config, 1, || Members::fixed(ME, false, view.clone()))
}

fn config(id: NodeId) -> Config {
    let mut config = Config::new(ClusterId(1), id, Incarnation(1));
    let mut space = SpaceConfig::new("default").unwrap();
    space.slots = 16;
    config.spaces.push(space).unwrap();
    config
}

/// A node that is told of views: a member of one with nobody else, in its first life.
pub(crate) fn lone_member() -> crate::Node<Still> {
    let node = outsider();
    node.machines().lead().hear_view(1, view(1, 1, &[]));
    node
}

/// A node that is told of views, and was told of none yet.
pub(crate) fn outsider() -> crate::Node<Still> {
    node_outside(1)
}

/// The same with so many machines.
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) fn several_outside(machines: u8) -> crate::Node<Still> {
    node_outside(machines)
}

fn node_outside(machines: u8) -> crate::Node<Still> {
    let mut config = config(ME);
    config.places = 2;
    node_with(config, machines, || Members::outside(ME, false))
}

/// A view of this node, in this life, and of others.
pub(crate) fn view(epoch: u32, incarnation: u64, others: &[NodeId]) -> ClusterView {
    let own = ClusterMember { incarnation: Incarnation(incarnation), ..member(ME) };
    let others = others.iter().copied().map(member);
    ClusterView { epoch: Epoch(epoch), members: [own].into_iter().chain(others).collect() }
}

/// A member of the first view, which a node dials in vain.
pub(crate) fn member(node: NodeId) -> ClusterMember {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    ClusterMember { node, incarnation: Incarnation(1), joined: Epoch(1), is_leaving: false, address }
}

fn node_with(config: Config, machines: u8, members: impl Fn() -> Members) -> crate::Node<Still> {
    let division = StdArc::new(Division::new(config, machines).unwrap());
    let machine = |at: usize| {
        let config = division.config(at);
        let memory = HeapMemory::new(&Limits::uniform(64), &config);
        let node = Node::new(config, memory).unwrap();
        Arc::new(Shared::new(Arc::new(Still), node, 64, members(), Balance::new(0)))
    };
    let each = (0..division.machines()).map(machine).collect();
    crate::Node::new(StdArc::new(Machines::new(each, division)))
}

/// A node that has heard its peer, over this pipe.
pub(crate) fn node_with_peer(pipe: &Arc<Pipe>) -> (crate::Node<Still>, LinkId) {
    let node = node(&[ME, PEER]);
    let link = link_up(&node, PEER, pipe);
    (node, link)
}

/// A peer has said hello to a node, which writes to it on this pipe.
pub(crate) fn link_up(node: &crate::Node<Still>, peer: NodeId, pipe: &Arc<Pipe>) -> LinkId {
    let link = node.machines().lead().turn(|state, _| {
        let hello = Hello { node: peer, ..state.node.hello() };
        state.node.handle_hello(Instant::from_nanos(1), &hello).unwrap();
        state.links.attach(peer, Arc::clone(pipe), Outgoing::new(None)).0
    });
    link.unwrap()
}

/// The first slot of this node.
pub(crate) fn own_slot(node: &crate::Node<Still>) -> SlotRange {
    let mut slots = (0..).map(SlotId);
    let own = slots.find(|slot| node.slot(*slot).unwrap().master == Some(ME));
    SlotRange::one(own.unwrap())
}

/// A name whose master is the peer.
pub(crate) fn name_at_peer(node: &crate::Node<Still>, from: u32) -> String {
    name_at(node, PEER, from)
}

/// A name whose master is this member.
pub(crate) fn name_at(node: &crate::Node<Still>, master: NodeId, from: u32) -> String {
    let mut names = (from..).map(|number| format!("name {number}"));
    names.find(|name| node.master_of(SpaceId(0), name) == Some(master)).unwrap()
}

pub(crate) fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

pub(crate) fn granted<F: Future<Output = Result<T, LockError>>, T>(future: F) -> T {
    match poll(pin!(future), Waker::noop()) {
        Poll::Ready(Ok(guard)) => guard,
        Poll::Ready(Err(error)) => panic!("{error}"),
        Poll::Pending => panic!("a free lock is granted in the call"),
    }
}
