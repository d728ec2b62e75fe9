//! Slab, free records, queue, index and heap against plain models of them, for a fuzzer.

use heapless::Vec;

use super::entry::{Entry, Line};
use super::{Bucket, DeadlineHeap, Free, FreeStack, Idx, NameIndex, Queue, Slab};
use crate::time::Instant;

/// One less than the buckets: the fullest index that there may be.
const RECORDS: usize = 15;
const BUCKETS: usize = 16;

/// What the tables should be.
struct Model {
    /// The last one is taken next.
    free: Vec<usize, RECORDS>,
    line: Vec<usize, RECORDS>,
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
    line: Queue<Entry, Line>,
    buckets: &'a mut [Bucket],
    places: &'a mut [u32],
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
    let (mut buckets, mut places, mut stacked) = ([Bucket::EMPTY; BUCKETS], [0; RECORDS], [0; RECORDS]);
    let mut slab = Slab(&mut memory);
    let mut tables = Tables {
        free: Free::all(&mut slab),
        slab,
        stack: FreeStack::all(&mut stacked, RECORDS),
        stacked: &mut stacked,
        line: Queue::EMPTY,
        buckets: &mut buckets,
        places: &mut places,
        len: 0,
    };
    let mut model = Model {
        free: (0..RECORDS).rev().collect(),
        line: Vec::new(),
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
        let standing = model.line.iter().position(|other| *other == which);
        match (what % 8, standing) {
            (0, _) => self.take(model, with),
            (1, _) if is_live => self.put(model, which),
            (2, None) if is_live => {
                self.line.push_back(&mut self.slab, at);
                model.line.push(which).expect("a record is in line once");
            }
            (3, None) if is_live => {
                self.line.push_front(&mut self.slab, at);
                model.line.insert(0, which).expect("a record is in line once");
            }
            (4, None) if is_live && !model.line.is_empty() => {
                let place = usize::from(what / 8) % model.line.len();
                self.line.insert_before(&mut self.slab, at, Idx::new(model.line[place]));
                model.line.insert(place, which).expect("a record is in line once");
            }
            (5, Some(place)) => {
                self.line.remove(&mut self.slab, at);
                model.line.remove(place);
            }
            (6, _) => {
                let first = (!model.line.is_empty()).then(|| model.line.remove(0));
                let popped = self.line.pop_front(&mut self.slab).map(Idx::get);
                assert!(popped == first, "the first leaves: {popped:?}, {first:?}");
            }
            (7, _) if is_live => self.turn_deadline(model, which, what / 8),
            _ => {}
        }
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
        self.line.remove_if_linked(&mut self.slab, at);
        self.heap().remove(at);
        NameIndex(self.buckets).remove(self.slab[at].hash, at);
        self.free.put(&mut self.slab, at);
        self.stack.put(self.stacked, at);
        model.line.retain(|other| *other != which);
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
            self.slab[at].deadline = Instant::from_nanos(u64::from(until));
            self.heap().insert(at);
        }
    }

    fn compare(&mut self, model: &Model) {
        assert!(self.free.len() as usize == model.free.len(), "free records are counted");
        assert!(self.free.is_empty() == model.free.is_empty(), "there is one if they are counted");
        let next = self.stack.next(self.stacked).map(Idx::get);
        assert!(next.eq(model.free.iter().rev().copied()), "the stack names those that are taken next");
        let in_use = model.names.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        assert!(self.stack.first_unused(RECORDS) >= in_use, "what is in use was never unused");
        let mut walk = self.line.head();
        for expected in &model.line {
            assert!(walk.map(Idx::get) == Some(*expected), "{walk:?} stands where {expected} does");
            walk = walk.and_then(|at| Queue::<_, Line>::next(&self.slab, at));
        }
        assert!(walk.is_none() && self.line.is_empty() == model.line.is_empty(), "the line ends");
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
