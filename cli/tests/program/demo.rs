//! The demonstration and the checker of histories: their runs, their verdicts, their exit status.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::common::{check, check_output, program};

fn check_history(directory: &Path, status: i32) -> String {
    check(program("check-history").arg(directory), status)
}

/// A demonstration whose nodes work.
struct Running {
    process: Child,
    errors: BufReader<ChildStderr>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.starts_with("running: "), "{line}");
        Self { process, errors }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Processes of the nodes.
    fn nodes(&self) -> Vec<Pid> {
        let mut nodes = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let entry = entry.unwrap();
            let Ok(number) = entry.file_name().to_string_lossy().parse() else { continue };
            // A process may end while its directory is read.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let (_, after_name) = stat.rsplit_once(") ").unwrap();
            let parent = after_name.split(' ').nth(1).unwrap();
            if parent == self.process.id().to_string() {
                nodes.extend(Pid::from_raw(number));
            }
        }
        nodes
    }

    /// Waits for the end; checks the exit status and returns what was printed.
    fn check(mut self, status: i32) -> String {
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).unwrap();
        check_output(self.process.wait_with_output().unwrap(), status) + &errors
    }
}

#[test]
fn a_short_run_is_clean_and_so_is_its_history() {
    let directory = TempDir::new().unwrap();
    let history = directory.path().join("history");
    let text = check(program("demo --seconds 2 --history").arg(&history), 0);
    for line in ["ran          3 nodes with 16 tasks each on 256 pages, for 2.", "\nverdict      clean\n"] {
        assert!(text.contains(line), "{text}");
    }
    for name in ["retained ", "locally mastered ", "remotely mastered "] {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(!line.contains(" - "), "no lock was {line}");
    }
    check_transfers(&text);
    let text = check_history(&history, 0);
    assert!(text.starts_with("history    3 files with ") && text.contains("verdict    clean"), "{text}");
    assert!(!text.contains("open ") && !text.contains("cut short"), "{text}");
}

/// Slots were transferred, and in the end all of them have a master.
fn check_transfers(text: &str) {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let begin = |words: &[&str]| lines.iter().position(|line| line.starts_with(words)).unwrap();
    let transfers = &lines[begin(&["slot", "transfers", "done"])..];
    let all = transfers.iter().find(|line| line.starts_with(&["all", "nodes"])).unwrap();
    assert!(all[2] != "0" && all[4] != "0", "nothing was transferred: {all:?}");
    let masters = &lines[begin(&["masters", "in", "the", "end"])..];
    let all = masters.iter().find(|line| line.starts_with(&["all", "nodes"])).unwrap();
    assert_eq!(all[2], "4,096", "{text}");
}

#[test]
fn slots_move_all_the_time_and_the_history_is_clean() {
    let directory = TempDir::new().unwrap();
    let mut command = program("demo --nodes 4 --seconds 2 --transfer-interval 1ms --pages 64 --history");
    check_transfers(&check(command.arg(directory.path()), 0));
    check_history(directory.path(), 0);
}

#[test]
fn slots_stay_if_nobody_transfers_them() {
    let text = check(&mut program("demo --nodes 2 --seconds 1 --transfer-interval 0"), 0);
    assert!(!text.contains("slot transfers  "), "{text}");
    let shares = text.lines().filter(|line| line.starts_with("node ") && line.contains(" 2,048 "));
    assert_eq!(shares.count(), 2, "{text}");
}

#[test]
fn other_options_are_clean_too() {
    check(&mut program("demo --nodes 2 --seconds 1 --retention never --skew 0.1 --read-share 0.9"), 0);
    check(&mut program("demo --nodes 1 --seconds 1 --pages 1 --tasks 4 --transfer-interval 10ms"), 0);
    check(
        &mut program(
            "demo --nodes 4 --seconds 1 --pages 8 --retention idle:5 --grants-after-demand 3 --seed 9",
        ),
        0,
    );
}

#[test]
fn nodes_of_several_machines_are_clean_too() {
    let directory = TempDir::new().unwrap();
    let mut command = program("demo --machines 3 --seconds 2 --transfer-interval 5ms --pages 64 --history");
    let text = check(command.arg(directory.path()), 0);
    assert!(text.contains("3 machines a node"), "{text}");
    check_transfers(&text);
    check_history(directory.path(), 0);
}

#[test]
fn without_locks_everything_goes_wrong_and_is_found() {
    let directory = TempDir::new().unwrap();
    let (history, place) = (directory.path().join("history"), directory.path().join("place"));
    let mut command = program("demo --without-locks --pages 1 --read-share 0 --seconds 1");
    let text = check(command.arg("--history").arg(&history).arg("--dir").arg(&place), 1);
    assert!(text.contains("\nverdict      FAILED\n"), "{text}");
    assert!(place.join("accounts.pages").is_file());
    let text = check_history(&history, 1);
    assert!(text.contains("incompatible locks held at once"), "{text}");
}

#[test]
fn a_killed_node_fails_the_run() {
    let directory = TempDir::new().unwrap();
    let running = Running::start(program("demo --seconds 60 --history").arg(directory.path()));
    let nodes = running.nodes();
    assert_eq!(nodes.len(), 3);
    kill_process(nodes[1], Signal::KILL).unwrap();
    let text = running.check(1);
    assert!(text.contains(" died: killed by signal 9; "), "{text}");
    assert!(text.contains("\nverdict      FAILED\n"), "{text}");
    // What the others held at that time stays consistent.
    check_history(directory.path(), 0);
}

#[test]
fn nodes_are_killed_and_come_back_and_all_is_well() {
    let directory = TempDir::new().unwrap();
    let mut command = program("demo --seconds 5 --pages 64 --tasks 4 --kill-every 1500ms --history");
    let text = check(command.arg(directory.path()), 0);
    let events: Vec<&str> =
        text.lines().filter(|line| line.starts_with("node ") && line.contains(" killed ")).collect();
    assert!(events.len() >= 2, "{text}");
    assert!(text.contains("\nverdict      clean\n"), "{text}");
    let text = check_history(directory.path(), 0);
    assert!(text.contains("cut short  node-"), "{text}");
}

#[test]
fn nodes_join_leave_and_pause_and_all_is_well() {
    let text =
        check(&mut program("demo --seconds 6 --pages 64 --tasks 4 --join-every 1s --pause-every 2s"), 0);
    for event in ["node 4 joined", "node 4 left", " paused "] {
        assert!(text.contains(event), "{event}: {text}");
    }
}

#[test]
fn ctrl_c_ends_the_run_with_its_table() {
    let directory = TempDir::new().unwrap();
    let running = Running::start(program("demo --seconds 60 --history").arg(directory.path()));
    kill_process(running.pid(), Signal::INT).unwrap();
    let text = running.check(0);
    assert!(text.contains(" s, then interrupted\n"), "{text}");
    assert!(text.contains("\nverdict      clean\n"), "{text}");
    check_history(directory.path(), 0);
}

#[test]
fn no_node_survives_the_demonstration() {
    let mut running = Running::start(&mut program("demo --seconds 60"));
    assert_eq!(running.nodes().len(), 3);
    kill_process(running.pid(), Signal::KILL).unwrap();
    running.process.wait().unwrap();
    // All nodes have this pipe open, so it ends with the last of them.
    running.errors.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_wrong_history_is_found() {
    let directory = TempDir::new().unwrap();
    let line = |t: u64, owner: u64, event: &str| {
        format!(
            r#"{{"t":{t},"node":1,"owner":"1/{owner}","resource":"r","event":"{event}","mode":"EX","token":"0{owner}"}}"#
        )
    };
    let lines =
        [line(1, 1, "granted"), line(2, 2, "granted"), line(3, 1, "released"), line(4, 2, "released")];
    fs::write(directory.path().join("any.jsonl"), lines.join("\n")).unwrap();
    let text = check_history(directory.path(), 1);
    assert!(text.contains("violation 1: r: incompatible locks held at once\n"), "{text}");

    fs::write(directory.path().join("any.jsonl"), "no history\n").unwrap();
    let text = check_history(directory.path(), 1);
    assert!(text.starts_with("error: any.jsonl:1: no entry of a history"), "{text}");
}

#[test]
fn arguments_that_cannot_be_used_are_told_in_words() {
    for wrong in ["", "demo --nodes 0", "demo --retention sometimes", "check-history", "serve"] {
        check(&mut program(wrong), 2);
    }
    let directory = TempDir::new().unwrap();
    for text in [
        check_history(directory.path(), 2),
        check_history(&directory.path().join("absent"), 2),
        check(program("demo --dir").arg("/proc/none"), 2),
        check(program("demo --history").arg("/proc/none"), 2),
    ] {
        assert!(text.starts_with("error: ") && text.lines().count() == 1, "{text}");
    }
}
