//! Once its memory is made, a node allocates nothing, whatever happens to it.

#![allow(unsafe_code, reason = "an allocator is unsafe to implement; this one only counts and passes on")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use lockmaster_core::{
    Conversion, Event, Flags, HeapMemory, Instant, Limits, LockId, Mode, Node, NodeId, OwnerId, Request,
    Retention, SlotId, SlotRange, Stage, Value, ValueWrite,
};
use lockmaster_sim::Random;
use lockmaster_tests::cluster::{config_of, request_for};

/// The system's allocator, with a count of what each thread asked for: the test's own thread is not alone.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn allocations() -> u64 {
    ALLOCATIONS.get()
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MEMBERS: usize = 2;
const LOCKS: usize = 12;
const FRAMES: usize = 64;
const FRAME_LEN: usize = 1024;
const STEPS: u32 = 400_000;
const NAMES: [&[u8]; 3] = [b"a", b"a name of more than 24 bytes", b"c"];

/// A frame in a fixed place.
#[derive(Clone, Copy)]
struct Slot {
    to: usize,
    len: usize,
    bytes: [u8; FRAME_LEN],
}

/// Two nodes and everything that a run needs, in fixed places.
struct Run {
    nodes: [Node<HeapMemory>; MEMBERS],
    locks: [[Option<LockId>; LOCKS]; MEMBERS],
    frames: Box<[Option<Slot>; FRAMES]>,
    now: Instant,
    random: Random,
    grants: u64,
    sent: u64,
    moves: u64,
}

impl Run {
    fn new() -> Self {
        let node = |at: u16| {
            let mut config = config_of(at, 2, Retention::UntilDemanded);
            config.spaces[0].retained_max = 1;
            (config.chunk, config.window) = (256, 600);
            let memory = HeapMemory::new(&Limits::uniform(32), &config);
            Node::new(config, memory).expect("the memory fits")
        };
        let mut nodes = [node(1), node(2)];
        let hellos = [nodes[0].hello(), nodes[1].hello()];
        nodes[0].handle_hello(Instant::START, &hellos[1]).expect("a member is welcome");
        nodes[1].handle_hello(Instant::START, &hellos[0]).expect("a member is welcome");
        Self {
            nodes,
            locks: [[None; LOCKS]; MEMBERS],
            frames: Box::new([None; FRAMES]),
            now: Instant::START,
            random: Random::new(1),
            grants: 0,
            sent: 0,
            moves: 0,
        }
    }

    fn step(&mut self) {
        let at = self.random.index(MEMBERS);
        let place = self.random.index(LOCKS);
        if self.random.chance(20) {
            self.transfer(at);
        } else {
            let number = self.random.below(8);
            self.use_lock(number, at, place);
        }
        for at in 0..MEMBERS {
            self.drain(at);
        }
    }

    fn use_lock(&mut self, number: u64, at: usize, place: usize) {
        match number {
            0 | 1 => self.request(at, place),
            2 => self.convert(at, place),
            3 => self.release(at, place),
            4 => self.cancel(at, place),
            5 => self.wait(),
            _ => self.deliver(),
        }
    }

    /// A node gives a slot away, or takes that back.
    fn transfer(&mut self, at: usize) {
        let all = self.nodes[at].all_slots();
        let slot = SlotId(u32::try_from(self.random.below(u64::from(all.len))).expect("slots are few"));
        let to = self.nodes[1 - at].config().node;
        // Refusals are welcome, as above.
        let transfer = self.nodes[at].transfer(self.now, SlotRange::one(slot), to);
        if self.random.chance(100) {
            let _ = transfer.map(|transfer| self.nodes[at].withdraw(self.now, transfer));
        }
    }

    fn request(&mut self, at: usize, place: usize) {
        if self.locks[at][place].is_some() {
            return;
        }
        let mode = *self.random.pick(&Mode::ALL);
        let flags = *self.random.pick(&[Flags::NONE, Flags::VALUE, Flags::NO_QUEUE]);
        let name = NAMES[self.random.index(NAMES.len())];
        let plain = request_for(name, mode, flags);
        let patience = self.random.chance(300).then_some(core::time::Duration::from_millis(30));
        let request = Request { owner: OwnerId(place as u64), patience, ..plain };
        let asked = self.nodes[at].request(self.now, &request);
        self.locks[at][place] = asked.ok().map(|asked| asked.lock);
        self.grants += u64::from(asked.is_ok_and(|asked| asked.grant.is_some()));
    }

    fn convert(&mut self, at: usize, place: usize) {
        let Some(lock) = self.locks[at][place] else { return };
        let mode = *self.random.pick(&Mode::ALL);
        let conversion = Conversion { flags: Flags::NONE, patience: None };
        // Refusals are welcome: they must not allocate either.
        let _ = self.nodes[at].convert(self.now, lock, mode, conversion, ValueWrite::Keep);
    }

    fn release(&mut self, at: usize, place: usize) {
        let Some(lock) = self.locks[at][place] else { return };
        let write = ValueWrite::Set(Value::new(&self.now.as_nanos().to_be_bytes()).expect("8 bytes are few"));
        let node = &mut self.nodes[at];
        if node.release(lock, write).or_else(|_| node.release(lock, ValueWrite::Keep)).is_ok() {
            self.locks[at][place] = None;
        }
    }

    fn cancel(&mut self, at: usize, place: usize) {
        let Some(lock) = self.locks[at][place] else { return };
        if self.random.chance(100) {
            let _ = self.nodes[at].watch(lock);
        } else if self.nodes[at].abandon(lock).is_ok() {
            self.locks[at][place] = None;
        }
    }

    /// Time passes, and both timers fire.
    fn wait(&mut self) {
        self.now = self.now.after(core::time::Duration::from_millis(self.random.below(40)));
        for node in &mut self.nodes {
            node.handle_timeout(self.now);
        }
    }

    /// Some frame arrives, and perhaps stays to arrive again.
    fn deliver(&mut self) {
        let first = self.random.index(FRAMES);
        let mut places = (first..FRAMES).chain(0..first);
        let Some(place) = places.find(|place| self.frames[*place].is_some()) else { return };
        let Some(slot) = self.frames[place] else { return };
        let from = self.nodes[1 - slot.to].config().node;
        self.nodes[slot.to]
            .handle_frame(self.now, from, &slot.bytes[..slot.len])
            .expect("the frame is sound");
        if self.random.chance(700) {
            self.frames[place] = None;
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(event) = self.nodes[at].poll_event() {
            match event {
                Event::Granted { .. } => self.grants += 1,
                Event::Denied { owner, held: None, .. } => {
                    let place = usize::try_from(owner.0).expect("owners are places");
                    self.locks[at][place] = None;
                }
                Event::Lost { .. } => panic!("no view takes locks away here: {event:?}"),
                Event::Transfer(progress) => self.moves += u64::from(progress.stage == Stage::Done),
                Event::Denied { .. } | Event::Demanded { .. } => {}
            }
        }
        while let Some(peer) = self.nodes[at].poll_ready() {
            assert_ne!(peer, NodeId(0));
            let mut slot = Slot { to: 1 - at, len: 0, bytes: [0; FRAME_LEN] };
            while let Some(len) = self.nodes[at].poll_transmit(self.now, peer, &mut slot.bytes) {
                slot.len = len;
                self.sent += 1;
                // Where no place is free another frame is lost.
                let place = self.random.index(FRAMES);
                self.frames[place] = Some(slot);
            }
        }
    }
}

#[test]
fn a_node_allocates_nothing_after_it_was_made() {
    let mut run = Run::new();
    let before = allocations();
    for _ in 0..STEPS {
        run.step();
    }
    let after = allocations();
    assert!(run.grants > 10_000 && run.sent > 10_000, "{} grants, {} frames", run.grants, run.sent);
    assert!(run.moves > 1000, "{} transfers", run.moves);
    assert!(before > 0, "allocations are counted");
    assert_eq!(after, before, "{} steps allocated", STEPS);
}
