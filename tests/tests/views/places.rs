//! Who has a place at a node whose view changes.

use lockmaster_core::{
    Certainty, ClusterId, Config, Epoch, HeapMemory, Incarnation, Instant, Limits, Node, NodeId, SpaceConfig,
    View, ViewError, ViewMember,
};

const ME: NodeId = NodeId(1);

fn member(node: NodeId, joined: u32) -> ViewMember {
    ViewMember {
        node,
        incarnation: Incarnation(u64::from(node.0) + 100),
        joined: Epoch(joined),
        is_leaving: false,
    }
}

fn view(epoch: u32, members: &[ViewMember]) -> View {
    let mut view = View { epoch: Epoch(epoch), ..View::default() };
    assert!(members.iter().all(|member| view.add(*member)));
    view
}

/// A node with a place for itself and one for another.
fn node_of(id: NodeId) -> Node<HeapMemory> {
    let mut config = Config::new(ClusterId(1), id, Incarnation(u64::from(id.0) + 100));
    config.spaces = [SpaceConfig::new("plain").expect("the name is short")].into_iter().collect();
    config.places = 2;
    let memory = HeapMemory::new(&Limits::uniform(8), &config);
    Node::new(config, memory).expect("the configuration is sound")
}

/// Who joined with a view that this node has missed may know of locks, so that no map is agreed on without it.
#[test]
fn a_suspect_node_takes_no_view_with_somebody_who_must_be_heard_and_has_no_place() {
    let (departed, other) = (NodeId(2), NodeId(3));
    let now = Instant::START;
    let mut node = node_of(ME);
    node.handle_certainty(now, Certainty::FOR_EVER);
    node.handle_view(now, &view(1, &[member(ME, 1), member(departed, 1)])).unwrap();
    node.handle_certainty(now, Certainty { suspect_at: now, fenced_at: Instant::NEVER });

    // A suspect node forgets nobody.
    let next = view(3, &[member(ME, 1), member(other, 2)]);
    assert_eq!(node.handle_view(now, &next), Err(ViewError::Places));
    node.check();

    node.handle_certainty(now, Certainty::FOR_EVER);
    assert_eq!(node.handle_view(now, &next), Ok(()));
    assert_eq!(node.handle_hello(now, &node_of(other).hello()), Ok(()), "it has a place");
    node.check();
}
