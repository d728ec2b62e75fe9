//! Security between nodes: who is there is proved, and nobody else reads or changes what is said.
//!
//! TLS 1.3 with certificates on both sides, all signed by authorities that are the cluster's own. What a node may call
//! itself stands in its certificate as a DNS name, [`node_name`]: of a cluster called `orders` node 7 is
//! `node-7.orders.lockmaster`. A cluster whose name is no label of small letters, digits and inner hyphens is written in
//! hexadecimal digits instead, below `hex.lockmaster`, so that no two clusters ever share a name.
//!
//! # When what is proved
//!
//! ```text
//!   who dials                               who accepts
//!       │  ClientHello                           │
//!       │───────────────────────────────────────▶│
//!       │  certificate, proof                    │   The dialler knows whom it dials: the certificate must be of
//!       │◀───────────────────────────────────────│   that very node. If not, it ends here, and nothing of its own
//!       │                                        │   was shown.
//!       │  certificate, proof; hello             │   The acceptor learns from the hello who it is said to be, and
//!       │───────────────────────────────────────▶│   the certificate must be of that node. Until then it says
//!       │                                 hello  │   nothing, and reads one hello of bounded size and no more.
//!       │◀───────────────────────────────────────│
//! ```
//!
//! No session is resumed and no early data is taken, so a certificate that has ended opens no connection. Neither side
//! names its authorities to strangers, and the name of the node that is dialled does not go in the clear.
//!
//! # Two halves of one connection
//!
//! The reader's half, [`Opening`], and the writer's, [`Sealing`], share the state of TLS behind a mutex of its own, which
//! is held only while records are opened or sealed in memory: no socket is touched and nothing is awaited under it, it is
//! never taken together with the node's, and whoever has it takes no other. Sealed bytes must leave in the order in which
//! they were sealed. That order is not this mutex's concern: the writer's half is a part of what a claim on the connection
//! carries (see `links.rs`), and there is one claim, so it is sealed and written by one at a time, who finishes what was
//! sealed before more is sealed. Those rules are what the models of the links check, in every order of threads.
//!
//! What a peer's records make TLS say of itself, which after the handshake is only the answer to a change of keys, waits
//! inside until the next frame is sealed.

mod config;
mod error;
mod handshake;
mod identity;
mod name;
mod session;

use lockmaster_core::NodeId;

pub use config::TlsConfig;
pub use error::TlsError;
pub(crate) use handshake::{Secured, failed_read, is_tls, shake_hands};
pub(crate) use identity::Identity;
pub(crate) use session::{Opening, Sealing};

/// What the certificate of a node must say, as a DNS name among its alternative names.
///
/// # Errors
/// [`TlsError::ClusterName`] if no certificate can name the cluster.
pub fn node_name(cluster: &str, node: NodeId) -> Result<String, TlsError> {
    name::Names::of(cluster).map(|names| names.text(node))
}

/// What the certificates of all nodes of a cluster end with: an authority can be restricted to it.
///
/// # Errors
/// [`TlsError::ClusterName`] if no certificate can name the cluster.
pub fn cluster_domain(cluster: &str) -> Result<String, TlsError> {
    name::Names::of(cluster).map(|names| names.domain().to_owned())
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
pub(crate) mod tests;
