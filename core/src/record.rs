//! What the tables hold: resources, physical locks, logical locks, names, value blocks, slots, peers.

use crate::id::{DemandId, Epoch, Incarnation, MapVersion, NodeId, Number, Priority, SpaceId, Token};
use crate::mode::Mode;
use crate::name::Name;
use crate::queue::{Claim, Entry, Queues};
use crate::table::{Idx, Keyed, Link, Queue, Record, Via};
use crate::time::Instant;
use crate::transfer::{Notes, Room};
use crate::value::{ValueCopy, ValueState};
use crate::view::{Agreeing, Claimed, Hearing, Parting, Reporting};
use crate::wire::{DenyReason, MESSAGE_MAX};

mod counted;
mod holding;
mod lock;

pub(crate) use counted::Counted;
pub(crate) use holding::{Holding, Unmet, Wish};
pub use lock::Lock;
pub(crate) use lock::{End, News};

/// Bytes of a name that stand in the resource record itself.
pub(crate) const NAME_INLINE: usize = 24;

/// One resource known to this node, as its master, as a holder, or both. Opaque.
///
/// The order of the fields is kept, by cache lines: what it is and where it stands; what its holder knows, of which a lock
/// without waiters has the first line only; timers, and what its master knows.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Resource {
    pub(crate) hash: u64,
    /// The name, and zeroes; of a longer one the place of its cell.
    name: [u8; NAME_INLINE],
    pub(crate) slot: u32,
    /// The node's copy of the value block.
    pub(crate) copy: Option<Idx<ValueCell>>,
    /// Resources of one slot.
    pub(crate) chain: Link,
    /// Among the positions to be said, or, at a pace, among those that are repeated. Linked only if the resource is
    /// used here.
    pub(crate) saying: Link,
    pub(crate) space: SpaceId,
    pub(crate) name_len: u8,
    pub(crate) route: Route,
    /// How soon the position is repeated; nothing while it is to be said, or nothing is to be said of it.
    pub(crate) pace: Option<Pace>,
    pub(crate) passage: Passage,
    /// The value block may have been lost with a master: until somebody writes it, it is invalid and not absent.
    pub(crate) is_value_lost: bool,
    /// An owner of this node has asked for it since the record was made. Until then nothing of `holding` has been touched.
    pub(crate) is_used: bool,
    pub(crate) holding: Holding,
    pub(crate) idle_at: Instant,
    pub(crate) repeat_at: Instant,
    pub(crate) work: Link,
    pub(crate) mastery: Mastery,
}
const _: () = assert!(core::mem::offset_of!(Resource, holding) == 64, "the holder's part begins a line");
const _: () = assert!(core::mem::offset_of!(Resource, mastery) >= 192, "the master's part is in one line");
const _: () = assert!(size_of::<Resource>() == 256, "a resource takes four lines");

/// Where a master's record is on its way to another master, and how far a resource of a closed slot has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It stays where it is.
    #[default]
    None,
    /// The new master has a part of it.
    Coming,
    /// The new master has all of it, and decides about it. Says nothing once the slot is complete.
    Installed,
    /// It was made from reports, and is to be looked at once its slot is open.
    Rebuilt,
    /// The old master has packed it: it is the new master's, and a copy that nothing changes any more.
    Packed,
    /// Somebody waits for it, and its slot is closed: its new master asks all others about it alone.
    Asked,
    /// Its slot is closed, but the new master has heard all others about it, and decides.
    Early,
}

/// Member whose outbox or repeat timers a resource is in.
pub(crate) type Route = u8;

/// What a master knows of a resource.
#[derive(Clone, Debug)]
pub(crate) struct Mastery {
    pub(crate) queues: Queues<Physical>,
    /// Members with a physical lock on record, one bit for each.
    pub(crate) members: u64,
    pub(crate) value: Option<Idx<ValueCell>>,
}

/// How soon something is said again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It may have been lost.
    Short,
    /// It is known to wait.
    Long,
}

/// One node's lock on one resource, as its master has it on record. Opaque.
///
/// The order of the fields is kept, by cache lines: what it is, says and is asked for; what its request came with, since
/// when it writes, and its timer.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Physical {
    pub(crate) claim: Claim,
    pub(crate) number: Number,
    pub(crate) resource: Option<Idx<Resource>>,
    /// Place of the node among the members; [`NOBODY`] in a packed record once it has departed.
    pub(crate) member: u8,
    pub(crate) priority: Priority,
    pub(crate) answer: Answer,
    /// What its timer runs for, if it does. There is one: who waits and is asked for something is not told its place in
    /// the queue before it repeats its request.
    pub(crate) timed: Option<Timed>,
    pub(crate) due: Due,
    /// The request waits for one round of demands (no-queue beside retained locks).
    pub(crate) is_asking_holders: bool,
    pub(crate) demand: Option<Demanding>,
    /// What the record has to say to its node.
    pub(crate) outbox: Link,
    /// The physical token of its last grant.
    pub(crate) token: Counted,
    pub(crate) asked: Number,
    /// Version of the node's copy of the value block.
    pub(crate) copy: Token,
    /// Token since which the node was on record at PW or EX without a break; [`Counted::NONE`] if it is not.
    pub(crate) writing_since: Counted,
    pub(crate) ticket: Counted,
    pub(crate) timer: Link,
    pub(crate) timer_at: Instant,
}
const _: () = assert!(core::mem::offset_of!(Physical, asked) == 64, "what it is takes one line");
const _: () = assert!(size_of::<Physical>() == 128, "a physical lock takes two lines");

/// What the timer of a physical lock runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    /// There is a demand, which is said again if it is not met.
    Demand(Pace),
    /// The lock waits, and is told its place in the queue.
    Queued,
}

/// A demand that a master has made of a holder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demanding {
    pub(crate) id: DemandId,
    pub(crate) stay: Mode,
    pub(crate) priority: Priority,
    pub(crate) demote: bool,
    /// The holder has said that its owners still need it.
    pub(crate) is_answered: bool,
}

/// How the request under the number on record was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not yet, or there was none.
    None,
    Granted,
    Denied(DenyReason),
}

/// What a physical lock has to say to its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) answer: bool,
    pub(crate) queued: bool,
    pub(crate) demand: bool,
}

/// The bytes of a name that its resource record has no room for. Opaque.
#[derive(Clone, Debug)]
pub struct NameCell {
    pub(crate) name: Name,
    next_free: u32,
}

/// One value block, of a resource or of a node's copy. Opaque.
#[derive(Clone, Debug)]
pub struct ValueCell {
    pub(crate) version: Token,
    pub(crate) state: ValueState,
    /// Of a node's copy: number of the last position with a write that is not acknowledged.
    pub(crate) write: Number,
    next_free: u32,
}
const _: () = assert!(size_of::<ValueCell>() == 96, "a value block takes a line and a half");

/// One slot: its master, its counters and its resources. Opaque.
///
/// What the lock path touches comes first, in one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Slot {
    /// Place of the master among the members.
    pub(crate) master: u8,
    /// The master before, whose last words are still believed; [`NOBODY`] if there was none.
    pub(crate) former: u8,
    /// Who the master says will be the next, and is believed already; [`NOBODY`] for nobody.
    pub(crate) heir: u8,
    pub(crate) course: Course,
    /// Physical grants made in the slot, which makes its tokens.
    pub(crate) grants: u64,
    /// Requests that arrived in the slot, which makes its tickets.
    pub(crate) arrivals: u64,
    pub(crate) resources: Queue<Resource, Chain>,
    /// What its records take here.
    pub(crate) room: Room,
    /// The slot has come to another master, and what is said of its resources is being sent there.
    pub(crate) moved: Link,
    /// Somebody waits until that is over.
    pub(crate) is_urgent: bool,
    /// Resources that are still to be looked at for that.
    pub(crate) moved_left: u32,
    pub(crate) version: MapVersion,
    /// Version of the last offer that was heard.
    pub(crate) offered: MapVersion,
    /// What this node could say of the slot when the view came.
    pub(crate) claim: Claimed,
    /// A member has said that the slot is its own, or on its way: what the coordinator knows.
    pub(crate) is_kept: bool,
}

/// No place among the members.
pub(crate) const NOBODY: u8 = u8::MAX;

/// What a slot has to do with a transfer of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing.
    Still,
    /// It is given away by this transfer: not begun, or all packed.
    Outgoing(u8),
    /// It is given away by this transfer, and some of its records are packed.
    Packing(u8),
    /// It is taken by this transfer.
    Incoming(u8),
    /// Its master was lost, and the next one collects reports; this node sends it one and waits until it decides.
    Reporting,
    /// Its master was lost, and this node, which is the next one, collects reports. Nobody decides.
    Rebuilding,
}

/// A position that is passed on to a new master, as it is written. Opaque.
#[derive(Clone, Debug)]
pub struct RelayCell {
    pub(crate) bytes: [u8; MESSAGE_MAX],
    pub(crate) len: u8,
    pub(crate) link: Link,
}
const _: () = assert!(MESSAGE_MAX <= u8::MAX as usize, "a length fits its byte");

/// Another member, and what there is to say to it. Opaque.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The incarnation of the view, or whose hello was accepted first.
    pub(crate) incarnation: Option<Incarnation>,
    /// Epoch in which that incarnation joined.
    pub(crate) joined: Epoch,
    /// The latest view that the peer is known to have.
    pub(crate) epoch: Epoch,
    pub(crate) is_connected: bool,
    pub(crate) frame_max: u32,
    pub(crate) positions: Queue<Resource, Outbox>,
    pub(crate) answers: Queue<Physical, Outbox>,
    pub(crate) ring: Ring,
    pub(crate) notes: Notes,
    pub(crate) relays: Queue<RelayCell, Relays>,
    pub(crate) repeats: [Queue<Resource, Repeat>; 2],
    pub(crate) demands: [Queue<Physical, Timer>; 2],
    pub(crate) queued: Queue<Physical, Timer>,
    pub(crate) agreeing: Agreeing,
    pub(crate) reporting: Reporting,
    pub(crate) hearing: Hearing,
    pub(crate) parting: Parting,
}

impl Peer {
    /// Where locks stand whose timers run for the same.
    pub(crate) const fn timers(&mut self, timed: Timed) -> &mut Queue<Physical, Timer> {
        match timed {
            Timed::Demand(pace) => &mut self.demands[pace as usize],
            Timed::Queued => &mut self.queued,
        }
    }
}

/// Answers that a peer's ring holds; the oldest is dropped for one more, and the peer's repeat brings it back.
pub const RING_LEN: usize = Ring::LEN as usize;

/// Answers about resources that have no record.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    pub(crate) first: u8,
    pub(crate) len: u8,
    pub(crate) answers: [RingAnswer; RING_LEN],
}

/// An answer about a resource that needs no record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingAnswer {
    pub(crate) space: SpaceId,
    pub(crate) name: Name,
    pub(crate) body: RingBody,
}

/// What an answer without a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingBody {
    Deny(Number, DenyReason),
    Written(Number),
    Redirect(NodeId, MapVersion, u32),
    /// This node holds and wants nothing; the number is fresh.
    Nothing(Number, DemandId),
}

// ---- vacant records ----

impl Resource {
    /// A free record.
    pub const VACANT: Self = Self {
        hash: 0,
        name: [0; NAME_INLINE],
        slot: 0,
        copy: None,
        chain: Link::NONE,
        saying: Link::NONE,
        space: SpaceId(0),
        name_len: 0,
        route: 0,
        pace: None,
        passage: Passage::None,
        is_value_lost: false,
        is_used: false,
        holding: Holding::NONE,
        idle_at: Instant::START,
        repeat_at: Instant::START,
        work: Link::NONE,
        mastery: Mastery::NONE,
    };

    /// Names a record with a name that stands in itself, or in the cell.
    pub(crate) fn set_name(&mut self, name: &[u8], cell: Option<Idx<NameCell>>) {
        self.name_len = u8::try_from(name.len()).expect("names are checked where they come in");
        match cell {
            None => {
                self.name = [0; NAME_INLINE];
                self.name[..name.len()].copy_from_slice(name);
            }
            Some(cell) => self.name[..4].copy_from_slice(&cell.to_u32().to_ne_bytes()),
        }
    }

    /// The name, if it stands in the record itself.
    pub(crate) fn short_name(&self) -> Option<&[u8]> {
        self.name.get(..usize::from(self.name_len))
    }

    /// A copy of a name that stands in the record itself.
    pub(crate) fn copy_short_name(&self) -> Name {
        assert!((1..=NAME_INLINE).contains(&usize::from(self.name_len)), "a live resource has a name");
        Name::padded(self.name_len, &self.name)
    }

    /// The cell of a name that is longer.
    pub(crate) fn name_cell(&self) -> Option<Idx<NameCell>> {
        let [a, b, c, d, ..] = self.name;
        let is_long = usize::from(self.name_len) > NAME_INLINE;
        is_long.then(|| Idx::new(u32::from_ne_bytes([a, b, c, d]) as usize))
    }

    /// Is its position to be said?
    pub(crate) const fn is_to_be_said(&self) -> bool {
        self.saying.is_linked() && self.pace.is_none()
    }

    /// Does this node have nothing on the resource, as its holder, that a message or an owner could still concern?
    pub(crate) fn is_holding_nothing(&self) -> bool {
        !self.is_used || self.holding.is_nothing()
    }

    /// Does this node wait for the master to answer what it has said of the resource?
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_used && self.holding.is_waiting()
    }
}

impl Mastery {
    pub(crate) const NONE: Self = Self { queues: Queues::EMPTY, members: 0, value: None };
}

impl Physical {
    /// A free record.
    pub const VACANT: Self = Self {
        claim: Claim::VACANT,
        number: Number(0),
        asked: Number(0),
        resource: None,
        token: Counted::NONE,
        outbox: Link::NONE,
        writing_since: Counted::NONE,
        ticket: Counted::NONE,
        member: 0,
        priority: Priority(0),
        answer: Answer::None,
        timed: None,
        due: Due { answer: false, queued: false, demand: false },
        is_asking_holders: false,
        demand: None,
        copy: Token::NONE,
        timer: Link::NONE,
        timer_at: Instant::START,
    };

    /// Makes a record that stands nowhere, and whose timer has ended, a free one.
    pub(crate) fn vacate(&mut self) {
        self.claim = Claim::VACANT;
        self.resource = None;
        self.number = Number(0);
        self.asked = Number(0);
        self.token = Counted::NONE;
        self.writing_since = Counted::NONE;
        self.copy = Token::NONE;
        self.demand = None;
        self.answer = Answer::None;
        self.is_asking_holders = false;
        self.due = Due::default();
    }
}

impl NameCell {
    /// A free record.
    pub const VACANT: Self = Self { name: Name::VACANT, next_free: 0 };
}

impl RelayCell {
    /// A free record.
    pub const VACANT: Self = Self { bytes: [0; MESSAGE_MAX], len: 0, link: Link::NONE };
}

impl ValueCell {
    /// A free record.
    pub const VACANT: Self =
        Self { version: Token::NONE, state: ValueState::Absent, write: Number(0), next_free: 0 };

    pub(crate) const fn copy(&self) -> ValueCopy {
        ValueCopy { version: self.version, state: self.state }
    }

    pub(crate) const fn put(&mut self, copy: ValueCopy) {
        self.version = copy.version;
        self.state = copy.state;
    }
}

impl Slot {
    /// A slot before the first map.
    pub const VACANT: Self = Self {
        master: 0,
        former: NOBODY,
        heir: NOBODY,
        course: Course::Still,
        version: MapVersion { epoch: Epoch(0), count: 0 },
        offered: MapVersion { epoch: Epoch(0), count: 0 },
        grants: 0,
        arrivals: 0,
        resources: Queue::EMPTY,
        room: Room::NONE,
        moved: Link::NONE,
        is_urgent: false,
        moved_left: 0,
        claim: Claimed::Neither,
        is_kept: false,
    };
}

impl Peer {
    /// A peer before the first view.
    pub const VACANT: Self = Self {
        incarnation: None,
        joined: Epoch(0),
        epoch: Epoch(0),
        is_connected: false,
        frame_max: 0,
        positions: Queue::EMPTY,
        answers: Queue::EMPTY,
        ring: Ring { first: 0, len: 0, answers: [RingAnswer::VACANT; RING_LEN] },
        notes: Notes::EMPTY,
        relays: Queue::EMPTY,
        repeats: [const { Queue::EMPTY }; 2],
        demands: [const { Queue::EMPTY }; 2],
        queued: Queue::EMPTY,
        agreeing: Agreeing::NONE,
        reporting: Reporting::NONE,
        hearing: Hearing::NONE,
        parting: Parting::NONE,
    };
}

impl RingAnswer {
    const VACANT: Self = Self { space: SpaceId(0), name: Name::VACANT, body: RingBody::Written(Number(0)) };
}

impl Ring {
    /// [`RING_LEN`] as it is counted here.
    const LEN: u8 = 32;

    /// Adds an answer; says whether the oldest had to go for it.
    pub(crate) fn push(&mut self, answer: RingAnswer) -> bool {
        let is_full = usize::from(self.len) == RING_LEN;
        if is_full {
            self.pop();
        }
        let at = (usize::from(self.first) + usize::from(self.len)) % RING_LEN;
        self.answers[at] = answer;
        self.len += 1;
        is_full
    }

    pub(crate) fn front(&self) -> Option<&RingAnswer> {
        (self.len > 0).then(|| &self.answers[usize::from(self.first)])
    }

    pub(crate) fn pop(&mut self) {
        assert!(self.len > 0, "an answer was there");
        self.first = (self.first + 1) % Self::LEN;
        self.len -= 1;
    }
}

// ---- links ----

/// Names a link of a record; one type for each kind of queue.
macro_rules! link {
    ($(#[$doc:meta])* $tag:ident: $($record:ident => $($field:ident).+),+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) enum $tag {}
        $(impl Via<$record> for $tag {
            fn link(record: &$record) -> Link {
                record.$($field).+
            }
            fn link_mut(record: &mut $record) -> &mut Link {
                &mut record.$($field).+
            }
        })+
    };
}

link!(
    /// Resources of one slot.
    Chain: Resource => chain
);
link!(
    /// What has something to say to a peer.
    Outbox: Resource => saying, Physical => outbox
);
link!(
    /// Positions that are repeated until they are answered.
    Repeat: Resource => saying
);
link!(
    /// Physical locks that were held without an owner, oldest first.
    Idle: Resource => holding.idle
);
link!(
    /// Resources whose grant pass goes on in a later call.
    Work: Resource => work
);
link!(
    /// Slots that have come to another master.
    Moved: Slot => moved
);
link!(
    /// Positions that are passed on to a peer.
    Relays: RelayCell => link
);
link!(
    /// Demands that are repeated until they are met; requests that are to be told their place in the queue.
    Timer: Physical => timer
);
link!(
    /// Locks whose owners are to be told something.
    Events: Lock => events
);

impl Record for Lock {
    fn next_free(&mut self) -> &mut u32 {
        self.claim.link.lend()
    }
}

impl Record for NameCell {
    fn next_free(&mut self) -> &mut u32 {
        &mut self.next_free
    }
}

impl Record for ValueCell {
    fn next_free(&mut self) -> &mut u32 {
        &mut self.next_free
    }
}

impl Record for RelayCell {
    fn next_free(&mut self) -> &mut u32 {
        self.link.lend()
    }
}

impl Keyed for Resource {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Entry for Physical {
    /// There is one for each member at most.
    type Count = u8;
    const DEMOTES_HELD: bool = false;
    const HAS_SURPLUS: bool = true;

    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn claim_mut(&mut self) -> &mut Claim {
        &mut self.claim
    }
}

#[cfg(test)]
mod tests;
