//! A binary heap of deadlines over records that know their place in it, so that any can be taken out.

use super::{Idx, Slab};
use crate::time::Instant;

/// A record with a deadline and a place in the heap.
pub(crate) trait Deadlines {
    fn deadline(&self) -> Instant;
    /// Place in the heap plus one; 0 if it is not in it.
    fn place(&mut self) -> &mut u32;
}

/// The heap: as many places as there are records, of which the first `len` are used.
pub(crate) struct DeadlineHeap<'a, 'b, T> {
    pub(crate) places: &'a mut [u32],
    pub(crate) len: &'a mut u32,
    pub(crate) slab: &'a mut Slab<'b, T>,
}

impl<T: Deadlines> DeadlineHeap<'_, '_, T> {
    pub(crate) fn earliest(&self) -> Option<(Instant, Idx<T>)> {
        (*self.len > 0).then(|| (self.deadline(0), self.at(0)))
    }

    pub(crate) fn insert(&mut self, record: Idx<T>) {
        assert!(*self.slab[record].place() == 0, "a record is in the heap once");
        let place = *self.len as usize;
        *self.len += 1;
        self.put(place, record);
        self.rise(place);
    }

    pub(crate) fn remove(&mut self, record: Idx<T>) {
        let Some(place) = core::mem::take(self.slab[record].place()).checked_sub(1) else { return };
        let place = place as usize;
        *self.len -= 1;
        let last = *self.len as usize;
        if place != last {
            let moved = self.at(last);
            self.put(place, moved);
            self.rise(place);
            self.sink(place);
        }
    }

    fn at(&self, place: usize) -> Idx<T> {
        Idx::new(self.places[place] as usize)
    }

    fn deadline(&self, place: usize) -> Instant {
        self.slab[self.at(place)].deadline()
    }

    fn put(&mut self, place: usize, record: Idx<T>) {
        self.places[place] = record.to_u32();
        *self.slab[record].place() =
            u32::try_from(place + 1).expect("a slab has fewer than 2^32 - 2 records");
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (at_a, at_b) = (self.at(a), self.at(b));
        self.put(a, at_b);
        self.put(b, at_a);
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.deadline(place) < self.deadline((place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn sink(&mut self, mut place: usize) {
        let len = *self.len as usize;
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < len && self.deadline(child) < self.deadline(least) {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }
}
