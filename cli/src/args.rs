//! What can be said on the command line.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Parser, Subcommand, value_parser};
use serde::{Deserialize, Serialize};

use crate::ca::CaCommand;

/// Longest time that can be asked for.
const SPAN_MAX: Duration = Duration::from_secs(86_400);

/// A distributed lock manager: see it work, and check what it did.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a small shared-disk cluster on this machine and say whether its locks held
    ///
    /// Starts several node processes on loopback that share one real data file: accounts in pages of 8 KiB, each
    /// page with a checksum and the fencing token of its last writer. Tasks on every node move money between
    /// random accounts under EX locks on the pages (two at a time, in order) and audit pages under PR locks.
    /// At the end there is a table of what it took, and a verdict: money conserved, no torn page, no token going
    /// back. The exit status is 0 if all of that is so and 1 if not. Ctrl-C ends the run early, with the table of
    /// what was done.
    ///
    /// Meanwhile every node gives slots away, again and again: parts of what it decides about, whose locks stay in
    /// use. The table says what moved, what that took, who decides about how much in the end, and how long locks took
    /// whose slot was moving.
    Demo(DemoArgs),
    /// One node of a demonstration, started by `demo`
    #[command(hide = true)]
    DemoNode,
    /// Make what nodes prove themselves with to each other: an authority, and certificates
    #[command(subcommand)]
    Ca(CaCommand),
    /// Verify the history that `demo --history DIR` recorded
    ///
    /// Reads every *.jsonl file in the directory, one for each process, in the order of the clock that they
    /// share. Verifies that no two owners ever held one resource in incompatible modes, that every release
    /// belongs to a grant, and that the fencing token of a grant is higher than that of every earlier grant
    /// incompatible with it. The exit status is 0 if all of that is so and 1 if not.
    CheckHistory {
        /// Directory with the *.jsonl files
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Node processes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) nodes: u16,
    /// Tasks on every node
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) tasks: u32,
    /// Pages of the data file, 8 KiB each
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(crate) pages: u32,
    /// How long the tasks work
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Share of page choices that fall on the hot set, the first tenth of the pages; 0.1 is even
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = share)]
    pub(crate) skew: f64,
    /// Share of operations that audit a page; the others transfer money
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    pub(crate) read_share: f64,
    /// How long a node keeps a lock that nobody on it uses: `demanded` (until another node wants it), `idle:MS`
    /// (that, or until unused for so many milliseconds) or `never`
    #[arg(long, value_name = "HOW", default_value = "demanded", value_parser = Retain::parse)]
    pub(crate) retention: Retain,
    /// Grants that a node still makes to its own tasks once another node wants the lock
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) grants_after_demand: u32,
    /// How often every node transfers some of the slots that it masters to another node while their locks are in use,
    /// like `200ms` or `1s`; `0` is never
    ///
    /// A node has one transfer under way at a time. Each takes slots that follow each other, at most an eighth of all.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = span)]
    pub(crate) transfer_interval: Duration,
    /// Seed of the tasks' choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Record every grant and release in this directory, one file a process, for `check-history`; replaces the
    /// files of an earlier run
    #[arg(long, value_name = "DIR")]
    pub(crate) history: Option<PathBuf>,
    /// Make the data file in this directory and keep it; without this it is temporary
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Take no locks, to see the verdict fail
    #[arg(long)]
    pub(crate) without_locks: bool,
}

/// What becomes of a node's lock when nobody on the node uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Retain {
    Never,
    Idle(Duration),
    UntilDemanded,
}

impl Retain {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            "demanded" => Ok(Self::UntilDemanded),
            other => other
                .strip_prefix("idle:")
                .and_then(|millis| millis.parse().ok())
                .filter(|millis| *millis > 0)
                .map(|millis| Self::Idle(Duration::from_millis(millis)))
                .ok_or_else(|| "expected `never`, `idle:MS` (like `idle:100`) or `demanded`".to_owned()),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Ok(_) | Err(_) => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let number = digits.parse().ok();
    let span = number.and_then(|number| match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "" if number == 0 => Some(Duration::ZERO),
        _ => None,
    });
    span.filter(|span| *span <= SPAN_MAX)
        .ok_or_else(|| "expected a time of up to a day like `200ms` or `1s`, or `0`".to_owned())
}

#[cfg(test)]
mod tests;
