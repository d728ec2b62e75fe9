//! What owners of the honest nodes were told, and what may be true of it.

use lockmaster_core::{
    Denial, Event, Flags, Grant, LockId, Mode, NodeId, OwnerId, Progress, Token, TransferId,
};

/// All that owners know.
pub(super) struct Ghost {
    pub(super) locks: Vec<GhostLock>,
    pub(super) transfers: Vec<(NodeId, TransferId)>,
    /// For each honest name and mode the highest token under which it was granted.
    tokens: Vec<[Token; 6]>,
    last_owner: u64,
    /// How many of the names are used by honest owners only.
    honest: usize,
    /// Transfers that the node has begun by itself and not told of yet.
    pub(super) unmet: usize,
    /// Views may take locks away.
    may_lose: bool,
}

/// A logical lock as its owner knows it.
#[derive(Clone, Debug)]
pub(super) struct GhostLock {
    pub(super) node: NodeId,
    pub(super) lock: LockId,
    pub(super) owner: OwnerId,
    /// Place of its name.
    pub(super) name: usize,
    pub(super) held: Option<Mode>,
    pub(super) wanted: Option<Mode>,
    pub(super) flags: Flags,
    pub(super) is_watched: bool,
}

impl GhostLock {
    /// A lock that was just asked for.
    pub(super) const fn new(
        node: NodeId,
        lock: LockId,
        owner: OwnerId,
        name: usize,
        wanted: Mode,
        flags: Flags,
    ) -> Self {
        Self { node, lock, owner, name, held: None, wanted: Some(wanted), flags, is_watched: false }
    }

    /// What others must be compatible with. A conversion that may be demoted has perhaps been.
    fn holds(&self) -> Option<Mode> {
        let is_demoted = self.wanted.is_some() && self.flags.has(Flags::DEMOTE_ON_DEADLOCK);
        if is_demoted { self.held.map(|_| Mode::Null) } else { self.held }
    }

    fn accepts(&self, grant: &Grant) -> bool {
        let alternate = |flag, mode| self.flags.has(flag) && grant.mode == mode;
        if grant.alternate {
            return alternate(Flags::ALTERNATE_PR, Mode::ProtectedRead)
                || alternate(Flags::ALTERNATE_CW, Mode::ConcurrentWrite);
        }
        self.wanted == Some(grant.mode)
    }

    /// Are both of owners who must not hold incompatible modes? Of a name that liars use, every node has its own truth.
    fn concerns(&self, other: &Self, honest: usize) -> bool {
        self.name == other.name
            && (self.name < honest || self.node == other.node)
            && self.owner != other.owner
    }
}

impl Ghost {
    pub(super) const fn new(honest: usize) -> Self {
        Self {
            locks: Vec::new(),
            transfers: Vec::new(),
            tokens: Vec::new(),
            last_owner: 0,
            honest,
            unmet: 0,
            may_lose: false,
        }
    }

    /// No name is safe, and no lock either.
    pub(super) fn of_views() -> Self {
        Self { may_lose: true, ..Self::new(0) }
    }

    pub(super) fn next_owner(&mut self) -> OwnerId {
        self.last_owner += 1;
        OwnerId(self.last_owner)
    }

    /// Place of a lock.
    pub(super) fn at(&self, node: NodeId, lock: LockId) -> Option<usize> {
        self.locks.iter().position(|ghost| ghost.node == node && ghost.lock == lock)
    }

    pub(super) fn pending(&self, node: NodeId) -> u64 {
        self.locks.iter().filter(|ghost| ghost.node == node && ghost.wanted.is_some()).count() as u64
    }

    pub(super) const fn is_honest(&self, name: usize) -> bool {
        name < self.honest
    }

    /// What is held and wanted of honest names.
    pub(super) fn honest(&self) -> Vec<(NodeId, LockId, Option<Mode>, Option<Mode>)> {
        let honest = self.locks.iter().filter(|lock| lock.name < self.honest);
        honest.map(|lock| (lock.node, lock.lock, lock.held, lock.wanted)).collect()
    }

    /// A new lock that waits.
    pub(super) fn asked(&mut self, lock: GhostLock) {
        let known = self.at(lock.node, lock.lock);
        assert!(known.is_none(), "a handle is given once: {lock:?}");
        self.locks.push(lock);
    }

    pub(super) fn granted(&mut self, node: NodeId, lock: LockId, grant: &Grant) {
        let at = self.at(node, lock).expect("a grant is for a live lock");
        let ghost = &mut self.locks[at];
        assert!(ghost.accepts(grant), "{grant:?} for {ghost:?}");
        (ghost.held, ghost.wanted) = (Some(grant.mode), None);
        let ghost = &self.locks[at];
        for other in self.locks.iter().filter(|other| ghost.concerns(other, self.honest)) {
            let is_compatible = other.holds().is_none_or(|held| held.is_compatible(grant.mode));
            assert!(is_compatible, "{ghost:?} was granted beside {other:?}");
        }
        if ghost.name < self.honest {
            self.check_token(ghost.name, grant);
        }
    }

    fn check_token(&mut self, name: usize, grant: &Grant) {
        self.tokens.resize(self.honest, [Token::NONE; 6]);
        let tokens = &mut self.tokens[name];
        for mode in Mode::ALL.into_iter().filter(|mode| !mode.is_compatible(grant.mode)) {
            let earlier = tokens[mode as usize];
            assert!(grant.token > earlier, "M3: {grant:?} after {earlier} for {mode}");
        }
        let highest = &mut tokens[grant.mode as usize];
        *highest = grant.token.max(*highest);
    }

    pub(super) fn told(&mut self, node: NodeId, event: Event) {
        match event {
            Event::Granted { lock, owner, grant } => {
                self.check_owner(node, lock, owner);
                self.granted(node, lock, &grant);
            }
            Event::Denied { lock, owner, reason, held } => {
                let at = self.check_owner(node, lock, owner);
                self.denied(at, reason, held);
            }
            Event::Lost { lock, owner } => {
                let at = self.check_owner(node, lock, owner);
                self.lose(at);
            }
            Event::Demanded { lock, owner, .. } => {
                let at = self.check_owner(node, lock, owner);
                assert!(self.locks[at].is_watched, "who did not ask is told of a demand");
            }
            Event::Transfer(Progress { transfer, stage, .. }) => {
                let known = self.transfers.iter().position(|one| *one == (node, transfer));
                let known = known.unwrap_or_else(|| self.meet_transfer(node, transfer));
                if stage.is_end() {
                    self.transfers.remove(known);
                }
            }
        }
    }

    /// A transfer that the node has begun by itself.
    fn meet_transfer(&mut self, node: NodeId, transfer: TransferId) -> usize {
        let left = self.unmet.checked_sub(1);
        self.unmet = left.expect("news are of a transfer that has not ended");
        self.transfers.push((node, transfer));
        self.transfers.len() - 1
    }

    fn check_owner(&self, node: NodeId, lock: LockId, owner: OwnerId) -> usize {
        let at = self.at(node, lock).expect("an event is about a live lock");
        assert_eq!(self.locks[at].owner, owner);
        at
    }

    fn lose(&mut self, at: usize) {
        let ghost = self.locks.remove(at);
        assert!(self.may_lose && ghost.held.is_some(), "nothing takes this away: {ghost:?}");
    }

    fn denied(&mut self, at: usize, reason: Denial, held: Option<Mode>) {
        let ghost = &mut self.locks[at];
        assert!(ghost.wanted.is_some(), "{reason:?} for one who does not wait: {ghost:?}");
        let is_demoted = ghost.flags.has(Flags::DEMOTE_ON_DEADLOCK) && held == Some(Mode::Null);
        assert!(held == ghost.held || is_demoted, "{held:?} is kept of {ghost:?}");
        (ghost.held, ghost.wanted) = (held, None);
        if held.is_none() {
            self.locks.remove(at);
        }
    }
}
