//! A command and everything that it has started.
//!
//! Processes are named by numbers that the kernel uses again, so a signal could hit somebody else. Here it cannot: the
//! command is waited for only in the very end, and as long as its end was not fetched neither its number nor that of its
//! group is given to others; everybody else who is sent a signal is a child of this process.

use std::fs;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group, waitid};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Signalled(i32),
}

/// A command, the leader of its process group, and its descendants.
#[derive(Debug)]
pub(super) struct Family {
    leader: Pid,
    me: Pid,
    /// Children that this process had before, from the program that it was.
    strangers: Vec<Pid>,
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: Pid,
    state: u8,
    parent: i32,
    group: i32,
}

impl Family {
    /// Of a command that was started in a process group of its own, when this process had those `strangers`.
    pub(super) fn new(leader: Pid, strangers: Vec<Pid>) -> Self {
        Self { leader, me: getpid(), strangers }
    }

    /// Children that this process has now.
    pub(super) fn strangers() -> Vec<Pid> {
        let me = getpid().as_raw_pid();
        let mine = processes().into_iter().filter(|process| process.parent == me);
        mine.map(|process| process.pid).collect()
    }

    pub(super) const fn leader(&self) -> Pid {
        self.leader
    }

    /// Sends a signal to the group.
    pub(super) fn signal(&self, signal: Signal) {
        // Nobody is left, or they are another user's: then the signal is not for us to send.
        let _unsent = kill_process_group(self.leader, signal);
    }

    /// How the command ended, if it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.leader), options).ok().flatten()?;
        match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => Some(Ended::Exited(status)),
            (None, Some(signal)) => Some(Ended::Signalled(signal)),
            (None, None) => None,
        }
    }

    /// Was the command stopped since this was asked last?
    pub(super) fn was_stopped(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(self.leader), options).is_ok_and(|status| status.is_some())
    }

    /// Fetches the ends of all children but the command.
    pub(super) fn reap(&self) {
        let is_over = |process: &Process| process.state == b'Z' && self.is_child(process);
        for process in processes().into_iter().filter(is_over) {
            let _fetched = waitid(WaitId::Pid(process.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }

    /// Does anybody of the group live? With the `whole` family, does any descendant?
    pub(super) fn has_rest(&self, whole: bool) -> bool {
        processes().iter().any(|process| {
            let is_meant = process.group == self.leader.as_raw_pid() || (whole && self.is_child(process));
            is_meant && process.lives()
        })
    }

    /// Kills the group. With the `whole` family, kills all children too: their children will be ours then.
    pub(super) fn kill(&self, whole: bool) {
        self.signal(Signal::KILL);
        if !whole {
            return;
        }
        for process in processes().iter().filter(|process| self.is_child(process) && process.lives()) {
            let _unsent = kill_process(process.pid, Signal::KILL);
        }
    }

    /// Is it a child of this process, other than the command and those that were there before?
    fn is_child(&self, process: &Process) -> bool {
        process.parent == self.me.as_raw_pid()
            && process.pid != self.leader
            && !self.strangers.contains(&process.pid)
    }
}

impl Process {
    const fn lives(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// From the text of `/proc/PID/stat`. A name may have blanks and brackets in it.
    fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(' ')?;
        let (_, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Self { pid: Pid::from_raw(pid.parse().ok()?)?, state, parent, group })
    }
}

/// All processes that this one may see.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_number))
        // A process may end while it is looked at.
        .filter_map(|entry| Process::parse(&fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

#[cfg(test)]
mod tests;
