//! The six lock modes and what they mean for each other.
//!
//! Terms and tables are those of the VAX/VMS distributed lock manager, kept by Linux dlm.

use core::fmt;

/// Mode of a lock (VMS: LCK$K_NLMODE … LCK$K_EXMODE).
///
/// The order of the variants is that of the numbers used on the wire. It is not the order of strength:
/// CW and PR are not comparable, see [`Mode::covers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mode {
    /// NL: interest in the resource, no access. Keeps the value block alive.
    Null = 0,
    /// CR: unprotected reading beside writers.
    ConcurrentRead = 1,
    /// CW: unprotected writing beside other writers.
    ConcurrentWrite = 2,
    /// PR: reading that excludes writers; the usual share lock.
    ProtectedRead = 3,
    /// PW: writing that excludes other writers; the usual update lock.
    ProtectedWrite = 4,
    /// EX: exclusive access.
    Exclusive = 5,
}

use Mode::{ConcurrentRead, ConcurrentWrite, Exclusive, Null, ProtectedRead, ProtectedWrite};

/// What happens to the value block when a lock goes from one mode to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueTransfer {
    /// The resource's block is given to the owner.
    Read,
    /// The owner's block, if it gives one, becomes the resource's.
    Write,
    /// Neither.
    Keep,
}

impl Mode {
    /// All modes, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Null, ConcurrentRead, ConcurrentWrite, ProtectedRead, ProtectedWrite, Exclusive];

    /// Bit `m` is set in row `n` if a lock of mode `m` may be granted beside one held at mode `n`.
    const COMPATIBLE: [u8; 6] = [0b11_1111, 0b01_1111, 0b00_0111, 0b00_1011, 0b00_0011, 0b00_0001];

    /// Bit `m` is set in row `n` if a lock of mode `n` includes the rights of mode `m`.
    const COVERED: [u8; 6] = [0b00_0001, 0b00_0011, 0b00_0111, 0b00_1011, 0b01_1111, 0b11_1111];

    /// May two owners hold these modes at the same time? Symmetric.
    #[must_use]
    pub const fn is_compatible(self, other: Self) -> bool {
        Self::COMPATIBLE[self as usize] >> other as u8 & 1 == 1
    }

    /// Does this mode include all rights of `other`? A partial order: neither of CW and PR covers the other.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        Self::COVERED[self as usize] >> other as u8 & 1 == 1
    }

    /// The weakest mode that covers both; PW for CW and PR.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        match (self.covers(other), other.covers(self)) {
            (true, _) => self,
            (_, true) => other,
            (false, false) => ProtectedWrite,
        }
    }

    /// The strongest mode that both cover; CR for CW and PR.
    #[must_use]
    pub const fn meet(self, other: Self) -> Self {
        match (self.covers(other), other.covers(self)) {
            (true, _) => other,
            (_, true) => self,
            (false, false) => ConcurrentRead,
        }
    }

    /// The strongest mode that another owner may keep while this one is granted.
    ///
    /// EX leaves NL, PW leaves CR, PR and CW leave themselves, CR leaves PW, NL leaves EX.
    #[must_use]
    pub const fn leaves(self) -> Self {
        match self {
            Null => Exclusive,
            ConcurrentRead => ProtectedWrite,
            ConcurrentWrite => ConcurrentWrite,
            ProtectedRead => ProtectedRead,
            ProtectedWrite => ConcurrentRead,
            Exclusive => Null,
        }
    }

    /// May the owner of a lock in this mode change the value block when it releases or lowers it?
    #[must_use]
    pub const fn may_write_value(self) -> bool {
        matches!(self, ProtectedWrite | Exclusive)
    }

    /// Can nobody else change the value block while a lock is held in this mode?
    #[must_use]
    pub const fn keeps_value_current(self) -> bool {
        self as u8 >= ConcurrentWrite as u8
    }

    /// Value block rule for a new lock or a conversion from this mode to `to`.
    #[must_use]
    pub fn value_transfer(from: Option<Self>, to: Self) -> ValueTransfer {
        let Some(from) = from else { return ValueTransfer::Read };
        match from {
            Exclusive => ValueTransfer::Write,
            ProtectedWrite if to != Exclusive => ValueTransfer::Write,
            Null | ConcurrentRead | ConcurrentWrite | ProtectedRead | ProtectedWrite if to >= from => {
                ValueTransfer::Read
            }
            Null | ConcurrentRead | ConcurrentWrite | ProtectedRead | ProtectedWrite => ValueTransfer::Keep,
        }
    }

    /// May a conversion from this mode to `to` ask for queue-convert? Only upgrades and CW ↔ PR.
    #[must_use]
    pub fn allows_queue_convert(self, to: Self) -> bool {
        self != to && (to > self || (self == ProtectedRead && to == ConcurrentWrite)) && to != Null
    }

    /// The mode with this number, if there is one.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        if number < 6 { Some(Self::ALL[number as usize]) } else { None }
    }

    /// The two letters of VMS: NL, CR, CW, PR, PW, EX.
    #[must_use]
    pub const fn letters(self) -> &'static str {
        match self {
            Null => "NL",
            ConcurrentRead => "CR",
            ConcurrentWrite => "CW",
            ProtectedRead => "PR",
            ProtectedWrite => "PW",
            Exclusive => "EX",
        }
    }

    /// The mode with these letters, if there is one.
    #[must_use]
    pub fn from_letters(letters: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.letters() == letters)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letters())
    }
}

#[cfg(test)]
mod tests;
