//! Link test: `xtask/freestanding` is built, run, and built again with what must not be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::{manifest, verify};

const MANIFEST: &str = "xtask/freestanding/Cargo.toml";
const LOCK: &str = "xtask/freestanding/Cargo.lock";
const PROGRAM: &str = "lockmaster-freestanding";

/// Something that must keep the program from being built.
struct Control {
    feature: &'static str,
    /// What the compiler or the linker says when it fails for the right reason; all of them.
    says: &'static [&'static str],
}

const CONTROLS: &[Control] = &[
    Control { feature: "control-alloc", says: &["no global memory allocator found"] },
    Control { feature: "control-core-alloc", says: &["no global memory allocator found"] },
    Control { feature: "control-std", says: &["duplicate lang item", "panic_impl", "`std`"] },
    Control { feature: "control-libc", says: &["linking with", "undefined", "malloc"] },
];

/// Is the core free of `std`, `alloc` and libc, and would this check have noticed if not?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    if !cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
        return Err("the program starts by itself only on Linux, x86-64 or AArch64".to_owned());
    }
    check_lock(root)?;
    check_succeeds(&mut build(root), "the program does not link")?;
    let program = verify::target(root).join("freestanding/release").join(PROGRAM);
    check_succeeds(&mut Command::new(program), "the program links but fails")?;
    println!("links and runs without std, alloc and libc");

    check_succeeds(cargo(root, "fmt").arg("--check"), "the program is not formatted")?;
    let clippy = ["--release", "--locked", "--", "-Dwarnings"];
    check_succeeds(cargo(root, "clippy").args(clippy), "the program has lints")?;

    for control in CONTROLS {
        check_control(root, control)?;
        println!("with {} it does not build, as it should", control.feature);
    }
    Ok(())
}

/// Rewrites the program's lock file after the workspace's. Returns true, as it cannot half succeed.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn relock(root: &Path) -> Result<bool, String> {
    fs::copy(root.join("Cargo.lock"), root.join(LOCK)).map_err(|error| format!("{LOCK}: {error}"))?;
    // Reading the metadata drops what the program does not use and keeps every version.
    let metadata = ["--format-version", "1"];
    check_succeeds(cargo(root, "metadata").args(metadata), "the new lock file is refused")?;
    check_lock(root)?;
    Ok(true)
}

/// The program must be linked with what the workspace is tested with.
fn check_lock(root: &Path) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
    let (own, workspace) = (read(LOCK)?, read("Cargo.lock")?);
    let known: BTreeSet<_> = manifest::locked_packages(&workspace).collect();
    for (name, version) in manifest::locked_packages(&own) {
        if name != PROGRAM && !known.contains(&(name, version)) {
            return Err(format!("{LOCK}: {name} {version} is not in Cargo.lock; run `cargo xtask relock`"));
        }
    }
    Ok(())
}

fn check_succeeds(command: &mut Command, what: &str) -> Result<(), String> {
    let output = run(command)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what}: {command:?} ended with {}\n{}", output.status, said(&output)))
}

fn check_control(root: &Path, control: &Control) -> Result<(), String> {
    let Control { feature, says } = control;
    let output = run(build(root).args(["--features", feature]))?;
    let said = said(&output);
    if output.status.success() {
        return Err(format!("with {feature} the program still builds: this check would notice nothing"));
    }
    match says.iter().find(|words| !said.contains(**words)) {
        Some(words) => Err(format!("with {feature} it fails, but nothing says \"{words}\":\n{said}")),
        None => Ok(()),
    }
}

fn build(root: &Path) -> Command {
    let mut command = cargo(root, "build");
    command.args(["--release", "--locked"]);
    command
}

/// Cargo on the program's own workspace, with a target directory of its own.
fn cargo(root: &Path, subcommand: &str) -> Command {
    let mut command = verify::cargo(root);
    command.args([subcommand, "--manifest-path", MANIFEST]);
    command.env("CARGO_TARGET_DIR", verify::target(root).join("freestanding"));
    command.env_remove("CARGO_BUILD_TARGET");
    // The controls are recognised by what the linker says, in English and without colours.
    command.env("LC_ALL", "C").env("CARGO_TERM_COLOR", "never");
    command
}

fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{command:?} did not start: {error}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
