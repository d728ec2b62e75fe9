//! What somebody who watches a run is shown: the same as the lines of a trace, as values.

use core::fmt;
use core::time::Duration;

use lockmaster_core::{Denial, Instant, Mode, NodeId, OwnerId, Progress, SlotRange, Token, TransferId};

use crate::fault::FaultKind;

/// Is shown everything that happens, with the true time at which it does.
pub type Watch = fn(Instant, &Sight<'_>);

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Sight<'a> {
    /// The run begins, with so many nodes.
    Begins {
        /// How many.
        nodes: usize,
    },
    /// What comes now is another phase of the run.
    Phase(&'static str),
    /// A frame is on its way.
    Departs {
        /// Number of the departure; a copy of a frame has its own.
        number: u64,
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
        /// What is in it.
        frame: &'a [u8],
        /// The fault by which it was sent once more, if it was.
        again: Option<FaultKind>,
    },
    /// A frame has come to its receiver.
    Arrives {
        /// Number of its departure.
        number: u64,
    },
    /// A frame will never arrive.
    Lost {
        /// Sender.
        from: NodeId,
        /// Receiver.
        to: NodeId,
        /// What was in it.
        frame: &'a [u8],
        /// Why.
        by: FaultKind,
    },
    /// Something is wrong with a node, or with what it sends to another one, for a while.
    Spell {
        /// What is wrong.
        kind: FaultKind,
        /// The node.
        node: NodeId,
        /// The other one, if it is about what goes there.
        to: Option<NodeId>,
        /// Until when.
        until: Instant,
    },
    /// A connection was made, or lost.
    Connection {
        /// The node that learns it.
        node: NodeId,
        /// The node at the other end.
        peer: NodeId,
        /// It was made.
        is_made: bool,
    },
    /// A timer fired.
    Timeout {
        /// Whose.
        node: NodeId,
    },
    /// A clock leapt ahead.
    Leap {
        /// Whose.
        node: NodeId,
        /// How far.
        by: Duration,
    },
    /// Something happened to an owner's lock.
    Lock {
        /// Its node.
        node: NodeId,
        /// Its owner.
        owner: OwnerId,
        /// Place of the resource in the run.
        resource: usize,
        /// What.
        what: LockSight,
    },
    /// A transfer was asked for.
    TransferAsked {
        /// The old master.
        from: NodeId,
        /// The new one.
        to: NodeId,
        /// Which slots.
        range: SlotRange,
        /// Its handle at the old master.
        id: TransferId,
    },
    /// An old master tells how far a transfer has come.
    TransferTold {
        /// The old master.
        from: NodeId,
        /// What it tells.
        progress: &'a Progress,
    },
}

/// What happens to an owner's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockSight {
    /// It was asked for.
    Asked(Mode),
    /// A conversion was asked for.
    Converts(Mode),
    /// It was granted.
    Granted(Mode, Token),
    /// It was not granted.
    Denied(Denial),
    /// Somebody waits for this mode.
    Demanded(Mode),
    /// It was released.
    Released,
    /// It was cancelled, or abandoned.
    GivenUp,
}

impl fmt::Display for LockSight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(mode) => write!(f, "asks for {mode}"),
            Self::Converts(mode) => write!(f, "converts to {mode}"),
            Self::Granted(mode, token) => write!(f, "is granted {mode} under {token}"),
            Self::Denied(reason) => write!(f, "is denied: {reason:?}"),
            Self::Demanded(mode) => write!(f, "is told that somebody waits for {mode}"),
            Self::Released => f.write_str("releases"),
            Self::GivenUp => f.write_str("gives up"),
        }
    }
}

/// Whoever watches, or nobody: then no sight is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watcher(pub(crate) Option<Watch>);

impl Watcher {
    pub(crate) const fn is_there(self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn see<'a>(self, now: Instant, sight: impl FnOnce() -> Sight<'a>) {
        if let Some(watch) = self.0 {
            watch(now, &sight());
        }
    }
}
