//! Plays with five nodes in five network namespaces: cuts, loses, delays, doubles and reorders what they say to each
//! other, kills them, stops them, gives them clocks of their own. Afterwards the network is whole, everybody has to be
//! served, and the history has to be clean.
//!
//! It needs root, `ip`, `iptables` and `unshare`, and a kernel with network namespaces and NFQUEUE.

mod cluster;
mod engine;
mod failure;
mod history;
mod interrupt;
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

use crate::failure::{Failure, Result, broken, require};
use crate::interrupt::INTERRUPTED;
use crate::net::Net;
use crate::scenario::Scenario;
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
    /// Play them so many times, each time with the next seed
    #[arg(long, default_value_t = 1)]
    times: u64,
    /// The program with `check-history`, unless it is beside this one
    #[arg(long)]
    checker: Option<PathBuf>,
    /// Keep here what is written down, in a folder for each scenario and seed, which is emptied before
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Verb::List => {
            list();
            Ok(())
        }
        Verb::Run(args) => {
            let ran = run(&args);
            // Whatever else has failed then, that is why.
            interrupt::check().and(ran)
        }
        Verb::Node { plan } => node::run(&plan),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Missing(what)) => {
            println!("SKIPPED: {what}");
            ExitCode::from(SKIPPED)
        }
        Err(Failure::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(failure @ (Failure::Unclean(_) | Failure::Broken(_))) => {
            eprintln!("{failure}");
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
struct Folder(PathBuf);

/// What the names of such folders begin with; the process's number follows.
const PREFIX: &str = "lockmaster-real-faults-";

impl Folder {
    fn new() -> Self {
        Self(env::temp_dir().join(format!("{PREFIX}{}", id())))
    }

    /// Removes the folders of processes that are no more.
    fn remove_abandoned() {
        for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix(PREFIX).and_then(|rest| rest.parse().ok());
            if number.is_some_and(space::is_over) {
                remove(&entry.path());
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
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
    interrupt::catch()?;
    space::remove_abandoned();
    Folder::remove_abandoned();
    require_tools()?;
    let own = Folder::new();
    let folder = args.keep.as_ref().unwrap_or(&own.0);
    println!("the network, seed {}", args.seed);
    measure::run(args.seed)?;
    println!("the judge");
    play_in(folder, "judge", args.seed, |place| scenario::show_judge(place, &checker, args.seed))?;
    println!("  a history of nodes that lock nothing is found unclean");
    let mut score = Score::default();
    for seed in args.seed..args.seed.saturating_add(args.times) {
        println!("seed {seed}");
        play(args, folder, &checker, seed, &mut score)?;
    }
    score.report()
}

/// How scenarios ended.
#[derive(Default)]
struct Score {
    passed: u32,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Score {
    /// An error if one failed, or none was played.
    fn report(&self) -> Result<()> {
        let Self { passed, skipped, failed } = self;
        println!("{passed} passed, {} failed, {} skipped", failed.len(), skipped.len());
        let repeats: Vec<_> =
            failed.iter().map(|failed| format!("\nrepeat with: real-faults run {failed}")).collect();
        require(failed.is_empty(), || format!("{} failed{}", failed.len(), repeats.concat()))?;
        if *passed == 0 {
            return Err(Failure::Missing(format!("nothing was played: {}", skipped.join(", "))));
        }
        Ok(())
    }
}

/// Plays what was chosen once. An error if the run was interrupted.
fn play(args: &RunArgs, folder: &Path, checker: &Path, seed: u64, score: &mut Score) -> Result<()> {
    let is_chosen =
        |scenario: &&Scenario| args.names.is_empty() || args.names.iter().any(|name| name == scenario.name);
    for scenario in SCENARIOS.iter().filter(is_chosen) {
        println!("{}: {}", scenario.name, scenario.what);
        let played = play_in(folder, scenario.name, seed, |place| scenario.run(place, checker, seed));
        interrupt::check()?;
        match played {
            Ok(figures) => {
                println!("  {figures}");
                score.passed += 1;
            }
            Err(Failure::Missing(what)) => {
                println!("  SKIPPED: {what}");
                score.skipped.push(scenario.name.to_owned());
            }
            Err(failure) => {
                println!("  FAILED: {failure}");
                score.failed.push(format!("'{}' --seed {seed}", scenario.name));
            }
        }
    }
    Ok(())
}

/// Plays something in a folder of its own, which is empty.
fn play_in<T>(folder: &Path, name: &str, seed: u64, play: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let place = folder.join(format!("{}-{seed}", name.replace(' ', "-")));
    remove(&place);
    fs::create_dir_all(&place).map_err(broken(place.display()))?;
    play(&place)
}

/// What is not there is not removed.
fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

/// Does the machine have what is needed? One that has not shows nothing.
fn require_tools() -> Result<()> {
    for (tool, question, package) in [
        ("ip", "-V", "iproute2"),
        ("iptables", "--version", "iptables"),
        ("unshare", "--version", "util-linux"),
        ("setpriv", "--version", "util-linux"),
        ("etcd", "--version", "etcd-server"),
    ] {
        let mut command = Command::new(tool);
        let asked = command.arg(question).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
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
