//! The task of a node that gives slots away, one transfer after the other, until it is told to stop.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use lockmaster_tokio::{Node, NodeId, SlotId, SlotRange, TransferError};
use tokio::time::{MissedTickBehavior, interval};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::demo::message::Plan;
use crate::demo::worker::Bench;

/// Most slots of a transfer: one in so many of all.
const PART_MAX: u32 = 8;

/// Transfers slots that the node masters.
pub(super) struct Mover {
    bench: Arc<Bench>,
    node: Node,
    choice: Choice,
    interval: Duration,
}

impl Mover {
    /// The mover of this node, if slots are to be transferred.
    pub(super) fn new(bench: &Arc<Bench>, plan: &Plan) -> Option<Self> {
        if plan.transfer_interval.is_zero() || plan.addresses.len() < 2 {
            return None;
        }
        let node = bench.locks.transferring()?.clone();
        let choice = Choice::new(plan, node.all_slots().len);
        Some(Self { bench: Arc::clone(bench), node, choice, interval: plan.transfer_interval })
    }

    /// Transfers slots until it must stop, and waits for the end of the last transfer.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = self.bench.stopping.notified() => return,
                _ = ticks.tick() => {}
            }
            let node = &self.node;
            let is_free =
                |slot| node.slot(slot).is_some_and(|view| view.master == Some(node.id()) && !view.is_moving);
            if let Some((range, to)) = self.choice.next(is_free) {
                self.transfer(range, to).await;
            }
        }
    }

    async fn transfer(&self, range: SlotRange, to: NodeId) {
        let start = Instant::now();
        let end = self.node.transfer(range, to).await;
        let time = start.elapsed();
        let slots = &mut self.bench.figures().slots;
        match end {
            Ok(progress) => {
                slots.done += 1;
                slots.slots += u64::from(range.len);
                slots.locks += progress.locks;
                slots.bytes += progress.bytes;
                slots.time.record(time);
            }
            Err(TransferError::Closed) => {}
            Err(refused) => slots.refuse(refused.to_string()),
        }
    }
}

/// Which slots go where, chosen at random: the same for the same seed and map.
struct Choice {
    random: Rng,
    node: u16,
    nodes: u16,
    slots: u32,
}

impl Choice {
    fn new(plan: &Plan, slots: u32) -> Self {
        // Tasks that work count from 1.
        let place = u64::from(plan.node) << 32;
        Self {
            random: Rng::with_seed(xxh3_64_with_seed(&place.to_le_bytes(), plan.seed)),
            node: plan.node,
            nodes: u16::try_from(plan.addresses.len()).expect("there are at most 64 nodes"),
            slots,
        }
    }

    /// Some slots that follow each other and are free to go, and another node; nothing if no slot is free.
    fn next(&mut self, is_free: impl Fn(SlotId) -> bool) -> Option<(SlotRange, NodeId)> {
        let start = self.random.u32(..self.slots);
        let len_max = self.random.u32(1..=(self.slots / PART_MAX).max(1));
        let other = self.random.u16(1..self.nodes);
        let to = NodeId(if other < self.node { other } else { other + 1 });
        let mut round = (start..self.slots).chain(0..start);
        let first = round.find(|slot| is_free(SlotId(*slot)))?;
        let run = (first..self.slots.min(first + len_max)).take_while(|slot| is_free(SlotId(*slot)));
        let len = u32::try_from(run.count()).expect("a part of the slots");
        Some((SlotRange { first: SlotId(first), len }, to))
    }
}

#[cfg(test)]
mod tests;
