//! The Lockmaster distributed lock manager on smol.
//!
//! ```
//! use lockmaster_smol::{LockOptions, Mode, Node, ValueState};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
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
//! # })
//! # }
//! ```
//!
//! What happens inside is described in [`lockmaster_async`]; here are the sockets, the clock and the tasks.
//!
//! # Whose tasks a node's are
//!
//! A node has tasks of its own: one for its deadlines, one that accepts, one or two for each other member. In a node of
//! [`Node::builder`] they run where [`smol::spawn`] puts its tasks: on the global executor, whose threads
//! (`SMOL_THREADS`, one without it) run from the first task to the end of the process. So the node works wherever it is
//! started and awaited: in [`smol::block_on`], on an executor of one's own, in any other runtime.
//!
//! Who has an executor and wants the node's tasks there says so:
//!
//! ```
//! use std::sync::Arc;
//!
//! use lockmaster_smol::{Builder, Mode, SmolRuntime};
//! use smol::Executor;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let executor = Arc::new(Executor::new());
//! let runtime = SmolRuntime::on(Arc::clone(&executor));
//! smol::block_on(executor.run(async {
//!     let node = Builder::new("orders", runtime).start().await?;
//!     drop(node.lock("invoice/42", Mode::Exclusive).await?);
//!     node.shutdown().await;
//!     Ok(())
//! }))
//! # }
//! ```
//!
//! Then the node lives as long as somebody runs that executor: while nobody does, it neither answers its peers nor
//! keeps its membership. Guards can be dropped anywhere, also when the executor runs no more. A [`smol::LocalExecutor`]
//! takes no tasks that other threads wake, so a node cannot run on one; it can be awaited there.

mod net;

use core::borrow::Borrow;
use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

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
use smol::{Async, Executor, Timer};

pub use net::{SmolListener, SmolReader, SmolWriter};

/// A member of a cluster, running on smol.
pub type Node = lockmaster_async::Node<SmolRuntime>;
/// A node before its start.
pub type Builder = lockmaster_async::Builder<SmolRuntime>;
/// A lock that is held, until it is dropped.
pub type Guard = lockmaster_async::Guard<SmolRuntime>;

/// The wait for another view or standing of a node.
pub type Changed<'a> = lockmaster_async::Changed<'a, SmolRuntime>;
/// Slots on their way to another node.
pub type Transfer<'a> = lockmaster_async::Transfer<'a, SmolRuntime>;

/// The executor that a node's tasks run on: the global one, unless [`SmolRuntime::on`] names another.
///
/// Its clock is `CLOCK_BOOTTIME`, which all processes of a machine share.
#[derive(Clone, Default)]
pub struct SmolRuntime {
    executor: Option<Arc<dyn Borrow<Executor<'static>> + Send + Sync>>,
}

impl SmolRuntime {
    /// Tasks run on this executor: an [`Arc`] of one, a reference to one that lives for ever, or anything else that
    /// lends one. Somebody has to run it as long as the node lives.
    ///
    /// The executor keeps the node's tasks, and they keep the executor: shut the node down, as by `Node::shutdown`, before
    /// the last of both is dropped, or neither ever ends.
    pub fn on(executor: impl Borrow<Executor<'static>> + Send + Sync + 'static) -> Self {
        Self { executor: Some(Arc::new(executor)) }
    }
}

impl fmt::Debug for SmolRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let executor = self.executor.as_deref().map(Borrow::<Executor<'_>>::borrow);
        f.debug_struct("SmolRuntime").field("executor", &executor).finish()
    }
}

impl Runtime for SmolRuntime {
    type Listener = SmolListener;
    type Reader = SmolReader;
    type Writer = SmolWriter;

    fn now(&self) -> Instant {
        system::now()
    }

    fn listen(&self, listener: TcpListener) -> io::Result<SmolListener> {
        SmolListener::new(listener)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<(SmolReader, SmolWriter)> {
        net::split(Async::<TcpStream>::connect(to).await?)
    }

    async fn sleep_until(&self, until: Instant) {
        system::sleep_until(until, Timer::after).await;
    }

    async fn yield_now(&self) {
        net::look().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.executor {
            None => smol::spawn(task).detach(),
            Some(executor) => (**executor).borrow().spawn(task).detach(),
        }
    }
}
