//! One owner's lock, at its node.

use super::Resource;
use crate::event::{Denial, Path};
use crate::id::{LockId, OwnerId, Priority, Token};
use crate::mode::Mode;
use crate::queue::{Claim, Entry};
use crate::table::{Deadlines, Idx, Link};
use crate::time::Instant;

/// One owner's lock. Opaque.
// The order is kept: what changes where a retained lock is taken and given back comes first.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Lock {
    pub(crate) claim: Claim,
    pub(crate) resource: Option<Idx<Resource>>,
    pub(crate) generation: u32,
    pub(crate) owner: OwnerId,
    pub(crate) token: Token,
    pub(crate) priority: Priority,
    pub(crate) is_watched: bool,
    /// It was asked for with the value block, so that there is room for a write.
    pub(crate) has_value: bool,
    /// The master has granted what this waiter asked for: its value block is fresh, no demand holds it back.
    pub(crate) is_served: bool,
    pub(crate) path: Path,
    pub(crate) news: News,
    /// Place in the heap of deadlines; 0 if nothing ends its patience.
    pub(crate) patience: u32,
    pub(crate) events: Link,
    pub(crate) patience_at: Instant,
}

/// What is to be told to a lock's owner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    pub(crate) end: Option<Result<(), Denial>>,
    pub(crate) demanded: Option<Mode>,
    /// The lock was lost with the node's membership, and has ended.
    pub(crate) is_lost: bool,
}

impl Lock {
    /// A free record.
    pub const VACANT: Self = Self {
        claim: Claim::VACANT,
        resource: None,
        generation: 0,
        owner: OwnerId(0),
        token: Token::NONE,
        priority: Priority(0),
        is_watched: false,
        has_value: false,
        is_served: false,
        path: Path::Retained,
        news: News { end: None, demanded: None, is_lost: false },
        patience: 0,
        events: Link::NONE,
        patience_at: Instant::NEVER,
    };

    /// Makes a record that stands nowhere, of which nothing is to be told and whose patience has ended, a free one. Its
    /// handle is stale from now on.
    // Field by field: those for patience and events are as they should be already, and not touched.
    pub(crate) fn vacate(&mut self) {
        self.claim = Claim::VACANT;
        self.resource = None;
        self.generation = self.generation.wrapping_add(1);
        self.owner = OwnerId(0);
        self.token = Token::NONE;
        self.priority = Priority(0);
        self.is_watched = false;
        self.has_value = false;
        self.is_served = false;
        self.path = Path::Retained;
        self.news = News::default();
    }

    pub(crate) fn id(&self, at: Idx<Self>) -> LockId {
        LockId { at: at.to_u32(), generation: self.generation }
    }
}

impl Deadlines for Lock {
    fn deadline(&self) -> Instant {
        self.patience_at
    }

    fn place(&mut self) -> &mut u32 {
        &mut self.patience
    }
}

impl Entry for Lock {
    type Count = u16;
    const DEMOTES_HELD: bool = true;
    const HAS_SURPLUS: bool = false;

    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn claim_mut(&mut self) -> &mut Claim {
        &mut self.claim
    }
}
