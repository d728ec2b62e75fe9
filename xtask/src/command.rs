//! Commands that are run, and what they say.

use core::time::Duration;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// Runs a command to its end.
///
/// # Errors
/// It did not start.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{command:?} did not start: {error}"))
}

/// Runs a command that has nothing to read, and ends it if it takes longer than this. What it says must fit into a pipe:
/// nobody receives it before its end.
///
/// # Errors
/// It did not start, or did not end in time: with what it said.
pub(crate) fn run_within(patience: Duration, command: &mut Command) -> Result<Output, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut process = command.spawn().map_err(|error| format!("{command:?} did not start: {error}"))?;
    let mut is_late = false;
    while process.try_wait().map_err(|error| error.to_string())?.is_none() {
        if start.elapsed() > patience {
            process.kill().map_err(|error| error.to_string())?;
            is_late = true;
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = process.wait_with_output().map_err(|error| error.to_string())?;
    if is_late {
        let patience = patience.as_secs();
        return Err(format!("{command:?} did not end within {patience} s, and said:\n{}", said(&output)));
    }
    Ok(output)
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
