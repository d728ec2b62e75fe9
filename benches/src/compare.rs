//! Two pieces of code side by side: rounds of both in turn, so that what slows the machine slows both.

use std::time::Instant;

const ROUNDS: usize = 400;

/// One line of the table of figures.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) baseline: &'static str,
    /// Medians, nanoseconds an operation.
    pub(crate) ours: f64,
    pub(crate) theirs: f64,
    /// The ratio that is aimed at.
    pub(crate) aim: f64,
}

impl Row {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours / self.theirs
    }
}

/// Runs both in turn and takes the median round of each; a round is `batch` operations.
pub(crate) fn compare(
    what: &'static str,
    baseline: &'static str,
    aim: f64,
    batch: u64,
    mut ours: impl FnMut(),
    mut theirs: impl FnMut(),
) -> Row {
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    for round in 0..ROUNDS + ROUNDS / 10 {
        let started = Instant::now();
        ours();
        let between = Instant::now();
        theirs();
        let ended = Instant::now();
        // The first rounds warm up.
        if round >= ROUNDS / 10 {
            times[0].push(between - started);
            times[1].push(ended - between);
        }
    }
    let [ours, theirs] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e9 / batch as f64
    });
    Row { what, baseline, ours, theirs, aim }
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
        let scaled = (self.next() >> 32) * u64::from(bound) >> 32;
        u32::try_from(scaled).expect("below a bound of 32 bits")
    }
}
