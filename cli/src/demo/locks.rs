//! The locks on the pages: the only file of the demonstration that knows where they come from.

use core::time::Duration;
use std::net::TcpListener;

use lockmaster_tokio::lockmaster_core::Epoch;
use lockmaster_tokio::{
    Builder, Guard, Limits, LocalDir, LockError, LockOptions, Mode, Node, NodeId, OwnerId, Path, Retention,
    SlotId, SpaceConfig, SpaceId, Stats, Token,
};

use crate::Failure;
use crate::args::Retain;
use crate::clock;
use crate::demo::figures::Survey;
use crate::demo::message::Plan;
use crate::page::PageNumber;

/// Who gives out locks.
pub(super) enum Locks {
    /// A node of the lock manager.
    Node {
        node: Node,
        /// The slot of each page; none if nobody transfers slots.
        slots: Vec<SlotId>,
    },
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
        let builder = Node::builder("demo").node(plan.node).listener(listener).machines(plan.machines);
        let builder = builder.space(space).limits(limits(plan)).hash_seed(plan.seed);
        if let Some(meeting) = &plan.meeting {
            return Self::joined(builder.join(LocalDir::new(meeting)), plan).await;
        }
        let others = (1..).zip(&plan.addresses).filter(|(member, _)| *member != plan.node);
        let builder = others.fold(builder, |builder, (member, address)| builder.member(member, *address));
        Self::joined(builder, plan).await
    }

    async fn joined(builder: Builder, plan: &Plan) -> Result<Self, Failure> {
        match builder.start().await {
            Ok(node) => Ok(Self::Node { slots: slots_of_pages(&node, plan), node }),
            Err(error) => Err(Failure::Broken(format!("starting the node: {error}"))),
        }
    }

    /// Waits until locks are given out.
    pub(super) async fn opened(&self) {
        match self {
            Self::Node { node, .. } => node.opened().await,
            Self::Nobody => {}
        }
    }

    /// Waits for a lock.
    pub(super) async fn lock(&self, owner: OwnerId, page: PageNumber, mode: Mode) -> Result<Held, LockError> {
        match self {
            Self::Node { node, .. } => {
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

    /// Is the slot of a page in transfer? Nothing if slots are not transferred at all.
    pub(super) fn is_moving(&self, page: PageNumber) -> Option<bool> {
        let Self::Node { node, slots } = self else { return None };
        Some(node.slot(*slots.get(page.0 as usize)?)?.is_moving)
    }

    /// The pages whose slots this node masters, as far as it is known here.
    pub(super) fn mastered_by(&self, master: u16) -> Vec<bool> {
        let Self::Node { node, slots } = self else { return Vec::new() };
        let is_mastered =
            |slot: &SlotId| node.slot(*slot).is_some_and(|view| view.master == Some(NodeId(master)));
        slots.iter().map(is_mastered).collect()
    }

    /// The node that transfers slots, if any does.
    pub(super) fn transferring(&self) -> Option<&Node> {
        match self {
            Self::Node { node, slots } if !slots.is_empty() => Some(node),
            Self::Node { .. } | Self::Nobody => None,
        }
    }

    /// What was counted since the start.
    pub(super) fn stats(&self) -> Stats {
        match self {
            Self::Node { node, .. } => node.stats(),
            Self::Nobody => Stats::default(),
        }
    }

    /// Who is the master of what.
    pub(super) fn survey(&self) -> Survey {
        let Self::Node { node, .. } = self else { return Survey::default() };
        let map = node.map();
        Survey {
            slots: map.slots_of(node.id()).into(),
            resources: map.room.resources.into(),
            locks: map.room.physical.into(),
            shares: map.shares.iter().map(|share| share.slots).collect(),
        }
    }

    /// Leaves the cluster, with grace if there is so much time.
    pub(super) async fn end(&self, within: Duration) {
        match self {
            Self::Node { node, .. } if within.is_zero() => node.shutdown().await,
            Self::Node { node, .. } => {
                // What it leaves behind the others rebuild.
                let _left = node.leave(within).await;
            }
            Self::Nobody => {}
        }
    }
}

/// The slot of each page, if slots are transferred.
fn slots_of_pages(node: &Node, plan: &Plan) -> Vec<SlotId> {
    if plan.meeting.is_none() && (plan.transfer_interval.is_zero() || plan.addresses.len() < 2) {
        return Vec::new();
    }
    let slot = |number| node.slot_of(SpaceId(0), PageNumber(number).to_string());
    (0..plan.pages).map(|number| slot(number).expect("the name of a page is short")).collect()
}

/// Room for what the plan can need: a node may hold and master every page, and each task holds two at most.
///
/// Twice that for the pages, because a node that is offered slots sets room aside for them while it still holds
/// locks in others.
fn limits(plan: &Plan) -> Limits {
    // One more may join.
    let nodes = u32::try_from(plan.addresses.len() + 1).unwrap_or(u32::MAX);
    let pages = plan.pages.saturating_mul(2);
    Limits {
        resources: pages,
        physical: pages.saturating_mul(nodes),
        locks: plan.tasks * 2,
        names: 0,
        values: 0,
        relays: 1024,
    }
}
