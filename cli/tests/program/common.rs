//! Processes of the program, and what tests wait for.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::park_timeout;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// A user that is neither root nor anybody who runs tests.
pub(crate) const NOBODY: u32 = 65_534;

/// When a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockmaster"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs the program to its end; checks its exit status and returns what it printed.
pub(crate) fn check(command: &mut Command, status: i32) -> String {
    check_output(command.output().unwrap(), status)
}

pub(crate) fn check_output(output: Output, status: i32) -> String {
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}\n{errors}");
    text + &errors
}

/// Waits until this is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        park_timeout(Duration::from_millis(2));
    }
}

/// Is there such a process, or its remains?
pub(crate) fn exists(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

/// Is there such a process, and does it still do something?
pub(crate) fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A directory in which nodes meet.
pub(crate) struct Cluster {
    directory: TempDir,
    path: PathBuf,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        // Not there yet: the first node makes it as it must be.
        Self { path: directory.path().join("cluster"), directory }
    }

    /// Where the nodes meet.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where tests may have files.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a node and waits until it is ready.
    pub(crate) fn node(&self, arguments: &str) -> Running {
        let node = Running::start(program("node --dir").arg(self.path()).args(arguments.split_whitespace()));
        assert!(node.line.starts_with("node ") && node.line.contains(" is ready, "), "{}", node.line);
        node
    }

    /// A command that talks to a node here.
    pub(crate) fn command(&self, command: &str, arguments: &str) -> Command {
        let mut program = program(command);
        program.arg("--dir").arg(self.path()).args(arguments.split_whitespace());
        program
    }

    /// A shell script under a lock.
    pub(crate) fn lock(&self, arguments: &str, script: &str) -> Command {
        let mut command = self.command("lock", arguments);
        command.args(["--", "sh", "-c", script]);
        command
    }

    pub(crate) fn socket(&self, node: u16) -> PathBuf {
        self.path().join(format!("control-{node}.sock"))
    }
}

/// A process that has printed its first line. It is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) process: Child,
    pub(crate) line: String,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        Self { process, line: line.trim_end().to_owned(), output: Some(output) }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// The process whose number it has printed.
    pub(crate) fn printed_pid(&self) -> Pid {
        Pid::from_raw(self.line.parse().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until nobody has its output any more: neither the process nor anything that it has started.
    pub(crate) fn rest_of_output(&mut self) -> String {
        let mut text = String::new();
        self.output.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits for the end; returns the exit status and what was printed since the first line.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut text = self.rest_of_output();
        let mut errors = self.process.stderr.take().unwrap();
        errors.read_to_string(&mut text).unwrap();
        (self.process.wait().unwrap().code(), text)
    }

    /// Waits for the end and checks the exit status; returns what was printed since the first line.
    pub(crate) fn check(&mut self, status: i32) -> String {
        let (code, text) = self.end();
        assert_eq!(code, Some(status), "{text}");
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
