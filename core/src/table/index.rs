//! Open addressing from a 64-bit hash to a record, four bytes a place, with back-shift deletion.

use super::{Idx, Slab};

/// One place of the index: a record, and beside it how far it is from its home and a part of its hash. Opaque.
///
/// The record's position plus one takes as many bits as the index has places; 0 is empty. Of the other bits the first four
/// are the distance, the rest the part of the hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(u32);

impl Bucket {
    /// An empty place.
    pub const EMPTY: Self = Self(0);
}

/// A record that remembers the hash it was entered under.
pub(crate) trait Keyed {
    fn hash(&self) -> u64;
}

/// The index over its buckets: a power of two, more than there are records, at most [`NameIndex::PLACES_MAX`].
pub(crate) struct NameIndex<'a>(pub(crate) &'a mut [Bucket]);

impl NameIndex<'_> {
    /// So that a bit is left beside a record.
    pub(crate) const PLACES_MAX: usize = 1 << 31;
    /// Bits of a distance, if so many are left.
    const DISTANCE: u32 = 4;

    fn mask(&self) -> usize {
        self.0.len() - 1
    }

    /// Bits of a record.
    fn width(&self) -> u32 {
        self.0.len().trailing_zeros()
    }

    /// The lower half of the hash decides where it has its home.
    fn home(&self, hash: u64) -> usize {
        let lower = u32::try_from(hash & u64::from(u32::MAX)).expect("masked to 32 bits");
        lower as usize & self.mask()
    }

    /// The longest distance that a place can tell: it stands for all that are longer, too.
    fn far(&self) -> u32 {
        (1 << (u32::BITS - self.width()).min(Self::DISTANCE)) - 1
    }

    /// What stands beside a record with this hash at its home; of the hash it is what the home is not made of.
    fn beside(&self, hash: u64) -> u32 {
        let upper = u32::try_from(hash >> 32).expect("half of 64 bits");
        upper << Self::DISTANCE & u32::MAX >> self.width()
    }

    /// The same one place further.
    fn further(&self, beside: u32) -> u32 {
        beside + u32::from(beside & self.far() < self.far())
    }

    /// The record in a place, and what stands beside it.
    fn parts<T>(&self, at: usize) -> Option<(Idx<T>, u32)> {
        let (word, width) = (self.0[at].0, self.width());
        let record = Idx::from_raw(word & ((1 << width) - 1))?;
        Some((record, word >> width))
    }

    fn put<T>(&mut self, at: usize, record: Idx<T>, beside: u32) {
        self.0[at] = Bucket(beside << self.width() | record.raw.get());
    }

    /// Reads the place where a hash has its home, and says what was read.
    #[inline]
    pub(crate) fn read(&self, hash: u64) -> u64 {
        u64::from(self.0[self.home(hash)].0)
    }

    /// The record under this hash for which `is_same` holds.
    pub(crate) fn find<T: Keyed>(
        &self,
        slab: &Slab<'_, T>,
        hash: u64,
        is_same: impl Fn(&T) -> bool,
    ) -> Option<Idx<T>> {
        let (mut at, mut beside) = (self.home(hash), self.beside(hash));
        // Ends: there are more buckets than records, so one is empty.
        loop {
            let (record, is_beside) = self.parts(at)?;
            if is_beside == beside && slab[record].hash() == hash && is_same(&slab[record]) {
                return Some(record);
            }
            at = (at + 1) & self.mask();
            beside = self.further(beside);
        }
    }

    /// Enters a record that is not in the index.
    pub(crate) fn insert<T>(&mut self, hash: u64, record: Idx<T>) {
        let (mut at, mut beside) = (self.home(hash), self.beside(hash));
        while self.0[at] != Bucket::EMPTY {
            at = (at + 1) & self.mask();
            beside = self.further(beside);
        }
        self.put(at, record, beside);
    }

    /// Removes a record and shifts later entries back, so that no tombstones are needed.
    pub(crate) fn remove<T: Keyed>(&mut self, slab: &Slab<'_, T>, hash: u64, record: Idx<T>) {
        let mask = self.mask();
        let mut hole = self.home(hash);
        while self.parts(hole).expect("a live record is indexed").0 != record {
            hole = (hole + 1) & mask;
        }
        let mut scan = hole;
        loop {
            scan = (scan + 1) & mask;
            let Some((record, beside)) = self.parts(scan) else { break };
            let distance = self.distance(slab, scan, record, beside);
            let gap = scan.wrapping_sub(hole) & mask;
            if distance >= gap {
                let nearer = u32::try_from(distance - gap).unwrap_or(u32::MAX).min(self.far());
                self.put(hole, record, beside & !self.far() | nearer);
                hole = scan;
            }
        }
        self.0[hole] = Bucket::EMPTY;
    }

    /// How far a record is from its home. Only where a place cannot tell, the record is looked at.
    fn distance<T: Keyed>(&self, slab: &Slab<'_, T>, at: usize, record: Idx<T>, beside: u32) -> usize {
        let told = beside & self.far();
        if told < self.far() {
            return told as usize;
        }
        at.wrapping_sub(self.home(slab[record].hash())) & self.mask()
    }
}
