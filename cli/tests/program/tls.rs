//! Nodes that prove themselves with what `ca` has made.

use std::fs;
use std::os::unix::fs::chown;

use crate::common::{Cluster, NOBODY, check, program};

#[test]
fn nodes_prove_themselves_with_what_was_issued() {
    let cluster = Cluster::new();
    let files = cluster.scratch().join("pki");
    check(program("ca init --cluster orders --dir").arg(&files), 0);
    for number in ["1", "2"] {
        check(program("ca issue --node").arg(number).arg("--dir").arg(&files), 0);
    }
    let at = |name: &str| files.join(name).display().to_string();
    let one = format!("--cluster orders --id 1 --tls {}", at("node-1"));
    let two = format!(
        "--cluster orders --id 2 --tls-ca {} --tls-cert {} --tls-key {}",
        at("node-2/ca.pem"),
        at("node-2/cert.pem"),
        at("node-2/key.pem")
    );
    let _one = cluster.node(&one);
    let _two = cluster.node(&two);
    // Some of these are mastered by either.
    for name in 0..8 {
        for node in ["1", "2"] {
            check(&mut cluster.lock(&format!("--id {node} job-{name}"), "true"), 0);
        }
    }
    let text = check(&mut cluster.command("node", &one.replace("--id 1", "--id 3")), 2);
    assert!(text.contains("node-3.orders.lockmaster"), "{text}");
    fs::remove_file(files.join("node-1/key.pem")).unwrap();
    let text = check(&mut cluster.command("node", &one.replace("--id 1", "--id 3")), 2);
    assert!(text.contains("key.pem"), "{text}");
}

#[test]
#[ignore = "needs root, since it gives files to another user: cargo xtask verify root"]
fn a_key_of_somebody_else_is_refused() {
    let cluster = Cluster::new();
    let files = cluster.scratch().join("pki");
    check(program("ca init --cluster orders --dir").arg(&files), 0);
    check(program("ca issue --node 1 --dir").arg(&files), 0);
    let one = files.join("node-1");
    chown(one.join("key.pem"), Some(NOBODY), None).unwrap();
    // It would not start with a good key either, so this ends in any case.
    let arguments = format!("--cluster another --id 1 --tls {}", one.display());
    let text = check(&mut cluster.command("node", &arguments), 2);
    assert!(text.contains(&format!("key.pem belongs to user {NOBODY}, not to user 0")), "{text}");
    // Nor does the authority sign with such a key.
    chown(files.join("ca.key"), Some(NOBODY), None).unwrap();
    let text = check(program("ca issue --node 2 --dir").arg(&files), 2);
    assert!(text.contains(&format!("ca.key belongs to user {NOBODY}, not to user 0")), "{text}");
}
