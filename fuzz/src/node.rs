//! One node among liars.
//!
//! Node 1 is looked at. Node 2 is as honest as it, and real. Nodes 3 and 4 are members, and say what the bytes say. Some
//! resources are used by the owners of nodes 1 and 2 only, in slots that these two master; the liars ask for none of
//! them, but say of them whatever else can be said. Whatever happens, those resources stay what they are.

mod end;
mod ghost;
mod laws;
mod liars;
mod owners;
mod views;

use core::time::Duration;
use std::collections::VecDeque;

use lockmaster_core::wire::{Hello, VersionRange};
use lockmaster_core::{
    ClusterId, Config, Epoch, HeapMemory, Incarnation, Instant, Limits, Node, NodeId, Retention, SlotId,
    SpaceConfig, SpaceId,
};

use crate::choices::Choices;
use crate::words::{Echoes, World};
use ghost::Ghost;
use views::Engine;

/// Who is looked at.
const SUBJECT: NodeId = NodeId(1);
/// Who is honest, too.
const FRIEND: NodeId = NodeId(2);
const LIARS: [NodeId; 2] = [NodeId(3), NodeId(4)];
const MEMBERS: [NodeId; 4] = [SUBJECT, FRIEND, LIARS[0], LIARS[1]];
/// Added to a node's number it gives the node's incarnation.
const INCARNATIONS: u64 = 100;
const EPOCH: Epoch = Epoch(1);
const CHUNK: u32 = 256;
const WINDOW: u32 = 600;
/// Most steps of a run.
const STEPS_MAX: usize = 400;
/// Records of each kind that are enough for all that anybody says in a run.
const ROOMY: u32 = 64;
/// Names that are used by honest owners only come first.
const HONEST: usize = 4;

/// Everything that there is.
struct Scene<'a> {
    choices: Choices<'a>,
    now: Instant,
    honest: Vec<Party>,
    /// Frames between the honest ones: from whom, and the bytes.
    under_way: VecDeque<(NodeId, Vec<u8>)>,
    world: World,
    /// Slots of the names that come first.
    slots: Vec<SlotId>,
    ghost: Ghost,
    /// What is true of the members, if they change.
    engine: Option<Engine>,
}

/// An honest node.
struct Party {
    node: Node<HeapMemory>,
    limits: Limits,
    connected: [bool; MEMBERS.len()],
    /// Peers that have something to be sent, and are not sent it yet.
    owed: [bool; MEMBERS.len()],
    clogged: [bool; MEMBERS.len()],
}

/// Lets a node meet liars: what they say, what its owners do and what the clock does is chosen by the bytes.
///
/// # Panics
/// If a law of the core is broken, if a table outgrows its limits, if one input makes too much output, or if honest
/// resources are harmed: incompatible grants, a token that goes back, a lock that cannot be released, or one that can
/// not be had once nobody uses it.
pub fn node(data: &[u8]) {
    let mut choices = Choices::new(data);
    // The end takes longer than all before it.
    let choice = choices.byte();
    let is_whole = choice.is_multiple_of(4);
    if choice >= 192 {
        return views::views(choices, is_whole);
    }
    let mut scene = Scene::new(choices);
    scene.open();
    let mut steps = 0;
    while !scene.choices.is_spent() && steps < STEPS_MAX {
        scene.step();
        steps += 1;
    }
    if is_whole {
        scene.end();
    }
}

/// Place of a member among all.
fn place(node: NodeId) -> usize {
    MEMBERS.iter().position(|member| *member == node).expect("it is a member")
}

fn hello_of(node: NodeId, digest: u64) -> Hello {
    Hello {
        cluster: ClusterId(7),
        node,
        incarnation: Incarnation(INCARNATIONS + u64::from(node.0)),
        versions: VersionRange::OURS,
        epoch: EPOCH,
        digest,
        frame_max: 1024,
    }
}

fn config(node: NodeId) -> Config {
    let mut config = Config::new(ClusterId(7), node, Incarnation(INCARNATIONS + u64::from(node.0)));
    config.members.extend(MEMBERS);
    let spaces = [("north", Retention::UntilDemanded), ("south", Retention::Idle(Duration::from_secs(1)))];
    for (name, retention) in spaces {
        let space = SpaceConfig::new(name).expect("the name is short");
        let space = SpaceConfig { slots: 8, retention, retained_max: 6, ..space };
        config.spaces.push(space).expect("spaces are few");
    }
    (config.epoch, config.chunk, config.window) = (EPOCH, CHUNK, WINDOW);
    config
}

/// So few records that tables fill up, some, or so many that they do not.
fn limits(choice: usize) -> Limits {
    match choice {
        0 => Limits::uniform(24),
        1 => Limits { resources: 8, physical: 8, locks: 6, names: 1, values: 2, relays: 1 },
        _ => Limits { relays: 4, ..Limits::uniform(ROOMY) },
    }
}

impl Party {
    fn new(id: NodeId, limits: Limits) -> Self {
        Self::with(config(id), limits)
    }

    fn with(config: Config, limits: Limits) -> Self {
        let memory = HeapMemory::new(&limits, &config);
        Self {
            node: Node::new(config, memory).expect("the memory fits"),
            limits,
            connected: [false; MEMBERS.len()],
            owed: [false; MEMBERS.len()],
            clogged: [false; MEMBERS.len()],
        }
    }

    /// A name in a slot that a node masters, which begins with these bytes.
    ///
    /// Slots are dealt in runs: those of the first space to the honest nodes, those of the second to the liars.
    fn name_at(&mut self, master: NodeId, begin: &[u8]) -> (SpaceId, Vec<u8>) {
        let space = SpaceId(u16::from(LIARS.contains(&master)));
        let named = |tail: u8| [begin, &[tail]].concat();
        let is_there = |name: &Vec<u8>| self.node.master_of(space, name) == Ok(Some(master));
        let name = (0..u8::MAX).map(named).find(is_there);
        (space, name.expect("the node masters a half of the slots"))
    }

    fn slot_of(&mut self, (space, name): &(SpaceId, Vec<u8>)) -> SlotId {
        self.node.slot_of(*space, name).ok().flatten().expect("the name and its space are known")
    }
}

impl<'a> Scene<'a> {
    fn new(mut choices: Choices<'a>) -> Self {
        let limits = limits(choices.below(3));
        let mut honest = vec![Party::new(SUBJECT, limits), Party::new(FRIEND, Limits::uniform(ROOMY))];
        let subject = &mut honest[place(SUBJECT)];
        let mut names = vec![
            subject.name_at(SUBJECT, b"honest"),
            subject.name_at(FRIEND, b"honest"),
            subject.name_at(SUBJECT, b"an honest name that is too long to stand inline"),
            subject.name_at(FRIEND, b"other"),
        ];
        assert_eq!(names.len(), HONEST);
        let slots = names.iter().map(|named| subject.slot_of(named)).collect();
        names.extend(MEMBERS.map(|master| subject.name_at(master, b"any")));
        names.extend(
            LIARS.map(|liar| subject.name_at(liar, b"a name of liars that is too long to stand inline")),
        );
        let world = World {
            names,
            slots: subject.node.all_slots().len,
            epoch: EPOCH,
            incarnations: INCARNATIONS,
            echoes: Echoes::default(),
        };
        let ghost = Ghost::new(HONEST);
        Self {
            choices,
            now: Instant::START,
            honest,
            under_way: VecDeque::new(),
            world,
            slots,
            ghost,
            engine: None,
        }
    }

    /// The honest nodes that there are.
    fn honest(&self) -> Vec<NodeId> {
        self.honest.iter().map(|party| party.node.config().node).collect()
    }

    fn party(&mut self, node: NodeId) -> &mut Party {
        &mut self.honest[place(node)]
    }

    /// Everybody meets everybody.
    fn open(&mut self) {
        for node in [SUBJECT, FRIEND] {
            for peer in MEMBERS.into_iter().filter(|peer| *peer != node) {
                self.meet(node, peer);
            }
        }
    }

    fn meet(&mut self, node: NodeId, peer: NodeId) {
        let now = self.now;
        let party = self.party(node);
        let hello = hello_of(peer, party.node.hello().digest);
        party.node.handle_hello(now, &hello).expect("a member is met");
        party.connected[place(peer)] = true;
        self.settle(node);
    }

    // ---- one step ----

    fn step(&mut self) {
        match self.choices.below(20) {
            0..7 => self.lie(),
            7 => self.pester(),
            8 => self.arrive(1),
            9 => self.arrive(8),
            10 => drop(self.under_way.pop_front()),
            11..15 => self.own(SUBJECT),
            15 => self.own(FRIEND),
            16 => self.move_slots(),
            17 => self.wait(),
            18 => self.connect(),
            _ => self.clog(),
        }
    }

    /// So many frames arrive between the honest ones.
    fn arrive(&mut self, count: usize) {
        for _ in 0..count {
            let Some((from, frame)) = self.under_way.pop_front() else { return };
            let to = if from == SUBJECT { FRIEND } else { SUBJECT };
            let now = self.now;
            let taken = self.party(to).node.handle_frame(now, from, &frame);
            assert_eq!(taken, Ok(()), "an honest frame is taken");
            self.settle(to);
        }
    }

    /// The clock goes on: to the next deadline, or somewhat; timers fire that are due, or one that is not.
    fn wait(&mut self) {
        let choice = self.choices.byte();
        let node = [SUBJECT, FRIEND][usize::from(choice % 2)];
        match choice / 2 % 4 {
            0 | 1 => drop(self.wait_for_deadline()),
            2 => {
                self.now = self.now.after(Duration::from_micros(1 << (choice / 8)));
                self.fire(node);
            }
            _ => self.fire(node),
        }
    }

    fn wait_for_deadline(&mut self) -> bool {
        let next = self.honest.iter().filter_map(|party| party.node.poll_timeout()).min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        for node in self.honest() {
            if self.party(node).node.poll_timeout().is_some_and(|until| until <= next) {
                self.fire(node);
            }
        }
        true
    }

    fn fire(&mut self, node: NodeId) {
        let now = self.now;
        let party = self.party(node);
        party.node.handle_timeout(now);
        let next = party.node.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now),
            "L2: after a timeout at {now:?} the deadline is {next:?}"
        );
        self.settle(node);
    }

    /// A connection is lost or made, or somebody knocks who must not come in.
    fn connect(&mut self) {
        let choice = self.choices.byte();
        let others = [FRIEND, LIARS[0], LIARS[1]];
        let peer = others[usize::from(choice) % others.len()];
        match choice / 4 % 4 {
            0 => {
                let now = self.now;
                let party = self.party(SUBJECT);
                party.node.handle_disconnect(now, peer);
                (party.connected[place(peer)], party.owed[place(peer)]) = (false, false);
                self.settle(SUBJECT);
            }
            1 => self.knock(peer, choice / 16),
            _ => self.meet(SUBJECT, peer),
        }
    }

    fn knock(&mut self, peer: NodeId, choice: u8) {
        let now = self.now;
        let node = &mut self.party(SUBJECT).node;
        let mut hello = hello_of(peer, node.hello().digest);
        match choice {
            0..4 => hello.incarnation.0 ^= 1 << choice,
            4 => hello.digest ^= 1,
            5 => hello.node = SUBJECT,
            6 => hello.node = NodeId(99),
            7 => hello.cluster.0 ^= 1,
            8 => hello.epoch.0 += 1,
            9 => hello.frame_max = 1023,
            _ => hello.versions = VersionRange { lowest: 2, highest: choice },
        }
        let before = node.digest();
        let met = node.handle_hello(now, &hello);
        assert!(met.is_err(), "a stranger is refused: {hello:?}");
        assert_eq!(node.digest(), before, "L7: a refused hello changes nothing");
    }

    /// Nobody takes what there is for a peer, or somebody does again.
    fn clog(&mut self) {
        let peer = [FRIEND, LIARS[0], LIARS[1]][self.choices.below(3)];
        self.party(SUBJECT).clogged[place(peer)] ^= true;
        self.settle(SUBJECT);
    }
}
