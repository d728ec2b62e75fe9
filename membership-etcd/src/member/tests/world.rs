//! A cluster in virtual time: hosts with clocks that go wrong, an engine that stalls, and calls that are lost or late.

use core::time::Duration;
use std::collections::BTreeMap;

use lockmaster_async::lockmaster_core::ClusterId;

use super::engine::Engine;
use super::ledger::Ledger;
use super::*;
use crate::keys::{Keys, Topic};
use crate::store::Op;

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const TIMING: Timing =
    Timing { ttl: Duration::from_secs(10), margin: Duration::from_secs(1), settle: Duration::from_secs(1) };
/// How long the engine takes at most to notice that a lease has run out.
const REAP_EVERY: u64 = SECOND / 2;
/// How far a clock's rate is off at the most, in millionths.
const RATE_ERROR: i64 = 1000;

pub(super) struct World {
    pub(super) random: fastrand::Rng,
    /// True time.
    pub(super) time: u64,
    queue: BTreeMap<(u64, u64), What>,
    scheduled: u64,
    pub(super) engine: Engine,
    engine_clock: Clock,
    pub(super) stalled_until: u64,
    pub(super) hosts: Vec<Host>,
    pub(super) keys: Keys,
    pub(super) ledger: Ledger,
    /// Of 256 messages so many are lost.
    pub(super) loss: u8,
    /// Of 256 messages so many come much later.
    pub(super) lateness: u8,
    /// A bug on purpose: members believe in themselves for so much longer than they are told.
    pub(super) overconfidence: u64,
    /// A hash of all that happened, in order.
    pub(super) trace: u64,
}

/// A clock that starts anywhere and goes a little wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset: u64,
    /// Millionths that it is too fast.
    error: i64,
}

/// A machine with a node.
pub(super) struct Host {
    pub(super) node: NodeId,
    clock: Clock,
    pub(super) member: Option<Member>,
    /// Which attempt at a life this is: what belongs to one before does nothing.
    attempt: u64,
    floor: Floor,
    /// The configuration in which its process runs, if it has joined before.
    digest: Option<u64>,
    previous: Option<LeaseId>,
    pub(super) life: Option<Life>,
    call: Option<u64>,
    renewal: Option<(u64, Instant)>,
    pub(super) paused_until: u64,
    pub(super) cut_until: u64,
    pub(super) stuck_until: u64,
    stuck_at: Instant,
    /// The last view that it was told.
    pub(super) view: Option<ClusterView>,
}

#[derive(Clone, Debug)]
enum What {
    Wake(usize, u64),
    Arrive(usize, u64, u64, Call),
    Answer(usize, u64, u64, Answer),
    ArriveRenewal(usize, u64, u64, LeaseId),
    AnswerRenewal(usize, u64, u64, Renewed),
    Deadline(usize, u64, u64),
    Hint(usize),
    Rejoin(usize, u64),
    Reap,
}

impl What {
    /// A number for what it is, for the trace.
    fn kind(&self) -> u64 {
        match self {
            Self::Wake(..) => 0,
            Self::Arrive(..) => 1,
            Self::Answer(..) => 2,
            Self::ArriveRenewal(..) => 3,
            Self::AnswerRenewal(..) => 4,
            Self::Deadline(..) => 5,
            Self::Hint(_) => 6,
            Self::Rejoin(..) => 7,
            Self::Reap => 8,
        }
    }

    fn host(&self) -> Option<usize> {
        match self {
            Self::Wake(at, _)
            | Self::Arrive(at, ..)
            | Self::Answer(at, ..)
            | Self::ArriveRenewal(at, ..)
            | Self::AnswerRenewal(at, ..)
            | Self::Deadline(at, ..)
            | Self::Hint(at)
            | Self::Rejoin(at, _) => Some(*at),
            Self::Reap => None,
        }
    }
}

impl Clock {
    fn random(random: &mut fastrand::Rng) -> Self {
        Self { offset: random.u64(..1000 * SECOND), error: random.i64(-RATE_ERROR..=RATE_ERROR) }
    }

    fn at(self, time: u64) -> u64 {
        let scaled = i128::from(time) * i128::from(1_000_000 + self.error) / 1_000_000;
        self.offset + u64::try_from(scaled).unwrap()
    }

    fn instant(self, time: u64) -> Instant {
        Instant::from_nanos(self.at(time))
    }

    /// When the clock shows this at the earliest, in true time.
    fn time(self, instant: Instant) -> u64 {
        let shown = i128::from(instant.as_nanos().saturating_sub(self.offset));
        let time = shown * 1_000_000 / i128::from(1_000_000 + self.error) + 1;
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

impl World {
    pub(super) fn new(seed: u64, count: u16) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = Keys::new(ClusterId(1));
        let hosts = (1..=count).map(|node| Host {
            node: NodeId(node),
            clock: Clock::random(&mut random),
            member: None,
            attempt: 0,
            floor: Floor::default(),
            digest: None,
            previous: None,
            life: None,
            call: None,
            renewal: None,
            paused_until: 0,
            cut_until: 0,
            stuck_until: 0,
            stuck_at: Instant::START,
            view: None,
        });
        let hosts = hosts.collect();
        let engine_clock = Clock::random(&mut random);
        let mut world = Self {
            time: 0,
            queue: BTreeMap::new(),
            scheduled: 0,
            engine: Engine::new(keys.clone()),
            engine_clock,
            stalled_until: 0,
            hosts,
            keys,
            ledger: Ledger::default(),
            loss: 0,
            lateness: 0,
            overconfidence: 0,
            trace: 0,
            random,
        };
        world.schedule(REAP_EVERY, What::Reap);
        world
    }

    /// Lets everything happen until then.
    pub(super) fn run(&mut self, until: u64) -> Result<(), String> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.time = at;
            let line = [at, what.kind(), what.host().map_or(u64::MAX, |host| host as u64)];
            self.trace = line.into_iter().fold(self.trace, |hash, word| {
                xxhash_rust::xxh3::xxh3_64_with_seed(&word.to_le_bytes(), hash)
            });
            self.happen(what)?;
        }
        self.time = until;
        Ok(())
    }

    /// The node of a host begins to join. `is_same` if its process is the one before.
    pub(super) fn join(&mut self, at: usize, is_same: bool) -> Result<(), String> {
        let seed = self.random.u64(..);
        let host = &mut self.hosts[at];
        if let Some(life) = host.life.take() {
            self.ledger.stop(life, self.time);
        }
        let now = host.clock.instant(self.time);
        host.digest = host.digest.filter(|_| is_same);
        let digests = host.digest.map_or_else(|| Self::digests(host.node), |digest| vec![digest]);
        let plan = Plan {
            keys: self.keys.clone(),
            digest: digests[0],
            candidate: Candidate {
                cluster: ClusterId(1),
                node: Some(host.node),
                address: "127.0.0.1:1".parse().unwrap(),
                digests,
            },
            timing: TIMING,
            previous: host.previous.take().filter(|_| is_same),
            floor: host.floor,
            seed,
        };
        host.attempt += 1;
        host.call = None;
        host.renewal = None;
        host.view = None;
        host.member = Some(Member::new(now, plan));
        self.turn(at)
    }

    /// The configurations in which a node can run, the one in which it would found a cluster first: two nodes each would
    /// found the same.
    fn digests(node: NodeId) -> Vec<u64> {
        let mut digests = vec![1, 2, 3];
        digests.rotate_left(usize::from(node.0 - 1) / 2 % 3);
        digests
    }

    /// Does every member's key say that it runs as the view does?
    fn check_statements(&mut self) -> Result<(), String> {
        let Answer::Read(entries) = self.engine.apply(self.engine_time(), &Call::Read) else { return Ok(()) };
        let Ok(snapshot) = Snapshot::new(&self.keys, &entries) else { return Ok(()) };
        let Some(view) = snapshot.view() else { return Ok(()) };
        for seat in &view.members {
            let life = snapshot.life(seat.node(), seat.incarnation());
            let stated = life.map_or(view.digest, |life| life.record.digest);
            if stated != view.digest {
                return Err(format!(
                    "{seat:?} states {stated}, and epoch {} has {}",
                    view.epoch, view.digest
                ));
            }
        }
        Ok(())
    }

    /// The process of a host dies.
    pub(super) fn crash(&mut self, at: usize, comes_back_after: u64) {
        let host = &mut self.hosts[at];
        host.attempt += 1;
        host.member = None;
        host.previous = None;
        host.paused_until = 0;
        if let Some(life) = host.life.take() {
            self.ledger.stop(life, self.time);
        }
        let attempt = host.attempt;
        self.schedule(comes_back_after, What::Rejoin(at, attempt));
    }

    pub(super) fn leave(&mut self, at: usize) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let Some(life) = host.life else { return Ok(()) };
        self.ledger.stop(life, self.time);
        let now = host.clock.instant(self.time);
        if let Some(member) = &mut host.member {
            member.handle_leaving(now);
        }
        self.turn(at)
    }

    pub(super) fn announce(&mut self, at: usize) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let now = host.clock.instant(self.time);
        if let Some(member) = &mut host.member
            && host.life.is_some()
        {
            member.handle_announcement(now);
        }
        self.turn(at)
    }

    pub(super) fn report(&mut self, at: usize, reachable: &[NodeId]) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let now = host.clock.instant(self.time);
        if let Some(member) = &mut host.member {
            member.handle_reachable(now, reachable);
        }
        self.turn(at)
    }

    pub(super) fn get_stuck(&mut self, at: usize, span: u64) {
        let host = &mut self.hosts[at];
        host.stuck_at = host.clock.instant(self.time);
        host.stuck_until = self.time + span;
    }

    pub(super) fn engine_time(&self) -> u64 {
        self.engine_clock.at(self.time)
    }

    /// Tells those that watch, some of them.
    pub(super) fn hint(&mut self) {
        for at in 0..self.hosts.len() {
            if self.random.u8(..) < 200 {
                let after = self.random.u64(..SECOND / 20);
                self.schedule(after, What::Hint(at));
            }
        }
    }

    fn schedule(&mut self, after: u64, what: What) {
        self.scheduled += 1;
        self.queue.insert((self.time + after, self.scheduled), what);
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        // Nothing happens in a process that is paused, or in an engine that is stalled, before that is over.
        if let Some(again) = self.postponed(&what) {
            self.schedule(again, what);
            return Ok(());
        }
        match what {
            What::Wake(at, attempt) if self.hosts[at].attempt == attempt => self.turn(at),
            What::Arrive(at, attempt, id, call) => self.arrive(at, attempt, id, &call),
            What::ArriveRenewal(at, attempt, id, lease) => {
                let renewed = self.engine.renew(self.engine_time(), lease);
                self.send(at, What::AnswerRenewal(at, attempt, id, renewed));
                Ok(())
            }
            What::Answer(at, attempt, id, answer) => {
                let host = &mut self.hosts[at];
                if host.attempt == attempt && host.call == Some(id) {
                    host.call = None;
                    let now = host.clock.instant(self.time);
                    let member = host.member.as_mut().expect("an attempt has a member");
                    member.handle_answer(now, answer);
                }
                self.turn(at)
            }
            What::AnswerRenewal(at, attempt, id, renewed) => self.renewed(at, attempt, id, renewed),
            What::Deadline(at, attempt, id) => {
                self.ledger.counts.unanswered += u64::from(self.hosts[at].call == Some(id));
                let nothing = Answer::Nothing("no answer".to_owned());
                self.renewed(at, attempt, id, Renewed::Nothing)?;
                self.happen(What::Answer(at, attempt, id, nothing))
            }
            What::Hint(at) => {
                let host = &mut self.hosts[at];
                let now = host.clock.instant(self.time);
                if let Some(member) = &mut host.member {
                    member.handle_hint(now);
                }
                self.turn(at)
            }
            What::Rejoin(at, attempt) if self.hosts[at].attempt == attempt => {
                let is_same = self.hosts[at].member.is_some();
                self.join(at, is_same)
            }
            What::Reap => {
                self.schedule(REAP_EVERY, What::Reap);
                if self.engine.reap(self.engine_time()) {
                    self.hint();
                }
                Ok(())
            }
            What::Wake(..) | What::Rejoin(..) => Ok(()),
        }
    }

    fn postponed(&self, what: &What) -> Option<u64> {
        let until = match what {
            What::Arrive(..) | What::ArriveRenewal(..) | What::Reap => self.stalled_until,
            What::Wake(..)
            | What::Answer(..)
            | What::AnswerRenewal(..)
            | What::Deadline(..)
            | What::Hint(_)
            | What::Rejoin(..) => self.hosts[what.host()?].paused_until,
        };
        (until > self.time).then(|| until - self.time)
    }

    fn arrive(&mut self, at: usize, attempt: u64, id: u64, call: &Call) -> Result<(), String> {
        let (revision, views) = (self.engine.revision(), self.engine.views.len());
        let answer = self.engine.apply(self.engine_time(), call);
        self.ledger.counts.conflicts = self.engine.conflicts;
        if let Some((_, view)) = self.engine.views.get(views) {
            self.ledger.store(self.time, view)?;
        }
        if self.engine.revision() != revision {
            self.check_statements()?;
            self.hint();
        }
        self.send(at, What::Answer(at, attempt, id, answer));
        Ok(())
    }

    fn renewed(&mut self, at: usize, attempt: u64, id: u64, renewed: Renewed) -> Result<(), String> {
        let host = &mut self.hosts[at];
        let Some((_, sent_at)) = host.renewal.filter(|(sent, _)| *sent == id && host.attempt == attempt)
        else {
            return Ok(());
        };
        host.renewal = None;
        let now = host.clock.instant(self.time);
        let member = host.member.as_mut().expect("an attempt has a member");
        if let Some(certainty) = member.handle_renewed(now, sent_at, renewed) {
            if certainty.fenced_at <= now {
                return Err(format!("node {} is told of a certainty that has ended", host.node));
            }
            let until = host.clock.time(certainty.fenced_at) + self.overconfidence;
            self.ledger.believe(host.life.expect("whoever is certain is a member"), until);
        }
        self.turn(at)
    }

    /// A message between a host and the engine, either way.
    fn send(&mut self, at: usize, what: What) {
        let is_cut = self.hosts[at].cut_until > self.time;
        if is_cut || self.random.u8(..) < self.loss {
            return;
        }
        let is_late = self.random.u8(..) < self.lateness;
        self.ledger.counts.late += u64::from(is_late);
        let after = if is_late { self.random.u64(..15 * SECOND) } else { self.random.u64(..SECOND / 50) };
        self.schedule(after, what);
    }

    /// Lets a host do whatever it can do now.
    fn turn(&mut self, at: usize) -> Result<(), String> {
        if self.hosts[at].paused_until > self.time {
            return Ok(());
        }
        let now = self.hosts[at].clock.instant(self.time);
        let attempt = self.hosts[at].attempt;
        if let Some(member) = &mut self.hosts[at].member {
            member.handle_timeout(now);
        }
        self.tell(at)?;
        let host = &mut self.hosts[at];
        let Some(member) = &mut host.member else { return Ok(()) };
        let mut wake_at = Instant::NEVER;
        let call = if host.call.is_none() { member.poll_call(now) } else { None };
        let alive_at = if host.stuck_until > self.time { host.stuck_at } else { now };
        let renewal = if host.renewal.is_some() { Renewal::End } else { member.poll_renewal(now, alive_at) };
        if let Renewal::Wait(until) = renewal {
            wake_at = until;
        }
        wake_at = wake_at.min(member.poll_timeout());
        let deadline = u64::try_from(member.timing().call_max().as_nanos()).unwrap();
        self.tell(at)?;
        if let Some(call) = call {
            self.scheduled += 1;
            let id = self.scheduled;
            self.hosts[at].call = Some(id);
            self.schedule(deadline, What::Deadline(at, attempt, id));
            self.send(at, What::Arrive(at, attempt, id, call));
        } else if wake_at <= now {
            return Err(format!("node {} wants to be woken at once, again and again", self.hosts[at].node));
        }
        if let Renewal::Send(lease) = renewal {
            self.scheduled += 1;
            let id = self.scheduled;
            self.hosts[at].renewal = Some((id, now));
            self.schedule(deadline, What::Deadline(at, attempt, id));
            self.send(at, What::ArriveRenewal(at, attempt, id, lease));
        }
        if wake_at != Instant::NEVER {
            let wake = self.hosts[at].clock.time(wake_at).max(self.time + 1);
            self.schedule(wake - self.time, What::Wake(at, attempt));
        }
        Ok(())
    }

    /// Takes what the member has to tell, as the node would.
    fn tell(&mut self, at: usize) -> Result<(), String> {
        loop {
            let host = &mut self.hosts[at];
            let Some(member) = &mut host.member else { return Ok(()) };
            let lease = member.lease();
            let Some(event) = member.poll_event() else { return Ok(()) };
            let again = match event {
                Event::Keep(floor) => {
                    if floor.epoch <= host.floor.epoch || floor.incarnation < host.floor.incarnation {
                        return Err(format!("{floor:?} is kept after {:?}", host.floor));
                    }
                    host.floor = floor;
                    continue;
                }
                Event::Joined(life) => {
                    host.life = Some(life);
                    host.digest = Some(member.digest());
                    self.ledger.counts.adapted += u64::from(member.digest() != Self::digests(host.node)[0]);
                    self.ledger.join(self.time, life, member.digest())?;
                    continue;
                }
                Event::Certainty(certainty) => {
                    let until = host.clock.time(certainty.fenced_at) + self.overconfidence;
                    self.ledger.believe(host.life.expect("it has joined"), until);
                    continue;
                }
                Event::View(view) => {
                    if view.epoch != host.floor.epoch {
                        return Err("a view was told that is not kept".to_owned());
                    }
                    self.ledger.tell(host.life.expect("it has joined"), &view)?;
                    host.view = Some(view);
                    continue;
                }
                Event::Warning(_) => continue,
                // It may hear of it late: what it believes in stays until it joins again.
                Event::Fenced(_) => {
                    self.ledger.counts.fenced += 1;
                    host.previous = lease;
                    true
                }
                Event::Refused(error) => {
                    self.ledger.counts.refused += 1;
                    if matches!(error, MembershipError::Configuration(_)) {
                        // The cluster was founded anew otherwise: somebody starts the process again.
                        host.digest = None;
                    }
                    true
                }
                Event::Left => true,
            };
            let attempt = host.attempt;
            let after = self.random.u64(..3 * SECOND);
            assert!(again, "whatever ends is begun anew");
            self.schedule(after, What::Rejoin(at, attempt));
        }
    }

    /// An operator deletes the key of a member that may live.
    pub(super) fn delete_member_key(&mut self, at: usize) {
        let key = self.keys.name(Topic::Member(self.hosts[at].node));
        self.ledger.counts.deleted += u64::from(self.hosts[at].life.is_some());
        self.engine.operate(Op::Delete(key));
        self.hint();
    }

    pub(super) fn hold_key(&self, at: usize) -> String {
        self.keys.name(Topic::Hold(self.hosts[at].node))
    }
}
