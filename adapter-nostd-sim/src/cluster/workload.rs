//! What owners do.

use lockmaster_core::{
    Asked, Conversion, ConvertError, Flags, Grant, LockId, Mode, NodeId, OwnerId, Priority, ReleaseError,
    Request, RequestError, SpaceId, Storage, UnknownLock, Value, ValueTransfer, ValueWrite,
};

use super::Cluster;
use super::ear::Ear;
use crate::fault::FaultKind;
use crate::ghost::{GhostLock, Standing};
use crate::report::{Violation, broken, ensure};
use crate::show::ShownWrite;
use crate::sight::LockSight;

/// Of a thousand requests so many are plain where locks are lent, which only such are.
const PLAIN: u32 = 700;

/// What an owner may do, in the order of `Appetite::weights`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    Request,
    Convert,
    Release,
    Cancel,
    Abandon,
    Watch,
    Nonsense,
}

impl Action {
    pub(super) const ALL: [Self; 7] = [
        Self::Request,
        Self::Convert,
        Self::Release,
        Self::Cancel,
        Self::Abandon,
        Self::Watch,
        Self::Nonsense,
    ];
}

impl<S: Storage> Cluster<S> {
    /// An owner of some node does something, after the weather had its turn.
    pub(super) fn act(&mut self) -> Result<(), Violation> {
        self.weather()?;
        self.turn_over()?;
        if !self.is_changing() && self.plan.mobility.is_on() && self.mover.chance(self.plan.mobility.rate) {
            self.move_slots()?;
        }
        let node = self.pick_node();
        let action = self.pick_action(node);
        if self.is_paused(node) {
            return Ok(());
        }
        if let Action::Convert | Action::Release | Action::Watch | Action::Nonsense = action {
            // These go by what the owner knows.
            self.listen(node, Ear::Open)?;
        }
        let is_held = |ghost: &GhostLock| matches!(ghost.standing, Standing::Held(_));
        self.lend_some(node)?;
        match action {
            Action::Request if self.is_closing(node) => Ok(()),
            Action::Request => self.ask(node),
            Action::Convert => self.with(node, |ghost| is_held(ghost) && !ghost.is_lent, Self::change),
            Action::Release => self.with(node, is_held, |cluster, at| {
                let write = cluster.pick_write(at);
                cluster.release(at, write)
            }),
            Action::Cancel => self.with(node, GhostLock::is_waiting, Self::cancel),
            Action::Abandon => self.with(node, |_| true, Self::abandon),
            Action::Watch => self.with(node, |_| true, Self::watch),
            Action::Nonsense => self.nonsense(node),
        }
    }

    fn pick_action(&mut self, node: NodeId) -> Action {
        let locks = self.plan.layout.beside(node).map(|node| self.ghost.of_node(node).count()).sum::<usize>();
        let is_full = locks >= self.plan.appetite.locks_max;
        let weights = self.plan.appetite.weights;
        let mut left = self.random.below(weights.iter().map(|weight| u64::from(*weight)).sum());
        for (action, weight) in Action::ALL.into_iter().zip(weights) {
            if left < u64::from(weight) {
                let is_too_much = is_full && matches!(action, Action::Request);
                return if is_too_much { Action::Release } else { action };
            }
            left -= u64::from(weight);
        }
        Action::Release
    }

    /// Does something with one of the node's locks that fits; nothing if none does.
    pub(super) fn with(
        &mut self,
        node: NodeId,
        fits: impl Fn(&GhostLock) -> bool,
        action: impl FnOnce(&mut Self, usize) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let locks = &self.ghost.locks;
        let fits = |at: &usize| locks[*at].node == node && fits(&locks[*at]);
        let fitting: alloc::vec::Vec<usize> = (0..locks.len()).filter(fits).collect();
        if fitting.is_empty() {
            return Ok(());
        }
        let at = *self.random.pick(&fitting);
        action(self, at)
    }

    // ---- choices ----

    fn pick_mode(&mut self) -> Mode {
        *self.random.pick(&self.plan.appetite.modes)
    }

    fn pick_flags(&mut self, held: Option<Mode>, mode: Mode) -> Flags {
        let appetite = &self.plan.appetite;
        let mut flags = Flags::NONE;
        if self.plan.is_lending && self.random.chance(PLAIN) {
            return flags;
        }
        let mut offer = |flag: Flags, rate: u32| {
            if self.random.chance(rate) {
                flags = flags | flag;
            }
        };
        offer(Flags::VALUE, appetite.value);
        offer(Flags::NO_ORDER, appetite.no_order);
        offer(Flags::HEAD_OF_QUEUE, appetite.head);
        offer(Flags::ALTERNATE_PR, appetite.alternate);
        offer(Flags::ALTERNATE_CW, appetite.alternate);
        offer(Flags::NO_QUEUE, appetite.no_queue);
        offer(Flags::NO_QUEUE_DEMAND, appetite.no_queue);
        offer(Flags::EXPEDITE, appetite.no_order);
        offer(Flags::QUEUE_CONVERT, appetite.queue_convert);
        offer(Flags::DEMOTE_ON_DEADLOCK, appetite.deadlock);
        offer(Flags::NO_DEADLOCK_WAIT, appetite.deadlock / 4);
        if !flags.has(Flags::NO_QUEUE) {
            flags = flags.without(Flags::NO_QUEUE_DEMAND);
        } else {
            flags = flags.without(Flags::DEMOTE_ON_DEADLOCK).without(Flags::EXPEDITE);
        }
        if flags.has(Flags::ALTERNATE_PR) {
            flags = flags.without(Flags::ALTERNATE_CW);
        }
        match held {
            None => {
                flags = flags.without(Flags::QUEUE_CONVERT).without(Flags::DEMOTE_ON_DEADLOCK);
                if mode == Mode::Null { flags } else { flags.without(Flags::EXPEDITE) }
            }
            Some(held) if held.allows_queue_convert(mode) => flags.without(Flags::EXPEDITE),
            Some(_) => flags.without(Flags::EXPEDITE).without(Flags::QUEUE_CONVERT),
        }
    }

    fn pick_patience(&mut self) -> Option<core::time::Duration> {
        let appetite = &self.plan.appetite;
        let is_patient = !self.random.chance(appetite.patience);
        (!is_patient).then(|| self.random.span(core::time::Duration::ZERO, appetite.patience_max))
    }

    fn pick_write(&mut self, at: usize) -> ValueWrite {
        let appetite = &self.plan.appetite;
        let ghost = &self.ghost.locks[at];
        if !ghost.has_value {
            return ValueWrite::Keep;
        }
        let held = ghost.holds();
        if self.random.chance(appetite.invalidate) {
            return ValueWrite::Invalidate;
        }
        // Owners that may not write try it now and then; it has no effect.
        let may_write = held.is_some_and(Mode::may_write_value);
        let rate = if may_write { appetite.write } else { appetite.write / 10 };
        if !self.random.chance(rate) {
            return ValueWrite::Keep;
        }
        self.last_value += 1;
        let mut bytes = [0xab; 64];
        bytes[..8].copy_from_slice(&self.last_value.to_be_bytes());
        let len = *self.random.pick(&[8, 8, 16, 64]);
        ValueWrite::Set(Value::new(&bytes[..len]).expect("64 bytes are allowed"))
    }

    // ---- requests ----

    fn ask(&mut self, node: NodeId) -> Result<(), Violation> {
        let resource = self.random.index(self.plan.resources.len());
        let node = self.plan.asked_of(node, resource);
        if self.is_down(node) {
            // It has crashed before the other machines of its host.
            return Ok(());
        }
        let mode = self.pick_mode();
        let flags = self.pick_flags(None, mode);
        self.request(node, resource, mode, flags).map(|_| ())
    }

    /// Asks for a lock; tells its handle if there is one.
    pub(super) fn request(
        &mut self,
        node: NodeId,
        resource: usize,
        mode: Mode,
        flags: Flags,
    ) -> Result<Option<LockId>, Violation> {
        self.last_owner += 1;
        let owner = OwnerId(self.last_owner);
        let patience = self.pick_patience();
        let floor = self.ghost.values[resource].floor(node);
        let priority = Priority(u8::try_from(owner.0 % 3).expect("it is small"));
        let now = self.now_of(node);
        let before = self.digest_if_full(node);
        let (space, name) = &self.plan.resources[resource];
        let request = Request { space: *space, name, owner, mode, flags, priority, patience };
        let member = &mut self.members[usize::from(node.0)];
        let at_rest = goes_at_rest(owner).then(|| member.node.request_at_rest(now, &request)).flatten();
        self.report.at_rest += u64::from(at_rest.is_some());
        let asked = at_rest.map_or_else(|| member.node.request(now, &request), Ok);
        let what =
            format_args!("node {node}: owner {} asks resource {resource} for {mode} {flags:?}", owner.0);
        self.trace.line(self.now, format_args!("{what} within {patience:?}: {asked:?}"));
        let Asked { lock, grant } = match asked {
            Ok(asked) => asked,
            Err(refusal) => {
                self.refused_request(node, flags, refusal, before)?;
                self.settle(node)?;
                return Ok(None);
            }
        };
        self.report.asked += 1;
        self.ghost.asked(GhostLock {
            node,
            lock,
            owner,
            resource,
            standing: Standing::Waiting { wanted: mode },
            flags,
            has_value: flags.has(Flags::VALUE),
            since: self.report.steps,
            deadline: patience.map(|patience| now.after(patience)),
            floor,
            is_watched: false,
            is_lent: false,
            is_demanded: false,
        })?;
        self.see_lock(node, lock, LockSight::Asked(mode));
        if let Some(grant) = grant {
            self.check_standing_of(node, &grant)?;
            self.granted(node, lock, &grant)?;
        }
        self.settle(node)?;
        Ok(Some(lock))
    }

    fn refused_request(
        &mut self,
        node: NodeId,
        flags: Flags,
        refusal: RequestError,
        before: Option<u64>,
    ) -> Result<(), Violation> {
        match refusal {
            RequestError::Busy => {
                ensure!(flags.has(Flags::NO_QUEUE), Answer, "busy for a request that would wait");
                self.report.denials += 1;
                Ok(())
            }
            RequestError::Full(full) => {
                ensure!(self.may_be_full(node, self.report.steps), Bounds, "{full} and has room");
                self.count_full();
                before.map_or(Ok(()), |before| self.unchanged(node, before))
            }
            RequestError::Name(_) | RequestError::UnknownSpace | RequestError::Flags(_) => {
                Err(broken!(Answer, "a sound request was refused: {refusal}"))
            }
        }
    }

    pub(super) fn count_full(&mut self) {
        self.report.full += 1;
        if !self.plan.is_roomy {
            self.report.faults.hit(FaultKind::Tight);
        }
    }

    /// May there have been no room at some time since a step? While slots move, what they need is kept free at their
    /// new master, and for new records in them there is no more than that.
    pub(super) fn may_be_full(&self, node: NodeId, since: u64) -> bool {
        let moves = &self.moves[self.plan.layout.machine(node)];
        !self.plan.is_roomy || self.is_changing() || moves.has_moved(since)
    }

    /// The digest of a node whose tables may be full; it is slow, so it is taken only where it may be compared, and
    /// where slots move now and then.
    fn digest_if_full(&mut self, node: NodeId) -> Option<u64> {
        let is_wanted = !self.plan.mobility.is_on() || self.report.asked.is_multiple_of(4);
        let may_be_full = is_wanted && self.may_be_full(node, self.report.steps);
        may_be_full.then(|| self.member(node).node.digest())
    }

    /// L7: what is refused changes nothing.
    pub(super) fn unchanged(&mut self, node: NodeId, before: u64) -> Result<(), Violation> {
        let is_same = self.member(node).node.digest() == before;
        ensure!(is_same, RefusalUnchanged, "node {node} was changed by a call that it refused");
        Ok(())
    }

    // ---- what is done with a lock ----

    fn change(&mut self, at: usize) -> Result<(), Violation> {
        let ghost = &self.ghost.locks[at];
        let Standing::Held(held) = ghost.standing else { return Ok(()) };
        let (node, lock, resource) = (ghost.node, ghost.lock, ghost.resource);
        let mode = self.pick_mode();
        let flags = self.pick_flags(Some(held), mode);
        let patience = self.pick_patience();
        let write = self.pick_write(at);
        let now = self.now_of(node);
        let floor = self.ghost.values[resource].floor(node);
        let before = self.digest_if_full(node);
        let converted =
            self.member(node).node.convert(now, lock, mode, Conversion { flags, patience }, write);
        let owner = self.ghost.locks[at].owner.0;
        let what = format_args!(
            "node {node}: owner {owner} converts {held} to {mode} {flags:?}{}",
            ShownWrite(write)
        );
        self.trace.line(self.now, format_args!("{what} within {patience:?}: {converted:?}"));
        let transfer = Mode::value_transfer(Some(held), mode);
        let waits_for_value = transfer == ValueTransfer::Read && flags.has(Flags::VALUE);
        let granted = match converted {
            Ok(granted) => granted,
            Err(refusal) => {
                self.refused_conversion(node, flags, refusal, before)?;
                return self.settle(node);
            }
        };
        self.report.asked += 1;
        if transfer == ValueTransfer::Write {
            self.wrote(node, resource, write);
        }
        let is_lowered = held.covers(mode) && !waits_for_value && !self.is_told_late(node);
        ensure!(granted.is_some() || !is_lowered, LostWakeup, "a conversion from {held} to {mode} waits");
        let ghost = &mut self.ghost.locks[at];
        ghost.standing = Standing::Converting { held, wanted: mode };
        ghost.flags = flags;
        ghost.since = self.report.steps;
        ghost.deadline = patience.map(|patience| now.after(patience));
        ghost.floor = floor;
        self.see_lock(node, lock, LockSight::Converts(mode));
        if let Some(grant) = granted {
            self.check_standing_of(node, &grant)?;
            self.changed(node, lock, &grant)?;
        }
        self.settle(node)
    }

    /// A conversion was granted in the call.
    fn changed(&mut self, node: NodeId, lock: LockId, grant: &Grant) -> Result<(), Violation> {
        if !grant.demoted {
            return self.granted(node, lock, grant);
        }
        // Its demotion let others go first, and their events are still to come.
        self.drain(node, Ear::Open)?;
        let is_demanded = |cluster: &Self| {
            let at = cluster.ghost.at(node, lock);
            at.is_some_and(|at| cluster.ghost.locks[at].is_demanded)
        };
        let was_demanded = is_demanded(self);
        self.granted(node, lock, grant)?;
        if let Some(at) = self.ghost.at(node, lock) {
            self.ghost.locks[at].is_demanded = was_demanded;
        }
        Ok(())
    }

    fn refused_conversion(
        &mut self,
        node: NodeId,
        flags: Flags,
        refusal: ConvertError,
        before: Option<u64>,
    ) -> Result<(), Violation> {
        match refusal {
            ConvertError::Busy => {
                ensure!(flags.has(Flags::NO_QUEUE), Answer, "busy for a conversion that would wait");
                self.report.denials += 1;
                Ok(())
            }
            ConvertError::Deadlock => {
                let is_excluded = flags.has(Flags::NO_DEADLOCK_WAIT) || flags.has(Flags::DEMOTE_ON_DEADLOCK);
                ensure!(!is_excluded, Answer, "deadlock for a conversion that excludes it");
                self.report.denials += 1;
                self.report.deadlocks += 1;
                Ok(())
            }
            ConvertError::Full(full) => {
                ensure!(self.may_be_full(node, self.report.steps), Bounds, "{full} and has room");
                self.count_full();
                before.map_or(Ok(()), |before| self.unchanged(node, before))
            }
            ConvertError::Unknown
            | ConvertError::InFlight
            | ConvertError::WithoutValue
            | ConvertError::Flags(_) => Err(broken!(Answer, "a sound conversion was refused: {refusal}")),
        }
    }

    fn wrote(&mut self, node: NodeId, resource: usize, write: ValueWrite) {
        if self.is_told_late(node) {
            // The node is no member any more, and may not know it yet: nobody hears of it.
            return;
        }
        let history = &mut self.ghost.values[resource];
        match write {
            ValueWrite::Keep => return,
            ValueWrite::Set(value) => history.set(node, value),
            ValueWrite::Invalidate => history.invalidate(node),
        }
        self.report.values_written += 1;
    }

    pub(super) fn release(&mut self, at: usize, write: ValueWrite) -> Result<(), Violation> {
        let ghost = &self.ghost.locks[at];
        let (node, lock, resource, owner) = (ghost.node, ghost.lock, ghost.resource, ghost.owner.0);
        let held = ghost.holds();
        let goes_at_rest = write == ValueWrite::Keep && goes_at_rest(ghost.owner);
        let member = self.member(node);
        let is_released = goes_at_rest && member.node.release_at_rest(lock);
        let released = if is_released { Ok(()) } else { member.node.release(lock, write) };
        self.report.at_rest += u64::from(is_released);
        let shown = ShownWrite(write);
        self.trace.line(self.now, format_args!("node {node}: owner {owner} releases{shown}: {released:?}"));
        ensure!(released.is_ok(), Answer, "a sound release was refused: {released:?}");
        if held.is_some_and(Mode::may_write_value) {
            self.wrote(node, resource, write);
        }
        self.see_lock(node, lock, LockSight::Released);
        self.ghost.end(at);
        self.settle(node)
    }

    pub(super) fn cancel(&mut self, at: usize) -> Result<(), Violation> {
        let ghost = &self.ghost.locks[at];
        let (node, lock, owner) = (ghost.node, ghost.lock, ghost.owner.0);
        let is_waiting = ghost.is_waiting();
        let cancelled = self.member(node).node.cancel(lock);
        self.trace.line(self.now, format_args!("node {node}: owner {owner} cancels: {cancelled:?}"));
        let Ok(found) = cancelled else {
            // It has been denied, and the event that says so is still to be polled.
            let is_untold = is_waiting && self.ghost.is_deaf(node);
            ensure!(is_untold, ExactlyOnce, "a cancel of a live lock: {cancelled:?}");
            return self.settle(node);
        };
        self.see_lock(node, lock, LockSight::GivenUp);
        self.report.cancels += u64::from(is_waiting);
        self.look(node);
        let rows = &self.member(node).tables.rows;
        let view = rows.iter().flat_map(|row| &row.locks).find(|view| view.lock == lock);
        let held = view.and_then(|view| view.held);
        self.ghost.cancelled(at, found, held)?;
        self.settle(node)
    }

    fn abandon(&mut self, at: usize) -> Result<(), Violation> {
        let ghost = &self.ghost.locks[at];
        let (node, lock, owner) = (ghost.node, ghost.lock, ghost.owner.0);
        self.report.cancels += u64::from(ghost.is_waiting());
        let abandoned = self.member(node).node.abandon(lock);
        self.trace.line(self.now, format_args!("node {node}: owner {owner} abandons: {abandoned:?}"));
        let is_untold = self.ghost.locks[at].is_waiting() && self.ghost.is_deaf(node);
        ensure!(
            abandoned.is_ok() || is_untold,
            ExactlyOnce,
            "a live lock cannot be abandoned: {abandoned:?}"
        );
        self.see_lock(node, lock, LockSight::GivenUp);
        self.ghost.abandoned(at);
        self.settle(node)
    }

    pub(super) fn watch(&mut self, at: usize) -> Result<(), Violation> {
        let ghost = &self.ghost.locks[at];
        let (node, lock, owner) = (ghost.node, ghost.lock, ghost.owner.0);
        let watched = self.member(node).node.watch(lock);
        self.trace.line(self.now, format_args!("node {node}: owner {owner} watches: {watched:?}"));
        let Ok(demanded) = watched else {
            return Err(broken!(ExactlyOnce, "a live lock cannot be watched: {watched:?}"));
        };
        let ghost = &mut self.ghost.locks[at];
        ghost.is_watched = true;
        ghost.is_lent = false;
        ghost.is_demanded |= demanded.is_some();
        self.settle(node)
    }

    // ---- what makes no sense ----

    /// A call that must be refused and change nothing.
    fn nonsense(&mut self, node: NodeId) -> Result<(), Violation> {
        self.report.refusals += 1;
        let before = self.member(node).node.digest();
        match self.random.below(5) {
            0 => self.nonsense_request(node)?,
            3 => self.nonsense_write(node)?,
            1 => self.nonsense_in_flight(node)?,
            2 => self.nonsense_flags(node)?,
            _ => self.nonsense_ended(node)?,
        }
        self.unchanged(node, before)?;
        self.settle(node)
    }

    fn nonsense_request(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let (space, name) = (SpaceId(0), [b'x'; 65]);
        let (owner, mode, priority) = (OwnerId(0), Mode::Exclusive, Priority(0));
        let sound =
            Request { space, name: &name[..1], owner, mode, flags: Flags::NONE, priority, patience: None };
        let requests = [
            Request { name: &name, ..sound },
            Request { name: b"", ..sound },
            Request { space: SpaceId(9), ..sound },
            Request { flags: Flags::EXPEDITE, ..sound },
            Request { flags: Flags::QUEUE_CONVERT, ..sound },
            Request { flags: Flags::NO_QUEUE_DEMAND, ..sound },
        ];
        let request = self.random.pick(&requests);
        let asked = self.members[usize::from(node.0)].node.request(now, request);
        let is_refused = match asked {
            Ok(_) | Err(RequestError::Full(_) | RequestError::Busy) => false,
            Err(RequestError::Name(_) | RequestError::UnknownSpace | RequestError::Flags(_)) => true,
        };
        ensure!(is_refused, Answer, "a request that makes no sense: {asked:?}");
        Ok(())
    }

    fn nonsense_in_flight(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let Some(ghost) = self.ghost.of_node(node).find(|ghost| ghost.is_waiting()) else { return Ok(()) };
        let lock = ghost.lock;
        let member = self.member(node);
        let released = member.node.release(lock, ValueWrite::Keep);
        let converted = member.node.convert(now, lock, Mode::Null, Conversion::default(), ValueWrite::Keep);
        ensure!(released == Err(ReleaseError::InFlight), Answer, "a release of a waiter: {released:?}");
        ensure!(converted == Err(ConvertError::InFlight), Answer, "a conversion of a waiter: {converted:?}");
        Ok(())
    }

    fn nonsense_flags(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let Some(ghost) = self.ghost.of_node(node).find(|ghost| !ghost.is_waiting()) else { return Ok(()) };
        let lock = ghost.lock;
        let both = Flags::ALTERNATE_PR | Flags::ALTERNATE_CW;
        let flags = *self.random.pick(&[Flags::EXPEDITE, both, Flags::NO_QUEUE_DEMAND]);
        let conversion = Conversion { flags, patience: None };
        let converted =
            self.member(node).node.convert(now, lock, Mode::Exclusive, conversion, ValueWrite::Keep);
        let is_refused = matches!(converted, Err(ConvertError::Flags(_)));
        ensure!(is_refused, Answer, "a conversion with {flags:?}: {converted:?}");
        Ok(())
    }

    fn nonsense_write(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let is_without = |ghost: &&GhostLock| {
            let may_write = ghost.holds().is_some_and(Mode::may_write_value);
            may_write && !ghost.is_waiting() && !ghost.has_value
        };
        let Some(ghost) = self.ghost.of_node(node).find(is_without) else { return Ok(()) };
        let (lock, write) = (ghost.lock, ValueWrite::Set(Value::EMPTY));
        let node = &mut self.member(node).node;
        let released = node.release(lock, write);
        let converted = node.convert(now, lock, Mode::Null, Conversion::default(), write);
        ensure!(released == Err(ReleaseError::WithoutValue), Answer, "a write without a block: {released:?}");
        ensure!(
            converted == Err(ConvertError::WithoutValue),
            Answer,
            "a write without a block: {converted:?}"
        );
        Ok(())
    }

    fn nonsense_ended(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let Some(lock) = self.ghost.ended(node) else { return Ok(()) };
        let node = &mut self.member(node).node;
        let is_refused = node.cancel(lock) == Err(UnknownLock)
            && node.watch(lock) == Err(UnknownLock)
            && node.abandon(lock) == Err(UnknownLock)
            && node.token(lock) == Err(UnknownLock)
            && node.value(lock) == Err(UnknownLock)
            && node.release(lock, ValueWrite::Keep) == Err(ReleaseError::Unknown)
            && node.convert(now, lock, Mode::Null, Conversion::default(), ValueWrite::Keep)
                == Err(ConvertError::Unknown);
        ensure!(is_refused, ExactlyOnce, "a lock that has ended was used");
        Ok(())
    }
}

/// Half of the owners go the short way where there is one.
const fn goes_at_rest(owner: OwnerId) -> bool {
    owner.0.is_multiple_of(2)
}
