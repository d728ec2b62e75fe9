//! What a node's memory comes to: the tables of `docs/memory.md` are those that this test makes.
#![cfg(target_pointer_width = "64")]

use lockmaster_core::{
    ArrayMemory, Bucket, Deadline, Event, Flags, HeapMemory, Limits, Lock, Mode, NameCell, Node, Number,
    Peer, Physical, RelayCell, Resource, Retention, Slot, Storage, Tables, ValueCell,
};
use lockmaster_tests::cluster::{ANNA, Cluster, MASTER, config_of};

/// The page.
const PAGE: &str = include_str!("../../docs/memory.md");

/// Bytes of a record with what comes with it: its places in the index, among the free and in the heap of deadlines.
const RESOURCE: usize = size_of::<Resource>() + 2 * size_of::<Bucket>() + size_of::<u32>();
const PHYSICAL: usize = size_of::<Physical>() + size_of::<u32>();
const LOCK: usize = size_of::<Lock>() + size_of::<Deadline>();
const NAME: usize = size_of::<NameCell>();
const VALUE: usize = size_of::<ValueCell>();
const RELAY: usize = size_of::<RelayCell>();

/// Bytes of a slot with a floor for each member.
const fn slot(members: usize) -> usize {
    size_of::<Slot>() + members * size_of::<Number>()
}

/// A node without its tables.
const STATE: usize = size_of::<Node<Tables<'static>>>() - size_of::<Tables<'static>>();

/// Bytes of all tables; there are two places in the index for each resource.
fn bytes(limits: &Limits, slots: usize, members: usize) -> usize {
    let count = |count: u32| count as usize;
    let index = (2 * count(limits.resources)).next_power_of_two() * size_of::<Bucket>();
    count(limits.resources) * (size_of::<Resource>() + size_of::<u32>())
        + index
        + count(limits.physical) * PHYSICAL
        + count(limits.locks) * LOCK
        + count(limits.names) * NAME
        + count(limits.values) * VALUE
        + count(limits.relays) * RELAY
        + slots * slot(members)
        + members * size_of::<Peer>()
}

/// Bytes of the tables that a memory lends.
fn bytes_lent(memory: &mut impl Storage) -> usize {
    let tables = memory.tables();
    size_of_val(tables.resources)
        + size_of_val(tables.physical)
        + size_of_val(tables.locks)
        + size_of_val(tables.names)
        + size_of_val(tables.values)
        + size_of_val(tables.relays)
        + size_of_val(tables.buckets)
        + size_of_val(tables.free_resources)
        + size_of_val(tables.free_physical)
        + size_of_val(tables.slots)
        + size_of_val(tables.floors)
        + size_of_val(tables.patience)
        + size_of_val(tables.peers)
}

/// A number with a space between thousands.
fn spaced(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The page has this table, line by line.
fn is_in_page(head: &str, rows: &[String]) {
    let rule = "---|".repeat(head.matches('|').count() - 1);
    let table = format!("{head}\n|{rule}\n{}\n", rows.join("\n"));
    assert!(PAGE.contains(&table), "docs/memory.md should have this table:\n\n{table}");
}

#[test]
fn the_page_has_the_bytes_of_records() {
    let row =
        |what: &str, record: usize, all: usize| format!("| {what} | {} | {} |", spaced(record), spaced(all));
    let rows = [
        row("a resource that the node masters or uses", size_of::<Resource>(), RESOURCE),
        row("a physical lock: a node's, at the master", size_of::<Physical>(), PHYSICAL),
        row("a logical lock: an owner's, at its node", size_of::<Lock>(), LOCK),
        row("a value block, or a copy of one", size_of::<ValueCell>(), VALUE),
        row("a name of more than 24 bytes", size_of::<NameCell>(), NAME),
        row("a position to be passed on", size_of::<RelayCell>(), RELAY),
        row("a slot, with 3 members", size_of::<Slot>(), slot(3)),
        row("a slot, with 16 members", size_of::<Slot>(), slot(16)),
        row("a member", size_of::<Peer>(), size_of::<Peer>()),
        row("the node itself", STATE, STATE),
    ];
    is_in_page("| what | record | with what comes with it |", &rows);
}

// ---- what is taken by what ----

/// Something that owners do, and the records that it takes at the master of the resource and at the owners' node.
struct Use {
    what: &'static str,
    owners: usize,
    flags: Flags,
    name: &'static str,
    master: Limits,
    /// Absent if the master's own owners do it.
    node: Option<Limits>,
}

const NONE: Limits = Limits::uniform(0);
const ALONE: Limits = Limits { resources: 1, physical: 1, locks: 1, ..NONE };
const AT_MASTER: Limits = Limits { resources: 1, physical: 1, ..NONE };
const AT_NODE: Limits = Limits { resources: 1, locks: 1, ..NONE };
const PLAIN: Use = Use {
    what: "a lock at its master's own node",
    owners: 1,
    flags: Flags::NONE,
    name: "short",
    master: ALONE,
    node: None,
};
const LONG: &str = "a name of more than 24 bytes";

const USES: [Use; 7] = [
    PLAIN,
    Use { what: "the same for two owners", owners: 2, master: Limits { locks: 2, ..ALONE }, ..PLAIN },
    Use {
        what: "the same with a value block",
        flags: Flags::VALUE,
        master: Limits { values: 2, ..ALONE },
        ..PLAIN
    },
    Use { what: "the same with a long name", name: LONG, master: Limits { names: 1, ..ALONE }, ..PLAIN },
    Use { what: "a lock at another node", master: AT_MASTER, node: Some(AT_NODE), ..PLAIN },
    Use {
        what: "the same for two owners",
        owners: 2,
        master: AT_MASTER,
        node: Some(Limits { locks: 2, ..AT_NODE }),
        ..PLAIN
    },
    Use {
        what: "the same with a value block",
        flags: Flags::VALUE,
        master: Limits { values: 1, ..AT_MASTER },
        node: Some(Limits { values: 1, ..AT_NODE }),
        ..PLAIN
    },
];

impl Use {
    /// Are all owners granted their locks, with room for so much?
    fn is_granted(&self, master: Limits, node: Option<Limits>) -> bool {
        let limits: Vec<_> = [master].into_iter().chain(node).collect();
        let mut cluster = Cluster::with(&limits, Retention::Never);
        let by = if node.is_some() { ANNA } else { MASTER };
        let name = cluster.other_name(self.name);
        let mut granted = 0;
        for _ in 0..self.owners {
            let Ok(asked) = cluster.ask_for(&name, by, Mode::ProtectedRead, self.flags) else { return false };
            cluster.run();
            let events = cluster.happened(by);
            let is_told = events.iter().any(|event| matches!(event, Event::Granted { .. }));
            granted += usize::from(asked.grant.is_some() || is_told);
        }
        granted == self.owners
    }
}

/// The same with one record less, of each kind that there are any of.
fn fewer(limits: Limits) -> impl Iterator<Item = Limits> {
    let Limits { resources, physical, locks, names, values, relays: _ } = limits;
    let less = [
        resources.checked_sub(1).map(|resources| Limits { resources, ..limits }),
        physical.checked_sub(1).map(|physical| Limits { physical, ..limits }),
        locks.checked_sub(1).map(|locks| Limits { locks, ..limits }),
        names.checked_sub(1).map(|names| Limits { names, ..limits }),
        values.checked_sub(1).map(|values| Limits { values, ..limits }),
    ];
    less.into_iter().flatten()
}

#[test]
fn each_use_takes_as_many_records_as_the_page_says() {
    for one in &USES {
        assert!(one.is_granted(one.master, one.node), "{}: there is room", one.what);
        for less in fewer(one.master) {
            assert!(!one.is_granted(less, one.node), "{}: the master needs no more than {less:?}", one.what);
        }
        for less in one.node.into_iter().flat_map(fewer) {
            assert!(
                !one.is_granted(one.master, Some(less)),
                "{}: the node needs no more than {less:?}",
                one.what
            );
        }
    }
    let cost = |limits: Limits| {
        let Limits { resources, physical, locks, names, values, relays: _ } = limits;
        let kinds =
            [(resources, RESOURCE), (physical, PHYSICAL), (locks, LOCK), (names, NAME), (values, VALUE)];
        spaced(kinds.iter().map(|(count, bytes)| *count as usize * bytes).sum())
    };
    let rows = USES.each_ref().map(|one| {
        let node = one.node.map_or("–".to_owned(), cost);
        format!("| {} | {} | {node} |", one.what, cost(one.master))
    });
    is_in_page("| what | at the master | at the owners' node |", &rows);
}

// ---- capacities ----

fn array_bytes<
    const RECORDS: usize,
    const BUCKETS: usize,
    const SLOTS: usize,
    const FLOORS: usize,
    const MEMBERS: usize,
>() -> usize {
    assert_eq!((BUCKETS, FLOORS), (2 * RECORDS, SLOTS * MEMBERS), "as the page says");
    size_of::<ArrayMemory<RECORDS, BUCKETS, SLOTS, FLOORS, MEMBERS>>()
}

#[test]
fn the_page_has_the_bytes_of_capacities() {
    let million = Limits {
        resources: 1 << 20,
        physical: 1 << 20,
        locks: 1 << 20,
        values: 1 << 16,
        names: 1 << 16,
        ..Limits::default()
    };
    let rows = [
        ("4 of each", Limits::uniform(4), 6, 3, Some(array_bytes::<4, 8, 6, 18, 3>())),
        ("16 of each", Limits::uniform(16), 16, 3, Some(array_bytes::<16, 32, 16, 48, 3>())),
        ("64 of each", Limits::uniform(64), 64, 3, Some(array_bytes::<64, 128, 64, 192, 3>())),
        ("256 of each", Limits::uniform(256), 256, 5, Some(array_bytes::<256, 512, 256, 1280, 5>())),
        ("1024 of each", Limits::uniform(1024), 4096, 5, Some(array_bytes::<1024, 2048, 4096, 20_480, 5>())),
        ("`Limits::default()`", Limits::default(), 4096, 16, None),
        ("1 M resources and locks, 64 k value blocks and long names", million, 4096, 16, None),
    ];
    let rows = rows.map(|(what, limits, slots, members, array)| {
        let heap = bytes(&limits, slots, members);
        let array = array.map_or("–".to_owned(), spaced);
        format!("| {what} | {slots} | {members} | {array} | {} |", spaced(heap))
    });
    is_in_page("| records | slots | members | `ArrayMemory` | `HeapMemory` |", &rows);
}

#[test]
fn both_storages_take_what_the_page_counts() {
    for (records, slots, members) in [(1, 1, 1), (4, 6, 3), (48, 40, 5), (1000, 300, 7)] {
        let mut config = config_of(1, members, Retention::Never);
        config.spaces[0].slots = slots;
        let limits = Limits { relays: records / 2, ..Limits::uniform(records) };
        let mut memory = HeapMemory::new(&limits, &config);
        assert_eq!(bytes_lent(&mut memory), bytes(&limits, slots as usize, usize::from(members)));
    }
    let mut memory = ArrayMemory::<4, 8, 6, 18, 3>::VACANT;
    let lent = bytes_lent(&mut memory);
    assert_eq!(lent, bytes(&Limits::uniform(4), 6, 3));
    // Arrays begin at a multiple of 64, if their records do.
    assert!((lent..lent + 64).contains(&size_of_val(&memory)), "{lent}");
}
