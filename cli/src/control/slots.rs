//! What a client can have done with a node's slots.

use lockmaster_tokio::{NodeId, SlotId, SlotRange};

use crate::control::message::{Reason, Say};
use crate::control::server::Control;
use crate::control::session::refused;

/// Gives slots to another node.
pub(crate) async fn transfer(control: &Control, first: u32, last: u32, to: u16) -> Say {
    let Some(more) = last.checked_sub(first) else {
        return refused(Reason::Impossible, "the range ends before it begins");
    };
    let slots = control.node.all_slots();
    // No range of slots can be as long as the numbers go.
    let Some(len) = more.checked_add(1).filter(|_| last < slots.len) else {
        let text = format!("there is no slot {last}: the last one is {}", slots.len - 1);
        return refused(Reason::Impossible, &text);
    };
    match control.node.transfer(SlotRange { first: SlotId(first), len }, NodeId(to)).await {
        Ok(_) => Say::Done,
        Err(error) => refused(Reason::Impossible, &error.to_string()),
    }
}

/// Gives all slots to the other members, for good.
pub(crate) async fn drain(control: &Control) -> Say {
    if control.node.members().len() == 1 {
        return refused(Reason::Impossible, "there is no other member that could take the slots");
    }
    if control.node.drain().await {
        Say::Done
    } else {
        refused(Reason::Impossible, "nobody takes the slots any more")
    }
}
