//! The node processes, as seen by the process that started them.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{sleep_until, timeout};

use crate::Failure;
use crate::demo::figures::{Figures, Survey};
use crate::demo::message::{Order, Word};
use crate::demo::watch::Disturbance;

/// How long a process whose pipes are closed may take to end.
const END_MAX: Duration = Duration::from_secs(5);

/// How far a node process has come.
///
/// ```text
/// Started ──listening──► Listening ──opened──► Opened ──finished──► Finished ──surveyed──► Surveyed
///    └───────────────────────┴─────────────────────┴───────────┬─────────┴── failed, or gone ──► Dead
///                                                              └── let go ──► Left
/// ```
///
/// A node that is killed on purpose is started again as another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Started,
    Listening,
    Opened,
    Finished,
    Surveyed,
    /// It was let go before the others.
    Left,
    /// It reached none of the later stages and never will.
    Dead,
}

/// One node process.
pub(super) struct Member {
    /// Its node, from 1.
    pub(super) node: u16,
    pub(super) stage: Stage,
    /// Its processes before this one.
    pub(super) life: u32,
    /// The last event that it watches.
    pub(super) watching: u32,
    /// Where it listens, from [`Stage::Listening`] on.
    pub(super) address: Option<SocketAddr>,
    /// What it has told of its operations.
    pub(super) operations: u64,
    /// The same of its processes before.
    operations_before: u64,
    /// What it has measured of events, but the last.
    pub(super) disturbances: BTreeMap<u32, Disturbance>,
    /// What it has told in the end.
    pub(super) figures: Option<Figures>,
    /// What it knew of the master map in the end.
    pub(super) survey: Option<Survey>,
    /// Why it is dead.
    pub(super) death: Option<String>,
    process: Child,
    orders: Option<ChildStdin>,
}

/// Something that whoever waits for the nodes wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A node said something; its [`Member`] knows what.
    Said,
    /// A node died.
    Died,
    /// Somebody wants the demonstration to end.
    Interrupted,
    /// It is later than the deadline.
    Late,
}

/// All node processes. Those that still run are killed when this is dropped.
pub(super) struct Cluster {
    pub(super) members: Vec<Member>,
    say: Sender<(usize, u32, Option<Word>)>,
    heard: Receiver<(usize, u32, Option<Word>)>,
    interrupt: Signal,
    terminate: Signal,
}

impl Cluster {
    /// Starts so many processes.
    pub(super) fn start(nodes: u16) -> Result<Self, Failure> {
        let (say, heard) = channel(usize::from(nodes) * 4);
        let mut cluster = Self {
            members: Vec::new(),
            say,
            heard,
            interrupt: signal(SignalKind::interrupt()).map_err(starting)?,
            terminate: signal(SignalKind::terminate()).map_err(starting)?,
        };
        for node in 1..=nodes {
            cluster.add(node)?;
        }
        Ok(cluster)
    }

    /// Starts the process of one more node. Returns its place.
    pub(super) fn add(&mut self, node: u16) -> Result<usize, Failure> {
        let place = self.members.len();
        let (process, orders) = self.spawn(place, 0)?;
        self.members.push(Member {
            node,
            stage: Stage::Started,
            life: 0,
            watching: 0,
            address: None,
            operations: 0,
            operations_before: 0,
            disturbances: BTreeMap::new(),
            figures: None,
            survey: None,
            death: None,
            orders,
            process,
        });
        Ok(place)
    }

    /// Starts a process for a node whose last one has ended.
    pub(super) fn restart(&mut self, place: usize) -> Result<(), Failure> {
        let life = self.members[place].life + 1;
        let (process, orders) = self.spawn(place, life)?;
        let member = &mut self.members[place];
        member.operations_before += core::mem::take(&mut member.operations);
        (member.process, member.orders) = (process, orders);
        (member.life, member.stage, member.address) = (life, Stage::Started, None);
        Ok(())
    }

    fn spawn(&self, place: usize, life: u32) -> Result<(Child, Option<ChildStdin>), Failure> {
        let mut process = Command::new(std::env::current_exe().map_err(starting)?)
            .arg("demo-node")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C on the terminal is for this process alone.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(starting)?;
        let output = process.stdout.take().expect("the output is a pipe");
        tokio::spawn(listen(place, life, BufReader::new(output).lines(), self.say.clone()));
        let orders = process.stdin.take();
        Ok((process, orders))
    }

    /// Waits for the next news.
    pub(super) async fn news(&mut self, deadline: Instant) -> News {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => News::Interrupted,
            _ = self.terminate.recv() => News::Interrupted,
            Some((place, life, word)) = self.heard.recv() => match word {
                // What was on its way from a process that was killed.
                _ if self.members[place].life != life => News::Said,
                Some(word) => self.members[place].hear(word),
                None => self.members[place].gone().await,
            },
            () = sleep_until(deadline.into()) => News::Late,
        }
    }

    /// Have all nodes come this far, or died?
    pub(super) fn is_at(&self, stage: Stage) -> bool {
        self.members.iter().all(|member| member.stage >= stage)
    }

    /// Did all nodes that were asked say the same of who is the master of what?
    pub(super) fn is_map_agreed(&self) -> bool {
        let surveys = || self.members.iter().filter_map(|member| member.survey.as_ref());
        surveys().zip(surveys().skip(1)).all(|(one, other)| one.shares == other.shares)
    }

    /// Operations of all nodes so far.
    pub(super) fn operations(&self) -> u64 {
        self.members.iter().map(|member| member.operations_before + member.operations).sum()
    }

    /// Gives each living node an order. A node that cannot take it will be found dead.
    pub(super) async fn order(&mut self, order: impl Fn(&Member) -> Order) {
        for member in &mut self.members {
            member.order(&order(member)).await;
        }
    }

    /// Tells the nodes that they are not needed any more, and waits for their end.
    pub(super) async fn end(mut self) {
        for member in &mut self.members {
            member.orders = None;
        }
        for member in &mut self.members {
            if timeout(END_MAX, member.process.wait()).await.is_err() {
                // An error here says that it has just ended by itself.
                let _ended = member.process.kill().await;
            }
        }
    }
}

impl Member {
    /// Gives it an order.
    pub(super) async fn order(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("every order has its JSON") + "\n";
        if let Some(orders) = &mut self.orders {
            let _dead = orders.write_all(line.as_bytes()).await;
        }
    }

    /// Kills its process.
    pub(super) async fn kill(&mut self) {
        // An error here says that it has just ended by itself, which is heard.
        let _ended = self.process.kill().await;
    }

    /// Sends its process a signal.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        let pid = self
            .process
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ended = rustix::process::kill_process(pid, signal);
        }
    }

    /// Lets it leave before the others.
    pub(super) fn let_go(&mut self) {
        self.orders = None;
    }

    fn hear(&mut self, word: Word) -> News {
        match word {
            Word::Listening { address } => {
                self.address = Some(address);
                self.stage = Stage::Listening;
            }
            Word::Opened => self.stage = Stage::Opened,
            Word::Progress { operations } => self.operations = operations,
            Word::Finished(figures) => {
                self.operations = figures.operations();
                match &mut self.figures {
                    Some(before) => before.add(*figures),
                    None => self.figures = Some(*figures),
                }
                self.stage = Stage::Finished;
            }
            Word::Watching { event, before } => {
                self.watching = event;
                for (event, disturbance) in &before {
                    self.disturbances.entry(*event).or_default().add(disturbance);
                }
            }
            Word::Surveyed(survey) => {
                self.survey = Some(survey);
                self.stage = Stage::Surveyed;
            }
            Word::Failed { reason } => return self.die(reason),
        }
        News::Said
    }

    /// The process will say nothing more.
    async fn gone(&mut self) -> News {
        match self.stage {
            Stage::Surveyed | Stage::Left | Stage::Dead => News::Said,
            Stage::Finished if self.orders.is_none() => {
                self.stage = Stage::Left;
                News::Said
            }
            Stage::Started | Stage::Listening | Stage::Opened | Stage::Finished => {
                let end = match timeout(END_MAX, self.process.wait()).await {
                    Ok(Ok(status)) => Ending(status).to_string(),
                    Ok(Err(_)) | Err(_) => "closed its output".to_owned(),
                };
                self.die(end)
            }
        }
    }

    fn die(&mut self, reason: String) -> News {
        self.stage = Stage::Dead;
        self.death = Some(reason);
        News::Died
    }
}

fn starting(error: std::io::Error) -> Failure {
    Failure::Broken(format!("starting the nodes: {error}"))
}

/// How a process ended, for people.
struct Ending(ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::os::unix::process::ExitStatusExt;
        match (self.0.signal(), self.0.code()) {
            (Some(signal), _) => write!(f, "killed by signal {signal}"),
            (None, Some(code)) => write!(f, "ended with status {code}"),
            (None, None) => write!(f, "ended"),
        }
    }
}

/// Passes on what a process says, and at last that it says nothing more.
async fn listen(
    place: usize,
    life: u32,
    mut lines: Lines<BufReader<ChildStdout>>,
    say: Sender<(usize, u32, Option<Word>)>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        let word = serde_json::from_str(&line)
            .unwrap_or_else(|error| Word::Failed { reason: format!("said `{line}`: {error}") });
        if say.send((place, life, Some(word))).await.is_err() {
            return;
        }
    }
    // If this cannot be said, nobody wants to know.
    let _unheard = say.send((place, life, None)).await;
}
