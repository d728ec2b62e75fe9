//! What is said of a seed that failed: the smallest run that fails alike, and the command that repeats it.

use core::fmt::Write as _;

use lockmaster_sim::Options;
use lockmaster_sim::seeds::{Failed, examine, shrink};

use super::args::command;

/// The story of a failure, made small.
pub(super) fn show(failed: &Failed, options: &Options) -> String {
    let shrunk = shrink(failed, options);
    // Once more, with the last lines of the trace.
    let lines = Options { lines: options.lines, ..shrunk.options.clone() };
    let story = examine(failed.seed, &lines).err().map_or_else(String::new, |failed| failed.story);
    let mut text = String::new();
    let Options { steps, nodes: (_, nodes), without, .. } = &shrunk.options;
    let kinds = without.iter().count();
    writeln!(
        text,
        "made small in {} runs: at most {nodes} nodes, {steps} steps, without {kinds} kinds of faults",
        shrunk.tries
    )
    .and_then(|()| writeln!(text, "{story}"))
    .and_then(|()| writeln!(text, "as it was found:  {}", command(failed.seed, options)))
    .and_then(|()| writeln!(text, "repeat it small:  {}", command(failed.seed, &shrunk.options)))
    .expect("a string grows");
    text
}
