//! Rows as tables for people.

use core::time::Duration;

use crate::control::message::{
    ClientRow, Level, LockRow, MemberRow, NodeRow, RangeRow, Row, ShareRow, StatsRow, WaiterRow,
};
use crate::text::{columns_left, count, counted};

/// All tables that these rows make, one after the other.
pub(super) fn render(rows: &[Row]) -> String {
    let mut tables = Tables::default();
    for row in rows {
        match row {
            Row::Node(node) => tables.node(node),
            Row::Member(member) => tables.members.push(member_cells(member)),
            Row::Share(share) => tables.shares.push(share_cells(share)),
            Row::Range(range) => tables.ranges.push(range_cells(range)),
            Row::Client(client) => tables.clients.push(client_cells(client)),
            Row::Lock(lock) => tables.locks.push(lock_cells(lock)),
            Row::Waiter(waiter) => tables.waiters.push(waiter_cells(waiter)),
            Row::Stats(stats) => tables.stats(stats),
        }
    }
    tables.render()
}

#[derive(Default)]
struct Tables {
    node: Vec<[String; 2]>,
    members: Vec<[String; 6]>,
    shares: Vec<[String; 3]>,
    ranges: Vec<[String; 3]>,
    clients: Vec<[String; 6]>,
    locks: Vec<[String; 8]>,
    waiters: Vec<[String; 4]>,
    stats: Vec<[String; 2]>,
}

impl Tables {
    fn node(&mut self, node: &NodeRow) {
        let epoch = node.epoch.map_or_else(String::new, |epoch| format!(" of view {epoch}"));
        let unsettled = if node.is_settled { "" } else { ", not settled yet" };
        let others = counted(node.connected, "other");
        let lines = [
            ("node", format!("{} of cluster {}, process {}", node.node, node.cluster, node.pid)),
            ("program", node.program.clone()),
            ("up", uptime(Duration::from_millis(node.uptime_ms))),
            ("standing", format!("{}{epoch}{unsettled}", node.standing)),
            ("members", format!("{}, connected to {others}", count(node.members))),
            ("machines", count(node.machines)),
            (
                "masters",
                format!("{} of {}", count(node.slots.into()), counted(node.slots_in_all.into(), "slot")),
            ),
            (
                "on record",
                format!("{}, {}", counted(node.resources, "resource"), counted(node.locks, "lock")),
            ),
            ("clients", count(node.clients)),
            ("spaces", node.spaces.join(", ")),
        ];
        self.node.extend(lines.map(|(name, value)| [name.to_owned(), value]));
    }

    fn stats(&mut self, stats: &StatsRow) {
        self.stats.extend(stats.counters.iter().map(|(name, value)| [name.clone(), count(*value)]));
    }

    fn render(self) -> String {
        let tables = [
            columns_left(&self.node),
            titled(["node", "slots", "address", "joined", "incarnation", ""], self.members),
            titled(["master", "slots", "moving"], self.shares),
            titled(["slots", "master", ""], self.ranges),
            titled(["client", "pid", "uid", "name", "mode", "group"], self.clients),
            titled(["space", "name", "master", "queue", "mode", "whose", "pid", "token"], self.locks),
            titled(["space", "name", "waits", "for"], self.waiters),
            columns_left(&self.stats),
        ];
        let tables: Vec<String> = tables.into_iter().filter(|table| !table.is_empty()).collect();
        tables.join("\n")
    }
}

/// A table with its titles; nothing if it has no rows.
fn titled<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let titles = titles.map(str::to_owned);
    columns_left(&[vec![titles], rows].concat())
}

fn member_cells(member: &MemberRow) -> [String; 6] {
    let note = match (member.is_this, member.is_leaving) {
        (true, true) => "this, leaving",
        (true, false) => "this",
        (false, true) => "leaving",
        (false, false) => "",
    };
    [
        member.node.to_string(),
        count(member.slots.into()),
        member.address.clone(),
        member.joined.to_string(),
        member.incarnation.to_string(),
        note.to_owned(),
    ]
}

fn share_cells(share: &ShareRow) -> [String; 3] {
    [known(share.master.as_ref()), count(share.slots.into()), count(share.moving.into())]
}

fn range_cells(range: &RangeRow) -> [String; 3] {
    let note = if range.is_moving { "moving" } else { "" };
    [format!("{}..{}", range.first, range.last), known(range.master.as_ref()), note.to_owned()]
}

fn client_cells(client: &ClientRow) -> [String; 6] {
    [
        client.client.to_string(),
        known(client.pid.as_ref()),
        client.uid.to_string(),
        known(client.name.as_ref()),
        known(client.mode.as_ref()),
        known(client.group.as_ref()),
    ]
}

fn lock_cells(lock: &LockRow) -> [String; 8] {
    let mode = match (&lock.held, &lock.wanted) {
        (None, None) => "-".to_owned(),
        (Some(held), None) => held.clone(),
        (None, Some(wanted)) => format!("->{wanted}"),
        (Some(held), Some(wanted)) => format!("{held}->{wanted}"),
    };
    [
        lock.space.clone(),
        lock.name.clone(),
        lock.master.to_string(),
        lock.queue.clone(),
        mode,
        whose(lock.level, lock.holder),
        known(lock.pid.as_ref()),
        lock.token.clone(),
    ]
}

fn waiter_cells(waiter: &WaiterRow) -> [String; 4] {
    let party = |number, pid: Option<i32>| {
        let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        whose(waiter.level, number) + &process
    };
    [
        waiter.space.clone(),
        waiter.name.clone(),
        party(waiter.waiter, waiter.waiter_pid),
        party(waiter.holder, waiter.holder_pid),
    ]
}

fn whose(level: Level, number: u64) -> String {
    match level {
        Level::Node => format!("node {number}"),
        Level::Owner => format!("owner {number}"),
    }
}

fn known<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), T::to_string)
}

/// A long time in the two largest units that it has: `3 d 4 h`, `12 s`.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(first).take(2).map(|(number, unit)| format!("{number} {unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
