//! A superloop: three nodes take turns, for ever, as firmware does it. Read it from top to bottom.
//!
//! The nodes share a counter, which stands in the value block of a lock. Each adds one to it, several times, and holds
//! the lock for some turns, so that the others have to wait. Meanwhile whoever masters the counter gives it away to the
//! next node: while one node holds the lock and another waits for it.

use core::fmt::{self, Write};
use core::time::Duration;

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::{
    ArrayMemory, ClusterId, Config, Event, Flags, Grant, Incarnation, Instant, LockId, Mode, Node, NodeId,
    OwnerId, Priority, Progress, Request, SlotRange, SpaceConfig, SpaceId, Stage, Token, Value, ValueState,
    ValueWrite,
};

// ---- Memory: everything has its place before the first instruction. ----

const NODES: usize = 3;
const SLOTS: u32 = 6;
const FLOORS: usize = SLOTS as usize * NODES;
/// Resources, locks and so on that a node has room for. One more is refused, and nothing else changes.
const RECORDS: usize = 4;
const BUCKETS: usize = 8;
/// The least that every message fits into.
const FRAME: usize = 1024;

/// The tables of one node.
type Fixed = ArrayMemory<RECORDS, BUCKETS, { SLOTS as usize }, FLOORS, NODES>;

/// The memory of the whole cluster: nodes with their tables, and the wires between them.
pub(crate) struct Board {
    stations: [Option<Station>; NODES],
    wires: Wires,
}

/// One wire from each node to each other.
type Wires = [[Wire; NODES]; NODES];

/// A frame on its way. While it is there the wire takes no other.
struct Wire {
    len: usize,
    frame: [u8; FRAME],
}

impl Board {
    /// Nothing has happened yet. A constant, so that it can be a `static`.
    pub(crate) const VACANT: Self =
        Self { stations: [const { None }; NODES], wires: [const { [const { Wire::IDLE }; NODES] }; NODES] };
}

impl Wire {
    const IDLE: Self = Self { len: 0, frame: [0; FRAME] };
}

// ---- One node, and what it is there for. ----

/// The nodes by their places.
const IDS: [NodeId; NODES] = [NodeId(1), NodeId(2), NodeId(3)];
const SPACE: SpaceId = SpaceId(0);
const COUNTER: &[u8] = b"counter";
/// How often each node adds one.
const ROUNDS: u64 = 4;
/// For how many turns it holds the lock meanwhile.
const HOLD: u32 = 5;

/// A node with its application.
struct Station {
    node: Node<Fixed>,
    task: Task,
    /// How often it has added one.
    rounds: u64,
    /// How often it has given the counter away.
    gifts: u64,
    /// Peers that something waits for.
    ready: [bool; NODES],
}

/// What the application does.
#[derive(Clone, Copy)]
enum Task {
    /// It has no lock, and has asked for none.
    Rest,
    Wait,
    /// It has read the counter, and writes what follows when the turns are over.
    Hold {
        lock: LockId,
        count: u64,
        turns: u32,
    },
}

impl Station {
    fn new(node: NodeId) -> Self {
        let mut config = Config::new(ClusterId(1), node, Incarnation(1));
        config.members = IDS.into_iter().collect();
        let space = SpaceConfig::new("board").expect("the name is short");
        config.spaces = [SpaceConfig { slots: SLOTS, ..space }].into_iter().collect();
        let node = Node::new(config, Fixed::VACANT).expect("the tables fit the cluster");
        Self { node, task: Task::Rest, rounds: 0, gifts: 0, ready: [false; NODES] }
    }

    /// One turn: hear the others, do what the application wants, and speak.
    fn turn(&mut self, me: usize, now: Instant, wires: &mut Wires, watch: &mut Watch<'_>) -> fmt::Result {
        for (from, outgoing) in wires.iter_mut().enumerate() {
            let wire = &mut outgoing[me];
            if wire.len > 0 {
                self.node.handle_frame(now, IDS[from], &wire.frame[..wire.len]).expect("wires are sound");
                wire.len = 0;
            }
        }

        self.work(me, now, watch)?;

        // The one drain loop. It also handles what is due; as the loop comes round by itself, nobody has to be told when
        // the node wants to be called again. Firmware that sleeps would sleep until then.
        let mut news = News { granted: None, progress: None, ready: &mut self.ready };
        let _ = drive::run(now, &mut self.node, &mut news, Budget { outputs: 8, records: 64 });
        let News { granted, progress, .. } = news;
        if let Some((lock, grant)) = granted {
            self.take(me, lock, grant, watch)?;
        }
        if let Some(progress) = progress {
            watch.moved(me, &progress)?;
        }

        // A frame is made when its wire is idle, from the tables as they are then: so nothing is queued.
        for (to, wire) in wires[me].iter_mut().enumerate() {
            if self.ready[to] && wire.len == 0 {
                match drive::fill(now, &mut self.node, IDS[to], &mut wire.frame) {
                    Some(len) => wire.len = len,
                    None => self.ready[to] = false,
                }
            }
        }
        Ok(())
    }

    /// The application, and who gives the counter away.
    fn work(&mut self, me: usize, now: Instant, watch: &mut Watch<'_>) -> fmt::Result {
        match self.task {
            Task::Rest if self.rounds == ROUNDS => {}
            Task::Rest => {
                let asked = self.node.request(now, &COUNTING).expect("there is room for one lock");
                self.task = Task::Wait;
                if let Some(grant) = asked.grant {
                    self.take(me, asked.lock, grant, watch)?;
                }
            }
            Task::Wait => {}
            Task::Hold { lock, count, turns: 0 } => {
                let block = Value::new(&(count + 1).to_be_bytes()).expect("eight bytes are few");
                let write = ValueWrite::Set(block);
                self.node.release(lock, write).expect("the lock is held");
                (self.task, watch.holder) = (Task::Rest, None);
            }
            Task::Hold { lock, count, turns } => {
                self.task = Task::Hold { lock, count, turns: turns - 1 };
            }
        }

        let slot = self.node.slot_of(SPACE, COUNTER).expect("the name is short").expect("there is one space");
        let view = self.node.slot(slot).expect("there is such a slot");
        let is_in_use = watch.holder.is_some() && view.room.physical > 1;
        let is_giving = self.gifts < self.rounds && is_in_use && !view.is_moving;
        if is_giving && view.master == Some(IDS[me]) {
            let next = IDS[(me + 1) % NODES];
            self.node.transfer(now, SlotRange::one(slot), next).expect("the slot is this node's to give");
            self.gifts += 1;
        }
        Ok(())
    }

    /// The lock is granted: read the counter.
    fn take(&mut self, me: usize, lock: LockId, grant: Grant, watch: &mut Watch<'_>) -> fmt::Result {
        let count = match self.node.value(lock).expect("the lock is held") {
            ValueState::Absent => 0,
            ValueState::Valid(value) => {
                u64::from_be_bytes(value.as_bytes().try_into().expect("a counter has eight bytes"))
            }
            ValueState::Invalid(_) => panic!("no node was lost"),
        };
        (self.task, self.rounds) = (Task::Hold { lock, count, turns: HOLD }, self.rounds + 1);
        watch.counted(me, count, grant.token)
    }

    fn has_finished(&self) -> bool {
        self.rounds == ROUNDS && matches!(self.task, Task::Rest)
    }
}

/// What a node asks for each time it wants to count.
const COUNTING: Request<'_> = Request {
    space: SPACE,
    name: COUNTER,
    owner: OwnerId(1),
    mode: Mode::Exclusive,
    flags: Flags::VALUE,
    priority: Priority(0),
    patience: None,
};

/// What a node has said in one turn.
struct News<'a> {
    /// There is one lock, so there is one grant at most.
    granted: Option<(LockId, Grant)>,
    progress: Option<Progress>,
    ready: &'a mut [bool; NODES],
}

impl Outlet for News<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Granted { lock, grant, .. } => self.granted = Some((lock, grant)),
            Event::Transfer(progress) => self.progress = Some(progress),
            Event::Denied { .. } | Event::Demanded { .. } | Event::Lost { .. } => {
                panic!("nobody is impatient, watches, or is removed")
            }
        }
    }

    fn ready(&mut self, peer: NodeId) {
        self.ready[usize::from(peer.0) - 1] = true;
    }
}

// ---- Somebody who sees all three, and checks them. ----

struct Watch<'a> {
    out: &'a mut dyn Write,
    holder: Option<usize>,
    count: u64,
    token: Token,
    moves: u32,
}

impl Watch<'_> {
    fn counted(&mut self, place: usize, count: u64, token: Token) -> fmt::Result {
        assert!(self.holder.is_none(), "one node at a time");
        assert_eq!(count, self.count, "the counter came with the lock");
        assert!(token > self.token, "tokens rise");
        (self.holder, self.count, self.token) = (Some(place), count + 1, token);
        writeln!(self.out, "node {} counts to {}, token {token}", IDS[place], self.count)
    }

    fn moved(&mut self, place: usize, progress: &Progress) -> fmt::Result {
        let Progress { to, stage, locks, .. } = progress;
        if *stage != Stage::Done {
            return Ok(());
        }
        assert!(*locks > 1, "it was held and waited for");
        self.moves += 1;
        writeln!(self.out, "node {} has given the counter to node {to}, with {locks} locks", IDS[place])
    }
}

// ---- The loop. ----

/// A round in which every node has its turn.
const ROUND: Duration = Duration::from_millis(1);
/// Many more rounds than are needed: firmware would go on for ever.
const ROUNDS_MAX: u32 = 10_000;

/// Runs three nodes until each has counted as often as it was to, and says what they do.
///
/// # Errors
/// That of `out`.
pub(crate) fn run(board: &mut Board, out: &mut dyn Write) -> fmt::Result {
    let Board { stations, wires } = board;
    let [first, second, third] = stations;
    let mut stations = [
        first.insert(Station::new(IDS[0])),
        second.insert(Station::new(IDS[1])),
        third.insert(Station::new(IDS[2])),
    ];
    let mut now = Instant::START;
    // What nodes say first on a new connection. They grant once each has heard all.
    for from in 0..NODES {
        let hello = stations[from].node.hello();
        for (_, station) in stations.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            station.node.handle_hello(now, &hello).expect("the nodes are configured alike");
        }
    }

    let mut watch = Watch { out, holder: None, count: 0, token: Token::NONE, moves: 0 };
    let mut rounds = 0;
    while stations.iter().any(|station| !station.has_finished()) {
        assert!(rounds < ROUNDS_MAX, "somebody waits for ever");
        for (me, station) in stations.iter_mut().enumerate() {
            station.turn(me, now, wires, &mut watch)?;
        }
        (rounds, now) = (rounds + 1, now.after(ROUND));
    }

    let Watch { count, moves, .. } = watch;
    assert!(count == ROUNDS * NODES as u64 && moves >= 3, "all have counted, and the counter went round");
    writeln!(
        out,
        "{NODES} nodes counted to {count} in {rounds} rounds; the counter was given away {moves} times"
    )
}
