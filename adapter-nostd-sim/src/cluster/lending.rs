//! What an adapter does with locks that are lent to it: it takes them and gives them back by itself, and says so when they
//! are asked back, sooner or later.

use lockmaster_core::{Grant, LOAN, NodeId, Path, Storage, Token, UnknownLock, Use};

use super::Cluster;
use crate::ghost::{GhostLock, Standing};
use crate::report::{Violation, ensure};

/// In so many of a thousand steps a lock is lent, if there is one that can be.
const LENT: u32 = 800;
/// In so many one is taken back that nobody asked for, and in so many one that somebody did.
const TAKEN_BACK: [u32; 2] = [30, 400];

impl<S: Storage> Cluster<S> {
    /// Lends something, or takes it back.
    pub(super) fn lend_some(&mut self, node: NodeId) -> Result<(), Violation> {
        if !self.plan.is_lending {
            return Ok(());
        }
        if self.random.chance(LENT) {
            let is_held =
                |ghost: &GhostLock| matches!(ghost.standing, Standing::Held(_)) && !ghost.is_watched;
            self.with(node, is_held, Self::lend)?;
        }
        for (is_demanded, rate) in [false, true].into_iter().zip(TAKEN_BACK) {
            if self.random.chance(rate) {
                let is_it = |ghost: &GhostLock| ghost.is_lent && ghost.is_demanded == is_demanded;
                self.with(node, is_it, Self::take_lent)?;
            }
        }
        Ok(())
    }

    fn lend(&mut self, at: usize) -> Result<(), Violation> {
        let GhostLock { node, lock, owner, .. } = self.ghost.locks[at];
        let is_lent = self.member(node).node.lend(lock);
        self.trace.line(self.now, format_args!("node {node}: owner {} lends its lock: {is_lent}", owner.0));
        let ghost = &mut self.ghost.locks[at];
        if is_lent {
            ghost.is_lent = true;
            ghost.is_watched = true;
            ghost.is_demanded = false;
            self.report.lent += 1;
        }
        self.settle(node)
    }

    fn take_lent(&mut self, at: usize) -> Result<(), Violation> {
        let GhostLock { node, lock, standing, .. } = self.ghost.locks[at];
        let Standing::Held(mode) = standing else { return Ok(()) };
        let taken = u32::try_from(self.random.below(u64::from(LOAN) + 1)).expect("a loan is short");
        let used = if self.random.chance(500) { Use::Held(taken) } else { Use::Idle(taken) };
        let lent = self.member(node).node.token(lock);
        self.take_lent_back(at, used, lent)?;
        let last = lent.map(|lent| Token { local: lent.local + taken, ..lent });
        if let Ok(token) = last {
            let grant = Grant { mode, token, alternate: false, demoted: false, path: Path::Retained };
            self.ghost.taken(at, grant, taken)?;
        }
        match used {
            Use::Held(_) => self.take_lent_in_use(at, last)?,
            Use::Idle(_) => self.ghost.end(at),
        }
        self.settle(node)
    }

    /// Tells the node, which knows the lock unless its life is over.
    fn take_lent_back(
        &mut self,
        at: usize,
        used: Use,
        lent: Result<Token, UnknownLock>,
    ) -> Result<(), Violation> {
        let GhostLock { node, lock, owner, .. } = self.ghost.locks[at];
        let taken_back = self.member(node).node.take_back(lock, used);
        self.trace.line(
            self.now,
            format_args!("node {node}: what owner {} lent is taken back, {used:?}: {taken_back:?}", owner.0),
        );
        let is_over = self.ghost.over[usize::from(node.0)];
        ensure!(lent.is_ok() && taken_back.is_ok() || is_over, ExactlyOnce, "a lent lock is live: {lent:?}");
        Ok(())
    }

    /// Its owner goes on with it, under the token of the last use.
    fn take_lent_in_use(&mut self, at: usize, last: Result<Token, UnknownLock>) -> Result<(), Violation> {
        let GhostLock { node, lock, .. } = self.ghost.locks[at];
        let token = self.member(node).node.token(lock);
        ensure!(token == last, Tokens, "the last use had {last:?}, and the lock has {token:?}");
        let ghost = &mut self.ghost.locks[at];
        ghost.is_lent = false;
        ghost.is_watched = false;
        ghost.is_demanded = false;
        Ok(())
    }
}
