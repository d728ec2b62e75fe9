//! What a node proves itself with, as it comes from files.

use core::fmt;
use core::time::Duration;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use lockmaster_core::NodeId;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use super::{Identity, TlsError};

/// Longest file that is read: a chain of a hundred certificates fits.
const FILE_MAX: u64 = 1 << 20;

/// What a node proves itself with, and by whom others must have been proved.
///
/// Every node has a certificate of its own, signed by an authority of the cluster, and
/// [`node_name`](crate::node_name) says what must stand in it. `lockmaster ca` makes both.
///
/// Certificates are read once, before the node starts; so to replace one, start the node anew. What has ended opens no
/// connection, but ends none. No certificate can be revoked: let them end soon, or replace the authority. Several
/// authorities can be named, so that there is a time in which both count; when an authority's own certificate ends is
/// not looked at.
pub struct TlsConfig {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) clock: Arc<dyn TimeProvider>,
}

impl TlsConfig {
    /// From PEM: certificates of the authorities; the node's own certificate and those between it and an authority;
    /// its key.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which of them.
    pub fn from_pem(authorities: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self {
            authorities: certificates("the authority's certificate", authorities)?,
            chain: certificates("the node's certificate", chain)?,
            key: private_key("the node's key", key)?,
            clock: Arc::new(DefaultTimeProvider),
        })
    }

    /// From files in PEM form: certificates of the authorities; the node's own certificate and those between it and an
    /// authority; its key, which must belong to the user of this process or to root, and which nobody else may read.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which of them.
    pub fn from_files(
        authorities: impl AsRef<Path>,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (authorities, chain, key) = (authorities.as_ref(), chain.as_ref(), key.as_ref());
        Ok(Self {
            authorities: certificates(&shown(authorities), &contents(authorities, |_| Ok(()))?)?,
            chain: certificates(&shown(chain), &contents(chain, |_| Ok(()))?)?,
            key: private_key(&shown(key), &contents(key, |file| check_secret(key, file))?)?,
            clock: Arc::new(DefaultTimeProvider),
        })
    }

    /// From a directory that `lockmaster ca issue` has made: `ca.pem`, `cert.pem` and `key.pem`.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with which of them.
    pub fn from_directory(directory: impl AsRef<Path>) -> Result<Self, TlsError> {
        let directory = directory.as_ref();
        Self::from_files(directory.join("ca.pem"), directory.join("cert.pem"), directory.join("key.pem"))
    }

    /// Would this node of this cluster be believed by the others, now? [`Builder::start`](crate::Builder::start) asks the
    /// same.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong.
    pub fn check(&self, cluster: &str, node: NodeId) -> Result<(), TlsError> {
        Identity::new(self, cluster, node).map(drop)
    }

    /// Decide by this clock, instead of the system's, whether a certificate is valid.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(Clock(now));
        self
    }
}

impl fmt::Debug for TlsConfig {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsConfig");
        shown.field("authorities", &self.authorities.len()).field("chain", &self.chain.len());
        shown.finish_non_exhaustive()
    }
}

struct Clock<F>(F);

impl<F> fmt::Debug for Clock<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl<F: Fn() -> SystemTime + Send + Sync> TimeProvider for Clock<F> {
    fn current_time(&self) -> Option<UnixTime> {
        let since: Duration = (self.0)().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What is in a file, if the open file passes the check.
fn contents(path: &Path, check: impl FnOnce(&File) -> Result<(), TlsError>) -> Result<Vec<u8>, TlsError> {
    let failed = |source: io::Error| TlsError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    check(&file)?;
    let mut contents = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut contents).map_err(failed)?;
    if contents.len() as u64 > FILE_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "no such file is this long")));
    }
    Ok(contents)
}

/// Only this user and root may get at a key. The open file is asked, so that it cannot be exchanged in between.
#[cfg(unix)]
fn check_secret(path: &Path, file: &File) -> Result<(), TlsError> {
    use std::os::unix::fs::MetadataExt as _;
    let about = file.metadata().map_err(|source| TlsError::File { path: path.to_owned(), source })?;
    check_owner(path, about.uid(), rustix::process::geteuid().as_raw())?;
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(TlsError::KeyPermissions { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Whose a file is can always read it, whatever its mode. Root can read all.
#[cfg(unix)]
fn check_owner(path: &Path, owner: u32, user: u32) -> Result<(), TlsError> {
    const ROOT: u32 = 0;
    if owner == user || owner == ROOT {
        return Ok(());
    }
    Err(TlsError::KeyOwner { path: path.to_owned(), owner, user })
}

/// Other systems have other ways to say who may read a file.
#[cfg(not(unix))]
fn check_secret(_: &Path, _: &File) -> Result<(), TlsError> {
    Ok(())
}

fn certificates(what: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    not_empty(what, text)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let certificates = read.map_err(|error| malformed(what, &error, "certificate"))?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { what: what.to_owned(), missing: "certificate" });
    }
    Ok(certificates)
}

fn private_key(what: &str, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    not_empty(what, text)?;
    PrivateKeyDer::from_pem_slice(text).map_err(|error| malformed(what, &error, "private key"))
}

fn not_empty(what: &str, text: &[u8]) -> Result<(), TlsError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(TlsError::Empty { what: what.to_owned() });
    }
    Ok(())
}

fn malformed(what: &str, error: &pem::Error, missing: &'static str) -> TlsError {
    if matches!(error, pem::Error::NoItemsFound) {
        return TlsError::Missing { what: what.to_owned(), missing };
    }
    // A part of the text may be a part of a key: the error must not show it.
    let reason = if matches!(error, pem::Error::MissingSectionEnd { .. }) {
        "a section has no end"
    } else if matches!(error, pem::Error::IllegalSectionStart { .. }) {
        "a section begins wrongly"
    } else {
        "it is no Base64"
    };
    TlsError::Pem { what: what.to_owned(), reason }
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
