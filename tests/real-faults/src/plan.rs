//! What this program and the nodes that it starts say to each other, in lines of JSON.

use core::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a node is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) node: u16,
    /// How often a node of this number was started, this time included.
    pub(crate) start: u32,
    /// Does it ask for the locks that it says it holds?
    pub(crate) is_honest: bool,
    pub(crate) cluster: String,
    pub(crate) listen: SocketAddr,
    pub(crate) engine: EnginePlan,
    /// Its history.
    pub(crate) history: PathBuf,
    pub(crate) seed: u64,
}

/// Who says who is a member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum EnginePlan {
    /// A directory that all share.
    Directory(PathBuf),
    /// A server of etcd.
    Etcd {
        endpoint: String,
        /// What the nodes keep for it.
        state: PathBuf,
        /// Time to live of a lease, in seconds.
        ttl: u64,
    },
}

/// What a node is told to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Begin to work.
    Go,
    /// Lock every resource once.
    Roll,
    /// Finish what is begun, and begin nothing new.
    Stop,
    /// Write down what is in the tables, for people.
    Tell,
}

/// What a node tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It runs, as this process, which may not be the one that was started.
    Running { process: i32 },
    /// It has another view, in this life as a member.
    View { epoch: u32, incarnation: u64, members: Vec<u16> },
    /// The map of this view is agreed, and nothing is being rebuilt here.
    Settled { epoch: u32 },
    /// It has been a member and is none any more.
    Fenced,
    /// It has locked every resource once.
    Rolled,
    /// All that was asked for was answered.
    Stopped { refused: u32 },
    /// It cannot go on.
    Failed { reason: String },
}
