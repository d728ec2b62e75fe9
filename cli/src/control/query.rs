//! What a node tells its clients of itself.

use std::collections::BTreeMap;

use lockmaster_tokio::lockmaster_core::Traffic;
use lockmaster_tokio::{ClusterMember, Node, Party, QueueName, ResourceEntry, Snapshot, SpaceId, Standing};

use crate::control::message::{
    Ask, Level, LockRow, MemberRow, NodeRow, RangeRow, Row, ShareRow, StatsRow, WaiterRow,
};
use crate::control::server::{Control, Leave};

/// The rows that answer a question.
pub(crate) fn rows(control: &Control, ask: &Ask) -> Vec<Row> {
    match ask {
        Ask::Status => vec![Row::Node(node(control))],
        Ask::Members => members(control),
        Ask::Locks => locks(control, &control.node.snapshot()),
        Ask::Waiters => waiters(control, &control.node.snapshot()),
        Ask::Map => map(&control.node),
        Ask::Dump => {
            let mut rows = vec![Row::Node(node(control))];
            rows.extend(members(control));
            rows.extend(map(&control.node));
            rows.extend(control.client_rows().into_iter().map(Row::Client));
            let snapshot = control.node.snapshot();
            rows.extend(locks(control, &snapshot));
            rows.extend(waiters(control, &snapshot));
            rows.push(Row::Stats(stats(&control.node)));
            rows
        }
        Ask::Hello { .. }
        | Ask::Drain
        | Ask::Transfer { .. }
        | Ask::Leash { .. }
        | Ask::Lock(_)
        | Ask::Running { .. }
        | Ask::Release => Vec::new(),
    }
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

fn map(node: &Node) -> Vec<Row> {
    let ranges = ranges(node);
    let mut shares: BTreeMap<Option<u16>, ShareRow> = BTreeMap::new();
    for range in &ranges {
        let blank = ShareRow { master: range.master, slots: 0, moving: 0 };
        let (share, slots) = (shares.entry(range.master).or_insert(blank), range.last - range.first + 1);
        share.slots += slots;
        share.moving += if range.is_moving { slots } else { 0 };
    }
    shares.into_values().map(Row::Share).chain(ranges.into_iter().map(Row::Range)).collect()
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

fn locks(control: &Control, snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = Vec::new();
    for resource in &snapshot.resources {
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
    }
    rows
}

fn waiters(control: &Control, snapshot: &Snapshot) -> Vec<Row> {
    let row = |resource: &ResourceEntry, waiter: Party, holder: Party| {
        let (level, waiter, waiter_pid) = party(control, waiter);
        let (_, holder, holder_pid) = party(control, holder);
        let name = resource.name.escape_ascii().to_string();
        let space = space(control, resource.space);
        Row::Waiter(WaiterRow { space, name, level, waiter, waiter_pid, holder, holder_pid })
    };
    snapshot.waits().map(|wait| row(wait.resource, wait.waiter, wait.holder)).collect()
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
