//! How long something took, as a histogram that merges and travels.

use core::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long something took, each time it was done, to three digits. Sent as pairs of nanoseconds and count.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// How often it was done.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of them was done, 0 to 1.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    /// Times, and how often each was seen, the shortest first.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.0
            .iter_recorded()
            .map(|step| (Duration::from_nanos(step.value_iterated_to()), step.count_at_value()))
    }

    /// The longest time.
    pub(crate) fn max(&self) -> Duration {
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
