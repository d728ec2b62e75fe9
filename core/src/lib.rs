//! Sans-IO core of the Lockmaster distributed lock manager.
//!
//! [`Node`] is one member of a cluster as a pure state machine: it has no I/O, no clock, no randomness, and does not
//! allocate after it was made. What happens in the world is told to it, what it wants of the world is asked of it:
//!
//! | group | methods |
//! |---|---|
//! | world to node | [`Node::handle_hello`], [`Node::handle_disconnect`], [`Node::handle_frame`], [`Node::handle_timeout`] |
//! | membership engine to node | [`Node::handle_view`], [`Node::handle_certainty`], [`Node::fence`], [`Node::rejoin`] |
//! | application to node | [`Node::request`], [`Node::convert`], [`Node::release`], [`Node::cancel`], [`Node::abandon`], [`Node::watch`], [`Node::transfer`], [`Node::withdraw`], [`Node::balance`], [`Node::release_retained`] |
//! | node to world | [`Node::poll_event`], [`Node::poll_ready`], [`Node::poll_transmit`], [`Node::poll_timeout`] |
//! | getters | the rest |
//!
//! Adapters do not call the `poll_*` methods themselves: [`drive`] has the one drain loop.
//!
//! # Laws
//!
//! - **L1** After a drain, a timeout at the same instant yields nothing.
//! - **L2** After `handle_timeout(now)` the next deadline is later than `now`.
//! - **L3** Every effect of an input is visible to `poll_*` before the next input.
//! - **L4** Early, late and repeated instants are safe.
//! - **L5** The same configuration and inputs give the same bytes, on every storage.
//! - **L6** The work of a call is bounded; what is left over is done while the node is driven, within a [budget](drive::Budget).
//! - **L7** A refused call leaves the tables as they were.
//! - **L8** A lost frame is made good by a timer or, for a plain release, by the next demand or audit.
//!
//! # Members
//!
//! A node that has members in its [`Config`] has these for ever. Any other waits for its first [`View`]. Views are made by
//! a membership engine, which must keep one promise: it removes nobody before the instant that it has named as
//! [`Certainty::fenced_at`] is over on that node's clock. A node that was fenced has lost its locks, and
//! [`Node::rejoin`] makes another member of it. The rules are those of `docs/views.md`.
//!
//! # Machines
//!
//! Nothing is common to two nodes of this library, so an application may run several of them side by side as the *machines*
//! of one node, each with a part of the resources and a mutex or thread of its own. [`Division`] says what is whose.
//!
//! # Failures
//!
//! A *refusal* is the caller's mistake or a full table, returned as an error of the verb. A *drop* is a peer's
//! fault, counted in [`Stats`]. A *bug* is an assertion; nothing that a peer sends reaches one.
//!
//! # Memory
//!
//! A node lives in the tables that it is given: [`ArrayMemory`] for fixed memory, `HeapMemory` (feature
//! `alloc`) for the heap, or any [`Memory`] of things that lend slices. The logic is compiled once for all.
//!
//! ```
//! use lockmaster_core::{
//!     ArrayMemory, ClusterId, Config, Flags, Incarnation, Instant, Mode, Node, NodeId, OwnerId, Priority,
//!     Request, SpaceConfig, SpaceId, ValueWrite,
//! };
//!
//! let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(1));
//! config.members.push(NodeId(1)).expect("one of 64");
//! let space = SpaceConfig { slots: 16, ..SpaceConfig::new("orders")? };
//! config.spaces.push(space).expect("one of 16");
//! let mut node = Node::new(config, ArrayMemory::<8, 16, 16, 16, 1>::VACANT)?;
//!
//! let request = Request {
//!     space: SpaceId(0),
//!     name: b"invoice/42",
//!     owner: OwnerId(7),
//!     mode: Mode::Exclusive,
//!     flags: Flags::NONE,
//!     priority: Priority(0),
//!     patience: None,
//! };
//! let asked = node.request(Instant::START, &request)?;
//! let grant = asked.grant.expect("a lone node grants in the call");
//! assert_eq!(grant.mode, Mode::Exclusive);
//! node.release(asked.lock, ValueWrite::Keep)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

mod config;
mod division;
pub mod drive;
mod error;
mod event;
#[cfg(lockmaster_faults)]
pub mod fault;
mod flags;
mod holder;
mod id;
mod machine;
mod master;
mod memory;
mod mode;
mod name;
mod node;
mod peer;
mod queue;
mod record;
mod snapshot;
mod stats;
mod table;
mod time;
mod timer;
mod transfer;
mod value;
mod view;
pub mod wire;

#[cfg(feature = "check")]
mod check;
#[cfg(feature = "check")]
mod fingerprint;

#[cfg(lockmaster_faults)]
pub(crate) use fault::fault_on;

/// Is a rule switched off? Only under a private `cfg` can it be.
#[cfg(not(lockmaster_faults))]
macro_rules! fault_on {
    ($machine:expr, $fault:ident) => {
        false
    };
}
#[cfg(not(lockmaster_faults))]
pub(crate) use fault_on;

pub use config::{Config, Retention, SLOTS_DEFAULT, SpaceConfig};
pub use division::{Division, MACHINES_MAX};
pub use error::{
    ConfigError, ConvertError, DivisionError, Dropped, Full, HelloError, ReleaseError, RequestError,
    UnknownLock,
};
pub use event::{Asked, Cancelled, Conversion, Denial, Event, Grant, Path, Request};
pub use flags::{Flags, FlagsError};
pub use holder::{LOAN, Use};
pub use id::{
    ClusterId, DemandId, Epoch, Incarnation, LockId, MEMBERS_MAX, MapVersion, NodeId, Number, OwnerId,
    ParseTokenError, Priority, QueueTicket, SPACES_MAX, SlotId, SlotRange, SpaceId, Token,
};
#[cfg(feature = "alloc")]
pub use memory::HeapMemory;
pub use memory::{ArrayMemory, Limits, Memory, Storage, Tables};
pub use mode::{Mode, ValueTransfer};
pub use name::{NAME_MAX, Name, NameError, hash};
pub use node::Node;
pub use record::{Lock, NameCell, Peer, Physical, RING_LEN, RelayCell, Resource, Slot, ValueCell};
pub use snapshot::{LockView, PhysicalView, QueueName, ResourceView, Visit};
pub use stats::{Stats, Traffic};
#[cfg(feature = "check")]
#[doc(hidden)]
pub use table::compare_tables;
pub use table::{Bucket, Deadline};
pub use time::Instant;
pub use transfer::{
    Progress, Refusal, Room, SlotView, Stage, TRANSFERS_MAX, TransferError, TransferId, WithdrawError,
};
pub use value::{VALUE_MAX, Value, ValueCopy, ValueState, ValueTooLong, ValueWrite};
pub use view::{Certainty, Claimed, RejoinError, Standing, View, ViewError, ViewMember};

/// Places of a queue that are searched for a request that may be granted out of order.
pub const SCAN_MAX: u32 = 64;
