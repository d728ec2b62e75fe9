//! Positions that come to the old master about what is the new one's by now (rules R6, R7 and R13).

use crate::holder::Named;
use crate::id::Incarnation;
use crate::machine::{Machine, Member};
use crate::peer::Push;
use crate::record::{Course, NOBODY, Resource, RingBody};
use crate::table::Idx;
use crate::wire::{Body, FrameWriter, LockMessage, Position, UpdatedLocks, encode_message};

impl Machine<'_> {
    /// A position about something that this node does not decide: it is passed on to the new master, or the node
    /// that stated it is told who the master is (rules M1 and R6).
    pub(crate) fn pass_on(&mut self, from: Member, named: Named<'_>, slot: u32, position: &Position) {
        let entry = self.slot(slot);
        match entry.course {
            // Everybody has acknowledged the new master, so this is a straggler (rule R12).
            Course::Outgoing(place) if self.s.transfers.outgoing[usize::from(place)].is_ending() => {
                self.redirect(from, named, slot);
            }
            Course::Outgoing(_) | Course::Packing(_) => {
                self.relay(from, named, slot, position);
                #[cfg(lockmaster_faults)]
                self.apply_to_packed(from, named, position);
            }
            // Its chunk may be on the way, or nobody decides yet. Whoever stated it says it again.
            Course::Incoming(_) | Course::Reporting | Course::Rebuilding => {
                self.s.stats.messages_dropped += 1;
            }
            Course::Still if entry.master == NOBODY => self.s.stats.messages_dropped += 1,
            Course::Still => self.redirect(from, named, slot),
        }
    }

    fn redirect(&mut self, from: Member, named: Named<'_>, slot: u32) {
        let entry = self.slot(slot);
        let body = RingBody::Redirect(self.node_at(entry.master), entry.version, slot);
        self.s.stats.redirects += 1;
        self.answer(from, named.space, named.name, body);
    }

    fn relay(&mut self, from: Member, named: Named<'_>, slot: u32, position: &Position) {
        let to = self.slot(slot).master;
        let (Some(incarnation), Some(at)) = (self.incarnation_of(from), self.take_relay()) else {
            self.s.stats.relays_dropped += 1;
            return;
        };
        let updated = UpdatedLocks { from: self.node_at(from), incarnation, position: *position };
        let body = Body::UpdatedLocks(updated);
        let message = LockMessage { space: named.space, name: named.name, body };
        let cell = &mut self.relays[at];
        let len = encode_message(&message, &mut cell.bytes).expect("a cell has room for any message");
        cell.len = u8::try_from(len).expect("a message is short");
        self.peers[usize::from(to)].relays.push_back(&mut self.relays, at);
        self.count_relayed(slot);
        self.mark_ready(to);
    }

    /// Takes a released lock out of a packed record, of which repeats are made.
    #[cfg(lockmaster_faults)]
    fn apply_to_packed(&mut self, from: Member, named: Named<'_>, position: &Position) {
        let hash = self.hash_of(named.space, named.name);
        let found = self.find(named.space, named.name, hash);
        let is_over = position.held.is_none() && position.wanted.is_none();
        let Some(at) = found.filter(|_| crate::fault_on!(self, REPEAT_LIVE) && is_over) else { return };
        if self.resources[at].passage != crate::record::Passage::Packed {
            return;
        }
        let queues = &self.resources[at].mastery.queues;
        if let Some(lock) = queues.find(&self.physical, |lock| lock.member == from) {
            self.resources[at].mastery.queues.leave(&mut self.physical, lock);
            self.put_physical(lock);
        }
    }

    /// Writes the next position that is passed on to a peer, if there is one.
    pub(crate) fn write_relay(&mut self, member: Member, writer: &mut FrameWriter<'_>) -> Option<Push> {
        let at = self.peers[usize::from(member)].relays.head()?;
        let cell = &self.relays[at];
        if !writer.push_written(&cell.bytes[..usize::from(cell.len)]) {
            return Some(Push::Full);
        }
        self.peers[usize::from(member)].relays.remove(&mut self.relays, at);
        self.put_relay(at);
        Some(Push::Said)
    }

    /// The old master passes a position on: it is taken as if its node had stated it here. Of what is not here yet
    /// nothing is done, since its chunk was lost, and the node says it again.
    pub(crate) fn handle_updated(
        &mut self,
        from: Member,
        found: Option<Idx<Resource>>,
        named: Named<'_>,
        hash: u64,
        updated: &UpdatedLocks,
    ) {
        let slot = found.map_or_else(|| self.slot_of(named.space, hash), |at| self.resources[at].slot);
        let is_known = |origin: &Member| self.incarnation_of(*origin) == Some(updated.incarnation);
        let origin = self.member_of(updated.from).filter(is_known);
        let is_here = self.is_coming_from(slot, from) && self.decides(slot, found);
        let Some(origin) = origin.filter(|_| is_here) else {
            self.s.stats.messages_dropped += 1;
            return;
        };
        self.s.stats.relayed_in += 1;
        self.handle_position(origin, found, named, hash, &updated.position);
    }

    fn incarnation_of(&self, member: Member) -> Option<Incarnation> {
        if self.is_me(member) {
            Some(self.s.config.incarnation)
        } else {
            self.peers[usize::from(member)].incarnation
        }
    }
}
