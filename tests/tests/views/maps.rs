//! Who masters what, from view to view (rules W1, W2 and W5 to W9).

use lockmaster_core::{
    ClusterId, Config, ConfigError, Event, HeapMemory, Incarnation, Instant, Limits, Mode, Node, NodeId,
    SlotId, SpaceConfig, Standing, View, ViewError, ViewMember, wire::Message, wire::ViewMessage,
};
use lockmaster_tests::changing::{Changing, SLOTS};

#[test]
fn the_first_view_deals_all_slots_and_waits_for_nobody() {
    let mut world = Changing::of(&[3, 5, 9]);
    assert_eq!(world.masters(), [3, 3, 3, 3, 5, 5, 5, 5, 9, 9, 9, 9]);
}

#[test]
fn a_request_before_the_first_view_waits_for_it() {
    let mut world = Changing::of(&[1, 2]);
    world.start(3);
    let lock = world.ask(3, b"early", Mode::Exclusive);
    assert_eq!(world.grant_of(3, lock), None);
    world.change();
    world.settle();
    assert!(world.grant_of(3, lock).is_some());
}

#[test]
fn a_member_that_joins_has_no_slots_until_they_are_evened_out() {
    let mut world = Changing::of(&[1, 2]);
    world.start(3);
    world.change();
    world.settle();
    assert_eq!((world.slots_of(1), world.slots_of(2), world.slots_of(3)), (6, 6, 0));
    world.balance();
    assert_eq!((world.slots_of(1), world.slots_of(2), world.slots_of(3)), (4, 4, 4));
    let moved: u64 = [1, 2].map(|id| world.node(id).stats().transfers_out).iter().sum();
    assert_eq!(moved, 2, "one transfer each, of two slots");
}

#[test]
fn evening_out_moves_as_few_slots_as_can_be() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let before = world.masters();
    world.start(5);
    world.change();
    world.settle();
    world.balance();
    let after = world.masters();
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(moved, 2, "twelve slots of five members are two or three each");
    world.balance();
    assert_eq!(world.masters(), after, "what is even stays");
}

#[test]
fn a_member_that_leaves_gives_everything_away_and_nobody_is_refused() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(3, "held");
    let held = world.take(1, &name, Mode::Exclusive);
    let waits = world.ask(2, &name, Mode::Exclusive);
    world.leave(3);
    world.change();
    world.settle();
    world.balance();
    assert!(world.node(3).is_drained());
    assert_eq!((world.slots_of(1), world.slots_of(2)), (6, 6));
    world.crash(3);
    world.change();
    world.settle();
    world.release(1, held, lockmaster_core::ValueWrite::Keep);
    world.settle();
    assert!(world.grant_of(2, waits).is_some());
    assert_eq!(world.node(1).stats().slots_rebuilt + world.node(2).stats().slots_rebuilt, 4 + 4, "in view 1");
}

#[test]
fn slots_of_a_dead_member_go_to_all_others_by_their_room() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    world.crash(2);
    world.change();
    world.settle();
    let masters = world.masters();
    assert!(masters.iter().all(|master| *master != 2));
    for id in [1, 3, 4] {
        assert_eq!(world.slots_of(id), 4, "{masters:?}");
    }
}

#[test]
fn a_member_that_is_about_to_leave_is_given_no_orphans() {
    let mut world = Changing::of(&[1, 2, 3]);
    world.leave(3);
    world.change();
    world.settle();
    world.crash(2);
    world.change();
    world.settle();
    assert_eq!((world.slots_of(1), world.slots_of(3)), (8, 4));
}

#[test]
fn nobody_decides_for_the_dead_before_all_who_could_know_have_spoken() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let name = world.name_at(4, "orphan");
    world.crash(4);
    world.make_view();
    for id in [1, 2] {
        world.tell(id);
    }
    world.settle();
    let lock = world.ask(2, &name, Mode::Exclusive);
    world.pass(1000);
    for id in [1, 2, 3] {
        assert!(!world.node(id).decides(lockmaster_core::SpaceId(0), &name).unwrap());
    }
    assert_eq!(world.grant_of(2, lock), None);
    world.tell(3);
    world.settle();
    assert!(world.grant_of(2, lock).is_some());
}

#[test]
fn slots_of_survivors_go_on_while_the_map_is_being_agreed_on() {
    let mut world = Changing::of(&[1, 2, 3, 4]);
    let name = world.name_at(2, "mine");
    world.crash(4);
    world.make_view();
    // The coordinator hears of the view last.
    for id in [2, 3] {
        world.tell(id);
    }
    world.settle();
    assert!(!world.node(3).is_settled());
    world.take(3, &name, Mode::Exclusive);
}

#[test]
fn a_node_that_misses_views_takes_the_last_one() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "held");
    world.take(3, &name, Mode::Exclusive);
    world.crash(2);
    world.make_view();
    world.tell(1);
    world.start(2);
    world.make_view();
    world.tell(1);
    world.start(4);
    world.make_view();
    for id in [1, 2, 3, 4] {
        world.tell(id);
    }
    world.connect();
    world.settle();
    world.masters();
    assert_eq!(world.node(3).view().epoch.0, 4);
    let waits = world.ask(4, &name, Mode::ProtectedRead);
    world.pass(1000);
    assert_eq!(world.grant_of(4, waits), None, "node 3 holds it all the while");
}

#[test]
fn what_is_said_in_another_view_is_not_heard() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "late");
    world.close(2, 1);
    let lock = world.ask(2, &name, Mode::Exclusive);
    assert!(world.is_kept(2, 1, |message| matches!(message, Message::Lock(_))));
    world.crash(3);
    world.change();
    let before = world.node(1).stats().frames_dropped;
    world.open();
    assert!(world.node(1).stats().frames_dropped > before);
    assert!(world.grant_of(2, lock).is_some(), "it is said again in this one");
}

#[test]
fn nothing_but_here_is_said_to_a_peer_in_another_view() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(2, "later");
    world.crash(3);
    world.make_view();
    world.tell(1);
    world.close(1, 2);
    let lock = world.ask(1, &name, Mode::Exclusive);
    world.pass(1000);
    let is_here = |message: &Message<'_>| matches!(message, Message::View(ViewMessage::Here { .. }));
    assert!(world.is_kept(1, 2, is_here));
    assert!(!world.is_kept(1, 2, |message| !is_here(message)));
    world.lose();
    world.tell(2);
    world.settle();
    assert!(world.grant_of(1, lock).is_some(), "said as soon as node 2 has the view, with no timer");
}

#[test]
fn all_members_gone_at_once_is_a_total_restart() {
    let mut world = Changing::of(&[1, 2, 3]);
    let name = world.name_at(1, "again");
    let lock = world.take(2, &name, Mode::Exclusive);
    let before = world.grant_of(2, lock).unwrap().token;
    for id in [1, 2, 3] {
        world.crash(id);
        world.start(id);
    }
    world.change();
    world.settle();
    world.masters();
    let lock = world.take(3, &name, Mode::Exclusive);
    assert!(world.grant_of(3, lock).unwrap().token > before, "tokens go on rising");
}

#[test]
fn views_that_cannot_be_are_refused_and_change_nothing() {
    let mut config = Config::new(ClusterId(1), NodeId(1), Incarnation(5));
    config.places = 2;
    config.spaces.push(SpaceConfig { slots: SLOTS, ..SpaceConfig::new("space").unwrap() }).unwrap();
    let memory = HeapMemory::new(&Limits::uniform(8), &config);
    let mut node = Node::new(config, memory).unwrap();
    let now = Instant::from_nanos(1);
    let member = |node: u16, incarnation: u64, joined: u32| ViewMember {
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
        joined: lockmaster_core::Epoch(joined),
        is_leaving: false,
    };
    let view = |epoch: u32, members: &[ViewMember]| View {
        epoch: lockmaster_core::Epoch(epoch),
        members: members.iter().copied().collect(),
    };
    let me = member(1, 5, 1);
    let digest = node.digest();
    for (members, why) in [
        (&[][..], ViewError::Unsound),
        (&[me, me], ViewError::Unsound),
        (&[me, member(2, 0, 1)], ViewError::Unsound),
        (&[me, member(2, 6, 0)], ViewError::Unsound),
        (&[me, member(2, 6, 8)], ViewError::Unsound),
        (&[me, member(NodeId::GONE.0, 6, 1)], ViewError::Unsound),
        (&[me, member(2, 6, 1), member(3, 7, 1)], ViewError::Places),
    ] {
        assert_eq!(node.handle_view(now, &view(7, members)), Err(why), "{members:?}");
        assert_eq!(node.digest(), digest);
    }
    assert_eq!(node.standing(now), Standing::Outside);
    assert_eq!(node.handle_view(now, &view(7, &[member(2, 6, 1)])), Ok(()), "others may be members before");
    assert_eq!(node.standing(now), Standing::Outside);
    assert_eq!(node.handle_view(now, &view(7, &[me])), Ok(()));
    assert_eq!(node.standing(now), Standing::Member);
    for epoch in [1, 7] {
        assert_eq!(node.handle_view(now, &view(epoch, &[me])), Err(ViewError::Old));
    }
    assert!(node.slot(SlotId(0)).unwrap().master == Some(NodeId(1)));
    assert!(!matches!(node.poll_event(), Some(Event::Lost { .. })));
}

#[test]
fn no_node_has_the_number_that_stands_for_nobody() {
    let mut config = Config::new(ClusterId(1), NodeId::GONE, Incarnation(1));
    config.spaces.push(SpaceConfig::new("space").unwrap()).unwrap();
    assert_eq!(config.check(), Err(ConfigError::Node));
    config.node = NodeId(1);
    assert_eq!(config.check(), Ok(()));
    config.members.extend([NodeId(1), NodeId::GONE]);
    assert_eq!(config.check(), Err(ConfigError::Node));
}

#[test]
fn a_life_joins_once() {
    let mut world = Changing::tight(&[2, 3]);
    let digest = world.node(2).digest();
    let now = world.now();
    let member = |node: u16, incarnation: u64, joined: u32| ViewMember {
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
        joined: lockmaster_core::Epoch(joined),
        is_leaving: false,
    };
    // Node 1 would be the coordinator, and there is no place for it before node 3 is forgotten.
    let members = [member(2, 1, 2), member(1, 3, 2)];
    let view = View { epoch: lockmaster_core::Epoch(2), members: members.into_iter().collect() };
    assert_eq!(world.node(2).handle_view(now, &view), Err(ViewError::Unsound));
    assert_eq!(world.node(2).digest(), digest, "nothing has changed");
}
