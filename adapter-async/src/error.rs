//! Why a call of the application failed, and what to do about it.

use core::net::SocketAddr;
use std::io;

use lockmaster_core::{
    ConfigError, ConvertError as ConversionRefused, Denial, FlagsError, Full, MACHINES_MAX, NameError,
    NodeId, Refusal, RequestError, TRANSFERS_MAX, TransferError as TransferRefused, ValueTooLong,
};

use crate::membership::MembershipError;
use crate::tls::TlsError;

/// Why a lock was not granted. Nothing is held, and nothing waits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// It is held elsewhere and the request was not to wait (SS$_NOTQUEUED): try later, or wait.
    #[error("the resource is busy")]
    Busy,
    /// It was not granted in time (-ETIMEDOUT): try again, with more patience or less load.
    #[error("the lock was not granted in time")]
    TimedOut,
    /// It would have waited for itself (SS$_DEADLOCK): release what the owner holds and start over.
    #[error("deadlock")]
    Deadlock,
    /// A table of this node is full: release something, or raise that limit.
    #[error(transparent)]
    Full(#[from] Full),
    /// The tables of the resource's master are full: try again later, and raise its limits.
    #[error("the master's tables are full")]
    MasterFull,
    /// No resource can have this name: shorten it, or hash it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such space: use one that the builder was given.
    #[error("no such space")]
    UnknownSpace,
    /// The flags do not go together: leave out what the message names.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// The node was shut down: start another.
    #[error("the node is shut down")]
    Closed,
}

impl From<RequestError> for LockError {
    fn from(refused: RequestError) -> Self {
        match refused {
            RequestError::Name(error) => Self::Name(error),
            RequestError::UnknownSpace => Self::UnknownSpace,
            RequestError::Flags(error) => Self::Flags(error),
            RequestError::Full(full) => Self::Full(full),
            RequestError::Busy => Self::Busy,
        }
    }
}

impl From<Denial> for LockError {
    fn from(reason: Denial) -> Self {
        match reason {
            Denial::Busy => Self::Busy,
            Denial::Deadlock => Self::Deadlock,
            Denial::TimedOut => Self::TimedOut,
            Denial::Full => Self::MasterFull,
        }
    }
}

/// Why a lock was not converted. It is still held; [`Guard::mode`](crate::Guard::mode) says in which mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Others hold it and the conversion was not to wait (SS$_NOTQUEUED): try later, or wait.
    #[error("the resource is busy")]
    Busy,
    /// It was not granted in time (-ETIMEDOUT): try again, or go on in the mode still held.
    #[error("the conversion was not granted in time")]
    TimedOut,
    /// Two conversions wait for each other (SS$_DEADLOCK): lower or release this lock, then start over.
    #[error("conversion deadlock")]
    Deadlock,
    /// A table of this node is full: release something, or raise that limit.
    #[error(transparent)]
    Full(#[from] Full),
    /// The tables of the resource's master are full: try again later, and raise its limits.
    #[error("the master's tables are full")]
    MasterFull,
    /// The flags do not go together: leave out what the message names.
    #[error(transparent)]
    Flags(#[from] FlagsError),
    /// The node is no member any more and the lock is lost: stop what it protects, then lock anew.
    #[error("the lock is lost")]
    Lost,
    /// The node was shut down and the lock is lost: stop what it protects.
    #[error("the node is shut down")]
    Closed,
}

impl From<ConversionRefused> for ConvertError {
    fn from(refused: ConversionRefused) -> Self {
        match refused {
            // A guard's lock converts once at a time, and has a block if it writes one.
            ConversionRefused::InFlight | ConversionRefused::WithoutValue => {
                unreachable!("a guard asks for what its lock can do: {refused}")
            }
            // A guard's lock ends with the guard, or is lost.
            ConversionRefused::Unknown => Self::Lost,
            ConversionRefused::Flags(error) => Self::Flags(error),
            ConversionRefused::Busy => Self::Busy,
            ConversionRefused::Deadlock => Self::Deadlock,
            ConversionRefused::Full(full) => Self::Full(full),
        }
    }
}

impl From<Denial> for ConvertError {
    fn from(reason: Denial) -> Self {
        match reason {
            Denial::Busy => Self::Busy,
            Denial::Deadlock => Self::Deadlock,
            Denial::TimedOut => Self::TimedOut,
            Denial::Full => Self::MasterFull,
        }
    }
}

/// Why slots were not transferred. This node is their master as before, but for [`TransferError::Closed`].
///
/// Where a node runs several machines, each of them transfers its own slots of the range: then some may have gone to the
/// other node although others were refused or withdrawn. [`Node::slot`](crate::Node::slot) says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The range is empty or ends after the last slot: use [`Node::slots`](crate::Node::slots).
    #[error("there are no such slots")]
    Range,
    /// This node is not the master of every slot of the range: ask the node that is.
    #[error("this node is not the master of every slot of the range")]
    NotMaster,
    /// A part of the range is in transfer already: wait for its end.
    #[error("a slot of the range is in transfer already")]
    InTransfer,
    /// No other member has this number: name one of [`Node::members`](crate::Node::members).
    #[error("node {0} is no other member of this cluster")]
    Member(NodeId),
    /// [`TRANSFERS_MAX`] are under way, those counted whose end was not fetched yet: wait for an end.
    #[error("{TRANSFERS_MAX} transfers are under way")]
    TooMany,
    /// The node cannot grant yet: wait for [`Node::opened`](crate::Node::opened).
    #[error("the node is not open yet")]
    NotOpen,
    /// The other node does not want the slots: see its reason.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was withdrawn before it moved a record: ask again when it is wanted after all.
    #[error("the transfer was withdrawn")]
    Withdrawn,
    /// The new master has left the cluster, or this node has: what was not given away yet is as it was, the rest gets
    /// another master.
    #[error("the new master has left the cluster")]
    Cut,
    /// The node was shut down, and what it had not given away yet is without a master: start another.
    #[error("the node is shut down")]
    Closed,
}

impl From<TransferRefused> for TransferError {
    fn from(refused: TransferRefused) -> Self {
        match refused {
            TransferRefused::Range => Self::Range,
            TransferRefused::NotMaster => Self::NotMaster,
            TransferRefused::InTransfer => Self::InTransfer,
            TransferRefused::Member(member) => Self::Member(member),
            TransferRefused::TooMany => Self::TooMany,
            TransferRefused::NotOpen => Self::NotOpen,
        }
    }
}

/// Why the value block was not changed. The guard's block is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetValueError {
    /// It holds fewer bytes than that: keep more elsewhere.
    #[error(transparent)]
    TooLong(#[from] ValueTooLong),
    /// The lock was asked for without the value block: ask with [`LockOptions::value`](crate::LockOptions::value).
    #[error("the lock was asked for without its value block")]
    NotAsked,
    /// Only PW and EX may write it: convert first.
    #[error("only a lock in PW or EX may write the value block")]
    NotWritable,
}

/// Why a node did not start. Nothing is listened on and no task runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Members, spaces or limits contradict themselves: correct what the message names.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// So many machines are not possible: name 1 to 16, and no more than any space has slots.
    #[error("a node runs 1 to {MACHINES_MAX} machines, and every space needs a slot for each")]
    Machines,
    /// Members were named, and a provider that tells who is a member: leave out one of them.
    #[error("members are named, and a provider of views is too")]
    TwoMemberships,
    /// The provider did not make the node a member: the cause says what to do.
    #[error("cannot join")]
    Membership(#[from] MembershipError),
    /// The thread that joins cannot be started: see the cause.
    #[error("cannot start the thread that joins")]
    Thread(#[source] io::Error),
    /// Others cannot dial this address: name one that they can by `Builder::advertise`.
    #[error("{0} is no address that others can dial")]
    Unspecified(SocketAddr),
    /// The node has members but no number of its own: call `Builder::node`.
    #[error("a node of a cluster needs a number of its own")]
    NoNode,
    /// Other members dial this node, and it does not listen: call `Builder::listen`.
    #[error("other members dial this node, but it does not listen")]
    NoListener,
    /// This address can be reached from elsewhere, and nobody has to prove who he is: call `Builder::tls`, use a loopback
    /// address, or say `Builder::insecure` where the network is trusted.
    #[error("{0} is no loopback address, and without TLS nobody proves who he is")]
    NotLoopback(SocketAddr),
    /// The node cannot prove itself to the others: correct what the message names.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on: see the cause.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}
