//! The lock that everything shared goes through, so that loom can stand in for it.

pub(crate) use std::sync::Arc;

#[cfg(lockmaster_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(lockmaster_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};
