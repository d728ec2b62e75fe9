//! A node without any adapter: the core, one mutex, and threads with blocking sockets.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time;

use lockmaster_core::drive::{self, Budget, Outlet, Wait};
use lockmaster_core::wire::{FRAME_MAX, Frames, Hello};
use lockmaster_core::{
    Config, Event, Flags, Grant, HeapMemory, Instant, Limits, LockId, Mode, Node, NodeId, OwnerId, Priority,
    Progress, Request, SlotRange, SpaceId, Token, Value, ValueState, ValueWrite,
};

/// How long somebody waits for what must come, on the slowest machine.
const GIVE_UP: Duration = Duration::from_secs(60);
/// What a thread sleeps for that has no deadline.
const LONG: Duration = Duration::from_secs(3600);

/// A member of the cluster, which others with lower numbers dial. Clones are the same.
#[derive(Clone)]
pub(crate) struct ByHand {
    shared: Arc<Shared>,
}

struct Shared {
    start: time::Instant,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    node: Node<HeapMemory>,
    peers: BTreeMap<NodeId, TcpStream>,
    /// Grants that nobody has fetched yet.
    granted: BTreeMap<LockId, Grant>,
    /// The last news of a transfer.
    progress: Option<Progress>,
    /// When the node wants to be called again.
    until: Option<Instant>,
    owners: u64,
    is_over: bool,
}

/// What a node says while it is driven.
#[derive(Default)]
struct Said {
    events: Vec<Event>,
    ready: Vec<NodeId>,
}

impl Outlet for Said {
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    fn ready(&mut self, peer: NodeId) {
        self.ready.push(peer);
    }
}

impl ByHand {
    /// Starts a node that listens here.
    pub(crate) fn start(config: Config, listener: TcpListener) -> Self {
        let memory = HeapMemory::new(&Limits::uniform(4096), &config);
        let state = State {
            node: Node::new(config, memory).unwrap(),
            peers: BTreeMap::new(),
            granted: BTreeMap::new(),
            progress: None,
            until: None,
            owners: 0,
            is_over: false,
        };
        let shared =
            Shared { start: time::Instant::now(), state: Mutex::new(state), changed: Condvar::new() };
        let node = Self { shared: Arc::new(shared) };
        let (timer, acceptor) = (node.clone(), node.clone());
        thread::spawn(move || timer.keep_time());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let reader = acceptor.clone();
                thread::spawn(move || reader.serve(stream.unwrap()));
            }
        });
        node
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state().node.is_open()
    }

    pub(crate) fn master_of(&self, name: &str) -> Option<NodeId> {
        self.state().node.master_of(SpaceId(0), name.as_bytes()).unwrap()
    }

    /// Takes a lock in EX, adds one to the number in its value block, and lets go. Gives the token and the new number.
    pub(crate) fn add(&self, name: &str) -> (Token, u64) {
        let (lock, token) = self.lock(name, Mode::Exclusive);
        let number = self.turn(|_, state| {
            let number = match state.node.value(lock).unwrap() {
                ValueState::Absent => 0,
                ValueState::Valid(value) => u64::from_le_bytes(value.as_bytes().try_into().unwrap()),
                ValueState::Invalid(value) => panic!("nobody has died: {value:?}"),
            };
            let written = ValueWrite::Set(Value::new(&(number + 1).to_le_bytes()).unwrap());
            state.node.release(lock, written).unwrap();
            number + 1
        });
        (token, number)
    }

    /// Waits for a lock, and gives it with its token.
    pub(crate) fn lock(&self, name: &str, mode: Mode) -> (LockId, Token) {
        let asked = self.turn(|now, state| {
            state.owners += 1;
            let request = Request {
                space: SpaceId(0),
                name: name.as_bytes(),
                owner: OwnerId(state.owners),
                mode,
                flags: Flags::VALUE,
                priority: Priority::default(),
                patience: None,
            };
            state.node.request(now, &request).unwrap()
        });
        let grant = match asked.grant {
            Some(grant) => grant,
            None => self.wait_for(|state| state.granted.remove(&asked.lock)),
        };
        (asked.lock, grant.token)
    }

    pub(crate) fn release(&self, lock: LockId) {
        self.turn(|_, state| state.node.release(lock, ValueWrite::Keep)).unwrap();
    }

    /// Gives slots to another member, and waits for the end of it.
    pub(crate) fn transfer(&self, range: SlotRange, to: NodeId) -> Progress {
        self.turn(|now, state| {
            state.progress = None;
            state.node.transfer(now, range, to).unwrap();
        });
        self.wait_for(|state| state.progress.filter(|progress| progress.stage.is_end()))
    }

    /// Ends its threads but the one that listens.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        for stream in state.peers.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn now(&self) -> Instant {
        Instant::START.after(self.shared.start.elapsed())
    }

    fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut found = None;
        let state = self.state();
        let waited = self.shared.changed.wait_timeout_while(state, GIVE_UP, |state| {
            found = look(state);
            found.is_none()
        });
        drop(waited.unwrap());
        found.expect("it comes about")
    }

    /// One input, and all that the node says to it.
    fn turn<T>(&self, input: impl FnOnce(Instant, &mut State) -> T) -> T {
        let mut state = self.state();
        let output = input(self.now(), &mut state);
        loop {
            let mut said = Said::default();
            let Wait { until, is_spent } = drive::run(self.now(), &mut state.node, &mut said, Budget::ALL);
            assert!(!is_spent, "there was no bound");
            state.until = until;
            said.events.into_iter().for_each(|event| state.hear(event));
            if said.ready.is_empty() {
                break;
            }
            said.ready.into_iter().for_each(|peer| state.write(self.now(), peer));
        }
        drop(state);
        self.shared.changed.notify_all();
        output
    }

    fn keep_time(&self) {
        let mut state = self.state();
        while !state.is_over {
            let span = state.until.map_or(LONG, |until| until.since(self.now()));
            if span.is_zero() {
                drop(state);
                self.turn(|_, _| ());
                state = self.state();
            } else {
                (state, _) = self.shared.changed.wait_timeout(state, span).unwrap();
            }
        }
    }

    /// Runs a connection to its end: a hello, then frames.
    fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut bytes = Vec::new();
        let Some(frame) = next_frame(&mut stream, &mut bytes) else { return };
        let hello = Hello::decode(&frame).unwrap();
        let mut own = [0; 512];
        let len = self.state().node.hello().encode(&mut own).unwrap();
        stream.write_all(&own[..len]).unwrap();
        let writer = stream.try_clone().unwrap();
        self.turn(|now, state| {
            state.peers.insert(hello.node, writer);
            state.node.handle_hello(now, &hello).unwrap();
            state.write(now, hello.node);
        });
        while let Some(frame) = next_frame(&mut stream, &mut bytes) {
            self.turn(|now, state| state.node.handle_frame(now, hello.node, &frame)).unwrap();
        }
        self.turn(|now, state| {
            state.peers.remove(&hello.node);
            state.node.handle_disconnect(now, hello.node);
        });
    }
}

impl State {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Granted { lock, grant, .. } => assert!(self.granted.insert(lock, grant).is_none()),
            Event::Transfer(progress) => self.progress = Some(progress),
            Event::Denied { .. } | Event::Demanded { .. } | Event::Lost { .. } => {
                panic!("nobody has asked for that: {event:?}")
            }
        }
    }

    /// Writes all that the node has to say to a peer; nothing if it is away, for then it will be said again.
    fn write(&mut self, now: Instant, peer: NodeId) {
        let Some(stream) = self.peers.get_mut(&peer) else { return };
        let mut frame = [0; FRAME_MAX];
        while let Some(len) = drive::fill(now, &mut self.node, peer, &mut frame) {
            // It fails if the peer was faster to hang up.
            if stream.write_all(&frame[..len]).is_err() {
                return;
            }
        }
    }
}

/// The next frame of a connection, nothing at its end. `bytes` is what was read behind it.
fn next_frame(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(len) = Frames::next_len(bytes).unwrap() {
            return Some(bytes.drain(..len).collect());
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(len) => bytes.extend_from_slice(&more[..len]),
        }
    }
}

/// Where a bound socket listens.
pub(crate) fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
