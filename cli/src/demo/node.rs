//! A node process of the demonstration.
//!
//! It talks to the process that started it in lines of JSON, and ends when its standard input does: then nobody
//! needs it any more, or nobody is there. Ctrl-C does not reach it, as it is in a process group of its own.

use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::demo::data_file::DataFile;
use crate::demo::figures::Figures;
use crate::demo::locks::Locks;
use crate::demo::message::{Order, Plan, Word};
use crate::demo::mover::Mover;
use crate::demo::redo::RedoLog;
use crate::demo::watch::Watch;
use crate::demo::worker::{Bench, Worker};
use crate::history::Journal;
use crate::{Failure, Verdict};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How long the process may live once its standard input has ended, whatever it is busy with.
const AFTERLIFE: Duration = Duration::from_secs(5);

/// How long a node may take to leave its cluster; less than that.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// What a task of the node does.
enum Role {
    /// It works on pages.
    Worker,
    /// It transfers slots.
    Mover,
}

type Orders = UnboundedReceiver<Order>;

/// Runs the process. What goes wrong is told to whoever started it.
///
/// # Errors
/// Whoever started it is gone.
pub(crate) fn run() -> Result<Verdict, Failure> {
    match attend() {
        Ok(()) => Ok(Verdict::Clean),
        Err(failure) => {
            say(&Word::Failed { reason: failure.to_string() })?;
            Ok(Verdict::Failed)
        }
    }
}

fn attend() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken("listening on loopback"))?;
    let address = listener.local_addr().map_err(broken("listening on loopback"))?;
    say(&Word::Listening { address })?;

    let mut orders = attend_orders();
    let Some(order) = orders.blocking_recv() else { return Ok(()) };
    let Order::Join(plan) = order else { return Err(unexpected(&order)) };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(plan.threads).enable_all().build();
    runtime.map_err(broken("starting the runtime"))?.block_on(serve(&plan, listener, &mut orders))
}

/// Where the redo log is, beside the place where the nodes meet.
pub(super) fn redo_path(meeting: &Path) -> PathBuf {
    meeting.with_file_name("transfers.redo")
}

/// Orders as they come in. The channel closes when the standard input does.
fn attend_orders() -> Orders {
    let (sender, orders) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
            if sender.send(order).is_err() {
                break;
            }
        }
        drop(sender);
        std::thread::sleep(AFTERLIFE);
        std::process::exit(1);
    });
    orders
}

async fn serve(plan: &Plan, listener: TcpListener, orders: &mut Orders) -> Result<(), Failure> {
    let journal = plan.history.as_deref().map(|directory| Journal::create(directory, plan.node, plan.life));
    let entries = (u32::try_from(plan.addresses.len()).unwrap_or(u32::MAX) + 1) * plan.tasks;
    let redo = plan.meeting.as_deref().map(|meeting| RedoLog::open(&redo_path(meeting), entries));
    let bench = Arc::new(Bench {
        file: DataFile::open(&plan.data_file).map_err(broken("opening the data file"))?,
        redo: redo.transpose().map_err(broken("opening the redo log"))?,
        watch: Watch::default(),
        journal: journal.transpose().map_err(broken("starting the history"))?.map(Arc::new),
        figures: Mutex::default(),
        must_stop: AtomicBool::new(false),
        stopping: Notify::new(),
        locks: Locks::start(plan, listener).await?,
    });
    tokio::select! {
        () = bench.locks.opened() => {}
        order = orders.recv() => return order.map_or(Ok(()), |order| Err(unexpected(&order))),
    }
    if plan.life > 0 {
        for task in 1..=plan.tasks {
            Worker::new(Arc::clone(&bench), plan, task).redo().await.map_err(broken("the data file"))?;
        }
    }
    say(&Word::Opened)?;
    match orders.recv().await {
        Some(Order::Go) => {}
        Some(order @ (Order::Join(_) | Order::Stop { .. } | Order::Watch { .. } | Order::Survey)) => {
            return Err(unexpected(&order));
        }
        None => return Ok(()),
    }

    let before = bench.locks.stats();
    if !serve_tasks(plan, &bench, orders).await? {
        return Ok(());
    }
    if let Some(journal) = &bench.journal {
        journal.close().map_err(broken("writing the history"))?;
    }
    let mut figures: Figures = bench.figures().clone();
    let after = bench.locks.stats();
    figures.messages = after.messages_out - before.messages_out;
    figures.slots.relayed = after.relayed_out - before.relayed_out;
    figures.slots.renewed = after.renewals - before.renewals;
    figures.slots.redirected = after.redirects - before.redirects;
    figures.disturbances = bench.watch.end(after.locks_rebuilt);
    say(&Word::Finished(Box::new(figures)))?;

    // Other nodes may still wait for locks that this one decides about, and transfer slots to it.
    while let Some(order) = orders.recv().await {
        match order {
            Order::Survey => say(&Word::Surveyed(bench.locks.survey()))?,
            // Meant for those that have not ended yet.
            Order::Stop { .. } => {}
            Order::Watch { event, .. } => say(&Word::Watching { event, before: BTreeMap::new() })?,
            Order::Join(_) | Order::Go => return Err(unexpected(&order)),
        }
    }
    let grace = if plan.meeting.is_some() { LEAVE_MAX } else { Duration::ZERO };
    bench.locks.end(grace).await;
    Ok(())
}

/// Lets the tasks work until the order to stop. Returns whether it came; if not, nobody is there.
async fn serve_tasks(plan: &Plan, bench: &Arc<Bench>, orders: &mut Orders) -> Result<bool, Failure> {
    let mut tasks = JoinSet::new();
    for task in 1..=plan.tasks {
        let worker = Worker::new(Arc::clone(bench), plan, task);
        tasks.spawn(async { worker.run().await.map(|()| Role::Worker) });
    }
    let mut movers = 0;
    if let Some(mover) = Mover::new(bench, plan) {
        movers = 1;
        tasks.spawn(async {
            mover.run().await;
            Ok(Role::Mover)
        });
    }
    let mut ticks = interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut deadline: Option<Instant> = None;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Stop { grace }) => {
                    bench.must_stop.store(true, Ordering::Relaxed);
                    bench.stopping.notify_one();
                    let asked = Instant::now() + grace;
                    deadline = Some(deadline.map_or(asked, |deadline| deadline.min(asked)));
                }
                Some(Order::Watch { event, node }) => {
                    let rebuilt = bench.locks.stats().locks_rebuilt;
                    let before = bench.watch.begin(event, bench.locks.mastered_by(node), rebuilt);
                    say(&Word::Watching { event, before })?;
                }
                Some(order @ (Order::Join(_) | Order::Go | Order::Survey)) => return Err(unexpected(&order)),
                None => return Ok(false),
            },
            ended = tasks.join_next() => match ended {
                Some(ended) => match serve_ended_task(ended)? {
                    Role::Worker => {}
                    Role::Mover => movers = 0,
                },
                None => return Ok(true),
            },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                let unfinished = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
                bench.figures().unfinished = unfinished - movers;
                bench.figures().slots.unfinished = movers;
                tasks.shutdown().await;
                return Ok(true);
            }
            _ = ticks.tick() => {
                let operations = bench.figures().operations();
                say(&Word::Progress { operations })?;
            }
        }
    }
}

fn serve_ended_task(ended: Result<std::io::Result<Role>, JoinError>) -> Result<Role, Failure> {
    match ended {
        Ok(result) => result.map_err(broken("the data file")),
        Err(error) => Err(Failure::Broken(format!("a task broke: {error}"))),
    }
}

/// Tells whoever started this process.
fn say(word: &Word) -> Result<(), Failure> {
    let mut line = serde_json::to_string(word).map_err(broken("telling"))?;
    line.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).and_then(|()| output.flush()).map_err(broken("telling"))
}

fn unexpected(order: &Order) -> Failure {
    Failure::Broken(format!("an order out of turn: {order:?}"))
}

/// A failure while doing this.
fn broken<E: core::fmt::Display>(doing: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Broken(format!("{doing}: {error}"))
}
