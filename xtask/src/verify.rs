//! The gate: every step in order, whatever became of those before it, and a table at the end.

use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{etcd, examples, faults, freestanding, fuzz, image, orders, root, scoreboard, tidy};

/// One step of the gate.
pub(crate) struct Step {
    /// What to call it on the command line.
    pub(crate) name: &'static str,
    /// What is known once it has passed.
    pub(crate) proves: &'static str,
    /// Left out by `--fast`.
    pub(crate) is_slow: bool,
    action: Action,
}

enum Action {
    /// Cargo with these arguments, separated by spaces.
    Cargo(Cargo),
    /// A check written here. An error is the reason, for people.
    Check(fn(&Path) -> Result<(), String>),
    /// One for which something may be missing on a machine.
    Perhaps(fn(&Path) -> Result<Done, String>),
}

/// How a check ended that found nothing wrong.
pub(crate) enum Done {
    Passed,
    /// Nothing was checked, and why.
    Skipped(String),
}

struct Cargo {
    args: &'static str,
    /// Flags added to a variable of the environment: its name, the flags.
    flags: Option<(&'static str, &'static str)>,
}

impl Action {
    const fn cargo(args: &'static str) -> Self {
        Self::Cargo(Cargo { args, flags: None })
    }
}

/// The gate, cheapest steps first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        proves: "files are short and clean, dependencies point one way",
        is_slow: false,
        action: Action::Check(tidy::check),
    },
    Step {
        name: "fmt",
        proves: "the workspace is formatted",
        is_slow: false,
        action: Action::cargo("fmt --all --check"),
    },
    Step {
        name: "clippy",
        proves: "no lint has anything to say, with all features",
        is_slow: false,
        action: Action::cargo(
            "clippy --workspace --exclude lockmaster-etcd --exclude lockmaster --exclude lockmaster-real-faults --all-targets --all-features --locked -- -D warnings",
        ),
    },
    Step {
        name: "clippy-program",
        proves: "nor about the program, as it is without etcd",
        is_slow: false,
        action: Action::cargo("clippy -p lockmaster --all-targets --locked -- -D warnings"),
    },
    Step {
        name: "test",
        proves: "unit, integration and doc tests pass",
        is_slow: false,
        action: Action::cargo(
            "test --workspace --exclude lockmaster-etcd --exclude lockmaster-real-faults --features lockmaster-async/tracing --locked",
        ),
    },
    Step {
        name: "examples",
        proves: "every example of README runs to its end and finds what it says, within seconds",
        is_slow: false,
        action: Action::Check(examples::check),
    },
    Step {
        name: "root",
        proves: "who is another user is kept out, where somebody can be one",
        is_slow: false,
        action: Action::Perhaps(root::check),
    },
    Step {
        name: "doc",
        proves: "the documentation builds without a warning",
        is_slow: true,
        action: Action::Cargo(Cargo {
            args: "doc --workspace --exclude lockmaster-etcd --exclude lockmaster-real-faults --no-deps --locked",
            flags: Some(("RUSTDOCFLAGS", "-Dwarnings")),
        }),
    },
    Step {
        name: "no-std",
        proves: "the core builds without any feature",
        is_slow: true,
        action: Action::cargo("build -p lockmaster-core --no-default-features --locked"),
    },
    Step {
        name: "freestanding",
        proves: "a program of the core alone links and runs, and does not with std, alloc or libc; none of the core's code wants more",
        is_slow: true,
        action: Action::Check(freestanding::check),
    },
    Step {
        name: "fuzz",
        proves: "no bytes break a target within 20 seconds, and a bug on purpose is found",
        is_slow: true,
        action: Action::Perhaps(fuzz::check),
    },
    Step {
        name: "image",
        proves: "the superloop and the simulator do the same on a Cortex-M4 without an operating system",
        is_slow: true,
        action: Action::Perhaps(image::check),
    },
    Step {
        name: "etcd",
        proves: "membership holds with real servers of etcd that stall, die, restart and lose their memory",
        is_slow: true,
        action: Action::Perhaps(etcd::check),
    },
    Step {
        name: "real-faults",
        proves: "real nodes survive cuts, loss, delay, repetition, reordering, kills, pauses and clocks that differ",
        is_slow: true,
        action: Action::Perhaps(faults::check),
    },
    Step {
        name: "loom",
        proves: "no order of threads misses a wake-up or leaves something behind in the async adapter",
        is_slow: true,
        action: Action::Check(orders::check_all),
    },
    Step {
        name: "shuttle",
        proves: "nor does any order drawn for more threads, on two nodes, while slots move",
        is_slow: true,
        action: Action::Check(orders::check_some),
    },
    Step {
        name: "scoreboard",
        proves: "every bug on purpose is noticed by the stages that noticed it before, and what fails is made small",
        is_slow: true,
        action: Action::Check(scoreboard::check),
    },
];

/// Runs the steps that `selection` (the arguments after `verify`) names, or all. Returns whether all passed.
///
/// # Errors
/// An argument that is no step and no switch; nothing was run.
pub(crate) fn run(root: &Path, selection: &[&str]) -> Result<bool, String> {
    let is_fast = selection.contains(&"--fast");
    let names: Vec<&str> = selection.iter().copied().filter(|argument| *argument != "--fast").collect();
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        return Err(format!("`{unknown}` is no step of the gate; see `cargo xtask help`"));
    }
    let chosen = STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name));

    let mut results = Vec::new();
    for step in chosen {
        if is_fast && step.is_slow && names.is_empty() {
            results.push((step.name, Outcome::LeftOut, Duration::ZERO));
            continue;
        }
        let (outcome, took) = run_step(step, root);
        results.push((step.name, outcome, took));
    }
    Ok(run_report(&results))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    LeftOut,
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::LeftOut => "left out",
            Self::Skipped => "SKIPPED",
        })
    }
}

fn run_step(step: &Step, root: &Path) -> (Outcome, Duration) {
    println!("==> {}: {}", step.name, step.proves);
    let start = Instant::now();
    let repeat = |reason| (reason, format!("cargo xtask verify {}", step.name));
    let result = match &step.action {
        Action::Cargo(cargo) => run_cargo(cargo, root).map(|()| Done::Passed),
        Action::Check(check) => check(root).map(|()| Done::Passed).map_err(repeat),
        Action::Perhaps(check) => check(root).map_err(repeat),
    };
    let took = start.elapsed();
    let outcome = match result {
        Ok(Done::Passed) => Outcome::Passed,
        Ok(Done::Skipped(reason)) => {
            println!("SKIPPED: {reason}");
            Outcome::Skipped
        }
        Err((reason, repeat)) => {
            println!("{reason}");
            println!("repeat with: {repeat}");
            Outcome::Failed
        }
    };
    println!("<== {}: {outcome}, {:.1} s\n", step.name, took.as_secs_f64());
    (outcome, took)
}

/// Runs cargo. An error is the reason, and the command that repeats it.
fn run_cargo(cargo: &Cargo, root: &Path) -> Result<(), (String, String)> {
    let mut command = self::cargo(root);
    let mut repeat = String::new();
    command.args(cargo.args.split(' '));
    if let Some((variable, flags)) = cargo.flags {
        let flags = match std::env::var(variable) {
            Ok(given) if !given.is_empty() => format!("{given} {flags}"),
            Ok(_) | Err(_) => flags.to_owned(),
        };
        repeat += &format!("{variable}=\"{flags}\" ");
        command.env(variable, flags);
    }
    repeat += "cargo ";
    repeat += cargo.args;
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err((format!("cargo ended with {status}"), repeat)),
        Err(error) => Err((format!("cargo did not start: {error}"), repeat)),
    }
}

/// Checks the large models. Returns whether every rule held in all of their states.
///
/// # Errors
/// Cargo did not start.
pub(crate) fn model(root: &Path) -> Result<bool, String> {
    let mut command = cargo(root);
    command.args(["run", "-p", "lockmaster-tests", "--example", "model", "--release", "--locked", "--quiet"]);
    let status = command.status().map_err(|error| format!("cargo did not start: {error}"))?;
    Ok(status.success())
}

/// The cargo that runs this program, in the workspace, with nothing to read.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    command
}

/// The compiler that cargo uses.
pub(crate) fn rustc() -> PathBuf {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into()
}

/// Where builds go.
pub(crate) fn target(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Prints the table and the closing line. Returns whether nothing failed.
fn run_report(results: &[(&str, Outcome, Duration)]) -> bool {
    for (name, outcome, took) in results {
        println!("{name:<14} {outcome:<9} {:>7.1} s", took.as_secs_f64());
    }
    let count = |wanted| results.iter().filter(|(_, outcome, _)| *outcome == wanted).count();
    let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
    println!("{passed} passed, {failed} failed, {} skipped", count(Outcome::Skipped));
    failed == 0
}
