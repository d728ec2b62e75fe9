//! The connections to the other members, and who may write on each.
//!
//! A link's buffer is written by one at a time, who takes it as a [`Claim`]; nobody writes under the node's
//! mutex. Whoever has the claim asks for the next frame until there is none, so that nobody else need be told
//! of what comes meanwhile:
//!
//! ```text
//!           claim                  leave
//!   Idle ───────────▶ Claimed ◀────────────▶ Left
//!    ▲                   │        poll_left   (the socket took less: the writer task goes on)
//!    └───────────────────┘
//!           settle (nothing is left to say)
//! ```
//!
//! What nobody waits for, or what shares its way with much else, is left to the writer task at once, with an
//! empty buffer; a call in a hurry takes that claim over.

use core::task::{Poll, Waker};

use lockmaster_core::{Incarnation, NodeId};

use crate::outgoing::Outgoing;
use crate::stale::Stale;
use crate::sync::Arc;

/// Names one connection; a later one to the same peer is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId {
    pub(crate) peer: NodeId,
    serial: u64,
}

pub(crate) struct Links<W> {
    /// The other members, in order.
    peers: Vec<Peer<W>>,
    serial: u64,
}

struct Peer<W> {
    node: NodeId,
    /// 0 where members never change.
    incarnation: Incarnation,
    link: Option<Link<W>>,
}

struct Link<W> {
    id: LinkId,
    writer: Arc<W>,
    output: Output,
    task: Option<Waker>,
}

#[derive(Debug)]
enum Output {
    Idle(Box<Outgoing>),
    Claimed,
    Left(Box<Outgoing>),
}

/// The right to write on a connection, with what is to be written.
pub(crate) struct Claim<W> {
    pub(crate) link: LinkId,
    pub(crate) writer: Arc<W>,
    pub(crate) outgoing: Box<Outgoing>,
}

/// What is left of a connection: to be closed, and its writer task woken, outside the mutex.
pub(crate) struct Detached<W> {
    pub(crate) writer: Arc<W>,
    pub(crate) task: Option<Waker>,
}

impl<W> Links<W> {
    /// No connection to anybody yet.
    pub(crate) const fn new() -> Self {
        Self { peers: Vec::new(), serial: 0 }
    }

    /// These are the other members from now on, each once. Connections to those that stay go on; hands out the others.
    pub(crate) fn follow(
        &mut self,
        members: impl Iterator<Item = (NodeId, Incarnation)>,
    ) -> Vec<(NodeId, Detached<W>)> {
        let before = core::mem::take(&mut self.peers);
        self.peers.extend(members.map(|(node, incarnation)| Peer { node, incarnation, link: None }));
        self.peers.sort_unstable_by_key(|peer| peer.node);
        let mut dropped = Vec::new();
        for Peer { node, incarnation, link } in before {
            let Some(link) = link else { continue };
            match self.links_peer(node) {
                Some(peer) if peer.incarnation == incarnation => peer.link = Some(link),
                Some(_) | None => dropped.push((node, link.detached())),
            }
        }
        dropped
    }

    /// A connection to a peer is there, and how to write on it. Returns its name, and the connection that it replaces.
    pub(crate) fn attach(
        &mut self,
        peer: NodeId,
        writer: Arc<W>,
        outgoing: Outgoing,
    ) -> (LinkId, Option<Detached<W>>) {
        self.serial += 1;
        let id = LinkId { peer, serial: self.serial };
        let output = Output::Idle(Box::new(outgoing));
        let place = self.links_peer(peer).expect("a peer that was greeted is a member");
        let before = place.link.replace(Link { id, writer, output, task: None });
        (id, before.map(Link::detached))
    }

    /// A connection is gone; nothing if it was replaced before.
    pub(crate) fn detach(&mut self, id: LinkId) -> Option<Detached<W>> {
        self.link(id)?;
        self.links_peer(id.peer)?.link.take().map(Link::detached)
    }

    /// The connection to a peer, to be closed.
    pub(crate) fn writer(&mut self, peer: NodeId) -> Option<Arc<W>> {
        Some(Arc::clone(&self.links_peer(peer)?.link.as_ref()?.writer))
    }

    /// All connections end.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = (NodeId, Detached<W>)> {
        self.peers.iter_mut().filter_map(|peer| Some((peer.node, peer.link.take()?.detached())))
    }

    /// Peers with a connection, in order.
    pub(crate) fn connected(&self) -> impl Iterator<Item = NodeId> {
        self.peers.iter().filter(|peer| peer.link.is_some()).map(|peer| peer.node)
    }

    /// Is this the peer's connection?
    pub(crate) fn is_current(&mut self, id: LinkId) -> bool {
        self.link(id).is_some()
    }

    /// Something waits for a peer: takes its claim, unless another has it and will see to it.
    pub(crate) fn claim(&mut self, peer: NodeId) -> Option<Claim<W>> {
        let link = self.links_peer(peer)?.link.as_mut()?;
        match core::mem::replace(&mut link.output, Output::Claimed) {
            Output::Idle(outgoing) => {
                Some(Claim { link: link.id, writer: Arc::clone(&link.writer), outgoing })
            }
            Output::Left(outgoing) if outgoing.is_empty() => {
                Some(Claim { link: link.id, writer: Arc::clone(&link.writer), outgoing })
            }
            busy @ (Output::Claimed | Output::Left(_)) => {
                link.output = busy;
                None
            }
        }
    }

    /// Something waits for a peer, and there is time: the writer task will see to it. Returns the task, to be
    /// woken; nothing if somebody sees to the peer already.
    #[must_use]
    pub(crate) fn defer(&mut self, peer: NodeId) -> Option<Waker> {
        let link = self.links_peer(peer)?.link.as_mut()?;
        match core::mem::replace(&mut link.output, Output::Claimed) {
            Output::Idle(outgoing) => {
                link.output = Output::Left(outgoing);
                link.task.take()
            }
            busy @ (Output::Claimed | Output::Left(_)) => {
                link.output = busy;
                None
            }
        }
    }

    /// Does somebody see to this peer already, who will ask for the next frame until there is none?
    pub(crate) fn is_seen_to(&self, peer: NodeId, is_deferred: bool) -> bool {
        let Ok(at) = self.peers.binary_search_by_key(&peer, |peer| peer.node) else { return false };
        match self.peers[at].link.as_ref().map(|link| &link.output) {
            Some(Output::Claimed) => true,
            // A call in a hurry takes over what is left without a frame.
            Some(Output::Left(outgoing)) => is_deferred || !outgoing.is_empty(),
            Some(Output::Idle(_)) | None => false,
        }
    }

    /// Nothing is left to say: the claim ends.
    pub(crate) fn settle(&mut self, claim: Claim<W>) {
        if let Some(link) = self.link(claim.link) {
            assert!(matches!(link.output, Output::Claimed), "a claim is settled once");
            link.output = Output::Idle(claim.outgoing);
        }
    }

    /// The writer task has to go on with this. Returns the task, to be woken; gives the claim back if its connection
    /// is gone, because the socket may go with it, and that is nothing to do under the mutex.
    pub(crate) fn leave(&mut self, claim: Claim<W>) -> Result<Option<Waker>, Claim<W>> {
        let Some(link) = self.link(claim.link) else { return Err(claim) };
        assert!(matches!(link.output, Output::Claimed), "a claim is left once");
        link.output = Output::Left(claim.outgoing);
        Ok(link.task.take())
    }

    /// Is something left for the writer task that nobody is in a hurry for?
    pub(crate) fn is_deferred(&mut self, id: LinkId) -> bool {
        let output = self.link(id).map(|link| &link.output);
        matches!(output, Some(Output::Left(outgoing)) if outgoing.is_empty())
    }

    /// What was left for the writer task of this connection; nothing once the connection is gone.
    pub(crate) fn poll_left(
        &mut self,
        id: LinkId,
        waker: &Waker,
        stale: &mut Stale,
    ) -> Poll<Option<Claim<W>>> {
        let Some(link) = self.link(id) else { return Poll::Ready(None) };
        match core::mem::replace(&mut link.output, Output::Claimed) {
            Output::Left(outgoing) => {
                Poll::Ready(Some(Claim { link: id, writer: Arc::clone(&link.writer), outgoing }))
            }
            other @ (Output::Idle(_) | Output::Claimed) => {
                link.output = other;
                stale.replace(&mut link.task, waker);
                Poll::Pending
            }
        }
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link<W>> {
        self.links_peer(id.peer)?.link.as_mut().filter(|link| link.id == id)
    }

    fn links_peer(&mut self, peer: NodeId) -> Option<&mut Peer<W>> {
        let at = self.peers.binary_search_by_key(&peer, |peer| peer.node).ok()?;
        Some(&mut self.peers[at])
    }
}

impl<W> Link<W> {
    fn detached(self) -> Detached<W> {
        Detached { writer: self.writer, task: self.task }
    }
}
