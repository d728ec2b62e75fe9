//! The threads of a membership: one that reads, decides and tells, and one that renews the lease and does nothing else.

use core::time::Duration;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use etcd_client::WatchStream;
use lockmaster_async::{Inbox, Instant, MembershipError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::floor::FloorFile;
use crate::link::Link;
use crate::member::{Event, Member, Renewal};
use crate::store::{Answer, Call, LeaseId};
use crate::succession::Life;

/// Whoever waits to join looks so often whether anybody wants it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the threads and the session of one membership share. Nothing is called while a mutex of it is held.
pub(crate) struct Shared {
    member: Mutex<Member>,
    inbox: Inbox,
    floor: FloorFile,
    progress: Mutex<Progress>,
    progressed: Condvar,
    /// Wakes the thread that decides.
    decide: Notify,
    /// Wakes the thread that renews.
    renew: Notify,
}

#[derive(Debug, Default)]
struct Progress {
    joined: Option<Result<Life, MembershipError>>,
    has_announced: bool,
    is_over: bool,
}

/// Starts the threads of a membership.
///
/// # Errors
/// The machine has no threads or descriptors left.
pub(crate) fn start(
    member: Member,
    inbox: Inbox,
    floor: FloorFile,
    mut link: impl FnMut() -> Link,
) -> io::Result<Arc<Shared>> {
    let shared = Arc::new(Shared {
        member: Mutex::new(member),
        inbox,
        floor,
        progress: Mutex::default(),
        progressed: Condvar::new(),
        decide: Notify::new(),
        renew: Notify::new(),
    });
    let runtime = || Builder::new_current_thread().enable_all().build();
    let decider = Decider { shared: Arc::clone(&shared), link: link(), watch: None };
    let renewer = (Arc::clone(&shared), link());
    let runtimes: (Runtime, Runtime) = (runtime()?, runtime()?);
    thread::Builder::new().name("lockmaster-renew".to_owned()).spawn(move || {
        let (shared, link) = renewer;
        runtimes.1.block_on(shared.keep_renewing(link));
    })?;
    let ending = Ending { shared: Arc::clone(&shared) };
    thread::Builder::new().name("lockmaster-views".to_owned()).spawn(move || {
        let _ending = ending;
        runtimes.0.block_on(decider.run());
    })?;
    Ok(shared)
}

impl Shared {
    /// Waits until the node has become a member, or has not.
    pub(crate) fn wait_joined(&self) -> Result<Life, MembershipError> {
        let mut progress = self.progress();
        loop {
            if let Some(joined) = progress.joined.take() {
                return joined;
            }
            if progress.is_over {
                return Err(MembershipError::Unreachable("the provider's thread has ended".to_owned()));
            }
            let waited = self.progressed.wait_timeout(progress, LOOK_EVERY);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            if self.inbox.is_over() {
                // A member by now is missed as after a crash.
                self.stop();
                return Err(MembershipError::Abandoned);
            }
            progress = self.progress();
        }
    }

    /// Waits until everybody knows that this node is about to leave; `false` if that does not come about.
    pub(crate) fn wait_announced(&self, most: Duration) -> bool {
        let is_pending = |progress: &mut Progress| !progress.has_announced && !progress.is_over;
        let waited = self.progressed.wait_timeout_while(self.progress(), most, is_pending);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_announced
    }

    /// Waits until everything is over.
    pub(crate) fn wait_over(&self, most: Duration) {
        let is_pending = |progress: &mut Progress| !progress.is_over;
        drop(self.progressed.wait_timeout_while(self.progress(), most, is_pending));
    }

    /// Does something to the member, and lets the thread that decides see to it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Member, Instant) -> T) -> T {
        let now = self.inbox.now();
        let done = act(&mut self.member(), now);
        self.decide.notify_one();
        done
    }

    /// Ends it all at once. Returns the lease, how long it lives, and whether the node was exiled.
    pub(crate) fn stop(&self) -> (Option<LeaseId>, Duration, bool) {
        let past = self.with(|member, _| {
            member.handle_drop();
            (member.lease(), member.timing().ttl, member.is_exiled())
        });
        self.renew.notify_one();
        past
    }

    fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews the lease whenever that is due, as long as the node's driver runs.
    async fn keep_renewing(&self, mut link: Link) {
        loop {
            let now = self.inbox.now();
            // It may wait for the node, and nobody is to wait for it meanwhile.
            let last_alive = self.inbox.last_alive();
            let renewal = self.member().poll_renewal(now, last_alive);
            match renewal {
                Renewal::End => return,
                Renewal::Wait(until) => {
                    tokio::select! {
                        () = sleep(self.nap(now, until)) => {}
                        () = self.renew.notified() => {}
                    }
                }
                Renewal::Send(lease) => {
                    let renewed = link.renew(lease).await;
                    let certainty = self.member().handle_renewed(self.inbox.now(), now, renewed);
                    if let Some(certainty) = certainty {
                        self.inbox.certainty(certainty);
                    }
                    self.decide.notify_one();
                }
            }
        }
    }

    /// How long to sleep until an instant. Never long: sleep does not count the time that the machine itself sleeps.
    fn nap(&self, now: Instant, until: Instant) -> Duration {
        until.since(now).min(self.member().timing().renew_every())
    }

    /// Tells everything that there is to tell.
    fn tell(&self) {
        loop {
            // The mutex is let go of before anything is told.
            let Some(event) = self.member().poll_event() else { break };
            self.tell_event(event);
        }
        let has_announced = self.member().has_announced();
        self.progress().has_announced = has_announced;
        self.progressed.notify_all();
    }

    fn tell_event(&self, event: Event) {
        match event {
            Event::Keep(floor) => {
                if let Err(error) = self.floor.write(floor) {
                    let path = self.floor.path().display().to_string();
                    self.member().handle_unkept(path, error);
                }
            }
            Event::Joined(life) => self.progress().joined = Some(Ok(life)),
            Event::Refused(error) => self.progress().joined = Some(Err(error)),
            Event::Certainty(certainty) => self.inbox.certainty(certainty),
            Event::View(view) => {
                tracing::info!(epoch = view.epoch.0, members = view.members.len(), "view");
                self.inbox.view(view);
            }
            Event::Fenced(why) => {
                tracing::warn!(why, "membership has ended");
                self.inbox.fenced(&why);
                self.renew.notify_one();
            }
            Event::Left => self.renew.notify_one(),
            Event::Warning(text) => tracing::warn!("{text}"),
        }
    }
}

/// Says that it is over, however the thread that decides came to its end.
struct Ending {
    shared: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.member().handle_drop();
            self.shared.inbox.fenced("the provider's thread has failed");
        }
        self.shared.renew.notify_one();
        self.shared.progress().is_over = true;
        self.shared.progressed.notify_all();
    }
}

/// The thread that reads, decides and tells.
struct Decider {
    shared: Arc<Shared>,
    link: Link,
    watch: Option<WatchStream>,
}

impl Decider {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            shared.tell();
            if shared.member().is_over() {
                return;
            }
            let now = shared.inbox.now();
            let call = shared.member().poll_call(now);
            match call {
                Some(call) => self.call(call).await,
                None => self.idle(now).await,
            }
        }
    }

    /// Makes a call; what time brings meanwhile is told at once.
    async fn call(&mut self, call: Call) {
        let shared = Arc::clone(&self.shared);
        let is_read = call == Call::Read;
        let answer = {
            let mut answer = core::pin::pin!(self.link.call(call));
            loop {
                let now = shared.inbox.now();
                let until = shared.member().poll_timeout();
                tokio::select! {
                    answer = &mut answer => break answer,
                    () = sleep(shared.nap(now, until)) => {}
                    () = shared.decide.notified() => {}
                }
                shared.member().handle_timeout(shared.inbox.now());
                shared.tell();
                if shared.member().is_over() {
                    return;
                }
            }
        };
        for warning in self.link.take_warnings() {
            tracing::warn!("{warning}");
        }
        if let Answer::Nothing(why) | Answer::Denied(why) = &answer {
            tracing::debug!(why, "etcd did not answer");
            self.watch = None;
        }
        shared.member().handle_answer(shared.inbox.now(), answer);
        shared.tell();
        if is_read && self.watch.is_none() && !shared.member().is_over() {
            self.watch = self.link.watch().await;
        }
    }

    /// Waits for a hint, for somebody's wish, or for the time at which there is something to do.
    async fn idle(&mut self, now: Instant) {
        let shared = &self.shared;
        let until = shared.member().poll_timeout();
        let hint = async {
            let Some(watch) = &mut self.watch else { return core::future::pending().await };
            match watch.message().await {
                Ok(Some(message)) if message.canceled() => Hint::Ended,
                // A watch begins with a message that says nothing else.
                Ok(Some(message)) if message.events().is_empty() => Hint::Nothing,
                Ok(Some(_)) => Hint::Changed,
                Ok(None) | Err(_) => Hint::Ended,
            }
        };
        let hint = tokio::select! {
            hint = hint => hint,
            () = sleep(shared.nap(now, until)) => Hint::Nothing,
            () = shared.decide.notified() => Hint::Nothing,
        };
        if hint == Hint::Ended {
            self.watch = None;
        }
        if hint != Hint::Nothing {
            shared.member().handle_hint(shared.inbox.now());
        }
    }
}

/// What a watch has said. It is believed only that there may be something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    Nothing,
    Changed,
    Ended,
}

#[cfg(test)]
mod tests;
