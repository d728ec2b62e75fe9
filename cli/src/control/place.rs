//! Where the control socket is.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Longest path of a socket, in bytes: that of `sun_path`, less its end.
const PATH_MAX: usize = 107;

/// A socket that is listened on. Its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Device and inode of the socket's file.
    file: (u64, u64),
}

/// Path of the control socket of a node whose cluster meets in a directory.
pub(crate) fn in_directory(directory: &Path, node: u16) -> PathBuf {
    directory.join(format!("control-{node}.sock"))
}

/// Numbers and control sockets of the nodes in a directory, the lowest first.
pub(crate) fn all_in_directory(directory: &Path) -> io::Result<Vec<(u16, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("control-")?.strip_suffix(".sock"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Place {
    /// Listens at this path. A file that is there already is replaced if it is a socket on which nobody answers.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if somebody does, [`ErrorKind::AlreadyExists`] if it is no socket, and whatever the
    /// system says.
    pub(crate) fn listen(path: &Path) -> io::Result<(UnixListener, Self)> {
        if path.as_os_str().len() + ".new".len() > PATH_MAX {
            let text = format!("the path of a socket may have {} bytes", PATH_MAX - ".new".len());
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        // Held while it is looked at and replaced, so that of two who find a stale socket one comes second.
        let directory = lock_directory(path)?;
        listen_check(path)?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&new)?;
        // Nobody knows the name yet; whoever came in all the same is asked who he is.
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        let file = identity(&new)?;
        fs::rename(&new, path)?;
        drop(directory);
        Ok((listener, Self { path: path.to_owned(), file }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(_directory) = lock_directory(&self.path) else { return };
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // What cannot be removed is found stale by whoever comes next.
            let _stale = fs::remove_file(&self.path);
        }
    }
}

fn listen_check(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "a living node has this control socket")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            // A file that is no socket refuses connections too.
            if fs::symlink_metadata(path)?.file_type().is_socket() {
                return Ok(());
            }
            Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        // Its queue is full, so somebody listens.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(io::Error::new(ErrorKind::AddrInUse, "a node that does not answer has this control socket"))
        }
        Err(error) => Err(error),
    }
}

fn lock_directory(path: &Path) -> io::Result<File> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let directory = File::open(parent)?;
    flock(&directory, FlockOperation::LockExclusive)?;
    Ok(directory)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
