//! Two pieces of code side by side: rounds of both in turn, so that what slows the machine slows both.

use core::fmt;
use core::time::Duration;

/// Rounds before the first that counts, where a round is short.
pub(crate) const WARM_UP: usize = 20;

/// One line of the table of figures.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) baseline: &'static str,
    pub(crate) unit: &'static str,
    /// Medians.
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    pub(crate) aim: Aim,
    /// What else was seen, a line each.
    pub(crate) notes: Vec<String>,
}

/// The ratio that is aimed at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Row {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(ratio) => write!(f, "<= {ratio:.1}"),
            Self::AtLeast(ratio) => write!(f, ">= {ratio:.1}"),
        }
    }
}

/// What is compared, and how much of it a round does.
pub(crate) struct Plan {
    pub(crate) what: &'static str,
    pub(crate) baseline: &'static str,
    /// Times the baseline, at most.
    pub(crate) aim: f64,
    /// Operations a round.
    pub(crate) batch: u32,
    /// Rounds that do not count.
    pub(crate) warm_up: usize,
    pub(crate) rounds: usize,
}

impl Plan {
    /// Runs both in turn and takes the median round of each. `round` does one of ours, or of theirs, and says
    /// how long that took.
    pub(crate) fn run(self, mut round: impl FnMut(Side) -> Duration) -> Vec<Row> {
        let mut times = [Vec::with_capacity(self.rounds), Vec::with_capacity(self.rounds)];
        for number in 0..self.warm_up + self.rounds {
            for (side, times) in [Side::Ours, Side::Theirs].into_iter().zip(&mut times) {
                let time = round(side);
                if number >= self.warm_up {
                    times.push(time);
                }
            }
        }
        let [ours, theirs] = times.map(|times| median(times).as_secs_f64() * 1e9 / f64::from(self.batch));
        let Self { what, baseline, aim, .. } = self;
        vec![Row { what, baseline, unit: "ns", ours, theirs, aim: Aim::AtMost(aim), notes: Vec::new() }]
    }
}

/// The one in the middle.
pub(crate) fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).expect("what is measured has an order"));
    values[values.len() / 2]
}

/// Which of the two a round is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Theirs,
}

/// Pseudo-random numbers (splitmix64), the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = ((self.next() >> 32) * u64::from(bound)) >> 32;
        u32::try_from(scaled).expect("below a bound of 32 bits")
    }
}

/// A name of 16 bytes.
pub(crate) fn name(number: u64) -> [u8; 16] {
    let mut name = *b"resource........";
    name[8..].copy_from_slice(&number.to_le_bytes());
    name
}
