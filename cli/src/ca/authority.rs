//! An authority, and what it signs.

use core::time::Duration;
use std::time::SystemTime;

use lockmaster_tokio::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};

use crate::Failure;

const DAY: Duration = Duration::from_secs(86_400);
/// How long an authority lasts.
const AUTHORITY_DAYS: u16 = 3650;
/// Everything is valid from this long ago: clocks of different machines differ.
const EARLIER: Duration = Duration::from_secs(3600);
/// Longest name of an authority.
const NAME_MAX: usize = 64;

/// Signs certificates of one cluster.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

/// A certificate and its key, in PEM form, and the last day of both.
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) until: String,
}

impl Authority {
    /// A new one, with a certificate that it has signed itself, for names that end with `domain` alone.
    pub(crate) fn found(domain: &str) -> Result<Made, Failure> {
        let mut params = params_of_authority(domain);
        let until = set_validity(&mut params, AUTHORITY_DAYS)?;
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.self_signed(&key).map_err(broken)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem(), until })
    }

    /// The one with this key.
    ///
    /// # Errors
    /// Why that is no key.
    pub(crate) fn restore(domain: &str, key: &str) -> Result<Self, String> {
        let key = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
        Ok(Self(Issuer::new(params_of_authority(domain), key)))
    }

    /// A fresh key and a certificate for it, good for both sides of a connection. Its serial number is a digest of the
    /// key, so no two are alike.
    pub(crate) fn issue(&self, node: NodeId, name: &str, days: u16) -> Result<Made, Failure> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(broken)?;
        params.distinguished_name = named(format!("node-{}", node.0));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let until = set_validity(&mut params, days)?;
        let key = KeyPair::generate().map_err(broken)?;
        let certificate = params.signed_by(&key, &self.0).map_err(broken)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem(), until })
    }
}

/// What is the same each time the authority is looked at, but for the days.
fn params_of_authority(domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = format!("authority of {domain}");
    name.truncate(NAME_MAX);
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn named(name: String) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Valid from now on for some days; gives the last one.
fn set_validity(params: &mut CertificateParams, days: u16) -> Result<String, Failure> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(|_| Failure::Broken("the clock shows a time before 1970".to_owned()))?;
    let now = date_time_ymd(1970, 1, 1) + since;
    params.not_before = now - EARLIER;
    params.not_after = now + DAY * u32::from(days);
    let last = params.not_after;
    Ok(format!("{}-{:02}-{:02}", last.year(), u8::from(last.month()), last.day()))
}

fn broken(error: rcgen::Error) -> Failure {
    Failure::Broken(format!("cannot make a certificate: {error}"))
}
