use super::*;

#[test]
fn every_topic_has_a_name_and_every_name_its_topic() {
    let keys = Keys::new(ClusterId(0xab));
    let node = NodeId(7);
    let topics = [
        (Topic::View, "view"),
        (Topic::Member(node), "members/7"),
        (Topic::Lease(node), "leases/7"),
        (Topic::Reach(node), "reach/7"),
        (Topic::Hold(node), "fence/7"),
        (Topic::Fence(node, Incarnation(42)), "fence/7/42"),
    ];
    for (topic, rest) in topics {
        let name = keys.name(topic);
        assert_eq!(name, format!("/lockmaster/00000000000000ab/{rest}"));
        assert_eq!(keys.topic(&name), Some(topic));
    }
}

#[test]
fn other_names_are_not_ours() {
    let keys = Keys::new(ClusterId(0xab));
    let others =
        ["view/1", "members/07", "members/+7", "members/", "members/65535", "fence/7/x", "else/1", ""];
    for other in others {
        assert_eq!(keys.topic(&format!("{}{other}", keys.prefix())), None, "{other}");
    }
    assert_eq!(keys.topic("/lockmaster/00000000000000ac/view"), None);
}
