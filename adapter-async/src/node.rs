//! The node as an application sees it.

use core::fmt;
use core::time::Duration;
use std::sync::Arc as StdArc;

use lockmaster_core::{
    Flags, Incarnation, Instant, Mode, NodeId, SlotId, SlotRange, SlotView, SpaceId, Standing, Stats,
};

use crate::acquire::Acquire;
use crate::builder::Builder;
use crate::changed::Changed;
use crate::lane::{LANES, lane};
use crate::leave::{self, Left};
use crate::machines::Machines;
use crate::map::MasterMap;
use crate::membership::{ClusterMember, ClusterView};
use crate::options::LockOptions;
use crate::runtime::{Runtime, Writer};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::stats::{self, LinkStats};
use crate::sync::Arc;
use crate::transfer::Transfer;

/// A member of a cluster, running.
///
/// Clones are the same node. When the last of them, and the last guard, is dropped, the node shuts down;
/// [`Node::shutdown`] does so at once and waits for the end.
///
/// A node is one machine, or several side by side ([`Builder::machines`]), which is the same to whoever uses it. What is
/// asked of the node as a whole is asked of one machine after the other.
pub struct Node<R: Runtime> {
    handles: Arc<Handles<R>>,
}

/// What the clones of a handle have in common.
struct Handles<R: Runtime> {
    /// One for each machine and lane, those of a machine side by side.
    each: Box<[Arc<Handle<R>>]>,
    machines: StdArc<Machines<R>>,
}

/// A machine of a node, for the threads of one lane: whoever has one keeps the whole node running. The node's own tasks hold
/// only what is shared.
// A guard counts a handle, and nothing that other machines or lanes count, too. Handles are two lines of a cache apart,
// which many processors read together.
#[repr(align(128))]
pub(crate) struct Handle<R: Runtime> {
    pub(crate) shared: Arc<Shared<R>>,
    _whole: Arc<Whole<R>>,
}

/// Ends the node when the last one who can use any of its machines is gone.
struct Whole<R: Runtime>(StdArc<Machines<R>>);

impl<R: Runtime + Default> Node<R> {
    /// Begins to describe a node of the cluster with this name; nodes of other clusters are not spoken to.
    pub fn builder(cluster: impl AsRef<str>) -> Builder<R> {
        Builder::new(cluster.as_ref(), R::default())
    }
}

impl<R: Runtime> Node<R> {
    pub(crate) fn new(machines: StdArc<Machines<R>>) -> Self {
        let whole = Arc::new(Whole(StdArc::clone(&machines)));
        let handle = |shared: &Arc<Shared<R>>| {
            Arc::new(Handle { shared: Arc::clone(shared), _whole: Arc::clone(&whole) })
        };
        let lanes = |shared| (0..LANES).map(move |_| handle(shared));
        let each = machines.each().iter().flat_map(lanes).collect();
        Self { handles: Arc::new(Handles { each, machines }) }
    }

    pub(crate) fn machines(&self) -> &StdArc<Machines<R>> {
        &self.handles.machines
    }

    /// The machine of a resource, for who keeps the node running.
    pub(crate) fn handle_of(&self, space: SpaceId, name: &[u8]) -> &Arc<Handle<R>> {
        let machine = self.handles.machines.division.machine_of(space, name);
        &self.handles.each[machine * LANES + lane()]
    }

    /// Asks for a lock on a resource of the first space and waits for it.
    ///
    /// Nothing is sent if this node holds the resource strongly enough, be it only because it retained it.
    ///
    /// # Errors
    /// The future resolves to a [`LockError`](crate::LockError) if the lock was not granted.
    pub fn lock<N: AsRef<[u8]>>(&self, name: N, mode: Mode) -> Acquire<'_, R, N> {
        self.lock_with(name, LockOptions::new(mode))
    }

    /// Asks for a lock on a resource of the first space, to be granted at once or not at all.
    ///
    /// If another node is the master, its answer is waited for. A lock that other nodes merely retain is
    /// given.
    ///
    /// # Errors
    /// The future resolves to [`LockError::Busy`](crate::LockError::Busy) if somebody holds the lock in an
    /// incompatible mode or waits for it, and to another [`LockError`](crate::LockError) as for
    /// [`Node::lock`].
    pub fn try_lock<N: AsRef<[u8]>>(&self, name: N, mode: Mode) -> Acquire<'_, R, N> {
        self.lock_with(name, LockOptions::new(mode).flags(Flags::NO_QUEUE))
    }

    /// Asks for a lock in every detail.
    ///
    /// # Errors
    /// The future resolves to a [`LockError`](crate::LockError) if the lock was not granted.
    pub fn lock_with<N: AsRef<[u8]>>(&self, name: N, options: LockOptions) -> Acquire<'_, R, N> {
        Acquire::new(self, name, options)
    }

    /// Gives the management of slots, which this node masters, to another node, while their locks stay in use (seed
    /// patent on re-distributing lock management, claims 1 and 8).
    ///
    /// Whoever holds a lock keeps it, and whoever waits keeps its place. If the future is dropped before it
    /// resolves, the transfer goes on; [`Transfer::withdraw`] takes it back as long as no record has moved.
    ///
    /// # Errors
    /// The future resolves to a [`TransferError`](crate::TransferError) if the slots were not transferred.
    pub fn transfer(&self, range: SlotRange, to: NodeId) -> Transfer<'_, R> {
        Transfer::new(self, range, to)
    }

    /// Resolves once this node can grant locks: it is a member and knows who masters what. Where members never change,
    /// that is when each of them was heard. Also resolves once the node is shut down.
    ///
    /// Locks may be asked for before: they wait.
    pub async fn opened(&self) {
        self.machines().opened().await;
    }

    /// Shuts the node down and waits for its end.
    ///
    /// Whoever waits for a lock gets [`LockError::Closed`](crate::LockError::Closed), guards are lost, and
    /// connections end. Where members come and go, the node leaves, and others may have its locks at once; what it
    /// mastered is rebuilt by them. [`Node::leave`] is kinder. Where members never change, the others are not told what
    /// this node held: to them it is a node that cannot be reached. Release what matters first.
    pub async fn shutdown(&self) {
        self.machines().close();
        self.machines().ended().await;
    }

    /// Leaves the cluster: gives away what the node masters, gives up what it merely retains, and shuts down once its guards
    /// are dropped and the others know that it has nothing any more. If that takes longer than `within`, it leaves all the
    /// same, and guards are lost.
    ///
    /// Nobody has to be asked or told. Slots that are offered to the node are refused, requests for locks are not: until the
    /// end it grants as before. Where members never change nothing can be given away, and the others wait for the node to
    /// come back.
    pub async fn leave(&self, within: Duration) -> Left {
        leave::leave(self, within).await
    }

    /// Gives away what the node masters, for good: it stays a member and grants to its owners as before, but is given no
    /// slots any more. Resolves when it masters nothing, with `false` if nobody is there to take it, if members never
    /// change, or if the node is no member any more. If the future is dropped, the node goes on giving slots away.
    pub async fn drain(&self) -> bool {
        leave::drain(self).await
    }

    /// Resolves when the node has another view or standing than when it was called; also once it is shut down.
    ///
    /// Call it, then look, then wait: so that nothing is missed in between.
    pub fn changed(&self) -> Changed<'_, R> {
        Changed::new(self)
    }

    /// What the node is in its cluster now: the least that one of its machines is.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let now = self.now();
        let standings = self.machines().look(|state| state.node.standing(now));
        standings.max_by_key(|standing| worse(*standing)).expect("a node has a machine")
    }

    /// Until when the node's membership is certain, as far as is known now; [`Instant::NEVER`] if no clock ends it.
    #[must_use]
    pub fn certain_until(&self) -> Instant {
        self.machines().look(|state| state.node.certain_until()).min().expect("a node has a machine")
    }

    /// The node's clock, which goes on while the machine sleeps.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.machines().runtime().now()
    }

    /// The view; absent while the node is no member.
    ///
    /// Where members never change it is what the builder was given, as of epoch 1, and the others' incarnations are 0.
    #[must_use]
    pub fn view(&self) -> Option<ClusterView> {
        let views = self.machines().look(|state| state.members.view().cloned());
        // A view that not every machine has yet is not the node's.
        views.min_by_key(|view| view.as_ref().map(|view| view.epoch)).flatten()
    }

    /// The members of the view, this node among them, in the order of their numbers; none while it is no member.
    #[must_use]
    pub fn members(&self) -> Vec<ClusterMember> {
        self.view().map_or_else(Vec::new, |view| view.members)
    }

    /// Is the map of this view agreed, and nothing being rebuilt here?
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.machines().look(|state| state.node.is_settled()).all(|is_settled| is_settled)
    }

    /// Is nothing on record here of members that have departed?
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.machines().look(|state| state.node.is_purged()).all(|is_purged| is_purged)
    }

    /// This life of the node.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        let lives = self.machines().look(|state| state.node.config().incarnation);
        // One that not every machine has begun yet is not the node's.
        lives.min().expect("a node has a machine")
    }

    /// Number of this node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.machines().id()
    }

    /// How many machines the node runs.
    #[must_use]
    pub fn machine_count(&self) -> usize {
        self.machines().division.machines()
    }

    /// The machine that a resource is one of, counted from 0 and below [`Node::machine_count`].
    ///
    /// Calls for resources of one machine are made one after the other, and what they change is in the cache of the core
    /// that made the last of them. So threads are quickest that keep to machines of their own: have the work for a resource
    /// done by the thread of its machine, where that is yours to choose. It is the same at every node of the cluster.
    #[must_use]
    pub fn machine_of(&self, space: SpaceId, name: impl AsRef<[u8]>) -> usize {
        self.machines().division.machine_of(space, name.as_ref())
    }

    /// The space with this name, if the builder was given one.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<SpaceId> {
        let state = self.machines().lead().lock();
        let mut spaces = state.node.config().spaces.iter();
        let at = spaces.position(|space| space.name.as_bytes() == name.as_bytes())?;
        u16::try_from(at).ok().map(SpaceId)
    }

    /// The master of a resource, as this node's map has it; absent if there can be no such resource.
    #[must_use]
    pub fn master_of(&self, space: SpaceId, name: impl AsRef<[u8]>) -> Option<NodeId> {
        let name = name.as_ref();
        let mut state = self.machines().of(space, name).lock();
        if usize::from(space.0) >= state.node.config().spaces.len() {
            return None;
        }
        state.node.master_of(space, name).ok().flatten()
    }

    /// The slots of a space; absent if there is no such space.
    #[must_use]
    pub fn slots(&self, space: SpaceId) -> Option<SlotRange> {
        self.machines().division.slots(space)
    }

    /// The slots of all spaces.
    #[must_use]
    pub fn all_slots(&self) -> SlotRange {
        self.machines().division.all_slots()
    }

    /// The slot of a resource; absent if there can be no such resource.
    #[must_use]
    pub fn slot_of(&self, space: SpaceId, name: impl AsRef<[u8]>) -> Option<SlotId> {
        let (name, machines) = (name.as_ref(), self.machines());
        let machine = machines.division.machine_of(space, name);
        let slot = machines.each()[machine].lock().node.slot_of(space, name).ok().flatten()?;
        machines.division.whole_slot(machine, slot)
    }

    /// A slot: its master, whether it moves, and what is on record here; absent if there is no such slot.
    #[must_use]
    pub fn slot(&self, slot: SlotId) -> Option<SlotView> {
        let (machine, slot) = self.machines().division.place(slot)?;
        self.machines().each()[machine].lock().node.slot(slot)
    }

    /// Who masters how many slots, as this node's map has it, and what is on record here for the slots that are its
    /// own.
    ///
    /// All slots are looked at under the mutex of their machine, and every call to it waits meanwhile: for people and tests,
    /// and now and then for who balances.
    #[must_use]
    pub fn map(&self) -> MasterMap {
        let maps = self.machines().look(|state| MasterMap::of(&mut state.node));
        maps.reduce(MasterMap::merged).expect("a node has a machine")
    }

    /// What this node counted since its start. What its machines counted is added up, but for views and ends of
    /// membership; a transfer counts once for each machine that has a part of it.
    ///
    /// Locks that are taken without the machine count as all others do. For that those that lie ready are looked at under
    /// its mutex, and every call to it waits meanwhile.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let each = self.machines().look(|state| state.node.stats_with_lent(state.lending.lent_as_used()));
        each.reduce(stats::sum).expect("a node has a machine")
    }

    /// What it counted about its connections. With several machines there are as many to each member.
    #[must_use]
    pub fn link_stats(&self) -> LinkStats {
        let up = self.machines().reachable().len();
        let each = self.machines().look(|state| state.stats);
        LinkStats { up, ..each.reduce(LinkStats::sum).expect("a node has a machine") }
    }

    /// The lock table of this node: resources, queues, who waits for whom.
    ///
    /// All tables of a machine are walked and copied under its mutex, and every call to it waits meanwhile: about a
    /// millisecond for some ten thousand locks. For people and tests, not for a loop.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        for machine in self.machines().each() {
            // What nobody uses is to be seen as what is merely retained, and who uses it under the token that he has.
            let _: Option<()> = machine.turn(|state, _| state.take_back_all());
        }
        let each = self.machines().look(|state| Snapshot::of(&mut state.node));
        each.reduce(Snapshot::merged).expect("a node has a machine")
    }

    /// Ends the connections to a member, which is then dialled anew. Locks are not touched by it.
    pub fn disconnect(&self, peer: NodeId) {
        for writer in self.machines().look(|state| state.links.writer(peer)).flatten() {
            writer.close();
        }
    }
}

/// How far a standing is from that of a member.
const fn worse(standing: Standing) -> u8 {
    match standing {
        Standing::Member => 0,
        Standing::Suspect => 1,
        Standing::Outside => 2,
        Standing::Fenced => 3,
    }
}

impl<R: Runtime> Clone for Node<R> {
    fn clone(&self) -> Self {
        Self { handles: Arc::clone(&self.handles) }
    }
}

impl<R: Runtime> fmt::Debug for Node<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl<R: Runtime> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl<R: Runtime> Drop for Whole<R> {
    fn drop(&mut self) {
        self.0.close();
    }
}
