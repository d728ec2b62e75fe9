//! What went on over time, in a bounded number of samples.

use core::time::Duration;

/// Samples that are kept, at most.
const SAMPLES_MAX: usize = 240;
/// Time between samples at the start.
const EVERY: Duration = Duration::from_millis(50);

/// How things stood at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) at: Duration,
    /// Operations done until then.
    pub(super) operations: u64,
    /// Slots that were known to be moving then.
    pub(super) moving: u32,
    /// Transfers that the nodes of the bench had given or taken until then.
    pub(super) transfers: u64,
    /// Number of the view.
    pub(super) epoch: u32,
}

/// Samples in the order of time. When there are too many, half of them go, and the next come half as often.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    every: Duration,
    samples: Vec<Sample>,
}

/// The time between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slice {
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// Operations a second.
    pub(super) rate: f64,
    /// Were slots moving in it?
    pub(super) is_moving: bool,
    /// The view that came in it.
    pub(super) new_epoch: Option<u32>,
}

impl Timeline {
    /// With how things stand at the start.
    pub(super) fn new(start: Sample) -> Self {
        Self { every: EVERY, samples: vec![start] }
    }

    /// When the next sample is due, since the start.
    pub(super) fn due(&self) -> Duration {
        self.samples.last().map_or(Duration::ZERO, |last| last.at) + self.every
    }

    pub(super) fn add(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES_MAX {
            self.halve();
        }
        self.samples.push(sample);
    }

    /// The last sample. If it comes early, it stands for the one before, too: a rate over an instant says nothing.
    pub(super) fn end(&mut self, sample: Sample) {
        match self.samples.last_mut() {
            Some(last) if last.at > Duration::ZERO && sample.at < last.at + self.every / 2 => {
                *last = Sample { moving: sample.moving.max(last.moving), ..sample };
            }
            Some(_) | None => self.add(sample),
        }
    }

    fn halve(&mut self) {
        let mut halved = Vec::with_capacity(SAMPLES_MAX);
        let mut moving = 0;
        for (at, sample) in self.samples.iter().enumerate() {
            moving = sample.moving.max(moving);
            if at.is_multiple_of(2) {
                halved.push(Sample { moving, ..*sample });
                moving = 0;
            }
        }
        self.samples = halved;
        self.every *= 2;
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = Slice> {
        self.samples.windows(2).map(|pair| {
            let (before, after) = (pair[0], pair[1]);
            let seconds = (after.at - before.at).as_secs_f64();
            let operations = after.operations.saturating_sub(before.operations);
            Slice {
                from: before.at,
                to: after.at,
                rate: if seconds > 0.0 { operations as f64 / seconds } else { 0.0 },
                is_moving: after.moving > 0 || before.moving > 0 || after.transfers > before.transfers,
                new_epoch: (after.epoch != before.epoch).then_some(after.epoch),
            }
        })
    }

    /// Times from which and to which slots were moving.
    pub(super) fn moves(&self) -> Vec<(Duration, Duration)> {
        let mut moves: Vec<(Duration, Duration)> = Vec::new();
        for slice in self.slices().filter(|slice| slice.is_moving) {
            match moves.last_mut() {
                Some((_, end)) if *end == slice.from => *end = slice.to,
                Some(_) | None => moves.push((slice.from, slice.to)),
            }
        }
        moves
    }

    /// When which view came.
    pub(super) fn views(&self) -> Vec<(Duration, u32)> {
        self.slices().filter_map(|slice| Some((slice.to, slice.new_epoch?))).collect()
    }
}

#[cfg(test)]
mod tests;
