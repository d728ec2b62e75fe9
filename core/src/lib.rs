//! Sans-IO core of the Lockmaster distributed lock manager.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

mod config;
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
mod value;
pub mod wire;

#[cfg(feature = "check")]
mod check;

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
pub use error::{
    ConfigError, ConvertError, Dropped, Full, HelloError, ReleaseError, RequestError, UnknownLock,
};
pub use event::{Asked, Cancelled, Conversion, Denial, Event, Grant, Path, Request};
pub use flags::{Flags, FlagsError};
pub use id::{
    ClusterId, DemandId, Epoch, Incarnation, LockId, MEMBERS_MAX, MapVersion, NodeId, Number, OwnerId, Priority,
    QueueTicket, SPACES_MAX, SlotId, SpaceId, Token,
};
#[cfg(feature = "alloc")]
pub use memory::HeapMemory;
pub use memory::{ArrayMemory, Limits, Memory, Storage, Tables};
pub use mode::{Mode, ValueTransfer};
pub use name::{NAME_MAX, Name, NameError, hash};
pub use node::Node;
pub use record::{Lock, NameCell, Peer, Physical, RING_LEN, Resource, Slot, ValueCell};
pub use snapshot::{LockView, PhysicalView, QueueName, ResourceView, Visit};
pub use stats::{Stats, Traffic};
pub use table::Bucket;
pub use time::Instant;
pub use value::{VALUE_MAX, Value, ValueCopy, ValueState, ValueTooLong, ValueWrite};

/// Places of a queue that are searched for a request that may be granted out of order.
pub const SCAN_MAX: u32 = 64;
