//! The provider.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockmaster_async::lockmaster_core::ClusterId;
use lockmaster_async::{Candidate, Inbox, Instant, Joined, Membership, MembershipError, NodeId, Session};

use crate::exile::Exile;
use crate::floor::FloorFile;
use crate::keys::Keys;
use crate::link::Link;
use crate::member::{Member, Plan};
use crate::options::{EtcdError, EtcdOptions};
use crate::store::LeaseId;
use crate::timing::Timing;
use crate::worker::{self, Shared};

/// Membership with etcd as its engine.
#[derive(Clone, Debug)]
pub struct Etcd {
    options: Arc<EtcdOptions>,
    timing: Timing,
    ended: Arc<Mutex<Ended>>,
}

/// What is left of lives that have ended in this process, the last of each node.
type Ended = BTreeMap<(ClusterId, NodeId), Past>;

#[derive(Clone, Copy, Debug, Default)]
struct Past {
    /// It stands in the way of the next life.
    lease: Option<LeaseId>,
    exile: Exile,
    /// Its number was chosen here, so its state is in the file for all numbers.
    is_chosen: bool,
}

impl Etcd {
    /// A provider with these options. Nothing is called before a node joins.
    ///
    /// # Errors
    /// [`EtcdError`] says which option cannot be used.
    pub fn new(options: EtcdOptions) -> Result<Self, EtcdError> {
        let timing = options.check()?;
        Ok(Self { options: Arc::new(options), timing, ended: Arc::default() })
    }

    fn join_past(&self, candidate: &Candidate) -> Past {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let place = candidate.node.map(|node| (candidate.cluster, node));
        place.and_then(|place| ended.get(&place).copied()).unwrap_or_default()
    }

    fn join_plan(
        &self,
        candidate: &Candidate,
        floor: &FloorFile,
        previous: Option<LeaseId>,
    ) -> Result<Plan, MembershipError> {
        let path = floor.path().display().to_string();
        let floor = floor.read().map_err(|source| MembershipError::Io { path, source })?;
        Ok(Plan {
            keys: Keys::new(candidate.cluster),
            digest: candidate.choose(None)?,
            candidate: candidate.clone(),
            timing: self.timing,
            previous,
            floor,
            seed: fastrand::u64(..),
        })
    }
}

impl Membership for Etcd {
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError> {
        let past = self.join_past(candidate);
        // Who comes back brings the number that was chosen for it.
        let is_chosen = past.is_chosen || candidate.node.is_none();
        let given = candidate.node.filter(|_| !is_chosen);
        let floor = FloorFile::new(&self.options.state, candidate.cluster, given);
        let left = past.exile.left(inbox.now());
        if !left.is_zero() {
            let why = format!("other members could not reach this node: it may join again in {left:?}");
            return Err(MembershipError::Unreachable(why));
        }
        let plan = self.join_plan(candidate, &floor, past.lease)?;
        let keys = plan.keys.clone();
        let member = Member::new(inbox.now(), plan);
        let clock = inbox.clone();
        let link = || Link::new(Arc::clone(&self.options), keys.clone(), self.timing);
        let shared = worker::start(member, inbox, floor, link)
            .map_err(|source| MembershipError::Io { path: "a thread".to_owned(), source })?;
        let life = shared.wait_joined()?;
        let digest = shared.with(|member, _| member.digest());
        let session = EtcdSession {
            shared,
            place: (candidate.cluster, life.node),
            ended: Arc::clone(&self.ended),
            exile: past.exile,
            is_chosen,
            joined_at: clock.now(),
            clock,
        };
        Ok(Joined { node: life.node, incarnation: life.incarnation, digest, session: Box::new(session) })
    }
}

/// A node's side of its membership.
struct EtcdSession {
    shared: Arc<Shared>,
    place: (ClusterId, NodeId),
    ended: Arc<Mutex<Ended>>,
    /// The exile before this life.
    exile: Exile,
    is_chosen: bool,
    joined_at: Instant,
    /// Asked for nothing but the time.
    clock: Inbox,
}

impl Session for EtcdSession {
    fn announce_leaving(&self) -> Result<(), MembershipError> {
        let most = self.shared.with(|member, now| {
            member.handle_announcement(now);
            member.timing().leave_max()
        });
        if self.shared.wait_announced(most) {
            return Ok(());
        }
        Err(MembershipError::Unreachable(format!("etcd has not taken note of it within {most:?}")))
    }

    fn leave(self: Box<Self>) {
        let most = self.shared.with(|member, now| {
            member.handle_leaving(now);
            member.timing().leave_max() + member.timing().call_max() * 2
        });
        self.shared.wait_over(most);
    }

    fn report_reachable(&self, reachable: &[NodeId]) {
        self.shared.with(|member, now| member.handle_reachable(now, reachable));
    }
}

impl Drop for EtcdSession {
    fn drop(&mut self) {
        let (lease, ttl, is_exiled) = self.shared.stop();
        let exile = self.exile.after(self.joined_at, self.clock.now(), is_exiled, ttl);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.insert(self.place, Past { lease, exile, is_chosen: self.is_chosen });
    }
}
