//! Two nodes and a lock. Start here.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example quick_start
//! ```

use core::error::Error;
use core::time::Duration;

use lockmaster_tokio::{LocalDir, LockError, LockOptions, Mode, Node};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // On one machine a directory is all that the nodes of a cluster share. Usually each node is a process of its own.
    let directory = tempfile::tempdir()?;
    let start = |number| {
        let node = Node::builder("orders").node(number).listen(([127, 0, 0, 1], 0).into());
        node.join(LocalDir::new(directory.path().join("members"))).start()
    };
    let one = start(1).await?;
    let two = start(2).await?;

    // A lock has a name and a mode. EX excludes everybody else, on all nodes.
    let guard = one.lock("invoice/42", Mode::Exclusive).await?;
    let token = guard.fencing_token();
    println!("node {} has invoice/42, with token {token}", one.id());

    // Who does not want to wait is told that it is busy, and who wants to wait need not do so for ever.
    let busy = two.try_lock("invoice/42", Mode::Exclusive).await;
    assert!(matches!(busy, Err(LockError::Busy)));
    let patience = LockOptions::new(Mode::Exclusive).timeout(Duration::from_millis(20));
    let late = two.lock_with("invoice/42", patience).await;
    assert!(matches!(late, Err(LockError::TimedOut)));

    // Dropping the guard releases the lock. The next one has a higher token: a storage that keeps the highest can refuse
    // whoever comes too late.
    drop(guard);
    let guard = two.lock("invoice/42", Mode::Exclusive).await?;
    assert!(guard.fencing_token() > token);
    println!("node {} has it next, with token {}", two.id(), guard.fencing_token());
    drop(guard);

    // PR is for readers: there may be many of them, and a writer waits until they are gone.
    let readers = tokio::try_join!(
        one.lock("invoice/42", Mode::ProtectedRead),
        two.lock("invoice/42", Mode::ProtectedRead)
    )?;
    println!("both read it");
    drop(readers);

    // A node that leaves gives away what it manages first, so nobody notices.
    assert!(two.leave(Duration::from_secs(10)).await.is_clean());
    let guard = one.lock("invoice/42", Mode::Exclusive).await?;
    println!("node {} goes on alone", one.id());
    drop(guard);
    one.shutdown().await;
    Ok(())
}
