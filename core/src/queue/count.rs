//! Counts of locks that are as narrow as their level allows.

use core::fmt;

/// How many locks of one resource there are of a kind, in as few bytes as their level needs.
pub(crate) trait Count: Copy + Eq + Into<u16> + fmt::Debug {
    const ZERO: Self;
    const MAX: Self;

    /// One more; there are fewer than [`Count::MAX`].
    fn add(&mut self);
    /// One less; there is one.
    fn take(&mut self);
}

/// Implements [`Count`] for an integer.
macro_rules! count {
    ($($integer:ty),+) => {
        $(impl Count for $integer {
            const ZERO: Self = 0;
            const MAX: Self = <$integer>::MAX;

            fn add(&mut self) {
                *self += 1;
            }

            fn take(&mut self) {
                *self -= 1;
            }
        })+
    };
}

count!(u8, u16);
