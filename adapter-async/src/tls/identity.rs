//! What a node is and whom it believes, ready for handshakes.

use std::sync::Arc;

use lockmaster_core::NodeId;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use super::name::Names;
use super::{TlsConfig, TlsError};
use crate::connection::Side;
use crate::handshake::Failed;

/// What is spoken inside, so that a certificate of ours is good for nothing else.
const PROTOCOL: &[u8] = b"lockmaster";

/// One node of one cluster.
#[derive(Debug)]
pub(crate) struct Identity {
    dialling: Arc<ClientConfig>,
    accepting: Arc<ServerConfig>,
    names: Names,
}

impl Identity {
    /// Prepares what the node proves itself with, and tries it as the other nodes will.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong with it.
    pub(crate) fn new(config: &TlsConfig, cluster: &str, node: NodeId) -> Result<Self, TlsError> {
        let names = Names::of(cluster)?;
        let provider = Arc::new(ring::default_provider());
        let (servers, clients) = new_verifiers(config, &provider)?;
        new_check(config, &names, node, &*servers, &*clients)?;

        let TlsConfig { authorities: _, chain, key, clock } = config;
        let versions = &[&rustls::version::TLS13];
        let dialling = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::clone(clock));
        let dialling = dialling.with_protocol_versions(versions).map_err(TlsError::Key)?;
        let dialling = dialling.with_webpki_verifier(servers);
        let dialling = dialling.with_client_auth_cert(chain.clone(), key.clone_key());
        let mut dialling = dialling.map_err(TlsError::Key)?;
        dialling.alpn_protocols = vec![PROTOCOL.to_vec()];
        dialling.resumption = Resumption::disabled();
        dialling.enable_sni = false;

        let accepting = ServerConfig::builder_with_details(provider, Arc::clone(clock));
        let accepting = accepting.with_protocol_versions(versions).map_err(TlsError::Key)?;
        let accepting =
            accepting.with_client_cert_verifier(clients).with_single_cert(chain.clone(), key.clone_key());
        let mut accepting = accepting.map_err(TlsError::Key)?;
        accepting.alpn_protocols = vec![PROTOCOL.to_vec()];
        accepting.session_storage = Arc::new(NoServerSessionStorage {});
        accepting.send_tls13_tickets = 0;
        Ok(Self { dialling: Arc::new(dialling), accepting: Arc::new(accepting), names })
    }

    /// The beginning of a connection.
    ///
    /// # Errors
    /// [`rustls::Error`] if this node cannot even begin: it finds no randomness, say.
    pub(crate) fn begin(&self, side: Side) -> Result<Connection, rustls::Error> {
        match side {
            Side::Dialled(peer) => {
                let expected = self.names.of_node(peer);
                ClientConnection::new(Arc::clone(&self.dialling), expected).map(Connection::Client)
            }
            Side::Accepted => ServerConnection::new(Arc::clone(&self.accepting)).map(Connection::Server),
        }
    }

    /// The peer, whose certificate was verified but for its name, says that it is this node: is it?
    ///
    /// # Errors
    /// [`Failed`] says why not.
    pub(crate) fn check(&self, proved: &Proved, peer: NodeId) -> Result<(), Failed> {
        let certificate = ParsedCertificate::try_from(&proved.0).map_err(Failed::Untrusted)?;
        let is_good_for = |name| verify_server_name(&certificate, &name).is_ok();
        if is_good_for(self.names.of_anybody()) || !is_good_for(self.names.of_node(peer)) {
            return Err(Failed::Misnamed);
        }
        Ok(())
    }
}

/// A certificate whose owner has proved to have its key, signed by an authority of the cluster and valid now.
#[derive(Debug)]
pub(crate) struct Proved(CertificateDer<'static>);

impl Proved {
    /// What the peer of a connection has proved, after the handshake.
    ///
    /// # Errors
    /// [`Failed`] if it has proved nothing, or speaks something else inside.
    pub(super) fn by(connection: &Connection) -> Result<Self, Failed> {
        if connection.alpn_protocol() != Some(PROTOCOL) {
            return Err(Failed::Foreign);
        }
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        shown.map(|certificate| Self(certificate.clone().into_owned())).ok_or(Failed::Uncertified)
    }
}

type Verifiers = (Arc<WebPkiServerVerifier>, Arc<dyn ClientCertVerifier>);

/// Judges of those who accept and of those who dial.
fn new_verifiers(config: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Verifiers, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in &config.authorities {
        roots.add(authority.clone()).map_err(TlsError::Authority)?;
    }
    let roots = Arc::new(roots);
    let unusable =
        |error: VerifierBuilderError| TlsError::Authority(rustls::Error::General(error.to_string()));
    let servers = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider));
    let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let clients = clients.clear_root_hint_subjects();
    Ok((servers.build().map_err(unusable)?, clients.build().map_err(unusable)?))
}

/// Would the others believe this node?
fn new_check(
    config: &TlsConfig,
    names: &Names,
    node: NodeId,
    servers: &dyn ServerCertVerifier,
    clients: &dyn ClientCertVerifier,
) -> Result<(), TlsError> {
    let name = names.text(node);
    let refused = |source| TlsError::Certificate { name: name.clone(), source };
    let (own, between) = config.chain.split_first().expect("a chain that was read has a certificate");
    let now: UnixTime =
        config.clock.current_time().ok_or_else(|| refused(rustls::Error::FailedToGetCurrentTime))?;
    servers.verify_server_cert(own, between, &names.of_node(node), &[], now).map_err(refused)?;
    clients.verify_client_cert(own, between, now).map_err(refused)?;
    let parsed = ParsedCertificate::try_from(own).map_err(refused)?;
    if verify_server_name(&parsed, &names.of_anybody()).is_ok() {
        return Err(TlsError::Wildcard(name));
    }
    Ok(())
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
