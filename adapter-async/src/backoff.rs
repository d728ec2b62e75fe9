//! How long to wait before the next try.

use core::time::Duration;

const SHORTEST: Duration = Duration::from_millis(20);
/// Longest pause; a connection that lived for longer counts as a success.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double up to a bound, each between half and all of its length, so that many nodes that lost
/// one peer do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    random: u64,
}

impl Backoff {
    /// Pauses that differ by seed and are the same for the same seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { next: SHORTEST, random: seed }
    }

    /// Something succeeded: begin with the shortest pause again.
    pub(crate) const fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// The next pause.
    pub(crate) fn pause(&mut self) -> Duration {
        let longest = self.next;
        self.next = (longest * 2).min(LONGEST);
        let half = longest / 2;
        half + half * (self.backoff_random() & 0xffff) as u32 / 0x1_0000
    }

    /// The next pause, at most this long.
    pub(crate) fn pause_at_most(&mut self, longest: Duration) -> Duration {
        self.next = self.next.min(longest);
        self.pause()
    }

    /// The next number of the splitmix64 sequence.
    fn backoff_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
