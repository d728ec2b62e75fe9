//! Packages outside the workspace: their profiles, link arguments and tools must not reach it, but what they share with
//! it must have the versions that it is tested with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::check_succeeds;
use crate::{manifest, verify};

/// A package with a lock file and a target directory of its own.
pub(crate) struct Package {
    /// From the root.
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
    /// Below the workspace's target directory.
    target: &'static str,
}

/// All of them.
const PACKAGES: &[Package] = &[FREESTANDING, BAREMETAL, LIBFUZZER];
pub(crate) const FREESTANDING: Package =
    Package { folder: "xtask/freestanding", name: "lockmaster-freestanding", target: "freestanding" };
pub(crate) const BAREMETAL: Package =
    Package { folder: "xtask/baremetal", name: "lockmaster-baremetal", target: "baremetal" };
pub(crate) const LIBFUZZER: Package =
    Package { folder: "fuzz/libfuzzer", name: "lockmaster-libfuzzer", target: "fuzz" };

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
        format!("{}/Cargo.lock", self.folder)
    }

    /// Where it is built.
    pub(crate) fn target(&self, root: &Path) -> PathBuf {
        verify::target(root).join(self.target)
    }

    /// Cargo on the package.
    pub(crate) fn cargo(&self, root: &Path, subcommand: &str) -> Command {
        let mut command = verify::cargo(root);
        command.args([subcommand, "--manifest-path", &format!("{}/Cargo.toml", self.folder)]);
        command.env("CARGO_TARGET_DIR", self.target(root));
        command.env_remove("CARGO_BUILD_TARGET");
        // What goes wrong is recognised by what the linker says, in English and without colours.
        command.env("LC_ALL", "C").env("CARGO_TERM_COLOR", "never");
        command
    }

    /// The lock file is up to date, and what is in the workspace's, too, has the same version in both.
    pub(crate) fn check_lock(&self, root: &Path) -> Result<(), String> {
        let (lock, advice) = (self.lock(), "run `cargo xtask relock`");
        let metadata = ["--locked", "--format-version", "1"];
        let what = format!("{lock} is out of date; {advice}");
        check_succeeds(self.cargo(root, "metadata").args(metadata), &what)?;
        let read =
            |path: &str| fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
        let (own, workspace) = (read(&lock)?, read("Cargo.lock")?);
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, version) in manifest::locked_packages(&workspace) {
            known.entry(name).or_default().push(version);
        }
        for (name, version) in manifest::locked_packages(&own) {
            if known.get(name).is_some_and(|versions| !versions.contains(&version)) {
                return Err(format!("{lock}: {name} {version} is not in Cargo.lock; {advice}"));
            }
        }
        Ok(())
    }

    /// Its text is formatted.
    pub(crate) fn check_format(&self, root: &Path) -> Result<(), String> {
        check_succeeds(self.cargo(root, "fmt").arg("--check"), &format!("{} is not formatted", self.name))
    }

    /// Its text is formatted and has no lints.
    pub(crate) fn check_text(&self, root: &Path) -> Result<(), String> {
        self.check_format(root)?;
        let clippy = ["--release", "--locked", "--", "-Dwarnings"];
        check_succeeds(self.cargo(root, "clippy").args(clippy), &format!("{} has lints", self.name))
    }

    fn relock(&self, root: &Path) -> Result<(), String> {
        let lock = self.lock();
        fs::copy(root.join("Cargo.lock"), root.join(&lock)).map_err(|error| format!("{lock}: {error}"))?;
        // Reading the metadata drops what the package does not use, and keeps every version that both use.
        let metadata = ["--format-version", "1"];
        check_succeeds(self.cargo(root, "metadata").args(metadata), "the new lock file is refused")?;
        self.check_lock(root)
    }
}
