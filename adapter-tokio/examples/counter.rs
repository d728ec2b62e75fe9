//! A counter that stands nowhere but in the lock: 64 bytes travel with each grant, the value block.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example counter
//! ```

use core::error::Error;

use lockmaster_tokio::{Guard, LocalDir, LockOptions, Mode, Node, ValueState};

/// How often each node adds one.
const ROUNDS: u64 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut nodes = Vec::new();
    for number in 1..=3 {
        let node = Node::builder("counter").node(number).listen(([127, 0, 0, 1], 0).into());
        nodes.push(node.join(LocalDir::new(directory.path().join("members"))).start().await?);
    }

    // NL excludes nobody: it says that this node is interested. The block lives as long as somebody is.
    let interest = LockOptions::new(Mode::Null).value(true);
    let mut guard = nodes[0].lock_with("visits", interest).await?;
    tokio::try_join!(count(&nodes[0], interest), count(&nodes[1], interest), count(&nodes[2], interest))?;

    // For a look PR is enough: nobody may write meanwhile.
    guard.convert(Mode::ProtectedRead).await?;
    println!("{} visits", visits(&guard)?);
    assert_eq!(visits(&guard)?, 3 * ROUNDS);
    Ok(())
}

/// One node that counts.
async fn count(node: &Node, interest: LockOptions) -> Result<(), Box<dyn Error>> {
    let mut guard = node.lock_with("visits", interest).await?;
    for _ in 0..ROUNDS {
        // Up: the guard is given the block as the last writer left it.
        guard.convert(Mode::Exclusive).await?;
        let visits = visits(&guard)?;
        guard.set_value(&(visits + 1).to_be_bytes())?;
        // Down: what was set is written. Dropping the guard would do the same.
        guard.convert(Mode::Null).await?;
    }
    Ok(())
}

/// The block as a number.
fn visits(guard: &Guard) -> Result<u64, Box<dyn Error>> {
    match guard.value() {
        // Nobody has written it yet.
        Some(ValueState::Absent) => Ok(0),
        Some(ValueState::Valid(value)) => Ok(u64::from_be_bytes(value.as_bytes().try_into()?)),
        // A node died while it could have written: what is there may be old. Count anew, or look elsewhere.
        Some(ValueState::Invalid(_)) => Err("the counter was lost with a node".into()),
        None => Err("the lock was asked for without its value block".into()),
    }
}
