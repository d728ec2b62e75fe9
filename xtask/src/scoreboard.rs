//! Bugs on purpose: rules of the protocol that are switched off one at a time, and the stages that must notice.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::verify;

/// What compiles the switches in, and the directory below the target directory.
const CFG: &str = "--cfg lockmaster_faults";
const TARGET: &str = "faults";

/// Hunts every bug with every stage and prints who noticed, and how soon. Returns whether all did that have to.
///
/// # Errors
/// Cargo did not start.
pub(crate) fn run(root: &Path) -> Result<bool, String> {
    let mut command =
        cargo(root, "run -p lockmaster-tests --bin scoreboard --profile stage --locked --quiet");
    let status = command.status().map_err(|error| format!("{command:?} did not start: {error}"))?;
    Ok(status.success())
}

/// The same, and what the simulator's program does with a seed that fails.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    if !run(root)? {
        return Err("a bug got away, or something was noticed where there is none".to_owned());
    }
    let mut command =
        cargo(root, "test -p lockmaster-sim --test program --profile stage --locked -- a_failure");
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?} did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A test that is not compiled in passes too.
    let is_made_small = output.status.success() && said.contains("1 passed");
    if is_made_small { Ok(()) } else { Err(format!("{said}a seed that fails was not made small")) }
}

/// Cargo with these arguments, for a build in which rules can be switched off.
fn cargo(root: &Path, args: &str) -> Command {
    let flags = std::env::var("RUSTFLAGS").ok().filter(|given| !given.is_empty());
    let mut command = verify::cargo(root);
    command.env("RUSTFLAGS", flags.map_or_else(|| CFG.to_owned(), |given| format!("{given} {CFG}")));
    command.env("CARGO_TARGET_DIR", verify::target(root).join(TARGET)).args(args.split(' '));
    command
}
