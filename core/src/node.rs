//! The node: a shell that chooses the memory, around a machine that is compiled once.

use crate::config::{Config, Retention, SpaceConfig};
use crate::drive::Budget;
use crate::error::{ConfigError, ConvertError, Dropped, HelloError, ReleaseError, RequestError, UnknownLock};
use crate::event::{Asked, Cancelled, Conversion, Event, Grant, Request};
use crate::holder::Use;
use crate::id::{Incarnation, LockId, NodeId, SlotId, SlotRange, SpaceId, Token};
use crate::machine::{AT_REST_LEN, Machine, State, places};
use crate::memory::Storage;
use crate::mode::Mode;
use crate::name::NameError;
use crate::snapshot::Visit;
use crate::stats::Stats;
use crate::time::Instant;
use crate::transfer::{Progress, SlotView, TransferError, TransferId, WithdrawError};
use crate::value::{ValueState, ValueWrite};
use crate::view::{Certainty, RejoinError, Standing, View, ViewError};
use crate::wire::Hello;

/// One node of the cluster: a pure state machine over the memory `S`.
///
/// The crate's documentation has the contract: inputs, verbs, outputs and laws.
#[derive(Debug)]
#[cfg_attr(feature = "check", derive(Clone))]
#[repr(C)]
pub struct Node<S> {
    // First: it begins with what is changed most.
    state: State,
    memory: S,
}

impl<S: Storage> Node<S> {
    /// Bytes at the beginning of a node that change where a retained lock of the first space is taken and given back
    /// ([`Node::request_at_rest`], [`Node::release_at_rest`]). As long as no time counts, nothing else does but records.
    ///
    /// Threads hand each line of the cache that they change from core to core, so have these bytes in one line.
    pub const AT_REST_LEN: usize = AT_REST_LEN;

    /// A node that knows its configuration and nothing else.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration contradicts itself or the memory does not fit it.
    pub fn new(config: Config, mut memory: S) -> Result<Self, ConfigError> {
        let state = State::new(config, &mut memory.tables())?;
        Ok(Self { memory, state })
    }

    /// State and tables, put together for one call.
    // Inlined, so that it is put together in place.
    #[inline]
    pub(crate) fn machine(&mut self) -> Machine<'_> {
        Machine::new(&mut self.state, self.memory.tables())
    }

    // ---- world to node ----

    /// A connection to a peer is there, and this is what it said first.
    ///
    /// Call it again for each new connection. Once every member was heard, the node begins to grant.
    ///
    /// # Errors
    /// [`HelloError`] if the peer cannot be spoken to: close the connection. The state is unchanged.
    pub fn handle_hello(&mut self, now: Instant, hello: &Hello) -> Result<(), HelloError> {
        self.machine().handle_hello(now, hello)
    }

    /// The connection to a peer is gone. Nothing is lost by it; what is unanswered is said again later.
    pub fn handle_disconnect(&mut self, now: Instant, peer: NodeId) {
        self.machine().handle_disconnect(now, peer);
    }

    /// A frame came from a peer.
    ///
    /// # Errors
    /// [`Dropped`] says why the whole frame had no effect. Single messages that make no sense are counted in
    /// [`Stats`] and passed over.
    pub fn handle_frame(&mut self, now: Instant, from: NodeId, frame: &[u8]) -> Result<(), Dropped> {
        self.machine().handle_frame(now, from, frame)
    }

    /// There is a new view. A node that was configured without members is none before the first one.
    ///
    /// Members that are not in it any more have lost their locks: the engine vouches for that. A view without this
    /// incarnation ends its life, if it was a member; see [`Node::rejoin`].
    ///
    /// # Errors
    /// [`ViewError`]; nothing has changed.
    pub fn handle_view(&mut self, now: Instant, view: &View) -> Result<(), ViewError> {
        self.machine().handle_view(now, view)
    }

    /// The engine vouches for this node's membership for so long: for ever until it says otherwise.
    pub fn handle_certainty(&mut self, now: Instant, certainty: Certainty) {
        self.machine().handle_certainty(now, certainty);
    }

    /// The engine says that this node is no member any more. Its locks are lost; [`Event::Lost`] tells each owner.
    pub fn fence(&mut self, now: Instant) {
        self.machine().fence(now);
    }

    /// Begins the next life of a fenced node, which is no member before its next view. Requests that waited go on
    /// waiting.
    ///
    /// # Errors
    /// [`RejoinError`]; nothing has changed. Poll events until there are none, then try again.
    pub fn rejoin(&mut self, now: Instant, incarnation: Incarnation) -> Result<(), RejoinError> {
        self.machine().rejoin(now, incarnation)
    }

    /// It is now. Total: early, late, or twice for the same instant is fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.machine().handle_timeout(now);
    }

    // ---- application to node ----

    /// Asks for a new lock (VMS `$ENQ`).
    ///
    /// If it is granted in the call, no event follows for the grant.
    ///
    /// # Errors
    /// [`RequestError`]; there is no lock then.
    pub fn request(&mut self, now: Instant, request: &Request<'_>) -> Result<Asked, RequestError> {
        self.machine().request(now, request)
    }

    /// Grants a request at once, if this node retains the lock and nobody else is concerned: [`Node::request`] would grant
    /// it, too, but this leaves nothing to send, no event and no deadline, so nothing need be driven afterwards.
    ///
    /// The time counts only if [`Node::needs_time_at_rest`] says so. `None` if there is more to the request: nothing has
    /// happened then, make it by [`Node::request`].
    pub fn request_at_rest(&mut self, now: Instant, request: &Request<'_>) -> Option<Asked> {
        if self.retains_nothing() {
            return None;
        }
        self.machine().request_at_rest(now, request)
    }

    /// Does time end what this node holds: its membership, or what it retains for a while?
    #[must_use]
    pub fn needs_time_at_rest(&self) -> bool {
        let ends = |space: &SpaceConfig| matches!(space.retention, Retention::Idle(_));
        self.certain_until() != Instant::NEVER || self.state.config.spaces.iter().any(ends)
    }

    /// Changes the mode of a granted lock (VMS `$ENQ` with LCK$M_CONVERT).
    ///
    /// `write` has effect where [`Mode::value_transfer`] says `Write`. Returns the grant if it was made in the
    /// call; otherwise an event follows.
    ///
    /// # Errors
    /// [`ConvertError`]; the lock keeps its mode.
    pub fn convert(
        &mut self,
        now: Instant,
        lock: LockId,
        mode: Mode,
        conversion: Conversion,
        write: ValueWrite,
    ) -> Result<Option<Grant>, ConvertError> {
        self.machine().convert(now, lock, mode, conversion, write)
    }

    /// Ends a granted lock (VMS `$DEQ`). `write` has effect from PW and EX.
    ///
    /// # Errors
    /// [`ReleaseError`]; the lock is as it was.
    pub fn release(&mut self, lock: LockId, write: ValueWrite) -> Result<(), ReleaseError> {
        self.machine().release(lock, write)
    }

    /// Ends a granted lock, if this node retains it and nobody else is concerned: [`Node::release`] would end it, too, but
    /// this writes no value block and leaves nothing to be driven.
    ///
    /// `false` if there is more to it: nothing has happened then, end it by [`Node::release`].
    #[must_use]
    pub fn release_at_rest(&mut self, lock: LockId) -> bool {
        !self.retains_nothing() && self.machine().release_at_rest(lock)
    }

    /// Where no space retains anything, it is not worth a look what is retained.
    fn retains_nothing(&self) -> bool {
        self.state.config.spaces.iter().all(|space| space.retention == Retention::Never)
    }

    /// Lends a granted lock to the adapter, if nobody else is concerned: from now on it may be taken and given back without
    /// a call, [`LOAN`](crate::LOAN) times, each under the next token (the local part one higher). For the node it is held
    /// all the time.
    ///
    /// Its owner is watched: [`Event::Demanded`] asks for the lock back, and so does [`Node::wants_lent`]; give it back with
    /// [`Node::take_back`] then. Until that, a demand is not answered, so it must come soon. [`Event::Lost`] ends a lent
    /// lock as any other. A conversion, [`Node::watch`] and every end of the lock take it back, too.
    ///
    /// `false` if it cannot be lent: it waits or converts, is neither PR, PW nor EX, was asked for with flags, is watched,
    /// somebody waits for it, it is not the last that was granted on its resource, or its space does not retain until it is
    /// demanded.
    #[must_use]
    pub fn lend(&mut self, lock: LockId) -> bool {
        self.machine().lend(lock)
    }

    /// Takes a lent lock back, and says whether somebody uses it. A lock that is not lent stays as it is.
    ///
    /// # Errors
    /// [`UnknownLock`] if it has ended: it is lost.
    pub fn take_back(&mut self, lock: LockId, used: Use) -> Result<(), UnknownLock> {
        self.machine().take_lent(lock, used)
    }

    /// A lent lock that is in the way of a request, to be taken back before a request is made that does not queue
    /// ([`Flags::NO_QUEUE`](crate::Flags::NO_QUEUE)), or whose patience may end before it is asked back. Others may be, too.
    #[must_use]
    pub fn lent_against(&mut self, space: SpaceId, name: &[u8], mode: Mode) -> Option<LockId> {
        if self.state.lent == 0 { None } else { self.machine().lent_against(space, name, mode) }
    }

    /// The same for a conversion of a lock, which is not lent itself.
    #[must_use]
    pub fn lent_beside(&mut self, lock: LockId, mode: Mode) -> Option<LockId> {
        if self.state.lent == 0 { None } else { self.machine().lent_beside(lock, mode) }
    }

    /// Was there no room for a record, and nothing retained that could be given up, since this was last asked? Then some of
    /// what is lent and not used should be taken back.
    pub const fn wants_lent(&mut self) -> bool {
        core::mem::replace(&mut self.state.wants_lent, false)
    }

    /// Ends a lock whatever it is doing (DLM_LKF_FORCEUNLOCK): no further event names it.
    ///
    /// # Errors
    /// [`UnknownLock`] if it has ended already.
    pub fn abandon(&mut self, lock: LockId) -> Result<(), UnknownLock> {
        self.machine().abandon(lock)
    }

    /// Ends a wait (VMS `$DEQ` with LCK$M_CANCEL). It is over when the call returns.
    ///
    /// # Errors
    /// [`UnknownLock`] if the lock has ended already.
    pub fn cancel(&mut self, lock: LockId) -> Result<Cancelled, UnknownLock> {
        self.machine().cancel(lock)
    }

    /// Asks to be told when somebody waits for a mode that this lock is in the way of.
    ///
    /// Returns the mode that is waited for already, if any; later ones come as [`Event::Demanded`].
    ///
    /// # Errors
    /// [`UnknownLock`] if the lock has ended.
    pub fn watch(&mut self, lock: LockId) -> Result<Option<Mode>, UnknownLock> {
        self.machine().watch(lock)
    }

    /// Moves the management of a range of slots, which this node masters, to another node, while their locks stay
    /// in use (seed patent on re-distributing lock management, claims 1 and 8).
    ///
    /// Returns at once; [`Event::Transfer`] tells how it goes on.
    ///
    /// # Errors
    /// [`TransferError`]; nothing has changed.
    pub fn transfer(
        &mut self,
        now: Instant,
        range: SlotRange,
        to: NodeId,
    ) -> Result<TransferId, TransferError> {
        self.machine().transfer(now, range, to)
    }

    /// Takes a transfer back that has not moved a record yet; [`Event::Transfer`] tells its end.
    ///
    /// # Errors
    /// [`WithdrawError`]; nothing has changed.
    pub fn withdraw(&mut self, now: Instant, transfer: TransferId) -> Result<(), WithdrawError> {
        self.machine().withdraw(now, transfer)
    }

    /// Begins transfers that bring the map nearer to balance with as few slots as can be, or that empty this node if it
    /// leaves, and returns how many transfers it gives now: no more than `most`, unless there were more.
    ///
    /// Call it after a view, after the end of a transfer, and now and then.
    pub fn balance(&mut self, now: Instant, most: usize) -> usize {
        self.machine().balance(now, most)
    }

    /// Gives up some of the locks that this node merely retains, and says whether none is left.
    pub fn release_retained(&mut self, now: Instant) -> bool {
        self.machine().release_retained(now)
    }

    /// Says to all members that this node has nothing any more, no lock, no request, and no write that is not acknowledged,
    /// and gives those that have not acknowledged that yet; `None` if it has something, or masters something that somebody
    /// has.
    ///
    /// A node that leaves calls it until there are none, and goes then (rule W20): else a lock that it gave up last may be
    /// taken for that of a writer that died, if the release was lost, and the value block marked invalid.
    pub fn part(&mut self, now: Instant) -> Option<impl Iterator<Item = NodeId>> {
        let unheard = self.machine().part(now)?;
        Some(places(unheard).map(|member| self.state.nodes[usize::from(member)]))
    }

    // ---- node to world ----

    /// The next thing to tell an owner. When there is none, all work that earlier calls left is done:
    /// [`run`](crate::drive::run) does it in pieces.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.machine().poll_event(&mut { Budget::ALL })
    }

    /// A connected peer that something waits for. Each is named once; call [`Node::poll_transmit`] for it
    /// until that returns nothing, now or when its socket can take it.
    pub fn poll_ready(&mut self) -> Option<NodeId> {
        self.machine().poll_ready()
    }

    /// Peers that [`Node::poll_ready`] may name; `None` if there is anything else to poll, or a timeout to handle.
    ///
    /// If somebody asks for frames for each of them until there is none, the node need not be driven.
    pub fn only_ready(&self, now: Instant) -> Option<impl Iterator<Item = NodeId>> {
        let is_all = self.state.is_quiet_but_for_peers(now);
        is_all.then(|| places(self.state.ready).map(|member| self.state.nodes[usize::from(member)]))
    }

    /// Fills one frame for a peer with as many messages as fit and returns its length.
    ///
    /// The messages are made now, from the records. A frame is at most [`FRAME_MAX`](crate::wire::FRAME_MAX)
    /// bytes and what the peer takes; a buffer of at least 1024 bytes always makes progress.
    pub fn poll_transmit(&mut self, now: Instant, to: NodeId, frame: &mut [u8]) -> Option<usize> {
        self.machine().poll_transmit(now, to, frame)
    }

    /// When [`Node::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.state.poll_timeout()
    }

    /// Is there nothing to poll and no timeout to handle? Cheaper than to find out by polling.
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.state.is_quiet(now)
    }

    // ---- getters ----

    /// What this node says first on every connection.
    #[must_use]
    pub fn hello(&self) -> Hello {
        self.state.hello()
    }

    /// The configuration, with its members in order.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.state.config
    }

    /// Does this node grant? Where members never change: was every member heard? Else: has it a view?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.is_open
    }

    /// The view that is installed; without members before the first one, and after the end of a life.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.state.views.view
    }

    /// What this node is in its cluster.
    pub fn standing(&mut self, now: Instant) -> Standing {
        // As long as nothing is near its end, no table need be looked at.
        if self.state.see_as_member(now) {
            return Standing::Member;
        }
        self.machine().standing(now)
    }

    /// Until when this node's locks are certainly its own; [`Instant::NEVER`] if no clock ends that.
    #[must_use]
    pub fn certain_until(&self) -> Instant {
        self.state.views.certain_until()
    }

    /// Is the map of the view agreed on here, and nothing known to be rebuilt?
    pub fn is_settled(&mut self) -> bool {
        self.machine().is_settled()
    }

    /// Is nothing on record here of members that have departed?
    pub fn is_purged(&mut self) -> bool {
        self.machine().is_purged()
    }

    /// Does this node master nothing, and give nothing away any more?
    pub fn is_drained(&mut self) -> bool {
        self.machine().is_drained()
    }

    /// Counters since the start. What was done with a lent lock is in them once it is taken back.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.rested.counted_with(self.state.stats)
    }

    /// The same as it will be once these lent locks are taken back, used like this.
    #[must_use]
    pub fn stats_with_lent(&mut self, lent: impl IntoIterator<Item = (LockId, Use)>) -> Stats {
        self.machine().rested_with_lent(lent).counted_with(self.state.stats)
    }

    /// Mode that a lock holds; `None` while a new request waits.
    ///
    /// # Errors
    /// [`UnknownLock`] if the lock has ended.
    pub fn held(&mut self, lock: LockId) -> Result<Option<Mode>, UnknownLock> {
        self.machine().held(lock)
    }

    /// Fencing token of a lock's last grant.
    ///
    /// # Errors
    /// [`UnknownLock`] if the lock has ended.
    pub fn token(&mut self, lock: LockId) -> Result<Token, UnknownLock> {
        self.machine().token(lock)
    }

    /// The value block as this node knows it: right after a grant that reads it, what the owner is given.
    ///
    /// # Errors
    /// [`UnknownLock`] if the lock has ended.
    pub fn value(&mut self, lock: LockId) -> Result<ValueState, UnknownLock> {
        self.machine().value(lock)
    }

    /// The master of a resource, as this node's map has it; `None` if no such space is configured.
    ///
    /// # Errors
    /// [`NameError`] if no resource can have that name.
    pub fn master_of(&mut self, space: SpaceId, name: &[u8]) -> Result<Option<NodeId>, NameError> {
        self.machine().master_of(space, name)
    }

    /// The slots of a space; `None` if no such space is configured.
    #[must_use]
    pub fn slots(&self, space: SpaceId) -> Option<SlotRange> {
        self.state.slots(space)
    }

    /// The slots of all spaces.
    #[must_use]
    pub fn all_slots(&self) -> SlotRange {
        SlotRange { first: SlotId(0), len: self.state.config.slots() }
    }

    /// The slot of a resource; `None` if no such space is configured.
    ///
    /// # Errors
    /// [`NameError`] if no resource can have that name.
    pub fn slot_of(&mut self, space: SpaceId, name: &[u8]) -> Result<Option<SlotId>, NameError> {
        self.machine().slot_of_name(space, name)
    }

    /// A slot: its master, its version, and what is on record here; `None` if there is no such slot.
    pub fn slot(&mut self, slot: SlotId) -> Option<SlotView> {
        self.machine().slot_view(slot)
    }

    /// Does this node decide now who gets a resource? At most one node of a cluster says so of any resource.
    ///
    /// # Errors
    /// [`NameError`] if no resource can have that name.
    pub fn decides(&mut self, space: SpaceId, name: &[u8]) -> Result<bool, NameError> {
        self.machine().decides_name(space, name)
    }

    /// How far a transfer of this node has come; `None` once its end was polled.
    #[must_use]
    pub fn progress(&self, transfer: TransferId) -> Option<Progress> {
        self.state.progress(transfer)
    }

    /// Shows every resource, physical lock and logical lock to `visit`, in the order of the tables.
    pub fn visit(&mut self, visit: &mut dyn Visit) {
        self.machine().visit(visit);
    }

    /// Walks all tables and panics if they contradict themselves.
    #[cfg(feature = "check")]
    pub fn check(&mut self) {
        self.machine().check();
    }

    /// A master's record of a resource in the form in which it would go to another master: two records with equal
    /// bytes are equal in everything. Returns the length; nothing if there is no record or no room for it.
    #[cfg(feature = "check")]
    #[must_use]
    pub fn record(&mut self, space: SpaceId, name: &[u8], buf: &mut [u8]) -> Option<usize> {
        self.machine().record(space, name, buf)
    }

    /// How many grants and arrivals a slot has had.
    #[cfg(feature = "check")]
    #[must_use]
    pub fn slot_counters(&mut self, slot: SlotId) -> Option<(u64, u64)> {
        self.machine().slot_counters(slot)
    }

    /// The number up to which records of a member were dropped in a slot.
    #[cfg(feature = "check")]
    #[must_use]
    pub fn floor(&mut self, slot: SlotId, node: NodeId) -> Option<crate::id::Number> {
        self.machine().floor_of(slot, node)
    }

    /// Feeds everything that can influence what the node does from now on to a hasher, so that a model checker can
    /// tell states apart: nodes that are told apart by places of records, by time or by counters only are the same.
    #[cfg(feature = "check")]
    pub fn fingerprint(&mut self, hasher: &mut dyn core::hash::Hasher) {
        self.machine().fingerprint(hasher);
    }

    /// The last number that the node has given to a position.
    #[cfg(feature = "check")]
    #[must_use]
    pub fn last_number(&self) -> crate::id::Number {
        self.state.last_number()
    }

    /// Digest of all tables, without counters: equal before and after a refused call.
    #[cfg(feature = "check")]
    #[must_use]
    pub fn digest(&mut self) -> u64 {
        self.machine().digest()
    }
}

#[cfg(test)]
mod tests;
