//! Shows people and programs what a node tells of itself.

mod table;

use std::io::{self, ErrorKind, Write};

use crate::args::{RangeArg, ReachArgs, ShowArgs};
use crate::control::message::{Ask, Row};
use crate::control::{Client, ClientError};
use crate::{Failure, Verdict, text};

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoNode(text) => Self::NoNode(text),
            ClientError::Refused { .. }
            | ClientError::Broken(_)
            | ClientError::Ended
            | ClientError::Unfinished
            | ClientError::Senseless => Self::Broken(error.to_string()),
        }
    }
}

/// Asks a node for rows and prints them.
///
/// # Errors
/// [`Failure`] if it does not answer.
pub(crate) fn run(args: &ShowArgs, ask: &Ask) -> Result<Verdict, Failure> {
    block_on(async {
        let mut client = Client::find(&args.reach.reach()).await?;
        if args.json {
            let mut out = Lines { out: io::stdout().lock(), failed: None };
            client.rows(ask, |row| out.print(&row)).await?;
            return out.end();
        }
        let mut rows = Vec::new();
        client.rows(ask, |row| rows.push(row)).await?;
        text::print(&table::render(&rows));
        Ok(Verdict::Clean)
    })
}

/// Has a node give all its slots away.
///
/// # Errors
/// [`Failure`] if it does not.
pub(crate) fn drain(reach: &ReachArgs) -> Result<Verdict, Failure> {
    have_done(reach, &Ask::Drain)
}

/// Has a node give some of its slots away.
///
/// # Errors
/// [`Failure`] if it does not.
pub(crate) fn transfer(reach: &ReachArgs, range: RangeArg, to: u16) -> Result<Verdict, Failure> {
    have_done(reach, &Ask::Transfer { first: range.first, last: range.last, to })
}

fn have_done(reach: &ReachArgs, ask: &Ask) -> Result<Verdict, Failure> {
    block_on(async {
        Client::find(&reach.reach()).await?.have_done(ask).await?;
        Ok(Verdict::Clean)
    })
}

fn block_on(work: impl Future<Output = Result<Verdict, Failure>>) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Broken(format!("starting the runtime: {error}")))?.block_on(work)
}

/// Prints rows as they come.
struct Lines<W> {
    out: W,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    fn print(&mut self, row: &Row) {
        if self.failed.is_some() {
            return;
        }
        let mut line = serde_json::to_string(row).expect("every row has its JSON");
        line.push('\n');
        self.failed = self.out.write_all(line.as_bytes()).err();
    }

    fn end(mut self) -> Result<Verdict, Failure> {
        match self.failed.take().or_else(|| self.out.flush().err()) {
            // Whoever closed the pipe wants no more of it.
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Broken(format!("printing: {error}")))
            }
            Some(_) | None => Ok(Verdict::Clean),
        }
    }
}
