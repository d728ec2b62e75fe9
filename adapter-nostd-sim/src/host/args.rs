//! What can be said on the command line, and how a run is said again.

use core::fmt::{Display, Write as _};
use core::ops::Range;
use core::str::FromStr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, value_parser};
use lockmaster_core::{MACHINES_MAX, MEMBERS_MAX};
use lockmaster_sim::{FaultKind, FaultKinds, Moving, Options};

/// Runs seeds of the simulator: each is a cluster in virtual time with a faulty network, its owners, and checkers
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a range of seeds, or one
    ///
    /// Ends with a table of what was done. The exit status is 1 if a seed failed; then the seed is made as small as it
    /// can be, and the command that repeats it is printed. It is 1 also if a kind of fault never happened although it
    /// was on in at least 50 seeds of 400 steps or more: then the seeds did not try what they should. (Every kind
    /// happens in more than half of the seeds in which it is on, so that 50 of them miss it by chance is out of the
    /// question.)
    Run(RunArgs),
    /// Run seeds upwards until the time is over, whatever fails
    ///
    /// Ends with the same table; failures are counted by rule, each with its first seed. The exit status is 1 if there
    /// were any.
    Soak(SoakArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Seeds to run: the first, and the one after the last
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = seeds, conflicts_with = "seed")]
    pub(crate) seeds: Range<u64>,
    /// The one seed to run
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print every line of the one seed
    #[arg(long, requires = "seed")]
    pub(crate) trace: bool,
    /// Write the one seed as a page to look at: nodes, messages, transfers, grants over virtual time
    #[arg(long, value_name = "FILE", requires = "seed")]
    pub(crate) trace_html: Option<PathBuf>,
    /// Print nothing but each seed and the hash of its trace
    #[arg(long, conflicts_with = "seed")]
    pub(crate) hashes: bool,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SoakArgs {
    /// How long to run
    #[arg(long, value_name = "M", default_value_t = 10.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from: u64,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Threads {
    /// Threads that run seeds; as many as there are cores if absent
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    pub(crate) fn count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

/// What every run is allowed; the seed decides the rest.
#[derive(Debug, clap::Args)]
pub(crate) struct Shape {
    /// Steps before the network heals
    #[arg(long, value_name = "N")]
    steps: Option<u32>,
    /// Nodes of the cluster: `5`, or `2-5` to let the seed decide
    #[arg(long, value_name = "N", value_parser = nodes)]
    nodes: Option<(u16, u16)>,
    /// Machines that each node runs side by side: one if absent, or as for nodes; lines of the trace number all
    /// of them in one row, node by node
    #[arg(long, value_name = "N", value_parser = machines)]
    machines: Option<(u8, u8)>,
    /// Move slots all the time in every seed
    #[arg(long, conflicts_with = "still")]
    moving: bool,
    /// Move slots in no seed
    #[arg(long)]
    still: bool,
    /// Let members come, go, crash and be fenced
    #[arg(long)]
    changing: bool,
    /// Lend locks to the adapters, which take them and give them back by themselves
    #[arg(long)]
    lending: bool,
    /// Kinds of faults that must not happen, or `all`: loss, repeat, late, …; the table names them
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kinds)]
    without: Vec<FaultKinds>,
    /// Switch a rule of the protocol off: its place among the wrong readings
    #[cfg(lockmaster_faults)]
    #[arg(long, value_name = "N")]
    wrong: Option<u8>,
}

impl Shape {
    pub(crate) fn options(&self) -> Options {
        let moving = match (self.moving, self.still) {
            (true, _) => Moving::Often,
            (false, true) => Moving::Never,
            (false, false) => Moving::Drawn,
        };
        let default = if self.changing { Options::changing() } else { Options::default() };
        Options {
            steps: self.steps.unwrap_or(default.steps),
            nodes: self.nodes.unwrap_or(default.nodes),
            machines: self.machines.unwrap_or(default.machines),
            moving,
            is_changing: self.changing,
            is_lending: self.lending,
            without: self.without.iter().flat_map(|kinds| kinds.iter()).collect(),
            #[cfg(lockmaster_faults)]
            faults: wrong(self.wrong),
            ..default
        }
    }
}

#[cfg(lockmaster_faults)]
fn wrong(reading: Option<u8>) -> lockmaster_core::fault::Faults {
    use lockmaster_core::fault::Faults;
    reading.map_or(Faults::NONE, |at| Faults::ALL[usize::from(at)].1)
}

/// The command that runs a seed under these options and prints every line.
pub(crate) fn command(seed: u64, options: &Options) -> String {
    let default = if options.is_changing { Options::changing() } else { Options::default() };
    let mut command = format!("cargo run --release -p lockmaster-sim -- run --seed {seed} --trace");
    let mut add = |text: core::fmt::Arguments<'_>| {
        command.write_fmt(text).expect("a string grows");
    };
    if options.is_changing {
        add(format_args!(" --changing"));
    }
    if options.is_lending {
        add(format_args!(" --lending"));
    }
    if options.steps != default.steps {
        add(format_args!(" --steps {}", options.steps));
    }
    if options.nodes != default.nodes {
        add(format_args!(" --nodes {}", shown(options.nodes)));
    }
    if options.machines != default.machines {
        add(format_args!(" --machines {}", shown(options.machines)));
    }
    match options.moving {
        Moving::Drawn => {}
        Moving::Never => add(format_args!(" --still")),
        Moving::Often => add(format_args!(" --moving")),
    }
    let names: Vec<&str> = options.without.iter().map(FaultKind::name).collect();
    match options.without {
        FaultKinds::NONE => {}
        FaultKinds::ALL => add(format_args!(" --without all")),
        _ => add(format_args!(" --without {}", names.join(","))),
    }
    #[cfg(lockmaster_faults)]
    if let Some(at) = lockmaster_core::fault::Faults::ALL.iter().position(|(_, of)| *of == options.faults) {
        add(format_args!(" --wrong {at}"));
    }
    command
}

// ---- values ----

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let seeds = ends.filter(|seeds: &Range<u64>| !seeds.is_empty());
    seeds.ok_or_else(|| "expected a range like `0..1000`".to_owned())
}

fn nodes(text: &str) -> Result<(u16, u16), String> {
    from_to(text, u16::try_from(MEMBERS_MAX).unwrap_or(u16::MAX))
}

fn machines(text: &str) -> Result<(u8, u8), String> {
    from_to(text, MACHINES_MAX)
}

/// One number, or the lowest and the highest.
fn from_to<N>(text: &str, max: N) -> Result<(N, N), String>
where
    N: Copy + Display + FromStr + From<u8> + PartialOrd,
{
    let (fewest, most) = text.split_once('-').unwrap_or((text, text));
    let numbers = fewest.parse().ok().zip(most.parse().ok());
    let numbers = numbers.filter(|(fewest, most)| N::from(1) <= *fewest && fewest <= most && *most <= max);
    numbers.ok_or_else(|| format!("expected a number from 1 to {max}, or two like `2-5`"))
}

/// The same, as it is said on the command line.
fn shown<N: Display + PartialEq>((fewest, most): (N, N)) -> String {
    if fewest == most { most.to_string() } else { format!("{fewest}-{most}") }
}

fn kinds(text: &str) -> Result<FaultKinds, String> {
    if text == "all" {
        return Ok(FaultKinds::ALL);
    }
    let names = || FaultKind::ALL.map(FaultKind::name).join(", ");
    let kind = FaultKind::named(text).ok_or_else(|| format!("expected `all` or some of {}", names()))?;
    Ok(FaultKinds::NONE.with(kind))
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| (0.0..=1e6).contains(minutes));
    minutes.ok_or_else(|| "expected a number of minutes".to_owned())
}

#[cfg(test)]
mod tests;
