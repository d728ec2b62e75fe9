//! A million locks that move to another node, beside a table of records of the same size that does.
//!
//! Both processes run one tokio thread each. In the space that moves, the first process masters half of the slots;
//! they hold a million resources, each with a lock that one of the two processes holds. Another space stays as it is.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Instant as Clock;

use lockmaster_core::{SlotId, SlotRange};
use lockmaster_tokio::{Guard, Limits, Mode, Node, NodeId, Retention, SpaceConfig, SpaceId};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::compare::{Aim, Plan, Row, Side, median, name};
use crate::control::Control;
use crate::process::{self, Other};
use load::{Load, Seen, TASKS, Target};
use records::Records;

pub(crate) mod load;
mod records;

/// What the other process is started as.
pub(crate) const ROLE: &str = "transfer-peer";

const LOCKS: u32 = 1_000_000;
const ROUNDS: usize = 5;
const MOVES: SpaceId = SpaceId(0);
const STAYS: SpaceId = SpaceId(1);
const SLOTS: u32 = 4096;
/// The slots that move: those of the first space that the first process masters at the start.
const RANGE: SlotRange = SlotRange { first: SlotId(0), len: SLOTS / 2 };
const FIRST: NodeId = NodeId(1);
const SECOND: NodeId = NodeId(2);
/// Names that one task of the load has of each kind.
const NAMES: usize = 64;

/// What each of the two processes has.
struct Party {
    node: Node,
    /// Names of all that moves.
    resident: Vec<[u8; 16]>,
    held: Vec<Guard>,
    records: Records,
    targets: Rc<[Target]>,
}

/// A transfer that has ended.
#[derive(Clone, Copy, Default)]
struct Moved {
    took: Duration,
    locks: u64,
    bytes: u64,
    relayed: u64,
}

async fn node(number: NodeId, listener: TcpListener, other: SocketAddr) -> Node {
    let space = |name| SpaceConfig {
        slots: SLOTS,
        retention: Retention::Never,
        ..SpaceConfig::new(name).expect("a short name")
    };
    // A node has records of its own locks and, as master, of all; room for all is asked for before any comes.
    let limits = Limits { resources: 2 * LOCKS, physical: 2 * LOCKS, locks: LOCKS, ..Limits::default() };
    let builder = Node::builder("bench").node(number.0).listener(listener).limits(limits);
    let builder = builder.space(space("moves")).space(space("stays"));
    builder.member(other_of(number).0, other).start().await.expect("loopback is there")
}

const fn other_of(number: NodeId) -> NodeId {
    NodeId(3 - number.0)
}

impl Party {
    async fn new(node: Node, stream: TcpStream) -> Self {
        node.opened().await;
        let me = node.id();
        let mastered_by = |space, master, first: u64, count| -> Vec<[u8; 16]> {
            let names = (first..).map(name).filter(|name| node.master_of(space, name) == Some(master));
            names.take(count).collect()
        };
        let resident = mastered_by(MOVES, FIRST, 0, LOCKS as usize);
        // The names of the load are of this process alone, and of none of the others' kinds.
        let fresh = |space, master, kind: u64| {
            let first = u64::from(me.0) << 40 | kind << 32;
            let names = mastered_by(space, master, first, TASKS * NAMES);
            Target { space, mode: Mode::Exclusive, names: names.into() }
        };
        let shared = resident.iter().copied().skip(usize::from(me == FIRST)).step_by(2);
        let targets = [
            fresh(STAYS, me, 1),
            fresh(MOVES, FIRST, 2),
            fresh(STAYS, other_of(me), 3),
            Target { space: MOVES, mode: Mode::ProtectedRead, names: shared.collect() },
        ];
        let records = Records::new(LOCKS, stream);
        Self { node, resident, held: Vec::new(), records, targets: targets.into() }
    }

    /// Takes every second lock of those that move; the other process takes the others.
    async fn hold(&mut self) {
        let first = usize::from(self.node.id() != FIRST);
        let mine: Rc<[_]> = self.resident.iter().copied().skip(first).step_by(2).collect();
        self.held = load::hold(&self.node, &mine).await;
    }

    /// Gives the slots to the other process.
    async fn give(&self) -> Moved {
        let to = other_of(self.node.id());
        let started = Clock::now();
        let end = self.node.transfer(RANGE, to).await.expect("there is room");
        let took = started.elapsed();
        assert_eq!(self.node.master_of(MOVES, self.resident[0]), Some(to));
        Moved { took, locks: end.locks, bytes: end.bytes, relayed: end.relayed }
    }
}

// ---- the other process ----

/// Does what it is told until its input ends.
pub(crate) fn serve() {
    LocalSet::new().block_on(&process::runtime(), async {
        let begun = process::begin().await;
        let node = node(SECOND, begun.node, begun.others[0]).await;
        let (control, _) = begun.baseline.accept().await.expect("loopback accepts");
        let (stream, _) = begun.baseline.accept().await.expect("loopback accepts");
        serve_tasks(Party::new(node, stream).await, Control::new(control)).await;
    });
}

async fn serve_tasks(mut party: Party, mut control: Control) {
    let mut load = None;
    loop {
        let answer = match &*control.hear().await {
            "hold" => {
                party.hold().await;
                String::new()
            }
            "give" => party.give().await.to_line(),
            "give records" => party.records.give().await.as_nanos().to_string(),
            "take records" => {
                party.records.take().await;
                continue;
            }
            "load" => {
                load = Some(Load::start(&party.node, &party.targets));
                String::new()
            }
            "stop" => load.take().expect("a load runs").stop().await.to_line(),
            "" => return,
            word => unreachable!("nobody says {word}"),
        };
        control.say(&answer).await;
    }
}

impl Moved {
    fn to_line(self) -> String {
        format!("{} {} {} {}", self.took.as_nanos(), self.locks, self.bytes, self.relayed)
    }

    fn from_line(line: &str) -> Self {
        let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
        let mut number = || numbers.next().expect("four numbers");
        Self { took: Duration::from_nanos(number()), locks: number(), bytes: number(), relayed: number() }
    }
}

// ---- this process ----

/// Both processes, and who has what.
struct Pair {
    party: Party,
    control: Control,
    master: NodeId,
    _other: Other,
}

impl Pair {
    async fn start() -> Self {
        let listener = process::listener();
        let (other, addresses) = Other::start(ROLE, &listener);
        let node = node(FIRST, listener, addresses.node).await;
        let control = TcpStream::connect(addresses.baseline).await.expect("the other process listens");
        let stream = TcpStream::connect(addresses.baseline).await.expect("the other process listens");
        let mut party = Party::new(node, stream).await;
        party.records.fill();
        let mut control = Control::new(control);
        party.hold().await;
        control.ask("hold").await;
        Self { party, control, master: FIRST, _other: other }
    }

    /// The slots go to whoever does not master them.
    async fn give(&mut self) -> Moved {
        let moved = if self.master == FIRST {
            self.party.give().await
        } else {
            Moved::from_line(&self.control.ask("give").await)
        };
        self.master = other_of(self.master);
        moved
    }

    /// The records go to the other process and back.
    async fn give_records(&mut self) -> Duration {
        self.control.say("take records").await;
        let there = self.party.records.give().await;
        self.control.say("give records").await;
        self.party.records.take().await;
        let back = self.control.hear().await.parse().expect("a number");
        there + Duration::from_nanos(back)
    }

    /// What the load of both processes sees while something else goes on.
    async fn load_during<T>(&mut self, act: impl AsyncFnOnce(&mut Self) -> T) -> (Seen, T) {
        self.control.ask("load").await;
        let load = Load::start(&self.party.node, &self.party.targets);
        let result = act(self).await;
        self.control.say("stop").await;
        let here = load.stop().await;
        let there = Seen::from_line(&self.control.hear().await);
        (here.and(&there), result)
    }
}

/// There and back, beside the records, there and back.
pub(crate) fn alone() -> Vec<Row> {
    let (runtime, local) = (process::runtime(), LocalSet::new());
    let mut pair = local.block_on(&runtime, Pair::start());
    let plan = Plan {
        what: "transfer of 1 M locks, a lock",
        baseline: "1 M records of that size: read, sent over TCP, inserted there, deleted here",
        aim: 3.0,
        batch: 2 * LOCKS,
        warm_up: 1,
        rounds: ROUNDS,
    };
    let mut moves = Vec::new();
    let mut rows = plan.run(|side| {
        local.block_on(&runtime, async {
            match side {
                Side::Ours => {
                    let (there, back) = (pair.give().await, pair.give().await);
                    moves.extend([there, back]);
                    there.took + back.took
                }
                Side::Theirs => pair.give_records().await,
            }
        })
    });
    rows[0].notes.push(describe(&moves[2..]));
    rows
}

/// Acquires in equal slices of time with a transfer and without, in turn.
pub(crate) fn under_load() -> Vec<Row> {
    LocalSet::new().block_on(&process::runtime(), async { load_rows(&mut Pair::start().await).await })
}

async fn load_rows(pair: &mut Pair) -> Vec<Row> {
    let (mut moves, mut during, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (seen, moved) = pair.load_during(Pair::give).await;
        let (quiet, ()) = pair.load_during(async |_| tokio::time::sleep(moved.took).await).await;
        if round > 0 {
            moves.push(moved);
            during.push(seen);
            without.push(quiet);
        }
    }
    let wait = |slices: &[Seen], quantile| -> f64 {
        median(slices.iter().map(|seen| seen.wait(quantile)).collect())
    };
    let rate = |slices: &[Seen]| median(slices.iter().map(|seen| seen.rate / 1e3).collect());
    let waits = [("median", 0.5), ("99 %", 0.99), ("longest of all", 1.0)].map(|(text, quantile)| {
        let [during, without] = [&during, &without].map(|slices| match quantile {
            1.0 => slices.iter().map(|seen| seen.wait(quantile)).fold(0.0, f64::max),
            _ => wait(slices, quantile),
        });
        format!("{text}: {during:.1} µs, {without:.1} µs without a transfer")
    });
    let baseline = "the same load without a transfer";
    let slowest = Row {
        what: "99.9 % of acquires during a transfer of 1 M locks",
        baseline,
        unit: "µs",
        ours: wait(&during, 0.999),
        theirs: wait(&without, 0.999),
        aim: Aim::AtMost(3.0),
        notes: waits.into(),
    };
    let throughput = Row {
        what: "acquires a second during a transfer of 1 M locks",
        baseline,
        unit: "k/s",
        ours: rate(&during),
        theirs: rate(&without),
        aim: Aim::AtLeast(0.7),
        notes: vec![describe(&moves)],
    };
    vec![slowest, throughput]
}

/// The medians of these transfers.
fn describe(moves: &[Moved]) -> String {
    let took = median(moves.iter().map(|moved| moved.took).collect());
    let [locks, bytes, relayed] =
        [|moved: &Moved| moved.locks, |moved: &Moved| moved.bytes, |moved: &Moved| moved.relayed]
            .map(|part| median(moves.iter().map(part).collect()));
    format!("a transfer: {took:.2?}, {locks} locks, {bytes} bytes, {relayed} messages relayed")
}
