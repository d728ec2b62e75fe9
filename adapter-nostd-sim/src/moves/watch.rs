//! What is read off the messages between nodes, when they are sent and when they arrive.

use alloc::vec::Vec;

use lockmaster_core::wire::{
    Body, InitialLocks, LockMessage, OfferAnswer, TransferBody, TransferMessage, Unit,
};
use lockmaster_core::{MapVersion, NodeId, SlotId, SlotRange, SpaceId};

use super::{Move, Moves, Reign, Sent, all_but};
use crate::network::Way;
use crate::report::{Violation, broken, ensure};

/// Most bytes of a resource in a chunk, and of each of its locks.
const UNIT_MAX: usize = 256;

impl Moves {
    fn named(&mut self, range: SlotRange, version: MapVersion) -> Option<usize> {
        self.all.iter().rposition(|one| one.range == range && one.version == Some(version))
    }

    fn place(&self, node: NodeId, slot: usize) -> usize {
        usize::from(node.0) * self.reigns.len() + slot
    }

    // ---- about resources ----

    /// A node sends a message about a resource.
    pub(crate) fn sends_lock(
        &mut self,
        way: Way,
        resource: usize,
        message: &LockMessage<'_>,
    ) -> Result<(), Violation> {
        match message.body {
            Body::Position(_) => self.sends_position(way, resource),
            Body::UpdatedLocks(_) => self.relays(way, resource),
            Body::Queued(_)
            | Body::Grant(_)
            | Body::Deny(_)
            | Body::Demand(_)
            | Body::Written(_)
            | Body::Redirect(_) => Ok(()),
        }
    }

    /// A node that has acknowledged a new master says nothing to the old one any more.
    fn sends_position(&mut self, way: Way, resource: usize) -> Result<(), Violation> {
        let Way { from, to } = way;
        let slot = self.slot_of(resource).0 as usize;
        let known = self.acknowledged[self.place(from, slot)];
        let is_master = self.reigns[slot].iter().any(|reign| reign.master == to && reign.version >= known);
        ensure!(
            is_master,
            Transfer,
            "node {from} says its position on resource {resource} to node {to} and has acknowledged {known:?}"
        );
        Ok(())
    }

    /// An old master passes a position on. After the end there is nothing to pass on.
    fn relays(&mut self, way: Way, resource: usize) -> Result<(), Violation> {
        let slot = self.slot_of(resource);
        let is_his = |one: &&Move| {
            one.from == way.from && one.to == way.to && one.is_begun() && one.range.contains(slot)
        };
        let one = self.all.iter().rev().find(is_his);
        let is_between = one.is_some_and(|one| !one.is_end_sent);
        ensure!(
            is_between,
            Transfer,
            "node {} passes a position on resource {resource} on to node {} in no transfer interval: {one:?}",
            way.from,
            way.to
        );
        self.counts.relays += 1;
        Ok(())
    }

    // ---- about transfers ----

    /// A node sends a message about a transfer.
    pub(crate) fn sends(
        &mut self,
        way: Way,
        message: &TransferMessage<'_>,
        resources: &[(SpaceId, Vec<u8>)],
    ) -> Result<(), Violation> {
        let TransferMessage { range, version, body } = *message;
        if let TransferBody::Offer { to, .. } = body {
            return self.offers(way, range, version, to);
        }
        if body == TransferBody::Withdraw {
            self.names(way.from, range, version);
        }
        let Some(at) = self.named(range, version) else {
            return Err(broken!(Transfer, "a message of a transfer that was not offered: {message:?}"));
        };
        let one = &self.all[at];
        let (old, new) = (one.from, one.to);
        let is_way = match body {
            TransferBody::Offer { .. } | TransferBody::Withdraw => way.from == old,
            TransferBody::InitialLocks(_) | TransferBody::End => way.from == old && way.to == new,
            TransferBody::Received { .. } | TransferBody::EndAck => way.from == new && way.to == old,
            TransferBody::NewMaster { old: named } => way.from == new && way.to != old && named == old,
            TransferBody::NewMasterAck => way.to == old && way.from != new,
            TransferBody::OfferAnswer(_) | TransferBody::WithdrawAck => way.to == old,
        };
        ensure!(is_way, Transfer, "node {} sends node {} {message:?}", way.from, way.to);
        match body {
            TransferBody::InitialLocks(chunk) => self.sends_chunk(at, &chunk, resources),
            TransferBody::NewMaster { .. } => {
                ensure!(one.is_complete(), Transfer, "node {new} is the new master of {one:?}");
                Ok(())
            }
            TransferBody::NewMasterAck => {
                self.acknowledges(way.from, at);
                Ok(())
            }
            TransferBody::End => self.ends(at),
            TransferBody::Withdraw => {
                ensure!(
                    !one.is_begun(),
                    Transfer,
                    "node {old} takes {range} back, of which records are packed"
                );
                Ok(())
            }
            TransferBody::Offer { .. }
            | TransferBody::OfferAnswer(_)
            | TransferBody::Received { .. }
            | TransferBody::EndAck
            | TransferBody::WithdrawAck => Ok(()),
        }
    }

    /// A transfer may be taken back before it was offered to anybody.
    fn names(&mut self, from: NodeId, range: SlotRange, version: MapVersion) {
        if self.named(range, version).is_some() {
            return;
        }
        let is_it = |one: &&mut Move| {
            one.from == from && one.range == range && one.version.is_none() && one.is_withdrawn
        };
        if let Some(one) = self.all.iter_mut().find(is_it) {
            one.version = Some(version);
        }
    }

    fn offers(
        &mut self,
        way: Way,
        range: SlotRange,
        version: MapVersion,
        to: NodeId,
    ) -> Result<(), Violation> {
        if let Some(at) = self.named(range, version) {
            let one = &self.all[at];
            let is_it = one.from == way.from && one.to == to;
            ensure!(is_it, Transfer, "node {} offers {range} to node {to}, twice: {one:?}", way.from);
            return Ok(());
        }
        for SlotId(slot) in range.slots() {
            let reign = self.reigns[slot as usize].last().expect("every slot has a master");
            ensure!(
                version > reign.version && reign.master == way.from,
                Transfer,
                "node {} offers slot {slot} under {version:?}; it is node {}'s under {:?}",
                way.from,
                reign.master,
                reign.version
            );
        }
        let is_it = |one: &&mut Move| {
            one.from == way.from
                && one.to == to
                && one.range == range
                && one.version.is_none()
                && !one.is_withdrawn
        };
        let Some(one) = self.all.iter_mut().find(is_it) else {
            return Err(broken!(Transfer, "node {} offers {range} to node {to}, unasked", way.from));
        };
        one.version = Some(version);
        Ok(())
    }

    /// A chunk goes out. Its units follow those that were sent, or are the same as before; not too much is under way.
    fn sends_chunk(
        &mut self,
        at: usize,
        chunk: &InitialLocks<'_>,
        resources: &[(SpaceId, Vec<u8>)],
    ) -> Result<(), Violation> {
        let (most, window) = (self.chunk, self.window);
        let one = &mut self.all[at];
        let (position, range) = (usize::try_from(chunk.head.position).expect("units are few"), one.range);
        let is_agreed = all_but(&one.noted, &[one.from]) && !one.is_withdrawn;
        ensure!(is_agreed, Transfer, "slots {range} are sent and not everybody has agreed: {one:?}");
        ensure!(!one.is_end_sent, Transfer, "a chunk after the end of {range}");
        let is_next = position <= one.units.len() && (position <= one.cursor || position <= one.received);
        ensure!(is_next, Transfer, "a chunk at unit {position} after unit {} of {range}", one.cursor);
        let bytes = chunk.message_len();
        // It is full when its bytes reach the configured number, so it may be longer by less than one record.
        let members = self.strangers.iter().filter(|is_stranger| !**is_stranger).count();
        ensure!(bytes < most + UNIT_MAX * (1 + members), Transfer, "a chunk of {bytes} bytes");
        self.counts.chunks += 1;
        if position < one.cursor {
            // It goes back: what was on its way is taken for lost.
            one.under_way.clear();
            self.counts.repeats += 1;
        }
        let under_way = one.under_way.iter().map(|(_, bytes)| bytes).sum::<usize>();
        ensure!(
            under_way < window,
            Transfer,
            "{under_way} bytes of {range} are under way, and more goes out"
        );
        self.counts.full_windows += u64::from(under_way + bytes >= window);
        let is_begun = one.is_begun();
        let len = one.units.len();
        one.add_chunk(position, chunk, resources)?;
        one.under_way.push((one.cursor, bytes));
        let added = &one.units[len..];
        self.counts.records += added.iter().filter(|unit| matches!(unit, Sent::Record { .. })).count() as u64;
        self.counts.locks += added.iter().filter(|unit| matches!(unit, Sent::Lock(_))).count() as u64;
        self.counts.split += u64::from(matches!(added.first(), Some(Sent::Lock(_))));
        if !is_begun {
            self.begins(at);
        }
        Ok(())
    }

    /// The first record is packed: from now on the slots will be the new master's.
    fn begins(&mut self, at: usize) {
        let one = &self.all[at];
        let version = one.version.expect("it was offered");
        for SlotId(slot) in one.range.slots() {
            self.reigns[slot as usize].push(Reign { version, master: one.to, old: one.from });
        }
    }

    fn acknowledges(&mut self, node: NodeId, at: usize) {
        let one = &self.all[at];
        let version = one.version.expect("it was offered");
        for SlotId(slot) in one.range.slots() {
            let place = self.place(node, slot as usize);
            self.acknowledged[place] = self.acknowledged[place].max(version);
        }
    }

    fn ends(&mut self, at: usize) -> Result<(), Violation> {
        let one = &mut self.all[at];
        let is_acknowledged = all_but(&one.acks, &[one.from, one.to]);
        ensure!(is_acknowledged, Transfer, "the end is sent before the last acknowledgement: {one:?}");
        let is_received = one.is_complete() && one.received == one.units.len();
        ensure!(is_received, Transfer, "the end is sent before everything is there: {one:?}");
        one.is_end_sent = true;
        Ok(())
    }

    /// A message about a transfer arrives.
    pub(crate) fn arrives(&mut self, way: Way, message: &TransferMessage<'_>) {
        let Some(at) = self.named(message.range, message.version) else { return };
        let one = &mut self.all[at];
        let peer = usize::from(way.from.0);
        match message.body {
            TransferBody::OfferAnswer(OfferAnswer::Noted | OfferAnswer::Accepted(_)) => {
                one.noted[peer] = true
            }
            TransferBody::OfferAnswer(OfferAnswer::Refused(why)) => one.refusals.push(why),
            TransferBody::InitialLocks(chunk) => one.takes_chunk(&chunk),
            TransferBody::Received { position, .. } => {
                one.received = one.received.max(usize::try_from(position).expect("units are few"));
                let received = one.received;
                one.under_way.retain(|(end, _)| *end > received);
            }
            TransferBody::NewMaster { .. } => one.informed[usize::from(way.to.0)] = true,
            TransferBody::NewMasterAck => one.acks[peer] = true,
            TransferBody::EndAck => one.is_end_acked = true,
            TransferBody::WithdrawAck => one.withdraw_acks[peer] = true,
            TransferBody::Offer { .. } | TransferBody::End | TransferBody::Withdraw => {}
        }
    }
}

impl Move {
    fn add_chunk(
        &mut self,
        position: usize,
        chunk: &InitialLocks<'_>,
        resources: &[(SpaceId, Vec<u8>)],
    ) -> Result<(), Violation> {
        let mut at = position;
        for unit in chunk.units {
            let sent = match unit {
                Unit::Record(record) => {
                    let is_it = |(space, name): &(SpaceId, Vec<u8>)| {
                        *space == record.space && name[..] == *record.name
                    };
                    let Some(resource) = resources.iter().position(is_it) else {
                        return Err(broken!(Transfer, "a record of a resource that nobody named"));
                    };
                    Sent::Record { resource, locks: record.locks, value: record.value }
                }
                Unit::Lock(lock) => Sent::Lock(lock),
            };
            self.add_unit(at, sent)?;
            at += 1;
        }
        let is_counted = at == position || self.ends_before(position) == self.ends_before(at);
        ensure!(is_counted, Transfer, "a chunk of two slots: {:?}", &self.units[position..at]);
        let slot = self.range.first.0 as usize + self.ends_before(at);
        ensure!(slot == chunk.head.slot.0 as usize, Transfer, "a chunk of slot {:?}", chunk.head.slot);
        if chunk.is_last {
            self.add_unit(at, Sent::End(chunk.head.slot))?;
            at += 1;
        }
        ensure!(at > position, Transfer, "a chunk without a unit");
        self.cursor = at;
        Ok(())
    }

    fn ends_before(&self, at: usize) -> usize {
        self.units[..at].iter().filter(|unit| matches!(unit, Sent::End(_))).count()
    }

    fn add_unit(&mut self, at: usize, unit: Sent) -> Result<(), Violation> {
        match self.units.get(at) {
            Some(known) => {
                ensure!(*known == unit, Transfer, "unit {at} was {known:?} and is {unit:?}");
            }
            None => {
                let is_again = matches!(&unit, Sent::Record { resource, .. } if self.units.iter().any(
                    |known| matches!(known, Sent::Record { resource: known, .. } if known == resource)
                ));
                ensure!(!is_again, Transfer, "a record is packed twice: {unit:?}");
                self.units.push(unit);
            }
        }
        Ok(())
    }

    fn takes_chunk(&mut self, chunk: &InitialLocks<'_>) {
        let position = usize::try_from(chunk.head.position).expect("units are few");
        let end = position + chunk.units.count() + usize::from(chunk.is_last);
        if position <= self.arrived {
            self.arrived = self.arrived.max(end);
        }
    }
}
