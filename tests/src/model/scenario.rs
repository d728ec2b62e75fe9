//! What the model lets happen, and how often.

use core::fmt;
use core::time::Duration;

use lockmaster_core::{
    Flags, HeapMemory, Instant, Limits, Mode, Node, NodeId, Retention, SlotRange, SpaceId,
};

use super::ghost::Ghost;
use super::locals::{Input, LocalId, Locals, Setting, ViewOf};
use crate::cluster::{config_of, name_mastered_by};

/// Bytes that make a name long.
const LONG: usize = 56;

/// Most members of a cluster.
pub(crate) const MEMBERS_MAX: usize = 3;

/// How often each thing may happen at one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Owners that come and ask for a lock.
    pub requests: u8,
    /// Conversions, up or down.
    pub converts: u8,
    /// Waits that an owner gives up.
    pub cancels: u8,
    /// Transfers of the first resource's slot that this member begins.
    pub transfers: u8,
    /// Timeouts that change something; without a bound if absent.
    pub ticks: Option<u8>,
    /// Messages to which it answers that it holds nothing of what it does not know: each takes a fresh number.
    pub answers: u8,
}

/// How the members of a cluster change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Members of the first view, one bit for each; the others join with a later one.
    pub first: u8,
    /// Members that may die, one bit for each.
    pub mortal: u8,
    /// Of them so many do.
    pub crashes: u8,
    /// Views after the first one; each is told to everybody at some time, or missed.
    pub views: u8,
}

/// A small cluster and its bounds.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// One for each member.
    pub budgets: Vec<Budget>,
    /// The first mastered by the first member, the second by the second.
    pub resources: usize,
    /// All resources are in the first one's slot, with long names, and chunks are as small as they may be, so that a
    /// transfer takes several.
    pub has_chunks: bool,
    /// Modes that owners ask for.
    pub modes: &'static [Mode],
    /// Conversions that owners make, from and to.
    pub conversions: &'static [(Mode, Mode)],
    /// What becomes of locks without owners.
    pub retention: Retention,
    /// Owners with EX count in the value block; those that come later read it.
    pub has_values: bool,
    /// Members that come and go; absent if they never change.
    pub changes: Option<Changes>,
    /// One in so many states is healed; 1 for all.
    pub stride: u64,
    /// Rules that are switched off.
    #[cfg(lockmaster_faults)]
    pub faults: lockmaster_core::fault::Faults,
}

impl Scenario {
    /// The members, who have heard each other, before anything has happened.
    pub(crate) fn start(&self) -> (Locals, Vec<LocalId>, Ghost) {
        let members = u16::try_from(self.budgets.len()).expect("members are few");
        let mut nodes: Vec<_> = (1..=members).map(|node| self.node(node, members)).collect();
        match self.changes {
            None => introduce(&mut nodes),
            Some(changes) => found(&mut nodes, ViewOf::first(changes.first)),
        }
        let long = "n".repeat(LONG);
        let mut name = |nth: u16| match self.has_chunks {
            true => name_mastered_by(&mut nodes[0], NodeId(1), &format!("{nth}{long}")),
            false => name_mastered_by(&mut nodes[0], NodeId(nth), "r"),
        };
        let names: Vec<_> = (1..).take(self.resources).map(&mut name).collect();
        let slot = nodes[0].slot_of(SpaceId(0), &names[0]).expect("the name is sound");
        let range = SlotRange::one(slot.expect("the space is configured"));
        let flags = if self.has_values { Flags::VALUE } else { Flags::NONE };
        let hellos = nodes.iter().map(Node::hello).collect();
        let locals = Locals::new(Setting { names, flags, range, hellos });
        let first = nodes.into_iter().map(|node| locals.enter(node)).collect();
        (locals, first, Ghost::new(self.resources))
    }

    fn node(&self, node: u16, members: u16) -> Node<HeapMemory> {
        let mut config = config_of(node, members, self.retention);
        // All timers have the same interval, so that a tick makes all that run at a node due at once, and a state
        // does not depend on how long ago each was started.
        config.repeat_after = Duration::from_nanos(1);
        config.repeat_waiting_after = Duration::from_nanos(1);
        config.queued_after = Duration::from_nanos(1);
        if self.has_chunks {
            config.chunk = 256;
            config.window = 256;
        }
        #[cfg(lockmaster_faults)]
        {
            config.faults = self.faults;
        }
        if self.changes.is_some() {
            config.members.clear();
            config.places = u8::try_from(members).expect("members are few");
        }
        let limits = Limits { relays: 4, ..Limits::uniform(8) };
        let memory = HeapMemory::new(&limits, &config);
        Node::new(config, memory).expect("the memory fits")
    }

    /// An owner that holds the lowest mode at the first member keeps value blocks from going with their last record.
    pub(crate) fn anchor(&self) -> Vec<Input> {
        let resources = if self.has_values { self.resources } else { 0 };
        let resources = u8::try_from(resources).expect("resources are few");
        (0..resources)
            .map(|resource| Input::Request { owner: 240 + resource, resource, mode: Mode::Null })
            .collect()
    }
}

/// All members hear each other.
fn introduce(nodes: &mut [Node<HeapMemory>]) {
    for from in 0..nodes.len() {
        let hello = nodes[from].hello();
        for (_, node) in nodes.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            node.handle_hello(Instant::START, &hello).expect("a member is welcome");
            while node.poll_ready().is_some() {}
        }
    }
}

/// The members of the first view agree on a map.
fn found(nodes: &mut [Node<HeapMemory>], view: ViewOf) {
    let hellos: Vec<_> = nodes.iter().map(Node::hello).collect();
    let members = || (0..hellos.len()).filter(|at| view.members >> at & 1 == 1);
    for at in members() {
        let node = &mut nodes[at];
        node.handle_view(Instant::START, &view.to_view(&hellos)).expect("it is the first");
        for other in members().filter(|other| *other != at) {
            node.handle_hello(Instant::START, &hellos[other]).expect("a member is welcome");
        }
    }
    let mut is_over = false;
    while !is_over {
        is_over = true;
        for at in members() {
            while nodes[at].poll_event().is_some() {}
            while let Some(to) = nodes[at].poll_ready() {
                let mut frame = [0; 4096];
                while let Some(len) = nodes[at].poll_transmit(Instant::START, to, &mut frame) {
                    is_over = false;
                    let from = NodeId(u16::try_from(at).expect("members are few") + 1);
                    let _of_another_view =
                        nodes[usize::from(to.0) - 1].handle_frame(Instant::START, from, &frame[..len]);
                }
            }
        }
    }
}

impl fmt::Display for Scenario {
    /// The bounds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resources, retention, .. } = self;
        write!(f, "{resources} resource(s), retention {retention:?}, one in {} healed", self.stride)?;
        if let Some(Changes { first, crashes, views, .. }) = self.changes {
            write!(
                f,
                "\n    {} of the members at first, {crashes} crashes, {views} more views",
                first.count_ones()
            )?;
        }
        for (member, budget) in (1..).zip(&self.budgets) {
            let Budget { requests, converts, cancels, transfers, answers, .. } = budget;
            write!(
                f,
                "\n    node {member}: {requests} requests, {converts} conversions, {cancels} cancels, "
            )?;
            match budget.ticks {
                Some(ticks) => write!(f, "{transfers} transfers, {ticks} timeouts, {answers} answers")?,
                None => write!(f, "{transfers} transfers, any timeouts, {answers} answers")?,
            }
        }
        Ok(())
    }
}
