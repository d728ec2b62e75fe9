//! What the test binaries of `tests/tests` have in common.

pub mod changing;
pub mod cluster;
pub mod draws;
pub mod masters;
pub mod model;
pub mod notation;
pub mod owners;
pub mod reference;
#[cfg(lockmaster_faults)]
pub mod scoreboard;
pub mod storages;
