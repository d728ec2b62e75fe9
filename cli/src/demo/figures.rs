//! What is counted and measured while tasks work.

mod slots;

use core::time::Duration;
use std::collections::BTreeMap;

use lockmaster_tokio::Path;
use serde::{Deserialize, Serialize};

pub(super) use self::slots::{SlotTransfers, Survey};

use crate::demo::watch::Disturbance;
pub(super) use crate::latencies::Latencies;

/// Descriptions that are kept of what went wrong; all of it is counted.
const NOTES_MAX: usize = 5;

/// How far a lock had to come, as places in an array.
pub(super) const PATHS: [(Path, &str); 3] =
    [(Path::Retained, "retained"), (Path::Local, "locally mastered"), (Path::Remote, "remotely mastered")];

/// What the slot of a lock did when its master was asked for the lock and when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It stayed where it is.
    AtRest,
    /// It was on its way to another master, at one of these times at least.
    InTransfer,
}

/// Courses, as places in an array.
pub(super) const COURSES: [(Course, &str); 2] =
    [(Course::AtRest, "slot at rest"), (Course::InTransfer, "slot in transfer")];

/// Counts and measurements of one or more tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Time from asking for a lock to having it, in the order of [`PATHS`].
    pub(super) acquire: [Latencies; PATHS.len()],
    /// The same by course, in the order of [`COURSES`], as far as it is known.
    pub(super) acquire_by_course: [[Latencies; COURSES.len()]; PATHS.len()],
    /// Transfers of money.
    pub(super) transfers: u64,
    pub(super) audits: u64,
    /// Messages that nodes sent each other.
    pub(super) messages: u64,
    /// Pages found torn.
    pub(super) torn: u64,
    /// Pages whose last writer's token was not lower than the reader's.
    pub(super) tokens_back: u64,
    /// Locks that were refused.
    pub(super) refused: u64,
    /// Tasks that did not end in time.
    pub(super) unfinished: u64,
    /// What the first pages and locks above were.
    pub(super) notes: Vec<String>,
    /// Transfers of slots.
    pub(super) slots: SlotTransfers,
    /// What was measured of each event.
    pub(super) disturbances: BTreeMap<u32, Disturbance>,
}

impl Figures {
    /// Complete operations.
    pub(super) fn operations(&self) -> u64 {
        self.transfers + self.audits
    }

    /// Notes how long a lock took, and the course of its slot if somebody looked.
    pub(super) fn acquired(&mut self, path: Path, course: Option<Course>, time: Duration) {
        let place = match path {
            Path::Retained => 0,
            Path::Local => 1,
            Path::Remote => 2,
        };
        self.acquire[place].record(time);
        let of_path = &mut self.acquire_by_course[place];
        match course {
            Some(Course::AtRest) => of_path[0].record(time),
            Some(Course::InTransfer) => of_path[1].record(time),
            None => {}
        }
    }

    /// Keeps a description, if there are not many yet.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// Adds the figures of other tasks.
    pub(super) fn add(&mut self, other: Self) {
        for (mine, others) in self.acquire.iter_mut().zip(&other.acquire) {
            mine.add(others);
        }
        let others = other.acquire_by_course.iter().flatten();
        for (mine, others) in self.acquire_by_course.iter_mut().flatten().zip(others) {
            mine.add(others);
        }
        self.transfers += other.transfers;
        self.audits += other.audits;
        self.messages += other.messages;
        self.torn += other.torn;
        self.tokens_back += other.tokens_back;
        self.refused += other.refused;
        self.unfinished += other.unfinished;
        for note in other.notes {
            self.note(note);
        }
        self.slots.add(&other.slots);
        for (event, disturbance) in &other.disturbances {
            self.disturbances.entry(*event).or_default().add(disturbance);
        }
    }
}

#[cfg(test)]
mod tests;
