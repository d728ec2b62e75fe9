//! The orders of threads: the async adapter's models under loom, and its crowds under shuttle.

use std::path::Path;

use crate::command::run;
use crate::verify;

/// One of the two.
struct Tool {
    /// The `cfg` that the adapter is compiled with.
    cfg: &'static str,
    /// Directory below the target directory.
    target: &'static str,
    /// The module whose tests are run.
    module: &'static str,
    /// Tests below which something was left out: a module that is not compiled in passes too.
    tests_min: usize,
}

const LOOM: Tool = Tool { cfg: "lockmaster_loom", target: "loom", module: "shared::models::", tests_min: 51 };
const SHUTTLE: Tool =
    Tool { cfg: "lockmaster_shuttle", target: "shuttle", module: "shared::crowds::", tests_min: 4 };

/// Every order of two or three threads.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check_all(root: &Path) -> Result<(), String> {
    check(root, &LOOM)
}

/// Orders by lot of many threads.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check_some(root: &Path) -> Result<(), String> {
    check(root, &SHUTTLE)
}

fn check(root: &Path, tool: &Tool) -> Result<(), String> {
    let flags = format!("--cfg {} -Cdebug-assertions", tool.cfg);
    let mut command = verify::cargo(root);
    command.env("CARGO_TARGET_DIR", verify::target(root).join(tool.target)).env("RUSTFLAGS", &flags);
    command.args(["test", "--release", "--locked", "-p", "lockmaster-async", "--lib"]);
    command.args(["--", tool.module, "--nocapture"]).stderr(std::process::Stdio::inherit());
    let output = run(&mut command)?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{said}{command:?} ended with {}", output.status));
    }
    let counts: Vec<&str> = said.lines().filter(|line| line.contains(" executions, ")).collect();
    counts.iter().for_each(|line| println!("{}", shown(line)));
    let executions: u64 = counts.iter().filter_map(|line| executions(line)).sum();
    let tests = said.lines().filter(|line| line.ends_with("ok") && !line.starts_with("test result")).count();
    println!("{tests} tests, {executions} executions");
    if tests < tool.tests_min || executions == 0 {
        return Err(format!("{} tests were expected, and executions of each", tool.tests_min));
    }
    Ok(())
}

/// The line without what the test harness has written before it.
fn shown(line: &str) -> &str {
    line.rsplit(" ... ").next().unwrap_or(line)
}

fn executions(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" executions, ")?;
    before.rsplit(' ').next()?.parse().ok()
}
