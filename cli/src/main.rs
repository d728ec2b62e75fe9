//! The `lockmaster` program: nodes with a control socket, commands that run under locks, and tables of what goes on; a
//! demonstration of the lock manager on real processes, and a checker of the lock histories that they record.

mod args;
mod bench;
mod ca;
mod clock;
mod control;
mod demo;
mod history;
mod latencies;
mod lock;
mod node;
mod page;
mod secret;
mod show;
mod text;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::control::message::Ask;
use crate::lock::stage;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything was as it should be.
    Clean,
    /// Something was wrong; it has been printed.
    Failed,
}

/// Why a command could not do its work: one line for people.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The arguments cannot be used: change them.
    #[error("{0}")]
    Usage(String),
    /// The arguments were good, but something broke on the way.
    #[error("{0}")]
    Broken(String),
    /// No node answers: start one, or name another.
    #[error("{0}")]
    NoNode(String),
}

impl Failure {
    /// The failure when this path cannot be used.
    fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Usage(format!("{}: {error}", path.display()))
    }
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Node(args) => node::run(&args),
        // These have the exit status of another command.
        Command::Lock(args) => return ExitCode::from(lock::run(&args)),
        Command::LockStage(args) => return ExitCode::from(stage::run(&args)),
        Command::Status(args) => show::run(&args, &Ask::Status),
        Command::Members(args) => show::run(&args, &Ask::Members),
        Command::Locks(args) => show::run(&args, &Ask::Locks),
        Command::Waiters(args) => show::run(&args, &Ask::Waiters),
        Command::Map(args) => show::run(&args, &Ask::Map),
        Command::Dump(args) => show::run(&args, &Ask::Dump),
        Command::Drain(reach) => show::drain(&reach),
        Command::Transfer { range, to, reach } => show::transfer(&reach, range, to),
        Command::Bench(args) => bench::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::DemoNode => demo::run_node(),
        Command::Ca(command) => ca::run(&command),
        Command::CheckHistory { directory } => history::run(&directory),
    };
    match outcome {
        Ok(Verdict::Clean) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(match failure {
                Failure::Usage(_) => 2,
                Failure::Broken(_) => 1,
                Failure::NoNode(_) => lock::NO_NODE,
            })
        }
    }
}
