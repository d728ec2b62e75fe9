//! A cluster that changes under a load: one of five nodes crashes; a sixth one joins and leaves.
//!
//! Every node is a process with one tokio thread. Who is a member the bench says itself, so that no detection is
//! measured. The locks, all in PR, are held by the five nodes in turn. How many there are is the second argument.

use core::time::Duration;
use std::time::{Instant as Clock, SystemTime};

use crate::compare::{Aim, Row, median};
use crate::transfer::load::Seen;
use cluster::{Cluster, Counters, Pauses};

mod cluster;
mod copies;
mod member;
mod views;

pub(crate) use member::serve;

/// What a member's process is started as.
pub(crate) const ROLE: &str = "change-member";

/// Locks in the cluster, if nobody says otherwise: for a quick run.
const LOCKS: u32 = 100_000;
const ROUNDS: usize = 3;
const SLOTS: u32 = 4096;
const MEMBERS: u16 = 5;
/// The member that crashes, which is not the coordinator.
const VICTIM: u16 = MEMBERS;
/// The member that comes and goes.
const GUEST: u16 = MEMBERS + 1;
/// How long the load is looked at while nothing else goes on.
const CALM: Duration = Duration::from_secs(2);
/// From the start of a load until it counts, and from a crash until somebody is told.
const PAUSE: Duration = Duration::from_millis(200);
/// Times that the baseline of a rebuild is measured after each.
const COPIES: usize = 3;

/// Which node holds a lock.
fn holder(number: u32) -> u16 {
    1 + u16::try_from(number % u32::from(MEMBERS)).expect("below a small bound")
}

/// Nanoseconds on a clock that all processes share.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).expect("less than centuries")
}

fn locks() -> u32 {
    let locks = std::env::args().nth(2).map(|word| word.parse().expect("a number of locks"));
    locks.unwrap_or(LOCKS)
}

/// What the load saw in ordinary times and during a change.
struct Waits {
    before: Seen,
    during: Seen,
}

/// A crash, and all that was seen of it.
struct Crash {
    pauses: Pauses,
    /// Until every slot granted again and nothing was left of the node.
    took: Duration,
    counters: Counters,
    /// The bytes of the reports, copied.
    copied: Duration,
}

impl Crash {
    /// Kills a node of a new cluster and tells the others; a load counts from then on.
    fn run(cluster: &mut Cluster, has_load: bool) -> Self {
        cluster.kill(VICTIM);
        if has_load {
            cluster.load();
        }
        std::thread::sleep(PAUSE);
        cluster.ask("probe");
        let before = cluster.counters();
        if has_load {
            cluster.renew();
        }
        let started = Clock::now();
        cluster.tell();
        let pauses = cluster.pauses();
        let counters = cluster.purged().since(before);
        Self { pauses, took: started.elapsed(), counters, copied: Duration::ZERO }
    }

    /// What the load sees in a calm time, then what it sees during a crash.
    fn run_loaded(cluster: &mut Cluster) -> (Self, Waits) {
        let before = cluster.calm();
        let crash = Self::run(cluster, true);
        let waits = Waits { before, during: cluster.end() };
        cluster.load();
        std::thread::sleep(PAUSE);
        let copied = cluster.copy(crash.counters.bytes, COPIES);
        cluster.end();
        (Self { copied, ..crash }, waits)
    }
}

/// A cluster of which one node is about to crash.
fn doomed() -> Cluster {
    let mut cluster = Cluster::start(locks(), usize::from(MEMBERS - 1));
    cluster.ask_loaded(&format!("choose {VICTIM}"));
    cluster.connect(usize::from(MEMBERS - 1));
    cluster
}

/// The pause of a crashed node's slots, with nothing else going on.
pub(crate) fn crash() -> Vec<Row> {
    let crashes = (0..ROUNDS).map(|_| {
        let mut cluster = doomed();
        let crash = Crash::run(&mut cluster, false);
        Crash { copied: cluster.copy(crash.counters.bytes, COPIES), ..crash }
    });
    vec![pause_row(
        "pause of a crashed node's slots, until the last grants again",
        &crashes.collect::<Vec<_>>(),
    )]
}

/// The same under a load on the slots of the others, and what that load sees.
pub(crate) fn crash_under_load() -> Vec<Row> {
    let seen = (0..ROUNDS).map(|_| Crash::run_loaded(&mut doomed()));
    let (crashes, waits): (Vec<_>, Vec<_>) = seen.unzip();
    let what = "99.9 % of acquires at the others while a node's slots are rebuilt";
    let slowest = waits_row(what, "the same load before the crash", 2.0, &waits);
    vec![slowest, pause_row("pause of a crashed node's slots under that load", &crashes)]
}

/// A sixth node joins and leaves, under a load of the five others.
pub(crate) fn planned() -> Vec<Row> {
    let mut cluster = Cluster::start(locks(), usize::from(MEMBERS));
    cluster.ask_loaded("choose");
    let (mut joins, mut leaves, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        cluster.add(GUEST);
        let (waits, note) = watch(&mut cluster, |cluster| {
            cluster.tell();
            cluster.balanced();
        });
        joins.push(waits);
        notes.push(format!("a join: {note}"));
        let (waits, note) = watch(&mut cluster, |cluster| {
            cluster.leave(GUEST);
            cluster.balanced();
        });
        leaves.push(waits);
        notes.push(format!("a leave: {note}"));
    }
    let baseline = "the same load before it";
    let mut rows = vec![
        waits_row("99.9 % of acquires while a sixth node joins", baseline, 3.0, &joins),
        waits_row("99.9 % of acquires while it leaves", baseline, 3.0, &leaves),
    ];
    rows[1].notes.extend(notes);
    rows
}

/// What the load sees in a calm time and during a planned change, and what was moved by it.
fn watch(cluster: &mut Cluster, change: impl FnOnce(&mut Cluster)) -> (Waits, String) {
    let before = cluster.calm();
    let moved = cluster.moved();
    cluster.load();
    std::thread::sleep(PAUSE);
    cluster.renew();
    let started = Clock::now();
    change(cluster);
    let took = started.elapsed();
    let waits = Waits { before, during: cluster.end() };
    (waits, format!("{took:.2?}, {} locks moved", cluster.moved() - moved))
}

// ---- rows ----

fn waits_row(what: &'static str, baseline: &'static str, aim: f64, waits: &[Waits]) -> Row {
    let at = |quantile| {
        let of = |side: fn(&Waits) -> &Seen| {
            median(waits.iter().map(|waits| side(waits).wait(quantile)).collect())
        };
        (of(|waits| &waits.during), of(|waits| &waits.before))
    };
    let notes =
        [("median", 0.5), ("99 %", 0.99), ("99.99 %", 0.9999), ("longest", 1.0)].map(|(text, quantile)| {
            let (during, before) = at(quantile);
            format!("{text}: {during:.0} µs, beside {before:.0} µs")
        });
    let of = |side: fn(&Waits) -> &Seen| median(waits.iter().map(|waits| side(waits).rate / 1e3).collect());
    let rates =
        format!("{:.0} k acquires/s, beside {:.0} k", of(|waits| &waits.during), of(|waits| &waits.before));
    let (ours, theirs) = at(0.999);
    let notes = notes.into_iter().chain([rates]).collect();
    Row { what, baseline, unit: "µs", ours, theirs, aim: Aim::AtMost(aim), notes }
}

fn pause_row(what: &'static str, crashes: &[Crash]) -> Row {
    let millis = |part: fn(&Crash) -> Duration| -> f64 {
        median(crashes.iter().map(|crash| part(crash).as_secs_f64() * 1e3).collect())
    };
    let count =
        |part: fn(&Counters) -> u64| median(crashes.iter().map(|crash| part(&crash.counters)).collect());
    let notes = vec![
        format!(
            "slots: first {:.1} ms, half of them {:.1} ms; survivors were told within {:.2} ms",
            millis(|crash| crash.pauses.at(0)),
            millis(|crash| crash.pauses.at(2)),
            millis(|crash| crash.pauses.spread),
        ),
        format!(
            "of {} locks: {} rebuilt in {} slots, {} purged, {} bytes of reports; over after {:.1} ms",
            locks(),
            count(|counters| counters.rebuilt),
            count(|counters| counters.slots),
            count(|counters| counters.purged),
            count(|counters| counters.bytes),
            millis(|crash| crash.took),
        ),
    ];
    Row {
        what,
        baseline: "the bytes of the reports copied over loopback by as many processes",
        unit: "ms",
        ours: millis(|crash| crash.pauses.at(4)),
        theirs: millis(|crash| crash.copied),
        aim: Aim::AtMost(5.0),
        notes,
    }
}
