//! A remote lock that is not retained, beside an echo over the same kind of connection to the same process.
//!
//! Both processes run one tokio thread each. The other one (`peer`) masters the resources and echoes.

use core::net::SocketAddr;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Instant as Clock;

use lockmaster_tokio::{Mode, Node, NodeId, Retention, SpaceConfig, SpaceId};
use tokio::runtime::Runtime;

use crate::compare::{Plan, Row, Side, name};
use crate::echo::{self, Echo};

const BATCH_ONE: u32 = 200;
const TASKS: u32 = 1024;
/// Locks that each of the tasks takes in a round.
const TURNS: u32 = 4;

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the runtime starts")
}

async fn node(number: u16, listener: TcpListener, other: SocketAddr) -> Node {
    let space =
        SpaceConfig { retention: Retention::Never, ..SpaceConfig::new("bench").expect("a short name") };
    let builder = Node::builder("bench").node(number).listener(listener).space(space);
    builder.member(3 - number, other).start().await.expect("loopback is there")
}

/// The other process: says its addresses, hears ours, then serves until its input ends.
pub(crate) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let echo = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = |listener: &TcpListener| listener.local_addr().expect("it is bound");
    println!("{} {}", address(&listener), address(&echo));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the parent says its address");
    let other = line.trim().parse().expect("an address");
    std::thread::spawn(|| {
        // The parent closes our input when it is done, or is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    runtime().block_on(async {
        let _node = node(2, listener, other).await;
        echo::serve(echo).await;
    });
}

/// This process's side: a node, an echo connection, and the other process.
struct Pair {
    runtime: Runtime,
    node: Node,
    echo: Echo,
    names: Vec<[u8; 16]>,
    other: Child,
}

impl Pair {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let program = std::env::current_exe().expect("this program has a path");
        let command = Command::new(program).arg("peer").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut other = command.expect("this program can be started");
        let mut line = String::new();
        let output = other.stdout.take().expect("its output is piped");
        BufReader::new(output).read_line(&mut line).expect("it says its addresses");
        let mut addresses =
            line.split_whitespace().map(|text| text.parse::<SocketAddr>().expect("an address"));
        let (theirs, echo) = (addresses.next().expect("two"), addresses.next().expect("two"));
        let input = other.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{}", listener.local_addr().expect("it is bound")).expect("it reads");
        let runtime = runtime();
        let (node, echo) = runtime.block_on(async {
            let node = node(1, listener, theirs).await;
            node.opened().await;
            (node, Echo::connect(echo).await)
        });
        let is_remote = |name: &[u8; 16]| node.master_of(SpaceId(0), name) == Some(NodeId(2));
        let names = (0..).map(name).filter(is_remote).take(TASKS as usize).collect();
        Self { runtime, node, echo, names, other }
    }

    async fn lock(&self, at: u32) {
        drop(self.node.lock(&self.names[at as usize], Mode::Exclusive).await.expect("the other node grants"));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.other.stdin.take());
        let _ = self.other.wait();
    }
}

/// One task: a lock and its release cost one round trip and one message more.
pub(crate) fn one_task() -> Row {
    let pair = Pair::start();
    let plan = Plan {
        what: "remote lock + unlock, not retained, one task",
        baseline: "raw tokio loopback echo",
        aim: 1.5,
        batch: BATCH_ONE,
        rounds: 400,
    };
    plan.run(|side| {
        pair.runtime.block_on(async {
            let started = Clock::now();
            for at in 0..BATCH_ONE {
                match side {
                    Side::Ours => pair.lock(at % TASKS).await,
                    Side::Theirs => pair.echo.call(at).await,
                }
            }
            started.elapsed()
        })
    })
}

/// Many tasks over one connection: frames with many messages, beside requests and responses of as many tasks.
pub(crate) fn many_tasks() -> Row {
    let pair = Pair::start();
    let plan = Plan {
        what: "remote lock + unlock, not retained, 1024 tasks, one connection",
        baseline: "1024 tasks, request and response, one connection, echo server",
        aim: 3.0,
        batch: TASKS * TURNS,
        rounds: 150,
    };
    let local = tokio::task::LocalSet::new();
    let pair = std::rc::Rc::new(pair);
    plan.run(|side| {
        local.block_on(&pair.runtime, async {
            let started = Clock::now();
            let tasks: Vec<_> = (0..TASKS)
                .map(|at| {
                    let pair = std::rc::Rc::clone(&pair);
                    tokio::task::spawn_local(async move {
                        for _ in 0..TURNS {
                            match side {
                                Side::Ours => pair.lock(at).await,
                                Side::Theirs => pair.echo.call(at).await,
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task ends well");
            }
            started.elapsed()
        })
    })
}
