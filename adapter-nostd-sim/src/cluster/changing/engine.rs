//! The membership engine: who is a member, who learns it when, and how long that is certain.

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::{Certainty, Epoch, Instant, NodeId, Storage, View, ViewError, ViewMember};

use super::{Cluster, Leaving};
use crate::network::Way;
use crate::report::{Change, Violation, ensure};

/// Members that find no place are tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

impl<S: Storage> Cluster<S> {
    // ---- views ----

    /// The engine makes a view if it likes.
    pub(super) fn engine_turn(&mut self) {
        let turnover = self.plan.turnover.clone().expect("members change");
        let changing = self.changes();
        let (is_due, is_idle) =
            (changing.random.chance(turnover.view), changing.random.chance(turnover.idle_view));
        if changing.views.is_empty() || is_idle || (is_due && self.has_reason()) {
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

    /// Who would be a member now. The epoch of joining is filled in later.
    fn next_members(&self) -> Vec<ViewMember> {
        let changing = self.known();
        let fits = |node: &NodeId| {
            let life = &changing.lives[usize::from(node.0)];
            life.is_up && !self.is_over(*node) && life.leaving != Leaving::Empty
        };
        let member = |node: NodeId| {
            let life = &changing.lives[usize::from(node.0)];
            let known = changing.latest().and_then(|view| view.member(node));
            let known = known.filter(|known| known.incarnation == life.incarnation);
            let joined = known.map_or(Epoch(0), |known| known.joined);
            let is_leaving = life.leaving != Leaving::No;
            ViewMember { node, incarnation: life.incarnation, joined, is_leaving }
        };
        self.nodes().filter(fits).map(member).collect()
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
        let (is_slow, is_first) = (random.chance(200) && !is_settling, self.known().views.is_empty());
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
        for node in self.nodes() {
            let is_in = view.member(node).is_some();
            if !is_in || view.member(node).is_some_and(|member| member.joined == epoch) {
                // Whatever this node was before is not waited for any more.
                self.ghost.buried(node);
            }
        }
        self.send_off(&view);
        self.changes().views.push(view);
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
        for node in self.nodes() {
            let life = self.changes().life(node);
            if life.is_up && life.leaving == Leaving::Empty && view.member(node).is_none() {
                self.report.changes.hit(Change::Left);
                if self.changes().random.chance(500) {
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
        let at = self.known().views.len() - 1;
        for node in self.nodes() {
            let is_needed = self.known().is_settling;
            let changing = self.changes();
            let is_missed = changing.random.chance(turnover.miss) && !is_needed;
            let lag = changing.random.span(Duration::ZERO, turnover.lag_max);
            let life = changing.life(node);
            if !life.is_up {
                continue;
            }
            if is_missed {
                self.report.changes.hit(Change::Missed);
                continue;
            }
            let last = life.due.back().map_or(Instant::START, |(at, _)| *at);
            life.due.push_back((now.after(lag).max(last), at));
        }
    }

    /// Views come to nodes.
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
        let view = self.known().views[at].clone();
        let incarnation = self.known().lives[usize::from(node.0)].incarnation;
        let is_in = view.member(node).is_some_and(|member| member.incarnation == incarnation);
        let installed = self.known().lives[usize::from(node.0)].installed;
        if is_in && installed == Epoch(0) {
            self.certify(node);
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
        for peer in self.nodes() {
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
            for to in self.nodes() {
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
        for node in self.nodes() {
            let (now, own) = (self.now, self.now_of(node));
            let is_idle = self.is_paused(node) || self.is_over(node);
            let changing = self.changes();
            let is_withheld = changing.random.chance(withhold) && !changing.is_settling;
            let span = changing.random.span(lease / 2, lease * 2);
            let life = changing.life(node);
            if is_idle || life.installed == Epoch(0) {
                continue;
            }
            if is_withheld && life.withheld_until <= now {
                life.withheld_until = now.after(span);
                self.report.changes.hit(Change::Suspect);
                continue;
            }
            let is_due = life.certainty.suspect_at <= own.after(lease / 2);
            if life.withheld_until <= now && is_due {
                let was_suspect = life.certainty.suspect_at <= own;
                self.report.changes.add(Change::Certain, u64::from(was_suspect));
                self.certify(node);
                self.settle(node)?;
            }
        }
        Ok(())
    }

    /// The engine vouches for a node.
    pub(super) fn certify(&mut self, node: NodeId) {
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
