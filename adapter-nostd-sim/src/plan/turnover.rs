//! What becomes of members: how often they crash, come, leave and are fenced, and how they learn of views.

use core::time::Duration;

use lockmaster_core::{Config, Incarnation};

use super::{millis, rate};
use crate::random::Random;

/// Most nodes that run at a time.
const LIVING_MAX: u16 = 6;

/// How members change; rates in thousandths for each turn of the weather.
#[derive(Clone, Debug)]
pub(crate) struct Turnover {
    /// Nodes that are members from the beginning.
    pub(crate) founders: u16,
    /// Most nodes that run at a time.
    pub(crate) living_max: usize,
    /// Places for members, those that departed lately included.
    places: u8,
    pub(crate) crash: u32,
    /// A node that does not run is started.
    pub(crate) start: u32,
    pub(crate) leave: u32,
    /// The engine makes a view if there is a reason.
    pub(crate) view: u32,
    /// It makes one without any.
    pub(crate) idle_view: u32,
    /// A node does not get a view.
    pub(crate) miss: u32,
    /// How long a view may be on its way.
    pub(crate) lag_max: Duration,
    /// How long the engine vouches for a member; for ever if absent.
    pub(crate) lease: Option<Duration>,
    /// The engine stops to vouch for a member for a while.
    pub(crate) withhold: u32,
    /// A member is told that it is none any more.
    pub(crate) fence: u32,
    /// A fenced node begins its next life, if it can.
    pub(crate) rejoin: u32,
    pub(crate) balance: u32,
    /// Most transfers that balance begins.
    pub(crate) balance_most: usize,
}

impl Turnover {
    pub(super) fn draw(mover: &mut Random, nodes: u16) -> Self {
        let living = nodes.min(LIVING_MAX);
        let founders = mover.between(u64::from(living.min(2)), u64::from(living));
        let spare = mover.below(5);
        // In some seeds much happens at once, in others owners have time in between.
        let pace = *mover.pick(&[1, 3, 10]);
        let mut seldom = |most| rate(mover, most).div_ceil(pace);
        let (crash, leave, idle_view) = (seldom(30), seldom(20), seldom(10));
        let (withhold, fence) = (seldom(40), seldom(10));
        let small = |number: u64| u16::try_from(number).expect("it is small");
        Self {
            founders: small(founders),
            living_max: usize::from(living),
            places: u8::try_from(u64::from(living) + spare).expect("places are few"),
            crash,
            start: 20 + rate(mover, 100),
            leave,
            view: 50 + rate(mover, 400),
            idle_view,
            miss: rate(mover, 300),
            lag_max: millis(mover, 0, 200),
            lease: mover.chance(500).then(|| millis(mover, 100, 1500)),
            withhold,
            fence,
            rejoin: 100 + rate(mover, 500),
            balance: rate(mover, 150),
            balance_most: mover.index(4) + 1,
        }
    }

    /// Nodes of a cluster whose members change are told none.
    pub(super) fn prepare(&self, configs: &mut [Config]) {
        for config in configs {
            config.members.clear();
            config.incarnation = Incarnation(1);
            config.places = self.places;
        }
    }
}
