//! A command's end of the control socket.

use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::control::message::{Ask, PROTOCOL, Reason, Row, Say};
use crate::control::session::ANSWER_TIME_MAX;
use crate::control::{LineError, Lines, place};

/// How long a node may take to say hello, or to say more of an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Which node a command talks to.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// The one with this control socket.
    Socket(PathBuf),
    /// One of those that meet in this directory: the one with this number, or the lowest that answers.
    Directory(PathBuf, Option<u16>),
}

/// A connection to a node, which has said hello.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) lines: Lines,
    pub(crate) socket: PathBuf,
    pub(crate) number: u64,
}

/// Why a node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// There is no node, or it does not answer: start one, or name another.
    #[error("{0}")]
    NoNode(String),
    /// It refused.
    #[error("{text}")]
    Refused { reason: Reason, text: String },
    /// The connection broke.
    #[error("the node ended the connection: {0}")]
    Broken(#[from] LineError),
    /// The connection ended too early.
    #[error("the node ended the connection")]
    Ended,
    /// The connection ended within an answer: the node has gone, or has not been listened to for long enough.
    #[error(
        "the node ended the connection within its answer: it has gone, or the answer was not received within {} seconds",
        ANSWER_TIME_MAX.as_secs()
    )]
    Unfinished,
    /// It says something else than what it was asked.
    #[error("the node answers something else than what it was asked")]
    Senseless,
}

impl Client {
    /// Finds the node and says hello.
    pub(crate) async fn find(reach: &Reach) -> Result<Self, ClientError> {
        let (directory, number) = match reach {
            Reach::Socket(socket) => return Self::connect(socket).await,
            Reach::Directory(directory, number) => (directory, number),
        };
        if let Some(number) = number {
            return Self::connect(&place::in_directory(directory, *number)).await;
        }
        let unusable = |error| ClientError::NoNode(format!("{}: {error}", directory.display()));
        for (_, socket) in place::all_in_directory(directory).map_err(unusable)? {
            match Self::connect(&socket).await {
                // The next one may live.
                Err(ClientError::NoNode(_)) => {}
                outcome => return outcome,
            }
        }
        Err(ClientError::NoNode(format!("{}: no node answers in this directory", directory.display())))
    }

    /// Connects to the node at this socket and says hello.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let absent = |error: io::Error| {
            let why = if error.kind() == io::ErrorKind::NotFound {
                "there is no such control socket".to_owned()
            } else if error.kind() == io::ErrorKind::ConnectionRefused {
                "no node answers".to_owned()
            } else {
                error.to_string()
            };
            ClientError::NoNode(format!("{}: {why}", socket.display()))
        };
        let late = |_| ClientError::NoNode(format!("{}: the node does not answer", socket.display()));
        let stream = UnixStream::connect(socket).await.map_err(absent)?;
        let mut client = Self { lines: Lines::new(stream), socket: socket.to_owned(), number: 0 };
        client.tell(&Ask::Hello { protocol: PROTOCOL }).await?;
        let word = timeout(ANSWER_MAX, client.hear()).await.map_err(late)??;
        let Say::Hello { protocol: PROTOCOL, client: number, .. } = word else {
            return Err(unexpected(word));
        };
        client.number = number;
        Ok(client)
    }

    /// Says something, in the time that it takes the system to take it.
    pub(crate) async fn tell(&mut self, ask: &Ask) -> Result<(), ClientError> {
        match self.lines.send(ask).await {
            // The node has said why it hung up.
            Err(LineError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// What the node says next.
    pub(crate) async fn hear(&mut self) -> Result<Say, ClientError> {
        self.lines.receive().await?.ok_or(ClientError::Ended)
    }

    /// Asks for rows; hands them over one by one.
    pub(crate) async fn rows(&mut self, ask: &Ask, mut take: impl FnMut(Row)) -> Result<(), ClientError> {
        self.tell(ask).await?;
        loop {
            let silent = |_| ClientError::NoNode(format!("{}: the node is silent", self.socket.display()));
            let word = match timeout(ANSWER_MAX, self.lines.receive()).await.map_err(silent)? {
                Ok(Some(word)) => word,
                Ok(None) | Err(LineError::CutShort) => return Err(ClientError::Unfinished),
                Err(error) => return Err(error.into()),
            };
            if word == Say::Done {
                return Ok(());
            }
            let Say::Row(row) = word else { return Err(unexpected(word)) };
            take(*row);
        }
    }

    /// Has something done, however long that takes.
    pub(crate) async fn have_done(&mut self, ask: &Ask) -> Result<(), ClientError> {
        self.tell(ask).await?;
        let word = self.hear().await?;
        if word == Say::Done { Ok(()) } else { Err(unexpected(word)) }
    }
}

/// The error when a node says this instead of what it was asked for.
pub(crate) fn unexpected(word: Say) -> ClientError {
    match word {
        Say::Refused { reason, text } => ClientError::Refused { reason, text },
        Say::Hello { .. }
        | Say::Row(_)
        | Say::Done
        | Say::Granted { .. }
        | Say::Certain { .. }
        | Say::Ending { .. }
        | Say::Lost { .. } => ClientError::Senseless,
    }
}
