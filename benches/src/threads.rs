//! Retained locks on two threads, beside one thread: what several machines of a node are for.

use core::hint::black_box;
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant as Clock;

use lockmaster_tokio::{Mode, Node};
use tokio::runtime::{Builder, Runtime};

use crate::compare::{Numbers, Plan, Row, Side, WARM_UP, name};

/// Resources of each thread.
const RESOURCES: u32 = 5_000;
/// Pairs of a lock and an unlock a round, of all threads together.
const BATCH: u32 = 20_000;

/// Nodes with more and more machines; with one it is what is to be bettered.
pub(crate) fn run() -> Vec<Row> {
    let plans = [
        (1, "tokio: lock + unlock of retained resources, two threads, 1 machine", 1.0),
        (4, "tokio: lock + unlock of retained resources, two threads, 4 machines", 0.6),
        (16, "tokio: lock + unlock of retained resources, two threads, 16 machines", 0.6),
    ];
    plans.into_iter().flat_map(|(machines, what, aim)| beside_one_thread(machines, what, aim)).collect()
}

fn beside_one_thread(machines: u8, what: &'static str, aim: f64) -> Vec<Row> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let several = start(&runtime, machines);
    let one = start(&runtime, 1);
    let plan =
        Plan { what, baseline: "one thread, one machine", aim, batch: BATCH, warm_up: WARM_UP, rounds: 200 };
    plan.run(|side| match side {
        Side::Ours => on_threads(&several, 2),
        Side::Theirs => on_threads(&one, 1),
    })
}

/// A node that retains the resources of two threads.
fn start(runtime: &Runtime, machines: u8) -> Node {
    runtime.block_on(async {
        let node = Node::builder("bench").machines(machines).start().await;
        let node = node.expect("one node is a cluster");
        for number in 0..2 * RESOURCES {
            drop(node.lock(name(number.into()), Mode::Exclusive).await.expect("a lone node grants"));
        }
        node
    })
}

/// Has so many threads do the pairs of a round, each on resources of its own; from the first that begins to the last that
/// ends.
fn on_threads(node: &Node, threads: u32) -> Duration {
    let ready = Barrier::new(threads as usize);
    let work = |thread: u32| {
        let runtime = Builder::new_current_thread().build().expect("the runtime starts");
        let names: Vec<_> = (0..RESOURCES).map(|at| name((thread * RESOURCES + at).into())).collect();
        let mut numbers = Numbers(1 + u64::from(thread));
        runtime.block_on(async {
            ready.wait();
            let started = Clock::now();
            for _ in 0..BATCH / threads {
                let name = &names[numbers.below(RESOURCES) as usize];
                drop(black_box(node.lock(name, Mode::Exclusive).await.expect("a lone node grants")));
            }
            (started, Clock::now())
        })
    };
    let times: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread comes to its end")).collect()
    });
    let started = times.iter().map(|(started, _)| *started).min().expect("there is a thread");
    times.iter().map(|(_, ended)| *ended).max().expect("there is a thread").duration_since(started)
}
