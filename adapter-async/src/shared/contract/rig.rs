//! Two nodes that speak to each other without a runtime, one small step at a time.

use crate::connection::keep_writing;
use crate::shared::still::{ME, PEER, Pipe, Still, link_up, name_at, node_of};
use crate::shared::{Arc, Instant, Shared};
use crate::{Mode, Node, NodeId, SlotRange, SpaceId};

use super::Driven;

/// Nodes 1 and 2, each with its two tasks.
pub(super) struct Rig {
    pub(super) nodes: [Node<Still>; 2],
    pipes: [Arc<Pipe>; 2],
    tasks: Vec<Driven<()>>,
    /// What other tasks of the application do meanwhile.
    pub(super) others: Vec<Driven<()>>,
}

impl Rig {
    /// Nodes that have not heard each other.
    pub(super) fn apart() -> Self {
        let nodes = [ME, PEER].map(|id| node_of(id, &[ME, PEER]));
        let pipes = [(); 2].map(|()| Pipe::with_room(usize::MAX / 2));
        let keep_time =
            |node: &Node<Still>| Driven::new(node, Shared::keep_time(Arc::clone(node.machines().lead())));
        let tasks = nodes.iter().map(keep_time).collect();
        Self { nodes, pipes, tasks, others: Vec::new() }
    }

    pub(super) fn new() -> Self {
        let mut rig = Self::apart();
        rig.connect();
        rig
    }

    /// They hear each other.
    pub(super) fn connect(&mut self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let link = link_up(node, [PEER, ME][at], &self.pipes[at]);
            self.tasks.push(Driven::new(node, keep_writing(Arc::clone(node.machines().lead()), link)));
        }
    }

    /// A name that this node masters, and others that it masters too.
    pub(super) fn name(&self, master: NodeId, number: u32) -> String {
        name_at(&self.nodes[0], master, number * 1000)
    }

    pub(super) fn slot_of(&self, name: &str) -> SlotRange {
        SlotRange::one(self.nodes[0].slot_of(SpaceId(0), name).expect("the name is short"))
    }

    /// Something that was woken is polled, or the next frame arrives. `false` if there is neither.
    pub(super) fn step(&mut self) -> bool {
        if let Some(at) = self.others.iter().position(Driven::is_due) {
            if self.others[at].poll().is_some() {
                self.others.swap_remove(at);
            }
            return true;
        }
        if let Some(task) = self.tasks.iter_mut().find(|task| task.is_due()) {
            let _ = task.poll();
            return true;
        }
        (0..2).any(|from| self.step_frame(from))
    }

    fn step_frame(&mut self, from: usize) -> bool {
        let Some(frame) = self.pipes[from].take_frame() else { return false };
        let to = self.nodes[1 - from].machines().lead();
        let handled =
            to.turn(|state, _| state.node.handle_frame(Instant::from_nanos(1), [ME, PEER][from], &frame));
        assert!(handled.is_none_or(|handled| handled.is_ok()), "what a node says another understands");
        true
    }

    pub(super) fn settle(&mut self) {
        while self.step() {}
    }

    /// The guard of a lock that is granted without anybody's help.
    pub(super) fn hold(&mut self, node: usize, name: &str, mode: Mode) -> crate::Guard<Still> {
        let (handle, name) = (self.nodes[node].clone(), name.to_owned());
        let mut asked = Driven::new(&self.nodes[node], async move { handle.lock(name, mode).await });
        loop {
            if asked.is_due() {
                if let Some(granted) = asked.poll() {
                    return granted.expect("the lock is free");
                }
            } else {
                assert!(self.step(), "nobody will ever wake who waits for a free lock");
            }
        }
    }

    /// Nothing of any future is left: not in the registries, not in the lock tables.
    pub(super) fn assert_clean(&mut self, names: &[String]) {
        assert!(self.others.is_empty(), "others were not held up");
        let is_open = |node: &Node<Still>| !node.machines().lead().lock().lifecycle.is_closed();
        let are_open = self.nodes.iter().all(is_open);
        for node in self.nodes.iter().filter(|node| is_open(node)) {
            let state = node.machines().lead().lock();
            assert!(state.registry.is_idle(), "who is gone waits for nothing");
            assert!(state.lifecycle.waiters.is_idle(), "who is gone waits for nothing");
        }
        if !are_open {
            // What the node that has ended held is never free again.
            return;
        }
        for at in 0..2 {
            assert!(self.nodes[at].snapshot().locks().next().is_none(), "who is gone holds nothing");
            for name in names {
                drop(self.hold(at, name, Mode::Exclusive));
            }
        }
    }
}

impl Drop for Rig {
    /// The tasks end with their nodes, which takes one more poll of each.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.nodes.iter().for_each(|node| node.machines().lead().close());
        self.settle();
        assert!(self.tasks.iter().all(|task| task.future.is_none()), "a node's tasks end with it");
    }
}
