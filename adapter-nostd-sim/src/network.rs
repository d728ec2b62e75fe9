//! The network: frames on their way, each with an instant of arrival, and what the weather does to them.

mod guided;

use alloc::collections::BinaryHeap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};
use core::time::Duration;

use lockmaster_core::wire::Hello;
use lockmaster_core::{Instant, NodeId};

use crate::fault::{FaultCounts, FaultKind};
use crate::layout::Layout;
use crate::plan::Weather;
use crate::random::Random;
use crate::sight::{Sight, Watcher};

/// Frames that are remembered, to arrive once more at any time.
const PAST_MAX: usize = 2048;

/// Everything between the nodes.
#[derive(Debug)]
pub(crate) struct Network {
    layout: Layout,
    flights: BinaryHeap<Reverse<Flight>>,
    last: u64,
    past: Vec<(Way, Rc<[u8]>)>,
    hellos: Vec<Hello>,
    ways: Vec<Way>,
    /// For each way, why it is cut, and how many clogs lie on it.
    cuts: Vec<Vec<FaultKind>>,
    clogs: Vec<u32>,
    /// For each host, until when it is paused.
    pauses: Vec<Instant>,
    /// For each way, the latest frame that has arrived.
    arrived: Vec<u64>,
    weather: Weather,
    is_calm: bool,
    random: Random,
    /// Decides about splits, mute nodes and pauses.
    breaker: Random,
    watcher: Watcher,
    pub(crate) counts: FaultCounts,
    /// Frames that overtook an earlier one.
    pub(crate) reordered: u64,
}

/// From one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

/// Something that will happen on a way.
#[derive(Clone, Debug)]
pub(crate) enum Cargo {
    Frame(Rc<[u8]>),
    /// A new connection, with what the sender says first.
    Hello(Hello),
    /// The receiver learns that the connection is gone.
    Gone,
    CutEnds(FaultKind),
    ClogEnds,
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    at: Instant,
    /// Order of departure.
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) cargo: Cargo,
}

/// All ways between machines of one cluster.
fn ways_between(layout: Layout) -> Vec<Way> {
    let all = layout.nodes().flat_map(|from| layout.peers(from).map(move |to| Way { from, to }));
    all.filter(|way| way.from != way.to).collect()
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

impl Network {
    /// A network of nodes that have not met yet.
    pub(crate) fn new(
        layout: Layout,
        weather: Weather,
        hellos: Vec<Hello>,
        random: Random,
        breaker: Random,
        watcher: Watcher,
    ) -> Self {
        let places = hellos.len() * hellos.len();
        let ways = ways_between(layout);
        let pauses = alloc::vec![Instant::START; layout.hosts()];
        let mut network = Self {
            layout,
            flights: BinaryHeap::new(),
            last: 0,
            past: Vec::new(),
            hellos,
            ways: ways.clone(),
            cuts: alloc::vec![Vec::new(); places],
            clogs: alloc::vec![0; places],
            pauses,
            arrived: alloc::vec![0; places],
            weather,
            is_calm: false,
            random,
            breaker,
            watcher,
            counts: FaultCounts::default(),
            reordered: 0,
        };
        for way in ways {
            let spread = network.weather.spell_max.min(Duration::from_millis(50));
            let delay = network.random.span(Duration::ZERO, spread);
            network.connect(Instant::START.after(delay), way);
        }
        network
    }

    fn place(&self, way: Way) -> usize {
        usize::from(way.from.0) * self.hellos.len() + usize::from(way.to.0)
    }

    fn depart(&mut self, at: Instant, way: Way, cargo: Cargo) {
        self.last += 1;
        self.flights.push(Reverse(Flight { at, number: self.last, way, cargo }));
    }

    fn fly(&mut self, now: Instant, at: Instant, way: Way, frame: Rc<[u8]>, again: Option<FaultKind>) {
        let (Way { from, to }, number) = (way, self.last + 1);
        self.watcher.see(now, || Sight::Departs { number, from, to, frame: &frame, again });
        self.depart(at, way, Cargo::Frame(frame));
    }

    fn lose(&mut self, now: Instant, way: Way, frame: &[u8], by: FaultKind) {
        let Way { from, to } = way;
        self.counts.hit(by);
        self.watcher.see(now, || Sight::Lost { from, to, frame, by });
    }

    fn connect(&mut self, at: Instant, way: Way) {
        let hello = self.hellos[usize::from(way.from.0)];
        self.depart(at, way, Cargo::Hello(hello));
    }

    fn delay(&mut self, way: Way) -> Duration {
        let mut delay = self.random.span(self.weather.delay_min, self.weather.delay_max);
        let burden_of = |node| self.weather.burdens[self.layout.host(node)];
        let burden = burden_of(way.from) + burden_of(way.to);
        if !self.is_calm && !burden.is_zero() {
            self.counts.hit(FaultKind::Slow);
            delay += burden;
        }
        let is_slow = !self.is_calm && self.random.chance(self.weather.tail);
        if !is_slow {
            return delay;
        }
        self.counts.hit(FaultKind::Tail);
        delay * 30
    }

    // ---- lives ----

    /// A node dials another and says hello.
    pub(crate) fn introduce(&mut self, now: Instant, way: Way, hello: Hello) {
        let delay = self.delay(way);
        self.depart(now.after(delay), way, Cargo::Hello(hello));
    }

    /// What a node says on new connections from now on.
    pub(crate) fn call_itself(&mut self, node: NodeId, hello: Hello) {
        self.hellos[usize::from(node.0)] = hello;
    }

    /// A host runs nothing any more, so nothing of it is paused.
    pub(crate) fn wake(&mut self, node: NodeId) {
        self.pauses[self.layout.host(node)] = Instant::START;
    }

    /// A node is gone: its connections break, and its peers learn that.
    pub(crate) fn vanish(&mut self, now: Instant, node: NodeId) {
        let is_hello = |flight: &Flight| matches!(flight.cargo, Cargo::Hello(_));
        let concerns = |flight: &Flight| flight.way.from == node || flight.way.to == node;
        self.flights.retain(|Reverse(flight)| !(is_hello(flight) && concerns(flight)));
        for way in self.ways.clone().into_iter().filter(|way| way.from == node) {
            let delay = self.delay(way);
            self.depart(now.after(delay), way, Cargo::Gone);
        }
    }

    // ---- frames ----

    /// A node sends a frame.
    pub(crate) fn send(&mut self, now: Instant, way: Way, frame: &[u8]) {
        let frame: Rc<[u8]> = frame.into();
        if self.past.len() < PAST_MAX {
            self.past.push((way, frame.clone()));
        }
        if let Some(kind) = self.cuts[self.place(way)].first() {
            return self.lose(now, way, &frame, *kind);
        }
        if !self.is_calm {
            if self.random.chance(self.weather.late) {
                let later = self.delay(way) + self.random.span(Duration::ZERO, self.weather.spell_max * 4);
                self.counts.hit(FaultKind::Late);
                self.fly(now, now.after(later), way, frame.clone(), Some(FaultKind::Late));
            }
            if self.random.chance(self.weather.loss) {
                return self.lose(now, way, &frame, FaultKind::Loss);
            }
            if self.random.chance(self.weather.repeat) {
                let delay = self.delay(way);
                self.counts.hit(FaultKind::Repeat);
                self.fly(now, now.after(delay), way, frame.clone(), Some(FaultKind::Repeat));
            }
        }
        let delay = self.delay(way);
        self.fly(now, now.after(delay), way, frame, None);
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.flights.peek().map(|Reverse(flight)| flight.at)
    }

    /// The next thing that happens, whatever the clock says; nothing if it has to wait for a paused node.
    pub(crate) fn next(&mut self) -> Option<Flight> {
        let Reverse(mut flight) = self.flights.pop()?;
        if let Some(until) = self.pause_of(&flight) {
            self.counts.hit(FaultKind::Pause);
            flight.at = until;
            self.flights.push(Reverse(flight));
            return None;
        }
        let place = self.place(flight.way);
        match flight.cargo {
            Cargo::Frame(_) => {
                let arrived = self.arrived[place];
                self.reordered += u64::from(flight.number < arrived);
                self.arrived[place] = arrived.max(flight.number);
            }
            Cargo::CutEnds(kind) => {
                let cuts = &mut self.cuts[place];
                if let Some(at) = cuts.iter().position(|cut| *cut == kind) {
                    cuts.remove(at);
                }
            }
            Cargo::ClogEnds => self.clogs[place] = self.clogs[place].saturating_sub(1),
            Cargo::Hello(_) | Cargo::Gone => {}
        }
        Some(flight)
    }

    /// Until when a flight has to wait for a paused node.
    fn pause_of(&self, flight: &Flight) -> Option<Instant> {
        let node = match flight.cargo {
            Cargo::Frame(_) | Cargo::Hello(_) | Cargo::Gone => flight.way.to,
            Cargo::ClogEnds => flight.way.from,
            Cargo::CutEnds(_) => return None,
        };
        Some(self.paused_until(node)).filter(|until| *until > flight.at)
    }

    /// Until when a node is paused; long ago if it is not.
    pub(crate) fn paused_until(&self, node: NodeId) -> Instant {
        self.pauses[self.layout.host(node)]
    }

    pub(crate) fn is_clogged(&self, way: Way) -> bool {
        self.clogs[self.place(way)] > 0
    }

    // ---- weather ----

    /// The weather takes a turn: something may break for a while.
    pub(crate) fn turn(&mut self, now: Instant) {
        self.turn_of_nodes(now);
        if self.ways.is_empty() {
            return;
        }
        let way = *self.random.pick(&self.ways);
        let end = now.after(self.random.span(Duration::ZERO, self.weather.spell_max));
        if self.random.chance(self.weather.cut) {
            let layout = self.layout;
            let ends = |way: &Way| (layout.host(way.from), layout.host(way.to));
            self.cut_all(now, end, FaultKind::Cut, |other| ends(other) == ends(&way));
        }
        if self.random.chance(self.weather.clog) {
            self.counts.hit(FaultKind::Clog);
            self.spell(now, end, FaultKind::Clog, way.from, Some(way.to));
            self.clog(end, way);
        }
        if self.random.chance(self.weather.disconnect) {
            self.disconnect(now, end, way);
        }
        if self.random.chance(self.weather.haunt) && !self.past.is_empty() {
            let (way, frame) = self.random.pick(&self.past).clone();
            self.counts.hit(FaultKind::Haunt);
            self.fly(now, now, way, frame, Some(FaultKind::Haunt));
        }
    }

    /// The same for what concerns many ways at once, or none.
    fn turn_of_nodes(&mut self, now: Instant) {
        let end = now.after(self.breaker.span(Duration::ZERO, self.weather.spell_max));
        let layout = self.layout;
        let host = self.breaker.index(layout.hosts());
        let sides = self.breaker.bits();
        if self.breaker.chance(self.weather.split) {
            let side = |node: NodeId| sides >> layout.host(node) & 1;
            self.cut_all(now, end, FaultKind::Split, |way| side(way.from) != side(way.to));
        }
        if self.breaker.chance(self.weather.mute) {
            let is_heard = self.breaker.chance(500);
            let end_of = |way: &Way| if is_heard { way.to } else { way.from };
            self.cut_all(now, end, FaultKind::Mute, |way| layout.host(end_of(way)) == host);
        }
        if self.breaker.chance(self.weather.pause) {
            self.pauses[host] = end.max(self.pauses[host]);
            for node in layout.nodes().filter(|node| layout.host(*node) == host) {
                self.spell(now, end, FaultKind::Pause, node, None);
            }
        }
    }

    fn spell(&self, now: Instant, until: Instant, kind: FaultKind, node: NodeId, to: Option<NodeId>) {
        self.watcher.see(now, || Sight::Spell { kind, node, to, until });
    }

    fn cut(&mut self, now: Instant, end: Instant, way: Way, kind: FaultKind) {
        self.spell(now, end, kind, way.from, Some(way.to));
        let place = self.place(way);
        self.cuts[place].push(kind);
        self.depart(end, way, Cargo::CutEnds(kind));
    }

    fn clog(&mut self, end: Instant, way: Way) {
        let place = self.place(way);
        self.clogs[place] += 1;
        self.depart(end, way, Cargo::ClogEnds);
    }

    fn cut_all(&mut self, now: Instant, end: Instant, kind: FaultKind, is_cut: impl Fn(&Way) -> bool) {
        let ways: Vec<Way> = self.ways.iter().copied().filter(is_cut).collect();
        for way in ways {
            self.cut(now, end, way, kind);
        }
    }

    /// Both ends lose the connection, each at its own time, and find each other again.
    fn disconnect(&mut self, now: Instant, end: Instant, way: Way) {
        self.counts.hit(FaultKind::Disconnect);
        for way in [way, Way { from: way.to, to: way.from }] {
            let lost = now.after(self.delay(way));
            self.depart(lost, way, Cargo::Gone);
            let found = end.max(lost).after(self.delay(way));
            self.connect(found, way);
        }
    }

    /// The weather is fine from now on. Frames on their way still arrive; ways without a connection get one.
    pub(crate) fn calm(&mut self, now: Instant, is_connected: impl Fn(Way) -> bool) {
        self.is_calm = true;
        self.cuts.iter_mut().for_each(Vec::clear);
        self.pauses.fill(Instant::START);
        self.clogs.fill(0);
        self.flights.retain(|Reverse(flight)| matches!(flight.cargo, Cargo::Frame(_)));
        let broken: Vec<Way> = self.ways.iter().copied().filter(|way| !is_connected(*way)).collect();
        for way in broken {
            let delay = self.delay(way);
            self.connect(now.after(delay), way);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }
}
