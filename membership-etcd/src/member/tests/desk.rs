//! One member and an engine that answers at once, in time that a test lets pass.

use core::time::Duration;

use lockmaster_async::lockmaster_core::ClusterId;

use super::engine::Engine;
use super::*;
use crate::keys::Topic;
use crate::store::Op;

pub(super) const T: Duration = Duration::from_secs(10);
pub(super) const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Desk {
    pub(super) member: Member,
    pub(super) engine: Engine,
    pub(super) now: Instant,
    pub(super) calls: Vec<(Instant, Call)>,
    pub(super) told: Vec<Event>,
    pub(super) renewed_at: Vec<Instant>,
    /// When the node's driver ran last, if it does not run all the time.
    pub(super) stuck_at: Option<Instant>,
    /// The engine does not answer.
    pub(super) is_cut: bool,
    /// Another's call, which arrives just before the next view.
    pub(super) overtaking: Option<Call>,
}

pub(super) fn plan(node: u16) -> Plan {
    Plan {
        keys: keys(),
        candidate: Candidate {
            cluster: ClusterId(1),
            node: Some(NodeId(node)),
            address: "127.0.0.1:1".parse().unwrap(),
            digests: vec![1],
        },
        digest: 1,
        timing: Timing { ttl: T, margin: Duration::from_secs(1), settle: SETTLE },
        previous: None,
        floor: Floor::default(),
        seed: 1,
    }
}

/// A node that can run in these configurations, and would found a cluster in the first.
pub(super) fn able(node: u16, digests: &[u64]) -> Plan {
    let plan = plan(node);
    let candidate = Candidate { digests: digests.to_vec(), ..plan.candidate };
    Plan { candidate, digest: digests[0], ..plan }
}

pub(super) fn keys() -> Keys {
    Keys::new(ClusterId(1))
}

pub(super) fn name(topic: Topic) -> String {
    keys().name(topic)
}

impl Desk {
    pub(super) fn new(plan: Plan) -> Self {
        Self::with(plan, Engine::new(keys()))
    }

    pub(super) fn with(plan: Plan, engine: Engine) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            member: Member::new(now, plan),
            engine,
            now,
            calls: Vec::new(),
            told: Vec::new(),
            renewed_at: Vec::new(),
            stuck_at: None,
            is_cut: false,
            overtaking: None,
        }
    }

    /// A node that is a member, with these others.
    pub(super) fn joined(node: u16, others: &[u16]) -> Self {
        let mut desk = Self::new(plan(node));
        others.iter().for_each(|other| desk.engine.enliven(*other, 1));
        desk.pass(T / 2);
        let seats = desk.engine.view().map_or(0, |view| view.members.len());
        assert_eq!(seats, others.len() + 1, "all are members");
        desk.forget();
        desk
    }

    pub(super) fn forget(&mut self) {
        self.calls.clear();
        self.told.clear();
        self.renewed_at.clear();
    }

    /// Does everything that can be done now.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            self.hear();
            self.renew();
            let Some(call) = self.member.poll_call(self.now) else {
                self.hear();
                return;
            };
            self.calls.push((self.now, call.clone()));
            let is_view = |op: &Op| matches!(op, Op::Put(key, ..) if *key == name(Topic::View));
            if matches!(&call, Call::Commit(transaction) if transaction.ops.iter().any(is_view))
                && let Some(overtaking) = self.overtaking.take()
            {
                self.engine.apply(self.now.as_nanos(), &overtaking);
            }
            if self.is_cut {
                self.member.handle_answer(self.now, Answer::Nothing("cut".to_owned()));
            } else {
                let answer = self.engine.apply(self.now.as_nanos(), &call);
                self.member.handle_answer(self.now, answer);
            }
        }
        panic!("it never has enough: {:?}", &self.calls[..20]);
    }

    /// Lets time pass, from one thing to do to the next.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        loop {
            self.settle();
            let alive_at = self.stuck_at.unwrap_or(self.now);
            let mut next = self.member.poll_timeout();
            if let Renewal::Wait(until) = self.member.poll_renewal(self.now, alive_at) {
                next = next.min(until);
            }
            if next > end {
                self.now = end;
                self.settle();
                return;
            }
            assert!(next > self.now, "it would spin");
            self.now = next;
        }
    }

    pub(super) fn hint(&mut self) {
        self.member.handle_hint(self.now);
        self.settle();
    }

    /// Something may have changed, and the node has not looked yet.
    pub(super) fn hint_later(&mut self) {
        self.member.handle_hint(self.now);
    }

    /// Lets time pass until the node wants to store a view, and another's call arrives first.
    pub(super) fn pass_to_last_commit(&mut self, span: Duration, before: Option<&Call>) {
        self.overtaking = before.cloned();
        self.pass(span);
        assert!(self.overtaking.is_none(), "a view was stored");
    }

    /// What the node said last about whom it cannot reach.
    pub(super) fn commits(&self, topic: Topic) -> usize {
        let is_about = |call: &&(Instant, Call)| match &call.1 {
            Call::Commit(transaction) => transaction.ops.iter().any(|op| match op {
                Op::Put(key, ..) | Op::Delete(key) => *key == name(topic),
            }),
            Call::Read | Call::Grant(_) | Call::Revoke(_) => false,
        };
        self.calls.iter().filter(is_about).count()
    }

    pub(super) fn reads(&self) -> usize {
        self.calls.iter().filter(|(_, call)| *call == Call::Read).count()
    }

    pub(super) fn members(&self) -> Vec<u16> {
        self.engine.view().map_or_else(Vec::new, |view| view.members.iter().map(|seat| seat.node).collect())
    }

    pub(super) fn fenced(&self) -> Option<&str> {
        self.told
            .iter()
            .find_map(|event| if let Event::Fenced(why) = event { Some(why.as_str()) } else { None })
    }

    pub(super) fn refused(&self) -> Option<String> {
        self.told
            .iter()
            .find_map(|event| if let Event::Refused(why) = event { Some(why.to_string()) } else { None })
    }

    fn hear(&mut self) {
        while let Some(event) = self.member.poll_event() {
            self.told.push(event);
        }
    }

    fn renew(&mut self) {
        let alive_at = self.stuck_at.unwrap_or(self.now);
        let Renewal::Send(lease) = self.member.poll_renewal(self.now, alive_at) else { return };
        self.renewed_at.push(self.now);
        let renewed =
            if self.is_cut { Renewed::Nothing } else { self.engine.renew(self.now.as_nanos(), lease) };
        if let Some(certainty) = self.member.handle_renewed(self.now, self.now, renewed) {
            self.told.push(Event::Certainty(certainty));
        }
    }
}
