//! The node's end of the control socket.

use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as BoundListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lockmaster_tokio::{LocalDir, Node};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::control::message::{ClientRow, Reason, Say};
use crate::control::session;

/// Most connections at a time. A client that has a lock takes two.
pub(crate) const CLIENTS_MAX: usize = 512;

/// Most large answers that are being sent at a time.
pub(crate) const ANSWERS_MAX: usize = 4;

/// How long to wait when the system has no room for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a node has to know to serve its clients.
pub(crate) struct Control {
    pub(crate) node: Node,
    pub(crate) cluster: String,
    /// Names of its spaces, in their order.
    pub(crate) spaces: Vec<String>,
    pub(crate) start: Instant,
    /// What makes the node a member, if it is something that can be shared.
    directory: Option<LocalDir>,
    clients: Mutex<Clients>,
    /// Turns of large answers.
    pub(crate) answers: Semaphore,
    pub(crate) leave: watch::Sender<Leave>,
}

/// Is the node about to leave?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// No.
    No,
    /// It grants no new locks to clients.
    Soon,
    /// It ends by then, and with it all locks.
    By(tokio::time::Instant),
}

#[derive(Default)]
struct Clients {
    last: u64,
    present: BTreeMap<u64, Client>,
}

/// One connection, as others see it.
pub(crate) struct Client {
    pub(crate) pid: Option<i32>,
    pub(crate) uid: u32,
    /// How many leashes it has.
    pub(crate) leashes: Arc<watch::Sender<u32>>,
    pub(crate) holds: Option<Holds>,
}

/// The lock that a client has.
#[derive(Clone)]
pub(crate) struct Holds {
    pub(crate) name: String,
    pub(crate) mode: String,
    pub(crate) group: Option<i32>,
}

/// A place among the clients, given back when this is dropped.
pub(crate) struct Admission {
    control: Arc<Control>,
    pub(crate) client: u64,
}

impl Control {
    pub(crate) fn new(
        node: Node,
        cluster: String,
        spaces: Vec<String>,
        directory: Option<LocalDir>,
    ) -> Arc<Self> {
        let (leave, _) = watch::channel(Leave::No);
        let (start, clients) = (Instant::now(), Mutex::default());
        let answers = Semaphore::new(ANSWERS_MAX);
        Arc::new(Self { node, cluster, spaces, start, directory, clients, answers, leave })
    }

    /// A share in the membership: the node is not taken for dead while anybody has it.
    pub(crate) fn share(&self) -> Option<OwnedFd> {
        // Without it, a node that dies is found dead at once, which its clients notice too.
        self.directory.as_ref()?.share().ok().flatten()
    }

    /// Serves clients for ever.
    ///
    /// # Errors
    /// The socket cannot be listened on.
    pub(crate) async fn serve(self: Arc<Self>, listener: BoundListener) -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            tokio::spawn(session::serve(Arc::clone(&self), stream));
        }
    }

    /// Gives a connection a number, if there is room for it.
    pub(crate) fn admit(self: &Arc<Self>, pid: Option<i32>, uid: u32) -> Result<Admission, Say> {
        let mut clients = self.clients();
        if clients.present.len() >= CLIENTS_MAX {
            let text = format!("{CLIENTS_MAX} clients are connected");
            return Err(Say::Refused { reason: Reason::Crowded, text });
        }
        clients.last += 1;
        let client = clients.last;
        let (leashes, _) = watch::channel(0);
        clients.present.insert(client, Client { pid, uid, leashes: Arc::new(leashes), holds: None });
        Ok(Admission { control: Arc::clone(self), client })
    }

    /// The leashes of a client, if it is there.
    pub(crate) fn leashes(&self, client: u64) -> Option<Arc<watch::Sender<u32>>> {
        self.clients().present.get(&client).map(|client| Arc::clone(&client.leashes))
    }

    /// Notes what a client has.
    pub(crate) fn note(&self, client: u64, holds: Option<Holds>) {
        if let Some(client) = self.clients().present.get_mut(&client) {
            client.holds = holds;
        }
    }

    /// How many clients are connected.
    pub(crate) fn count(&self) -> usize {
        self.clients().present.len()
    }

    /// Process of a client.
    pub(crate) fn pid_of(&self, client: u64) -> Option<i32> {
        self.clients().present.get(&client).and_then(|client| client.pid)
    }

    pub(crate) fn client_rows(&self) -> Vec<ClientRow> {
        let row = |(number, client): (&u64, &Client)| ClientRow {
            client: *number,
            pid: client.pid,
            uid: client.uid,
            name: client.holds.as_ref().map(|holds| holds.name.as_bytes().escape_ascii().to_string()),
            mode: client.holds.as_ref().map(|holds| holds.mode.clone()),
            group: client.holds.as_ref().and_then(|holds| holds.group),
        };
        self.clients().present.iter().map(row).collect()
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        // Each change is one step, so a panic leaves nothing half done.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.control.clients().present.remove(&self.client);
    }
}
