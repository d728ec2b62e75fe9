use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

fn check(text: &str, mode: u32) -> Result<String, String> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    read_line(&path).map_err(|failure| failure.to_string())
}

#[test]
fn a_password_is_one_line_that_nobody_else_reads() {
    for text in ["se cret", "se cret\n", "se cret\r\n"] {
        assert_eq!(check(text, 0o600).unwrap(), "se cret");
    }
    assert!(check("x", 0o400).is_ok());
    for text in ["", "\n", "a\nb", "a\nb\n"] {
        assert!(check(text, 0o600).unwrap_err().contains("one line"), "{text:?}");
    }
    for mode in [0o640, 0o604, 0o660] {
        assert!(check("x", mode).unwrap_err().contains(&format!("mode {mode:03o}")));
    }
    assert!(check(&"x".repeat(70_000), 0o600).unwrap_err().contains("long"));
}

#[test]
fn a_secret_belongs_to_the_user_of_the_process_or_to_root() {
    let check = |owner, user| check_owner(Path::new("secret"), Uid::from_raw(owner), Uid::from_raw(user));
    for (owner, user) in [(1000, 1000), (0, 1000), (0, 0)] {
        assert!(check(owner, user).is_ok());
    }
    for (owner, user) in [(1001, 1000), (1000, 0)] {
        let refused = check(owner, user).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("secret belongs to user {owner}, not to user {user}")),
            "{refused}"
        );
    }
}
