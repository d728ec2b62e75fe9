//! Fuzzing: `fuzz/libfuzzer` is built with cargo-fuzz, each target runs for some seconds, and a bug that is there on
//! purpose must be found.
//!
//! Everything is written below the target directory; what is kept in `fuzz/corpus` is only read. No sanitizer is used:
//! nothing that is fuzzed has unsafe code, and without one the stable toolchain is enough.

mod figures;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{self, check_succeeds};
use crate::outside::LIBFUZZER;
use crate::verify::{self, Done};
use figures::Figures;

const CORPUS: &str = "fuzz/corpus";
/// Version of cargo-fuzz.
const TOOL_VERSION: &str = "0.13.2";
/// Seconds of each target, unless it is said.
const SECONDS: u32 = 20;
/// Chance is the same in each run; how far a run comes is not.
const SEED: &str = "-seed=1";

struct Target {
    name: &'static str,
    /// Longest input, in bytes: what is longer takes more time than it finds.
    len_max: u32,
}

const TARGETS: &[Target] = &[
    Target { name: "decode", len_max: 512 },
    Target { name: "roundtrip", len_max: 512 },
    Target { name: "node", len_max: 700 },
    Target { name: "cluster", len_max: 453 },
    Target { name: "table", len_max: 256 },
];

/// The target with the bug, and what it says when it is found.
const CANARY: Target = Target { name: "canary", len_max: 128 };
const CANARY_SAYS: &str = "the canary was found";
/// Executions within which it must be found: some hundred times as many as it takes.
const CANARY_RUNS: u32 = 5_000_000;

/// Does no target find anything, and is the canary found?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<Done, String> {
    run_targets(root, SECONDS, &TARGETS.iter().collect::<Vec<_>>())
}

/// `cargo xtask fuzz`: the arguments after it. Returns whether nothing failed.
///
/// # Errors
/// An argument that is not understood, or what went wrong, for people.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<bool, String> {
    let (seconds, names) = match arguments {
        ["--seconds", seconds, names @ ..] => {
            (seconds.parse().map_err(|error| format!("--seconds {seconds}: {error}"))?, names)
        }
        names => (SECONDS, names),
    };
    let find = |name: &&str| {
        let target = TARGETS.iter().find(|target| target.name == *name);
        target.ok_or_else(|| format!("`{name}` is no target; there are {}", known()))
    };
    let chosen = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let all = if names.is_empty() { TARGETS.iter().collect() } else { chosen };
    match run_targets(root, seconds, &all) {
        Ok(Done::Passed) => Ok(true),
        Ok(Done::Skipped(reason)) => {
            println!("SKIPPED: {reason}");
            Ok(true)
        }
        Err(problem) => {
            println!("{problem}");
            Ok(false)
        }
    }
}

fn known() -> String {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ")
}

fn run_targets(root: &Path, seconds: u32, targets: &[&Target]) -> Result<Done, String> {
    // libFuzzer is C++.
    if Command::new("c++").arg("--version").output().is_err() {
        return Ok(Done::Skipped("there is no C++ compiler, `c++`, so nothing was fuzzed".to_owned()));
    }
    LIBFUZZER.check_lock(root)?;
    LIBFUZZER.check_format(root)?;
    let rig = Rig::build(root)?;

    println!("{}", figures::HEADING);
    let mut problems = Vec::new();
    for target in targets {
        match rig.fuzz(target, seconds) {
            Ok(figures) => println!("{}", figures.row(target.name)),
            Err(problem) => {
                println!("{:<10} FAILED", target.name);
                problems.push(problem);
            }
        }
    }
    match rig.find_canary() {
        Ok(figures) => println!("{}, found as it should", figures.row(CANARY.name)),
        Err(problem) => problems.push(problem),
    }
    if problems.is_empty() { Ok(Done::Passed) } else { Err(problems.join("\n")) }
}

/// Targets that are built, and where their output goes.
struct Rig {
    root: PathBuf,
    programs: PathBuf,
    output: PathBuf,
}

impl Rig {
    fn build(root: &Path) -> Result<Self, String> {
        let output = LIBFUZZER.target(root);
        let mut command = Command::new(tool(root)?);
        command.args(["fuzz", "build", "--fuzz-dir", LIBFUZZER.folder, "--sanitizer", "none"]);
        // What is compared in the core are seldom bytes of the input, so to follow comparisons costs half of the speed
        // and finds nothing sooner.
        command.args(["--no-trace-compares", "--target-dir"]).arg(&output);
        command.current_dir(root).stdin(Stdio::null()).env_remove("CARGO_BUILD_TARGET");
        check_succeeds(&mut command, "the targets do not build")?;
        let programs = output.join(host()?).join("release");
        Ok(Self { root: root.to_owned(), programs, output })
    }

    /// One target, from its corpus on. Any crash, hang or leak is an error.
    fn fuzz(&self, target: &Target, seconds: u32) -> Result<Figures, String> {
        let found = self.output.join("found").join(target.name);
        create_anew(&found)?;
        let mut command = self.command(target)?;
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-artifact_prefix={}/", found.display()));
        command.arg(self.root.join(CORPUS).join(target.name));
        let output = command::run(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let figures = Figures::read(&said);
        if output.status.success() && figures.executions > 0 {
            return Ok(figures);
        }
        let name = target.name;
        let program = self.programs.join(name);
        Err(format!(
            "{name} ended with {} after {} executions\n{}\nrepeat with: {} {}/*\nthen keep the file in {CORPUS}/{name}, \
             and its story in fuzz/README.md",
            output.status,
            figures.executions,
            figures::last_lines(&said),
            program.display(),
            found.display(),
        ))
    }

    /// The bug that is there on purpose, from a seed that does not show it.
    fn find_canary(&self) -> Result<Figures, String> {
        let mut command = self.command(&CANARY)?;
        command.arg(format!("-runs={CANARY_RUNS}"));
        command.arg(format!("-artifact_prefix={}/", self.new_inputs(&CANARY).display()));
        command.arg(self.root.join(CORPUS).join(CANARY.name));
        let output = command::run(&mut command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let figures = Figures::read(&said);
        if !output.status.success() && said.contains(CANARY_SAYS) && figures.executions > 0 {
            return Ok(figures);
        }
        let last = figures::last_lines(&said);
        Err(format!("the canary was not found in {CANARY_RUNS} executions: this rig finds nothing\n{last}"))
    }

    fn new_inputs(&self, target: &Target) -> PathBuf {
        self.output.join("new").join(target.name)
    }

    /// The program with what all runs have in common; new inputs go where none are left of another run.
    fn command(&self, target: &Target) -> Result<Command, String> {
        let new_inputs = self.new_inputs(target);
        create_anew(&new_inputs)?;
        let mut command = Command::new(self.programs.join(target.name));
        command.args([SEED, "-print_final_stats=1", "-len_control=0", "-timeout=10"]);
        command.arg(format!("-max_len={}", target.len_max)).arg(new_inputs);
        command.current_dir(&self.root).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
        Ok(command)
    }
}

fn create_anew(directory: &Path) -> Result<(), String> {
    let said = |error| format!("{}: {error}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(said)?;
    }
    fs::create_dir_all(directory).map_err(said)
}

/// cargo-fuzz of the right version: the one at hand, or one that is installed below the target directory.
fn tool(root: &Path) -> Result<PathBuf, String> {
    let target = std::path::absolute(verify::target(root));
    let home = target.map_err(|error| format!("no target directory: {error}"))?.join("tools");
    let own = home.join("bin/cargo-fuzz");
    for tool in [PathBuf::from("cargo-fuzz"), own.clone()] {
        let version = Command::new(&tool).arg("--version").output();
        let is_right = |said: &[u8]| String::from_utf8_lossy(said).trim().ends_with(TOOL_VERSION);
        if version.is_ok_and(|version| is_right(&version.stdout)) {
            return Ok(tool);
        }
    }
    println!("cargo-fuzz {TOOL_VERSION} is installed in {}", home.display());
    let mut command = verify::cargo(root);
    command.args(["install", "cargo-fuzz", "--locked", "--version", TOOL_VERSION, "--root"]).arg(&home);
    // It only calls cargo: to optimise it would take longer than it runs.
    command.arg("--debug");
    check_succeeds(&mut command, "cargo-fuzz cannot be installed")?;
    Ok(own)
}

/// The platform that rustc builds for unless it is told.
fn host() -> Result<String, String> {
    let output = command::run(Command::new("rustc").arg("-vV"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what its host is".to_owned())
}

#[cfg(test)]
mod tests;
