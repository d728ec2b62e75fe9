//! What is said of a seed that failed: the smallest run that fails alike, and the command that repeats it.

use core::fmt::Write as _;
use core::time::Duration;
use std::sync::mpsc;
use std::thread;

use lockmaster_sim::Options;
use lockmaster_sim::seeds::{Failed, Shrunk, examine, shrink};

use super::args::command;

/// How long it may take until a smaller run is found.
const PATIENCE: Duration = Duration::from_secs(60);

/// The story of a failure, made small.
pub(super) fn show(failed: &Failed, options: &Options) -> String {
    let Shrunk { options: small, tries, .. } = make_small(failed, options);
    // Once more, with the last lines of the trace.
    let lines = Options { lines: options.lines, ..small.clone() };
    let story = examine(failed.seed, &lines).err().map_or_else(String::new, |failed| failed.story);
    let Options { steps, nodes: (_, nodes), machines: (_, machines), without, .. } = &small;
    let kinds = without.iter().count();
    let mut text = String::new();
    writeln!(text, "{story}")
        .and_then(|()| write!(text, "made small in {tries} runs: at most {nodes} nodes, "))
        .and_then(|()| write!(text, "{machines} machines of each, {steps} steps, "))
        .and_then(|()| writeln!(text, "without {kinds} kinds of faults"))
        .and_then(|()| writeln!(text, "as it was found:  {}", command(failed.seed, options)))
        .and_then(|()| writeln!(text, "repeat it small:  {}", command(failed.seed, &small)))
        .expect("a string grows");
    text
}

/// The smallest run that is found before one does not come back.
fn make_small(failed: &Failed, options: &Options) -> Shrunk {
    let (sender, receiver) = mpsc::channel();
    let mut best = Shrunk { options: options.clone(), failed: failed.clone(), tries: 0 };
    let (failed, options) = (failed.clone(), options.clone());
    thread::spawn(move || {
        // Nobody listens any more once the time is over.
        let _shrunk = shrink(&failed, &options, |shrunk| drop(sender.send(shrunk.clone())));
    });
    while let Ok(shrunk) = receiver.recv_timeout(PATIENCE) {
        best = shrunk;
    }
    best
}
