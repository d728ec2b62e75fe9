//! Which members stay when not all of them can talk to each other.

use std::collections::BTreeSet;

use lockmaster_async::NodeId;

/// Two members that cannot talk to each other, the lower one first.
pub(crate) type Cut = (NodeId, NodeId);

/// The members that stay: the larger connected side, of equal ones that with the lowest number. Where some of that
/// side cannot talk to each other directly, the one with the most cuts goes, the highest of equal ones, until all can.
///
/// Everybody who sees the same cuts comes to the same result.
pub(crate) fn staying(members: &BTreeSet<NodeId>, cuts: &BTreeSet<Cut>) -> BTreeSet<NodeId> {
    let mut side = staying_side(members, cuts);
    loop {
        let count = |node: NodeId| {
            let other = |&(a, b): &Cut| (a == node).then_some(b).or((b == node).then_some(a));
            cuts.iter().filter_map(other).filter(|other| side.contains(other)).count()
        };
        let Some(worst) = side.iter().copied().max_by_key(|node| (count(*node), *node)) else { return side };
        if count(worst) == 0 {
            return side;
        }
        side.remove(&worst);
    }
}

/// The largest set of members that are connected, be it through others; of equal ones that with the lowest number.
fn staying_side(members: &BTreeSet<NodeId>, cuts: &BTreeSet<Cut>) -> BTreeSet<NodeId> {
    let mut left = members.clone();
    let mut largest = BTreeSet::new();
    while let Some(first) = left.pop_first() {
        let mut side = BTreeSet::from([first]);
        let mut to_visit = vec![first];
        while let Some(node) = to_visit.pop() {
            let is_linked = |other: &NodeId| !cuts.contains(&(node.min(*other), node.max(*other)));
            let linked: Vec<NodeId> = left.iter().copied().filter(is_linked).collect();
            for other in linked {
                left.remove(&other);
                side.insert(other);
                to_visit.push(other);
            }
        }
        // Sides come in order of their lowest member, so an equal one does not displace an earlier one.
        if side.len() > largest.len() {
            largest = side;
        }
    }
    largest
}

#[cfg(test)]
mod tests;
