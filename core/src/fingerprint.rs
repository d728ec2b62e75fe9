//! What a model checker tells the states of a node apart by: everything that can influence what it does from now on.
//!
//! - Records are met in the order of queues and chains and named by what they are of, never by their place, so that
//!   neither the order of free records nor what is left in them counts. (`Holding::served` is the one place that may
//!   outlive its lock; it is shown as absent then, since it can do no more than take back a mark that a new lock
//!   does not have yet.)
//! - Instants are told relative to the node's own time: how long it has lived counts for nothing.
//! - Numbers, tokens, tickets and demand ids are told as they are. They grow with what owners do.
//! - Left out: statistics; generations of handles and of transfers; the lower bound of the next deadline, which only
//!   decides when the node looks at its timers; and which peers are still to be named, since a checker polls all.
//!
//! What a record has to say is taken from the messages and units that it would make, so that few of its fields are
//! named here.

use core::fmt::{self, Write as _};
use core::hash::Hasher;

use crate::machine::Machine;
use crate::record::{Chain, Events, Lock, Physical, RING_LEN, Relays, Resource};
use crate::table::{Idx, Queue, Via};
use crate::time::Instant;

/// Feeds what records print to a hasher.
pub(crate) struct Feed<'a> {
    hasher: &'a mut dyn Hasher,
    now: Instant,
}

impl Feed<'_> {
    pub(crate) fn put(&mut self, what: &dyn fmt::Debug) {
        write!(self, "{what:?};").expect("a hasher takes everything");
    }

    /// A deadline, by how far it is away.
    pub(crate) fn put_until(&mut self, at: Instant) {
        let left = (at != Instant::NEVER).then(|| at.since(self.now));
        self.put(&left);
    }

    /// A timer: nothing if it does not run.
    fn put_timer(&mut self, is_running: bool, at: Instant) {
        if is_running {
            self.put_until(at);
        } else {
            self.put(&());
        }
    }
}

impl fmt::Write for Feed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}

impl Machine<'_> {
    pub(crate) fn fingerprint(&mut self, hasher: &mut dyn Hasher) {
        let mut feed = Feed { hasher, now: self.s.now };
        let s = &*self.s;
        feed.put(&(s.is_open, s.hurried, s.is_short, s.audit_at, s.last_number(), s.last_demand()));
        feed.put(&(s.parted, s.has_parted));
        feed.put(&s.overdue.is_some());
        s.views.fingerprint(&mut feed);
        self.fingerprint_early(&mut feed);
        feed.put(&(s.present, s.epoch()));
        s.transfers.fingerprint(&mut feed, self.other_work());
        for slot in 0..self.slots.len() {
            self.fingerprint_slot(&mut feed, slot);
        }
        let members = self.peers.len();
        feed.put(&&self.floors[..self.slots.len() * members]);
        for member in 0..members {
            self.fingerprint_peer(&mut feed, member);
        }
        self.fingerprint_queues(&mut feed);
    }

    /// A slot with its resources, and with them all that is live of a node.
    fn fingerprint_slot(&self, feed: &mut Feed<'_>, slot: usize) {
        let slot = &self.slots.0[slot];
        feed.put(&(slot.master, slot.former, slot.heir, slot.course, slot.version, slot.offered));
        feed.put(&(slot.claim, slot.is_kept));
        feed.put(&(slot.grants, slot.arrivals, slot.room, slot.moved.is_linked(), slot.moved_left));
        let mut walk = slot.resources.head();
        while let Some(at) = walk {
            walk = Queue::<_, Chain>::next(&self.resources, at);
            self.fingerprint_resource(feed, at);
        }
    }

    fn fingerprint_resource(&self, feed: &mut Feed<'_>, at: Idx<Resource>) {
        let resource = &self.resources[at];
        self.put_resource(feed, at);
        feed.put(&(resource.passage, resource.is_value_lost, resource.route, resource.work.is_linked()));
        feed.put(&(resource.is_to_be_said(), resource.pace));
        feed.put_timer(resource.pace.is_some(), resource.repeat_at);
        feed.put_timer(resource.holding.idle.is_linked(), resource.idle_at);
        feed.put(&resource.mastery.value.map(|cell| self.values[cell].copy()));
        let queues = &resource.mastery.queues;
        let mut walk = queues.after(&self.physical, None);
        while let Some(lock) = walk {
            walk = queues.after(&self.physical, walk);
            self.fingerprint_physical(feed, lock);
        }
        self.fingerprint_holding(feed, at);
    }

    fn fingerprint_physical(&self, feed: &mut Feed<'_>, at: Idx<Physical>) {
        let record = &self.physical[at];
        feed.put(&self.lock_unit(at));
        feed.put(&(record.outbox.is_linked(), record.timed));
        feed.put_timer(record.timed.is_some(), record.timer_at);
    }

    fn fingerprint_holding(&self, feed: &mut Feed<'_>, at: Idx<Resource>) {
        let holding = &self.resources[at].holding;
        feed.put(&self.position_of(at));
        let demand = holding.demand().map(|demand| (demand.id, demand.stay));
        feed.put(&(holding.kind, holding.token, self.write_of(at), demand, holding.grants_after_demand));
        feed.put(&(holding.is_idle, holding.is_touched, holding.is_copy_current, holding.watched));
        feed.put(&self.resources[at].copy.map(|cell| self.values[cell].copy()));
        feed.put(&holding.wish().map(|wish| {
            let owner = wish.waiter.map(|waiter| self.locks[waiter].owner);
            (wish.is_queued.then(|| wish.ticket.ticket()), owner)
        }));
        let served = holding.served.filter(|served| self.locks[*served].resource == Some(at));
        feed.put(&served.map(|served| self.locks[served].owner));
        let mut walk = holding.locks.after(&self.locks, None);
        while let Some(lock) = walk {
            walk = holding.locks.after(&self.locks, walk);
            self.fingerprint_lock(feed, lock);
        }
    }

    fn fingerprint_lock(&self, feed: &mut Feed<'_>, at: Idx<Lock>) {
        let lock = &self.locks[at];
        let claim = &lock.claim;
        feed.put(&(lock.owner, claim.held, claim.pinned, claim.wanted, claim.told, claim.flags));
        feed.put(&(claim.place, claim.marks, lock.token, lock.priority, lock.path()));
        feed.put(&(lock.is_watched(), lock.is_lent(), lock.has_value(), lock.is_served(), lock.news));
        if let Some(until) = self.patience_until(at) {
            feed.put_until(until);
        }
    }

    /// What waits for a peer, and for its answers.
    fn fingerprint_peer(&self, feed: &mut Feed<'_>, member: usize) {
        let peer = &self.peers[member];
        feed.put(&(peer.incarnation, peer.is_connected, &peer.notes, peer.epoch));
        peer.agreeing.fingerprint(feed);
        peer.reporting.fingerprint(feed);
        feed.put(&peer.hearing);
        peer.parting.fingerprint(feed);
        for nth in 0..usize::from(peer.ring.len) {
            let at = (usize::from(peer.ring.first) + nth) % RING_LEN;
            feed.put(&peer.ring.answers[at]);
        }
        let mut relay = peer.relays.head();
        while let Some(at) = relay {
            relay = Queue::<_, Relays>::next(&self.relays, at);
            feed.put(&&self.relays[at].bytes[..usize::from(self.relays[at].len)]);
        }
        self.put_resources(feed, &peer.positions);
        self.put_physicals(feed, &peer.answers);
        for queue in &peer.repeats {
            self.put_resources(feed, queue);
        }
        for queue in &peer.demands {
            self.put_physicals(feed, queue);
        }
        self.put_physicals(feed, &peer.queued);
    }

    /// The order of what is still to be done, and to be told.
    fn fingerprint_queues(&self, feed: &mut Feed<'_>) {
        self.put_resources(feed, &self.s.limbo);
        self.put_resources(feed, &self.s.work);
        for idle in &self.s.idle[..self.s.config.spaces.len()] {
            self.put_resources(feed, &idle.queue);
        }
        for at in self.s.moved.iter(&self.slots) {
            feed.put(&(at, self.slots[at].is_urgent));
        }
        let mut event = self.s.events.head();
        while let Some(at) = event {
            event = Queue::<_, Events>::next(&self.locks, at);
            feed.put(&(self.locks[at].owner, self.locks[at].news));
        }
    }

    // ---- names of records ----

    pub(crate) fn put_resource(&self, feed: &mut Feed<'_>, at: Idx<Resource>) {
        let resource = &self.resources[at];
        feed.put(&(resource.space, self.name_bytes(resource)));
    }

    fn put_resources<V: Via<Resource>>(&self, feed: &mut Feed<'_>, queue: &Queue<Resource, V>) {
        let mut walk = queue.head();
        while let Some(at) = walk {
            walk = Queue::<_, V>::next(&self.resources, at);
            self.put_resource(feed, at);
        }
        feed.put(&());
    }

    fn put_physicals<V: Via<Physical>>(&self, feed: &mut Feed<'_>, queue: &Queue<Physical, V>) {
        let mut walk = queue.head();
        while let Some(at) = walk {
            walk = Queue::<_, V>::next(&self.physical, at);
            feed.put(&self.physical[at].member);
            self.put_resource(feed, self.physical[at].resource.expect("a live record has a resource"));
        }
        feed.put(&());
    }
}
