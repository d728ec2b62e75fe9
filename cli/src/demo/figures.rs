//! What is counted and measured while tasks work.

use core::time::Duration;

use hdrhistogram::Histogram;
use lockmaster_tokio::Path;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Descriptions that are kept of what went wrong; all of it is counted.
const NOTES_MAX: usize = 5;

/// How far a lock had to come, as places in an array.
pub(super) const PATHS: [(Path, &str); 3] =
    [(Path::Retained, "retained"), (Path::Local, "locally mastered"), (Path::Remote, "remotely mastered")];

/// Counts and measurements of one or more tasks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Time from asking for a lock to having it, in the order of [`PATHS`].
    pub(super) acquire: [Latencies; PATHS.len()],
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
}

impl Figures {
    /// Complete operations.
    pub(super) fn operations(&self) -> u64 {
        self.transfers + self.audits
    }

    /// Notes how long a lock took.
    pub(super) fn acquired(&mut self, path: Path, time: Duration) {
        let place = match path {
            Path::Retained => 0,
            Path::Local => 1,
            Path::Remote => 2,
        };
        self.acquire[place].record(time);
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
    }
}

/// How long something took, each time it was done, to three digits. Sent as pairs of nanoseconds and count.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How often it was done.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them was done, 0 to 1.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// The longest time.
    pub(super) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }
}

impl Default for Latencies {
    /// None, with room for up to an hour.
    fn default() -> Self {
        let hour = 3_600_000_000_000;
        Self(Histogram::new_with_bounds(1, hour, 3).expect("the bounds and digits are in order"))
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output
            .collect_seq(self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'a> Deserialize<'a> for Latencies {
    fn deserialize<D: Deserializer<'a>>(input: D) -> Result<Self, D::Error> {
        let mut latencies = Self::default();
        for (nanos, count) in Vec::<(u64, u64)>::deserialize(input)? {
            latencies.0.saturating_record_n(nanos, count);
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests;
