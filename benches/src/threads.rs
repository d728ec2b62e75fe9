//! Locks on two threads, beside one thread: retained ones, and those for which several machines of a node are there.

use core::hint::black_box;
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant as Clock;

use lockmaster_core::SpaceId;
use lockmaster_tokio::{Mode, Node, Retention, SpaceConfig};
use tokio::runtime::{Builder, Runtime};

use crate::compare::{Numbers, Plan, Row, Side, name};
use crate::cores;

/// Resources of each thread.
const RESOURCES: u32 = 5_000;
/// Pairs of a lock and an unlock a round, of all threads together. A thread begins a round without anything in its core's
/// cache, so there are many times as many as resources.
const BATCH: u32 = 400_000;

/// Whose resources the two threads use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// Those of any machine.
    Any,
    /// Those of the even machines, and those of the odd ones.
    Own,
}

/// Nodes with more and more machines; with one it is what is to be bettered.
pub(crate) fn run() -> Vec<Row> {
    const KEPT: Retention = Retention::UntilDemanded;
    let plans = [
        (1, Choice::Any, KEPT, "tokio: retained lock + unlock, two threads, 1 machine"),
        (2, Choice::Any, KEPT, "tokio: retained lock + unlock, two threads, 2 machines"),
        (4, Choice::Any, KEPT, "tokio: retained lock + unlock, two threads, 4 machines"),
        (16, Choice::Any, KEPT, "tokio: retained lock + unlock, two threads, 16 machines"),
        (4, Choice::Own, KEPT, "tokio: retained lock + unlock, two threads, 2 machines each"),
        (16, Choice::Own, KEPT, "tokio: retained lock + unlock, two threads, 8 machines each"),
        (1, Choice::Any, Retention::Never, "tokio: lock + unlock not retained, two threads, 1 machine"),
        (2, Choice::Any, Retention::Never, "tokio: lock + unlock not retained, two threads, 2 machines"),
        (4, Choice::Any, Retention::Never, "tokio: lock + unlock not retained, two threads, 4 machines"),
        (4, Choice::Own, Retention::Never, "tokio: lock + unlock not retained, two threads, 2 machines each"),
    ];
    let rows = plans.into_iter();
    let row = |(machines, choice, retention, what)| beside_one_thread(machines, choice, retention, what);
    rows.flat_map(row).collect()
}

fn beside_one_thread(machines: u8, choice: Choice, retention: Retention, what: &'static str) -> Vec<Row> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let all: Vec<Vec<_>> = match choice {
        Choice::Any => (0..2).map(|thread| names(thread, |_| true)).collect(),
        Choice::Own => {
            let several = start(&runtime, machines, retention);
            let parity = |name: &[u8; 16]| several.machine_of(SpaceId(0), name) % 2;
            (0..2).map(|thread| names(thread, |name| parity(name) == thread as usize)).collect()
        }
    };
    let [several, one] = [machines, 1].map(|machines| {
        let node = start(&runtime, machines, retention);
        retain(&runtime, &node, &all);
        node
    });
    // What is not retained takes ten times as long.
    let (warm_up, rounds) = if retention == Retention::Never { (1, 15) } else { (4, 60) };
    let plan = Plan { what, baseline: "one thread, one machine", aim: 0.6, batch: BATCH, warm_up, rounds };
    plan.run(|side| match side {
        Side::Ours => on_threads(&several, &all),
        Side::Theirs => on_threads(&one, &all[..1]),
    })
}

fn start(runtime: &Runtime, machines: u8, retention: Retention) -> Node {
    let space = SpaceConfig { retention, ..SpaceConfig::new("default").expect("the name is short") };
    let node =
        runtime.block_on(async { Node::builder("bench").machines(machines).space(space).start().await });
    node.expect("one node is a cluster")
}

/// The first names of a thread that fit.
fn names(thread: u32, fits: impl Fn(&[u8; 16]) -> bool) -> Vec<[u8; 16]> {
    let numbers = (0..).map(|number: u64| 2 * number + u64::from(thread));
    numbers.map(name).filter(fits).take(RESOURCES as usize).collect()
}

/// Has the node retain all that the threads use.
fn retain(runtime: &Runtime, node: &Node, all: &[Vec<[u8; 16]>]) {
    runtime.block_on(async {
        for name in all.iter().flatten() {
            drop(node.lock(name, Mode::Exclusive).await.expect("a lone node grants"));
        }
    });
}

/// Has a thread for each list of names, on a core of its own, do its part of the pairs of a round; from the first that
/// begins to the last that ends.
fn on_threads(node: &Node, all: &[Vec<[u8; 16]>]) -> Duration {
    let ready = Barrier::new(all.len());
    let pairs = BATCH as usize / all.len();
    let work = |thread: usize, names: &[[u8; 16]]| {
        // Where the kernel may choose, both begin on one core, and stay there for some milliseconds.
        let _pinned = cores::pin(thread);
        let runtime = Builder::new_current_thread().build().expect("the runtime starts");
        let mut numbers = Numbers(1 + thread as u64);
        runtime.block_on(async {
            ready.wait();
            let started = Clock::now();
            for _ in 0..pairs {
                let name = &names[numbers.below(RESOURCES) as usize];
                drop(black_box(node.lock(name, Mode::Exclusive).await.expect("a lone node grants")));
            }
            (started, Clock::now())
        })
    };
    let work = &work;
    let times: Vec<_> = thread::scope(|scope| {
        let each = all.iter().enumerate();
        let running: Vec<_> = each.map(|(thread, names)| scope.spawn(move || work(thread, names))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread comes to its end")).collect()
    });
    let started = times.iter().map(|(started, _)| *started).min().expect("there is a thread");
    times.iter().map(|(_, ended)| *ended).max().expect("there is a thread").duration_since(started)
}
