//! What is said on a control socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the protocol. A node speaks one; a client of another is told so.
pub(crate) const PROTOCOL: u32 = 1;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// The first word: which protocol the client speaks.
    Hello { protocol: u32 },
    /// What the node is and does: a [`Row::Node`].
    Status,
    /// Who is in the cluster: [`Row::Member`].
    Members,
    /// Locks that the node knows: [`Row::Lock`].
    Locks,
    /// Who waits for whom: [`Row::Waiter`].
    Waiters,
    /// Who masters what: [`Row::Share`] and [`Row::Range`].
    Map,
    /// All rows of all kinds.
    Dump,
    /// Give all slots away, and say when that is done.
    Drain,
    /// Give these slots to another node, and say when that is done.
    Transfer {
        /// The first slot.
        first: u32,
        /// The last slot.
        last: u32,
        /// The node that gets them.
        to: u16,
    },
    /// This connection is the leash of a client: it ends when everything that works under the client's lock has.
    Leash {
        /// The client's number, from the [`Say::Hello`] on its own connection.
        client: u64,
    },
    /// Grant a lock. The client must have a leash.
    Lock(LockAsk),
    /// A process group works under the lock.
    Running {
        /// The group.
        group: i32,
    },
    /// The work is over, and the lock is to be released.
    Release,
}

/// A lock that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockAsk {
    /// Name of the space; the first one if absent.
    pub(crate) space: Option<String>,
    /// Name of the resource.
    pub(crate) name: String,
    /// Letters of the mode.
    pub(crate) mode: String,
    /// How long it may wait, in milliseconds: not at all if 0, for ever if absent.
    pub(crate) wait_ms: Option<u64>,
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Say {
    /// The first word, if the client's was understood.
    Hello {
        /// Version of the protocol.
        protocol: u32,
        /// Version of the program.
        program: String,
        /// The node.
        node: u16,
        /// Number of this client.
        client: u64,
    },
    /// A part of an answer.
    Row(Box<Row>),
    /// What was asked for is done, or all rows were said.
    Done,
    /// The lock is granted.
    Granted {
        /// Its fencing token, in 32 hexadecimal digits.
        token: String,
        /// Until when it cannot be lost: `CLOCK_BOOTTIME` in nanoseconds; no clock ends it if absent.
        until: Option<u64>,
    },
    /// Until when it cannot be lost has changed.
    Certain {
        /// As in [`Say::Granted`].
        until: Option<u64>,
    },
    /// The node will end: release the lock by then, or it is lost.
    Ending {
        /// Time that is left, in milliseconds.
        within_ms: u64,
    },
    /// The lock is lost.
    Lost {
        /// Why, for people.
        why: String,
    },
    /// What was asked for is not to be had.
    Refused {
        /// Why.
        reason: Reason,
        /// The same for people.
        text: String,
    },
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The node does not speak this version of the protocol.
    Version,
    /// The client is neither the node's user nor root.
    Stranger,
    /// Too many clients are connected.
    Crowded,
    /// The words make no sense, or come out of turn.
    Protocol,
    /// The lock is held, and was not to be waited for.
    Busy,
    /// The lock was not granted in time.
    TimedOut,
    /// The node is about to leave.
    Leaving,
    /// What was asked for cannot be done: the text says why.
    Impossible,
}

/// A row of a table.
///
/// Names and meaning of the fields are stable; there may be more of them in later versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub(crate) enum Row {
    Node(NodeRow),
    Member(MemberRow),
    Lock(LockRow),
    Waiter(WaiterRow),
    Share(ShareRow),
    Range(RangeRow),
    Client(ClientRow),
    Stats(StatsRow),
}

/// The node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRow {
    pub(crate) node: u16,
    pub(crate) cluster: String,
    /// Version of the program.
    pub(crate) program: String,
    pub(crate) pid: i32,
    pub(crate) uptime_ms: u64,
    /// `outside`, `member`, `suspect`, `fenced`, or `leaving`.
    pub(crate) standing: String,
    /// Is the map of the view agreed here, and nothing being rebuilt?
    pub(crate) is_settled: bool,
    /// Epoch of the view; absent outside of one.
    pub(crate) epoch: Option<u32>,
    /// Members of the view.
    pub(crate) members: u64,
    /// Other members that are connected.
    pub(crate) connected: u64,
    /// Machines that it runs side by side.
    pub(crate) machines: u64,
    /// Slots that it masters, and all.
    pub(crate) slots: u32,
    pub(crate) slots_in_all: u32,
    /// Resources and locks on record for these slots.
    pub(crate) resources: u64,
    pub(crate) locks: u64,
    /// Clients on its control socket.
    pub(crate) clients: u64,
    pub(crate) spaces: Vec<String>,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRow {
    pub(crate) node: u16,
    /// Is it the node that was asked?
    pub(crate) is_this: bool,
    /// Where others reach it.
    pub(crate) address: String,
    /// Its life.
    pub(crate) incarnation: u64,
    /// Epoch in which it joined.
    pub(crate) joined: u32,
    /// It is given no slots any more.
    pub(crate) is_leaving: bool,
    /// Slots that it masters.
    pub(crate) slots: u32,
}

/// A lock that a node has at its resource's master, or an owner at its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockRow {
    pub(crate) space: String,
    /// Name of the resource, with `\xff` for what is no ASCII.
    pub(crate) name: String,
    pub(crate) master: u16,
    /// `node` or `owner`.
    pub(crate) level: Level,
    /// Number of that node or owner.
    pub(crate) holder: u64,
    /// Process of the owner, if it came over the control socket.
    pub(crate) pid: Option<i32>,
    /// `granted`, `convert` or `wait`.
    pub(crate) queue: String,
    pub(crate) held: Option<String>,
    pub(crate) wanted: Option<String>,
    pub(crate) token: String,
}

/// Whose lock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    Node,
    Owner,
}

/// Somebody waits for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaiterRow {
    pub(crate) space: String,
    pub(crate) name: String,
    /// Are they nodes, at the resource's master, or owners, at their node?
    pub(crate) level: Level,
    pub(crate) waiter: u64,
    pub(crate) waiter_pid: Option<i32>,
    pub(crate) holder: u64,
    pub(crate) holder_pid: Option<i32>,
}

/// How much a member masters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShareRow {
    /// The member; absent for slots that nobody masters now.
    pub(crate) master: Option<u16>,
    pub(crate) slots: u32,
    /// Of them, those that are in transfer.
    pub(crate) moving: u32,
}

/// Slots that follow each other and have the same master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RangeRow {
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Absent if nobody masters them now.
    pub(crate) master: Option<u16>,
    pub(crate) is_moving: bool,
}

/// A client on the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientRow {
    pub(crate) client: u64,
    pub(crate) pid: Option<i32>,
    pub(crate) uid: u32,
    /// Name of the resource that it has a lock on.
    pub(crate) name: Option<String>,
    pub(crate) mode: Option<String>,
    /// Process group that works under the lock.
    pub(crate) group: Option<i32>,
}

/// Everything that the node counts, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatsRow {
    #[serde(flatten)]
    pub(crate) counters: BTreeMap<String, u64>,
}
