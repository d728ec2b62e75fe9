//! What a connection has to pass before anything that it says is heard.

use core::time::Duration;

use crate::tls::Identity;

/// Longest handshake, unless another is named.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way in and out of a node.
#[derive(Debug)]
pub(crate) struct Gate {
    /// What the node proves itself with; without one nobody proves anything.
    pub(crate) identity: Option<Identity>,
    /// Longest time from the first attempt to connect to the peer's hello.
    pub(crate) patience: Duration,
}

impl Default for Gate {
    fn default() -> Self {
        Self { identity: None, patience: PATIENCE }
    }
}
