//! What this node holds, pins and wants of a master: how a position changes, and what a master's messages do.
//!
//! The rules H2, H3, H5, H6, N1 and N4 are those of `docs/protocol.md`.

use super::Reach;
use crate::event::{Denial, Path};
use crate::flags::Flags;
use crate::id::{DemandId, Number, Token};
use crate::machine::{Machine, Member};
use crate::mode::Mode;
use crate::queue::{Marks, Place, Queues};
use crate::record::{Counted, Course, NOBODY, Pace, Resource, RingBody, Unmet, Wish};
use crate::table::Idx;
use crate::time::Instant;
use crate::transfer::is_leap;
use crate::value::ValueState;
use crate::wire::{Demand, Deny, DenyReason, Grant, Position, PositionKind, Queued, Redirect, Write};

impl Machine<'_> {
    // ---- changes of position ----

    /// Brings what the node holds and asks in line with what its owners need (rules H2 and H3).
    pub(crate) fn position(&mut self, at: Idx<Resource>) {
        let target = self.position_held(at);
        self.position_at(at, target);
    }

    /// The same, with what the node is to hold from now on.
    pub(crate) fn position_at(&mut self, at: Idx<Resource>, target: Option<Mode>) {
        let before = self.resources[at].holding.held;
        if target != before {
            self.position_lower(at, target);
        }
        let asking = self.position_ask(at);
        let holding = &self.resources[at].holding;
        if target != before || holding.is_write_unstated() {
            self.state_position(at, PositionKind::Downgrade);
        } else if asking == Asking::Anew {
            self.state_position(at, PositionKind::Request);
        } else if asking == Asking::Withdrawn {
            self.state_position(at, PositionKind::Cancel);
        } else if holding.answers() != DemandId(0) && !self.is_lent_in_the_way(at) {
            self.repeat_position(at);
        }
        self.retain(at);
    }

    /// Brings what the node asks in line with what its owners wait for.
    fn position_ask(&mut self, at: Idx<Resource>) -> Asking {
        let wish = self.position_wish(at);
        let holding = &mut self.resources[at].holding;
        let old = holding.wish();
        let asking = match (&old, &wish) {
            (Some(old), Some(new)) if old.is_same(new) => Asking::AsBefore,
            (_, Some(_)) => Asking::Anew,
            (Some(_), None) => Asking::Withdrawn,
            (None, None) => {
                holding.asked = Number(0);
                return Asking::AsBefore;
            }
        };
        let is_taken_over = match (&old, &wish) {
            (Some(old), Some(new)) => asking == Asking::AsBefore || new.may_follow(old),
            (None, _) | (_, None) => false,
        };
        if !is_taken_over {
            holding.asked = Number(0);
        }
        holding.ask(wish);
        if let (Some(old), Some(wish), Asking::AsBefore) = (old, holding.wish_mut(), asking) {
            *wish = Wish { waiter: wish.waiter, ..old };
        }
        asking
    }

    /// What the node goes on holding: less than now if a demand asks for it and its owners can do without,
    /// or if nobody uses it and the space does not retain (rule H3).
    fn position_held(&mut self, at: Idx<Resource>) -> Option<Mode> {
        let holding = &self.resources[at].holding;
        let held = holding.held?;
        let is_given_up = holding.locks.is_empty() && !self.is_retaining(at);
        let target = match holding.demand() {
            None => Some(held),
            // It is not known yet what they need.
            Some(_) if self.is_lent_in_the_way(at) => Some(held),
            Some(demand) => self.position_demanded(at, held, demand),
        };
        if is_given_up { None } else { target }
    }

    /// Does it depend on whether somebody uses a lent lock how a demand is answered?
    fn is_lent_in_the_way(&self, at: Idx<Resource>) -> bool {
        self.resources[at].holding.demand().is_some_and(|demand| self.is_lent_beyond(at, demand.stay))
    }

    /// What may stay of what is held under a demand, which is met if that is no more than it lets stay.
    fn position_demanded(&mut self, at: Idx<Resource>, held: Mode, demand: Unmet) -> Option<Mode> {
        let mut need = self.resources[at].holding.locks.need();
        if crate::fault_on!(self, EAGER_DOWNGRADE) {
            need = None;
        }
        let holding = &self.resources[at].holding;
        let asked_back = need.filter(|_| holding.is_asking()).and_then(|need| self.asked_back(at, need));
        let asked_back = asked_back.filter(|wanted| held.covers(*wanted));
        let holding = &mut self.resources[at].holding;
        let target = match need {
            None if demand.stay == Mode::Null => None,
            None => Some(held.meet(demand.stay)),
            Some(need) if demand.stay.covers(need) => Some(held.meet(demand.stay)),
            // It cannot be met yet. A request that is out already keeps its place without what is held beside it, but
            // for what the node would then ask for instead, and be given at once.
            Some(need) if holding.is_asking() => {
                Some(held.meet(asked_back.map_or(need, |wanted| wanted.join(need))))
            }
            // What the next waiters here would ask for again at once is not given up.
            Some(need) => Some(held.meet(holding.locks.wanted().map_or(need, |wanted| wanted.join(need)))),
        };
        if target.is_none_or(|target| demand.stay.covers(target)) {
            holding.meet_demand();
        }
        target
    }

    /// What the first waiter wants that the node could not serve if it held no more than its owners need.
    fn asked_back(&self, at: Idx<Resource>, need: Mode) -> Option<Mode> {
        let reach = Reach { held: Some(need), ..self.reach(at) };
        let waiter = self.resources[at].holding.locks.find_waiter(&self.locks, |lock| {
            lock.claim.wanted.is_some_and(|wanted| !reach.covers(lock, wanted))
        })?;
        self.locks[waiter].claim.wanted
    }

    fn position_lower(&mut self, at: Idx<Resource>, target: Option<Mode>) {
        let has_copy = self.resources[at].copy.is_some();
        let holding = &mut self.resources[at].holding;
        let held = holding.held.expect("only what is held is lowered");
        assert!(target.is_none_or(|target| held.covers(target)), "a position never rises by itself");
        debug_assert!(
            crate::fault_on!(self, EAGER_DOWNGRADE)
                || holding.locks.need().is_none_or(|need| target.is_some_and(|target| target.covers(need))),
            "owners keep what they need"
        );
        holding.held = target;
        if !target.is_some_and(Mode::keeps_value_current) {
            holding.is_copy_current = has_copy && crate::fault_on!(self, STALE_VALUE);
        }
        if let Some(served) = holding.served.take()
            && self.locks[served].resource == Some(at)
        {
            self.locks[served].serve(false);
        }
    }

    /// What the node must ask of the master, for the first waiter that it cannot serve itself (rule H2).
    fn position_wish(&mut self, at: Idx<Resource>) -> Option<Wish> {
        let holding = &self.resources[at].holding;
        if !holding.locks.has_waiters() {
            return None;
        }
        let reach = self.reach(at);
        let is_value_known = self.resources[at].copy.is_none() || holding.is_copy_current;
        let is_beyond = |mode| !reach.held.is_some_and(|held| held.covers(mode));
        if is_value_known && !holding.locks.is_wanted(is_beyond) {
            return None;
        }
        let waiter = holding.locks.find_waiter(&self.locks, |lock| {
            lock.claim.wanted.is_some_and(|wanted| !reach.covers(lock, wanted))
        })?;
        let lock = &self.locks[waiter];
        let wanted = lock.claim.wanted.expect("a waiter wants a mode");
        let is_conversion = lock.claim.place == Place::Convert;
        Some(Wish {
            waiter: Some(waiter),
            wanted: holding.held.map_or(wanted, |held| held.join(wanted)),
            pinned: is_conversion.then(|| self.pinned(at)),
            flags: lock.claim.flags,
            priority: lock.priority,
            ticket: Counted::NONE,
            is_queued: false,
        })
    }

    /// The strongest mode that a converting owner holds.
    fn pinned(&self, at: Idx<Resource>) -> Mode {
        let locks = &self.resources[at].holding.locks;
        let mut pinned = Mode::Null;
        let mut walk = locks.head(Place::Convert);
        for _ in 0..crate::SCAN_MAX {
            let Some(lock) = walk else { break };
            pinned = pinned.join(self.locks[lock].claim.held.expect("a conversion holds a mode"));
            walk = Queues::next(&self.locks, lock);
        }
        pinned
    }

    /// States the position under a fresh number (rule N1).
    pub(crate) fn state_position(&mut self, at: Idx<Resource>, kind: PositionKind) {
        let number = if crate::fault_on!(self, NUMBER_REUSED) && kind != PositionKind::Request {
            self.resources[at].holding.number
        } else {
            self.fresh_number(Some(at))
        };
        let holding = &mut self.resources[at].holding;
        holding.number = number;
        holding.kind = kind;
        if let Some(wish) = holding.wish_mut() {
            wish.is_queued = false;
            if holding.asked == Number(0) {
                holding.asked = number;
            }
        }
        if holding.is_write_unstated() {
            holding.state_write();
            let cell = self.resources[at].copy.expect("what is written stands in the copy");
            self.values[cell].write = number;
        }
        self.unlink_position(at);
        self.link_position(at);
    }

    /// Says the position again under its number.
    pub(crate) fn repeat_position(&mut self, at: Idx<Resource>) {
        if !self.resources[at].is_to_be_said() {
            self.unlink_position(at);
            self.link_position(at);
        }
    }

    pub(crate) fn link_position(&mut self, at: Idx<Resource>) {
        let route = self.master_at(&self.resources[at]);
        if route == NOBODY {
            return self.link_undecided(at);
        }
        self.link_to(at, route);
    }

    pub(crate) fn link_to(&mut self, at: Idx<Resource>, route: Member) {
        self.resources[at].route = route;
        self.peers[usize::from(route)].positions.push_back(&mut self.resources, at);
        self.mark_ready(route);
    }

    /// It waits until it is known who decides.
    pub(crate) fn link_limbo(&mut self, at: Idx<Resource>) {
        self.resources[at].route = NOBODY;
        self.s.limbo.push_back(&mut self.resources, at);
    }

    pub(crate) fn unlink_position(&mut self, at: Idx<Resource>) {
        let resource = &mut self.resources[at];
        if !resource.saying.is_linked() {
            return;
        }
        let route = resource.route;
        if route == NOBODY {
            self.s.limbo.remove(&mut self.resources, at);
            return;
        }
        let peer = &mut self.peers[usize::from(route)];
        match resource.pace.take() {
            Some(pace) => peer.repeats[pace as usize].remove(&mut self.resources, at),
            None => peer.positions.remove(&mut self.resources, at),
        }
    }

    /// The node's life is over: it holds nothing any more, and what waits is asked for anew in the next.
    pub(crate) fn forget_position(&mut self, at: Idx<Resource>) {
        self.unlink_position(at);
        self.leave_idle(at);
        let holding = &mut self.resources[at].holding;
        holding.ask(None);
        holding.held = None;
        holding.token = Token::NONE;
        holding.end_write();
        holding.drop_demand();
        holding.was_answered();
        holding.is_copy_current = false;
        if let Some(served) = holding.served.take()
            && self.locks[served].resource == Some(at)
        {
            self.locks[served].serve(false);
        }
        if self.resources[at].holding.locks.is_empty() {
            self.forget_copy(at);
        }
        self.position(at);
    }

    /// The position as a message.
    pub(crate) fn position_of(&self, at: Idx<Resource>) -> Position {
        let holding = &self.resources[at].holding;
        let copy = self.resources[at].copy.map(|cell| &self.values[cell]);
        let wish = holding.wish();
        let is_request_over = holding.kind == PositionKind::Request && wish.is_none();
        let mut position = Position {
            kind: if is_request_over { PositionKind::Downgrade } else { holding.kind },
            number: holding.number,
            asked: wish.map_or(Number(0), |_| holding.asked),
            held: holding.held,
            pinned: wish.and_then(|wish| wish.pinned),
            wanted: wish.map(|wish| wish.wanted),
            flags: wish.map_or(Flags::NONE, |wish| wish.flags),
            priority: wish.map(|wish| wish.priority).unwrap_or_default(),
            patience_ms: wish.and_then(|wish| self.patience_of(&wish)).map_or(0, |until| {
                u32::try_from(until.since(self.s.now).as_millis()).unwrap_or(u32::MAX).max(1)
            }),
            hits: holding.hits,
            copy: copy.map(|copy| copy.version).unwrap_or_default(),
            // A demand is answered once it is known whether somebody uses what is lent.
            answers: if self.is_lent_in_the_way(at) { DemandId(0) } else { holding.answers() },
            write: None,
        };
        // Large and seldom there, so nothing is copied for it where it is not.
        if let Some(copy) = copy.filter(|_| holding.is_writing()) {
            let value = match copy.state {
                ValueState::Valid(value) => Some(value),
                ValueState::Absent | ValueState::Invalid(_) => None,
            };
            position.write = Some(Write { version: copy.version, value });
        }
        position
    }

    /// Until when the waiter is patient that something is asked for, if it does not wait for ever.
    fn patience_of(&self, wish: &Wish) -> Option<Instant> {
        self.patience_until(wish.waiter?)
    }

    /// The position was delivered to this node itself: no answer can be lost.
    pub(crate) fn position_was_delivered(&mut self, at: Idx<Resource>) {
        let is_unanswered = self.is_lent_in_the_way(at);
        let holding = &mut self.resources[at].holding;
        if !is_unanswered {
            holding.was_answered();
        }
        holding.hits = 0;
    }

    /// The position was sent: what waits for an answer is repeated, the rest may be forgotten.
    pub(crate) fn position_was_said(&mut self, at: Idx<Resource>) {
        self.position_was_delivered(at);
        let resource = &mut self.resources[at];
        let is_answered = !resource.holding.is_waiting();
        if is_answered {
            self.drop_if_unused(at);
            return;
        }
        let is_known =
            !resource.holding.is_writing() && resource.holding.wish().is_some_and(|wish| wish.is_queued);
        self.begin_repeat(at, if is_known { Pace::Long } else { Pace::Short });
    }

    pub(crate) fn begin_repeat(&mut self, at: Idx<Resource>, pace: Pace) {
        let until = self.s.now.after(self.pace(pace));
        let resource = &mut self.resources[at];
        resource.repeat_at = until;
        resource.pace = Some(pace);
        let queue = &mut self.peers[usize::from(resource.route)].repeats[pace as usize];
        queue.push_back(&mut self.resources, at);
        self.note_deadline(until);
    }

    // ---- messages of a master ----

    /// A grant counts only for the exact number still pending (rule N4).
    pub(crate) fn handle_grant(
        &mut self,
        from: Member,
        at: Option<Idx<Resource>>,
        name: Named<'_>,
        grant: &Grant,
    ) {
        let Some(at) = self.known(from, at, name, DemandId(0)) else { return };
        let holding = &self.resources[at].holding;
        let is_pending = holding.is_asking() && holding.number == grant.number;
        let is_rise = holding.held.is_none_or(|held| grant.mode.covers(held));
        #[cfg(lockmaster_faults)]
        let is_pending = is_pending || self.is_believed_by_fault(holding, grant);
        if !(is_pending && is_rise) {
            self.s.stats.messages_dropped += 1;
            if holding.is_asking() {
                return;
            }
            // What was granted the node has already. A demand that comes with it is as good as one by itself.
            let is_held = holding.number == grant.number && holding.held == Some(grant.mode);
            let is_late = self.is_master(at) && !self.is_me(from);
            if let Some((id, stay)) = grant.demand.filter(|_| is_held && !is_late) {
                self.take_demand(at, Unmet { id, stay });
                self.look_after(at);
            } else {
                self.repeat_position(at);
                self.settle();
            }
            return;
        }
        self.take_grant(from, at, grant);
    }

    #[cfg(lockmaster_faults)]
    fn is_believed_by_fault(&self, holding: &crate::record::Holding, grant: &Grant) -> bool {
        use crate::fault::Faults;
        let faults = self.s.config.faults;
        let is_not_lower = holding.is_asking() && grant.number <= holding.number;
        let is_unasked = !holding.is_asking() && grant.number == holding.number;
        let is_after_cancel = !holding.is_asking() && holding.kind == PositionKind::Cancel;
        (faults.has(Faults::GRANT_NOT_LOWER) && is_not_lower)
            || (faults.has(Faults::GRANT_UNASKED) && is_unasked)
            || (faults.has(Faults::GRANT_AFTER_CANCEL) && is_after_cancel)
    }

    fn take_grant(&mut self, from: Member, at: Idx<Resource>, grant: &Grant) {
        self.unlink_position(at);
        let holding = &mut self.resources[at].holding;
        let wish = holding.wish();
        holding.ask(None);
        holding.held = Some(grant.mode);
        holding.token = grant.token.physical();
        holding.grants_after_demand = 0;
        holding.drop_demand();
        // The position that is granted carried the write, so the master has seen it.
        self.end_write_up_to(at, grant.number);
        let copy = self.resources[at].copy;
        let holding = &mut self.resources[at].holding;
        if let (Some(cell), true) = (copy, wish.is_some_and(|wish| wish.flags.has(Flags::VALUE))) {
            holding.is_copy_current = grant.mode.keeps_value_current();
            if let Some(value) = grant.value {
                self.values[cell].put(value);
            }
        }
        if let Some(wish) = wish {
            self.serve(at, &wish, grant.mode);
        }
        let path = if self.is_me(from) { Path::Local } else { Path::Remote };
        self.pass_owners(at, path);
        if let Some((id, stay)) = grant.demand {
            self.take_demand(at, Unmet { id, stay });
        }
        self.look_after(at);
    }

    /// The waiter that was asked for may have the grant, in its alternate mode if that is what was granted.
    fn serve(&mut self, at: Idx<Resource>, wish: &Wish, mode: Mode) {
        let holding = &mut self.resources[at].holding;
        let Some(waiter) = wish.waiter else { return };
        let lock = &mut self.locks[waiter];
        if lock.resource != Some(at) || !lock.claim.is_waiting() {
            return;
        }
        lock.serve(true);
        let before = holding.served.replace(waiter).filter(|before| *before != waiter);
        let wanted = lock.claim.wanted.expect("a waiter wants a mode");
        if let (false, Some(alternate)) = (mode.covers(wanted), lock.claim.flags.alternate(wanted)) {
            lock.claim.marks.set(Marks::ALTERNATE);
            holding.locks.set_wanted(&mut self.locks, waiter, alternate);
        }
        if let Some(before) = before.filter(|before| self.locks[*before].resource == Some(at)) {
            self.locks[before].serve(false);
        }
    }

    /// A denial ends the one waiter that was asked for; the next is asked for under a fresh number.
    pub(crate) fn handle_deny(&mut self, at: Option<Idx<Resource>>, deny: &Deny) {
        let Some(at) = at else { return };
        let holding = &mut self.resources[at].holding;
        let Some(wish) = holding.wish().filter(|_| holding.number == deny.number) else {
            self.s.stats.messages_dropped += 1;
            return;
        };
        let reason = match deny.reason {
            DenyReason::Renew => {
                self.s.stats.renewals += 1;
                self.state_position(at, PositionKind::Request);
                self.settle();
                return;
            }
            DenyReason::Busy => Denial::Busy,
            DenyReason::Deadlock => Denial::Deadlock,
            DenyReason::Full => Denial::Full,
        };
        self.end_write_up_to(at, deny.number);
        self.resources[at].holding.ask(None);
        self.unlink_position(at);
        if let Some(waiter) = wish.waiter
            && self.locks[waiter].resource == Some(at)
            && self.locks[waiter].claim.is_waiting()
        {
            self.deny_owner(waiter, reason);
        }
        self.look_after(at);
    }

    /// The request waits at the master: it is repeated at the long interval from now on.
    pub(crate) fn handle_queued(&mut self, at: Option<Idx<Resource>>, queued: &Queued) {
        let Some(at) = at else { return };
        let resource = &mut self.resources[at];
        let is_pending = resource.holding.number == queued.number;
        let Some(wish) = resource.holding.wish_mut().filter(|_| is_pending) else {
            self.s.stats.messages_dropped += 1;
            return;
        };
        wish.ticket = queued.ticket.into();
        wish.is_queued = true;
        if resource.pace == Some(Pace::Short) {
            self.unlink_position(at);
            self.begin_repeat(at, Pace::Long);
        }
    }

    /// A demand is obeyed if the master sees the node as it is; else the node says how it is (rule H5).
    pub(crate) fn handle_demand(
        &mut self,
        from: Member,
        at: Option<Idx<Resource>>,
        name: Named<'_>,
        demand: &Demand,
    ) {
        let Some(at) = self.known(from, at, name, demand.id) else { return };
        if self.is_master(at) && !self.is_me(from) {
            // It was said before the resource came here, and what this node demanded of itself since, once, stands.
            self.s.stats.messages_dropped += 1;
            return;
        }
        let holding = &self.resources[at].holding;
        let is_weaker = holding.held.is_none_or(|held| demand.held != held && demand.held.covers(held));
        if demand.number < holding.number || (is_weaker && holding.is_asking()) {
            self.repeat_position(at);
        } else if demand.number > holding.number {
            self.s.stats.messages_dropped += 1;
        } else if is_weaker {
            self.state_position(at, PositionKind::Downgrade);
        } else if holding.held == Some(demand.held) {
            if demand.demote {
                self.demote_converting(at);
            }
            self.take_demand(at, Unmet { id: demand.id, stay: demand.stay });
            return self.look_after(at);
        } else {
            self.s.stats.messages_dropped += 1;
        }
        self.settle();
    }

    fn take_demand(&mut self, at: Idx<Resource>, demand: Unmet) {
        let holding = &mut self.resources[at].holding;
        if !holding.is_demanded() {
            holding.grants_after_demand = 0;
        }
        let is_news = holding.demand().is_none_or(|known| !demand.stay.covers(known.stay));
        holding.take_demand(demand);
        if is_news {
            self.tell_owners_demanded(at, demand.stay);
        }
    }

    /// Owners that convert give up what they hold, to end a conversion deadlock between nodes: those that allow
    /// it are demoted, the others, which are in the same deadlock behind them, are denied.
    fn demote_converting(&mut self, at: Idx<Resource>) {
        let mut walk = self.resources[at].holding.locks.head(Place::Convert);
        for _ in 0..crate::SCAN_MAX {
            let Some(lock) = walk else { break };
            walk = Queues::next(&self.locks, lock);
            let claim = &self.locks[lock].claim;
            let holds_something = claim.held.is_some_and(|held| held != Mode::Null);
            if claim.flags.has(Flags::DEMOTE_ON_DEADLOCK) {
                self.resources[at].holding.locks.demote(&mut self.locks, lock);
            } else if holds_something && !claim.flags.has(Flags::NO_DEADLOCK_WAIT) {
                self.deny_owner(lock, Denial::Deadlock);
            }
        }
    }

    /// Number of the last position with a write that is not acknowledged; 0 if there is none.
    #[cfg(feature = "check")]
    pub(crate) fn write_of(&self, at: Idx<Resource>) -> Number {
        let resource = &self.resources[at];
        let cell = resource.copy.filter(|_| resource.holding.is_writing());
        cell.map_or(Number(0), |cell| self.values[cell].write)
    }

    /// The master has seen the position under this number; says whether it has seen a write with it, and no later write is
    /// left.
    fn end_write_up_to(&mut self, at: Idx<Resource>, number: Number) -> bool {
        let resource = &mut self.resources[at];
        let holding = &mut resource.holding;
        let is_stated = holding.is_writing() && !holding.is_write_unstated();
        let is_seen = is_stated && resource.copy.is_some_and(|cell| number >= self.values[cell].write);
        if is_seen {
            holding.end_write();
        }
        is_seen
    }

    /// A write need not be repeated any more, if no later one has followed it.
    pub(crate) fn handle_written(&mut self, at: Option<Idx<Resource>>, number: Number) {
        let Some(at) = at else { return };
        if number > self.resources[at].holding.number || !self.end_write_up_to(at, number) {
            return;
        }
        let resource = &self.resources[at];
        let is_asking = resource.holding.is_asking();
        if !is_asking && resource.pace.is_some() {
            self.unlink_position(at);
        }
        self.drop_if_unused(at);
    }

    /// The slot has another master: what is said of its resources goes there.
    pub(crate) fn handle_redirect(&mut self, slot: u32, redirect: &Redirect) {
        let Some(master) = self.member_of(redirect.master) else {
            self.s.stats.messages_dropped += 1;
            return;
        };
        // Nobody else can make this node a master, or end its being one.
        let me = self.s.me;
        let entry = self.slot(slot);
        let is_news = redirect.slot.0 == slot
            && redirect.version > entry.version
            && redirect.version.epoch <= self.s.epoch()
            && !is_leap(redirect.version, entry);
        if !is_news || master == me || entry.master == me || entry.course != Course::Still {
            self.s.stats.messages_dropped += 1;
            return;
        }
        self.remap(slot, master, redirect.version, self.slot(slot).room.resources);
    }

    /// The resource, if this node has ever said anything of it; else says that it holds and wants nothing: to the
    /// slot's master, whoever has asked, since an old master is told nothing any more (rule R9).
    fn known(
        &mut self,
        from: Member,
        at: Option<Idx<Resource>>,
        name: Named<'_>,
        answers: DemandId,
    ) -> Option<Idx<Resource>> {
        let known = at.filter(|at| self.resources[*at].holding.number != Number(0));
        if known.is_some() {
            return known;
        }
        let slot = self.slot_of(name.space, self.hash_of(name.space, name.name));
        let to = if self.is_me(from) { from } else { self.slot(slot).master };
        if to == NOBODY || self.is_me(to) && !self.is_me(from) {
            // What was said before the slot came here; its record has come with it.
            self.s.stats.messages_dropped += 1;
            return None;
        }
        if crate::fault_on!(self, UNLOCK_LOST) {
            return None;
        }
        let number = self.fresh_number(None);
        self.answer(to, name.space, name.name, RingBody::Nothing(number, answers));
        self.settle();
        None
    }
}

/// What has become of what a node asks of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    /// It asks for the same, or for nothing.
    AsBefore,
    Anew,
    Withdrawn,
}

/// Space and name of a resource, whether there is a record of it or not.
#[derive(Clone, Copy)]
pub(crate) struct Named<'n> {
    pub(crate) space: crate::id::SpaceId,
    /// 1 to 64 bytes: it was checked where it came in.
    pub(crate) name: &'n [u8],
}

impl Wish {
    /// Is this the same question to the master? Below CW a value block may be written while the answer is on its
    /// way, so there each reader asks for itself.
    fn is_same(&self, other: &Self) -> bool {
        let is_same_waiter = self.waiter == other.waiter;
        let may_join = !self.flags.has(Flags::VALUE) || self.wanted.keeps_value_current();
        (is_same_waiter || may_join)
            && self.wanted == other.wanted
            && self.pinned == other.pinned
            && self.flags == other.flags
            && self.priority == other.priority
    }

    /// Does it take over the place in the queue of an earlier wish? It does if it asks for as much or less.
    fn may_follow(&self, old: &Self) -> bool {
        let is_kind_same = old.pinned.is_some() == self.pinned.is_some()
            && old.flags.has(Flags::NO_QUEUE) == self.flags.has(Flags::NO_QUEUE);
        is_kind_same && old.wanted.covers(self.wanted)
    }
}
