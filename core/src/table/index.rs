//! Open addressing from a 64-bit hash to a record, with 32-bit tags and back-shift deletion.

use super::{Idx, Slab};

/// One place of the index: a tag, which is half of the hash, and a record. Opaque.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    tag: u32,
    /// Position plus one; 0 is empty.
    record: u32,
}

impl Bucket {
    /// An empty place.
    pub const EMPTY: Self = Self { tag: 0, record: 0 };
}

/// A record that remembers the hash it was entered under.
pub(crate) trait Keyed {
    fn hash(&self) -> u64;
}

/// The index over its buckets: a power of two, more than there are records.
pub(crate) struct NameIndex<'a>(pub(crate) &'a mut [Bucket]);

impl NameIndex<'_> {
    fn mask(&self) -> usize {
        self.0.len() - 1
    }

    /// The tag decides the home, so that a scan that only sees tags can tell where an entry belongs.
    fn tag(hash: u64) -> u32 {
        u32::try_from(hash & u64::from(u32::MAX)).expect("masked to 32 bits")
    }

    /// Reads the place where a hash has its home, and says what was read.
    #[inline]
    pub(crate) fn read(&self, hash: u64) -> u64 {
        u64::from(self.0[Self::tag(hash) as usize & self.mask()].record)
    }

    /// The record under this hash for which `is_same` holds.
    pub(crate) fn find<T: Keyed>(
        &self,
        slab: &Slab<'_, T>,
        hash: u64,
        is_same: impl Fn(&T) -> bool,
    ) -> Option<Idx<T>> {
        let (tag, mask) = (Self::tag(hash), self.mask());
        let mut at = tag as usize & mask;
        // Ends: there are more buckets than records, so one is empty.
        loop {
            let bucket = self.0[at];
            let record = Idx::from_raw(bucket.record)?;
            if bucket.tag == tag && slab[record].hash() == hash && is_same(&slab[record]) {
                return Some(record);
            }
            at = (at + 1) & mask;
        }
    }

    /// Enters a record that is not in the index.
    pub(crate) fn insert<T>(&mut self, hash: u64, record: Idx<T>) {
        let (tag, mask) = (Self::tag(hash), self.mask());
        let mut at = tag as usize & mask;
        while self.0[at].record != 0 {
            at = (at + 1) & mask;
        }
        self.0[at] = Bucket { tag, record: record.raw.get() };
    }

    /// Removes a record and shifts later entries back, so that no tombstones are needed.
    pub(crate) fn remove<T>(&mut self, hash: u64, record: Idx<T>) {
        let (tag, mask) = (Self::tag(hash), self.mask());
        let mut hole = tag as usize & mask;
        while self.0[hole].record != record.raw.get() {
            assert!(self.0[hole].record != 0, "a live record is indexed");
            hole = (hole + 1) & mask;
        }
        let mut scan = hole;
        loop {
            scan = (scan + 1) & mask;
            let bucket = self.0[scan];
            if bucket.record == 0 {
                break;
            }
            let home = bucket.tag as usize & mask;
            if scan.wrapping_sub(home) & mask >= scan.wrapping_sub(hole) & mask {
                self.0[hole] = bucket;
                hole = scan;
            }
        }
        self.0[hole] = Bucket::EMPTY;
    }
}
