//! The membership engine: who is a member, who learns it when, and how long that is certain.

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::{Certainty, Epoch, Instant, NodeId, Storage, View, ViewError, ViewMember};

use super::{Cluster, Leaving, Life};
use crate::layout::Layout;
use crate::network::Way;
use crate::report::{Change, Violation, ensure};

/// Members that find no place are tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// In how many of a thousand cases not all machines of a host hear at once that it is certain for longer.
const HELD_UP: u32 = 200;

impl<S: Storage> Cluster<S> {
    // ---- views ----

    /// The engine makes a view if it likes.
    pub(super) fn engine_turn(&mut self) {
        let turnover = self.plan.turnover.clone().expect("members change");
        let changing = self.changes();
        let (is_due, is_idle) =
            (changing.random.chance(turnover.view), changing.random.chance(turnover.idle_view));
        if changing.latest().is_none() || is_idle || (is_due && self.has_reason()) {
            self.make_view();
        }
    }

    /// Would a view differ from the last one?
    pub(super) fn has_reason(&self) -> bool {
        let next = self.next_members();
        let changing = self.known();
        let is_same = |(old, new): (&ViewMember, &ViewMember)| {
            old.node == new.node && old.incarnation == new.incarnation && old.is_leaving == new.is_leaving
        };
        let Some(last) = changing.latest() else { return true };
        last.members.len() != next.len() || !last.members.iter().zip(&next).all(is_same)
    }

    /// Who would be a member now, named by first machines. The epoch of joining is filled in later.
    fn next_members(&self) -> Vec<ViewMember> {
        let changing = self.known();
        let lives_on = |node: NodeId| {
            let life = &changing.lives[usize::from(node.0)];
            life.is_up && !self.is_over(node) && life.leaving != Leaving::Empty
        };
        // A life is over when the last of its machines is.
        let fits = |lead: &NodeId| changing.layout.beside(*lead).any(lives_on);
        let member = |node: NodeId| {
            let life = &changing.lives[usize::from(node.0)];
            let known = changing.latest().and_then(|view| view.member(node));
            let known = known.filter(|known| known.incarnation == life.incarnation);
            let joined = known.map_or(Epoch(0), |known| known.joined);
            let is_leaving = life.leaving != Leaving::No;
            ViewMember { node, incarnation: life.incarnation, joined, is_leaving }
        };
        changing.layout.leads().filter(fits).map(member).collect()
    }

    /// Makes the next view, unless it would be empty.
    pub(super) fn make_view(&mut self) {
        let mut members = self.next_members();
        if members.is_empty() {
            return;
        }
        let is_settling = self.known().is_settling;
        let random = &mut self.changes().random;
        // Who is gone, or has come, may be noticed later.
        let (is_slow, is_first) = (random.chance(200) && !is_settling, self.known().latest().is_none());
        let last = self.known().latest().map_or(Epoch(0), |view| view.epoch);
        let epoch = Epoch(last.0 + 1 + u32::from(self.changes().random.chance(100)));
        if is_slow && !is_first {
            members.retain(|member| member.joined != Epoch(0));
        }
        if members.is_empty() {
            return;
        }
        for member in members.iter_mut().filter(|member| member.joined == Epoch(0)) {
            member.joined = epoch;
        }
        self.count_view(&members);
        let view = View { epoch, members: members.into_iter().collect() };
        self.trace.line(self.now, format_args!("view {}: {}", epoch.0, ShownView(&view)));
        let layout = self.plan.layout;
        for node in self.nodes() {
            let member = view.member(layout.lead(node));
            if member.is_none_or(|member| member.joined == epoch) {
                // Whatever this node was before is not waited for any more.
                self.ghost.buried(node);
            }
        }
        self.send_off(&view);
        for (machine, views) in self.changes().views.iter_mut().enumerate() {
            views.push(seen_by(layout, machine, &view));
        }
        self.doubt_values();
        self.announce();
    }

    fn count_view(&mut self, members: &[ViewMember]) {
        let last = self.known().latest().cloned().unwrap_or_default();
        let is_replaced =
            |new: &&ViewMember| last.member(new.node).is_some_and(|old| old.incarnation != new.incarnation);
        let replaced = members.iter().filter(is_replaced).count() as u64;
        let lives = &self.known().lives;
        let is_behind = |old: &&ViewMember| {
            let life = &lives[usize::from(old.node.0)];
            life.is_up && life.incarnation == old.incarnation && life.installed < last.epoch
        };
        let is_overtaken = last.members.iter().any(|old| is_behind(&old));
        self.report.changes.hit(Change::View);
        self.report.changes.add(Change::Replaced, replaced);
        self.report.changes.add(Change::Overtaken, u64::from(is_overtaken));
    }

    /// Who has left is told so by the provider before others are.
    fn send_off(&mut self, view: &View) {
        for lead in self.plan.layout.leads() {
            let changing = self.known();
            let is_empty = |node: &NodeId| {
                let life = &changing.lives[usize::from(node.0)];
                life.is_up && life.leaving == Leaving::Empty
            };
            let leavers: Vec<NodeId> = changing.layout.beside(lead).filter(is_empty).collect();
            if leavers.is_empty() || view.member(lead).is_some() {
                continue;
            }
            self.report.changes.hit(Change::Left);
            let is_shut_down = self.changes().random.chance(500);
            for node in leavers {
                if is_shut_down {
                    self.shut_down(node);
                } else {
                    self.changes().life(node).has_left = true;
                }
            }
        }
    }

    /// The latest view goes to all that run.
    pub(super) fn announce(&mut self) {
        let turnover = self.plan.turnover.clone().expect("members change");
        let now = self.now;
        let at = self.known().views[0].len() - 1;
        for lead in self.plan.layout.leads() {
            let is_needed = self.known().is_settling;
            let changing = self.changes();
            let is_missed = changing.random.chance(turnover.miss) && !is_needed;
            let lag = changing.random.span(Duration::ZERO, turnover.lag_max);
            let machines = self.beside_up(lead);
            if machines.is_empty() {
                continue;
            }
            if is_missed {
                self.report.changes.hit(Change::Missed);
                continue;
            }
            for node in machines {
                let life = self.changes().life(node);
                let last = life.due.back().map_or(Instant::START, |(at, _)| *at);
                life.due.push_back((now.after(lag).max(last), at));
            }
        }
    }

    /// Views come to hosts, whose machines take them one after the other.
    pub(super) fn deliver(&mut self) -> Result<(), Violation> {
        for node in self.nodes() {
            let now = self.now;
            while !self.is_paused(node) {
                let life = self.changes().life(node);
                let Some((_, at)) = life.due.front().copied().filter(|(at, _)| *at <= now) else { break };
                life.due.pop_front();
                if !self.deliver_to(node, at)? {
                    let life = self.changes().life(node);
                    if life.due.is_empty() {
                        life.due.push_back((now.after(AGAIN_AFTER), at));
                    }
                }
            }
        }
        Ok(())
    }

    /// One view comes to a node; says whether it had places for it.
    fn deliver_to(&mut self, node: NodeId, at: usize) -> Result<bool, Violation> {
        let view = self.known().views[self.plan.layout.machine(node)][at].clone();
        let incarnation = self.known().lives[usize::from(node.0)].incarnation;
        let is_in = view.member(node).is_some_and(|member| member.incarnation == incarnation);
        let installed = self.known().lives[usize::from(node.0)].installed;
        if is_in && installed == Epoch(0) {
            self.certify_host(node)?;
        }
        let was_over = self.is_over(node);
        let has_left = self.known().lives[usize::from(node.0)].has_left;
        let now = self.now_of(node);
        let before = self.member(node).node.digest();
        let taken = self.member(node).node.handle_view(now, &view);
        self.trace.line(self.now, format_args!("node {node}: view {}: {taken:?}", view.epoch.0));
        let is_expected = match taken {
            Ok(()) => (!was_over || has_left) && view.epoch > installed,
            Err(ViewError::Fenced) => was_over,
            Err(ViewError::Places) => is_in,
            Err(ViewError::Old) => view.epoch <= installed,
            Err(ViewError::Static | ViewError::Unsound) => false,
        };
        ensure!(is_expected, Membership, "node {node} takes view {}: {taken:?}", view.epoch.0);
        match taken {
            Ok(()) if is_in => {
                self.report.changes.hit(Change::Installed);
                self.changes().life(node).installed = view.epoch;
                let is_joining = view.member(node).is_some_and(|member| member.joined == view.epoch);
                for account in &mut self.changes().accounts {
                    account.takes_view(node, view.epoch, is_joining);
                }
                self.part(node, &view);
            }
            Ok(()) if installed != Epoch(0) => {
                self.report.changes.hit(Change::FencedByView);
                self.end(node);
            }
            Err(ViewError::Places) => {
                self.report.changes.hit(Change::NoPlaces);
                self.unchanged(node, before)?;
            }
            Err(ViewError::Old) => self.unchanged(node, before)?,
            Ok(()) | Err(_) => {}
        }
        self.settle(node)?;
        Ok(taken != Err(ViewError::Places))
    }

    /// A node drops its connections to those who are no members any more.
    fn part(&mut self, node: NodeId, view: &View) {
        for peer in self.peers(node) {
            let met = self.known().lives[usize::from(node.0)].met[usize::from(peer.0)];
            let is_kept = view.member(peer).is_some_and(|member| Some(member.incarnation) == met);
            if !is_kept {
                self.changes().life(node).met[usize::from(peer.0)] = None;
                let member = self.member(node);
                member.connected[usize::from(peer.0)] = false;
                member.owed[usize::from(peer.0)] = false;
            }
        }
    }

    /// Whoever is not connected to a node that he should know dials it.
    pub(super) fn dial(&mut self) {
        let now = self.now;
        for from in self.nodes() {
            for to in self.peers(from) {
                let changing = self.changes();
                let incarnation = changing.lives[usize::from(from.0)].incarnation;
                let is_met = changing.lives[usize::from(to.0)].met[usize::from(from.0)] == Some(incarnation);
                let is_dialling = changing.lives[usize::from(from.0)].dialling[usize::from(to.0)];
                let is_known = changing.installed(from).is_some_and(|view| view.member(to).is_some());
                if from == to || is_met || is_dialling || !is_known || !changing.random.chance(150) {
                    continue;
                }
                if self.is_paused(from) || self.is_down(to) {
                    continue;
                }
                self.changes().life(from).dialling[usize::from(to.0)] = true;
                let hello = self.member(from).node.hello();
                self.network.introduce(now, Way { from, to }, hello);
            }
        }
    }

    // ---- certainty ----

    /// The engine vouches for members in time, or does not.
    pub(super) fn vouch(&mut self) -> Result<(), Violation> {
        let Some(lease) = self.plan.turnover.as_ref().and_then(|turnover| turnover.lease) else {
            return Ok(());
        };
        let withhold = self.plan.turnover.as_ref().map_or(0, |turnover| turnover.withhold);
        for lead in self.plan.layout.leads() {
            let (now, own) = (self.now, self.now_of(lead));
            let changing = self.changes();
            let is_withheld = changing.random.chance(withhold) && !changing.is_settling;
            let span = changing.random.span(lease / 2, lease * 2);
            let is_member = |node: &NodeId| {
                let has_joined = self.known().lives[usize::from(node.0)].installed != Epoch(0);
                has_joined && !self.is_paused(*node)
            };
            let mut hearers = self.hearers(lead);
            let certainties = hearers.iter().filter(|node| is_member(node)).map(|node| {
                let Life { withheld_until, certainty, .. } = &self.known().lives[usize::from(node.0)];
                (*withheld_until, certainty.suspect_at)
            });
            let Some((withheld_until, suspect_at)) = certainties.min() else { continue };
            if is_withheld && withheld_until <= now {
                for node in self.plan.layout.beside(lead) {
                    self.changes().life(node).withheld_until = now.after(span);
                }
                self.report.changes.hit(Change::Suspect);
                continue;
            }
            let is_due = suspect_at <= own.after(lease / 2);
            if withheld_until <= now && is_due {
                let was_suspect = suspect_at <= own;
                self.report.changes.add(Change::Certain, u64::from(was_suspect));
                if hearers.len() > 1 && self.divider.chance(HELD_UP) {
                    // Its thread is held up before it has told all machines; the others hear it later, or too late.
                    hearers.truncate(1 + self.divider.index(hearers.len() - 1));
                }
                for node in hearers {
                    self.certify(node);
                    self.settle(node)?;
                }
            }
        }
        Ok(())
    }

    /// The machines of a node's host that hear what the engine says of its life.
    fn hearers(&self, node: NodeId) -> Vec<NodeId> {
        self.beside_up(node).into_iter().filter(|node| !self.is_over(*node)).collect()
    }

    /// The engine vouches for a host, of which a machine is about to join.
    fn certify_host(&mut self, node: NodeId) -> Result<(), Violation> {
        for machine in self.hearers(node) {
            self.certify(machine);
            if machine != node {
                self.settle(machine)?;
            }
        }
        Ok(())
    }

    /// A machine hears that the engine vouches for it.
    fn certify(&mut self, node: NodeId) {
        let Some(lease) = self.plan.turnover.as_ref().and_then(|turnover| turnover.lease) else { return };
        let now = self.now_of(node);
        let is_settling = self.known().is_settling;
        let certainty = if is_settling {
            Certainty::FOR_EVER
        } else {
            Certainty { suspect_at: now.after(lease * 2 / 3), fenced_at: now.after(lease) }
        };
        self.trace.line(self.now, format_args!("node {node}: {certainty:?}"));
        self.member(node).node.handle_certainty(now, certainty);
        self.changes().life(node).certainty = certainty;
    }
}

/// A view of first machines, as the machines of another place are told it.
fn seen_by(layout: Layout, machine: usize, view: &View) -> View {
    let member = |member: &ViewMember| ViewMember { node: layout.on(member.node, machine), ..*member };
    View { epoch: view.epoch, members: view.members.iter().map(member).collect() }
}

/// A view as people like to read it.
struct ShownView<'a>(&'a View);

impl core::fmt::Display for ShownView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for member in &self.0.members {
            let leaving = if member.is_leaving { ", leaving" } else { "" };
            let (life, joined) = (member.incarnation.0, member.joined.0);
            write!(f, " [node {} life {life} since {joined}{leaving}]", member.node)?;
        }
        Ok(())
    }
}
