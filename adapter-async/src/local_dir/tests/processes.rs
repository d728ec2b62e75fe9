//! Members in processes of their own: killed, stopped, started again.
//!
//! The test's own program is started once more for each, and does what [`child`] says.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant as Clock;

use lockmaster_core::{SpaceId, hash};
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// Says to a child which directory, and which number.
const CHILD: &str = "LOCKMASTER_LOCAL_DIR_CHILD";

/// A member in a process of its own.
struct Process {
    node: u16,
    child: Child,
    views: Receiver<(Clock, ClusterView)>,
    seen: Vec<ClusterView>,
}

/// Writes each view as a line, as it is stored.
struct Loud;

impl Hear for Loud {
    fn view(&self, view: ClusterView) {
        let record = Record { cluster: ClusterId(1), digest: 0, incarnations: u64::MAX, view };
        let line = record.encode().replace('\n', "|");
        let mut out = io::stdout().lock();
        // Nobody listens if the test has ended.
        let _ = writeln!(out, "view:{line}").and_then(|()| out.flush());
    }

    fn certainty(&self, _: Certainty) {}

    fn fenced(&self, why: &str) {
        panic!("{why}");
    }

    fn trouble(&self, why: &str) {
        panic!("{why}");
    }

    fn now(&self) -> Instant {
        Instant::START
    }

    fn last_alive(&self) -> Instant {
        Instant::START
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Not a test by itself: what a child does until it is killed, told to leave, or alone.
#[test]
fn child() {
    let Ok(told) = env::var(CHILD) else { return };
    let (node, dir) = told.split_once(' ').unwrap();
    let candidate = candidate(Some(node.parse().unwrap()));
    let joined = LocalDir::new(dir).join(&candidate, Inbox::new(Arc::new(Loud))).unwrap();
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    if line == "leave\n" {
        joined.session.leave();
    }
}

impl Process {
    fn start(dir: &Path, node: u16) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "local_dir::tests::processes::child", "--nocapture", "--test-threads", "1"])
            .env(CHILD, format!("{node} {}", dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, views) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The test runner writes on the same line.
                let Some((_, view)) = line.split_once("view:") else { continue };
                let record = Record::decode(&view.replace('|', "\n")).unwrap();
                if tell.send((Clock::now(), record.view)).is_err() {
                    return;
                }
            }
        });
        Self { node, child, views, seen: Vec::new() }
    }

    /// Waits for a view, and says when it came.
    fn until(&mut self, is_it: impl Fn(&ClusterView) -> bool) -> (Clock, ClusterView) {
        if let Some(view) = self.seen.last().filter(|view| is_it(view)) {
            return (Clock::now(), view.clone());
        }
        loop {
            let (at, view) = self.views.recv_timeout(GIVE_UP).unwrap_or_else(|error| {
                panic!("{error}: node {} has seen {:?}", self.node, self.seen);
            });
            if self.seen.last() != Some(&view) {
                self.seen.push(view.clone());
            }
            if is_it(&view) {
                return (at, view);
            }
        }
    }

    fn until_members(&mut self, nodes: &[u16]) -> (Clock, ClusterView) {
        self.until(|view| numbers(view) == nodes)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL.
    fn kill(&mut self) -> Clock {
        let at = Clock::now();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        at
    }

    fn leave(mut self) -> Vec<ClusterView> {
        self.child.stdin.take().unwrap().write_all(b"leave\n").unwrap();
        assert!(self.child.wait().unwrap().success());
        core::mem::take(&mut self.seen)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_all(dir: &Path, nodes: &[u16]) -> Vec<Process> {
    let mut all: Vec<_> = nodes.iter().map(|node| Process::start(dir, *node)).collect();
    all.iter_mut().for_each(|process| drop(process.until_members(nodes)));
    all
}

/// Waits until these processes agree on who is left.
fn until_left(processes: &mut [Process]) -> ClusterView {
    let mut nodes: Vec<u16> = processes.iter().map(|process| process.node).collect();
    nodes.sort_unstable();
    // The same members may have been in an earlier view, in other lives.
    let mut epoch = Epoch(0);
    loop {
        let is_left = |view: &ClusterView| numbers(view) == nodes && view.epoch >= epoch;
        let views: Vec<_> = processes.iter_mut().map(|process| process.until(is_left).1).collect();
        epoch = views.iter().map(|view| view.epoch).max().unwrap();
        if views.iter().all(|view| view.epoch == epoch) {
            return views[0].clone();
        }
    }
}

fn check_seen(processes: &[Process]) {
    check_views(processes.iter().map(|process| process.seen.as_slice()));
}

#[test]
fn survivors_see_that_one_was_killed() {
    let (_home, dir) = dir();
    let mut spans = Vec::new();
    for killed in [1_u16, 3, 5, 1, 2, 4] {
        let mut all = start_all(&dir, &[1, 2, 3, 4, 5]);
        let at = all.iter().position(|process| process.node == killed).unwrap();
        let mut victim = all.remove(at);
        let before = victim.seen.last().unwrap().epoch;
        let killed_at = victim.kill();
        let left: Vec<u16> = all.iter().map(|process| process.node).collect();
        let told: Vec<_> = all.iter_mut().map(|process| process.until_members(&left)).collect();
        assert!(told.iter().all(|(_, view)| view.epoch == Epoch(before.0 + 1)), "one view: {told:?}");
        let last = told.iter().map(|(at, _)| at.saturating_duration_since(killed_at)).max().unwrap();
        spans.push(last);
        check_seen(&all);
    }
    println!("from SIGKILL of one of five to the view at the last survivor: {spans:?}");
}

#[test]
fn several_killed_at_once_are_missed() {
    let (_home, dir) = dir();
    let mut all = start_all(&dir, &[1, 2, 3, 4, 5]);
    let gone: Vec<Process> = all.drain(..3).collect();
    gone.iter().for_each(|process| process.signal(Signal::KILL));
    until_left(&mut all);
    check_seen(&all);
}

#[test]
fn a_process_that_is_started_again_is_another_incarnation() {
    let (_home, dir) = dir();
    let mut all = start_all(&dir, &[1, 2, 3]);
    for at in [1, 0, 2, 1] {
        let node = all[at].node;
        let before = until_left(&mut all).member(NodeId(node)).unwrap().incarnation;
        all[at].kill();
        all[at] = Process::start(&dir, node);
        let is_again = |view: &ClusterView| {
            numbers(view) == [1, 2, 3] && view.member(NodeId(node)).unwrap().incarnation > before
        };
        let views: Vec<_> = all.iter_mut().map(|process| process.until(is_again).1).collect();
        let own = *views[0].member(NodeId(node)).unwrap();
        assert_eq!(own.joined, views[0].epoch);
        assert!(views.windows(2).all(|pair| pair[0] == pair[1]));
    }
    check_seen(&all);
}

#[test]
fn a_process_that_is_stopped_stays_a_member_until_it_is_killed() {
    let (_home, dir) = dir();
    let mut all = start_all(&dir, &[1, 2, 3]);
    let mut stopped = all.remove(1);
    stopped.signal(Signal::STOP);
    // Each of these looks at all members; the one that is stopped is still one.
    all.push(Process::start(&dir, 4));
    all.iter_mut().for_each(|process| drop(process.until_members(&[1, 2, 3, 4])));
    all.remove(0).leave();
    all.iter_mut().for_each(|process| drop(process.until_members(&[2, 3, 4])));
    stopped.signal(Signal::CONT);
    let view = stopped.until_members(&[2, 3, 4]).1;
    assert_eq!(view.member(NodeId(2)).unwrap().joined, stopped.seen[0].epoch, "it is the same life");
    stopped.signal(Signal::STOP);
    stopped.kill();
    until_left(&mut all);
    check_seen(&all);
}

#[test]
fn processes_that_all_die_come_back_to_later_epochs() {
    let (_home, dir) = dir();
    let mut last = Epoch(0);
    for _ in 0..3 {
        let mut all = start_all(&dir, &[1, 2, 3]);
        let first = all.iter().map(|process| process.seen[0].epoch).min().unwrap();
        assert!(first > last, "epochs go on");
        last = until_left(&mut all).epoch;
        check_seen(&all);
        all.iter().for_each(|process| process.signal(Signal::KILL));
    }
}

#[test]
fn processes_come_and_go_in_any_order() {
    let (_home, dir) = dir();
    let mut all = start_all(&dir, &[1, 2, 3, 4]);
    let mut seen = Vec::new();
    let mut draws = 0_u64;
    let mut random = || {
        draws += 1;
        hash(0x5eed, SpaceId(0), &draws.to_le_bytes())
    };
    for _ in 0..12 {
        let at = usize::try_from(random() % 4).unwrap();
        let mut gone = all.remove(at);
        let node = gone.node;
        match random() % 2 {
            0 => seen.push(gone.leave()),
            _ => {
                gone.kill();
                seen.push(core::mem::take(&mut gone.seen));
            }
        }
        if random() % 2 == 0 {
            until_left(&mut all);
        }
        all.push(Process::start(&dir, node));
    }
    until_left(&mut all);
    seen.extend(all.iter().map(|process| process.seen.clone()));
    check_views(seen.iter().map(Vec::as_slice));
}
