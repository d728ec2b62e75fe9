//! What comes too late: answers that a node decided on as a master and had not said when it lost the slot with a view
//! (rules W4 and W10), and wishes that are over (rule W19).

use lockmaster_core::drive::{self, Budget, Outlet};
use lockmaster_core::wire::{Body, Message, Messages, ViewMessage};
use lockmaster_core::{
    Event, LockId, LockView, Mode, NodeId, PhysicalView, ResourceView, SlotRange, SpaceId, ValueWrite, Visit,
};
use lockmaster_tests::changing::Changing;

const HOLDER: u16 = 1;
const OLD: u16 = 2;
const NEW: u16 = 3;
const FIRST: u16 = 4;
const SECOND: u16 = 5;

struct Nothing;

impl Outlet for Nothing {
    fn event(&mut self, _event: Event) {}
    fn ready(&mut self, _peer: NodeId) {}
}

fn is_queued(message: &Message<'_>) -> bool {
    matches!(message, Message::Lock(message) if matches!(message.body, Body::Queued(_)))
}

/// All frames that one node has for another.
fn frames(world: &mut Changing, from: u16, to: u16) -> Vec<Vec<u8>> {
    let (now, mut frame) = (world.now(), [0; 4096]);
    let node = world.node(from);
    core::iter::from_fn(|| {
        let len = node.poll_transmit(now, NodeId(to), &mut frame)?;
        Some(frame[..len].to_vec())
    })
    .collect()
}

fn hear(world: &mut Changing, from: u16, to: u16, frames: &[Vec<u8>]) {
    let now = world.now();
    for frame in frames {
        let _of_another_view = world.node(to).handle_frame(now, NodeId(from), frame);
    }
}

/// Two nodes learn to know each other.
fn introduce(world: &mut Changing, one: u16, other: u16) {
    let now = world.now();
    for (from, to) in [(one, other), (other, one)] {
        let hello = world.node(from).hello();
        world.node(to).handle_hello(now, &hello).expect("both are members");
    }
}

/// The new master has a part of a slot, and has granted a resource of it to the first who waits, which it cannot reach. The
/// second waits for it, too, and is the only one of the two that knows its place. `None` if it is not so after so many steps.
fn with_a_grant_unsaid(steps: usize) -> Option<(Changing, Vec<u8>, LockId, LockId)> {
    let mut world = Changing::of(&[HOLDER, OLD, NEW, FIRST, SECOND]);
    let name = world.name_at(OLD, "lost");
    let slot = world.node(OLD).slot_of(SpaceId(0), &name).ok().flatten().expect("the name is sound");
    let held = world.take(HOLDER, &name, Mode::Exclusive);
    let first = world.ask(FIRST, &name, Mode::Exclusive);
    world.settle();
    let second = world.ask(SECOND, &name, Mode::Exclusive);
    world.settle();
    world.lose_next(OLD, FIRST, is_queued);
    world.pass(60);
    for at in 0..100 {
        let filler = format!("{}{at}", "filler".repeat(8)).into_bytes();
        if world.node(OLD).slot_of(SpaceId(0), &filler) == Ok(Some(slot)) {
            world.take(OLD, &filler, Mode::ProtectedRead);
        }
    }
    world.transfer(OLD, SlotRange::one(slot), NEW);
    world.step(steps);
    let is_whole = |world: &mut Changing| {
        let view = world.node(NEW).slot(slot);
        view.is_some_and(|view| view.master == Some(NodeId(NEW)))
    };
    if world.node(NEW).decides(SpaceId(0), &name) != Ok(true) || is_whole(&mut world) {
        return None;
    }
    let now = world.now();
    world.node(NEW).handle_disconnect(now, NodeId(FIRST));
    world.node(FIRST).handle_disconnect(now, NodeId(NEW));
    world.node(HOLDER).release(held, ValueWrite::Keep).expect("it is held");
    for (from, to) in [(HOLDER, OLD), (OLD, NEW)] {
        let said = frames(&mut world, from, to);
        hear(&mut world, from, to, &said);
    }
    (!is_whole(&mut world)).then_some((world, name, first, second))
}

/// The old master has died, and the new one is given the slot, without having looked at any of its records. All know that
/// from the holder, who is the coordinator, and have heard nobody else in this view.
fn agreed() -> (Changing, Vec<u8>, LockId, LockId) {
    let (mut world, name, first, second) =
        (1..100).find_map(with_a_grant_unsaid).expect("the record comes at some time");
    world.crash(OLD);
    for id in [HOLDER, FIRST, SECOND] {
        world.leave(id);
    }
    world.make_view();
    let (now, view) = (world.now(), world.view().clone());
    for id in [HOLDER, NEW, FIRST, SECOND] {
        world.node(id).handle_view(now, &view).expect("the view is sound");
    }
    for _ in 0..5 {
        for (from, to) in [
            (HOLDER, NEW),
            (HOLDER, FIRST),
            (HOLDER, SECOND),
            (NEW, HOLDER),
            (FIRST, HOLDER),
            (SECOND, HOLDER),
        ] {
            let said = frames(&mut world, from, to);
            hear(&mut world, from, to, &said);
            if from != NEW {
                let _more = drive::run(now, world.node(from), &mut Nothing, Budget::ALL);
            }
        }
    }
    for id in [NEW, FIRST] {
        assert_eq!(world.node(id).master_of(SpaceId(0), &name), Ok(Some(NodeId(NEW))), "the map is here");
    }
    (world, name, first, second)
}

fn held_by(world: &mut Changing, id: u16, lock: LockId) -> Option<Mode> {
    world.node(id).held(lock).ok().flatten()
}

#[test]
fn a_late_grant_of_a_lost_slot_is_not_believed() {
    let (mut world, _name, first, second) = agreed();
    introduce(&mut world, NEW, FIRST);
    let grant = frames(&mut world, NEW, FIRST);
    for _ in 0..10 {
        world.pass(1000);
    }
    hear(&mut world, NEW, FIRST, &grant);
    world.settle();
    let both = [held_by(&mut world, FIRST, first), held_by(&mut world, SECOND, second)];
    assert_ne!(both, [Some(Mode::Exclusive); 2], "two hold EX");
    assert_eq!(both, [None, Some(Mode::Exclusive)], "who knows its place comes first");
}

#[test]
fn a_grant_of_a_lost_slot_does_not_cross_a_wish_that_opens_its_resource() {
    let (mut world, _name, first, second) = agreed();
    introduce(&mut world, NEW, FIRST);
    let wish = frames(&mut world, FIRST, NEW);
    let grant = frames(&mut world, NEW, FIRST);
    hear(&mut world, FIRST, NEW, &wish);
    hear(&mut world, NEW, FIRST, &grant);
    world.settle();
    let both = [held_by(&mut world, FIRST, first), held_by(&mut world, SECOND, second)];
    assert_ne!(both, [Some(Mode::Exclusive); 2], "two hold EX");
}

fn says_wanted(frame: &[u8]) -> bool {
    let is_wanted = |message: &Message<'_>| matches!(message, Message::View(ViewMessage::Wanted(_)));
    Messages::new(frame).is_ok_and(|(_, mut messages)| messages.any(|message| is_wanted(&message)))
}

/// Who has a lock on record.
struct Records(Vec<NodeId>);

impl Visit for Records {
    fn resource(&mut self, _resource: ResourceView<'_>) {}

    fn lock(&mut self, _lock: LockView) {}

    fn physical(&mut self, physical: PhysicalView) {
        self.0.push(physical.node);
    }
}

#[test]
fn a_wish_that_was_over_when_its_node_was_asked_does_not_come_back() {
    const DEAD: u16 = 3;
    const MASTER: u16 = 1;
    const LATE: u16 = 2;
    const OTHER: u16 = 4;
    let mut world = Changing::of_slots(&[DEAD], 1);
    for id in [MASTER, LATE, OTHER] {
        world.start(id);
        world.change();
        world.settle();
    }
    world.crash(DEAD);
    let wish = world.ask(LATE, b"over", Mode::Exclusive);
    for id in [LATE, OTHER] {
        world.leave(id);
    }
    world.make_view();
    let (now, view) = (world.now(), world.view().clone());
    for id in [MASTER, LATE, OTHER] {
        world.node(id).handle_view(now, &view).expect("the view is sound");
    }
    // The wish is said as soon as the map is known, and takes long.
    let mut late: Vec<Vec<u8>> = Vec::new();
    while !late.iter().any(|frame| says_wanted(frame)) {
        hear(&mut world, LATE, MASTER, &late);
        for (from, to) in [(OTHER, MASTER), (MASTER, LATE), (MASTER, OTHER)] {
            let said = frames(&mut world, from, to);
            hear(&mut world, from, to, &said);
        }
        late = frames(&mut world, LATE, MASTER);
    }
    world.node(LATE).cancel(wish).expect("it waits");
    let other = world.ask(OTHER, b"over", Mode::Exclusive);
    for _ in 0..10 {
        for (from, to) in [(OTHER, MASTER), (MASTER, LATE), (MASTER, OTHER), (LATE, MASTER)] {
            let said = frames(&mut world, from, to);
            hear(&mut world, from, to, &said);
            if from != LATE {
                // The late one has not come to its report yet.
                let _more = drive::run(now, world.node(from), &mut Nothing, Budget::ALL);
            }
        }
    }
    assert_eq!(
        held_by(&mut world, OTHER, other),
        Some(Mode::Exclusive),
        "its node was asked, and has nothing"
    );
    let stats = world.node(MASTER).stats();
    assert_eq!([stats.resources_early, stats.slots_rebuilt], [1, 0], "it is open before its slot");
    hear(&mut world, LATE, MASTER, &late);
    let mut records = Records(Vec::new());
    world.node(MASTER).visit(&mut records);
    assert_eq!(records.0, [NodeId(OTHER)], "what is over does not come back");
}
