//! What owners were told, and nothing else: the checkers' own account of who holds what.
//!
//! ```text
//!              granted                  convert
//! waiting ───────────────────► held ─────────────────► converting
//!    │                         │  ▲                        │
//!    │ denied, cancelled       │  └────────────────────────┘
//!    ▼                         ▼     granted, denied, cancelled
//!  ended ◄─────────────────────┘ released, abandoned
//! ```

mod values;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use lockmaster_core::{Cancelled, Denial, Grant};
use lockmaster_core::{Flags, Instant, LockId, Mode, NodeId, OwnerId, Token, ValueTransfer};

use crate::report::{Violation, broken, ensure};
pub(crate) use values::History;

/// Ended handles that are remembered, to be used once more.
const ENDED_KEPT: usize = 8;

/// All that owners know.
#[derive(Debug)]
pub(crate) struct Ghost {
    pub(crate) locks: Vec<GhostLock>,
    pub(crate) values: Vec<History>,
    grants: Vec<Vec<Made>>,
    handles: BTreeSet<(NodeId, u64)>,
    ended: VecDeque<(NodeId, LockId)>,
    /// Grants of each node.
    pub(crate) granted: Vec<u64>,
    /// Locks of each node that were abandoned before their events were polled.
    untold: Vec<u64>,
    /// For each node, whether its owners have perhaps not been told everything.
    pub(crate) deaf: Vec<bool>,
    /// Nodes that are no members any more, by their clock or because they were told so: what their owners think that
    /// they hold, they do not.
    pub(crate) over: Vec<bool>,
    /// What owners held on nodes that have crashed, until a view without those lives is made.
    graves: Vec<Grave>,
}

/// What an owner held when its node crashed.
#[derive(Clone, Copy, Debug)]
struct Grave {
    node: NodeId,
    owner: OwnerId,
    resource: usize,
    held: Mode,
}

/// One logical lock, as its owner knows it.
#[derive(Clone, Debug)]
pub(crate) struct GhostLock {
    pub(crate) node: NodeId,
    pub(crate) lock: LockId,
    pub(crate) owner: OwnerId,
    pub(crate) resource: usize,
    pub(crate) standing: Standing,
    /// Flags of the last request or conversion.
    pub(crate) flags: Flags,
    /// It has read its value block, or will, so that it may write one.
    pub(crate) has_value: bool,
    /// Step in which it asked last.
    pub(crate) since: u64,
    /// End of its patience.
    pub(crate) deadline: Option<Instant>,
    /// Where the value block's history stood for this node when the lock was asked for.
    pub(crate) floor: usize,
    pub(crate) is_watched: bool,
    /// Its adapter takes it and gives it back by itself, and watches it.
    pub(crate) is_lent: bool,
    /// Its owner was told, after the last grant, that somebody waits for it.
    pub(crate) is_demanded: bool,
}

/// Where an owner knows its lock to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting { wanted: Mode },
    Held(Mode),
    Converting { held: Mode, wanted: Mode },
}

/// A grant that was made.
#[derive(Clone, Copy, Debug)]
struct Made {
    node: NodeId,
    lock: LockId,
    mode: Mode,
    token: Token,
}

/// Which value an owner must find after a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It did not ask, or its conversion reads none.
    None,
    /// The last one.
    Last,
    /// Any that is not older than this place in the history.
    Since(usize),
}

impl GhostLock {
    /// What others must be compatible with. A conversion that may be demoted has perhaps been.
    pub(crate) fn holds(&self) -> Option<Mode> {
        match self.standing {
            Standing::Waiting { .. } => None,
            Standing::Held(mode) => Some(mode),
            Standing::Converting { .. } if self.flags.has(Flags::DEMOTE_ON_DEADLOCK) => Some(Mode::Null),
            Standing::Converting { held, .. } => Some(held),
        }
    }

    /// The same, if it has perhaps been granted what it waits for and does not know it yet.
    fn holds_at_least(&self) -> Option<Mode> {
        let Standing::Converting { wanted, .. } = self.standing else { return self.holds() };
        let least = self.holds()?.meet(wanted);
        let alternates =
            [(Flags::ALTERNATE_PR, Mode::ProtectedRead), (Flags::ALTERNATE_CW, Mode::ConcurrentWrite)];
        let accepted = alternates.into_iter().filter(|(flag, _)| self.flags.has(*flag));
        Some(accepted.fold(least, |least, (_, alternate)| least.meet(alternate)))
    }

    pub(crate) fn wanted(&self) -> Option<Mode> {
        match self.standing {
            Standing::Waiting { wanted } | Standing::Converting { wanted, .. } => Some(wanted),
            Standing::Held(_) => None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.wanted().is_some()
    }

    /// The modes in which a grant may come.
    fn accepts(&self, grant: &Grant) -> bool {
        let Some(wanted) = self.wanted() else { return false };
        if !grant.alternate {
            return grant.mode == wanted;
        }
        let alternates =
            [(Flags::ALTERNATE_PR, Mode::ProtectedRead), (Flags::ALTERNATE_CW, Mode::ConcurrentWrite)];
        alternates.into_iter().any(|(flag, alternate)| self.flags.has(flag) && grant.mode == alternate)
    }

    /// Does what it waits for read the value block, at least if it ends in an alternate mode or is demoted?
    fn asks_for_value(&self) -> bool {
        let is_read = match self.standing {
            Standing::Waiting { .. } => true,
            Standing::Held(_) => false,
            Standing::Converting { held, wanted } => {
                !held.covers(wanted) || Mode::value_transfer(Some(held), wanted) == ValueTransfer::Read
            }
        };
        is_read && self.flags.has(Flags::VALUE)
    }

    fn reading(&self, grant: &Grant) -> Reading {
        let from = match self.standing {
            Standing::Converting { .. } if grant.demoted => Some(Mode::Null),
            Standing::Converting { held, .. } => Some(held),
            Standing::Waiting { .. } | Standing::Held(_) => None,
        };
        let is_read = Mode::value_transfer(from, grant.mode) == ValueTransfer::Read;
        if !is_read || !self.flags.has(Flags::VALUE) {
            return Reading::None;
        }
        if grant.mode.keeps_value_current() { Reading::Last } else { Reading::Since(self.floor) }
    }
}

impl Ghost {
    pub(crate) fn new(nodes: usize, resources: usize) -> Self {
        Self {
            locks: Vec::new(),
            values: (0..resources).map(|_| History::new(nodes)).collect(),
            grants: (0..resources).map(|_| Vec::new()).collect(),
            handles: BTreeSet::new(),
            ended: VecDeque::new(),
            granted: alloc::vec![0; nodes],
            untold: alloc::vec![0; nodes],
            deaf: alloc::vec![false; nodes],
            over: alloc::vec![false; nodes],
            graves: Vec::new(),
        }
    }

    pub(crate) fn at(&self, node: NodeId, lock: LockId) -> Option<usize> {
        self.locks.iter().position(|ghost| ghost.node == node && ghost.lock == lock)
    }

    fn live(&self, node: NodeId, lock: LockId, what: &str) -> Result<usize, Violation> {
        self.at(node, lock).ok_or_else(|| {
            broken!(ExactlyOnce, "{what} for lock {:x} of node {node}, which has ended", lock.to_u64())
        })
    }

    pub(crate) fn of_node(&self, node: NodeId) -> impl Iterator<Item = &GhostLock> {
        self.locks.iter().filter(move |lock| lock.node == node)
    }

    pub(crate) fn of_resource(&self, resource: usize) -> impl Iterator<Item = &GhostLock> {
        self.locks.iter().filter(move |lock| lock.resource == resource)
    }

    /// What others must be compatible with, as far as the owner of this lock can know.
    pub(crate) fn holds(&self, lock: &GhostLock) -> Option<Mode> {
        if self.is_deaf(lock.node) { lock.holds_at_least() } else { lock.holds() }
    }

    /// Have the owners of a node perhaps not been told everything?
    pub(crate) fn is_deaf(&self, node: NodeId) -> bool {
        self.deaf[usize::from(node.0)]
    }

    /// Fewest and most grants that a node may have made.
    pub(crate) fn grants_of(&self, node: NodeId) -> core::ops::RangeInclusive<u64> {
        let at = usize::from(node.0);
        let waiting = self.of_node(node).filter(|ghost| ghost.is_waiting()).count() as u64;
        let untold = self.untold[at] + if self.deaf[at] { waiting } else { 0 };
        self.granted[at]..=self.granted[at] + untold
    }

    /// A handle that has ended, if one is remembered.
    pub(crate) fn ended(&self, node: NodeId) -> Option<LockId> {
        self.ended.iter().find(|(of, _)| *of == node).map(|(_, lock)| *lock)
    }

    // ---- what owners do ----

    pub(crate) fn asked(&mut self, lock: GhostLock) -> Result<(), Violation> {
        let is_new = self.handles.insert((lock.node, lock.lock.to_u64()));
        ensure!(is_new, ExactlyOnce, "handle {:x} was given before", lock.lock.to_u64());
        self.locks.push(lock);
        Ok(())
    }

    pub(crate) fn end(&mut self, at: usize) {
        let ghost = self.locks.remove(at);
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back((ghost.node, ghost.lock));
    }

    /// A lock was given up whatever it did.
    pub(crate) fn abandoned(&mut self, at: usize) {
        let ghost = &self.locks[at];
        if ghost.is_waiting() && self.is_deaf(ghost.node) {
            self.untold[usize::from(ghost.node.0)] += 1;
        }
        self.end(at);
    }

    /// A cancel has returned; `held` is what the tables say that a cancelled conversion keeps.
    pub(crate) fn cancelled(
        &mut self,
        at: usize,
        found: Cancelled,
        held: Option<Mode>,
    ) -> Result<(), Violation> {
        let ghost = &self.locks[at];
        match (ghost.standing, found) {
            (Standing::Waiting { .. }, Cancelled::Request) => {
                self.end(at);
                Ok(())
            }
            (Standing::Converting { .. }, Cancelled::Conversion) => self.keep(at, held),
            (Standing::Held(_), Cancelled::Nothing) => Ok(()),
            // The event that says how it ended is still to be polled.
            (_, Cancelled::Nothing) if self.is_deaf(ghost.node) => Ok(()),
            (standing, found) => {
                Err(broken!(ExactlyOnce, "a cancel of a lock that is {standing:?} found {found:?}"))
            }
        }
    }

    /// A conversion ended without a grant.
    fn keep(&mut self, at: usize, kept: Option<Mode>) -> Result<(), Violation> {
        let ghost = &mut self.locks[at];
        let Standing::Converting { held, .. } = ghost.standing else {
            return Err(broken!(ExactlyOnce, "a conversion ended that is {:?}", ghost.standing));
        };
        let is_demoted = ghost.flags.has(Flags::DEMOTE_ON_DEADLOCK) && kept == Some(Mode::Null);
        ensure!(kept == Some(held) || is_demoted, Answer, "a lock held {held} and kept {kept:?}");
        let kept = kept.unwrap_or(held);
        ghost.standing = Standing::Held(kept);
        ghost.deadline = None;
        self.check_exclusion(at, kept)
    }

    // ---- what owners are told ----

    /// A grant; says what the owner must find in the value block.
    pub(crate) fn granted(
        &mut self,
        node: NodeId,
        lock: LockId,
        grant: &Grant,
    ) -> Result<(usize, Reading), Violation> {
        let at = self.live(node, lock, "a grant")?;
        let ghost = &self.locks[at];
        ensure!(ghost.is_waiting(), ExactlyOnce, "a grant to a lock that is {:?}", ghost.standing);
        ensure!(ghost.accepts(grant), Answer, "{grant:?} to a lock that is {:?}", ghost.standing);
        let may_demote = ghost.flags.has(Flags::DEMOTE_ON_DEADLOCK);
        ensure!(!grant.demoted || may_demote, Answer, "a lock was demoted that does not allow it");
        let reading = ghost.reading(grant);
        self.check_exclusion(at, grant.mode)?;
        self.check_token(at, grant)?;
        let ghost = &mut self.locks[at];
        ghost.has_value |= ghost.asks_for_value();
        ghost.standing = Standing::Held(grant.mode);
        ghost.deadline = None;
        ghost.is_demanded = false;
        self.granted[usize::from(node.0)] += 1;
        Ok((ghost.resource, reading))
    }

    /// A lent lock was taken so often, the last time by this grant.
    pub(crate) fn taken(&mut self, at: usize, grant: Grant, times: u32) -> Result<(), Violation> {
        self.check_token(at, &grant)?;
        self.granted[usize::from(self.locks[at].node.0)] += u64::from(times);
        Ok(())
    }

    pub(crate) fn denied(
        &mut self,
        now: Instant,
        node: NodeId,
        lock: LockId,
        reason: Denial,
        held: Option<Mode>,
    ) -> Result<(), Violation> {
        let at = self.live(node, lock, "a denial")?;
        let ghost = &self.locks[at];
        ensure!(ghost.is_waiting(), ExactlyOnce, "a denial to a lock that is {:?}", ghost.standing);
        let is_conversion = matches!(ghost.standing, Standing::Converting { .. });
        let no_deadlock = Flags::DEMOTE_ON_DEADLOCK.bits() | Flags::NO_DEADLOCK_WAIT.bits();
        let has_cause = match reason {
            Denial::Busy => ghost.flags.has(Flags::NO_QUEUE),
            Denial::Deadlock => is_conversion && ghost.flags.bits() & no_deadlock == 0,
            Denial::TimedOut => ghost.deadline.is_some_and(|deadline| deadline <= now),
            Denial::Full => true,
        };
        ensure!(has_cause, Answer, "{reason:?} for {ghost:?}");
        if is_conversion {
            return self.keep(at, held);
        }
        ensure!(held.is_none(), Answer, "a denied request holds {held:?}");
        self.end(at);
        Ok(())
    }

    pub(crate) fn demanded(&mut self, node: NodeId, lock: LockId, mode: Mode) -> Result<(), Violation> {
        let at = self.live(node, lock, "a demand")?;
        let ghost = &mut self.locks[at];
        ensure!(ghost.is_watched, ExactlyOnce, "a demand to an owner that does not watch");
        if let Some(held) = ghost.holds() {
            let is_demoted = ghost.flags.has(Flags::DEMOTE_ON_DEADLOCK) && ghost.is_waiting();
            let is_in_the_way = is_demoted || !held.is_compatible(mode);
            ensure!(is_in_the_way, Answer, "a demand for {mode} to an owner that holds {held}");
        }
        ghost.is_demanded = true;
        Ok(())
    }

    // ---- what becomes of nodes ----

    /// A node is gone with all its owners. What they held is nobody else's before a view without it is made.
    pub(crate) fn crashed(&mut self, node: NodeId) {
        let is_over = self.over[usize::from(node.0)];
        for ghost in self.locks.iter().filter(|ghost| ghost.node == node && !is_over) {
            if let Some(held) = self.holds(ghost) {
                self.graves.push(Grave { node, owner: ghost.owner, resource: ghost.resource, held });
            }
        }
        let at = usize::from(node.0);
        self.locks.retain(|ghost| ghost.node != node);
        self.handles.retain(|(of, _)| *of != node);
        self.ended.retain(|(of, _)| *of != node);
        for made in self.grants.iter_mut().flatten().filter(|made| made.node == node) {
            // A handle of its next life may look the same.
            made.node = NodeId::GONE;
        }
        (self.granted[at], self.untold[at], self.deaf[at]) = (0, 0, false);
        for history in &mut self.values {
            history.forget(node);
        }
    }

    /// There is a view without the lives of a node that have crashed.
    pub(crate) fn buried(&mut self, node: NodeId) {
        self.graves.retain(|grave| grave.node != node);
    }

    /// A lock was lost.
    pub(crate) fn lost(&mut self, node: NodeId, lock: LockId) -> Result<(), Violation> {
        let Some(at) = self.at(node, lock) else {
            return Err(broken!(Lost, "a lock of node {node} is lost that has ended"));
        };
        ensure!(self.over[usize::from(node.0)], Lost, "a lock of node {node} is lost, which is a member");
        if self.locks[at].is_waiting() {
            // It was granted, and that was not told yet; or its conversion was.
            self.untold[usize::from(node.0)] += 1;
        }
        self.end(at);
        Ok(())
    }

    // ---- rules ----

    fn check_exclusion(&self, at: usize, mode: Mode) -> Result<(), Violation> {
        let ghost = &self.locks[at];
        if self.over[usize::from(ghost.node.0)] {
            // A grant that was told too late holds nothing, and will be lost.
            return Ok(());
        }
        for (other_at, other) in self.locks.iter().enumerate() {
            if other_at == at || other.resource != ghost.resource || self.over[usize::from(other.node.0)] {
                continue;
            }
            let Some(held) = self.holds(other) else { continue };
            ensure!(
                held.is_compatible(mode),
                LogicalExclusion,
                "owner {} of node {} gets {mode} while owner {} of node {} holds {held} on resource {}",
                ghost.owner.0,
                ghost.node,
                other.owner.0,
                other.node,
                ghost.resource
            );
        }
        let graves = self.graves.iter().filter(|grave| grave.resource == ghost.resource);
        for Grave { node, owner, held, .. } in graves {
            ensure!(
                held.is_compatible(mode),
                LogicalExclusion,
                "owner {} of node {} gets {mode} of resource {} before there is a view without node {node}, which crashed while owner {} held {held}",
                ghost.owner.0,
                ghost.node,
                ghost.resource,
                owner.0
            );
        }
        Ok(())
    }

    fn check_token(&mut self, at: usize, grant: &Grant) -> Result<(), Violation> {
        let ghost = &self.locks[at];
        if self.over[usize::from(ghost.node.0)] {
            return Ok(());
        }
        let grants = &mut self.grants[ghost.resource];
        for made in grants.iter().filter(|made| !made.mode.is_compatible(grant.mode)) {
            let is_own = made.node == ghost.node && made.lock == ghost.lock;
            let is_higher = if is_own { grant.token >= made.token } else { grant.token > made.token };
            ensure!(
                is_higher,
                Tokens,
                "{} on resource {} under {} after {} under {}",
                grant.mode,
                ghost.resource,
                grant.token,
                made.mode,
                made.token
            );
        }
        grants.push(Made { node: ghost.node, lock: ghost.lock, mode: grant.mode, token: grant.token });
        Ok(())
    }
}
