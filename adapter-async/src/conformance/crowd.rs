//! Tasks that see for themselves that locks keep out whom they have to.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use super::rig::{EX, PR, names_at};
use crate::{Node, Runtime};

/// What a writer counts among those who have a lock. A reader counts one.
const WRITER: u32 = 1 << 16;

/// Resources, and who has a lock on each by their own account. Clones are the same.
#[derive(Clone)]
pub(super) struct Crowd(Arc<[Visited]>);

struct Visited {
    name: String,
    inside: AtomicU32,
}

impl Crowd {
    /// As many resources of each node, as the first one sees it.
    pub(super) fn new<R: Runtime>(nodes: &[Node<R>], of_each: usize) -> Self {
        let names = nodes.iter().flat_map(|master| names_at(&nodes[0], master, of_each));
        Self(names.map(|name| Visited { name, inside: AtomicU32::new(0) }).collect())
    }

    /// Takes a lock on one of the resources, looks who else has one, lets others run, and lets go.
    pub(super) async fn visit<R: Runtime>(&self, runtime: &R, node: &Node<R>, at: usize, is_writer: bool) {
        let Visited { name, inside } = &self.0[at % self.0.len()];
        let (mode, weight) = if is_writer { (EX, WRITER) } else { (PR, 1) };
        let guard = node.lock(name, mode).await.unwrap();
        let before = inside.fetch_add(weight, Ordering::SeqCst);
        let is_right = if is_writer { before == 0 } else { before < WRITER };
        assert!(is_right, "{before:x} beside {weight:x}");
        runtime.yield_now().await;
        inside.fetch_sub(weight, Ordering::SeqCst);
        drop(guard);
    }
}
