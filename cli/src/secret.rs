//! Secrets in files that nobody else may read.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::Failure;

/// Longest file that is read.
const LEN_MAX: u64 = 64 << 10;

/// What is in a file that only its owner can get at. The open file is asked, so that it cannot be exchanged in between.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let broken = |error: io::Error| Failure::Broken(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(broken)?;
    let mode = file.metadata().map_err(broken)?.permissions().mode() & 0o777;
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
