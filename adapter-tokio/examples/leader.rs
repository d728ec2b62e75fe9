//! Leader election: whoever holds the lock leads, and everybody can read in its value block who that is.
//!
//! The leader holds PW. That excludes other leaders, but not readers in CR, for which EX would be too much.
//!
//! ```sh
//! cargo run -p lockmaster-tokio --example leader
//! ```

use core::error::Error;

use lockmaster_tokio::{Flags, Guard, LocalDir, LockOptions, Mode, Node, NodeId, ValueState};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (elected, mut elections) = mpsc::unbounded_channel();
    let mut nodes = Vec::new();
    for number in 1..=4 {
        let node = Node::builder("leader").node(number).listen(([127, 0, 0, 1], 0).into());
        nodes.push(node.join(LocalDir::new(directory.path().join("members"))).start().await?);
    }
    // The last one only watches.
    let watcher = nodes.pop().ok_or("there are four")?;
    for node in nodes.clone() {
        let elected = elected.clone();
        tokio::spawn(async move {
            // A leader that has lost its lock stands again, until its node is shut down.
            while let Ok(guard) = lead(&node).await {
                if elected.send((node.id(), guard.fencing_token())).is_err() {
                    return;
                }
                // Here it would work, with the token on everything that it sends: who has seen a later one knows better.
                guard.lost().await;
            }
        });
    }
    drop(elected);

    let mut last = None;
    while let Some((leader, token)) = elections.recv().await {
        println!("node {leader} leads; its term is {token}");
        assert!(last < Some(token), "terms rise");
        last = Some(token);

        // A block is written in the background. What is seen meanwhile is nobody, and never the last leader.
        let seen = loop {
            if let Some(seen) = leader_seen_by(&watcher).await? {
                break seen;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(seen, leader);

        // The leader dies, and another one follows.
        let at = nodes.iter().position(|node| node.id() == leader).ok_or("only a living node leads")?;
        nodes.remove(at).shutdown().await;
    }
    assert!(nodes.is_empty());
    println!("each has had its term");
    watcher.shutdown().await;
    Ok(())
}

/// Becomes the leader, however long that takes, and says so.
async fn lead(node: &Node) -> Result<Guard, Box<dyn Error + Send + Sync>> {
    let mut guard = node.lock_with("leader", LockOptions::new(Mode::ProtectedWrite).value(true)).await?;
    guard.set_value(&node.id().0.to_be_bytes())?;
    // A conversion to the same mode writes the block, and keeps the lock.
    guard.convert(Mode::ProtectedWrite).await?;
    Ok(guard)
}

/// Who leads; nobody if the last leader is gone. It died while it could have written, so its block is marked invalid until
/// the next one writes.
async fn leader_seen_by(node: &Node) -> Result<Option<NodeId>, Box<dyn Error>> {
    // The other candidates wait in front of whoever comes later. A look need not stand in line: it is in nobody's way.
    let look = LockOptions::new(Mode::ConcurrentRead).flags(Flags::NO_ORDER).value(true);
    let guard = node.lock_with("leader", look).await?;
    match guard.value() {
        Some(ValueState::Valid(value)) => Ok(Some(NodeId(u16::from_be_bytes(value.as_bytes().try_into()?)))),
        Some(ValueState::Invalid(_) | ValueState::Absent) | None => Ok(None),
    }
}
