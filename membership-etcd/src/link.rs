//! The calls to etcd, each with a deadline of its own.

use core::time::Duration;
use std::sync::Arc;

use etcd_client::{
    Client, ConnectOptions, Error, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};
use tokio::time::timeout;

use crate::keys::Keys;
use crate::member::Renewed;
use crate::options::EtcdOptions;
use crate::store::{Answer, Call, Compare, Entry, LeaseId, Op, Revision, Transaction};
use crate::timing::Timing;
use crate::version;

/// gRPC's number for "not found".
const NOT_FOUND: i32 = 5;
/// gRPC's numbers for what a user may not do: a wrong password, no permission, no user.
const DENIED: [i32; 3] = [3, 7, 16];

/// A way to etcd: one server at a time, the next when it does not answer.
pub(crate) struct Link {
    options: Arc<EtcdOptions>,
    keys: Keys,
    timing: Timing,
    client: Option<Client>,
    /// Which endpoint is used, or will be.
    at: usize,
    /// The revision of what was read last.
    read: Option<Revision>,
    /// Endpoints whose version was looked at.
    seen: Vec<bool>,
    warnings: Vec<String>,
}

impl Link {
    pub(crate) fn new(options: Arc<EtcdOptions>, keys: Keys, timing: Timing) -> Self {
        let seen = vec![false; options.endpoints.len()];
        Self { options, keys, timing, client: None, at: 0, read: None, seen, warnings: Vec::new() }
    }

    /// Makes a call.
    pub(crate) async fn call(&mut self, call: Call) -> Answer {
        let deadline = self.timing.call_max();
        let answer = timeout(deadline, async {
            let client = self.client().await?;
            perform(client, &self.keys, call).await
        });
        let answer = answer.await.map_err(|_| deadline);
        match self.outcome(answer) {
            Ok((answer, revision)) => {
                if let Answer::Read(_) = answer {
                    self.read = revision;
                    self.look_at_version().await;
                }
                answer
            }
            Err(Failure { why, is_denied: true }) => Answer::Denied(why),
            Err(Failure { why, is_denied: false }) => Answer::Nothing(why),
        }
    }

    /// Renews a lease.
    pub(crate) async fn renew(&mut self, lease: LeaseId) -> Renewed {
        let deadline = self.timing.call_max();
        let answer = timeout(deadline, async {
            let mut client = self.client().await?;
            match client.lease_keep_alive(lease.0).await {
                Ok(_) => Ok(Renewed::Yes),
                // The lease may be gone; what etcd knows of it says so for certain.
                Err(Error::LeaseKeepAliveError(_)) => {
                    let left = client.lease_time_to_live(lease.0, None).await?;
                    Ok(if left.ttl() <= 0 { Renewed::Gone } else { Renewed::Nothing })
                }
                Err(error) => Err(error),
            }
        });
        let answer = answer.await.map_err(|_| deadline);
        self.outcome(answer).unwrap_or(Renewed::Nothing)
    }

    /// Watches all keys of the cluster from after what was read last.
    pub(crate) async fn watch(&mut self) -> Option<WatchStream> {
        let Revision(read) = self.read?;
        let prefix = self.keys.prefix().to_owned();
        let options = WatchOptions::new().with_prefix().with_start_revision(read + 1);
        let deadline = self.timing.call_max();
        let answer = timeout(deadline, async { self.client().await?.watch(prefix, Some(options)).await });
        let answer = answer.await.map_err(|_| deadline);
        self.outcome(answer).ok()
    }

    /// What is to be said about the servers, once.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        core::mem::take(&mut self.warnings)
    }

    async fn client(&mut self) -> Result<Client, Error> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let endpoint = self.options.endpoints[self.at].clone();
        let client = Client::connect([endpoint], Some(self.connect_options())).await?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn connect_options(&self) -> ConnectOptions {
        let (ping, pong) = EtcdOptions::pings(self.timing);
        // Idle connections are not pinged: servers take that for an attack.
        let mut options = ConnectOptions::new()
            .with_keep_alive(ping, pong)
            .with_keep_alive_while_idle(false)
            .with_connect_timeout(self.timing.call_max())
            .with_require_leader(true);
        if let Some((name, password)) = &self.options.user {
            options = options.with_user(name, password.0.clone()).with_auto_token_refresh(true);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.options.tls {
            options = options.with_tls(tls.client_options());
        }
        options
    }

    /// Whoever does not answer, or answers with an error, is left for the next server.
    fn outcome<T>(&mut self, answer: Result<Result<T, Error>, Duration>) -> Result<T, Failure> {
        let (why, is_denied) = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(Error::GRpcStatus(status))) => {
                (with_causes(status.message(), &status), DENIED.contains(&i32::from(status.code())))
            }
            Ok(Err(Error::TransportError(error))) => (with_causes(&error.to_string(), &error), false),
            Ok(Err(error)) => (error.to_string(), false),
            Err(deadline) => (format!("no answer within {deadline:?}"), false),
        };
        let why = format!("{}: {why}", self.options.endpoints[self.at]);
        self.client = None;
        self.at = (self.at + 1) % self.options.endpoints.len();
        Err(Failure { why, is_denied })
    }

    async fn look_at_version(&mut self) {
        if core::mem::replace(&mut self.seen[self.at], true) {
            return;
        }
        let Some(client) = &mut self.client else { return };
        // Only for the warning: a server that does not tell is not left for it.
        if let Ok(Ok(status)) = timeout(self.timing.call_max(), client.status()).await
            && let Some(warning) = version::warning(status.version())
        {
            self.warnings.push(format!("{}: {warning}", self.options.endpoints[self.at]));
        }
    }
}

/// Why there is no answer.
struct Failure {
    why: String,
    is_denied: bool,
}

/// What went wrong, with everything that made it go wrong.
fn with_causes(what: &str, error: &dyn core::error::Error) -> String {
    let causes = core::iter::successors(error.source(), |cause| cause.source());
    causes.fold(what.to_owned(), |told, cause| {
        let cause = cause.to_string();
        // Some say what their cause says.
        if told.ends_with(&cause) { told } else { format!("{told}: {cause}") }
    })
}

async fn perform(mut client: Client, keys: &Keys, call: Call) -> Result<(Answer, Option<Revision>), Error> {
    match call {
        Call::Read => {
            let found = client.get(keys.prefix(), Some(GetOptions::new().with_prefix())).await?;
            let revision = found.header().map(|header| Revision(header.revision()));
            let entries = found.kvs().iter().map(|found| Entry {
                // A key that is no text is none of ours.
                key: found.key_str().unwrap_or_default().to_owned(),
                value: found.value().to_vec(),
                created: Revision(found.create_revision()),
                modified: Revision(found.mod_revision()),
                lease: LeaseId(found.lease()),
            });
            Ok((Answer::Read(entries.collect()), revision))
        }
        Call::Grant(seconds) => {
            let granted = client.lease_grant(seconds, None).await?;
            let ttl = u64::try_from(granted.ttl()).unwrap_or(0);
            Ok((Answer::Granted(LeaseId(granted.id()), ttl), None))
        }
        Call::Commit(transaction) => {
            client.txn(perform_transaction(transaction)).await?;
            Ok((Answer::Committed, None))
        }
        Call::Revoke(lease) => match client.lease_revoke(lease.0).await {
            Ok(_) => Ok((Answer::Revoked, None)),
            Err(Error::GRpcStatus(status)) if i32::from(status.code()) == NOT_FOUND => {
                Ok((Answer::Revoked, None))
            }
            Err(error) => Err(error),
        },
    }
}

fn perform_transaction(transaction: Transaction) -> Txn {
    let compares = transaction.compares.into_iter().map(|compare| match compare {
        Compare::Created(key, revision) => {
            etcd_client::Compare::create_revision(key, etcd_client::CompareOp::Equal, revision.0)
        }
        Compare::Modified(key, revision) => {
            etcd_client::Compare::mod_revision(key, etcd_client::CompareOp::Equal, revision.0)
        }
    });
    let ops = transaction.ops.into_iter().map(|op| match op {
        Op::Put(key, value, lease) => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(key, value, options)
        }
        Op::Delete(key) => TxnOp::delete(key, None),
    });
    Txn::new().when(compares.collect::<Vec<_>>()).and_then(ops.collect::<Vec<_>>())
}
