//! The one queue discipline: granted, convert and wait queue, after VMS and Linux dlm.
//!
//! It serves twice: among the physical locks of nodes at a master, and among the logical locks of owners at
//! a node. It knows neither; a level says through [`Entry`] and a *reach* what is special about it. The rules
//! G1 to G12 are those of `docs/protocol.md`.
//!
//! ```text
//!            enter, now grantable                    release
//! (nothing) ───────────────────────► granted ───────────────────► (nothing)
//!     │                              ▲  │  ▲
//!     │ enter, must wait             │  │  │ next_grant, cancel
//!     ▼              next_grant      │  ▼  │
//!    wait ───────────────────────────┘ convert
//!     │ cancelled, denied
//!     ▼
//! (nothing)
//! ```

mod count;

use core::fmt;

use count::Count;

use crate::SCAN_MAX;
use crate::flags::Flags;
use crate::mode::Mode;
use crate::table::{Idx, Link, Row, Slab, Via};

/// What the discipline knows of a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Mode held, which others must be compatible with, wherever the lock stands.
    pub(crate) held: Option<Mode>,
    /// Mode that cannot be given up before what is wanted is granted; makes it a conversion.
    pub(crate) pinned: Option<Mode>,
    /// Mode waited for.
    pub(crate) wanted: Option<Mode>,
    /// Highest mode that the holder was told of; told again after its next grant.
    pub(crate) told: Option<Mode>,
    pub(crate) flags: Flags,
    pub(crate) place: Place,
    pub(crate) marks: Marks,
    pub(crate) link: Link,
}
const _: () = assert!(size_of::<Claim>() == 16, "a claim is a quarter of a cache line");

/// What has become of a request since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const NONE: Self = Self(0);
    /// `wanted` is the alternate mode already.
    pub(crate) const ALTERNATE: Self = Self(1);
    /// The lock was demoted to NL to end a conversion deadlock.
    pub(crate) const DEMOTED: Self = Self(1 << 1);

    pub(crate) const fn of(alternate: bool, demoted: bool) -> Self {
        Self(alternate as u8 | (demoted as u8) << 1)
    }

    pub(crate) const fn set(&mut self, mark: Self) {
        self.0 |= mark.0;
    }

    const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }
}

/// Which queue a lock stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Apart,
    Granted,
    Convert,
    Wait,
}

impl Claim {
    pub(crate) const VACANT: Self = Self {
        held: None,
        pinned: None,
        wanted: None,
        told: None,
        flags: Flags::NONE,
        place: Place::Apart,
        marks: Marks::NONE,
        link: Link::NONE,
    };

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.place, Place::Convert | Place::Wait)
    }

    pub(crate) fn is_alternate(&self) -> bool {
        self.marks.has(Marks::ALTERNATE)
    }

    pub(crate) fn is_demoted(&self) -> bool {
        self.marks.has(Marks::DEMOTED)
    }

    fn is_conversion(&self) -> bool {
        self.pinned.is_some()
    }

    /// Could this lock give up something while it waits?
    fn has_surplus(&self) -> bool {
        self.held != self.pinned
    }
}

/// A lock of one of the two levels.
pub(crate) trait Entry: Sized {
    /// Counts the locks of one resource.
    type Count: Count;
    /// Does a demotion lower the mode held at once? At a master only the node itself can do that.
    const DEMOTES_HELD: bool;
    /// May a queued lock hold more than it pins? At a node never.
    const HAS_SURPLUS: bool;

    fn claim(&self) -> &Claim;
    fn claim_mut(&mut self) -> &mut Claim;
}

/// The link of the three queues; a lock is in one of them at most.
#[derive(Debug)]
pub(crate) enum Standing {}

impl<T: Entry> Via<T> for Standing {
    fn link(record: &T) -> Link {
        record.claim().link
    }

    fn link_mut(record: &mut T) -> &mut Link {
        &mut record.claim_mut().link
    }
}

/// What became of a request or conversion on arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// Granted at once.
    Granted,
    /// In the convert or wait queue.
    Queued,
    /// Asked not to wait and could not be granted; it is where it was.
    Busy,
    /// Would wait in a conversion deadlock; it is where it was.
    Deadlock,
}

/// Whether a request that was asked not to wait may wait for the holders' answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoQueue {
    /// It is refused at once.
    Refuse,
    /// It waits if only holders are in its way: they may merely retain.
    AskHolders,
}

/// The three queues of one resource at one level, with counts that spare walking them.
///
/// What only who waits needs stands last.
#[repr(C)]
pub(crate) struct Queues<T: Entry> {
    granted: Row<T, Standing>,
    convert: Row<T, Standing>,
    wait: Row<T, Standing>,
    /// Locks in all three queues.
    len: T::Count,
    /// Locks that hold each mode, wherever they stand.
    held: [T::Count; 6],
    /// Waiting locks with the no-order flag.
    no_order: T::Count,
    /// Locks that wait for each mode.
    wanted: [T::Count; 6],
}

impl<T: Entry> Queues<T> {
    /// Bytes of what holders need: the rest is for those who wait.
    pub(crate) const OF_HOLDERS: usize = core::mem::offset_of!(Self, no_order);

    pub(crate) const EMPTY: Self = Self {
        granted: Row::EMPTY,
        convert: Row::EMPTY,
        wait: Row::EMPTY,
        len: T::Count::ZERO,
        held: [T::Count::ZERO; 6],
        no_order: T::Count::ZERO,
        wanted: [T::Count::ZERO; 6],
    };

    pub(crate) fn is_empty(&self) -> bool {
        self.len == T::Count::ZERO
    }

    /// Locks in all three queues.
    pub(crate) fn len(&self) -> u16 {
        self.len.into()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == T::Count::MAX
    }

    pub(crate) fn has_waiters(&self) -> bool {
        !(self.convert.is_empty() && self.wait.is_empty())
    }

    /// The weakest mode that covers all modes held.
    pub(crate) fn need(&self) -> Option<Mode> {
        let held = Mode::ALL.into_iter().filter(|mode| self.held[*mode as usize] != T::Count::ZERO);
        held.reduce(Mode::join)
    }

    /// The weakest mode that covers all modes waited for.
    pub(crate) fn wanted(&self) -> Option<Mode> {
        let wanted = Mode::ALL.into_iter().filter(|mode| self.waiting(*mode) > 0);
        wanted.reduce(Mode::join)
    }

    /// Does anybody wait for a mode that `is_beyond` accepts?
    pub(crate) fn is_wanted(&self, is_beyond: impl Fn(Mode) -> bool) -> bool {
        Mode::ALL.into_iter().any(|mode| self.waiting(mode) > 0 && is_beyond(mode))
    }

    pub(crate) fn waiting(&self, mode: Mode) -> u16 {
        self.wanted[mode as usize].into()
    }

    pub(crate) fn held_at(&self, mode: Mode) -> u16 {
        self.held[mode as usize].into()
    }
}

impl<T: Entry> Clone for Queues<T> {
    fn clone(&self) -> Self {
        let (granted, convert, wait) = (self.granted.clone(), self.convert.clone(), self.wait.clone());
        Self { granted, convert, wait, ..*self }
    }
}

impl<T: Entry> fmt::Debug for Queues<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} {:?} {:?}", self.granted, self.convert, self.wait, self.held, self.wanted)
    }
}

/// A position in a walk over queues.
pub(crate) type At<T> = Option<Idx<T>>;

impl<T: Entry> Queues<T> {
    pub(crate) fn head(&self, place: Place) -> At<T> {
        match place {
            Place::Apart => None,
            Place::Granted => self.granted.head(),
            Place::Convert => self.convert.head(),
            Place::Wait => self.wait.head(),
        }
    }

    pub(crate) fn next(slab: &Slab<'_, T>, at: Idx<T>) -> At<T> {
        Row::<T, Standing>::next(slab, at)
    }

    /// The first lock of all queues, granted, convert, wait, for which `is_it` holds.
    pub(crate) fn find(&self, slab: &Slab<'_, T>, is_it: impl Fn(&T) -> bool) -> At<T> {
        for place in [Place::Granted, Place::Convert, Place::Wait] {
            let mut walk = self.head(place);
            while let Some(at) = walk {
                if is_it(&slab[at]) {
                    return walk;
                }
                walk = Self::next(slab, at);
            }
        }
        None
    }

    /// The first of the first [`SCAN_MAX`] conversions, then requests, for which `is_it` holds.
    pub(crate) fn find_waiter(&self, slab: &Slab<'_, T>, is_it: impl Fn(&T) -> bool) -> At<T> {
        for place in [Place::Convert, Place::Wait] {
            let mut walk = self.head(place);
            for _ in 0..SCAN_MAX {
                let Some(at) = walk else { break };
                if is_it(&slab[at]) {
                    return walk;
                }
                walk = Self::next(slab, at);
            }
        }
        None
    }

    // ---- changes of place ----

    /// Changes what a lock holds. Every change goes through here, so that the counts are right.
    pub(crate) fn set_held(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, held: Option<Mode>) {
        let claim = slab[at].claim_mut();
        if claim.place != Place::Apart {
            if let Some(old) = claim.held {
                self.held[old as usize].take();
            }
            if let Some(new) = held {
                self.held[new as usize].add();
            }
        }
        claim.held = held;
    }

    /// Puts a lock into a queue, at its head or tail.
    pub(crate) fn stand(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, place: Place) {
        self.count_in(slab, at, place);
        let is_first = slab[at].claim().flags.has(Flags::HEAD_OF_QUEUE);
        match (place, is_first) {
            (Place::Apart, _) => {}
            (Place::Granted, _) => self.granted.push_back(slab, at),
            (Place::Convert, false) => self.convert.push_back(slab, at),
            (Place::Convert, true) => self.convert.push_front(slab, at),
            (Place::Wait, false) => self.wait.push_back(slab, at),
            (Place::Wait, true) => self.wait.push_front(slab, at),
        }
    }

    /// Puts a lock at the tail of a queue, whatever its flags: it was in that place at another master.
    pub(crate) fn stand_last(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, place: Place) {
        self.count_in(slab, at, place);
        match place {
            Place::Apart => {}
            Place::Granted => self.granted.push_back(slab, at),
            Place::Convert => self.convert.push_back(slab, at),
            Place::Wait => self.wait.push_back(slab, at),
        }
    }

    /// The lock after this one in the order of the queues: granted, convert, wait. The first one of all for none.
    #[inline]
    pub(crate) fn after(&self, slab: &Slab<'_, T>, at: At<T>) -> At<T> {
        let first_waiter = || self.wait.head();
        let Some(at) = at else {
            return self.granted.head().or_else(|| self.convert.head()).or_else(first_waiter);
        };
        Self::next(slab, at).or_else(|| match slab[at].claim().place {
            Place::Granted => self.convert.head().or_else(first_waiter),
            Place::Convert => first_waiter(),
            Place::Wait | Place::Apart => None,
        })
    }

    /// Puts a lock into the convert or wait queue before the first one that `is_later`.
    pub(crate) fn stand_before(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, is_later: impl Fn(&T) -> bool) {
        let place = if slab[at].claim().is_conversion() { Place::Convert } else { Place::Wait };
        let mut walk = self.head(place);
        while let Some(other) = walk {
            if is_later(&slab[other]) {
                self.count_in(slab, at, place);
                match place {
                    Place::Convert => self.convert.insert_before(slab, at, other),
                    Place::Wait => self.wait.insert_before(slab, at, other),
                    Place::Apart | Place::Granted => unreachable!("a waiter converts or waits"),
                }
                return;
            }
            walk = Self::next(slab, other);
        }
        self.count_in(slab, at, place);
        match place {
            Place::Convert => self.convert.push_back(slab, at),
            Place::Wait => self.wait.push_back(slab, at),
            Place::Apart | Place::Granted => unreachable!("a waiter converts or waits"),
        }
    }

    fn count_in(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, place: Place) {
        let claim = slab[at].claim_mut();
        assert!(claim.place == Place::Apart, "a lock stands in one queue");
        claim.place = place;
        self.len.add();
        if let Some(held) = claim.held {
            self.held[held as usize].add();
        }
        if claim.is_waiting() {
            let wanted = claim.wanted.expect("a waiter wants a mode");
            self.wanted[wanted as usize].add();
            if claim.flags.has(Flags::NO_ORDER) {
                self.no_order.add();
            }
        }
    }

    /// Takes a lock out of its queue, if it stands in one; what it holds and wants is kept in its claim.
    #[inline]
    pub(crate) fn leave(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        let place = slab[at].claim().place;
        if place != Place::Apart {
            self.leave_place(slab, at, place);
        }
    }

    #[inline(never)]
    fn leave_place(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, place: Place) {
        let claim = slab[at].claim_mut();
        if let Some(held) = claim.held {
            self.held[held as usize].take();
        }
        if claim.is_waiting() {
            let wanted = claim.wanted.expect("a waiter wants a mode");
            self.wanted[wanted as usize].take();
            if claim.flags.has(Flags::NO_ORDER) {
                self.no_order.take();
            }
        }
        claim.place = Place::Apart;
        self.len.take();
        match place {
            Place::Apart => {}
            Place::Granted => self.granted.remove(slab, at),
            Place::Convert => self.convert.remove(slab, at),
            Place::Wait => self.wait.remove(slab, at),
        }
    }

    /// Ends what a lock waits for: it is granted in the mode it holds, or apart if it holds none.
    pub(crate) fn withdraw(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        if slab[at].claim().is_waiting() {
            self.leave(slab, at);
        }
        let claim = slab[at].claim_mut();
        claim.wanted = None;
        claim.pinned = None;
        if claim.held.is_some() && claim.place == Place::Apart {
            self.stand(slab, at, Place::Granted);
        }
    }

    /// Changes the mode that a lock waits for, in its place.
    pub(crate) fn set_wanted(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, wanted: Mode) {
        let claim = slab[at].claim_mut();
        if claim.is_waiting() {
            let old = claim.wanted.expect("a waiter wants a mode");
            self.wanted[old as usize].take();
            self.wanted[wanted as usize].add();
        }
        claim.wanted = Some(wanted);
    }

    /// Changes the flags of a lock, in its place.
    pub(crate) fn set_flags(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, flags: Flags) {
        let claim = slab[at].claim_mut();
        if claim.is_waiting() {
            if claim.flags.has(Flags::NO_ORDER) {
                self.no_order.take();
            }
            if flags.has(Flags::NO_ORDER) {
                self.no_order.add();
            }
        }
        claim.flags = flags;
    }

    // ---- grants ----

    /// A lock, apart or granted, with its `wanted`, `pinned` and `flags` set, arrives (rules G1, G4, G5, G6,
    /// G8). `reach` says whether a lock may have a mode that its queue allows.
    pub(crate) fn enter(
        &mut self,
        slab: &mut Slab<'_, T>,
        at: Idx<T>,
        no_queue: NoQueue,
        reach: impl Fn(&T, Mode) -> bool + Copy,
    ) -> Entered {
        let claim = *slab[at].claim();
        debug_assert!(!claim.is_waiting(), "a lock enters once");
        let wanted = claim.wanted.expect("a lock that enters wants a mode");
        if self.is_allowed_now(&claim, wanted) {
            return self.enter_allowed(slab, at, wanted, reach);
        }
        let may_wait = !claim.flags.has(Flags::NO_QUEUE);
        if may_wait && claim.is_conversion() && self.is_deadlocked(slab, at) {
            if claim.flags.has(Flags::DEMOTE_ON_DEADLOCK) {
                return self.enter_demoted(slab, at, reach);
            }
            if !claim.flags.has(Flags::NO_DEADLOCK_WAIT) {
                return Entered::Deadlock;
            }
        }
        if let Some(alternate) = Self::alternate(&claim)
            && self.is_allowed_now(&claim, alternate)
        {
            let claim = slab[at].claim_mut();
            claim.wanted = Some(alternate);
            claim.marks.set(Marks::ALTERNATE);
            return self.enter_allowed(slab, at, alternate, reach);
        }
        let may_ask = no_queue == NoQueue::AskHolders && self.is_in_order_now(&claim);
        if may_wait || may_ask { self.enter_queue(slab, at) } else { Entered::Busy }
    }

    /// The mode that a lock takes instead of the one it wants. What a node has besides it is not lost by that:
    /// physical modes never cross.
    fn alternate(claim: &Claim) -> Option<Mode> {
        let alternate = claim.flags.alternate(claim.wanted?)?;
        let kept = claim.held.filter(|_| T::HAS_SURPLUS);
        Some(kept.map_or(alternate, |held| held.join(alternate)))
    }

    /// The queues allow it; grants it if it is within reach, and else lets it wait for that.
    fn enter_allowed(
        &mut self,
        slab: &mut Slab<'_, T>,
        at: Idx<T>,
        wanted: Mode,
        reach: impl Fn(&T, Mode) -> bool,
    ) -> Entered {
        if reach(&slab[at], wanted) {
            self.grant(slab, at);
            return Entered::Granted;
        }
        if slab[at].claim().flags.has(Flags::NO_QUEUE) && self.has_waiters() {
            return Entered::Busy;
        }
        // A conversion that passes those who wait, and would be in deadlock with one behind it, keeps its lead.
        let is_leading = slab[at].claim().is_conversion() && self.is_deadlocked(slab, at);
        self.leave(slab, at);
        if is_leading {
            self.stand_before(slab, at, |_| true);
            return Entered::Queued;
        }
        self.enter_queue(slab, at)
    }

    fn enter_queue(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) -> Entered {
        self.leave(slab, at);
        let place = if slab[at].claim().is_conversion() { Place::Convert } else { Place::Wait };
        self.stand(slab, at, place);
        Entered::Queued
    }

    /// Demotes the lock, so that what waits for it goes first (rule G11).
    fn enter_demoted(
        &mut self,
        slab: &mut Slab<'_, T>,
        at: Idx<T>,
        reach: impl Fn(&T, Mode) -> bool + Copy,
    ) -> Entered {
        self.demote(slab, at);
        let claim = *slab[at].claim();
        let wanted = claim.wanted.expect("a lock that enters wants a mode");
        // Conversions ahead that the demotion frees are granted before this one is looked at again.
        let is_first_freed = self.head(Place::Convert).is_some_and(|first| {
            let first = slab[first].claim();
            self.is_compatible(first, first.wanted.expect("a waiter wants a mode"))
        });
        if !is_first_freed && self.is_allowed_now(&claim, wanted) {
            return self.enter_allowed(slab, at, wanted, reach);
        }
        self.enter_queue(slab, at)
    }

    /// Gives up what a lock in a conversion deadlock pins.
    pub(crate) fn demote(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        if T::DEMOTES_HELD {
            self.set_held(slab, at, Some(Mode::Null));
        }
        let claim = slab[at].claim_mut();
        claim.pinned = Some(Mode::Null);
        claim.marks.set(Marks::DEMOTED);
        // It goes behind those that it was demoted for.
        claim.flags = claim.flags.without(Flags::HEAD_OF_QUEUE);
    }

    /// The next waiter that may be granted, granted (rules G6, G7, G9, G10); `None` when a pass is over.
    pub(crate) fn next_grant(
        &mut self,
        slab: &mut Slab<'_, T>,
        reach: impl Fn(&T, Mode) -> bool + Copy,
    ) -> At<T> {
        if let Some(at) = self.next_grant_in(slab, Place::Convert, true, reach) {
            return Some(at);
        }
        let is_first_allowed = self.convert.is_empty();
        self.next_grant_in(slab, Place::Wait, is_first_allowed, reach)
    }

    fn next_grant_in(
        &mut self,
        slab: &mut Slab<'_, T>,
        place: Place,
        is_first_allowed: bool,
        reach: impl Fn(&T, Mode) -> bool + Copy,
    ) -> At<T> {
        let first = self.head(place)?;
        if is_first_allowed && self.grant_if_fit(slab, first, reach) {
            return Some(first);
        }
        if self.no_order == T::Count::ZERO {
            return None;
        }
        let mut walk = Some(first);
        for _ in 0..SCAN_MAX {
            let at = walk?;
            walk = Self::next(slab, at);
            if slab[at].claim().flags.has(Flags::NO_ORDER) && self.grant_if_fit(slab, at, reach) {
                return Some(at);
            }
        }
        None
    }

    /// Grants a waiter, in its mode or the alternate one, if that is compatible and within reach.
    fn grant_if_fit(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, reach: impl Fn(&T, Mode) -> bool) -> bool {
        let claim = *slab[at].claim();
        let wanted = claim.wanted.expect("a waiter wants a mode");
        if self.is_compatible(&claim, wanted) {
            if !reach(&slab[at], wanted) {
                return false;
            }
        } else {
            let Some(alternate) = Self::alternate(&claim) else { return false };
            if !self.is_compatible(&claim, alternate) || !reach(&slab[at], alternate) {
                return false;
            }
            self.set_wanted(slab, at, alternate);
            slab[at].claim_mut().marks.set(Marks::ALTERNATE);
        }
        self.grant(slab, at);
        true
    }

    /// Grants what a lock wants; it goes to the tail of the granted queue.
    pub(crate) fn grant(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        self.leave(slab, at);
        let claim = slab[at].claim_mut();
        let wanted = claim.wanted.take().expect("a grant answers a wish");
        claim.held = Some(wanted);
        claim.pinned = None;
        claim.told = None;
        self.stand(slab, at, Place::Granted);
    }

    /// Is a mode compatible with what every other lock holds (rule G2)?
    pub(crate) fn is_compatible(&self, claim: &Claim, wanted: Mode) -> bool {
        if self.is_empty() {
            return true;
        }
        let own = claim.held.filter(|_| claim.place != Place::Apart);
        Mode::ALL
            .into_iter()
            .all(|mode| mode.is_compatible(wanted) || self.held_at(mode) == u16::from(own == Some(mode)))
    }

    fn is_allowed_now(&self, claim: &Claim, wanted: Mode) -> bool {
        if claim.flags.has(Flags::EXPEDITE) && wanted == Mode::Null && claim.held.is_none() {
            return true;
        }
        self.is_compatible(claim, wanted) && (claim.flags.has(Flags::NO_ORDER) || self.is_in_order_now(claim))
    }

    /// May an arriving lock pass those that wait?
    fn is_in_order_now(&self, claim: &Claim) -> bool {
        if claim.is_conversion() {
            return !claim.flags.has(Flags::QUEUE_CONVERT) || self.convert.is_empty();
        }
        !self.has_waiters() || claim.flags.has(Flags::NO_ORDER)
    }

    /// Would this conversion and one that waits block each other for ever (rule G11)?
    ///
    /// A conversion ahead blocks by its place, one behind only by what it pins.
    pub(crate) fn is_deadlocked(&self, slab: &Slab<'_, T>, at: Idx<T>) -> bool {
        let claim = slab[at].claim();
        let (Some(pinned), Some(wanted)) = (claim.pinned, claim.wanted) else { return false };
        // One that will stand at the head has all others behind it, and is in their way by its place.
        let is_first = claim.flags.has(Flags::HEAD_OF_QUEUE) && !claim.is_waiting();
        let mut is_ahead = !is_first;
        let mut walk = self.convert.head();
        for _ in 0..SCAN_MAX {
            let Some(other_at) = walk else { break };
            walk = Self::next(slab, other_at);
            if other_at == at {
                is_ahead = false;
                continue;
            }
            let other = slab[other_at].claim();
            let (Some(other_pinned), Some(other_wanted)) = (other.pinned, other.wanted) else { continue };
            let blocks = is_first || !pinned.is_compatible(other_wanted);
            if blocks && (is_ahead || !other_pinned.is_compatible(wanted)) {
                return true;
            }
        }
        false
    }

    // ---- demands ----

    /// Tells those in the way of one waiter that has just queued; `tell` gets each lock and the mode.
    pub(crate) fn tell_of(
        &self,
        slab: &mut Slab<'_, T>,
        waiter: Idx<T>,
        places: &[Place],
        mut tell: impl FnMut(&mut Slab<'_, T>, Idx<T>, Mode),
    ) {
        let Some(wanted) = slab[waiter].claim().wanted else { return };
        self.for_each_in_the_way(slab, places, Flags::NONE, |slab, at| {
            let claim = slab[at].claim_mut();
            let Some(held) = claim.held.filter(|held| at != waiter && !held.is_compatible(wanted)) else {
                return;
            };
            let is_crossed = !held.covers(wanted) && !wanted.covers(held);
            let is_crossing_news = is_crossed && ![Some(wanted), Some(Mode::Exclusive)].contains(&claim.told);
            if claim.told < Some(wanted) || is_crossing_news {
                claim.told = Some(wanted);
                tell(slab, at, wanted);
            }
        });
    }

    /// Tells every holder of the highest mode waited for that it is in the way of, after a pass (rule G12).
    pub(crate) fn tell_all(
        &self,
        slab: &mut Slab<'_, T>,
        mut tell: impl FnMut(&mut Slab<'_, T>, Idx<T>, Mode),
    ) {
        if !self.has_waiters() {
            return;
        }
        let in_deadlock = Flags::NO_DEADLOCK_WAIT;
        self.for_each_in_the_way(slab, &[Place::Granted], in_deadlock, |slab, at| {
            let claim = slab[at].claim_mut();
            let Some((mode, high)) = self.to_tell(claim) else { return };
            claim.told = Some(high);
            tell(slab, at, mode);
        });
    }

    /// The mode to name to a holder and the mode it then counts as told of, if it must be told.
    fn to_tell(&self, claim: &Claim) -> Option<(Mode, Mode)> {
        let held = claim.held?;
        let own = if claim.is_waiting() { claim.wanted } else { None };
        let is_wanted = |mode: Mode| self.waiting(mode) > u16::from(own == Some(mode));
        let high = Mode::ALL.into_iter().rev().find(|mode| is_wanted(*mode))?;
        // CW and PR are not ordered: a PR holder must hear of CW even when PR is the higher number.
        let is_crossed = held == Mode::ProtectedRead && is_wanted(Mode::ConcurrentWrite);
        if is_crossed && claim.told < Some(Mode::ConcurrentWrite).max(Some(high)) {
            let named = if high == Mode::ProtectedRead { Mode::ConcurrentWrite } else { high };
            return Some((named, high));
        }
        (claim.told < Some(high) && !held.is_compatible(high)).then_some((high, high))
    }

    /// Walks the holders in the given queues, those that hold more than they pin, and, if a flag is given,
    /// the conversions that wait under it.
    fn for_each_in_the_way(
        &self,
        slab: &mut Slab<'_, T>,
        places: &[Place],
        converting: Flags,
        mut visit: impl FnMut(&mut Slab<'_, T>, Idx<T>),
    ) {
        for place in [Place::Granted, Place::Convert, Place::Wait] {
            let is_whole = places.contains(&place);
            let is_converting = place == Place::Convert && converting != Flags::NONE;
            if !is_whole && !is_converting && !T::HAS_SURPLUS {
                continue;
            }
            let mut walk = self.head(place);
            while let Some(at) = walk {
                walk = Self::next(slab, at);
                let claim = slab[at].claim();
                if is_whole || claim.has_surplus() || is_converting && claim.flags.has(converting) {
                    visit(slab, at);
                }
            }
        }
    }
}
