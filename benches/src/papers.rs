//! What two nodes prove themselves with, in a directory that both processes read.

use std::fs;
use std::path::{Path, PathBuf};

use lockmaster_tokio::{NodeId, TlsConfig, node_name};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub(crate) const CLUSTER: &str = "bench";

/// Certificates of nodes 1 and 2; gone when this is dropped.
pub(crate) struct Papers(PathBuf);

impl Papers {
    pub(crate) fn new() -> Self {
        let place = std::env::temp_dir().join(format!("lockmaster-bench-{}", std::process::id()));
        fs::create_dir_all(&place).expect("there is room for certificates");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("there is randomness");
        let authority = params.self_signed(&key).expect("an authority signs for itself").pem();
        let issuer = Issuer::new(params, key);
        for node in 1..=2 {
            let name = node_name(CLUSTER, NodeId(node)).expect("the name is short");
            let params = CertificateParams::new([name]).expect("it is a name");
            let key = KeyPair::generate().expect("there is randomness");
            let certificate = params.signed_by(&key, &issuer).expect("the authority signs");
            let text = [authority.clone(), certificate.pem(), key.serialize_pem()];
            for (name, text) in ["ca", "cert", "key"].into_iter().zip(text) {
                fs::write(file(&place, node, name), text).expect("there is room for certificates");
            }
        }
        Self(place)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Papers {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What this node proves itself with. The key is worth nothing, so who may read its file is not looked at.
pub(crate) fn tls(place: &Path, node: u16) -> TlsConfig {
    let [ca, chain, key] =
        ["ca", "cert", "key"].map(|name| fs::read(file(place, node, name)).expect("it was written"));
    TlsConfig::from_pem(&ca, &chain, &key).expect("it was written whole")
}

fn file(place: &Path, node: u16, name: &str) -> PathBuf {
    place.join(format!("{name}-{node}.pem"))
}
