//! A provider that does what a test says.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::rig::{Rig, small_space, socket};
use crate::{
    Builder, Candidate, Certainty, ClusterMember, ClusterView, Epoch, Inbox, Incarnation, Joined, Membership,
    MembershipError, Node, NodeId, Runtime, Session,
};

/// A join that waits looks so often whether anybody wants it.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Knows who is a member, and tells it. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Script {
    board: Arc<Board>,
}

#[derive(Default)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    epoch: u32,
    incarnations: u64,
    members: BTreeMap<NodeId, ClusterMember>,
    /// The configuration in which all members run.
    digest: u64,
    /// Where each node was told last.
    inboxes: BTreeMap<NodeId, Inbox>,
    /// Joins wait.
    is_closed: bool,
    /// Joins give a configuration that is none of the candidate's.
    is_making_up: bool,
    /// Joins fail so often.
    failures: u32,
    /// Joins give no view.
    is_silent: bool,
    /// Nobody can say that it is about to leave.
    is_out_of_touch: bool,
    /// Nodes that are not told of views.
    deaf: BTreeSet<NodeId>,
    /// What happened, in order.
    events: Vec<String>,
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.board.state.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.board.changed.notify_all();
        changed
    }

    /// Makes the next view, and tells everybody in it who listens.
    fn next(&self, change: impl FnOnce(&mut State)) -> ClusterView {
        let view = self.change(|state| {
            change(state);
            state.epoch += 1;
            state.view()
        });
        self.tell(&view);
        view
    }

    /// Tells a view to those in it who listen.
    fn tell(&self, view: &ClusterView) {
        let inboxes: Vec<_> = {
            let state = self.state();
            let hears = |node: &NodeId| view.member(*node).is_some() && !state.deaf.contains(node);
            state.inboxes.iter().filter(|(node, _)| hears(node)).map(|(_, inbox)| inbox.clone()).collect()
        };
        inboxes.iter().for_each(|inbox| inbox.view(view.clone()));
    }

    /// A node takes part, by the word of the test.
    pub(super) fn builder<R: Runtime + Clone>(&self, rig: &Rig<R>, number: u16) -> Builder<R> {
        let (listener, _) = socket();
        rig.builder(number).space(small_space()).listener(listener).join(self.clone())
    }

    pub(super) async fn start<R: Runtime + Clone>(&self, rig: &Rig<R>, number: u16) -> Node<R> {
        self.builder(rig, number).start().await.unwrap()
    }

    /// As many nodes, numbered from 1, which all have the same view.
    pub(super) async fn cluster<R: Runtime + Clone>(&self, rig: &Rig<R>, count: u16) -> Vec<Node<R>> {
        let mut nodes = Vec::new();
        for number in 1..=count {
            nodes.push(self.start(rig, number).await);
        }
        for node in &nodes {
            node.opened().await;
        }
        nodes
    }

    pub(super) fn inbox(&self, node: u16) -> Inbox {
        self.state().inboxes[&NodeId(node)].clone()
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.state().epoch)
    }

    pub(super) fn events(&self) -> Vec<String> {
        self.state().events.clone()
    }

    /// The node is out: it is told first, then the others.
    pub(super) fn fence(&self, node: u16) {
        // It may come back as soon as it is told.
        let inbox = self.inbox(node);
        self.change(|state| state.members.remove(&NodeId(node)));
        inbox.fenced("by the test");
        self.next(|_| ());
    }

    /// The node is out, and only the others are told.
    pub(super) fn remove(&self, node: u16) -> ClusterView {
        self.next(|state| {
            state.members.remove(&NodeId(node));
        })
    }

    /// The node is reached elsewhere from now on.
    pub(super) fn relocate(&self, node: u16, address: SocketAddr) {
        self.next(|state| state.members.get_mut(&NodeId(node)).unwrap().address = address);
    }

    pub(super) fn certainty(&self, node: u16, certainty: Certainty) {
        self.inbox(node).certainty(certainty);
    }

    /// Joins wait from now on.
    pub(super) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Joins go on.
    pub(super) fn open(&self) {
        self.change(|state| state.is_closed = false);
    }

    /// The next joins fail.
    pub(super) fn fail(&self, times: u32) {
        self.change(|state| state.failures = times);
    }

    /// Whoever joins is to run in a configuration that is none of its own.
    pub(super) fn make_up(&self, is_making_up: bool) {
        self.change(|state| state.is_making_up = is_making_up);
    }

    /// Nobody can say any more that it is about to leave.
    pub(super) fn lose_touch(&self) {
        self.change(|state| state.is_out_of_touch = true);
    }

    /// The next view does not say that the node is about to leave.
    pub(super) fn unmark(&self, node: u16) {
        self.next(|state| state.members.get_mut(&NodeId(node)).unwrap().is_leaving = false);
    }

    /// Whoever joins gets no view before [`Script::speak`].
    pub(super) fn be_silent(&self) {
        self.change(|state| state.is_silent = true);
    }

    pub(super) fn speak(&self) {
        self.change(|state| state.is_silent = false);
        self.next(|_| ());
    }

    /// This node is told of no views before [`Script::let_hear`].
    pub(super) fn deafen(&self, node: u16) {
        self.change(|state| state.deaf.insert(NodeId(node)));
    }

    pub(super) fn let_hear(&self, node: u16) {
        let view = self.change(|state| {
            state.deaf.remove(&NodeId(node));
            state.view()
        });
        self.inbox(node).view(view);
    }
}

impl State {
    fn view(&self) -> ClusterView {
        ClusterView { epoch: Epoch(self.epoch), members: self.members.values().copied().collect() }
    }
}

impl Membership for Script {
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError> {
        let mut state = self.state();
        let node = candidate.node.unwrap_or(NodeId(1 + u16::try_from(state.members.len()).unwrap()));
        state.events.push(format!("join {node}"));
        self.board.changed.notify_all();
        while state.is_closed {
            (state, _) = self.board.changed.wait_timeout(state, LOOK_EVERY).unwrap();
            drop(state);
            if inbox.is_over() {
                return Err(MembershipError::Abandoned);
            }
            state = self.state();
        }
        if state.failures > 0 {
            state.failures -= 1;
            return Err(MembershipError::Unreachable("by the test".to_owned()));
        }
        let of_members = (!state.members.is_empty()).then_some(state.digest);
        let digest = candidate.choose(of_members)?;
        state.digest = digest;
        state.incarnations += 1;
        let (incarnation, joined, address) =
            (Incarnation(state.incarnations), Epoch(state.epoch + 1), candidate.address);
        let member = ClusterMember { node, incarnation, joined, is_leaving: false, address };
        state.inboxes.insert(node, inbox);
        let (is_silent, is_making_up) = (state.is_silent, state.is_making_up);
        if is_silent {
            state.members.insert(node, member);
        }
        drop(state);
        if !is_silent {
            self.next(|state| {
                state.members.insert(node, member);
            });
        }
        let session = Part { script: self.clone(), node, incarnation, has_left: false };
        let digest = if is_making_up { !digest } else { digest };
        Ok(Joined { node, incarnation, digest, session: Box::new(session) })
    }
}

/// A node's side of it.
struct Part {
    script: Script,
    node: NodeId,
    incarnation: Incarnation,
    has_left: bool,
}

impl Session for Part {
    fn announce_leaving(&self) -> Result<(), MembershipError> {
        let is_out_of_touch = self.script.change(|state| {
            state.events.push(format!("announce {}", self.node));
            state.is_out_of_touch
        });
        if is_out_of_touch {
            return Err(MembershipError::Unreachable("by the test".to_owned()));
        }
        self.script.next(|state| {
            if let Some(member) = state.members.get_mut(&self.node) {
                member.is_leaving = true;
            }
        });
        Ok(())
    }

    fn leave(mut self: Box<Self>) {
        self.has_left = true;
        self.script.change(|state| state.events.push(format!("leave {}", self.node)));
        let is_own = |member: &ClusterMember| member.incarnation == self.incarnation;
        if self.script.state().members.get(&self.node).is_some_and(is_own) {
            self.script.remove(self.node.0);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.has_left {
            self.script.change(|state| state.events.push(format!("drop {}", self.node)));
        }
    }
}
