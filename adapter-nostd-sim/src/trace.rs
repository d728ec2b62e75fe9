//! What happened, as lines for people and as one hash for comparison.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use lockmaster_core::Instant;

/// The lines of a run: all of them hashed, the last ones kept.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Hash,
    lines: VecDeque<String>,
    kept: usize,
    echo: Option<fn(&str)>,
}

#[derive(Debug)]
struct Hash(u64);

impl Hash {
    fn feed(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.feed_word(u64::from_be_bytes(*word));
        }
        if !rest.is_empty() {
            self.feed_word(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn feed_word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x0100_0000_01b3);
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.feed(text.as_bytes());
        Ok(())
    }
}

impl Trace {
    pub(crate) fn new(kept: usize, echo: Option<fn(&str)>) -> Self {
        Self { hash: Hash(0xcbf2_9ce4_8422_2325), lines: VecDeque::new(), kept, echo }
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        writeln!(self.hash, "{} {what}", now.as_nanos()).expect("hashing does not fail");
        self.detail(now, what);
    }

    /// Adds a line that is not part of the hash.
    pub(crate) fn detail(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        if !self.is_shown() {
            return;
        }
        let mut line = String::new();
        let micros = now.as_nanos() / 1000;
        write!(line, "{:>6}.{:03} ms  {what}", micros / 1000, micros % 1000).expect("a string grows");
        if let Some(echo) = self.echo {
            echo(&line);
        }
        if self.lines.len() >= self.kept {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Is anybody going to see details?
    pub(crate) fn is_shown(&self) -> bool {
        self.kept > 0 || self.echo.is_some()
    }

    /// Adds bytes that no line shows.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.hash.feed(bytes);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.lines.iter().map(ToString::to_string).collect()
    }
}
