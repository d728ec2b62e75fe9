//! One node of a run: a process in a namespace of its own, which does as it is told on its standard input.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use lockmaster_etcd::{Etcd, EtcdOptions};
use lockmaster_tokio::{Limits, LocalDir, Node, Retention, SlotId, SpaceConfig};
use rustix::process::{Signal, getpid, set_parent_process_death_signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::cluster::NODES;
use crate::failure::{Failure, Result, broken};
use crate::journal::Journal;
use crate::plan::{EnginePlan, Order, Plan, Word};
use crate::worker::{Bench, Worker};

/// Tasks that work on what all work on.
const CONTENDERS: u32 = 4;
/// Numbers of tasks that lock everything once are above.
const ROLLERS: u32 = 100;
/// How often the node looks whether its view is settled.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The map: few slots, so that a view is settled soon.
const SLOTS: u32 = 64;

/// Runs the node until nobody is there any more who gives orders.
pub(crate) fn run(plan: &str) -> Result<()> {
    // A process that is stopped would not notice that its standard input has ended.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(broken("ending with who started it"))?;
    say(&Word::Running { process: getpid().as_raw_nonzero().get() })?;
    let done = live(plan);
    if let Err(failure) = &done {
        say(&Word::Failed { reason: failure.to_string() })?;
    }
    done
}

fn live(plan: &str) -> Result<()> {
    let plan: Plan = serde_json::from_str(plan).map_err(broken("reading the plan"))?;
    let orders = orders();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(broken("starting the runtime"))?.block_on(serve(&plan, orders))
}

/// Orders as they come in. The channel closes when the standard input does.
fn orders() -> UnboundedReceiver<Order> {
    let (sender, orders) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
            if sender.send(order).is_err() {
                break;
            }
        }
    });
    orders
}

async fn serve(plan: &Plan, mut orders: UnboundedReceiver<Order>) -> Result<()> {
    let journal = Journal::create(&plan.history, plan.node, plan.start).map_err(broken("the history"))?;
    let node = start(plan).await?;
    let bench = Arc::new(Bench {
        node,
        journal,
        is_honest: plan.is_honest,
        must_stop: AtomicBool::new(false),
        refused: AtomicU32::new(0),
    });
    let watched = bench.node.clone();
    let watching = tokio::spawn(async move { watch(&watched).await });
    let mut tasks = JoinSet::new();
    let mut rolls = 0;
    let mut must_stop = false;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            ended = tasks.join_next(), if must_stop => match ended {
                Some(ended) => {
                    ended.map_err(broken("a task"))?;
                    continue;
                }
                None => {
                    must_stop = false;
                    say(&Word::Stopped { refused: bench.refused.load(Ordering::Relaxed) })?;
                    continue;
                }
            },
        };
        match order {
            None => break,
            Some(Order::Tell) => {
                tell(&bench.node, &plan.history)?;
            }
            Some(Order::Go) => {
                for task in 1..=CONTENDERS {
                    tasks.spawn(Worker::new(&bench, task, plan.seed).contend());
                }
                for (task, master) in (CONTENDERS + 1..).zip(NODES) {
                    tasks.spawn(Worker::new(&bench, task, plan.seed).probe(master));
                }
            }
            Some(Order::Roll) => {
                rolls += 1;
                let roller = Worker::new(&bench, ROLLERS + rolls, plan.seed);
                tokio::spawn(async {
                    roller.roll().await;
                    say(&Word::Rolled)
                });
            }
            Some(Order::Stop) => {
                bench.must_stop.store(true, Ordering::Relaxed);
                must_stop = true;
            }
        }
    }
    // Of a node that is shut down there would be news for ever.
    watching.abort();
    let _ = watching.await;
    bench.node.shutdown().await;
    Ok(())
}

async fn start(plan: &Plan) -> Result<Node> {
    let mut space = SpaceConfig::new("default").expect("the name is short");
    space.slots = SLOTS;
    // Every lock is asked of its master.
    space.retention = Retention::Never;
    let limits = Limits { resources: 1024, physical: 4096, locks: 64, ..Limits::default() };
    let builder = Node::builder(&plan.cluster).node(plan.node).listen(plan.listen).insecure();
    let builder = builder.space(space).limits(limits);
    let builder = match &plan.engine {
        EnginePlan::Directory(path) => builder.join(LocalDir::new(path)),
        EnginePlan::Etcd { endpoint, state, ttl } => {
            let options = EtcdOptions::new([endpoint], state).ttl(Duration::from_secs(*ttl));
            builder.join(Etcd::new(options).map_err(broken("the options of etcd"))?)
        }
    };
    builder.start().await.map_err(|error| {
        let cause = core::error::Error::source(&error).map(|cause| format!(": {cause}"));
        Failure::Broken(format!("starting the node: {error}{}", cause.unwrap_or_default()))
    })
}

/// Writes down what is in the tables, beside the history.
fn tell(node: &Node, history: &Path) -> Result<()> {
    let slots = node.all_slots();
    let slots = (slots.first.0..slots.first.0 + slots.len).filter_map(|slot| node.slot(SlotId(slot)));
    let slots: Vec<_> = slots.map(|slot| format!("{slot:?}")).collect();
    let (settled, standing, links) = (node.is_settled(), node.standing(), node.link_stats());
    let text = format!(
        "settled {settled}, {standing:?}, {links:?}\n{:#?}\n{}\n{:?}\n{:#?}\n",
        node.stats(),
        slots.join("\n"),
        node.map(),
        node.snapshot()
    );
    std::fs::write(history.with_extension("txt"), text).map_err(broken("writing down the tables"))
}

/// Tells of every view, when it is settled, and of every end of membership.
async fn watch(node: &Node) -> Result<()> {
    let (mut was_member, mut settled) = (false, 0);
    loop {
        let changed = node.changed();
        let epoch = node.view().map_or(0, |view| view.epoch.0);
        match node.view() {
            Some(view) => {
                let members = view.members.iter().map(|member| member.node.0).collect();
                was_member = true;
                say(&Word::View { epoch, incarnation: node.incarnation().0, members })?;
            }
            None if was_member => {
                was_member = false;
                say(&Word::Fenced)?;
            }
            None => {}
        }
        tokio::pin!(changed);
        loop {
            if epoch != settled && node.is_settled() {
                settled = epoch;
                say(&Word::Settled { epoch })?;
            }
            tokio::select! {
                () = &mut changed => break,
                () = tokio::time::sleep(LOOK_EVERY), if epoch != settled => {}
            }
        }
    }
}

/// Tells whoever started this process.
fn say(word: &Word) -> Result<()> {
    let mut line = serde_json::to_string(word).map_err(broken("telling"))?;
    line.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).map_err(broken("telling"))
}
