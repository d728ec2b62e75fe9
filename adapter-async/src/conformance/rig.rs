//! Clusters in one process, and what every case needs.

use core::future::{Future, poll_fn};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::net::TcpListener;
use std::sync::mpsc;

use super::task::{self, Task, on_thread};
use crate::{Builder, Limits, Mode, Node, Retention, Runtime, SpaceConfig, SpaceId};

pub(super) const EX: Mode = Mode::Exclusive;
pub(super) const PR: Mode = Mode::ProtectedRead;

/// Slots of a small space.
pub(super) const SLOTS: u32 = 48;

/// Names of resources that are tried until one has the wanted master.
const NAMES: u32 = 10_000;
/// How long a case waits for what must come, on the slowest machine.
const GIVE_UP: Duration = Duration::from_secs(60);
/// How long a whole case may take there.
const CASE_MAX: Duration = Duration::from_secs(120);

/// The runtime that a case is about, and clusters on it.
#[derive(Clone, Debug)]
pub(super) struct Rig<R> {
    pub(super) runtime: R,
    /// How many machines a node runs.
    pub(super) machines: u8,
}

impl<R: Runtime + Clone> Rig<R> {
    pub(super) const fn new(runtime: R, machines: u8) -> Self {
        Self { runtime, machines }
    }

    /// The same with nodes of one machine, for cases in which a peer by hand is one, too.
    pub(super) fn of_one_machine(&self) -> Self {
        Self { machines: 1, ..self.clone() }
    }

    /// A node before its start, with small tables.
    pub(super) fn builder(&self, number: u16) -> Builder<R> {
        self.named("test").node(number).limits(Limits::uniform(4096))
    }

    /// A node of the cluster with this name, of which nothing else is said yet.
    pub(super) fn named(&self, cluster: &str) -> Builder<R> {
        Builder::new(cluster, self.runtime.clone()).machines(self.machines)
    }

    /// As many nodes, numbered from 1, connected and open.
    pub(super) async fn cluster(&self, count: u16) -> Vec<Node<R>> {
        self.cluster_with(count, |builder| builder).await
    }

    /// The same with retention off.
    pub(super) async fn forgetful_cluster(&self, count: u16) -> Vec<Node<R>> {
        let mut space = SpaceConfig::new("default").unwrap();
        space.retention = Retention::Never;
        self.cluster_with(count, |builder| builder.space(space.clone())).await
    }

    /// The same, each builder changed.
    pub(super) async fn cluster_with(
        &self,
        count: u16,
        change: impl Fn(Builder<R>) -> Builder<R>,
    ) -> Vec<Node<R>> {
        let sockets: Vec<_> = (1..=count).map(|number| (number, socket())).collect();
        let addresses: Vec<_> = sockets.iter().map(|(number, (_, address))| (*number, *address)).collect();
        let mut nodes = Vec::new();
        for (number, (listener, _)) in sockets {
            let mut builder = change(self.builder(number).listener(listener));
            for (other, address) in &addresses {
                if *other != number {
                    builder = builder.member(*other, *address);
                }
            }
            nodes.push(builder.start().await.unwrap());
        }
        for node in &nodes {
            node.opened().await;
        }
        nodes
    }

    /// Runs a task on the runtime.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let (done, task) = task::new();
        self.runtime.spawn(async move { done.tell(work.await) });
        task
    }

    /// Lets other tasks run.
    pub(super) fn yield_now(&self) -> impl Future<Output = ()> + Send {
        self.runtime.yield_now()
    }

    /// Lets other tasks run until a condition holds, which it must sooner or later.
    pub(super) async fn until(&self, condition: impl Fn() -> bool) {
        // So that what never comes is a failure and no hang.
        let end = self.runtime.now().after(GIVE_UP);
        while !condition() {
            assert!(self.runtime.now() < end, "the condition comes about");
            self.yield_now().await;
        }
    }
}

/// A case, which fails if it does not come to its end.
///
/// A thread keeps the time: the runtime's own timers may be what is broken.
pub(super) async fn bounded(case: impl Future<Output = ()>) {
    let (going_on, over) = mpsc::channel::<()>();
    let mut too_late = on_thread(move || over.recv_timeout(CASE_MAX));
    let mut case = pin!(case);
    poll_fn(|context| {
        if case.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        assert!(Pin::new(&mut too_late).poll(context).is_pending(), "the case comes to its end");
        Poll::Pending
    })
    .await;
    drop(going_on);
}

/// A bound socket on a free port, with its address.
pub(super) fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A space with few slots.
pub(super) fn small_space() -> SpaceConfig {
    SpaceConfig { slots: SLOTS, ..SpaceConfig::new("default").unwrap() }
}

/// A name whose master is `master`, as `node` sees it.
pub(super) fn name_at<R: Runtime>(node: &Node<R>, master: &Node<R>) -> String {
    names_at(node, master, 1).remove(0)
}

/// Different names whose master is `master`, as `node` sees it.
pub(super) fn names_at<R: Runtime>(node: &Node<R>, master: &Node<R>, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..NAMES)
        .map(|number| format!("resource {number}"))
        .filter(|name| node.master_of(SpaceId(0), name) == Some(master.id()))
        .take(count)
        .collect();
    assert_eq!(names.len(), count, "a node masters its share of names");
    names
}

/// A resource of each node goes through all hands in EX.
pub(super) async fn locks_go_round<R: Runtime>(nodes: &[Node<R>]) {
    for master in nodes {
        let name = name_at(&nodes[0], master);
        for node in nodes {
            drop(node.lock(&name, EX).await.unwrap());
        }
    }
}

/// Polls a future once.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// No owner holds or waits for anything, on any node.
pub(super) fn nobody_locks<R: Runtime>(nodes: &[Node<R>]) -> bool {
    nodes.iter().all(|node| node.snapshot().locks().next().is_none())
}

/// No node knows of any resource.
pub(super) fn nothing_is_left<R: Runtime>(nodes: &[Node<R>]) -> bool {
    nodes.iter().all(|node| node.snapshot().resources.is_empty())
}
