//! Slab, free records, queue, index and heap against plain models of them, for a fuzzer.

use heapless::Vec;

use super::entry::{Entry, Line};
use super::{Bucket, Deadline, DeadlineHeap, Free, FreeStack, Idx, NameIndex, Queue, Row, Slab};
use crate::time::Instant;

/// One less than the buckets: the fullest index that there may be.
const RECORDS: usize = 15;
const BUCKETS: usize = 16;

/// What the tables should be.
struct Model {
    /// The last one is taken next.
    free: Vec<usize, RECORDS>,
    /// A record stands in one of them at most.
    queue: Vec<usize, RECORDS>,
    row: Vec<usize, RECORDS>,
    /// Names of the records that are not free.
    names: [Option<u8>; RECORDS],
    deadlines: [Option<u64>; RECORDS],
}

/// The tables.
struct Tables<'a> {
    slab: Slab<'a, Entry>,
    free: Free<Entry>,
    /// The same records as in `free`.
    stack: FreeStack<Entry>,
    stacked: &'a mut [u32],
    queue: Queue<Entry, Line>,
    row: Row<Entry, Line>,
    buckets: &'a mut [Bucket],
    places: &'a mut [Deadline],
    len: u32,
}

/// Hash of a name: few tags, so that entries crowd, and equal hashes of different names.
fn hash_of(name: u8) -> u64 {
    let (tag, rest) = (u64::from(name & 0b11), u64::from(name >> 2 & 0b11));
    // Homes at the end of the buckets, too, so that entries wrap around.
    rest << 32 | (tag * 5 + 14)
}

/// Does with tables what the bytes say, two for each step, and compares them with their models after each.
///
/// # Panics
/// If they differ.
pub fn compare_tables(choices: &[u8]) {
    let mut memory = [const { Entry::VACANT }; RECORDS];
    let (mut buckets, mut places) = ([Bucket::EMPTY; BUCKETS], [Deadline::NONE; RECORDS]);
    let mut stacked = [0; RECORDS];
    let mut slab = Slab(&mut memory);
    let mut tables = Tables {
        free: Free::all(&mut slab),
        slab,
        stack: FreeStack::all(&mut stacked, RECORDS),
        stacked: &mut stacked,
        queue: Queue::EMPTY,
        row: Row::EMPTY,
        buckets: &mut buckets,
        places: &mut places,
        len: 0,
    };
    let mut model = Model {
        free: (0..RECORDS).rev().collect(),
        queue: Vec::new(),
        row: Vec::new(),
        names: [None; RECORDS],
        deadlines: [None; RECORDS],
    };
    for step in choices.chunks_exact(2) {
        let [what, with] = *step else { continue };
        tables.step(&mut model, what, with);
        tables.compare(&model);
    }
}

impl<'a> Tables<'a> {
    fn heap(&mut self) -> DeadlineHeap<'_, 'a, Entry> {
        DeadlineHeap { places: self.places, len: &mut self.len, slab: &mut self.slab }
    }

    fn step(&mut self, model: &mut Model, what: u8, with: u8) {
        let which = usize::from(with) % RECORDS;
        let at = Idx::new(which);
        let is_live = model.names[which].is_some();
        let is_standing = self.slab[at].link.is_linked() && is_live;
        match (what % 8, is_standing) {
            (0, _) => self.take(model, with),
            (1, _) if is_live => self.put(model, which),
            (2, false) if is_live && (what / 8).is_multiple_of(2) => {
                self.queue.push_back(&mut self.slab, at);
                model.queue.push(which).expect("a record stands once");
            }
            (2, false) if is_live => {
                self.row.push_back(&mut self.slab, at);
                model.row.push(which).expect("a record stands once");
            }
            (3, false) if is_live => {
                self.row.push_front(&mut self.slab, at);
                model.row.insert(0, which).expect("a record stands once");
            }
            (4, false) if is_live && !model.row.is_empty() => {
                let place = usize::from(what / 8) % model.row.len();
                self.row.insert_before(&mut self.slab, at, Idx::new(model.row[place]));
                model.row.insert(place, which).expect("a record stands once");
            }
            (5, true) => self.step_aside(model, which),
            (6, _) => {
                let first = (!model.queue.is_empty()).then(|| model.queue.remove(0));
                let popped = self.queue.pop_front(&mut self.slab).map(Idx::get);
                assert!(popped == first, "the first leaves: {popped:?}, {first:?}");
            }
            (7, _) if is_live => self.turn_deadline(model, which, what / 8),
            _ => {}
        }
    }

    /// A record leaves the queue or the row that it stands in.
    fn step_aside(&mut self, model: &mut Model, which: usize) {
        let at = Idx::new(which);
        if model.row.contains(&which) {
            self.row.remove(&mut self.slab, at);
        } else {
            self.queue.remove_if_linked(&mut self.slab, at);
        }
        model.row.retain(|other| *other != which);
        model.queue.retain(|other| *other != which);
    }

    /// A record comes into use, under a name of which there may be several with its hash.
    fn take(&mut self, model: &mut Model, name: u8) {
        let at = self.free.take(&mut self.slab);
        let expected = model.free.pop();
        assert!(at.map(Idx::get) == expected, "{at:?} is taken, not {expected:?}");
        let stacked = self.stack.take(self.stacked);
        assert!(stacked == at, "{stacked:?} is taken from the stack, not {at:?}");
        let Some(at) = at else { return };
        let hash = hash_of(name);
        let record = &mut self.slab[at];
        (record.hash, record.name) = (hash, name);
        NameIndex(self.buckets).insert(hash, at);
        model.names[at.get()] = Some(name);
    }

    /// A record goes out of use, wherever it stands.
    fn put(&mut self, model: &mut Model, which: usize) {
        let at = Idx::new(which);
        self.step_aside(model, which);
        self.heap().remove(at);
        NameIndex(self.buckets).remove(&self.slab, self.slab[at].hash, at);
        self.free.put(&mut self.slab, at);
        self.stack.put(self.stacked, at);
        (model.names[which], model.deadlines[which]) = (None, None);
        model.free.push(which).expect("a record is free once");
    }

    /// A deadline comes or goes.
    fn turn_deadline(&mut self, model: &mut Model, which: usize, until: u8) {
        let at = Idx::new(which);
        let known = &mut model.deadlines[which];
        if known.take().is_some() {
            self.heap().remove(at);
        } else {
            *known = Some(u64::from(until));
            self.heap().insert(at, Instant::from_nanos(u64::from(until)));
        }
    }

    fn compare_standing(
        &self,
        head: Option<Idx<Entry>>,
        expected: &[usize],
        next: fn(&Slab<'_, Entry>, Idx<Entry>) -> Option<Idx<Entry>>,
    ) {
        let mut walk = head;
        for expected in expected {
            assert!(walk.map(Idx::get) == Some(*expected), "{walk:?} stands where {expected} does");
            walk = walk.and_then(|at| next(&self.slab, at));
        }
        assert!(walk.is_none(), "nobody stands behind the last");
    }

    fn compare(&mut self, model: &Model) {
        assert!(self.free.len() as usize == model.free.len(), "free records are counted");
        assert!(self.free.is_empty() == model.free.is_empty(), "there is one if they are counted");
        let next = self.stack.next(self.stacked).map(Idx::get);
        assert!(next.eq(model.free.iter().rev().copied()), "the stack names those that are taken next");
        let in_use = model.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        assert!(self.stack.first_unused(RECORDS) >= in_use, "what is in use was never unused");
        let (queue, row) = (&self.queue, &self.row);
        self.compare_standing(queue.head(), &model.queue, Queue::<_, Line>::next);
        assert!(queue.is_empty() == model.queue.is_empty(), "the queue knows whether somebody stands in it");
        self.compare_standing(row.head(), &model.row, Row::<_, Line>::next);
        assert!(row.is_empty() == model.row.is_empty(), "the row knows whether somebody stands in it");
        let index = NameIndex(self.buckets);
        for (at, name) in model.names.iter().enumerate() {
            let Some(name) = *name else { continue };
            let found = index.find(&self.slab, hash_of(name), |record| record.name == name);
            let is_it = found.is_some_and(|found| model.names[found.get()] == Some(name));
            assert!(is_it, "record {at} is found as {found:?}");
            let exact = index.find(&self.slab, hash_of(name), |record| record.name == name.wrapping_add(16));
            let is_there = model.names.contains(&Some(name.wrapping_add(16)));
            assert!(exact.is_some() == is_there, "another name of the same hash is found as {exact:?}");
        }
        let filled = index.0.iter().filter(|bucket| **bucket != Bucket::EMPTY).count();
        assert!(filled == RECORDS - model.free.len(), "nothing else is in the index");
        let earliest = self.heap().earliest().map(|(deadline, at)| (deadline.as_nanos(), at.get()));
        let expected = model.deadlines.iter().flatten().min().copied();
        assert!(earliest.map(|(deadline, _)| deadline) == expected, "{earliest:?}, not {expected:?}");
        assert!(earliest.is_none_or(|(deadline, at)| model.deadlines[at] == Some(deadline)), "{earliest:?}");
    }
}
