//! Hand-overs of EX locks between two nodes, beside an echo over the same kind of connection.
//!
//! This process is node 1, and one of the two; node 2 is the other one. Their master is node 3, or node 2, which echoes,
//! too. Each is a process with one tokio thread. The master has a core of its own, so that every message goes from one
//! core to another, here and there.

use core::net::SocketAddr;
use core::time::Duration;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Instant as Clock;

use lockmaster_tokio::{Mode, Node, NodeId, SpaceId};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, LocalSet};

use crate::compare::{Plan, Row, Side, WARM_UP, name};
use crate::control::Control;
use crate::cores::{self, Pinned};
use crate::echo::{self, Echo};
use crate::process::{self, Other};

/// What the other processes are called with.
pub(crate) const ROLE: &str = "handover-peer";
const BATCH: u32 = 200;

/// Both nodes want one lock again and again, and a third is its master.
pub(crate) fn contended() -> Vec<Row> {
    Contest::start(NodeId(3))
        .measure("hand-over of a contended EX lock, a third node is the master", Kind::Contended)
}

/// The same where the other of the two is the master.
pub(crate) fn contended_by_master() -> Vec<Row> {
    let what = "hand-over of a contended EX lock, one of the two is the master";
    Contest::start(NodeId(2)).measure(what, Kind::Contended)
}

/// One node asks for locks that the other one retains, and a third is their master.
pub(crate) fn retained() -> Vec<Row> {
    Contest::start(NodeId(3))
        .measure("hand-over of a retained EX lock, a third node is the master", Kind::Retained)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contended,
    Retained,
}

/// All nodes, as this process sees them.
struct Contest {
    runtime: Runtime,
    here: Here,
    _others: Vec<Other>,
    _core: Pinned,
}

/// This node, and its ways to the others.
struct Here {
    node: Node,
    names: Vec<[u8; 16]>,
    echo: Echo,
    controls: Vec<Control>,
}

impl Contest {
    /// As many nodes as it takes for this one to be the master.
    fn start(master: NodeId) -> Self {
        let listener = process::listener();
        let start = |number: u16| {
            let arguments = [ROLE.to_owned(), number.to_string(), master.0.to_string()];
            Other::spawn(&arguments.each_ref().map(OsStr::new))
        };
        let (mut others, addresses): (Vec<_>, Vec<_>) = (2..=master.0).map(start).unzip();
        let core = cores::pin(0);
        let mut members = vec![process::address(&listener)];
        members.extend(addresses.iter().map(|addresses| addresses.node));
        others.iter_mut().for_each(|other| other.tell(&members));
        let runtime = process::runtime();
        let here = runtime.block_on(async {
            let node = node(1, listener, &members).await;
            let mut controls = Vec::new();
            for addresses in &addresses {
                let stream = TcpStream::connect(addresses.baseline).await;
                controls.push(Control::new(stream.expect("the other process listens")));
            }
            node.opened().await;
            let echo = Echo::connect(addresses[addresses.len() - 1].baseline).await;
            Here { names: names(&node, master), node, echo, controls }
        });
        Self { runtime, here, _others: others, _core: core }
    }

    fn measure(self, what: &'static str, kind: Kind) -> Vec<Row> {
        let Self { runtime, mut here, _others, _core } = self;
        let plan = Plan {
            what,
            baseline: "raw tokio loopback echo",
            // What is said of a retained lock are two round trips; a fifth of that is ours.
            aim: 2.4,
            batch: BATCH,
            warm_up: WARM_UP,
            rounds: 200,
        };
        let mut messages = Vec::new();
        let mut rows = plan.run(|side| {
            runtime.block_on(async {
                match side {
                    Side::Ours => {
                        let (took, said) = here.hand_over(kind).await;
                        messages.push(said);
                        took
                    }
                    Side::Theirs => here.call().await,
                }
            })
        });
        let handed_over = BATCH as usize * messages.len();
        let each = messages.iter().sum::<u64>() as f64 / handed_over as f64;
        rows[0].notes.push(format!("{each:.2} messages each"));
        rows
    }
}

impl Here {
    /// A round of ours: how long it took, and the messages of all nodes.
    async fn hand_over(&mut self, kind: Kind) -> (Duration, u64) {
        let begin = match kind {
            Kind::Contended => "contend",
            Kind::Retained => "retain",
        };
        self.controls[0].ask(begin).await;
        let before = self.messages().await;
        let started = Clock::now();
        match kind {
            Kind::Contended => self.contend().await,
            Kind::Retained => self.take_all().await,
        }
        let took = started.elapsed();
        let said = self.messages().await - before;
        self.controls[0].ask("rest").await;
        (took, said)
    }

    /// Between two hand-overs to this node is one to the other.
    async fn contend(&self) {
        for _ in 0..BATCH / 2 {
            take_until_wanted(&self.node, &self.names[0]).await;
        }
    }

    async fn take_all(&self) {
        for name in &self.names {
            take(&self.node, name).await;
        }
    }

    /// A round of the baseline.
    async fn call(&self) -> Duration {
        let started = Clock::now();
        for at in 0..BATCH {
            self.echo.call(at).await;
        }
        started.elapsed()
    }

    /// Messages that all nodes have sent.
    async fn messages(&mut self) -> u64 {
        let mut sum = self.node.stats().messages_out;
        for control in &mut self.controls {
            sum += control.ask("messages").await.parse::<u64>().expect("a number");
        }
        sum
    }
}

// ---- every process ----

/// A node of these members.
async fn node(number: u16, listener: TcpListener, members: &[SocketAddr]) -> Node {
    let mut builder = Node::builder("bench").node(number).listener(listener);
    for (member, address) in (1..).zip(members) {
        if member != number {
            builder = builder.member(member, *address);
        }
    }
    builder.start().await.expect("loopback is there")
}

/// What the two nodes want, all of one master.
fn names(node: &Node, master: NodeId) -> Vec<[u8; 16]> {
    let is_its = |name: &[u8; 16]| node.master_of(SpaceId(0), name) == Some(master);
    (0..).map(name).filter(is_its).take(BATCH as usize).collect()
}

async fn take(node: &Node, name: &[u8]) {
    drop(node.lock(name, Mode::Exclusive).await.expect("it is handed over"));
}

/// Keeps what it has taken until somebody else wants it.
async fn take_until_wanted(node: &Node, name: &[u8]) {
    let guard = node.lock(name, Mode::Exclusive).await.expect("it is handed over");
    guard.contended().await;
}

// ---- the other processes ----

/// Does what it is told until its input ends, and echoes.
pub(crate) fn serve() {
    let mut numbers = std::env::args().skip(2).map(|word| word.parse().expect("a small number"));
    let mut number = || numbers.next().expect("the node's number, and its master's");
    let (me, master) = (number(), NodeId(number()));
    let _core = cores::pin(usize::from(me == master.0));
    LocalSet::new().block_on(&process::runtime(), async {
        let begun = process::begin().await;
        let (control, _) = begun.baseline.accept().await.expect("loopback accepts");
        let node = node(me, begun.node, &begun.others).await;
        node.opened().await;
        tokio::task::spawn_local(echo::serve(begun.baseline));
        obey(Control::new(control), Rc::new(names(&node, master)), node).await;
    });
}

async fn obey(mut control: Control, names: Rc<Vec<[u8; 16]>>, node: Node) {
    let mut contest: Option<JoinHandle<()>> = None;
    loop {
        let answer = match &*control.hear().await {
            "contend" => {
                let (node, names) = (node.clone(), Rc::clone(&names));
                contest = Some(tokio::task::spawn_local(async move {
                    loop {
                        take_until_wanted(&node, &names[0]).await;
                    }
                }));
                String::new()
            }
            "rest" => {
                if let Some(contest) = contest.take() {
                    contest.abort();
                    assert!(contest.await.is_err_and(|error| error.is_cancelled()), "it goes on for ever");
                }
                String::new()
            }
            "retain" => {
                for name in &*names {
                    take(&node, name).await;
                }
                String::new()
            }
            "messages" => node.stats().messages_out.to_string(),
            word => unreachable!("nobody says {word}"),
        };
        control.say(&answer).await;
    }
}
