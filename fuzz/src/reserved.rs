//! What `docs/wire.md` calls reserved, found from the bytes alone.

/// The message with everything reserved as writers write it: zero.
///
/// It must be one that was read, and that has no field which could be left out.
pub(crate) fn without_reserved(message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    bytes[1] = 0;
    match bytes[0] {
        kind @ 1..=10 => {
            let fields = 7 + usize::from(bytes[6]);
            match kind {
                1..=3 => clear_position(&mut bytes[fields..]),
                5 => bytes[fields + 9] &= 0b11,
                7 => bytes[fields + 15] &= 1,
                10 => clear_position(&mut bytes[fields + 11..]),
                _ => {}
            }
        }
        13 => clear_chunk(&mut bytes[24..]),
        14 => bytes[24 + 16] &= 1,
        _ => {}
    }
    bytes
}

fn clear_position(position: &mut [u8]) {
    position[9] &= 0x0f;
    position[11] = 0;
    let flags = if position[10] & 1 == 0 { 12 } else { 20 };
    if position[10] & 2 != 0 {
        position[flags + 1] &= 0b111;
    }
}

fn clear_chunk(chunk: &mut [u8]) {
    chunk[20] &= 1;
    let mut at = 42 + 10 * usize::from(chunk[41]);
    while at < chunk.len() {
        let unit = &mut chunk[at..];
        at += if unit[0] == 0 { record_len(unit) } else { clear_lock(unit) };
    }
}

/// Nothing is reserved in a record.
fn record_len(unit: &[u8]) -> usize {
    let fixed = 6 + usize::from(unit[3]);
    if unit[fixed - 1] != 1 {
        return fixed;
    }
    let is_absent = unit[fixed + 16] == 0;
    fixed + 17 + if is_absent { 0 } else { 1 + usize::from(unit[fixed + 17]) }
}

/// Clears what is reserved in a lock, and gives its length.
fn clear_lock(unit: &mut [u8]) -> usize {
    unit[6] &= 0x7f;
    unit[8] &= 0b111;
    let bits = u16::from_le_bytes([unit[5], unit[6]]);
    let fields = [(10, 16), (11, 16), (12, 6), (9, 1)];
    54 + fields.into_iter().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, len)| len).sum::<usize>()
}
