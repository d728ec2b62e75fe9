//! A cluster whose members change: an engine makes views, nodes crash and start, leave, and are fenced.
//!
//! ```text
//!           start             a view with it                  crash
//!   down ──────────► outside ───────────────► member ──────────────────────► down
//!                       ▲                        │ fenced: by its clock, by a call,
//!                       │        rejoin          ▼ or by a view without it
//!                       └────────────────────── over
//! ```
//!
//! Where hosts have several machines, all machines of a host live, join, leave and end together. But one may crash alone, as
//! by a panic; the others go on until they hear of it. And a machine for whose view there is no place yet joins later.
//!
//! The engine is an oracle. It removes a life only when it has crashed, or is over by its own clock, or has left.

mod checks;
mod engine;
mod healing;
mod ledger;
mod lives;
mod meeting;
mod rebuilds;
mod slots;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use lockmaster_core::{Certainty, Epoch, Incarnation, Instant, NodeId, SlotId, Storage, TransferId, View};

use super::Cluster;
use crate::layout::Layout;
use crate::random::Random;
use crate::report::{Change, Violation};
use ledger::Account;

/// Everything about members that change.
#[derive(Debug)]
pub(super) struct Changing<S> {
    /// Decides what becomes of members.
    random: Random,
    layout: Layout,
    /// For each place of machines all views, the first one first.
    views: Vec<Vec<View>>,
    lives: Vec<Life>,
    /// Memory for further lives, of all machines of a host.
    spares: Vec<Vec<S>>,
    /// Transfers that were begun by hand or heard of and have not ended, and those that have.
    given: Vec<(NodeId, TransferId)>,
    ended: BTreeSet<(NodeId, Incarnation, TransferId)>,
    /// For each resource what is remembered of it, and its slot.
    accounts: Vec<Account>,
    slots: Vec<SlotId>,
    /// The engine makes peace: it vouches for everybody, and no view is missed.
    is_settling: bool,
    /// Something finds no room at a new master as long as owners hold what they hold.
    is_short: bool,
}

/// What the simulator knows of a node.
#[derive(Debug)]
pub(super) struct Life {
    /// It runs.
    is_up: bool,
    incarnation: Incarnation,
    /// Views that are on their way to it: when they come, and which.
    due: VecDeque<(Instant, usize)>,
    /// The last view that it took.
    installed: Epoch,
    certainty: Certainty,
    /// Until when the engine does not vouch for it.
    withheld_until: Instant,
    /// It was told that it is no member any more.
    is_told: bool,
    /// It has left with a view that it may not know of yet.
    has_left: bool,
    /// Its end was counted.
    is_counted: bool,
    /// It wants to leave, or has emptied itself to do so.
    leaving: Leaving,
    /// Another machine of its host has crashed, and when it follows.
    falls_at: Option<Instant>,
    /// For each peer, which of its lives this node is connected to.
    met: Vec<Option<Incarnation>>,
    /// Peers to which a hello of this node is on its way.
    dialling: Vec<bool>,
}

/// How far a node has come with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    Begun,
    /// It has nothing any more.
    Empty,
}

impl Life {
    fn new(nodes: usize, is_up: bool) -> Self {
        Self {
            is_up,
            incarnation: Incarnation(1),
            due: VecDeque::new(),
            installed: Epoch(0),
            certainty: Certainty::FOR_EVER,
            withheld_until: Instant::START,
            is_told: false,
            has_left: false,
            is_counted: false,
            leaving: Leaving::No,
            falls_at: None,
            met: alloc::vec![None; nodes],
            dialling: alloc::vec![false; nodes],
        }
    }

    /// The next life of the same process, or of another one.
    fn next(&mut self, nodes: usize) {
        let incarnation = Incarnation(self.incarnation.0 + 1);
        *self = Self { incarnation, ..Self::new(nodes, true) };
    }
}

impl<S> Changing<S> {
    /// Some nodes run and are about to be members.
    pub(super) fn new(
        random: Random,
        layout: Layout,
        founders: u16,
        spares: Vec<Vec<S>>,
        slots: Vec<SlotId>,
    ) -> Self {
        let nodes = layout.nodes().count();
        let is_up = |node| layout.host(node) < usize::from(founders);
        let lives = layout.nodes().map(|node| Life::new(nodes, is_up(node))).collect();
        Self {
            random,
            layout,
            views: alloc::vec![Vec::new(); layout.machines()],
            lives,
            spares,
            given: Vec::new(),
            ended: BTreeSet::new(),
            accounts: slots.iter().map(|_| Account::new(nodes)).collect(),
            slots,
            is_settling: false,
            is_short: false,
        }
    }

    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.lives[usize::from(node.0)].is_up
    }

    fn life(&mut self, node: NodeId) -> &mut Life {
        &mut self.lives[usize::from(node.0)]
    }

    /// The latest view, of first machines.
    fn latest(&self) -> Option<&View> {
        self.views[0].last()
    }

    /// The same, of the machines that a node talks to.
    fn latest_of(&self, node: NodeId) -> Option<&View> {
        self.views[self.layout.machine(node)].last()
    }

    /// Does the latest view have this very life of a node?
    fn is_member(&self, node: NodeId) -> bool {
        let incarnation = self.lives[usize::from(node.0)].incarnation;
        let member = self.latest_of(node).and_then(|view| view.member(node));
        member.is_some_and(|member| member.incarnation == incarnation)
    }

    /// The view that a node has installed.
    fn installed(&self, node: NodeId) -> Option<&View> {
        let epoch = self.lives[usize::from(node.0)].installed;
        self.views[self.layout.machine(node)].iter().find(|view| view.epoch == epoch)
    }
}

impl<S: Storage> Cluster<S> {
    pub(super) fn is_changing(&self) -> bool {
        self.changing.is_some()
    }

    fn changes(&mut self) -> &mut Changing<S> {
        self.changing.as_mut().expect("members change")
    }

    fn known(&self) -> &Changing<S> {
        self.changing.as_ref().expect("members change")
    }

    pub(super) fn is_down(&self, node: NodeId) -> bool {
        self.changing.as_ref().is_some_and(|changing| !changing.is_up(node))
    }

    /// Is the node's time as a member over, by its clock or because it was told so?
    fn is_over(&self, node: NodeId) -> bool {
        let life = &self.known().lives[usize::from(node.0)];
        life.is_told || life.has_left || self.now_of(node) >= life.certainty.fenced_at
    }

    fn is_suspect(&self, node: NodeId) -> bool {
        self.now_of(node) >= self.known().lives[usize::from(node.0)].certainty.suspect_at
    }

    /// Nodes that run and whose time is not over, members or not.
    fn living(&self) -> Vec<NodeId> {
        self.nodes().filter(|node| !self.is_down(*node) && !self.is_over(*node)).collect()
    }

    /// The machines of a node's host that run.
    fn beside_up(&self, node: NodeId) -> Vec<NodeId> {
        self.plan.layout.beside(node).filter(|node| !self.is_down(*node)).collect()
    }

    /// Does every machine of a node's host run?
    fn is_whole(&self, node: NodeId) -> bool {
        self.plan.layout.beside(node).all(|node| !self.is_down(node))
    }

    /// What the checkers have to know of time that has passed.
    pub(super) fn see_ends(&mut self) {
        if !self.is_changing() {
            return;
        }
        for node in self.nodes() {
            let is_over = self.is_over(node);
            self.ghost.over[usize::from(node.0)] = is_over;
            let life = self.changes().life(node);
            let is_by_time = !life.is_told && !life.has_left;
            if is_over && life.is_up && !core::mem::replace(&mut life.is_counted, true) && is_by_time {
                self.report.changes.hit(Change::FencedByTime);
            }
        }
    }

    /// Something becomes of members, and whoever has to do with that does its part.
    pub(super) fn turn_over(&mut self) -> Result<(), Violation> {
        if !self.is_changing() {
            return Ok(());
        }
        self.fall()?;
        self.see_ends();
        self.vouch()?;
        self.deliver()?;
        self.dial();
        self.live()?;
        self.leave()?;
        self.engine_turn();
        self.move_somehow()
    }
}
