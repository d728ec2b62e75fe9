//! How bad the network and the hosts are.

use alloc::vec::Vec;
use core::time::Duration;

use super::{millis, rate};
use crate::fault::{FaultKind, FaultKinds};
use crate::random::Random;

/// Most that a clock gains or loses in a second, in millionths of a second.
const CLOCK_ERROR_MAX: u64 = 1_000;

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
    pub(crate) split: u32,
    pub(crate) mute: u32,
    pub(crate) pause: u32,
    pub(crate) leap: u32,
    /// For each host, how long it takes with what it sends and gets.
    pub(crate) burdens: Vec<Duration>,
    /// For each host, what its clock gains in a second, in millionths of a second.
    pub(crate) clock_errors: Vec<i32>,
    /// How long a cut, a disconnection, a clog, a split or a pause lasts at most.
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
            split: 0,
            mute: 0,
            pause: 0,
            leap: 0,
            burdens: Vec::new(),
            clock_errors: Vec::new(),
            spell_max: millis(random, 10, 600),
        }
    }

    /// More of it, by chance of its own: what the seed decides without it stays as it was.
    pub(crate) fn with_hosts(mut self, breaker: &mut Random, hosts: u16) -> Self {
        self.split = rate(breaker, 20);
        self.mute = rate(breaker, 20);
        self.pause = rate(breaker, 30);
        self.leap = rate(breaker, 30);
        let burden_max = if breaker.chance(333) { millis(breaker, 1, 40) } else { Duration::ZERO };
        let error_max = if breaker.chance(500) { CLOCK_ERROR_MAX } else { 0 };
        for _ in 0..hosts {
            let is_slow = breaker.chance(400);
            self.burdens.push(if is_slow { burden_max } else { Duration::ZERO });
            let error = i32::try_from(breaker.between(0, 2 * error_max)).expect("errors are small");
            self.clock_errors.push(error - i32::try_from(error_max).expect("errors are small"));
        }
        self
    }

    /// The same, but for some kinds of faults.
    pub(crate) fn without(mut self, kinds: FaultKinds) -> Self {
        for kind in kinds.iter() {
            if let Some(rate) = self.rate(kind) {
                *rate = 0;
            }
        }
        if kinds.has(FaultKind::Slow) {
            self.burdens.fill(Duration::ZERO);
        }
        if kinds.has(FaultKind::Drift) {
            self.clock_errors.fill(0);
        }
        self
    }

    /// May this kind happen?
    pub(crate) fn has(&self, kind: FaultKind) -> bool {
        let is_rated = self.clone().rate(kind).is_some_and(|rate| *rate > 0);
        let is_slow = kind == FaultKind::Slow && self.burdens.iter().any(|burden| !burden.is_zero());
        let drifts = kind == FaultKind::Drift && self.clock_errors.iter().any(|error| *error != 0);
        is_rated || is_slow || drifts
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
            FaultKind::Split => &mut self.split,
            FaultKind::Mute => &mut self.mute,
            FaultKind::Pause => &mut self.pause,
            FaultKind::Leap => &mut self.leap,
            FaultKind::Slow | FaultKind::Drift | FaultKind::Tight => return None,
        })
    }
}
