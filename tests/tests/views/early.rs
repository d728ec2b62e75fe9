//! Resources that somebody waits for are opened before their slots (rule W19).

use lockmaster_core::{Limits, LockId, Mode, SlotId, SpaceId, ValueWrite};
use lockmaster_tests::changing::{Changing, SLOTS};

/// The old master of all slots, which dies, and who survives. Who joins first of these is the coordinator then.
const OLD: u16 = 3;
const MASTER: u16 = 1;
const HOLDER: u16 = 4;
const WAITER: u16 = 2;

/// Resources of each slot that the holder has, so that a report takes many parts.
const HELD: usize = 4;

/// A lock of the holder, in the way of one of the waiter.
struct Pair {
    name: Vec<u8>,
    held: LockId,
    waits: LockId,
}

/// A cluster of which the old master has died. In every slot the holder has locks, of which the waiter wants one, and the
/// waiter wants something that nobody has.
struct Orphaned {
    world: Changing,
    pairs: Vec<Pair>,
    free: Vec<(Vec<u8>, LockId)>,
}

/// Names in every slot, so long that few fit into a part of a report.
struct Names(Vec<Vec<Vec<u8>>>);

impl Names {
    fn new() -> Self {
        let mut world = Changing::of(&[MASTER]);
        let node = world.node(MASTER);
        let mut of_slots = vec![Vec::new(); SLOTS as usize];
        for name in (0..2000).map(|at| format!("{at:->60}").into_bytes()) {
            let Ok(Some(SlotId(slot))) = node.slot_of(SpaceId(0), &name) else { panic!("a sound name") };
            of_slots[slot as usize].push(name);
        }
        Self(of_slots)
    }

    /// Of a slot one that nobody has.
    fn free(&self, slot: usize) -> &[u8] {
        &self.0[slot][0]
    }

    /// Another one, of which nobody knows anything.
    fn unknown(&self, slot: usize) -> &[u8] {
        &self.0[slot][1]
    }

    /// What the holder has; the waiter wants the first of them.
    fn held(&self, slot: usize) -> &[Vec<u8>] {
        &self.0[slot][2..2 + HELD]
    }
}

fn cluster_of_one_master(limits: Limits) -> Changing {
    let mut world = Changing::with(&[OLD], limits);
    for id in [WAITER, MASTER, HOLDER] {
        world.start(id);
        world.change();
        world.settle();
    }
    world
}

impl Orphaned {
    fn new(names: &Names) -> Self {
        let mut world = cluster_of_one_master(Limits::uniform(128));
        let mut held = Vec::new();
        for slot in 0..SLOTS as usize {
            let locks: Vec<_> = names
                .held(slot)
                .iter()
                .map(|name| (name.clone(), world.take(HOLDER, name, Mode::Exclusive)))
                .collect();
            held.extend(locks.into_iter().next());
        }
        world.crash(OLD);
        let mut pair = |(name, held): (Vec<u8>, LockId)| {
            let waits = world.ask(WAITER, &name, Mode::ProtectedRead);
            Pair { name, held, waits }
        };
        let pairs = held.into_iter().map(&mut pair).collect();
        let mut free = |slot: usize| {
            let name = names.free(slot).to_vec();
            let waits = world.ask(WAITER, &name, Mode::Exclusive);
            (name, waits)
        };
        let free = (0..SLOTS as usize).map(&mut free).collect();
        Self { world, pairs, free }
    }

    /// Everybody has the next view, and everything that is said of it is still on its way.
    fn change_slowly(&mut self) {
        let members = self.world.members();
        for from in &members {
            for to in &members {
                self.world.close(*from, *to);
            }
        }
        self.world.make_view();
        for id in members {
            self.world.tell(id);
        }
        self.world.connect();
    }

    /// How much the waiter has been granted of slots that are closed.
    fn granted_early(&mut self, names: &Names) -> usize {
        let world = &mut self.world;
        let mut is_early = |(slot, (_, waits)): &(usize, &(Vec<u8>, LockId))| {
            let is_open = world
                .members()
                .into_iter()
                .any(|id| world.node(id).decides(SpaceId(0), names.unknown(*slot)) == Ok(true));
            world.grant_of(WAITER, *waits).is_some() && !is_open
        };
        self.free.iter().enumerate().filter(|free| is_early(free)).count()
    }

    /// Everything comes to rest; who waits for what nobody has gets it, and nobody what is held until it is released.
    fn all_is_well(&mut self, what: &str) {
        let world = &mut self.world;
        for _ in 0..10 {
            world.pass(1000);
        }
        world.masters();
        for (name, waits) in &self.free {
            assert!(world.grant_of(WAITER, *waits).is_some(), "{what}: nobody has {name:?}");
        }
        for Pair { name, held, waits } in &self.pairs {
            assert!(world.grant_of(WAITER, *waits).is_none(), "{what}: the holder has {name:?}");
            world.release(HOLDER, *held, ValueWrite::Keep);
            world.settle();
            assert!(world.grant_of(WAITER, *waits).is_some(), "{what}: {name:?} was released");
        }
        for (name, held) in &self.free {
            let rival = world.ask(HOLDER, name, Mode::ConcurrentRead);
            world.pass(1000);
            assert!(world.grant_of(HOLDER, rival).is_none(), "{what}: the waiter has {name:?}");
            world.release(WAITER, *held, ValueWrite::Keep);
            world.settle();
            assert!(world.grant_of(HOLDER, rival).is_some(), "{what}: {name:?} was released");
        }
        for id in world.members() {
            assert!(world.node(id).is_settled(), "node {id}: {what}");
        }
    }
}

/// At every step of the change, after so many frames of it, something happens; then all is well.
fn at_every_step(what: &str, happens: impl Fn(&mut Changing)) {
    let (names, mut early) = (Names::new(), 0);
    for frames in 0.. {
        let mut orphaned = Orphaned::new(&names);
        orphaned.change_slowly();
        let is_over = orphaned.world.step(frames);
        early = early.max(orphaned.granted_early(&names));
        happens(&mut orphaned.world);
        orphaned.all_is_well(&format!("after {frames} frames {what}"));
        if is_over {
            break;
        }
    }
    assert!(early > 2, "{early} were granted while their slots were closed");
}

#[test]
fn who_waits_for_what_nobody_has_does_not_wait_for_the_slot_whatever_is_lost() {
    // They meet again, and everything that was not answered is said again at once.
    at_every_step("all connections are new", Changing::connect);
}

#[test]
fn what_was_open_before_its_slot_is_asked_about_anew_in_the_next_view() {
    at_every_step("somebody joins", |world| {
        world.start(OLD + 2);
        world.change();
        world.settle();
    });
    at_every_step("the new master dies", |world| {
        world.crash(MASTER);
        world.change();
        world.settle();
    });
}

#[test]
fn more_wishes_than_a_new_master_takes_up_at_a_time_are_said_again() {
    const WISHES: u32 = 400;
    let mut world = cluster_of_one_master(Limits::uniform(2000));
    let names = |start: &str, count: u32| -> Vec<_> {
        (0..count).map(|at| format!("{start:->50}{at}").into_bytes()).collect()
    };
    for name in names("held", 300) {
        world.take(HOLDER, &name, Mode::Exclusive);
    }
    // One master is given all slots.
    world.leave(WAITER);
    world.leave(HOLDER);
    world.crash(OLD);
    let wishes: Vec<_> =
        names("free", WISHES).iter().map(|name| world.ask(WAITER, name, Mode::Exclusive)).collect();
    world.change();
    world.settle();
    assert!(wishes.iter().all(|lock| world.grant_of(WAITER, *lock).is_some()));
    let early = world.node(MASTER).stats().resources_early;
    assert!(
        early > 256,
        "{early} did not wait for their slots, of which the master asks about 256 at a time"
    );
}
