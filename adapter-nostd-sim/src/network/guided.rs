//! What becomes of frames, chosen from outside instead of by the weather.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use lockmaster_core::Instant;

use super::{Cargo, Flight, Network};

/// Of those on their way only so many can be meant: a choice changes little if one more is there.
const CHOICE_MAX: usize = 8;

impl Network {
    /// The weather does nothing from now on.
    pub(crate) fn be_guided(&mut self) {
        self.is_calm = true;
    }

    /// How many are on their way.
    pub(crate) fn waiting(&self) -> usize {
        self.flights.len()
    }

    /// Changes what is on its way, in the order in which it would arrive; the n-th of the first few, if there are any.
    fn with_nth(&mut self, nth: usize, change: impl FnOnce(&mut Vec<Reverse<Flight>>, usize)) {
        // The latest first, since reversed flights are in order.
        let mut flights = core::mem::take(&mut self.flights).into_sorted_vec();
        if !flights.is_empty() {
            let at = flights.len() - 1 - nth % flights.len().min(CHOICE_MAX);
            change(&mut flights, at);
        }
        self.flights = flights.into();
    }

    /// The n-th, and some after it, arrive before all others, now.
    pub(crate) fn hasten(&mut self, nth: usize, count: usize) {
        self.with_nth(nth, |flights, at| {
            for Reverse(flight) in flights[..=at].iter_mut().rev().take(count) {
                flight.at = Instant::START;
            }
        });
    }

    /// Is there something that arrives now?
    pub(crate) fn is_hastened(&self) -> bool {
        self.next_at() == Some(Instant::START)
    }

    /// The n-th is lost, if it is a frame.
    pub(crate) fn lose_nth(&mut self, nth: usize) {
        self.with_nth(nth, |flights, at| {
            if let Cargo::Frame(_) = flights[at].0.cargo {
                flights.remove(at);
            }
        });
    }

    /// The n-th arrives twice, if it is a frame: now, and when it would.
    pub(crate) fn repeat_nth(&mut self, now: Instant, nth: usize) {
        let mut found = None;
        self.with_nth(nth, |flights, at| found = Some(flights[at].0.clone()));
        if let Some(Flight { at, way, cargo: Cargo::Frame(frame), .. }) = found {
            self.hasten(nth, 1);
            self.depart(at.max(now), way, Cargo::Frame(frame));
        }
    }

    /// A frame that was sent at any time arrives again, now.
    pub(crate) fn haunt(&mut self, nth: usize) {
        if !self.past.is_empty() {
            let (way, frame) = self.past[nth % self.past.len()].clone();
            self.depart(Instant::START, way, Cargo::Frame(frame));
        }
    }

    /// A connection is lost and will be made again, or an outbox is not drained for a while.
    pub(crate) fn break_way(&mut self, now: Instant, nth: usize, is_lost: bool) {
        let way = self.ways[nth % self.ways.len()];
        let end = now.after(Duration::from_millis(20));
        if is_lost {
            self.disconnect(now, end, way);
        } else {
            self.clog(end, way);
        }
    }
}
