//! One task: operation after operation until nobody wants more.

use std::sync::Arc;
use std::time::Instant;

use lockmaster_tokio::{Guard, LockError, LockOptions, Mode, Node, NodeId, SpaceId};

use crate::args::{Mix, Workload};
use crate::bench::meter::Tally;

/// The space in which the bench works: the cluster's first.
const SPACE: SpaceId = SpaceId(0);
/// Names that are looked at for one that another node masters.
const TRIES: u32 = 10_000;

/// Which of all tasks it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Places of its node and of itself among the node's tasks.
    pub(super) node: u32,
    pub(super) task: u32,
    /// How many nodes there are, and tasks on each.
    pub(super) nodes: u32,
    pub(super) tasks: u32,
}

/// A task of a workload.
pub(super) struct Task {
    pub(super) node: Node,
    pub(super) place: Place,
    pub(super) workload: Workload,
    pub(super) mix: Mix,
    pub(super) names: Arc<[String]>,
    pub(super) lots: fastrand::Rng,
}

impl Place {
    fn number(self) -> u32 {
        self.node * self.tasks + self.task
    }

    /// What is this task's own of so many things; one at least.
    fn own(self, count: usize) -> core::ops::Range<usize> {
        let (number, all) = (self.number() as usize, (self.nodes * self.tasks) as usize);
        let first = number * count / all;
        first..((number + 1) * count / all).max(first + 1).min(count)
    }
}

/// Names of a workload's resources, which nobody else uses. Those of `remote` are mastered by none of these nodes.
pub(super) fn names(workload: Workload, node: &Node, lot: u32, count: u32, ours: &[NodeId]) -> Vec<String> {
    let name = |number: u32| format!("bench-{lot:08x}/{number}");
    let is_remote = |name: &String| node.master_of(SPACE, name).is_some_and(|master| !ours.contains(&master));
    match workload {
        Workload::Remote => (0..count.saturating_add(TRIES).saturating_mul(4))
            .map(name)
            .filter(is_remote)
            .take(count as usize)
            .collect(),
        Workload::Retained | Workload::Handover | Workload::Mix | Workload::Value => {
            (0..count).map(name).collect()
        }
    }
}

impl Task {
    /// Works until nobody wants more.
    pub(super) async fn run(mut self, mut tally: Tally) {
        match self.workload {
            Workload::Retained | Workload::Remote => self.take_own(&mut tally).await,
            Workload::Handover => self.hand_over(&mut tally).await,
            Workload::Mix => self.take_any(&mut tally).await,
            Workload::Value => self.write_own(&mut tally).await,
        }
    }

    /// Takes what it will take again.
    pub(super) async fn prepare(self) -> Result<Self, LockError> {
        if matches!(self.workload, Workload::Retained | Workload::Value) {
            for name in self.own() {
                drop(self.node.lock_with(name, self.options(Mode::Exclusive)).await?);
            }
        }
        Ok(self)
    }

    fn own(&self) -> &[String] {
        &self.names[self.place.own(self.names.len())]
    }

    fn options(&self, mode: Mode) -> LockOptions {
        LockOptions::new(mode).space(SPACE).value(self.workload == Workload::Value)
    }

    async fn take_own(&mut self, tally: &mut Tally) {
        let names = self.own();
        let mut lots = self.lots.clone();
        while tally.goes_on() {
            let name = &names[lots.usize(..names.len())];
            let began = Instant::now();
            if let Some(guard) = self.take(name, Mode::Exclusive, tally).await {
                tally.done(began);
                drop(guard);
            }
        }
    }

    /// The tasks with this number on all nodes want one lock, and keep it until somebody else wants it. On a lone node
    /// all tasks want the same.
    async fn hand_over(&mut self, tally: &mut Tally) {
        let name = &self.names[if self.place.nodes == 1 { 0 } else { self.place.task as usize }];
        while tally.goes_on() {
            let began = Instant::now();
            if let Some(guard) = self.take(name, Mode::Exclusive, tally).await {
                tally.done(began);
                wanted(&guard, tally).await;
            }
        }
    }

    async fn take_any(&mut self, tally: &mut Tally) {
        while tally.goes_on() {
            let mode = self.mix.draw(&mut self.lots);
            let name = &self.names[self.lots.usize(..self.names.len())];
            let began = Instant::now();
            if let Some(guard) = self.take(name, mode, tally).await {
                tally.done(began);
                drop(guard);
            }
        }
    }

    async fn write_own(&mut self, tally: &mut Tally) {
        let mut written = 0_u64;
        while tally.goes_on() {
            let names = &self.names[self.place.own(self.names.len())];
            let name = &names[self.lots.usize(..names.len())];
            let began = Instant::now();
            let Some(mut guard) = self.take(name, Mode::Exclusive, tally).await else { continue };
            written += 1;
            let set = guard.set_value(&written.to_be_bytes());
            drop(guard);
            match set {
                Ok(()) => tally.done(began),
                Err(error) => tally.refused(error),
            }
        }
    }

    /// Takes a lock; nothing if it was refused.
    async fn take(&self, name: &str, mode: Mode, tally: &mut Tally) -> Option<Guard> {
        match self.node.lock_with(name, self.options(mode)).await {
            Ok(guard) => Some(guard),
            Err(error) => {
                tally.refused(error);
                // Others run before it is tried again.
                tokio::task::yield_now().await;
                None
            }
        }
    }
}

/// Waits until somebody wants the lock, or it is lost, or nobody is to go on.
async fn wanted(guard: &Guard, tally: &Tally) {
    tokio::select! {
        _ = guard.contended() => {}
        _ = guard.lost() => {}
        () = tally.stopped() => {}
    }
}

#[cfg(test)]
mod tests;
