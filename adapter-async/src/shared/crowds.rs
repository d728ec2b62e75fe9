//! More threads, and longer, than every order could be tried of: orders by lot, by shuttle, from fixed seeds:
//! `cargo xtask verify shuttle`.

use core::pin::pin;
use core::task::{Poll, Waker};

use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, thread};

use super::still::{EX, ME, PEER, PR, Pipe, Still, link_up, name_at, node, node_of, poll};
use super::{Arc, Instant, Shared};
use crate::connection::keep_writing;
use crate::{ConvertError, Guard, LockError, Mode, Node, NodeId, SlotRange, SpaceId};

/// Bytes of a thread's stack: a node is moved about several times until it is in its place.
const STACK: usize = 1 << 19;
/// Changes of priority in one order that are drawn beside the even lots.
const CHANGES: usize = 3;
const SEED: u64 = 0x10c4_3a57;

/// Draws orders of what `act` does: evenly, and such that a few well-placed changes of priority decide.
fn crowd(orders: usize, act: impl Fn() + Clone + Send + Sync + 'static) {
    draw("evenly", RandomScheduler::new_from_seed(SEED, orders), act.clone(), orders);
    draw("by priorities", PctScheduler::new_from_seed(SEED, CHANGES, orders), act, orders);
}

fn draw(
    how: &str,
    scheduler: impl Scheduler + 'static,
    act: impl Fn() + Send + Sync + 'static,
    orders: usize,
) {
    let mut config = Config::new();
    config.stack_size = STACK;
    let drawn = Runner::new(scheduler, config).run(act);
    let current = std::thread::current();
    let name = current.name().and_then(|name| name.rsplit("::").next()).unwrap_or("crowd");
    println!("{name}: {drawn} executions, drawn {how}");
    assert_eq!(drawn, orders);
}

/// What the holders of one resource see of each other: readers in the low half, a writer in the high one.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicUsize>);

const WRITER: usize = 1 << 16;

impl Inside {
    /// Goes in and out again, as who holds a lock in this mode may.
    fn visit(&self, mode: Mode) {
        let weight = if mode == EX { WRITER } else { 1 };
        let before = self.0.fetch_add(weight, Ordering::SeqCst);
        assert!(if mode == EX { before == 0 } else { before < WRITER }, "who is incompatible is not inside");
        self.0.fetch_sub(weight, Ordering::SeqCst);
    }
}

/// Takes locks in several ways, one after the other. Ends early if the node does.
fn work(node: &Node<Still>, name: &str, inside: &Inside, rounds: usize) -> Result<(), LockError> {
    for round in 0..rounds {
        match round % 4 {
            0 => visit(block_on(node.lock(name, EX))?, inside),
            1 => {
                let mut guard = block_on(node.lock(name, PR))?;
                inside.visit(PR);
                match block_on(guard.convert(EX)) {
                    Err(ConvertError::Closed) => return Err(LockError::Closed),
                    Ok(()) | Err(_) => visit(guard, inside),
                }
            }
            // Somebody who does not wait long.
            2 => {
                let asked = poll(pin!(node.lock(name, EX)), Waker::noop());
                if let Poll::Ready(granted) = asked {
                    visit(granted?, inside);
                }
            }
            _ => {
                let mut guard = block_on(node.lock(name, PR))?;
                let _ = poll(pin!(guard.convert(EX)), Waker::noop());
                visit(guard, inside);
            }
        }
    }
    Ok(())
}

fn visit(guard: Guard<Still>, inside: &Inside) {
    inside.visit(guard.mode());
    drop(guard);
}

fn assert_clean(node: &Node<Still>) {
    assert!(node.snapshot().locks().next().is_none(), "nobody holds or waits for anything");
    let state = node.machines().lead().lock();
    assert!(state.registry.is_idle() && state.lifecycle.waiters.is_idle(), "nobody is waited for");
}

#[test]
fn owners_of_one_node() {
    crowd(10_000, || {
        let node = node(&[ME]);
        let places = [("a", Inside::default()), ("b", Inside::default())];
        let threads = (0..6).map(|at| {
            let (node, (name, inside)) = (node.clone(), places[at % 2].clone());
            thread::spawn(move || assert_eq!(work(&node, name, &inside, 4), Ok(())))
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        assert_clean(&node);
    });
}

#[test]
fn the_end_of_a_node_in_use() {
    crowd(10_000, || {
        let node = node(&[ME]);
        let inside = Inside::default();
        let watched = node.clone();
        let mut threads: Vec<_> = (0..4)
            .map(|_| {
                let (node, inside) = (node.clone(), inside.clone());
                thread::spawn(move || {
                    let worked = work(&node, "a", &inside, 8);
                    assert!(matches!(worked, Ok(()) | Err(LockError::Closed)));
                })
            })
            .collect();
        let shared = Arc::clone(node.machines().lead());
        threads.push(thread::spawn(move || block_on(Shared::keep_time(shared))));
        threads.push(thread::spawn(move || {
            if let Ok(guard) = block_on(watched.lock("b", EX)) {
                block_on(guard.lost());
            }
        }));
        thread::yield_now();
        block_on(node.shutdown());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two nodes, with a thread for each of their tasks.
struct Pair {
    nodes: [Node<Still>; 2],
    tasks: Vec<thread::JoinHandle<()>>,
}

impl Pair {
    fn new() -> Self {
        let nodes = [ME, PEER].map(|id| node_of(id, &[ME, PEER]));
        let pipes = [(); 2].map(|()| Pipe::with_room(usize::MAX / 2));
        let mut tasks = Vec::new();
        for (at, peer) in [PEER, ME].into_iter().enumerate() {
            let shared = Arc::clone(nodes[at].machines().lead());
            let link = link_up(&nodes[at], peer, &pipes[at]);
            let writes = keep_writing(Arc::clone(&shared), link);
            tasks.push(thread::spawn(move || block_on(writes)));
            let keeps_time = Shared::keep_time(Arc::clone(&shared));
            tasks.push(thread::spawn(move || block_on(keeps_time)));
            let pipe = Arc::clone(&pipes[1 - at]);
            tasks.push(thread::spawn(move || read(&shared, peer, &pipe)));
        }
        Self { nodes, tasks }
    }

    fn end(self) {
        self.nodes.iter().for_each(|node| node.machines().lead().close());
        self.tasks.into_iter().for_each(|task| task.join().unwrap());
    }
}

/// The reader task of a connection.
fn read(shared: &Shared<Still>, from: NodeId, pipe: &Pipe) {
    loop {
        let frame = pipe.take_frame();
        let turn = shared.turn(|state, _| match &frame {
            Some(frame) => state.node.handle_frame(Instant::from_nanos(1), from, frame),
            None => Ok(()),
        });
        match turn {
            Some(handled) => handled.unwrap(),
            None => return,
        }
        if frame.is_none() {
            thread::yield_now();
        }
    }
}

#[test]
fn owners_of_two_nodes() {
    crowd(3000, || {
        let pair = Pair::new();
        let places = [ME, PEER].map(|master| (name_at(&pair.nodes[0], master, 0), Inside::default()));
        let threads: Vec<_> = (0..4)
            .map(|at| {
                let (node, (name, inside)) = (pair.nodes[at % 2].clone(), places[at / 2].clone());
                let (other, elsewhere) = places[1 - at / 2].clone();
                thread::spawn(move || {
                    work(&node, &name, &inside, 4).unwrap();
                    visit(block_on(node.lock(other, PR)).unwrap(), &elsewhere);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        pair.nodes.iter().for_each(assert_clean);
        pair.end();
    });
}

#[test]
fn a_slot_that_moves_while_it_is_used() {
    crowd(3000, || {
        let pair = Pair::new();
        let name = name_at(&pair.nodes[0], ME, 0);
        let range = SlotRange::one(pair.nodes[0].slot_of(SpaceId(0), &name).unwrap());
        let inside = Inside::default();
        let threads: Vec<_> = (0..3)
            .map(|at| {
                let (node, name, inside) = (pair.nodes[at % 2].clone(), name.clone(), inside.clone());
                thread::spawn(move || work(&node, &name, &inside, 4).unwrap())
            })
            .collect();
        // There, and back again.
        block_on(pair.nodes[0].transfer(range, PEER)).unwrap();
        block_on(pair.nodes[1].transfer(range, ME)).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        pair.nodes.iter().for_each(assert_clean);
        assert_eq!(pair.nodes.each_ref().map(|node| node.master_of(SpaceId(0), &name)), [Some(ME); 2]);
        pair.end();
    });
}
