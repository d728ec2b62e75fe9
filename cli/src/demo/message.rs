//! What a demonstration and its node processes say to each other: one JSON object a line, over pipes.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::args::Retain;
use crate::demo::figures::{Figures, Survey};
use crate::demo::watch::Disturbance;

/// Everything that a node process has to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The node.
    pub(super) node: u16,
    /// Its processes before this one.
    pub(super) life: u32,
    /// Where the nodes meet, if members change.
    pub(super) meeting: Option<PathBuf>,
    /// All nodes, numbered from 1, this one among them.
    pub(super) addresses: Vec<SocketAddr>,
    /// Machines of each node.
    pub(super) machines: u8,
    /// Threads of the runtime.
    pub(super) threads: usize,
    pub(super) data_file: PathBuf,
    pub(super) history: Option<PathBuf>,
    pub(super) tasks: u32,
    pub(super) pages: u32,
    pub(super) skew: f64,
    pub(super) read_share: f64,
    pub(super) retention: Retain,
    pub(super) grants_after_demand: u32,
    /// How often slots are transferred; never if zero.
    pub(super) transfer_interval: Duration,
    pub(super) seed: u64,
    pub(super) without_locks: bool,
}

/// What the demonstration tells a node process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Connect to the others.
    Join(Box<Plan>),
    /// Let the tasks work.
    Go,
    /// Let the tasks end what they are at. Those that do not end in time are abandoned. A second order can only
    /// shorten the time.
    Stop { grace: Duration },
    /// Something is about to happen to a node: from now on, see how long locks take.
    Watch { event: u32, node: u16 },
    /// Say who is the master of what, now that nobody transfers slots any more.
    Survey,
}

/// What a node process tells the demonstration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// It has a socket, and waits for [`Order::Join`].
    Listening { address: SocketAddr },
    /// It is connected to all others, and waits for [`Order::Go`].
    Opened,
    /// It has done so many operations so far.
    Progress { operations: u64 },
    /// Its tasks have ended. It serves the other nodes until its standard input is closed.
    Finished(Box<Figures>),
    /// It watches; and what it measured of the events before.
    Watching { event: u32, before: BTreeMap<u32, Disturbance> },
    /// What it knows of the master map.
    Surveyed(Survey),
    /// It cannot go on.
    Failed { reason: String },
}
