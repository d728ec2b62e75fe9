//! The locks on the pages: the only file of the demonstration that knows where they come from.

use std::net::TcpListener;

use lockmaster_tokio::lockmaster_core::Epoch;
use lockmaster_tokio::{
    Guard, Limits, LockError, LockOptions, Mode, Node, OwnerId, Path, Retention, SpaceConfig, Token,
};

use crate::Failure;
use crate::args::Retain;
use crate::clock;
use crate::demo::message::Plan;
use crate::page::PageNumber;

/// Who gives out locks.
pub(super) enum Locks {
    /// A node of the lock manager.
    Node(Node),
    /// Nobody: what is asked for is had, and tokens are times.
    Nobody,
}

/// A lock that is held until this is dropped.
#[must_use]
pub(super) struct Held {
    pub(super) token: Token,
    pub(super) path: Path,
    _guard: Option<Guard>,
}

impl Locks {
    /// Joins the cluster that the plan describes, or no cluster.
    pub(super) async fn start(plan: &Plan, listener: TcpListener) -> Result<Self, Failure> {
        if plan.without_locks {
            return Ok(Self::Nobody);
        }
        let mut space = SpaceConfig::new("pages").expect("the name is short");
        space.retention = match plan.retention {
            Retain::Never => Retention::Never,
            Retain::Idle(time) => Retention::Idle(time),
            Retain::UntilDemanded => Retention::UntilDemanded,
        };
        space.grants_after_demand = plan.grants_after_demand;
        let builder = Node::builder("demo").node(plan.node).listener(listener);
        let builder = builder.space(space).limits(limits(plan)).hash_seed(plan.seed);
        let others = (1..).zip(&plan.addresses).filter(|(member, _)| *member != plan.node);
        let builder = others.fold(builder, |builder, (member, address)| builder.member(member, *address));
        match builder.start().await {
            Ok(node) => Ok(Self::Node(node)),
            Err(error) => Err(Failure::Broken(format!("starting the node: {error}"))),
        }
    }

    /// Waits until locks are given out.
    pub(super) async fn opened(&self) {
        match self {
            Self::Node(node) => node.opened().await,
            Self::Nobody => {}
        }
    }

    /// Waits for a lock.
    pub(super) async fn lock(&self, owner: OwnerId, page: PageNumber, mode: Mode) -> Result<Held, LockError> {
        match self {
            Self::Node(node) => {
                let options = LockOptions::new(mode).owner(owner);
                let guard = node.lock_with(page.to_string(), options).await?;
                Ok(Held { token: guard.fencing_token(), path: guard.path(), _guard: Some(guard) })
            }
            Self::Nobody => {
                let token = Token { epoch: Epoch(1), grant: clock::now(), local: 0 };
                Ok(Held { token, path: Path::Local, _guard: None })
            }
        }
    }

    /// Messages sent to other nodes since the start.
    pub(super) fn messages(&self) -> u64 {
        match self {
            Self::Node(node) => node.stats().messages_out,
            Self::Nobody => 0,
        }
    }

    /// Leaves the cluster.
    pub(super) async fn end(&self) {
        match self {
            Self::Node(node) => node.shutdown().await,
            Self::Nobody => {}
        }
    }
}

/// Room for what the plan can need: a node may hold and master every page, and each task holds two at most.
fn limits(plan: &Plan) -> Limits {
    let nodes = u32::try_from(plan.addresses.len()).unwrap_or(u32::MAX);
    Limits {
        resources: plan.pages,
        physical: plan.pages.saturating_mul(nodes),
        locks: plan.tasks * 2,
        names: 0,
        values: 0,
    }
}
