//! A transfer neither loses nor invents anything, and nobody can tell afterwards that there was one.

use std::collections::BTreeMap;

use Mode::{ConcurrentRead, ConcurrentWrite, Exclusive, Null, ProtectedRead, ProtectedWrite};
use lockmaster_core::wire::{LockUnit, Position};
use lockmaster_core::{
    Denial, Event, Flags, Limits, LockId, Mode, NodeId, PhysicalView, SlotId, SlotRange, SpaceId, Stage,
    Token, Value, ValueState, ValueWrite,
};
use lockmaster_tests::cluster::{Cluster, Frame, OwnedUnit, Word};

use crate::{
    CARL, DORA, EVERYBODY, IDLE, LONG, NEW, OLD, Owned, PLAIN, SHORT, give, is_chunk, is_settled_on,
    range_of, small_chunks,
};

/// A member that asks for nothing.
const ERNA: NodeId = NodeId(5);

// ---- a cluster in which records are in all states ----

/// What a script has put on stage: each resource by a word for its state.
#[derive(Debug)]
struct Scenery {
    cluster: Cluster,
    names: BTreeMap<&'static str, (SpaceId, Vec<u8>)>,
    owned: BTreeMap<(&'static str, char), Owned>,
    /// What was held back and will arrive later.
    held: Vec<Frame>,
}

#[derive(Debug, Default, PartialEq)]
struct Record {
    physical: Vec<PhysicalView>,
    value: Option<ValueState>,
    bytes: Vec<u8>,
}

fn value(bytes: &[u8]) -> Value {
    Value::new(bytes).expect("the value is short")
}

fn node_of(letter: char) -> NodeId {
    match letter.to_ascii_lowercase() {
        'o' => OLD,
        'n' => NEW,
        'c' => CARL,
        'd' => DORA,
        other => panic!("nobody is called {other}"),
    }
}

impl Scenery {
    fn empty(slots: u32) -> Self {
        let cluster = Cluster::of_slots(&[Limits::uniform(64); 5], slots, small_chunks);
        Self { cluster, names: BTreeMap::new(), owned: BTreeMap::new(), held: Vec::new() }
    }

    /// A resource in the slots that will move.
    fn name(&mut self, state: &'static str, space: SpaceId) -> Vec<u8> {
        let at = self.names.len();
        let slots = self.cluster.slots_of(OLD, space);
        let slot = slots[at % slots.len()];
        // Every third name is longer than what a record holds.
        let start =
            if at.is_multiple_of(3) { format!("{state} {}", "x".repeat(30)) } else { state.to_owned() };
        let name = self.cluster.names_in(space, slot, &start, 1).remove(0);
        self.names.insert(state, (space, name.clone()));
        name
    }

    /// An owner asks; a letter stands for the owner and, small or large, for its node.
    fn ask(&mut self, state: &'static str, who: char, mode: Mode, flags: Flags) {
        let (space, name) = self.names[state].clone();
        let node = node_of(who);
        let asked = self.cluster.ask_in(space, &name, node, mode, flags).expect("the request is taken");
        assert_eq!(self.owned.insert((state, who), (node, asked.lock)), None);
    }

    fn convert(&mut self, state: &'static str, who: char, mode: Mode, flags: Flags, write: ValueWrite) {
        let (node, lock) = self.owned[&(state, who)];
        self.cluster.convert(node, lock, mode, flags, write).expect("the conversion is taken");
    }

    /// An owner that will not be there any more.
    fn take(&mut self, state: &'static str, who: char) -> Owned {
        self.owned.remove(&(state, who)).expect("the owner has asked")
    }

    fn run(&mut self) {
        self.cluster.run();
    }

    /// Everything arrives but these words about this resource, which arrive later.
    fn run_but(&mut self, state: &'static str, word: Word) {
        let name = self.names[state].1.clone();
        let held = self.cluster.run_but(|frame| frame.is(word) && frame.is_about(&name));
        assert!(!held.is_empty(), "{state}: {word:?} is said");
        self.held.extend(held);
    }

    /// With so many slots for each member and space.
    fn new(slots: u32) -> Self {
        let mut stage = Self::empty(slots);
        stage.set_queues();
        stage.set_conversions();
        stage.set_demands();
        stage.set_values();
        for node in stage.cluster.members() {
            stage.cluster.happened(node);
        }
        stage
    }

    fn set_queues(&mut self) {
        self.name("granted", PLAIN);
        for who in ['o', 'c', 'd', 'n'] {
            self.ask("granted", who, ProtectedRead, Flags::NONE);
            self.run();
        }
        self.name("alone", PLAIN);
        self.ask("alone", 'n', Exclusive, Flags::NONE);
        self.run();
        self.name("waiting", PLAIN);
        let wishes = [('c', Exclusive), ('d', Exclusive), ('n', ProtectedRead), ('o', ProtectedRead)];
        for (who, mode) in wishes {
            self.ask("waiting", who, mode, Flags::NONE);
            self.run();
        }
        self.name("flags", PLAIN);
        self.ask("flags", 'c', ProtectedWrite, Flags::NONE);
        self.run();
        self.ask("flags", 'd', Exclusive, Flags::NO_ORDER);
        self.run();
        self.ask("flags", 'n', Exclusive, Flags::HEAD_OF_QUEUE);
        self.run();
        // Renumbered: an owner behind whom another wants less goes.
        self.name("renumbered", PLAIN);
        self.ask("renumbered", 'o', Exclusive, Flags::NONE);
        self.run();
        self.ask("renumbered", 'c', Exclusive, Flags::NONE);
        self.ask("renumbered", 'C', ProtectedRead, Flags::NONE);
        self.run();
        self.ask("renumbered", 'd', Exclusive, Flags::NONE);
        self.run();
        let (node, lock) = self.take("renumbered", 'c');
        self.cluster.cancel(node, lock);
        self.run();
        // A floor without a record, and one beside a record.
        for state in ["floor", "beside a floor"] {
            self.name(state, PLAIN);
            self.ask(state, 'c', Exclusive, Flags::NONE);
            self.run();
            let (node, lock) = self.take(state, 'c');
            self.cluster.release(node, lock);
            self.run();
        }
        self.ask("beside a floor", 'd', Null, Flags::NONE);
        self.run();
    }

    fn set_conversions(&mut self) {
        self.name("converting", PLAIN);
        for who in ['c', 'd', 'n'] {
            self.ask("converting", who, ConcurrentRead, Flags::NONE);
            self.run();
        }
        self.convert("converting", 'c', Exclusive, Flags::NONE, ValueWrite::Keep);
        self.run();
        self.ask("converting", 'o', Exclusive, Flags::NONE);
        self.run();
        self.name("demoted", PLAIN);
        self.ask("demoted", 'c', ProtectedRead, Flags::NONE);
        self.ask("demoted", 'd', ProtectedRead, Flags::NONE);
        self.ask("demoted", 'n', ProtectedRead, Flags::NONE);
        self.run();
        self.convert("demoted", 'c', Exclusive, Flags::NONE, ValueWrite::Keep);
        self.run();
        self.convert("demoted", 'd', Exclusive, Flags::DEMOTE_ON_DEADLOCK, ValueWrite::Keep);
        self.run();
        self.name("alternate", PLAIN);
        self.ask("alternate", 'c', ConcurrentRead, Flags::NONE);
        self.run();
        self.ask("alternate", 'd', Exclusive, Flags::ALTERNATE_PR);
        self.run();
        self.ask("alternate", 'n', Exclusive, Flags::ALTERNATE_CW);
        self.run();
        self.name("without deadlock", PLAIN);
        self.ask("without deadlock", 'c', ProtectedRead, Flags::NONE);
        self.ask("without deadlock", 'd', ProtectedRead, Flags::NONE);
        self.run();
        self.convert("without deadlock", 'c', Exclusive, Flags::NONE, ValueWrite::Keep);
        self.run();
        self.convert("without deadlock", 'd', ProtectedWrite, Flags::NO_DEADLOCK_WAIT, ValueWrite::Keep);
        self.run();
    }

    fn set_demands(&mut self) {
        self.name("asking holders", IDLE);
        self.ask("asking holders", 'c', Exclusive, Flags::NONE);
        self.run();
        self.ask("asking holders", 'd', Exclusive, Flags::NO_QUEUE);
        self.run_but("asking holders", Word::Demand);
        self.name("demand answered", IDLE);
        self.ask("demand answered", 'c', Exclusive, Flags::NONE);
        self.run();
        self.ask("demand answered", 'd', ProtectedRead, Flags::NONE);
        self.run();
        self.name("demand out", IDLE);
        self.ask("demand out", 'c', Exclusive, Flags::NONE);
        self.run();
        self.ask("demand out", 'd', ProtectedRead, Flags::NONE);
        self.run_but("demand out", Word::Demand);
        self.name("demotion out", PLAIN);
        self.ask("demotion out", 'c', ProtectedRead, Flags::NONE);
        self.ask("demotion out", 'd', ProtectedRead, Flags::NONE);
        self.run();
        self.convert("demotion out", 'c', Exclusive, Flags::NONE, ValueWrite::Keep);
        self.run();
        self.convert("demotion out", 'd', Exclusive, Flags::DEMOTE_ON_DEADLOCK, ValueWrite::Keep);
        self.run_but("demotion out", Word::Demand);
        self.name("retained", IDLE);
        self.ask("retained", 'c', ProtectedWrite, Flags::NONE);
        self.run();
        let (node, lock) = self.take("retained", 'c');
        self.cluster.release(node, lock);
        self.run();
    }

    fn set_values(&mut self) {
        self.name("value absent", PLAIN);
        self.ask("value absent", 'c', ProtectedRead, Flags::VALUE);
        self.run();
        self.name("value valid", PLAIN);
        self.ask("value valid", 'c', Exclusive, Flags::VALUE);
        self.run();
        let set = ValueWrite::Set(value(b"a value of some bytes"));
        self.convert("value valid", 'c', ConcurrentRead, Flags::VALUE, set);
        self.run();
        self.ask("value valid", 'd', ConcurrentRead, Flags::VALUE);
        self.run();
        self.name("value invalid", PLAIN);
        self.ask("value invalid", 'd', ProtectedWrite, Flags::VALUE);
        self.run();
        self.convert("value invalid", 'd', ProtectedWrite, Flags::VALUE, ValueWrite::Set(value(b"older")));
        self.run();
        self.convert("value invalid", 'd', ConcurrentRead, Flags::VALUE, ValueWrite::Invalidate);
        self.run();
        // Who asks for the block says which version it has.
        self.name("value known", PLAIN);
        self.ask("value known", 'c', Exclusive, Flags::VALUE);
        self.run();
        let set = ValueWrite::Set(value(b"known"));
        self.convert("value known", 'c', ConcurrentRead, Flags::VALUE, set);
        self.run();
        self.ask("value known", 'd', ConcurrentRead, Flags::NONE);
        self.run();
        self.convert("value known", 'c', Exclusive, Flags::VALUE, ValueWrite::Keep);
        self.run();
        // Written; the acknowledgement is lost.
        self.name("writing", PLAIN);
        self.ask("writing", 'c', Exclusive, Flags::VALUE);
        self.run();
        self.convert("writing", 'c', Exclusive, Flags::VALUE, ValueWrite::Set(value(b"first")));
        self.run_but("writing", Word::Written);
    }

    /// All records, as their masters show them, and as bytes with everything that there is of them.
    fn records(&mut self) -> BTreeMap<&'static str, Record> {
        let mut records = BTreeMap::new();
        for (state, (space, name)) in self.names.clone() {
            let mut record = Record::default();
            for node in self.cluster.members() {
                let look = self.cluster.look_at(node, space, &name);
                if look.physical.is_empty() {
                    continue;
                }
                assert_eq!(record.physical, [], "{state}: one node has the record");
                let mut bytes = vec![0; 4096];
                let len = self.cluster.node(node).record(space, &name, &mut bytes);
                bytes.truncate(len.expect("the record is there"));
                record = Record { physical: look.physical, value: look.value, bytes };
            }
            records.insert(state, record);
        }
        records
    }

    /// What was held back arrives; what of it is somebody's answer or order has strayed to nobody.
    fn let_arrive(&mut self) {
        let held = core::mem::take(&mut self.held);
        self.cluster.deliver_all(&held);
        self.run();
    }
}

// ---- what moves ----

/// The ranges of both spaces that a node is master of.
fn ranges(cluster: &mut Cluster, node: NodeId) -> [SlotRange; 2] {
    [IDLE, PLAIN].map(|space| range_of(cluster, node, space))
}

/// Moves everything of one node to another, and returns what the chunks carried: for each slot its counters, floors
/// and units.
fn hand_over(cluster: &mut Cluster, from: NodeId, ranges: [SlotRange; 2], to: NodeId) -> Carried {
    cluster.said();
    for range in ranges {
        cluster.hand_over(from, range, to);
        is_settled_on(cluster, range, to);
    }
    carried(&cluster.said())
}

type Carried = BTreeMap<SlotId, Slot>;

#[derive(Clone, Debug, Default, PartialEq)]
struct Slot {
    grants: u64,
    arrivals: u64,
    floors: Vec<(NodeId, lockmaster_core::Number)>,
    units: Vec<OwnedUnit>,
}

/// What is still to be said is said at once by whoever has the record, and does not travel twice.
fn at_rest(unit: OwnedUnit) -> OwnedUnit {
    match unit {
        OwnedUnit::Record { .. } => unit,
        OwnedUnit::Lock(lock) => OwnedUnit::Lock(LockUnit { due: [false; 3], ..lock }),
    }
}

fn carried(said: &[Frame]) -> Carried {
    let mut carried = Carried::new();
    for frame in said.iter().filter(|frame| is_chunk(frame)) {
        let chunk = frame.chunk();
        let slot = carried.entry(chunk.head.slot).or_default();
        (slot.grants, slot.arrivals) = (chunk.head.grants, chunk.head.arrivals);
        slot.floors = chunk.floors.collect();
        slot.units.extend(frame.units().into_iter().map(at_rest));
    }
    for slot in carried.values_mut() {
        slot.sort();
    }
    carried
}

impl Slot {
    /// The order of the queues counts, that among the resources does not.
    fn sort(&mut self) {
        let mut records: Vec<Vec<OwnedUnit>> = Vec::new();
        for unit in self.units.drain(..) {
            match (&unit, records.last_mut()) {
                (OwnedUnit::Lock(_), Some(record)) => record.push(unit),
                (OwnedUnit::Lock(_) | OwnedUnit::Record { .. }, _) => records.push(vec![unit]),
            }
        }
        records.sort_by_key(|record| format!("{:?}", record[0]));
        self.units = records.concat();
    }
}

#[test]
fn records_in_all_states_are_the_same_after_a_transfer() {
    let mut stage = Scenery::new(2);
    let before = stage.records();
    assert!(before.values().filter(|record| !record.physical.is_empty()).count() >= 17);
    let moved = ranges(&mut stage.cluster, OLD);
    let first = hand_over(&mut stage.cluster, OLD, moved, NEW);
    assert_eq!(stage.records(), before);
    // Erna has no part in it. (Who becomes the master of what it was asked for knows that at once.)
    let second = hand_over(&mut stage.cluster, NEW, moved, ERNA);
    assert_eq!(stage.records(), before);
    let third = hand_over(&mut stage.cluster, ERNA, moved, OLD);
    assert_eq!(stage.records(), before);
    for (slot, carried) in &first {
        assert_eq!(second[slot], *carried, "what was installed is what was packed");
        assert_eq!(third[slot], *carried, "and again");
    }
    covers_all_states(&first);
}

type Look = fn(&LockUnit) -> bool;

/// The stage has what it promises.
fn covers_all_states(carried: &Carried) {
    let units = || carried.values().flat_map(|slot| &slot.units);
    let locks: Vec<_> = units()
        .filter_map(|unit| match unit {
            OwnedUnit::Lock(lock) => Some(*lock),
            OwnedUnit::Record { .. } => None,
        })
        .collect();
    let values: Vec<_> = units()
        .filter_map(|unit| match unit {
            OwnedUnit::Record { value, .. } => value.map(|value| value.state),
            OwnedUnit::Lock(_) => None,
        })
        .collect();
    let is_there: [(&str, Look); 12] = [
        ("waits", |lock| lock.held.is_none() && lock.wanted.is_some()),
        ("converts", |lock| lock.pinned == Some(ConcurrentRead) && lock.wanted == Some(Exclusive)),
        ("demoted", |lock| lock.demoted),
        ("granted an alternate", |lock| {
            lock.held == Some(ProtectedRead) && lock.flags.has(Flags::ALTERNATE_PR)
        }),
        ("asks holders", |lock| lock.is_asking_holders),
        ("renumbered", |lock| lock.wanted.is_some() && lock.asked != lock.number),
        ("demand answered", |lock| lock.demand.is_some_and(|demand| demand.is_answered)),
        ("demand out", |lock| lock.demand.is_some_and(|demand| !demand.is_answered && !demand.demote)),
        ("demotion out", |lock| lock.demand.is_some_and(|demand| demand.demote)),
        ("may write", |lock| lock.writing_since != Token::NONE),
        ("has a copy", |lock| lock.copy != Token::NONE),
        ("told", |lock| lock.told.is_some()),
    ];
    for (state, is_so) in is_there {
        assert!(locks.iter().any(is_so), "{state}: {locks:#?}");
    }
    assert!(values.contains(&ValueState::Absent), "{values:?}");
    assert!(values.contains(&ValueState::Valid(value(b"a value of some bytes"))), "{values:?}");
    assert!(values.contains(&ValueState::Invalid(value(b"older"))), "{values:?}");
    let slots: Vec<_> = carried.values().collect();
    assert_eq!(slots.len(), 4);
    assert!(slots.iter().any(|slot| !slot.floors.is_empty()), "floors were raised");
    assert!(slots.iter().all(|slot| slot.grants > 0 && slot.arrivals >= slot.grants), "slots were used");
}

// ---- nobody can tell ----

/// What an owner may be told, without how far it had to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Granted(Mode, Token, bool, bool),
    Denied(&'static str, Option<Mode>),
}

type Story = Vec<(&'static str, char, Told)>;

impl Scenery {
    fn who(&self, node: NodeId, lock: LockId) -> (&'static str, char) {
        let of = self.owned.iter().find(|(_, owned)| **owned == (node, lock));
        *of.unwrap_or_else(|| panic!("node {node} tells of a lock that nobody has")).0
    }

    /// What the owners were told since, in an order that does not depend on who told it.
    fn told(&mut self) -> Story {
        let mut story = Vec::new();
        for node in EVERYBODY {
            for event in self.cluster.happened(node) {
                let (lock, told) = match event {
                    Event::Granted { lock, grant, .. } => {
                        (lock, Told::Granted(grant.mode, grant.token, grant.alternate, grant.demoted))
                    }
                    Event::Denied { lock, reason, held, .. } => {
                        let reason = match reason {
                            Denial::Busy => "busy",
                            Denial::Deadlock => "deadlock",
                            Denial::TimedOut => "timed out",
                            Denial::Full => "full",
                        };
                        (lock, Told::Denied(reason, held))
                    }
                    Event::Demanded { .. } | Event::Lost { .. } | Event::Transfer(_) => continue,
                };
                let (state, who) = self.who(node, lock);
                story.push((state, who, told));
            }
        }
        story.sort_unstable();
        story
    }

    /// One after the other is released, in each resource in the same order; returns what the others were told.
    fn play_on(&mut self) -> Vec<Story> {
        let mut stories = vec![];
        self.let_arrive();
        self.cluster.settle(LONG);
        stories.push(self.told());
        for _ in 0..self.owned.len() {
            let owned = self.owned.clone();
            let mut seen = std::collections::BTreeSet::new();
            for ((state, who), (node, lock)) in owned {
                let held = self.cluster.node(node).held(lock);
                if held.is_err() {
                    self.owned.remove(&(state, who));
                } else if matches!(held, Ok(Some(_))) && !seen.contains(state) {
                    // One of each resource at a time; who converts goes on waiting if another can go first.
                    if self.cluster.node(node).release(lock, ValueWrite::Keep).is_ok() {
                        self.cluster.attend(node);
                        self.owned.remove(&(state, who));
                        seen.insert(state);
                    }
                }
            }
            self.run();
            self.cluster.settle(SHORT);
            stories.push(self.told());
            if seen.is_empty() {
                break;
            }
        }
        self.cluster.settle(LONG * 2);
        stories.push(self.told());
        stories
    }
}

#[test]
fn nobody_can_tell_afterwards_that_slots_have_moved() {
    // Each resource has a slot of its own, so that the order among them is not seen in their tokens.
    let mut still = Scenery::new(24);
    let expected = still.play_on();
    assert!(expected.iter().map(Vec::len).sum::<usize>() > 10, "{expected:#?}");
    for route in [&[NEW][..], &[DORA], &[CARL, NEW], &[NEW, OLD], &[NEW, DORA, CARL, OLD]] {
        let mut moved = Scenery::new(24);
        let ranges = ranges(&mut moved.cluster, OLD);
        let mut master = OLD;
        for to in route {
            hand_over(&mut moved.cluster, master, ranges, *to);
            master = *to;
        }
        assert_eq!(moved.play_on(), expected, "by way of {route:?}");
        assert_eq!(
            left_over(&mut moved),
            left_over(&mut still),
            "nothing remains that would not have remained"
        );
    }
}

/// Physical locks on record at the end.
fn left_over(stage: &mut Scenery) -> Vec<&'static str> {
    let records = stage.records();
    records.into_iter().filter(|(_, record)| !record.physical.is_empty()).map(|(state, _)| state).collect()
}

// ---- single things that must not get lost ----

fn single() -> (Cluster, SlotRange, Vec<u8>) {
    let mut cluster = crate::quartet();
    let slot = crate::slot_of(&mut cluster);
    let name = cluster.names_in(PLAIN, slot, "r", 1).remove(0);
    (cluster, SlotRange::one(slot), name)
}

#[test]
fn an_answer_that_was_not_said_yet_is_said_by_the_new_master() {
    let (mut cluster, range, name) = single();
    let carl = crate::ask(&mut cluster, &name, CARL, Exclusive);
    cluster.exchange(CARL, OLD);
    // The grant stands in the outbox of the old master while its slot goes.
    give(&mut cluster, range);
    for _ in 0..100 {
        for (from, to) in [(OLD, NEW), (NEW, OLD), (OLD, DORA), (DORA, OLD), (NEW, DORA), (NEW, CARL)] {
            while let Some(frame) = cluster.next_frame(from, to) {
                cluster.deliver(&frame);
            }
        }
        let hello = cluster.next_frame(OLD, CARL);
        if let Some(frame) = hello {
            // Only the offer reaches Carl.
            for part in frame.split().iter().filter(|part| !part.is(Word::Grant)) {
                cluster.deliver(part);
            }
        }
        for to in [OLD, NEW] {
            while let Some(frame) = cluster.next_frame(CARL, to) {
                cluster.deliver(&frame);
            }
        }
    }
    cluster.settle(SHORT * 2);
    assert_eq!(crate::mode_of(&mut cluster, carl), Some(Exclusive));
    assert_eq!(cluster.ends(OLD), [Stage::Done]);
    crate::finish(&mut cluster, &[carl]);
}

#[test]
fn a_grant_of_the_old_master_that_comes_late_counts_for_the_number_that_is_pending() {
    let (mut cluster, range, name) = single();
    let carl = crate::ask(&mut cluster, &name, CARL, Exclusive);
    cluster.exchange(CARL, OLD);
    let grant = cluster.frame(OLD, CARL);
    assert!(grant.is(Word::Grant));
    cluster.hand_over(OLD, range, NEW);
    cluster.deliver(&grant);
    cluster.settle(LONG);
    assert_eq!(crate::mode_of(&mut cluster, carl), Some(Exclusive));
    let records = cluster.look_at(NEW, PLAIN, &name).physical;
    assert_eq!((records[0].node, records[0].held), (CARL, Some(Exclusive)));
    crate::release(&mut cluster, carl);
    cluster.run();
    cluster.deliver(&grant);
    cluster.settle(LONG);
    assert_eq!(cluster.look_at(CARL, PLAIN, &name).held, None);
    assert_eq!(cluster.look_at(NEW, PLAIN, &name).physical, []);
    let dora = crate::lock(&mut cluster, &name, DORA, Exclusive);
    crate::finish(&mut cluster, &[dora]);
}

#[test]
fn a_demand_of_the_old_master_that_comes_late_is_met_at_the_new_one() {
    let (mut cluster, range, name) = single();
    let carl = crate::lock(&mut cluster, &name, CARL, Exclusive);
    let dora = crate::ask(&mut cluster, &name, DORA, Exclusive);
    cluster.exchange(DORA, OLD);
    let demand = cluster.frame(OLD, CARL);
    assert!(demand.is(Word::Demand));
    cluster.hand_over(OLD, range, NEW);
    cluster.deliver(&demand);
    cluster.run();
    crate::release(&mut cluster, carl);
    cluster.settle(LONG);
    assert_eq!(crate::mode_of(&mut cluster, dora), Some(Exclusive));
    crate::finish(&mut cluster, &[dora]);
}

#[test]
fn a_lost_demand_is_made_again_by_the_new_master() {
    let (mut cluster, range, name) = single();
    let carl = crate::lock(&mut cluster, &name, CARL, Exclusive);
    cluster.watch(CARL, carl.1);
    let dora = crate::ask(&mut cluster, &name, DORA, Exclusive);
    cluster.exchange(DORA, OLD);
    cluster.frame(OLD, CARL);
    cluster.hand_over(OLD, range, NEW);
    cluster.settle(SHORT * 2);
    let events = cluster.happened(CARL);
    assert!(events.iter().any(|event| matches!(event, Event::Demanded { .. })), "{events:?}");
    crate::finish(&mut cluster, &[carl, dora]);
}

#[test]
fn demands_of_the_new_master_are_named_beyond_those_of_the_old_one() {
    let (mut cluster, range, name) = single();
    let carl = crate::lock(&mut cluster, &name, CARL, Exclusive);
    let dora = crate::ask(&mut cluster, &name, DORA, Exclusive);
    cluster.run();
    cluster.cancel(dora.0, dora.1);
    cluster.run();
    cluster.said();
    cluster.hand_over(OLD, range, NEW);
    let chunk = cluster.said().into_iter().find(is_chunk).expect("a chunk was sent");
    let last = chunk.chunk().head.demand;
    let next = crate::ask(&mut cluster, &name, NEW, Exclusive);
    cluster.run();
    for frame in cluster.said() {
        if let [lockmaster_core::wire::Body::Demand(demand)] = frame.bodies()[..] {
            assert!(demand.id > last, "{:?} comes after {last:?}", demand.id);
        }
    }
    crate::finish(&mut cluster, &[carl, next]);
}

#[test]
fn a_write_goes_to_the_new_master_and_is_acknowledged_there() {
    for is_relayed in [true, false] {
        let (mut cluster, range, name) = single();
        let keeper = crate::lock(&mut cluster, &name, DORA, Null);
        let asked = cluster.ask_in(PLAIN, &name, CARL, Exclusive, Flags::VALUE).unwrap();
        cluster.run();
        give(&mut cluster, range);
        let withheld = cluster.run_but(|frame| frame.is(Word::NewMaster));
        if !is_relayed {
            cluster.deliver_all(&withheld);
            cluster.run();
        }
        cluster.release_with(CARL, asked.lock, ValueWrite::Set(value(b"written")));
        cluster.run_but(|frame| frame.is(Word::NewMaster));
        assert_eq!(
            cluster.look_at(NEW, PLAIN, &name).value,
            Some(ValueState::Valid(value(b"written"))),
            "relayed: {is_relayed}"
        );
        cluster.said();
        cluster.settle_but(LONG, |frame| frame.is(Word::NewMaster));
        let is_repeat = |frame: &Frame| {
            matches!(
                frame.bodies()[..],
                [lockmaster_core::wire::Body::Position(Position { write: Some(_), .. })]
            )
        };
        assert!(!cluster.said().iter().any(is_repeat), "it was acknowledged");
        cluster.deliver_all(&withheld);
        crate::finish(&mut cluster, &[keeper]);
    }
}

#[test]
fn a_write_before_the_transfer_is_read_after_it() {
    let (mut cluster, range, name) = single();
    let keeper = crate::lock(&mut cluster, &name, DORA, Null);
    let asked = cluster.ask_in(PLAIN, &name, CARL, Exclusive, Flags::VALUE).unwrap();
    cluster.run();
    cluster.release_with(CARL, asked.lock, ValueWrite::Set(value(b"written")));
    let lost = cluster.frame(CARL, OLD);
    cluster.hand_over(OLD, range, NEW);
    cluster.settle(SHORT * 2);
    let reader = cluster.ask_in(PLAIN, &name, DORA, ProtectedRead, Flags::VALUE).unwrap();
    cluster.run();
    assert_eq!(cluster.value(DORA, reader.lock), ValueState::Valid(value(b"written")));
    cluster.deliver(&lost);
    cluster.run();
    let writer = cluster.ask_in(PLAIN, &name, NEW, ConcurrentWrite, Flags::NONE).unwrap();
    crate::finish(&mut cluster, &[keeper, (DORA, reader.lock), (NEW, writer.lock)]);
}
