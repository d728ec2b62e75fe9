//! The membership provider for etcd: the only package that needs more than a Rust toolchain to build, so it has a step
//! of its own, and the others leave it out.

use std::path::Path;
use std::process::Command;

use crate::command::{check_succeeds, run, said};
use crate::faults;
use crate::verify::{self, Done};

/// What every other step that looks at the whole workspace leaves out.
const PACKAGE: &str = "lockmaster-etcd";
/// The program uses it, if it is built so.
const PROGRAM: &str = "lockmaster";
/// All who use the provider, with the same features here and in the step for real faults, so that nothing is built twice.
const TOGETHER: [&str; 8] =
    ["-p", PACKAGE, "-p", PROGRAM, "-p", faults::PACKAGE, "--features=lockmaster/etcd", "--locked"];

/// Does the provider build without lints, and do its tests pass, with real servers of etcd?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<Done, String> {
    if let Err(missing) = find_tools() {
        return Ok(Done::Skipped(missing));
    }
    let cargo = |subcommand: &str, args: &[&str]| {
        let mut command = verify::cargo(root);
        command.args([subcommand, "-p", PACKAGE, "--locked"]).args(args);
        command
    };
    let program = |subcommand: &str, args: &[&str]| {
        let mut command = verify::cargo(root);
        command.args([subcommand, "-p", PROGRAM, "--features=etcd", "--locked"]).args(args);
        command
    };
    let clippy = ["--all-targets", "--all-features", "--no-deps", "--", "-Dwarnings"];
    check_succeeds(&mut cargo("clippy", &clippy), "it has lints")?;
    let mut lints = program("clippy", &["--all-targets", "--no-deps", "--", "-Dwarnings"]);
    check_succeeds(&mut lints, "the program has lints with it")?;
    let mut doc = cargo("doc", &["--no-deps", "--all-features"]);
    check_succeeds(doc.env("RUSTDOCFLAGS", "-Dwarnings"), "its documentation does not build")?;
    // Whoever tests it below does so with TLS, which the program has.
    check_tests(&mut cargo("test", &["--lib"]), "the provider decides otherwise without TLS")?;

    let mut meeting = together(root, "test", &["--test=program", "etcd::"]);
    check_tests(&mut meeting, "the program's nodes do not meet in etcd")?;
    // Servers and nodes have deadlines: more of them at a time than there are cores would miss them.
    let mut servers = together(root, "test", &["--test=suite", "--", "--test-threads=2"]);
    check_tests(&mut servers, "nodes do not get on with etcd")?;
    check_tests(&mut together(root, "test", &["--doc"]), "its examples do not compile")?;
    Ok(Done::Passed)
}

/// Cargo on all of them.
pub(crate) fn together(root: &Path, subcommand: &str, args: &[&str]) -> Command {
    let mut command = verify::cargo(root);
    command.arg(subcommand).args(TOGETHER).args(args);
    command
}

/// Do tests pass, at least one?
fn check_tests(tests: &mut Command, otherwise: &str) -> Result<(), String> {
    let output = run(tests)?;
    let said = said(&output);
    println!("{said}");
    let is_any = said.lines().any(|line| line.starts_with("test ") && line.ends_with("... ok"));
    match (output.status.success(), is_any) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("{otherwise}: {tests:?} ran no test")),
        (false, _) => Err(format!("{otherwise}: {tests:?} ended with {}", output.status)),
    }
}

/// An error is what is missing.
pub(crate) fn find_tools() -> Result<(), String> {
    let answers = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let protoc = std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    if !answers(Command::new(&protoc).arg("--version")) {
        return Err("protoc is not installed (Debian: protobuf-compiler)".to_owned());
    }
    // Its own definitions come apart from it.
    let mut definitions = Command::new(&protoc);
    definitions.args(["--descriptor_set_out=/dev/null", "google/protobuf/struct.proto"]);
    if !answers(&mut definitions) {
        return Err("protoc has no definitions of its own (Debian: libprotobuf-dev)".to_owned());
    }
    if !answers(Command::new("etcd").arg("--version")) {
        return Err("etcd is not installed (Debian: etcd-server)".to_owned());
    }
    Ok(())
}
