//! The node processes, as seen by the process that started them.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
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

/// How long a process whose pipes are closed may take to end.
const END_MAX: Duration = Duration::from_secs(5);

/// How far a node process has come.
///
/// ```text
/// Started ──listening──► Listening ──opened──► Opened ──finished──► Finished ──surveyed──► Surveyed
///    └───────────────────────┴─────────────────────┴─────────────────────┴── failed, or gone ──► Dead
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Started,
    Listening,
    Opened,
    Finished,
    Surveyed,
    /// It reached none of the later stages and never will.
    Dead,
}

/// One node process.
pub(super) struct Member {
    /// Its node, from 1.
    pub(super) node: u16,
    pub(super) stage: Stage,
    /// Where it listens, from [`Stage::Listening`] on.
    pub(super) address: Option<SocketAddr>,
    /// What it has told of its operations.
    pub(super) operations: u64,
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
    heard: Receiver<(usize, Option<Word>)>,
    interrupt: Signal,
    terminate: Signal,
}

impl Cluster {
    /// Starts so many processes.
    pub(super) fn start(nodes: u16) -> Result<Self, Failure> {
        let starting = |error| Failure::Broken(format!("starting the nodes: {error}"));
        let program = std::env::current_exe().map_err(starting)?;
        let (say, heard) = channel(usize::from(nodes) * 4);
        let mut members = Vec::new();
        for (place, node) in (1..=nodes).enumerate() {
            let mut process = Command::new(&program)
                .arg("demo-node")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // Ctrl-C on the terminal is for this process alone.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .map_err(starting)?;
            let output = process.stdout.take().expect("the output is a pipe");
            tokio::spawn(listen(place, BufReader::new(output).lines(), say.clone()));
            members.push(Member {
                node,
                stage: Stage::Started,
                address: None,
                operations: 0,
                figures: None,
                survey: None,
                death: None,
                orders: process.stdin.take(),
                process,
            });
        }
        Ok(Self {
            members,
            heard,
            interrupt: signal(SignalKind::interrupt()).map_err(starting)?,
            terminate: signal(SignalKind::terminate()).map_err(starting)?,
        })
    }

    /// Waits for the next news.
    pub(super) async fn news(&mut self, deadline: Instant) -> News {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => News::Interrupted,
            _ = self.terminate.recv() => News::Interrupted,
            Some((place, word)) = self.heard.recv() => match word {
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

    /// Operations of all nodes so far.
    pub(super) fn operations(&self) -> u64 {
        self.members.iter().map(|member| member.operations).sum()
    }

    /// Gives each living node an order. A node that cannot take it will be found dead.
    pub(super) async fn order(&mut self, order: impl Fn(&Member) -> Order) {
        for member in &mut self.members {
            let line = serde_json::to_string(&order(member)).expect("every order has its JSON") + "\n";
            if let Some(orders) = &mut member.orders {
                let _dead = orders.write_all(line.as_bytes()).await;
            }
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
                self.figures = Some(*figures);
                self.stage = Stage::Finished;
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
            Stage::Surveyed | Stage::Dead => News::Said,
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
async fn listen(place: usize, mut lines: Lines<BufReader<ChildStdout>>, say: Sender<(usize, Option<Word>)>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let word = serde_json::from_str(&line)
            .unwrap_or_else(|error| Word::Failed { reason: format!("said `{line}`: {error}") });
        if say.send((place, Some(word))).await.is_err() {
            return;
        }
    }
    // If this cannot be said, nobody wants to know.
    let _unheard = say.send((place, None)).await;
}
