//! What a node tells its clients of itself.

use std::collections::BTreeMap;

use lockmaster_tokio::lockmaster_core::Traffic;
use lockmaster_tokio::{ClusterMember, Node, Party, QueueName, ResourceEntry, Snapshot, SpaceId, Standing};

use crate::control::message::{
    Ask, ClientRow, Level, LockRow, MemberRow, NodeRow, RangeRow, Row, ShareRow, StatsRow, WaiterRow,
};
use crate::control::server::{Control, Leave};

/// What an answer tells of. Its rows are made one by one, while they are sent.
#[derive(Default)]
pub(crate) struct Answer {
    /// Rows of which there are as many as members.
    first: Vec<Row>,
    ranges: Vec<RangeRow>,
    clients: Vec<ClientRow>,
    /// What the locks and waiters are of, if they are asked for.
    snapshot: Option<Snapshot>,
    has_locks: bool,
    has_waiters: bool,
    stats: Option<StatsRow>,
}

impl Answer {
    /// The answer to a question, as of now.
    pub(crate) fn new(control: &Control, ask: &Ask) -> Self {
        let mut answer = Self::default();
        match ask {
            Ask::Status => answer.first = vec![Row::Node(node(control))],
            Ask::Members => answer.first = members(control),
            Ask::Map => answer.add_map(&control.node),
            Ask::Locks => (answer.snapshot, answer.has_locks) = (Some(control.node.snapshot()), true),
            Ask::Waiters => (answer.snapshot, answer.has_waiters) = (Some(control.node.snapshot()), true),
            Ask::Dump => {
                answer.first = vec![Row::Node(node(control))];
                answer.first.extend(members(control));
                answer.add_map(&control.node);
                answer.clients = control.client_rows();
                answer.snapshot = Some(control.node.snapshot());
                (answer.has_locks, answer.has_waiters) = (true, true);
                answer.stats = Some(stats(&control.node));
            }
            Ask::Hello { .. }
            | Ask::Drain
            | Ask::Transfer { .. }
            | Ask::Leash { .. }
            | Ask::Lock(_)
            | Ask::Running { .. }
            | Ask::Release => {}
        }
        answer
    }

    fn add_map(&mut self, node: &Node) {
        self.ranges = ranges(node);
        self.first.extend(shares(&self.ranges).map(Row::Share));
    }

    /// The rows, in order.
    pub(crate) fn rows<'a>(&'a self, control: &'a Control) -> impl Iterator<Item = Row> + 'a {
        let snapshot = self.snapshot.iter();
        let locks = snapshot.clone().filter(|_| self.has_locks).flat_map(|snapshot| locks(control, snapshot));
        let waiters = snapshot.filter(|_| self.has_waiters).flat_map(|snapshot| waiters(control, snapshot));
        let first = self.first.iter().cloned();
        let first = first.chain(self.ranges.iter().cloned().map(Row::Range));
        let first = first.chain(self.clients.iter().cloned().map(Row::Client));
        first.chain(locks).chain(waiters).chain(self.stats.iter().cloned().map(Row::Stats))
    }
}

/// Can the answer be so large that only a few may be under way?
pub(crate) const fn is_large(ask: &Ask) -> bool {
    matches!(ask, Ask::Locks | Ask::Waiters | Ask::Map | Ask::Dump)
}

fn node(control: &Control) -> NodeRow {
    let node = &control.node;
    let (map, view) = (node.map(), node.view());
    let is_leaving = *control.leave.borrow() != Leave::No
        || view.as_ref().and_then(|view| view.member(node.id())).is_some_and(|member| member.is_leaving);
    let standing = match node.standing() {
        Standing::Outside => "outside",
        Standing::Member if is_leaving => "leaving",
        Standing::Member => "member",
        Standing::Suspect => "suspect",
        Standing::Fenced => "fenced",
    };
    NodeRow {
        node: node.id().0,
        cluster: control.cluster.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        pid: rustix::process::getpid().as_raw_pid(),
        uptime_ms: u64::try_from(control.start.elapsed().as_millis()).unwrap_or(u64::MAX),
        standing: standing.to_owned(),
        is_settled: node.is_settled(),
        epoch: view.as_ref().map(|view| view.epoch.0),
        members: wide(view.map_or(0, |view| view.members.len())),
        connected: wide(node.link_stats().up),
        machines: wide(node.machine_count()),
        slots: map.slots_of(node.id()),
        slots_in_all: node.all_slots().len,
        resources: u64::from(map.room.resources),
        locks: u64::from(map.room.physical),
        clients: wide(control.count()),
        spaces: control.spaces.clone(),
    }
}

fn members(control: &Control) -> Vec<Row> {
    let (this, map) = (control.node.id(), control.node.map());
    let row = |member: &ClusterMember| {
        Row::Member(MemberRow {
            node: member.node.0,
            is_this: member.node == this,
            address: member.address.to_string(),
            incarnation: member.incarnation.0,
            joined: member.joined.0,
            is_leaving: member.is_leaving,
            slots: map.slots_of(member.node),
        })
    };
    control.node.members().iter().map(row).collect()
}

/// How much each member masters.
fn shares(ranges: &[RangeRow]) -> impl Iterator<Item = ShareRow> + use<> {
    let mut shares: BTreeMap<Option<u16>, ShareRow> = BTreeMap::new();
    for range in ranges {
        let blank = ShareRow { master: range.master, slots: 0, moving: 0 };
        let (share, slots) = (shares.entry(range.master).or_insert(blank), range.last - range.first + 1);
        share.slots += slots;
        share.moving += if range.is_moving { slots } else { 0 };
    }
    shares.into_values()
}

/// All slots, those together that follow each other and have the same master.
fn ranges(node: &Node) -> Vec<RangeRow> {
    let mut ranges: Vec<RangeRow> = Vec::new();
    for slot in node.all_slots().slots() {
        let Some(view) = node.slot(slot) else { continue };
        let (master, is_moving) = (view.master.map(|master| master.0), view.is_moving);
        match ranges.last_mut() {
            Some(range) if range.master == master && range.is_moving == is_moving => range.last = slot.0,
            Some(_) | None => ranges.push(RangeRow { first: slot.0, last: slot.0, master, is_moving }),
        }
    }
    ranges
}

fn locks<'a>(control: &'a Control, snapshot: &'a Snapshot) -> impl Iterator<Item = Row> + 'a {
    snapshot.resources.iter().flat_map(|resource| locks_of(control, resource))
}

/// The locks of one resource: bounded by the members, and by what its owners hold.
fn locks_of(control: &Control, resource: &ResourceEntry) -> Vec<Row> {
    let mut rows = Vec::new();
    let blank = LockRow {
        space: space(control, resource.space),
        name: resource.name.escape_ascii().to_string(),
        master: resource.master.0,
        level: Level::Node,
        holder: 0,
        pid: None,
        queue: String::new(),
        held: None,
        wanted: None,
        token: String::new(),
    };
    rows.extend(resource.physical.iter().map(|lock| {
        Row::Lock(LockRow {
            holder: lock.node.0.into(),
            queue: queue(lock.queue).to_owned(),
            held: lock.held.map(|mode| mode.to_string()),
            wanted: lock.wanted.map(|mode| mode.to_string()),
            token: lock.token.to_string(),
            ..blank.clone()
        })
    }));
    rows.extend(resource.locks.iter().map(|lock| {
        Row::Lock(LockRow {
            level: Level::Owner,
            holder: lock.owner.0,
            pid: control.pid_of(lock.owner.0),
            queue: queue(lock.queue).to_owned(),
            held: lock.held.map(|mode| mode.to_string()),
            wanted: lock.wanted.map(|mode| mode.to_string()),
            token: lock.token.to_string(),
            ..blank.clone()
        })
    }));
    rows
}

fn waiters<'a>(control: &'a Control, snapshot: &'a Snapshot) -> impl Iterator<Item = Row> + 'a {
    let row = |resource: &ResourceEntry, waiter: Party, holder: Party| {
        let (level, waiter, waiter_pid) = party(control, waiter);
        let (_, holder, holder_pid) = party(control, holder);
        let name = resource.name.escape_ascii().to_string();
        let space = space(control, resource.space);
        Row::Waiter(WaiterRow { space, name, level, waiter, waiter_pid, holder, holder_pid })
    };
    snapshot.waits().map(move |wait| row(wait.resource, wait.waiter, wait.holder))
}

fn party(control: &Control, party: Party) -> (Level, u64, Option<i32>) {
    match party {
        Party::Node(node) => (Level::Node, node.0.into(), None),
        Party::Owner(owner) => (Level::Owner, owner.0, control.pid_of(owner.0)),
    }
}

fn stats(node: &Node) -> StatsRow {
    let (stats, links) = (node.stats(), node.link_stats());
    let mut counters: Vec<(String, u64)> = [
        ("asked", stats.asked),
        ("granted", stats.granted),
        ("granted_retained", stats.granted_retained),
        ("denied", stats.denied),
        ("cancelled", stats.cancelled),
        ("retained_dropped", stats.retained_dropped),
        ("frames_out", stats.frames_out),
        ("frames_in", stats.frames_in),
        ("messages_out", stats.messages_out),
        ("messages_in", stats.messages_in),
        ("repeats", stats.repeats),
        ("frames_dropped", stats.frames_dropped),
        ("messages_dropped", stats.messages_dropped),
        ("messages_unknown", stats.messages_unknown),
        ("answers_dropped", stats.answers_dropped),
        ("renewals", stats.renewals),
        ("redirects", stats.redirects),
        ("transfers_out", stats.transfers_out),
        ("transfers_in", stats.transfers_in),
        ("locks_out", stats.locks_out),
        ("locks_in", stats.locks_in),
        ("chunk_bytes_out", stats.chunk_bytes_out),
        ("chunk_bytes_in", stats.chunk_bytes_in),
        ("relayed_out", stats.relayed_out),
        ("relayed_in", stats.relayed_in),
        ("relays_dropped", stats.relays_dropped),
        ("views", stats.views),
        ("fenced", stats.fenced),
        ("locks_lost", stats.locks_lost),
        ("locks_purged", stats.locks_purged),
        ("locks_rebuilt", stats.locks_rebuilt),
        ("slots_rebuilt", stats.slots_rebuilt),
        ("resources_early", stats.resources_early),
        ("report_bytes_out", stats.report_bytes_out),
        ("connections_up", wide(links.up)),
        ("connections_begun", links.begun),
        ("connections_ended", links.ended),
        ("handshakes_failed", links.handshakes_failed),
        ("hellos_refused", links.hellos_refused),
        ("malformed", links.malformed),
        ("turned_away", links.turned_away),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let kinds = [
        ("requests", stats.requests),
        ("conversions", stats.conversions),
        ("releases", stats.releases),
        ("demands", stats.demands),
    ];
    for (name, Traffic { local, outgoing, incoming }) in kinds {
        let ways = [("local", local), ("outgoing", outgoing), ("incoming", incoming)];
        counters.extend(ways.map(|(way, value)| (format!("{name}_{way}"), value)));
    }
    StatsRow { counters: counters.into_iter().collect() }
}

fn space(control: &Control, space: SpaceId) -> String {
    control.spaces.get(usize::from(space.0)).cloned().unwrap_or_else(|| space.0.to_string())
}

const fn queue(queue: QueueName) -> &'static str {
    match queue {
        QueueName::Granted => "granted",
        QueueName::Convert => "convert",
        QueueName::Wait => "wait",
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
