//! A cache that is never stale, and never asks whether it is.
//!
//! Whoever keeps a copy keeps a PR lock with it. Who wants to write asks for EX, so everybody with a copy is told that
//! somebody waits: a demand. They forget the copy, then let go of the lock.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example cache
//! ```

use core::error::Error;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockmaster_tokio::{LocalDir, LockError, Mode, Node};

const READS: u32 = 1000;
const WRITES: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let storage = Arc::new(Storage::default());
    let mut caches = Vec::new();
    for number in 1..=3 {
        let node = Node::builder("cache").node(number).listen(([127, 0, 0, 1], 0).into());
        let node = node.join(LocalDir::new(directory.path().join("members"))).start().await?;
        caches.push(Cache { node, storage: Arc::clone(&storage), copy: Arc::default() });
    }

    for version in 1..=WRITES {
        let writer = &caches[version as usize % caches.len()];
        writer.write(&format!("version {version}")).await?;
        for cache in &caches {
            for _ in 0..READS {
                assert_eq!(cache.read().await?, format!("version {version}"), "a copy is never stale");
            }
        }
    }

    let (reads, loads) = (WRITES * READS * 3, storage.loads.load(Ordering::Relaxed));
    println!("{reads} reads, {WRITES} writes, {loads} times the storage was asked");
    assert_eq!(loads, WRITES * 3, "each cache loads a version once");
    Ok(())
}

/// What all nodes share, and is slow to ask: a disk, a database.
#[derive(Default)]
struct Storage {
    page: Mutex<String>,
    loads: AtomicU32,
}

/// One node's cache, of one page for short.
struct Cache {
    node: Node,
    storage: Arc<Storage>,
    copy: Arc<Mutex<Option<String>>>,
}

impl Cache {
    async fn read(&self) -> Result<String, LockError> {
        if let Some(page) = open(&self.copy).clone() {
            return Ok(page);
        }
        let guard = self.node.lock("page", Mode::ProtectedRead).await?;
        let page = self.storage.load();
        *open(&self.copy) = Some(page.clone());
        let copy = Arc::clone(&self.copy);
        tokio::spawn(async move {
            tokio::select! {
                // Somebody waits for a mode that this lock is in the way of.
                _ = guard.contended() => {}
                // The node is no member any more, and others may write.
                () = guard.lost() => {}
            }
            // First the copy, then the lock: in this order there is no instant at which the copy could be wrong.
            *open(&copy) = None;
            drop(guard);
        });
        Ok(page)
    }

    async fn write(&self, page: &str) -> Result<(), LockError> {
        // Granted when nobody has a copy any more, also not this cache.
        let _guard = self.node.lock("page", Mode::Exclusive).await?;
        page.clone_into(&mut open(&self.storage.page));
        Ok(())
    }
}

impl Storage {
    fn load(&self) -> String {
        self.loads.fetch_add(1, Ordering::Relaxed);
        open(&self.page).clone()
    }
}

/// Each change is one step, so a panic leaves nothing half done.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
