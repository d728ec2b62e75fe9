//! Link test: a program of `lockmaster-core` and nothing else, no `std`, no `alloc`, no libc.
//!
//! If any of them had found its way into the core, this would not link. It also runs: the exit status is 0,
//! or the number of the first check that failed, or 101 after a panic.
#![no_std]
#![no_main]

mod control;
mod runtime;

use core::hint::black_box;

use lockmaster_core::{
    ArrayMemory, ClusterId, Config, Event, Flags, Incarnation, Instant, Mode, Name, Node, NodeId, OwnerId,
    Priority, Request, SlotId, SlotRange, SpaceConfig, SpaceId, Stage, ValueWrite, hash,
};

/// What the program does with the core, one check for each part of it that has to link. Add new parts here.
///
/// Each takes its inputs through [`black_box`]: what the compiler can work out by itself is never linked.
const CHECKS: &[fn() -> bool] = &[modes, names, nodes];

/// Runs all checks; the number of the first that fails, or 0.
fn run() -> u8 {
    control::run();
    for (number, check) in (1..).zip(CHECKS) {
        if !black_box(*check)() {
            return number;
        }
    }
    0
}

fn modes() -> bool {
    let (strong, weak) = (black_box(Mode::Exclusive), black_box(Mode::ProtectedRead));
    strong.covers(weak) && !weak.covers(strong) && !strong.is_compatible(weak)
}

fn names() -> bool {
    let (seed, bytes) = (black_box(7), black_box(b"invoice/42".as_slice()));
    let Ok(name) = Name::new(bytes) else { return false };
    hash(seed, SpaceId(1), name.as_bytes()) == hash(seed, SpaceId(1), bytes)
        && hash(seed, SpaceId(1), bytes) != hash(seed, SpaceId(2), bytes)
}

type Small = Node<ArrayMemory<4, 8, 8, 16, 2>>;

/// Two nodes on fixed memory: one locks what the other masters, keeps it, and gives it up on demand.
fn nodes() -> bool {
    let (Some(mut one), Some(mut two)) = (node(1), node(2)) else { return false };
    let hellos = (one.hello(), two.hello());
    let is_heard = one.handle_hello(Instant::START, &hellos.1).is_ok()
        && two.handle_hello(Instant::START, &hellos.0).is_ok();
    let mut names = (0..u8::MAX).map(|number| [black_box(number)]);
    let name = names.find(|name| one.master_of(SpaceId(0), name) == Ok(Some(NodeId(2))));
    let (true, Some(name)) = (is_heard, name) else { return false };
    let Ok(first) = one.request(Instant::START, &request(&name)) else { return false };
    exchange(&mut one, &mut two);
    let Some(Event::Granted { lock, grant, .. }) = one.poll_event() else { return false };
    let is_released = one.release(lock, ValueWrite::Keep).is_ok();
    let Ok(second) = two.request(Instant::START, &request(&name)) else { return false };
    exchange(&mut one, &mut two);
    let Some(Event::Granted { lock: other, grant: later, .. }) = two.poll_event() else { return false };
    let is_passed_on = is_released && lock == first.lock && other == second.lock && later.token > grant.token;
    is_passed_on && transfers(&mut one, &mut two, &name)
}

/// All that the second node masters goes to the first while it holds a lock there, which is served on.
fn transfers(one: &mut Small, two: &mut Small, name: &[u8]) -> bool {
    let range = SlotRange { first: SlotId(black_box(4)), len: black_box(4) };
    let Ok(transfer) = two.transfer(Instant::START, range, NodeId(1)) else { return false };
    let mut end = None;
    // Some work is done while events are polled, and gives them more to say.
    for _ in 0..4 {
        exchange(one, two);
        while one.poll_event().is_some() {}
        while let Some(event) = two.poll_event() {
            if let Event::Transfer(progress) = event {
                end = Some((progress.transfer, progress.stage));
            }
        }
    }
    let Ok(asked) = one.request(Instant::START, &request(name)) else { return false };
    let is_moved =
        one.master_of(SpaceId(0), name) == Ok(Some(NodeId(1))) && one.decides(SpaceId(0), name) == Ok(true);
    end == Some((transfer, Stage::Done)) && is_moved && asked.grant.is_none()
}

fn node(number: u16) -> Option<Small> {
    let mut config = Config::new(ClusterId(black_box(1)), NodeId(number), Incarnation(1));
    config.members.extend_from_slice(&[NodeId(1), NodeId(2)]).ok()?;
    config.spaces.push(SpaceConfig { slots: 8, ..SpaceConfig::new("link").ok()? }).ok()?;
    Node::new(config, ArrayMemory::VACANT).ok()
}

fn request(name: &[u8]) -> Request<'_> {
    Request {
        space: SpaceId(0),
        name,
        owner: OwnerId(1),
        mode: Mode::Exclusive,
        flags: Flags::NONE,
        priority: Priority(0),
        patience: None,
    }
}

/// Carries frames to and fro until both are silent.
fn exchange(one: &mut Small, two: &mut Small) {
    let mut frame = [0; 1024];
    loop {
        if let Some(len) = one.poll_transmit(Instant::START, NodeId(2), &mut frame) {
            let _ = two.handle_frame(Instant::START, NodeId(1), &frame[..len]);
        } else if let Some(len) = two.poll_transmit(Instant::START, NodeId(1), &mut frame) {
            let _ = one.handle_frame(Instant::START, NodeId(2), &frame[..len]);
        } else {
            return;
        }
    }
}
