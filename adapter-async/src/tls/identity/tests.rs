use rustls::{CertificateError, Error};

use super::super::tests::{Authority, DAYS, FIRST_DAY, ONE, TWO, try_identity};
use super::*;
use crate::tls::node_name;

/// Why the other nodes would refuse a certificate with this name on this day.
fn refused(name: &str, today: u32) -> CertificateError {
    match try_identity(name, today) {
        Err(TlsError::Certificate { name, source: Error::InvalidCertificate(error) }) => {
            assert_eq!(name, "node-1.test.lockmaster");
            error
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_of_this_node_is_good_while_it_is_valid() {
    let name = "node-1.test.lockmaster";
    for today in [FIRST_DAY, FIRST_DAY + DAYS - 1] {
        assert!(try_identity(name, today).is_ok());
    }
    assert!(matches!(refused(name, FIRST_DAY - 1), CertificateError::NotValidYetContext { .. }));
    assert!(matches!(refused(name, FIRST_DAY + DAYS), CertificateError::ExpiredContext { .. }));
}

#[test]
fn a_certificate_of_somebody_else_is_refused_at_the_start() {
    for name in ["node-2.test.lockmaster", "node-1.other.lockmaster", "node-1.test.lockmaster.com", "test"] {
        assert!(
            matches!(refused(name, FIRST_DAY), CertificateError::NotValidForNameContext { .. }),
            "{name}"
        );
    }
    let refused = try_identity("*.test.lockmaster", FIRST_DAY);
    assert!(matches!(refused, Err(TlsError::Wildcard(_))), "{refused:?}");
}

#[test]
fn papers_that_do_not_belong_together_are_refused_at_the_start() {
    let (one, two) = (Authority::new(), Authority::new());
    let name = node_name("test", ONE).unwrap();
    let ((chain, key), (_, other_key)) = (one.issue(&name), one.issue(&name));
    let attempt = |authority: &str, chain: &str, key: &str| {
        let config = TlsConfig::from_pem(authority.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap();
        let config =
            config.clock(|| std::time::UNIX_EPOCH + core::time::Duration::from_secs(86_400 * 20_001));
        Identity::new(&config, "test", ONE).map(drop)
    };
    attempt(&one.pem, &chain, &key).unwrap();
    attempt(&(two.pem.clone() + &one.pem), &chain, &key).unwrap();
    let refused = attempt(&two.pem, &chain, &key);
    let Err(TlsError::Certificate { source: Error::InvalidCertificate(error), .. }) = refused else {
        panic!("{refused:?}")
    };
    // Both call themselves the same, so it is the signature that differs.
    assert_eq!(error, CertificateError::BadSignature);
    assert!(matches!(attempt(&one.pem, &chain, &other_key), Err(TlsError::Key(_))));
}

#[test]
fn a_certificate_counts_for_its_own_node_alone() {
    let authority = Authority::new();
    let identity = authority.identity(TWO);
    let proved = |name: &str| {
        let (chain, key) = authority.issue(name);
        let config = TlsConfig::from_pem(authority.pem.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap();
        Proved(config.chain[0].clone())
    };
    assert!(identity.check(&proved("node-1.test.lockmaster"), ONE).is_ok());
    for name in ["node-11.test.lockmaster", "node-1.other.lockmaster", "*.test.lockmaster", "*.lockmaster"] {
        let refused = identity.check(&proved(name), ONE);
        assert!(matches!(refused, Err(Failed::Misnamed)), "{name}: {refused:?}");
    }
}
