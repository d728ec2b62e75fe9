//! Refusals: why a verb did nothing. After each of them the state is as it was.

use crate::flags::FlagsError;
use crate::id::NodeId;
use crate::name::NameError;

/// Which table has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Full {
    /// Logical locks of this node: raise `Limits::locks`, or release some.
    #[error("the table of logical locks is full")]
    Locks,
    /// Resources known to this node: raise `Limits::resources`, or retain fewer.
    #[error("the table of resources is full")]
    Resources,
    /// Names longer than what a resource record holds: raise `Limits::names`, or use shorter names.
    #[error("the table of long names is full")]
    Names,
    /// Value blocks: raise `Limits::values`.
    #[error("the table of value blocks is full")]
    Values,
    /// Physical locks that this node masters: raise `Limits::physical`.
    #[error("the table of physical locks is full")]
    Physical,
}

/// Why a request was refused. There is no lock, and the tables are unchanged; only before [`RequestError::Busy`]
/// may holders have been asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The name is empty or too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No such space is configured: use one of the configuration's.
    #[error("no such space")]
    UnknownSpace,
    /// The flags do not go together.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// A table is full: release something and try again.
    #[error(transparent)]
    Full(#[from] Full),
    /// It cannot be granted now and was asked not to wait (SS$_NOTQUEUED).
    #[error("the resource is busy")]
    Busy,
}

/// Why a conversion was refused. The lock keeps its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The lock has ended: forget its handle (SS$_IVLOCKID).
    #[error("no such lock")]
    Unknown,
    /// The lock is not granted, or an earlier conversion still waits: cancel that first (SS$_CVTUNGRANT).
    #[error("the lock is not granted or is already converting")]
    InFlight,
    /// The flags do not go together.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// It cannot be granted now and was asked not to wait (SS$_NOTQUEUED).
    #[error("the resource is busy")]
    Busy,
    /// A value block was given for a lock that was never asked for with [`Flags::VALUE`](crate::Flags::VALUE), nor
    /// converted so that it read the block: there may be no room for it at the master.
    #[error("the lock was not asked for with its value block")]
    WithoutValue,
    /// Two conversions wait for each other: release or lower this lock (SS$_DEADLOCK).
    #[error("conversion deadlock")]
    Deadlock,
    /// The table of value blocks is full: release something and try again.
    #[error(transparent)]
    Full(#[from] Full),
}

/// Why a release was refused. The lock is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The lock has ended: forget its handle (SS$_IVLOCKID).
    #[error("no such lock")]
    Unknown,
    /// The lock waits or converts: cancel first, or abandon it.
    #[error("the lock is waiting or converting")]
    InFlight,
    /// A value block was given for a lock that was never asked for with [`Flags::VALUE`](crate::Flags::VALUE), nor
    /// converted so that it read the block: there may be no room for it at the master.
    #[error("the lock was not asked for with its value block")]
    WithoutValue,
}

/// The handle is of a lock that has ended: forget it (SS$_IVLOCKID).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such lock")]
pub struct UnknownLock;

/// Why a configuration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A cluster has 1 to 64 members, each named once, this node among them.
    #[error("members must be 1 to 64, each named once, this node among them")]
    Members,
    /// No node can have the highest number: it stands for nobody, see [`NodeId::GONE`].
    #[error("no node can have the number 65535")]
    Node,
    /// Where members change there is room for 1 to 64 of them.
    #[error("there must be places for 1 to 64 members")]
    Places,
    /// A cluster has 1 to 16 spaces, each with 1 to 65536 slots and a name of its own.
    #[error("spaces must be 1 to 16, each with its own name and 1 to 65536 slots")]
    Spaces,
    /// Repeat intervals must be longer than zero, and the long one not below the short one.
    #[error("repeat intervals must be longer than zero, the long one not below the short one")]
    Intervals,
    /// A chunk has 256 to 65536 bytes, and the window is not smaller than a chunk.
    #[error("a chunk has 256 to 65536 bytes, and the window is at least a chunk")]
    Chunks,
    /// The incarnation must not be zero: use one that rises with every start.
    #[error("the incarnation must not be zero")]
    Incarnation,
    /// The memory is too small for the members, the slots or the index.
    #[error("the memory has no room for {0}")]
    Memory(&'static str),
}

/// Why a node cannot be divided among so many machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DivisionError {
    /// A node runs 1 to 16 machines.
    #[error("a node runs 1 to 16 machines")]
    Machines,
    /// Every space needs a slot for each machine, and has 65536 at most.
    #[error("every space needs a slot for each machine, and has 65536 at most")]
    Slots,
}

/// Why a hello was refused. Close the connection; the sender's configuration needs an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// It is of another cluster.
    #[error("the peer is of another cluster")]
    Cluster,
    /// Its versions and ours have none in common, or it takes no frame of 1024 bytes.
    #[error("the peer speaks no common version")]
    Version,
    /// Its epoch, or its digest of hash, seed, members, spaces and slots, is another.
    #[error("the peer is configured otherwise")]
    Digest,
    /// It is no member of the view, or claims to be this node.
    #[error("node {0} is no other member of this cluster")]
    Member(NodeId),
    /// This node's view does not have it, or another incarnation of it: one of the two does not know the latest view yet.
    /// Try again soon; nothing is configured wrongly.
    #[error("node {0} is not in the view of this node")]
    Stranger(NodeId),
    /// An earlier incarnation of it was heard: in this version every member has to be restarted.
    #[error("node {0} has restarted and is another incarnation")]
    Incarnation(NodeId),
}

/// Why a frame had no effect. A peer can cause every variant; none changes the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dropped {
    /// It is no frame of this protocol, or its lengths do not add up.
    #[error("malformed frame")]
    Malformed,
    /// It is of another cluster.
    #[error("frame of another cluster")]
    Cluster,
    /// Its versions and ours have none in common.
    #[error("frame of another version")]
    Version,
    /// Its sender is not the peer it came from, or no accepted member.
    #[error("frame of an unknown peer")]
    Peer,
    /// It is of an earlier or later view.
    #[error("frame of another view")]
    Epoch,
}
