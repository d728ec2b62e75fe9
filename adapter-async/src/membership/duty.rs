//! What the machines of a node ask of the thread that joined.
//!
//! A life of the node begins and ends with that of its machines: who is no member in one of them is none at all.

use lockmaster_core::NodeId;

use crate::machines::reachable;
use crate::members::{LifeSight, Sight};

/// What the thread that joined has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Say that the node is about to leave.
    Announce,
    /// Say whom the node is connected to.
    Report(Vec<NodeId>),
    /// One machine's life is over: end those of the others.
    Fence,
    /// This life is over, and every owner knows it: begin another.
    Rejoin,
    /// The node was shut down.
    Leave,
    /// The node was shut down by a panic, or is none any more: others must not believe that it has nothing any more.
    Die,
}

impl Duty {
    /// What has to be done now, as the machines are. `reported` are the peers of which the engine was told in this life, if
    /// it was told at all.
    pub(crate) fn of(machines: &[Sight], reported: Option<&[NodeId]>) -> Option<Self> {
        let any = |wanted: LifeSight| machines.iter().any(|machine| machine.life == wanted);
        if any(LifeSight::Broken) {
            return Some(Self::Die);
        }
        let is_over = any(LifeSight::Fenced) || any(LifeSight::Mourned);
        if any(LifeSight::Closed) {
            return Some(if is_over { Self::Die } else { Self::Leave });
        }
        if is_over {
            if any(LifeSight::GoesOn) {
                return Some(Self::Fence);
            }
            return (!any(LifeSight::Fenced)).then_some(Self::Rejoin);
        }
        if machines.iter().any(|machine| machine.is_leave_asked) {
            return Some(Self::Announce);
        }
        let reachable = reachable(machines.iter().map(|machine| &*machine.connected));
        (reported != Some(&*reachable)).then_some(Self::Report(reachable))
    }
}

#[cfg(test)]
mod tests;
