//! Membership by a directory that the processes of one machine share.

mod member;
mod record;
mod store;
mod watch;

use core::time::Duration;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant as Clock;

use lockmaster_core::Certainty;

use self::member::{LOCK_AGAIN, Member};
use self::store::Store;
use self::watch::{Stop, Watch, Watcher};
use crate::membership::{Candidate, ClusterView, Inbox, Joined, Membership, MembershipError, Session};

/// How long a number that somebody has is tried: an earlier life of this node may be about to end.
const TAKEN_WAIT: Duration = Duration::from_secs(1);

/// Membership by a directory that the processes of one machine share: nothing else has to run.
///
/// Each process holds a lock of the system (`flock`) on its own file in the directory, for its life. The kernel lets go
/// of it when the process dies, however it dies, so a dead member is found without a clock, and a living one is never
/// taken for dead: membership is certain for ever, until the process ends. The view is another file, which is replaced
/// as a whole. Members that come, leave or die are told by the kernel (inotify) within milliseconds.
///
/// A process that is stopped (SIGSTOP, a debugger) keeps its lock, and stays a member: what it masters or holds waits for
/// it. One that is stopped in the instant in which it changes the view holds up every change of it.
///
/// # The directory
///
/// It is made if it is not there. It must be on a file system of this machine, not on the network, and belong to the user
/// that the processes run as, closed to others (mode 700, files 600); otherwise it is refused.
///
/// It should outlive restarts of the machine, like a directory below `/var/lib`. In one that does not (below `/run`),
/// epochs begin anew with the machine, and so do fencing tokens: a storage that keeps the highest token would then
/// refuse all.
///
/// A view that was damaged, or that somebody has put back to an earlier one, is refused with an error that says so.
/// Members go on with the view that they have, and nothing is lost, but it changes no more. Stop all processes, then
/// remove the directory: the next start begins anew, and so do fencing tokens.
///
/// A member whose file somebody removes notices at once, or when it is not stopped any more: it loses its membership,
/// makes a view without itself, and comes back as a new incarnation. Until then its number is given to nobody, and nobody
/// is taken for dead: who is not there any more cannot be told from who is stopped. If its process has ended, make an
/// empty file of that name (mode 600), which says so. What is no file where one should be (a pipe, a link) is refused,
/// and never waited for.
///
/// A process that forks without `exec` gives its child the lock too: if it dies, it seems to live until the child has
/// ended.
#[derive(Clone, Debug)]
pub struct LocalDir {
    path: PathBuf,
    /// The member that was made here last, if it still is one.
    member: Arc<Mutex<Weak<Member>>>,
}

impl LocalDir {
    /// The directory at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), member: Arc::default() }
    }

    /// A share in what makes this process a member: as long as anybody has one, the member is not taken for dead, even if
    /// this process is. It may be sent to another process that acts under locks of this node and ends when this process
    /// does: then nobody else gets those locks before it has ended. A member that leaves, leaves all the same.
    ///
    /// Absent if this provider, or a clone of it, has made no member, or if that is one no more.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn share(&self) -> io::Result<Option<OwnedFd>> {
        let member = self.member.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        member.map(|member| member.share()).transpose()
    }
}

impl Membership for LocalDir {
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError> {
        let store = Store::open(&self.path, candidate.cluster)?;
        // Before the view is read: what changes it later is told.
        let watch = Watch::new(&store)?;
        let stop = Arc::new(Stop::new(&store)?);
        let (member, view) = admit(&store, candidate, &inbox)?;
        let (node, incarnation, digest) = (member.node, member.incarnation, member.digest);
        let member = Arc::new(member);
        *self.member.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&member);
        inbox.certainty(Certainty::FOR_EVER);
        inbox.view(view.clone());
        let watcher = Watcher::new(Arc::clone(&member), watch, Arc::clone(&stop), inbox.clone(), view);
        let thread = thread::Builder::new().name("lockmaster-local-dir".to_owned());
        let thread = thread.spawn(move || watcher.run());
        let thread =
            thread.map_err(|source| MembershipError::Io { path: self.path.display().to_string(), source })?;
        let session = LocalSession { member, inbox, stop, thread: Some(thread) };
        Ok(Joined { node, incarnation, digest, session: Box::new(session) })
    }
}

/// Makes a member of the candidate as soon as nobody else changes the directory.
fn admit(
    store: &Store,
    candidate: &Candidate,
    inbox: &Inbox,
) -> Result<(Member, ClusterView), MembershipError> {
    let patient_until = Clock::now() + TAKEN_WAIT;
    while !inbox.is_over() {
        let admitted = match store.try_lock()? {
            Some(locked) => Member::admit(store, &locked, candidate).map(Some),
            None => Ok(None),
        };
        match admitted {
            Ok(Some(admitted)) => return Ok(admitted),
            Err(MembershipError::Taken(_)) if Clock::now() < patient_until => {}
            Ok(None) => {}
            Err(error) => return Err(error),
        }
        thread::sleep(LOCK_AGAIN);
    }
    Err(MembershipError::Abandoned)
}

/// A membership in a directory. The file is let go of when the thread has ended and this is dropped.
struct LocalSession {
    member: Arc<Member>,
    inbox: Inbox,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<bool>>,
}

impl Session for LocalSession {
    fn announce_leaving(&self) -> Result<(), MembershipError> {
        let view = self.member.announce_leaving()?;
        self.inbox.view(view);
        Ok(())
    }

    fn leave(self: Box<Self>) {
        if let Err(error) = self.member.leave() {
            // The others find out when the file is let go of.
            self.inbox.trouble(&error.to_string());
        }
    }
}

impl Drop for LocalSession {
    fn drop(&mut self) {
        self.stop.stop();
        // If the thread has panicked there is nothing more to end.
        let is_member = self.thread.take().and_then(|thread| thread.join().ok());
        // Its file is not the one that others look at: they do not see that this life has ended, unless they are told.
        if is_member == Some(false)
            && let Err(error) = self.member.leave()
        {
            self.inbox.trouble(&error.to_string());
        }
    }
}

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
#[cfg(test)]
mod tests;
