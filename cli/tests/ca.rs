//! `lockmaster ca` as an operator runs it, and nodes that start with what it makes.

#![cfg(test)]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use lockmaster_tokio::{Mode, Node, NodeId, TlsConfig};
use tempfile::TempDir;

/// Runs `lockmaster ca` with these words in a directory; checks its exit status and returns what it printed.
fn ca(place: &Path, words: &str, status: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockmaster"));
    command.arg("ca").args(words.split_whitespace()).current_dir(place).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file below a directory, and what is in it.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn nodes_start_with_what_it_makes_and_lock() {
    let place = TempDir::new().unwrap();
    let text = ca(place.path(), "init --dir pki --cluster orders", 0);
    assert!(text.starts_with("authority    of the cluster orders, in pki, until 20"), "{text}");
    assert!(text.ends_with("\nnext         lockmaster ca issue --dir pki --node 1\n"), "{text}");
    let text = ca(place.path(), "issue --dir pki --node 1", 0);
    assert!(text.starts_with("certificate  of node-1.orders.lockmaster, in pki/node-1, until 20"), "{text}");
    assert!(text.contains("\nnext         copy pki/node-1 to the machine of node 1"), "{text}");
    ca(place.path(), "issue --dir pki --node 2 --out elsewhere/two --days 1", 0);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let tls = |files: &str| TlsConfig::from_directory(place.path().join(files)).unwrap();
    let one = Node::builder("orders").node(1).tls(tls("pki/node-1")).member(2, at);
    let two = Node::builder("orders").node(2).tls(tls("elsewhere/two")).listener(listener).member(1, at);
    let (one, two) = (one.start().await.unwrap(), two.start().await.unwrap());
    for number in 0..8 {
        let name = format!("invoice/{number}");
        drop(one.lock(&name, Mode::Exclusive).await.unwrap());
        drop(two.lock(&name, Mode::Exclusive).await.unwrap());
    }
    assert_eq!((one.link_stats().up, two.link_stats().handshakes_failed), (1, 0));

    let error = Node::builder("orders").node(1).tls(tls("elsewhere/two")).start().await.unwrap_err();
    let expected = "the other nodes would refuse the certificate of node-1.orders.lockmaster";
    assert_eq!(error.to_string(), expected);
    assert!(tls("pki/node-1").check("orders", NodeId(1)).is_ok());
    assert!(tls("pki/node-1").check("others", NodeId(1)).is_err());
}

#[test]
fn keys_are_for_their_owner_alone_and_no_two_certificates_are_alike() {
    let place = TempDir::new().unwrap();
    ca(place.path(), "init --dir pki", 0);
    for node in 1..=2 {
        ca(place.path(), &format!("issue --dir pki --node {node}"), 0);
    }
    let file = |name: &str| place.path().join("pki").join(name);
    for (name, expected) in [
        ("", 0o700),
        ("ca.key", 0o600),
        ("ca.pem", 0o644),
        ("node-1/key.pem", 0o600),
        ("node-1/cert.pem", 0o644),
    ] {
        assert_eq!(mode(file(name)), expected, "{name}");
    }
    assert_eq!(fs::read_to_string(file("cluster")).unwrap(), "lockmaster");
    for name in ["key.pem", "cert.pem"] {
        let [one, two] = ["node-1", "node-2"].map(|node| fs::read(file(node).join(name)).unwrap());
        assert_ne!(one, two);
    }
    assert_eq!(fs::read(file("ca.pem")).unwrap(), fs::read(file("node-2/ca.pem")).unwrap());
}

#[test]
fn nothing_is_overwritten() {
    let place = TempDir::new().unwrap();
    ca(place.path(), "init --dir pki", 0);
    ca(place.path(), "issue --dir pki --node 7", 0);
    let before = contents(place.path());
    for (words, named) in [
        ("init --dir pki", "pki/ca.key"),
        ("init --dir pki --cluster other", "pki/ca.key"),
        ("issue --dir pki --node 7", "pki/node-7/key.pem"),
        ("issue --dir pki --node 8 --out pki", "pki/ca.pem"),
    ] {
        let text = ca(place.path(), words, 2);
        assert_eq!(text, format!("error: {named} exists already; nothing was written\n"));
        assert_eq!(contents(place.path()), before, "{words}");
    }
}

#[test]
fn what_cannot_be_done_is_told_in_words() {
    let place = TempDir::new().unwrap();
    let file = |name: &str| place.path().join("pki").join(name);
    let one_line = |words: &str, status, expected: &str| {
        let text = ca(place.path(), words, status);
        assert!(text.starts_with(&format!("error: {expected}")) && text.lines().count() == 1, "{text}");
    };
    one_line("issue --dir pki --node 1", 2, "pki/cluster is not there: `lockmaster ca init` makes it");
    one_line(
        &format!("init --dir pki --cluster {}", "x".repeat(200)),
        2,
        "no certificate can name the cluster",
    );
    one_line("init --dir /proc/none", 1, "/proc/none: ");
    assert!(!place.path().join("pki").exists());

    ca(place.path(), "init --dir pki", 0);
    fs::set_permissions(file("ca.key"), Permissions::from_mode(0o644)).unwrap();
    one_line("issue --dir pki --node 1", 2, "others than the owner can get at pki/ca.key (mode 644)");
    fs::set_permissions(file("ca.key"), Permissions::from_mode(0o600)).unwrap();

    // A key that is not the certificate's.
    let other = TempDir::new().unwrap();
    ca(other.path(), "init --dir pki", 0);
    fs::copy(other.path().join("pki/ca.key"), file("ca.key")).unwrap();
    one_line(
        "issue --dir pki --node 1",
        1,
        "the other nodes would refuse the certificate of node-1.lockmaster",
    );
    fs::write(file("ca.key"), "").unwrap();
    one_line("issue --dir pki --node 1", 1, "pki/ca.key: ");
    assert!(!file("node-1").exists());

    for wrong in
        ["", "init", "issue --dir pki", "issue --dir pki --node 70000", "issue --dir pki --node 1 --days 0"]
    {
        ca(place.path(), wrong, 2);
    }
}
