//! Certificates for tests.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::{NodeId, TlsConfig, node_name};

/// Noon of a day on which all certificates are valid: days since 1970.
const TODAY: u64 = 20_000;
const DAY: Duration = Duration::from_secs(86_400);

/// An authority, and the clock of the nodes that it signs for.
pub(in super::super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    day: Arc<AtomicU64>,
}

/// What a node proves itself with.
pub(in super::super) struct Papers {
    pub(in super::super) authority: String,
    pub(in super::super) chain: String,
    pub(in super::super) key: String,
    day: Arc<AtomicU64>,
}

impl Authority {
    pub(in super::super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key), day: Arc::new(AtomicU64::new(TODAY)) }
    }

    /// The clocks of all nodes are set forward.
    pub(in super::super) fn pass_days(&self, days: u64) {
        self.day.fetch_add(days, Ordering::SeqCst);
    }

    /// Papers of a node of the cluster "test".
    pub(in super::super) fn node(&self, number: u16) -> Papers {
        self.named(&[node_name("test", NodeId(number)).unwrap()], 10)
    }

    /// Papers with these names, valid for some days.
    pub(in super::super) fn named(&self, names: &[String], days: u64) -> Papers {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(params, days)
    }

    pub(in super::super) fn signed(&self, mut params: CertificateParams, days: u64) -> Papers {
        let today = date_time_ymd(1970, 1, 1) + DAY * u32::try_from(TODAY).unwrap();
        params.not_before = today;
        params.not_after = today + DAY * u32::try_from(days).unwrap();
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        Papers { authority: self.pem.clone(), chain, key: key.serialize_pem(), day: Arc::clone(&self.day) }
    }
}

impl Papers {
    pub(in super::super) fn tls(&self) -> TlsConfig {
        let (authority, chain, key) = (self.authority.as_bytes(), self.chain.as_bytes(), self.key.as_bytes());
        let Noon(day) = self.noon();
        let noon = move || SystemTime::UNIX_EPOCH + since(&day);
        TlsConfig::from_pem(authority, chain, key).unwrap().clock(noon)
    }

    /// The clock of the authority's nodes, for others.
    pub(in super::super) fn clock(&self) -> Arc<dyn TimeProvider> {
        Arc::new(self.noon())
    }

    fn noon(&self) -> Noon {
        Noon(Arc::clone(&self.day))
    }
}

/// Noon of a day.
#[derive(Debug)]
struct Noon(Arc<AtomicU64>);

impl TimeProvider for Noon {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(since(&self.0)))
    }
}

/// From 1970 to noon of this day.
fn since(day: &AtomicU64) -> Duration {
    DAY * u32::try_from(day.load(Ordering::SeqCst)).unwrap() + DAY / 2
}
