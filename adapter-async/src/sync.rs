//! What threads share a node through, so that loom and shuttle can stand in for it.

#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};
#[cfg(lockmaster_loom)]
pub(crate) use loom::sync::atomic::{AtomicU16, AtomicU64, Ordering};
#[cfg(lockmaster_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(lockmaster_shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU16, AtomicU64, Ordering};
#[cfg(lockmaster_shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

use std::sync::LockResult;
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
use std::sync::TryLockError;

/// Locks a mutex that is held for a fraction of a microsecond at a time, mostly.
// The mutex of the system tries again and again for a while and then has the thread sleep, and with that the one that
// unlocks wake it: some ten times what the mutex is held for, and a whole turn of the other threads is over meanwhile.
// Each try takes the line of the mutex from whoever is at work in it, so they come further and further apart.
#[cfg(not(any(lockmaster_loom, lockmaster_shuttle)))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> LockResult<MutexGuard<'_, T>> {
    for pauses in [8, 16, 32, 64, 128, 256] {
        match mutex.try_lock() {
            Ok(guard) => return Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Err(poisoned),
            Err(TryLockError::WouldBlock) => (0..pauses).for_each(|_| core::hint::spin_loop()),
        }
    }
    mutex.lock()
}

/// The same in models, which try every order without it.
#[cfg(any(lockmaster_loom, lockmaster_shuttle))]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> LockResult<MutexGuard<'_, T>> {
    mutex.lock()
}
