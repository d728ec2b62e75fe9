//! What a connection has to pass before anything that it says is heard.

use core::time::Duration;
use std::sync::Arc as StdArc;

use lockmaster_core::Division;
use lockmaster_core::wire::Hello;

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
    /// How the node is divided among machines; nothing where nobody asks.
    pub(crate) division: Option<StdArc<Division>>,
}

impl Gate {
    /// How many machines the sender of a hello that was refused runs, if it was refused for that.
    pub(crate) fn machines_of(&self, hello: &Hello) -> Option<u8> {
        self.division.as_ref()?.machines_of(hello)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self { identity: None, patience: PATIENCE, division: None }
    }
}
