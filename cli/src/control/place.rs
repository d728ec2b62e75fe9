//! Where the control socket is.

use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

/// Longest path of a socket, in bytes: that of `sun_path`, less its end.
const PATH_MAX: usize = 107;
/// Connections that wait until they are accepted.
const BACKLOG: i32 = 128;
/// How long somebody else may keep the directory locked: anybody may who can open it.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Pause before it is tried again.
const LOCK_AGAIN: Duration = Duration::from_millis(5);

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
    /// [`ErrorKind::AddrInUse`] if somebody does, [`ErrorKind::AlreadyExists`] if it is no socket,
    /// [`ErrorKind::TimedOut`] if somebody keeps the directory locked, and whatever the system says.
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
        listen_clean(&new)?;
        let listener = listen_privately(&new)?;
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

/// Is the path free, or its socket stale?
fn listen_check(path: &Path) -> io::Result<()> {
    let socket = socket(SocketFlags::NONBLOCK)?;
    let Err(errno) = rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) else {
        return Err(io::Error::new(ErrorKind::AddrInUse, "a living node has this control socket"));
    };
    match errno {
        Errno::NOENT => Ok(()),
        // A file that is no socket refuses connections too.
        Errno::CONNREFUSED => listen_check_socket(path),
        // Its queue is full, so somebody listens.
        Errno::AGAIN => {
            Err(io::Error::new(ErrorKind::AddrInUse, "a node that does not answer has this control socket"))
        }
        errno => Err(errno.into()),
    }
}

/// What is at this path may be replaced if it is a socket.
fn listen_check_socket(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(());
    }
    let text = format!("{}: there is a file that is no socket", path.display());
    Err(io::Error::new(ErrorKind::AlreadyExists, text))
}

/// Removes a socket that somebody left who ended before it had its name.
fn listen_clean(path: &Path) -> io::Result<()> {
    match listen_check_socket(path) {
        Ok(()) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Listens at a path that is free. There is no instant in which others than the owner could connect: the file gets the
/// permissions that the socket has by then.
fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let socket = socket(SocketFlags::empty())?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

fn lock_directory(path: &Path) -> io::Result<File> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let directory = File::open(parent)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from) {
            Ok(()) => return Ok(directory),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            Err(_) if Instant::now() >= until => {
                let text = format!("somebody keeps {} locked", parent.display());
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            Err(_) => thread::sleep(LOCK_AGAIN),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests;
