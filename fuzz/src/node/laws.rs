//! What is taken from a node after every input, and what must hold then.

use lockmaster_core::wire::{Body, Message, Messages, ViewMessage};
use lockmaster_core::{LockView, NodeId, PhysicalView, RING_LEN, ResourceView, TRANSFERS_MAX, Visit, drive};

use super::{CHUNK, FRIEND, MEMBERS, Party, SUBJECT, Scene, WINDOW, place};
use crate::decode::check_written;

/// Least bytes of a chunk with its message.
const CHUNK_LEAST: u32 = 66;

/// Records as a visit counts them.
#[derive(Default)]
pub(super) struct Count {
    pub(super) resources: u32,
    pub(super) physical: u32,
    pub(super) locks: u32,
}

impl Count {
    pub(super) fn of(party: &mut Party) -> Self {
        let mut count = Self::default();
        party.node.visit(&mut count);
        count
    }
}

impl Visit for Count {
    fn resource(&mut self, _: ResourceView<'_>) {
        self.resources += 1;
    }
    fn physical(&mut self, _: PhysicalView) {
        self.physical += 1;
    }
    fn lock(&mut self, _: LockView) {
        self.locks += 1;
    }
}

impl Party {
    /// Messages that one input may make.
    fn output_max(&self) -> usize {
        let chunks = (WINDOW + CHUNK) / CHUNK_LEAST + 1;
        let transfers = 2 * TRANSFERS_MAX * (1 + chunks as usize);
        let records = self.limits.resources + self.limits.physical + self.limits.relays;
        MEMBERS.len() * (RING_LEN + 16 + 8 * records as usize + transfers)
    }

    fn check_bounds(&mut self) {
        let Count { resources, physical, locks } = Count::of(self);
        let limits = self.limits;
        assert!(resources <= limits.resources, "{resources} resources");
        assert!(physical <= limits.physical, "{physical} physical locks");
        assert!(locks <= limits.locks, "{locks} locks");
    }
}

impl Scene<'_> {
    /// Takes everything that a node has to say, then checks the laws.
    pub(super) fn settle(&mut self, node: NodeId) {
        let mut sent = 0;
        loop {
            let mut is_quiet = true;
            while let Some(event) = self.party(node).node.poll_event() {
                is_quiet = false;
                self.ghost.told(node, event);
            }
            while let Some(peer) = self.party(node).node.poll_ready() {
                is_quiet = false;
                let party = self.party(node);
                assert!(party.connected[place(peer)], "node {node} names node {peer}, which is gone");
                party.owed[place(peer)] = true;
            }
            for peer in MEMBERS {
                let party = self.party(node);
                if party.owed[place(peer)] && !party.clogged[place(peer)] {
                    is_quiet = false;
                    party.owed[place(peer)] = false;
                    sent += self.settle_with(node, peer);
                }
            }
            if is_quiet {
                break;
            }
        }
        let most = self.party(node).output_max();
        assert!(sent <= most, "L6: one input made {sent} messages of node {node}, more than {most}");
        self.check(node);
    }

    /// Takes what there is for one peer.
    fn settle_with(&mut self, node: NodeId, peer: NodeId) -> usize {
        let now = self.now;
        let mut frame = [0; 1024];
        let mut sent = 0;
        while let Some(len) = drive::fill(now, &mut self.party(node).node, peer, &mut frame) {
            let frame = &frame[..len];
            check_written(frame);
            let (header, messages) = Messages::new(frame).expect("a node writes what can be read");
            assert_eq!(header.from, node);
            sent += messages.clone().count();
            messages.for_each(|message| self.hear(&message));
            if self.engine.is_none() && [SUBJECT, FRIEND].contains(&peer) {
                self.under_way.push_back((node, frame.to_vec()));
            }
        }
        sent
    }

    /// Liars remember what they are told, and overhear what others are.
    fn hear(&mut self, message: &Message<'_>) {
        let echoes = &mut self.world.echoes;
        match message {
            Message::Lock(message) => match &message.body {
                Body::Position(position) => echoes.hear_number(position.number.0),
                Body::Grant(grant) => echoes.hear_number(grant.number.0),
                Body::Demand(demand) => {
                    echoes.hear_number(demand.number.0);
                    echoes.hear_number(u64::from(demand.id.0));
                }
                Body::Queued(_)
                | Body::Deny(_)
                | Body::Written(_)
                | Body::Redirect(_)
                | Body::UpdatedLocks(_) => {}
            },
            Message::Transfer(message) => echoes.hear_transfer(message.range, message.version),
            Message::View(ViewMessage::Ask(ask)) => echoes.hear_question(ask),
            Message::View(_) => {}
        }
    }

    fn check(&mut self, node: NodeId) {
        let now = self.now;
        self.check_silence(node, "L3: without an input");
        let party = self.party(node);
        if party.node.poll_timeout().is_none_or(|until| until > now) {
            party.node.handle_timeout(now);
            self.check_silence(node, "L1: after a timeout that is not due");
        }
        let party = self.party(node);
        party.node.check();
        party.check_bounds();
        let stats = party.node.stats();
        let pending = self.ghost.pending(node);
        let accounted = stats.granted + stats.denied + stats.cancelled + pending;
        assert_eq!(stats.asked, accounted, "node {node}: {stats:?} and {pending} pending");
        self.check_honest_slots(node);
        self.check_views();
    }

    fn check_silence(&mut self, node: NodeId, when: &str) {
        let now = self.now;
        let party = self.party(node);
        let mut frame = [0; 1024];
        for peer in MEMBERS.into_iter().filter(|peer| !party.clogged[place(*peer)]) {
            let sent = party.node.poll_transmit(now, peer, &mut frame);
            assert!(sent.is_none(), "{when} node {node} has a frame for node {peer}");
        }
        let event = party.node.poll_event();
        assert!(event.is_none(), "{when} node {node} has {event:?}");
        let ready = party.node.poll_ready();
        assert!(ready.is_none(), "{when} node {node} has something for {ready:?}");
    }

    /// M1: no liar becomes the master of what is not the liar's.
    fn check_honest_slots(&mut self, node: NodeId) {
        for at in 0..self.slots.len() {
            let slot = self.slots[at];
            let view = self.party(node).node.slot(slot).expect("the slot exists");
            let master = view.master.expect("every slot has a master");
            let is_honest = [SUBJECT, FRIEND].contains(&master);
            assert!(is_honest, "node {node} takes node {master} for the master of {slot:?}");
        }
    }
}
