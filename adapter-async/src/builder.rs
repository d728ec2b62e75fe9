//! Describes a node and starts it.

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::time::SystemTime;

use lockmaster_core::{
    ClusterId, Config, ConfigError, HeapMemory, Incarnation, Limits, NodeId, SpaceConfig, SpaceId, hash,
};

use crate::connection::{keep_accepting, keep_dialling};
use crate::error::StartError;
use crate::gate::Gate;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::sync::Arc;
use crate::tls::{Identity, TlsConfig};
use crate::trace;

/// Number of a node that has no other members.
const ALONE: NodeId = NodeId(1);

/// A node before its start.
///
/// Cluster name, members, spaces and hash seed must be the same on every node: a node that was told otherwise
/// is refused.
#[derive(Debug)]
#[must_use]
pub struct Builder<R> {
    runtime: R,
    cluster: String,
    node: Option<NodeId>,
    listen: Listen,
    members: Vec<(NodeId, SocketAddr)>,
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
            runtime,
            cluster: cluster.to_owned(),
            node: None,
            listen: Listen::No,
            members: Vec::new(),
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

    /// Number of this node. Only a node without members can do without.
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

    /// Another member, and where it listens. Membership is fixed: name each of them.
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

    /// Most bytes of a transfer that are on their way at a time, at least a chunk: 262144 unless it is named.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = Some(bytes);
        self
    }

    /// This life of the node; it must be higher than in all lives before.
    ///
    /// Unless it is named it is the wall clock at the start, in nanoseconds since 1970. That is higher as long
    /// as nobody sets the clock back between two starts; where somebody might, keep a counter and name it here.
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

    /// Allow addresses that can be reached from other machines also without [`Builder::tls`], although then nobody
    /// proves who he is and nothing is encrypted.
    pub fn insecure(mut self) -> Self {
        self.is_insecure = true;
        self
    }

    /// Starts the node: it listens, dials the other members, and grants once it has heard all of them.
    ///
    /// Must be called where the runtime can spawn tasks.
    ///
    /// # Errors
    /// [`StartError`] says what has to be changed; nothing was started then.
    pub async fn start(self) -> Result<Node<R>, StartError> {
        self.start_now()
    }

    fn start_now(mut self) -> Result<Node<R>, StartError> {
        let (id, config) = self.start_config()?;
        let gate = self.start_gate(id)?;
        let listener = self.start_listen(id, &gate)?;

        let members = config.members.len();
        let seed = hash(config.incarnation.0, SpaceId(id.0), b"back-off");
        let memory = HeapMemory::new(&self.limits, &config);
        let node = lockmaster_core::Node::new(config, memory)?;
        let listener = listener.map(|listener| self.runtime.listen(listener)).transpose();
        let listener = listener.map_err(StartError::Listen)?;
        let mut shared = Shared::new(self.runtime, node, self.limits.locks);
        shared.gate = gate;
        let shared = Arc::new(shared);
        trace::started(id, members);
        if members > 1 {
            trace::security(id, shared.gate.identity.is_some());
        }
        Shared::spawn(&shared, Shared::keep_time(Arc::clone(&shared)));
        if let Some(listener) = listener {
            Shared::spawn(&shared, keep_accepting(Arc::clone(&shared), listener, seed));
        }
        for (peer, address) in self.members {
            if peer > id {
                let seed = seed ^ u64::from(peer.0);
                Shared::spawn(&shared, keep_dialling(Arc::clone(&shared), peer, address, seed));
            }
        }
        Ok(Node::new(shared))
    }

    fn start_config(&self) -> Result<(NodeId, Config), StartError> {
        let id = match self.node {
            Some(id) => id,
            None if self.members.is_empty() => ALONE,
            None => return Err(StartError::NoNode),
        };
        let incarnation = self.incarnation.unwrap_or_else(wall_clock);
        let cluster = ClusterId(hash(0, SpaceId(0), self.cluster.as_bytes()));
        let mut config = Config::new(cluster, id, Incarnation(incarnation));
        config.hash_seed = self.hash_seed;
        config.chunk = self.chunk.unwrap_or(config.chunk);
        config.window = self.window.unwrap_or(config.window);
        let others = self.members.iter().map(|(member, _)| *member);
        for member in others.chain([id]) {
            config.members.push(member).map_err(|_| ConfigError::Members)?;
        }
        for space in &self.spaces {
            config.spaces.push(space.clone()).map_err(|_| ConfigError::Spaces)?;
        }
        if config.spaces.is_empty() {
            let space = SpaceConfig::new("default").expect("the name is short");
            config.spaces.push(space).map_err(|_| ConfigError::Spaces)?;
        }
        config.check()?;
        Ok((id, config))
    }

    /// Prepares what the node proves itself with.
    fn start_gate(&self, id: NodeId) -> Result<Gate, StartError> {
        let identity = self.tls.as_ref().map(|tls| Identity::new(tls, &self.cluster, id)).transpose()?;
        Ok(Gate { identity, patience: self.handshake })
    }

    /// Checks all addresses and binds the one to listen on.
    fn start_listen(&mut self, id: NodeId, gate: &Gate) -> Result<Option<TcpListener>, StartError> {
        for (_, address) in &self.members {
            self.start_check(gate, *address)?;
        }
        let listener = match core::mem::replace(&mut self.listen, Listen::No) {
            Listen::No if self.members.iter().any(|(member, _)| *member < id) => {
                return Err(StartError::NoListener);
            }
            Listen::No => return Ok(None),
            Listen::At(address) => {
                self.start_check(gate, address)?;
                TcpListener::bind(address).map_err(StartError::Listen)?
            }
            Listen::On(listener) => {
                self.start_check(gate, listener.local_addr().map_err(StartError::Listen)?)?;
                listener
            }
        };
        listener.set_nonblocking(true).map_err(StartError::Listen)?;
        Ok(Some(listener))
    }

    fn start_check(&self, gate: &Gate, address: SocketAddr) -> Result<(), StartError> {
        if gate.identity.is_some() || address.ip().is_loopback() || self.is_insecure {
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
