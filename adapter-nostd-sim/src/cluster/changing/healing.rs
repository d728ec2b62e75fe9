//! What happens to members once the network is well.

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::{Certainty, NodeId, Storage};

use super::{Cluster, Leaving};
use crate::ghost::Standing;
use crate::report::{Change, Violation, broken, ensure};

/// Turns that members may take to settle; each gives everything a few milliseconds.
const TURNS_MAX: u32 = 4_000;
/// Turns after which something is believed to find no room.
const TURNS_SHORT: u32 = 400;
const TURN: Duration = Duration::from_millis(5);

impl<S: Storage> Cluster<S> {
    /// The engine makes peace: everybody that runs is or becomes a member, for ever, and all agree about the map.
    pub(in crate::cluster) fn settle_members(&mut self) -> Result<(), Violation> {
        self.changes().is_settling = true;
        for life in &mut self.changes().lives {
            // What was on its way when the weather became fine is not any more.
            life.dialling.fill(false);
        }
        for lead in self.plan.layout.leads() {
            self.settle_host(lead)?;
        }
        if self.nodes().all(|node| self.is_down(node)) {
            return Ok(());
        }
        if self.known().latest().is_none() || self.has_reason() {
            self.make_view();
        } else {
            // Whoever missed the last one gets it.
            self.announce();
        }
        let mut turns = 0;
        while !self.is_calm() || !self.have_all_met() {
            turns += 1;
            if turns == TURNS_SHORT && !self.plan.is_roomy && self.is_waiting_for_room() {
                // A slot is not decided about before all that owners hold in it finds room.
                self.changes().is_short = true;
                // Nobody demands what is in the way.
                self.plan.appetite.is_patient = false;
                return Ok(());
            }
            if turns == TURNS_MAX {
                return self.explain_unrest();
            }
            self.settle_turn()?;
        }
        self.changes().is_short = false;
        self.find_balance()
    }

    /// What runs on a host becomes a member for ever, or ends.
    fn settle_host(&mut self, lead: NodeId) -> Result<(), Violation> {
        let machines = self.beside_up(lead);
        let life_of = |node: &NodeId| &self.known().lives[usize::from(node.0)];
        let is_over = machines.iter().any(|node| self.is_over(*node));
        let has_left = machines.iter().any(|node| life_of(node).has_left);
        let is_empty = machines.iter().all(|node| life_of(node).leaving == Leaving::Empty);
        if machines.is_empty() {
            return Ok(());
        }
        let goes_on = if is_over { !has_left && !self.changes().random.chance(300) } else { !is_empty };
        if !goes_on || !self.is_whole(lead) {
            machines.into_iter().for_each(|node| self.shut_down(node));
            return Ok(());
        }
        if is_over {
            for node in machines.into_iter().filter(|node| self.is_over(*node)).collect::<Vec<_>>() {
                let now = self.now_of(node);
                self.member(node).node.handle_timeout(now);
                self.end(node);
                self.settle(node)?;
            }
            return self.rejoin_all(lead);
        }
        for node in machines {
            self.changes().life(node).withheld_until = lockmaster_core::Instant::START;
            let now = self.now_of(node);
            self.member(node).node.handle_certainty(now, Certainty::FOR_EVER);
            self.changes().life(node).certainty = Certainty::FOR_EVER;
            self.settle(node)?;
        }
        Ok(())
    }

    /// Do owners use what finds no room at a new master?
    fn is_waiting_for_room(&self) -> bool {
        self.ghost
            .locks
            .iter()
            .any(|ghost| matches!(ghost.standing, Standing::Held(_) | Standing::Converting { .. }))
    }

    /// Is a slot not decided about because what owners hold in it finds no room?
    pub(in crate::cluster) fn is_short(&self) -> bool {
        self.changing.as_ref().is_some_and(|changing| changing.is_short)
    }

    /// Is every member connected to every other one?
    fn have_all_met(&self) -> bool {
        let members = self.living();
        let lives = &self.known().lives;
        let has_met = |node: NodeId, peer: NodeId| {
            let met = lives[usize::from(node.0)].met[usize::from(peer.0)];
            node == peer || met == Some(lives[usize::from(peer.0)].incarnation)
        };
        let all_met = |node: &NodeId| {
            let mut peers = members.iter().filter(|peer| self.plan.layout.are_peers(*node, **peer));
            peers.all(|peer| has_met(*node, *peer))
        };
        members.iter().all(all_met)
    }

    fn settle_turn(&mut self) -> Result<(), Violation> {
        self.deliver()?;
        self.dial();
        let until = self.now.after(TURN);
        while self.next_at().is_some_and(|at| at <= until) {
            self.step()?;
        }
        self.now = self.now.max(until);
        Ok(())
    }

    fn explain_unrest(&mut self) -> Result<(), Violation> {
        let latest = self.known().latest().cloned().unwrap_or_default();
        let layout = self.plan.layout;
        for node in latest.members.iter().flat_map(|member| layout.beside(member.node)) {
            let installed = self.known().lives[usize::from(node.0)].installed;
            let is_settled = self.member(node).node.is_settled();
            ensure!(
                installed == latest.epoch && is_settled,
                Progress,
                "node {node} has view {} of {} and is settled: {is_settled}",
                installed.0,
                latest.epoch.0
            );
        }
        ensure!(self.have_all_met(), Progress, "not all members have met");
        Ok(())
    }

    /// Nodes balance until none of them has anything more to give.
    fn find_balance(&mut self) -> Result<(), Violation> {
        let most = self.plan.turnover.as_ref().map_or(1, |turnover| turnover.balance_most);
        let refused = self.report.changes.of(Change::MoveRefused);
        for turn in 0..TURNS_MAX {
            let mut running = 0;
            for node in self.living() {
                let now = self.now_of(node);
                running += self.member(node).node.balance(now, most);
                self.settle(node)?;
            }
            if running == 0 {
                return (0..self.plan.layout.machines()).try_for_each(|machine| self.check_balance(machine));
            }
            if turn >= TURNS_SHORT && self.report.changes.of(Change::MoveRefused) > refused {
                // Who has no room takes no slots.
                return Ok(());
            }
            self.settle_turn()?;
        }
        Err(broken!(Progress, "transfers go on, and balance is not found"))
    }

    /// Eligible members have as many slots of a space as each other, or one more; those that leave have none.
    fn check_balance(&mut self, machine: usize) -> Result<(), Violation> {
        let latest = self.known().views[machine].last().cloned().unwrap_or_default();
        let eligible: Vec<NodeId> =
            latest.members.iter().filter(|member| !member.is_leaving).map(|member| member.node).collect();
        if eligible.is_empty() {
            return Ok(());
        }
        let spaces = u16::try_from(self.plan.configs[0].spaces.len()).expect("spaces are few");
        for space in (0..spaces).map(lockmaster_core::SpaceId) {
            let range = self.members[machine].node.slots(space).expect("the space is configured");
            let mut counts = alloc::vec![0_u32; self.members.len()];
            for slot in range.slots() {
                let node = latest.members[0].node;
                let view = self.member(node).node.slot(slot).expect("the slot exists");
                let Some(master) = view.master else { continue };
                counts[usize::from(master.0)] += 1;
            }
            let has = |node: &NodeId| counts[usize::from(node.0)];
            let (least, most) = (eligible.iter().map(has).min(), eligible.iter().map(has).max());
            let is_even = least.zip(most).is_some_and(|(least, most)| most - least <= 1);
            let whole: u32 = eligible.iter().map(has).sum();
            ensure!(
                is_even && whole == range.len,
                Map,
                "slots of {space:?}: {counts:?}, eligible {eligible:?}"
            );
        }
        Ok(())
    }

    /// All members have the same map.
    pub(in crate::cluster) fn check_agreement(&mut self) -> Result<(), Violation> {
        for machine in 0..self.plan.layout.machines() {
            self.check_agreement_of(machine)?;
        }
        Ok(())
    }

    fn check_agreement_of(&mut self, machine: usize) -> Result<(), Violation> {
        let mut members = self.living();
        members.retain(|node| self.plan.layout.machine(*node) == machine);
        for slot in self.all_slots(machine) {
            let mut known = None;
            for node in &members {
                let view = self.member(*node).node.slot(slot).expect("the slot exists");
                ensure!(!view.is_moving, Map, "node {node}: {view:?} of {slot:?} is still moving");
                let entry = (view.master, view.version);
                let same = *known.get_or_insert(entry);
                ensure!(
                    same == entry && view.master.is_some(),
                    Map,
                    "node {node} has {entry:?} of {slot:?}, another {same:?}"
                );
            }
        }
        Ok(())
    }
}
