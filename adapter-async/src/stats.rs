//! What a node counts about its connections; the rest is in the core's [`Stats`](lockmaster_core::Stats).

/// Counters of a node's connections since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Members that are connected now.
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
