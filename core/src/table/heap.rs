//! A binary heap of deadlines of records that know their place in it, so that any can be taken out.

use super::{Idx, Slab};
use crate::time::Instant;

/// One place of the heap: a deadline, and whose it is. Opaque.
///
/// Deadlines stand here and not in their records, of which most have none: they are compared without a look at these.
// Packed, since there is one for each record: four bytes of every sixteen would be padding.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(4))]
pub struct Deadline {
    until: Instant,
    record: u32,
}
const _: () = assert!(size_of::<Deadline>() == 12, "a deadline has no padding");

impl Deadline {
    /// An unused place.
    pub const NONE: Self = Self { until: Instant::NEVER, record: 0 };

    pub(crate) fn until(self) -> Instant {
        self.until
    }
}

/// A record that can have a deadline.
pub(crate) trait Deadlines {
    /// Place in the heap plus one; 0 if it is not in it.
    fn place(&mut self) -> &mut u32;
}

/// The heap: as many places as there are records, of which the first `len` are used.
pub(crate) struct DeadlineHeap<'a, 'b, T> {
    pub(crate) places: &'a mut [Deadline],
    pub(crate) len: &'a mut u32,
    pub(crate) slab: &'a mut Slab<'b, T>,
}

impl<T: Deadlines> DeadlineHeap<'_, '_, T> {
    pub(crate) fn earliest(&self) -> Option<(Instant, Idx<T>)> {
        (*self.len > 0).then(|| (self.places[0].until, Idx::new(self.places[0].record as usize)))
    }

    pub(crate) fn insert(&mut self, record: Idx<T>, until: Instant) {
        assert!(*self.slab[record].place() == 0, "a record is in the heap once");
        let place = *self.len as usize;
        *self.len += 1;
        self.put(place, Deadline { until, record: record.to_u32() });
        self.rise(place);
    }

    // Not inlined: most records have no deadline, and whoever looks at that needs nothing of this.
    #[inline(never)]
    pub(crate) fn remove(&mut self, record: Idx<T>) {
        let Some(place) = core::mem::take(self.slab[record].place()).checked_sub(1) else { return };
        let place = place as usize;
        *self.len -= 1;
        let last = *self.len as usize;
        if place != last {
            self.put(place, self.places[last]);
            self.rise(place);
            self.sink(place);
        }
    }

    fn put(&mut self, place: usize, deadline: Deadline) {
        self.places[place] = deadline;
        *self.slab[Idx::new(deadline.record as usize)].place() =
            u32::try_from(place + 1).expect("a slab has fewer than 2^32 - 2 records");
    }

    fn swap(&mut self, a: usize, b: usize) {
        let (of_a, of_b) = (self.places[a], self.places[b]);
        self.put(a, of_b);
        self.put(b, of_a);
    }

    fn is_earlier(&self, a: usize, b: usize) -> bool {
        self.places[a].until() < self.places[b].until()
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.is_earlier(place, (place - 1) / 2) {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    fn sink(&mut self, mut place: usize) {
        let len = *self.len as usize;
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < len && self.is_earlier(child, least) {
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
