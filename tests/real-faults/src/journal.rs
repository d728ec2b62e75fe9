//! A node's history, in the format of `lockmaster check-history`, with some fields more.
//!
//! Each line is given to the system at once, so that no line of a killed process is lost. Lines may be slightly out of
//! order; who reads them sorts them.

use core::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lockmaster_tokio::{Mode, NodeId, Token};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, which is one for all nodes, whatever their other clocks say.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).expect("the machine was not started in the future")
}

/// The history of a process.
pub(crate) struct Journal {
    node: u16,
    start: u32,
    file: Mutex<File>,
}

/// Who asked, and when.
pub(crate) struct Asked {
    pub(crate) at: u64,
    /// Who was master by the node's map.
    pub(crate) master: Option<NodeId>,
}

impl Journal {
    pub(crate) fn create(path: &Path, node: u16, start: u32) -> io::Result<Self> {
        Ok(Self { node, start, file: Mutex::new(File::create(path)?) })
    }

    pub(crate) fn granted(&self, t: u64, asked: &Asked, task: u32, resource: &str, lock: (Mode, Token)) {
        let master = asked.master.map_or(0, |master| master.0);
        let rest = format!(r#","asked":{},"master":{master}"#, asked.at);
        self.write(t, "granted", (task, resource), lock, rest);
    }

    pub(crate) fn released(&self, t: u64, task: u32, resource: &str, lock: (Mode, Token)) {
        self.write(t, "released", (task, resource), lock, "");
    }

    pub(crate) fn lost(&self, t: u64, task: u32, resource: &str, lock: (Mode, Token)) {
        self.write(t, "lost", (task, resource), lock, "");
    }

    fn write(
        &self,
        t: u64,
        event: &str,
        (task, resource): (u32, &str),
        (mode, token): (Mode, Token),
        rest: impl Display,
    ) {
        let (node, start) = (self.node, self.start);
        let mut line = String::with_capacity(256);
        write!(line, r#"{{"t":{t},"node":{node},"owner":"{node}/{start}/{task}","resource":"{resource}""#)
            .and_then(|()| writeln!(line, r#","event":"{event}","mode":"{mode}","token":"{token}"{rest}}}"#))
            .expect("a string takes everything");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).expect("the disk has room");
    }
}
