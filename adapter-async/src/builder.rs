//! Describes a node and starts it.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::sync::Arc as StdArc;
use std::thread::available_parallelism;
use std::time::SystemTime;

use lockmaster_core::{
    ClusterId, Config, ConfigError, Division, DivisionError, Epoch, HeapMemory, Incarnation, Limits,
    MACHINES_MAX, NodeId, SpaceConfig, SpaceId, hash,
};

use crate::balance::Balance;
use crate::connection::{keep_accepting, keep_dialling};
use crate::error::StartError;
use crate::gate::Gate;
use crate::machines::Machines;
use crate::members::Members;
use crate::membership::{Candidate, ClusterMember, ClusterView, FirstLife, Keeper, Membership};
use crate::node::Node;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::sync::Arc;
use crate::tls::{Identity, TlsConfig};
use crate::trace;

/// Number of a node that has no other members.
const ALONE: NodeId = NodeId(1);
/// Most machines of a node unless a number is named. Each one more costs a program that keeps one core busy, and gives less
/// to one that keeps many busy.
const MACHINES_DEFAULT_MAX: u8 = 4;
/// Most transfers at a time that bring the map into balance, unless the builder says otherwise.
const BALANCE: usize = 2;

/// A node before its start.
///
/// Members are either named by [`Builder::member`] and never change, or come and go by the word of a provider that is
/// named by [`Builder::join`]. Cluster name, members, spaces and hash seed must be the same on every node, and where members
/// are named the number of machines, too: a node that was told otherwise is refused.
#[derive(Debug)]
#[must_use]
pub struct Builder<R> {
    runtime: Arc<R>,
    cluster: String,
    node: Option<NodeId>,
    listen: Listen,
    members: Vec<(NodeId, SocketAddr)>,
    provider: Option<Provider>,
    advertised: Option<SocketAddr>,
    balance: Option<usize>,
    places: Option<u8>,
    machines: Option<u8>,
    spaces: Vec<SpaceConfig>,
    limits: Limits,
    chunk: Option<u32>,
    window: Option<u32>,
    incarnation: Option<u64>,
    hash_seed: u64,
    tls: Option<TlsConfig>,
    handshake: Duration,
    is_insecure: bool,
}

struct Provider(Box<dyn Membership>);

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

#[derive(Debug)]
enum Listen {
    No,
    At(SocketAddr),
    On(TcpListener),
}

impl<R: Runtime> Builder<R> {
    /// A node of the cluster with this name, on this runtime.
    pub fn new(cluster: &str, runtime: R) -> Self {
        Self {
            runtime: Arc::new(runtime),
            cluster: cluster.to_owned(),
            node: None,
            listen: Listen::No,
            members: Vec::new(),
            provider: None,
            advertised: None,
            balance: None,
            places: None,
            machines: None,
            spaces: Vec::new(),
            limits: Limits::default(),
            chunk: None,
            window: None,
            incarnation: None,
            hash_seed: 0,
            tls: None,
            handshake: Gate::default().patience,
            is_insecure: false,
        }
    }

    /// Number of this node. Only a node without members can do without, and one whose provider chooses.
    pub fn node(mut self, number: u16) -> Self {
        self.node = Some(NodeId(number));
        self
    }

    /// Listen on this address. Members with lower numbers dial this node, so only the lowest need not listen.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Listen::At(address);
        self
    }

    /// Listen on this socket, which is bound already: its port can be told to others before the start.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listen = Listen::On(listener);
        self
    }

    /// Members come and go: this provider says who is one, and how long that is certain.
    ///
    /// The node needs to listen, because every other may become a member with a lower number.
    pub fn join(mut self, provider: impl Membership) -> Self {
        self.provider = Some(Provider(Box::new(provider)));
        self
    }

    /// Where others dial this node, if that is not the address on which it listens.
    pub fn advertise(mut self, address: SocketAddr) -> Self {
        self.advertised = Some(address);
        self
    }

    /// Most transfers at a time that the node begins by itself to bring the map nearer to balance, and to empty itself
    /// when it leaves; 2 unless it is named. With 0 slots stay where they are, and a node that leaves gives nothing away.
    ///
    /// Where members never change, slots move only when [`Node::transfer`] says so. With several machines each begins its
    /// part of them, rounded up.
    pub fn balance(mut self, most: usize) -> Self {
        self.balance = Some(most);
        self
    }

    /// How many members there is room for if they come and go, those that departed lately included: at most 64, and 16
    /// unless it is named.
    pub fn places(mut self, places: u8) -> Self {
        self.places = Some(places);
        self
    }

    /// How many machines each node of the cluster runs side by side: 1 to 16, and no more than any space has slots. Unless it
    /// is named: one for each core of the host, up to four; one where members are named.
    ///
    /// The number is the cluster's. With a provider ([`Builder::join`]) it is that of the node that founds the cluster, and
    /// whoever finds members runs as many as they do, whatever is named here ([`Node::machine_count`]). It changes when a
    /// node founds the cluster anew, after all have left; one that was fenced meanwhile and is running still cannot come back
    /// before it is started again. Members that are named ([`Builder::member`]) must all name the same number.
    ///
    /// A machine has a mutex, tables and connections of its own, and a part of the resources: threads whose resources are of
    /// different machines do not wait for each other. A retained lock that is taken again and again needs no machine. Threads
    /// that use all machines in turn gain less, for what one core wrote last the other has to fetch, and one thread alone is
    /// a little quicker with one machine.
    ///
    /// Which machine a resource is of is chosen by a hash of its name, and the slots of a space are those of the machines in
    /// turn. [`Builder::limits`], retained locks and [`Builder::balance`] are divided among them, rounded up.
    pub fn machines(mut self, machines: u8) -> Self {
        self.machines = Some(machines);
        self
    }

    /// Another member, and where it listens. Membership is fixed then: name each of them.
    pub fn member(mut self, number: u16, address: SocketAddr) -> Self {
        self.members.push((NodeId(number), address));
        self
    }

    /// A space, after those named before. Without any there is one, called "default".
    pub fn space(mut self, space: SpaceConfig) -> Self {
        self.spaces.push(space);
        self
    }

    /// How many locks, resources and so on the node has room for. All of it is allocated at the start.
    ///
    /// With several machines each has its equal share, an eighth of that and 32 records more, but never more than all: names
    /// are spread by a hash, so some machine always has more than others.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Most bytes of a transfer that are packed or installed at a time, while every call waits: 256 to 65536, 16384
    /// unless it is named.
    pub fn chunk(mut self, bytes: u32) -> Self {
        self.chunk = Some(bytes);
        self
    }

    /// Most bytes of a transfer that are on their way at a time, at least a chunk: 131072 unless it is named.
    /// With several machines that is for each of them.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = Some(bytes);
        self
    }

    /// This life of the node; it must be higher than in all lives before.
    ///
    /// A provider chooses it itself. Otherwise, unless it is named, it is the wall clock at the start, in nanoseconds
    /// since 1970. That is higher as long as nobody sets the clock back between two starts; where somebody might, keep a
    /// counter and name it here.
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// Seed of the hash of resource names. Who knows it can choose names that meet in one place.
    pub fn hash_seed(mut self, seed: u64) -> Self {
        self.hash_seed = seed;
        self
    }

    /// Speak to the other members over TLS alone: each proves with a certificate which node it is, and nobody else
    /// reads or changes what is said. All members must do so.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Longest time from the first attempt to connect to a peer until it has proved who it is and said hello: five
    /// seconds unless it is named.
    pub fn handshake_timeout(mut self, longest: Duration) -> Self {
        self.handshake = longest;
        self
    }

    /// Allow addresses that can be reached from other hosts also without [`Builder::tls`], although then nobody
    /// proves who he is and nothing is encrypted.
    pub fn insecure(mut self) -> Self {
        self.is_insecure = true;
        self
    }

    /// Starts the node: it listens, dials the other members, and grants once it has heard all of them. With a provider
    /// it joins first, which may take a while; it grants once it has a view and the map is agreed.
    ///
    /// Must be called where the runtime can spawn tasks.
    ///
    /// # Errors
    /// [`StartError`] says what has to be changed; nothing was started then.
    pub async fn start(mut self) -> Result<Node<R>, StartError> {
        match self.provider.take() {
            None => self.start_now(),
            Some(_) if !self.members.is_empty() => Err(StartError::TwoMemberships),
            Some(Provider(provider)) => self.start_joining(provider).await,
        }
    }

    /// Starts a node whose members never change.
    fn start_now(mut self) -> Result<Node<R>, StartError> {
        let id = match self.node {
            Some(id) => id,
            None if self.members.is_empty() => ALONE,
            None => return Err(StartError::NoNode),
        };
        let incarnation = Incarnation(self.incarnation.unwrap_or_else(wall_clock));
        let mut config = self.start_config(id, incarnation)?;
        let others = self.members.iter().map(|(member, _)| *member);
        for member in others.chain([id]) {
            config.members.push(member).map_err(|_| ConfigError::Members)?;
        }
        config.check()?;
        let gate = self.start_gate(id)?;
        let listener = self.start_listen(Some(id))?;
        let own = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let view = self.start_view(id, incarnation, own);
        let reaches_far = self.reaches_far();
        let members = || Members::fixed(id, reaches_far, view.clone());
        Ok(Node::new(self.start_node(config, gate, listener, members, 0)?))
    }

    /// Starts a node that learns who is a member.
    async fn start_joining(mut self, provider: Box<dyn Membership>) -> Result<Node<R>, StartError> {
        // Who the node will be is not known yet; the rest can be wrong already.
        let mut config = self.start_config(self.node.unwrap_or(ALONE), Incarnation(1))?;
        config.check()?;
        let choices = self.start_choices(config)?;
        if let (Some(tls), Some(id)) = (&self.tls, self.node) {
            tls.check(&self.cluster, id)?;
        }
        let listener = self.start_listen(None)?.ok_or(StartError::NoListener)?;
        let address = match self.advertised {
            Some(address) => address,
            None => listener.local_addr().map_err(StartError::Listen)?,
        };
        if address.ip().is_unspecified() || address.port() == 0 {
            return Err(StartError::Unspecified(address));
        }
        self.start_check(address)?;
        let digests = choices.iter().map(|(digest, _)| *digest).collect();
        let candidate = Candidate { cluster: self.cluster_id(), node: self.node, address, digests };
        let keeper = Keeper::start(Arc::clone(&self.runtime), provider, candidate, wall_clock());
        let keeper = keeper.map_err(StartError::Thread)?;
        let FirstLife { node: id, incarnation, digest } = keeper.joined().await?;

        let chosen = choices.into_iter().find(|(choice, _)| *choice == digest);
        let (_, machines) = chosen.expect("the keeper takes no digest but one of the candidate's");
        self.machines = Some(machines);
        let config = self.start_config(id, incarnation)?;
        let gate = self.start_gate(id)?;
        let reaches_far = self.reaches_far();
        let members = || Members::outside(id, reaches_far);
        let balance = self.balance.unwrap_or(BALANCE);
        let machines = self.start_node(config, gate, Some(listener), members, balance)?;
        keeper.begin(&machines);
        Ok(Node::new(machines))
    }

    /// Makes the node's machines and starts their tasks.
    fn start_node(
        self,
        config: Config,
        mut gate: Gate,
        listener: Option<TcpListener>,
        members: impl Fn() -> Members,
        balance: usize,
    ) -> Result<StdArc<Machines<R>>, StartError> {
        let (id, count) = (config.node, config.members.len());
        let is_alone = config.is_static() && count == 1;
        let seed = hash(config.incarnation.0, SpaceId(id.0), b"back-off");
        let division = StdArc::new(self.start_division(config)?);
        gate.division = Some(StdArc::clone(&division));
        let (gate, limits) = (StdArc::new(gate), division.limits(self.limits));
        let mut each = Vec::new();
        for machine in 0..division.machines() {
            let config = division.config(machine);
            let memory = HeapMemory::new(&limits, &config);
            let node = lockmaster_core::Node::new(config, memory)?;
            let balance = Balance::new(balance.div_ceil(division.machines()));
            let mut shared = Shared::new(Arc::clone(&self.runtime), node, limits.locks, members(), balance);
            shared.gate = StdArc::clone(&gate);
            each.push(Arc::new(shared));
        }
        let listener = listener.map(|listener| self.runtime.listen(listener)).transpose();
        let listener = listener.map_err(StartError::Listen)?;
        let machines = StdArc::new(Machines::new(each, division));
        trace::started(id, count, machines.each().len());
        if !is_alone {
            trace::security(id, gate.identity.is_some());
        }
        if let Some(listener) = listener {
            let accepting = keep_accepting(StdArc::clone(&machines), listener, seed);
            Shared::spawn(machines.lead(), accepting);
        }
        Self::start_tasks(&machines, seed);
        Ok(machines)
    }

    /// Starts what every machine does for itself.
    fn start_tasks(machines: &StdArc<Machines<R>>, seed: u64) {
        for (at, machine) in machines.each().iter().enumerate() {
            let seed = hash(seed, SpaceId(0), &at.to_le_bytes());
            Shared::spawn(machine, Shared::keep_time(Arc::clone(machine)));
            Shared::spawn(machine, keep_dialling(Arc::clone(machine), seed));
            if machines.each().len() > 1 {
                Shared::spawn(machine, Machines::fall_together(StdArc::clone(machines), at));
            }
        }
    }

    /// Divides the node among its machines.
    fn start_division(&self, config: Config) -> Result<Division, StartError> {
        let is_impossible = |(DivisionError::Machines | DivisionError::Slots)| StartError::Machines;
        let machines = self.start_machines(&config);
        Division::new(config, machines).map_err(is_impossible)
    }

    /// How many machines the node runs where no other member says so.
    fn start_machines(&self, config: &Config) -> u8 {
        if let Some(named) = self.machines {
            return named;
        }
        // Members that are named cannot ask how many the others run.
        if !self.members.is_empty() {
            return 1;
        }
        let cores = available_parallelism().map_or(1, usize::from);
        let is_possible = |machines: &u8| {
            let has_slots = |space: &SpaceConfig| space.slots >= u32::from(*machines);
            usize::from(*machines) <= cores && config.spaces.iter().all(has_slots)
        };
        (1..=MACHINES_DEFAULT_MAX).rev().find(is_possible).unwrap_or(1)
    }

    /// The configurations in which the node can run, the one in which it would found a cluster first: the digest of each,
    /// and how many machines there are.
    fn start_choices(&self, config: Config) -> Result<Vec<(u64, u8)>, StartError> {
        let own = self.start_machines(&config);
        let mut choices = vec![(self.start_division(config.clone())?.config(0).digest(), own)];
        for machines in (1..=MACHINES_MAX).filter(|machines| *machines != own) {
            let Ok(division) = Division::new(config.clone(), machines) else { continue };
            choices.push((division.config(0).digest(), machines));
        }
        Ok(choices)
    }

    fn cluster_id(&self) -> ClusterId {
        ClusterId(hash(0, SpaceId(0), self.cluster.as_bytes()))
    }

    /// May addresses be used that other hosts reach?
    const fn reaches_far(&self) -> bool {
        self.tls.is_some() || self.is_insecure
    }

    /// The configuration but for the members.
    fn start_config(&self, id: NodeId, incarnation: Incarnation) -> Result<Config, StartError> {
        let mut config = Config::new(self.cluster_id(), id, incarnation);
        config.hash_seed = self.hash_seed;
        config.chunk = self.chunk.unwrap_or(config.chunk);
        config.window = self.window.unwrap_or(config.window);
        config.places = self.places.unwrap_or(config.places);
        for space in &self.spaces {
            config.spaces.push(space.clone()).map_err(|_| ConfigError::Spaces)?;
        }
        if config.spaces.is_empty() {
            let space = SpaceConfig::new("default").expect("the name is short");
            config.spaces.push(space).map_err(|_| ConfigError::Spaces)?;
        }
        Ok(config)
    }

    /// The members that were named, as a view.
    fn start_view(&self, id: NodeId, incarnation: Incarnation, own: Option<SocketAddr>) -> ClusterView {
        let own = own.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let others = self.members.iter().map(|(node, address)| (*node, Incarnation(0), *address));
        let all = others.chain([(id, incarnation, own)]);
        let mut members: Vec<_> = all
            .map(|(node, incarnation, address)| ClusterMember {
                node,
                incarnation,
                joined: Epoch(1),
                is_leaving: false,
                address,
            })
            .collect();
        members.sort_unstable_by_key(|member| member.node);
        ClusterView { epoch: Epoch(1), members }
    }

    /// Prepares what the node proves itself with.
    fn start_gate(&self, id: NodeId) -> Result<Gate, StartError> {
        let identity = self.tls.as_ref().map(|tls| Identity::new(tls, &self.cluster, id)).transpose()?;
        Ok(Gate { identity, patience: self.handshake, division: None })
    }

    /// Checks all addresses and binds the one to listen on.
    fn start_listen(&mut self, id: Option<NodeId>) -> Result<Option<TcpListener>, StartError> {
        for (_, address) in &self.members {
            self.start_check(*address)?;
        }
        let listener = match core::mem::replace(&mut self.listen, Listen::No) {
            Listen::No if id.is_none_or(|id| self.members.iter().any(|(member, _)| *member < id)) => {
                return Err(StartError::NoListener);
            }
            Listen::No => return Ok(None),
            Listen::At(address) => {
                self.start_check(address)?;
                TcpListener::bind(address).map_err(StartError::Listen)?
            }
            Listen::On(listener) => {
                self.start_check(listener.local_addr().map_err(StartError::Listen)?)?;
                listener
            }
        };
        listener.set_nonblocking(true).map_err(StartError::Listen)?;
        Ok(Some(listener))
    }

    fn start_check(&self, address: SocketAddr) -> Result<(), StartError> {
        if self.reaches_far() || address.ip().is_loopback() {
            return Ok(());
        }
        Err(StartError::NotLoopback(address))
    }
}

/// Nanoseconds since 1970, at least 1.
fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
}
