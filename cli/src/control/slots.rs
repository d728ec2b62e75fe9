//! What a client can have done with a node's slots.

use lockmaster_tokio::{Node, NodeId, SlotId, SlotRange, TransferError};

use crate::control::message::{Reason, Say};
use crate::control::query::ranges;
use crate::control::server::Control;
use crate::control::session::refused;

/// Most slots that a drain moves at a time.
const DRAIN_AT_ONCE: u32 = 512;

/// Gives slots to another node.
pub(crate) async fn transfer(control: &Control, first: u32, last: u32, to: u16) -> Say {
    let Some(len) = last.checked_sub(first).and_then(|more| more.checked_add(1)) else {
        return refused(Reason::Impossible, "the range ends before it begins");
    };
    match control.node.transfer(SlotRange { first: SlotId(first), len }, NodeId(to)).await {
        Ok(_) => Say::Done,
        Err(error) => refused(Reason::Impossible, &error.to_string()),
    }
}

/// Gives all slots to the other members, so that each of them gets about as many.
pub(crate) async fn drain(control: &Control) -> Say {
    match drain_node(&control.node).await {
        Ok(()) => Say::Done,
        Err(text) => refused(Reason::Impossible, &text),
    }
}

/// Gives all slots of a node away.
pub(crate) async fn drain_node(node: &Node) -> Result<(), String> {
    // Members that do not want slots now.
    let mut unwilling = Vec::new();
    while let Some(range) = next_range(node) {
        let shares = node.map().shares;
        let others =
            shares.iter().filter(|share| share.master != node.id() && !unwilling.contains(&share.master));
        let Some(to) = others.min_by_key(|share| share.slots).map(|share| share.master) else {
            return Err(match unwilling.len() {
                0 => "there is no other member that could take the slots".to_owned(),
                _ => "no other member takes the slots".to_owned(),
            });
        };
        match node.transfer(range, to).await {
            Ok(_) => unwilling.clear(),
            Err(TransferError::Refused(_) | TransferError::Member(_)) => unwilling.push(to),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Some slots that the node masters and that stay with it so far.
fn next_range(node: &Node) -> Option<SlotRange> {
    let mine = ranges(node).into_iter().find(|range| range.master == node.id().0 && !range.is_moving)?;
    let len = (mine.last - mine.first + 1).min(DRAIN_AT_ONCE);
    Some(SlotRange { first: SlotId(mine.first), len })
}
