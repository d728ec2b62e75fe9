//! The rules that are checked after every step where members change.

use lockmaster_core::{Epoch, Grant, NodeId, Path, Standing as Stands, Storage};

use super::Cluster;
use crate::ghost::Standing;
use crate::report::{Violation, ensure};

impl<S: Storage> Cluster<S> {
    /// Everything that can be checked now that this node has changed.
    pub(in crate::cluster) fn check_changing(&mut self, node: NodeId) -> Result<(), Violation> {
        self.see_ends();
        self.check_standing(node)?;
        self.keep_account(node)?;
        let is_deciding = !self.is_over(node) && !self.is_suspect(node) && !self.ghost.is_deaf(node);
        let is_open = self.is_open(node);
        let member = &self.members[usize::from(node.0)];
        member.tables.check(&self.plan.limits, is_open && is_deciding)?;
        self.check_machines(node)?;
        self.check_owners(node)?;
        self.check_conservation(node)?;
        for at in self.resources_of(node) {
            self.check_one_decider(at)?;
            self.check_record(at)?;
            self.follow_value(at);
        }
        Ok(())
    }

    /// A node stands as its views and its certainty say, and when its time is over its owners know it.
    fn check_standing(&mut self, node: NodeId) -> Result<(), Violation> {
        let (is_over, is_suspect) = (self.is_over(node), self.is_suspect(node));
        if self.has_left_unknown(node) {
            let holds = self.ghost.of_node(node).next();
            ensure!(holds.is_none(), Membership, "node {node} has left, and has {holds:?}");
            return Ok(());
        }
        let life = &self.known().lives[usize::from(node.0)];
        let (now, installed) = (self.now_of(node), life.installed);
        let until = self.members[usize::from(node.0)].node.certain_until();
        let is_seen = is_over && until == lockmaster_core::Instant::START;
        if is_over && !is_seen && !self.known().lives[usize::from(node.0)].is_told {
            // Its time ended since it was last called.
            return Ok(());
        }
        let standing = self.member(node).node.standing(now);
        let expected = match (is_over, is_suspect) {
            (true, _) => Stands::Fenced,
            (false, _) if installed == Epoch(0) => Stands::Outside,
            (false, true) => Stands::Suspect,
            (false, false) => Stands::Member,
        };
        ensure!(standing == expected, Membership, "node {node} stands as {standing:?}, and is {expected:?}");
        let epoch = self.members[usize::from(node.0)].node.view().epoch;
        ensure!(
            is_over || installed == Epoch(0) || epoch == installed,
            Membership,
            "node {node} has view {}",
            epoch.0
        );
        if is_over && !self.ghost.is_deaf(node) {
            let kept =
                self.ghost.of_node(node).find(|ghost| !matches!(ghost.standing, Standing::Waiting { .. }));
            ensure!(
                kept.is_none(),
                Lost,
                "node {node} is no member, and nobody was told of the loss of {kept:?}"
            );
        }
        Ok(())
    }

    /// A grant in a call is made by a member, and by a master only if that is certain.
    pub(in crate::cluster) fn check_standing_of(&self, node: NodeId, grant: &Grant) -> Result<(), Violation> {
        if !self.is_changing() {
            return Ok(());
        }
        let is_retained = grant.path == Path::Retained;
        ensure!(!self.is_over(node), Membership, "node {node} is no member, and grants {grant:?}");
        ensure!(
            is_retained || !self.is_suspect(node),
            Membership,
            "node {node} is suspect, and grants {grant:?}"
        );
        Ok(())
    }

    /// Has a node left, and does it not know that there is a view without it?
    fn has_left_unknown(&self, node: NodeId) -> bool {
        let life = &self.known().lives[usize::from(node.0)];
        life.has_left && !life.is_told && self.now_of(node) < life.certainty.fenced_at
    }

    /// At most one node decides about a resource, of those that may.
    fn check_one_decider(&self, at: usize) -> Result<(), Violation> {
        let decides = |node: &NodeId| self.members[usize::from(node.0)].tables.rows[at].decides;
        let mut deciders = self.living().into_iter().filter(decides);
        let (first, second) = (deciders.next(), deciders.next());
        ensure!(second.is_none(), Authority, "nodes {first:?} and {second:?} decide about resource {at}");
        Ok(())
    }

    /// What is on record where the resource is decided covers what each node holds.
    fn check_record(&self, at: usize) -> Result<(), Violation> {
        let Some(decider) = self.decider(at) else { return Ok(()) };
        let record = &self.members[usize::from(decider.0)].tables.rows[at];
        for node in self.living() {
            let Some(held) = self.members[usize::from(node.0)].tables.rows[at].held else { continue };
            let known = record.of_node(node).and_then(|physical| physical.held);
            ensure!(
                known.is_some_and(|known| known.covers(held)),
                Coverage,
                "node {node} holds {held} of resource {at}; node {decider} has {known:?} on record"
            );
        }
        Ok(())
    }

    /// What the decider's table shows of the value block moves the ghost's account forward.
    fn follow_value(&mut self, at: usize) {
        let decider = self.decider(at);
        let is_held = |node: &NodeId| self.members[usize::from(node.0)].tables.rows[at].held.is_some();
        let is_held = self.living().iter().any(is_held);
        let history = &mut self.ghost.values[at];
        if !is_held {
            history.may_be_absent();
        }
        if let Some(decider) = decider {
            let row = &self.members[usize::from(decider.0)].tables.rows[at];
            match row.value {
                None if !row.is_known => history.dropped(),
                // What came with locks of the departed only, which are left out, stays until its slot is complete.
                None | Some(_) if row.physical.is_empty() => history.may_be_absent(),
                Some(state) => history.applied(state),
                None => {}
            }
        }
    }

    /// Do all members of the latest view have it, and is nothing of it left to be done?
    pub(in crate::cluster) fn is_calm(&mut self) -> bool {
        let Some(latest) = self.known().latest().cloned() else { return false };
        for member in &latest.members {
            for node in self.plan.layout.beside(member.node) {
                let life = &self.known().lives[usize::from(node.0)];
                let is_here =
                    life.is_up && life.incarnation == member.incarnation && life.installed == latest.epoch;
                if !is_here || self.is_over(node) || !self.member(node).node.is_settled() {
                    return false;
                }
            }
        }
        true
    }
}
