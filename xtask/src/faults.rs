//! Real nodes in real networks with faults: a program that needs the provider for etcd, so it has a step of its own too.

use std::path::Path;
use std::process::Command;

use crate::command::check_succeeds;
use crate::etcd;
use crate::verify::{self, Done};

/// What every other step that looks at the whole workspace leaves out.
pub(crate) const PACKAGE: &str = "lockmaster-real-faults";
/// It has `check-history`.
const PROGRAM: &str = "lockmaster";
/// Its exit status where the machine has no network namespaces, or lacks a tool.
const SKIPPED: i32 = 77;

/// Does the program build without lints, and does every scenario that can be played end well?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<Done, String> {
    if let Err(missing) = etcd::find_tools() {
        return Ok(Done::Skipped(missing));
    }
    let mut clippy = verify::cargo(root);
    clippy.args(["clippy", "-p", PACKAGE, "-p", PROGRAM, "--features=lockmaster/etcd", "--locked"]);
    clippy.args(["--all-targets", "--no-deps", "--", "-Dwarnings"]);
    check_succeeds(&mut clippy, "it has lints")?;
    // Like the tests of the provider, so that most of it has been built by the step before.
    check_succeeds(&mut etcd::together(root, "build", &["--profile=test"]), "it does not build")?;

    let target = verify::target(root);
    let mut program = Command::new(target.join("debug").join("real-faults"));
    // What is written down stays below the build output, for whoever wants to know why a scenario failed.
    program.arg("run").arg("--keep").arg(target.join("real-faults")).current_dir(root);
    let status = program.status().map_err(|error| format!("{program:?} did not start: {error}"))?;
    match status.code() {
        Some(0) => Ok(Done::Passed),
        Some(SKIPPED) => Ok(Done::Skipped("this machine cannot make the networks; see above".to_owned())),
        Some(_) | None => Err(format!("{program:?} ended with {status}")),
    }
}
