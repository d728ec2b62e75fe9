//! Commands that are run, and what they say.

use std::process::{Command, Output};

/// Runs a command to its end.
///
/// # Errors
/// It did not start.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{command:?} did not start: {error}"))
}

/// Runs a command that must succeed; `what` says what it means if it does not.
///
/// # Errors
/// It did not start, or failed: with what it said.
pub(crate) fn check_succeeds(command: &mut Command, what: &str) -> Result<(), String> {
    let output = run(command)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what}: {command:?} ended with {}\n{}", output.status, said(&output)))
}

/// What a command that must succeed told its standard output.
///
/// # Errors
/// It did not start, or failed: with what it said.
pub(crate) fn told(command: &mut Command) -> Result<String, String> {
    let output = run(command)?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}\n{}", output.status, said(&output)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Everything that a command said.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
