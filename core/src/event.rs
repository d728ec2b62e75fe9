//! What the node tells the application, and what the application asks.

use core::time::Duration;

use crate::flags::Flags;
use crate::id::{LockId, OwnerId, Priority, SpaceId, Token};
use crate::mode::Mode;
use crate::transfer::Progress;

/// A request for a new logical lock.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Space of the resource.
    pub space: SpaceId,
    /// Name of the resource in its space, 1 to 64 bytes.
    pub name: &'a [u8],
    /// Who asks; given back with every event of the lock.
    pub owner: OwnerId,
    /// Mode asked for.
    pub mode: Mode,
    /// How it is asked for.
    pub flags: Flags,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it may wait; for ever if absent.
    pub patience: Option<Duration>,
}

/// How a conversion is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conversion {
    /// Flags of the conversion.
    pub flags: Flags,
    /// How long it may wait; for ever if absent.
    pub patience: Option<Duration>,
}

/// A request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Asked {
    /// Handle of the lock, from now until its end.
    pub lock: LockId,
    /// The grant, if it could be made at once; otherwise an [`Event`] will follow.
    pub grant: Option<Grant>,
}

/// A grant of a request or conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Mode now held.
    pub mode: Mode,
    /// Fencing token of this grant.
    pub token: Token,
    /// The alternate mode was granted instead of the mode asked for (DLM_SBF_ALTMODE).
    pub alternate: bool,
    /// The lock was demoted to NL on the way, to end a conversion deadlock (DLM_SBF_DEMOTED).
    pub demoted: bool,
    /// How far the grant had to come.
    pub path: Path,
}

/// How far a grant had to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// This node held the resource strongly enough: nothing was asked of its master.
    #[default]
    Retained,
    /// This node is the master.
    Local,
    /// Another node is the master.
    Remote,
}

/// Something that happened to a logical lock or a transfer after the call that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request or conversion was granted.
    Granted {
        /// The lock.
        lock: LockId,
        /// Its owner.
        owner: OwnerId,
        /// What was granted.
        grant: Grant,
    },
    /// A request or conversion ended without a grant. A denied request is gone; a denied conversion keeps
    /// the mode it had.
    Denied {
        /// The lock.
        lock: LockId,
        /// Its owner.
        owner: OwnerId,
        /// Why.
        reason: Denial,
        /// Mode still held; absent if the lock has ended.
        held: Option<Mode>,
    },
    /// Somebody waits for a mode that this lock is in the way of (VMS: blocking AST). Told to watched locks.
    Demanded {
        /// The lock.
        lock: LockId,
        /// Its owner.
        owner: OwnerId,
        /// The mode that is waited for.
        mode: Mode,
    },
    /// The lock is lost, because the node is no member of the cluster any more: whatever it protects must stop. The lock
    /// has ended; it is told once, also to who does not watch, and after the lock's grant.
    Lost {
        /// The lock.
        lock: LockId,
        /// Its owner.
        owner: OwnerId,
    },
    /// A transfer that this node gives away has come further, or has ended. News that were not polled in time are
    /// told together, but an end is always told.
    Transfer(Progress),
}

/// Why a request or conversion ended without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// It could not be granted at once and was asked not to wait (SS$_NOTQUEUED).
    Busy,
    /// Two conversions waited for each other (SS$_DEADLOCK).
    Deadlock,
    /// Its patience ended (-ETIMEDOUT).
    TimedOut,
    /// The master's tables are full: try again later.
    Full,
}

/// What a cancel found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// A request that waited: the lock has ended.
    Request,
    /// A conversion that waited: the lock keeps its mode.
    Conversion,
    /// Nothing waited: the lock is granted, and the event that says so may still have to be polled.
    Nothing,
}
