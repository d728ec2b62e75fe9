//! The demonstration: a shared-disk cluster of node processes on this machine, and whether its locks held.

mod cluster;
mod data_file;
mod disturber;
mod figures;
mod locks;
mod message;
mod mover;
mod node;
mod place;
mod progress;
mod redo;
mod summary;
mod table;
mod watch;
mod worker;
mod workload;

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

pub(crate) use self::node::run as run_node;
use crate::args::DemoArgs;
use crate::demo::cluster::{Cluster, Member, News, Stage};
use crate::demo::data_file::DataFile;
use crate::demo::disturber::Disturber;
use crate::demo::message::{Order, Plan};
use crate::demo::place::Place;
use crate::demo::progress::Progress;
use crate::demo::redo::RedoLog;
use crate::demo::summary::Summary;
use crate::text::print;
use crate::{Failure, Verdict, history};

/// How long the nodes may take to start and to connect.
const START_MAX: Duration = Duration::from_secs(30);

/// How long tasks may take to end what they are at.
const GRACE: Duration = Duration::from_secs(10);

/// The same when a node is dead, and with it every lock that it decides about.
const GRACE_AFTER_DEATH: Duration = Duration::from_secs(1);

/// How long a node may take, after that, to say what it did.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Runs the demonstration, and prints its table and its verdict.
///
/// # Errors
/// [`Failure`] if it could not be run.
pub(crate) fn run(args: &DemoArgs) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::Broken(format!("starting the runtime: {error}")))?
        .block_on(demonstrate(args))
}

async fn demonstrate(args: &DemoArgs) -> Result<Verdict, Failure> {
    let place = Place::make(args.dir.as_deref())?;
    let path = place.data_file();
    let data_file = DataFile::create(path, args.pages).map_err(Failure::unusable(path))?;
    if let Some(directory) = &args.history {
        place::check_is_text(directory)?;
        history::clear(directory).map_err(Failure::unusable(directory))?;
    }

    // The nodes make the place where they meet, as it has to be.
    let meeting = args.has_disturbances().then(|| TempDir::with_prefix("lockmaster-demo-"));
    let meeting = meeting.transpose().map_err(Failure::unusable(&std::env::temp_dir()))?;
    let meeting_path = meeting.as_ref().map(|meeting| meeting.path().join("meeting"));
    let mut cluster = Cluster::start(args.nodes)?;
    let plan = demonstrate_start(&mut cluster, args, path, meeting_path.clone()).await?;
    let mut progress = Progress::start(args);
    cluster.order(|_| Order::Go).await;
    let mut disturber = Disturber::new(args, plan);
    let was_interrupted = demonstrate_run(&mut cluster, args, &mut progress, &mut disturber).await?;
    let elapsed = progress.elapsed();
    demonstrate_settle(&mut cluster, &mut disturber).await?;
    demonstrate_stop(&mut cluster).await;
    demonstrate_survey(&mut cluster).await;
    progress.end();

    let mut summary = Summary::new(args, elapsed, was_interrupted);
    summary.events = disturber.events();
    for member in &mut cluster.members {
        summary.take(member);
    }
    cluster.end().await;
    let redo = meeting_path.map(|meeting| {
        let (path, entries) = (node::redo_path(&meeting), u32::from(args.nodes + 1) * args.tasks);
        RedoLog::open(&path, entries).map_err(Failure::unusable(&path))
    });
    let redo = redo.transpose()?;
    summary.audit = data_file.audit(args.pages, redo.as_ref()).map_err(Failure::unusable(path))?;

    let verdict = if summary.is_clean() { Verdict::Clean } else { Verdict::Failed };
    print(&table::render(&summary));
    if let Some(kept) = place.end(verdict) {
        print(&format!("data file    {}\n", kept.display()));
    }
    Ok(verdict)
}

/// Brings all nodes to the point where they could work.
async fn demonstrate_start(
    cluster: &mut Cluster,
    args: &DemoArgs,
    path: &Path,
    meeting: Option<PathBuf>,
) -> Result<Plan, Failure> {
    let deadline = Instant::now() + START_MAX;
    start_until(cluster, Stage::Listening, deadline).await?;
    let addresses: Vec<_> = cluster.members.iter().filter_map(|member| member.address).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let plan = Plan {
        node: 0,
        life: 0,
        meeting,
        addresses,
        machines: args.machines,
        threads: (cores / usize::from(args.nodes)).clamp(1, 2),
        data_file: path.to_owned(),
        history: args.history.clone(),
        tasks: args.tasks,
        pages: args.pages,
        skew: args.skew,
        read_share: args.read_share,
        retention: args.retention,
        grants_after_demand: args.grants_after_demand,
        transfer_interval: args.transfer_interval,
        seed: args.seed,
        without_locks: args.without_locks,
    };
    cluster.order(|member| Order::Join(Box::new(Plan { node: member.node, ..plan.clone() }))).await;
    start_until(cluster, Stage::Opened, deadline).await?;
    Ok(plan)
}

async fn start_until(cluster: &mut Cluster, stage: Stage, deadline: Instant) -> Result<(), Failure> {
    while !cluster.is_at(stage) {
        match cluster.news(deadline).await {
            News::Said => {}
            News::Died => break,
            News::Interrupted => return Err(Failure::Broken("interrupted before the run began".to_owned())),
            News::Late => {
                return Err(Failure::Broken(format!(
                    "the nodes are not ready after {} s",
                    START_MAX.as_secs()
                )));
            }
        }
    }
    let death = |member: &Member| Some(format!("node {}: {}", member.node, member.death.as_ref()?));
    cluster.members.iter().find_map(death).map_or(Ok(()), |death| Err(Failure::Broken(death)))
}

/// Lets the nodes work. Returns whether somebody wanted them to end early.
async fn demonstrate_run(
    cluster: &mut Cluster,
    args: &DemoArgs,
    progress: &mut Progress,
    disturber: &mut Disturber,
) -> Result<bool, Failure> {
    let deadline = Instant::now() + Duration::from_secs(args.seconds.into());
    loop {
        let until = disturber.next().map_or(deadline, |next| next.min(deadline));
        match cluster.news(until).await {
            News::Said => progress.show(cluster.operations()),
            News::Interrupted => return Ok(true),
            News::Died => return Ok(false),
            News::Late if deadline <= Instant::now() => return Ok(false),
            News::Late => {}
        }
        disturber.attend(cluster, true).await?;
    }
}

/// Lets what happens to a node come to its end.
async fn demonstrate_settle(cluster: &mut Cluster, disturber: &mut Disturber) -> Result<(), Failure> {
    let deadline = Instant::now() + START_MAX;
    while !disturber.is_quiet() && deadline > Instant::now() {
        let until = disturber.next().map_or(deadline, |next| next.min(deadline));
        if cluster.news(until).await == News::Died {
            return Ok(());
        }
        disturber.attend(cluster, false).await?;
    }
    Ok(())
}

/// Lets the tasks of all nodes end.
async fn demonstrate_stop(cluster: &mut Cluster) {
    let has_dead = cluster.members.iter().any(|member| member.stage == Stage::Dead);
    let mut deadline = stop(cluster, if has_dead { GRACE_AFTER_DEATH } else { GRACE }).await;
    while !cluster.is_at(Stage::Finished) {
        let grace = match cluster.news(deadline).await {
            News::Said => continue,
            News::Died => GRACE_AFTER_DEATH,
            News::Interrupted => Duration::ZERO,
            News::Late => return,
        };
        deadline = stop(cluster, grace).await.min(deadline);
    }
}

/// Asks all nodes what they know of the master map. Where one has died or was abandoned it may not be whole.
async fn demonstrate_survey(cluster: &mut Cluster) {
    if !cluster.is_at(Stage::Finished) {
        return;
    }
    let deadline = Instant::now() + ANSWER_MAX;
    loop {
        cluster.order(|_| Order::Survey).await;
        while !cluster.is_at(Stage::Surveyed) {
            if cluster.news(deadline).await == News::Late {
                return;
            }
        }
        // Where members change, slots may still be on their way.
        if cluster.is_map_agreed() || Instant::now() >= deadline {
            return;
        }
        for member in cluster.members.iter_mut().filter(|member| member.stage == Stage::Surveyed) {
            member.stage = Stage::Finished;
        }
    }
}

/// Tells all nodes to stop. Returns when they should have answered.
async fn stop(cluster: &mut Cluster, grace: Duration) -> Instant {
    cluster.order(|_| Order::Stop { grace }).await;
    Instant::now() + grace + ANSWER_MAX
}

#[cfg(test)]
mod tests;
