//! The directory: who may use it, how its files are read, and how they are replaced.
//!
//! | name | what it is |
//! |---|---|
//! | `lock` | whoever changes something holds `flock` on it |
//! | `view` | the view, replaced as a whole |
//! | `mark` | how far the directory has come, replaced after the view |
//! | `members/N` | node N holds `flock` on it for its life |
//! | `view.new`, `mark.new` | what is about to replace the others |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lockmaster_core::{ClusterId, Epoch, NodeId};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::record::{LEN_MAX, Mark, Odd, Record};
use crate::membership::MembershipError;

/// Bits of a mode by which somebody else could read or change a file.
const OTHERS: u32 = 0o077;
/// What names this run of the machine.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The directory of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    cluster: ClusterId,
    boot: Option<String>,
}

/// The directory while nobody else changes it.
pub(super) struct Locked<'a> {
    store: &'a Store,
    _lock: Held,
}

/// A file that this process holds until this is dropped.
///
/// It is let go of expressly: a child that was forked a moment ago, and has not begun its own program yet, has the open
/// file too.
#[derive(Debug)]
pub(super) struct Held(File);

/// Does a process hold a node's file?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    Alive,
    Dead,
}

impl Held {
    /// Another hold on the same lock: as long as it is open, the lock is not let go of by the end of this process.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }
}

impl Store {
    /// Opens the directory, and makes it if it is not there.
    pub(super) fn open(dir: &Path, cluster: ClusterId) -> Result<Self, MembershipError> {
        let boot = fs::read_to_string(BOOT).ok().map(|boot| boot.trim().to_owned());
        let store = Self { dir: dir.to_owned(), cluster, boot };
        for dir in [store.dir.clone(), store.members()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.map_err(|source| unusable(&dir, source))?;
            let about = fs::symlink_metadata(&dir).map_err(|source| unusable(&dir, source))?;
            if !about.is_dir() {
                return Err(distrusted(&dir, "it is no directory"));
            }
            check_private(&dir, &about)?;
        }
        Ok(store)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the files of the nodes are.
    pub(super) fn members(&self) -> PathBuf {
        self.dir.join("members")
    }

    fn member(&self, node: NodeId) -> PathBuf {
        self.dir.join("members").join(node.0.to_string())
    }

    /// Keeps others from changing the directory; nothing if another does so now.
    pub(super) fn try_lock(&self) -> Result<Option<Locked<'_>>, MembershipError> {
        let path = self.dir.join("lock");
        let file = open(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        let is_taken = take(&path, &file)?;
        Ok(is_taken.then(|| Locked { store: self, _lock: Held(file) }))
    }

    /// The view; nothing if there was none yet.
    ///
    /// # Errors
    /// [`MembershipError::Untrusted`] if it is damaged, gone, of another cluster, or older than it was.
    pub(super) fn read(&self) -> Result<Option<Record>, MembershipError> {
        // Before the view: whoever changes it writes the mark later.
        let mark = self.read_mark()?;
        let path = self.dir.join("view");
        let Some(text) = read(&path)? else {
            return match mark {
                None => Ok(None),
                Some(_) => Err(distrusted(&path, "it is gone")),
            };
        };
        let record = Record::decode(&text).map_err(|odd| damaged(&path, odd))?;
        self.check_cluster(&path, record.cluster)?;
        if mark.is_some_and(|mark| mark.epoch > record.view.epoch) {
            return Err(distrusted(&path, "it is older than it was"));
        }
        Ok(Some(record))
    }

    fn read_mark(&self) -> Result<Option<Mark>, MembershipError> {
        let path = self.dir.join("mark");
        let Some(text) = read(&path)? else { return Ok(None) };
        let mark = Mark::decode(&text).map_err(|odd| damaged(&path, odd))?;
        self.check_cluster(&path, mark.cluster)?;
        Ok(Some(mark))
    }

    fn check_cluster(&self, path: &Path, cluster: ClusterId) -> Result<(), MembershipError> {
        if cluster == self.cluster { Ok(()) } else { Err(distrusted(path, "it is of another cluster")) }
    }
}

impl Locked<'_> {
    pub(super) fn read(&self) -> Result<Option<Record>, MembershipError> {
        self.store.read()
    }

    /// How many epochs and incarnations may have been used that the files do not tell of.
    ///
    /// Others see a view as soon as it is named. If the machine stops before the name is on the disk, the view before
    /// it comes back, but only by a restart of the machine.
    pub(super) fn lost_max(&self) -> Result<u32, MembershipError> {
        let mark = self.store.read_mark()?;
        let is_same_run = mark.is_none_or(|mark| self.store.boot.as_ref() == Some(&mark.boot));
        Ok(u32::from(!is_same_run))
    }

    /// Replaces the view.
    pub(super) fn write(&self, record: &Record) -> Result<(), MembershipError> {
        let Store { cluster, boot, .. } = self.store;
        self.replace("view", &record.encode())?;
        let boot = boot.clone().unwrap_or_else(|| "unknown".to_owned());
        let mark = Mark { cluster: *cluster, epoch: record.view.epoch, boot };
        self.replace("mark", &mark.encode())
    }

    /// After this returns the file is as named here, also if the machine stops.
    fn replace(&self, name: &str, text: &str) -> Result<(), MembershipError> {
        let Store { dir, .. } = self.store;
        let (new, path) = (dir.join(format!("{name}.new")), dir.join(name));
        let mut file = open(&new, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(text.as_bytes()).map_err(|source| unusable(&new, source))?;
        file.sync_all().map_err(|source| unusable(&new, source))?;
        fs::rename(&new, &path).map_err(|source| unusable(&path, source))?;
        let synced = File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|source| unusable(dir, source))
    }

    /// Removes what somebody left who died while he wrote.
    pub(super) fn clean(&self) -> Result<(), MembershipError> {
        for name in ["view.new", "mark.new"] {
            let path = self.store.dir.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path, error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Takes a node's file; nothing if a process holds it. It is made only if the view has no such member: whether a
    /// member lives that has no file, nobody can tell but itself.
    pub(super) fn take_member(&self, node: NodeId, is_member: bool) -> Result<Option<Held>, MembershipError> {
        let path = self.store.member(node);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(!is_member).truncate(false);
        let file = open(&path, &mut options).map_err(|error| gone(&path, error))?;
        Ok(take(&path, &file)?.then(|| Held(file)))
    }

    /// Does a process hold this node's file? Only asked while the directory is locked: so nobody who wants the file
    /// finds it taken by who only asks.
    pub(super) fn pulse(&self, node: NodeId) -> Result<Pulse, MembershipError> {
        let path = self.store.member(node);
        let file = open(&path, OpenOptions::new().read(true)).map_err(|error| gone(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Pulse::Dead),
            Err(Errno::WOULDBLOCK) => Ok(Pulse::Alive),
            Err(errno) => Err(unusable(&path, errno.into())),
        }
    }

    /// Is this open file still the node's file?
    pub(super) fn is_member(&self, node: NodeId, file: &Held) -> Result<bool, MembershipError> {
        let path = self.store.member(node);
        let about = |about: io::Result<fs::Metadata>| about.map(|about| (about.dev(), about.ino()));
        let own = about(file.0.metadata()).map_err(|source| unusable(&path, source))?;
        match about(fs::symlink_metadata(&path)) {
            Ok(named) => Ok(named == own),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(unusable(&path, source)),
        }
    }

    /// The epoch after this one.
    pub(super) fn next_epoch(&self, epoch: Epoch) -> Result<Epoch, MembershipError> {
        let next = epoch.0.checked_add(1 + self.lost_max()?);
        next.map(Epoch).ok_or_else(|| distrusted(&self.store.dir, "its epochs are used up"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // If it fails, closing the file does it.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes an open file for this process; `false` if another has it.
fn take(path: &Path, file: &File) -> Result<bool, MembershipError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(unusable(path, errno.into())),
    }
}

/// Opens a file that is nobody else's to read or change.
///
/// It is looked at before it is opened: opening a device may set something going. The open file is looked at as well,
/// since another may have come in between; even then no pipe is waited for.
fn open(path: &Path, options: &mut OpenOptions) -> Result<File, MembershipError> {
    match fs::symlink_metadata(path) {
        Ok(about) => check_file(path, &about)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(unusable(path, source)),
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("a flag of the system is a number of C");
    let file = options.mode(0o600).custom_flags(flags).open(path);
    let file = file.map_err(|source| unusable(path, source))?;
    let about = file.metadata().map_err(|source| unusable(path, source))?;
    check_file(path, &about)?;
    check_private(path, &about)?;
    Ok(file)
}

/// The text of a file; nothing if there is none.
fn read(path: &Path) -> Result<Option<String>, MembershipError> {
    let file = match open(path, OpenOptions::new().read(true)) {
        Err(MembershipError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        file => file?,
    };
    let mut text = Vec::new();
    file.take(LEN_MAX).read_to_end(&mut text).map_err(|source| unusable(path, source))?;
    let text = String::from_utf8(text).map_err(|_| damaged(path, Odd::Damaged))?;
    Ok(Some(text))
}

fn check_file(path: &Path, about: &fs::Metadata) -> Result<(), MembershipError> {
    let kind = about.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(distrusted(path, &format!("it is {what}, and no file")))
}

fn check_private(path: &Path, about: &fs::Metadata) -> Result<(), MembershipError> {
    if about.uid() != geteuid().as_raw() {
        return Err(distrusted(path, "it belongs to another user"));
    }
    if about.mode() & OTHERS != 0 {
        let why =
            format!("others may use it (its mode is {:o}): take their rights away", about.mode() & 0o777);
        return Err(distrusted(path, &why));
    }
    Ok(())
}

fn unusable(path: &Path, source: io::Error) -> MembershipError {
    MembershipError::Io { path: path.display().to_string(), source }
}

/// Says of a member's file that is not there what that means, and what to do.
fn gone(path: &Path, error: MembershipError) -> MembershipError {
    let is_gone =
        matches!(&error, MembershipError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
    if !is_gone {
        return error;
    }
    let why = "it is gone, so nobody can tell whether that member lives: if it does it notices, and gives its place up; if \
               its process has ended, make an empty file of this name (mode 600)";
    distrusted(path, why)
}

fn damaged(path: &Path, odd: Odd) -> MembershipError {
    distrusted(path, &odd.to_string())
}

pub(super) fn distrusted(path: &Path, why: &str) -> MembershipError {
    MembershipError::Untrusted(format!("{}: {why}", path.display()))
}
