//! Liveness: from a state, everything that is on its way is lost, and from then on the network is reliable, timers
//! fire and owners let go. Then everybody must be served, and the nodes must come to rest, within a bound.
//!
//! What is on its way is lost, since that is the worst for those who wait; that it arrives late is a state of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ghost::{Ghost, Owner, Rule, Standing};
use super::locals::{Input, Step};
use super::world::{Cluster, World};

/// Rounds of deliveries, releases and timeouts within which all must be over.
const ROUNDS: u32 = 24;

/// Messages that arrive in one round.
const MESSAGES_MAX: u32 = 2_000;

/// Names of owners that are always there begin here.
const ANCHORS: u8 = 240;

impl Cluster {
    /// Is this state healed, if it is one of those that are looked at?
    pub(super) fn is_healing(&self, world: &World) -> bool {
        let digest = world.digest();
        if !digest.is_multiple_of(self.scenario.stride) {
            return true;
        }
        self.heal(world).is_ok()
    }

    /// Heals a state.
    ///
    /// # Errors
    /// What went wrong: a rule that was broken on the way, or that of liveness.
    pub(super) fn heal(&self, world: &World) -> Result<(), Rule> {
        let mut world = world.clone();
        let mut passed = Vec::new();
        for _ in 0..ROUNDS {
            // Whoever comes by a state that was healed before is healed.
            let digest = world.digest();
            if self.known_to_heal().contains(&digest) {
                break;
            }
            passed.push(digest);
            let before = world.clone();
            let is_silent = self.round(&mut world)?;
            if is_silent && before.locals == world.locals && before.ghost == world.ghost {
                self.at_rest(&world)?;
                break;
            }
            if passed.len() == ROUNDS as usize {
                return Err(Rule::Liveness);
            }
        }
        self.known_to_heal().extend(passed);
        Ok(())
    }

    /// Timers fire, what is said arrives, and owners let go of what they hold; says whether nothing was said.
    fn round(&self, world: &mut World) -> Result<bool, Rule> {
        let mut is_silent = self.tell_views(world);
        for member in self.living(world) {
            let step = self.step_in(world, member, Input::Tick);
            is_silent &= step.said.is_empty();
            self.deliver_all(world, step);
        }
        while let Some((member, input)) = self.letting_go(&world.ghost) {
            let step = self.step_in(world, member, input);
            is_silent &= step.said.is_empty();
            self.deliver_all(world, step);
        }
        world.broken.map_or(Ok(is_silent), Err)
    }

    /// Everybody who lives is a member and has the last view; says whether nothing had to be done for that.
    fn tell_views(&self, world: &mut World) -> bool {
        if self.scenario.changes.is_none() {
            return true;
        }
        let mut is_silent = true;
        if world.view.members != world.living {
            self.turn(world, 0, Input::MakeView);
            is_silent = false;
        }
        for member in self.living(world) {
            if world.heard[usize::from(member)] < world.view.epoch {
                let step = self.step_in(world, member, Input::View(world.view));
                world.heard[usize::from(member)] = world.view.epoch;
                self.deliver_all(world, step);
                is_silent = false;
            }
        }
        is_silent
    }

    fn letting_go(&self, ghost: &Ghost) -> Option<(u8, Input)> {
        let is_held = |owner: &&Owner| matches!(owner.standing, Standing::Held(_));
        let owner = ghost.owners.iter().find(is_held)?;
        let write = self.write_of(ghost, owner);
        Some((owner.member, Input::Release { owner: owner.name, write }))
    }

    /// What was said arrives, in its order, and what is said to that, until all are silent.
    pub(super) fn deliver_all(&self, world: &mut World, step: Arc<Step>) {
        let mut on_way: VecDeque<_> = step.said.iter().copied().collect();
        for _ in 0..MESSAGES_MAX {
            let Some((to, message)) = on_way.pop_front() else { return };
            if world.living >> to & 1 == 0 {
                continue;
            }
            let step = self.step_in(world, to, Input::Deliver(message));
            on_way.extend(step.said.iter().copied());
        }
        world.broken.get_or_insert(Rule::Liveness);
    }

    /// Nobody waits, every transfer is over, and one node decides about each resource.
    fn at_rest(&self, world: &World) -> Result<(), Rule> {
        let is_served = world.ghost.owners.iter().all(|owner| owner.name >= ANCHORS);
        let facts = |member: u8| {
            self.locals.facts(world.locals[usize::from(member)], |facts| {
                let decides: Vec<bool> = facts.resources.iter().map(|seen| seen.decides).collect();
                (facts.is_moving, decides)
            })
        };
        let facts: Vec<_> = self.living(world).map(facts).collect();
        let is_quiet = facts.iter().all(|(is_moving, _)| !is_moving);
        let is_decided = (0..self.scenario.resources)
            .all(|resource| facts.iter().filter(|(_, decides)| decides[resource]).count() == 1);
        if is_served && is_quiet && is_decided { Ok(()) } else { Err(Rule::Liveness) }
    }
}
