//! What one node does by itself: each of its states once, and each step from one to the next once.
//!
//! A node is a deterministic machine, so a state of the cluster is a number for each node, and most steps of the
//! cluster are looked up. Nodes with the same fingerprint are one state, whatever places their records have; so
//! locks are named by their owners and handles are looked up.

use core::hash::{Hash, Hasher};
use core::panic::AssertUnwindSafe;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::DefaultHasher;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, RwLock};

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::wire::{Body, Hello, LockMessage, Message};
use lockmaster_core::{
    Cancelled, Conversion, Denial, Dropped, Epoch, Event, Flags, Grant, HeapMemory, Instant, LockId,
    LockView, Mode, Node, NodeId, Number, OwnerId, PhysicalView, Request, ResourceView, SlotRange, SpaceId,
    Stage, Token, Value, ValueState, ValueWrite, View, ViewMember, Visit,
};

use super::network::Network;
use super::scenario::MEMBERS_MAX;
use crate::cluster::{Frame, Word, request_for};

/// A state of a node, by its number.
pub(crate) type LocalId = u32;

/// A message to a member, by its number among those.
pub(crate) type MessageId = u32;

/// Bytes of the frames that nodes fill; what they say is taken apart into single messages.
const FRAME_LEN: usize = 4096;

/// Something that happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Input {
    /// A message arrives.
    Deliver(MessageId),
    /// All of its timers are due, if any run.
    Tick,
    Request {
        owner: u8,
        resource: u8,
        mode: Mode,
    },
    Convert {
        owner: u8,
        mode: Mode,
        write: Option<u8>,
    },
    Release {
        owner: u8,
        write: Option<u8>,
    },
    Cancel {
        owner: u8,
    },
    /// The slot of the first resource is to go to another member.
    Transfer {
        to: u8,
    },
    /// It hears of a view.
    View(ViewOf),
    /// It dies.
    Crash,
    /// The engine makes a view of all who live.
    MakeView,
}

/// A view in few bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ViewOf {
    pub(crate) epoch: u8,
    /// One bit for each member.
    pub(crate) members: u8,
    /// Epochs in which they joined.
    pub(crate) joined: [u8; MEMBERS_MAX],
}

impl ViewOf {
    /// The first view, of these members.
    pub(crate) fn first(members: u8) -> Self {
        Self::default().next(members)
    }

    /// The view after this one, of these members.
    pub(crate) fn next(self, members: u8) -> Self {
        let mut next = Self { epoch: self.epoch + 1, members, ..self };
        for at in 0..MEMBERS_MAX {
            if (members & !self.members) >> at & 1 == 1 {
                next.joined[at] = next.epoch;
            }
        }
        next
    }

    /// The same for a node, with the members' incarnations out of their hellos.
    pub(crate) fn to_view(self, hellos: &[Hello]) -> View {
        let mut view = View { epoch: Epoch(self.epoch.into()), ..View::default() };
        for (at, hello) in hellos.iter().enumerate().filter(|(at, _)| self.members >> at & 1 == 1) {
            let (node, incarnation) = (hello.node, hello.incarnation);
            let joined = Epoch(self.joined[at].into());
            assert!(view.add(ViewMember { node, incarnation, joined, is_leaving: false }), "members are few");
        }
        view
    }
}

/// What owners of a node were told, in the call or by an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Granted {
        owner: u8,
        mode: Mode,
        token: Token,
        value: ValueState,
    },
    Denied {
        owner: u8,
        reason: Denial,
        held: Option<Mode>,
    },
    /// A request or conversion was refused in the call.
    Refused {
        owner: u8,
    },
    Cancelled {
        owner: u8,
        found: Cancelled,
    },
    /// A transfer was refused in the call.
    Stays,
    Transfer(Stage),
}

/// One step of a node.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) local: LocalId,
    /// To whom, and what.
    pub(crate) said: Box<[(u8, MessageId)]>,
    pub(crate) told: Box<[Told]>,
    /// The node has stated that it holds nothing of a resource that it does not know.
    pub(crate) is_answer: bool,
    /// What the core's own checks had to say.
    pub(crate) panic: Option<String>,
}

/// What can be seen of a node from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) resources: Vec<Seen>,
    /// A slot of it is in a transfer.
    pub(crate) is_moving: bool,
}

/// What can be seen of a resource at a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) is_known: bool,
    pub(crate) decides: bool,
    pub(crate) held: Option<Mode>,
    /// What the members hold, as it is on record here.
    pub(crate) records: Vec<(NodeId, Option<Mode>)>,
}

/// The members' names and the resources that all of them know.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) names: Vec<Vec<u8>>,
    pub(crate) flags: Flags,
    /// The slot of the first resource.
    pub(crate) range: SlotRange,
    /// What the members say first, as they are made.
    pub(crate) hellos: Vec<Hello>,
}

/// A node and its time.
#[derive(Clone, Debug)]
struct Living {
    node: Node<HeapMemory>,
    now: Instant,
}

#[derive(Debug)]
struct Local {
    facts: Facts,
    living: Living,
}

/// Steps by the state that they are from.
type Steps = BTreeMap<(LocalId, Input), Arc<Step>>;

/// All states of all nodes that were met, and all messages.
#[derive(Debug)]
pub(crate) struct Locals {
    setting: Setting,
    tables: RwLock<Tables>,
    steps: Vec<Mutex<Steps>>,
}

#[derive(Debug, Default)]
struct Tables {
    ids: BTreeMap<(u64, u64), LocalId>,
    locals: Vec<Arc<Local>>,
    message_ids: BTreeMap<Arc<Frame>, MessageId>,
    /// For each member those to it.
    messages: [Vec<Arc<Frame>>; MEMBERS_MAX],
}

impl Locals {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, tables: RwLock::default(), steps: (0..64).map(|_| Mutex::default()).collect() }
    }

    /// The state of a node that was just made.
    pub(crate) fn enter(&self, node: Node<HeapMemory>) -> LocalId {
        self.intern(Living { node, now: Instant::START })
    }

    pub(crate) fn facts<T>(&self, local: LocalId, look: impl FnOnce(&Facts) -> T) -> T {
        look(&self.tables.read().expect(SOUND).locals[local as usize].facts)
    }

    pub(crate) fn message(&self, to: u8, message: MessageId) -> Arc<Frame> {
        Arc::clone(&self.tables.read().expect(SOUND).messages[usize::from(to)][message as usize])
    }

    /// Has a master granted one request twice, under two tokens, as far as these messages to a member show? What was
    /// granted in an earlier view is not heard any more, so a later one may grant it again.
    pub(crate) fn is_granted_twice(&self, to: u8, network: &Network, message: MessageId) -> bool {
        let tables = self.tables.read().expect(SOUND);
        let messages = &tables.messages[usize::from(to)];
        let Some((request, token)) = grant_in(&messages[message as usize]) else { return false };
        network
            .iter()
            .filter_map(|other| grant_in(&messages[other as usize]))
            .any(|(same, other)| same == request && other != token && other.epoch == token.epoch)
    }

    /// States of nodes, steps and messages that were met, and what the messages are.
    pub(crate) fn counts(&self) -> ([usize; 3], BTreeSet<Word>) {
        let steps = self.steps.iter().map(|shard| shard.lock().expect(SOUND).len()).sum();
        let tables = self.tables.read().expect(SOUND);
        let messages = tables.messages.iter().flatten();
        let words = messages.clone().flat_map(|frame| frame.words()).collect();
        ([tables.locals.len(), steps, messages.count()], words)
    }

    /// What comes of an input.
    pub(crate) fn step(&self, local: LocalId, input: Input) -> Arc<Step> {
        let mut hasher = DefaultHasher::new();
        (local, input).hash(&mut hasher);
        let shard = &self.steps[usize::try_from(hasher.finish() % 64).expect("below 64")];
        if let Some(step) = shard.lock().expect(SOUND).get(&(local, input)) {
            return Arc::clone(step);
        }
        let step = Arc::new(self.make_step(local, input));
        Arc::clone(shard.lock().expect(SOUND).entry((local, input)).or_insert(step))
    }

    fn make_step(&self, local: LocalId, input: Input) -> Step {
        let mut living = self.local(local).living.clone();
        let before = living.node.last_number();
        match catch_unwind(AssertUnwindSafe(|| self.apply(&mut living, input))) {
            Ok((said, told)) => {
                let is_raised = living.node.last_number() > before && matches!(input, Input::Deliver(_));
                let said = said.into_iter().map(|frame| self.intern_message(frame)).collect();
                let local = self.intern(living);
                let is_known = self.facts(local, |facts| facts.resources.iter().all(|seen| seen.is_known));
                Step { local, said, told: told.into(), is_answer: is_raised && !is_known, panic: None }
            }
            Err(payload) => {
                let text = payload.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
                let (said, told) = (Box::default(), Box::default());
                Step { local, said, told, is_answer: false, panic: Some(text.to_owned()) }
            }
        }
    }

    // ---- nodes ----

    /// The number of a state.
    fn intern(&self, mut living: Living) -> LocalId {
        let id = fingerprint(&mut living.node);
        if let Some(known) = self.tables.read().expect(SOUND).ids.get(&id) {
            return *known;
        }
        let facts = self.look(&mut living.node);
        let mut tables = self.tables.write().expect(SOUND);
        let next = u32::try_from(tables.locals.len()).expect("states of nodes are few");
        match tables.ids.entry(id) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(entry) => entry.insert(next),
        };
        tables.locals.push(Arc::new(Local { facts, living }));
        next
    }

    fn local(&self, local: LocalId) -> Arc<Local> {
        Arc::clone(&self.tables.read().expect(SOUND).locals[local as usize])
    }

    fn look(&self, node: &mut Node<HeapMemory>) -> Facts {
        let mut resources = Vec::new();
        for name in &self.setting.names {
            let decides = node.decides(SpaceId(0), name).expect("the name is sound");
            let mut look = Look { name, is_here: false, seen: Seen { decides, ..Seen::default() } };
            node.visit(&mut look);
            resources.push(look.seen);
        }
        let is_moving =
            node.all_slots().slots().any(|slot| node.slot(slot).is_some_and(|slot| slot.is_moving));
        Facts { resources, is_moving }
    }

    // ---- messages ----

    fn intern_message(&self, frame: Frame) -> (u8, MessageId) {
        let to = member_of(frame.to);
        if let Some(known) = self.tables.read().expect(SOUND).message_ids.get(&frame) {
            return (to, *known);
        }
        let mut tables = self.tables.write().expect(SOUND);
        let Tables { message_ids, messages, .. } = &mut *tables;
        let messages = &mut messages[usize::from(to)];
        let next = u32::try_from(messages.len()).expect("messages are few");
        let frame = Arc::new(frame);
        match message_ids.entry(Arc::clone(&frame)) {
            Entry::Occupied(known) => return (to, *known.get()),
            Entry::Vacant(entry) => entry.insert(next),
        };
        messages.push(frame);
        (to, next)
    }

    // ---- inputs ----

    /// Lets a node take an input and hears all that it has to say.
    fn apply(&self, living: &mut Living, input: Input) -> (Vec<Frame>, Vec<Told>) {
        let Living { node, now } = living;
        let mut told = Vec::new();
        let flags = self.setting.flags;
        match input {
            Input::Deliver(message) => {
                let frame = self.message(member_of(node.config().node), message);
                match node.handle_frame(*now, frame.from, &frame.bytes) {
                    Ok(()) => {}
                    Err(Dropped::Epoch | Dropped::Peer) if !node.config().is_static() => {}
                    Err(dropped) => panic!("the frame is sound: {dropped}"),
                }
            }
            Input::Tick => {
                *now = (*now).max(node.poll_timeout().unwrap_or(*now));
                node.handle_timeout(*now);
            }
            Input::Request { owner, resource, mode } => {
                let name = &self.setting.names[usize::from(resource)];
                let request = Request { owner: OwnerId(owner.into()), ..request_for(name, mode, flags) };
                match node.request(*now, &request) {
                    Ok(asked) => {
                        told.extend(asked.grant.map(|grant| told_of(node, owner, asked.lock, &grant)))
                    }
                    Err(_) => told.push(Told::Refused { owner }),
                }
            }
            Input::Convert { owner, mode, write } => {
                let lock = lock_of(node, owner);
                let conversion = Conversion { flags, patience: None };
                match node.convert(*now, lock, mode, conversion, write_of(write)) {
                    Ok(grant) => told.extend(grant.map(|grant| told_of(node, owner, lock, &grant))),
                    Err(_) => told.push(Told::Refused { owner }),
                }
            }
            Input::Release { owner, write } => {
                let lock = lock_of(node, owner);
                node.release(lock, write_of(write)).expect("a granted lock is released");
            }
            Input::Cancel { owner } => {
                let lock = lock_of(node, owner);
                let found = node.cancel(lock).expect("the lock is live");
                told.push(Told::Cancelled { owner, found });
            }
            Input::Transfer { to } => {
                let to = NodeId(u16::from(to) + 1);
                if node.transfer(*now, self.setting.range, to).is_err() {
                    told.push(Told::Stays);
                }
            }
            Input::View(view) => self.change(*now, node, view),
            Input::Crash | Input::MakeView => unreachable!("no node sees that"),
        }
        let said = drain(*now, node, &mut told);
        node.check();
        (said, told)
    }

    /// A node hears of a view, and is connected to all other members. That they know its epoch by that is not said.
    fn change(&self, now: Instant, node: &mut Node<HeapMemory>, view: ViewOf) {
        let hellos = &self.setting.hellos;
        node.handle_view(now, &view.to_view(hellos)).expect("the view is later");
        let me = node.config().node;
        let others =
            hellos.iter().enumerate().filter(|(at, hello)| view.members >> at & 1 == 1 && hello.node != me);
        for (_, hello) in others {
            node.handle_hello(now, &Hello { epoch: Epoch(0), ..*hello }).expect("a member is welcome");
        }
    }
}

/// The request that a message grants, by its resource and number, and the token.
fn grant_in(frame: &Frame) -> Option<((Vec<u8>, Number), Token)> {
    frame.messages().into_iter().find_map(|message| match message {
        Message::Lock(LockMessage { name, body: Body::Grant(grant), .. }) => {
            Some(((name.to_vec(), grant.number), grant.token))
        }
        Message::Lock(_) | Message::Transfer(_) | Message::View(_) => None,
    })
}

/// Place of a member among all.
fn member_of(node: NodeId) -> u8 {
    u8::try_from(node.0 - 1).expect("members are few")
}

/// Nobody who holds one of these mutexes panics.
pub(super) const SOUND: &str = "nobody panics with the tables in hand";

/// The value block of a count.
pub(crate) fn block_of(count: u8) -> Value {
    Value::new(&[count]).expect("a byte is short")
}

fn write_of(write: Option<u8>) -> ValueWrite {
    write.map_or(ValueWrite::Keep, |count| ValueWrite::Set(block_of(count)))
}

fn told_of(node: &mut Node<HeapMemory>, owner: u8, lock: LockId, grant: &Grant) -> Told {
    let value = node.value(lock).expect("the lock is live");
    Told::Granted { owner, mode: grant.mode, token: grant.token, value }
}

/// 128 bits, so that two states are never taken for one.
fn fingerprint(node: &mut Node<HeapMemory>) -> (u64, u64) {
    struct Both(DefaultHasher, DefaultHasher);
    impl Hasher for Both {
        fn write(&mut self, bytes: &[u8]) {
            self.0.write(bytes);
            self.1.write(bytes);
        }
        fn finish(&self) -> u64 {
            self.0.finish()
        }
    }
    let mut both = Both(DefaultHasher::new(), DefaultHasher::new());
    both.1.write_u8(1);
    both.write(&node.config().node.0.to_le_bytes());
    node.fingerprint(&mut both);
    (both.0.finish(), both.1.finish())
}

/// Everything that a node has to say and to tell, each message in a frame of its own.
fn drain(now: Instant, node: &mut Node<HeapMemory>, told: &mut Vec<Told>) -> Vec<Frame> {
    #[derive(Default)]
    struct Heard(Vec<Event>, Vec<NodeId>);
    impl Outlet for Heard {
        fn event(&mut self, event: Event) {
            self.0.push(event);
        }
        fn ready(&mut self, peer: NodeId) {
            self.1.push(peer);
        }
    }
    const BUDGET: Budget = Budget { outputs: 10_000, records: 10_000 };
    let mut frames = Vec::new();
    loop {
        let mut heard = Heard::default();
        let wait = drive::run(now, node, &mut heard, BUDGET);
        assert!(!wait.is_spent, "a node comes to rest");
        let Heard(events, ready) = heard;
        if events.is_empty() && ready.is_empty() {
            return frames;
        }
        told.extend(events.into_iter().map(|event| told_by(node, event)));
        for peer in ready {
            let mut bytes = [0; FRAME_LEN];
            while let Some(len) = drive::fill(now, node, peer, &mut bytes) {
                let frame = Frame::new(node.config().node, peer, bytes[..len].to_vec());
                frames.extend(frame.split());
            }
        }
    }
}

fn told_by(node: &mut Node<HeapMemory>, event: Event) -> Told {
    let name = |owner: OwnerId| u8::try_from(owner.0).expect("owners are few");
    match event {
        Event::Granted { lock, owner, grant } => told_of(node, name(owner), lock, &grant),
        Event::Denied { owner, reason, held, .. } => Told::Denied { owner: name(owner), reason, held },
        Event::Demanded { .. } => unreachable!("nobody watches"),
        Event::Transfer(progress) => Told::Transfer(progress.stage),
        Event::Lost { .. } => panic!("no view takes locks away here: {event:?}"),
    }
}

fn lock_of(node: &mut Node<HeapMemory>, owner: u8) -> LockId {
    struct Find(OwnerId, Option<LockId>);
    impl Visit for Find {
        fn resource(&mut self, _: ResourceView<'_>) {}
        fn physical(&mut self, _: PhysicalView) {}
        fn lock(&mut self, view: LockView) {
            if view.owner == self.0 {
                self.1 = Some(view.lock);
            }
        }
    }
    let mut find = Find(OwnerId(owner.into()), None);
    node.visit(&mut find);
    find.1.expect("an owner has the lock that it was told of")
}

/// Sees one resource of a node.
struct Look<'a> {
    name: &'a [u8],
    is_here: bool,
    seen: Seen,
}

impl Visit for Look<'_> {
    fn resource(&mut self, resource: ResourceView<'_>) {
        self.is_here = resource.name == self.name;
        if self.is_here {
            self.seen.is_known = true;
            self.seen.held = resource.held;
        }
    }

    fn physical(&mut self, physical: PhysicalView) {
        if self.is_here {
            self.seen.records.push((physical.node, physical.held));
        }
    }

    fn lock(&mut self, _: LockView) {}
}
