//! What threads share a node through, so that loom and shuttle can stand in for it.

#[cfg(lockmaster_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(lockmaster_shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};
