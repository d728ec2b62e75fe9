//! Live remastering: the management of a range of slots moves to another node while its locks stay in use (seed
//! patent on re-distributing lock management, all claims).
//!
//! At every instant at most one node decides about a resource. Authority moves record by record: what the old
//! master O has packed is the new master's, N's, from the moment N has all of it; everything else is O's until
//! the slot's last chunk is built. The rules R1 to R13 are those of `docs/protocol.md`.
//!
//! ```text
//! O  (asked) ──► Offered ──────────────► Moving ─────────────► Announced ───────────────► Done
//!                   │ all have noted it,    │ N has all of it     │ all have acknowledged
//!                   │ N has made room       │                     │ NewMaster, N the end
//!                   ├──► Refused (by N)     └ from the first chunk on there is no way back
//!                   └──► Withdrawn (by the application)
//!
//! N  (offered) ──► Reserved ──► Receiving ──► Announcing ──► (end)
//!                     │ first chunk   │ last chunk   │ UpdatedLocks(end)
//!                     └──► (withdrawn)
//! ```

mod ahead;
mod incoming;
mod moved;
mod outgoing;
mod pack;
mod relay;
mod room;
mod stream;
mod views;

pub(crate) use incoming::is_leap;
pub(crate) use moved::MovedSlots;

use core::fmt;
use core::ops::{Add, AddAssign};

use crate::error::Full;
use crate::id::{MapVersion, NodeId, SlotId, SlotRange, SpaceId};
use crate::machine::{Machine, Member};
use crate::name::NameError;
use crate::peer::Push;
use crate::record::{Course, NOBODY};
use crate::time::Instant;
use crate::transfer::incoming::Incoming;
use crate::transfer::outgoing::Outgoing;
use crate::wire::{FrameWriter, TransferBody, TransferMessage};

/// Most transfers that a node gives away, and most that it takes, at one time.
pub const TRANSFERS_MAX: usize = 16;

/// The highest count of a version or of a slot that is believed of another node. Nobody counts as far, and what goes
/// on from there does not overflow.
const COUNT_MAX: u64 = u64::MAX / 2;

/// Records of each kind that some slots need at their master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Resources.
    pub resources: u32,
    /// Physical locks.
    pub physical: u32,
    /// Names longer than 24 bytes.
    pub names: u32,
    /// Value blocks.
    pub values: u32,
}

/// Handle of a transfer at the node that gives the slots away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId {
    pub(crate) place: u8,
    pub(crate) generation: u32,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The other nodes are being told who will be the new master, and it makes room. Nothing has changed yet, and
    /// the transfer can be withdrawn.
    Offered,
    /// All have agreed, and records are on their way or about to be; once the first is, there is no way back.
    Moving,
    /// The new master has everything and has told the others, who are acknowledging it.
    Announced,
    /// The new master alone decides, and everybody knows it.
    Done,
    /// The new master did not want it. Nothing has changed.
    Refused(Refusal),
    /// The application took it back. Nothing has changed.
    Withdrawn,
    /// The new master has left the cluster. What was not packed stays here, all else is without a master until the view's
    /// map is agreed on; or this node itself has left.
    Cut,
}

/// Why a node does not take slots that it was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It has no room for the records: raise its `Limits`, or move fewer slots.
    #[error("the other node has no room: {0}")]
    Full(Full),
    /// It takes as many transfers as it can: try again later.
    #[error("the other node takes {TRANSFERS_MAX} transfers already")]
    TooMany,
    /// The slots are not the old master's in its map, or are moving: try again later.
    #[error("the other node knows the slots as another's")]
    Stale,
    /// The other node is about to leave, and there are members that are not: give the slots to one of them.
    #[error("the other node is about to leave")]
    Leaving,
}

/// A transfer as the node that gives the slots away sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The transfer.
    pub transfer: TransferId,
    /// The slots that move.
    pub range: SlotRange,
    /// Who is to be their master.
    pub to: NodeId,
    /// How far it has come.
    pub stage: Stage,
    /// Resources that the new master has.
    pub resources: u64,
    /// Physical locks that it has, granted and waiting.
    pub locks: u64,
    /// Bytes of all chunks that were sent, those that were sent again included.
    pub bytes: u64,
    /// Positions that came here and were passed on to the new master.
    pub relayed: u64,
}

/// One slot, as a node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Its master, as this node's map has it; absent while nobody is known to be.
    pub master: Option<NodeId>,
    /// Version of that entry of the map.
    pub version: MapVersion,
    /// It is in a transfer that this node gives or takes, or has been told of.
    pub is_moving: bool,
    /// Resources and locks on record here; nothing but at its master.
    pub room: Room,
}

/// Why a transfer was refused in the call. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The range is empty or ends after the last slot: use [`Node::slots`](crate::Node::slots).
    #[error("there are no such slots")]
    Range,
    /// This node is not the master of every slot of the range: ask the node that is.
    #[error("this node is not the master of every slot of the range")]
    NotMaster,
    /// A part of the range is in transfer already: wait for its end.
    #[error("a slot of the range is in transfer already")]
    InTransfer,
    /// No other member has this number.
    #[error("node {0} is no other member of this cluster")]
    Member(NodeId),
    /// [`TRANSFERS_MAX`] are under way, those counted whose end was not polled yet: wait for an end.
    #[error("{TRANSFERS_MAX} transfers are under way")]
    TooMany,
    /// The node has no view, or not every member was heard where members never change: wait until it is open.
    #[error("the node is not open yet")]
    NotOpen,
}

/// Why a transfer was not withdrawn. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithdrawError {
    /// It has ended, or there never was one.
    #[error("no such transfer")]
    Unknown,
    /// The first records are packed: it goes on to its end. Transfer the slots back afterwards.
    #[error("the transfer has begun to move records")]
    Begun,
}

/// All transfers that a node gives or takes.
#[derive(Clone)]
pub(crate) struct Transfers {
    outgoing: [Outgoing; TRANSFERS_MAX],
    incoming: [Incoming; TRANSFERS_MAX],
    /// Records that are kept free for what comes.
    pub(crate) reserved: Room,
    /// Entries in use, one bit for each.
    giving: u16,
    taking: u16,
    /// Outgoing entries that have something to tell the application.
    news: u16,
    /// Outgoing entries with packed records that are not needed any more.
    packed: u16,
    /// Count of the last version that was offered.
    last_count: u64,
    /// Bytes of chunks in the frame that is being filled.
    in_frame: u32,
}

/// Answers about transfers that a peer is to be told; the oldest is dropped for one more, and the peer's repeat
/// brings it back.
#[derive(Clone)]
pub(crate) struct Notes {
    len: u8,
    notes: [TransferMessage<'static>; Self::MAX],
}

impl Transfers {
    pub(crate) const NONE: Self = Self {
        outgoing: [const { Outgoing::VACANT }; TRANSFERS_MAX],
        incoming: [const { Incoming::VACANT }; TRANSFERS_MAX],
        reserved: Room::NONE,
        giving: 0,
        taking: 0,
        news: 0,
        packed: 0,
        last_count: 0,
        in_frame: 0,
    };

    pub(crate) const fn is_quiet(&self) -> bool {
        self.news == 0 && self.packed == 0
    }

    /// What the incoming transfers keep free, added up.
    #[cfg(feature = "check")]
    pub(crate) fn reserved_for(&self) -> Room {
        self.incoming.iter().fold(Room::NONE, |sum, incoming| sum + incoming.room)
    }

    /// What a model checker tells transfers apart by, at a node that has done so much other work.
    #[cfg(feature = "check")]
    pub(crate) fn fingerprint(&self, feed: &mut crate::fingerprint::Feed<'_>, work: u64) {
        feed.put(&(self.giving, self.taking, self.news, self.packed, self.reserved, self.last_count));
        for place in places(self.giving) {
            self.outgoing[place].fingerprint(feed, work);
        }
        for place in places(self.taking) {
            self.incoming[place].fingerprint(feed, work);
        }
    }

    /// A frame is going to be filled: of chunks it takes what one call may pack.
    pub(crate) const fn begin_frame(&mut self) {
        self.in_frame = 0;
    }

    /// Bytes of chunks and reports in the frame that is being filled.
    pub(crate) const fn in_frame(&self) -> u32 {
        self.in_frame
    }

    pub(crate) fn add_in_frame(&mut self, len: usize) {
        self.in_frame += u32::try_from(len).expect("a part fits a frame");
    }

    /// When something about a transfer has to be said again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let outgoing = places(self.giving).map(|place| self.outgoing[place].repeat_at);
        let incoming = places(self.taking).map(|place| self.incoming[place].repeat_at);
        outgoing.chain(incoming).min().filter(|at| *at != Instant::NEVER)
    }
}

impl Notes {
    const MAX: usize = 16;
    pub(crate) const EMPTY: Self = Self {
        len: 0,
        notes: [TransferMessage {
            range: SlotRange { first: SlotId(0), len: 0 },
            version: MapVersion { epoch: crate::id::Epoch(0), count: 0 },
            body: TransferBody::EndAck,
        }; Self::MAX],
    };

    fn front(&self) -> Option<&TransferMessage<'static>> {
        self.notes[..usize::from(self.len)].first()
    }

    fn pop(&mut self) {
        assert!(self.len > 0, "a note was there");
        self.notes[..usize::from(self.len)].rotate_left(1);
        self.len -= 1;
    }

    /// Adds a note; one of the same kind about the same transfer is replaced.
    fn push(&mut self, note: TransferMessage<'static>) {
        let kind = core::mem::discriminant(&note.body);
        let is_same = |other: &TransferMessage<'static>| {
            other.range == note.range
                && other.version == note.version
                && core::mem::discriminant(&other.body) == kind
        };
        let known = self.notes[..usize::from(self.len)].iter().position(is_same);
        if known.is_none() && usize::from(self.len) == Self::MAX {
            self.pop();
        }
        let at = known.unwrap_or(usize::from(self.len));
        self.notes[at] = note;
        self.len += u8::from(known.is_none());
    }
}

impl fmt::Debug for Transfers {
    /// What is live: a digest of it is taken often, and most entries are vacant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outgoing = places(self.giving).map(|place| &self.outgoing[place]);
        let incoming = places(self.taking).map(|place| &self.incoming[place]);
        f.debug_list().entries(outgoing).finish()?;
        f.debug_list().entries(incoming).finish()?;
        (self.giving, self.taking, self.news, self.packed, self.reserved, self.last_count).fmt(f)
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.notes[..usize::from(self.len)]).finish()
    }
}

/// Places whose bits are set, the lowest first.
fn places(mut bits: u16) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let place = bits.trailing_zeros();
        bits &= bits.checked_sub(1)?;
        Some(place as usize)
    })
}

/// The lowest place whose bit is not set.
fn free_place(bits: u16) -> Option<u8> {
    u8::try_from(bits.trailing_ones()).ok().filter(|place| usize::from(*place) < TRANSFERS_MAX)
}

impl Machine<'_> {
    // ---- messages ----

    /// A peer has said something about a transfer.
    pub(crate) fn handle_transfer(&mut self, from: Member, message: &TransferMessage<'_>) {
        let TransferMessage { range, version, body } = *message;
        let is_known = version.epoch <= self.s.epoch() && version.count <= COUNT_MAX;
        if !self.s.is_open || self.is_suspect() || !self.is_range(range) || !is_known {
            self.s.stats.messages_dropped += 1;
            return;
        }
        let is_heard = match body {
            TransferBody::Offer { to, need, room } => self.handle_offer(from, range, version, to, need, room),
            TransferBody::OfferAnswer(answer) => self.handle_offer_answer(from, range, version, answer),
            TransferBody::InitialLocks(chunk) => self.handle_chunk(from, range, version, &chunk),
            TransferBody::Received { position, sent, is_busy } => {
                self.handle_received(from, range, version, (position, sent), is_busy)
            }
            TransferBody::NewMaster { old } => self.handle_new_master(from, range, version, old),
            TransferBody::NewMasterAck => self.handle_new_master_ack(from, range, version),
            TransferBody::End => self.handle_end(from, range, version),
            TransferBody::EndAck => self.handle_end_ack(from, range, version),
            TransferBody::Withdraw => self.handle_withdraw(from, range, version),
            TransferBody::WithdrawAck => self.handle_withdraw_ack(from, range, version),
        };
        if !is_heard {
            self.s.stats.messages_dropped += 1;
        }
        self.settle();
    }

    fn is_range(&self, range: SlotRange) -> bool {
        range.len > 0 && range.end() <= self.slots.len() as u64
    }

    /// Answers a peer about a transfer.
    fn note(&mut self, member: Member, range: SlotRange, version: MapVersion, body: TransferBody<'static>) {
        self.peer(member).notes.push(TransferMessage { range, version, body });
        self.mark_ready(member);
    }

    pub(crate) fn has_transfer_output(&self, member: Member) -> bool {
        let peer = &self.peers[usize::from(member)];
        peer.notes.front().is_some()
            || !peer.relays.is_empty()
            || places(self.s.transfers.giving).any(|place| self.has_outgoing_output(place, member))
            || places(self.s.transfers.taking).any(|place| self.has_incoming_output(place, member))
    }

    /// Says the next thing about transfers to a peer: answers, then what is due, then records.
    pub(crate) fn write_transfer(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        if let Some(note) = self.peers[usize::from(member)].notes.front() {
            if !writer.push_transfer(note) {
                return Push::Full;
            }
            self.peer(member).notes.pop();
            return Push::Said;
        }
        for place in places(self.s.transfers.taking) {
            if self.has_incoming_output(place, member) {
                return self.write_incoming(place, member, writer);
            }
        }
        for place in places(self.s.transfers.giving) {
            if self.has_outgoing_output(place, member) {
                return self.write_outgoing(place, member, writer);
            }
        }
        Push::Nothing
    }

    // ---- time and work ----

    /// A peer has come back: what it has not answered is said again.
    pub(crate) fn hurry_transfers(&mut self, member: Member) {
        let now = self.s.now;
        let is_concerned = |place: &usize| self.s.transfers.outgoing[*place].awaits(member);
        let mut outgoing = 0;
        for place in places(self.s.transfers.giving).filter(is_concerned) {
            outgoing |= 1 << place;
        }
        for place in places(outgoing) {
            self.s.transfers.outgoing[place].repeat_at = now;
        }
        for place in places(self.s.transfers.taking) {
            self.s.transfers.incoming[place].hurry(now);
        }
        if let Some(deadline) = self.s.transfers.deadline() {
            self.note_deadline(deadline);
        }
    }

    /// Works off one transfer of which something has to be said again; says whether there was one.
    pub(crate) fn expire_transfer(&mut self, until: Instant) -> bool {
        let is_due = |at: Instant| at != Instant::NEVER && at <= until;
        let transfers = &self.s.transfers;
        let outgoing = places(transfers.giving).find(|place| is_due(transfers.outgoing[*place].repeat_at));
        if let Some(place) = outgoing {
            self.s.stats.repeats += 1;
            self.repeat_outgoing(place);
            return true;
        }
        let incoming = places(transfers.taking).find(|place| is_due(transfers.incoming[*place].repeat_at));
        if let Some(place) = incoming {
            self.s.stats.repeats += 1;
            self.repeat_incoming(place);
            return true;
        }
        false
    }

    /// Does some of the work that transfers have left, of `most` records at most; returns of how many.
    pub(crate) fn work_on_transfers(&mut self, most: u32) -> u32 {
        let of_moved = self.work_on_moved(most);
        if of_moved > 0 { of_moved } else { self.work_on_packed(most) }
    }

    // ---- getters ----

    pub(crate) fn slot_of_name(&self, space: SpaceId, name: &[u8]) -> Result<Option<SlotId>, NameError> {
        crate::name::check_name(name)?;
        let slot = self.is_space(space).then(|| self.slot_of(space, self.hash_of(space, name)));
        Ok(slot.map(SlotId))
    }

    pub(crate) fn decides_name(&self, space: SpaceId, name: &[u8]) -> Result<bool, NameError> {
        let Some(SlotId(slot)) = self.slot_of_name(space, name)? else { return Ok(false) };
        let hash = self.hash_of(space, name);
        Ok(self.s.is_open && self.decides(slot, self.find(space, name, hash)))
    }

    pub(crate) fn slot_view(&self, slot: SlotId) -> Option<SlotView> {
        let entry = self.slots.0.get(slot.0 as usize)?;
        let is_named = entry.heir != NOBODY;
        let is_mine = self.is_me(entry.master);
        Some(SlotView {
            master: (entry.master != NOBODY).then(|| self.node_at(entry.master)),
            version: entry.version,
            is_moving: is_named || entry.course != Course::Still,
            room: if is_mine { entry.room } else { Room::NONE },
        })
    }
}

impl TransferId {
    /// The handle as one word, to key an application's own table.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 8 | self.place as u64
    }
}

impl Stage {
    /// Has the transfer ended?
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Refused(_) | Self::Withdrawn | Self::Cut)
    }
}

impl Room {
    /// No records.
    pub const NONE: Self = Self { resources: 0, physical: 0, names: 0, values: 0 };

    /// The kind of record, if any, of which there are more here than in `other`.
    pub(crate) fn beyond(self, other: Self) -> Option<Full> {
        let kinds = [
            (self.resources > other.resources, Full::Resources),
            (self.physical > other.physical, Full::Physical),
            (self.names > other.names, Full::Names),
            (self.values > other.values, Full::Values),
        ];
        kinds.into_iter().find(|(is_beyond, _)| *is_beyond).map(|(_, full)| full)
    }

    /// Are there no more of any kind here than in `other`?
    #[inline]
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.resources <= other.resources
            && self.physical <= other.physical
            && self.names <= other.names
            && self.values <= other.values
    }

    /// How many of a kind.
    pub(crate) const fn of(self, kind: Full) -> u32 {
        match kind {
            Full::Resources => self.resources,
            Full::Physical => self.physical,
            Full::Names => self.names,
            Full::Values => self.values,
            // They stay where their owners are.
            Full::Locks => 0,
        }
    }

    /// Each kind by itself.
    #[inline]
    pub(crate) fn zip(self, other: Self, with: impl Fn(u32, u32) -> u32) -> Self {
        Self {
            resources: with(self.resources, other.resources),
            physical: with(self.physical, other.physical),
            names: with(self.names, other.names),
            values: with(self.values, other.values),
        }
    }

    #[inline]
    pub(crate) fn minus(self, other: Self) -> Self {
        self.zip(other, u32::saturating_sub)
    }
}

impl Add for Room {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        self.zip(other, u32::saturating_add)
    }
}

impl AddAssign for Room {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
