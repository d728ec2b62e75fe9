//! Tests that only root can run, since they become another user or give files away. An ordinary user's `cargo test` leaves
//! them out and says so.

use std::path::Path;
use std::process::Command;

use crate::command::{check_succeeds, run};
use crate::verify::{self, Done};

/// Where they are: built with the features of the tests before, so that nothing is built twice.
const TESTS: &str = "test --workspace --exclude lockmaster-etcd --exclude lockmaster-real-faults --features lockmaster-async/tracing --test program --locked -- --ignored";

/// Do they pass, if this is root?
///
/// # Errors
/// What went wrong, for people.
pub(crate) fn check(root: &Path) -> Result<Done, String> {
    // The standard library does not tell who this is.
    let id = run(Command::new("id").arg("-u"))?;
    if id.stdout != b"0\n" {
        return Ok(Done::Skipped("this is not root, so nobody can be somebody else".to_owned()));
    }
    let mut list = verify::cargo(root);
    let list = run(list.args(TESTS.split(' ')).arg("--list"))?;
    if list.status.success() && !String::from_utf8_lossy(&list.stdout).contains(": test") {
        return Err("no test says that it needs root".to_owned());
    }
    check_succeeds(verify::cargo(root).args(TESTS.split(' ')), "they fail")?;
    Ok(Done::Passed)
}
