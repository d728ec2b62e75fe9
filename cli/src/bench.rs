//! Puts load on a running cluster, as members of it, and measures what locks take.
//!
//! ```text
//! asking about the cluster ─▶ joining ─▶ measuring, workload by workload ─▶ leaving ─▶ table, rows, page
//!                                ▲                                            │
//!                                └── the next workload needs other nodes ─────┘
//! ```
//!
//! How long a node retains a lock is decided when it starts, so workloads that retain and those that do not have nodes of
//! their own, one after the other. A signal ends the measuring and leads to the end; a second one ends the process.

mod figures;
mod host;
mod meter;
mod party;
mod report;
mod stop;
mod task;
mod timeline;

use std::sync::Arc;

use crate::args::BenchArgs;
use crate::bench::figures::Figures;
pub(crate) use crate::bench::party::Facts;
use crate::bench::party::Party;
use crate::bench::report::Page;
use crate::bench::stop::Stop;
use crate::node::Signals;
use crate::text::{counted, print};
use crate::{Failure, Verdict};

/// Runs the bench to its end.
///
/// # Errors
/// [`Failure`] if it could not join, or could not leave as it should.
pub(crate) fn run(args: &BenchArgs) -> Result<Verdict, Failure> {
    check(args)?;
    let page = args.report.as_deref().map(Page::begin).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Broken(format!("starting the runtime: {error}")))?;
    let mut run = runtime.block_on(measure(args))?;
    let trouble = run.trouble.take();
    if run.figures.is_empty()
        && let Some(failure) = trouble
    {
        return Err(failure);
    }
    if args.json {
        print(&figures::rows(&run.figures));
    } else {
        print(&figures::table(args, &run));
    }
    if let Some(page) = page {
        page.end(&report::page(args, &run))?;
    }
    trouble.map_or(Ok(Verdict::Clean), Err)
}

/// What was seen.
pub(crate) struct Run {
    facts: Facts,
    figures: Vec<Figures>,
    was_interrupted: bool,
    /// Why it ended early, or what the nodes of the bench could not give back when they left.
    trouble: Option<Failure>,
}

/// What does not go together.
fn check(args: &BenchArgs) -> Result<(), Failure> {
    let wrong = if args.nodes > 1 && (args.tls.tls.is_some() || args.tls.tls_cert.is_some()) {
        "a certificate is one node's: say --nodes 1 with it"
    } else if args.nodes > 1 && (args.listen.port() != 0 || args.advertise.is_some()) {
        "a port is one node's: say --nodes 1 with it"
    } else if args.resources.max(args.tasks) > args.room / 2 {
        "--room must be at least twice --resources, and twice --tasks"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(wrong.to_owned()))
}

async fn measure(args: &BenchArgs) -> Result<Run, Failure> {
    let interrupt = listen()?;
    let facts = Facts::ask(args).await?;
    let mut run = Run { facts, figures: Vec::new(), was_interrupted: false, trouble: None };
    for workloads in args.chosen().chunk_by(|one, other| one.retention() == other.retention()) {
        if run.trouble.is_some() || interrupt.is_said() {
            break;
        }
        let mut party = Party::default();
        run.trouble = party.join(args, &run.facts, workloads[0].retention(), &interrupt).await.err();
        for workload in workloads {
            if run.trouble.is_some() || interrupt.is_said() {
                break;
            }
            let (nodes, tasks) = (counted(args.nodes.into(), "node"), counted(args.tasks.into(), "task"));
            eprintln!("running: {}, {nodes} with {tasks} each", workload.name());
            match party.measure(args, *workload, &interrupt).await {
                Ok(figures) => run.figures.push(figures),
                Err(failure) => run.trouble = Some(failure),
            }
        }
        run.facts.members = party.members().max(run.facts.members);
        if let Some(left) = party.leave().await {
            eprintln!("{left}");
            run.trouble.get_or_insert(Failure::Broken(left));
        }
    }
    run.was_interrupted = interrupt.is_said();
    Ok(run)
}

/// Listens for signals: the first one ends the measuring, the second one the process.
fn listen() -> Result<Arc<Stop>, Failure> {
    let mut signals = Signals::catch()?;
    let interrupt = Arc::new(Stop::default());
    let heard = Arc::clone(&interrupt);
    tokio::spawn(async move {
        signals.next().await;
        heard.say();
        let signal = signals.next().await;
        std::process::exit(128 + signal.as_raw_value());
    });
    Ok(interrupt)
}

#[cfg(test)]
mod tests;
