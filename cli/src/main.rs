//! The `lockmaster` program: a demonstration of the lock manager on real processes, and a checker of the lock
//! histories that such processes record.

mod args;
mod ca;
mod clock;
mod demo;
mod history;
mod page;
mod text;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

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
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
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
            })
        }
    }
}
