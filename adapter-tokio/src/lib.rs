//! The Lockmaster distributed lock manager on tokio.
//!
//! ```
//! use lockmaster_tokio::{LockOptions, Mode, Node, ValueState};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One node is a cluster too; others are named with `.node(1).listen(…).member(2, …)`, or come and go with `.join(…)`.
//! let node = Node::builder("orders").start().await?;
//!
//! let writing = LockOptions::new(Mode::Exclusive).value(true);
//! let mut guard = node.lock_with("invoice/42", writing).await?;
//! println!("write with token {}", guard.fencing_token());
//! guard.set_value(b"v2")?;
//! guard.convert(Mode::ProtectedRead).await?;
//! drop(guard);
//!
//! let reading = LockOptions::new(Mode::ProtectedRead).value(true);
//! let guard = node.lock_with("invoice/42", reading).await?;
//! let Some(ValueState::Valid(value)) = guard.value() else { panic!("a value was written") };
//! assert_eq!(value.as_bytes(), b"v2");
//! # drop(guard);
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! What happens inside is described in [`lockmaster_async`]; here are the sockets, the clock and the tasks.
//! The node needs a runtime with time and IO enabled, and lives no longer than that runtime. Guards can be
//! dropped anywhere, also outside it.

mod net;

use core::future::Future;
use core::net::SocketAddr;
use std::io;
use std::net::TcpListener;

#[cfg(all(feature = "local-dir", target_os = "linux"))]
pub use lockmaster_async::LocalDir;
pub use lockmaster_async::{
    Candidate, Certainty, ClusterId, ClusterMember, ClusterView, ConvertError, Epoch, FailedHandshakes,
    Flags, Full, Grant, Hear, Inbox, Incarnation, Instant, Joined, Left, Limits, LinkStats, LockError,
    LockOptions, LockView, MapVersion, MasterMap, MasterShare, Membership, MembershipError, Mode, Name,
    NodeId, OwnerId, ParseTokenError, Party, Path, PhysicalView, Priority, Progress, QueueName, Refusal,
    ResourceEntry, Retention, Room, Session, SetValueError, SlotId, SlotRange, SlotView, Snapshot,
    SpaceConfig, SpaceId, Stage, Standing, StartError, Stats, TRANSFERS_MAX, TlsConfig, TlsError, Token,
    TransferError, TransferId, Value, ValueState, Wait, WithdrawError, cluster_domain, lockmaster_core,
    node_name,
};
use lockmaster_async::{Runtime, system};

pub use net::{TokioListener, TokioReader, TokioWriter};

/// A member of a cluster, running on tokio.
pub type Node = lockmaster_async::Node<TokioRuntime>;
/// A node before its start.
pub type Builder = lockmaster_async::Builder<TokioRuntime>;
/// A lock that is held, until it is dropped.
pub type Guard = lockmaster_async::Guard<TokioRuntime>;

/// The wait for another view or standing of a node.
pub type Changed<'a> = lockmaster_async::Changed<'a, TokioRuntime>;
/// Slots on their way to another node.
pub type Transfer<'a> = lockmaster_async::Transfer<'a, TokioRuntime>;

/// The tokio runtime that a node is started in.
///
/// Its clock is `CLOCK_BOOTTIME`, which all processes of a machine share.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    type Listener = TokioListener;
    type Reader = TokioReader;
    type Writer = TokioWriter;

    fn now(&self) -> Instant {
        system::now()
    }

    fn listen(&self, listener: TcpListener) -> io::Result<TokioListener> {
        TokioListener::new(listener)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(TokioReader, TokioWriter)> {
        net::split(tokio::net::TcpStream::connect(to).await?)
    }

    async fn sleep_until(&self, until: Instant) {
        system::sleep_until(until, tokio::time::sleep).await;
    }

    async fn yield_now(&self) {
        // Looks at the sockets in between; a task that wakes itself may go on sixty times without.
        tokio::task::yield_now().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }
}
