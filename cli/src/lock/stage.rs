//! The process that becomes the command.
//!
//! What has to be done in the child between its start and the command is done here in ordinary code, as a hidden command
//! of this program, since doing it in a forked child takes unsafe code.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::args::StageArgs;
use crate::lock::FAILED;
use crate::lock::terminal::give_input_to_self;

/// Exit status if the command cannot be run, as shells have it.
const CANNOT_RUN: u8 = 126;
/// Exit status if there is no such command, as shells have it.
const NOT_FOUND: u8 = 127;

/// Name of the hidden command.
pub(crate) const NAME: &str = "lock-stage";

/// What the stage is told.
pub(super) fn arguments(is_in_foreground: bool, command: &[OsString]) -> Vec<OsString> {
    let mut arguments = vec![NAME.into(), "--parent".into(), getpid().as_raw_pid().to_string().into()];
    if is_in_foreground {
        arguments.push("--foreground".into());
    }
    arguments.push("--".into());
    arguments.extend(command.iter().map(OsString::clone));
    arguments
}

/// Becomes the command. Returns an exit status only if it cannot.
pub(crate) fn run(args: &StageArgs) -> u8 {
    // The command dies with its keeper. Its own children do not; those the node ends.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("error: tying the command to its lock: {error}");
        return FAILED;
    }
    if getppid().map(|parent| parent.as_raw_pid()) != Some(args.parent) {
        return FAILED;
    }
    if args.foreground {
        give_input_to_self();
    }
    let (program, arguments) = args.command.split_first().expect("a command has a name");
    let error = Command::new(program).args(arguments).exec();
    eprintln!("error: {}: {error}", OsStr::new(program).display());
    if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN }
}
