//! A queue that costs its owner half as much: it knows its head, and the head knows the tail.

use core::fmt;
use core::marker::PhantomData;

use super::{Idx, Link, Slab, Via};

/// FIFO threaded through a slab, in four bytes. Whoever joins it looks at its head.
pub(crate) struct Row<T, V> {
    /// The record before it, by its link, is the tail.
    head: u32,
    via: PhantomData<fn(T) -> V>,
}

impl<T, V> Row<T, V> {
    pub(crate) const EMPTY: Self = Self { head: Link::END, via: PhantomData };

    pub(crate) fn head(&self) -> Option<Idx<T>> {
        Idx::from_raw(self.head)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == Link::END
    }
}

impl<T, V> Clone for Row<T, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T, V> fmt::Debug for Row<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.head)
    }
}

impl<T, V: Via<T>> Row<T, V> {
    pub(crate) fn next(slab: &Slab<'_, T>, at: Idx<T>) -> Option<Idx<T>> {
        Idx::from_raw(V::link(&slab[at]).next)
    }

    pub(crate) fn push_back(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        debug_assert!(!V::link(&slab[at]).is_linked(), "a record is in one queue at a time");
        let Some(head) = self.head() else {
            *V::link_mut(&mut slab[at]) = Link { prev: at.raw.get(), next: Link::END };
            self.head = at.raw.get();
            return;
        };
        let tail = core::mem::replace(&mut V::link_mut(&mut slab[head]).prev, at.raw.get());
        *V::link_mut(&mut slab[at]) = Link { prev: tail, next: Link::END };
        let tail = Idx::from_raw(tail).expect("a head knows the tail");
        V::link_mut(&mut slab[tail]).next = at.raw.get();
    }

    pub(crate) fn push_front(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        match self.head() {
            Some(head) => self.insert_before(slab, at, head),
            None => self.push_back(slab, at),
        }
    }

    pub(crate) fn insert_before(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>, next: Idx<T>) {
        debug_assert!(!V::link(&slab[at]).is_linked(), "a record is in one queue at a time");
        let prev = core::mem::replace(&mut V::link_mut(&mut slab[next]).prev, at.raw.get());
        *V::link_mut(&mut slab[at]) = Link { prev, next: next.raw.get() };
        if self.head() == Some(next) {
            self.head = at.raw.get();
        } else {
            let prev = Idx::from_raw(prev).expect("who is not the head stands behind somebody");
            V::link_mut(&mut slab[prev]).next = at.raw.get();
        }
    }

    pub(crate) fn remove(&mut self, slab: &mut Slab<'_, T>, at: Idx<T>) {
        debug_assert!(V::link(&slab[at]).is_linked(), "a record leaves the queue that it is in");
        let Link { prev, next } = core::mem::replace(V::link_mut(&mut slab[at]), Link::NONE);
        if self.head() == Some(at) {
            self.head = next;
        } else {
            let prev = Idx::from_raw(prev).expect("who is not the head stands behind somebody");
            V::link_mut(&mut slab[prev]).next = next;
        }
        // Whoever stood behind it, or the head if nobody did, has the one before it, who may be the tail.
        if let Some(behind) = Idx::from_raw(next).or_else(|| self.head()) {
            V::link_mut(&mut slab[behind]).prev = prev;
        }
    }
}
