//! Other members: who is heard, what comes from them, and what goes to them.

use crate::error::{Dropped, HelloError};
use crate::holder::Named;
use crate::id::{DemandId, NodeId, Number, SlotId, SpaceId};
use crate::machine::{Machine, Member, places};
use crate::name::NameError;
use crate::record::{NOBODY, Peer, Physical, Resource, RingBody};
use crate::table::Idx;
use crate::time::Instant;
use crate::wire::{
    Body, Deny, FRAME_LEAST, FRAME_MAX, FrameHeader, FrameWriter, Hello, LockMessage, Message, Messages,
    Position, PositionKind, Redirect, VersionRange,
};

/// What became of the next thing to say to a peer.
pub(crate) enum Push {
    Said,
    /// It needed no message any more.
    Passed,
    /// The frame has no room for it.
    Full,
    Nothing,
}

impl Machine<'_> {
    // ---- connections ----

    pub(crate) fn handle_hello(&mut self, now: Instant, hello: &Hello) -> Result<(), HelloError> {
        if hello.cluster != self.s.config.cluster {
            return Err(HelloError::Cluster);
        }
        if VersionRange::OURS.common(hello.versions).is_none() || (hello.frame_max as usize) < FRAME_LEAST {
            return Err(HelloError::Version);
        }
        let is_static = self.s.config.is_static();
        if hello.digest != self.s.config.digest() || is_static && hello.epoch != self.s.epoch() {
            return Err(HelloError::Digest);
        }
        if hello.node == self.s.config.node {
            return Err(HelloError::Member(hello.node));
        }
        let Some(member) = self.member_of(hello.node) else {
            let node = hello.node;
            return Err(if is_static { HelloError::Member(node) } else { HelloError::Stranger(node) });
        };
        let peer = self.peer(member);
        // A view names an incarnation once: a static one the first that is heard.
        if peer.incarnation.is_some_and(|known| known != hello.incarnation) {
            let node = hello.node;
            return Err(if is_static { HelloError::Incarnation(node) } else { HelloError::Stranger(node) });
        }
        self.see(now);
        let peer = self.peer(member);
        peer.incarnation = Some(hello.incarnation);
        peer.epoch = peer.epoch.max(hello.epoch);
        peer.frame_max = hello.frame_max;
        peer.is_connected = true;
        self.s.hurried |= 1 << member;
        self.mark_ready(member);
        self.hurry_transfers(member);
        self.open();
        Ok(())
    }

    /// Begins to send and to grant once every member was heard (rule S4).
    fn open(&mut self) {
        let is_heard = |peer: &Peer| peer.incarnation.is_some();
        if self.s.is_open || !self.s.config.is_static() || !self.peers.iter().all(is_heard) {
            return;
        }
        self.s.is_open = true;
        for member in places(self.s.others()) {
            self.mark_ready(member);
        }
        self.settle();
    }

    pub(crate) fn handle_disconnect(&mut self, now: Instant, node: NodeId) {
        self.see(now);
        if let Some(member) = self.member_of(node) {
            self.peer(member).is_connected = false;
            self.s.ready &= !(1 << member);
        }
    }

    // ---- frames that come ----

    pub(crate) fn handle_frame(&mut self, now: Instant, from: NodeId, frame: &[u8]) -> Result<(), Dropped> {
        let checked = Messages::new(frame).and_then(|(header, messages)| {
            let member = self.check_header(from, &header)?;
            let is_heard = self.note_epoch(member, header.epoch) || crate::fault_on!(self, OTHER_VIEWS);
            if is_heard { Ok((member, messages)) } else { Err(Dropped::Epoch) }
        });
        let (member, mut messages) = checked.inspect_err(|_| self.s.stats.frames_dropped += 1)?;
        self.see(now);
        self.s.stats.frames_in += 1;
        for message in messages.by_ref() {
            self.s.stats.messages_in += 1;
            match message {
                Message::Lock(message) => self.handle_message(member, &message),
                Message::Transfer(message) => self.handle_transfer(member, &message),
                Message::View(message) => self.handle_view_message(member, &message),
            }
        }
        self.s.stats.messages_unknown += u64::from(messages.skipped());
        Ok(())
    }

    fn check_header(&self, from: NodeId, header: &FrameHeader) -> Result<Member, Dropped> {
        if header.cluster != self.s.config.cluster {
            return Err(Dropped::Cluster);
        }
        let member = self.member_of(from).filter(|_| header.from == from).ok_or(Dropped::Peer)?;
        let known = self.peers[usize::from(member)].incarnation;
        if self.is_me(member) || known != Some(header.incarnation) {
            return Err(Dropped::Peer);
        }
        Ok(member)
    }

    fn handle_message(&mut self, from: Member, message: &LockMessage<'_>) {
        self.s.lock_messages += 1;
        let (space, name) = (message.space, message.name);
        let is_position = matches!(message.body, Body::Position(_) | Body::UpdatedLocks(_));
        if !self.is_space(space) || !self.s.is_open || is_position && self.is_suspect() {
            // Before every member was heard nothing is granted; what is dropped here is repeated.
            self.s.stats.messages_dropped += 1;
            return;
        }
        let hash = self.hash_of(space, name);
        let at = self.find(space, name, hash);
        self.handle_body(from, at, Named { space, name }, hash, &message.body);
        self.settle();
    }

    /// One message, from another node or from this node to itself.
    fn handle_body(
        &mut self,
        from: Member,
        at: Option<Idx<Resource>>,
        named: Named<'_>,
        hash: u64,
        body: &Body,
    ) {
        let slot = at.map_or_else(|| self.slot_of(named.space, hash), |at| self.resources[at].slot);
        let is_masters = !matches!(body, Body::Position(_) | Body::UpdatedLocks(_));
        if is_masters && !self.is_believed(from, slot) {
            // Only who decides is believed (rule M1).
            self.s.stats.messages_dropped += 1;
            return;
        }
        // A master denies for want of room, and names another one, also where it does not decide.
        if is_masters && !matches!(body, Body::Redirect(_) | Body::Deny(_)) {
            self.note_early(from, at, slot);
        }
        match body {
            Body::Position(position) => self.handle_position(from, at, named, hash, position),
            Body::Queued(queued) => self.handle_queued(at, queued),
            Body::Grant(grant) => self.handle_grant(from, at, named, grant),
            Body::Deny(deny) => self.handle_deny(at, deny),
            Body::Demand(demand) => {
                if !self.is_me(from) {
                    self.s.stats.demands.incoming += 1;
                }
                self.handle_demand(from, at, named, demand);
            }
            Body::Written(number) => self.handle_written(at, *number),
            Body::Redirect(redirect) => self.handle_redirect(slot, redirect),
            Body::UpdatedLocks(updated) => self.handle_updated(from, at, named, hash, updated),
        }
    }

    /// Whose word counts as a master's: that of the slot's master in this node's map, of the one before it, and of
    /// the one that the master has named to be next (rule M1).
    fn is_believed(&self, from: Member, slot: u32) -> bool {
        let slot = self.slot(slot);
        self.is_me(from) || [slot.master, slot.former, slot.heir].contains(&from)
    }

    // ---- this node as its own peer ----

    /// Delivers what this node says to itself as a master and as a holder, until it has nothing to say.
    pub(crate) fn settle(&mut self) {
        if !self.s.is_open || self.is_suspect() || core::mem::replace(&mut self.s.is_settling, true) {
            return;
        }
        while self.settle_one() {}
        self.s.is_settling = false;
    }

    fn settle_one(&mut self) -> bool {
        let me = self.s.me;
        if let Some(answer) = self.peer(me).ring.front().copied() {
            self.peer(me).ring.pop();
            let hash = self.hash_of(answer.space, answer.name.as_bytes());
            let named = Named { space: answer.space, name: answer.name.as_bytes() };
            let at = self.find(named.space, named.name, hash);
            let body = self.ring_body(answer.body);
            self.handle_body(me, at, named, hash, &body);
            return true;
        }
        if let Some(at) = self.peers[usize::from(me)].answers.head() {
            let resource = self.physical[at].resource.expect("a live record has a resource");
            let body = self.answer_of(at);
            if let Some(body) = &body {
                self.answer_was_said(at, body);
            }
            if self.is_silent(at) {
                self.peers[usize::from(me)].answers.remove(&mut self.physical, at);
            }
            if let Some(body) = body {
                let record = &self.resources[resource];
                let (space, hash, name) = (record.space, record.hash, self.name_of(record));
                self.handle_body(me, Some(resource), Named { space, name: name.as_bytes() }, hash, &body);
            }
            return true;
        }
        let Some(at) = self.peers[usize::from(me)].positions.pop_front(&mut self.resources) else {
            return false;
        };
        if !self.is_master(at) {
            self.repeat_position(at);
            return true;
        }
        let position = self.position_of(at);
        let resource = &self.resources[at];
        let (space, hash, name) = (resource.space, resource.hash, self.name_of(resource));
        self.position_was_delivered(at);
        self.handle_position(me, Some(at), Named { space, name: name.as_bytes() }, hash, &position);
        self.drop_if_unused(at);
        true
    }

    // ---- frames that go ----

    pub(crate) fn poll_ready(&mut self) -> Option<NodeId> {
        while self.s.is_open && self.s.ready != 0 {
            let member = u8::try_from(self.s.ready.trailing_zeros()).expect("a bit of 64");
            self.s.ready &= self.s.ready - 1;
            if self.has_output(member) {
                return Some(self.node_at(member));
            }
        }
        None
    }

    fn has_output(&self, member: Member) -> bool {
        if !self.is_met(member) {
            return self.has_view_output(member);
        }
        let peer = &self.peers[usize::from(member)];
        peer.ring.front().is_some()
            || self.has_view_output(member)
            || !peer.answers.is_empty()
            || !peer.positions.is_empty()
            || self.has_transfer_output(member)
            || self.has_report(member)
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, to: NodeId, frame: &mut [u8]) -> Option<usize> {
        self.see(now);
        let member = self.member_of(to).filter(|member| !self.is_me(*member))?;
        let peer = self.peer(member);
        if !peer.is_connected || !self.s.is_open || !self.has_output(member) {
            return None;
        }
        let peer = &self.peers[usize::from(member)];
        let len = frame.len().min(FRAME_MAX).min(peer.frame_max as usize);
        let config = &self.s.config;
        let header = FrameHeader {
            versions: VersionRange::OURS,
            cluster: config.cluster,
            epoch: self.s.epoch(),
            from: config.node,
            incarnation: config.incarnation,
            len: 0,
        };
        let mut writer = FrameWriter::new(header, &mut frame[..len]);
        self.s.transfers.begin_frame();
        loop {
            match self.write_one(member, &mut writer) {
                Push::Said => self.s.stats.messages_out += 1,
                // An input put it there and another made it needless: each costs one step, once.
                Push::Passed => {}
                Push::Full | Push::Nothing => break,
            }
        }
        let len = writer.finish();
        if len == 0 {
            return None;
        }
        self.s.stats.frames_out += 1;
        Some(len)
    }

    /// Says the next thing to a peer, or passes over what needs no message any more.
    fn write_one(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Push {
        if self.has_view_output(member) {
            return self.write_view(member, writer);
        }
        if !self.is_met(member) {
            // Until it has this view, too, it would drop everything else.
            return Push::Nothing;
        }
        if let Some(answer) = self.peer(member).ring.front().copied() {
            let body = self.ring_body(answer.body);
            let message = LockMessage { space: answer.space, name: answer.name.as_bytes(), body };
            if !writer.push(&message) {
                return Push::Full;
            }
            self.peer(member).ring.pop();
            return Push::Said;
        }
        // Positions that are passed on follow the chunks of their records, which were sent before.
        if let Some(push) = self.write_relay(member, writer) {
            return push;
        }
        if let Some(at) = self.peers[usize::from(member)].answers.head() {
            self.s.lock_messages += 1;
            return self.write_answer(member, at, writer);
        }
        let Some(at) = self.peers[usize::from(member)].positions.head() else {
            return match self.write_transfer(member, writer) {
                Push::Nothing if self.has_report(member) => self.write_report(member, writer),
                push @ (Push::Said | Push::Passed | Push::Full | Push::Nothing) => push,
            };
        };
        if self.is_wanted_from(member, at) {
            return self.write_wanted(member, at, writer);
        }
        if self.master_at(&self.resources[at]) != member {
            // The slot has moved since: the position goes where the map says now.
            self.unlink_position(at);
            self.repeat_position(at);
            self.settle();
            return Push::Passed;
        }
        let body = Body::Position(self.position_of(at));
        if !self.write_about(at, body, writer) {
            return Push::Full;
        }
        self.s.lock_messages += 1;
        self.count_outgoing(&body);
        self.peers[usize::from(member)].positions.remove(&mut self.resources, at);
        self.position_was_said(at);
        Push::Said
    }

    fn write_answer(&mut self, member: Member, at: Idx<Physical>, writer: &mut FrameWriter<'_>) -> Push {
        let resource = self.physical[at].resource.expect("a live record has a resource");
        if !self.is_master(resource) {
            // It was decided before the slot was lost, and is not said any more: the next master decides anew.
            self.peers[usize::from(member)].answers.remove(&mut self.physical, at);
            return Push::Passed;
        }
        let body = self.answer_of(at);
        if let Some(body) = body {
            if !self.write_about(resource, body, writer) {
                return Push::Full;
            }
            self.answer_was_said(at, &body);
        }
        if self.is_silent(at) {
            self.peers[usize::from(member)].answers.remove(&mut self.physical, at);
        }
        if body.is_some() { Push::Said } else { Push::Passed }
    }

    fn write_about(&self, at: Idx<Resource>, body: Body, writer: &mut FrameWriter<'_>) -> bool {
        let resource = &self.resources[at];
        let name = self.name_bytes(resource);
        writer.push(&LockMessage { space: resource.space, name, body })
    }

    fn count_outgoing(&mut self, body: &Body) {
        let Body::Position(position) = body else { return };
        let stats = &mut self.s.stats;
        match (position.wanted, position.pinned, position.held) {
            (Some(_), Some(_), _) => stats.conversions.outgoing += 1,
            (Some(_), None, _) => stats.requests.outgoing += 1,
            (None, _, None) => stats.releases.outgoing += 1,
            (None, _, Some(_)) => {}
        }
    }

    fn ring_body(&self, body: RingBody) -> Body {
        match body {
            RingBody::Deny(number, reason) => Body::Deny(Deny { number, reason }),
            RingBody::Written(number) => Body::Written(number),
            RingBody::Redirect(master, version, slot) => {
                Body::Redirect(Redirect { slot: SlotId(slot), master, version })
            }
            RingBody::Nothing(number, answers) => Body::Position(nothing(number, answers)),
        }
    }

    pub(crate) fn master_of(&self, space: SpaceId, name: &[u8]) -> Result<Option<NodeId>, NameError> {
        crate::name::check_name(name)?;
        if !self.is_space(space) {
            return Ok(None);
        }
        let slot = self.slot_of(space, self.hash_of(space, name));
        let master = self.slot(slot).master;
        Ok((master != NOBODY).then(|| self.node_at(master)))
    }
}

/// The position of a node that holds and wants nothing.
fn nothing(number: Number, answers: DemandId) -> Position {
    Position { kind: PositionKind::Downgrade, number, answers, ..Position::default() }
}
