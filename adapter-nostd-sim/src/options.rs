//! What a caller may fix; the seed decides the rest.

use lockmaster_core::Config;
use lockmaster_core::Limits;

use crate::fault::FaultKinds;
use crate::plan::{CHANGING_NODES_MAX, NODES_MAX};
use crate::sight::Watch;

/// How often the management of slots moves to another node while a run is unruly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moving {
    /// As the seed decides: not at all, now and then, or all the time.
    #[default]
    Drawn,
    /// Never. The seed decides everything else as if transfers did not exist.
    Never,
    /// All the time, many at once, in small chunks.
    Often,
}

/// What every run of a series has in common.
#[derive(Clone, Debug)]
pub struct Options {
    /// Steps before the network heals.
    pub steps: u32,
    /// Fewest and most nodes, 1 to [`MEMBERS_MAX`](lockmaster_core::MEMBERS_MAX).
    pub nodes: (u16, u16),
    /// Fewest and most machines of each node, 1 to [`MACHINES_MAX`](lockmaster_core::MACHINES_MAX). With one, a seed decides
    /// all else as if nodes never had more.
    pub machines: (u8, u8),
    /// Capacities of every machine; drawn from the seed if absent.
    pub limits: Option<Limits>,
    /// How often slots move.
    pub moving: Moving,
    /// Members come, go, crash and are fenced.
    pub is_changing: bool,
    /// Locks are lent, and taken back.
    pub is_lending: bool,
    /// Kinds of faults that do not happen, whatever the seed says.
    pub without: FaultKinds,
    /// Lines of the trace that a failure shows.
    pub lines: usize,
    /// Gets every line of the trace as it is written.
    pub echo: Option<fn(&str)>,
    /// Is shown everything that happens. It changes nothing, and costs nothing if it is absent.
    pub watch: Option<Watch>,
    /// Rules that are switched off, to see that a checker notices.
    #[cfg(lockmaster_faults)]
    pub faults: lockmaster_core::fault::Faults,
}

impl Default for Options {
    /// 400 steps, up to [`NODES_MAX`] nodes of one machine, 60 lines.
    fn default() -> Self {
        Self {
            steps: 400,
            nodes: (1, NODES_MAX),
            machines: (1, 1),
            limits: None,
            moving: Moving::Drawn,
            is_changing: false,
            is_lending: false,
            without: FaultKinds::NONE,
            lines: 60,
            echo: None,
            watch: None,
            #[cfg(lockmaster_faults)]
            faults: lockmaster_core::fault::Faults::NONE,
        }
    }
}

impl Options {
    /// A cluster whose members change: longer, since more happens, and of at least three nodes.
    #[must_use]
    pub fn changing() -> Self {
        Self { steps: 1_200, nodes: (3, CHANGING_NODES_MAX), is_changing: true, ..Self::default() }
    }

    #[cfg(lockmaster_faults)]
    pub(crate) fn switch_off(&self, config: &mut Config) {
        config.faults = self.faults;
    }

    #[cfg(not(lockmaster_faults))]
    pub(crate) fn switch_off(&self, config: &mut Config) {
        // Every rule holds in a real build.
        let _ = config;
    }
}
