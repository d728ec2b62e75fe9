//! The core alone, as a master: a peer's request and release, from frames to frames, with a million locks resident.

use core::hint::black_box;
use std::time::Instant as Clock;

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::wire::{
    Body, FrameHeader, FrameWriter, LockMessage, Position, PositionKind, VersionRange,
};
use lockmaster_core::{
    ClusterId, Config, Epoch, Event, HeapMemory, Incarnation, Instant, Limits, Mode, Node, NodeId, Number,
    Retention, SpaceConfig, SpaceId,
};

use crate::compare::{Numbers, Plan, Row, Side, WARM_UP, name};
use crate::table::{RESIDENT, ResidentTable};

const CLUSTER: ClusterId = ClusterId(1);
const MASTER: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
/// Requests a round, each on a fresh random name.
const BATCH: usize = 1_000;

pub(crate) fn run() -> Vec<Row> {
    let (mut master, mut peer) = (Master::new(), Peer::default());
    peer.fill(&mut master);
    let mut table = ResidentTable::new();
    let mut numbers = Numbers(1);
    let plan = Plan {
        what: "core: a peer's request and release, 1 M others resident",
        baseline: "hashbrown: remove + insert of random names among 1 M",
        aim: 3.0,
        batch: 1_000,
        warm_up: WARM_UP,
        rounds: 400,
    };
    plan.run(|side| match side {
        Side::Ours => {
            let frames = peer.requests_and_releases(&mut master);
            let before = master.node.stats().messages_out;
            let started = Clock::now();
            frames.iter().for_each(|frame| master.hear(frame));
            let took = started.elapsed();
            assert_eq!(master.node.stats().messages_out - before, BATCH as u64, "a grant for each request");
            took
        }
        Side::Theirs => {
            let started = Clock::now();
            (0..BATCH).for_each(|_| table.replace(&mut numbers));
            started.elapsed()
        }
    })
}

fn config(node: NodeId) -> Config {
    let mut config = Config::new(CLUSTER, node, incarnation_of(node));
    config.members.extend([MASTER, PEER]);
    let space =
        SpaceConfig { retention: Retention::Never, ..SpaceConfig::new("bench").expect("a short name") };
    config.spaces.push(space).expect("one space fits");
    config
}

fn incarnation_of(node: NodeId) -> Incarnation {
    Incarnation(u64::from(node.0) + 100)
}

/// The node that is measured, and a buffer for what it says.
struct Master {
    node: Node<HeapMemory>,
    said: Vec<u8>,
}

/// Hands out what a node has to say to its only peer.
struct Ready(bool);

impl Outlet for Ready {
    fn event(&mut self, event: Event) {
        unreachable!("the master has no owners: {event:?}");
    }

    fn ready(&mut self, _: NodeId) {
        self.0 = true;
    }
}

impl Master {
    fn new() -> Self {
        let limits = Limits { locks: 1, names: 1, values: 1, ..Limits::uniform(RESIDENT + RESIDENT / 8) };
        let config_of_master = config(MASTER);
        let memory = HeapMemory::new(&limits, &config_of_master);
        let mut node = Node::new(config_of_master, memory).expect("the memory fits the configuration");
        let few = Limits::uniform(1);
        let config_of_peer = config(PEER);
        let memory = HeapMemory::new(&few, &config_of_peer);
        let peer = Node::new(config_of_peer, memory).expect("the memory fits the configuration");
        node.handle_hello(Instant::START, &peer.hello()).expect("a member is welcome");
        Self { node, said: vec![0; 1 << 16] }
    }

    /// A frame comes, and what the node has to say to that is written.
    fn hear(&mut self, frame: &[u8]) {
        let Self { node, said } = self;
        node.handle_frame(Instant::START, PEER, frame).expect("the frame is sound");
        let mut outlet = Ready(false);
        let _wait = drive::run(Instant::START, node, &mut outlet, Budget::ALL);
        while outlet.0 && drive::fill(Instant::START, node, PEER, said).is_some() {
            black_box(&*said);
        }
    }
}

/// The other member: what it would write.
#[derive(Default)]
struct Peer {
    /// Of its positions, so far.
    number: u64,
    /// Names that were looked at, so far.
    looked_at: u64,
}

impl Peer {
    /// A million names get a lock that stays.
    fn fill(&mut self, master: &mut Master) {
        for _ in 0..RESIDENT {
            let name = self.next_name(master, 0);
            let frame = self.frame(&name, Some(Mode::Exclusive));
            master.hear(&frame);
        }
        let granted = master.node.stats().messages_out;
        assert_eq!(granted, u64::from(RESIDENT), "a grant for each request");
    }

    /// For each of a batch of names a frame that asks for it, and one that gives it back.
    fn requests_and_releases(&mut self, master: &mut Master) -> Vec<Vec<u8>> {
        let mut frames = Vec::with_capacity(2 * BATCH);
        for _ in 0..BATCH {
            let name = self.next_name(master, 1 << 63);
            frames.push(self.frame(&name, Some(Mode::Exclusive)));
            frames.push(self.frame(&name, None));
        }
        frames
    }

    /// A name that is new, and that the other node masters.
    fn next_name(&mut self, master: &mut Master, kind: u64) -> [u8; 16] {
        loop {
            self.looked_at += 1;
            let name = name(self.looked_at | kind);
            if master.node.master_of(SpaceId(0), &name) == Ok(Some(MASTER)) {
                return name;
            }
        }
    }

    /// A frame with one position: a request for a mode, or a release.
    fn frame(&mut self, name: &[u8], wanted: Option<Mode>) -> Vec<u8> {
        self.number += 1;
        let number = Number(self.number);
        let position = match wanted {
            Some(_) => {
                Position { kind: PositionKind::Request, number, asked: number, wanted, ..Position::default() }
            }
            None => Position { number, ..Position::default() },
        };
        let header = FrameHeader {
            versions: VersionRange::OURS,
            cluster: CLUSTER,
            epoch: Epoch(1),
            from: PEER,
            incarnation: incarnation_of(PEER),
            len: 0,
        };
        let mut bytes = vec![0; 256];
        let mut writer = FrameWriter::new(header, &mut bytes);
        let message = LockMessage { space: SpaceId(0), name, body: Body::Position(position) };
        assert!(writer.push(&message), "one message fits");
        let len = writer.finish();
        bytes.truncate(len);
        bytes
    }
}
