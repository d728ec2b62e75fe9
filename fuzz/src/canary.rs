//! A bug that is there on purpose, so that it can be seen that bugs are found.

use lockmaster_core::ValueState;
use lockmaster_core::wire::{Body, Grant, Message, decode_message};

/// First byte of a grant.
const GRANT: u8 = 5;

/// Reads the bytes as one message, and panics at a grant with a value block and a demand.
///
/// Whoever learns from the branches of the decoder comes to it from a grant without either; chance hardly does.
///
/// # Panics
/// On purpose.
pub fn canary(data: &[u8]) {
    // Other messages would only lead astray.
    if data.first() != Some(&GRANT) {
        return;
    }
    let Ok((Some(Message::Lock(message)), _)) = decode_message(data) else { return };
    let Body::Grant(Grant { value: Some(copy), demand: Some(_), .. }) = message.body else { return };
    if copy.state != ValueState::Absent {
        panic!("the canary was found");
    }
}
