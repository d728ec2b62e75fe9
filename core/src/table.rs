//! Fixed-size tables: records in slabs, linked by position. Knows nothing of locks.
//!
//! A slab is a slice of records that are all there from the start. Of the free ones the record used last, whose
//! cache lines are warm, is used next: they are linked, or stand in a stack of their own. Queues are threaded
//! through the records and own no memory, so they are never full.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

#[cfg(any(test, feature = "check"))]
mod entry;
mod heap;
mod index;
#[cfg(feature = "check")]
mod model;
mod row;

pub use heap::Deadline;
pub(crate) use heap::{DeadlineHeap, Deadlines};
pub use index::Bucket;
pub(crate) use index::{Keyed, NameIndex};
#[cfg(feature = "check")]
pub use model::compare_tables;
pub(crate) use row::Row;

/// Position of a record in its slab. `Option<Idx<T>>` is four bytes.
pub(crate) struct Idx<T> {
    raw: NonZeroU32,
    of: PhantomData<fn() -> T>,
}

impl<T> Idx<T> {
    pub(crate) fn new(at: usize) -> Self {
        let raw = u32::try_from(at + 1).ok().filter(|raw| *raw < Link::APART);
        let raw = raw.and_then(NonZeroU32::new).expect("a slab has fewer than 2^32 - 2 records");
        Self { raw, of: PhantomData }
    }

    fn from_raw(raw: u32) -> Option<Self> {
        NonZeroU32::new(raw).map(|raw| Self { raw, of: PhantomData })
    }

    #[cfg(any(test, feature = "check"))]
    pub(crate) fn get(self) -> usize {
        self.raw.get() as usize - 1
    }

    /// How many records there are up to this one.
    fn count(self) -> usize {
        self.raw.get() as usize
    }

    pub(crate) fn to_u32(self) -> u32 {
        self.raw.get() - 1
    }
}

impl<T> Clone for Idx<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Idx<T> {}

impl<T> PartialEq for Idx<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<T> Eq for Idx<T> {}

impl<T> fmt::Debug for Idx<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.to_u32())
    }
}

/// A slice of records, indexed by their own kind of position.
pub(crate) struct Slab<'a, T>(pub(crate) &'a mut [T]);

impl<T> Slab<'_, T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The record at a position that comes from outside.
    pub(crate) fn get(&self, at: u32) -> Option<(Idx<T>, &T)> {
        let at = at as usize;
        self.0.get(at).map(|record| (Idx::new(at), record))
    }
}

impl<T> Index<Idx<T>> for Slab<'_, T> {
    type Output = T;

    // The last of so many: there is nothing to subtract before the bound is checked.
    fn index(&self, at: Idx<T>) -> &T {
        self.0[..at.count()].last().expect("a position counts its own record")
    }
}

impl<T> IndexMut<Idx<T>> for Slab<'_, T> {
    fn index_mut(&mut self, at: Idx<T>) -> &mut T {
        self.0[..at.count()].last_mut().expect("a position counts its own record")
    }
}

/// Place of a record in a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    const END: u32 = 0;
    const APART: u32 = u32::MAX;
    /// In no queue.
    pub(crate) const NONE: Self = Self { prev: Self::APART, next: Self::END };

    pub(crate) const fn is_linked(self) -> bool {
        self.prev != Self::APART
    }

    /// Where a free record keeps the next one: a link in no queue has no use for it.
    pub(crate) const fn lend(&mut self) -> &mut u32 {
        &mut self.next
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_linked() { write!(f, "{}<>{}", self.prev, self.next) } else { f.write_str("apart") }
    }
}

/// Names the link of `T` that a queue is threaded through.
pub(crate) trait Via<T> {
    fn link(record: &T) -> Link;
    fn link_mut(record: &mut T) -> &mut Link;
}

/// FIFO threaded through a slab.
pub(crate) struct Queue<T, V> {
    head: u32,
    tail: u32,
    via: PhantomData<fn(T) -> V>,
}

impl<T, V> Queue<T, V> {
    pub(crate) const EMPTY: Self = Self { head: Link::END, tail: Link::END, via: PhantomData };

    pub(crate) fn head(&self) -> Option<Idx<T>> {
        Idx::from_raw(self.head)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == Link::END
    }
}

impl<T, V> Clone for Queue<T, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T, V> fmt::Debug for Queue<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.head, self.tail)
    }
}

impl<T, V: Via<T>> Queue<T, V> {
    pub(crate) fn next(slab: &Slab<'_, T>, at: Idx<T>) -> Option<Idx<T>> {
        Idx::from_raw(V::link(&slab[at]).next)
    }

    pub(crate) fn push_back(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        debug_assert!(!V::link(&slab[at]).is_linked(), "a record is in one queue at a time");
        *V::link_mut(&mut slab[at]) = Link { prev: self.tail, next: Link::END };
        match Idx::from_raw(self.tail) {
            Some(tail) => V::link_mut(&mut slab[tail]).next = at.raw.get(),
            None => self.head = at.raw.get(),
        }
        self.tail = at.raw.get();
    }

    pub(crate) fn pop_front(&mut self, slab: &mut Slab<'_, T>) -> Option<Idx<T>> {
        let at = self.head()?;
        self.remove(slab, at);
        Some(at)
    }

    pub(crate) fn remove(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        debug_assert!(V::link(&slab[at]).is_linked(), "a record leaves the queue that it is in");
        let Link { prev, next } = core::mem::replace(V::link_mut(&mut slab[at]), Link::NONE);
        match Idx::from_raw(prev) {
            Some(prev) => V::link_mut(&mut slab[prev]).next = next,
            None => self.head = next,
        }
        match Idx::from_raw(next) {
            Some(next) => V::link_mut(&mut slab[next]).prev = prev,
            None => self.tail = prev,
        }
    }

    /// Removes a record if it is in this queue; a link is used by one kind of queue only.
    pub(crate) fn remove_if_linked(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        if V::link(&slab[at]).is_linked() {
            self.remove(slab, at);
        }
    }
}

/// Names where a free record keeps the next one, of a kind that has no [`FreeStack`].
pub(crate) trait Record: Sized {
    /// Position of the next plus one; 0 if there is none, and in a live record.
    fn next_free(&mut self) -> &mut u32;
}

/// Free records of a slab, last in first out, each of which knows the next.
#[derive(Debug)]
pub(crate) struct Free<T> {
    head: u32,
    len: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Free<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T: Record> Free<T> {
    pub(crate) const EMPTY: Self = Self { head: Link::END, len: 0, of: PhantomData };

    /// All records of a slab, so that the first is used first.
    pub(crate) fn all(slab: &mut Slab<'_, T>) -> Self {
        let mut free = Self::EMPTY;
        for at in (0..slab.len()).rev() {
            free.put(slab, Idx::new(at));
        }
        free
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == Link::END
    }

    pub(crate) fn take(&mut self, slab: &mut Slab<'_, T>) -> Option<Idx<T>> {
        let at = Idx::from_raw(self.head)?;
        self.head = core::mem::replace(slab[at].next_free(), Link::END);
        self.len -= 1;
        Some(at)
    }

    pub(crate) fn put(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        *slab[at].next_free() = self.head;
        self.head = at.raw.get();
        self.len += 1;
    }
}

/// Free records of a slab, last in first out, in a table of their own: those that are taken next are known before
/// each is touched.
#[derive(Debug)]
pub(crate) struct FreeStack<T> {
    len: u32,
    /// The fewest that were ever free.
    least: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for FreeStack<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T> FreeStack<T> {
    /// All records of a slab that is as long as this, so that the first is used first.
    pub(crate) fn all(places: &mut [u32], len: usize) -> Self {
        let mut free = Self { len: 0, least: 0, of: PhantomData };
        for at in (0..len).rev() {
            free.put(places, Idx::new(at));
        }
        free.least = free.len;
        free
    }

    /// Of a slab that is as long as this: the first record that was never used, and neither was any behind it.
    pub(crate) const fn first_unused(&self, len: usize) -> usize {
        len - self.least as usize
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn take(&mut self, places: &[u32]) -> Option<Idx<T>> {
        self.len = self.len.checked_sub(1)?;
        self.least = self.least.min(self.len);
        Idx::from_raw(places[self.len as usize])
    }

    #[inline]
    pub(crate) fn put(&mut self, places: &mut [u32], at: Idx<T>) {
        places[self.len as usize] = at.raw.get();
        self.len += 1;
    }

    /// The records that are taken next.
    pub(crate) fn next<'p>(&self, places: &'p [u32]) -> impl Iterator<Item = Idx<T>> + use<'p, T> {
        places[..self.len as usize].iter().rev().filter_map(|raw| Idx::from_raw(*raw))
    }
}

#[cfg(test)]
mod tests;
