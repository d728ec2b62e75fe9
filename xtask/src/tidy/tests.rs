use super::*;

/// The findings on a file with this text.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    check_text(path, text, &mut findings);
    findings
}

#[test]
fn a_clean_file_passes() {
    assert!(check("a.rs", "//! A file.\n\nfn f() {}\n").is_empty());
    assert!(check("a.rs", "").is_empty());
}

#[test]
fn white_space_at_the_end_is_found() {
    assert_eq!(check("a.md", "one \ntwo\n"), ["a.md:1: white space at the end of the line"]);
    assert_eq!(check("a.rs", "one\r\n"), ["a.rs:1: white space at the end of the line"]);
    assert_eq!(check("a.toml", "one"), ["a.toml: the last line has no end"]);
}

#[test]
fn a_long_file_is_found() {
    assert!(check("a.rs", &"x\n".repeat(LINES_MAX - 1)).is_empty());
    assert_eq!(check("a.rs", &"x\n".repeat(LINES_MAX)).len(), 1);
    assert!(check("a.md", &"x\n".repeat(LINES_MAX)).is_empty());
}

#[test]
fn unfinished_work_is_found() {
    for word in UNFINISHED {
        assert_eq!(check("a.rs", &format!("fn f() {{}}\n// {word}\n")), [format!("a.rs:2: {word}")]);
    }
}

#[test]
fn a_silenced_lint_needs_a_reason() {
    for silencer in SILENCERS {
        let silencer = silencer.trim_end_matches('(');
        assert_eq!(check("a.rs", &format!("{silencer}(dead_code)]\n")).len(), 1);
        assert!(
            check("a.rs", &format!("{silencer}(\n    dead_code,\n    reason = \"why\"\n)]\n")).is_empty()
        );
    }
}
