//! Messages that cross, get lost, come twice or come late: every such meeting has a defined outcome.
//!
//! The resource is mastered by `MASTER`. A frame that a script takes with `frame` is on its way and arrives
//! when it is delivered; one that is never delivered is lost.

mod demands;
mod peers;
mod positions;
mod requests;
mod values;

use core::time::Duration;

use lockmaster_core::wire::Body;
use lockmaster_core::{Denial, Event, LockId, NodeId, Value};
use lockmaster_tests::cluster::{Cluster, Frame, MASTER};

/// `Config::repeat_after`, by default.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
/// `Config::repeat_waiting_after`, by default.
pub(crate) const LONG: Duration = Duration::from_secs(5);
/// `Config::queued_after`, by default.
pub(crate) const QUEUED: Duration = Duration::from_millis(50);

pub(crate) fn is_grant(frame: &Frame) -> bool {
    matches!(frame.body(), Body::Grant(_))
}

pub(crate) fn is_demand(frame: &Frame) -> bool {
    matches!(frame.body(), Body::Demand(_))
}

pub(crate) fn number(frame: &Frame) -> u64 {
    match frame.body() {
        Body::Position(position) => position.number.0,
        Body::Queued(queued) => queued.number.0,
        Body::Grant(grant) => grant.number.0,
        Body::Deny(deny) => deny.number.0,
        Body::Demand(demand) => demand.number.0,
        Body::Written(number) => number.0,
        Body::Redirect(_) | Body::UpdatedLocks(_) => 0,
    }
}

pub(crate) fn value(bytes: &[u8]) -> Value {
    Value::new(bytes).expect("the value is short")
}

/// Nodes on record at the master, in the order of the queues.
pub(crate) fn order(cluster: &mut Cluster) -> Vec<NodeId> {
    cluster.look(MASTER).physical.iter().map(|physical| physical.node).collect()
}

pub(crate) fn is_granted(cluster: &mut Cluster, node: NodeId, lock: LockId) -> bool {
    cluster.happened(node).iter().any(|event| matches!(event, Event::Granted { lock: of, .. } if *of == lock))
}

pub(crate) fn is_denied(cluster: &mut Cluster, node: NodeId, lock: LockId) -> Option<Denial> {
    cluster.happened(node).iter().find_map(|event| match event {
        Event::Denied { lock: of, reason, .. } if *of == lock => Some(*reason),
        Event::Denied { .. }
        | Event::Granted { .. }
        | Event::Demanded { .. }
        | Event::Lost { .. }
        | Event::Transfer(_) => None,
    })
}
