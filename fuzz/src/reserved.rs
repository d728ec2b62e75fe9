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
        26 => clear_report(&mut bytes[4..]),
        27 => bytes[4 + 12] &= 0b111,
        28 => clear_units(&mut bytes[4..]),
        30 => clear_units(&mut bytes[4 + 12..]),
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

fn clear_report(report: &mut [u8]) {
    report[28] &= 1;
    clear_units(&mut report[29..]);
}

/// Units of a report, end to end.
fn clear_units(units: &mut [u8]) {
    let mut at = 0;
    while at < units.len() {
        let name = usize::from(units[at + 2]);
        let position = at + 4 + name;
        clear_position(&mut units[position..]);
        let fields = position + position_len(&units[position..]);
        units[fields] &= 0b1111;
        let has = |bit: u8| units[fields] >> bit & 1 != 0;
        at = fields + 1 + if has(0) { 16 } else { 0 } + if has(1) { 12 } else { 0 };
        let has_since = has(3);
        if has(2) {
            at += value_copy_len(&units[at..]);
        }
        at += if has_since { 16 } else { 0 };
    }
}

/// Length of a position, of which every field that it has is written.
fn position_len(position: &[u8]) -> usize {
    let has = |bit: u8| position[10] >> bit & 1 != 0;
    let fields = [(0, 8), (1, 2), (2, 1), (3, 4), (4, 4), (5, 16), (6, 4)];
    let write = 12 + fields.into_iter().filter(|(bit, _)| has(*bit)).map(|(_, len)| len).sum::<usize>();
    if !has(7) {
        return write;
    }
    let len = position[write + 16];
    write + 17 + if len == 0xff { 0 } else { usize::from(len) }
}

fn value_copy_len(copy: &[u8]) -> usize {
    if copy[16] == 0 { 17 } else { 18 + usize::from(copy[17]) }
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
    fixed + value_copy_len(&unit[fixed..])
}

/// Clears what is reserved in a lock, and gives its length.
fn clear_lock(unit: &mut [u8]) -> usize {
    unit[6] &= 0x7f;
    unit[8] &= 0b111;
    let bits = u16::from_le_bytes([unit[5], unit[6]]);
    let fields = [(10, 16), (11, 16), (12, 6), (9, 1)];
    54 + fields.into_iter().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, len)| len).sum::<usize>()
}
