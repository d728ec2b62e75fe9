//! The machine behind a node's shell: its state and its tables put together, and how records come and go.

mod state;

pub(crate) use state::{AT_REST_LEN, State};

use crate::error::Full;
use crate::id::{DemandId, MEMBERS_MAX, NodeId, Number, SpaceId, Token};
use crate::memory::Tables;
use crate::name::{Name, hash};
use crate::record::{
    Chain, Course, Holding, Lock, NAME_INLINE, NOBODY, NameCell, Passage, Peer, Physical, RelayCell,
    Resource, RingAnswer, RingBody, Slot, ValueCell,
};
use crate::table::{Deadline, DeadlineHeap, Idx, NameIndex, Queue, Slab};
use crate::time::Instant;
use crate::transfer::Room;
use crate::value::{Value, ValueCopy, ValueState};

/// A member by its place among the peers.
pub(crate) type Member = u8;

/// Which way a count goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    More,
    Fewer,
}

/// Places whose bits are set, the lowest first.
pub(crate) fn places(mut bits: u64) -> impl Iterator<Item = Member> {
    core::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        u8::try_from(place).ok()
    })
}

/// State and tables together; lives for one call.
pub(crate) struct Machine<'a> {
    pub(crate) s: &'a mut State,
    pub(crate) resources: Slab<'a, Resource>,
    pub(crate) physical: Slab<'a, Physical>,
    pub(crate) locks: Slab<'a, Lock>,
    pub(crate) names: Slab<'a, NameCell>,
    pub(crate) values: Slab<'a, ValueCell>,
    pub(crate) relays: Slab<'a, RelayCell>,
    pub(crate) index: NameIndex<'a>,
    free_resources: &'a mut [u32],
    free_physical: &'a mut [u32],
    pub(crate) slots: Slab<'a, Slot>,
    pub(crate) floors: &'a mut [Number],
    pub(crate) patience: &'a mut [Deadline],
    pub(crate) peers: &'a mut [Peer],
}

impl<'a> Machine<'a> {
    // Where it is inlined, what a call has no use for is not looked up.
    #[inline]
    pub(crate) fn new(s: &'a mut State, tables: Tables<'a>) -> Self {
        let (members, slots) = (usize::from(s.members_len), s.slots_len as usize);
        Self {
            s,
            resources: Slab(tables.resources),
            physical: Slab(tables.physical),
            locks: Slab(tables.locks),
            names: Slab(tables.names),
            values: Slab(tables.values),
            relays: Slab(tables.relays),
            index: NameIndex(tables.buckets),
            free_resources: tables.free_resources,
            free_physical: tables.free_physical,
            slots: Slab(&mut tables.slots[..slots]),
            floors: tables.floors,
            patience: tables.patience,
            peers: &mut tables.peers[..members],
        }
    }

    /// Time never goes back, whatever a caller says.
    pub(crate) fn see(&mut self, now: Instant) {
        self.s.now = self.s.now.max(now);
        self.end_if_due();
    }

    // ---- members ----

    pub(crate) fn node_at(&self, member: Member) -> NodeId {
        self.s.nodes[usize::from(member)]
    }

    /// The node at a place, or [`NodeId::GONE`] if it has departed.
    pub(crate) fn node_or_gone(&self, member: Member) -> NodeId {
        let is_present = member != NOBODY && self.s.present >> member & 1 == 1;
        if is_present { self.node_at(member) } else { NodeId::GONE }
    }

    /// The member of the view with this number.
    pub(crate) fn member_of(&self, node: NodeId) -> Option<Member> {
        places(self.s.present).find(|member| self.node_at(*member) == node)
    }

    pub(crate) fn is_me(&self, member: Member) -> bool {
        member == self.s.me
    }

    pub(crate) fn peer(&mut self, member: Member) -> &mut Peer {
        &mut self.peers[usize::from(member)]
    }

    /// A peer has something to be told; it is named to the adapter once.
    pub(crate) fn mark_ready(&mut self, member: Member) {
        debug_assert!(usize::from(member) < MEMBERS_MAX, "members are few");
        if self.peer(member).is_connected {
            self.s.ready |= 1 << member;
        }
    }

    // ---- numbers ----

    /// A fresh number for a position on this resource.
    pub(crate) fn fresh_number(&mut self, at: Option<Idx<Resource>>) -> Number {
        #[cfg(lockmaster_faults)]
        if self.s.config.faults.has(crate::fault::Faults::NUMBER_PER_RESOURCE) {
            let last = at.map_or(Number(0), |at| self.resources[at].holding.number);
            return Number(last.0 + 1);
        }
        let _ = at;
        self.s.last_number.0 += 1;
        self.s.last_number
    }

    pub(crate) fn fresh_demand(&mut self) -> DemandId {
        self.s.last_demand = DemandId(self.s.last_demand.0.checked_add(1).unwrap_or(1));
        self.s.last_demand
    }

    // ---- resources ----

    pub(crate) fn hash_of(&self, space: SpaceId, name: &[u8]) -> u64 {
        hash(self.s.config.hash_seed, space, name)
    }

    /// The slot of a hash: the top bits choose among the slots of the space.
    pub(crate) fn slot_of(&self, space: SpaceId, hash: u64) -> u32 {
        let at = usize::from(space.0);
        let slots = u64::from(self.s.config.spaces[at].slots);
        let of_space = ((hash >> 32) * slots) >> 32;
        self.s.first_slots[at] + u32::try_from(of_space).expect("below the slots of the space")
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        &self.slots.0[slot as usize]
    }

    pub(crate) fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots.0[slot as usize]
    }

    /// Who decides about a resource, as far as this node knows: its slot's master, but record by record while the
    /// slot is moving from or to this node (rule R3).
    pub(crate) fn master_at(&self, resource: &Resource) -> Member {
        self.decider(self.slot(resource.slot), resource.passage)
    }

    /// The same for a name in a slot; without a record here its passage is [`Passage::None`].
    fn decider(&self, slot: &Slot, passage: Passage) -> Member {
        let is_mine = match slot.course {
            Course::Still | Course::Outgoing(_) => false,
            Course::Packing(_) => passage != Passage::Packed || crate::fault_on!(self, AUTHORITY_LATE),
            Course::Incoming(_) => passage == Passage::Installed,
            Course::Rebuilding if crate::fault_on!(self, REBUILD_HEARS) => true,
            // It is not known yet who decides, or nobody does, but for what was opened before its slot.
            Course::Reporting | Course::Rebuilding if passage != Passage::Early => return NOBODY,
            Course::Reporting | Course::Rebuilding => false,
        };
        if is_mine { self.s.me } else { slot.master }
    }

    /// Does this node decide about a name in a slot?
    pub(crate) fn decides(&self, slot: u32, found: Option<Idx<Resource>>) -> bool {
        let passage = found.map_or(Passage::None, |at| self.resources[at].passage);
        self.is_me(self.decider(self.slot(slot), passage))
    }

    pub(crate) fn is_master(&self, at: Idx<Resource>) -> bool {
        self.is_me(self.master_at(&self.resources[at]))
    }

    pub(crate) fn is_space(&self, space: SpaceId) -> bool {
        usize::from(space.0) < self.s.config.spaces.len()
    }

    pub(crate) fn find(&self, space: SpaceId, name: &[u8], hash: u64) -> Option<Idx<Resource>> {
        self.index
            .find(&self.resources, hash, |resource| resource.space == space && self.is_named(resource, name))
    }

    fn is_named(&self, resource: &Resource, name: &[u8]) -> bool {
        if usize::from(resource.name_len) != name.len() {
            return false;
        }
        self.name_bytes(resource) == name
    }

    pub(crate) fn name_bytes<'r>(&'r self, resource: &'r Resource) -> &'r [u8] {
        resource.short_name().unwrap_or_else(|| {
            let cell = resource.name_cell().expect("a longer name has a cell");
            self.names[cell].name.as_bytes()
        })
    }

    pub(crate) fn name_of(&self, resource: &Resource) -> Name {
        match resource.name_cell() {
            None => resource.copy_short_name(),
            Some(cell) => self.names[cell].name,
        }
    }

    /// Is there room for one more resource with this name?
    pub(crate) fn check_room(&self, name: &[u8]) -> Result<(), Full> {
        let reserved = self.kept();
        if self.s.free.resources.len() <= reserved.resources {
            return Err(Full::Resources);
        }
        if name.len() > NAME_INLINE && self.s.free.names.len() <= reserved.names {
            return Err(Full::Names);
        }
        Ok(())
    }

    /// Makes a resource; [`Machine::check_room`] has said that there is room.
    pub(crate) fn make_resource(&mut self, space: SpaceId, name: &[u8], hash: u64) -> Idx<Resource> {
        let at = self.s.free.resources.take(self.free_resources).expect("room was checked");
        self.s.has_parted = false;
        let slot = self.slot_of(space, hash);
        let cell = (name.len() > NAME_INLINE).then(|| {
            let cell = self.s.free.names.take(&mut self.names).expect("room was checked");
            self.names[cell].name = Name::new(name).expect("names are checked where they come in");
            cell
        });
        let resource = &mut self.resources[at];
        resource.hash = hash;
        resource.space = space;
        resource.slot = slot;
        resource.set_name(name, cell);
        self.index.insert(hash, at);
        let chain = &mut self.slots.0[slot as usize].resources;
        Queue::<_, Chain>::push_back(chain, &mut self.resources, at);
        let names = u32::from(cell.is_some());
        self.tally(slot, Room { resources: 1, names, ..Room::NONE }, Change::More);
        at
    }

    /// Keeps account of what a slot's records take, here and at the master that the slot may be going to.
    #[inline]
    pub(crate) fn tally(&mut self, slot: u32, records: Room, change: Change) {
        let entry = self.slot_mut(slot);
        match change {
            Change::More => entry.room += records,
            Change::Fewer => entry.room = entry.room.minus(records),
        }
        if entry.course != Course::Still {
            self.tally_outgoing(slot, records, change);
        }
    }

    /// Forgets a resource that neither role needs any more. One that is free already stays so.
    // Inlined is what most calls find: it is in use.
    #[inline]
    pub(crate) fn drop_if_unused(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        let is_said = resource.name_len > 0 && !resource.is_to_be_said();
        if is_said && resource.mastery.queues.is_empty() && resource.is_holding_nothing() {
            self.drop_unused(at);
        }
    }

    #[inline(never)]
    fn drop_unused(&mut self, at: Idx<Resource>) {
        let resource = &self.resources[at];
        if self.is_in_passage(resource) {
            self.note_mixed(self.resources[at].slot);
            return;
        }
        assert!(resource.mastery.members == 0, "a resource without physical locks has no members");
        let hash = resource.hash;
        self.forget_value(at);
        if self.resources[at].is_used {
            self.forget_holding(at);
        }
        let slot = self.resources[at].slot;
        let cell = self.resources[at].name_cell();
        let names = u32::from(cell.is_some());
        if let Some(cell) = cell {
            self.s.free.names.put(&mut self.names, cell);
        }
        self.slots.0[slot as usize].resources.remove(&mut self.resources, at);
        self.tally(slot, Room { resources: 1, names, ..Room::NONE }, Change::Fewer);
        self.index.remove(&self.resources, hash, at);
        let resource = &mut self.resources[at];
        resource.passage = Passage::None;
        resource.is_value_lost = false;
        resource.name_len = 0;
        self.s.free.resources.put(self.free_resources, at);
    }

    /// A position that is to be passed on to a member, if there is one.
    pub(crate) fn peer_relay(&mut self, member: Member) -> Option<Idx<RelayCell>> {
        self.peers[usize::from(member)].relays.pop_front(&mut self.relays)
    }

    /// What this node knows of a resource as its holder, which is nothing that matters any more, goes.
    fn forget_holding(&mut self, at: Idx<Resource>) {
        assert!(self.resources[at].pace.is_none(), "what is not waited for is not repeated");
        self.leave_idle(at);
        self.forget_copy(at);
        self.s.work.remove_if_linked(&mut self.resources, at);
        let resource = &mut self.resources[at];
        resource.is_used = false;
        resource.holding = Holding::NONE;
    }

    /// Must a resource stay in its slot's chain although neither role needs it? What is packed marks the name as
    /// another's, and what is installed as this node's, until the slot is complete (rules R4 and R7).
    fn is_in_passage(&self, resource: &Resource) -> bool {
        let is_reported = self.slot(resource.slot).course == Course::Reporting;
        if is_reported && !crate::fault_on!(self, REPORT_LIVE) {
            // The report goes along the chain.
            return true;
        }
        match resource.passage {
            Passage::None | Passage::Rebuilt => false,
            Passage::Coming | Passage::Packed | Passage::Asked | Passage::Early => true,
            Passage::Installed => {
                let slot = self.slot(resource.slot);
                let is_complete = self.is_me(slot.master) || !matches!(slot.course, Course::Incoming(_));
                !is_complete && !crate::fault_on!(self, EMPTY_DROPPED)
            }
        }
    }

    // ---- locks ----

    pub(crate) fn has_free_lock(&self) -> bool {
        !self.s.free_locks.is_empty()
    }

    pub(crate) fn take_lock(&mut self) -> Idx<Lock> {
        self.s.free_locks.take(&mut self.locks).expect("room was checked")
    }

    /// Gives a lock back; its handle is stale from now on.
    pub(crate) fn free_lock(&mut self, at: Idx<Lock>) {
        if let Some(resource) = self.locks[at].resource {
            self.resources[resource].holding.forget_waiter(at);
        }
        self.end_patience(at);
        self.s.events.remove_if_linked(&mut self.locks, at);
        assert!(!self.locks[at].claim.link.is_linked(), "a lock that ends stands nowhere");
        self.locks[at].vacate();
        self.s.free_locks.put(&mut self.locks, at);
    }

    pub(crate) fn patience_heap(&mut self) -> DeadlineHeap<'_, 'a, Lock> {
        DeadlineHeap { places: self.patience, len: &mut self.s.patience_len, slab: &mut self.locks }
    }

    pub(crate) fn end_patience(&mut self, at: Idx<Lock>) {
        if self.locks[at].patience != 0 {
            self.patience_heap().remove(at);
        }
    }

    /// Until when a lock's owner is patient, if it does not wait for ever.
    pub(crate) fn patience_until(&self, at: Idx<Lock>) -> Option<Instant> {
        let place = self.locks[at].patience.checked_sub(1)?;
        Some(self.patience[place as usize].until())
    }

    // ---- physical locks ----

    /// Records that nothing is kept free for.
    pub(crate) fn free_physical(&self) -> u32 {
        self.s.free.physical.len().saturating_sub(self.kept().physical)
    }

    /// The first record that was never used, and neither was any behind it.
    pub(crate) fn first_unused_physical(&self) -> usize {
        self.s.free.physical.first_unused(self.physical.len())
    }

    /// A record of a member on a resource; there is room for one.
    pub(crate) fn take_physical(&mut self, resource: Idx<Resource>, member: Member) -> Idx<Physical> {
        let at = self.s.free.physical.take(self.free_physical).expect("room was checked");
        let record = &mut self.physical[at];
        record.resource = Some(resource);
        record.member = member;
        self.resources[resource].mastery.members |= 1 << member;
        let slot = self.resources[resource].slot;
        self.tally(slot, Room { physical: 1, ..Room::NONE }, Change::More);
        at
    }

    /// Frees a record that stands in no queue; says whether it was the resource's last.
    pub(crate) fn put_physical(&mut self, at: Idx<Physical>) -> bool {
        let record = &self.physical[at];
        let (resource, member) = (record.resource.expect("a live record has a resource"), record.member);
        let mastery = &mut self.resources[resource].mastery;
        if member != NOBODY {
            mastery.members &= !(1 << member);
        }
        let is_last = mastery.members == 0;
        self.physical[at].vacate();
        self.s.free.physical.put(self.free_physical, at);
        let slot = self.resources[resource].slot;
        self.tally(slot, Room { physical: 1, ..Room::NONE }, Change::Fewer);
        is_last
    }

    /// The resources that are made next.
    pub(crate) fn next_resources(&self) -> impl Iterator<Item = &Resource> {
        self.s.free.resources.next(self.free_resources).map(|at| &self.resources[at])
    }

    /// The physical locks that are taken next.
    pub(crate) fn next_physical(&self) -> impl Iterator<Item = &Physical> {
        self.s.free.physical.next(self.free_physical).map(|at| &self.physical[at])
    }

    /// Records that are kept free: for transfers, and for the locks of slots whose master may be lost.
    pub(crate) fn kept(&self) -> Room {
        self.s.transfers.reserved + self.s.spare
    }

    /// Free records of each kind, those included that are kept for transfers and rebuilds.
    pub(crate) fn free_room(&self) -> Room {
        let free = &self.s.free;
        Room {
            resources: free.resources.len(),
            physical: free.physical.len(),
            names: free.names.len(),
            values: free.values.len(),
        }
    }

    // ---- relays ----

    /// A place for a position that is passed on, if there is one.
    pub(crate) fn take_relay(&mut self) -> Option<Idx<RelayCell>> {
        self.s.free.relays.take(&mut self.relays)
    }

    pub(crate) fn put_relay(&mut self, at: Idx<RelayCell>) {
        self.s.free.relays.put(&mut self.relays, at);
    }

    // ---- value blocks ----

    pub(crate) fn has_free_value(&self) -> bool {
        self.free_values() > 0
    }

    /// Value blocks that nothing is kept free for.
    pub(crate) fn free_values(&self) -> u32 {
        self.s.free.values.len().saturating_sub(self.kept().values)
    }

    fn take_value(&mut self) -> Idx<ValueCell> {
        let cell = self.s.free.values.take(&mut self.values).expect("room was checked");
        self.values[cell].put(ValueCopy::ABSENT);
        self.values[cell].write = Number(0);
        cell
    }

    /// The block was lost with a master: it is invalid until somebody writes it.
    pub(crate) fn mark_value_lost(&mut self, at: Idx<Resource>) {
        if core::mem::take(&mut self.resources[at].is_value_lost) {
            self.lose_value(at);
        }
    }

    /// Makes room for the resource's value block, if there is none yet.
    pub(crate) fn reserve_value(&mut self, at: Idx<Resource>) {
        if self.resources[at].mastery.value.is_none() {
            let cell = self.take_value();
            self.resources[at].mastery.value = Some(cell);
            self.tally(self.resources[at].slot, Room { values: 1, ..Room::NONE }, Change::More);
            self.mark_value_lost(at);
        }
    }

    /// Makes room for this node's copy of the value block, if there is none yet.
    pub(crate) fn reserve_copy(&mut self, at: Idx<Resource>) {
        if self.resources[at].copy.is_none() {
            let cell = self.take_value();
            self.resources[at].copy = Some(cell);
            self.resources[at].holding.is_copy_current = false;
        }
    }

    pub(crate) fn forget_value(&mut self, at: Idx<Resource>) {
        if let Some(cell) = self.resources[at].mastery.value.take() {
            self.s.free.values.put(&mut self.values, cell);
            self.tally(self.resources[at].slot, Room { values: 1, ..Room::NONE }, Change::Fewer);
        }
    }

    pub(crate) fn forget_copy(&mut self, at: Idx<Resource>) {
        if let Some(cell) = self.resources[at].copy.take() {
            self.s.free.values.put(&mut self.values, cell);
        }
        self.resources[at].holding.is_copy_current = false;
    }

    /// A block after a write under this token; a block marked invalid keeps its bytes.
    pub(crate) fn write_value(&mut self, cell: Idx<ValueCell>, version: Token, value: Option<Value>) {
        let cell = &mut self.values[cell];
        cell.version = version;
        cell.state = match (value, cell.state) {
            (Some(value), _) => ValueState::Valid(value),
            (None, ValueState::Absent) => ValueState::Invalid(Value::EMPTY),
            (None, ValueState::Valid(value) | ValueState::Invalid(value)) => ValueState::Invalid(value),
        };
    }

    // ---- answers without a record ----

    /// Puts an answer into a peer's ring.
    pub(crate) fn answer(&mut self, member: Member, space: SpaceId, name: &[u8], body: RingBody) {
        let name = Name::new(name).expect("names are checked where they come in");
        if self.peer(member).ring.push(RingAnswer { space, name, body }) {
            self.s.stats.answers_dropped += 1;
        }
        self.mark_ready(member);
    }

    // ---- floors ----

    pub(crate) fn floor(&mut self, slot: u32, member: Member) -> &mut Number {
        let members = self.peers.len();
        &mut self.floors[slot as usize * members + usize::from(member)]
    }

    /// A physical lock was dropped: nothing with a number up to this one may bring it back.
    pub(crate) fn raise_floor(&mut self, slot: u32, member: Member, number: Number) {
        let floor = self.floor(slot, member);
        *floor = (*floor).max(number);
    }

    // ---- deadlines ----

    pub(crate) fn note_deadline(&mut self, at: Instant) {
        self.s.next_deadline = Some(self.s.next_deadline.map_or(at, |next| next.min(at)));
    }
}
