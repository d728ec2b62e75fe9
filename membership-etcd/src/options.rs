//! How to reach etcd, and how long membership lasts without it.

use core::time::Duration;
use std::path::PathBuf;

use crate::timing::Timing;

/// etcd drops connections that are pinged more often (`--grpc-keepalive-min-time`).
const PING_MIN: Duration = Duration::from_secs(5);
/// etcd grants no shorter lease: one and a half of its election timeout of 1 s, in whole seconds.
const TTL_MIN: Duration = Duration::from_secs(2);
/// A member that crashes is missed for so long, at the most.
const TTL_MAX: Duration = Duration::from_secs(600);

/// What [`Etcd`](crate::Etcd) has to know.
#[derive(Clone, Debug)]
#[must_use]
pub struct EtcdOptions {
    pub(crate) endpoints: Vec<String>,
    pub(crate) state: PathBuf,
    ttl: Duration,
    margin: Option<Duration>,
    settle: Option<Duration>,
    pub(crate) user: Option<(String, Secret)>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::EtcdTls>,
}

/// Why options cannot be used. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// Name at least one endpoint of etcd.
    #[error("no endpoint of etcd is named")]
    NoEndpoint,
    /// An endpoint is `http://host:port`, or `https://host:port` with the feature `tls`.
    #[error(
        "`{0}` is no endpoint: it has to be http://host:port, or https://host:port with the feature `tls`"
    )]
    Endpoint(String),
    /// The time to live must be of whole seconds, at least 2 and at most 600.
    #[error("a time to live of {0:?} is not possible: name whole seconds from 2 to 600")]
    Ttl(Duration),
    /// The margin must leave time: it may be a third of the time to live at most, and not zero.
    #[error(
        "a margin of {margin:?} does not fit a time to live of {ttl:?}: at most a third of it, and not zero"
    )]
    Margin {
        /// The margin.
        margin: Duration,
        /// The time to live.
        ttl: Duration,
    },
    /// A folder for the node's state is needed, on a disk that outlives the machine's restart.
    #[error("no folder is named for the state that a node keeps")]
    NoState,
}

/// Something that is not printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("…")
    }
}

impl EtcdOptions {
    /// Reach etcd at any of these endpoints (`http://host:port`), and keep the node's state in this folder.
    ///
    /// Name all servers of the etcd cluster: one is used at a time, and the next when it does not answer. The folder
    /// holds a small file for each node, which says below what its cluster must never fall again; a node without it
    /// would believe a backup of etcd that is older than what it has seen. A node that lets its number be chosen needs
    /// a folder of its own.
    pub fn new<E: Into<String>>(endpoints: impl IntoIterator<Item = E>, state: impl Into<PathBuf>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            state: state.into(),
            ttl: Duration::from_secs(10),
            margin: None,
            settle: None,
            user: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Time to live of a member's lease, in whole seconds from 2 to 600; 10 s unless it is named.
    ///
    /// For so long the others wait for a member that has crashed, and a little less than that a member goes on that
    /// cannot reach etcd. It is renewed every fifth of it. etcd may grant more than was asked for; what it grants counts.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How much earlier than its lease can end a member stops; a tenth of the time to live unless it is named.
    ///
    /// It has to cover everything that is not a clock's rate, which is allowed for separately (0.1 % for each clock):
    /// how coarse timers are, and how long a thread may be away between looking at the clock and acting on it.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// How long others wait after a member's lease has ended before they take over; a tenth of the time to live unless
    /// it is named.
    ///
    /// It covers what that member has sent and is still on its way.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = Some(settle);
        self
    }

    /// User and password at etcd, if it asks for them. The user needs a role that may read and write below
    /// `/lockmaster/`.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), Secret(password.into())));
        self
    }

    /// Encrypt what goes to `https` endpoints.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::EtcdTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// # Errors
    /// What cannot be used.
    pub(crate) fn check(&self) -> Result<Timing, EtcdError> {
        if self.endpoints.is_empty() {
            return Err(EtcdError::NoEndpoint);
        }
        let schemes = if cfg!(feature = "tls") { &["http://", "https://"][..] } else { &["http://"] };
        for endpoint in &self.endpoints {
            let rest = schemes.iter().find_map(|scheme| endpoint.strip_prefix(scheme));
            let port = rest.and_then(|rest| rest.trim_end_matches('/').rsplit_once(':'));
            let is_whole = port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_whole {
                return Err(EtcdError::Endpoint(endpoint.clone()));
            }
        }
        if self.state.as_os_str().is_empty() {
            return Err(EtcdError::NoState);
        }
        let ttl = self.ttl;
        if !(TTL_MIN..=TTL_MAX).contains(&ttl) || ttl.subsec_nanos() != 0 {
            return Err(EtcdError::Ttl(ttl));
        }
        let margin = self.margin.unwrap_or(ttl / 10);
        if margin.is_zero() || margin > ttl / 3 {
            return Err(EtcdError::Margin { margin, ttl });
        }
        Ok(Timing { ttl, margin, settle: self.settle.unwrap_or(ttl / 10) })
    }

    /// From one ping of an idle connection to the next, and how long its answer may take.
    pub(crate) fn pings(timing: Timing) -> (Duration, Duration) {
        (timing.read_every().max(PING_MIN), timing.call_max())
    }
}

#[cfg(test)]
mod tests;
