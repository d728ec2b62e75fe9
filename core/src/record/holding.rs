//! What a node holds, pins and wants on a resource, and for whom.

use super::{Counted, Lock};
use crate::flags::Flags;
use crate::id::{DemandId, Number, Priority, Token};
use crate::mode::Mode;
use crate::queue::Queues;
use crate::table::{Idx, Link};
use crate::wire::PositionKind;

/// What a node holds, pins and wants on a resource, and for whom.
///
/// The order of the fields is kept, by cache lines: the first is all that a retained lock needs to be taken and given
/// back; it ends in the middle of the queues, where what waits begins.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Holding {
    pub(crate) held: Option<Mode>,
    /// What may stay under the demand that is not met yet.
    stay: Option<Mode>,
    /// Held without an owner, and counted so.
    pub(crate) is_idle: bool,
    /// Used since it was put among the idle ones.
    pub(crate) is_touched: bool,
    /// The copy is what the resource's value block is.
    pub(crate) is_copy_current: bool,
    pending: Pending,
    /// Owners that watch; without any, nobody is looked for who might be told of a demand.
    pub(crate) watched: u16,
    /// Physical token, with the count of owners served under it.
    pub(crate) token: Token,
    /// Local grants since the last message; they sent none.
    pub(crate) hits: u32,
    /// Its place among the idle ones.
    pub(crate) idle: Link,
    pub(crate) locks: Queues<Lock>,
    /// The waiter that the master's last grant was for.
    pub(crate) served: Option<Idx<Lock>>,
    /// Number of the last position.
    pub(crate) number: Number,
    /// Number under which the wish was first asked, if there is one.
    pub(crate) asked: Number,
    /// The last demand, met or not.
    demand_id: DemandId,
    /// Local grants made since the demand was known, as far as they can be counted.
    pub(crate) grants_after_demand: u16,
    pub(crate) kind: PositionKind,
    /// Locks that are lent.
    pub(crate) lent: u8,
    /// What is asked of the master, until it is granted, denied or withdrawn. Set by [`Holding::ask`] alone, and read
    /// through [`Holding::wish`].
    wish: Option<Wish>,
}
const _: () = assert!(
    core::mem::offset_of!(Holding, locks) + Queues::<Lock>::OF_HOLDERS <= 64,
    "a lock without waiters needs one line"
);
const _: () = assert!(size_of::<Holding>() == 128, "what is held and asked takes two lines");

/// What a node waits to hear of its master, so that the first line says whether it does: an answer to the wish, and that
/// the master has a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending(u8);

impl Pending {
    const NOTHING: Self = Self(0);
    /// There is a wish, which stands in another line.
    const ASKING: u8 = 1;
    /// A write of the value block that no position has stated yet.
    const UNSTATED: u8 = 1 << 1;
    /// A write that was stated and is not acknowledged; its number stands with the copy.
    const STATED: u8 = 1 << 2;
    /// It waits for nothing here: the next message answers the last demand.
    const ANSWERING: u8 = 1 << 3;

    const fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    const fn change(&mut self, without: u8, with: u8) {
        self.0 = self.0 & !without | with;
    }
}

/// What a node asks of a master, and for which of its owners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Nobody once the lock has ended: its place may be another's by the time of an answer.
    pub(crate) waiter: Option<Idx<Lock>>,
    /// The place in the queue, once the master has said that it waits.
    pub(crate) ticket: Counted,
    pub(crate) is_queued: bool,
    pub(crate) wanted: Mode,
    pub(crate) pinned: Option<Mode>,
    pub(crate) priority: Priority,
    pub(crate) flags: Flags,
}

/// A demand that this node has not met yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unmet {
    pub(crate) id: DemandId,
    pub(crate) stay: Mode,
}

impl Holding {
    pub(crate) const NONE: Self = Self {
        held: None,
        stay: None,
        is_idle: false,
        is_touched: false,
        is_copy_current: false,
        pending: Pending::NOTHING,
        watched: 0,
        token: Token::NONE,
        hits: 0,
        idle: Link::NONE,
        locks: Queues::EMPTY,
        served: None,
        number: Number(0),
        asked: Number(0),
        demand_id: DemandId(0),
        grants_after_demand: 0,
        kind: PositionKind::Downgrade,
        lent: 0,
        wish: None,
    };

    // ---- what is asked ----

    /// Asks this of the master from now on, or nothing.
    pub(crate) fn ask(&mut self, wish: Option<Wish>) {
        self.pending.change(Pending::ASKING, if wish.is_some() { Pending::ASKING } else { 0 });
        self.wish = wish;
    }

    /// Is anything asked of the master? Looks at the first line only.
    pub(crate) const fn is_asking(&self) -> bool {
        self.pending.has(Pending::ASKING)
    }

    /// What is asked of the master; without anything it costs no second line.
    pub(crate) fn wish(&self) -> Option<Wish> {
        if self.is_asking() { self.wish } else { None }
    }

    pub(crate) fn wish_mut(&mut self) -> Option<&mut Wish> {
        if self.is_asking() { self.wish.as_mut() } else { None }
    }

    /// A lock has ended: nothing is asked for it any more.
    pub(crate) fn forget_waiter(&mut self, lock: Idx<Lock>) {
        if let Some(wish) = self.wish_mut()
            && wish.waiter == Some(lock)
        {
            wish.waiter = None;
        }
    }

    // ---- what is written ----

    /// A value block was written that the master does not know of, acknowledged or not.
    pub(crate) const fn begin_write(&mut self) {
        self.pending.change(Pending::STATED, Pending::UNSTATED);
    }

    /// The next position states the write.
    pub(crate) const fn state_write(&mut self) {
        self.pending.change(Pending::UNSTATED, Pending::STATED);
    }

    /// There is no write that is not acknowledged.
    pub(crate) const fn end_write(&mut self) {
        self.pending.change(Pending::UNSTATED | Pending::STATED, 0);
    }

    /// Is there a write that is not acknowledged?
    pub(crate) const fn is_writing(&self) -> bool {
        self.pending.has(Pending::UNSTATED | Pending::STATED)
    }

    /// Is there a write that no position has stated yet?
    pub(crate) const fn is_write_unstated(&self) -> bool {
        self.pending.has(Pending::UNSTATED)
    }

    /// Does the node wait to hear anything of its master? Looks at the first line only.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.has(Pending::ASKING | Pending::UNSTATED | Pending::STATED)
    }

    // ---- what is demanded ----

    /// The demand that is not met yet.
    pub(crate) fn demand(&self) -> Option<Unmet> {
        self.stay.map(|stay| Unmet { id: self.demand_id, stay })
    }

    /// Is there such a demand? Looks at the first line only.
    pub(crate) const fn is_demanded(&self) -> bool {
        self.stay.is_some()
    }

    /// The demand that the next message answers; 0 for none.
    pub(crate) const fn answers(&self) -> DemandId {
        if self.pending.has(Pending::ANSWERING) { self.demand_id } else { DemandId(0) }
    }

    /// A demand has come, and is answered by the next message. Where everything may stay, that is all it asks for.
    pub(crate) fn take_demand(&mut self, demand: Unmet) {
        self.demand_id = demand.id;
        self.pending.change(0, Pending::ANSWERING);
        self.stay = (demand.stay != Mode::Exclusive).then_some(demand.stay);
    }

    /// The demand is met, and the next message says so.
    pub(crate) const fn meet_demand(&mut self) {
        self.stay = None;
        self.pending.change(0, Pending::ANSWERING);
    }

    /// The demand counts no more, answered or not.
    pub(crate) const fn drop_demand(&mut self) {
        self.stay = None;
    }

    /// The last demand was answered.
    pub(crate) const fn was_answered(&mut self) {
        self.pending.change(Pending::ANSWERING, 0);
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.held.is_none() && self.locks.is_empty() && !self.is_waiting()
    }
}
