//! Owners that all want the same, in some seeds of clusters whose members change.

use alloc::vec::Vec;

use lockmaster_core::{Config, Mode, SpaceConfig, SpaceId};

use super::Appetite;
use crate::random::Random;

/// Resources of one slot, which take several parts of a report.
const RESOURCES: u8 = 8;
/// The shortest chunk that there is: two positions on long names.
const CHUNK: u32 = 256;

/// What everybody wants. It is drawn from chance of its own, so that a seed without it is the seed that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    None,
    /// One resource: its queue is long.
    Queue,
    /// Many resources of one slot: a report of it is long.
    Slot,
}

impl Crowd {
    pub(super) fn draw(crowder: &mut Random) -> Self {
        match crowder.below(16) {
            0 => Self::Queue,
            1 => Self::Slot,
            _ => Self::None,
        }
    }

    pub(super) fn gather(
        self,
        spaces: &mut Vec<SpaceConfig>,
        resources: &mut Vec<(SpaceId, Vec<u8>)>,
        appetite: &mut Appetite,
    ) {
        match self {
            Self::None => return,
            Self::Queue => {
                resources.truncate(1);
                resources[0].0 = SpaceId(0);
                appetite.modes = alloc::vec![Mode::Exclusive, Mode::ProtectedRead];
            }
            Self::Slot => {
                let name = |at: u8| (SpaceId(0), alloc::vec![b'a' + at; 64]);
                *resources = (0..RESOURCES).map(name).collect();
                spaces[0].slots = 1;
            }
        }
        spaces.truncate(1);
        appetite.locks_max += 8;
    }

    pub(super) fn prepare(self, configs: &mut [Config]) {
        for config in configs.iter_mut().filter(|_| self == Self::Slot) {
            config.chunk = CHUNK;
            config.window = CHUNK;
        }
    }
}
