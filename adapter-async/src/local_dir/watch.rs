//! The thread that sees views come and members die.
//!
//! The kernel tells (inotify) that `view` was replaced, and that a member's file was closed: when a process dies, all its
//! files are closed. It tells so a moment before it lets go of the lock, so who is suspected is looked at several times.
//! Everything is also looked at now and then, in case something was not told.
//!
//! Whoever has the lowest number of those that live makes the view without the dead; the others wait for a moment first,
//! each for another, and find nothing left to do.

use core::mem::MaybeUninit;
use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant as Clock;

use lockmaster_core::{Epoch, NodeId};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::member::{Member, Purge};
use super::store::{Store, distrusted};
use crate::backoff::Backoff;
use crate::membership::{ClusterView, Inbox, MembershipError};

/// Everything is looked at so often, told or not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How much later each next member looks at one that died.
const RANK_DELAY: Duration = Duration::from_millis(20);
/// First and longest pause between looks at one that is suspected.
const SUSPECT_AGAIN: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(50)];
/// How long a member is suspected.
const SUSPECT_FOR: Duration = Duration::from_millis(500);
/// What tells that a member's file is another, or is gone.
const MOVED: WatchFlags =
    WatchFlags::MOVED_TO.union(WatchFlags::MOVED_FROM).union(WatchFlags::CREATE).union(WatchFlags::DELETE);
/// Bytes of what the kernel tells at a time.
const NEWS_LEN: usize = 4096;

/// What the kernel tells about a directory.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    /// The watch of the directory itself; the other is that of the members' files.
    dir: i32,
}

/// Ends the thread.
#[derive(Debug)]
pub(super) struct Stop(OwnedFd);

/// The thread's work.
pub(super) struct Watcher {
    member: Arc<Member>,
    watch: Watch,
    stop: Arc<Stop>,
    inbox: Inbox,
    view: ClusterView,
    /// Members that may be dead.
    suspects: BTreeMap<NodeId, Suspect>,
    jitter: Backoff,
    look_at: Clock,
    /// What an operator was told last.
    trouble: Option<String>,
}

/// Does the thread go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// It is no member any more, or is to be none: its file is another's or is gone.
    End,
}

/// A member that may be dead.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    look_at: Clock,
    pause: Duration,
    until: Clock,
}

impl Watch {
    /// From now on nothing is missed.
    pub(super) fn new(store: &Store) -> Result<Self, MembershipError> {
        let watch = || -> Result<Self, Errno> {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let dir = inotify::add_watch(&inotify, store.dir(), WatchFlags::MOVED_TO)?;
            let members = WatchFlags::CLOSE_WRITE | MOVED;
            inotify::add_watch(&inotify, store.members(), members)?;
            Ok(Self { inotify, dir })
        };
        let path = || store.dir().display().to_string();
        watch().map_err(|errno| MembershipError::Io { path: path(), source: errno.into() })
    }

    /// What has happened since; sleeps for nothing.
    fn news(&self) -> News {
        let mut news = News::default();
        let mut buf = [MaybeUninit::uninit(); NEWS_LEN];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buf);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                news.is_incomplete = true;
            }
            let name = event.file_name().and_then(|name| name.to_str().ok());
            if event.wd() == self.dir {
                news.is_view |= name == Some("view");
            } else if let Some(node) = name.and_then(|name| name.parse().ok()).map(NodeId) {
                let is_closed = event.events().contains(ReadFlags::CLOSE_WRITE);
                if is_closed { news.closed.push(node) } else { news.moved.push(node) }
            }
        }
        news
    }
}

/// What has happened.
#[derive(Debug, Default)]
struct News {
    is_view: bool,
    /// Whose files were closed.
    closed: Vec<NodeId>,
    /// Whose files are others now, or are gone.
    moved: Vec<NodeId>,
    is_incomplete: bool,
}

impl Stop {
    pub(super) fn new(store: &Store) -> Result<Self, MembershipError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let path = || store.dir().display().to_string();
        stop.map(Self).map_err(|errno| MembershipError::Io { path: path(), source: errno.into() })
    }

    pub(super) fn stop(&self) {
        // It fails only if it was told already, very often.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl Watcher {
    pub(super) fn new(
        member: Arc<Member>,
        watch: Watch,
        stop: Arc<Stop>,
        inbox: Inbox,
        view: ClusterView,
    ) -> Self {
        let jitter = Backoff::new(member.incarnation.0);
        let (suspects, look_at) = (BTreeMap::new(), Clock::now() + LOOK_EVERY);
        Self { member, watch, stop, inbox, view, suspects, jitter, look_at, trouble: None }
    }

    /// Runs until it is stopped, or until the member is none any more; says whether it still is one.
    pub(super) fn run(mut self) -> bool {
        while self.wait() {
            let news = self.watch.news();
            let now = Clock::now();
            let is_own_moved = news.moved.contains(&self.member.node);
            let is_due = now >= self.look_at || news.is_incomplete || is_own_moved;
            let read = if news.is_view || is_due { self.read() } else { Ok(()) };
            news.closed.into_iter().for_each(|node| self.suspect(node, now));
            let is_suspect_due = self.suspects.values().any(|suspect| now >= suspect.look_at);
            if is_due {
                self.look_at = now + LOOK_EVERY;
            }
            let looked = if is_due || is_suspect_due { self.look(now) } else { Ok(Next::GoOn) };
            if matches!(looked, Ok(Next::End)) {
                return false;
            }
            match read.and(looked.map(|_| ())) {
                Ok(()) if is_due => self.trouble = None,
                Ok(()) => {}
                Err(error) => self.tell_trouble(&error),
            }
        }
        true
    }

    /// Sleeps until something has happened or is due; `false` if the thread has to end.
    fn wait(&self) -> bool {
        let due = self.suspects.values().map(|suspect| suspect.look_at).chain([self.look_at]).min();
        let due = due.unwrap_or(self.look_at);
        let left = due.saturating_duration_since(Clock::now());
        let mut sources =
            [PollFd::new(&self.stop.0, PollFlags::IN), PollFd::new(&self.watch.inotify, PollFlags::IN)];
        // A pause is never longer than a second.
        let timeout = Timespec::try_from(left).ok();
        // It fails if a signal comes: then it is looked at once more than needed.
        let _ = poll(&mut sources, timeout.as_ref());
        sources[0].revents().is_empty()
    }

    /// A member's file was closed.
    fn suspect(&mut self, node: NodeId, now: Clock) {
        let me = self.member.node;
        if node == me || self.view.member(node).is_none() {
            return;
        }
        let before = self.view.members.iter().filter(|member| member.node < me && member.node != node);
        let rank = u32::try_from(before.count()).expect("there are at most 64 members");
        let delay = if rank == 0 {
            Duration::ZERO
        } else {
            RANK_DELAY * rank + self.jitter.pause_at_most(RANK_DELAY)
        };
        let look_at = now + delay;
        let suspect = Suspect { look_at, pause: SUSPECT_AGAIN[0], until: look_at + SUSPECT_FOR };
        self.suspects.insert(node, suspect);
    }

    /// Tells the node of the view, if it is a later one.
    fn read(&mut self) -> Result<(), MembershipError> {
        let record = self.member.store.read()?;
        let epoch = record.as_ref().map_or(Epoch(0), |record| record.view.epoch);
        match record {
            Some(record) if epoch > self.view.epoch => self.install(record.view),
            Some(_) if epoch == self.view.epoch => {}
            Some(_) | None => {
                return Err(distrusted(self.member.store.dir(), "the view is older than it was"));
            }
        }
        Ok(())
    }

    fn install(&mut self, view: ClusterView) {
        self.suspects.retain(|node, _| view.member(*node).is_some());
        self.view = view.clone();
        self.inbox.view(view);
    }

    /// Looks whether members have died.
    fn look(&mut self, now: Clock) -> Result<Next, MembershipError> {
        // Who was looked at without a result is looked at again, unless a view without it comes first.
        self.put_off(now);
        let member = Arc::clone(&self.member);
        // If another has the directory locked, he looks too, most likely.
        let Some(locked) = member.store.try_lock()? else { return Ok(Next::GoOn) };
        let purge = member.purge(&locked)?;
        drop(locked);
        match purge {
            Purge::Nobody => Ok(Next::GoOn),
            Purge::Made(view) => {
                self.install(view);
                Ok(Next::GoOn)
            }
            Purge::Expelled => {
                self.inbox.fenced(
                    "another has taken this node out of the view, or has removed or replaced its file",
                );
                Ok(Next::End)
            }
        }
    }

    /// Who is suspected and due is looked at again after a pause that grows.
    fn put_off(&mut self, now: Clock) {
        for suspect in self.suspects.values_mut().filter(|suspect| now >= suspect.look_at) {
            suspect.look_at = now + suspect.pause;
            suspect.pause = (suspect.pause * 2).min(SUSPECT_AGAIN[1]);
        }
        self.suspects.retain(|_, suspect| suspect.look_at < suspect.until);
    }

    /// Tells an operator what is wrong, once.
    fn tell_trouble(&mut self, error: &MembershipError) {
        let trouble = Some(error.to_string());
        if trouble != self.trouble {
            self.inbox.trouble(trouble.as_deref().unwrap_or_default());
            self.trouble = trouble;
        }
    }
}
