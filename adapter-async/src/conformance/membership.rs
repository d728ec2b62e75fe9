//! Members come, go, and come back.

use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock};

use super::proxy::Proxy;
use super::rig::{EX, PR, Rig, SLOTS, locks_go_round, nobody_locks, poll_once, socket};
use super::script::Script;
use super::task::on_thread;
use crate::{
    Candidate, Certainty, ConvertError, Epoch, Guard, Inbox, Instant, Joined, LockError, LockOptions,
    Membership, MembershipError, Mode, Node, NodeId, Runtime, Session, SpaceId, Standing, StartError,
};

/// All nodes have this view, agree on the map, and are connected to each other.
async fn until_settled<R: Runtime + Clone>(rig: &Rig<R>, script: &Script, nodes: &[Node<R>]) {
    for node in nodes {
        rig.until(|| {
            node.view().is_some_and(|view| view.epoch == script.epoch())
                && node.is_settled()
                && node.link_stats().up == nodes.len() - 1
        })
        .await;
    }
}

/// Waits until a node is a member in another life than this.
async fn until_back<R: Runtime + Clone>(rig: &Rig<R>, node: &Node<R>, before: u64) {
    rig.until(|| node.incarnation().0 > before && node.standing() == Standing::Member && node.is_settled())
        .await;
}

pub(super) async fn a_node_alone_grants_once_it_has_a_view<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    script.be_silent();
    let node = script.start(rig, 7).await;
    assert_eq!((node.id(), node.standing(), node.view()), (NodeId(7), Standing::Outside, None));
    let changed = node.changed();
    let mut waiting = node.lock("a", EX);
    assert!(poll_once(&mut waiting).await.is_pending());
    script.speak();
    changed.await;
    node.opened().await;
    let guard = waiting.await.unwrap();
    assert!(guard.is_certain() && !guard.is_lost());
    assert_eq!((guard.certain_until(), node.standing()), (Instant::NEVER, Standing::Member));
    assert_eq!(node.view().map(|view| view.epoch), Some(Epoch(1)));
}

pub(super) async fn a_provider_may_choose_the_number<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let (listener, at) = socket();
    let node = rig.named("test").listener(listener).join(script.clone()).start().await.unwrap();
    assert_eq!((node.id(), node.members()[0].address), (NodeId(1), at));
}

pub(super) async fn nodes_that_join_share_locks_and_slots<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 3).await;
    until_settled(rig, &script, &nodes).await;
    for node in &nodes {
        let members: Vec<_> = node.members().iter().map(|member| member.node.0).collect();
        assert_eq!(members, [1, 2, 3]);
    }
    // Slots come to those that joined later.
    let is_spread = |node: &Node<R>| node.map().shares.iter().all(|share| share.slots >= SLOTS / 4);
    rig.until(|| nodes.iter().all(is_spread)).await;
    locks_go_round(&nodes).await;
}

pub(super) async fn slots_stay_where_they_are_if_they_are_to<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let one = script.builder(rig, 1).balance(0).start().await.unwrap();
    one.opened().await;
    let two = script.builder(rig, 2).balance(0).start().await.unwrap();
    two.opened().await;
    let nodes = [one, two];
    until_settled(rig, &script, &nodes).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    assert!(nodes.iter().all(|node| node.map().slots_of(NodeId(1)) == SLOTS));
    assert_eq!(nodes[0].stats().transfers_out, 0);
    drop(guard);
}

pub(super) async fn what_a_dead_member_held_is_granted_to_others_and_lost_to_it<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let nodes = script.cluster(rig, 3).await;
    until_settled(rig, &script, &nodes).await;
    script.close();
    let [one, two, three] = [&nodes[0], &nodes[1], &nodes[2]];
    let mut guards = Vec::new();
    let mut waiting = Vec::new();
    let mut held = Vec::new();
    for number in 0..30 {
        let name = format!("dead {number}");
        guards.push(two.lock(&name, EX).await.unwrap());
        held.push(three.lock(format!("living {number}"), EX).await.unwrap());
        let node = [one, three][number % 2].clone();
        waiting.push(rig.spawn(async move { node.lock(&name, EX).await }));
    }
    rig.until(|| nodes.iter().map(|node| node.snapshot().waits().count()).sum::<usize>() >= 30).await;
    let mut losses: Vec<_> = guards.iter().map(|guard| Box::pin(guard.lost())).collect();
    for loss in &mut losses {
        assert!(poll_once(loss).await.is_pending());
    }
    script.fence(2);
    for loss in losses {
        loss.await;
    }
    for (guard, waiting) in guards.iter().zip(waiting) {
        assert!(guard.is_lost() && !guard.is_certain());
        assert_eq!(guard.certain_until(), Instant::START);
        let granted = waiting.await.unwrap().unwrap();
        assert!(granted.fencing_token() > guard.fencing_token(), "tokens rise");
        assert!(!granted.is_lost());
    }
    assert!(held.iter().all(|guard| !guard.is_lost()), "nobody else loses anything");
    assert_eq!((two.standing(), two.link_stats().up), (Standing::Fenced, 0));
    assert_eq!((two.view(), two.members()), (None, Vec::new()));
    drop(guards);
    script.open();
    until_back(rig, two, 2).await;
    until_settled(rig, &script, &nodes).await;
}

pub(super) async fn a_lost_guard_converts_no_more_and_its_drop_does_nothing<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    until_settled(rig, &script, &nodes).await;
    let mut guard = nodes[1].lock("a", PR).await.unwrap();
    let blocking = nodes[0].lock("b", EX).await.unwrap();
    let mut second = nodes[1].lock("b", Mode::Null).await.unwrap();
    let mut converting = Box::pin(second.convert(EX));
    assert!(poll_once(&mut converting).await.is_pending());
    script.fence(2);
    assert_eq!(converting.await, Err(ConvertError::Lost));
    guard.lost().await;
    assert_eq!(guard.convert(EX).await, Err(ConvertError::Lost));
    assert_eq!(guard.convert(Mode::Null).await, Err(ConvertError::Lost));
    let mut contended = guard.contended();
    assert!(poll_once(&mut contended).await.is_pending());
    drop(contended);
    until_back(rig, &nodes[1], 2).await;
    assert!(guard.is_lost(), "what is lost stays lost");
    // The same name, the same place in the tables perhaps: another lock.
    let again = nodes[1].lock("a", EX).await.unwrap();
    assert!(poll_once(&mut pin!(guard.lost())).await.is_ready());
    drop((guard, second));
    assert!(!again.is_lost());
    assert_eq!(nodes[0].try_lock("a", PR).await.unwrap_err(), LockError::Busy);
    drop((again, blocking));
    rig.until(|| nobody_locks(&nodes)).await;
}

pub(super) async fn who_waits_goes_on_waiting_while_its_node_is_fenced<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    until_settled(rig, &script, &nodes).await;
    let [one, two] = [&nodes[0], &nodes[1]];
    let mut held = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..20 {
        let name = format!("resource {number}");
        held.push(one.lock(&name, EX).await.unwrap());
        let node = two.clone();
        waiting.push(rig.spawn(async move { node.lock(name, EX).await }));
    }
    rig.until(|| nodes.iter().map(|node| node.snapshot().waits().count()).sum::<usize>() >= 20).await;
    script.close();
    script.fence(2);
    rig.until(|| two.standing() == Standing::Fenced && script.events().last().unwrap() == "join 2").await;
    // Also who asks now waits.
    let mut late = two.lock("late", EX);
    assert!(poll_once(&mut late).await.is_pending());
    script.fail(2);
    script.open();
    until_back(rig, two, 2).await;
    drop(late.await.unwrap());
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "they are held by others");
    drop(held);
    for waiting in waiting {
        drop(waiting.await.unwrap().unwrap());
    }
    rig.until(|| nobody_locks(&nodes)).await;
}

pub(super) async fn a_node_that_is_fenced_again_and_again_comes_back<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 3).await;
    until_settled(rig, &script, &nodes).await;
    for round in 0..6 {
        let at = round % 3;
        let node = &nodes[at];
        let before = node.incarnation().0;
        let guard = node.lock("a", EX).await.unwrap();
        script.fence(u16::try_from(at).unwrap() + 1);
        guard.lost().await;
        drop(guard);
        until_back(rig, node, before).await;
        until_settled(rig, &script, &nodes).await;
    }
    let mut last = nodes[0].lock("a", EX).await.unwrap().fencing_token();
    for node in &nodes {
        let token = node.lock("a", EX).await.unwrap().fencing_token();
        assert!(token > last);
        last = token;
    }
}

pub(super) async fn a_view_without_a_node_ends_its_life<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    until_settled(rig, &script, &nodes).await;
    let guard = nodes[1].lock("a", EX).await.unwrap();
    let view = script.remove(2);
    assert!(!guard.is_lost(), "it was not told yet");
    script.close();
    script.inbox(2).view(view);
    assert!(guard.is_lost(), "what a provider says has happened when it returns");
    assert_eq!(nodes[1].link_stats().up, 0, "it has hung up");
    script.open();
    until_back(rig, &nodes[1], 2).await;
}

pub(super) async fn an_inbox_of_an_earlier_life_does_nothing<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    until_settled(rig, &script, &nodes).await;
    let earlier = script.inbox(2);
    assert!(!earlier.is_over());
    script.fence(2);
    until_back(rig, &nodes[1], 2).await;
    until_settled(rig, &script, &nodes).await;
    assert!(earlier.is_over());
    let guard = nodes[1].lock("a", EX).await.unwrap();
    earlier.fenced("too late");
    earlier.certainty(Certainty { suspect_at: Instant::START, fenced_at: Instant::START });
    let mut view = nodes[0].view().unwrap();
    view.epoch = Epoch(view.epoch.0 + 10);
    view.members.retain(|member| member.node == NodeId(1));
    earlier.view(view);
    assert!(!guard.is_lost());
    assert_eq!(nodes[1].standing(), Standing::Member);
}

pub(super) async fn a_restarted_node_is_another_incarnation<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let mut nodes = script.cluster(rig, 3).await;
    until_settled(rig, &script, &nodes).await;
    for at in [1, 0, 2] {
        let gone = nodes.remove(at);
        let (number, before) = (gone.id().0, gone.incarnation());
        let mut guard = gone.lock("a", PR).await.unwrap();
        gone.shutdown().await;
        assert!(guard.is_lost());
        assert_eq!(guard.convert(EX).await, Err(ConvertError::Closed));
        drop(nodes[0].lock("a", EX).await.unwrap());
        let again = script.start(rig, number).await;
        assert!(again.incarnation() > before);
        nodes.insert(at, again);
        until_settled(rig, &script, &nodes).await;
        for node in &nodes {
            drop(node.lock("a", EX).await.unwrap());
        }
    }
    assert!(nodes.iter().all(|node| node.link_stats().hellos_refused == 0));
}

pub(super) async fn membership_that_is_not_renewed_is_suspect_and_then_over<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let nodes = script.cluster(rig, 1).await;
    let node = &nodes[0];
    let guard = node.lock("a", EX).await.unwrap();
    let hour = node.now().after(Duration::from_secs(3600));
    script.certainty(1, Certainty { suspect_at: node.now(), fenced_at: hour });
    assert_eq!((node.standing(), guard.is_certain(), guard.is_lost()), (Standing::Suspect, false, false));
    assert_eq!((guard.certain_until(), node.certain_until()), (hour, hour));
    // A suspect makes no new grants.
    let mut waiting = node.lock("b", EX);
    assert!(poll_once(&mut waiting).await.is_pending());
    let changed = node.changed();
    script.certainty(1, Certainty { suspect_at: hour, fenced_at: hour });
    changed.await;
    let second = waiting.await.unwrap();
    assert!(guard.is_certain() && second.is_certain());

    // Nobody says anything any more: the clock does.
    script.close();
    let soon = node.now().after(Duration::from_millis(5));
    script.certainty(1, Certainty { suspect_at: node.now(), fenced_at: soon });
    guard.lost().await;
    second.lost().await;
    assert!(node.now() >= soon, "not before its time");
    assert_eq!(node.standing(), Standing::Fenced);
    script.open();
    until_back(rig, node, 1).await;
    assert!(guard.is_lost() && second.is_lost());
    drop(node.lock("a", EX).await.unwrap());
}

pub(super) async fn who_knows_the_view_later_is_connected_to_later<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let two = script.start(rig, 2).await;
    two.opened().await;
    script.deafen(2);
    let one = script.start(rig, 1).await;
    rig.until(|| two.link_stats().strangers > 2).await;
    assert_eq!(two.link_stats().up, 0, "it does not know the other");
    script.let_hear(2);
    let nodes = [one, two];
    until_settled(rig, &script, &nodes).await;
    assert!(nodes.iter().all(|node| node.link_stats().hellos_refused == 0), "nothing is configured wrongly");
    drop(nodes[1].lock("a", EX).await.unwrap());
}

pub(super) async fn a_member_is_dialled_where_the_last_view_says<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 2).await;
    until_settled(rig, &script, &nodes).await;
    let begun = nodes[0].link_stats().begun;
    let elsewhere = Proxy::to(nodes[0].members()[1].address);
    script.relocate(2, elsewhere.address);
    until_settled(rig, &script, &nodes).await;
    assert_eq!((nodes[0].link_stats().begun, elsewhere.begun()), (begun, 0), "a connection survives views");
    nodes[0].disconnect(NodeId(2));
    rig.until(|| elsewhere.begun() > 0).await;
    until_settled(rig, &script, &nodes).await;
    drop(nodes[1].lock("a", EX).await.unwrap());
}

pub(super) async fn a_member_that_nobody_reaches_is_dialled_no_more_once_it_departs<R: Runtime + Clone>(
    rig: &Rig<R>,
) {
    let script = Script::default();
    let one = script.start(rig, 1).await;
    one.opened().await;
    let (listener, nowhere) = socket();
    let two = script.start(rig, 2).await;
    script.relocate(2, nowhere);
    one.disconnect(NodeId(2));
    // Every machine is connected, and no hello comes.
    let machines = rig.machines;
    let accept = move || (0..machines).map(|_| listener.accept().unwrap().0).collect::<Vec<_>>();
    let _stuck = on_thread(accept).await.unwrap();
    let failed = one.link_stats().handshakes_failed;
    two.shutdown().await;
    rig.until(|| one.members().len() == 1).await;
    one.shutdown().await;
    assert_eq!(one.link_stats().handshakes_failed, failed, "the task has ended with its peer");
}

pub(super) async fn a_start_that_cannot_join_says_why<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    script.fail(1);
    let failed = script.builder(rig, 1).start().await;
    assert!(matches!(failed, Err(StartError::Membership(MembershipError::Unreachable(_)))));
    let (_, at) = socket();
    let both = script.builder(rig, 1).member(2, at).start().await;
    assert!(matches!(both, Err(StartError::TwoMemberships)));
    let silent = rig.builder(1).join(script.clone()).start().await;
    assert!(matches!(silent, Err(StartError::NoListener)));
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let vague = rig.builder(1).listen(anywhere).insecure().join(script.clone()).start().await;
    assert!(matches!(vague, Err(StartError::Unspecified(_))));
    assert_eq!(script.events(), ["join 1"]);
}

pub(super) async fn a_start_that_is_given_up_leaves_no_member<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    script.close();
    let mut starting = Box::pin(script.builder(rig, 1).start());
    assert!(poll_once(&mut starting).await.is_pending());
    rig.until(|| script.events() == ["join 1"]).await;
    drop(starting);
    script.open();
    // Whether it joined before it noticed or not, it is no member in the end.
    let node = script.start(rig, 2).await;
    node.opened().await;
    rig.until(|| node.members().len() == 1).await;
    assert_eq!(node.master_of(SpaceId(0), "a"), Some(NodeId(2)));
}

pub(super) async fn a_wait_may_end_while_its_node_is_fenced<R: Runtime + Clone>(rig: &Rig<R>) {
    let script = Script::default();
    let nodes = script.cluster(rig, 1).await;
    script.close();
    script.fence(1);
    let options = LockOptions::new(EX).timeout(Duration::from_millis(1));
    let ended = nodes[0].lock_with("a", options).await;
    assert_eq!(ended.unwrap_err(), LockError::TimedOut);
    let mut waiting = nodes[0].lock("a", EX);
    assert!(poll_once(&mut waiting).await.is_pending());
    nodes[0].shutdown().await;
    assert_eq!(waiting.await.unwrap_err(), LockError::Closed);
    assert!(!script.events().contains(&"leave 1".to_owned()), "it was no member");
}

/// A provider that panics when its node is about to leave.
struct Fragile<R: Runtime> {
    script: Script,
    session: Arc<Watched<R>>,
}

/// What the session finds when it is dropped.
struct Watched<R: Runtime> {
    guard: Mutex<Option<Guard<R>>>,
    was_lost: OnceLock<bool>,
}

struct FragileSession<R: Runtime>(Arc<Watched<R>>);

impl<R: Runtime> Membership for Fragile<R> {
    fn join(&self, candidate: &Candidate, inbox: Inbox) -> Result<Joined, MembershipError> {
        let joined = self.script.join(candidate, inbox)?;
        Ok(Joined { session: Box::new(FragileSession(Arc::clone(&self.session))), ..joined })
    }
}

impl<R: Runtime> Session for FragileSession<R> {
    fn announce_leaving(&self) -> Result<(), MembershipError> {
        panic!("on purpose")
    }

    fn leave(self: Box<Self>) {}
}

impl<R: Runtime> Drop for FragileSession<R> {
    fn drop(&mut self) {
        let is_lost = self.0.guard.lock().unwrap().as_ref().is_some_and(Guard::is_lost);
        self.0.was_lost.set(is_lost).unwrap();
    }
}

pub(super) async fn a_node_whose_provider_panics_has_lost_its_locks_when_the_session_is_dropped<
    R: Runtime + Clone,
>(
    rig: &Rig<R>,
) {
    let (script, session) =
        (Script::default(), Arc::new(Watched { guard: Mutex::new(None), was_lost: OnceLock::new() }));
    let provider = Fragile { script, session: Arc::clone(&session) };
    let node = rig.builder(1).listener(socket().0).join(provider).start().await.unwrap();
    *session.guard.lock().unwrap() = Some(node.lock("a", EX).await.unwrap());
    let other = node.lock("b", EX).await.unwrap();
    assert!(poll_once(&mut Box::pin(node.leave(Duration::from_secs(600)))).await.is_pending());
    rig.until(|| session.was_lost.get().is_some()).await;
    assert_eq!(session.was_lost.get(), Some(&true));
    other.lost().await;
    node.shutdown().await;
}
