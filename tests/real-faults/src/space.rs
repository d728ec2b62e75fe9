//! Network namespaces: each a machine of its own as far as the network goes.
//!
//! Their names have this process's number in them, so that two runs do not meet. They are removed when they are dropped;
//! what a run that was killed has left behind is removed by the next.

use core::fmt::{self, Display};
use core::net::Ipv4Addr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Output, Stdio, id};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::failure::{Failure, Result, broken, require};
use crate::interrupt::apart;

/// Where the system keeps named namespaces.
const NAMED: &str = "/run/netns";
/// What all names begin with; the process's number follows.
const PREFIX: &str = "lockmaster-";

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Space {
    name: String,
}

impl Space {
    /// A new one, with nothing in it but its loopback.
    pub(crate) fn new(role: impl Display) -> Result<Self> {
        let space = Self { name: format!("{PREFIX}{}-{role}", id()) };
        run(ip().args(["netns", "add", &space.name]))?;
        space.ip("link set lo up\n")?;
        Ok(space)
    }

    /// A program that runs in it. It keeps the process's number that it is started with.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = ip();
        command.args(["netns", "exec", &self.name]).arg(program.as_ref()).stdin(Stdio::null());
        command
    }

    /// Commands of `ip`, one a line, in it.
    pub(crate) fn ip(&self, lines: &str) -> Result<()> {
        feed(ip().args(["-n", &self.name, "-batch", "-"]), lines).map(drop)
    }

    /// A cable to another one. Each end is named and has an address of a net of four.
    pub(crate) fn join(&self, end: &str, own: Ipv4Addr, other: &Self, theirs: Ipv4Addr) -> Result<()> {
        let (here, there) = (&self.name, &other.name);
        let lines = format!("link add name {end} netns {here} type veth peer name uplink netns {there}\n");
        feed(ip().args(["-batch", "-"]), &lines)?;
        self.ip(&format!("addr add {own}/30 dev {end}\nlink set {end} up\n"))?;
        other.ip(&format!(
            "addr add {theirs}/30 dev uplink\nlink set uplink up\nroute add default via {own}\n"
        ))
    }

    /// Does this in it and waits. What sockets are made there stay there.
    pub(crate) fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let place = File::open(Path::new(NAMED).join(&self.name)).map_err(broken(&self.name))?;
        // The thread ends in there: nothing else of this process is moved.
        let thread = thread::spawn(move || {
            move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).map(|()| work())
        });
        let done =
            thread.join().map_err(|_| Failure::Broken(format!("{self}: what was done has panicked")))?;
        done.map_err(broken(format!("entering {self}")))
    }
}

impl Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes the namespaces of processes that are no more.
pub(crate) fn remove_abandoned() {
    for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse().ok());
        if number.is_some_and(is_over) {
            remove(&name);
        }
    }
}

/// Does no process have this number any more?
pub(crate) fn is_over(process: u32) -> bool {
    !Path::new("/proc").join(process.to_string()).exists()
}

/// Its cables go with it. If it cannot be removed, somebody else has done so.
fn remove(name: &str) {
    let _ = ip().args(["netns", "del", name]).stderr(Stdio::null()).status();
}

fn ip() -> Command {
    let mut command = Command::new("ip");
    apart(&mut command);
    command
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().map_err(broken(format!("{command:?}")))?;
    require(output.status.success(), || failed(command, &output))?;
    Ok(output)
}

/// Runs a command that must succeed, and reads these lines.
pub(crate) fn feed(command: &mut Command, lines: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(broken(format!("{command:?}")))?;
    let mut input = child.stdin.take().expect("its input is a pipe");
    let written = input.write_all(lines.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(broken(format!("{command:?}")))?;
    require(output.status.success(), || format!("{lines}{}", failed(command, &output)))?;
    written.map_err(broken(format!("{command:?}")))?;
    Ok(output)
}

fn failed(command: &Command, output: &Output) -> String {
    format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
}
