//! How bad the network and the nodes' machines are.

use core::time::Duration;

use super::{millis, rate};
use crate::fault::{FaultKind, FaultKinds};
use crate::random::Random;

/// How bad the network is; rates in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) delay_min: Duration,
    pub(crate) delay_max: Duration,
    /// Frames that take much longer than the others.
    pub(crate) tail: u32,
    pub(crate) loss: u32,
    pub(crate) repeat: u32,
    /// Frames of which a copy arrives much later.
    pub(crate) late: u32,
    /// Any frame that was ever sent may arrive again: rate for each turn of the weather.
    pub(crate) haunt: u32,
    pub(crate) cut: u32,
    pub(crate) disconnect: u32,
    pub(crate) clog: u32,
    pub(crate) early_timeout: u32,
    pub(crate) late_timer: u32,
    pub(crate) stranger: u32,
    /// Events that their owners get only after the next input.
    pub(crate) deaf: u32,
    /// How long a cut, a disconnection or a clog lasts at most.
    pub(crate) spell_max: Duration,
}

impl Weather {
    /// As a seed decides.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let delay_min = random.span(Duration::from_micros(50), Duration::from_millis(5));
        let delay_max = match random.below(3) {
            0 => delay_min,
            1 => delay_min * 4,
            _ => delay_min * 40,
        };
        Self {
            delay_min,
            delay_max,
            tail: rate(random, 100),
            loss: rate(random, 300),
            repeat: rate(random, 300),
            late: rate(random, 300),
            haunt: if random.chance(500) { rate(random, 600) } else { 0 },
            cut: rate(random, 40),
            disconnect: rate(random, 40),
            clog: rate(random, 60),
            early_timeout: rate(random, 100),
            late_timer: rate(random, 200),
            stranger: rate(random, 30),
            deaf: rate(random, 300),
            spell_max: millis(random, 10, 600),
        }
    }

    /// The same, but for some kinds of faults.
    pub(crate) fn without(mut self, kinds: FaultKinds) -> Self {
        for kind in kinds.iter() {
            if let Some(rate) = self.rate(kind) {
                *rate = 0;
            }
        }
        self
    }

    /// May this kind happen?
    pub(crate) fn has(&self, kind: FaultKind) -> bool {
        self.clone().rate(kind).is_some_and(|rate| *rate > 0)
    }

    /// How often a kind happens, if that is up to the weather.
    fn rate(&mut self, kind: FaultKind) -> Option<&mut u32> {
        Some(match kind {
            FaultKind::Loss => &mut self.loss,
            FaultKind::Repeat => &mut self.repeat,
            FaultKind::Late => &mut self.late,
            FaultKind::Haunt => &mut self.haunt,
            FaultKind::Tail => &mut self.tail,
            FaultKind::Cut => &mut self.cut,
            FaultKind::Disconnect => &mut self.disconnect,
            FaultKind::Clog => &mut self.clog,
            FaultKind::EarlyTimeout => &mut self.early_timeout,
            FaultKind::LateTimer => &mut self.late_timer,
            FaultKind::Stranger => &mut self.stranger,
            FaultKind::Deaf => &mut self.deaf,
            FaultKind::Tight => return None,
        })
    }
}
