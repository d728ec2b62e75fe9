//! What the async adapters of the Lockmaster distributed lock manager share: the node behind a mutex, the
//! connections between nodes, guards, and futures that wait for locks. Generic over a small [`Runtime`];
//! applications use it through `lockmaster-tokio` or another adapter.
//!
//! # How it works
//!
//! A call locks the mutex around the sans-IO node, runs the verb, takes from the node what it has to say, and
//! lets go. A lock that the node retains is granted in the call: no channel, no other task, no allocation, one
//! reading of the clock. Otherwise the future's waker is put into a registry, at the place that the lock has in
//! the node's table.
//!
//! A call that leaves something to say to a peer writes it itself, after it has let go of the mutex, if nobody
//! else is writing on that connection; what the socket does not take at once is left to the connection's
//! writer task. A frame is made when it can be written, from the lock tables, so there is no queue of messages,
//! and a slow peer holds up nobody but itself. The reader task of a connection handles all frames that it has
//! read in one turn, and writes the answers the same way.
//!
//! No waker is run or dropped and no socket is touched while the mutex is held, and the mutex is never held across
//! an `await`.
//!
//! # Connections
//!
//! Of two nodes the one with the lower number dials: there is one connection for each pair, and none has to be
//! chosen from two. It is dialled again with growing pauses until the node shuts down. Connections are neither
//! authenticated nor encrypted yet, so only loopback addresses are used unless [`Builder::insecure`] allows
//! others.

mod acquire;
mod backoff;
mod builder;
mod connection;
mod convert;
mod errands;
mod error;
mod guard;
mod incoming;
mod lifecycle;
mod links;
mod map;
mod membership;
mod node;
mod options;
mod outgoing;
mod registry;
mod runtime;
mod shared;
mod snapshot;
mod stale;
mod stats;
mod sync;
mod timer;
mod trace;
mod transfer;
mod waiters;

pub use acquire::Acquire;
pub use builder::Builder;
pub use convert::Convert;
pub use error::{ConvertError, LockError, SetValueError, StartError, TransferError};
pub use guard::{Contended, Guard};
pub use lockmaster_core;
pub use lockmaster_core::{
    Flags, Full, Grant, Instant, Limits, LockView, MapVersion, Mode, Name, NodeId, OwnerId, Path,
    PhysicalView, Priority, Progress, QueueName, Refusal, Retention, Room, SlotId, SlotRange, SlotView,
    SpaceConfig, SpaceId, Stage, Stats, TRANSFERS_MAX, Token, TransferId, Value, ValueState, WithdrawError,
};
pub use map::{MasterMap, MasterShare};
pub use membership::{
    Candidate, ClusterMember, ClusterView, Hear, Inbox, Joined, Membership, MembershipError, Session,
};
pub use node::Node;
pub use options::LockOptions;
pub use runtime::{Listener, Reader, Runtime, Writer};
pub use snapshot::{Party, ResourceEntry, Snapshot, Wait};
pub use stats::LinkStats;
pub use transfer::Transfer;
