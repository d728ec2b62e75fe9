//! Live remastering: slots move while their locks are in use, and every meeting of messages has a defined outcome.
//!
//! `OLD` gives slots to `NEW`; `CARL` and `DORA` are the others. A script holds back what it wants to cross: a frame
//! that is held back arrives when it is delivered, and is lost if it never is. After every input the cluster checks
//! that at most one node decides about a resource and that what nodes hold is compatible.

mod chunks;
mod conservation;
mod crossings;
mod faults;
mod full;
mod hostile;
mod interval;
mod news;
mod offers;
mod shapes;
mod stale;

use core::time::Duration;

use lockmaster_core::{Config, Flags, Limits, LockId, Mode, NodeId, SlotId, SlotRange, SpaceId, TransferId};
use lockmaster_tests::cluster::{Cluster, Frame, OwnedUnit, Word};

/// The master that gives slots away.
pub(crate) const OLD: NodeId = NodeId(1);
/// The master that takes them.
pub(crate) const NEW: NodeId = NodeId(2);
/// Another member.
pub(crate) const CARL: NodeId = NodeId(3);
/// And one more.
pub(crate) const DORA: NodeId = NodeId(4);
/// All of them.
pub(crate) const EVERYBODY: [NodeId; 4] = [OLD, NEW, CARL, DORA];

/// A space that retains until demanded.
pub(crate) const IDLE: SpaceId = SpaceId(0);
/// A space that retains nothing.
pub(crate) const PLAIN: SpaceId = SpaceId(1);

/// `Config::repeat_after`, by default.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
/// `Config::repeat_waiting_after`, by default.
pub(crate) const LONG: Duration = Duration::from_secs(5);

/// A lock and the node of its owner.
pub(crate) type Owned = (NodeId, LockId);

// ---- clusters ----

pub(crate) fn small_chunks(config: &mut Config) {
    config.chunk = 256;
    config.window = 256;
}

/// Four members whose transfers take one chunk.
pub(crate) fn quartet() -> Cluster {
    Cluster::of_slots(&[Limits::uniform(64); 4], 2, |_| {})
}

/// Four members whose chunks have little room, one of which is on its way at a time.
pub(crate) fn slow_quartet() -> Cluster {
    Cluster::of_slots(&[Limits::uniform(64); 4], 2, small_chunks)
}

/// The slots of a space that a node is master of, which follow each other.
pub(crate) fn range_of(cluster: &mut Cluster, node: NodeId, space: SpaceId) -> SlotRange {
    let slots = cluster.slots_of(node, space);
    SlotRange { first: slots[0], len: u32::try_from(slots.len()).expect("slots are few") }
}

/// The first slot of the plain space, which is `OLD`'s at first.
pub(crate) fn slot_of(cluster: &mut Cluster) -> SlotId {
    cluster.node(OLD).slots(PLAIN).expect("the space is configured").first
}

/// Names of that slot, so long that a small chunk has room for one of them.
pub(crate) fn long_names(cluster: &mut Cluster, count: usize) -> Vec<Vec<u8>> {
    let slot = slot_of(cluster);
    cluster.names_in(PLAIN, slot, &"n".repeat(56), count)
}

// ---- owners ----

pub(crate) fn ask_with(cluster: &mut Cluster, name: &[u8], node: NodeId, mode: Mode, flags: Flags) -> Owned {
    let asked = cluster.ask_in(PLAIN, name, node, mode, flags);
    (node, asked.expect("the request is taken").lock)
}

pub(crate) fn ask(cluster: &mut Cluster, name: &[u8], node: NodeId, mode: Mode) -> Owned {
    ask_with(cluster, name, node, mode, Flags::NONE)
}

/// An owner asks, and gets it once everything has arrived.
pub(crate) fn lock(cluster: &mut Cluster, name: &[u8], node: NodeId, mode: Mode) -> Owned {
    let owned = ask(cluster, name, node, mode);
    cluster.run();
    assert_eq!(mode_of(cluster, owned), Some(mode), "the lock is granted");
    owned
}

/// The mode that a lock holds; absent while a request waits.
pub(crate) fn mode_of(cluster: &mut Cluster, (node, lock): Owned) -> Option<Mode> {
    cluster.node(node).held(lock).expect("the lock is live")
}

pub(crate) fn release(cluster: &mut Cluster, (node, lock): Owned) {
    cluster.release(node, lock);
}

/// Everybody gets a turn: who is granted releases, until nobody is left. Nothing remains of it, and every request was
/// granted, denied or cancelled.
pub(crate) fn finish(cluster: &mut Cluster, owned: &[Owned]) {
    let mut left = owned.to_vec();
    for _ in 0..=owned.len() {
        cluster.settle(LONG);
        left.retain(|(node, lock)| cluster.node(*node).held(*lock).is_ok());
        for owned in left.clone() {
            if mode_of(cluster, owned).is_some() {
                cluster.cancel(owned.0, owned.1);
                release(cluster, owned);
            }
        }
    }
    left.retain(|(node, lock)| cluster.node(*node).held(*lock).is_ok());
    assert_eq!(left, [], "everybody had a turn");
    cluster.settle(LONG);
    let nodes: Vec<_> = cluster.members();
    for node in nodes {
        let stats = cluster.node(node).stats();
        assert_eq!(stats.asked, stats.granted + stats.denied + stats.cancelled, "node {node}: {stats:?}");
    }
}

// ---- transfers ----

pub(crate) fn is_chunk(frame: &Frame) -> bool {
    frame.is(Word::InitialLocks)
}

/// The old master is told to give these slots to the new one.
pub(crate) fn give(cluster: &mut Cluster, range: SlotRange) -> TransferId {
    cluster.transfer(OLD, range, NEW).expect("the slots can be given away")
}

/// A transfer of these slots begins, and everything arrives but its chunks, the first of which are on their way.
pub(crate) fn begin(cluster: &mut Cluster, range: SlotRange) -> (TransferId, Vec<Frame>) {
    let transfer = give(cluster, range);
    let chunks = cluster.run_but(is_chunk);
    assert!(!chunks.is_empty(), "the transfer moves");
    (transfer, chunks)
}

/// Chunk by chunk arrives until this is so; what is on its way then is returned.
pub(crate) fn go_on_until(
    cluster: &mut Cluster,
    mut flight: Vec<Frame>,
    mut is_so: impl FnMut(&mut Cluster) -> bool,
) -> Vec<Frame> {
    while !is_so(cluster) {
        assert!(!flight.is_empty(), "the transfer has ended before");
        let chunk = flight.remove(0);
        cluster.deliver(&chunk);
        flight.extend(cluster.run_but(is_chunk));
    }
    flight
}

/// Names of the records that begin in these chunks.
pub(crate) fn names_of(chunks: &[Frame]) -> Vec<Vec<u8>> {
    let named = |unit| match unit {
        OwnedUnit::Record { name, .. } => Some(name),
        OwnedUnit::Lock(_) => None,
    };
    chunks.iter().flat_map(Frame::units).filter_map(named).collect()
}

/// Everybody's map gives these slots to this node, and nothing is in transfer any more.
pub(crate) fn is_settled_on(cluster: &mut Cluster, range: SlotRange, master: NodeId) {
    for slot in range.slots() {
        let maps = cluster.maps(slot);
        assert!(maps.iter().all(|other| *other == master), "slot {}: {maps:?}", slot.0);
        assert!(cluster.moving(slot).iter().all(|is_moving| !is_moving), "slot {} is still moving", slot.0);
    }
}
