//! Files that are made once.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Failure;

/// A file that is to be made.
pub(crate) struct Draft<'a> {
    path: PathBuf,
    text: &'a str,
    mode: u32,
}

impl<'a> Draft<'a> {
    /// One that only its owner can read.
    pub(crate) const fn secret(path: PathBuf, text: &'a str) -> Self {
        Self { path, text, mode: 0o600 }
    }

    /// One that anybody can read.
    pub(crate) const fn open(path: PathBuf, text: &'a str) -> Self {
        Self { path, text, mode: 0o644 }
    }
}

/// Makes the directory if it is not there, and all of the files or none.
pub(crate) fn write_all(directory: &Path, drafts: &[Draft<'_>]) -> Result<(), Failure> {
    if let Some(there) = drafts.iter().find(|draft| draft.path.symlink_metadata().is_ok()) {
        return Err(exists(&there.path));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| broken(directory, &error))?;
    for (at, draft) in drafts.iter().enumerate() {
        if let Err(failure) = write(draft) {
            // These were made just now.
            drafts[..at].iter().for_each(|draft| drop(fs::remove_file(&draft.path)));
            return Err(failure);
        }
    }
    Ok(())
}

fn write(draft: &Draft<'_>) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(draft.mode).open(&draft.path);
    let mut file = file.map_err(|error| {
        // Somebody may have been faster.
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        if is_there { exists(&draft.path) } else { broken(&draft.path, &error) }
    })?;
    let written = file.write_all(draft.text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        drop(fs::remove_file(&draft.path));
        broken(&draft.path, &error)
    })
}

/// What is in a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::Usage(format!("{} is not there: `lockmaster ca init` makes it", path.display()));
        }
        broken(path, &error)
    })
}

fn exists(path: &Path) -> Failure {
    Failure::Usage(format!("{} exists already; nothing was written", path.display()))
}

fn broken(path: &Path, error: &io::Error) -> Failure {
    Failure::Broken(format!("{}: {error}", path.display()))
}
