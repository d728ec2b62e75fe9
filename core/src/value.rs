//! Value blocks: a few bytes that live with a resource (VMS: lock value block, LVB).

use core::fmt;

use crate::id::Token;

/// Most bytes of a value block.
pub const VALUE_MAX: usize = 64;

/// Bytes of a value block, at most [`VALUE_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value {
    len: u8,
    bytes: [u8; VALUE_MAX],
}

impl Value {
    /// A block of no bytes.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; VALUE_MAX] };

    /// A block with these bytes.
    ///
    /// # Errors
    /// [`ValueTooLong`] if there are more than [`VALUE_MAX`].
    pub fn new(bytes: &[u8]) -> Result<Self, ValueTooLong> {
        let len = u8::try_from(bytes.len()).map_err(|_| ValueTooLong)?;
        let mut value = Self { len, bytes: [0; VALUE_MAX] };
        value.bytes.get_mut(..bytes.len()).ok_or(ValueTooLong)?.copy_from_slice(bytes);
        Ok(value)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for Value {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_bytes())
    }
}

/// A value block is at most [`VALUE_MAX`] bytes: keep more elsewhere. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value block holds at most {VALUE_MAX} bytes")]
pub struct ValueTooLong;

/// What is known of a resource's value block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ValueState {
    /// Nobody has written one since the resource came into being.
    #[default]
    Absent,
    /// The last written block.
    Valid(Value),
    /// The last writer ended without writing; these bytes are older (SS$_VALNOTVALID).
    Invalid(Value),
}

/// A value block with its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueCopy {
    /// Version of the block: the token of the owner that wrote it, with its local part.
    pub version: Token,
    /// The block.
    pub state: ValueState,
}

impl ValueCopy {
    /// No block was ever written.
    pub const ABSENT: Self = Self { version: Token::NONE, state: ValueState::Absent };
}

/// What an owner does to the value block when it releases or lowers its lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueWrite {
    /// Leaves it as it is.
    #[default]
    Keep,
    /// Replaces it. Has effect only from PW or EX.
    Set(Value),
    /// Marks it invalid (DLM_LKF_IVVALBLK). Has effect only from PW or EX.
    Invalidate,
}
