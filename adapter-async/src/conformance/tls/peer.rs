//! A peer by hand: it keeps to TLS, and to nothing else.

use core::net::SocketAddr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use lockmaster_core::wire::Hello;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::papers::Papers;
use crate::conformance::connections::{is_at_end, read_hello};
use crate::conformance::rig::{Rig, socket};
use crate::conformance::task::on_thread;
use crate::{NodeId, Runtime, node_name};

/// A peer that dials node 2.
pub(in super::super) struct Peer(pub(in super::super) StreamOwned<ClientConnection, TcpStream>);

impl Peer {
    /// Shows these papers, or none, and believes the authority of `trusted`. Its handshake goes on when it reads or
    /// writes.
    pub(in super::super) fn dial(at: SocketAddr, shown: Option<&Papers>, trusted: &Papers) -> Self {
        Self::dial_as(at, shown, trusted, Some("lockmaster"))
    }

    /// The same, as a peer that speaks this inside, or does not say what.
    pub(in super::super) fn dial_as(
        at: SocketAddr,
        shown: Option<&Papers>,
        trusted: &Papers,
        protocol: Option<&str>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, trusted.clock());
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(papers) => {
                let chain = CertificateDer::pem_slice_iter(papers.chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(papers.key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        config.alpn_protocols = protocol.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from(node_name("test", NodeId(2)).unwrap()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(at).unwrap();
        socket.set_nodelay(true).unwrap();
        Self(StreamOwned::new(connection, socket))
    }

    /// Says this first. It fails if the other side was faster to hang up.
    pub(in super::super) fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).and_then(|()| self.0.flush());
    }

    pub(in super::super) fn say_hello(&mut self, hello: &Hello) {
        let mut frame = [0; 512];
        let len = hello.encode(&mut frame).unwrap();
        self.say(&frame[..len]);
    }

    /// Has the other side hung up, without a hello of its own?
    pub(in super::super) fn is_refused(&mut self) -> bool {
        let mut first = [0];
        !matches!(self.0.read(&mut first), Ok(1)) && is_at_end(&mut self.0)
    }
}

/// What node 1 would say to node 2.
pub(in super::super) async fn hello_of_one<R: Runtime + Clone>(rig: &Rig<R>) -> Hello {
    let (listener, at) = socket();
    let one = rig.builder(1).member(2, at).start().await.unwrap();
    let hello = on_thread(move || read_hello(&mut listener.accept().unwrap().0));
    let hello = hello.await.unwrap();
    one.shutdown().await;
    hello
}
