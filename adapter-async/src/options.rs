//! How a lock is asked for.

use core::time::Duration;

use lockmaster_core::{Flags, Mode, OwnerId, Priority, SpaceId};

/// How a lock is asked for; the default is EX in the first space, waiting for ever.
///
/// ```
/// # use core::time::Duration;
/// # use lockmaster_async::{LockOptions, Mode};
/// let options = LockOptions::new(Mode::ProtectedRead).timeout(Duration::from_secs(1)).value(true);
/// # assert_eq!(options.mode, Mode::ProtectedRead);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct LockOptions {
    /// Mode asked for.
    pub mode: Mode,
    /// Space of the resource: its place among the spaces that the builder was given.
    pub space: SpaceId,
    /// How it is asked for.
    pub flags: Flags,
    /// How long it may wait; for ever if absent.
    pub timeout: Option<Duration>,
    /// How urgent it is; higher is more urgent.
    pub priority: Priority,
    /// Who asks; each lock has an owner of its own if absent.
    pub owner: Option<OwnerId>,
    /// Is the value block wanted with the grant (LCK$M_VALBLK)? At NL and CR this may cost a message.
    pub value: bool,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Exclusive,
            space: SpaceId(0),
            flags: Flags::NONE,
            timeout: None,
            priority: Priority(0),
            owner: None,
            value: false,
        }
    }
}

impl LockOptions {
    /// The default, in this mode.
    pub fn new(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// Is it asked for as most locks are, so that one that is lent is as good? How it would wait does not matter, for that
    /// is there at once.
    pub(crate) fn is_plain(&self) -> bool {
        let is_nobodys = self.owner.is_none() && self.priority == Priority(0);
        is_nobodys && !self.value && self.flags.without(Flags::NO_QUEUE) == Flags::NONE
    }

    /// In this space.
    pub const fn space(mut self, space: SpaceId) -> Self {
        self.space = space;
        self
    }

    /// With these flags instead of those named before.
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// Wait at most this long, then fail with [`LockError::TimedOut`](crate::LockError::TimedOut).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// This urgent.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// For this owner.
    pub const fn owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// With or without the value block.
    pub const fn value(mut self, value: bool) -> Self {
        self.value = value;
        self
    }

    pub(crate) fn all_flags(&self) -> Flags {
        if self.value { self.flags | Flags::VALUE } else { self.flags }
    }

    pub(crate) fn wants_value(&self) -> bool {
        self.value || self.flags.has(Flags::VALUE)
    }
}
