//! Runs a node of a cluster, with its control socket, until it is told to end.
//!
//! ```text
//! starting ──ready──▶ serving ──signal──▶ leaving ──drained, no lock of a client──▶ left
//!                                            │ time is nearly over
//!                                            ▼
//!                                         warning ──no lock of a client, or too late──▶ left
//! ```
//!
//! A second signal ends the process at once, at any point.

mod etcd;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use lockmaster_tokio::{Limits, LocalDir, Node, Retention, SpaceConfig, TlsConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::args::{NodeArgs, Retain, TlsArgs};
use crate::control::place::{self, Place};
use crate::control::server::{Control, Leave};
use crate::text::{counted, print};
use crate::{Failure, Verdict};

/// Clients are told that the node ends so long before it does, or half of the time before if there is less.
const WARN_AHEAD: Duration = Duration::from_secs(5);

/// Runs the node to its end.
///
/// # Errors
/// [`Failure`] if it cannot be started.
pub(crate) fn run(args: &NodeArgs) -> Result<Verdict, Failure> {
    // A thread for each core, and two at least, so that a task that keeps one busy does not keep all others waiting.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(cores.max(2)).enable_all().build();
    runtime.map_err(|error| Failure::Broken(format!("starting the runtime: {error}")))?.block_on(live(args))
}

async fn live(args: &NodeArgs) -> Result<Verdict, Failure> {
    let mut signals = Signals::catch()?;
    let directory = args.dir.as_ref().map(LocalDir::new);
    let node = tokio::select! {
        biased;
        _ = signals.next() => return Ok(Verdict::Clean),
        node = start(args, directory.as_ref()) => node?,
    };
    let socket = socket_path(args, &node);
    let (listener, place) = Place::listen(&socket).map_err(Failure::unusable(&socket))?;
    let control = Control::new(node, args.cluster.clone(), args.spaces.clone(), directory);
    let mut server = tokio::spawn(Arc::clone(&control).serve(listener));
    print(&format!("node {} is ready, control socket {}\n", control.node.id(), place.path().display()));

    tokio::select! {
        served = &mut server => {
            let why = served.map_or_else(|error| error.to_string(), |served| match served {
                Ok(()) => "it ended".to_owned(),
                Err(error) => error.to_string(),
            });
            return Err(Failure::Broken(format!("{}: {why}", place.path().display())));
        }
        _ = signals.next() => {}
    }
    let left = leave(&control, &mut signals, args.leave_within).await;
    server.abort();
    left
}

fn socket_path(args: &NodeArgs, node: &Node) -> PathBuf {
    match (&args.socket, &args.dir) {
        (Some(socket), _) => socket.clone(),
        (None, Some(directory)) => place::in_directory(directory, node.id().0),
        (None, None) => unreachable!("a socket is required where there is no directory"),
    }
}

/// Starts the node and waits until it grants locks.
async fn start(args: &NodeArgs, directory: Option<&LocalDir>) -> Result<Node, Failure> {
    let node = join(args, directory).await?;
    node.opened().await;
    Ok(node)
}

/// Starts the node, which is a member then.
pub(crate) async fn join(args: &NodeArgs, directory: Option<&LocalDir>) -> Result<Node, Failure> {
    let mut builder = Node::builder(&args.cluster).listen(args.listen).limits(limits(args));
    if let Some(machines) = args.machines {
        builder = builder.machines(machines);
    }
    if let Some(address) = reached_at(args)? {
        builder = builder.advertise(address);
    }
    builder = match directory {
        Some(directory) => builder.join(directory.clone()),
        None => etcd::join(builder, args)?,
    };
    if let Some(tls) = tls(&args.tls)? {
        builder = builder.tls(tls);
    }
    if let Some(id) = args.id {
        builder = builder.node(id);
    }
    if args.insecure {
        builder = builder.insecure();
    }
    for name in &args.spaces {
        let wrong = |error| Failure::Usage(format!("space `{name}`: {error}"));
        let mut space = SpaceConfig::new(name).map_err(wrong)?;
        space.slots = args.slots;
        space.retention = match args.retention {
            Retain::Never => Retention::Never,
            Retain::Idle(time) => Retention::Idle(time),
            Retain::UntilDemanded => Retention::UntilDemanded,
        };
        builder = builder.space(space);
    }
    builder.start().await.map_err(|error| Failure::Usage(reason(&error)))
}

/// Where the others reach the node, if that is not where it listens.
fn reached_at(args: &NodeArgs) -> Result<Option<SocketAddr>, Failure> {
    let is_nowhere = |address: SocketAddr| address.ip().is_unspecified();
    match args.advertise {
        None if is_nowhere(args.listen) => Err(Failure::Usage(format!(
            "nobody can be told to dial {}: say with --advertise ADDR where the other nodes reach this one",
            args.listen
        ))),
        Some(address) if is_nowhere(address) || address.port() == 0 => {
            Err(Failure::Usage(format!("--advertise {address}: that is no address that others can dial")))
        }
        address => Ok(address),
    }
}

/// What the node proves itself with, if it is to.
fn tls(args: &TlsArgs) -> Result<Option<TlsConfig>, Failure> {
    let read = match args {
        TlsArgs { tls: Some(directory), .. } => TlsConfig::from_directory(directory),
        TlsArgs { tls_ca: Some(authority), tls_cert: Some(chain), tls_key: Some(key), .. } => {
            TlsConfig::from_files(authority, chain, key)
        }
        TlsArgs { .. } => return Ok(None),
    };
    read.map(Some).map_err(|error| Failure::Usage(reason(&error)))
}

fn limits(args: &NodeArgs) -> Limits {
    let (locks, resources) = (args.locks, args.resources);
    Limits { resources, physical: locks, locks, names: resources, values: resources, ..Limits::default() }
}

/// Leaves the cluster, in this time. Clients that still have locks are told before it is over.
async fn leave(control: &Control, signals: &mut Signals, within: Duration) -> Result<Verdict, Failure> {
    let end = Instant::now() + within;
    let warn_at = end - WARN_AHEAD.min(within / 2);
    control.leave.send_replace(Leave::Soon);
    let left = control.node.leave(within);
    tokio::pin!(left);
    let mut has_warned = false;
    let left = loop {
        tokio::select! {
            biased;
            signal = signals.next() => std::process::exit(128 + signal.as_raw_value()),
            left = &mut left => break left,
            () = sleep_until(warn_at), if !has_warned => {
                has_warned = true;
                control.leave.send_replace(Leave::By(end));
            }
        }
    };
    if left.is_clean() {
        return Ok(Verdict::Clean);
    }
    let (slots, locks) = (counted(left.slots.into(), "slot"), counted(left.guards.into(), "lock"));
    Err(Failure::Broken(format!("the time to leave was over: {slots} and {locks} were left behind")))
}

/// The signals that end a node.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn catch() -> Result<Self, Failure> {
        let broken = |error| Failure::Broken(format!("catching signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(broken)?,
            terminate: signal(SignalKind::terminate()).map_err(broken)?,
        })
    }

    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// An error with its causes.
fn reason(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
