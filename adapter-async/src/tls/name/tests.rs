use super::*;

fn name(cluster: &str) -> String {
    Names::of(cluster).unwrap().text(NodeId(7))
}

#[test]
fn a_name_that_is_a_label_stands_as_it_is() {
    assert_eq!(name("orders"), "node-7.orders.lockmaster");
    assert_eq!(name("orders-2"), "node-7.orders-2.lockmaster");
    assert_eq!(name(&"a".repeat(63)), format!("node-7.{}.lockmaster", "a".repeat(63)));
}

#[test]
fn any_other_name_is_written_in_digits() {
    assert_eq!(name("Orders"), "node-7.4f7264657273.hex.lockmaster");
    assert_eq!(name("a.b"), "node-7.612e62.hex.lockmaster");
    assert_eq!(name("-a"), "node-7.2d61.hex.lockmaster");
    assert_eq!(name("a-"), "node-7.612d.hex.lockmaster");
    assert_eq!(name("é"), "node-7.c3a9.hex.lockmaster");
    assert_eq!(name("hex"), "node-7.686578.hex.lockmaster");
    let full = "61".repeat(31);
    assert_eq!(name(&"a".repeat(64)), format!("node-7.{full}.{full}.6161.hex.lockmaster"));
}

#[test]
fn no_two_clusters_have_a_name_in_common() {
    let clusters = ["a", "A", "61", "61.hex", "hex", "686578", "686578.hex", "a.hex", "*", "node-7"];
    for (at, cluster) in clusters.iter().enumerate() {
        assert!(clusters[..at].iter().all(|other| name(other) != name(cluster)), "{cluster}");
    }
}

#[test]
fn a_cluster_that_no_name_can_hold_is_refused() {
    assert!(matches!(Names::of(""), Err(TlsError::ClusterName(_))));
    assert!(Names::of(&"A".repeat(109)).is_ok());
    let refused = Names::of(&"A".repeat(120));
    assert!(matches!(refused, Err(TlsError::ClusterName(name)) if name.len() == 120));
}
