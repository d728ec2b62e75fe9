//! The verbs: what an owner asks of its own node, decided among the node's logical locks.
//!
//! ```text
//!                  request                     event or in the call           release, abandon
//! (no lock) ───────────────────► waiting ──────────────────────► granted ─────────────────────► (no lock)
//!     ▲                             │                             │   ▲
//!     │  denied, cancelled,         │                     convert │   │ granted, denied,
//!     └──── abandoned ──────────────┘                             ▼   │ cancelled
//!                                                              converting
//! ```
//!
//! The rules H1, H4, H8 and H9 are those of `docs/protocol.md`. What the node itself holds, and how it asks for more, is
//! in `holder/position.rs`; what it retains in `holder/retention.rs`, how that is taken again in `holder/rest.rs`, and lent in
//! `holder/lend.rs`.

mod lend;
mod position;
mod rest;
mod retention;

pub use lend::{LOAN, Use};
pub(crate) use position::Named;

use crate::drive::Budget;
use crate::error::{ConvertError, Full, ReleaseError, RequestError, UnknownLock};
use crate::event::{Asked, Cancelled, Conversion, Denial, Event, Grant, Path, Request};
use crate::flags::Flags;
use crate::id::{LockId, Token};
use crate::machine::Machine;
use crate::mode::{Mode, ValueTransfer};
use crate::name::check_name;
use crate::queue::{Claim, Entered, Marks, NoQueue, Place};
use crate::record::{End, Lock, Resource};
use crate::table::{Idx, Slab};
use crate::time::Instant;
use crate::transfer::Room;
use crate::value::{ValueState, ValueWrite};

/// Grants that one call makes on one resource; the rest follow while the node is driven.
const GRANTS_A_CALL: u32 = 64;

/// What a node may grant from what it holds: copied out of the holding, so that queues can ask it.
#[derive(Clone, Copy)]
struct Reach {
    held: Option<Mode>,
    is_copy_current: bool,
    /// A demand is known, and new requests wait for it to be met.
    is_closed: bool,
}

impl Reach {
    /// Does what the node holds give this lock this mode?
    fn covers(self, lock: &Lock, mode: Mode) -> bool {
        let is_value_known = self.is_copy_current || lock.is_served() || !lock.claim.flags.has(Flags::VALUE);
        self.held.is_some_and(|held| held.covers(mode)) && is_value_known
    }

    /// May the node grant it now (rules H1 and H4)?
    fn allows(self, lock: &Lock, mode: Mode) -> bool {
        let is_new = lock.claim.pinned.is_none();
        self.covers(lock, mode) && !(is_new && self.is_closed && !lock.is_served())
    }
}

impl Machine<'_> {
    // ---- verbs ----

    pub(crate) fn request(&mut self, now: Instant, request: &Request<'_>) -> Result<Asked, RequestError> {
        check_name(request.name)?;
        if !self.is_space(request.space) {
            return Err(RequestError::UnknownSpace);
        }
        request.flags.check_request(request.mode)?;
        let hash = self.hash_of(request.space, request.name);
        let found = self.find(request.space, request.name, hash);
        self.request_room(request, found, hash).inspect_err(|_| self.s.is_short = true)?;

        self.see(now);
        let resource = found.unwrap_or_else(|| self.make_asked(request, hash));
        self.touch(resource);
        if request.flags.has(Flags::VALUE) {
            self.reserve_copy(resource);
        }
        let at = self.take_lock();
        let lock = &mut self.locks[at];
        lock.resource = Some(resource);
        lock.owner = request.owner;
        lock.priority = request.priority;
        lock.claim = Claim { wanted: Some(request.mode), flags: request.flags, ..Claim::VACANT };
        let id = lock.id(at);
        self.s.stats.asked += 1;
        if self.is_master(resource) {
            self.s.stats.requests.local += 1;
        }
        match self.enter(resource, at) {
            // Nobody else is concerned, and what the node says of the resource stays as it is.
            Entered::Granted => return Ok(Asked { lock: id, grant: Some(self.grant_of(at)) }),
            Entered::Queued => self.begin_patience(at, request.patience),
            Entered::Busy | Entered::Deadlock => {
                self.s.stats.denied += 1;
                self.free_lock(at);
                self.state_changes(resource);
                return Err(RequestError::Busy);
            }
        }
        if request.flags.has(Flags::HEAD_OF_QUEUE) {
            // It may be grantable where it stands.
            self.look_after(resource);
        } else {
            self.state_changes(resource);
        }
        match self.take_outcome(at) {
            None => Ok(Asked { lock: id, grant: None }),
            Some(Ok(grant)) => Ok(Asked { lock: id, grant: Some(grant) }),
            Some(Err(reason)) => {
                self.free_lock(at);
                self.drop_if_unused(resource);
                Err(RequestError::from(reason))
            }
        }
    }

    fn make_asked(&mut self, request: &Request<'_>, hash: u64) -> Idx<Resource> {
        let at = self.make_resource(request.space, request.name, hash);
        self.note_mixed(self.resources[at].slot);
        at
    }

    /// Every table that the request needs a record of has one.
    fn request_room(
        &self,
        request: &Request<'_>,
        found: Option<Idx<Resource>>,
        hash: u64,
    ) -> Result<(), Full> {
        let is_queue_full = found.is_some_and(|at| self.resources[at].holding.locks.is_full());
        if !self.has_free_lock() || is_queue_full {
            return Err(Full::Locks);
        }
        if found.is_none() {
            self.check_room(request.name)?;
        }
        let slot = found.map_or_else(|| self.slot_of(request.space, hash), |at| self.resources[at].slot);
        let is_master = self.decides(slot, found);
        let is_on_record = found.is_some_and(|at| self.resources[at].mastery.members >> self.s.me & 1 == 1);
        if is_master && !is_on_record && self.free_physical() == 0 {
            return Err(Full::Physical);
        }
        let wants_value = request.flags.has(Flags::VALUE);
        if wants_value {
            self.value_room(found, is_master)?;
        }
        if is_master {
            self.slot_room(slot, self.needed_room(found, request.name, self.s.me, wants_value))?;
        }
        Ok(())
    }

    /// There is room for the node's copy of the value block and, at its master, for the block itself.
    fn value_room(&self, found: Option<Idx<Resource>>, is_master: bool) -> Result<(), Full> {
        let has_copy = found.is_some_and(|at| self.resources[at].copy.is_some());
        let has_value = !is_master || found.is_some_and(|at| self.resources[at].mastery.value.is_some());
        let needed = u32::from(!has_copy) + u32::from(!has_value);
        if self.free_values() < needed {
            return Err(Full::Values);
        }
        // Where the slot is moving, the master that it goes to must have room, too.
        match found.filter(|_| !has_value) {
            Some(at) => self.slot_room(self.resources[at].slot, Room { values: 1, ..Room::NONE }),
            None => Ok(()),
        }
    }

    pub(crate) fn convert(
        &mut self,
        now: Instant,
        id: LockId,
        mode: Mode,
        conversion: Conversion,
        write: ValueWrite,
    ) -> Result<Option<Grant>, ConvertError> {
        let at = self.live(id).ok_or(ConvertError::Unknown)?;
        let held = self.convert_held(at, mode, conversion.flags, write)?;
        let resource = self.resource_of(at);
        // One that crosses may end in its alternate mode, or be demoted on the way, and read after all. Where
        // nothing is read, nothing is waited for.
        let is_read = Mode::value_transfer(Some(held), mode) == ValueTransfer::Read || !held.covers(mode);
        let flags = if is_read { conversion.flags } else { conversion.flags.without(Flags::VALUE) };
        if flags.has(Flags::VALUE) {
            let room = self.value_room(Some(resource), self.is_master(resource));
            room.inspect_err(|_| self.s.is_short = true)?;
            self.reserve_copy(resource);
        }

        self.see(now);
        self.end_loan(at);
        // What the master granted for an earlier conversion, which was cancelled, came without what this one reads.
        self.locks[at].serve(false);
        let claim = &mut self.locks[at].claim;
        *claim = Claim { wanted: Some(mode), pinned: Some(held), flags, marks: Marks::NONE, ..*claim };
        if Mode::value_transfer(Some(held), mode) == ValueTransfer::Write {
            self.write_copy(at, write);
        }
        self.s.stats.asked += 1;
        if self.is_master(resource) {
            self.s.stats.conversions.local += 1;
        }
        let result = match self.enter(resource, at) {
            Entered::Granted => Ok(Some(self.grant_of(at))),
            Entered::Queued => {
                self.begin_patience(at, conversion.patience);
                Ok(None)
            }
            Entered::Busy => Err(Denial::Busy),
            Entered::Deadlock => Err(Denial::Deadlock),
        };
        if result.is_err() {
            let claim = &mut self.locks[at].claim;
            claim.wanted = None;
            claim.pinned = None;
            self.s.stats.denied += 1;
        }
        let is_first = flags.has(Flags::HEAD_OF_QUEUE);
        if matches!(result, Ok(Some(_))) || self.locks[at].claim.is_demoted() || is_first {
            self.look_after(resource);
        } else {
            self.state_changes(resource);
        }
        let result = self.take_outcome(at).map_or(result, |outcome| outcome.map(Some));
        result.map_err(ConvertError::from)
    }

    /// The mode that a lock converts from, if nothing speaks against the conversion.
    fn convert_held(
        &self,
        at: Idx<Lock>,
        mode: Mode,
        flags: Flags,
        write: ValueWrite,
    ) -> Result<Mode, ConvertError> {
        let lock = &self.locks[at];
        let (Some(held), Place::Granted, None) = (lock.claim.held, lock.claim.place, lock.news.end) else {
            return Err(ConvertError::InFlight);
        };
        flags.check_convert(held, mode)?;
        let is_write = Mode::value_transfer(Some(held), mode) == ValueTransfer::Write;
        if is_write && write != ValueWrite::Keep && !lock.has_value() {
            return Err(ConvertError::WithoutValue);
        }
        Ok(held)
    }

    pub(crate) fn release(&mut self, id: LockId, write: ValueWrite) -> Result<(), ReleaseError> {
        let at = self.live(id).ok_or(ReleaseError::Unknown)?;
        if self.locks[at].claim.place != Place::Granted {
            return Err(ReleaseError::InFlight);
        }
        let resource = self.resource_of(at);
        if self.locks[at].claim.held.is_some_and(Mode::may_write_value) {
            if write != ValueWrite::Keep && !self.locks[at].has_value() {
                return Err(ReleaseError::WithoutValue);
            }
            self.write_copy(at, write);
        }
        if self.is_master(resource) {
            self.s.stats.releases.local += 1;
        }
        self.end_lock(at);
        if self.is_at_rest(resource) {
            self.retain(resource);
        } else {
            self.look_after(resource);
        }
        Ok(())
    }

    /// Does the end of a lock concern nobody else, and change nothing that the node says of the resource?
    fn is_at_rest(&self, resource: Idx<Resource>) -> bool {
        let holding = &self.resources[resource].holding;
        let is_kept = !holding.locks.is_empty() || self.is_retaining(resource);
        is_kept && !holding.locks.has_waiters() && !holding.is_demanded() && !holding.is_write_unstated()
    }

    pub(crate) fn abandon(&mut self, id: LockId) -> Result<(), UnknownLock> {
        let Some(at) = self.live(id) else {
            self.forget_denied(id);
            return Err(UnknownLock);
        };
        let resource = self.resource_of(at);
        if self.locks[at].claim.is_waiting() {
            self.s.stats.cancelled += 1;
        }
        self.end_lock(at);
        self.look_after(resource);
        Ok(())
    }

    /// Takes back the event of a lock that has ended by a denial, or was lost.
    fn forget_denied(&mut self, id: LockId) {
        if let Some((at, lock)) = self.locks.get(id.at)
            && lock.generation == id.generation
            && lock.news.end.is_some()
        {
            self.free_lock(at);
        }
    }

    pub(crate) fn cancel(&mut self, id: LockId) -> Result<Cancelled, UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        if !self.locks[at].claim.is_waiting() {
            return Ok(Cancelled::Nothing);
        }
        self.s.stats.cancelled += 1;
        let resource = self.resource_of(at);
        let found = if self.locks[at].claim.held.is_some() {
            self.end_patience(at);
            self.resources[resource].holding.locks.withdraw(&mut self.locks, at);
            self.tell_of_demand(resource, at);
            Cancelled::Conversion
        } else {
            self.end_lock(at);
            Cancelled::Request
        };
        self.look_after(resource);
        Ok(found)
    }

    pub(crate) fn watch(&mut self, id: LockId) -> Result<Option<Mode>, UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        self.take_lent(id, Use::Held(0))?;
        let resource = self.resource_of(at);
        let lock = &mut self.locks[at];
        let is_news = !lock.watch(true);
        self.resources[resource].holding.watched += u16::from(is_news);
        let lock = &self.locks[at];
        let Some(held) = lock.claim.held else { return Ok(None) };
        let holding = &self.resources[resource].holding;
        let local = Mode::ALL
            .into_iter()
            .rev()
            .find(|mode| !held.is_compatible(*mode) && holding.locks.waiting(*mode) > 0);
        let remote = holding.demand().filter(|demand| !demand.stay.covers(held));
        let demanded = local.max(remote.map(|demand| demanded_mode(demand.stay)));
        // What the owner was in the way of before it watched was not told to it.
        self.locks[at].claim.told = demanded;
        Ok(demanded)
    }

    pub(crate) fn held(&self, id: LockId) -> Result<Option<Mode>, UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        Ok(self.locks[at].claim.held)
    }

    pub(crate) fn token(&self, id: LockId) -> Result<Token, UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        Ok(self.locks[at].token)
    }

    pub(crate) fn value(&self, id: LockId) -> Result<ValueState, UnknownLock> {
        let at = self.live(id).ok_or(UnknownLock)?;
        let resource = &self.resources[self.resource_of(at)];
        Ok(resource.copy.map_or(ValueState::Absent, |cell| self.values[cell].state))
    }

    pub(crate) fn live(&self, id: LockId) -> Option<Idx<Lock>> {
        let (at, lock) = self.locks.get(id.at)?;
        let is_ended = match lock.news.end {
            None | Some(End::Granted) => false,
            Some(End::Denied(_)) => lock.claim.held.is_none(),
            Some(End::Lost) => true,
        };
        (lock.generation == id.generation && lock.resource.is_some() && !is_ended).then_some(at)
    }

    pub(crate) fn resource_of(&self, at: Idx<Lock>) -> Idx<Resource> {
        self.locks[at].resource.expect("a live lock has a resource")
    }

    // ---- entering, granting, ending ----

    fn reach(&self, at: Idx<Resource>) -> Reach {
        let resource = &self.resources[at];
        let holding = &resource.holding;
        let space = &self.s.config.spaces[usize::from(resource.space.0)];
        // The owner that would use up the local counter makes the node ask for a new token.
        let held = holding.held.filter(|_| holding.token.local < u32::MAX && !self.is_ended());
        Reach {
            held,
            is_copy_current: holding.is_copy_current,
            is_closed: holding.is_demanded()
                && u32::from(holding.grants_after_demand)
                    >= space.grants_after_demand.min(u32::from(u16::MAX)),
        }
    }

    fn enter(&mut self, resource: Idx<Resource>, at: Idx<Lock>) -> Entered {
        let reach = self.reach(resource);
        let holding = &mut self.resources[resource].holding;
        let entered =
            holding.locks.enter(&mut self.locks, at, NoQueue::Refuse, |lock, mode| reach.allows(lock, mode));
        match entered {
            Entered::Granted => {
                holding.hits = holding.hits.saturating_add(1);
                self.s.stats.granted += 1;
                self.s.stats.granted_retained += 1;
                self.give_token(resource, at, Path::Retained);
            }
            Entered::Queued => self.tell_owners_of(resource, at, &[Place::Granted]),
            Entered::Busy => {
                if self.locks[at].claim.flags.has(Flags::NO_QUEUE_DEMAND) {
                    self.tell_owners_of(resource, at, &[Place::Granted, Place::Convert]);
                }
            }
            Entered::Deadlock => {}
        }
        entered
    }

    /// A lock that waited has been granted by the queues: its owner gets a token and is told.
    fn finish_grant(&mut self, resource: Idx<Resource>, at: Idx<Lock>, path: Path) {
        self.s.stats.granted += 1;
        self.give_token(resource, at, path);
        self.end_patience(at);
        self.tell_end(at, End::Granted);
    }

    fn give_token(&mut self, resource: Idx<Resource>, at: Idx<Lock>, path: Path) {
        let holding = &mut self.resources[resource].holding;
        assert!(holding.held.is_some(), "a node grants from what it holds");
        let lock = &mut self.locks[at];
        if holding.is_demanded() && !lock.is_served() {
            holding.grants_after_demand = holding.grants_after_demand.saturating_add(1);
        }
        holding.token.local += 1;
        lock.take_grant(holding.token, path);
        self.forget_met_demand(at);
        self.tell_of_demand(resource, at);
    }

    /// A demand that its owner was not told of yet, and that what the lock holds now does not stand in the way of,
    /// is none any more.
    fn forget_met_demand(&mut self, at: Idx<Lock>) {
        let lock = &mut self.locks[at];
        let Some(mode) = lock.news.demanded else { return };
        if lock.claim.held.is_some_and(|held| !held.is_compatible(mode)) {
            return;
        }
        lock.news.demanded = None;
        if lock.news.end.is_none() {
            self.s.events.remove_if_linked(&mut self.locks, at);
        }
    }

    /// Tells an owner whose lock has come to stand granted of a demand that the node knows already.
    fn tell_of_demand(&mut self, resource: Idx<Resource>, at: Idx<Lock>) {
        let Some(demand) = self.resources[resource].holding.demand() else { return };
        let claim = &mut self.locks[at].claim;
        let mode = demanded_mode(demand.stay);
        if claim.held.is_some_and(|held| !demand.stay.covers(held)) && claim.told < Some(mode) {
            claim.told = Some(mode);
            tell_demanded(&mut self.s.events, &mut self.locks, at, mode);
        }
    }

    /// Grants what the queues and the holding allow, within the budget of one call.
    // Inlined is what most calls find: nobody waits.
    #[inline]
    pub(crate) fn pass_owners(&mut self, resource: Idx<Resource>, path: Path) {
        if self.resources[resource].holding.locks.has_waiters() {
            self.pass_owners_waiting(resource, path);
        }
    }

    #[inline(never)]
    fn pass_owners_waiting(&mut self, resource: Idx<Resource>, path: Path) {
        for _ in 0..GRANTS_A_CALL {
            let reach = self.reach(resource);
            let locks = &mut self.resources[resource].holding.locks;
            let Some(at) = locks.next_grant(&mut self.locks, |lock, mode| reach.allows(lock, mode)) else {
                self.tell_owners_all(resource);
                return;
            };
            self.finish_grant(resource, at, path);
            if !self.resources[resource].holding.locks.has_waiters() {
                return;
            }
        }
        if !self.resources[resource].work.is_linked() {
            self.s.work.push_back(&mut self.resources, resource);
        }
    }

    /// Ends a wait without a grant.
    pub(crate) fn deny_owner(&mut self, at: Idx<Lock>, reason: Denial) {
        let resource = self.resource_of(at);
        self.end_patience(at);
        let holding = &mut self.resources[resource].holding;
        holding.locks.withdraw(&mut self.locks, at);
        let lock = &mut self.locks[at];
        if lock.claim.held.is_none() {
            holding.watched -= u16::from(lock.watch(false));
        }
        self.s.stats.denied += 1;
        self.tell_end(at, End::Denied(reason));
        self.tell_of_demand(resource, at);
    }

    /// Takes a lock out of the queues and forgets it.
    fn end_lock(&mut self, at: Idx<Lock>) {
        self.end_loan(at);
        let resource = self.resource_of(at);
        let holding = &mut self.resources[resource].holding;
        holding.watched -= u16::from(self.locks[at].is_watched());
        holding.locks.leave(&mut self.locks, at);
        self.free_lock(at);
    }

    /// After a change among the owners that may let others go on: grants, then states the position.
    pub(crate) fn look_after(&mut self, resource: Idx<Resource>) {
        self.pass_owners(resource, Path::Retained);
        self.state_changes(resource);
    }

    /// States what has changed of the node's position, and delivers what the node says to itself.
    fn state_changes(&mut self, resource: Idx<Resource>) {
        let was_demanded = self.resources[resource].holding.is_demanded();
        self.position(resource);
        if was_demanded && !self.resources[resource].holding.is_demanded() {
            // The demand is met: those who waited for that may be granted from what has stayed.
            self.pass_owners(resource, Path::Retained);
            self.position(resource);
        }
        self.settle();
        self.drop_if_unused(resource);
    }

    // ---- telling owners ----

    fn tell_end(&mut self, at: Idx<Lock>, end: End) {
        self.locks[at].news.end = Some(end);
        self.queue_event(at);
    }

    pub(crate) fn queue_event(&mut self, at: Idx<Lock>) {
        if !self.locks[at].events.is_linked() {
            self.s.events.push_back(&mut self.locks, at);
        }
    }

    /// What a call has decided for the lock that it is about; no event follows for it. If others have to be told
    /// something first, an event says it in its turn: who crosses from PR to CW must not learn it too late.
    fn take_outcome(&mut self, at: Idx<Lock>) -> Option<Result<Grant, Denial>> {
        if self.s.events.head() != Some(at) {
            return None;
        }
        let outcome = match self.locks[at].news.end {
            None | Some(End::Lost) => return None,
            Some(End::Granted) => Ok(self.grant_of(at)),
            Some(End::Denied(reason)) => Err(reason),
        };
        self.end_was_told(at);
        Some(outcome)
    }

    fn end_was_told(&mut self, at: Idx<Lock>) {
        let news = &mut self.locks[at].news;
        news.end = None;
        if news.demanded.is_none() {
            self.s.events.remove_if_linked(&mut self.locks, at);
        }
    }

    fn grant_of(&self, at: Idx<Lock>) -> Grant {
        let lock = &self.locks[at];
        Grant {
            mode: lock.claim.held.expect("a granted lock holds a mode"),
            token: lock.token,
            alternate: lock.claim.is_alternate(),
            demoted: lock.claim.is_demoted(),
            path: lock.path(),
        }
    }

    fn tell_owners_of(&mut self, resource: Idx<Resource>, waiter: Idx<Lock>, places: &[Place]) {
        let holding = &self.resources[resource].holding;
        if holding.watched == 0 {
            return;
        }
        let (locks, events) = (&holding.locks, &mut self.s.events);
        locks
            .tell_of(&mut self.locks, waiter, places, |slab, at, mode| tell_demanded(events, slab, at, mode));
    }

    fn tell_owners_all(&mut self, resource: Idx<Resource>) {
        let holding = &self.resources[resource].holding;
        if holding.watched == 0 {
            return;
        }
        let (locks, events) = (&holding.locks, &mut self.s.events);
        locks.tell_all(&mut self.locks, |slab, at, mode| tell_demanded(events, slab, at, mode));
    }

    /// Tells watched owners of a demand of the master; each of them once for each mode.
    pub(crate) fn tell_owners_demanded(&mut self, resource: Idx<Resource>, stay: Mode) {
        if self.resources[resource].holding.watched == 0 {
            return;
        }
        let mode = demanded_mode(stay);
        let mut walk = self.resources[resource].holding.locks.head(Place::Granted);
        while let Some(at) = walk {
            walk = crate::queue::Queues::next(&self.locks, at);
            let lock = &mut self.locks[at];
            let is_in_the_way = lock.claim.held.is_some_and(|held| !stay.covers(held));
            if is_in_the_way && lock.claim.told < Some(mode) {
                lock.claim.told = Some(mode);
                tell_demanded(&mut self.s.events, &mut self.locks, at, mode);
            }
        }
    }

    /// The next event; looks for it in what earlier calls left, as far as the budget goes.
    pub(crate) fn poll_event(&mut self, left: &mut Budget) -> Option<Event> {
        loop {
            if let Some(at) = self.s.events.head() {
                return Some(self.take_event(at));
            }
            if let Some(progress) = self.take_transfer_news() {
                return Some(Event::Transfer(progress));
            }
            if !self.work_on(left) {
                return None;
            }
        }
    }

    fn take_event(&mut self, at: Idx<Lock>) -> Event {
        let lock = &mut self.locks[at];
        let (id, owner) = (lock.id(at), lock.owner);
        match lock.news.end {
            Some(End::Lost) => {
                self.free_lock(at);
                Event::Lost { lock: id, owner }
            }
            Some(End::Granted) => {
                self.end_was_told(at);
                Event::Granted { lock: id, owner, grant: self.grant_of(at) }
            }
            Some(End::Denied(reason)) => {
                self.end_was_told(at);
                let held = self.locks[at].claim.held;
                if held.is_none() {
                    self.free_lock(at);
                }
                Event::Denied { lock: id, owner, reason, held }
            }
            None => {
                let mode = lock.news.demanded.take().expect("a lock among the events has news");
                self.s.events.remove(&mut self.locks, at);
                Event::Demanded { lock: id, owner, mode }
            }
        }
    }

    // ---- patience ----

    fn begin_patience(&mut self, at: Idx<Lock>, patience: Option<core::time::Duration>) {
        let Some(patience) = patience else { return };
        let until = self.s.now.after(patience);
        self.patience_heap().insert(at, until);
        self.note_deadline(until);
    }

    /// A waiter's patience has ended.
    pub(crate) fn end_of_patience(&mut self, at: Idx<Lock>) {
        let resource = self.resource_of(at);
        self.deny_owner(at, Denial::TimedOut);
        self.look_after(resource);
    }

    // ---- value block ----

    /// An owner at PW or EX leaves this in the value block, under its token (rule V2).
    fn write_copy(&mut self, at: Idx<Lock>, write: ValueWrite) {
        let value = match write {
            ValueWrite::Keep => return,
            ValueWrite::Set(value) => Some(value),
            ValueWrite::Invalidate => None,
        };
        let version = self.locks[at].token;
        let resource = self.resource_of(at);
        let holding = &mut self.resources[resource].holding;
        holding.is_copy_current = true;
        holding.begin_write();
        let cell = self.resources[resource].copy.expect("a lock with a value block has room for it");
        self.write_value(cell, version, value);
    }
}

impl From<Denial> for RequestError {
    fn from(reason: Denial) -> Self {
        match reason {
            Denial::Full => Self::Full(Full::Physical),
            Denial::Busy | Denial::Deadlock | Denial::TimedOut => Self::Busy,
        }
    }
}

impl From<Denial> for ConvertError {
    fn from(reason: Denial) -> Self {
        match reason {
            Denial::Deadlock => Self::Deadlock,
            Denial::Full => Self::Full(Full::Physical),
            Denial::Busy | Denial::TimedOut => Self::Busy,
        }
    }
}

/// The weakest mode that lets no more than `stay` remain beside it.
fn demanded_mode(stay: Mode) -> Mode {
    Mode::ALL.into_iter().find(|mode| stay.covers(mode.leaves())).expect("EX leaves NL, which all cover")
}

fn tell_demanded(
    events: &mut crate::table::Queue<Lock, crate::record::Events>,
    slab: &mut Slab<'_, Lock>,
    at: Idx<Lock>,
    mode: Mode,
) {
    let lock = &mut slab[at];
    if !lock.is_watched() {
        return;
    }
    lock.news.demanded = lock.news.demanded.max(Some(mode));
    if !lock.events.is_linked() {
        events.push_back(slab, at);
    }
}
