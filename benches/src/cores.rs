//! Which core this process runs on: a message to another core costs several times one on the same, and the kernel
//! moves processes as it likes.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// This process on one core, until this is dropped.
pub(crate) struct Pinned(CpuSet);

/// Puts the calling thread on one of the cores that it may use, counted round.
pub(crate) fn pin(number: usize) -> Pinned {
    let before = sched_getaffinity(None).expect("a thread may ask for its cores");
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
    let mut one = CpuSet::new();
    one.set(cores[number % cores.len()]);
    sched_setaffinity(None, &one).expect("a thread may choose among its cores");
    Pinned(before)
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.0).expect("a thread may have its cores back");
    }
}
