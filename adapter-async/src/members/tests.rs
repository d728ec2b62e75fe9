use lockmaster_core::Epoch;

use super::*;

#[test]
fn of_views_that_are_put_off_the_latest_is_tried_again() {
    let mut members = Members::outside(NodeId(1), false);
    for epoch in [8, 9, 7] {
        members.put_off(ClusterView { epoch: Epoch(epoch), members: Vec::new() });
    }
    // A provider may tell from several threads, and it tells each view once.
    assert_eq!(members.take_put_off().map(|view| view.epoch), Some(Epoch(9)));
}
