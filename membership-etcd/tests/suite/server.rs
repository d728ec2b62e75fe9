//! Servers of etcd on loopback, which end with the test.

use core::time::Duration;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use etcd_client::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::time::{PATIENCE, until};

/// One server, or several that form a cluster.
pub(crate) struct Servers {
    servers: Vec<Server>,
    runtime: Runtime,
    _folder: TempDir,
}

struct Server {
    args: Vec<String>,
    endpoint: String,
    child: Option<Child>,
    /// Where it says that it is ready.
    ready: PathBuf,
    news: Option<News>,
}

/// What a server that was started tells.
struct News {
    ready: UnixDatagram,
    /// It ends with the server, and is silent until then.
    output: ChildStdout,
}

impl Servers {
    /// Starts so many servers and waits until they answer.
    pub(crate) fn start(count: usize) -> Self {
        // Ports are chosen before the servers take them, so somebody else may be faster.
        until("servers that start", || Self::try_start(count))
    }

    fn try_start(count: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<TcpListener> =
            (0..2 * count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let urls: Vec<String> =
            ports.iter().map(|port| format!("http://{}", port.local_addr().unwrap())).collect();
        drop(ports);
        let (clients, peers) = urls.split_at(count);
        let cluster: Vec<String> =
            peers.iter().enumerate().map(|(at, peer)| format!("s{at}={peer}")).collect();
        let servers = (0..count).map(|at| {
            let data = folder.path().join(format!("s{at}"));
            let flags = [
                ("name", format!("s{at}")),
                ("data-dir", data.display().to_string()),
                ("listen-client-urls", clients[at].clone()),
                ("advertise-client-urls", clients[at].clone()),
                ("listen-peer-urls", peers[at].clone()),
                ("initial-advertise-peer-urls", peers[at].clone()),
                ("initial-cluster", cluster.join(",")),
                ("heartbeat-interval", "50".to_owned()),
                ("election-timeout", "500".to_owned()),
                ("logger", "zap".to_owned()),
                ("log-level", "error".to_owned()),
            ];
            let args = flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
            let ready = folder.path().join(format!("s{at}.ready"));
            Server { args, endpoint: clients[at].clone(), child: None, ready, news: None }
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut servers = Self { servers: servers.collect(), runtime, _folder: folder };
        for at in 0..count {
            servers.run(at);
        }
        let is_up = (0..count).all(|at| servers.wait(at));
        is_up.then_some(servers)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.endpoint.clone()).collect()
    }

    /// The only server's address.
    pub(crate) fn address(&self) -> &str {
        self.servers[0].endpoint.strip_prefix("http://").unwrap()
    }

    /// Starts a server, or starts it again with its data, and waits until it answers.
    pub(crate) fn restart(&mut self, at: usize) {
        self.run(at);
        assert!(self.wait(at), "the server does not start again");
    }

    pub(crate) fn kill(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let mut child = server.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Freezes a server.
    pub(crate) fn pause(&self, at: usize) {
        self.signal(at, Signal::STOP);
    }

    pub(crate) fn resume(&self, at: usize) {
        self.signal(at, Signal::CONT);
    }

    /// Copies the data of a server that does not run.
    pub(crate) fn save(&self, at: usize, to: &Path) {
        assert!(self.servers[at].child.is_none());
        copy(Path::new(&self.data(at)), to);
    }

    /// Puts an earlier copy in place of the data of a server that does not run.
    pub(crate) fn restore(&self, at: usize, from: &Path) {
        assert!(self.servers[at].child.is_none());
        let data = self.data(at);
        fs::remove_dir_all(&data).unwrap();
        copy(from, Path::new(&data));
    }

    /// The server that leads the cluster.
    pub(crate) fn leader(&self) -> usize {
        until("a leader", || {
            (0..self.servers.len()).find(|at| {
                let status = self.with(*at, async |mut client| client.status().await);
                status.is_ok_and(|status| {
                    status.leader() != 0
                        && status.header().is_some_and(|header| header.member_id() == status.leader())
                })
            })
        })
    }

    /// Asks a server for something.
    pub(crate) fn with<T>(
        &self,
        at: usize,
        ask: impl AsyncFnOnce(Client) -> Result<T, etcd_client::Error>,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            let asked = async { ask(Client::connect([&self.servers[at].endpoint], None).await?).await };
            match tokio::time::timeout(Duration::from_secs(5), asked).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err("no answer".to_owned()),
            }
        })
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        self.with(0, async |mut client| client.put(key, value, None).await).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) {
        self.with(0, async |mut client| client.delete(key, None).await).unwrap();
    }

    /// Every value that a key has had, oldest first, as far as it is not compacted.
    pub(crate) fn history(&self, key: &str) -> Vec<String> {
        let found = self.with(0, async |mut client| {
            let newest = client.get(key, None).await?;
            let Some(newest) = newest.kvs().first().cloned() else { return Ok(Vec::new()) };
            let mut values = Vec::new();
            let mut at = newest.mod_revision();
            loop {
                let options = etcd_client::GetOptions::new().with_revision(at);
                let Ok(found) = client.get(key, Some(options)).await else { break };
                let Some(found) = found.kvs().first() else { break };
                values.push(found.value_str()?.to_owned());
                at = found.mod_revision() - 1;
                if at <= 0 {
                    break;
                }
            }
            values.reverse();
            Ok(values)
        });
        found.unwrap()
    }

    fn data(&self, at: usize) -> String {
        let args = &self.servers[at].args;
        args.iter().find_map(|arg| arg.strip_prefix("--data-dir=")).unwrap().to_owned()
    }

    fn run(&mut self, at: usize) {
        let server = &mut self.servers[at];
        // One that ran before has left it.
        let _absent = fs::remove_file(&server.ready);
        let ready = UnixDatagram::bind(&server.ready).unwrap();
        let mut command = Command::new("etcd");
        command.args(&server.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env_remove("ETCD_NAME").env("NOTIFY_SOCKET", &server.ready);
        let mut child = command.spawn().expect("etcd is installed");
        let output = child.stdout.take().expect("it is piped");
        server.news = Some(News { ready, output });
        server.child = Some(child);
    }

    /// Waits until a server answers; `false` if it has ended.
    fn wait(&mut self, at: usize) -> bool {
        let News { ready, output } = self.servers[at].news.as_ref().expect("it was started");
        let mut sources = [PollFd::new(ready, PollFlags::IN), PollFd::new(output, PollFlags::empty())];
        let patience = Timespec::try_from(PATIENCE).unwrap();
        assert_ne!(poll(&mut sources, Some(&patience)).unwrap(), 0, "the server neither is ready nor ends");
        let is_ready = sources[0].revents().contains(PollFlags::IN);
        is_ready && self.with(at, async |mut client| client.get("x", None).await).is_ok()
    }

    fn signal(&self, at: usize, signal: Signal) {
        let child = self.servers[at].child.as_ref().expect("it runs");
        let id = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        if signal == Signal::STOP {
            // The signal was sent; the process is stopped once the system says so.
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
            assert!(waitid(WaitId::Pid(id), options).unwrap().is_some_and(|status| status.stopped()));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // SIGKILL ends a process that is stopped, too.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // The permissions matter: etcd refuses a folder that others may read.
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
