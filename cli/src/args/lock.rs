//! What `lock` can be told.

use core::time::Duration;
use std::ffi::OsString;

use lockmaster_tokio::Mode;

use crate::args::{ReachArgs, seconds};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LockArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Mode of the lock: NL, CR, CW, PR, PW or EX
    #[arg(short, long, value_name = "MODE", default_value = "EX", value_parser = mode)]
    pub(crate) mode: Mode,
    /// Do not wait: if the lock is busy, exit with 75
    #[arg(short, long = "no-wait", conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// Wait at most so many seconds for the lock, then exit with 124
    #[arg(short, long, value_name = "SECS", value_parser = seconds)]
    pub(crate) wait: Option<Duration>,
    /// Space of the resource; without this the node's first
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<String>,
    /// Seconds between SIGTERM and SIGKILL when the command has to end
    #[arg(long, value_name = "SECS", default_value = "2", value_parser = seconds)]
    pub(crate) grace: Duration,
    /// Name of the resource
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StageArgs {
    /// The process without which the command must not run
    #[arg(long)]
    pub(crate) parent: i32,
    /// Take the foreground of the terminal
    #[arg(long)]
    pub(crate) foreground: bool,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

fn mode(text: &str) -> Result<Mode, String> {
    Mode::from_letters(&text.to_ascii_uppercase())
        .ok_or_else(|| "expected NL, CR, CW, PR, PW or EX".to_owned())
}
