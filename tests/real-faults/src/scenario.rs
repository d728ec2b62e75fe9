//! The scenarios: what is done to a cluster, and what has to come of it.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::cluster::{Cluster, NODES, hosts};
use crate::failure::{Result, broken, require};
use crate::history::{self, Fault, Waits};
use crate::journal::now;
use crate::net::Net;
use crate::plan::EnginePlan;
use crate::weather::{Rates, Toll};

/// How long a cluster works undisturbed before anything is done to it, so that locks are held and waited for.
const CALM: Duration = Duration::from_millis(500);
/// How long a fault lasts that has no end by itself.
const FAULT: Duration = Duration::from_secs(4);
/// Longest wait of whom a fault does not touch: it has to share few processors with all others.
const UNAFFECTED_MAX: Duration = Duration::from_secs(3);

/// Something that is done to a cluster.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// What is to be seen.
    pub(crate) shows: &'static str,
    act: fn(&mut Cluster, u64) -> Result<()>,
    /// The nodes that have to suffer from it.
    struck: &'static [u16],
    /// How many views it costs, at least and at most.
    views: (u32, u32),
    /// Longest wait for what a node that was struck had mastered.
    orphaned_max: Duration,
    /// What the network must have been seen to do.
    network: Network,
}

/// What the network does in a scenario.
enum Network {
    Well,
    Drops,
    Weather,
}

/// What was seen.
pub(crate) struct Figures {
    views: u32,
    fenced: BTreeSet<u16>,
    waits: Waits,
    dropped: u64,
    toll: Toll,
    /// From the end of the fault until everybody had been served.
    served: Duration,
    took: Duration,
}

/// All scenarios, in the order in which they are run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "calm",
        what: "nothing",
        shows: "no view changes",
        act: |cluster, _| cluster.last(FAULT / 2),
        struck: &[],
        views: (0, 0),
        orphaned_max: Duration::ZERO,
        network: Network::Well,
    },
    Scenario {
        name: "weather",
        what: "2 % of all packets are lost, 2 % come twice, 5 % are overtaken, all are up to 15 ms late",
        shows: "no view changes; everybody is served",
        act: |cluster, seed| {
            cluster.net.weather(WEATHER, seed)?;
            cluster.last(FAULT)
        },
        struck: &NODES,
        views: (0, 0),
        orphaned_max: Duration::ZERO,
        network: Network::Weather,
    },
    Scenario {
        name: "split",
        what: "1 and 2 are cut from 3, 4 and 5",
        shows: "no view changes, as the directory is there for all; waits across the cut end after it",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[1, 2]), &hosts(&[3, 4, 5]))?;
            cluster.last(FAULT)
        },
        struck: &[1, 2],
        views: (0, 0),
        orphaned_max: Duration::from_secs(20),
        network: Network::Drops,
    },
    Scenario {
        name: "one way",
        what: "what 2 says to 1 and 3 is dropped, what they say to it comes",
        shows: "the same",
        act: |cluster, _| {
            cluster.net.cut_one_way(&hosts(&[2]), &hosts(&[1, 3]))?;
            cluster.last(FAULT)
        },
        struck: &[2],
        views: (0, 0),
        orphaned_max: Duration::from_secs(20),
        network: Network::Drops,
    },
    Scenario {
        name: "kill",
        what: "2 is killed (SIGKILL) and started again once the others have a view without it",
        shows: "one view without it, one with it again; what it mastered is rebuilt",
        act: |cluster, _| {
            cluster.kill(2)?;
            until_without(cluster, &[1, 3, 4, 5], DEATH_MAX)?;
            cluster.start(2, Duration::ZERO)
        },
        struck: &[2],
        views: (2, 2),
        orphaned_max: Duration::from_secs(8),
        network: Network::Well,
    },
    Scenario {
        name: "kill two",
        what: "1, which has been a member for longest, and 4 are killed",
        shows: "views without them, then with them; what they mastered is rebuilt",
        act: |cluster, _| {
            cluster.kill(1)?;
            cluster.kill(4)?;
            until_without(cluster, &[2, 3, 5], DEATH_MAX)?;
            cluster.start(4, Duration::ZERO)?;
            cluster.start(1, Duration::ZERO)
        },
        struck: &[1, 4],
        views: (2, 4),
        orphaned_max: Duration::from_secs(8),
        network: Network::Well,
    },
    Scenario {
        name: "kill unheard",
        what: "3 is cut off, then killed, so that no connection of it is seen to end; it comes back in a whole network",
        shows: "as when it is killed: membership does not rest on connections",
        act: |cluster, _| {
            cluster.net.cut(&hosts(&[3]), &hosts(&NODES))?;
            cluster.kill(3)?;
            until_without(cluster, &[1, 2, 4, 5], DEATH_MAX)?;
            cluster.net.heal()?;
            cluster.start(3, Duration::ZERO)
        },
        struck: &[3],
        views: (2, 2),
        orphaned_max: Duration::from_secs(8),
        network: Network::Drops,
    },
    Scenario {
        name: "pause",
        what: "4 is stopped (SIGSTOP) and goes on later (SIGCONT)",
        shows: "no view changes: a directory knows nothing of time; what 4 masters or holds waits for it",
        act: |cluster, _| {
            cluster.pause(4)?;
            cluster.last(FAULT)?;
            cluster.resume(4)
        },
        struck: &[4],
        views: (0, 0),
        orphaned_max: Duration::from_secs(10),
        network: Network::Well,
    },
    Scenario {
        name: "clocks",
        what: "5 is killed and comes back with a clock that is a day ahead of the others'",
        shows: "as when it is killed: nodes do not compare their clocks",
        act: |cluster, _| {
            cluster.kill(5)?;
            until_without(cluster, &[1, 2, 3, 4], DEATH_MAX)?;
            cluster.start(5, DAY)
        },
        struck: &[5],
        views: (2, 2),
        orphaned_max: Duration::from_secs(8),
        network: Network::Well,
    },
];

/// Rates of bad weather.
const WEATHER: Rates = Rates {
    loss: 20,
    double: 20,
    straggle: 50,
    delay: Duration::from_millis(1),
    jitter: Duration::from_millis(5),
};
/// Longest until the others have a view without a process that was killed.
const DEATH_MAX: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

/// Waits until these are the members by the view of each of them.
fn until_without(cluster: &mut Cluster, left: &'static [u16], within: Duration) -> Result<()> {
    let what = format!("the others have a view of {left:?} alone");
    cluster.until(what, within, |cluster| left.iter().all(|node| cluster.sees(*node, left)))
}

impl Scenario {
    /// Plays it in a folder that becomes the run's own.
    pub(crate) fn run(&self, folder: &Path, checker: &Path, seed: u64) -> Result<Figures> {
        let start = Instant::now();
        fs::create_dir_all(folder).map_err(broken(folder.display()))?;
        let net = Net::new(6)?;
        let engine = EnginePlan::Directory(folder.join("members"));
        let mut cluster = Cluster::new(net, folder, engine, self.name, seed);
        cluster.begin()?;
        cluster.last(CALM)?;

        let (epoch, began) = (cluster.epoch(), now());
        (self.act)(&mut cluster, seed)?;
        let dropped = cluster.net.dropped()?;
        cluster.net.heal()?;
        let (healed, healed_at) = (now(), Instant::now());
        cluster.until_whole()?;
        cluster.serve_all()?;
        let served = healed_at.elapsed();

        let (views, fenced, toll) = (cluster.epoch() - epoch, cluster.fenced(), cluster.net.toll());
        cluster.end()?;
        let fault = Fault { began, healed, struck: self.struck.iter().copied().collect() };
        let waits = history::judge(checker, folder, &cluster.ended, &fault)?;
        let figures = Figures { views, fenced, waits, dropped, toll, served, took: start.elapsed() };
        self.run_judge(&figures)?;
        Ok(figures)
    }

    fn run_judge(&self, figures: &Figures) -> Result<()> {
        let Figures { views, fenced, waits, dropped, toll, .. } = figures;
        let (least, most) = self.views;
        require((least..=most).contains(views), || {
            format!("{views} views were made, and {least} to {most} are expected: {figures}")
        })?;
        require(fenced.is_empty(), || format!("{fenced:?} were fenced: {figures}"))?;
        require(waits.unaffected.span <= UNAFFECTED_MAX, || {
            format!("whom the fault does not touch waited for longer than {UNAFFECTED_MAX:?}: {figures}")
        })?;
        require(waits.orphaned.span <= self.orphaned_max, || {
            format!("what was struck was not there again within {:?}: {figures}", self.orphaned_max)
        })?;
        let was_hit = match self.network {
            Network::Well => true,
            Network::Drops => *dropped > 0,
            Network::Weather => toll.lost > 0 && toll.doubled > 0 && toll.delayed > 0 && toll.overtaken > 0,
        };
        require(was_hit, || format!("the fault was never met: {figures}"))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { views, fenced, waits, dropped, toll, served, took } = self;
        write!(
            f,
            "{:.1} s; {} grants, {} lost; {views} views",
            took.as_secs_f64(),
            waits.granted,
            waits.lost
        )?;
        if !fenced.is_empty() {
            write!(f, ", fenced {fenced:?}")?;
        }
        let kinds =
            [("unaffected", waits.unaffected), ("orphaned", waits.orphaned), ("struck", waits.struck)];
        for (kind, longest) in kinds.into_iter().filter(|(_, longest)| longest.count > 0) {
            write!(f, "; longest {kind} wait {:.2} s of {}", longest.span.as_secs_f64(), longest.count)?;
        }
        write!(f, "; all served {:.1} s after", served.as_secs_f64())?;
        if *dropped > 0 {
            write!(f, "; {dropped} packets dropped")?;
        }
        let Toll { seen, lost, doubled, delayed, overtaken } = toll;
        if *seen > 0 {
            write!(
                f,
                "; of {seen} packets {lost} lost, {doubled} doubled, {delayed} delayed, {overtaken} overtaken"
            )?;
        }
        Ok(())
    }
}
