//! Small clusters whose members change: a script makes the views and holds links closed.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::{
    ClusterId, Config, Conversion, Dropped, Event, Flags, Grant, HeapMemory, Incarnation, Instant, Limits,
    LockId, Mode, Node, NodeId, OwnerId, Priority, Request, SlotId, SlotRange, SpaceConfig, SpaceId,
    TransferId, ValueState, ValueWrite, View, ViewMember,
    wire::{Message, Messages},
};

/// Slots of the only space, unless others are asked for.
pub const SLOTS: u32 = 12;

/// Which frames are meant: those with a message like this.
pub type IsIt = fn(&Message<'_>) -> bool;

/// A living node and what it has told so far.
#[derive(Debug)]
struct Living {
    node: Node<HeapMemory>,
    incarnation: u64,
    events: Vec<Event>,
    is_leaving: bool,
}

/// Nodes, the views that were made of them, and frames that are delivered at once unless their link is closed.
#[derive(Debug)]
pub struct Changing {
    living: BTreeMap<u16, Living>,
    view: View,
    now: Instant,
    incarnations: u64,
    owners: u64,
    closed: BTreeSet<(u16, u16)>,
    /// Frames of a closed link, in order.
    kept: Vec<(u16, u16, Vec<u8>)>,
    /// Frames that will be lost: the next one of this way that is meant.
    doomed: Vec<(u16, u16, IsIt)>,
    limits: Limits,
    places: u8,
    slots: u32,
}

impl Changing {
    /// A cluster of these nodes, all of which joined with the first view, with a map.
    #[must_use]
    pub fn of(nodes: &[u16]) -> Self {
        Self::with(nodes, Limits::uniform(64))
    }

    /// The same, with tables of this size.
    #[must_use]
    pub fn with(nodes: &[u16], limits: Limits) -> Self {
        Self::made(nodes, limits, 16, SLOTS)
    }

    /// The same, with so many slots.
    #[must_use]
    pub fn of_slots(nodes: &[u16], slots: u32) -> Self {
        Self::made(nodes, Limits::uniform(64), 16, slots)
    }

    /// The same, with no more places for members than there are members.
    ///
    /// # Panics
    /// If there are too many.
    #[must_use]
    pub fn tight(nodes: &[u16]) -> Self {
        Self::made(nodes, Limits::uniform(64), u8::try_from(nodes.len()).expect("members are few"), SLOTS)
    }

    fn made(nodes: &[u16], limits: Limits, places: u8, slots: u32) -> Self {
        let mut world = Self {
            living: BTreeMap::new(),
            view: View::default(),
            now: Instant::from_nanos(1),
            incarnations: 0,
            owners: 0,
            closed: BTreeSet::new(),
            kept: Vec::new(),
            doomed: Vec::new(),
            limits,
            places,
            slots,
        };
        for node in nodes {
            world.start(*node);
        }
        world.change();
        world.settle();
        world
    }

    // ---- the engine ----

    /// Starts a node, which is no member yet.
    ///
    /// # Panics
    /// If it lives.
    pub fn start(&mut self, id: u16) {
        self.incarnations += 1;
        let mut config = Config::new(ClusterId(1), NodeId(id), Incarnation(self.incarnations));
        let space =
            SpaceConfig { slots: self.slots, ..SpaceConfig::new("space").expect("the name is short") };
        config.spaces = [space].into_iter().collect();
        config.places = self.places;
        config.chunk = 256;
        config.window = 256;
        let memory = HeapMemory::new(&self.limits, &config);
        let node = Node::new(config, memory).expect("the configuration is sound");
        let incarnation = self.incarnations;
        let living = Living { node, incarnation, events: Vec::new(), is_leaving: false };
        assert!(self.living.insert(id, living).is_none(), "node {id} is dead");
    }

    /// A node dies, and its memory with it.
    pub fn crash(&mut self, id: u16) {
        self.living.remove(&id).expect("node lives");
        self.kept.retain(|(from, to, _)| ![*from, *to].contains(&id));
        for other in self.living.values_mut() {
            other.node.handle_disconnect(self.now, NodeId(id));
        }
    }

    /// A node that has lost its membership begins its next life; the next view has it.
    ///
    /// # Panics
    /// If it is a member.
    pub fn rejoin(&mut self, id: u16) {
        self.incarnations += 1;
        let (now, incarnation) = (self.now, self.incarnations);
        let living = self.at(id);
        living.incarnation = incarnation;
        living.node.rejoin(now, Incarnation(incarnation)).expect("the node has nothing any more");
        for (other, living) in &mut self.living {
            if *other != id {
                living.node.handle_disconnect(now, NodeId(id));
            }
        }
    }

    /// Makes a view without a living node and tells all others.
    pub fn expel(&mut self, id: u16) {
        let living = self.living.remove(&id).expect("node lives");
        self.make_view();
        for other in self.members() {
            self.tell(other);
        }
        self.living.insert(id, living);
        self.connect();
    }

    /// From the next view on the node is about to leave.
    pub fn leave(&mut self, id: u16) {
        self.at(id).is_leaving = true;
    }

    /// Makes a view of all who live, without telling anybody.
    pub fn make_view(&mut self) {
        let mut view = View { epoch: self.view.epoch, ..View::default() };
        view.epoch.0 += 1;
        for (id, living) in &self.living {
            let (node, incarnation) = (NodeId(*id), Incarnation(living.incarnation));
            let before = self.view.member(node).filter(|member| member.incarnation == incarnation);
            let joined = before.map_or(view.epoch, |member| member.joined);
            assert!(view.add(ViewMember { node, incarnation, joined, is_leaving: living.is_leaving }));
        }
        self.view = view;
    }

    /// Tells one node of the last view.
    pub fn tell(&mut self, id: u16) {
        let view = self.view.clone();
        let now = self.now;
        self.at(id).node.handle_view(now, &view).expect("the view is later");
        self.drain(id);
    }

    /// Makes a view of all who live and tells everybody.
    pub fn change(&mut self) {
        self.make_view();
        for id in self.members() {
            self.tell(id);
        }
        self.connect();
    }

    /// Introduces all who live to each other, as far as they take each other for members.
    pub fn connect(&mut self) {
        let hellos: Vec<_> = self.living.values().map(|living| living.node.hello()).collect();
        for id in self.members() {
            for hello in hellos.iter().filter(|hello| hello.node != NodeId(id)) {
                let now = self.now;
                let _stranger = self.at(id).node.handle_hello(now, hello);
            }
            self.drain(id);
        }
    }

    /// Everybody who lives.
    #[must_use]
    pub fn members(&self) -> Vec<u16> {
        self.living.keys().copied().collect()
    }

    /// The last view.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    // ---- the network ----

    /// Frames on this way are kept from now on.
    pub fn close(&mut self, from: u16, to: u16) {
        self.closed.insert((from, to));
    }

    /// Opens all ways; what was kept arrives, in order.
    pub fn open(&mut self) {
        self.closed.clear();
        for (from, to, frame) in core::mem::take(&mut self.kept) {
            self.deliver(from, to, &frame);
        }
        self.settle();
    }

    /// Opens one way; what was kept of it arrives, in order.
    pub fn open_one(&mut self, from: u16, to: u16) {
        self.closed.remove(&(from, to));
        let kept = core::mem::take(&mut self.kept);
        let (of_way, others) = kept.into_iter().partition(|(a, b, _)| (*a, *b) == (from, to));
        self.kept = others;
        let of_way: Vec<_> = of_way;
        for (_, _, frame) in of_way {
            self.deliver(from, to, &frame);
        }
        self.settle();
    }

    /// The next frame of a way with a message like this is lost.
    pub fn lose_next(&mut self, from: u16, to: u16, is_it: IsIt) {
        self.doomed.push((from, to, is_it));
    }

    /// Opens all ways; what was kept is lost.
    pub fn lose(&mut self) {
        self.closed.clear();
        self.kept.clear();
    }

    /// Delivers everything until nobody has anything to say.
    ///
    /// # Panics
    /// If that does not end.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.members().into_iter().any(|id| self.drain(id)) {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Delivers so many frames, one after the other; says whether there were no more.
    ///
    /// # Panics
    /// If no frame is ever the last.
    pub fn step(&mut self, frames: usize) -> bool {
        for from in self.members() {
            for to in self.members() {
                self.closed.insert((from, to));
            }
        }
        for delivered in 0..=frames {
            for id in self.members() {
                while self.drain(id) {}
            }
            if self.kept.is_empty() {
                self.closed.clear();
                return true;
            }
            if delivered < frames {
                let (from, to, frame) = self.kept.remove(0);
                self.deliver(from, to, &frame);
            }
        }
        self.lose();
        false
    }

    /// Lets time pass, and everything happen that is due then.
    pub fn pass(&mut self, millis: u64) {
        self.now = self.now.after(core::time::Duration::from_millis(millis));
        self.settle();
    }

    /// What time it is.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Handles what is due at a node and sends what it has to say; says whether there was anything.
    fn drain(&mut self, id: u16) -> bool {
        let now = self.now;
        let mut was_busy = false;
        let living = self.at(id);
        if living.node.poll_timeout().is_some_and(|until| until <= now) {
            living.node.handle_timeout(now);
            was_busy = true;
        }
        while let Some(event) = living.node.poll_event() {
            living.events.push(event);
            was_busy = true;
        }
        let mut frames = Vec::new();
        while let Some(peer) = living.node.poll_ready() {
            let mut buf = vec![0; 4096];
            while let Some(len) = living.node.poll_transmit(now, peer, &mut buf) {
                frames.push((peer.0, buf[..len].to_vec()));
            }
        }
        living.node.check();
        for (to, frame) in frames {
            was_busy = true;
            let is_doomed = |doom: &(u16, u16, IsIt)| (doom.0, doom.1) == (id, to) && has(&frame, doom.2);
            if let Some(at) = self.doomed.iter().position(is_doomed) {
                self.doomed.remove(at);
            } else if self.closed.contains(&(id, to)) {
                self.kept.push((id, to, frame));
            } else {
                self.deliver(id, to, &frame);
            }
        }
        was_busy
    }

    fn deliver(&mut self, from: u16, to: u16, frame: &[u8]) {
        let now = self.now;
        let Some(living) = self.living.get_mut(&to) else { return };
        match living.node.handle_frame(now, NodeId(from), frame) {
            Ok(()) | Err(Dropped::Epoch | Dropped::Peer) => {}
            Err(dropped) => panic!("a frame from {from} to {to}: {dropped}"),
        }
        living.node.check();
    }

    /// Does what is kept have a message like this?
    #[must_use]
    pub fn is_kept(&self, from: u16, to: u16, is_it: impl Fn(&Message<'_>) -> bool) -> bool {
        let mut of_link = self.kept.iter().filter(|(a, b, _)| (*a, *b) == (from, to));
        of_link.any(|(_, _, frame)| has(frame, &is_it))
    }

    // ---- nodes ----

    fn at(&mut self, id: u16) -> &mut Living {
        self.living.get_mut(&id).expect("node lives")
    }

    /// A node itself.
    pub fn node(&mut self, id: u16) -> &mut Node<HeapMemory> {
        &mut self.at(id).node
    }

    /// A name whose slot this node masters, as another one knows it.
    ///
    /// # Panics
    /// If there is none among many.
    pub fn name_at(&mut self, master: u16, start: &str) -> Vec<u8> {
        let node = self.node(master);
        let mut names = (0..10_000).map(|at: u32| format!("{start}{at}").into_bytes());
        let is_mine = |name: &Vec<u8>| node.decides(SpaceId(0), name) == Ok(true);
        names.find(is_mine).expect("the node masters something")
    }

    /// Asks for a lock; the grant, if there is one, comes with the events.
    ///
    /// # Panics
    /// If it is refused.
    pub fn ask(&mut self, id: u16, name: &[u8], mode: Mode) -> LockId {
        self.ask_with(id, name, mode, Flags::NONE)
    }

    /// The same, with flags.
    ///
    /// # Panics
    /// If it is refused.
    pub fn ask_with(&mut self, id: u16, name: &[u8], mode: Mode, flags: Flags) -> LockId {
        self.owners += 1;
        let owner = OwnerId(self.owners);
        let now = self.now;
        let request =
            Request { space: SpaceId(0), name, owner, mode, flags, priority: Priority(0), patience: None };
        let living = self.at(id);
        let asked = living.node.request(now, &request).expect("there is room");
        if let Some(grant) = asked.grant {
            living.events.push(Event::Granted { lock: asked.lock, owner, grant });
        }
        self.drain(id);
        asked.lock
    }

    /// Asks and waits until everything is at rest: the grant.
    ///
    /// # Panics
    /// If it is not granted.
    pub fn take(&mut self, id: u16, name: &[u8], mode: Mode) -> LockId {
        let lock = self.ask(id, name, mode);
        self.settle();
        assert!(self.grant_of(id, lock).is_some(), "node {id} has {mode:?}");
        lock
    }

    /// Converts a lock.
    ///
    /// # Panics
    /// If it is refused.
    pub fn convert(&mut self, id: u16, lock: LockId, mode: Mode) -> Option<Grant> {
        let now = self.now;
        let converted = self.node(id).convert(now, lock, mode, Conversion::default(), ValueWrite::Keep);
        self.drain(id);
        converted.expect("the conversion is taken")
    }

    /// Releases a lock, with a write of its value block or not.
    ///
    /// # Panics
    /// If it is refused.
    pub fn release(&mut self, id: u16, lock: LockId, write: ValueWrite) {
        self.node(id).release(lock, write).expect("the lock is held");
        self.drain(id);
    }

    /// The last grant of a lock, if it was granted.
    #[must_use]
    pub fn grant_of(&self, id: u16, lock: LockId) -> Option<Grant> {
        let events = self.living[&id].events.iter().rev();
        let mut granted = events.filter_map(|event| {
            let Event::Granted { lock, grant, .. } = event else { return None };
            Some((*lock, *grant))
        });
        granted.find(|(granted, _)| *granted == lock).map(|(_, grant)| grant)
    }

    /// Everything that a node has told since it was asked last.
    pub fn events(&mut self, id: u16) -> Vec<Event> {
        core::mem::take(&mut self.at(id).events)
    }

    /// The value block as an owner is given it.
    ///
    /// # Panics
    /// If the lock has ended.
    pub fn value(&mut self, id: u16, lock: LockId) -> ValueState {
        self.node(id).value(lock).expect("the lock is there")
    }

    /// Moves slots.
    ///
    /// # Panics
    /// If it is refused.
    pub fn transfer(&mut self, from: u16, range: SlotRange, to: u16) -> TransferId {
        let now = self.now;
        let id = self.node(from).transfer(now, range, NodeId(to)).expect("the slots can be given");
        self.drain(from);
        id
    }

    /// Evens slots out until nothing is left to be moved.
    ///
    /// # Panics
    /// If that does not end.
    pub fn balance(&mut self) {
        for _ in 0..1000 {
            let now = self.now;
            let ids = self.members();
            let moving: usize = ids.iter().map(|id| self.node(*id).balance(now, 2)).sum();
            self.settle();
            if moving == 0 {
                return;
            }
        }
        panic!("balancing does not end");
    }

    /// Masters of all slots, on which everybody must agree.
    ///
    /// # Panics
    /// If they do not, or a slot has none.
    pub fn masters(&mut self) -> Vec<u16> {
        let (ids, slots) = (self.members(), self.slots);
        let mut maps = ids.iter().map(|id| {
            let node = self.node(*id);
            let views = (0..slots).map(|slot| node.slot(SlotId(slot)).expect("there is such a slot"));
            views.map(|view| view.master.expect("every slot has a master").0).collect::<Vec<_>>()
        });
        let maps: Vec<_> = maps.by_ref().collect();
        assert!(maps.windows(2).all(|pair| pair[0] == pair[1]), "all agree: {maps:?}");
        maps[0].clone()
    }

    /// How many slots a node masters.
    pub fn slots_of(&mut self, id: u16) -> usize {
        self.masters().into_iter().filter(|master| *master == id).count()
    }
}

/// Does a frame have a message like this?
fn has(frame: &[u8], is_it: impl Fn(&Message<'_>) -> bool) -> bool {
    Messages::new(frame).is_ok_and(|(_, mut messages)| messages.any(|message| is_it(&message)))
}
