//! What a seed decides before the run begins: the cluster, the weather, the owners.

mod crowd;
mod division;
mod turnover;
mod weather;

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::Limits;
use lockmaster_core::{ClusterId, Incarnation, MEMBERS_MAX, Mode, Name, NodeId, SpaceId};
use lockmaster_core::{Config, Division, MACHINES_MAX, Retention, SpaceConfig};

use crate::fault::{FaultKind, FaultKinds};
use crate::layout::Layout;
use crate::options::{Moving, Options};
use crate::random::Random;
use crowd::Crowd;
pub(crate) use turnover::Turnover;
pub(crate) use weather::Weather;

/// Most nodes of a simulated cluster, unless more are asked for.
pub const NODES_MAX: u16 = 5;

/// Most nodes that a simulated cluster with changing members ever has, unless more are asked for.
pub(crate) const CHANGING_NODES_MAX: u16 = 7;

/// Most slots of all spaces together.
pub const SLOTS_MAX: u32 = 32;

/// Most slots of a space, but for the first one of a few seeds.
const SPACE_SLOTS_MAX: u64 = 8;

/// Everything that is fixed for one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) layout: Layout,
    /// For each machine.
    pub(crate) configs: Vec<Config>,
    /// For each host.
    divisions: Vec<Division>,
    pub(crate) limits: Limits,
    /// Tables have room for everything that the owners can ask for.
    pub(crate) is_roomy: bool,
    pub(crate) resources: Vec<(SpaceId, Vec<u8>)>,
    /// For each resource its machine.
    machines: Vec<usize>,
    /// Length of the frames that the machines of each host may fill.
    pub(crate) frame_lens: Vec<usize>,
    pub(crate) weather: Weather,
    pub(crate) appetite: Appetite,
    pub(crate) mobility: Mobility,
    /// What becomes of members; nothing if they never change.
    pub(crate) turnover: Option<Turnover>,
    pub(crate) steps: u32,
    pub(crate) is_lending: bool,
}

/// What owners do; rates in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Appetite {
    /// Longest pause between two actions.
    pub(crate) pause_max: Duration,
    pub(crate) locks_max: usize,
    pub(crate) modes: Vec<Mode>,
    /// Weights of: request, convert, release, cancel, abandon, watch, nonsense.
    pub(crate) weights: [u32; 7],
    pub(crate) no_queue: u32,
    pub(crate) queue_convert: u32,
    pub(crate) no_order: u32,
    pub(crate) head: u32,
    pub(crate) alternate: u32,
    pub(crate) deadlock: u32,
    pub(crate) value: u32,
    pub(crate) write: u32,
    pub(crate) invalidate: u32,
    pub(crate) patience: u32,
    pub(crate) patience_max: Duration,
    /// In the end owners keep what they have until somebody demands it.
    pub(crate) is_patient: bool,
}

/// How slots move; rates in thousandths. It is drawn from chance of its own, so that a seed without it is the seed
/// that it was.
#[derive(Clone, Debug)]
pub(crate) struct Mobility {
    /// How often somebody moves slots instead of using locks.
    pub(crate) rate: u32,
    /// Most transfers that begin at one instant.
    pub(crate) at_once: u64,
    /// Of these occasions, those on which a transfer is taken back.
    pub(crate) withdraw: u32,
    /// Of these occasions, those on which a call makes no sense.
    pub(crate) nonsense: u32,
    /// Slots move also once the network is well.
    pub(crate) is_healing: bool,
}

impl Mobility {
    const NEVER: Self = Self { rate: 0, at_once: 0, withdraw: 0, nonsense: 0, is_healing: false };

    pub(crate) const fn is_on(&self) -> bool {
        self.rate > 0
    }
}

impl Plan {
    pub(crate) fn draw(
        random: &mut Random,
        mover: &mut Random,
        breaker: &mut Random,
        crowder: &mut Random,
        divider: &mut Random,
        options: &Options,
    ) -> Self {
        let nodes = random.between(u64::from(options.nodes.0), u64::from(options.nodes.1));
        let nodes = u16::try_from(nodes.clamp(1, MEMBERS_MAX as u64)).expect("nodes are few");
        let mut spaces = draw_spaces(random);
        let mut resources = draw_resources(random, spaces.len());
        let mobility = draw_mobility(mover, options.moving);
        if mobility.is_on() {
            draw_more(mover, &mut spaces, &mut resources);
        }
        if options.is_changing {
            draw_crowd(mover, &mut resources);
        }
        let mut appetite = draw_appetite(random);
        let crowd = if options.is_changing { Crowd::draw(crowder) } else { Crowd::None };
        crowd.gather(&mut spaces, &mut resources, &mut appetite);
        let layout = Layout::new(nodes, draw_machines(divider, options.machines));
        division::widen(divider, layout, &mut spaces, &mut resources, &mut appetite);
        let needed = appetite.locks_max.max(usize::from(nodes) * resources.len());
        let is_tight = random.chance(120) || (mobility.is_on() && mover.chance(150));
        let is_drawn = is_tight && options.limits.is_none();
        let tight = is_drawn.then(|| draw_tight_limits(random, mover));
        let tight = tight.filter(|_| !options.without.has(FaultKind::Tight));
        let is_roomy = options.limits.is_none() && tight.is_none();
        let turnover = options.is_changing.then(|| Turnover::draw(mover, nodes));
        let limits = options.limits.or(tight).unwrap_or_else(|| draw_roomy_limits(mover, needed, &mobility));
        let mut configs = draw_configs(random, mover, nodes, &spaces, options);
        if let Some(turnover) = &turnover {
            turnover.prepare(&mut configs);
        }
        crowd.prepare(&mut configs);
        let frame_lens = (0..nodes).map(|_| *random.pick(&[1024, 1024, 1200, 2048, 65_536])).collect();
        let weather = Weather::draw(random).with_hosts(breaker, nodes).without(options.without);
        if turnover.is_some() {
            // Views take some round trips: owners that hurry would see nothing of them.
            appetite.pause_max = appetite.pause_max.max(weather.delay_max * *mover.pick(&[0, 1, 2]));
        }
        let steps = options.steps;
        let (configs, divisions) = division::divide(configs, layout);
        let machine_of = |(space, name): &(SpaceId, Vec<u8>)| divisions[0].machine_of(*space, name);
        let machines = resources.iter().map(machine_of).collect();
        Self {
            layout,
            configs,
            divisions,
            limits,
            is_roomy,
            resources,
            machines,
            frame_lens,
            weather,
            appetite,
            mobility,
            turnover,
            steps,
            is_lending: options.is_lending,
        }
    }

    /// The kinds of faults that may happen in the run.
    pub(crate) fn faults(&self) -> FaultKinds {
        let is_on = |kind: &FaultKind| {
            let is_drawn = if *kind == FaultKind::Tight { !self.is_roomy } else { self.weather.has(*kind) };
            is_drawn && (self.layout.hosts() > 1 || !kind.is_between_nodes())
        };
        FaultKind::ALL.into_iter().filter(is_on).collect()
    }

    /// The place of a resource in the plan.
    pub(crate) fn resource(&self, space: SpaceId, name: &[u8]) -> Option<usize> {
        self.resources.iter().position(|(of, named)| *of == space && named[..] == *name)
    }

    /// The resources of a machine, by their places in the plan.
    pub(crate) fn resources_of(&self, machine: usize) -> impl Iterator<Item = usize> {
        (0..self.resources.len()).filter(move |at| self.machines[*at] == machine)
    }

    /// The machine of a resource.
    pub(crate) fn machine_of(&self, resource: usize) -> usize {
        self.machines[resource]
    }

    /// The machine that the host of a node asks for a resource.
    pub(crate) fn asked_of(&self, node: NodeId, resource: usize) -> NodeId {
        let (space, name) = &self.resources[resource];
        let machine = self.divisions[self.layout.host(node)].machine_of(*space, name);
        self.layout.on(node, machine)
    }

    /// Most chunks of a transfer that are on their way at a time.
    pub(crate) fn chunks_under_way(&self) -> usize {
        // A chunk without units is as long as its head.
        self.configs[0].window as usize / 64 + 1
    }

    pub(crate) fn repeat_after(&self) -> Duration {
        self.configs[0].repeat_after
    }

    pub(crate) fn repeat_waiting_after(&self) -> Duration {
        self.configs[0].repeat_waiting_after
    }

    /// Longest time after which an idle lock is given up; absent if it never is.
    pub(crate) fn retention(&self, space: SpaceId) -> Retention {
        self.configs[0].spaces[usize::from(space.0)].retention
    }
}

fn millis(random: &mut Random, low: u64, high: u64) -> Duration {
    random.span(Duration::from_millis(low), Duration::from_millis(high))
}

/// Off in one of three seeds, else up to `high`.
fn rate(random: &mut Random, high: u64) -> u32 {
    if random.chance(333) {
        return 0;
    }
    u32::try_from(random.between(1, high)).expect("a rate is at most a thousand")
}

fn draw_machines(divider: &mut Random, (fewest, most): (u8, u8)) -> u8 {
    let is_fixed = fewest == most;
    let machines = if is_fixed { fewest.into() } else { divider.between(fewest.into(), most.into()) };
    u8::try_from(machines).expect("machines are few").clamp(1, MACHINES_MAX)
}

fn draw_spaces(random: &mut Random) -> Vec<SpaceConfig> {
    let count = if random.chance(250) { 2 } else { 1 };
    let mut spaces = Vec::new();
    for at in 0..count {
        let name = ["north", "south"][at];
        let retention = match random.below(4) {
            0 => Retention::Never,
            1 => Retention::Idle(millis(random, 1, 300)),
            _ => Retention::UntilDemanded,
        };
        spaces.push(SpaceConfig {
            name: Name::new(name.as_bytes()).expect("the name is short"),
            slots: u32::try_from(random.between(1, SPACE_SLOTS_MAX)).expect("slots are few"),
            retention,
            retained_max: if random.chance(300) { u32::from(random.chance(700)) } else { 1000 },
            grants_after_demand: u32::try_from(random.below(3)).expect("it is small"),
        });
    }
    spaces
}

fn draw_resources(random: &mut Random, spaces: usize) -> Vec<(SpaceId, Vec<u8>)> {
    let count = random.between(1, 4);
    let mut resources = Vec::new();
    for at in 0..count {
        let space = SpaceId(u16::try_from(random.index(spaces)).expect("spaces are few"));
        let len = *random.pick(&[1, 3, 8, 24, 25, 64]);
        let digit = b'a' + u8::try_from(at).expect("resources are few");
        resources.push((space, alloc::vec![digit; len]));
    }
    resources
}

/// More resources, and in a few seeds many slots, so that there are slots with none, one and several.
fn draw_more(mover: &mut Random, spaces: &mut [SpaceConfig], resources: &mut Vec<(SpaceId, Vec<u8>)>) {
    if mover.chance(150) {
        let most = u64::from(SLOTS_MAX) - SPACE_SLOTS_MAX;
        spaces[0].slots = u32::try_from(mover.between(SPACE_SLOTS_MAX, most)).expect("slots are few");
    }
    for _ in 0..mover.below(3) {
        let space = SpaceId(u16::try_from(mover.index(spaces.len())).expect("spaces are few"));
        let letter = b'a' + u8::try_from(resources.len()).expect("resources are few");
        resources.push((space, alloc::vec![letter; *mover.pick(&[1, 8, 25, 64])]));
    }
}

/// In some seeds so many resources that what is said of a slot comes in several parts.
fn draw_crowd(mover: &mut Random, resources: &mut Vec<(SpaceId, Vec<u8>)>) {
    if mover.chance(500) {
        return;
    }
    for _ in 0..mover.below(5) {
        let letter = b'a' + u8::try_from(resources.len()).expect("resources are few");
        resources.push((SpaceId(0), alloc::vec![letter; *mover.pick(&[24, 64])]));
    }
}

/// Room for all that owners can ask for, at one master, and for what is kept free for slots that are coming.
fn draw_roomy_limits(mover: &mut Random, needed: usize, mobility: &Mobility) -> Limits {
    let needed = if mobility.is_on() { needed * 4 + 64 } else { needed + 8 };
    let limits = Limits::uniform(u32::try_from(needed).expect("locks are few"));
    // Positions that find no room on their way to a new master are said again.
    Limits { relays: *mover.pick(&[1, 2, 8, 64]), ..limits }
}

fn draw_tight_limits(random: &mut Random, mover: &mut Random) -> Limits {
    let mut few = |low, high| u32::try_from(random.between(low, high)).expect("limits are small");
    Limits {
        resources: few(1, 6),
        physical: few(2, 12),
        locks: few(2, 10),
        names: few(1, 4),
        values: few(2, 12),
        relays: *mover.pick(&[1, 2, 8]),
    }
}

fn draw_mobility(mover: &mut Random, moving: Moving) -> Mobility {
    let rate = match (moving, mover.below(10)) {
        (Moving::Never, _) => return Mobility::NEVER,
        (Moving::Drawn, 0..3) => 0,
        (Moving::Drawn, 3..6) => mover.between(1, 15),
        (Moving::Drawn, 6..9) => mover.between(15, 80),
        (Moving::Drawn, _) | (Moving::Often, _) => mover.between(100, 400),
    };
    Mobility {
        rate: u32::try_from(rate).expect("a rate is at most a thousand"),
        at_once: mover.between(1, 5),
        withdraw: self::rate(mover, 200),
        nonsense: self::rate(mover, 100),
        is_healing: mover.chance(500),
    }
}

fn draw_configs(
    random: &mut Random,
    mover: &mut Random,
    nodes: u16,
    spaces: &[SpaceConfig],
    options: &Options,
) -> Vec<Config> {
    let hash_seed = random.bits();
    let repeat_after = millis(random, 20, 200);
    let repeat_waiting_after = repeat_after + millis(random, 0, 2000);
    let queued_after = millis(random, 2, 100);
    let chunk = *mover.pick(&[256, 256, 2048, 300, 2048, 700, 2048, 16_384]);
    let window =
        chunk * *mover.pick(&[1, 1, 2, 3, 16]) + u32::try_from(mover.below(256)).expect("it is small");
    let node = |at: u16| {
        let mut config = Config::new(ClusterId(7), NodeId(at), Incarnation(1 + u64::from(at)));
        config.members = (0..nodes).map(NodeId).collect();
        config.spaces = spaces.iter().cloned().collect();
        config.hash_seed = hash_seed;
        config.repeat_after = repeat_after;
        config.repeat_waiting_after = repeat_waiting_after;
        config.queued_after = queued_after;
        config.chunk = chunk;
        config.window = window;
        options.switch_off(&mut config);
        config
    };
    (0..nodes).map(node).collect()
}

fn draw_appetite(random: &mut Random) -> Appetite {
    const PALETTES: [&[Mode]; 6] = [
        &Mode::ALL,
        &[Mode::ProtectedRead, Mode::Exclusive],
        &[Mode::Null, Mode::ProtectedRead, Mode::ProtectedWrite, Mode::Exclusive],
        &[Mode::ConcurrentRead, Mode::ConcurrentWrite, Mode::ProtectedRead, Mode::ProtectedWrite],
        &[Mode::Exclusive],
        &[Mode::Null, Mode::ConcurrentRead, Mode::ProtectedWrite, Mode::Exclusive],
    ];
    let mut weight = |low, high| u32::try_from(random.between(low, high)).expect("weights are small");
    let weights = [
        weight(20, 60),
        weight(0, 40),
        weight(20, 60),
        weight(0, 15),
        weight(0, 8),
        weight(0, 10),
        weight(0, 6),
    ];
    Appetite {
        pause_max: match random.below(3) {
            0 => Duration::from_micros(500),
            1 => Duration::from_millis(8),
            _ => Duration::from_millis(60),
        },
        locks_max: random.index(7) + 2,
        modes: random.pick(&PALETTES).to_vec(),
        weights,
        no_queue: rate(random, 300),
        queue_convert: rate(random, 300),
        no_order: rate(random, 150),
        head: rate(random, 100),
        alternate: rate(random, 150),
        deadlock: rate(random, 500),
        value: if random.chance(300) { 0 } else { 700 },
        write: rate(random, 900),
        invalidate: rate(random, 150),
        patience: rate(random, 300),
        patience_max: millis(random, 1, 800),
        is_patient: random.chance(500),
    }
}
