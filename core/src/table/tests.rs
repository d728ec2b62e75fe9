use super::entry::{Entry, Line};
use super::*;
use crate::time::Instant;

extern crate std;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    }
}

#[test]
fn a_queue_agrees_with_a_deque() {
    let mut memory = [const { Entry::VACANT }; 16];
    let mut slab = Slab(&mut memory);
    let mut queue = Queue::<Entry, Line>::EMPTY;
    let mut model = VecDeque::new();
    let mut pick = numbers(7);
    for _ in 0..20_000 {
        let at = Idx::new(usize::try_from(pick(16)).unwrap());
        match (slab[at].link.is_linked(), pick(2)) {
            (true, _) => {
                queue.remove(&mut slab, at);
                model.retain(|other| *other != at);
            }
            (false, 0) => {
                assert_eq!(queue.pop_front(&mut slab), model.pop_front());
            }
            (false, _) => {
                queue.push_back(&mut slab, at);
                model.push_back(at);
            }
        }
        let mut walk = queue.head();
        let mut seen = Vec::new();
        while let Some(at) = walk {
            seen.push(at);
            walk = Queue::<Entry, Line>::next(&slab, at);
        }
        assert!(seen.iter().eq(model.iter()));
    }
}

#[test]
fn a_row_agrees_with_a_deque() {
    let mut memory = [const { Entry::VACANT }; 16];
    let mut slab = Slab(&mut memory);
    let mut row = Row::<Entry, Line>::EMPTY;
    let mut model = VecDeque::new();
    let mut pick = numbers(13);
    for _ in 0..20_000 {
        let at = Idx::new(usize::try_from(pick(16)).unwrap());
        match (slab[at].link.is_linked(), pick(3)) {
            (true, _) => {
                row.remove(&mut slab, at);
                model.retain(|other| *other != at);
            }
            (false, 0) => {
                row.push_front(&mut slab, at);
                model.push_front(at);
            }
            (false, 1) if !model.is_empty() => {
                let place = usize::try_from(pick(model.len() as u64)).unwrap();
                row.insert_before(&mut slab, at, model[place]);
                model.insert(place, at);
            }
            (false, _) => {
                row.push_back(&mut slab, at);
                model.push_back(at);
            }
        }
        let mut walk = row.head();
        let mut seen = Vec::new();
        while let Some(at) = walk {
            seen.push(at);
            walk = Row::<Entry, Line>::next(&slab, at);
        }
        assert!(seen.iter().eq(model.iter()));
    }
}

#[test]
fn an_index_agrees_with_a_map_though_hashes_collide() {
    // In the larger one, places are further from their home than they can tell.
    compare_index::<12, 16>(4);
    compare_index::<60, 64>(20);
}

/// Few homes, and hashes that differ in their upper half only: near its end or, further than a place can tell, elsewhere.
fn compare_index<const RECORDS: usize, const BUCKETS: usize>(uppers: u64) {
    let mut memory = [const { Entry::VACANT }; RECORDS];
    let mut slab = Slab(&mut memory);
    let mut buckets = [Bucket::EMPTY; BUCKETS];
    let mut index = NameIndex(&mut buckets);
    let mut free = Free::all(&mut slab);
    let mut model = BTreeMap::new();
    let mut pick = numbers(3);
    let hash_of = |home: u64, upper: u64| (home * 5) | (upper / 2) << 32 | (upper % 2) << 63;
    for _ in 0..50_000 {
        let hash = hash_of(pick(3), pick(uppers));
        if let Some(at) = model.remove(&hash) {
            index.remove(&slab, hash, at);
            free.put(&mut slab, at);
        } else if let Some(at) = free.take(&mut slab) {
            slab[at].hash = hash;
            index.insert(hash, at);
            model.insert(hash, at);
        }
        let (home, upper) = (pick(3), pick(uppers));
        let hash = hash_of(home, upper);
        assert_eq!(index.find(&slab, hash, |_| true), model.get(&hash).copied());
    }
    for (hash, at) in &model {
        assert_eq!(index.find(&slab, *hash, |_| true), Some(*at));
    }
}

#[test]
fn a_heap_gives_the_earliest_and_lets_any_go() {
    let mut memory = [const { Entry::VACANT }; 32];
    let mut slab = Slab(&mut memory);
    let (mut places, mut len) = ([Deadline::NONE; 32], 0);
    let mut model = [None; 32];
    let mut pick = numbers(11);
    for _ in 0..50_000 {
        let at = Idx::new(usize::try_from(pick(32)).unwrap());
        let deadline = Instant::from_nanos(pick(20));
        let mut heap = DeadlineHeap { places: &mut places, len: &mut len, slab: &mut slab };
        if model[at.get()].take().is_some() {
            heap.remove(at);
        } else {
            heap.insert(at, deadline);
            model[at.get()] = Some(deadline);
        }
        let earliest = heap.earliest();
        assert_eq!(earliest.map(|(deadline, _)| deadline), model.iter().flatten().min().copied());
        assert!(earliest.is_none_or(|(deadline, at)| model[at.get()] == Some(deadline)));
        assert!(model.iter().zip(&*slab.0).all(|(deadline, entry)| deadline.is_some() == (entry.place != 0)));
    }
}
