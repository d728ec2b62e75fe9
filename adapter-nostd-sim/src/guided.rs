//! A run that bytes decide step by step, for a fuzzer.

use lockmaster_core::{HeapMemory, Storage};

use crate::cluster::Cluster;
use crate::fault::FaultKind;
use crate::options::{Moving, Options};
use crate::report::{Failure, Report, Violation};

/// Bytes that choose the cluster: a seed of two bytes, and what the run leaves out.
const HEAD_LEN: usize = 3;
/// Bytes of one step: what is done, and with what.
const STEP_LEN: usize = 3;
/// Bit of the third byte: nodes have not met, and who meets when is up to the steps.
const STRANGERS: u8 = 1;
/// Two bits of the third byte: only where both are 0 does the run go on until everything has ended.
const CUT_SHORT: u8 = 6;

/// Runs a cluster of three nodes in which `choices` decide everything that chance decides in [`run`](crate::run):
/// which frame arrives, is lost or comes again, whose timer fires, who asks for what, which slots move.
///
/// The first bytes choose the cluster, each further three one step. After the last step most runs go through the
/// phases of [`run`](crate::run). The same bytes give the same run; a failure shows the last `lines` lines.
///
/// # Errors
/// [`Failure`] names the rule that did not hold.
///
/// # Panics
/// If the core finds its tables in disorder.
pub fn run_guided(choices: &[u8], lines: usize) -> Result<Report, Failure> {
    run_with(choices, Options { lines, ..Options::default() })
}

/// The same with rules switched off, without a trace.
///
/// # Errors
/// As for [`run_guided`].
///
/// # Panics
/// As for [`run_guided`].
#[cfg(lockmaster_faults)]
pub fn run_guided_wrong(choices: &[u8], faults: lockmaster_core::fault::Faults) -> Result<Report, Failure> {
    run_with(choices, Options { faults, lines: 0, ..Options::default() })
}

fn run_with(choices: &[u8], options: Options) -> Result<Report, Failure> {
    let Some(([low, high, extent], steps)) = choices.split_first_chunk::<HEAD_LEN>() else {
        return Ok(Report::default());
    };
    let seed = u64::from(u16::from_le_bytes([*low, *high]));
    // The steps choose what goes wrong; only the size of the tables is the seed's.
    let without = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Tight).collect();
    let options = Options { nodes: (3, 3), moving: Moving::Often, without, ..options };
    let mut cluster = Cluster::new(seed, &options, |config, limits| HeapMemory::new(limits, config));
    match run_steps(&mut cluster, *extent, steps) {
        Ok(()) => Ok(cluster.report()),
        Err(Violation { rule, what }) => {
            let (step, trace) = (cluster.report().steps, cluster.trace().last_lines());
            Err(Failure { seed, step, now: cluster.now(), rule, what, trace })
        }
    }
}

fn run_steps<S: Storage>(cluster: &mut Cluster<S>, extent: u8, steps: &[u8]) -> Result<(), Violation> {
    cluster.be_guided(extent & STRANGERS == 0)?;
    for step in steps.chunks_exact(STEP_LEN) {
        if let [what, a, b] = *step {
            cluster.guided_step(what, a, b)?;
        }
    }
    if extent & CUT_SHORT == 0 {
        cluster.keep_still()?;
        cluster.heal()?;
        cluster.sweep()?;
    }
    Ok(())
}
