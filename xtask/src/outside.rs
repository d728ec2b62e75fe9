//! Packages outside the workspace: their profiles and link arguments must not reach it, but their dependencies must be
//! those that it is tested with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{manifest, verify};

/// A package in a folder below `xtask/`, with a lock file and a target directory of its own.
pub(crate) struct Package {
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
}

/// All of them.
pub(crate) const PACKAGES: &[Package] = &[FREESTANDING, BAREMETAL];
pub(crate) const FREESTANDING: Package = Package { folder: "freestanding", name: "lockmaster-freestanding" };
pub(crate) const BAREMETAL: Package = Package { folder: "baremetal", name: "lockmaster-baremetal" };

/// Rewrites their lock files after the workspace's. Returns true, as it cannot half succeed.
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn relock(root: &Path) -> Result<bool, String> {
    PACKAGES.iter().try_for_each(|package| package.relock(root))?;
    Ok(true)
}

impl Package {
    fn lock(&self) -> String {
        format!("xtask/{}/Cargo.lock", self.folder)
    }

    /// Where it is built.
    pub(crate) fn target(&self, root: &Path) -> PathBuf {
        verify::target(root).join(self.folder)
    }

    /// Cargo on the package.
    pub(crate) fn cargo(&self, root: &Path, subcommand: &str) -> Command {
        let mut command = verify::cargo(root);
        command.args([subcommand, "--manifest-path", &format!("xtask/{}/Cargo.toml", self.folder)]);
        command.env("CARGO_TARGET_DIR", self.target(root));
        command.env_remove("CARGO_BUILD_TARGET");
        // What goes wrong is recognised by what the linker says, in English and without colours.
        command.env("LC_ALL", "C").env("CARGO_TERM_COLOR", "never");
        command
    }

    /// It must be built with what the workspace is tested with.
    pub(crate) fn check_lock(&self, root: &Path) -> Result<(), String> {
        let read =
            |path: &str| fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
        let (lock, workspace) = (self.lock(), read("Cargo.lock")?);
        let own = read(&lock)?;
        let known: BTreeSet<_> = manifest::locked_packages(&workspace).collect();
        for (name, version) in manifest::locked_packages(&own) {
            if name != self.name && !known.contains(&(name, version)) {
                return Err(format!(
                    "{lock}: {name} {version} is not in Cargo.lock; run `cargo xtask relock`"
                ));
            }
        }
        Ok(())
    }

    /// Its text is formatted and has no lints.
    pub(crate) fn check_text(&self, root: &Path) -> Result<(), String> {
        check_succeeds(self.cargo(root, "fmt").arg("--check"), "the program is not formatted")?;
        let clippy = ["--release", "--locked", "--", "-Dwarnings"];
        check_succeeds(self.cargo(root, "clippy").args(clippy), "the program has lints")
    }

    fn relock(&self, root: &Path) -> Result<(), String> {
        let lock = self.lock();
        fs::copy(root.join("Cargo.lock"), root.join(&lock)).map_err(|error| format!("{lock}: {error}"))?;
        // Reading the metadata drops what the program does not use and keeps every version.
        let metadata = ["--format-version", "1"];
        check_succeeds(self.cargo(root, "metadata").args(metadata), "the new lock file is refused")?;
        self.check_lock(root)
    }
}

pub(crate) fn check_succeeds(command: &mut Command, what: &str) -> Result<(), String> {
    let output = run(command)?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what}: {command:?} ended with {}\n{}", output.status, said(&output)))
}

pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{command:?} did not start: {error}"))
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
