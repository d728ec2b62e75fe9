//! From a seed that fails to a smaller run of the same seed that fails alike.
//!
//! A run is made smaller by what it is not allowed: nodes, machines, slots that move, kinds of faults, steps. Each is taken away
//! for good if the run still fails by the same rule, in the same order every time, until nothing more can go.

use super::{Failed, examine};
use crate::fault::FaultKind;
use crate::options::{Moving, Options};

/// The smallest run that was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What it is allowed.
    pub options: Options,
    /// How it fails.
    pub failed: Failed,
    /// Runs that it took to find it.
    pub tries: u32,
}

/// Makes a run smaller that failed under these options. `better` is shown each smaller one when it is found: a run in
/// which the core never comes back does not end, and what was found before it need not be lost.
#[must_use]
pub fn shrink(failed: &Failed, options: &Options, mut better: impl FnMut(&Shrunk)) -> Shrunk {
    let options = Options { lines: 0, echo: None, watch: None, ..options.clone() };
    let mut shrunk = Shrunk { options, failed: failed.clone(), tries: 0 };
    better(&shrunk);
    let passes = [
        Shrunk::fewer_nodes,
        Shrunk::fewer_machines,
        Shrunk::stiller,
        Shrunk::fewer_faults,
        Shrunk::fewer_steps,
    ];
    loop {
        let mut is_smaller = false;
        for pass in passes {
            is_smaller |= pass(&mut shrunk);
            better(&shrunk);
        }
        if !is_smaller {
            return shrunk;
        }
    }
}

impl Shrunk {
    /// Takes these options if the seed fails under them by the same rule.
    fn take(&mut self, options: Options) -> bool {
        self.tries += 1;
        let Err(failed) = examine(self.failed.seed, &options) else { return false };
        // What the core says of its tables has figures in it.
        let is_same = failed.rule == self.failed.rule;
        if is_same {
            self.options = options;
            self.failed = failed;
        }
        is_same
    }

    fn fewer_nodes(&mut self) -> bool {
        let (fewest, most) = self.options.nodes;
        let now = if fewest == most { fewest } else { most + 1 };
        (1..now).any(|nodes| self.take(Options { nodes: (nodes, nodes), ..self.options.clone() }))
    }

    fn fewer_machines(&mut self) -> bool {
        let (fewest, most) = self.options.machines;
        let now = if fewest == most { fewest } else { most + 1 };
        (1..now).any(|machines| self.take(Options { machines: (machines, machines), ..self.options.clone() }))
    }

    fn stiller(&mut self) -> bool {
        let moving = Moving::Never;
        self.options.moving != moving && self.take(Options { moving, ..self.options.clone() })
    }

    fn fewer_faults(&mut self) -> bool {
        let mut is_smaller = false;
        for kind in FaultKind::ALL {
            if !self.options.without.has(kind) {
                let without = self.options.without.with(kind);
                is_smaller |= self.take(Options { without, ..self.options.clone() });
            }
        }
        is_smaller
    }

    /// First to the step at which it was seen, then by halves of what is left.
    fn fewer_steps(&mut self) -> bool {
        let before = self.options.steps;
        let seen = self.failed.steps.and_then(|steps| u32::try_from(steps).ok());
        if let Some(steps) = seen.filter(|steps| *steps < before) {
            self.take(Options { steps, ..self.options.clone() });
        }
        let mut fewer = self.options.steps / 2;
        while fewer > 0 {
            let steps = self.options.steps - fewer;
            if !self.take(Options { steps, ..self.options.clone() }) {
                fewer /= 2;
            }
            fewer = fewer.min(self.options.steps / 2);
        }
        self.options.steps < before
    }
}
