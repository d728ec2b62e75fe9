use super::super::tests::Authority;
use super::*;

/// What is said about these, none of which may be shown as the key's.
fn said(authority: &str, chain: &str, key: &str) -> String {
    TlsConfig::from_pem(authority.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_said() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node-1.test.lockmaster");
    let ca = &authority.pem;
    assert_eq!(said("", &chain, &key), "the authority's certificate is empty");
    assert_eq!(said(ca, " \n", &key), "the node's certificate is empty");
    assert_eq!(said(ca, &chain, ""), "the node's key is empty");
    assert_eq!(said("what?", &chain, &key), "there is no certificate in the authority's certificate");
    assert_eq!(said(ca, &key, &key), "there is no certificate in the node's certificate");
    assert_eq!(said(ca, &chain, &chain), "there is no private key in the node's key");
    let cut = &key[..key.len() / 2];
    assert_eq!(said(ca, &chain, cut), "the node's key is not in PEM form: a section has no end");
    let garbled = key.replacen('\n', "\n%%%%", 1);
    assert_eq!(said(ca, &chain, &garbled), "the node's key is not in PEM form: it is no Base64");
    let garbled = chain.replacen("-----BEGIN CERTIFICATE-----", "-----BEGIN CERT", 1);
    assert_eq!(
        said(ca, &garbled, &key),
        "the node's certificate is not in PEM form: a section begins wrongly"
    );
}

#[test]
fn what_is_no_certificate_is_refused_by_whoever_uses_it() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node-1.test.lockmaster");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let config = TlsConfig::from_pem(nonsense.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap();
    let refused = crate::tls::Identity::new(&config, "test", lockmaster_core::NodeId(1));
    assert!(matches!(refused, Err(TlsError::Authority(_))));
}

#[test]
fn the_key_is_not_shown() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node-1.test.lockmaster");
    let config = TlsConfig::from_pem(authority.pem.as_bytes(), chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(format!("{config:?}"), "TlsConfig { authorities: 1, chain: 1, .. }");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_get_at_is_refused() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    let place = std::env::temp_dir().join(format!("lockmaster-tls-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.issue("node-1.test.lockmaster");
    for (name, text) in [("ca.pem", &authority.pem), ("cert.pem", &chain), ("key.pem", &key)] {
        fs::write(place.join(name), text).unwrap();
    }
    let key = place.join("key.pem");
    for (mode, is_good) in
        [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o601, false)]
    {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        match TlsConfig::from_directory(&place) {
            Ok(_) => assert!(is_good, "{mode:o}"),
            Err(error) => {
                assert!(!is_good, "{mode:o}: {error}");
                let expected =
                    format!("others than the owner can get at the key {} (mode {mode:o})", key.display());
                assert!(error.to_string().starts_with(&expected), "{error}");
            }
        }
    }
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "").unwrap();
    let error = TlsConfig::from_directory(&place).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is empty", key.display()));
    fs::remove_file(&key).unwrap();
    let error = TlsConfig::from_directory(&place).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", key.display()));
    fs::remove_dir_all(&place).unwrap();
}

#[cfg(unix)]
#[test]
fn a_key_belongs_to_the_user_of_the_process_or_to_root() {
    let check = |owner, user| super::check_owner(Path::new("key.pem"), owner, user);
    for (owner, user) in [(1000, 1000), (0, 1000), (0, 0)] {
        check(owner, user).unwrap();
    }
    for (owner, user) in [(1001, 1000), (1000, 0)] {
        let refused = check(owner, user).unwrap_err().to_string();
        let expected =
            format!("the key key.pem belongs to user {owner}, not to user {user} of this process or root");
        assert_eq!(refused, expected);
    }
}
