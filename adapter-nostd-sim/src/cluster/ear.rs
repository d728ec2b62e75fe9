//! How much of what a node has to say and to do is taken from it, one thing after the other, as an adapter with the
//! smallest of budgets takes it.

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::{Event, NodeId, Storage};

use super::Cluster;
use crate::report::{Violation, ensure};

/// Most turns of a node whose owners do not hear all.
const DEAF_TURNS: u64 = 8;

/// One output, and one record of long work.
const ONE: Budget = Budget { outputs: 1, records: 1 };

/// Do owners hear all that their node has to tell, and does it end its work?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ear {
    Open,
    /// Only so many turns are taken for now.
    Deaf {
        turns: u64,
    },
}

impl Ear {
    /// What a random number decides.
    pub(super) const fn deaf(number: u64) -> Self {
        Self::Deaf { turns: number % DEAF_TURNS }
    }

    pub(super) const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }

    pub(super) const fn turns(self) -> u64 {
        match self {
            Self::Open => u64::MAX,
            Self::Deaf { turns } => turns,
        }
    }
}

/// What one turn brings: one of the two at most.
#[derive(Default)]
struct Heard {
    event: Option<Event>,
    ready: Option<NodeId>,
}

impl Outlet for Heard {
    fn event(&mut self, event: Event) {
        self.event = Some(event);
    }

    fn ready(&mut self, peer: NodeId) {
        self.ready = Some(peer);
    }
}

impl<S: Storage> Cluster<S> {
    /// One turn; says whether more may follow.
    pub(super) fn take_turn(&mut self, node: NodeId) -> Result<bool, Violation> {
        let now = self.now_of(node);
        let mut heard = Heard::default();
        let wait = drive::run(now, &mut self.member(node).node, &mut heard, ONE);
        if let Some(event) = heard.event {
            self.tell(node, event)?;
        }
        if let Some(peer) = heard.ready {
            self.owe(node, peer)?;
        }
        Ok(wait.is_spent)
    }

    /// Something waits for a peer.
    pub(super) fn owe(&mut self, node: NodeId, peer: NodeId) -> Result<(), Violation> {
        let is_connected = self.member(node).connected[usize::from(peer.0)];
        ensure!(is_connected, NothingUnasked, "node {node} names node {peer}, which is gone");
        self.member(node).owed[usize::from(peer.0)] = true;
        Ok(())
    }
}
