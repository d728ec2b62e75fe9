//! Everything of a node that is no table.

use super::Member;
use crate::config::Config;
use crate::error::ConfigError;
use crate::id::{
    DemandId, Epoch, MEMBERS_MAX, MapVersion, NodeId, Number, SPACES_MAX, SlotId, SlotRange, SpaceId,
};
use crate::memory::Tables;
use crate::record::{
    Events, Idle, Lock, NOBODY, NameCell, Outbox, Peer, Physical, RelayCell, Resource, Slot, ValueCell, Work,
};
use crate::stats::{Rested, Stats};
use crate::table::{Free, FreeStack, NameIndex, Queue, Slab};
use crate::time::Instant;
use crate::transfer::{MovedSlots, Room, Transfers};
use crate::view::Views;
use crate::wire::{FRAME_MAX, Hello, VersionRange};

/// Bytes at the beginning of the state that a retained lock changes.
pub(crate) const AT_REST_LEN: usize = 40;

const _: () = assert!(
    core::mem::offset_of!(State, idle) + core::mem::offset_of!(IdleLocks, queue) <= AT_REST_LEN,
    "what a retained lock changes stands together"
);

/// What a node is, knows and counts beside its records.
///
/// The order of the first fields is kept: they are all that is changed here where a retained lock is taken and given back.
/// Threads that do so in turn hand each line of the cache that they change from core to core.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct State {
    pub(crate) rested: Rested,
    pub(super) free_locks: Free<Lock>,
    pub(crate) idle: [IdleLocks; SPACES_MAX],
    /// The latest instant seen.
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) me: Member,
    /// The nodes at the places of the peers.
    pub(crate) nodes: [NodeId; MEMBERS_MAX],
    /// Places of the members of the view, this node's among them.
    pub(crate) present: u64,
    pub(crate) views: Views,
    pub(crate) is_open: bool,
    /// The node is delivering messages to itself.
    pub(crate) is_settling: bool,
    pub(super) last_number: Number,
    pub(super) last_demand: DemandId,
    /// When the node had nothing any more, and said so, this was its last number.
    pub(crate) parted: Number,
    /// It has had nothing since.
    pub(crate) has_parted: bool,
    pub(super) free: FreeRecords,
    pub(crate) events: Queue<Lock, Events>,
    /// Positions about slots of which it is not known yet who decides about them.
    pub(crate) limbo: Queue<Resource, Outbox>,
    pub(crate) work: Queue<Resource, Work>,
    /// Connected peers that something waits for and that were not named yet.
    pub(crate) ready: u64,
    /// Peers that have come back and are being told what waits for them.
    pub(crate) hurried: u64,
    /// No deadline is earlier, whatever has happened since it was computed.
    pub(crate) next_deadline: Option<Instant>,
    /// Deadlines up to this instant are still being worked off.
    pub(crate) overdue: Option<Instant>,
    /// A table had no room; idle locks are given up when there is time.
    pub(crate) is_short: bool,
    /// Locks that are lent.
    pub(crate) lent: u32,
    /// A table had no room, and nothing was idle that could have been given up.
    pub(crate) wants_lent: bool,
    pub(crate) transfers: Transfers,
    /// Records that nothing but a rebuild may use, so that what survivors hold finds room.
    pub(crate) spare: Room,
    /// Messages about resources that came and went.
    pub(crate) lock_messages: u64,
    /// Slots whose resources are being told of their new master.
    pub(crate) moved: MovedSlots,
    /// So many of them, the next ones, were read ahead.
    pub(crate) followed: u8,
    pub(crate) patience_len: u32,
    /// How many members and slots there is room for; the memory may have more.
    pub(super) members_len: u8,
    pub(super) slots_len: u32,
    pub(super) first_slots: [u32; SPACES_MAX],
    /// Where the search for records to audit goes on.
    pub(crate) audit_at: u32,
    pub(crate) stats: Stats,
}

/// Physical locks of a space that were seen without an owner.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct IdleLocks {
    /// How many are without an owner now.
    pub(crate) count: u32,
    pub(crate) queue: Queue<Resource, Idle>,
}

/// Records that nothing uses. Those of owners' locks stand at the beginning of the state.
#[derive(Clone, Debug)]
pub(super) struct FreeRecords {
    pub(super) resources: FreeStack<Resource>,
    pub(super) physical: FreeStack<Physical>,
    pub(super) names: Free<NameCell>,
    pub(super) values: Free<ValueCell>,
    pub(super) relays: Free<RelayCell>,
}

impl State {
    pub(crate) fn new(mut config: Config, tables: &mut Tables<'_>) -> Result<Self, ConfigError> {
        config.check()?;
        check_memory(&config, tables)?;
        let epoch = if config.is_static() { config.epoch } else { Epoch(0) };
        let mut first_slots = [0; SPACES_MAX];
        let mut slots = 0;
        for (first, space) in first_slots.iter_mut().zip(&config.spaces) {
            *first = slots;
            slots += space.slots;
            deal(&mut tables.slots[*first as usize..slots as usize], config.members.len(), epoch);
        }
        // A node whose view changes has a place for itself before it has a view.
        let alone = [config.node];
        let members = if config.is_static() { &config.members[..] } else { &alone };
        let mut nodes = [NodeId(0); MEMBERS_MAX];
        for (place, node) in members.iter().enumerate() {
            nodes[place] = *node;
            tables.peers[place] = Peer { epoch, ..Peer::VACANT };
        }
        let me = members.iter().position(|node| *node == config.node);
        let me = me.and_then(|me| u8::try_from(me).ok()).expect("a checked configuration names this node");
        tables.peers[usize::from(me)].incarnation = Some(config.incarnation);
        Ok(Self {
            me,
            nodes,
            present: if config.is_static() { places_up_to(members.len()) } else { 0 },
            views: Views::new(&config),
            now: Instant::START,
            rested: Rested::default(),
            is_open: config.members.len() == 1,
            is_settling: false,
            last_number: Number(0),
            parted: Number(0),
            has_parted: false,
            last_demand: DemandId(0),
            free_locks: Free::all(&mut Slab(tables.locks)),
            free: FreeRecords {
                resources: FreeStack::all(tables.free_resources, tables.resources.len()),
                physical: FreeStack::all(tables.free_physical, tables.physical.len()),
                names: Free::all(&mut Slab(tables.names)),
                values: Free::all(&mut Slab(tables.values)),
                relays: Free::all(&mut Slab(tables.relays)),
            },
            events: Queue::EMPTY,
            limbo: Queue::EMPTY,
            work: Queue::EMPTY,
            idle: [const { IdleLocks { queue: Queue::EMPTY, count: 0 } }; SPACES_MAX],
            ready: 0,
            hurried: 0,
            next_deadline: None,
            overdue: None,
            is_short: false,
            lent: 0,
            wants_lent: false,
            transfers: Transfers::NONE,
            spare: spare_of(&config, tables),
            lock_messages: 0,
            moved: MovedSlots::NONE,
            followed: 0,
            patience_len: 0,
            members_len: u8::try_from(config.members_max()).expect("there are at most 64 members"),
            slots_len: config.slots(),
            first_slots,
            audit_at: 0,
            stats: Stats::default(),
            config,
        })
    }

    /// The last number that this node has given to a position.
    pub(crate) const fn last_number(&self) -> Number {
        self.last_number
    }

    /// The last demand that this node has named.
    pub(crate) const fn last_demand(&self) -> DemandId {
        self.last_demand
    }

    /// Demands that this node names from now on differ from those of another master up to this one.
    pub(crate) fn pass_demand(&mut self, demand: DemandId) {
        self.last_demand = self.last_demand.max(demand);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.next_deadline?;
        // What is overdue is worked off by polling, not by another timeout.
        let worked_off =
            self.overdue.map(|overdue| Instant::from_nanos(overdue.as_nanos().saturating_add(1)));
        Some(worked_off.map_or(deadline, |at| at.max(deadline)))
    }

    /// Is there nothing to poll and no timeout to handle?
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.ready == 0 && self.is_quiet_but_for_peers(now)
    }

    /// The same, whoever is ready.
    pub(crate) fn is_quiet_but_for_peers(&self, now: Instant) -> bool {
        let has_work = !self.work.is_empty() || self.overdue.is_some() || self.hurried != 0 || self.is_short;
        let is_still = self.moved.is_empty() && self.transfers.is_quiet() && self.views.is_quiet();
        let is_due = self.poll_timeout().is_some_and(|until| until <= now);
        self.events.is_empty() && !has_work && is_still && !is_due
    }

    /// Is the node certain to be a member now? Then this is all that time has to do with it.
    pub(crate) fn see_as_member(&mut self, now: Instant) -> bool {
        let seen = self.now.max(now);
        let is_member = self.views.is_certain_at(seen) && self.present != 0;
        if is_member {
            self.now = seen;
        }
        is_member
    }

    /// Number of the view.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.views.view.epoch
    }

    /// Places of all other members of the view.
    pub(crate) const fn others(&self) -> u64 {
        self.present & !(1 << self.me)
    }

    /// The slots of a space.
    pub(crate) fn slots(&self, space: SpaceId) -> Option<SlotRange> {
        let at = usize::from(space.0);
        let config = self.config.spaces.get(at)?;
        Some(SlotRange { first: SlotId(self.first_slots[at]), len: config.slots })
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            cluster: self.config.cluster,
            node: self.config.node,
            incarnation: self.config.incarnation,
            versions: VersionRange::OURS,
            epoch: self.epoch(),
            digest: self.config.digest(),
            frame_max: u32::try_from(FRAME_MAX).expect("a frame is small"),
        }
    }
}

fn check_memory(config: &Config, tables: &Tables<'_>) -> Result<(), ConfigError> {
    let (slots, members) = (config.slots() as usize, config.members_max());
    let checks = [
        (tables.slots.len() >= slots, "the slots"),
        (tables.floors.len() >= slots * members, "a floor for each slot and member"),
        (tables.peers.len() >= members, "the members"),
        (tables.patience.len() >= tables.locks.len(), "the patience of each lock"),
        (tables.free_resources.len() >= tables.resources.len(), "the free resources"),
        (tables.free_physical.len() >= tables.physical.len(), "the free physical locks"),
        (
            tables.buckets.len().is_power_of_two()
                && tables.buckets.len() > tables.resources.len()
                && tables.buckets.len() <= NameIndex::PLACES_MAX,
            "an index that is a power of two above the resources, and at most 2^31",
        ),
    ];
    match checks.into_iter().find(|(is_enough, _)| !is_enough) {
        Some((_, what)) => Err(ConfigError::Memory(what)),
        None => Ok(()),
    }
}

/// What is kept for rebuilds, where there can be any: an eighth of each table.
fn spare_of(config: &Config, tables: &Tables<'_>) -> Room {
    if config.is_static() {
        return Room::NONE;
    }
    let eighth = |len: usize| u32::try_from(len / 8).unwrap_or(u32::MAX);
    Room {
        resources: eighth(tables.resources.len()),
        physical: eighth(tables.physical.len()),
        names: eighth(tables.names.len()),
        values: eighth(tables.values.len()),
    }
}

/// A bit for each of the first places.
const fn places_up_to(count: usize) -> u64 {
    if count >= MEMBERS_MAX { u64::MAX } else { (1 << count) - 1 }
}

/// The first map: slots in equal runs, in the order of the members; nobody's as long as there are none.
fn deal(slots: &mut [Slot], members: usize, epoch: Epoch) {
    let len = slots.len();
    for (at, slot) in slots.iter_mut().enumerate() {
        let master = u8::try_from(at * members / len).expect("there are at most 64 members");
        let master = if members == 0 { NOBODY } else { master };
        *slot = Slot { master, version: MapVersion { epoch, count: 0 }, ..Slot::VACANT };
    }
}
