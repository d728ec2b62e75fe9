//! Five nodes in a network, as whoever plays with them sees them.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::failure::{Failure, Result, broken, require};
use crate::history::Ended;
use crate::interrupt::{self, apart};
use crate::journal::now;
use crate::net::{Host, Net};
use crate::plan::{EnginePlan, Order, Plan, Word};

/// Numbers of the nodes; each is at the host of its number.
pub(crate) const NODES: [u16; 5] = [1, 2, 3, 4, 5];
/// Where all nodes listen.
const PORT: u16 = 7000;
/// Longest that anything may take that nothing stands in the way of.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often whoever waits looks whether the run was interrupted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long nodes may take to write down their tables once a run has failed.
const TELLING: Duration = Duration::from_secs(1);

/// What gives a program a clock of its own, beside how far that is ahead.
const CLOCK: [&str; 3] = ["--time", "--fork", "--kill-child"];

/// The nodes of a run.
pub(crate) struct Cluster {
    pub(crate) net: Net,
    pub(crate) folder: PathBuf,
    plan: EnginePlan,
    /// The engine, if it is a process.
    pub(crate) engine: Option<Engine>,
    name: String,
    seed: u64,
    /// Do its nodes ask for the locks that they say they hold?
    pub(crate) is_honest: bool,
    nodes: Vec<Member>,
    words: Receiver<(u16, u32, Option<Word>)>,
    speaker: Sender<(u16, u32, Option<Word>)>,
    /// Histories of processes that were killed, and when.
    pub(crate) ended: Vec<Ended>,
    /// What was seen, and how long after the beginning of the fault.
    pub(crate) notes: Vec<String>,
    pub(crate) began: Instant,
}

/// What kind of engine says who is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A directory that all nodes share.
    Directory,
    /// A server of etcd.
    Etcd,
}

/// What is known of a node.
struct Member {
    number: u16,
    starts: u32,
    process: Option<Process>,
    /// Its last view, if it is a member.
    view: Option<(u32, Vec<u16>)>,
    /// The last view that is settled there.
    settled: u32,
    /// The lives that it has had as a member in this process.
    incarnations: BTreeSet<u64>,
    has_been_fenced: bool,
    rolled: u32,
    stopped: Option<u32>,
    may_end: bool,
    has_ended: bool,
}

struct Process {
    child: Child,
    /// The node itself, once it has said so.
    pid: Option<Pid>,
    history: PathBuf,
}

/// Where a node is, as its host.
pub(crate) fn host(node: u16) -> Host {
    Host(u8::try_from(node).expect("there are few nodes"))
}

/// Where nodes are, as their hosts.
pub(crate) fn hosts(nodes: &[u16]) -> Vec<Host> {
    nodes.iter().copied().map(host).collect()
}

/// Can nodes have clocks of their own on this machine?
pub(crate) fn require_clocks() -> Result<()> {
    let mut command = Command::new("unshare");
    let tried =
        apart(&mut command).args(CLOCK).args(["--boottime", "1", "true"]).stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(Failure::Missing("there are no time namespaces".to_owned()))
}

impl Cluster {
    /// The engine runs, if it is a process, and no node yet.
    pub(crate) fn new(net: Net, folder: &Path, kind: Kind, name: &str, seed: u64) -> Result<Self> {
        let (plan, engine) = match kind {
            Kind::Directory => (EnginePlan::Directory(folder.join("members")), None),
            Kind::Etcd => (Engine::plan(folder), Some(Engine::start(&net, folder)?)),
        };
        let (speaker, words) = channel();
        let nodes = NODES.map(|number| Member {
            number,
            starts: 0,
            process: None,
            view: None,
            settled: 0,
            incarnations: BTreeSet::new(),
            has_been_fenced: false,
            rolled: 0,
            stopped: None,
            may_end: false,
            has_ended: false,
        });
        Ok(Self {
            net,
            folder: folder.to_owned(),
            plan,
            engine,
            name: name.to_owned(),
            seed,
            is_honest: true,
            nodes: nodes.into(),
            words,
            speaker,
            ended: Vec::new(),
            notes: Vec::new(),
            began: Instant::now(),
        })
    }

    /// Starts all nodes, has them agree upon a view, and lets them work.
    pub(crate) fn begin(&mut self) -> Result<()> {
        for node in NODES {
            self.start(node, Duration::ZERO)?;
        }
        self.until_whole()?;
        NODES.into_iter().try_for_each(|node| self.order(node, Order::Go))
    }

    /// Starts a node whose clock is ahead by so much.
    pub(crate) fn start(&mut self, node: u16, ahead: Duration) -> Result<()> {
        let member = self.member_mut(node);
        member.starts += 1;
        let start = member.starts;
        let history = self.folder.join(format!("node-{node}-{start}.jsonl"));
        let plan = Plan {
            node,
            start,
            is_honest: self.is_honest,
            cluster: self.name.clone(),
            listen: SocketAddr::from((host(node).address(), PORT)),
            engine: self.plan.clone(),
            history: history.clone(),
            seed: self.seed ^ (u64::from(node) << 48) ^ (u64::from(start) << 56),
        };
        let plan = serde_json::to_string(&plan).map_err(broken("the plan"))?;
        let program = env::current_exe().map_err(broken("finding this program"))?;
        let space = self.net.space(host(node));
        let mut command = if ahead.is_zero() {
            space.command(program)
        } else {
            let mut command = space.command("unshare");
            let ahead = ahead.as_secs().to_string();
            command.args(CLOCK).args(["--boottime", &ahead]).arg(program);
            command
        };
        command.args(["node", &plan]);
        let child = self.start_process(command, node)?;
        let member = self.member_mut(node);
        member.process = Some(Process { child, pid: None, history });
        (member.view, member.settled, member.rolled, member.stopped) = (None, 0, 0, None);
        member.incarnations.clear();
        Ok(())
    }

    fn start_process(&self, mut command: Command, node: u16) -> Result<Child> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(broken(format!("{command:?}")))?;
        let output = child.stdout.take().expect("its output is a pipe");
        let (speaker, start) = (self.speaker.clone(), self.member(node).starts);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(core::result::Result::ok) {
                let Ok(word) = serde_json::from_str(&line) else { continue };
                // If nobody hears it, the run is over.
                let _ = speaker.send((node, start, Some(word)));
            }
            let _ = speaker.send((node, start, None));
        });
        Ok(child)
    }

    /// Tells a node to do something.
    pub(crate) fn order(&mut self, node: u16, order: Order) -> Result<()> {
        let mut line = serde_json::to_string(&order).map_err(broken("an order"))?;
        line.push('\n');
        let input = self.process(node)?.child.stdin.as_mut();
        let input = input.ok_or_else(|| Failure::Broken(format!("node {node} was told to end")))?;
        input.write_all(line.as_bytes()).map_err(broken(format!("telling node {node}")))
    }

    /// Ends a node at once (SIGKILL).
    pub(crate) fn kill(&mut self, node: u16) -> Result<()> {
        let killed_at = now();
        self.signal(node, Signal::KILL)?;
        let member = self.member_mut(node);
        let Some(mut process) = member.process.take() else { return Ok(()) };
        member.view = None;
        process.child.wait().map_err(broken(format!("the end of node {node}")))?;
        self.ended.push(Ended { history: process.history, killed_at: Some(killed_at) });
        Ok(())
    }

    /// Stops a node where it is (SIGSTOP).
    pub(crate) fn pause(&mut self, node: u16) -> Result<()> {
        self.signal(node, Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn resume(&mut self, node: u16) -> Result<()> {
        self.signal(node, Signal::CONT)
    }

    fn signal(&mut self, node: u16, signal: Signal) -> Result<()> {
        self.until(format!("node {node} says that it runs"), PATIENCE, |cluster| {
            cluster.member(node).process.as_ref().is_some_and(|process| process.pid.is_some())
        })?;
        let pid = self.process(node)?.pid.expect("it was waited for");
        kill_process(pid, signal).map_err(broken(format!("a signal to node {node}")))
    }

    fn process(&mut self, node: u16) -> Result<&mut Process> {
        let process = self.member_mut(node).process.as_mut();
        process.ok_or_else(|| Failure::Broken(format!("node {node} does not run")))
    }

    fn member(&self, node: u16) -> &Member {
        &self.nodes[usize::from(node) - 1]
    }

    fn member_mut(&mut self, node: u16) -> &mut Member {
        &mut self.nodes[usize::from(node) - 1]
    }

    /// Is this node's view one of exactly these members?
    pub(crate) fn sees(&self, node: u16, members: &[u16]) -> bool {
        self.member(node).view.as_ref().is_some_and(|(_, seen)| seen == members)
    }

    /// Notes that this is so now.
    pub(crate) fn note(&mut self, what: &str) {
        let note = format!("{what} after {:.2} s", self.began.elapsed().as_secs_f64());
        self.notes.push(note);
    }

    /// The latest view of any node.
    pub(crate) fn epoch(&self) -> u32 {
        self.nodes
            .iter()
            .filter_map(|member| member.view.as_ref())
            .map(|(epoch, _)| *epoch)
            .max()
            .unwrap_or(0)
    }

    /// The nodes whose membership has ended while their process lived.
    pub(crate) fn fenced(&self) -> BTreeSet<u16> {
        let fenced = |member: &&Member| member.has_been_fenced || member.incarnations.len() > 1;
        self.nodes.iter().filter(fenced).map(|member| member.number).collect()
    }

    /// Waits until all nodes have one view of all, and it is settled.
    pub(crate) fn until_whole(&mut self) -> Result<()> {
        self.until("all nodes are members of one view, which is settled".to_owned(), PATIENCE, |cluster| {
            let epoch = cluster.epoch();
            cluster.nodes.iter().all(|member| {
                let is_seen = |(seen, members): &(u32, Vec<u16>)| *seen == epoch && members == &NODES;
                member.settled == epoch && member.view.as_ref().is_some_and(is_seen)
            })
        })
    }

    /// Has every node lock everything once, then finish what it has begun.
    pub(crate) fn serve_all(&mut self) -> Result<()> {
        NODES.into_iter().try_for_each(|node| self.order(node, Order::Roll))?;
        self.until("every node has locked everything once".to_owned(), PATIENCE, |cluster| {
            cluster.nodes.iter().all(|member| member.rolled > 0)
        })?;
        NODES.into_iter().try_for_each(|node| self.order(node, Order::Stop))?;
        self.until("whoever waited was served".to_owned(), PATIENCE, |cluster| {
            cluster.nodes.iter().all(|member| member.stopped.is_some())
        })?;
        let refused: u32 = self.nodes.iter().filter_map(|member| member.stopped).sum();
        require(refused == 0, || format!("{refused} locks were refused"))
    }

    /// Ends all nodes in order.
    pub(crate) fn end(&mut self) -> Result<()> {
        for member in &mut self.nodes {
            // Its input ends.
            member.process.as_mut().map(|process| process.child.stdin.take());
            member.may_end = true;
        }
        self.until("all processes have ended".to_owned(), PATIENCE, |cluster| {
            cluster.nodes.iter().all(|member| member.has_ended)
        })?;
        for member in &mut self.nodes {
            let Some(mut process) = member.process.take() else { continue };
            let status = process.child.wait().map_err(broken("the end of a node"))?;
            require(status.success(), || format!("node {} ended with {status}", member.number))?;
            self.ended.push(Ended { history: process.history, killed_at: None });
        }
        Ok(())
    }

    /// Lets so much time pass, and hears what is said meanwhile.
    pub(crate) fn last(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        while self.hear(until)? {}
        Ok(())
    }

    /// Waits until this is so. It is an error if that takes longer than `within`.
    pub(crate) fn until(
        &mut self,
        what: String,
        within: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + within;
        while !is_so(self) {
            if !self.hear(until)? {
                let said = format!("not within {within:?}: {what}\n{}", self.describe());
                self.let_tell();
                return Err(Failure::Broken(said));
            }
        }
        Ok(())
    }

    /// Has all nodes write down their tables.
    fn let_tell(&mut self) {
        for node in NODES {
            // One that is dead, stopped or about to end says nothing.
            let _ = self.order(node, Order::Tell);
        }
        std::thread::sleep(TELLING);
    }

    /// Hears one word. `false` if none came before this instant.
    fn hear(&mut self, until: Instant) -> Result<bool> {
        let (node, start, word) = loop {
            interrupt::check()?;
            let span = until.saturating_duration_since(Instant::now());
            match self.words.recv_timeout(span.min(LOOK_EVERY)) {
                Ok(heard) => break heard,
                Err(RecvTimeoutError::Timeout) if span > LOOK_EVERY => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(false),
            }
        };
        let member = self.member_mut(node);
        let Some(process) = member.process.as_mut().filter(|_| member.starts == start) else {
            return Ok(true);
        };
        match word {
            Some(Word::Running { process: number }) => process.pid = Pid::from_raw(number),
            Some(Word::View { epoch, incarnation, members }) => {
                member.incarnations.insert(incarnation);
                member.view = Some((epoch, members));
            }
            Some(Word::Settled { epoch }) => member.settled = epoch,
            Some(Word::Fenced) => {
                member.has_been_fenced = true;
                member.view = None;
            }
            Some(Word::Rolled) => member.rolled += 1,
            Some(Word::Stopped { refused }) => member.stopped = Some(refused),
            Some(Word::Failed { reason }) => {
                return Err(Failure::Broken(format!("node {node}: {reason}")));
            }
            None if member.may_end => member.has_ended = true,
            None => return Err(Failure::Broken(format!("node {node} has ended by itself"))),
        }
        Ok(true)
    }

    /// What is known of all nodes.
    fn describe(&self) -> String {
        let lines = self.nodes.iter().map(|member| {
            let Member { number, starts, view, settled, rolled, stopped, .. } = member;
            let runs = member.process.is_some();
            format!(
                "  node {number}: start {starts}, runs {runs}, view {view:?}, settled {settled}, rolled {rolled}, stopped {stopped:?}"
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.nodes.iter_mut().filter_map(|member| member.process.as_mut()) {
            let pids = [process.pid, Some(Pid::from_child(&process.child))];
            for pid in pids.into_iter().flatten() {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = process.child.wait();
        }
    }
}
