//! Runs that somebody interrupts: they end at the next point where they wait, and take everything with them that they
//! have made.

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Result, broken};

/// Exit status of a run that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;

static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Catches what is meant to end this process. The second signal ends it at once; the next run removes what was left.
pub(crate) fn catch() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(broken("starting a runtime"))?;
    let caught = {
        let _entered = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal)
    };
    let [interrupt, terminate, hangup] = caught;
    let doing = "catching signals";
    let mut signals = (
        interrupt.map_err(broken(doing))?,
        terminate.map_err(broken(doing))?,
        hangup.map_err(broken(doing))?,
    );
    std::thread::spawn(move || {
        runtime.block_on(next(&mut signals));
        eprintln!("interrupted");
        IS_INTERRUPTED.store(true, Ordering::Release);
        runtime.block_on(next(&mut signals));
        exit(INTERRUPTED.into());
    });
    Ok(())
}

async fn next((interrupt, terminate, hangup): &mut (Signal, Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// An error if this run was interrupted.
pub(crate) fn check() -> Result<()> {
    if IS_INTERRUPTED.load(Ordering::Acquire) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Keeps a command from what a terminal sends to this process: it ends when this process ends it.
pub(crate) fn apart(command: &mut Command) -> &mut Command {
    command.process_group(0)
}
