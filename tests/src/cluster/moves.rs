//! Clusters whose slots move: transfers, several names and spaces, and the posts at which frames are held back.

use core::time::Duration;
use std::collections::BTreeMap;

use lockmaster_core::{
    Config, Limits, Name, NodeId, PhysicalView, Progress, ResourceView, Retention, SlotId, SlotRange,
    SlotView, SpaceConfig, SpaceId, Stage, TransferError, TransferId, Visit, WithdrawError,
};

use super::{Cluster, Frame, LockView, Look, MASTER, Mode};

/// Shows one resource of one node.
struct Sight<'a> {
    space: SpaceId,
    name: &'a [u8],
    is_here: bool,
    look: Look,
}

impl Visit for Sight<'_> {
    fn resource(&mut self, resource: ResourceView<'_>) {
        self.is_here = (resource.space, resource.name) == (self.space, self.name);
        if self.is_here {
            self.look.resource(resource);
        }
    }

    fn physical(&mut self, physical: PhysicalView) {
        if self.is_here {
            self.look.physical(physical);
        }
    }

    fn lock(&mut self, lock: LockView) {
        if self.is_here {
            self.look.lock(lock);
        }
    }
}

/// What nodes hold, by resource.
#[derive(Default)]
struct Held(BTreeMap<(SpaceId, Vec<u8>), Vec<Mode>>);

impl Visit for Held {
    fn resource(&mut self, resource: ResourceView<'_>) {
        if let Some(held) = resource.held {
            self.0.entry((resource.space, resource.name.to_vec())).or_default().push(held);
        }
    }

    fn physical(&mut self, _: PhysicalView) {}

    fn lock(&mut self, _: LockView) {}
}

impl Cluster {
    /// A member for each of these capacities, acquainted, with a space `idle` that retains until demanded and a
    /// space `plain` that retains nothing. Each has `slots` slots for each member. The rest is as `shape` leaves it.
    ///
    /// # Panics
    /// Never: names are short and spaces are few.
    #[must_use]
    pub fn of_slots(limits: &[Limits], slots: u32, shape: impl Fn(&mut Config)) -> Self {
        let slots = slots * u32::try_from(limits.len()).expect("members are few");
        let space = |name: &str, retention| SpaceConfig {
            name: Name::new(name.as_bytes()).expect("the name is short"),
            slots,
            retention,
            retained_max: 1000,
            grants_after_demand: 0,
        };
        let spaces = [space("idle", Retention::UntilDemanded), space("plain", Retention::Never)];
        let made = Self::shaped(limits, Retention::Never, |config| {
            config.spaces = spaces.iter().cloned().collect();
            shape(config);
        });
        Self::acquainted(made)
    }

    // ---- transfers ----

    /// A node is told to give slots away.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn transfer(
        &mut self,
        node: NodeId,
        range: SlotRange,
        to: NodeId,
    ) -> Result<TransferId, TransferError> {
        let now = self.now;
        let transfer = self.node(node).transfer(now, range, to);
        self.listen(node);
        transfer
    }

    /// A node is told to keep the slots.
    ///
    /// # Errors
    /// What the node refuses it for.
    pub fn withdraw(&mut self, node: NodeId, transfer: TransferId) -> Result<(), WithdrawError> {
        let now = self.now;
        let withdrawn = self.node(node).withdraw(now, transfer);
        self.listen(node);
        withdrawn
    }

    /// What a node has told of its transfers since this was asked last.
    pub fn news(&mut self, node: NodeId) -> Vec<Progress> {
        core::mem::take(&mut self.news[usize::from(node.0) - 1])
    }

    /// The ends among these news.
    pub fn ends(&mut self, node: NodeId) -> Vec<Stage> {
        let news = self.news(node);
        news.iter().map(|progress| progress.stage).filter(|stage| stage.is_end()).collect()
    }

    /// Slots go from one node to another, and everything arrives.
    ///
    /// # Panics
    /// If the transfer does not end well, once.
    pub fn hand_over(&mut self, from: NodeId, range: SlotRange, to: NodeId) {
        self.news(from);
        self.transfer(from, range, to).expect("the slots can be given away");
        self.run();
        assert_eq!(self.ends(from), [Stage::Done], "{range} goes from {from} to {to}");
    }

    // ---- slots and names ----

    /// Names of one slot that start so.
    ///
    /// # Panics
    /// If there are too few among many.
    pub fn names_in(&mut self, space: SpaceId, slot: SlotId, start: &str, count: usize) -> Vec<Vec<u8>> {
        let names = (0..100_000).map(|at: u32| format!("{start}{at}").into_bytes());
        let node = self.node(MASTER);
        let of_slot = names.filter(|name| node.slot_of(space, name) == Ok(Some(slot)));
        let names: Vec<_> = of_slot.take(count).collect();
        assert_eq!(names.len(), count, "every slot has many names");
        names
    }

    /// The slots of a space that a node's own map gives to it.
    ///
    /// # Panics
    /// If there is no such space.
    pub fn slots_of(&mut self, node: NodeId, space: SpaceId) -> Vec<SlotId> {
        let range = self.node(node).slots(space).expect("the space is configured");
        range
            .slots()
            .filter(|slot| self.node(node).slot(*slot).is_some_and(|view| view.master == Some(node)))
            .collect()
    }

    /// The master of a slot as each node's map has it, in the order of the nodes.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn maps(&mut self, slot: SlotId) -> Vec<NodeId> {
        self.slot_views(slot).map(|view| view.master.expect("every slot has a master")).collect()
    }

    /// Is a slot in a transfer, as each node has it?
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn moving(&mut self, slot: SlotId) -> Vec<bool> {
        self.slot_views(slot).map(|view| view.is_moving).collect()
    }

    fn slot_views(&mut self, slot: SlotId) -> impl Iterator<Item = SlotView> {
        self.nodes.iter_mut().map(move |node| node.slot(slot).expect("there is such a slot"))
    }

    /// Who decides about a resource now, if anybody does.
    ///
    /// # Panics
    /// If several do.
    pub fn decider(&mut self, space: SpaceId, name: &[u8]) -> Option<NodeId> {
        let decides = |node: &mut lockmaster_core::Node<_>| {
            let is_decider = node.decides(space, name).expect("the name is sound");
            is_decider.then(|| node.config().node)
        };
        let deciders: Vec<_> = self.nodes.iter_mut().filter_map(decides).collect();
        assert!(deciders.len() <= 1, "{deciders:?} all decide about {name:?}");
        deciders.first().copied()
    }

    /// At every instant at most one node decides about a resource, and what nodes hold is compatible.
    pub(super) fn check_authority(&mut self) {
        let names = core::mem::take(&mut self.names);
        for (space, name) in &names {
            // Some scripts ask for what there is not.
            if self.node(MASTER).slots(*space).is_some() && (1..=64).contains(&name.len()) {
                self.decider(*space, name);
            }
        }
        self.names = names;
        let mut held = Held::default();
        for node in &mut self.nodes {
            node.visit(&mut held);
        }
        for ((_, name), modes) in held.0 {
            for (at, mode) in modes.iter().enumerate() {
                let is_fit = modes[..at].iter().all(|other| other.is_compatible(*mode));
                assert!(is_fit, "{modes:?} of {name:?} are held beside each other");
            }
        }
    }

    /// Everything that a node has of a resource.
    pub fn look_at(&mut self, node: NodeId, space: SpaceId, name: &[u8]) -> Look {
        let mut sight = Sight { space, name, is_here: false, look: Look::default() };
        self.node(node).visit(&mut sight);
        sight.look
    }

    // ---- what arrives, and what is held back ----

    /// Everything arrives, each message in a frame of its own, but what is held back; that is returned in the order
    /// in which it was sent.
    ///
    /// # Panics
    /// If the members never stop talking.
    pub fn run_but(&mut self, mut is_held: impl FnMut(&Frame) -> bool) -> Vec<Frame> {
        let mut held = Vec::new();
        for _ in 0..100_000 {
            let Some((from, to)) = self.owed.first().copied() else {
                if self.laziness > 1 && self.listen_to_all() {
                    continue;
                }
                return held;
            };
            while let Some(frame) = self.next_frame(from, to) {
                for frame in frame.split() {
                    if is_held(&frame) {
                        held.push(frame);
                    } else {
                        self.deliver(&frame);
                    }
                }
            }
        }
        panic!("the members never stop talking");
    }

    /// Time passes, timers fire, and everything arrives but what is held back.
    pub fn settle_but(&mut self, span: Duration, mut is_held: impl FnMut(&Frame) -> bool) -> Vec<Frame> {
        let steps = 100;
        let mut held = Vec::new();
        for _ in 0..steps {
            held.extend(self.run_but(&mut is_held));
            self.pass(span / steps);
        }
        held.extend(self.run_but(&mut is_held));
        held
    }

    /// These frames arrive.
    pub fn deliver_all<'f>(&mut self, frames: impl IntoIterator<Item = &'f Frame>) {
        for frame in frames {
            self.deliver(frame);
        }
    }

    /// Every message that was sent since this was asked last, whether it arrived or not.
    pub fn said(&mut self) -> Vec<Frame> {
        core::mem::take(&mut self.said)
    }
}
