//! Which machine of which host has which number.
//!
//! A host runs one node of the cluster with all its machines, each of which is a node of the core. Here all of them are
//! numbered in one row, host by host, so that every account tells them apart; those with equal places on their hosts are a
//! cluster of their own:
//!
//! ```text
//!                first machines      second machines      third machines
//!   host 0             0                    1                    2
//!   host 1             3                    4                    5
//! ```
//!
//! An adapter gives all machines of a node the node's own number. Their order, which is all that the core makes of numbers,
//! is the same. With one machine on each host nodes are numbered as ever.

use lockmaster_core::NodeId;

/// So many hosts with so many machines each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    hosts: u16,
    machines: u16,
}

impl Layout {
    pub(crate) fn new(hosts: u16, machines: u8) -> Self {
        Self { hosts, machines: machines.into() }
    }

    pub(crate) fn hosts(self) -> usize {
        self.hosts.into()
    }

    /// Machines of each host.
    pub(crate) fn machines(self) -> usize {
        self.machines.into()
    }

    /// Machines of all hosts together.
    pub(crate) fn nodes(self) -> impl Iterator<Item = NodeId> {
        (0..self.hosts * self.machines).map(NodeId)
    }

    /// The first machine of each host, which stands for it.
    pub(crate) fn leads(self) -> impl Iterator<Item = NodeId> {
        (0..self.hosts).map(move |host| NodeId(host * self.machines))
    }

    /// Place of a machine's host.
    pub(crate) fn host(self, node: NodeId) -> usize {
        usize::from(node.0 / self.machines)
    }

    /// Place of a machine on its host.
    pub(crate) fn machine(self, node: NodeId) -> usize {
        usize::from(node.0 % self.machines)
    }

    /// A machine of the same host.
    pub(crate) fn on(self, node: NodeId, machine: usize) -> NodeId {
        let place = u16::try_from(machine).expect("machines are few");
        NodeId(node.0 - node.0 % self.machines + place)
    }

    /// The machine that stands for its host.
    pub(crate) fn lead(self, node: NodeId) -> NodeId {
        self.on(node, 0)
    }

    /// All machines of the same host, in order.
    pub(crate) fn beside(self, node: NodeId) -> impl Iterator<Item = NodeId> {
        (0..self.machines()).map(move |machine| self.on(node, machine))
    }

    /// All machines with this place on their hosts: those of one cluster.
    pub(crate) fn cluster(self, machine: usize) -> impl Iterator<Item = NodeId> {
        self.leads().map(move |lead| self.on(lead, machine))
    }

    /// All machines that a machine talks to, itself among them.
    pub(crate) fn peers(self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.cluster(self.machine(node))
    }

    /// Are two machines of one cluster?
    pub(crate) fn are_peers(self, node: NodeId, other: NodeId) -> bool {
        self.machine(node) == self.machine(other)
    }
}
