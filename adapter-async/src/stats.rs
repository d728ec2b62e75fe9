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
    /// Attempts that failed before the other side said hello: nobody there, no answer, no sense.
    pub handshakes_failed: u64,
    /// Hellos that were refused: another cluster, configuration, version or incarnation.
    pub hellos_refused: u64,
    /// Hellos of nodes that were not in the view of one side: one of the two did not know the latest view yet.
    pub strangers: u64,
    /// Connections that were closed because a frame made no sense.
    pub malformed: u64,
    /// Connections that were not let in: too many at a time have not said hello yet.
    pub turned_away: u64,
}
