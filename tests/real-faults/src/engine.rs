//! The membership engine of a run: a server of etcd at a host of its own.

use core::time::Duration;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::PATIENCE;
use crate::failure::{Result, broken, require};
use crate::interrupt;
use crate::net::{Host, Net};
use crate::plan::EnginePlan;

/// Where it is.
pub(crate) const ENGINE: Host = Host(6);
/// Time to live of a member's lease, in seconds: short, so that runs are; long enough for a busy machine.
pub(crate) const TTL: u64 = 3;
const PORT: u16 = 2379;
/// Pause before a server that has just been started is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// A server that runs.
pub(crate) struct Engine {
    child: Child,
}

impl Engine {
    /// Starts it, and waits until it takes connections.
    pub(crate) fn start(net: &Net, folder: &Path) -> Result<Self> {
        let (data, log) = (folder.join("etcd"), folder.join("etcd.log"));
        let log = fs::File::create(&log).map_err(broken(log.display()))?;
        let url = url();
        let flags = [
            ("name", "engine"),
            ("data-dir", &data.to_string_lossy()),
            ("listen-client-urls", &url),
            ("advertise-client-urls", &url),
            ("listen-peer-urls", "http://127.0.0.1:2380"),
            ("initial-advertise-peer-urls", "http://127.0.0.1:2380"),
            ("initial-cluster", "engine=http://127.0.0.1:2380"),
            ("heartbeat-interval", "50"),
            ("election-timeout", "500"),
        ];
        let space = net.space(ENGINE);
        // It ends with this program, however that ends.
        let mut command = space.command("setpriv");
        command.args(["--pdeathsig", "KILL", "etcd"]);
        command.args(flags.iter().map(|(flag, value)| format!("--{flag}={value}")));
        command.stdout(Stdio::null()).stderr(log);
        let engine = Self { child: command.spawn().map_err(broken("starting etcd"))? };
        let until = Instant::now() + PATIENCE;
        while space.within(|| TcpStream::connect((ENGINE.address(), PORT)))?.is_err() {
            interrupt::check()?;
            require(Instant::now() < until, || "etcd does not start; see its log".to_owned())?;
            sleep(RETRY);
        }
        Ok(engine)
    }

    /// How nodes reach it; they keep their state below the folder.
    pub(crate) fn plan(folder: &Path) -> EnginePlan {
        EnginePlan::Etcd { endpoint: url(), state: folder.join("state"), ttl: TTL }
    }

    /// Stops it where it is.
    pub(crate) fn pause(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::STOP).map_err(broken("stopping etcd"))
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::CONT).map_err(broken("continuing etcd"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It has ended already, if it cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url() -> String {
    format!("http://{}:{PORT}", ENGINE.address())
}
