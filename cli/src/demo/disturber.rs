//! Things that happen to nodes while they work, one after the other.
//!
//! ```text
//! Quiet ──an event is due──▶ Watching ──all nodes watch──┬─ killed ──▶ Returning ──it works again──▶ Quiet
//!                                                        ├─ joins ───▶ Returning
//!                                                        ├─ leaves ──▶ Leaving ──it has left──▶ Quiet
//!                                                        └─ paused ──▶ Paused ──time is over──▶ Quiet
//! ```

use core::time::Duration;
use std::time::Instant;

use fastrand::Rng;
use rustix::process::Signal;

use crate::Failure;
use crate::args::DemoArgs;
use crate::demo::cluster::{Cluster, Member, Stage};
use crate::demo::message::{Order, Plan};

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time between the end of an event and the next, at least: what still waits then waits because of the first.
const REST: Duration = Duration::from_millis(500);
/// How long the tasks of a node that leaves may take.
const GRACE: Duration = Duration::from_secs(5);

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Killed,
    Joined,
    Left,
    Paused,
}

/// Something that happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) node: u16,
    /// Time since the nodes began to work.
    pub(super) at: Duration,
}

/// Lets things happen.
pub(super) struct Disturber {
    plan: Plan,
    pause: Duration,
    random: Rng,
    start: Instant,
    /// How often each kind happens, and when next; joining and leaving are one.
    rounds: [Round; 3],
    course: Course,
    /// No event begins before.
    rest_until: Instant,
    /// Place of the node that joins and leaves.
    guest: Option<usize>,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    kind: Kind,
    every: Duration,
    next: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Quiet,
    Watching { kind: Kind, place: Option<usize> },
    Returning { place: usize },
    Leaving { place: usize },
    Paused { place: usize, until: Instant },
}

impl Disturber {
    /// The nodes begin to work.
    pub(super) fn new(args: &DemoArgs, plan: Plan) -> Self {
        let start = Instant::now();
        let round =
            |kind, every: Duration| Round { kind, every, next: (!every.is_zero()).then(|| start + every) };
        Self {
            random: Rng::with_seed(args.seed),
            plan,
            pause: PAUSE_MAX.min(args.pause_every / 2),
            start,
            rounds: [
                round(Kind::Killed, args.kill_every),
                round(Kind::Joined, args.join_every),
                round(Kind::Paused, args.pause_every),
            ],
            course: Course::Quiet,
            rest_until: start,
            guest: None,
            events: Vec::new(),
        }
    }

    /// When there is something to do even if no node says anything.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.course {
            Course::Quiet => {
                self.rounds.iter().filter_map(|round| round.next).min().map(|next| next.max(self.rest_until))
            }
            Course::Paused { until, .. } => Some(until),
            Course::Watching { .. } | Course::Returning { .. } | Course::Leaving { .. } => None,
        }
    }

    /// Is nothing under way?
    pub(super) fn is_quiet(&self) -> bool {
        self.course == Course::Quiet
    }

    /// What happened.
    pub(super) fn events(self) -> Vec<Event> {
        self.events
    }

    /// Does what is due.
    ///
    /// # Errors
    /// A process cannot be started.
    pub(super) async fn attend(&mut self, cluster: &mut Cluster, may_begin: bool) -> Result<(), Failure> {
        match self.course {
            Course::Quiet if may_begin && self.rest_until <= Instant::now() => self.begin(cluster).await,
            Course::Quiet => {}
            Course::Watching { kind, place } if self.is_watched(cluster) => {
                self.act(cluster, kind, place).await?
            }
            Course::Watching { .. } => {}
            Course::Returning { place } => self.welcome(&mut cluster.members[place]).await,
            Course::Leaving { place } => match cluster.members[place].stage {
                Stage::Finished => cluster.members[place].let_go(),
                Stage::Left | Stage::Dead => self.rest(),
                Stage::Started | Stage::Listening | Stage::Opened | Stage::Surveyed => {}
            },
            Course::Paused { place, until } => {
                if until <= Instant::now() {
                    cluster.members[place].signal(Signal::CONT);
                    self.rest();
                }
            }
        }
        Ok(())
    }

    /// Begins an event that is due, if any is.
    async fn begin(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let due = self.rounds.iter_mut().filter(|round| round.next.is_some_and(|next| next <= now));
        let Some(round) = due.min_by_key(|round| round.next) else { return };
        round.next = Some(now + round.every);
        let kind = round.kind;
        // The guest comes and goes by itself.
        let hosts = cluster.members.iter().enumerate().filter(|(place, _)| Some(*place) != self.guest);
        let hosts: Vec<usize> =
            hosts.filter(|(_, member)| member.stage == Stage::Opened).map(|(place, _)| place).collect();
        let (kind, place) = match (kind, self.guest) {
            (Kind::Joined | Kind::Left, Some(guest)) if cluster.members[guest].stage == Stage::Opened => {
                (Kind::Left, Some(guest))
            }
            (Kind::Joined | Kind::Left, guest) => (Kind::Joined, guest),
            (Kind::Killed | Kind::Paused, _) if hosts.len() < 2 => return,
            (Kind::Killed | Kind::Paused, _) => (kind, Some(hosts[self.random.usize(..hosts.len())])),
        };
        let node = place.map_or_else(
            || u16::try_from(cluster.members.len() + 1),
            |place| Ok(cluster.members[place].node),
        );
        let node = node.expect("there are at most 65 nodes");
        self.events.push(Event { kind, node, at: now - self.start });
        let event = u32::try_from(self.events.len()).expect("not so many events");
        for member in cluster.members.iter_mut().filter(|member| member.stage == Stage::Opened) {
            member.order(&Order::Watch { event, node }).await;
        }
        self.course = Course::Watching { kind, place };
    }

    /// Do all that work watch the last event?
    fn is_watched(&self, cluster: &Cluster) -> bool {
        let mut working = cluster.members.iter().filter(|member| member.stage == Stage::Opened);
        working.all(|member| member.watching as usize == self.events.len())
    }

    async fn act(&mut self, cluster: &mut Cluster, kind: Kind, place: Option<usize>) -> Result<(), Failure> {
        let place = match (kind, place) {
            (Kind::Joined, None) => {
                let node = u16::try_from(cluster.members.len() + 1).expect("there are at most 65 nodes");
                let place = cluster.add(node)?;
                self.guest = Some(place);
                place
            }
            (Kind::Joined, Some(place)) => {
                cluster.restart(place)?;
                place
            }
            (Kind::Killed | Kind::Left | Kind::Paused, place) => place.expect("something happens to a node"),
        };
        let member = &mut cluster.members[place];
        self.course = match kind {
            Kind::Joined => Course::Returning { place },
            Kind::Killed => {
                member.kill().await;
                cluster.restart(place)?;
                Course::Returning { place }
            }
            Kind::Left => {
                member.order(&Order::Stop { grace: GRACE }).await;
                Course::Leaving { place }
            }
            Kind::Paused => {
                member.signal(Signal::STOP);
                Course::Paused { place, until: Instant::now() + self.pause }
            }
        };
        Ok(())
    }

    fn rest(&mut self) {
        self.course = Course::Quiet;
        self.rest_until = Instant::now() + REST;
    }

    /// Brings a new process to work.
    async fn welcome(&mut self, member: &mut Member) {
        match member.stage {
            Stage::Listening if member.address.take().is_some() => {
                let plan = Plan { node: member.node, life: member.life, ..self.plan.clone() };
                member.order(&Order::Join(Box::new(plan))).await;
            }
            Stage::Opened => {
                member.order(&Order::Go).await;
                self.rest();
            }
            Stage::Dead => self.rest(),
            Stage::Started | Stage::Listening | Stage::Finished | Stage::Surveyed | Stage::Left => {}
        }
    }
}
