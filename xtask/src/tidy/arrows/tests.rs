use super::*;

/// The findings on a package of this name that depends on this one.
fn check(package: &str, dependency: &str) -> Vec<String> {
    let text =
        format!("[package]\nname = \"{package}\"\n\n[dev-dependencies]\n{dependency}.workspace = true\n");
    let mut findings = Vec::new();
    check_member("Cargo.toml", &text, &mut findings);
    findings
}

#[test]
fn arrows_run_one_way() {
    assert!(check("lockmaster-tokio", "lockmaster-core").is_empty());
    assert!(check("lockmaster-core", "heapless").is_empty());
    assert!(check("lockmaster-tests", "lockmaster-sim").is_empty());
    assert_eq!(
        check("lockmaster-core", "lockmaster-sim"),
        ["Cargo.toml: lockmaster-core must not depend on lockmaster-sim"]
    );
    assert_eq!(check("lockmaster-async", "lockmaster-tokio").len(), 1);
    assert_eq!(check("lockmaster-smol", "lockmaster-tokio").len(), 1);
    assert_eq!(check("xtask", "serde").len(), 1);
}

#[test]
fn a_package_without_arrows_is_found() {
    assert_eq!(check("lockmaster-else", "heapless").len(), 1);
}

#[test]
fn another_name_hides_nothing() {
    let mut findings = Vec::new();
    check_manifest("Cargo.toml", "core = { package = \"lockmaster-core\" }", &mut findings);
    assert_eq!(findings.len(), 1);
}

#[test]
fn the_allowed_arrows_have_no_cycle() {
    // Each package comes after those it may point to, in some order: repeat until nothing more is placed.
    let mut placed: Vec<&str> = Vec::new();
    loop {
        let next = ARROWS.iter().find(|(name, arrows)| {
            let is_ready = match arrows {
                Arrows::None | Arrows::Any => true,
                Arrows::To(allowed) => allowed.iter().all(|name| placed.contains(name)),
            };
            is_ready && !placed.contains(name)
        });
        let Some((name, _)) = next else { break };
        placed.push(name);
    }
    assert_eq!(placed.len(), ARROWS.len());
}
