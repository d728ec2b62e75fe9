//! Encrypted connections to etcd.

use etcd_client::{Certificate, Identity, TlsOptions};

use crate::options::Secret;

/// Whom to trust at `https` endpoints, and who one is oneself. All of it is PEM.
#[derive(Clone, Debug)]
#[must_use]
pub struct EtcdTls {
    authority: String,
    identity: Option<(String, Secret)>,
    domain: Option<String>,
}

impl EtcdTls {
    /// Trust servers whose certificate this authority has signed (etcd: `--trusted-ca-file`).
    pub fn new(authority: impl Into<String>) -> Self {
        Self { authority: authority.into(), identity: None, domain: None }
    }

    /// Show this certificate, and prove it with its key (etcd: `--client-cert-auth`).
    pub fn identity(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificate.into(), Secret(key.into())));
        self
    }

    /// The name in the servers' certificates, if it is not that of the endpoint.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    pub(crate) fn client_options(&self) -> TlsOptions {
        let mut options = TlsOptions::new().ca_certificate(Certificate::from_pem(&self.authority));
        if let Some((certificate, key)) = &self.identity {
            options = options.identity(Identity::from_pem(certificate, &key.0));
        }
        if let Some(domain) = &self.domain {
            options = options.domain_name(domain.clone());
        }
        options
    }
}
