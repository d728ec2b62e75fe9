//! A bug that is there on purpose, so that it can be seen that bugs are found.

use lockmaster_core::Mode;
use lockmaster_core::wire::{Body, Message, decode_message};

/// Reads the bytes as one message, and panics at one that only who learns from the decoder's branches comes to: a
/// grant of EX with a valid, empty value block, of which both halves of the number agree with a pattern.
///
/// # Panics
/// On purpose.
pub fn canary(data: &[u8]) {
    let Ok((Some(Message::Lock(message)), _)) = decode_message(data) else { return };
    let Body::Grant(grant) = message.body else { return };
    let is_granted = grant.mode == Mode::Exclusive && grant.demand.is_some();
    let [low, high, ..] = grant.number.0.to_le_bytes();
    if is_granted && grant.value.is_some() && low == 0xca && high == 0x7a {
        panic!("the canary was found");
    }
}
