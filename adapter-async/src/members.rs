//! Who is a member, as the node was last told, and what has to be done about it.
//!
//! ```text
//!   Outside ──(a view with this node)──▶ Member ⇄ Suspect ──(fenced)──▶ Fenced ──(every loss told, joined anew)──▶ Outside
//! ```
//!
//! What counts is the core's word; here is what tasks and threads wait for.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use lockmaster_core::{Incarnation, Instant, NodeId, Standing};

use crate::lifecycle::Lifecycle;
use crate::membership::{ClusterMember, ClusterView};

/// An engine that could not be told that the node leaves is told again after this long.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// Where a member is dialled. Another incarnation is another target, even at the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) incarnation: Incarnation,
    pub(crate) address: SocketAddr,
}

/// What the thread that joined sees of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) life: LifeSight,
    /// The node is about to leave, and the engine is to be told.
    pub(crate) is_leave_asked: bool,
    /// Peers with a connection.
    pub(crate) connected: Vec<NodeId>,
}

/// How far a machine is in its life as a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LifeSight {
    GoesOn,
    /// This life has ended.
    Fenced,
    /// It has, and every owner knows it.
    Mourned,
    /// The machine was shut down.
    Closed,
    /// It was shut down by a panic, or while it was no member: others must not believe that it has nothing any more.
    Broken,
}

#[derive(Debug)]
pub(crate) struct Members {
    me: NodeId,
    /// Are members dialled also where addresses are not loopback?
    reaches_far: bool,
    /// Counts lives; an inbox of another does nothing.
    life: u64,
    view: Option<ClusterView>,
    standing: Standing,
    /// Every owner was told that its lock is lost.
    is_mourned: bool,
    /// A view that came while places were taken by members that have departed.
    put_off: Option<ClusterView>,
    /// The map of the view was not agreed when it was last looked at.
    is_settling: bool,
    /// Counts views and standings.
    changes: u64,
    /// Peers that a task dials.
    dialled: BTreeSet<NodeId>,
    leaving: Leaving,
    /// Peers with a connection, when one last began or ended.
    connected: Vec<NodeId>,
}

/// How far the node is in leaving.
///
/// ```text
///   No ──leave, drain──▶ Asked ──the engine was told──▶ Announced
///                        ▲  ▲ │                             │
///                        │  └─┼─── a view without it ───────┘
///              later     │    ▼
///                        └── Failed
/// ```
#[derive(Debug)]
enum Leaving {
    No,
    /// The engine is to be told.
    Asked,
    /// It was told; the view may not say so yet.
    Announced,
    /// The engine could not be told.
    Failed {
        again_at: Instant,
    },
}

impl Members {
    /// The members of a node that is told of views.
    pub(crate) fn outside(me: NodeId, reaches_far: bool) -> Self {
        Self {
            me,
            reaches_far,
            life: 1,
            view: None,
            standing: Standing::Outside,
            is_mourned: false,
            put_off: None,
            is_settling: false,
            changes: 0,
            dialled: BTreeSet::new(),
            leaving: Leaving::No,
            connected: Vec::new(),
        }
    }

    /// Members that never change.
    pub(crate) fn fixed(me: NodeId, reaches_far: bool, view: ClusterView) -> Self {
        let standing = Standing::Member;
        Self { view: Some(view), standing, ..Self::outside(me, reaches_far) }
    }

    pub(crate) const fn life(&self) -> u64 {
        self.life
    }

    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) const fn view(&self) -> Option<&ClusterView> {
        self.view.as_ref()
    }

    /// The other members, with their incarnations.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        let members = self.view.iter().flat_map(|view| &view.members);
        members.filter(|member| member.node != self.me).map(|member| (member.node, member.incarnation))
    }

    /// Other members that are not about to leave.
    pub(crate) fn staying_peers(&self) -> impl Iterator<Item = NodeId> {
        let members = self.view.iter().flat_map(|view| &view.members);
        let staying = members.filter(|member| member.node != self.me && !member.is_leaving);
        staying.map(|member| member.node)
    }

    /// The core has taken this view.
    pub(crate) fn install(&mut self, mut view: ClusterView) {
        view.members.sort_unstable_by_key(|member| member.node);
        self.view = Some(view);
        if matches!(self.leaving, Leaving::Announced) && !self.is_marked() {
            // The view was made before the engine knew, or the node has a new life: the engine is told again.
            self.leaving = Leaving::Asked;
        }
        self.put_off = None;
        self.is_settling = true;
        self.changes += 1;
    }

    /// The core says what the node is. Tells whether that is news.
    pub(crate) fn stand(&mut self, standing: Standing) -> bool {
        if standing == self.standing {
            return false;
        }
        self.standing = standing;
        self.changes += 1;
        if standing == Standing::Fenced {
            self.life += 1;
            self.view = None;
            self.put_off = None;
            self.is_settling = false;
            self.is_mourned = false;
        }
        true
    }

    /// A view is to be tried again later, unless a later one is.
    pub(crate) fn put_off(&mut self, view: ClusterView) {
        if self.put_off.as_ref().is_none_or(|other| view.epoch >= other.epoch) {
            self.put_off = Some(view);
        }
    }

    /// The view that is to be tried again.
    pub(crate) const fn take_put_off(&mut self) -> Option<ClusterView> {
        self.put_off.take()
    }

    /// Is the map of the view to be agreed yet?
    pub(crate) const fn is_settling(&self) -> bool {
        self.is_settling
    }

    /// The map of the view is agreed.
    pub(crate) const fn settle(&mut self) {
        self.is_settling = false;
    }

    /// Every loss was told. Tells whether that is news.
    pub(crate) const fn mourn(&mut self) -> bool {
        !core::mem::replace(&mut self.is_mourned, true)
    }

    // ---- dialling ----

    /// Where a member is to be dialled; nothing if it is none, or is the one that dials.
    pub(crate) fn target(&self, peer: NodeId) -> Option<Target> {
        let member = self.view.as_ref()?.member(peer)?;
        self.is_dialled(member).then_some(Target { incarnation: member.incarnation, address: member.address })
    }

    /// The same for the task that dials it: if there is nothing to dial, the task is forgotten and must end.
    pub(crate) fn target_or_end(&mut self, peer: NodeId) -> Option<Target> {
        let target = self.target(peer);
        if target.is_none() {
            self.dialled.remove(&peer);
        }
        target
    }

    /// Members that no task dials yet; they are taken for dialled from now on.
    pub(crate) fn undialled(&mut self) -> Option<Vec<NodeId>> {
        let members = self.view.iter().flat_map(|view| &view.members);
        let new = members.filter(|member| self.is_dialled(member) && !self.dialled.contains(&member.node));
        let new: Vec<NodeId> = new.map(|member| member.node).collect();
        self.dialled.extend(&new);
        (!new.is_empty()).then_some(new)
    }

    fn is_dialled(&self, member: &ClusterMember) -> bool {
        member.node > self.me && (self.reaches_far || member.address.ip().is_loopback())
    }

    // ---- leaving, and the thread that joined ----

    /// The node is about to leave.
    pub(crate) fn begin_leaving(&mut self, now: Instant) {
        match self.leaving {
            Leaving::No => self.leaving = Leaving::Asked,
            Leaving::Failed { again_at } if now >= again_at => self.leaving = Leaving::Asked,
            Leaving::Asked | Leaving::Announced | Leaving::Failed { .. } => {}
        }
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        !matches!(self.leaving, Leaving::No)
    }

    /// Is the node given no slots any more? Until its own view says that it is about to leave it takes what it is offered, and
    /// others would have to rebuild that if it went. An engine that cannot be told is not waited for.
    pub(crate) fn is_known_to_leave(&self) -> bool {
        matches!(self.leaving, Leaving::Failed { .. }) || self.is_marked()
    }

    /// Does the view say that this node is about to leave?
    fn is_marked(&self) -> bool {
        let mut members = self.view.iter().flat_map(|view| &view.members);
        members.any(|member| member.node == self.me && member.is_leaving)
    }

    /// The engine was told so, or could not be.
    pub(crate) fn announced(&mut self, now: Instant, is_told: bool) {
        self.leaving = if is_told {
            Leaving::Announced
        } else {
            Leaving::Failed { again_at: now.after(ANNOUNCE_AGAIN) }
        };
    }

    /// Peers with a connection, now.
    pub(crate) fn connect(&mut self, connected: impl Iterator<Item = NodeId>) {
        self.connected.clear();
        self.connected.extend(connected);
    }

    /// What the thread that joined sees.
    pub(crate) fn sight(&self, lifecycle: &Lifecycle) -> Sight {
        let is_fenced = self.standing == Standing::Fenced;
        let life = match (lifecycle.is_closed(), is_fenced) {
            (true, false) if !lifecycle.is_condemned() => LifeSight::Closed,
            (true, _) => LifeSight::Broken,
            (false, true) if self.is_mourned => LifeSight::Mourned,
            (false, true) => LifeSight::Fenced,
            (false, false) => LifeSight::GoesOn,
        };
        let is_leave_asked = matches!(self.leaving, Leaving::Asked);
        Sight { life, is_leave_asked, connected: self.connected.clone() }
    }
}

#[cfg(test)]
mod tests;
