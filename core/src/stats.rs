//! What a node counts, after VMS MONITOR DLOCK: each operation by where it was served.

use crate::holder::Use;

/// One kind of operation, by where it came from and where it was served. What is sent again counts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Of this node's owners, served by this node.
    pub local: u64,
    /// Of this node, sent to another master (or, for demands, to another holder).
    pub outgoing: u64,
    /// Of other nodes, served by this node.
    pub incoming: u64,
}

/// Counters of a node since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// New requests ("new ENQ").
    pub requests: Traffic,
    /// Conversions ("converted ENQ").
    pub conversions: Traffic,
    /// Releases ("DEQ").
    pub releases: Traffic,
    /// Demands ("blocking AST").
    pub demands: Traffic,
    /// Owners' requests and conversions that were taken.
    pub asked: u64,
    /// Of them, granted.
    pub granted: u64,
    /// Granted without asking the master, because the node retained what was needed.
    pub granted_retained: u64,
    /// Denied, for whatever reason, after they were taken.
    pub denied: u64,
    /// Cancelled or abandoned while they waited, or lost with the lock that they were to convert.
    pub cancelled: u64,
    /// Physical locks given up because they were idle for long or too many were retained.
    pub retained_dropped: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Frames received and accepted.
    pub frames_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Messages received in accepted frames.
    pub messages_in: u64,
    /// Messages sent again because they were not answered.
    pub repeats: u64,
    /// Frames that were dropped.
    pub frames_dropped: u64,
    /// Messages that were dropped: stale, contradictory, or not for this node.
    pub messages_dropped: u64,
    /// Messages of kinds that this version does not know.
    pub messages_unknown: u64,
    /// Answers that a full ring dropped; the peer's repeat brings them back.
    pub answers_dropped: u64,
    /// Requests of this node that the master told to renew (rule N6).
    pub renewals: u64,
    /// Positions that came here although another node is the master, and were answered with it (rule M1).
    pub redirects: u64,
    /// Transfers that this node gave away to their end.
    pub transfers_out: u64,
    /// Transfers that this node took to their end.
    pub transfers_in: u64,
    /// Physical locks that went to other masters, granted and waiting.
    pub locks_out: u64,
    /// Physical locks that came from other masters.
    pub locks_in: u64,
    /// Bytes of chunks sent, those that were sent again included.
    pub chunk_bytes_out: u64,
    /// Bytes of chunks received, those that were passed over included.
    pub chunk_bytes_in: u64,
    /// Positions passed on to a new master.
    pub relayed_out: u64,
    /// Positions that an old master passed on to this node.
    pub relayed_in: u64,
    /// Positions that could not be passed on for want of room; the node's repeat brings them back.
    pub relays_dropped: u64,
    /// Views that were installed.
    pub views: u64,
    /// Times that membership ended.
    pub fenced: u64,
    /// Logical locks that were lost with membership.
    pub locks_lost: u64,
    /// Physical locks of members that departed, but for those that were given to another master meanwhile, which leaves
    /// them out.
    pub locks_purged: u64,
    /// Physical locks that were put on record from reports, granted and waiting.
    pub locks_rebuilt: u64,
    /// Slots that this node was given without their records, and decides about again.
    pub slots_rebuilt: u64,
    /// Resources of such slots that somebody waited for, and that were decided about before their slots were.
    pub resources_early: u64,
    /// Bytes of reports sent, those that were sent again included.
    pub report_bytes_out: u64,
}

/// Calls that took or gave back what was merely retained, counted apart so that they change few lines of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rested {
    pub(crate) taken: u64,
    /// Of them, where this node is the master.
    pub(crate) taken_local: u64,
    pub(crate) released_local: u64,
}

impl Rested {
    /// The same, and a lent lock that is taken back.
    pub(crate) fn with_lent(self, used: Use, is_local: bool) -> Self {
        let (taken, given_back) = match used {
            Use::Held(taken) => (u64::from(taken), u64::from(taken)),
            // Who had it when it was lent has given it back, too.
            Use::Idle(taken) => (u64::from(taken), u64::from(taken) + 1),
        };
        Self {
            taken: self.taken + taken,
            taken_local: self.taken_local + if is_local { taken } else { 0 },
            released_local: self.released_local + if is_local { given_back } else { 0 },
        }
    }

    /// What all other calls counted, and these.
    pub(crate) const fn counted_with(self, mut stats: Stats) -> Stats {
        let Self { taken, taken_local, released_local } = self;
        stats.asked += taken;
        stats.granted += taken;
        stats.granted_retained += taken;
        stats.requests.local += taken_local;
        stats.releases.local += released_local;
        stats
    }
}
