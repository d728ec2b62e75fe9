//! Why what a node has to prove itself with cannot be used.

use std::io;
use std::path::PathBuf;

/// Why certificates or a key cannot be used. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file cannot be read: see the cause.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others than its owner can read the key, or change it: take it from them (`chmod 600`), and use another key if they
    /// are not trusted.
    #[error("others than the owner can get at the key {} (mode {mode:03o}): chmod 600 is needed", path.display())]
    KeyPermissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key belongs to somebody who is neither the user of this process nor root, and who can read and change it: give
    /// it to this user (`chown`), and use another key if its owner is not trusted.
    #[error("the key {} belongs to user {owner}, not to user {user} of this process or root", path.display())]
    KeyOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// There is nothing in it: the file was not written whole, or is another.
    #[error("{what} is empty")]
    Empty {
        /// What was to be read.
        what: String,
    },
    /// It is no PEM, or something in it is cut: make the file again.
    #[error("{what} is not in PEM form: {reason}")]
    Pem {
        /// What was to be read.
        what: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// It is PEM, but not of what is needed: the files may have been mixed up.
    #[error("there is no {missing} in {what}")]
    Missing {
        /// What was to be read.
        what: String,
        /// What it must hold.
        missing: &'static str,
    },
    /// The certificate of an authority is none: use one that may sign others.
    #[error("the certificate of the authority cannot be used")]
    Authority(#[source] rustls::Error),
    /// The key is of a kind that is not spoken here, or does not belong to the certificate: use the two that were
    /// made together.
    #[error("the key cannot be used with this certificate")]
    Key(#[source] rustls::Error),
    /// The other nodes would refuse this certificate: it must be signed by the authority, valid now, allowed for both
    /// sides of a connection, and of this node.
    #[error("the other nodes would refuse the certificate of {name}")]
    Certificate {
        /// What the certificate has to say.
        name: String,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The certificate would be good for any node of the cluster: use one for this node alone.
    #[error("the certificate is for every node of the cluster; one for {0} alone is needed")]
    Wildcard(String),
    /// No certificate can name this cluster: it needs a name, of at most 109 bytes.
    #[error("no certificate can name the cluster {0:?}: it needs a name, and a shorter one if it is long")]
    ClusterName(String),
}
