//! What goes wrong in a run by lot, and how it heals.

use super::ledger::Counts;
use super::world::{SECOND, World};
use super::*;
use crate::store::Op;

/// How long things go wrong, and how long they have to be well afterwards.
const TROUBLE: u64 = 300 * SECOND;
const HEALING: u64 = 120 * SECOND;

/// Bugs that are there on purpose, to see that they are found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bugs {
    pub(super) overconfidence: u64,
    pub(super) is_credulous: bool,
    pub(super) hides_fences: bool,
    pub(super) hides_leases: bool,
}

/// Runs one seed. Returns what happened, and a hash of its order.
///
/// # Errors
/// What must not be.
pub(super) fn run(seed: u64, bugs: Bugs) -> Result<(Counts, u64), String> {
    let count = 1 + u16::try_from(seed % 5).unwrap();
    let mut world = World::new(seed, count);
    world.overconfidence = bugs.overconfidence;
    world.engine.is_credulous = bugs.is_credulous;
    world.engine.hides_fences = bugs.hides_fences;
    world.engine.hides_leases = bugs.hides_leases;
    world.loss = [0, 5, 30][world.random.usize(..3)];
    world.lateness = [0, 5, 30][world.random.usize(..3)];
    for at in 0..world.hosts.len() {
        world.join(at, false)?;
    }
    let mut acts = Acts { groups: vec![0; usize::from(count)], together_at: 0, held: Vec::new() };
    // Some runs are rough, and in some there is time for everything to come to its end.
    let pause = [3, 10, 30][world.random.usize(..3)] * SECOND;
    while world.time < TROUBLE {
        let next = world.time + world.random.u64(..pause);
        world.run(next)?;
        acts.report(&mut world)?;
        acts.act(&mut world)?;
    }
    acts.heal(&mut world)?;
    Ok((world.ledger.counts, world.trace))
}

struct Acts {
    /// Hosts of one group can talk to each other.
    groups: Vec<u8>,
    together_at: u64,
    held: Vec<String>,
}

impl Acts {
    fn act(&mut self, world: &mut World) -> Result<(), String> {
        let at = world.random.usize(..world.hosts.len());
        let span = world.random.u64(..20 * SECOND);
        match world.random.u8(..13) {
            0 => world.crash(at, span),
            1 => world.leave(at)?,
            2 => world.announce(at)?,
            3 => world.hosts[at].paused_until = world.time + span,
            4 => world.hosts[at].cut_until = world.time + span,
            5 => world.get_stuck(at, span),
            6 => world.stalled_until = world.time + span,
            7 | 8 => {
                self.groups.iter_mut().for_each(|group| *group = world.random.u8(..2));
                self.together_at = world.time + world.random.u64(..80 * SECOND);
            }
            9 => {
                let key = world.hold_key(at);
                world.engine.operate(Op::Put(key.clone(), b"by hand".to_vec(), None));
                world.hint();
                self.held.push(key);
            }
            10 => self.release(world),
            11 => world.delete_member_key(at),
            _ => {
                let now = world.engine_time();
                world.engine.change_leader(now);
            }
        }
        Ok(())
    }

    fn release(&mut self, world: &mut World) {
        for key in self.held.drain(..) {
            world.engine.operate(Op::Delete(key));
        }
        world.hint();
    }

    /// Every node says whom it can talk to.
    fn report(&mut self, world: &mut World) -> Result<(), String> {
        if world.time >= self.together_at {
            self.groups.fill(0);
        }
        for at in 0..world.hosts.len() {
            let is_linked = |other: &usize| {
                *other != at && self.groups[*other] == self.groups[at] && world.hosts[*other].life.is_some()
            };
            let reachable: Vec<NodeId> =
                (0..world.hosts.len()).filter(is_linked).map(|other| world.hosts[other].node).collect();
            world.report(at, &reachable)?;
        }
        Ok(())
    }

    /// Everything is well again: in the end all are members of one view.
    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        self.release(world);
        self.together_at = world.time;
        world.loss = 0;
        world.lateness = 0;
        world.stalled_until = 0;
        for host in &mut world.hosts {
            (host.paused_until, host.cut_until, host.stuck_until) = (0, 0, 0);
        }
        let until = world.time + HEALING;
        while world.time < until {
            world.run(world.time + SECOND)?;
            self.report(world)?;
        }
        let all: Vec<NodeId> = world.hosts.iter().map(|host| host.node).collect();
        if world.ledger.members() != all {
            return Err(format!("the view is {:?}, not {all:?}", world.engine.view()));
        }
        for host in &world.hosts {
            let view = host.view.as_ref().ok_or_else(|| format!("node {} has no view", host.node))?;
            if Some(view) != world.engine.view().map(ViewRecord::cluster_view).as_ref() {
                return Err(format!("node {} has another view: {view:?}", host.node));
            }
        }
        Ok(())
    }
}
