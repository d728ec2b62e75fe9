//! What nodes, and the commands that talk to one, can be told.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{ArgGroup, value_parser};

use crate::args::{Retain, seconds};
use crate::control::client::Reach;

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("engine").args(["dir", "etcd"]).required(true))]
pub(crate) struct NodeArgs {
    /// Meet the other nodes in this directory, on this machine; it is made if it is absent
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Meet the other nodes in an etcd cluster with these endpoints
    #[arg(long, value_name = "URL", num_args = 1.., requires = "etcd_state")]
    pub(crate) etcd: Vec<String>,
    #[command(flatten)]
    pub(crate) etcd_args: EtcdArgs,
    /// Number of this node; without this it gets the lowest that is free
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..65_535))]
    pub(crate) id: Option<u16>,
    /// Address on which the node listens for the others
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Address on which the other nodes reach this one, if that is not the one of --listen, as where it listens on all addresses
    #[arg(long, value_name = "ADDR")]
    pub(crate) advertise: Option<SocketAddr>,
    /// Name of the cluster; nodes of other clusters are not spoken to
    #[arg(long, value_name = "NAME", default_value = "lockmaster")]
    pub(crate) cluster: String,
    /// Path of the control socket; without this it is control-N.sock in the directory
    #[arg(long, value_name = "PATH", required_unless_present = "dir")]
    pub(crate) socket: Option<PathBuf>,
    /// A space of resources, the same on every node; the first one named is what is used if none is said
    #[arg(long = "space", value_name = "NAME", default_value = "default")]
    pub(crate) spaces: Vec<String>,
    /// Slots of each space, the same on every node: how finely its resources can be spread over the nodes
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = value_parser!(u32).range(1..=65_536))]
    pub(crate) slots: u32,
    /// Machines that each node of the cluster runs side by side, if this node founds it; without this one for each core,
    /// and four at most. Whoever finds members runs as many as they do
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=16))]
    pub(crate) machines: Option<u8>,
    /// How long the node keeps a lock that nobody on it uses: `demanded`, `idle:MS` or `never`
    #[arg(long, value_name = "HOW", default_value = "demanded", value_parser = Retain::parse)]
    pub(crate) retention: Retain,
    /// Locks that the node has room for: of its own clients, and of all nodes on what it masters
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = value_parser!(u32).range(16..=16_777_216))]
    pub(crate) locks: u32,
    /// Resources that the node has room for
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = value_parser!(u32).range(16..=16_777_216))]
    pub(crate) resources: u32,
    /// How many seconds the node may take to leave after SIGTERM
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = seconds)]
    pub(crate) leave_within: Duration,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Allow an address that other hosts can reach also without --tls, although then nobody proves who he is and nothing is encrypted
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// How etcd is used.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct EtcdArgs {
    /// Directory for what this node must not forget, on a disk that outlives a restart of the machine; one for each node
    #[arg(long, value_name = "DIR", requires = "etcd")]
    pub(crate) etcd_state: Option<PathBuf>,
    /// How many seconds membership lasts without etcd, and the others wait for a node that has crashed
    #[arg(long, value_name = "SECS", default_value_t = 10, requires = "etcd", value_parser = value_parser!(u64).range(2..=600))]
    pub(crate) etcd_ttl: u64,
    /// Certificate of the authority of etcd's servers, at https endpoints
    #[arg(long, value_name = "FILE", requires = "etcd")]
    pub(crate) etcd_ca: Option<PathBuf>,
    /// Certificate by which etcd knows this node
    #[arg(long, value_name = "FILE", requires_all = ["etcd_ca", "etcd_key"])]
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Key of that certificate, which nobody but its owner may read
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    pub(crate) etcd_key: Option<PathBuf>,
    /// User by whom etcd knows this node, if it asks for users
    #[arg(long, value_name = "NAME", requires_all = ["etcd", "etcd_password_file"])]
    pub(crate) etcd_user: Option<String>,
    /// File with that user's password, which nobody but its owner may read
    #[arg(long, value_name = "FILE", requires = "etcd_user")]
    pub(crate) etcd_password_file: Option<PathBuf>,
}

/// What a node proves itself with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Prove with the files in this directory which node this is, as `ca issue` has made them; all nodes must do so
    #[arg(long, value_name = "DIR", requires = "id", conflicts_with_all = ["tls_ca", "tls_cert", "tls_key"])]
    pub(crate) tls: Option<PathBuf>,
    /// The same with files that are elsewhere: certificates of the cluster's authorities
    #[arg(long, value_name = "FILE", requires_all = ["id", "tls_cert", "tls_key"])]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate of this node, and those between it and an authority
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of this node, which nobody but its owner may read
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_cert"])]
    pub(crate) tls_key: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Args)]
#[command(group = ArgGroup::new("where").args(["dir", "socket"]).required(true))]
pub(crate) struct ReachArgs {
    /// Talk to a node that was started with this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Talk to the node with this control socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Which node of the directory; without this the lowest that answers
    #[arg(long, value_name = "N", conflicts_with = "socket")]
    id: Option<u16>,
}

impl ReachArgs {
    pub(crate) fn reach(&self) -> Reach {
        match (&self.socket, &self.dir) {
            (Some(socket), _) => Reach::Socket(socket.clone()),
            (None, Some(dir)) => Reach::Directory(dir.clone(), self.id),
            (None, None) => unreachable!("one of the two is required"),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Print rows as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Slots that follow each other, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeArg {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl RangeArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = match text.split_once("..") {
            Some((first, last)) => (first, last.strip_prefix('=').unwrap_or(last)),
            None => (text, text),
        };
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            (Ok(_), Ok(_)) => Err("the range ends before it begins".to_owned()),
            _ => Err("expected slots like `16..31`, or one like `16`".to_owned()),
        }
    }
}
