//! Names of resources, and the hash that gives each one its slot.

use core::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::id::SpaceId;

/// Most bytes of a resource name.
pub const NAME_MAX: usize = 64;

/// Name of a resource: 1 to [`NAME_MAX`] bytes, any bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    len: u8,
    bytes: [u8; NAME_MAX],
}

impl Name {
    pub(crate) const VACANT: Self = Self { len: 0, bytes: [0; NAME_MAX] };

    /// A name with these bytes.
    ///
    /// # Errors
    /// [`NameError`] if there are none or more than [`NAME_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        let len = check_name(bytes)?;
        let mut name = Self { len, bytes: [0; NAME_MAX] };
        name.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(name)
    }

    /// A name of as many of these bytes, which are zero after that.
    pub(crate) fn padded<const N: usize>(len: u8, bytes: &[u8; N]) -> Self {
        let mut name = Self { len, bytes: [0; NAME_MAX] };
        name.bytes[..N].copy_from_slice(bytes);
        name
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// A name has 1 to [`NAME_MAX`] bytes: shorten it, or hash it. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a resource name has 1 to {NAME_MAX} bytes")]
pub struct NameError;

/// The length of a name that may be used.
pub(crate) fn check_name(name: &[u8]) -> Result<u8, NameError> {
    match u8::try_from(name.len()) {
        Ok(len) if (1..=NAME_MAX).contains(&name.len()) => Ok(len),
        Ok(_) | Err(_) => Err(NameError),
    }
}

/// Stable hash of a resource: XXH3-64 of the name, under the cluster's seed mixed with the space.
///
/// The same on every node and in every version: the slot, and with it the master, depends on it.
#[must_use]
pub fn hash(seed: u64, space: SpaceId, name: &[u8]) -> u64 {
    xxh3_64_with_seed(name, seed ^ (u64::from(space.0) << 48))
}
