//! One connection on the control socket, from the hello to the end.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::net::unix::UCred;
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::timeout;

use crate::control::hold;
use crate::control::line::{LineError, Lines};
use crate::control::message::{Ask, PROTOCOL, Reason, Row, Say};
use crate::control::query::Answer;
use crate::control::server::{ANSWERS_MAX, Admission, Control};
use crate::control::{query, slots};

/// How long a client may take until it asks for something, again and again.
const ASK_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a client waits for its turn when others are still receiving. It gives up itself when it has heard nothing for
/// five seconds.
const TURN_TIME_MAX: Duration = Duration::from_secs(3);

/// How long a client may take to receive an answer, however long that is.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Serves a client until it goes, breaks the rules, or is too slow.
pub(crate) async fn serve(control: Arc<Control>, stream: UnixStream) {
    let credentials = stream.peer_cred();
    let mut lines = Lines::new(stream);
    // Whoever went is not told anything, and nobody else wants to know.
    let _gone = match serve_check(&control, credentials) {
        Ok(admission) => {
            Session { control, lines, client: admission.client, _admission: admission }.run().await
        }
        Err(refusal) => lines.send(&refusal).await,
    };
}

/// Only the node's own user and root are served, and only so many at a time.
fn serve_check(control: &Arc<Control>, credentials: io::Result<UCred>) -> Result<Admission, Say> {
    let stranger = || refused(Reason::Stranger, "this node serves its own user and root");
    let credentials = credentials.map_err(|_| stranger())?;
    if credentials.uid() != geteuid().as_raw() && credentials.uid() != 0 {
        return Err(stranger());
    }
    control.admit(credentials.pid(), credentials.uid())
}

struct Session {
    control: Arc<Control>,
    lines: Lines,
    client: u64,
    _admission: Admission,
}

impl Session {
    async fn run(mut self) -> Result<(), LineError> {
        match self.run_asks().await {
            Err(error @ (LineError::TooLong | LineError::SlowToSend | LineError::Senseless(_))) => {
                self.lines.send(&refused(Reason::Protocol, &error.to_string())).await
            }
            other => other,
        }
    }

    async fn run_asks(&mut self) -> Result<(), LineError> {
        if !self.greet().await? {
            return Ok(());
        }
        while let Some(ask) = self.next().await? {
            match ask {
                Ask::Status | Ask::Members | Ask::Locks | Ask::Waiters | Ask::Map | Ask::Dump => {
                    answer(&self.control, &mut self.lines, &ask).await?;
                }
                Ask::Drain => {
                    let work = slots::drain(&self.control);
                    let Some(outcome) = unless_gone(&mut self.lines, work).await? else { return Ok(()) };
                    self.lines.send(&outcome).await?;
                }
                Ask::Transfer { first, last, to } => {
                    let work = slots::transfer(&self.control, first, last, to);
                    let Some(outcome) = unless_gone(&mut self.lines, work).await? else { return Ok(()) };
                    self.lines.send(&outcome).await?;
                }
                Ask::Leash { client } => return self.be_leash(client).await,
                Ask::Lock(ask) => {
                    if !hold::serve(&self.control, &mut self.lines, self.client, ask).await? {
                        return Ok(());
                    }
                }
                Ask::Hello { .. } | Ask::Running { .. } | Ask::Release => {
                    return self.lines.send(&refused(Reason::Protocol, "a word out of turn")).await;
                }
            }
        }
        Ok(())
    }

    /// Exchanges hellos. Returns whether the client may go on.
    async fn greet(&mut self) -> Result<bool, LineError> {
        match self.next().await? {
            Some(Ask::Hello { protocol: PROTOCOL }) => {
                let program = env!("CARGO_PKG_VERSION").to_owned();
                let node = self.control.node.id().0;
                let hello = Say::Hello { protocol: PROTOCOL, program, node, client: self.client };
                self.lines.send(&hello).await?;
                Ok(true)
            }
            Some(Ask::Hello { protocol }) => {
                let text = format!("this node speaks version {PROTOCOL} of the protocol and not {protocol}");
                self.lines.send(&refused(Reason::Version, &text)).await?;
                Ok(false)
            }
            Some(_) => {
                self.lines.send(&refused(Reason::Protocol, "say hello first")).await?;
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// What the client asks next; nothing if it is gone or silent for long.
    async fn next(&mut self) -> Result<Option<Ask>, LineError> {
        timeout(ASK_TIME_MAX, self.lines.receive()).await.unwrap_or(Ok(None))
    }

    /// Counts for a client until the other end is closed, by whoever has it.
    async fn be_leash(&mut self, client: u64) -> Result<(), LineError> {
        let Some(leashes) = self.control.leashes(client) else {
            return self.lines.send(&refused(Reason::Impossible, "there is no such client")).await;
        };
        let leash = Leash::new(leashes);
        match self.control.share() {
            Some(share) => self.lines.send_with(&Say::Done, share).await?,
            None => self.lines.send(&Say::Done).await?,
        }
        let mut bytes = [0; 256];
        loop {
            self.lines.stream().readable().await?;
            match self.lines.stream().try_read(&mut bytes) {
                Ok(0) => break,
                // It is in the hands of any command: what that writes means nothing.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        drop(leash);
        Ok(())
    }
}

/// Answers a question. Of large answers only so many are under way, since each keeps a picture of all tables.
async fn answer(control: &Control, lines: &mut Lines, ask: &Ask) -> Result<(), LineError> {
    let _turn = match answer_turn(control, ask).await {
        Ok(turn) => turn,
        Err(refusal) => return lines.send(&refusal).await,
    };
    let answer = Answer::new(control, ask);
    send_rows(lines, answer.rows(control)).await
}

/// Waits for the turn of a large answer; a small one needs none.
async fn answer_turn<'a>(control: &'a Control, ask: &Ask) -> Result<Option<SemaphorePermit<'a>>, Say> {
    if !query::is_large(ask) {
        return Ok(None);
    }
    match timeout(TURN_TIME_MAX, control.answers.acquire()).await {
        Ok(turn) => Ok(Some(turn.expect("nobody closes the semaphore"))),
        Err(_) => {
            let text = format!("{ANSWERS_MAX} other clients are still receiving answers: ask again");
            Err(refused(Reason::Crowded, &text))
        }
    }
}

/// Sends an answer as fast as the client receives it, if that is fast enough.
async fn send_rows(lines: &mut Lines, rows: impl Iterator<Item = Row>) -> Result<(), LineError> {
    let sent = timeout(ANSWER_TIME_MAX, async {
        for row in rows {
            lines.send(&Say::Row(Box::new(row))).await?;
        }
        lines.send(&Say::Done).await
    });
    sent.await.map_err(|_| LineError::SlowToReceive)?
}

/// Counts as one leash of a client.
struct Leash(Arc<watch::Sender<u32>>);

impl Leash {
    fn new(leashes: Arc<watch::Sender<u32>>) -> Self {
        leashes.send_modify(|count| *count += 1);
        Self(leashes)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Does the work, unless the client goes meanwhile or says something, which would be out of turn.
pub(crate) async fn unless_gone<T>(
    lines: &mut Lines,
    work: impl Future<Output = T>,
) -> Result<Option<T>, LineError> {
    tokio::select! {
        biased;
        outcome = work => Ok(Some(outcome)),
        word = lines.receive::<Ask>() => match word? {
            None => Ok(None),
            Some(_) => {
                lines.send(&refused(Reason::Protocol, "a word out of turn")).await?;
                Ok(None)
            }
        }
    }
}

pub(crate) fn refused(reason: Reason, text: &str) -> Say {
    Say::Refused { reason, text: text.to_owned() }
}

#[cfg(test)]
mod tests;
