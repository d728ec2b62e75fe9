//! Secrets in files that nobody else may read.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Uid, geteuid};

use crate::Failure;

/// Longest file that is read.
const LEN_MAX: u64 = 64 << 10;

/// What is in a file that only this user and root can get at. The open file is asked, so that it cannot be exchanged in
/// between.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let broken = |error: io::Error| Failure::Broken(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(broken)?;
    let about = file.metadata().map_err(broken)?;
    check_owner(path, Uid::from_raw(about.uid()), geteuid())?;
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "others than the owner can get at {path} (mode {mode:03o}): chmod 600 is needed, and if they are not \
             trusted, another secret"
        )));
    }
    let mut text = String::new();
    file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(broken)?;
    if text.len() as u64 > LEN_MAX {
        return Err(broken(io::Error::new(ErrorKind::FileTooLarge, "no secret is this long")));
    }
    Ok(text)
}

/// Whose a file is can always read it, whatever its mode. Root can read all.
fn check_owner(path: &Path, owner: Uid, user: Uid) -> Result<(), Failure> {
    if owner == user || owner.is_root() {
        return Ok(());
    }
    let (path, owner, user) = (path.display(), owner.as_raw(), user.as_raw());
    Err(Failure::Usage(format!(
        "{path} belongs to user {owner}, not to user {user} of this process or root: chown is needed, and if its owner \
         is not trusted, another secret"
    )))
}

/// The only line of such a file.
#[cfg(any(feature = "etcd", test))]
pub(crate) fn read_line(path: &Path) -> Result<String, Failure> {
    let text = read(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains(['\n', '\r']) {
        return Err(Failure::Usage(format!(
            "{}: one line is expected, with the password alone",
            path.display()
        )));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests;
