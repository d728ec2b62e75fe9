//! The cluster as a whole: a state for each node, a network that only grows, and what owners know.

use core::hash::{Hash, Hasher};
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::DefaultHasher;
use std::sync::{Arc, Mutex, MutexGuard};

use lockmaster_core::Mode;
use stateright::{Model, Property};

use super::ghost::{Ghost, Owner, Rule, Standing};
use super::locals::{Input, LocalId, Locals, MessageId, SOUND, Seen, Step, ViewOf};
use super::network::Network;
use super::scenario::{Budget, MEMBERS_MAX, Scenario};

/// A state of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) locals: [LocalId; MEMBERS_MAX],
    /// What was sent to each member.
    pub(crate) networks: [Network; MEMBERS_MAX],
    pub(crate) ghost: Ghost,
    /// What is left for each member.
    pub(crate) left: [Budget; MEMBERS_MAX],
    /// Members that live, one bit for each.
    pub(crate) living: u8,
    /// The last view that was made.
    pub(crate) view: ViewOf,
    /// The epochs of the last views that the members have heard of.
    pub(crate) heard: [u8; MEMBERS_MAX],
    /// Deaths and views that are left.
    pub(crate) changes: [u8; 2],
    /// The first rule that was broken; nothing happens after that.
    pub(crate) broken: Option<Rule>,
}

/// Something that happens to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) member: u8,
    pub(crate) input: Input,
}

/// A scenario with all states of its nodes that were met.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) scenario: Scenario,
    pub(crate) locals: Locals,
    first: World,
    /// Nodes and owners that were healed already; the network counts for nothing then.
    known_to_heal: Mutex<BTreeSet<u64>>,
    /// Leave out states that are part of others?
    is_reduced: bool,
    met: Met,
    /// States that were come by.
    states: AtomicU64,
}

impl Cluster {
    pub(crate) fn new(scenario: Scenario, is_reduced: bool) -> Self {
        let (locals, first, ghost) = scenario.start();
        let mut left = [Budget::default(); MEMBERS_MAX];
        left[..scenario.budgets.len()].copy_from_slice(&scenario.budgets);
        let mut states = [0; MEMBERS_MAX];
        states[..first.len()].copy_from_slice(&first);
        let members = u8::try_from(scenario.budgets.len()).expect("members are few");
        let changes = scenario.changes;
        let view = changes.map_or_else(ViewOf::default, |changes| ViewOf::first(changes.first));
        let first = World {
            locals: states,
            networks: Default::default(),
            ghost,
            left,
            living: (1 << members) - 1,
            view,
            heard: [0, 1, 2].map(|at| view.epoch * (view.members >> at & 1)),
            changes: changes.map_or([0; 2], |changes| [changes.crashes, changes.views]),
            broken: None,
        };
        let (known_to_heal, met) = (Mutex::default(), Met::default());
        let states = AtomicU64::new(0);
        let mut cluster = Self { scenario, locals, first, known_to_heal, is_reduced, met, states };
        cluster.first = cluster.anchored();
        cluster
    }

    pub(crate) fn members(&self) -> u8 {
        u8::try_from(self.scenario.budgets.len()).expect("members are few")
    }

    /// The first state, once the owners that are always there have their locks.
    fn anchored(&self) -> World {
        let mut world = self.first.clone();
        for input in self.scenario.anchor() {
            let said = self.step_in(&mut world, 0, input);
            self.deliver_all(&mut world, said);
        }
        // What was said of it is over.
        World { ghost: self.first.ghost.clone(), broken: None, ..world }
    }

    pub(crate) fn states(&self) -> u64 {
        self.states.load(Ordering::Relaxed)
    }

    pub(super) fn known_to_heal(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.known_to_heal.lock().expect(SOUND)
    }

    pub(crate) fn healed(&self) -> usize {
        self.known_to_heal().len()
    }

    // ---- steps ----

    /// One step of one node, and what it means to owners; the messages are the caller's.
    pub(super) fn step_in(&self, world: &mut World, member: u8, input: Input) -> Arc<Step> {
        let local = &mut world.locals[usize::from(member)];
        let step = self.locals.step(*local, input);
        *local = step.local;
        self.note_input(&mut world.ghost, member, input);
        let heard = step.told.iter().try_for_each(|told| world.ghost.hear(told, self.scenario.has_values));
        if let Err(rule) = heard {
            world.broken.get_or_insert(rule);
        }
        if step.panic.is_some() {
            world.broken.get_or_insert(Rule::Core);
        }
        step
    }

    fn note_input(&self, ghost: &mut Ghost, member: u8, input: Input) {
        match input {
            Input::Request { owner, resource, mode } => ghost.asks(owner, member, resource, mode),
            Input::Convert { owner, mode, write } => {
                ghost.converts(owner, mode);
                ghost.writes_with(owner, write);
            }
            Input::Release { owner, write } => ghost.releases(owner, write),
            Input::Deliver(_)
            | Input::Tick
            | Input::Cancel { .. }
            | Input::Transfer { .. }
            | Input::View(_)
            | Input::Crash
            | Input::MakeView => {}
        }
    }

    /// What an owner with EX writes when it lets go: one more than it has read.
    pub(super) fn write_of(&self, ghost: &Ghost, owner: &Owner) -> Option<u8> {
        let is_writer = self.scenario.has_values && owner.standing == Standing::Held(Mode::Exclusive);
        is_writer.then(|| ghost.resources[usize::from(owner.resource)].count + 1)
    }

    /// Takes what a step costs; says whether there was enough left.
    fn pay(left: &mut Budget, step: &Step, input: Input) -> bool {
        let count = match input {
            Input::Deliver(_) if step.is_answer => &mut left.answers,
            Input::Deliver(_) | Input::Release { .. } | Input::View(_) => return true,
            Input::Crash | Input::MakeView => unreachable!("no node does that"),
            Input::Tick => match &mut left.ticks {
                Some(ticks) => ticks,
                None => return true,
            },
            Input::Request { .. } => &mut left.requests,
            Input::Convert { .. } => &mut left.converts,
            Input::Cancel { .. } => &mut left.cancels,
            Input::Transfer { .. } => &mut left.transfers,
        };
        let is_enough = *count > 0;
        *count = count.saturating_sub(1);
        is_enough
    }

    // ---- members that change ----

    /// Members that live.
    pub(super) fn living(&self, world: &World) -> impl Iterator<Item = u8> + use<> {
        let living = world.living;
        (0..self.members()).filter(move |member| living >> member & 1 == 1)
    }

    /// Deaths, views that are made, and views that are told.
    fn turns(&self, world: &World, actions: &mut Vec<Action>) {
        let Some(changes) = self.scenario.changes else { return };
        let [crashes, views] = world.changes;
        if crashes > 0 {
            let mortal = self.living(world).filter(|member| changes.mortal >> member & 1 == 1);
            actions.extend(mortal.map(|member| Action { member, input: Input::Crash }));
        }
        if views > 0 && world.living != world.view.members {
            actions.push(Action { member: 0, input: Input::MakeView });
        }
        let is_news = |member: &u8| {
            world.view.members >> member & 1 == 1 && world.heard[usize::from(*member)] < world.view.epoch
        };
        let telling = self.living(world).filter(is_news);
        actions.extend(telling.map(|member| Action { member, input: Input::View(world.view) }));
    }

    /// Something that no node sees.
    pub(super) fn turn(&self, world: &mut World, member: u8, input: Input) {
        let [crashes, views] = &mut world.changes;
        if input == Input::Crash {
            *crashes = crashes.saturating_sub(1);
            world.living &= !(1 << member);
            return;
        }
        *views = views.saturating_sub(1);
        world.view = world.view.next(world.living);
        // The engine has made sure that whoever is not in it any more holds nothing.
        let living = world.living;
        world.ghost.owners.retain(|owner| living >> owner.member & 1 == 1);
    }

    // ---- rules about all nodes ----

    /// What holds between the nodes, whatever owners were told.
    fn check(&self, world: &World) -> Result<(), Rule> {
        for resource in 0..self.scenario.resources {
            let seen = |member: u8| -> Seen {
                let local = world.locals[usize::from(member)];
                self.locals.facts(local, |facts| facts.resources[resource].clone())
            };
            let seen: Vec<Seen> = self.living(world).map(seen).collect();
            if seen.iter().filter(|seen| seen.decides).count() > 1 {
                return Err(Rule::Authority);
            }
            let held: Vec<Mode> = seen.iter().filter_map(|seen| seen.held).collect();
            let is_compatible =
                |(at, mode): (usize, &Mode)| held[..at].iter().all(|other| other.is_compatible(*mode));
            if !held.iter().enumerate().all(is_compatible) {
                return Err(Rule::Physical);
            }
            let Some(decider) = seen.iter().find(|seen| seen.decides) else { continue };
            let owners = world.ghost.owners.iter().filter(|owner| usize::from(owner.resource) == resource);
            for owner in owners {
                if world.living >> owner.member & 1 == 0 {
                    continue;
                }
                let Some(mode) = owner.holds() else { continue };
                let node = u16::from(owner.member) + 1;
                let record = decider.records.iter().find(|(of, _)| of.0 == node);
                let covers = record.and_then(|(_, held)| *held).is_some_and(|held| held.covers(mode));
                if !covers {
                    return Err(Rule::Coverage);
                }
            }
        }
        Ok(())
    }

    fn verbs(&self, world: &World, member: u8, actions: &mut Vec<Action>) {
        let left = &world.left[usize::from(member)];
        let mut act = |input| actions.push(Action { member, input });
        if left.requests > 0 {
            let nth = self.scenario.budgets[usize::from(member)].requests - left.requests;
            let owner = member * 64 + nth;
            for resource in 0..u8::try_from(self.scenario.resources).expect("resources are few") {
                for mode in self.scenario.modes {
                    act(Input::Request { owner, resource, mode: *mode });
                }
            }
        }
        for owner in world.ghost.owners.iter().filter(|owner| owner.member == member) {
            if owner.is_waiting() && left.cancels > 0 {
                act(Input::Cancel { owner: owner.name });
            }
            let Standing::Held(held) = owner.standing else { continue };
            let write = self.write_of(&world.ghost, owner);
            act(Input::Release { owner: owner.name, write });
            if left.converts > 0 {
                for (_, mode) in self.scenario.conversions.iter().filter(|(from, _)| *from == held) {
                    act(Input::Convert { owner: owner.name, mode: *mode, write });
                }
            }
        }
        if left.transfers > 0 {
            for to in (0..self.members()).filter(|to| *to != member) {
                act(Input::Transfer { to });
            }
        }
    }
}

impl Model for Cluster {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.first.clone()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        self.turns(world, actions);
        for member in self.living(world) {
            self.verbs(world, member, actions);
        }
        for member in self.living(world) {
            let messages = world.networks[usize::from(member)].iter();
            actions.extend(messages.map(|message| Action { member, input: Input::Deliver(message) }));
        }
        // Last, so that a search in depth begins with what adds most to the network.
        actions.extend(self.living(world).map(|member| Action { member, input: Input::Tick }));
    }

    fn next_state(&self, last: &World, Action { member, input }: Action) -> Option<World> {
        if matches!(input, Input::Crash | Input::MakeView) {
            let mut next = last.clone();
            self.turn(&mut next, member, input);
            return Some(next);
        }
        let at = usize::from(member);
        let step = self.locals.step(last.locals[at], input);
        let is_verb = !matches!(input, Input::Deliver(_) | Input::Tick);
        let has_effect = is_verb || step.local != last.locals[at] || step.panic.is_some();
        let is_news = |(to, message): &(u8, MessageId)| !last.networks[usize::from(*to)].has(*message);
        if !has_effect && step.told.is_empty() && !step.said.iter().any(is_news) {
            return None;
        }
        let mut next = last.clone();
        if !Self::pay(&mut next.left[at], &step, input) {
            return None;
        }
        self.step_in(&mut next, member, input);
        if let Input::View(view) = input {
            next.heard[at] = view.epoch;
        }
        for (to, message) in &step.said {
            let network = &mut next.networks[usize::from(*to)];
            if !network.has(*message) && self.locals.is_granted_twice(*to, network, *message) {
                next.broken.get_or_insert(Rule::GrantedTwice);
            }
            network.add(*message);
        }
        if next.broken.is_none() {
            next.broken = self.check(&next).err();
        }
        Some(next)
    }

    /// A network only grows, so whatever can happen with a part of its messages can happen with all of them, to the
    /// same nodes and owners: of two states that differ in nothing else, the one with less need not be looked at.
    fn within_boundary(&self, world: &World) -> bool {
        self.states.fetch_add(1, Ordering::Relaxed);
        !self.is_reduced || self.met.enter(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RULES, |_, world: &World| world.broken.is_none()),
            Property::always(SERVED, |cluster: &Self, world: &World| {
                world.broken.is_some() || cluster.is_healing(world)
            }),
        ]
    }
}

/// Every rule but that of liveness.
const RULES: &str = "no rule is broken";
/// The rule of liveness.
const SERVED: &str = "everybody is served once the network heals";

impl World {
    /// What decides how the cluster goes on once everything that is on its way is lost.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.locals, &self.ghost, self.living, self.view, self.heard).hash(&mut hasher);
        hasher.finish()
    }
}

/// States that were met, but for those that are part of others.
#[derive(Debug)]
struct Met([Mutex<BTreeMap<u64, Vec<Networks>>>; 64]);

/// What was sent to each member.
type Networks = [Network; MEMBERS_MAX];

impl Default for Met {
    fn default() -> Self {
        Self([(); 64].map(|()| Mutex::default()))
    }
}

impl Met {
    /// Takes note of a state; says whether it is part of none that was met before.
    fn enter(&self, world: &World) -> bool {
        let mut hasher = DefaultHasher::new();
        (&world.locals, &world.ghost, &world.left, &world.broken).hash(&mut hasher);
        (world.living, world.view, world.heard, world.changes).hash(&mut hasher);
        let key = hasher.finish();
        let shard = &self.0[usize::try_from(key % 64).expect("below 64")];
        let is_part = |part: &Networks, whole: &Networks| {
            part.iter().zip(whole).all(|(part, whole)| part.is_part_of(whole))
        };
        let mut shard = shard.lock().expect(SOUND);
        let known = shard.entry(key).or_default();
        if known.iter().any(|whole| is_part(&world.networks, whole)) {
            return false;
        }
        known.retain(|part| !is_part(part, &world.networks));
        known.push(world.networks.clone());
        true
    }
}
