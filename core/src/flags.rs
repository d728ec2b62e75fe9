//! Flags of a request or conversion, after VMS `$ENQ` and Linux dlm.

use core::ops::BitOr;

use crate::mode::Mode;

/// Flags of one request or conversion; combine them with `|`.
///
/// Which combinations make sense is checked by [`Flags::check_request`] and [`Flags::check_convert`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Refuse with busy instead of waiting (LCK$M_NOQUEUE).
    pub const NO_QUEUE: Self = Self(1);
    /// With [`Flags::NO_QUEUE`]: the holders in the way learn that somebody asked (DLM_LKF_NOQUEUEBAST).
    pub const NO_QUEUE_DEMAND: Self = Self(1 << 1);
    /// Conversion: stand behind conversions that already wait (LCK$M_QUECVT).
    pub const QUEUE_CONVERT: Self = Self(1 << 2);
    /// New NL lock: granted at once, whoever waits (DLM_LKF_EXPEDITE).
    pub const EXPEDITE: Self = Self(1 << 3);
    /// Granted as soon as it is compatible, from any place of a queue (DLM_LKF_NOORDER).
    ///
    /// Looked for among the first [`SCAN_MAX`](crate::SCAN_MAX) places of a queue.
    pub const NO_ORDER: Self = Self(1 << 4);
    /// Stand at the head of the queue (DLM_LKF_HEADQUE).
    pub const HEAD_OF_QUEUE: Self = Self(1 << 5);
    /// If the mode cannot be granted and PR can, take PR (DLM_LKF_ALTPR).
    pub const ALTERNATE_PR: Self = Self(1 << 6);
    /// If the mode cannot be granted and CW can, take CW (DLM_LKF_ALTCW).
    pub const ALTERNATE_CW: Self = Self(1 << 7);
    /// Conversion: in a conversion deadlock, demote this lock to NL and go on waiting (DLM_LKF_CONVDEADLK).
    pub const DEMOTE_ON_DEADLOCK: Self = Self(1 << 8);
    /// Conversion: in a conversion deadlock, wait all the same (LCK$M_NODLCKWT).
    pub const NO_DEADLOCK_WAIT: Self = Self(1 << 9);
    /// The owner reads or writes the value block (LCK$M_VALBLK).
    pub const VALUE: Self = Self(1 << 10);

    const KNOWN: u16 = (1 << 11) - 1;

    /// All bits, for the wire.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Flags from the wire; bits that this version does not know are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::KNOWN)
    }

    /// Are all flags of `other` set?
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The mode that these flags accept instead of `wanted`.
    pub(crate) fn alternate(self, wanted: Mode) -> Option<Mode> {
        let pr = self.has(Self::ALTERNATE_PR) && wanted != Mode::ProtectedRead;
        let cw = self.has(Self::ALTERNATE_CW) && wanted != Mode::ConcurrentWrite;
        match (pr, cw) {
            (true, _) => Some(Mode::ProtectedRead),
            (false, true) => Some(Mode::ConcurrentWrite),
            (false, false) => None,
        }
    }

    /// Do these flags make sense on a new request for `mode`?
    ///
    /// # Errors
    /// [`FlagsError`] names the flags that do not go together.
    pub fn check_request(self, mode: Mode) -> Result<(), FlagsError> {
        if self.has(Self::QUEUE_CONVERT) || self.has(Self::DEMOTE_ON_DEADLOCK) {
            return Err(FlagsError::ConversionOnly);
        }
        if self.has(Self::EXPEDITE) && (mode != Mode::Null || self.has(Self::NO_QUEUE)) {
            return Err(FlagsError::Expedite);
        }
        self.check_either()
    }

    /// Do these flags make sense on a conversion from `held` to `mode`?
    ///
    /// # Errors
    /// [`FlagsError`] names the flags that do not go together.
    pub fn check_convert(self, held: Mode, mode: Mode) -> Result<(), FlagsError> {
        if self.has(Self::EXPEDITE) {
            return Err(FlagsError::Expedite);
        }
        if self.has(Self::QUEUE_CONVERT) && !held.allows_queue_convert(mode) {
            return Err(FlagsError::QueueConvert);
        }
        if self.has(Self::DEMOTE_ON_DEADLOCK | Self::NO_QUEUE) {
            return Err(FlagsError::DemoteWithNoQueue);
        }
        self.check_either()
    }

    fn check_either(self) -> Result<(), FlagsError> {
        if self.has(Self::NO_QUEUE_DEMAND) && !self.has(Self::NO_QUEUE) {
            return Err(FlagsError::DemandWithoutNoQueue);
        }
        if self.has(Self::ALTERNATE_PR | Self::ALTERNATE_CW) {
            return Err(FlagsError::TwoAlternates);
        }
        Ok(())
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Flags that do not go together. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// Queue-convert and demote-on-deadlock are for conversions: leave them out of a new request.
    #[error("queue-convert and demote-on-deadlock are for conversions only")]
    ConversionOnly,
    /// Expedite is for new NL requests without no-queue: leave it out.
    #[error("expedite is for new NL requests without no-queue only")]
    Expedite,
    /// Queue-convert is for upgrades and CW ↔ PR: leave it out, the conversion needs no queue.
    #[error("queue-convert is for upgrades and for conversions between CW and PR only")]
    QueueConvert,
    /// Demote-on-deadlock waits and no-queue does not: choose one.
    #[error("demote-on-deadlock and no-queue exclude each other")]
    DemoteWithNoQueue,
    /// No-queue-with-demand needs no-queue: add it.
    #[error("no-queue-with-demand needs no-queue")]
    DemandWithoutNoQueue,
    /// Only one alternate mode can be named: choose PR or CW.
    #[error("alternate PR and alternate CW exclude each other")]
    TwoAlternates,
}

#[cfg(test)]
mod tests;
