//! What a node must never go below again, on disk: a restored backup of etcd must not turn time back.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lockmaster_async::NodeId;
use lockmaster_async::lockmaster_core::{ClusterId, Epoch, Incarnation};

/// The latest that a node has accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Its last view; 0 before the first.
    pub(crate) epoch: Epoch,
    /// Digest of that view's document: an epoch has one view.
    pub(crate) digest: u64,
    /// Its last life.
    pub(crate) incarnation: Incarnation,
}

/// The file that keeps a floor: three numbers on one line, the digest in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct FloorFile {
    path: PathBuf,
}

impl FloorFile {
    /// The file of this node. One that lets its number be chosen has one for all numbers.
    pub(crate) fn new(folder: &Path, cluster: ClusterId, node: Option<NodeId>) -> Self {
        let node = node.map_or_else(|| "any".to_owned(), |node| node.to_string());
        Self { path: folder.join(format!("{:016x}-{node}.floor", cluster.0)) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept last; the lowest floor if nothing was.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of these.
    pub(crate) fn read(&self) -> io::Result<Floor> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Floor::default()),
            Err(error) => return Err(error),
        };
        let floor = read_line(&text);
        floor.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it is not a floor that was kept whole")
        })
    }

    /// Keeps a floor: when this returns, a crash or a loss of power does not lose it.
    ///
    /// # Errors
    /// It cannot be written; the one before is still there.
    pub(crate) fn write(&self, floor: Floor) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        writeln!(file, "{} {:016x} {}", floor.epoch.0, floor.digest, floor.incarnation.0)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&draft, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

fn read_line(text: &str) -> Option<Floor> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let epoch = Epoch(words.next()?.parse().ok()?);
    let digest = u64::from_str_radix(words.next()?, 16).ok()?;
    let incarnation = Incarnation(words.next()?.parse().ok()?);
    words.next().is_none().then_some(Floor { epoch, digest, incarnation })
}

#[cfg(test)]
mod tests;
