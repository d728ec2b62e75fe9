//! Tasks that take and release locks for as long as something is measured.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Rc;
use std::time::Instant as Clock;

use hdrhistogram::Histogram;
use lockmaster_tokio::{Guard, LockOptions, Mode, Node, SpaceId};
use tokio::task::JoinHandle;

/// Tasks of a process, each with one lock at a time.
pub(crate) const TASKS: usize = 64;

/// Locks of one kind. Each task has a part of the names to itself.
pub(crate) struct Target {
    pub(crate) space: SpaceId,
    pub(crate) mode: Mode,
    pub(crate) names: Rc<[[u8; 16]]>,
}

/// Takes locks in PR in the first space and keeps them, as many at a time as a load has tasks.
pub(crate) async fn hold(node: &Node, names: &Rc<[[u8; 16]]>) -> Vec<Guard> {
    let task = |number| {
        let (node, names) = (node.clone(), Rc::clone(names));
        tokio::task::spawn_local(async move {
            let mut held = Vec::new();
            for name in names.iter().skip(number).step_by(TASKS) {
                held.push(node.lock(name, Mode::ProtectedRead).await.expect("the master grants"));
            }
            held
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let mut held = Vec::with_capacity(names.len());
    for task in tasks {
        held.extend(task.await.expect("a task ends well"));
    }
    held
}

/// What the tasks of a process saw.
pub(crate) struct Seen {
    /// Nanoseconds from the call to the grant.
    pub(crate) waits: Histogram<u64>,
    /// Acquires a second.
    pub(crate) rate: f64,
}

/// The tasks, running.
pub(crate) struct Load {
    started: Clock,
    is_over: Rc<Cell<bool>>,
    waits: Rc<RefCell<Histogram<u64>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts the tasks. Each takes a lock of every kind in turn, so that none is measured more often than another.
    pub(crate) fn start(node: &Node, targets: &Rc<[Target]>) -> Self {
        let (is_over, waits) = (Rc::default(), Rc::new(RefCell::new(waits())));
        let task = |number| {
            let (node, targets) = (node.clone(), Rc::clone(targets));
            let (is_over, waits) = (Rc::clone(&is_over), Rc::clone(&waits));
            tokio::task::spawn_local(run(number, node, targets, is_over, waits))
        };
        let tasks = (0..TASKS).map(task).collect();
        Self { started: Clock::now(), is_over, waits, tasks }
    }

    /// Forgets what was seen until now. The tasks go on.
    pub(crate) fn renew(&mut self) {
        self.started = Clock::now();
        self.waits.borrow_mut().reset();
    }

    /// Ends the tasks, and tells what they saw, what they still waited for included.
    pub(crate) async fn end(self) -> Seen {
        self.is_over.set(true);
        let span = self.started.elapsed();
        for task in self.tasks {
            task.await.expect("a task ends well");
        }
        let seen = self.waits.borrow().clone();
        Seen::new(seen, span)
    }

    /// Ends the tasks, and tells what they saw until now.
    pub(crate) async fn stop(self) -> Seen {
        self.is_over.set(true);
        let span = self.started.elapsed();
        let seen = self.waits.borrow().clone();
        for task in self.tasks {
            task.await.expect("a task ends well");
        }
        Seen::new(seen, span)
    }
}

async fn run(
    number: usize,
    node: Node,
    targets: Rc<[Target]>,
    is_over: Rc<Cell<bool>>,
    waits: Rc<RefCell<Histogram<u64>>>,
) {
    for turn in 0.. {
        for target in &*targets {
            if is_over.get() {
                return;
            }
            let part = target.names.len() / TASKS;
            let name = &target.names[number * part + turn % part];
            let asked = Clock::now();
            let guard = node.lock_with(name, LockOptions::new(target.mode).space(target.space)).await;
            let wait = asked.elapsed();
            drop(guard.expect("the master grants"));
            let wait = u64::try_from(wait.as_nanos()).expect("less than centuries");
            waits.borrow_mut().saturating_record(wait);
        }
    }
}

/// From 100 ns to 100 s, to a thousandth.
fn waits() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 100_000_000_000, 3).expect("bounds that make sense")
}

impl Seen {
    fn new(waits: Histogram<u64>, span: Duration) -> Self {
        let acquires = u32::try_from(waits.len()).expect("fewer than billions");
        Self { waits, rate: f64::from(acquires) / span.as_secs_f64() }
    }

    /// Both processes together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.waits.add(&other.waits).expect("the same bounds");
        Self { waits: self.waits, rate: self.rate + other.rate }
    }

    /// Microseconds that this part of the acquires stayed below.
    pub(crate) fn wait(&self, quantile: f64) -> f64 {
        self.waits.value_at_quantile(quantile) as f64 / 1e3
    }

    /// As a line of text: the rate, then how often each wait was seen.
    pub(crate) fn to_line(&self) -> String {
        let waits = self.waits.iter_recorded();
        let waits = waits.map(|seen| format!(" {} {}", seen.value_iterated_to(), seen.count_at_value()));
        self.rate.to_string() + &waits.collect::<String>()
    }

    pub(crate) fn from_line(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let rate = words.next().and_then(|word| word.parse().ok()).expect("a rate");
        let mut numbers = words.map(|word| word.parse::<u64>().expect("a number"));
        let mut waits = waits();
        while let (Some(wait), Some(count)) = (numbers.next(), numbers.next()) {
            waits.record_n(wait, count).expect("in bounds");
        }
        Self { waits, rate }
    }
}
