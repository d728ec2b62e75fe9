//! Examples are run: each checks what it shows by itself, and ends within seconds.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::command::told;
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
    let readme = fs::read_to_string(root.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    let findings: Vec<_> = examples.iter().filter_map(|example| example.check(&readme).err()).collect();
    if examples.is_empty() {
        return Err("no example was found: nothing was checked".to_owned());
    }
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
        let took = self.run().map_err(|reason| format!("{} {reason}", self.place))?;
        println!("{:<40} {:>5.1} s", self.place, took.as_secs_f64());
        Ok(())
    }

    /// Runs it, and says how long that took.
    fn run(&self) -> Result<Duration, String> {
        let start = Instant::now();
        let mut command = Command::new(&self.program);
        // What it says is for people; they are told only if it fails.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| format!("did not start: {error}"))?;
        let is_late = loop {
            if process.try_wait().map_err(|error| error.to_string())?.is_some() {
                break false;
            }
            if start.elapsed() > PATIENCE {
                process.kill().map_err(|error| error.to_string())?;
                break true;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let output = process.wait_with_output().map_err(|error| error.to_string())?;
        if is_late || !output.status.success() || output.stdout.is_empty() {
            let how = if is_late {
                "did not end in time".to_owned()
            } else {
                format!("ended with {}", output.status)
            };
            return Err(format!("{how}, and said:\n{}", crate::command::said(&output)));
        }
        Ok(start.elapsed())
    }
}
