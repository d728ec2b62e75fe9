//! What the bench ran on.

use std::fs::read_to_string;
use std::thread::available_parallelism;

/// The host and the program, as far as the system tells.
pub(super) fn described() -> String {
    let cores = available_parallelism().map_or_else(|_| "some".to_owned(), |cores| cores.to_string());
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let program = concat!("lockmaster ", env!("CARGO_PKG_VERSION"));
    let build = if cfg!(debug_assertions) { " (built without optimisation)" } else { "" };
    format!("{program}{build} on {cores} cores of {processor}, {} {}", std::env::consts::OS, release.trim())
}

/// What the first processor calls itself.
fn processor() -> Option<String> {
    let text = read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
