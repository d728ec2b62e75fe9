//! A lock that a client has, from its request to its end.
//!
//! The lock protects what a process group on this machine does, so it must not end before the group has. Its client
//! sees to that as long as it lives. In case it does not, two things stand behind it:
//!
//! - Before it asks for the lock, the client opens a second connection, the *leash*, which the command and all that it
//!   starts inherit. The kernel closes it when the last of them has ended. If the client goes without a word, its lock
//!   is kept until its leash has ended too.
//! - The client tells which process group works under the lock. When the client is gone, or when the lock can be lost
//!   in a moment and the client has not acted, the node kills the group.
//!
//! ```text
//! asked ──granted──▶ held ──release──────────────────────────────────────▶ released
//!   │ gone            ├── connection ends ──▶ orphan ──leash has ended──▶ released
//!   ▼                 └── lost, certainty over, node ends: the group is killed
//! withdrawn
//! ```

use core::time::Duration;

use lockmaster_tokio::{Flags, Guard, Instant, LockError, LockOptions, Mode, OwnerId};
use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use tokio::sync::watch;
use tokio::time::{Instant as Timer, interval, sleep_until, timeout};

use crate::clock;
use crate::control::line::{LineError, Lines};
use crate::control::message::{Ask, LockAsk, Reason, Say};
use crate::control::server::{Control, Holds, Leave};
use crate::control::session::{refused, unless_gone};

/// How often it is looked after a lock.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The node kills a group this long before its lock can be lost, if nobody else has.
///
/// The client does so earlier; this is for one that is stopped.
pub(crate) const LAST_MOMENT: Duration = Duration::from_millis(400);

/// How long a client may take to receive that its lock is lost.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Serves a client's request for a lock to its end. Returns whether the client is still there.
pub(crate) async fn serve(
    control: &Control,
    lines: &mut Lines,
    client: u64,
    ask: LockAsk,
) -> Result<bool, LineError> {
    let leashes = control.leashes(client).expect("a client that asks is there");
    if *leashes.borrow() == 0 {
        lines.send(&refused(Reason::Protocol, "a lock needs a leash first")).await?;
        return Ok(false);
    }
    let options = match options(control, client, &ask) {
        Ok(options) => options,
        Err(text) => {
            lines.send(&refused(Reason::Impossible, &text)).await?;
            return Ok(true);
        }
    };
    let guard = match unless_gone(lines, grant(control, &ask.name, options)).await? {
        None => return Ok(false),
        Some(Ok(guard)) => guard,
        Some(Err(refusal)) => {
            lines.send(&refusal).await?;
            return Ok(true);
        }
    };
    let mut held = Held { control, client, guard, ask, group: None };
    held.note();
    let end = held.attend(lines).await;
    let is_there = match end {
        Ok(End::Released) => true,
        Ok(End::Lost(why)) => {
            held.kill();
            held.farewell(lines, why).await;
            false
        }
        Ok(End::Gone) | Err(_) => {
            lines.hang_up().await;
            held.be_orphan(leashes.subscribe()).await;
            false
        }
    };
    control.note(client, None);
    drop(held);
    if is_there {
        lines.send(&Say::Done).await?;
    }
    end.map(|_| is_there)
}

/// Waits for the lock, unless the node is about to leave.
async fn grant(control: &Control, name: &str, options: LockOptions) -> Result<Guard, Say> {
    let mut leave = control.leave.subscribe();
    tokio::select! {
        biased;
        _ = leave.wait_for(|leave| *leave != Leave::No) => {
            Err(refused(Reason::Leaving, "the node is about to leave"))
        }
        granted = control.node.lock_with(name, options) => {
            granted.map_err(|error| refused(reason(error), &error.to_string()))
        }
    }
}

fn options(control: &Control, client: u64, ask: &LockAsk) -> Result<LockOptions, String> {
    let mode = Mode::from_letters(&ask.mode).ok_or_else(|| format!("there is no mode {}", ask.mode))?;
    let mut options = LockOptions::new(mode).owner(OwnerId(client));
    if let Some(space) = &ask.space {
        let unknown = || format!("the node has no space {space}");
        options = options.space(control.node.space(space).ok_or_else(unknown)?);
    }
    Ok(match ask.wait_ms {
        None => options,
        Some(0) => options.flags(Flags::NO_QUEUE),
        Some(millis) => options.timeout(Duration::from_millis(millis)),
    })
}

fn reason(error: LockError) -> Reason {
    if error == LockError::Busy {
        Reason::Busy
    } else if error == LockError::TimedOut {
        Reason::TimedOut
    } else if error == LockError::Closed {
        Reason::Leaving
    } else {
        // What is wrong is in the text.
        Reason::Impossible
    }
}

enum End {
    Released,
    Lost(&'static str),
    Gone,
}

struct Held<'a> {
    control: &'a Control,
    client: u64,
    guard: Guard,
    ask: LockAsk,
    group: Option<Pid>,
}

impl Held<'_> {
    /// Tells the client all that it has to know, until the lock has ended for it.
    async fn attend(&mut self, lines: &mut Lines) -> Result<End, LineError> {
        let mut until = certain_until(&self.guard);
        let token = self.guard.fencing_token().to_string();
        lines.queue(&Say::Granted { token, until })?;
        let mut leave = self.control.leave.subscribe();
        leave.mark_changed();
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                () = self.guard.lost() => return Ok(End::Lost("the node is no member of the cluster any more")),
                word = lines.receive() => match word? {
                    None => return Ok(End::Gone),
                    Some(Ask::Release) => return Ok(End::Released),
                    Some(Ask::Running { group }) => {
                        if !self.run(group) {
                            lines.send(&refused(Reason::Protocol, "that is no process group of a client")).await?;
                            return Ok(End::Gone);
                        }
                    }
                    Some(_) => {
                        lines.send(&refused(Reason::Protocol, "a word out of turn")).await?;
                        return Ok(End::Gone);
                    }
                },
                Ok(()) = leave.changed() => {
                    if let Leave::By(end) = *leave.borrow_and_update() {
                        let left = end.saturating_duration_since(Timer::now());
                        let within_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
                        lines.queue(&Say::Ending { within_ms })?;
                    }
                }
                () = sleep_until(last_moment(until)), if until.is_some() => {
                    let now = certain_until(&self.guard);
                    if now == until {
                        self.kill();
                        return Ok(End::Lost("its node could not prove its membership"));
                    }
                    until = now;
                }
                _ = looks.tick() => {
                    let now = certain_until(&self.guard);
                    // A client that does not receive is told the last state when it does.
                    if now != until && !lines.has_unsent() {
                        until = now;
                        lines.queue(&Say::Certain { until })?;
                    }
                }
            }
        }
    }

    fn run(&mut self, group: i32) -> bool {
        // Lower numbers are the first process, or mean something else to the kernel.
        match (group > 1).then(|| Pid::from_raw(group)).flatten() {
            Some(group) if group != getpgrp() => {
                self.group = Some(group);
                self.note();
                true
            }
            Some(_) | None => false,
        }
    }

    fn note(&self) {
        let holds = Holds {
            name: self.ask.name.clone(),
            mode: self.guard.mode().to_string(),
            group: self.group.map(Pid::as_raw_pid),
        };
        self.control.note(self.client, Some(holds));
    }

    /// Kills whatever works under the lock.
    fn kill(&self) {
        if let Some(group) = self.group {
            // If it is gone all the better, and if it is another user's it is his to end.
            let _ended = kill_process_group(group, Signal::KILL);
        }
    }

    async fn farewell(&self, lines: &mut Lines, why: &str) {
        let word = Say::Lost { why: why.to_owned() };
        // The client acts on the end of the connection too.
        let _unheard = timeout(FAREWELL_MAX, lines.send(&word)).await;
    }

    /// The client is gone: ends what it left behind, and keeps the lock until then.
    async fn be_orphan(&self, mut leashes: watch::Receiver<u32>) {
        let mut looks = interval(LOOK_EVERY);
        loop {
            // The number of the group is not used again while anybody is in it, and whoever is has the leash.
            if *leashes.borrow_and_update() == 0 {
                return;
            }
            self.kill();
            tokio::select! {
                _ = leashes.changed() => {}
                () = self.guard.lost() => return,
                _ = looks.tick() => {}
            }
        }
    }
}

/// Until when the lock cannot be lost: `CLOCK_BOOTTIME` in nanoseconds.
fn certain_until(guard: &Guard) -> Option<u64> {
    // The node's clock is that clock.
    let until = guard.certain_until();
    (until != Instant::NEVER).then_some(until.as_nanos())
}

/// When the node ends a group that nobody else has ended.
fn last_moment(until: Option<u64>) -> Timer {
    let left = until.unwrap_or(u64::MAX).saturating_sub(clock::since_boot());
    Timer::now() + Duration::from_nanos(left).saturating_sub(LAST_MOMENT).min(Duration::from_secs(86_400))
}
