//! Names of the things a cluster is made of: small, ordered, copied freely.

use core::fmt;
use core::str::FromStr;

/// Most members a cluster can have.
pub const MEMBERS_MAX: usize = 64;

/// Most spaces a cluster can have.
pub const SPACES_MAX: usize = 16;

/// A member of the cluster, as its operator numbered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// Number of no member: it stands for one that has left, or for none. No node can have it.
    pub const GONE: Self = Self(u16::MAX);
}

/// One life of a node: a restarted node is a new incarnation and inherits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// Which cluster a frame belongs to; nodes of other clusters are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// Number of a view. Views are ordered, and so is everything that carries one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// A space by its place in the configuration (Linux dlm: lockspace).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpaceId(pub u16);

/// A range of hash values: the unit of mastery (seed patent on re-distributing lock management, claim 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

/// Slots that follow each other: what a transfer moves (seed patent on re-distributing lock management, claim 1:
/// hash value range). Slots of all spaces are numbered through, space by space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRange {
    /// The first.
    pub first: SlotId,
    /// How many.
    pub len: u32,
}

impl SlotRange {
    /// One slot.
    #[must_use]
    pub const fn one(slot: SlotId) -> Self {
        Self { first: slot, len: 1 }
    }

    /// The slots, in order.
    pub fn slots(self) -> impl Iterator<Item = SlotId> {
        (0..self.len).map(move |at| SlotId(self.first.0 + at))
    }

    /// The slot after the last, as a number that cannot overflow.
    pub(crate) const fn end(self) -> u64 {
        self.first.0 as u64 + self.len as u64
    }

    /// Is the slot one of them?
    #[must_use]
    pub const fn contains(self, slot: SlotId) -> bool {
        slot.0 >= self.first.0 && (slot.0 as u64) < self.end()
    }
}

/// Who holds a logical lock: a task, session or transaction, numbered by the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(pub u64);

/// How urgent a request is; higher is more urgent. Carried for policies, never stronger than compatibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

/// Number of a position: one counter per incarnation, 0 before the first.
///
/// A position is what a node holds, pins and wants on a resource; each change takes a fresh number, a
/// repeat keeps its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u64);

/// Names one demand of a master to one holder; echoed by the holder, never ordered by it. 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DemandId(pub u32);

/// Place of a request in the order of arrival at its slot's master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueTicket {
    /// View in which the request arrived.
    pub epoch: Epoch,
    /// Arrivals at the slot before and including this one.
    pub count: u64,
}

/// Version of a slot's entry in the master map; the higher wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapVersion {
    /// View in which the entry was made.
    pub epoch: Epoch,
    /// Counts entries made in one view.
    pub count: u64,
}

/// Fencing token: higher than that of every earlier grant that is incompatible with it.
///
/// Send it with each write to a storage that keeps the highest token of a PW or EX lock it has seen and
/// refuses lower ones; then a holder that was paused past the end of its lock cannot do harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// View in which the physical grant was made.
    pub epoch: Epoch,
    /// Grants of the slot until and including the physical grant.
    pub grant: u64,
    /// Orders the owners that one node served under one physical grant.
    pub local: u32,
}

impl Token {
    /// Token of no grant; lower than every other.
    pub const NONE: Self = Self { epoch: Epoch(0), grant: 0, local: 0 };

    /// The same physical grant, without its owner's place.
    #[must_use]
    pub const fn physical(self) -> Self {
        Self { epoch: self.epoch, grant: self.grant, local: 0 }
    }

    /// 16 bytes that compare as the token does: epoch (4), grant (8), local (4), each big-endian.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.grant.to_be_bytes());
        bytes[12..].copy_from_slice(&self.local.to_be_bytes());
        bytes
    }

    /// Inverse of [`Token::to_be_bytes`].
    #[must_use]
    pub fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self {
            epoch: Epoch(u32::from_be_bytes([a, b, c, d])),
            grant: u64::from_be_bytes([e, f, g, h, i, j, k, l]),
            local: u32::from_be_bytes([m, n, o, p]),
        }
    }
}

impl fmt::Display for Token {
    /// 32 hexadecimal digits, in the order of the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}{:08x}", self.epoch.0, self.grant, self.local)
    }
}

/// A text is no token: it must have 32 hexadecimal digits and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 hexadecimal digits")]
pub struct ParseTokenError;

impl FromStr for Token {
    type Err = ParseTokenError;

    /// Reads what [`Display`](fmt::Display) writes, in digits of either case.
    ///
    /// ```
    /// use lockmaster_core::Token;
    ///
    /// let token: Token = "0000000700000000000000c100000002".parse()?;
    /// assert_eq!(token.to_string(), "0000000700000000000000c100000002");
    /// assert!("c1".parse::<Token>().is_err());
    /// # Ok::<(), lockmaster_core::ParseTokenError>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self::from_be_bytes(number.to_be_bytes())).ok_or(ParseTokenError)
    }
}

impl fmt::Display for SlotRange {
    /// The first and the last slot, like `16..=31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first.0, self.end().saturating_sub(1))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Handle of a logical lock. A handle that outlived its lock is recognised, never mistaken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockId {
    pub(crate) at: u32,
    pub(crate) generation: u32,
}

impl LockId {
    /// The handle as one word, to key an application's own table.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.at as u64
    }

    /// The handle that this word was.
    #[must_use]
    pub const fn from_u64(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        Self { at: u32::from_le_bytes([a, b, c, d]), generation: u32::from_le_bytes([e, f, g, h]) }
    }

    /// Place of the lock in its table: dense, below the table's capacity, used again after the lock's end.
    #[must_use]
    pub const fn place(self) -> u32 {
        self.at
    }
}
