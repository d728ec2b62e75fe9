//! Whether a message can be read, without reading it: a frame is looked through before any of it counts.
//!
//! It says the same as the decoder, which the tests compare with it, and costs much less. Only messages about resources are
//! looked through: the others are few, and decoded.

use super::bytes::Reader;
use super::codec::{
    DecodeError, GRANT_FIXED, HEADER_LEN, Kind, NO_MODE, NO_VALUE, POSITION_FIXED, decode_body,
    decode_message, decode_mode, decode_name, grant_field, kind_from_u8, position_field, value_state,
};
use crate::value::VALUE_MAX;

/// Whose position is passed on: node, incarnation, kind of the position.
const PASSED_ON_FIXED: usize = 2 + 8 + 1;
/// A value block before its bytes: version, and length or state.
const VALUE_FIXED: usize = 16 + 1;
/// A demand that comes with a grant: its number, and what may stay.
const DEMAND_FIXED: usize = 4 + 1;

/// Can the message at the front of `bytes` be read? Says whether its kind is known, and the length to skip to the next.
///
/// # Errors
/// [`DecodeError`] where [`decode_message`] has one.
#[inline]
pub(super) fn check_message(bytes: &[u8]) -> Result<(bool, usize), DecodeError> {
    let Some(kind) = bytes.first().and_then(|kind| Kind::from_u8(*kind)) else {
        return decode_message(bytes).map(|(message, len)| (message.is_some(), len));
    };
    let mut reader = Reader::new(bytes);
    let [_kind, _reserved, low, high] = reader.array().map_err(|_| DecodeError::Truncated)?;
    let len = usize::from(u16::from_le_bytes([low, high]));
    let body = reader.bytes(len).map_err(|_| DecodeError::Truncated)?;
    check_lock_message(kind, &mut Reader::new(body))?;
    Ok((true, HEADER_LEN + len))
}

#[inline]
fn check_lock_message(kind: Kind, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let _space = reader.u16()?;
    let _name = decode_name(reader)?;
    match kind {
        Kind::Position(_) => check_position(reader),
        Kind::Grant => check_grant(reader),
        Kind::UpdatedLocks => {
            let [.., kind] = reader.array::<PASSED_ON_FIXED>()?;
            kind_from_u8(kind).ok_or(DecodeError::Malformed)?;
            check_position(reader)
        }
        Kind::Queued | Kind::Deny | Kind::Demand | Kind::Written | Kind::Redirect => {
            decode_body(kind, reader).map(|_| ())
        }
    }
}

#[inline]
fn check_position(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let [.., first, second, low, high] = reader.array::<POSITION_FIXED>()?;
    if !(is_optional_mode(first & 0xf) && is_optional_mode(first >> 4) && is_optional_mode(second & 0xf)) {
        return Err(DecodeError::Malformed);
    }
    let fields = u16::from_le_bytes([low, high]);
    reader.bytes(position_field::len_of(fields))?;
    if fields & position_field::WRITE != 0 {
        let [.., len] = reader.array::<VALUE_FIXED>()?;
        if len != NO_VALUE {
            check_value(len, reader)?;
        }
    }
    Ok(())
}

#[inline]
fn check_grant(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let [_, _, _, _, _, _, _, _, mode, fields, ..] = reader.array::<GRANT_FIXED>()?;
    decode_mode(mode)?;
    if fields & grant_field::VALUE != 0 {
        let [.., state] = reader.array::<VALUE_FIXED>()?;
        match state {
            value_state::ABSENT => {}
            value_state::VALID | value_state::INVALID => check_value(reader.u8()?, reader)?,
            _ => return Err(DecodeError::Malformed),
        }
    }
    if fields & grant_field::DEMAND != 0 {
        let [.., stay] = reader.array::<DEMAND_FIXED>()?;
        decode_mode(stay)?;
    }
    Ok(())
}

fn check_value(len: u8, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    if usize::from(len) > VALUE_MAX {
        return Err(DecodeError::Malformed);
    }
    reader.bytes(usize::from(len))?;
    Ok(())
}

fn is_optional_mode(nibble: u8) -> bool {
    nibble == NO_MODE || decode_mode(nibble).is_ok()
}
