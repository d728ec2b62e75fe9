//! What the async adapters of the Lockmaster distributed lock manager share: the node behind a mutex, the
//! connections between nodes, guards, and futures that wait for locks. Generic over a small [`Runtime`];
//! applications use it through `lockmaster-tokio`, `lockmaster-smol` or another adapter.
//!
//! # How it works
//!
//! A call locks the mutex around the sans-IO node, runs the verb, takes from the node what it has to say, and
//! lets go. A lock that the node retains is granted in the call: no channel, no other task, no allocation, at
//! most one reading of the clock. Otherwise the future's waker is put into a registry, at the place that the lock has in
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
//! # Machines
//!
//! A node is one machine, or several ([`Builder::machines`]): each is a sans-IO node behind a mutex of its own, with its own
//! part of the resources and slots, its own connections and its own task for deadlines, and is a cluster together with the
//! same machine of the other nodes. A call concerns one machine, and two calls wait for each other only if it is the same.
//! The handle puts the machines together: what a provider says is told to each, a peer counts as reached if each reaches it,
//! the node is what the least of them is, and a life ends for all and begins when it has ended for all. No two mutexes are
//! held at once.
//!
//! # Connections
//!
//! Of two nodes the one with the lower number dials: there is one connection for each pair and machine, and none has to be
//! chosen from two. It is dialled again with growing pauses until the node shuts down, or the member departs; where it
//! is dialled is looked up each time.
//!
//! With [`Builder::tls`] both nodes prove who they are, by TLS 1.3 and certificates of an authority that is the
//! cluster's own, and the hello must be of the node that the certificate names ([`node_name`]). Until then one hello of
//! bounded size is read and nothing else, the time for all of it is bounded ([`Builder::handshake_timeout`]), and so is
//! the number of connections that are that far. Every refusal is counted by its reason ([`FailedHandshakes`]). Without
//! TLS only loopback addresses are used, unless [`Builder::insecure`] allows others.
//!
//! The layer sits above the sockets of the [`Runtime`] and asks nothing more of them: a call seals its frame and writes
//! it itself, as without TLS, and what is sealed and not yet written is bounded.
//!
//! # Members
//!
//! Members are either named by the builder and never change, or a provider ([`Membership`]) says who is one. A provider
//! works on threads of its own, so that it fits any runtime, and tells the node through an [`Inbox`]: each call of it is
//! a turn of the node, and what it says has happened when it returns. One more thread joins, calls the session that
//! came of it, and joins again after a fence; it may block, and the node's tasks never do.
//!
//! A connection survives views as long as its peer does. A hello of somebody who is not in the view yet is turned
//! away and tried again soon, since one of the two sides only has not heard the latest view.
//!
//! When membership ends (the provider says so, a view comes without the node, or the clock runs out) every lock is lost:
//! connections end, every owner is told once, by [`Guard::lost`] or the error of its conversion, and then the node joins
//! anew as another incarnation, under the same handle. Whoever waits for a lock goes on waiting. A guard of an earlier
//! life stays lost; dropping it does nothing.

mod acquire;
mod backoff;
mod balance;
mod builder;
mod calm;
mod changed;
#[cfg(feature = "conformance")]
pub mod conformance;
mod connection;
mod convert;
mod errands;
mod error;
mod gate;
mod guard;
mod handshake;
mod held;
mod incoming;
mod lane;
mod leave;
mod lending;
mod lifecycle;
mod links;
#[cfg(all(feature = "local-dir", target_os = "linux"))]
mod local_dir;
mod loss;
mod machines;
mod map;
mod members;
mod membership;
mod node;
mod options;
mod outgoing;
mod registry;
mod runtime;
mod shared;
mod shelf;
mod snapshot;
mod stale;
mod stats;
mod sync;
#[cfg(feature = "system")]
pub mod system;
mod timer;
mod tls;
mod trace;
mod transfer;
mod waiters;

pub use acquire::Acquire;
pub use builder::Builder;
pub use changed::Changed;
pub use convert::Convert;
pub use error::{ConvertError, LockError, SetValueError, StartError, TransferError};
pub use guard::{Contended, Guard};
pub use leave::Left;
#[cfg(all(feature = "local-dir", target_os = "linux"))]
pub use local_dir::LocalDir;
pub use lockmaster_core;
pub use lockmaster_core::{
    Certainty, ClusterId, Epoch, Flags, Full, Grant, Incarnation, Instant, Limits, LockView, MapVersion,
    Mode, Name, NodeId, OwnerId, ParseTokenError, Path, PhysicalView, Priority, Progress, QueueName, Refusal,
    Retention, Room, SlotId, SlotRange, SlotView, SpaceConfig, SpaceId, Stage, Standing, Stats,
    TRANSFERS_MAX, Token, TransferId, Value, ValueState, WithdrawError,
};
pub use loss::Lost;
pub use map::{MasterMap, MasterShare};
pub use membership::{
    Candidate, ClusterMember, ClusterView, Hear, Inbox, Joined, Membership, MembershipError, Session,
};
pub use node::Node;
pub use options::LockOptions;
pub use runtime::{Listener, Reader, Runtime, Writer};
pub use snapshot::{Party, ResourceEntry, Snapshot, Wait};
pub use stats::{FailedHandshakes, LinkStats};
pub use tls::{TlsConfig, TlsError, cluster_domain, node_name};
pub use transfer::Transfer;
