//! Runs a command under a lock, and ends it before the lock can be lost.
//!
//! The command runs in a process group of its own. This process is the subreaper of everything that the command starts,
//! so whatever outlives its parent becomes a child of this process, and nothing escapes it. Between the two stands for a
//! moment the [`stage`], which asks the kernel to kill the command if this process dies, and becomes the command.
//!
//! ```text
//!            command ended, and its group ──────────────────────────────▶ release, exit
//!           ╱                                                           ╱
//! working ──── command ended, not its group ────▶ asked ──all ended────┤
//!           ╲  node ends, certainty near its end ╱  │ time is over      │
//!            ╲                                      ▼                  ╱
//!             lost, connection ended ───────────▶ killing ──all ended─╱
//! ```

mod family;
mod fuse;
pub(crate) mod stage;
mod terminal;
mod wake;

use core::time::Duration;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};
use tokio::time::{sleep, timeout};

use crate::args::LockArgs;
use crate::clock;
use crate::control::message::{Ask, LockAsk, Reason, Say};
use crate::control::{Client, ClientError, client};
use crate::lock::family::{Ended, Family};
use crate::lock::fuse::Fuse;
use crate::lock::terminal::Terminal;
use crate::lock::wake::{Signals, ring};

/// Exit status if no node answers, or the node leaves (EX_UNAVAILABLE).
pub(crate) const NO_NODE: u8 = 69;
/// Exit status if the lock is busy and was not to be waited for (EX_TEMPFAIL).
pub(crate) const BUSY: u8 = 75;
/// Exit status if the command was ended because the lock was lost, or would have been.
pub(crate) const LOST: u8 = 79;
/// Exit status if the lock was not granted in time, as timeout(1) has it.
pub(crate) const TIMED_OUT: u8 = 124;
/// Exit status if the command could not be begun for another reason.
pub(crate) const FAILED: u8 = 125;

/// How often it is looked after processes that are to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long it may take (in nanoseconds) until what was killed has ended, before an operator is told.
const COMPLAIN_AFTER: u64 = 1_000_000_000;

/// How long the node may take to confirm a release.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// Number below which the command finds no file of ours, so that a script may use small numbers as it likes.
const LEASH_MIN: i32 = 700;

/// Time that a lock needs to be given back once everything has ended, when the node is about to end.
const GIVE_BACK: Duration = Duration::from_millis(500);

/// Why there is no exit status of the command.
#[derive(Debug, thiserror::Error)]
enum LockFailure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{doing}: {error}")]
    System { doing: &'static str, error: std::io::Error },
}

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &LockArgs) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(failure("starting the runtime")).and_then(|runtime| runtime.block_on(hold(args)));
    let failure = match outcome {
        Ok(status) => return status,
        Err(failure) => failure,
    };
    let status = match &failure {
        LockFailure::Client(ClientError::Refused { reason: Reason::Busy, .. }) => BUSY,
        LockFailure::Client(ClientError::Refused { reason: Reason::TimedOut, .. }) => TIMED_OUT,
        LockFailure::Client(ClientError::Refused { reason: Reason::Leaving, .. }) => NO_NODE,
        LockFailure::Client(
            ClientError::NoNode(_) | ClientError::Ended | ClientError::Unfinished | ClientError::Broken(_),
        ) => NO_NODE,
        LockFailure::Client(ClientError::Refused { .. } | ClientError::Senseless) => FAILED,
        LockFailure::System { .. } => FAILED,
    };
    eprintln!("error: {failure}");
    status
}

async fn hold(args: &LockArgs) -> Result<u8, LockFailure> {
    let mut signals = Signals::catch().map_err(failure("catching signals"))?;
    let asked = async {
        let mut client = Client::find(&args.reach.reach()).await?;
        let tether = hold_tether(&client).await?;
        client.tell(&Ask::Lock(hold_ask(args))).await?;
        let word = client.hear().await?;
        let Say::Granted { token, until } = word else { return Err(client::unexpected(word).into()) };
        Ok::<_, LockFailure>((client, tether, token, until))
    };
    let (client, tether, token, until) = tokio::select! {
        biased;
        signal = hold_interrupted(&mut signals) => return Ok(signal),
        granted = asked => granted?,
    };

    let terminal = Terminal::of_input();
    let strangers = Family::strangers();
    let leader = hold_start(args, &token, terminal.as_ref(), &tether)?;
    let mut work = Work {
        client,
        signals,
        family: Family::new(leader, strangers),
        terminal,
        grace: args.grace,
        fuse: Fuse::lit(clock::since_boot(), until, args.grace),
        course: Course::Working,
        is_connected: true,
        was_told_to_stop: false,
    };
    let running = Ask::Running { group: leader.as_raw_pid() };
    // If the node cannot be told, it is gone, and that is heard next.
    let _gone = work.client.tell(&running).await;
    let ended = work.run().await;
    if let Some(terminal) = &work.terminal {
        terminal.take_back();
    }
    drop(tether);
    Ok(work.release(ended).await)
}

/// Resolves at a signal that would end this process, with the exit status that tells of it.
async fn hold_interrupted(signals: &mut Signals) -> u8 {
    loop {
        let signal = signals.next().await;
        if [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&signal) {
            return status_of(signal.as_raw());
        }
    }
}

/// What stands behind the lock if something dies.
struct Tether {
    /// A connection that the command and all that it starts inherit.
    _leash: OwnedFd,
    /// A share in the node's membership, if there is such a thing: if the node dies, nobody finds that out before this
    /// process has ended what works under the lock.
    _share: Option<OwnedFd>,
}

async fn hold_tether(client: &Client) -> Result<Tether, LockFailure> {
    let mut leash = Client::connect(&client.socket).await?;
    leash.lines.take_files();
    leash.have_done(&Ask::Leash { client: client.number }).await?;
    let share = leash.lines.file();
    let stream = leash.lines.into_stream().into_std().map_err(failure("keeping the leash"))?;
    let stream = OwnedFd::from(stream);
    // Where so high a number is not allowed, the one that it has must do.
    let high = fcntl_dupfd_cloexec(&stream, LEASH_MIN).unwrap_or(stream);
    fcntl_setfd(&high, FdFlags::empty()).map_err(system("keeping the leash"))?;
    Ok(Tether { _leash: high, _share: share })
}

fn hold_ask(args: &LockArgs) -> LockAsk {
    LockAsk {
        space: args.space.clone(),
        name: args.name.clone(),
        mode: args.mode.letters().to_owned(),
        wait_ms: match args.wait {
            _ if args.no_wait => Some(0),
            // No time at all would be another question.
            Some(wait) => Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
            None => None,
        },
    }
}

/// Starts the command, in a process group of its own, and returns its leader.
fn hold_start(
    args: &LockArgs,
    token: &str,
    terminal: Option<&Terminal>,
    _inherited: &Tether,
) -> Result<Pid, LockFailure> {
    set_child_subreaper(Some(getpid())).map_err(system("becoming the reaper of the command"))?;
    // The program itself, even if its file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command.args(stage::arguments(terminal.is_some(), &args.command));
    command.env("LOCKMASTER_TOKEN", token).env("LOCKMASTER_NAME", &args.name).process_group(0);
    let child = command.spawn().map_err(failure("starting the command"))?;
    Ok(Pid::from_child(&child))
}

/// How far the command is.
#[derive(Debug)]
enum Course {
    Working,
    /// It was told to end; what has not ended by then (`CLOCK_BOOTTIME` in nanoseconds) is killed.
    Asked {
        why: Option<String>,
        kill_at: u64,
    },
    Killing {
        why: Option<String>,
        since: u64,
        has_complained: bool,
    },
}

impl Course {
    /// Why the lock is lost or would have been, if it is that.
    fn why(&self) -> Option<&str> {
        match self {
            Self::Working => None,
            Self::Asked { why, .. } | Self::Killing { why, .. } => why.as_deref(),
        }
    }
}

/// A command that runs under a lock.
struct Work {
    client: Client,
    signals: Signals,
    family: Family,
    /// The terminal that the command is in the foreground of.
    terminal: Option<Terminal>,
    grace: Duration,
    fuse: Fuse,
    course: Course,
    is_connected: bool,
    /// Somebody stopped this process and not the command.
    was_told_to_stop: bool,
}

impl Work {
    /// Looks after the command until it has ended, and everything that must end with it.
    async fn run(&mut self) -> Ended {
        loop {
            self.family.reap();
            if let Some(ended) = self.family.ended() {
                if !self.family.has_rest(self.course.why().is_some()) {
                    return ended;
                }
                if matches!(self.course, Course::Working) {
                    self.ask_to_end(None, self.grace);
                }
            } else if self.family.was_stopped() && (self.terminal.is_some() || self.was_told_to_stop) {
                self.stop_too();
            }
            if let Course::Killing { why, .. } = &self.course {
                self.family.kill(why.is_some());
                self.complain();
            }
            let next_ring = self.next_ring();
            let is_working = matches!(self.course, Course::Working);
            tokio::select! {
                biased;
                word = self.client.hear(), if self.is_connected => self.heard(word),
                () = ring(next_ring) => self.rung(),
                signal = self.signals.next() => self.pass_on(signal),
                () = sleep(LOOK_EVERY), if !is_working => {}
            }
        }
    }

    fn heard(&mut self, word: Result<Say, ClientError>) {
        match word {
            Ok(Say::Certain { until }) => self.fuse = Fuse::lit(clock::since_boot(), until, self.grace),
            Ok(Say::Ending { within_ms }) => {
                let left = Duration::from_millis(within_ms).saturating_sub(GIVE_BACK);
                self.ask_to_end(Some("its node is about to end".to_owned()), left);
            }
            Ok(Say::Lost { why }) => self.begin_to_kill(Some(why)),
            Ok(
                word @ (Say::Hello { .. }
                | Say::Row(_)
                | Say::Done
                | Say::Granted { .. }
                | Say::Refused { .. }),
            ) => {
                self.is_connected = false;
                self.begin_to_kill(Some(client::unexpected(word).to_string()));
            }
            Err(error) => {
                self.is_connected = false;
                self.begin_to_kill(Some(error.to_string()));
            }
        }
    }

    fn next_ring(&self) -> Option<u64> {
        match self.course {
            Course::Working => self.fuse.ask_at,
            Course::Asked { kill_at, .. } => {
                Some(self.fuse.kill_at.map_or(kill_at, |fuse| fuse.min(kill_at)))
            }
            Course::Killing { .. } => None,
        }
    }

    fn rung(&mut self) {
        let now = clock::since_boot();
        let uncertain = || Some("its node cannot prove its membership".to_owned());
        if self.fuse.kill_at.is_some_and(|kill_at| kill_at <= now) {
            self.begin_to_kill(uncertain());
            return;
        }
        match &mut self.course {
            Course::Working if self.fuse.ask_at.is_some_and(|ask_at| ask_at <= now) => {
                self.ask_to_end(uncertain(), self.grace);
            }
            Course::Asked { why, kill_at } if *kill_at <= now => {
                let why = why.take();
                self.begin_to_kill(why);
            }
            Course::Working | Course::Asked { .. } | Course::Killing { .. } => {}
        }
    }

    /// Tells the command to end, and gives it time for that.
    fn ask_to_end(&mut self, why: Option<String>, time: Duration) {
        let kill_at = clock::since_boot().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        match &mut self.course {
            Course::Working => {
                self.family.signal(Signal::TERM);
                // What is stopped would not hear it.
                self.family.signal(Signal::CONT);
                self.course = Course::Asked { why, kill_at };
            }
            Course::Asked { why: before, kill_at: sooner } => {
                *before = before.take().or(why);
                *sooner = kill_at.min(*sooner);
            }
            Course::Killing { .. } => {}
        }
    }

    fn begin_to_kill(&mut self, why: Option<String>) {
        let why = self.course.why().map(str::to_owned).or(why);
        // Before anything else: the rest is done in the loop.
        self.family.signal(Signal::KILL);
        let (since, has_complained) = match self.course {
            Course::Killing { since, has_complained, .. } => (since, has_complained),
            Course::Working | Course::Asked { .. } => (clock::since_boot(), false),
        };
        self.course = Course::Killing { why, since, has_complained };
    }

    /// Says so if something cannot be ended.
    fn complain(&mut self) {
        let Course::Killing { since, has_complained, .. } = &mut self.course else { return };
        let is_late = clock::since_boot().saturating_sub(*since) > COMPLAIN_AFTER;
        if is_late && !*has_complained {
            *has_complained = true;
            eprintln!("error: a process of the command cannot be ended; it may act without the lock");
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        if signal == Signal::CHILD {
            return;
        }
        if signal == Signal::TSTP {
            self.was_told_to_stop = true;
        }
        if signal == Signal::CONT {
            self.was_told_to_stop = false;
            if let Some(terminal) = &self.terminal {
                terminal.give(self.family.leader());
            }
        }
        self.family.signal(signal);
    }

    /// The command was stopped from the terminal: so whoever waits for this process sees it stopped too.
    fn stop_too(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
        }
        // Until it is continued; then the signal that did it is passed on. Meanwhile the node looks after the lock.
        let _stopped = kill_process(getpid(), Signal::STOP);
    }

    /// Gives the lock back, and returns the exit status.
    async fn release(mut self, ended: Ended) -> u8 {
        let mut why = self.course.why().map(str::to_owned);
        if self.is_connected {
            // Only if the node says so was the lock held to the end.
            let confirmed = async {
                self.client.tell(&Ask::Release).await?;
                loop {
                    let word = self.client.hear().await?;
                    if word == Say::Done {
                        return Ok(());
                    }
                    // These may have been on their way.
                    if !matches!(word, Say::Certain { .. } | Say::Ending { .. }) {
                        return Err(client::unexpected(word));
                    }
                }
            };
            match timeout(RELEASE_MAX, confirmed).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => why = why.or_else(|| Some(error.to_string())),
                Err(_) => why = why.or_else(|| Some("the node does not confirm its release".to_owned())),
            }
        }
        match why {
            Some(why) => {
                eprintln!("error: the lock is lost: {why}");
                LOST
            }
            None => match ended {
                Ended::Exited(status) => u8::try_from(status).unwrap_or(u8::MAX),
                Ended::Signalled(signal) => status_of(signal),
            },
        }
    }
}

/// Exit status for a death by this signal, as shells have it.
fn status_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

fn failure(doing: &'static str) -> impl FnOnce(std::io::Error) -> LockFailure {
    move |error| LockFailure::System { doing, error }
}

fn system(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> LockFailure {
    move |error| LockFailure::System { doing, error: error.into() }
}
