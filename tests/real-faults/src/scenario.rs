//! A scenario: what is done to a cluster, and what has to come of it.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::cluster::{Cluster, Kind, NODES};
use crate::failure::{Failure, Result, require};
use crate::history::{self, Fault, Waits};
use crate::journal::now;
use crate::net::Net;
use crate::weather::Toll;

/// How long a cluster works undisturbed before anything is done to it, so that locks are held and waited for.
const CALM: Duration = Duration::from_millis(500);
/// What is said of a history in which two hold what only one may.
const OVERLAP: &str = "incompatible locks held at once";
/// Longest wait of whom a fault does not touch: it has to share few processors with all others.
const UNAFFECTED_MAX: Duration = Duration::from_secs(3);
/// Longest time from the end of a fault until everybody has been served, however long the fault has lasted.
const SERVED_MAX: Duration = Duration::from_secs(10);

/// Something that is done to a cluster.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) what: &'static str,
    /// What is to be seen.
    pub(crate) shows: &'static str,
    pub(crate) act: fn(&mut Cluster, u64) -> Result<()>,
    /// Who says who is a member.
    pub(crate) kind: Kind,
    /// The nodes that have to suffer from it.
    pub(crate) struck: &'static [u16],
    /// Those whose membership ends although they live.
    pub(crate) fenced: &'static [u16],
    /// How many views it costs, at least and at most.
    pub(crate) views: (u32, u32),
    /// How long the longest wait is for what a node that was struck masters or had mastered, if there can be any.
    pub(crate) waits_at_struck: Option<RangeInclusive<Duration>>,
    /// What the network must have been seen to do.
    pub(crate) network: Network,
}

/// What the network does in a scenario.
pub(crate) enum Network {
    Well,
    Drops,
    Weather,
}

/// Shows that a history can be found unclean: its nodes say that they hold what they never asked for.
pub(crate) fn show_judge(folder: &Path, checker: &Path, seed: u64) -> Result<()> {
    let mut cluster = Cluster::new(Net::new(6)?, folder, Kind::Directory, "liars", seed)?;
    cluster.is_honest = false;
    cluster.begin()?;
    cluster.last(CALM)?;
    cluster.serve_all()?;
    cluster.end()?;
    match history::judge(checker, folder, &cluster.ended, &Fault::default()) {
        Err(Failure::Unclean(said)) if said.contains(OVERLAP) => Ok(()),
        Err(other) => Err(other),
        Ok(_) => Err(Failure::Broken("locks that nobody had asked for were not noticed".to_owned())),
    }
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
    notes: Vec<String>,
}

impl Scenario {
    /// Plays it in a folder of its own.
    pub(crate) fn run(&self, folder: &Path, checker: &Path, seed: u64) -> Result<Figures> {
        let start = Instant::now();
        let mut cluster = Cluster::new(Net::new(6)?, folder, self.kind, self.name, seed)?;
        cluster.begin()?;
        cluster.last(CALM)?;

        let (epoch, began) = (cluster.epoch(), now());
        cluster.began = Instant::now();
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
        let notes = core::mem::take(&mut cluster.notes);
        let took = start.elapsed();
        let figures = Figures { views, fenced, waits, dropped, toll, served, took, notes };
        self.run_judge(&figures)?;
        Ok(figures)
    }

    fn run_judge(&self, figures: &Figures) -> Result<()> {
        let Figures { views, fenced, waits, dropped, toll, served, .. } = figures;
        let (least, most) = self.views;
        require((least..=most).contains(views), || {
            format!("{views} views were made, and {least} to {most} are expected: {figures}")
        })?;
        let expected = self.fenced.iter().copied().collect();
        require(*fenced == expected, || {
            format!("{fenced:?} were fenced, and {expected:?} are expected: {figures}")
        })?;
        require(waits.unaffected.span <= UNAFFECTED_MAX, || {
            format!("whom the fault does not touch waited for longer than {UNAFFECTED_MAX:?}: {figures}")
        })?;
        require(waits.unaffected.count > 0 || self.struck.len() == NODES.len(), || {
            format!("nobody asked whom the fault does not touch: {figures}")
        })?;
        let is_expected = match &self.waits_at_struck {
            Some(expected) => expected.contains(&waits.at_struck.span),
            None => waits.at_struck.count == 0,
        };
        require(is_expected, || {
            format!("the longest wait at a struck master is not in {:?}: {figures}", self.waits_at_struck)
        })?;
        require(*served <= SERVED_MAX, || {
            format!("not everybody was served within {SERVED_MAX:?} after it: {figures}")
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
        let Self { views, fenced, waits, dropped, toll, served, took, notes } = self;
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
        for note in notes {
            write!(f, "; {note}")?;
        }
        let kinds = [
            ("elsewhere", waits.unaffected),
            ("at the struck", waits.at_struck),
            ("of the struck", waits.of_struck),
        ];
        for (kind, longest) in kinds.into_iter().filter(|(_, longest)| longest.count > 0) {
            write!(f, "; longest wait {kind} {:.2} s of {}", longest.span.as_secs_f64(), longest.count)?;
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
