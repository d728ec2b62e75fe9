//! Examples are run: each checks what it shows by itself, and ends within seconds.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::command::{run_within, said, told};
use crate::verify;

/// Far longer than any of them takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A package whose examples are tools for who works on it.
const TOOLS: &str = "tests";

/// Does every example run to its end, and does README name it?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    // With the features of the step `test` those that the tests were built with are there already.
    let mut command = verify::cargo(root);
    command.args(["build", "--profile", "test", "--workspace", "--examples", "--locked", "--quiet"]);
    command.args(["--exclude", "lockmaster-etcd", "--exclude", "lockmaster-real-faults"]);
    command.args(["--features", "lockmaster-async/tracing"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let messages = told(&mut command)?;
    let examples: Vec<_> =
        messages.lines().filter_map(|message| Example::in_message(root, message)).collect();
    if examples.is_empty() {
        return Err("no example was found: nothing was checked".to_owned());
    }
    let readme = fs::read_to_string(root.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    let findings: Vec<_> = examples.iter().filter_map(|example| example.check(&readme).err()).collect();
    if findings.is_empty() { Ok(()) } else { Err(findings.join("\n")) }
}

struct Example {
    /// Its file or folder, from the root.
    place: String,
    program: PathBuf,
}

impl Example {
    /// The example that a message of cargo says was built.
    fn in_message(root: &Path, message: &str) -> Option<Self> {
        let after = |key: &str| {
            let (_, rest) = message.split_once(key)?;
            rest.split('"').next()
        };
        if !message.contains(r#""kind":["example"]"#) {
            return None;
        }
        let source = Path::new(after(r#""src_path":""#)?).strip_prefix(root).ok()?;
        // Of an example that is a folder the folder is named.
        let place = if source.ends_with("main.rs") { source.parent()? } else { source };
        let program = PathBuf::from(after(r#""executable":""#)?);
        (!place.starts_with(TOOLS)).then(|| Self { place: place.display().to_string(), program })
    }

    fn check(&self, readme: &str) -> Result<(), String> {
        if !readme.contains(&format!("({})", self.place)) {
            return Err(format!("README.md does not link to {}", self.place));
        }
        let took = self.run().map_err(|reason| format!("{}: {reason}", self.place))?;
        println!("{:<40} {:>5.1} s", self.place, took.as_secs_f64());
        Ok(())
    }

    /// Runs it, and says how long that took.
    fn run(&self) -> Result<Duration, String> {
        let start = Instant::now();
        // What it says is for people; they are told only if it fails.
        let output = run_within(PATIENCE, &mut Command::new(&self.program))?;
        if !output.status.success() || output.stdout.is_empty() {
            return Err(format!("it ended with {}, and said:\n{}", output.status, said(&output)));
        }
        Ok(start.elapsed())
    }
}
