//! One owner's lock, at its node.

use super::Resource;
use crate::event::{Denial, Path};
use crate::flags::Flags;
use crate::id::{LockId, OwnerId, Priority, Token};
use crate::mode::Mode;
use crate::queue::{Claim, Entry};
use crate::table::{Deadlines, Idx, Link};

/// One owner's lock, in one cache line. Opaque.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Lock {
    pub(crate) claim: Claim,
    pub(crate) resource: Option<Idx<Resource>>,
    pub(crate) generation: u32,
    pub(crate) owner: OwnerId,
    pub(crate) token: Token,
    pub(crate) priority: Priority,
    traits: Traits,
    pub(crate) news: News,
    /// Place in the heap of deadlines; 0 if nothing ends its patience.
    pub(crate) patience: u32,
    pub(crate) events: Link,
}
const _: () = assert!(size_of::<Lock>() == 64, "a lock takes one line");

/// What is to be told to a lock's owner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    pub(crate) end: Option<End>,
    pub(crate) demanded: Option<Mode>,
}

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A wait, by a grant.
    Granted,
    /// A wait, without one.
    Denied(Denial),
    /// The lock, which was lost with the node's membership.
    Lost,
}

/// What is so of a lock or not, and how far its last grant had to come, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traits(u8);

impl Traits {
    const NONE: Self = Self(0);
    const WATCHED: u8 = 1;
    const VALUE: u8 = 1 << 1;
    const SERVED: u8 = 1 << 2;
    const LOCAL: u8 = 1 << 3;
    const REMOTE: u8 = 1 << 4;
    const LENT: u8 = 1 << 5;

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    const fn set(&mut self, bit: u8, is_so: bool) {
        self.0 = if is_so { self.0 | bit } else { self.0 & !bit };
    }
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
        traits: Traits::NONE,
        news: News { end: None, demanded: None },
        patience: 0,
        events: Link::NONE,
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
        self.traits = Traits::NONE;
        self.news = News::default();
    }

    pub(crate) fn id(&self, at: Idx<Self>) -> LockId {
        LockId { at: at.to_u32(), generation: self.generation }
    }

    /// Is its owner told who waits for it?
    pub(crate) const fn is_watched(&self) -> bool {
        self.traits.has(Traits::WATCHED)
    }

    /// Says whether it was watched before.
    pub(crate) const fn watch(&mut self, is_watched: bool) -> bool {
        let was_watched = self.is_watched();
        self.traits.set(Traits::WATCHED, is_watched);
        was_watched
    }

    /// Does an adapter take it and give it back by itself? It is watched then.
    pub(crate) const fn is_lent(&self) -> bool {
        self.traits.has(Traits::LENT)
    }

    /// Says whether it was lent before.
    pub(crate) const fn lend(&mut self, is_lent: bool) -> bool {
        let was_lent = self.is_lent();
        self.traits.set(Traits::LENT, is_lent);
        was_lent
    }

    /// Was it asked for with the value block, so that there is room for a write?
    pub(crate) const fn has_value(&self) -> bool {
        self.traits.has(Traits::VALUE)
    }

    /// Has the master granted what this waiter asked for? Then its value block is fresh, and no demand holds it back.
    pub(crate) const fn is_served(&self) -> bool {
        self.traits.has(Traits::SERVED)
    }

    pub(crate) const fn serve(&mut self, is_served: bool) {
        self.traits.set(Traits::SERVED, is_served);
    }

    /// It is granted under this token, and waits no more to be served.
    pub(crate) fn take_grant(&mut self, token: Token, path: Path) {
        self.token = token;
        let kept = self.traits.0 & (Traits::WATCHED | Traits::VALUE);
        let value = if self.claim.flags.has(Flags::VALUE) { Traits::VALUE } else { 0 };
        let way = match path {
            Path::Retained => 0,
            Path::Local => Traits::LOCAL,
            Path::Remote => Traits::REMOTE,
        };
        self.traits = Traits(kept | value | way);
    }

    /// How far its last grant had to come.
    pub(crate) const fn path(&self) -> Path {
        match (self.traits.has(Traits::LOCAL), self.traits.has(Traits::REMOTE)) {
            (false, false) => Path::Retained,
            (true, _) => Path::Local,
            (false, true) => Path::Remote,
        }
    }
}

impl Deadlines for Lock {
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
