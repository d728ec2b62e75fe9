//! Small clusters of real nodes whose frames a script holds in its hands.

use core::time::Duration;
use std::collections::BTreeSet;

mod frame;
mod moves;

pub use frame::{ForgedChunk, Frame, OwnedUnit, Word};

use lockmaster_core::{
    Asked, Cancelled, ClusterId, Config, Conversion, ConvertError, Dropped, Event, Flags, Grant, HeapMemory,
    Incarnation, Instant, Limits, LockId, LockView, Mode, Name, Node, NodeId, OwnerId, PhysicalView,
    Priority, Progress, Request, RequestError, ResourceView, Retention, SpaceConfig, SpaceId, Storage,
    ValueState, ValueWrite, Visit,
};

/// The member that is the master of the resource in question.
pub const MASTER: NodeId = NodeId(1);
/// A member that is not.
pub const ANNA: NodeId = NodeId(2);
/// Another one.
pub const BERT: NodeId = NodeId(3);

/// Configuration of member `node` of a cluster of members 1 to `members`, with one space.
///
/// # Panics
/// Never: the space's name is short.
#[must_use]
pub fn config_of(node: u16, members: u16, retention: Retention) -> Config {
    let mut config = Config::new(ClusterId(1), NodeId(node), Incarnation(u64::from(node) + 100));
    config.members = (1..=members).map(NodeId).collect();
    let space = SpaceConfig {
        name: Name::new(b"space").expect("the name is short"),
        slots: u32::from(members),
        retention,
        retained_max: 1000,
        grants_after_demand: 0,
    };
    config.spaces = [space].into_iter().collect();
    config
}

/// A resource whose master is this member, and whose name starts so.
///
/// # Panics
/// If there is none among many.
pub fn name_mastered_by<S: Storage>(node: &mut Node<S>, master: NodeId, start: &str) -> Vec<u8> {
    let names = (0..10_000).map(|at: u32| format!("{start}{at}").into_bytes());
    let mut mastered = names.filter(|name| node.master_of(SpaceId(0), name) == Ok(Some(master)));
    mastered.next().expect("slots are dealt to every member")
}

/// A request for the resource that a test is about.
#[must_use]
pub const fn request_for(name: &[u8], mode: Mode, flags: Flags) -> Request<'_> {
    Request { space: SpaceId(0), name, owner: OwnerId(0), mode, flags, priority: Priority(0), patience: None }
}

/// Some members, one resource, and no network: a script decides which frame arrives, when, and how often.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node<HeapMemory>>,
    now: Instant,
    name: Vec<u8>,
    events: Vec<Vec<Event>>,
    /// What the nodes told of the transfers that they give.
    news: Vec<Vec<Progress>>,
    /// Every resource that somebody asked for.
    names: BTreeSet<(SpaceId, Vec<u8>)>,
    /// Every message that was sent, in a frame of its own.
    said: Vec<Frame>,
    /// Who has named whom as somebody that something waits for.
    owed: BTreeSet<(NodeId, NodeId)>,
    owners: u64,
    /// Events are polled after every so many inputs only.
    laziness: u64,
    inputs: u64,
    /// Bytes of the buffers that frames are written to.
    frame_len: usize,
    /// A member says what no honest one says, so that the members need not agree.
    is_betrayed: bool,
}

impl Cluster {
    /// A cluster of one.
    #[must_use]
    pub fn single(retention: Retention) -> Self {
        Self::of(1, retention)
    }

    /// The master and Anna.
    #[must_use]
    pub fn pair(retention: Retention) -> Self {
        Self::of(2, retention)
    }

    /// The master, Anna and Bert.
    #[must_use]
    pub fn trio(retention: Retention) -> Self {
        Self::of(3, retention)
    }

    /// A member for each of these capacities, the master first.
    #[must_use]
    pub fn with(limits: &[Limits], retention: Retention) -> Self {
        Self::acquainted(Self::made(limits, retention))
    }

    fn of(members: u16, retention: Retention) -> Self {
        Self::acquainted(Self::unacquainted(members, retention))
    }

    fn acquainted(mut cluster: Self) -> Self {
        for from in cluster.members() {
            for to in cluster.members() {
                if from != to {
                    cluster.introduce(from, to);
                }
            }
        }
        cluster
    }

    /// Members that have not heard each other yet.
    #[must_use]
    pub fn unacquainted(members: u16, retention: Retention) -> Self {
        let limits = vec![Limits::uniform(16); usize::from(members)];
        Self::made(&limits, retention)
    }

    fn made(limits: &[Limits], retention: Retention) -> Self {
        Self::shaped(limits, retention, |_| {})
    }

    /// A member for each of these capacities, whose configurations were changed in the same way; they have not
    /// heard each other yet.
    pub(crate) fn shaped(limits: &[Limits], retention: Retention, shape: impl Fn(&mut Config)) -> Self {
        let members = u16::try_from(limits.len()).expect("members are few");
        let node = |(node, limits): (u16, &Limits)| {
            let mut config = config_of(node, members, retention);
            shape(&mut config);
            let memory = HeapMemory::new(limits, &config);
            Node::new(config, memory).expect("the memory fits")
        };
        let mut nodes: Vec<Node<HeapMemory>> = (1..=members).zip(limits).map(node).collect();
        let name = name_mastered_by(&mut nodes[0], MASTER, "r");
        let events = nodes.iter().map(|_| Vec::new()).collect();
        let news = nodes.iter().map(|_| Vec::new()).collect();
        let (names, said, owed) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        Self {
            nodes,
            now: Instant::START,
            name,
            events,
            news,
            names,
            said,
            owed,
            owners: 0,
            laziness: 1,
            inputs: 0,
            frame_len: 4096,
            is_betrayed: false,
        }
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> Vec<NodeId> {
        self.nodes.iter().map(|node| node.config().node).collect()
    }

    /// The node itself.
    pub fn node(&mut self, node: NodeId) -> &mut Node<HeapMemory> {
        &mut self.nodes[usize::from(node.0) - 1]
    }

    /// The name of the resource, mastered by [`MASTER`].
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        self.name.clone()
    }

    /// Another resource with the same master, whose name starts so.
    pub fn other_name(&mut self, start: &str) -> Vec<u8> {
        name_mastered_by(self.node(MASTER), MASTER, start)
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    // ---- what owners do ----

    /// An owner asks for the resource; the answer may be a grant.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn ask(&mut self, node: NodeId, mode: Mode, flags: Flags) -> Result<Asked, RequestError> {
        let name = self.name();
        self.ask_for(&name, node, mode, flags)
    }

    /// An owner asks for a resource of this name.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn ask_for(
        &mut self,
        name: &[u8],
        node: NodeId,
        mode: Mode,
        flags: Flags,
    ) -> Result<Asked, RequestError> {
        self.ask_in(SpaceId(0), name, node, mode, flags)
    }

    /// An owner asks for a resource of this space.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn ask_in(
        &mut self,
        space: SpaceId,
        name: &[u8],
        node: NodeId,
        mode: Mode,
        flags: Flags,
    ) -> Result<Asked, RequestError> {
        self.owners += 1;
        let request = Request { space, owner: OwnerId(self.owners), ..request_for(name, mode, flags) };
        self.names.insert((space, name.to_vec()));
        let now = self.now;
        let asked = self.node(node).request(now, &request);
        self.listen(node);
        asked
    }

    /// An owner asks for a mode, without flags.
    ///
    /// # Panics
    /// If it is refused.
    pub fn request(&mut self, node: NodeId, mode: Mode) -> LockId {
        self.ask(node, mode, Flags::NONE).expect("a plain request is taken").lock
    }

    /// An owner asks for a mode and gets it, once everything has arrived.
    ///
    /// # Panics
    /// If it does not.
    pub fn lock(&mut self, node: NodeId, mode: Mode, flags: Flags) -> LockId {
        let asked = self.ask(node, mode, flags).expect("the request is taken");
        self.run();
        assert_eq!(self.mode(node, asked.lock), Some(mode), "the lock is granted");
        self.happened(node);
        asked.lock
    }

    /// An owner converts.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn convert(
        &mut self,
        node: NodeId,
        lock: LockId,
        mode: Mode,
        flags: Flags,
        write: ValueWrite,
    ) -> Result<Option<Grant>, ConvertError> {
        let now = self.now;
        let converted = self.node(node).convert(now, lock, mode, Conversion { flags, patience: None }, write);
        self.listen(node);
        converted
    }

    /// An owner releases and leaves the value block as it is.
    ///
    /// # Panics
    /// If it may not.
    pub fn release(&mut self, node: NodeId, lock: LockId) {
        self.release_with(node, lock, ValueWrite::Keep);
    }

    /// An owner releases.
    ///
    /// # Panics
    /// If it may not.
    pub fn release_with(&mut self, node: NodeId, lock: LockId, write: ValueWrite) {
        self.node(node).release(lock, write).expect("a granted lock is released");
        self.listen(node);
    }

    /// An owner cancels.
    ///
    /// # Panics
    /// If the lock has ended.
    pub fn cancel(&mut self, node: NodeId, lock: LockId) -> Cancelled {
        let cancelled = self.node(node).cancel(lock).expect("the lock is live");
        self.listen(node);
        cancelled
    }

    /// An owner wants to know of demands.
    ///
    /// # Panics
    /// If the lock has ended.
    pub fn watch(&mut self, node: NodeId, lock: LockId) -> Option<Mode> {
        let watched = self.node(node).watch(lock).expect("the lock is live");
        self.listen(node);
        watched
    }

    /// The value block as the node of a lock knows it.
    ///
    /// # Panics
    /// If the lock has ended.
    pub fn value(&mut self, node: NodeId, lock: LockId) -> ValueState {
        self.node(node).value(lock).expect("the lock is live")
    }

    /// What the owners of a node were told since this was asked last.
    pub fn happened(&mut self, node: NodeId) -> Vec<Event> {
        core::mem::take(&mut self.events[usize::from(node.0) - 1])
    }

    /// From now on events are polled, and left work is done, after every so many inputs only.
    pub fn be_lazy(&mut self, laziness: u64) {
        self.laziness = laziness;
    }

    /// Frames are no longer than this from now on.
    pub fn limit_frames(&mut self, len: usize) {
        self.frame_len = len;
    }

    /// From now on a master may lie: what the members agree on is not checked any more, only each by itself.
    pub fn betray(&mut self) {
        self.is_betrayed = true;
    }

    /// Hears what a node has to tell after a script has used it by itself.
    pub fn attend(&mut self, node: NodeId) {
        self.listen(node);
    }

    fn listen(&mut self, node: NodeId) {
        self.inputs += 1;
        let is_polling = self.inputs.is_multiple_of(self.laziness);
        self.hear_of(node, is_polling);
    }

    /// Hears what has been left so far; says whether anybody has something to say.
    fn listen_to_all(&mut self) -> bool {
        for node in self.members() {
            self.hear_of(node, true);
        }
        !self.owed.is_empty()
    }

    fn hear_of(&mut self, node: NodeId, is_polling: bool) {
        let at = usize::from(node.0) - 1;
        self.nodes[at].check();
        while let Some(event) = is_polling.then(|| self.nodes[at].poll_event()).flatten() {
            match event {
                Event::Transfer(progress) => self.news[at].push(progress),
                Event::Granted { .. } | Event::Denied { .. } | Event::Demanded { .. } => {
                    self.events[at].push(event);
                }
                Event::Lost { .. } => panic!("no view takes locks away here: {event:?}"),
            }
        }
        if !self.is_betrayed {
            self.check_authority();
        }
        while let Some(peer) = self.nodes[at].poll_ready() {
            self.owed.insert((node, peer));
        }
    }

    // ---- what arrives ----

    /// `to` hears the hello of `from`.
    ///
    /// # Panics
    /// If it refuses it.
    pub fn introduce(&mut self, from: NodeId, to: NodeId) {
        let hello = self.node(from).hello();
        let now = self.now;
        self.node(to).handle_hello(now, &hello).expect("a member is welcome");
        self.listen(to);
    }

    /// The next frame that a node has for another, if any: it is on its way, and will arrive only if it is
    /// delivered.
    pub fn next_frame(&mut self, from: NodeId, to: NodeId) -> Option<Frame> {
        if !self.owed.contains(&(from, to)) {
            return None;
        }
        let now = self.now;
        let mut bytes = vec![0; self.frame_len];
        let len = self.node(from).poll_transmit(now, to, &mut bytes);
        self.listen(from);
        let Some(len) = len else {
            self.owed.remove(&(from, to));
            return None;
        };
        bytes.truncate(len);
        let frame = Frame { from, to, bytes };
        self.said.extend(frame.split());
        Some(frame)
    }

    /// The next frame that a node has for another.
    ///
    /// # Panics
    /// If there is none.
    pub fn frame(&mut self, from: NodeId, to: NodeId) -> Frame {
        self.next_frame(from, to).unwrap_or_else(|| panic!("node {from} has nothing for node {to}"))
    }

    /// Does a node have nothing to say to another?
    ///
    /// If it had, that is lost.
    pub fn is_silent(&mut self, from: NodeId, to: NodeId) -> bool {
        self.next_frame(from, to).is_none()
    }

    /// A frame arrives; it may do so more than once.
    ///
    /// # Panics
    /// If it is dropped as a whole.
    pub fn deliver(&mut self, frame: &Frame) {
        assert_eq!(self.hear(frame), Ok(()), "the frame is taken");
    }

    /// A frame arrives that may be none.
    ///
    /// # Errors
    /// Why it was dropped as a whole.
    pub fn hear(&mut self, frame: &Frame) -> Result<(), Dropped> {
        let now = self.now;
        let heard = self.node(frame.to).handle_frame(now, frame.from, &frame.bytes);
        self.listen(frame.to);
        heard
    }

    /// A frame arrives as one of `from` at `to`, and is dropped for this reason without any effect.
    ///
    /// # Panics
    /// If it is not.
    pub fn refuse(&mut self, frame: &Frame, from: NodeId, to: NodeId, reason: Dropped) {
        let now = self.now;
        let before = self.node(to).digest();
        assert_eq!(self.node(to).handle_frame(now, from, &frame.bytes), Err(reason));
        assert_eq!(self.node(to).digest(), before, "what is dropped changes nothing");
    }

    /// Two members lose their connection.
    pub fn lose(&mut self, one: NodeId, other: NodeId) {
        let now = self.now;
        for (node, peer) in [(one, other), (other, one)] {
            self.node(node).handle_disconnect(now, peer);
            self.owed.remove(&(node, peer));
            self.listen(node);
        }
    }

    /// The next frame of a node for another arrives; returns it, so that it can arrive again.
    ///
    /// # Panics
    /// If there is none.
    pub fn exchange(&mut self, from: NodeId, to: NodeId) -> Frame {
        let frame = self.frame(from, to);
        self.deliver(&frame);
        frame
    }

    /// Everything arrives, until nobody has anything to say.
    ///
    /// # Panics
    /// If that never ends.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let Some((from, to)) = self.owed.first().copied() else {
                if self.laziness > 1 && self.listen_to_all() {
                    continue;
                }
                return;
            };
            while let Some(frame) = self.next_frame(from, to) {
                self.deliver(&frame);
            }
        }
        panic!("the members never stop talking");
    }

    /// Time passes and timers fire, but nothing arrives.
    ///
    /// # Panics
    /// If a timer fires for ever.
    pub fn pass(&mut self, span: Duration) {
        let until = self.now.after(span);
        for _ in 0..100_000 {
            let deadlines =
                self.nodes.iter().filter_map(|node| Some((node.poll_timeout()?, node.config().node)));
            let Some((deadline, node)) = deadlines.min().filter(|(deadline, _)| *deadline <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(deadline);
            let now = self.now;
            self.node(node).handle_timeout(now);
            self.listen(node);
        }
        panic!("a timer fires for ever");
    }

    /// The next timer fires; says whether there was one within this time.
    pub fn pass_to_timer(&mut self, within: Duration) -> bool {
        let deadline = self.nodes.iter().filter_map(Node::poll_timeout).min();
        let is_near = deadline.filter(|deadline| *deadline <= self.now.after(within));
        if let Some(deadline) = is_near {
            let span = deadline.as_nanos().saturating_sub(self.now.as_nanos());
            self.pass(Duration::from_nanos(span));
        }
        is_near.is_some()
    }

    /// Time passes, timers fire, and everything arrives.
    pub fn settle(&mut self, span: Duration) {
        let steps = 100;
        for _ in 0..steps {
            self.run();
            self.pass(span / steps);
        }
        self.run();
    }

    // ---- how things stand ----

    /// The mode of a lock, if it is granted.
    pub fn mode(&mut self, node: NodeId, lock: LockId) -> Option<Mode> {
        self.look(node).locks.iter().find(|view| view.lock == lock).and_then(|view| view.held)
    }

    /// The mode that a node holds.
    pub fn held(&mut self, node: NodeId) -> Option<Mode> {
        self.look(node).held
    }

    /// What the master has on record of a node.
    pub fn record(&mut self, node: NodeId) -> Option<PhysicalView> {
        self.look(MASTER).physical.into_iter().find(|physical| physical.node == node)
    }

    /// Everything that a node has of the resource.
    pub fn look(&mut self, node: NodeId) -> Look {
        let mut look = Look::default();
        self.node(node).visit(&mut look);
        look
    }
}

/// One resource, as one node has it.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Is there a record of it?
    pub is_known: bool,
    /// Mode that the node holds.
    pub held: Option<Mode>,
    /// Mode that the node wants.
    pub wanted: Option<Mode>,
    /// Mode that a demand lets stay.
    pub demanded: Option<Mode>,
    /// At the master: the value block.
    pub value: Option<ValueState>,
    /// At the master: all records, in queue order.
    pub physical: Vec<PhysicalView>,
    /// The node's own locks, in queue order.
    pub locks: Vec<LockView>,
}

impl Visit for Look {
    fn resource(&mut self, resource: ResourceView<'_>) {
        assert!(!self.is_known, "there is one resource");
        self.is_known = true;
        self.held = resource.held;
        self.wanted = resource.wanted;
        self.demanded = resource.demanded;
        self.value = resource.value;
    }

    fn physical(&mut self, physical: PhysicalView) {
        self.physical.push(physical);
    }

    fn lock(&mut self, lock: LockView) {
        self.locks.push(lock);
    }
}
