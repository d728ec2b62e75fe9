//! A remote lock that is not retained, beside an echo over the same kind of connection to the same process.
//!
//! Both processes run one tokio thread each. The other one (`peer`) masters the resources and echoes.

use core::net::SocketAddr;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::Path;
use std::time::Instant as Clock;

use lockmaster_tokio::{Mode, Node, NodeId, Retention, SpaceConfig, SpaceId};
use tokio::runtime::Runtime;

use crate::compare::{Plan, Row, Side, WARM_UP, name};
use crate::echo::{self, Echo};
use crate::papers::{self, CLUSTER};
use crate::process::{self, Other};

/// What the other process is called with.
pub(crate) const ROLE: &str = "peer";
const BATCH_ONE: u32 = 200;
pub(crate) const TASKS: u32 = 1024;
/// Locks that each of the tasks takes in a round.
const TURNS: u32 = 4;

async fn node(number: u16, listener: TcpListener, other: SocketAddr, papers: Option<&Path>) -> Node {
    let space =
        SpaceConfig { retention: Retention::Never, ..SpaceConfig::new("bench").expect("a short name") };
    let mut builder = Node::builder(CLUSTER).node(number).listener(listener).space(space);
    if let Some(papers) = papers {
        builder = builder.tls(papers::tls(papers, number));
    }
    builder.member(3 - number, other).start().await.expect("loopback is there")
}

/// The other process: serves until its input ends, over TLS if it has papers.
pub(crate) fn serve(papers: Option<&Path>) {
    process::runtime().block_on(async {
        let begun = process::begin().await;
        let _node = node(2, begun.node, begun.others[0], papers).await;
        echo::serve(begun.baseline).await;
    });
}

/// This process's side: a node, an echo connection, and the other process.
pub(crate) struct Pair {
    pub(crate) runtime: Runtime,
    node: Node,
    echo: Echo,
    names: Vec<[u8; 16]>,
    _other: Other,
}

impl Pair {
    /// Over TLS if there are papers.
    pub(crate) fn start(papers: Option<&Path>) -> Self {
        let listener = process::listener();
        let mut arguments = vec![OsStr::new(ROLE)];
        arguments.extend(papers.map(Path::as_os_str));
        let (other, addresses) = Other::start_with(&arguments, &listener);
        let runtime = process::runtime();
        let (node, echo) = runtime.block_on(async {
            let node = node(1, listener, addresses.node, papers).await;
            node.opened().await;
            (node, Echo::connect(addresses.baseline).await)
        });
        let is_remote = |name: &[u8; 16]| node.master_of(SpaceId(0), name) == Some(NodeId(2));
        let names = (0..).map(name).filter(is_remote).take(TASKS as usize).collect();
        Self { runtime, node, echo, names, _other: other }
    }

    pub(crate) async fn lock(&self, at: u32) {
        drop(self.node.lock(&self.names[at as usize], Mode::Exclusive).await.expect("the other node grants"));
    }
}

/// One task: a lock and its release cost one round trip and one message more.
pub(crate) fn one_task() -> Vec<Row> {
    let pair = Pair::start(None);
    let plan = Plan {
        what: "remote lock + unlock, not retained, one task",
        baseline: "raw tokio loopback echo",
        aim: 1.2,
        batch: BATCH_ONE,
        warm_up: WARM_UP,
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
pub(crate) fn many_tasks() -> Vec<Row> {
    let pair = Pair::start(None);
    let plan = Plan {
        what: "remote lock + unlock, not retained, 1024 tasks, one connection",
        baseline: "1024 tasks, request and response, one connection, echo server",
        aim: 2.0,
        batch: TASKS * TURNS,
        warm_up: WARM_UP,
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
