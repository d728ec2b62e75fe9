//! The nodes of the bench: how they join, what they do together, how they leave.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use lockmaster_tokio::{LocalDir, LockError, Node, NodeId};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::args::{BenchArgs, Retain, Workload};
use crate::bench::figures::Figures;
use crate::bench::meter::{Meter, Tally};
use crate::bench::stop::Stop;
use crate::bench::task::{self, Place, Task};
use crate::bench::timeline::{Sample, Timeline};
use crate::control::Client;
use crate::control::client::Reach;
use crate::control::message::{Ask, Row};
use crate::{Failure, node};

/// How often the bench looks whether the slots have come to rest after its nodes joined.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Looks in a row that have to find them at rest.
const LOOKS: u32 = 4;
/// After so long it goes on all the same: what still moves is marked.
const REST_WITHIN: Duration = Duration::from_secs(20);
/// Longest time that tasks may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Longest time that nodes may take to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(30);

/// Numbers of the bench's nodes, if nobody names them.
const LOT: core::ops::Range<u16> = 50_000..59_000;
/// Members that nodes of this program have room for.
const PLACES: u64 = 16;

/// What the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) cluster: String,
    pub(crate) spaces: Vec<String>,
    /// Slots of each space.
    pub(crate) slots: u32,
    /// Members, those of the bench among them.
    pub(crate) members: u64,
}

impl Facts {
    /// Asks a node that runs.
    pub(super) async fn ask(args: &BenchArgs) -> Result<Self, Failure> {
        let reach = match (&args.socket, &args.dir) {
            (Some(socket), _) => Reach::Socket(socket.clone()),
            (None, Some(directory)) => Reach::Directory(directory.clone(), None),
            (None, None) => unreachable!("a socket is required where there is no directory"),
        };
        let mut facts = None;
        let mut client = Client::find(&reach).await?;
        client
            .rows(&Ask::Status, |row| {
                if let Row::Node(node) = row {
                    facts = Some(node);
                }
            })
            .await?;
        let node = facts.ok_or_else(|| Failure::Broken("the node does not say what it is".to_owned()))?;
        let spaces = u32::try_from(node.spaces.len()).unwrap_or(u32::MAX).max(1);
        Self {
            cluster: node.cluster,
            slots: node.slots_in_all / spaces,
            spaces: node.spaces,
            members: node.members,
        }
        .checked(args)
    }
}

impl Facts {
    /// More members than there is room for would keep every view from being taken.
    pub(super) fn checked(self, args: &BenchArgs) -> Result<Self, Failure> {
        let members = self.members;
        if members + u64::from(args.nodes) <= PLACES {
            return Ok(self);
        }
        let most = PLACES.saturating_sub(members);
        Err(Failure::Usage(format!("of {PLACES} places {members} are taken: --nodes can be {most} at most")))
    }
}

/// Nodes that are members, or were.
#[derive(Default)]
pub(super) struct Party {
    nodes: Vec<Node>,
}

impl Party {
    /// Nodes join, and wait until the slots have come to rest, unless somebody ends that. Who has joined is among the
    /// nodes in any case, so that it leaves.
    pub(super) async fn join(
        &mut self,
        args: &BenchArgs,
        facts: &Facts,
        retention: Retain,
        interrupt: &Stop,
    ) -> Result<(), Failure> {
        // Far from those of members that are down at the moment, and others than those that have just left.
        let first = args.id.unwrap_or_else(|| fastrand::u16(LOT));
        for at in 0..args.nodes {
            let args = args.node(at, first + at, retention, facts);
            let directory = args.dir.as_ref().map(LocalDir::new);
            let node = node::join(&args, directory.as_ref()).await?;
            self.nodes.push(node.clone());
            tokio::select! {
                () = node.opened() => {}
                () = interrupt.said() => return Ok(()),
            }
        }
        let mut looks = interval(LOOK_EVERY);
        let rest = async {
            let mut seen = 0;
            while seen < LOOKS {
                looks.tick().await;
                let is_at_rest = self.nodes.iter().all(|node| node.is_settled() && moving(node) == 0);
                seen = if is_at_rest { seen + 1 } else { 0 };
            }
        };
        // If they do not, the page has marks.
        tokio::select! {
            _in_time = timeout(REST_WITHIN, rest) => {}
            () = interrupt.said() => {}
        }
        Ok(())
    }

    /// Members, as the nodes of the bench see them.
    pub(super) fn members(&self) -> u64 {
        self.nodes.first().map_or(0, |node| node.members().len() as u64)
    }

    /// All tasks of all nodes do what the workload says.
    pub(super) async fn measure(
        &self,
        args: &BenchArgs,
        workload: Workload,
        interrupt: &Stop,
    ) -> Result<Figures, Failure> {
        let tasks = prepare(self.tasks(args, workload)?, interrupt).await;
        let tasks = tasks.map_err(|error| Failure::Broken(format!("{}: {error}", workload.name())))?;
        let meter = Arc::new(Meter::new(args.operations));
        let began = Instant::now();
        let mut timeline = Timeline::new(self.sample(began, &meter));
        let mut running = JoinSet::new();
        for task in tasks {
            running.spawn(task.run(Tally::new(Arc::clone(&meter))));
        }
        let end = (args.operations.is_none()).then(|| began + args.seconds);
        while !meter.stop.is_said() && !interrupt.is_said() && end.is_none_or(|end| Instant::now() < end) {
            let due = began + timeline.due();
            let until = end.map_or(due, |end| due.min(end));
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => timeline.add(self.sample(began, &meter)),
                () = meter.stop.said() => {}
                () = interrupt.said() => {}
            }
        }
        meter.stop.say();
        let ended = timeout(END_WITHIN, async { while running.join_next().await.is_some() {} }).await;
        let unfinished = if ended.is_ok() { 0 } else { running.len() as u64 };
        running.shutdown().await;
        timeline.end(self.sample(began, &meter));
        let elapsed = began.elapsed();
        let seen = meter.seen().clone();
        Ok(Figures { workload, seen, elapsed, unfinished, timeline })
    }

    fn tasks(&self, args: &BenchArgs, workload: Workload) -> Result<Vec<Task>, Failure> {
        let ours: Vec<NodeId> = self.nodes.iter().map(Node::id).collect();
        let (nodes, tasks) = (u32::from(args.nodes), args.tasks);
        let all = nodes * tasks;
        let count = match workload {
            Workload::Handover => tasks,
            Workload::Mix => args.resources,
            Workload::Retained | Workload::Remote | Workload::Value => args.resources.max(all),
        };
        // Names that nobody else has.
        let lot = fastrand::u32(..);
        let names: Arc<[String]> = task::names(workload, &self.nodes[0], lot, count, &ours).into();
        if names.len() < all as usize && workload == Workload::Remote {
            return Err(Failure::Broken("the other nodes master too little for `remote`: leave it out with --workload, or say fewer --nodes or --tasks".to_owned()));
        }
        let of_node = |(number, node): (u32, &Node)| -> Vec<Task> {
            let task = |task| Task {
                node: node.clone(),
                place: Place { node: number, task, nodes, tasks },
                workload,
                mix: args.mix.clone(),
                names: Arc::clone(&names),
                lots: fastrand::Rng::with_seed(args.seed << 16 | u64::from(number * tasks + task)),
            };
            (0..tasks).map(task).collect()
        };
        Ok((0..).zip(&self.nodes).flat_map(of_node).collect())
    }

    fn sample(&self, began: Instant, meter: &Meter) -> Sample {
        let transfers = |node: &Node| {
            let stats = node.stats();
            stats.transfers_in + stats.transfers_out
        };
        Sample {
            at: began.elapsed(),
            operations: meter.seen().latencies.count(),
            moving: self.nodes.first().map_or(0, moving),
            transfers: self.nodes.iter().map(transfers).sum(),
            epoch: self.nodes.first().and_then(Node::view).map_or(0, |view| view.epoch.0),
        }
    }

    /// All nodes give back what they have, and go; tells what they could not give back.
    pub(super) async fn leave(self) -> Option<String> {
        let mut leaving = JoinSet::new();
        for node in self.nodes {
            leaving.spawn(async move { (node.id(), node.leave(LEAVE_WITHIN).await) });
        }
        let mut text = None;
        while let Some(left) = leaving.join_next().await {
            text = match left {
                Ok((_, left)) if left.is_clean() => text,
                Ok((id, left)) => Some(format!(
                    "node {id} of the bench left {} slots and {} locks behind",
                    left.slots, left.guards
                )),
                Err(error) => Some(format!("a node of the bench could not leave: {error}")),
            };
        }
        text
    }
}

/// The tasks take what they will take again, unless somebody ends that.
async fn prepare(tasks: Vec<Task>, interrupt: &Stop) -> Result<Vec<Task>, LockError> {
    let mut preparing = JoinSet::new();
    tasks.into_iter().for_each(|task| drop(preparing.spawn(task.prepare())));
    let mut prepared = Vec::with_capacity(preparing.len());
    while let Some(task) = tokio::select! {
        task = preparing.join_next() => task,
        () = interrupt.said() => None,
    } {
        prepared.push(task.expect("a task ends well")?);
    }
    Ok(prepared)
}

/// Slots that a node knows to be moving.
fn moving(node: &Node) -> u32 {
    node.map().shares.iter().map(|share| share.moving).sum()
}
