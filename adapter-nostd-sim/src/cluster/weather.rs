//! What goes wrong with nodes and clocks, and who knocks that should not.

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::wire::Hello;
use lockmaster_core::{HelloError, Incarnation, NodeId, Storage};

use super::Cluster;
use crate::fault::FaultKind;
use crate::report::{Violation, ensure};
use crate::sight::Sight;

/// How many of a thousand hellos of strangers are such that came to the wrong machine, where there are several.
const ASTRAY: u32 = 300;

impl<S: Storage> Cluster<S> {
    /// The weather takes a turn, and somebody may knock who should not, or a timer may fire unasked.
    pub(super) fn weather(&mut self) -> Result<(), Violation> {
        self.network.turn(self.now);
        let node = self.pick_node();
        if self.breaker.chance(self.plan.weather.leap) {
            self.leap(node);
        }
        if self.random.chance(self.plan.weather.early_timeout) && !self.is_paused(node) {
            self.trace.line(self.now, format_args!("node {node}: timeout unasked"));
            self.watcher.see(self.now, || Sight::Timeout { node });
            self.report.faults.hit(FaultKind::EarlyTimeout);
            self.timeout(node)?;
            self.settle(node)?;
        }
        if self.random.chance(self.plan.weather.stranger) && !self.is_paused(node) {
            self.knock(node)?;
        }
        Ok(())
    }

    /// A node's clock leaps ahead, past some of its deadlines perhaps.
    fn leap(&mut self, node: NodeId) {
        let (now, span) = (self.now, self.breaker.span(Duration::ZERO, self.plan.weather.spell_max));
        self.trace.line(now, format_args!("node {node}: the clock leaps by {span:?}"));
        self.watcher.see(now, || Sight::Leap { node, by: span });
        self.report.faults.hit(FaultKind::Leap);
        for node in self.plan.layout.beside(node) {
            let member = self.member(node);
            member.clock.leap(now, span);
            member.timer = None;
        }
    }

    pub(super) fn pick_node(&mut self) -> NodeId {
        let at = self.random.index(self.members.len());
        NodeId(u16::try_from(at).expect("nodes are few"))
    }

    /// A hello that must be refused.
    fn knock(&mut self, node: NodeId) -> Result<(), Violation> {
        if self.plan.layout.machines() > 1 && self.divider.chance(ASTRAY) {
            return self.go_astray(node);
        }
        let peer = self.plan.layout.on(self.pick_node(), self.plan.layout.machine(node));
        let nobody = self.nobody();
        let mut hello = self.member(peer).node.hello();
        let is_heard = self.member(node).heard[usize::from(peer.0)];
        let expected = match self.random.below(4) {
            0 if self.is_changing() => {
                hello.node = NodeId(nobody.0 - 1);
                HelloError::Stranger(hello.node)
            }
            0 if is_heard => {
                hello.incarnation = Incarnation(hello.incarnation.0 + 100);
                HelloError::Incarnation(peer)
            }
            1 => {
                hello.digest ^= 1;
                HelloError::Digest
            }
            2 => {
                hello.node = nobody;
                if self.is_changing() { HelloError::Stranger(nobody) } else { HelloError::Member(nobody) }
            }
            _ => {
                hello.cluster.0 += 1;
                HelloError::Cluster
            }
        };
        self.refuse_hello(node, &hello, expected)
    }

    /// A hello comes to another machine of the host than the one that it is meant for.
    fn go_astray(&mut self, node: NodeId) -> Result<(), Violation> {
        let layout = self.plan.layout;
        let senders: Vec<NodeId> = self.nodes().filter(|peer| !layout.are_peers(*peer, node)).collect();
        let sender = *self.divider.pick(&senders);
        let mut hello = self.member(sender).node.hello();
        // It names the host's node, whose number is another one here.
        hello.node = layout.on(sender, layout.machine(node));
        self.report.machines.astray += 1;
        self.refuse_hello(node, &hello, HelloError::Cluster)
    }

    fn refuse_hello(&mut self, node: NodeId, hello: &Hello, expected: HelloError) -> Result<(), Violation> {
        self.report.faults.hit(FaultKind::Stranger);
        let now = self.now_of(node);
        let member = self.member(node);
        let before = member.node.digest();
        let refused = member.node.handle_hello(now, hello);
        ensure!(refused == Err(expected), Opening, "node {node} meets a stranger with {refused:?}");
        let is_same = member.node.digest() == before;
        ensure!(is_same, RefusalUnchanged, "node {node} was changed by a stranger");
        self.settle(node)
    }
}
