//! Which package of the workspace may depend on which.

use std::fs;
use std::path::Path;

use crate::manifest;

enum Arrows {
    /// No dependency at all.
    None,
    /// Of this workspace's packages only these.
    To(&'static [&'static str]),
    /// Whatever it likes.
    Any,
}

/// Packages of the workspace and where their dependencies may point.
const ARROWS: &[(&str, Arrows)] = &[
    ("lockmaster-core", Arrows::To(&[])),
    ("lockmaster-async", Arrows::To(&["lockmaster-core"])),
    ("lockmaster-tokio", Arrows::To(&["lockmaster-async", "lockmaster-core"])),
    ("lockmaster-smol", Arrows::To(&["lockmaster-async", "lockmaster-core"])),
    ("lockmaster-etcd", Arrows::To(&["lockmaster-async"])),
    ("lockmaster", Arrows::To(&["lockmaster-tokio", "lockmaster-etcd", "lockmaster-core"])),
    ("lockmaster-sim", Arrows::To(&["lockmaster-core"])),
    ("lockmaster-tests", Arrows::Any),
    ("lockmaster-real-faults", Arrows::To(&["lockmaster-tokio", "lockmaster-etcd"])),
    ("lockmaster-fuzz", Arrows::To(&["lockmaster-sim", "lockmaster-core"])),
    ("lockmaster-benches", Arrows::To(&["lockmaster-tokio", "lockmaster-core"])),
    ("xtask", Arrows::None),
];

/// Checks every member of the workspace.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) {
    let workspace = check_read(root, "Cargo.toml", findings);
    let members = manifest::members(&workspace);
    if members.is_empty() {
        findings.push("Cargo.toml: no members were found".to_owned());
    }
    check_manifest("Cargo.toml", &workspace, findings);
    for member in members {
        let path = format!("{member}/Cargo.toml");
        let text = check_read(root, &path, findings);
        check_manifest(&path, &text, findings);
        check_member(&path, &text, findings);
    }
}

fn check_read(root: &Path, path: &str, findings: &mut Vec<String>) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| {
        findings.push(format!("{path}: {error}"));
        String::new()
    })
}

fn check_manifest(path: &str, text: &str, findings: &mut Vec<String>) {
    if text.replace(' ', "").contains("package=\"lockmaster") {
        findings.push(format!("{path}: a package of ours under another name hides an arrow"));
    }
}

fn check_member(path: &str, text: &str, findings: &mut Vec<String>) {
    let Some(package) = manifest::package_name(text) else {
        findings.push(format!("{path}: no name was found"));
        return;
    };
    let Some((_, arrows)) = ARROWS.iter().find(|(name, _)| *name == package) else {
        findings.push(format!("{path}: nothing says what {package} may depend on; add it to `ARROWS`"));
        return;
    };
    for dependency in manifest::dependencies(text) {
        let is_ours = dependency.starts_with("lockmaster") || dependency == "xtask";
        let is_allowed = match arrows {
            Arrows::None => false,
            Arrows::To(allowed) => !is_ours || allowed.contains(&dependency),
            Arrows::Any => true,
        };
        if !is_allowed {
            findings.push(format!("{path}: {package} must not depend on {dependency}"));
        }
    }
}

#[cfg(test)]
mod tests;
