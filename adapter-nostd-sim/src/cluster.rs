//! The cluster: real nodes, one clock, and one thing at a time.

mod changing;
mod checks;
mod ear;
mod guided;
mod healing;
mod lending;
mod moving;
mod weather;
mod workload;

use alloc::vec::Vec;
use core::time::Duration;

use lockmaster_core::wire::{Body, Message, Messages, TransferBody, UpdatedLocks};
use lockmaster_core::{
    Config, Event, Grant, Instant, Limits, LockId, Node, NodeId, Path, SlotId, Storage, TRANSFERS_MAX,
    ValueState,
};

use changing::Changing;
use ear::Ear;

use crate::clock::Clock;
use crate::fault::FaultKind;
use crate::ghost::{Ghost, GhostLock, Reading};
use crate::moves::Moves;
use crate::network::{Cargo, Flight, Network, Way};
use crate::options::Options;
use crate::plan::Plan;
use crate::random::Random;
use crate::report::{Change, Report, Violation, broken, ensure};
use crate::show::{ShownBody, ShownTransfer};
use crate::sight::{LockSight, Sight, Watcher};
use crate::tables::{Roll, Tables};
use crate::trace::Trace;

/// Some nodes over the memory `S`, the network between them, their owners, and the checkers.
#[derive(Debug)]
pub struct Cluster<S> {
    plan: Plan,
    random: Random,
    /// Decides what becomes of slots.
    mover: Random,
    /// Decides when clocks leap.
    breaker: Random,
    /// Decides about what there is only where hosts have several machines.
    divider: Random,
    now: Instant,
    members: Vec<Member<S>>,
    /// For the machines of each place.
    moves: Vec<Moves>,
    /// For each resource the records of its master.
    rolls: Vec<Roll>,
    network: Network,
    ghost: Ghost,
    trace: Trace,
    watcher: Watcher,
    report: Report,
    /// When an owner or the weather does something next; never while the cluster is still.
    next_action: Option<Instant>,
    last_owner: u64,
    last_value: u64,
    /// Members change.
    changing: Option<Changing<S>>,
}

/// One node and what is known about it from outside.
#[derive(Debug)]
struct Member<S> {
    node: Node<S>,
    tables: Tables,
    /// Peers that the node has named and that were not drained yet.
    owed: Vec<bool>,
    connected: Vec<bool>,
    heard: Vec<bool>,
    /// The deadline that the node named last, by its clock, and when its timer fires.
    timer: Option<(Instant, Instant)>,
    clock: Clock,
    frame: Vec<u8>,
}

/// Makes the chance of what becomes of slots another than that of everything else.
const MOVER: u64 = 0x736c_6f74_732d_6d6f;

/// The same for what goes wrong with hosts.
const BREAKER: u64 = 0x6d61_6368_696e_6573;

/// The same for what becomes of members.
const CHANGER: u64 = 0x6d65_6d62_6572_7321;

/// The same for what everybody wants.
const CROWDER: u64 = 0x6d61_6e79_2068_6171;

/// The same for how nodes are divided among machines.
const DIVIDER: u64 = 0x7369_6465_6279_7369;

/// Lives that hosts of a run begin after their first ones.
const SPARES: usize = 10;

/// For each resource its slot.
fn slots_of<S: Storage>(plan: &Plan, members: &mut [Member<S>]) -> Vec<SlotId> {
    let slots = plan.resources.iter().enumerate().map(|(at, (space, name))| {
        let slot = members[plan.machine_of(at)].node.slot_of(*space, name);
        slot.ok().flatten().expect("every resource of the plan has a slot")
    });
    slots.collect()
}

/// The account of transfers at the beginning, by the map of one machine of a place.
fn first_moves<S: Storage>(plan: &Plan, machine: usize, slots: &[SlotId], node: &mut Node<S>) -> Moves {
    let all = node.all_slots();
    let views = (0..all.len).map(|at| node.slot(SlotId(at)).expect("every slot is shown"));
    // Where members change nobody is master at first, and this account is not kept.
    let masters: Vec<_> = views.map(|view| (view.master.unwrap_or(NodeId(0)), view.version)).collect();
    let is_stranger = |node| plan.layout.machine(node) != machine;
    let slot = |(at, slot): (usize, &SlotId)| (plan.machine_of(at) == machine).then_some(*slot);
    let slots = slots.iter().enumerate().map(slot).collect();
    let mut moves = Moves::new(plan.layout.nodes().map(is_stranger).collect(), &masters, slots);
    moves.limit(plan.configs[0].chunk, plan.configs[0].window);
    moves
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Due {
    Flight,
    Timer(NodeId),
    Action,
}

impl<S: Storage> Cluster<S> {
    /// The cluster of a seed, on memory that `make` provides.
    ///
    /// # Panics
    /// If the memory does not fit the configuration.
    pub fn new(seed: u64, options: &Options, mut make: impl FnMut(&Config, &Limits) -> S) -> Self {
        let mut random = Random::new(seed);
        let mut mover = Random::new(seed ^ MOVER);
        let mut breaker = Random::new(seed ^ BREAKER);
        let mut crowder = Random::new(seed ^ CROWDER);
        let mut divider = Random::new(seed ^ DIVIDER);
        let plan = Plan::draw(&mut random, &mut mover, &mut breaker, &mut crowder, &mut divider, options);
        let (layout, nodes) = (plan.layout, plan.configs.len());
        let mut members: Vec<Member<S>> = layout
            .nodes()
            .zip(&plan.configs)
            .map(|(node, config)| Member {
                node: Node::new(config.clone(), make(config, &plan.limits)).expect("the memory fits"),
                tables: Tables::new(plan.resources.len()),
                owed: alloc::vec![false; nodes],
                connected: alloc::vec![false; nodes],
                heard: alloc::vec![false; nodes],
                timer: None,
                clock: Clock::new(plan.weather.clock_errors[layout.host(node)]),
                frame: alloc::vec![0; plan.frame_lens[layout.host(node)]],
            })
            .collect();
        let hellos = members.iter().map(|member| member.node.hello()).collect();
        let slots = slots_of(&plan, &mut members);
        let moves = (0..layout.machines())
            .map(|machine| first_moves(&plan, machine, &slots, &mut members[machine].node))
            .collect();
        let (of_ways, of_nodes) = (Random::new(random.bits()), Random::new(breaker.bits()));
        let watcher = Watcher(options.watch);
        watcher.see(Instant::START, || Sight::Begins { nodes });
        let network = Network::new(layout, plan.weather.clone(), hellos, of_ways, of_nodes, watcher);
        let changing = plan.turnover.as_ref().map(|turnover| {
            let mut spare =
                || (0..layout.machines()).map(|at| make(&plan.configs[at], &plan.limits)).collect();
            let spares = (0..SPARES).map(|_| spare()).collect();
            Changing::new(Random::new(seed ^ CHANGER), layout, turnover.founders, spares, slots)
        });
        let mut cluster = Self {
            random,
            mover,
            breaker,
            divider,
            now: Instant::START,
            ghost: Ghost::new(nodes, plan.resources.len()),
            members,
            moves,
            rolls: alloc::vec![Roll::default(); plan.resources.len()],
            network,
            trace: Trace::new(options.lines, options.echo),
            watcher,
            report: Report::default(),
            next_action: Some(Instant::START),
            last_owner: 0,
            last_value: 0,
            changing,
            plan,
        };
        for node in cluster.nodes() {
            cluster.look(node);
        }
        cluster
    }

    /// What the run did so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.report;
        report.faults += self.network.counts;
        report.faults.close(self.plan.faults());
        report.reordered = self.network.reordered;
        report.span = self.now.since(Instant::START);
        self.moves.iter().for_each(|moves| report.moves += moves.counts);
        report.trace = self.trace.hash();
        report
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// What the node's clock reads.
    fn now_of(&self, node: NodeId) -> Instant {
        self.members[usize::from(node.0)].clock.read(self.now)
    }

    /// Does the node do nothing, because it is paused or does not run?
    fn is_paused(&self, node: NodeId) -> bool {
        self.network.paused_until(node) > self.now || self.is_down(node)
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + use<S> {
        self.plan.layout.nodes()
    }

    /// The nodes that a node talks to, and itself.
    fn peers(&self, node: NodeId) -> impl Iterator<Item = NodeId> + use<S> {
        self.plan.layout.peers(node)
    }

    /// The account of what the machines of a place transfer, that of a node among them.
    fn moves_of(&mut self, node: NodeId) -> &mut Moves {
        let machine = self.plan.layout.machine(node);
        &mut self.moves[machine]
    }

    /// The account of transfers of a resource's slot.
    fn moves_at(&self, resource: usize) -> &Moves {
        &self.moves[self.plan.machine_of(resource)]
    }

    fn member(&mut self, node: NodeId) -> &mut Member<S> {
        &mut self.members[usize::from(node.0)]
    }

    // ---- one step ----

    /// Executes one thing: a frame arrives, a timer fires, or an owner or the weather does something.
    pub(crate) fn step(&mut self) -> Result<(), Violation> {
        let (at, due) = self.next_due();
        self.now = self.now.max(at);
        self.report.steps += 1;
        match due {
            Due::Flight => self.arrive(),
            Due::Timer(node) => self.fire(node),
            Due::Action => {
                self.next_action = Some(self.now.after(self.pause()));
                self.act()
            }
        }
    }

    fn pause(&mut self) -> Duration {
        self.random.span(Duration::ZERO, self.plan.appetite.pause_max)
    }

    /// The earliest thing, and when it is due. There always is one: still clusters are not stepped.
    fn next_due(&mut self) -> (Instant, Due) {
        let mut next = (Instant::NEVER, Due::Action);
        let mut offer = |at: Option<Instant>, due| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, due);
            }
        };
        offer(self.next_action, Due::Action);
        offer(self.network.next_at(), Due::Flight);
        for node in self.nodes() {
            offer(self.timer_of(node), Due::Timer(node));
        }
        next
    }

    /// When something is due next, if ever.
    fn next_at(&mut self) -> Option<Instant> {
        Some(self.next_due().0).filter(|at| *at != Instant::NEVER)
    }

    /// When the node's timer fires: at its deadline, or somewhat later.
    fn timer_of(&mut self, node: NodeId) -> Option<Instant> {
        if self.is_down(node) {
            return None;
        }
        let is_late = self.next_action.is_some();
        let paused_until = self.network.paused_until(node);
        let member = &mut self.members[usize::from(node.0)];
        let deadline = member.node.poll_timeout()?;
        match member.timer {
            Some((known, fires)) if known == deadline => Some(fires.max(paused_until)),
            Some(_) | None => {
                let mut fires = member.clock.when(deadline);
                if !member.clock.is_right() {
                    self.report.faults.hit(FaultKind::Drift);
                }
                if is_late && self.random.chance(self.plan.weather.late_timer) {
                    let lateness = self.random.span(Duration::ZERO, self.plan.weather.spell_max);
                    fires = fires.after(lateness);
                    self.report.faults.hit(FaultKind::LateTimer);
                }
                member.timer = Some((deadline, fires));
                Some(fires.max(paused_until))
            }
        }
    }

    fn fire(&mut self, node: NodeId) -> Result<(), Violation> {
        self.trace.line(self.now, format_args!("node {node}: timeout"));
        self.watcher.see(self.now, || Sight::Timeout { node });
        self.timeout(node)?;
        self.settle(node)
    }

    fn timeout(&mut self, node: NodeId) -> Result<(), Violation> {
        let now = self.now_of(node);
        let member = self.member(node);
        member.timer = None;
        member.node.handle_timeout(now);
        let next = member.node.poll_timeout();
        let is_later = next.is_none_or(|next| next > now);
        ensure!(is_later, DeadlineMoves, "node {node}: after a timeout at {now:?} the deadline is {next:?}");
        Ok(())
    }

    // ---- what arrives ----

    fn arrive(&mut self) -> Result<(), Violation> {
        let Some(Flight { way, cargo, number, .. }) = self.network.next() else { return Ok(()) };
        let Way { from, to } = way;
        if self.is_changing() && self.is_for_nobody(way, &cargo) {
            return Ok(());
        }
        match cargo {
            Cargo::Frame(frame) => {
                self.watcher.see(self.now, || Sight::Arrives { number });
                self.arrive_frame(from, to, &frame)
            }
            Cargo::Hello(hello) => {
                self.trace.line(self.now, format_args!("node {to}: hello of node {from}"));
                self.watcher.see(self.now, || Sight::Connection { node: to, peer: from, is_made: true });
                let now = self.now_of(to);
                let member = self.member(to);
                let heard = member.node.handle_hello(now, &hello);
                if self.is_changing() {
                    return self.greeted(to, &hello, heard);
                }
                ensure!(heard.is_ok(), Opening, "node {to} refuses the hello of node {from}: {heard:?}");
                let member = self.member(to);
                member.connected[usize::from(from.0)] = true;
                member.heard[usize::from(from.0)] = true;
                self.settle(to)
            }
            Cargo::Gone => {
                self.trace.line(self.now, format_args!("node {to}: node {from} is gone"));
                self.watcher.see(self.now, || Sight::Connection { node: to, peer: from, is_made: false });
                let now = self.now_of(to);
                let member = self.member(to);
                member.node.handle_disconnect(now, from);
                member.connected[usize::from(from.0)] = false;
                member.owed[usize::from(from.0)] = false;
                self.disconnected(to, from);
                self.settle(to)
            }
            Cargo::CutEnds(_) => Ok(()),
            Cargo::ClogEnds => self.settle(from),
        }
    }

    fn arrive_frame(&mut self, from: NodeId, to: NodeId, frame: &[u8]) -> Result<(), Violation> {
        let now = self.now_of(to);
        self.trace.line(self.now, format_args!("node {to}: {} bytes from node {from}", frame.len()));
        self.trace.bytes(frame);
        self.expect_values(from, to, frame);
        if self.is_changing() {
            return self.arrive_changing(from, to, frame);
        }
        let is_heard = self.member(to).heard[usize::from(from.0)];
        if is_heard {
            self.watch_arrival(from, to, frame);
        }
        let member = self.member(to);
        // A digest is slow, so it is taken only where it will be compared.
        let before = if is_heard { 0 } else { member.node.digest() };
        if let Err(dropped) = member.node.handle_frame(now, from, frame) {
            ensure!(!is_heard, Opening, "node {to} drops a frame of node {from}: {dropped}");
            let is_same = member.node.digest() == before;
            ensure!(is_same, RefusalUnchanged, "node {to} was changed by a frame that it dropped: {dropped}");
            self.report.dropped += 1;
        }
        self.settle(to)
    }

    /// A frame in which a node gives up a resource and then asks for it anew may take the value block away. So may
    /// one that brings a record and then a position on it.
    fn expect_values(&mut self, from: NodeId, to: NodeId, frame: &[u8]) {
        let Ok((_, messages)) = Messages::new(frame) else { return };
        let mut given_up: Vec<usize> = Vec::new();
        for message in messages {
            let message = match message {
                Message::Lock(message) => message,
                Message::Transfer(message) => {
                    let shown = ShownTransfer(&message);
                    self.trace.detail(self.now, format_args!("    {from} to {to}, {shown}"));
                    if let TransferBody::InitialLocks(_) = message.body
                        && !self.is_changing()
                    {
                        let machine = self.plan.layout.machine(from);
                        given_up.extend(self.moves[machine].resources_in(message.range));
                    }
                    continue;
                }
                Message::View(message) => {
                    self.trace.detail(self.now, format_args!("    {from} to {to}, {message:?}"));
                    continue;
                }
            };
            let Some(resource) = self.plan.resource(message.space, message.name) else { continue };
            let body = ShownBody(&message.body);
            self.trace.detail(self.now, format_args!("    {from} to {to}, resource {resource}: {body}"));
            if given_up.contains(&resource) {
                self.ghost.values[resource].perhaps_dropped();
            }
            let (Body::Position(position) | Body::UpdatedLocks(UpdatedLocks { position, .. })) = message.body
            else {
                continue;
            };
            if position.held.is_none() && position.wanted.is_none() {
                given_up.push(resource);
                self.gives_up(from, resource);
            }
        }
    }

    fn watch_arrival(&mut self, from: NodeId, to: NodeId, frame: &[u8]) {
        let Ok((_, messages)) = Messages::new(frame) else { return };
        for message in messages {
            if let Message::Transfer(message) = message {
                self.moves_of(to).arrives(Way { from, to }, &message);
            }
        }
    }

    // ---- what comes out ----

    /// Takes everything that a node has to say, then checks all rules.
    fn settle(&mut self, node: NodeId) -> Result<(), Violation> {
        if self.is_down(node) {
            return Ok(());
        }
        let is_deaf = self.next_action.is_some() && self.random.chance(self.plan.weather.deaf);
        if is_deaf {
            self.report.faults.hit(FaultKind::Deaf);
        }
        let ear = if is_deaf { Ear::deaf(self.random.below(u64::MAX)) } else { Ear::Open };
        self.listen(node, ear)
    }

    /// The same, and owners get their events, or not yet.
    fn listen(&mut self, node: NodeId, ear: Ear) -> Result<(), Violation> {
        self.drain(node, ear)?;
        self.check_laws(node)?;
        self.look(node);
        self.check_rules(node)
    }

    fn drain(&mut self, node: NodeId, ear: Ear) -> Result<(), Violation> {
        let mut sent = 0;
        let mut turns = ear.turns();
        self.ghost.deaf[usize::from(node.0)] |= !ear.is_open();
        loop {
            let mut is_quiet = true;
            while turns > 0 && self.take_turn(node)? {
                is_quiet = false;
                turns -= 1;
            }
            while let Some(peer) = self.member(node).node.poll_ready() {
                is_quiet = false;
                self.owe(node, peer)?;
            }
            for peer in self.peers(node) {
                let way = Way { from: node, to: peer };
                if self.member(node).owed[usize::from(peer.0)] && !self.network.is_clogged(way) {
                    is_quiet = false;
                    sent += self.drain_to(way)?;
                }
            }
            if is_quiet {
                break;
            }
        }
        self.ghost.deaf[usize::from(node.0)] = !ear.is_open();
        // For each peer a full ring, and for each resource what its two roles can say at once; for each transfer that
        // is given or taken one message, and a window of chunks.
        let transfers = 2 * TRANSFERS_MAX * (1 + self.plan.chunks_under_way());
        let views = if self.is_changing() { 16 } else { 0 };
        let bound = self.plan.layout.hosts() * (32 + 8 * self.plan.resources.len() + transfers + views);
        ensure!(sent <= bound, BoundedOutput, "node {node}: one input made {sent} messages");
        Ok(())
    }

    fn drain_to(&mut self, way: Way) -> Result<usize, Violation> {
        let now = self.now_of(way.from);
        let mut sent = 0;
        let mut frames = 0;
        let Way { from, to } = way;
        let machine = self.plan.layout.machine(from);
        loop {
            let member = self.member(from);
            let Some(len) = member.node.poll_transmit(now, to, &mut member.frame) else { break };
            let frame = &self.members[usize::from(from.0)].frame[..len];
            let Ok((_, messages)) = Messages::new(frame) else {
                return Err(broken!(BoundedOutput, "node {from} sends what cannot be read"));
            };
            let mut count = 0;
            for message in messages {
                count += 1;
                match message {
                    _ if self.is_changing() => {}
                    Message::Transfer(message) => {
                        self.moves[machine].sends(way, &message, &self.plan.resources)?;
                    }
                    Message::Lock(message) => {
                        if let Some(resource) = self.plan.resource(message.space, message.name) {
                            self.check_machine(from, resource)?;
                            self.moves[machine].sends_lock(way, resource, &message)?;
                        }
                    }
                    Message::View(_) => {
                        return Err(broken!(BoundedOutput, "a view that never changes is spoken of"));
                    }
                }
            }
            ensure!(count > 0, BoundedOutput, "node {from} sends an empty frame");
            self.trace.line(self.now, format_args!("node {from}: {count} messages to node {to}"));
            self.trace.bytes(frame);
            self.network.send(self.now, way, frame);
            self.report.frames += 1;
            self.report.messages += count as u64;
            sent += count;
            frames += 1;
        }
        self.report.spilled += u64::from(frames > 1);
        self.member(from).owed[usize::from(to.0)] = false;
        Ok(sent)
    }

    fn tell(&mut self, node: NodeId, event: Event) -> Result<(), Violation> {
        let now = self.now_of(node);
        self.trace.line(self.now, format_args!("node {node}: {event:?}"));
        match event {
            Event::Granted { lock, owner, grant } => {
                self.check_owner(node, lock, owner)?;
                self.granted(node, lock, &grant)
            }
            Event::Denied { lock, owner, reason, held } => {
                self.check_owner(node, lock, owner)?;
                self.see_lock(node, lock, LockSight::Denied(reason));
                self.report.denials += 1;
                match reason {
                    lockmaster_core::Denial::Busy => {}
                    lockmaster_core::Denial::Deadlock => self.report.deadlocks += 1,
                    lockmaster_core::Denial::TimedOut => self.report.timeouts += 1,
                    lockmaster_core::Denial::Full => {
                        let ghost = self.ghost.at(node, lock).map(|at| &self.ghost.locks[at]);
                        let may_be_full = self.is_changing()
                            || ghost.is_some_and(|ghost| self.may_be_full(node, ghost.since));
                        ensure!(may_be_full, Bounds, "a table is full that has room");
                        self.count_full();
                    }
                }
                self.ghost.denied(now, node, lock, reason, held)
            }
            Event::Demanded { lock, owner, mode } => {
                self.check_owner(node, lock, owner)?;
                self.see_lock(node, lock, LockSight::Demanded(mode));
                self.report.demands += 1;
                self.ghost.demanded(node, lock, mode)
            }
            Event::Lost { lock, owner } => self.lose(node, lock, owner),
            Event::Transfer(progress) if self.is_changing() => self.hear_of_transfer(node, &progress),
            Event::Transfer(progress) => {
                self.watcher.see(self.now, || Sight::TransferTold { from: node, progress: &progress });
                let step = self.report.steps;
                self.moves_of(node).told(step, node, &progress)
            }
        }
    }

    /// Whoever watches is shown what happens to an owner's lock.
    fn see_lock(&self, node: NodeId, lock: LockId, what: LockSight) {
        if self.watcher.is_there()
            && let Some(at) = self.ghost.at(node, lock)
        {
            let GhostLock { owner, resource, .. } = self.ghost.locks[at];
            self.watcher.see(self.now, || Sight::Lock { node, owner, resource, what });
        }
    }

    /// Do owners of a node's host hold something of another machine?
    fn holds_beside(&self, node: NodeId) -> bool {
        let mut others = self.plan.layout.beside(node).filter(|other| *other != node);
        others.any(|other| self.ghost.of_node(other).any(|ghost| ghost.holds().is_some()))
    }

    /// A grant was made, in a call or by an event.
    fn granted(&mut self, node: NodeId, lock: LockId, grant: &Grant) -> Result<(), Violation> {
        let (resource, reading) = self.ghost.granted(node, lock, grant)?;
        self.see_lock(node, lock, LockSight::Granted(grant.mode, grant.token));
        self.report.grants += 1;
        self.report.machines.grants_beside += u64::from(self.holds_beside(node));
        self.report.alternates += u64::from(grant.alternate);
        self.report.demotions += u64::from(grant.demoted);
        if self.is_told_late(node) {
            return Ok(());
        }
        if self.is_changing() {
            self.report.retained += u64::from(grant.path == Path::Retained);
        } else {
            self.check_path(node, lock, resource, grant)?;
        }
        if self.is_changing() && reading != Reading::None {
            self.reads_value(node, resource, reading);
        }
        let member = self.member(node);
        let token = member.node.token(lock);
        ensure!(
            token == Ok(grant.token),
            Tokens,
            "a grant under {} and its lock under {token:?}",
            grant.token
        );
        let Ok(state) = member.node.value(lock) else { return Ok(()) };
        let history = &mut self.ghost.values[resource];
        self.report.values_read += u64::from(reading != Reading::None);
        if reading != Reading::None {
            let is_invalid = matches!(state, ValueState::Invalid(_));
            let is_gone = state == ValueState::Absent && history.was_written();
            self.report.changes.add(Change::Invalid, u64::from(is_invalid));
            self.report.changes.add(Change::Absent, u64::from(is_gone));
        }
        match reading {
            Reading::None => Ok(()),
            Reading::Last => history.read_last(node, state),
            Reading::Since(floor) => history.read_since(node, floor, state),
        }
    }
}
