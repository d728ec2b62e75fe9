//! What a node counts about its connections; the rest is in the core's [`Stats`]. Counters of machines are added up.

use lockmaster_core::{Stats, Traffic};

/// Counters of a node's connections since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Members that every machine is connected to now.
    pub up: usize,
    /// Connections that began, with a hello from both sides.
    pub begun: u64,
    /// Connections that ended.
    pub ended: u64,
    /// Attempts that failed before the other side said hello and proved who it is.
    pub handshakes_failed: u64,
    /// The same, by reason.
    pub failed: FailedHandshakes,
    /// Hellos that were refused: another cluster, configuration, version or incarnation.
    pub hellos_refused: u64,
    /// Of them, hellos of nodes that run another number of machines ([`Builder::machines`](crate::Builder::machines)).
    pub machines_differ: u64,
    /// Hellos of nodes that were not in the view of one side: one of the two did not know the latest view yet.
    pub strangers: u64,
    /// Connections that were closed because a frame made no sense.
    pub malformed: u64,
    /// Connections that were not let in: too many at a time have not said hello yet.
    pub turned_away: u64,
}

/// Attempts to connect that failed, by reason, since a node's start. No lock message of them was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedHandshakes {
    /// Nobody was there, or the connection broke.
    pub unreachable: u64,
    /// It took too long.
    pub timed_out: u64,
    /// One side uses TLS and the other does not.
    pub one_sided: u64,
    /// What came makes no sense, or was more than a handshake takes.
    pub garbled: u64,
    /// The peer showed no certificate.
    pub uncertified: u64,
    /// The peer's certificate has ended, or has not begun.
    pub expired: u64,
    /// The peer's certificate is not signed by an authority of this cluster, or is not for this use.
    pub untrusted: u64,
    /// The peer's certificate is of another node than the peer says or was dialled for, or of another cluster.
    pub misnamed: u64,
    /// The peer ended the handshake: its own counters say why.
    pub rejected: u64,
    /// The peer is another member than the one that is meant here.
    pub strangers: u64,
    /// This node's membership ended meanwhile: it has begun another life, and says hello anew.
    pub outlived: u64,
}

/// What two machines counted together.
pub(crate) fn sum(one: Stats, other: Stats) -> Stats {
    Stats {
        requests: sum_traffic(one.requests, other.requests),
        conversions: sum_traffic(one.conversions, other.conversions),
        releases: sum_traffic(one.releases, other.releases),
        demands: sum_traffic(one.demands, other.demands),
        asked: one.asked + other.asked,
        granted: one.granted + other.granted,
        granted_retained: one.granted_retained + other.granted_retained,
        denied: one.denied + other.denied,
        cancelled: one.cancelled + other.cancelled,
        retained_dropped: one.retained_dropped + other.retained_dropped,
        frames_out: one.frames_out + other.frames_out,
        frames_in: one.frames_in + other.frames_in,
        messages_out: one.messages_out + other.messages_out,
        messages_in: one.messages_in + other.messages_in,
        repeats: one.repeats + other.repeats,
        frames_dropped: one.frames_dropped + other.frames_dropped,
        messages_dropped: one.messages_dropped + other.messages_dropped,
        messages_unknown: one.messages_unknown + other.messages_unknown,
        answers_dropped: one.answers_dropped + other.answers_dropped,
        renewals: one.renewals + other.renewals,
        redirects: one.redirects + other.redirects,
        transfers_out: one.transfers_out + other.transfers_out,
        transfers_in: one.transfers_in + other.transfers_in,
        locks_out: one.locks_out + other.locks_out,
        locks_in: one.locks_in + other.locks_in,
        chunk_bytes_out: one.chunk_bytes_out + other.chunk_bytes_out,
        chunk_bytes_in: one.chunk_bytes_in + other.chunk_bytes_in,
        relayed_out: one.relayed_out + other.relayed_out,
        relayed_in: one.relayed_in + other.relayed_in,
        relays_dropped: one.relays_dropped + other.relays_dropped,
        // Every machine comes to these by itself.
        views: one.views.max(other.views),
        fenced: one.fenced.max(other.fenced),
        locks_lost: one.locks_lost + other.locks_lost,
        locks_purged: one.locks_purged + other.locks_purged,
        locks_rebuilt: one.locks_rebuilt + other.locks_rebuilt,
        slots_rebuilt: one.slots_rebuilt + other.slots_rebuilt,
        resources_early: one.resources_early + other.resources_early,
        report_bytes_out: one.report_bytes_out + other.report_bytes_out,
    }
}

const fn sum_traffic(one: Traffic, other: Traffic) -> Traffic {
    let Traffic { local, outgoing, incoming } = one;
    Traffic {
        local: local + other.local,
        outgoing: outgoing + other.outgoing,
        incoming: incoming + other.incoming,
    }
}

impl LinkStats {
    /// What two machines counted together; who is connected to both is not in that.
    pub(crate) const fn sum(self, other: Self) -> Self {
        Self {
            up: 0,
            begun: self.begun + other.begun,
            ended: self.ended + other.ended,
            handshakes_failed: self.handshakes_failed + other.handshakes_failed,
            failed: self.failed.sum(other.failed),
            hellos_refused: self.hellos_refused + other.hellos_refused,
            machines_differ: self.machines_differ + other.machines_differ,
            strangers: self.strangers + other.strangers,
            malformed: self.malformed + other.malformed,
            turned_away: self.turned_away + other.turned_away,
        }
    }
}

impl FailedHandshakes {
    const fn sum(self, other: Self) -> Self {
        Self {
            unreachable: self.unreachable + other.unreachable,
            timed_out: self.timed_out + other.timed_out,
            one_sided: self.one_sided + other.one_sided,
            garbled: self.garbled + other.garbled,
            uncertified: self.uncertified + other.uncertified,
            expired: self.expired + other.expired,
            untrusted: self.untrusted + other.untrusted,
            misnamed: self.misnamed + other.misnamed,
            rejected: self.rejected + other.rejected,
            strangers: self.strangers + other.strangers,
            outlived: self.outlived + other.outlived,
        }
    }
}
