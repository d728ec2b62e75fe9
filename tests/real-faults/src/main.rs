//! Plays with five nodes in five network namespaces: cuts, loses, delays, doubles and reorders what they say to each other,
//! kills them, stops them, sets their clocks. Afterwards the network is whole, everybody has to be served, and the
//! history has to be clean.
//!
//! It needs root, `ip`, `iptables` and `unshare`, and a kernel with network namespaces and NFQUEUE.

mod cluster;
mod engine;
mod failure;
mod history;
mod journal;
mod measure;
mod net;
mod node;
mod plan;
mod scenario;
mod scenarios;
mod space;
mod weather;
mod worker;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio, id};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result, broken, require};
use crate::net::Net;
use crate::scenarios::SCENARIOS;
use crate::weather::Rates;

/// Exit status where the machine cannot do what is needed.
const SKIPPED: u8 = 77;

#[derive(Parser)]
#[command(about = "Plays with real nodes in a real network whose faults are made")]
struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Lists the scenarios
    List,
    /// Measures what the network does, then plays the scenarios that are named, or all
    Run(RunArgs),
    /// Runs one node; for this program itself
    #[command(hide = true)]
    Node { plan: String },
}

#[derive(clap::Args)]
struct RunArgs {
    /// Scenarios to play
    names: Vec<String>,
    /// What everything that is drawn by lot is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program with `check-history`, unless it is beside this one
    #[arg(long)]
    checker: Option<PathBuf>,
    /// Keep the histories here
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Verb::List => {
            list();
            Ok(())
        }
        Verb::Run(args) => run(&args),
        Verb::Node { plan } => node::run(&plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Missing(what)) => {
            println!("SKIPPED: {what}");
            ExitCode::from(SKIPPED)
        }
        Err(Failure::Broken(what)) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for scenario in SCENARIOS {
        println!("{}\n    {}\n    {}", scenario.name, scenario.what, scenario.shows);
    }
}

/// The folder of this run, which is removed with it.
fn own_folder() -> PathBuf {
    env::temp_dir().join(format!("lockmaster-real-faults-{}", id()))
}

fn run(args: &RunArgs) -> Result<()> {
    let unknown = args.names.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name));
    if let Some(name) = unknown {
        return Err(Failure::Broken(format!("no scenario is called `{name}`; see `real-faults list`")));
    }
    let checker = match &args.checker {
        Some(checker) => checker.clone(),
        None => env::current_exe().map_err(broken("finding this program"))?.with_file_name("lockmaster"),
    };
    require(checker.is_file(), || format!("{}: build the program lockmaster first", checker.display()))?;
    require_tools()?;
    space::remove_abandoned();
    remove_when_interrupted()?;
    let folder = args.keep.clone().unwrap_or_else(own_folder);
    let played = play(args, &folder, &checker);
    remove(&own_folder());
    played
}

fn play(args: &RunArgs, folder: &Path, checker: &Path) -> Result<()> {
    println!("seed {}", args.seed);
    println!("the network");
    measure::run(args.seed)?;
    let chosen: Vec<_> = SCENARIOS
        .iter()
        .filter(|scenario| args.names.is_empty() || args.names.iter().any(|name| name == scenario.name))
        .collect();
    let mut failed = Vec::new();
    for scenario in &chosen {
        println!("{}: {}", scenario.name, scenario.what);
        let place = folder.join(scenario.name.replace(' ', "-"));
        remove(&place);
        match scenario.run(&place, checker, args.seed) {
            Ok(figures) => println!("  {figures}"),
            Err(failure) => {
                println!("  FAILED: {failure}");
                failed.push(scenario.name);
            }
        }
    }
    println!("{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    require(failed.is_empty(), || {
        format!("failed: {}; repeat with: real-faults run NAME --seed {}", failed.join(", "), args.seed)
    })
}

/// What is not there is not removed.
fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

/// Does the machine have what is needed? One that has not shows nothing.
fn require_tools() -> Result<()> {
    for (tool, package) in [
        ("ip", "iproute2"),
        ("iptables", "iptables"),
        ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
        ("etcd", "etcd-server"),
    ] {
        let mut command = Command::new(tool);
        let asked = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let is_there = asked.is_ok_and(|status| status.success()) || tool == "ip" && ip_is_there();
        if !is_there {
            return Err(Failure::Missing(format!("`{tool}` is not installed (Debian: {package})")));
        }
    }
    // A kernel or a container that does not allow it says so here.
    let tried = Net::new(2).and_then(|mut net| {
        net.weather(Rates::default(), 0)?;
        net.heal()
    });
    tried.map_err(|failure| Failure::Missing(format!("no network can be made: {failure}")))
}

fn ip_is_there() -> bool {
    Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Has what this process has made removed when somebody interrupts it. The nodes end with this process.
fn remove_when_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(broken("starting a runtime"))?;
    let caught = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt()).and_then(|first| Ok((first, signal(SignalKind::terminate())?)))
    };
    let (mut interrupt, mut terminate) = caught.map_err(broken("catching signals"))?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        space::remove_own();
        remove(&own_folder());
        std::process::exit(130);
    });
    Ok(())
}
