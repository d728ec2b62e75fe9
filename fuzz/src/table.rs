//! The tables of the core, and plain models of them.

/// Does with a slab, a queue, an index and a heap of deadlines what the bytes say, and with models of them.
///
/// # Panics
/// If they differ.
pub fn table(data: &[u8]) {
    lockmaster_core::compare_tables(data);
}
