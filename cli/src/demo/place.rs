//! Where the data file is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Failure, Verdict};

/// Name of the data file.
const DATA_FILE: &str = "accounts.pages";

/// A directory for the data file: the user's, or one that is removed in the end.
pub(super) struct Place {
    data_file: PathBuf,
    temporary: Option<TempDir>,
}

impl Place {
    /// Makes the directory. There is no data file in it then.
    pub(super) fn make(given: Option<&Path>) -> Result<Self, Failure> {
        let Some(directory) = given else {
            let directory = tempfile::Builder::new().prefix("lockmaster-demo-").tempdir();
            let directory = directory.map_err(Failure::unusable(&std::env::temp_dir()))?;
            return Self::check(directory.path().join(DATA_FILE), Some(directory));
        };
        fs::create_dir_all(directory).map_err(Failure::unusable(directory))?;
        let data_file = directory.join(DATA_FILE);
        // Removed and not written over: a demonstration that still runs keeps the file that it has opened.
        match fs::remove_file(&data_file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::unusable(&data_file)(error)),
            Ok(()) | Err(_) => Self::check(data_file, None),
        }
    }

    fn check(data_file: PathBuf, temporary: Option<TempDir>) -> Result<Self, Failure> {
        check_is_text(&data_file)?;
        Ok(Self { data_file, temporary })
    }

    /// Path of the data file.
    pub(super) fn data_file(&self) -> &Path {
        &self.data_file
    }

    /// Removes a temporary directory, unless something was wrong. Returns the data file if it is still there.
    pub(super) fn end(self, verdict: Verdict) -> Option<PathBuf> {
        match (self.temporary, verdict) {
            (Some(_removed), Verdict::Clean) => None,
            (Some(temporary), Verdict::Failed) => Some(temporary.keep().join(DATA_FILE)),
            (None, Verdict::Clean | Verdict::Failed) => Some(self.data_file),
        }
    }
}

/// Node processes are told of paths in JSON, which takes nothing but text.
pub(super) fn check_is_text(path: &Path) -> Result<(), Failure> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => Err(Failure::Usage(format!("{}: the path is not UTF-8", path.display()))),
    }
}
