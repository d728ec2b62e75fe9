//! What a certificate calls a node.

use core::fmt::Write as _;

use lockmaster_core::NodeId;
use rustls::pki_types::{DnsName, ServerName};

use super::TlsError;

/// Most bytes of a label of a DNS name.
const LABEL_MAX: usize = 63;
/// Digits that fill a label, two for each byte.
const DIGITS_MAX: usize = 62;
/// First label of a cluster whose name is written in digits.
const ENCODED: &str = "hex";

/// The names in the certificates of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Everything after the node's label.
    cluster: String,
}

impl Names {
    /// The names of this cluster.
    ///
    /// # Errors
    /// [`TlsError::ClusterName`] if no certificate can name the cluster.
    pub(crate) fn of(cluster: &str) -> Result<Self, TlsError> {
        let unusable = || TlsError::ClusterName(cluster.to_owned());
        if cluster.is_empty() {
            return Err(unusable());
        }
        let label = if is_plain(cluster) { cluster.to_owned() } else { encoded(cluster) };
        let names = Self { cluster: format!("{label}.lockmaster") };
        // A name of the highest number is the longest.
        DnsName::try_from(names.text(NodeId(u16::MAX))).map_err(|_| unusable())?;
        Ok(names)
    }

    /// What a certificate calls this node.
    pub(crate) fn text(&self, node: NodeId) -> String {
        format!("node-{}.{}", node.0, self.cluster)
    }

    /// The same, to be looked for in a certificate.
    pub(crate) fn of_node(&self, node: NodeId) -> ServerName<'static> {
        Self::server_name(self.text(node))
    }

    /// A name that no node has: only a certificate for every name is good for it.
    pub(crate) fn of_anybody(&self) -> ServerName<'static> {
        Self::server_name(format!("node.{}", self.cluster))
    }

    /// What all names of the cluster end with.
    pub(crate) fn domain(&self) -> &str {
        &self.cluster
    }

    fn server_name(text: String) -> ServerName<'static> {
        ServerName::DnsName(DnsName::try_from(text).expect("the longest name of the cluster was tried"))
    }
}

/// Can the name stand as it is? It must be one label in small letters, because DNS names do not tell large from
/// small, and must not look like an encoded one.
fn is_plain(cluster: &str) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    cluster.len() <= LABEL_MAX
        && cluster.bytes().all(|byte| is_inner(&byte))
        && !cluster.starts_with('-')
        && !cluster.ends_with('-')
        && cluster != ENCODED
}

/// The bytes of the name in digits, below a label that says so. As many labels as it takes, the first ones full.
fn encoded(cluster: &str) -> String {
    let mut digits = String::new();
    for byte in cluster.bytes() {
        write!(digits, "{byte:02x}").expect("a string takes what it is given");
    }
    let mut labels = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && at % DIGITS_MAX == 0 {
            labels.push('.');
        }
        labels.push(digit);
    }
    format!("{labels}.{ENCODED}")
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
