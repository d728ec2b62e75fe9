//! Connections and frames between nodes whose lives change.

use lockmaster_core::wire::Hello;
use lockmaster_core::{HelloError, NodeId, Storage};

use super::Cluster;
use crate::network::{Cargo, Way};
use crate::report::{Change, Violation, ensure};

impl<S: Storage> Cluster<S> {
    /// Is what arrives for a node that does not run?
    pub(in crate::cluster) fn is_for_nobody(&mut self, way: Way, cargo: &Cargo) -> bool {
        let node = match cargo {
            Cargo::Frame(_) | Cargo::Hello(_) | Cargo::Gone => way.to,
            Cargo::CutEnds(_) | Cargo::ClogEnds => way.from,
        };
        if let Cargo::Hello(_) = cargo {
            self.changes().life(way.from).dialling[usize::from(way.to.0)] = false;
        }
        self.is_down(node)
    }

    /// A node has heard a hello.
    pub(in crate::cluster) fn greeted(
        &mut self,
        node: NodeId,
        hello: &Hello,
        heard: Result<(), HelloError>,
    ) -> Result<(), Violation> {
        let peer = hello.node;
        let member = self.known().installed(node).and_then(|view| view.member(peer));
        let is_known = member.is_some_and(|member| member.incarnation == hello.incarnation);
        let is_over = self.is_over(node);
        let is_stranger = heard == Err(HelloError::Stranger(peer));
        // Who joins may have to wait for a place.
        let is_expected = if is_known { heard.is_ok() || is_stranger } else { is_stranger };
        ensure!(is_over || is_expected, Opening, "node {node} answers the hello of node {peer}: {heard:?}");
        self.report.changes.add(Change::NoPlaces, u64::from(is_known && is_stranger));
        if heard.is_ok() {
            self.changes().life(node).met[usize::from(peer.0)] = Some(hello.incarnation);
            self.member(node).connected[usize::from(peer.0)] = true;
        } else {
            self.report.changes.hit(Change::Stranger);
        }
        self.settle(node)
    }

    pub(in crate::cluster) fn disconnected(&mut self, node: NodeId, peer: NodeId) {
        if self.is_changing() {
            self.changes().life(node).met[usize::from(peer.0)] = None;
        }
    }

    /// A frame comes to a node that runs.
    pub(in crate::cluster) fn arrive_changing(
        &mut self,
        from: NodeId,
        to: NodeId,
        frame: &[u8],
    ) -> Result<(), Violation> {
        let now = self.now_of(to);
        // A digest is slow, so it is not always taken.
        let before =
            (self.report.steps.is_multiple_of(8) && !self.is_over(to)).then(|| self.member(to).node.digest());
        if let Err(dropped) = self.member(to).node.handle_frame(now, from, frame) {
            self.trace.detail(self.now, format_args!("    dropped: {dropped}"));
            self.report.changes.hit(Change::OtherView);
            if let Some(before) = before {
                self.unchanged(to, before)?;
            }
        } else {
            self.note_places(to, frame);
        }
        self.settle(to)
    }

    /// A position that gives a resource up may take its last record away.
    pub(in crate::cluster) fn gives_up(&mut self, from: NodeId, resource: usize) {
        if !self.is_changing() {
            return;
        }
        let is_held = |node: &NodeId| self.members[usize::from(node.0)].tables.rows[resource].held.is_some();
        if !self.living().iter().any(|node| *node != from && is_held(node)) {
            self.ghost.values[resource].perhaps_dropped();
        }
    }
}
