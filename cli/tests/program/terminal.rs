//! Commands under locks, in the foreground of a terminal.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::common::{Cluster, until};

/// A terminal with a shell script in it.
struct Terminal {
    keys: File,
    screen: BufReader<File>,
    script: Child,
}

impl Terminal {
    /// `$L` runs a command under a lock.
    fn start(cluster: &Cluster, script: &str) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let input = File::options().read(true).write(true).open(name).unwrap();
        let lock =
            format!("{} lock --dir {} a --", env!("CARGO_BIN_EXE_lockmaster"), cluster.path().display());
        // In a session of its own, whose terminal this is.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "sh", "-c", script]).env("L", lock);
        let output = input.try_clone().unwrap();
        let script = command.stdin(Stdio::from(input)).stdout(output.try_clone().unwrap()).stderr(output);
        let script = script.spawn().unwrap();
        let keys = File::from(keys);
        Self { screen: BufReader::new(keys.try_clone().unwrap()), keys, script }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// What follows this sign on the next line that has it; what was typed is on the screen too.
    fn line(&mut self, sign: &str) -> String {
        loop {
            let mut line = String::new();
            self.screen.read_line(&mut line).unwrap();
            if let Some((_, rest)) = line.trim_end().split_once(sign) {
                return rest.to_owned();
            }
        }
    }

    fn end(&mut self) -> Option<i32> {
        self.script.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.script.kill();
        let _ended = self.script.wait();
    }
}

/// State of a process, as `/proc` has it.
fn state(pid: Pid) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[test]
fn the_command_reads_from_the_terminal_and_the_script_after_it() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script =
        "$L sh -c 'echo ready:; read x; echo command:$x; exit 3'; echo status:$?; read y; echo script:$y";
    let mut terminal = Terminal::start(&cluster, script);
    terminal.line("ready:");
    terminal.press("one\n");
    assert_eq!(terminal.line("command:"), "one");
    assert_eq!(terminal.line("status:"), "3");
    terminal.press("two\n");
    assert_eq!(terminal.line("script:"), "two");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn control_c_ends_the_command_and_not_what_runs_it() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script =
        "trap 'echo script:interrupted' INT; $L sh -c 'echo ready:; exec sleep 1000'; echo status:$?";
    let mut terminal = Terminal::start(&cluster, script);
    terminal.line("ready:");
    terminal.press("\x03");
    assert_eq!(terminal.line("status:"), "130");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn control_z_stops_both_and_both_go_on() {
    let cluster = Cluster::new();
    let _node = cluster.node("");
    let script =
        "$L sh -c 'echo keeper:$PPID; read x; echo command:$x'; echo status:$?; read y; echo script:$y";
    let mut terminal = Terminal::start(&cluster, script);
    let keeper = Pid::from_raw(terminal.line("keeper:").parse().unwrap()).unwrap();
    terminal.press("\x1a");
    until("the keeper is stopped", || state(keeper) == 'T');
    kill_process(keeper, Signal::CONT).unwrap();
    terminal.press("one\n");
    assert_eq!(terminal.line("command:"), "one");
    assert_eq!(terminal.line("status:"), "0");
    terminal.press("two\n");
    assert_eq!(terminal.line("script:"), "two");
}
