//! Nodes that join through the provider and write down what they are told, and when.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use lockmaster_async::lockmaster_core::{Certainty, ClusterId, Epoch, Incarnation};
use lockmaster_async::{
    Candidate, ClusterMember, ClusterView, Hear, Inbox, Instant, Membership as _, MembershipError, NodeId,
    Session,
};
use lockmaster_etcd::{Etcd, EtcdOptions};
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::server::Servers;
use crate::time::PATIENCE;

pub(crate) const CLUSTER: ClusterId = ClusterId(0x10c);
/// Of nodes that are to lose their leases: short, so that the tests are.
pub(crate) const TTL: Duration = Duration::from_secs(3);
pub(crate) const MARGIN: Duration = Duration::from_millis(300);
pub(crate) const SETTLE: Duration = Duration::from_millis(300);

/// Of nodes that are to keep their leases, however busy the machine is.
const TTL_LASTING: Duration = Duration::from_secs(10);

/// A key of the cluster.
pub(crate) fn key(rest: &str) -> String {
    format!("/lockmaster/{:016x}/{rest}", CLUSTER.0)
}

/// Options for tests; the state of node `number` has a folder of its own below `state`.
pub(crate) fn options(endpoints: &[String], state: &Path) -> EtcdOptions {
    EtcdOptions::new(endpoints.iter().cloned(), state).ttl(TTL).margin(MARGIN).settle(SETTLE)
}

/// A provider with what it keeps on disk.
pub(crate) struct Site {
    pub(crate) etcd: Etcd,
    pub(crate) state: TempDir,
}

impl Site {
    pub(crate) fn new(endpoints: &[String]) -> Self {
        Self::with_ttl(endpoints, TTL)
    }

    /// A site whose nodes are to keep their leases.
    pub(crate) fn lasting(endpoints: &[String]) -> Self {
        Self::with_ttl(endpoints, TTL_LASTING)
    }

    fn with_ttl(endpoints: &[String], ttl: Duration) -> Self {
        let state = tempfile::tempdir().unwrap();
        let etcd = Etcd::new(options(endpoints, state.path()).ttl(ttl)).unwrap();
        Self { etcd, state }
    }

    pub(crate) fn of(servers: &Servers) -> Self {
        Self::new(&servers.endpoints())
    }

    /// The same state, reached by another process, which knows nothing of leases that ended.
    pub(crate) fn anew(&self, endpoints: &[String]) -> Etcd {
        Etcd::new(options(endpoints, self.state.path())).unwrap()
    }

    pub(crate) fn join(&self, number: u16) -> Node {
        Node::join(&self.etcd, number).unwrap()
    }
}

/// A node, or what is known of it once it is gone.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) ear: Arc<Ear>,
    pub(crate) session: Option<Box<dyn Session>>,
    pub(crate) joined_at: Instant,
}

impl Node {
    pub(crate) fn join(etcd: &Etcd, number: u16) -> Result<Self, MembershipError> {
        Self::join_as(etcd, candidate(Some(number)))
    }

    pub(crate) fn join_as(etcd: &Etcd, candidate: Candidate) -> Result<Self, MembershipError> {
        let ear = Arc::new(Ear::default());
        let joined = etcd.join(&candidate, Inbox::new(Arc::clone(&ear) as Arc<dyn Hear>))?;
        let (id, incarnation) = (joined.node, joined.incarnation);
        Ok(Self { id, incarnation, ear, session: Some(joined.session), joined_at: now() })
    }

    /// Ends as a crash would.
    pub(crate) fn crash(&mut self) {
        self.session = None;
    }

    pub(crate) fn leave(&mut self) {
        self.session.take().expect("it has not left").leave();
    }

    pub(crate) fn report_reachable(&self, nodes: &[u16]) {
        let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
        self.session.as_ref().expect("it is a member").report_reachable(&nodes);
    }

    /// Waits for a view of exactly these numbers. Returns it and when it was told.
    pub(crate) fn wait_view(&self, numbers: &[u16]) -> (Instant, ClusterView) {
        self.ear.wait(&format!("view {numbers:?} at node {}", self.id), |told| match told {
            Told::View(view) if ids(view) == numbers => Some(view.clone()),
            Told::View(_) | Told::Certainty(_) | Told::Fenced(_) => None,
        })
    }

    /// Waits for a view of three members of which this is so.
    pub(crate) fn wait_view_of(&self, what: &str, is_so: impl Fn(&ClusterMember) -> bool) {
        self.ear.wait(&format!("a view of {what} at node {}", self.id), |told| match told {
            Told::View(view) => (view.members.len() == 3 && view.members.iter().all(&is_so)).then_some(()),
            Told::Certainty(_) | Told::Fenced(_) => None,
        });
    }

    /// Waits until it is fenced. Returns when, and why.
    pub(crate) fn wait_fenced(&self) -> (Instant, String) {
        self.ear.wait(&format!("the end of node {}", self.id), |told| match told {
            Told::Fenced(why) => Some(why.clone()),
            Told::View(_) | Told::Certainty(_) => None,
        })
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.ear.told().iter().any(|(_, told)| matches!(told, Told::Fenced(_)))
    }

    /// What it was told last of its certainty.
    pub(crate) fn certainty(&self) -> Certainty {
        let told = self.ear.told();
        let mut certainties = told.iter().filter_map(|(_, told)| match told {
            Told::Certainty(certainty) => Some(*certainty),
            Told::View(_) | Told::Fenced(_) => None,
        });
        certainties.next_back().expect("it was a member")
    }

    pub(crate) fn views(&self) -> Vec<ClusterView> {
        let told = self.ear.told();
        let views = told.into_iter().filter_map(|(_, told)| match told {
            Told::View(view) => Some(view),
            Told::Certainty(_) | Told::Fenced(_) => None,
        });
        views.collect()
    }

    /// Waits for the next renewal.
    pub(crate) fn wait_renewed(&self) {
        let before = self.certainty();
        self.ear.wait(&format!("a renewal of node {}", self.id), |told| match told {
            Told::Certainty(certainty) => (certainty.fenced_at > before.fenced_at).then_some(()),
            Told::View(_) | Told::Fenced(_) => None,
        });
    }
}

pub(crate) fn candidate(number: Option<u16>) -> Candidate {
    let port = 7000 + number.unwrap_or(0);
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    Candidate { cluster: CLUSTER, node: number.map(NodeId), address, digests: vec![7] }
}

pub(crate) fn ids(view: &ClusterView) -> Vec<u16> {
    view.members.iter().map(|member| member.node.0).collect()
}

pub(crate) fn member(view: &ClusterView, number: u16) -> ClusterMember {
    *view.members.iter().find(|member| member.node.0 == number).expect("it is in the view")
}

/// An epoch has one view, whoever tells of it.
pub(crate) fn check_views<'a>(nodes: impl IntoIterator<Item = &'a Node>) {
    let mut known = std::collections::BTreeMap::<Epoch, ClusterView>::new();
    for node in nodes {
        let views = node.views();
        assert!(views.windows(2).all(|pair| pair[0].epoch < pair[1].epoch), "views in order");
        for view in views {
            assert!(
                view.members.iter().any(|seat| (seat.node, seat.incarnation) == (node.id, node.incarnation))
            );
            let first = known.entry(view.epoch).or_insert_with(|| view.clone());
            assert_eq!(*first, view, "two views of one epoch");
        }
    }
}

/// The clock of all nodes: that of this machine, which goes on while it sleeps.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap(), u64::try_from(time.tv_nsec).unwrap());
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}

#[derive(Clone, Debug)]
pub(crate) enum Told {
    View(ClusterView),
    Certainty(Certainty),
    Fenced(String),
}

/// What a node was told, and when.
#[derive(Default)]
pub(crate) struct Ear {
    told: Mutex<Vec<(Instant, Told)>>,
    heard: Condvar,
    stuck_at: Mutex<Option<Instant>>,
    is_over: AtomicBool,
}

impl Ear {
    /// From now on nobody listens any more.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// From now on the node's driver does not run any more.
    pub(crate) fn get_stuck(&self) {
        *self.stuck_at.lock().unwrap() = Some(now());
    }

    pub(crate) fn told(&self) -> Vec<(Instant, Told)> {
        self.told.lock().unwrap().clone()
    }

    /// Waits for a view that is so. Returns it and when it was told.
    pub(crate) fn wait_for_view(&self, is_so: impl Fn(&ClusterView) -> bool) -> (Instant, ClusterView) {
        self.wait("a view", |told| match told {
            Told::View(view) => is_so(view).then(|| view.clone()),
            Told::Certainty(_) | Told::Fenced(_) => None,
        })
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&Told) -> Option<T>) -> (Instant, T) {
        let mut told = self.told.lock().unwrap();
        loop {
            // The newest first: what held once need not be what is waited for now.
            if let Some(found) = told.iter().rev().find_map(|(at, told)| Some((*at, find(told)?))) {
                return found;
            }
            let (next, waited) = self.heard.wait_timeout(told, PATIENCE).unwrap();
            assert!(!waited.timed_out(), "waited in vain for {what}; told was {next:?}");
            told = next;
        }
    }

    fn hear(&self, told: Told) {
        self.told.lock().unwrap().push((now(), told));
        self.heard.notify_all();
    }
}

impl Hear for Ear {
    fn view(&self, view: ClusterView) {
        self.hear(Told::View(view));
    }

    fn certainty(&self, certainty: Certainty) {
        self.hear(Told::Certainty(certainty));
    }

    fn fenced(&self, why: &str) {
        self.hear(Told::Fenced(why.to_owned()));
    }

    fn trouble(&self, _: &str) {}

    fn now(&self) -> Instant {
        now()
    }

    fn last_alive(&self) -> Instant {
        self.stuck_at.lock().unwrap().unwrap_or_else(now)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}
