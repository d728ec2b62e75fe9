//! What the demonstration can be told.

use core::time::Duration;
use std::path::PathBuf;

use clap::value_parser;
use serde::{Deserialize, Serialize};

use crate::args::{share, span};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Node processes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=64))]
    pub(crate) nodes: u16,
    /// Machines that each node runs side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=16))]
    pub(crate) machines: u8,
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
    /// How often a node is killed and started again, like `2s`; `0` is never
    ///
    /// With this or one of the next two options the nodes are a cluster whose members change: they meet in a directory,
    /// and what a dead node mastered is rebuilt by the others. The table says for each such event how long locks took
    /// meanwhile, those whose slots it concerned apart from the others, and how many locks were rebuilt.
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = span)]
    pub(crate) kill_every: Duration,
    /// How often one more node joins, and leaves the next time; `0` is never
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = span)]
    pub(crate) join_every: Duration,
    /// How often a node is stopped for up to a second and goes on then; `0` is never
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = span)]
    pub(crate) pause_every: Duration,
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

impl DemoArgs {
    /// Do members change in such a demonstration?
    pub(crate) fn has_disturbances(&self) -> bool {
        [self.kill_every, self.join_every, self.pause_every].iter().any(|interval| !interval.is_zero())
    }
}

/// What becomes of a node's lock when nobody on the node uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Retain {
    Never,
    Idle(Duration),
    UntilDemanded,
}

impl Retain {
    pub(in crate::args) fn parse(text: &str) -> Result<Self, String> {
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
