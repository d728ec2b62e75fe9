//! A record for the tests and models of tables.

use super::{Deadlines, Keyed, Link, Record, Via};

/// It can stand in every kind of table.
pub(super) struct Entry {
    pub(super) link: Link,
    pub(super) hash: u64,
    /// Tells entries of one hash apart, which only the model has.
    #[cfg(feature = "check")]
    pub(super) name: u8,
    pub(super) place: u32,
}

impl Entry {
    pub(super) const VACANT: Self = Self {
        link: Link::NONE,
        hash: 0,
        #[cfg(feature = "check")]
        name: 0,
        place: 0,
    };
}

/// The one kind of queue.
pub(super) enum Line {}

impl Via<Entry> for Line {
    fn link(record: &Entry) -> Link {
        record.link
    }
    fn link_mut(record: &mut Entry) -> &mut Link {
        &mut record.link
    }
}

impl Record for Entry {
    fn next_free(&mut self) -> &mut u32 {
        self.link.lend()
    }
}

impl Keyed for Entry {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Deadlines for Entry {
    fn place(&mut self) -> &mut u32 {
        &mut self.place
    }
}
