//! A member of the cluster: a process that does what the bench says, line by line.

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use lockmaster_tokio::{Guard, Limits, Mode, Node, NodeId, Retention, SpaceConfig, SpaceId};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet};

use super::copies::Copies;
use super::views::Told;
use super::{MEMBERS, SLOTS, holder};
use crate::compare::name;
use crate::process;
use crate::transfer::load::{self, Load, TASKS, Target};

const SPACE: SpaceId = SpaceId(0);
/// Names that one task of the load has of each kind.
const NAMES: usize = 64;
/// Longest time that a member takes to leave.
const PATIENCE: Duration = Duration::from_secs(120);

struct Member {
    node: Node,
    told: Told,
    locks: u32,
    listener: TcpListener,
    copies: Copies,
    held: Vec<Guard>,
    targets: Rc<[Target]>,
    load: Option<Load>,
    /// A name in each slot whose pause this process measures.
    probed: Vec<[u8; 16]>,
    probes: Vec<JoinHandle<Duration>>,
}

/// Does what it is told until its input ends.
pub(crate) fn serve() {
    let mut arguments = std::env::args().skip(2).map(|word| word.parse::<u32>().expect("a number"));
    let mut argument = || arguments.next().expect("the node's number, and how many locks there are");
    let (number, locks) = (u16::try_from(argument()).expect("a small number"), argument());
    LocalSet::new().block_on(&process::runtime(), async {
        let told = Told::default();
        let (ours, copies) = (process::listener(), process::listener());
        let addresses = [&ours, &copies].map(|listener| listener.local_addr().expect("it is bound"));
        let space = SpaceConfig {
            slots: SLOTS,
            retention: Retention::Never,
            ..SpaceConfig::new("default").expect("a short name")
        };
        let builder = Node::builder("bench").node(number).machines(1).listener(ours).limits(limits(locks));
        let node = builder.space(space).join(told.clone()).start().await.expect("loopback is there");
        copies.set_nonblocking(true).expect("a socket can be made non-blocking");
        let listener = TcpListener::from_std(copies).expect("inside a runtime");
        let mut lines = told.listen();
        println!("{} {}", addresses[0], addresses[1]);
        let mut member = Member {
            node,
            told,
            locks,
            listener,
            copies: Copies::default(),
            held: Vec::new(),
            targets: Rc::default(),
            load: None,
            probed: Vec::new(),
            probes: Vec::new(),
        };
        while let Some(line) = lines.recv().await {
            let answer = member.obey(&line).await;
            // Long answers wait until they are read, and this thread has others to serve meanwhile.
            tokio::task::spawn_blocking(move || println!("{answer}")).await.expect("a line is written");
        }
    });
}

/// Room for what a node holds and masters also when another one's slots are rebuilt, and for the load.
fn limits(locks: u32) -> Limits {
    let (held, mastered) = (locks / u32::from(MEMBERS), locks / u32::from(MEMBERS - 1));
    let with_reserve = |count: u32| count / 2 * 3 + (1 << 16);
    Limits {
        resources: with_reserve(held + mastered),
        physical: with_reserve(mastered),
        locks: with_reserve(held),
        ..Limits::default()
    }
}

impl Member {
    async fn obey(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let word = words.next().expect("a word");
        let numbers = || words.clone().map(|word| word.parse::<u16>().expect("a number"));
        match word {
            "open" => self.node.opened().await,
            "hold" => self.hold().await,
            "choose" => self.choose(numbers().next().map(NodeId)),
            "load" => self.load = Some(Load::start(&self.node, &self.targets)),
            "renew" => self.load.as_mut().expect("a load runs").renew(),
            "end" => return self.load.take().expect("a load runs").end().await.to_line(),
            "probe" => self.probe().await,
            "pauses" => return self.pauses().await,
            "counters" => return self.counters(),
            "purged" => return self.node.is_purged().to_string(),
            "share" => return self.share(),
            "moved" => {
                let stats = self.node.stats();
                return (stats.locks_out + stats.locks_in).to_string();
            }
            "connect" => {
                let dialled: Vec<SocketAddr> =
                    words.by_ref().skip(1).map(|word| word.parse().expect("an address")).collect();
                let others = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
                self.copies.connect(&dialled, &self.listener, others.expect("a number")).await;
            }
            "copy" => {
                let bytes = words.next().and_then(|word| word.parse().ok()).expect("a number");
                let (began, ended) = self.copies.copy(bytes).await;
                return format!("{began} {ended}");
            }
            "leave" => {
                let left = self.node.leave(PATIENCE).await;
                return format!("{} {}", left.slots, left.guards);
            }
            word => unreachable!("nobody says {word}"),
        }
        String::new()
    }

    fn names(&self) -> impl Iterator<Item = (u16, [u8; 16])> + use<> {
        (0..self.locks).map(|number| (holder(number), name(u64::from(number))))
    }

    /// Takes this node's part of the locks.
    async fn hold(&mut self) {
        let me = self.node.id();
        let mine: Rc<[_]> =
            self.names().filter(|(holder, _)| *holder == me.0).map(|(_, name)| name).collect();
        self.held = load::hold(&self.node, &mine).await;
    }

    /// Chooses what the load is about: nothing that `victim` masters, but also what it holds. If it is about to crash,
    /// this process measures the pause of some of its slots.
    fn choose(&mut self, victim: Option<NodeId>) {
        let (node, me) = (&self.node, self.node.id());
        let is_of = |name: &[u8; 16], is_mine: bool| {
            let master = node.master_of(SPACE, name);
            master != victim && (master == Some(me)) == is_mine
        };
        let fresh = |kind: u64, is_mine| {
            let names = (u64::from(me.0) << 40 | kind << 32..).map(name);
            let names = names.filter(|name| is_of(name, is_mine)).take(TASKS * NAMES).collect();
            Target { space: SPACE, mode: Mode::Exclusive, names }
        };
        let resident = self.names().filter(|(holder, name)| *holder != me.0 && is_of(name, false));
        let names = resident.map(|(_, name)| name).collect();
        let shared = Target { space: SPACE, mode: Mode::ProtectedRead, names };
        let targets = [fresh(1, true), fresh(2, false), shared];
        self.targets = targets.into();
        let Some(victim) = victim else { return };
        let slots = node.all_slots().slots();
        let orphans = slots.filter(|slot| node.slot(*slot).is_some_and(|view| view.master == Some(victim)));
        let part = orphans.skip(usize::from(me.0 - 1)).step_by(usize::from(MEMBERS - 1));
        let mut missing: Vec<_> = part.collect();
        self.probed = Vec::new();
        for number in u64::from(me.0) << 40 | 3 << 32.. {
            if missing.is_empty() {
                break;
            }
            let slot = node.slot_of(SPACE, name(number)).expect("there is such a space");
            if let Some(at) = missing.iter().position(|other| *other == slot) {
                missing.swap_remove(at);
                self.probed.push(name(number));
            }
        }
    }

    /// Asks for a lock in each of the slots whose master has crashed.
    async fn probe(&mut self) {
        let probe = |name: [u8; 16]| {
            let (node, told) = (self.node.clone(), self.told.clone());
            tokio::task::spawn_local(async move {
                let guard = node.lock(name, Mode::Exclusive).await;
                let pause = told.arrival().at.elapsed();
                drop(guard.expect("the new master grants"));
                pause
            })
        };
        self.probes = self.probed.drain(..).map(probe).collect();
        tokio::task::yield_now().await;
    }

    /// When the view came, and how long after it each probe was granted.
    async fn pauses(&mut self) -> String {
        let mut line = self.told.arrival().shared.to_string();
        for probe in self.probes.drain(..) {
            let pause = probe.await.expect("a task ends well");
            write!(line, " {}", pause.as_nanos()).expect("a string takes it");
        }
        line
    }

    fn counters(&self) -> String {
        let stats = self.node.stats();
        let (rebuilt, slots) = (stats.locks_rebuilt, stats.slots_rebuilt);
        format!("{rebuilt} {slots} {} {}", stats.locks_purged, stats.report_bytes_out)
    }

    /// Slots that this node masters, and all those that it knows to move.
    fn share(&self) -> String {
        let map = self.node.map();
        let moving: u32 = map.shares.iter().map(|share| share.moving).sum();
        format!("{} {moving}", map.slots_of(self.node.id()))
    }
}
