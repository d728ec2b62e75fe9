//! What is done with slots: transfers begin and are taken back, and calls that make no sense are refused.

use alloc::vec::Vec;

use lockmaster_core::{
    NodeId, SlotId, SlotRange, SlotView, Stage, Storage, TRANSFERS_MAX, TransferError, WithdrawError,
};

use super::Cluster;
use crate::moves::Move;
use crate::report::{Violation, broken, ensure};
use crate::sight::Sight;

/// What may be wrong with a call, in the order in which it is tried.
#[derive(Clone, Copy, Debug)]
enum Nonsense {
    Empty,
    Beyond,
    Member,
    NotMaster,
    InTransfer,
    Ended,
    Begun,
}

impl Nonsense {
    const ALL: [Self; 7] = [
        Self::Empty,
        Self::Beyond,
        Self::Member,
        Self::NotMaster,
        Self::InTransfer,
        Self::Ended,
        Self::Begun,
    ];
}

impl<S: Storage> Cluster<S> {
    /// Somebody does something about slots.
    pub(super) fn move_slots(&mut self) -> Result<(), Violation> {
        let mobility = &self.plan.mobility;
        let (withdraw, nonsense) = (mobility.withdraw, mobility.nonsense);
        if self.mover.chance(withdraw) {
            return self.withdraw();
        }
        if self.mover.chance(nonsense) {
            return self.refuse();
        }
        self.begin_moves()
    }

    /// Some transfers begin at one instant.
    pub(super) fn begin_moves(&mut self) -> Result<(), Violation> {
        for _ in 0..self.mover.between(1, self.plan.mobility.at_once) {
            let node = self.pick_mover();
            let Some(range) = self.pick_range(node) else { continue };
            let Some(to) = self.pick_other(node) else { continue };
            if self.is_paused(node) {
                continue;
            }
            self.transfer(node, range, to)?;
        }
        Ok(())
    }

    // ---- choices ----

    /// A number that no node has, nor has any the one before it.
    pub(super) fn nobody(&self) -> NodeId {
        let nodes = u16::try_from(self.members.len()).expect("nodes are few");
        NodeId(nodes.max(98) + 1)
    }

    fn pick_mover(&mut self) -> NodeId {
        let at = self.mover.index(self.members.len());
        NodeId(u16::try_from(at).expect("nodes are few"))
    }

    fn pick_other(&mut self, node: NodeId) -> Option<NodeId> {
        let others: Vec<NodeId> = self.peers(node).filter(|other| *other != node).collect();
        (!others.is_empty()).then(|| *self.mover.pick(&others))
    }

    /// Transfers that fit, of machines of one place: who gave them, and where they are in that account.
    fn moves_with(&mut self, fits: impl Fn(&Move) -> bool) -> Vec<(NodeId, usize)> {
        let machine = self.pick_machine();
        let each = self.moves[machine].all.iter().enumerate();
        each.filter(|(_, one)| fits(one)).map(|(at, one)| (one.from, at)).collect()
    }

    /// A place of machines on their hosts.
    fn pick_machine(&mut self) -> usize {
        // With one machine nothing is drawn, so that a seed stays what it was.
        let machines = self.plan.layout.machines();
        if machines > 1 { self.divider.index(machines) } else { 0 }
    }

    fn slot_views(&mut self, node: NodeId) -> Vec<SlotView> {
        let slots = self.moves_of(node).slots();
        let node = &mut self.members[usize::from(node.0)].node;
        slots.map(|slot| node.slot(slot).expect("every slot is shown")).collect()
    }

    /// Slots that the node may give away: one, some or all of those that it has in a row.
    pub(super) fn pick_range(&mut self, node: NodeId) -> Option<SlotRange> {
        let views = self.slot_views(node);
        let is_free = |view: &SlotView| view.master == Some(node) && !view.is_moving;
        let free: Vec<usize> = (0..views.len()).filter(|at| is_free(&views[*at])).collect();
        if free.is_empty() {
            return None;
        }
        let at = *self.mover.pick(&free);
        let before = views[..at].iter().rev().take_while(|view| is_free(view)).count();
        let after = views[at..].iter().take_while(|view| is_free(view)).count();
        let (first, len) = match self.mover.below(10) {
            0..4 => (at, 1),
            4..7 => (at - before, before + after),
            _ => (at, self.mover.index(after) + 1),
        };
        let place = |at: usize| u32::try_from(at).expect("slots are few");
        Some(SlotRange { first: SlotId(place(first)), len: place(len) })
    }

    // ---- transfers ----

    fn transfer(&mut self, node: NodeId, range: SlotRange, to: NodeId) -> Result<(), Violation> {
        let is_open = self.is_open(node);
        let is_full = self.moves_of(node).given_by(node) >= TRANSFERS_MAX;
        let before = if is_open && !is_full { 0 } else { self.member(node).node.digest() };
        let now = self.now_of(node);
        let asked = self.member(node).node.transfer(now, range, to);
        self.trace.line(self.now, format_args!("node {node}: slots {range} to node {to}: {asked:?}"));
        let expected = match asked {
            Ok(_) => is_open && !is_full,
            Err(TransferError::NotOpen) => !is_open,
            Err(TransferError::TooMany) => is_full,
            Err(
                TransferError::Range
                | TransferError::NotMaster
                | TransferError::InTransfer
                | TransferError::Member(_),
            ) => false,
        };
        ensure!(expected, Transfer, "node {node} is asked to give {range} to node {to}: {asked:?}");
        let Ok(id) = asked else {
            self.moves_of(node).counts.nonsense += 1;
            return self.unchanged(node, before);
        };
        self.moves_of(node).asked(node, to, range, id)?;
        self.watcher.see(self.now, || Sight::TransferAsked { from: node, to, range, id });
        let progress = self.member(node).node.progress(id);
        let is_it = progress.is_some_and(|progress| progress.range == range && progress.to == to);
        ensure!(is_it, Transfer, "a new transfer of {range} to node {to} is {progress:?}");
        self.settle(node)
    }

    /// A transfer is taken back, if it has not begun.
    fn withdraw(&mut self) -> Result<(), Violation> {
        let running = self.moves_with(|one| !one.is_ended());
        if running.is_empty() {
            return Ok(());
        }
        // The latest ones have moved the least.
        let latest = &running[running.len().saturating_sub(3)..];
        let (node, at) = *self.mover.pick(latest);
        let id = self.moves_of(node).all[at].id;
        if self.is_paused(node) {
            return Ok(());
        }
        let now = self.now_of(node);
        let stage = self.member(node).node.progress(id).map(|progress| progress.stage);
        let may_be_refused = stage != Some(Stage::Offered);
        let before = if may_be_refused { self.member(node).node.digest() } else { 0 };
        let withdrawn = self.member(node).node.withdraw(now, id);
        self.trace.line(self.now, format_args!("node {node}: withdraws {id:?}, {stage:?}: {withdrawn:?}"));
        let is_begun = self.moves_of(node).all[at].is_begun();
        let expected = match stage {
            Some(Stage::Offered) => Ok(()),
            Some(Stage::Moving | Stage::Announced) => Err(WithdrawError::Begun),
            Some(Stage::Done | Stage::Refused(_) | Stage::Withdrawn | Stage::Cut) => {
                Err(WithdrawError::Unknown)
            }
            None => return Err(broken!(Transfer, "a transfer whose end was not told is unknown")),
        };
        // Nothing may be packed before the first chunk is built.
        let is_expected = withdrawn == expected || (withdrawn.is_ok() && stage == Some(Stage::Moving));
        let is_possible = withdrawn.is_err() || !is_begun;
        ensure!(is_expected && is_possible, Transfer, "{stage:?} of node {node} withdrawn: {withdrawn:?}");
        if withdrawn.is_err() {
            self.moves_of(node).counts.nonsense += 1;
            return self.unchanged(node, before);
        }
        self.moves_of(node).all[at].is_withdrawn = true;
        self.settle(node)
    }

    // ---- what makes no sense ----

    /// A call that must be refused and change nothing.
    fn refuse(&mut self) -> Result<(), Violation> {
        let node = self.pick_mover();
        let views = self.slot_views(node);
        let slots = u32::try_from(views.len()).expect("slots are few");
        let place = |at: usize| SlotId(u32::try_from(at).expect("slots are few"));
        let other = self.pick_other(node);
        let sound = self.pick_range(node);
        let call = match *self.mover.pick(&Nonsense::ALL) {
            Nonsense::Ended => return self.refuse_withdrawal(true),
            Nonsense::Begun => return self.refuse_withdrawal(false),
            Nonsense::Empty => other.map(|to| {
                let first = place(self.mover.index(views.len()));
                (SlotRange { first, len: 0 }, to, TransferError::Range)
            }),
            Nonsense::Beyond => other.map(|to| {
                let len = *self.mover.pick(&[slots + 1, u32::MAX]);
                (
                    SlotRange { first: SlotId(u32::from(self.mover.chance(500))), len },
                    to,
                    TransferError::Range,
                )
            }),
            Nonsense::Member => sound.map(|range| {
                let to = *self.mover.pick(&[node, self.nobody()]);
                (range, to, TransferError::Member(to))
            }),
            Nonsense::NotMaster => {
                let foreign = views.iter().position(|view| view.master != Some(node) && !view.is_moving);
                let range = foreign.map(|at| SlotRange::one(place(at)));
                range.zip(other).map(|(range, to)| (range, to, TransferError::NotMaster))
            }
            Nonsense::InTransfer => {
                let moving = views.iter().position(|view| view.master == Some(node) && view.is_moving);
                let range = moving.map(|at| SlotRange::one(place(at)));
                range.zip(other).map(|(range, to)| (range, to, TransferError::InTransfer))
            }
        };
        let Some((range, to, expected)) = call.filter(|_| !self.is_paused(node)) else { return Ok(()) };
        let now = self.now_of(node);
        let before = self.member(node).node.digest();
        let asked = self.member(node).node.transfer(now, range, to);
        self.trace
            .line(self.now, format_args!("node {node}: slots {range} to node {to}, nonsense: {asked:?}"));
        let is_open = self.is_open(node);
        let is_expected = asked == Err(expected) || (!is_open && asked == Err(TransferError::NotOpen));
        ensure!(is_expected, Transfer, "node {node} is asked to give {range} to node {to}: {asked:?}");
        self.moves_of(node).counts.nonsense += 1;
        self.unchanged(node, before)
    }

    /// One that has ended is taken back, or one that has begun.
    fn refuse_withdrawal(&mut self, is_ended: bool) -> Result<(), Violation> {
        let fitting =
            self.moves_with(|one| if is_ended { one.is_ended() } else { one.is_begun() && !one.is_ended() });
        if fitting.is_empty() {
            return Ok(());
        }
        let (node, at) = *self.mover.pick(&fitting);
        let id = self.moves_of(node).all[at].id;
        if self.is_paused(node) {
            return Ok(());
        }
        let now = self.now_of(node);
        let before = self.member(node).node.digest();
        let withdrawn = self.member(node).node.withdraw(now, id);
        self.trace.line(self.now, format_args!("node {node}: withdraws {id:?}, nonsense: {withdrawn:?}"));
        // The end of one that has begun may be known to the node and not polled yet.
        let is_expected =
            withdrawn == Err(WithdrawError::Unknown) || (!is_ended && withdrawn == Err(WithdrawError::Begun));
        ensure!(is_expected, Transfer, "node {node} is asked to take {id:?} back: {withdrawn:?}");
        self.moves_of(node).counts.nonsense += 1;
        self.unchanged(node, before)
    }
}
