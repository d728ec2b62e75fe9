//! What becomes of a node whose runtime is entered and left.

use lockmaster_tokio::{Guard, LockError, Mode, Node};
use tokio::runtime::{Builder, Runtime};

const EX: Mode = Mode::Exclusive;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A node with nobody else, and a lock of it.
async fn node_with_lock() -> (Node, Guard) {
    let node = Node::builder("test").start().await.unwrap();
    let guard = node.lock("a", EX).await.unwrap();
    (node, guard)
}

#[test]
fn a_guard_can_be_dropped_while_nobody_runs_the_runtime() {
    let runtime = runtime();
    let (node, guard) = runtime.block_on(node_with_lock());
    drop(guard);
    runtime.block_on(async { drop(node.lock("a", EX).await.unwrap()) });
}

#[test]
fn handles_outlive_the_runtime() {
    let runtime = runtime();
    let (node, guard) = runtime.block_on(node_with_lock());
    drop(runtime);
    drop(guard);
    // Its tasks are gone: who wants to know the end of it gets that, in whatever runtime.
    let other = self::runtime();
    other.block_on(node.shutdown());
    assert_eq!(other.block_on(node.lock("a", EX)).unwrap_err(), LockError::Closed);
}
