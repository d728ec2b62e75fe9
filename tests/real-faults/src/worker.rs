//! What the tasks of a node do: they lock, hold for a moment, and release.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use fastrand::Rng;
use lockmaster_tokio::{Guard, Instant, LockError, LockOptions, Mode, Node, NodeId, SpaceId};
use tokio::time::sleep;

use crate::journal::{Asked, Journal, now};

/// Resources that all nodes work on.
const SHARED: u32 = 12;
/// Resources that only one node works on, whose waits therefore tell how its masters are.
const OWN: u32 = 64;
/// How often a resource of a certain master is looked for.
const DRAWS: u32 = 32;
/// Longest time for which a lock is held.
const HOLD_MAX: Duration = Duration::from_millis(10);
/// The same for one in so many locks that all work on, so that whatever happens finds some of them held and waited for.
const HOLD_LONG: (u8, Duration) = (16, Duration::from_millis(400));
/// How often a task looks until when its lock is certain while it holds it.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest pause from one lock to the next: the machine has few cores for five nodes.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long a task waits that is impatient.
const PATIENCE: Duration = Duration::from_millis(200);

/// What all tasks of a node share.
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) journal: Journal,
    /// Does it ask for what it says it holds?
    pub(crate) is_honest: bool,
    pub(crate) must_stop: AtomicBool,
    /// Locks that were refused for no good reason.
    pub(crate) refused: AtomicU32,
}

/// One task.
pub(crate) struct Worker {
    bench: Arc<Bench>,
    task: u32,
    lots: Rng,
}

impl Worker {
    pub(crate) fn new(bench: &Arc<Bench>, task: u32, seed: u64) -> Self {
        let lots = Rng::with_seed(seed ^ (u64::from(task) << 32));
        Self { bench: Arc::clone(bench), task, lots }
    }

    /// Works on what all work on, until it must stop.
    pub(crate) async fn contend(mut self) {
        while !self.bench.must_stop.load(Ordering::Relaxed) {
            let resource = format!("shared/{}", self.lots.u32(..SHARED));
            let mode = if self.lots.bool() { Mode::Exclusive } else { Mode::ProtectedRead };
            let mut options = LockOptions::new(mode);
            if self.lots.u8(..8) == 0 {
                options = options.timeout(PATIENCE);
            }
            let (one_in, long) = HOLD_LONG;
            let hold_max = if self.lots.u8(..one_in) == 0 { long } else { HOLD_MAX };
            self.lock(&resource, options, hold_max).await;
            sleep(PAUSE_MAX.mul_f64(self.lots.f64())).await;
        }
    }

    /// Works on what only this node works on and, if there is any, this node masters, until it must stop.
    ///
    /// So whoever waits for a master that is away keeps nobody from asking the others.
    pub(crate) async fn probe(mut self, master: u16) {
        while !self.bench.must_stop.load(Ordering::Relaxed) {
            let mut resource = String::new();
            for _ in 0..DRAWS {
                resource = format!("own/{}/{}", self.bench.node.id(), self.lots.u32(..OWN));
                if self.bench.node.master_of(SpaceId(0), &resource) == Some(NodeId(master)) {
                    break;
                }
            }
            self.lock(&resource, LockOptions::new(Mode::Exclusive), HOLD_MAX).await;
            sleep(PAUSE_MAX.mul_f64(self.lots.f64())).await;
        }
    }

    /// Locks everything that all work on once, also if the others stop.
    pub(crate) async fn roll(mut self) {
        for resource in 0..SHARED {
            let options = LockOptions::new(Mode::Exclusive);
            self.lock(&format!("shared/{resource}"), options, HOLD_MAX).await;
        }
    }

    async fn lock(&mut self, resource: &str, mut options: LockOptions, hold_max: Duration) {
        let node = &self.bench.node;
        let mode = options.mode;
        if !self.bench.is_honest {
            options.mode = Mode::Null;
        }
        let asked = Asked { at: now(), master: node.master_of(SpaceId(0), resource) };
        match node.lock_with(resource, options).await {
            Ok(guard) => {
                let span = hold_max.mul_f64(self.lots.f64());
                self.hold(resource, &asked, mode, guard, span).await;
            }
            Err(LockError::TimedOut) if options.timeout.is_some() => {}
            Err(reason) => {
                eprintln!("node {}: {resource} was refused: {reason}", node.id());
                self.bench.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Holds a lock for so long.
    ///
    /// The process may be stopped at any point. So a lock counts as held at an instant only if it was not lost when
    /// that had passed, and one that was lost counts as held as long as it was known to be certain.
    async fn hold(&self, resource: &str, asked: &Asked, mode: Mode, guard: Guard, span: Duration) {
        let (journal, lock) = (&self.bench.journal, (mode, guard.fencing_token()));
        let granted_at = now();
        let Some(mut certain) = certainty(&guard) else { return };
        journal.granted(granted_at, asked, self.task, resource, lock);

        let mut left = span;
        while !left.is_zero() {
            let step = left.min(LOOK_EVERY);
            sleep(step).await;
            left -= step;
            match certainty(&guard) {
                Some(later) => certain = later,
                None => break,
            }
        }
        let until = now();
        if guard.is_lost() {
            let lost_at = until.min(self.to_monotonic(certain)).max(granted_at);
            journal.lost(lost_at, self.task, resource, lock);
        } else {
            journal.released(until, self.task, resource, lock);
        }
        drop(guard);
    }

    /// An instant of the node's clock on the one that all nodes share.
    fn to_monotonic(&self, instant: Instant) -> u64 {
        let (node, shared) = (self.bench.node.now(), now());
        let (later, earlier) = (instant.since(node), node.since(instant));
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        shared.saturating_add(nanos(later)).saturating_sub(nanos(earlier))
    }
}

/// Until when a lock is certain; nothing if it is lost.
fn certainty(guard: &Guard) -> Option<Instant> {
    let certain = guard.certain_until();
    (certain != Instant::START).then_some(certain)
}
