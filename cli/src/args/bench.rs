//! What `bench` can be told.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{ArgGroup, ValueEnum, value_parser};
use lockmaster_tokio::Mode;

use crate::args::node::EtcdArgs;
use crate::args::{NodeArgs, Retain, TlsArgs, seconds};
use crate::bench::Facts;

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("engine").args(["dir", "etcd"]).required(true))]
pub(crate) struct BenchArgs {
    /// Join the cluster that meets in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Join the cluster that meets in an etcd cluster with these endpoints
    #[arg(long, value_name = "URL", num_args = 1.., requires_all = ["etcd_state", "socket"])]
    pub(crate) etcd: Vec<String>,
    #[command(flatten)]
    pub(crate) etcd_args: EtcdArgs,
    /// Control socket of the running node that is asked about the cluster; without this the lowest of the directory that answers
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Nodes of the bench
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(u16).range(1..=8))]
    pub(crate) nodes: u16,
    /// Number of the first of them, which the others follow; without this it is a high one by lot
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=60_000))]
    pub(crate) id: Option<u16>,
    /// Address on which they listen for the others
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address on which the others reach the bench, if that is not the one of --listen
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise: Option<SocketAddr>,
    /// Resources, and locks, that each of the nodes has room for: those of the bench, and those of all others in its slots
    #[arg(long, value_name = "N", default_value_t = 131_072, value_parser = value_parser!(u32).range(1024..=16_777_216))]
    pub(crate) room: u32,
    /// A workload, several times for several; without this all of them
    #[arg(long = "workload", value_name = "NAME", value_enum)]
    pub(crate) workloads: Vec<Workload>,
    /// Seconds that each workload runs
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Operations after which each workload ends, however long that takes
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = value_parser!(u64).range(1..))]
    pub(crate) operations: Option<u64>,
    /// Tasks on each of the nodes
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) tasks: u32,
    /// Resources of each workload, but for `handover`, where each task has one
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(crate) resources: u32,
    /// Modes that `mix` asks for, and how often
    #[arg(long, value_name = "MODE=N,...", default_value = "PR=95,EX=5", value_parser = Mix::parse)]
    pub(crate) mix: Mix,
    /// Seed of the tasks' choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print rows as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with charts, which needs nothing else, into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Allow an address that other hosts can reach also without --tls
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl BenchArgs {
    /// The workloads to run, each once, in their order.
    pub(crate) fn chosen(&self) -> Vec<Workload> {
        let is_chosen = |workload: &Workload| self.workloads.is_empty() || self.workloads.contains(workload);
        Workload::ALL.into_iter().filter(is_chosen).collect()
    }

    /// What the node at this place is told, which has this number.
    pub(crate) fn node(&self, at: u16, number: u16, retention: Retain, facts: &Facts) -> NodeArgs {
        let mut etcd_args = self.etcd_args.clone();
        // What a node must not forget is its own.
        etcd_args.etcd_state = etcd_args.etcd_state.map(|state| state.join(format!("bench-{}", at + 1)));
        NodeArgs {
            dir: self.dir.clone(),
            etcd: self.etcd.clone(),
            etcd_args,
            id: Some(number),
            listen: self.listen,
            advertise: self.advertise,
            cluster: facts.cluster.clone(),
            socket: None,
            spaces: facts.spaces.clone(),
            slots: facts.slots,
            machines: None,
            retention,
            locks: self.room,
            resources: self.room,
            leave_within: Duration::ZERO,
            tls: self.tls.clone(),
            insecure: self.insecure,
        }
    }
}

/// What the bench does with locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Take retained EX locks again
    Retained,
    /// Take EX locks that a task on each node wants all the time
    Handover,
    /// Take locks that all tasks share, in the modes of --mix
    Mix,
    /// Read and write the value blocks of retained EX locks
    Value,
    /// Take EX locks that nobody else wants from other nodes, and retain none
    Remote,
}

impl Workload {
    /// In the order in which they run: those whose nodes retain the same are neighbours.
    pub(crate) const ALL: [Self; 5] = [Self::Retained, Self::Handover, Self::Mix, Self::Value, Self::Remote];

    /// Its name on the command line and in rows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Remote => "remote",
            Self::Handover => "handover",
            Self::Mix => "mix",
            Self::Value => "value",
        }
    }

    /// What becomes of a lock of the bench that nobody uses.
    pub(crate) const fn retention(self) -> Retain {
        match self {
            Self::Retained | Self::Handover | Self::Mix | Self::Value => Retain::UntilDemanded,
            Self::Remote => Retain::Never,
        }
    }
}

/// Modes with their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Mode, u32)>);

impl Mix {
    pub(in crate::args) fn parse(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (mode, weight) = part.split_once('=')?;
            let mode = Mode::from_letters(&mode.to_ascii_uppercase())?;
            Some((mode, weight.parse().ok().filter(|weight| (1..=1_000_000_u32).contains(weight))?))
        };
        let parts: Option<Vec<_>> = text.split(',').map(part).collect();
        let is_sound = |parts: &Vec<(Mode, u32)>| {
            parts.iter().enumerate().all(|(at, (mode, _))| parts[..at].iter().all(|(other, _)| other != mode))
        };
        parts
            .filter(is_sound)
            .map(Self)
            .ok_or_else(|| "expected modes with weights, each mode once, like `PR=95,EX=5`".to_owned())
    }

    /// A mode by lot.
    pub(crate) fn draw(&self, lots: &mut fastrand::Rng) -> Mode {
        let mut lot = lots.u32(..self.0.iter().map(|(_, weight)| weight).sum::<u32>());
        for (mode, weight) in &self.0 {
            match lot.checked_sub(*weight) {
                Some(left) => lot = left,
                None => return *mode,
            }
        }
        unreachable!("the lot is below the sum of the weights")
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(mode, weight)| format!("{mode}={weight}")).collect();
        f.write_str(&parts.join(","))
    }
}
