//! What can be said on the command line.

mod bench;
mod demo;
mod lock;
mod node;

use core::time::Duration;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use self::bench::{BenchArgs, Mix, Workload};
pub(crate) use self::demo::{DemoArgs, Retain};
pub(crate) use self::lock::{LockArgs, StageArgs};
pub(crate) use self::node::{NodeArgs, RangeArg, ReachArgs, ShowArgs, TlsArgs};
use crate::lock::stage;

use crate::ca::CaCommand;

/// Longest time that can be asked for.
const SPAN_MAX: Duration = Duration::from_secs(86_400);

/// A distributed lock manager: run nodes, run commands under locks, and look at what goes on
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node of a cluster
    ///
    /// The node runs until it is told to end by SIGTERM or SIGINT. Then it takes no more locks from `lockmaster lock`,
    /// gives the slots that it masters to other nodes, and waits for the locks of its clients and until the others know
    /// that it has nothing any more, all of it for at most --leave-within. What still runs under a lock then is told to end. A second signal ends the node at once.
    ///
    /// When the node can be used it prints one line with its number and its control socket.
    Node(Box<NodeArgs>),
    /// Run a command under a lock
    ///
    /// Waits for the lock, runs the command, and releases the lock when the command has ended, with everything in its
    /// process group. The command finds the lock's fencing token in LOCKMASTER_TOKEN (32 hexadecimal digits, which
    /// compare as the tokens do) and the resource's name in LOCKMASTER_NAME.
    ///
    /// If the lock is about to be lost the command gets SIGTERM and then SIGKILL, so early that it has ended by then;
    /// if the node dies it is killed at once, with all its descendants.
    ///
    /// The exit status is that of the command, or 128 and the number of the signal that ended it; 75 if the lock is busy
    /// (-n), 124 if it was not granted in time (-w), 79 if the command was ended because of the lock, 69 if no node
    /// answers or the node leaves, 125 if something else went wrong, 126 if the command cannot be run, 127 if there is
    /// no such command.
    Lock(LockArgs),
    /// The process that becomes the command of `lock`
    #[command(hide = true, name = stage::NAME)]
    LockStage(StageArgs),
    /// Show what a node is and does
    Status(ShowArgs),
    /// Show who is in the cluster
    Members(ShowArgs),
    /// Show the locks that a node knows
    ///
    /// A node knows the locks of its own owners, and those of all nodes on the resources that it masters.
    Locks(ShowArgs),
    /// Show who waits for whom, as far as a node knows it
    Waiters(ShowArgs),
    /// Show which node masters which slots
    Map(ShowArgs),
    /// Give all slots of a node to the others, and wait until that is done
    Drain(ReachArgs),
    /// Give slots of a node to another one, and wait until that is done
    Transfer {
        /// The slots, both ends included, or one slot; `map` shows them
        #[arg(value_name = "FIRST..LAST", value_parser = RangeArg::parse)]
        range: RangeArg,
        /// The node that gets them
        #[arg(long, value_name = "N")]
        to: u16,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Show everything that a node knows, for a bug report
    Dump(ShowArgs),
    /// Put load on a running cluster and measure it
    ///
    /// Locks are taken inside the process that needs them, so the bench joins the cluster with nodes of its own, two if
    /// not told otherwise, and leaves it when it is done. While they are members they get their share of the slots. The
    /// locks are on resources whose names begin with bench- and a number by lot; those of others are not touched.
    ///
    /// Of the cluster a node that runs already is asked: its name, its spaces and their slots. The workloads
    /// run one after the other. Times are those until a lock is granted, for value until it is given back; what a release
    /// causes elsewhere is not waited for. Ctrl-C ends the run early, with the table of what was done.
    Bench(Box<BenchArgs>),
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

/// Seconds, with decimals or without.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| *seconds <= SPAN_MAX)
        .ok_or_else(|| "expected a number of seconds of up to a day, like `5` or `0.5`".to_owned())
}

#[cfg(test)]
mod tests;
