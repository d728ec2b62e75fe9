//! Remote locks over TLS, beside the same without it: two pairs of nodes, each in two processes.

use std::rc::Rc;
use std::time::Instant as Clock;

use tokio::task::LocalSet;

use crate::compare::{Plan, Row, Side, WARM_UP};
use crate::papers::Papers;
use crate::remote::{Pair, TASKS};

const BATCH_ONE: u32 = 200;
/// Locks that each of the tasks takes in a round.
const TURNS: u32 = 4;

fn pairs() -> (Papers, [Rc<Pair>; 2]) {
    let papers = Papers::new();
    let pairs = [Pair::start(Some(papers.path())), Pair::start(None)].map(Rc::new);
    (papers, pairs)
}

const fn of([secured, plain]: &[Rc<Pair>; 2], side: Side) -> &Rc<Pair> {
    match side {
        Side::Ours => secured,
        Side::Theirs => plain,
    }
}

/// One task.
pub(crate) fn one_task() -> Vec<Row> {
    let (_papers, pairs) = pairs();
    let plan = Plan {
        what: "remote lock + unlock over TLS, not retained, one task",
        baseline: "the same without TLS",
        aim: 1.5,
        batch: BATCH_ONE,
        warm_up: WARM_UP,
        rounds: 400,
    };
    plan.run(|side| {
        let pair = of(&pairs, side);
        pair.runtime.block_on(async {
            let started = Clock::now();
            for at in 0..BATCH_ONE {
                pair.lock(at % TASKS).await;
            }
            started.elapsed()
        })
    })
}

/// Many tasks over one connection.
pub(crate) fn many_tasks() -> Vec<Row> {
    let (_papers, pairs) = pairs();
    let plan = Plan {
        what: "remote lock + unlock over TLS, 1024 tasks, one connection",
        baseline: "the same without TLS",
        aim: 1.5,
        batch: TASKS * TURNS,
        warm_up: WARM_UP,
        rounds: 150,
    };
    let local = LocalSet::new();
    plan.run(|side| {
        let pair = of(&pairs, side);
        local.block_on(&pair.runtime, async {
            let started = Clock::now();
            let tasks: Vec<_> = (0..TASKS)
                .map(|at| {
                    let pair = Rc::clone(pair);
                    tokio::task::spawn_local(async move {
                        for _ in 0..TURNS {
                            pair.lock(at).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task ends well");
            }
            started.elapsed()
        })
    })
}
