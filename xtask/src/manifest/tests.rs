use super::*;

const MANIFEST: &str = r#"
[workspace]
members = [
    "core",
    "cli",
]

[package]
name = "lockmaster-tokio"

[features]
default = ["x"]

[dependencies]
lockmaster-core.workspace = true
tokio = { version = "1", features = [
    "net",
] }
# lockmaster-sim = "0"

[dev-dependencies]
  lockmaster-async = { path = "../adapter-async" }

[target.'cfg(unix)'.dependencies]
rustix = "1"

[build-dependencies.lockmaster-smol]
path = "../adapter-smol"
"#;

#[test]
fn a_manifest_is_read() {
    assert_eq!(package_name(MANIFEST), Some("lockmaster-tokio"));
    assert_eq!(members(MANIFEST), ["core", "cli"]);
    let expected = ["lockmaster-core", "tokio", "lockmaster-async", "rustix", "lockmaster-smol"];
    assert_eq!(dependencies(MANIFEST).collect::<Vec<_>>(), expected);
}

#[test]
fn a_lock_file_is_read() {
    let lock = r#"version = 4

[[package]]
name = "a"
version = "1.2.3"

[[package]]
name = "b"
version = "0.1.0"
dependencies = [
 "a",
]
"#;
    assert_eq!(locked_packages(lock).collect::<Vec<_>>(), [("a", "1.2.3"), ("b", "0.1.0")]);
}
