//! Each rule by itself.

use core::time::Duration;

use super::desk::{Desk, SETTLE, T, able, keys, name, plan};
use super::engine::Engine;
use super::*;
use crate::keys::Topic;
use crate::record::{FenceRecord, ReachRecord, Record as _, Removal, Why};
use crate::store::{Compare, Op};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn the_first_node_founds_the_first_view_and_is_told_in_order() {
    let mut desk = Desk::new(plan(1));
    desk.settle();
    let Event::Keep(floor) = &desk.told[0] else { panic!("{:?}", desk.told) };
    assert_eq!(floor.epoch, Epoch(1));
    let Event::Joined(life) = &desk.told[1] else { panic!("{:?}", desk.told) };
    assert_eq!((life.node, life.incarnation), (NodeId(1), Incarnation(2)));
    let Event::Certainty(certainty) = &desk.told[2] else { panic!("{:?}", desk.told) };
    assert_eq!(certainty.fenced_at, desk.now.after(Duration::from_millis(8980)));
    let Event::View(view) = &desk.told[3] else { panic!("{:?}", desk.told) };
    assert_eq!((view.epoch, view.members.len()), (Epoch(1), 1));
}

#[test]
fn a_number_whose_key_is_there_is_waited_for_and_at_last_refused() {
    let mut desk = Desk::new(plan(1));
    desk.engine.enliven(1, 1);
    desk.pass(T);
    assert!(desk.calls.iter().all(|(_, call)| *call == Call::Read), "{:?}", desk.calls);
    assert!(desk.told.is_empty());
    // Its lease has ended: the number is free.
    desk.engine.bury(1);
    desk.hint();
    assert_eq!(desk.members(), [1]);

    let mut desk = Desk::new(plan(1));
    desk.engine.enliven(1, 1);
    desk.pass(T * 2);
    assert_eq!(desk.refused().unwrap(), MembershipError::Taken(NodeId(1)).to_string());
}

#[test]
fn its_own_lease_of_before_is_revoked_at_once() {
    let mut desk = Desk::joined(1, &[]);
    let mut engine = Engine::new(keys());
    core::mem::swap(&mut engine, &mut desk.engine);
    let lease = desk.member.lease();
    let mut again = Desk::with(Plan { previous: lease, floor: desk.member.plan.floor, ..plan(1) }, engine);
    again.pass(SETTLE);
    assert_eq!(again.calls[1].1, Call::Revoke(lease.unwrap()));
    let view = again.engine.view().unwrap();
    assert_eq!(view.removed.len(), 1);
    assert_eq!((view.members.len(), view.members[0].joined), (1, view.epoch));
}

#[test]
fn who_does_not_care_gets_the_lowest_number_that_is_free() {
    let mut desk = Desk::new(numbered(None));
    desk.engine.enliven(1, 1);
    desk.engine.operate(Op::Put(name(Topic::Hold(NodeId(2))), Vec::new(), None));
    desk.engine.enliven(4, 1);
    desk.pass(T / 2);
    assert_eq!(desk.members(), [1, 3, 4]);
}

#[test]
fn a_registration_whose_answer_is_lost_is_recognised() {
    let mut desk = Desk::new(plan(1));
    loop {
        let call = desk.member.poll_call(desk.now).unwrap();
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        if let Call::Commit(_) = call {
            desk.member.handle_answer(desk.now, Answer::Nothing("lost".to_owned()));
            break;
        }
        desk.member.handle_answer(desk.now, answer);
    }
    desk.pass(SETTLE);
    assert_eq!(desk.members(), [1]);
    assert_eq!(desk.commits(Topic::Member(NodeId(1))), 0, "it does not register twice");
}

/// A node with this number, or with one that is to be chosen.
fn numbered(node: Option<NodeId>) -> Plan {
    let plan = plan(0);
    Plan { candidate: Candidate { node, ..plan.candidate }, ..plan }
}

#[test]
fn another_configuration_is_refused_but_not_that_of_the_dead() {
    let mut desk = Desk::joined(1, &[2]);
    let mut other = Desk::with(able(3, &[9]), core::mem::replace(&mut desk.engine, Engine::new(keys())));
    other.settle();
    assert!(other.refused().unwrap().contains("configured otherwise"));

    let mut engine = other.engine;
    engine.bury(1);
    engine.bury(2);
    let mut other = Desk::with(able(3, &[9]), engine);
    other.pass(T / 2);
    assert_eq!(other.members(), [3]);
    assert_eq!(other.engine.view().unwrap().digest, 9);
}

#[test]
fn who_can_run_as_the_members_do_does_so() {
    let engine = Desk::joined(1, &[2]).engine;
    let mut desk = Desk::with(able(3, &[9, 1]), engine);
    desk.pass(T / 2);
    assert_eq!(desk.members(), [1, 2, 3]);
    assert_eq!((desk.member.digest(), desk.engine.view().unwrap().digest), (1, 1));
    assert_eq!(desk.commits(Topic::Member(NodeId(3))), 1, "it registers as what it is going to be");
}

#[test]
fn nothing_is_told_that_could_not_be_kept() {
    let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let mut desk = Desk::new(plan(1));
    while !matches!(desk.member.poll_event(), Some(Event::Keep(_))) {
        let call = desk.member.poll_call(desk.now).unwrap();
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        desk.member.handle_answer(desk.now, answer);
    }
    desk.member.handle_unkept("file".to_owned(), full());
    desk.settle();
    assert_eq!(desk.told.len(), 1, "{:?}", desk.told);
    assert_eq!(desk.refused().unwrap(), "cannot use file");
    assert!(desk.engine.renew(desk.now.as_nanos(), LeaseId(1)) == Renewed::Gone, "its lease is given back");

    let mut desk = Desk::joined(1, &[]);
    desk.engine.enliven(2, 1);
    desk.member.handle_hint(desk.now);
    while !matches!(desk.member.poll_event(), Some(Event::Keep(_))) {
        let call = desk.member.poll_call(desk.now).unwrap();
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        desk.member.handle_answer(desk.now, answer);
    }
    desk.member.handle_unkept("file".to_owned(), full());
    desk.settle();
    assert_eq!(desk.told.len(), 1, "{:?}", desk.told);
    assert!(desk.fenced().unwrap().contains("file"));
}

#[test]
fn an_engine_that_has_gone_back_is_not_trusted() {
    let engine = || {
        let mut desk = Desk::joined(1, &[2]);
        desk.engine.bury(1);
        core::mem::replace(&mut desk.engine, Engine::new(keys()))
    };
    let digest = |engine: &mut Engine| {
        let Answer::Read(entries) = engine.apply(0, &Call::Read) else { panic!("it was read") };
        Snapshot::new(&keys(), &entries).unwrap().view.unwrap().2
    };
    let refused = |engine: Engine, floor: Floor| {
        let taken = engine.view().map(|view| view.epoch);
        let mut desk = Desk::with(Plan { floor, ..plan(1) }, engine);
        desk.pass(T / 2);
        assert!(desk.calls.iter().all(|(_, call)| !matches!(call, Call::Commit(_))) || taken.is_some());
        desk.refused()
    };
    let mut stored = engine();
    let epoch = Epoch(stored.view().unwrap().epoch);
    let floor = Floor { epoch, digest: digest(&mut stored), incarnation: Incarnation(1) };
    assert_eq!(refused(stored, floor), None);
    let later = refused(engine(), Floor { epoch: Epoch(epoch.0 + 1), ..floor }).unwrap();
    assert!(later.contains("not to be trusted"), "{later}");
    let other = refused(engine(), Floor { digest: 0, ..floor }).unwrap();
    assert!(other.contains("another view"), "{other}");
    let none = refused(Engine::new(keys()), floor).unwrap();
    assert!(none.contains("no view is stored"), "{none}");
    let reborn = refused(engine(), Floor { incarnation: Incarnation(1000), ..floor }).unwrap();
    assert!(reborn.contains("lived at revision 1000"), "{reborn}");
}

#[test]
fn a_member_that_sees_an_older_view_is_fenced() {
    let mut desk = Desk::joined(1, &[2]);
    let old = desk.engine.view().unwrap().clone();
    desk.engine.enliven(3, 1);
    desk.hint();
    assert_eq!(desk.members(), [1, 2, 3]);
    desk.engine.operate(Op::Put(name(Topic::View), old.to_bytes(), None));
    desk.hint();
    assert!(desk.fenced().unwrap().contains("has accepted the view of epoch 2"), "{:?}", desk.told);
}

#[test]
fn what_makes_no_sense_decides_nothing() {
    let mut desk = Desk::new(plan(1));
    desk.engine.operate(Op::Put(name(Topic::View), b"{}".to_vec(), None));
    desk.settle();
    assert!(desk.refused().unwrap().contains("not to be trusted"));

    let mut desk = Desk::joined(1, &[2, 3]);
    desk.engine.operate(Op::Put(name(Topic::Member(NodeId(2))), b"{}".to_vec(), None));
    desk.engine.bury(3);
    desk.pass(T * 3);
    assert!(desk.calls.iter().all(|(_, call)| *call == Call::Read));
    assert_eq!(desk.fenced(), None);
    let warnings = desk.told.iter().filter(|event| matches!(event, Event::Warning(_))).count();
    assert_eq!(warnings, 1, "once, not at every reading");
}

#[test]
fn the_keys_are_read_every_half_lease_though_no_watch_says_anything() {
    let mut desk = Desk::joined(1, &[]);
    desk.pass(T * 10);
    assert_eq!(desk.reads(), 20);
    desk.forget();
    desk.hint();
    assert_eq!(desk.reads(), 1);
}

#[test]
fn a_lease_is_renewed_every_fifth_of_it_and_suspicion_comes_before_the_end() {
    let mut desk = Desk::joined(1, &[]);
    desk.pass(T * 2);
    assert_eq!(desk.renewed_at.len(), 10);
    let last = *desk.renewed_at.last().unwrap();
    desk.is_cut = true;
    desk.forget();
    let fenced_at = last.after(Duration::from_millis(8980));
    desk.pass(fenced_at.since(desk.now).saturating_sub(MOMENT));
    assert_eq!(desk.fenced(), None);
    desk.pass(MOMENT);
    assert!(desk.fenced().unwrap().contains("may have ended"));
    assert_eq!(desk.now, fenced_at);
    assert_eq!(desk.member.poll_renewal(desk.now, desk.now), Renewal::End);
}

#[test]
fn who_wakes_too_late_looks_at_the_clock_before_anything_else() {
    let mut desk = Desk::joined(1, &[]);
    let sent_at = desk.now;
    desk.now = desk.now.after(T);
    // The answer came while the process was paused.
    assert_eq!(desk.member.handle_renewed(desk.now, sent_at, Renewed::Yes), None);
    desk.settle();
    assert!(desk.fenced().is_some());

    let mut desk = Desk::joined(1, &[]);
    desk.engine.enliven(2, 1);
    desk.member.handle_hint(desk.now);
    let call = desk.member.poll_call(desk.now).unwrap();
    let answer = desk.engine.apply(desk.now.as_nanos(), &call);
    desk.now = desk.now.after(T);
    desk.member.handle_answer(desk.now, answer);
    desk.settle();
    assert_eq!(desk.told.len(), 1, "{:?}", desk.told);
    assert!(desk.fenced().is_some());
    assert_eq!(desk.commits(Topic::View), 0, "it proposes nothing");

    // Nor does it tell of a view that it has read.
    let mut desk = Desk::joined(2, &[1]);
    desk.member.handle_hint(desk.now);
    assert_eq!(desk.member.poll_call(desk.now), Some(Call::Read));
    let mut view = desk.engine.view().unwrap().clone();
    view.epoch += 1;
    desk.engine.operate(Op::Put(name(Topic::View), view.to_bytes(), None));
    let answer = desk.engine.apply(desk.now.as_nanos(), &Call::Read);
    desk.now = desk.now.after(T);
    desk.member.handle_answer(desk.now, answer);
    desk.settle();
    assert_eq!(desk.told.len(), 1, "{:?}", desk.told);
    assert!(desk.fenced().is_some());
}

#[test]
fn a_renewal_counts_from_its_sending_and_never_shortens_what_is_certain() {
    let mut desk = Desk::joined(1, &[]);
    let sent_at = desk.now.after(T / 5);
    let certainty = desk.member.handle_renewed(sent_at.after(T / 10), sent_at, Renewed::Yes).unwrap();
    assert_eq!(certainty.fenced_at, sent_at.after(Duration::from_millis(8980)));
    // An answer to one that was sent before.
    let again = desk.member.handle_renewed(sent_at.after(T / 5), desk.now, Renewed::Yes).unwrap();
    assert_eq!(again, certainty);
}

#[test]
fn a_node_that_is_stuck_is_not_renewed_and_one_that_runs_again_is() {
    let mut desk = Desk::joined(1, &[]);
    desk.stuck_at = Some(desk.now);
    desk.pass(T / 2 + T / 10);
    let renewed = desk.renewed_at.len();
    assert_eq!(renewed, 3, "for half a lease it may be busy");
    desk.pass(T / 10);
    assert_eq!(desk.renewed_at.len(), renewed);
    desk.stuck_at = None;
    desk.pass(T / 10);
    assert_eq!(desk.renewed_at.len(), renewed + 1);
    desk.stuck_at = Some(desk.now);
    desk.pass(T * 2);
    assert!(desk.fenced().is_some());
}

#[test]
fn nor_is_one_whose_views_nobody_looks_at() {
    let mut desk = Desk::joined(1, &[]);
    let turned_at = desk.now;
    let renews = |desk: &mut Desk, at: Instant| {
        matches!(desk.member.poll_renewal(at, at), Renewal::Send(_))
            .then(|| desk.member.handle_renewed(at, at, Renewed::Yes))
    };
    for part in 1..=5 {
        assert!(renews(&mut desk, turned_at.after(T / 5 * part)).is_some());
    }
    assert!(renews(&mut desk, turned_at.after(T + T / 5)).is_none());
}

#[test]
fn who_is_suspect_proposes_nothing() {
    let mut desk = Desk::joined(1, &[2]);
    desk.engine.enliven(3, 1);
    desk.stuck_at = Some(Instant::START);
    desk.now = desk.now.after(T / 3);
    desk.hint();
    assert_eq!(desk.commits(Topic::View), 0);
    desk.stuck_at = None;
    desk.settle();
    assert_eq!(desk.members(), [1, 2, 3]);
}

#[test]
fn after_a_natural_end_the_settling_time_passes_and_after_a_revocation_the_whole_lease() {
    let mut desk = Desk::joined(1, &[2, 3, 4]);
    desk.engine.bury(2);
    desk.hint();
    desk.pass(SETTLE - MOMENT);
    assert_eq!(desk.members(), [1, 2, 3, 4]);
    desk.pass(MOMENT);
    assert_eq!(desk.members(), [1, 3, 4]);
    assert_eq!(desk.engine.view().unwrap().removed[0].why, Why::Expired);

    let life = desk.member.snapshot.members[&NodeId(3)].incarnation;
    let fence = FenceRecord::new(NodeId(9), Why::Unreachable).to_bytes();
    desk.engine.operate(Op::Put(name(Topic::Fence(NodeId(3), life)), fence, None));
    desk.engine.bury(3);
    desk.hint();
    desk.pass(T + SETTLE - MOMENT);
    assert_eq!(desk.members(), [1, 3, 4]);
    desk.pass(MOMENT);
    assert_eq!(desk.members(), [1, 4]);
    assert_eq!(desk.engine.view().unwrap().removed[0].why, Why::Unreachable);
    assert!(desk.member.snapshot.fences.is_empty(), "what is over is cleared away");
}

#[test]
fn whoever_seems_to_be_the_last_waits_for_a_renewal() {
    let mut desk = Desk::joined(1, &[2, 3]);
    desk.pass(T / 10);
    assert_eq!(desk.renewed_at, [desk.now]);
    // All leases end together, its own among them, but its key is there yet.
    desk.now = desk.now.after(MOMENT);
    desk.engine.bury(2);
    desk.engine.bury(3);
    desk.hint();
    desk.pass(SETTLE);
    assert_eq!(desk.members(), [1, 2, 3], "settled, but it has not been renewed since");
    desk.pass(T / 10);
    assert_eq!(desk.members(), [1]);
}

#[test]
fn others_propose_after_the_lowest_unless_it_is_done() {
    let mut desk = Desk::joined(3, &[1, 2]);
    desk.engine.enliven(4, 1);
    desk.hint();
    assert_eq!(desk.commits(Topic::View), 0);
    desk.pass(T / 2);
    assert_eq!(desk.members(), [1, 2, 3, 4]);
    desk.forget();
    desk.engine.bury(1);
    desk.engine.bury(2);
    desk.hint();
    desk.pass(SETTLE);
    assert_eq!(desk.members(), [3, 4], "now it is the lowest");
}

#[test]
fn leaving_is_one_transaction_and_nobody_waits() {
    let mut desk = Desk::joined(1, &[2]);
    let lease = desk.member.lease().unwrap();
    desk.member.handle_leaving(desk.now);
    desk.settle();
    assert_eq!(desk.members(), [2]);
    assert_eq!(desk.engine.view().unwrap().removed[0].why, Why::Left);
    assert!(matches!(desk.told.last(), Some(Event::Left)), "{:?}", desk.told);
    assert_eq!(desk.calls.last().unwrap().1, Call::Revoke(lease));
    let commit = desk
        .calls
        .iter()
        .find_map(|(_, call)| if let Call::Commit(commit) = call { Some(commit) } else { None });
    assert!(commit.unwrap().ops.contains(&Op::Delete(name(Topic::Member(NodeId(1))))));
    assert!(desk.member.is_over());

    let mut desk = Desk::joined(1, &[2]);
    desk.is_cut = true;
    desk.member.handle_leaving(desk.now);
    desk.pass(T / 2);
    assert!(matches!(desk.told.last(), Some(Event::Left)), "{:?}", desk.told);
}

#[test]
fn an_announcement_is_written_and_marked_in_the_view() {
    let mut desk = Desk::joined(1, &[2]);
    assert!(!desk.member.has_announced());
    desk.member.handle_announcement(desk.now);
    desk.settle();
    assert!(desk.member.has_announced());
    let view = desk.engine.view().unwrap();
    assert_eq!(view.members.iter().map(|seat| seat.leaving).collect::<Vec<_>>(), [true, false]);
    assert_eq!(view.members[0].joined, 1, "the life is the same");
}

#[test]
fn whom_an_operator_holds_loses_its_lease_and_is_waited_for() {
    let mut desk = Desk::joined(1, &[2]);
    desk.engine.operate(Op::Put(name(Topic::Hold(NodeId(2))), b"disk".to_vec(), None));
    desk.hint();
    assert!(desk.calls.iter().any(|(_, call)| matches!(call, Call::Revoke(_))), "{:?}", desk.calls);
    desk.engine.bury(2);
    desk.hint();
    desk.pass(T);
    assert_eq!(desk.members(), [1, 2]);
    desk.pass(SETTLE + T / 5);
    assert_eq!(desk.members(), [1]);
    // It may register again when it likes: it is not admitted.
    desk.engine.enliven(2, 1);
    desk.hint();
    assert_eq!(desk.members(), [1]);

    let mut held = Desk::joined(1, &[2]);
    held.engine.operate(Op::Put(name(Topic::Hold(NodeId(1))), Vec::new(), None));
    held.hint();
    assert!(held.fenced().unwrap().contains("an operator"));
}

#[test]
fn a_revocation_that_somebody_began_is_finished() {
    let mut desk = Desk::joined(2, &[1, 3]);
    let life = desk.member.snapshot.members[&NodeId(3)].incarnation;
    let fence = FenceRecord::new(NodeId(9), Why::Unreachable).to_bytes();
    desk.engine.operate(Op::Put(name(Topic::Fence(NodeId(3), life)), fence, None));
    desk.hint();
    assert!(!desk.calls.iter().any(|(_, call)| matches!(call, Call::Revoke(_))), "node 1 comes first");
    desk.member.handle_hint(desk.now);
    desk.now = desk.now.after(T / 5);
    desk.member.handle_hint(desk.now);
    let revoked = core::iter::from_fn(|| {
        let call = desk.member.poll_call(desk.now)?;
        let answer = desk.engine.apply(desk.now.as_nanos(), &call);
        desk.member.handle_answer(desk.now, answer);
        Some(call)
    });
    assert!(revoked.take(3).any(|call| matches!(call, Call::Revoke(_))));
}

#[test]
fn who_hears_of_its_revocation_by_its_renewal_stays_away_if_it_could_not_reach_others() {
    for (reachable, is_exiled) in [(vec![], true), (vec![NodeId(2)], false)] {
        let mut desk = Desk::joined(1, &[2]);
        desk.member.handle_reachable(desk.now, &reachable);
        assert_eq!(desk.member.handle_renewed(desk.now, desk.now, Renewed::Gone), None);
        desk.settle();
        assert!(desk.fenced().unwrap().contains("has ended the lease"));
        assert_eq!(desk.member.is_exiled(), is_exiled);
    }
}

#[test]
fn who_reads_late_that_its_lease_was_revoked_knows_why() {
    let exiled = |sentence: &dyn Fn(Life) -> Op| {
        let mut desk = Desk::joined(1, &[2]);
        let life = desk.member.life().unwrap();
        desk.engine.operate(sentence(life));
        // By the time of the reading the lease is gone, and the key with it.
        desk.engine.bury(1);
        desk.hint();
        assert!(desk.fenced().unwrap().contains("could not reach it"), "{:?}", desk.fenced());
        assert!(desk.member.is_exiled());
    };
    exiled(&|Life { node, incarnation }| {
        let fence = FenceRecord::new(NodeId(2), Why::Unreachable).to_bytes();
        Op::Put(name(Topic::Fence(node, incarnation)), fence, None)
    });
    exiled(&|Life { node, incarnation }| {
        let removed = Removal { node: node.0, incarnation: incarnation.0, why: Why::Unreachable };
        let view = ViewRecord::new(Epoch(9), 1, Vec::new(), vec![removed]);
        Op::Put(name(Topic::View), view.to_bytes(), None)
    });
}

#[test]
fn a_short_break_is_not_reported_and_reports_are_not_frequent() {
    let reach = Topic::Reach(NodeId(1));
    let mut desk = Desk::joined(1, &[2, 3]);
    for _ in 0..20 {
        desk.member.handle_reachable(desk.now, &[NodeId(2)]);
        desk.pass(T / 5 - MOMENT);
        desk.member.handle_reachable(desk.now, &[NodeId(2), NodeId(3)]);
        desk.pass(MOMENT);
    }
    assert_eq!(desk.commits(reach), 0);

    // One breaks after the other: that is said in two reports, a fifth of a lease apart.
    let others = [2, 3, 4, 5].map(NodeId);
    let mut desk = Desk::joined(1, &[2, 3, 4, 5]);
    for reachable in [&others[1..], &others[2..], &others[3..], &[]] {
        desk.member.handle_reachable(desk.now, reachable);
        desk.pass(T / 50);
    }
    desk.pass(T / 2);
    assert_eq!(desk.commits(reach), 2);
    assert_eq!(desk.member.snapshot.reach[&NodeId(1)].cut.len(), 4);
    desk.member.handle_reachable(desk.now, &others);
    desk.pass(T / 2);
    assert!(desk.member.snapshot.reach.is_empty(), "what is well again is not kept");
}

#[test]
fn a_life_that_comes_back_and_is_never_connected_is_revoked() {
    let mut desk = Desk::joined(1, &[2, 3]);
    desk.member.handle_reachable(desk.now, &[NodeId(3)]);
    // Node 2 loses its membership by itself, and is there again at once. To whom this node is connected stays the same.
    desk.engine.bury(2);
    desk.engine.enliven(2, 1);
    desk.hint();
    desk.pass(SETTLE + T / 5);
    let life = desk.member.snapshot.members[&NodeId(2)].incarnation;
    let seats = &desk.engine.view().unwrap().members;
    assert!(seats.iter().any(|seat| seat.incarnation == life.0), "the new life is admitted");
    desk.forget();
    desk.pass(T + SETTLE + T / 5);
    assert!(revoked(&desk), "{:?}", desk.calls);
}

/// Node `me` of three, and what nodes 1 to 3 say of each other.
fn split(me: u16, cuts: &[(u16, u16)]) -> Desk {
    let others: Vec<u16> = (1..=3).filter(|node| *node != me).collect();
    let mut desk = Desk::joined(me, &others);
    for node in 1..=3 {
        let cut = cuts
            .iter()
            .filter(|(from, _)| *from == node)
            .map(|(_, to)| (NodeId(*to), desk.member.snapshot.members[&NodeId(*to)].incarnation));
        let record = ReachRecord::new(cut);
        if node == me {
            let reachable: Vec<NodeId> =
                others.iter().filter(|other| !cuts.contains(&(node, **other))).copied().map(NodeId).collect();
            desk.member.handle_reachable(desk.now, &reachable);
        } else if !record.cut.is_empty() {
            desk.engine.operate(Op::Put(name(Topic::Reach(NodeId(node))), record.to_bytes(), None));
        }
    }
    desk.hint();
    desk
}

fn revoked(desk: &Desk) -> bool {
    desk.calls.iter().any(|(_, call)| matches!(call, Call::Revoke(_)))
}

#[test]
fn the_larger_side_revokes_the_other_after_a_while() {
    let mut desk = split(1, &[(1, 3), (2, 3), (3, 1), (3, 2)]);
    desk.pass(T + SETTLE - MOMENT);
    assert!(!revoked(&desk));
    // Its own report came a fifth of a lease later and said nothing new.
    desk.pass(T / 5 + MOMENT);
    assert!(revoked(&desk));
    let call = desk.calls.iter().find_map(|(_, call)| match call {
        Call::Commit(commit)
            if commit.ops.iter().any(|op| matches!(op, Op::Put(key, ..) if key.contains("fence/3/"))) =>
        {
            Some(commit)
        }
        Call::Commit(_) | Call::Read | Call::Grant(_) | Call::Revoke(_) => None,
    });
    // Whoever is condemned itself condemns nobody.
    let mine = name(Topic::Fence(NodeId(1), desk.member.life().unwrap().incarnation));
    assert!(call.unwrap().compares.contains(&Compare::Created(mine, Revision(0))));
}

#[test]
fn the_smaller_side_revokes_nobody() {
    let mut desk = split(3, &[(1, 3), (2, 3), (3, 1), (3, 2)]);
    desk.pass(T * 4);
    assert!(!revoked(&desk));
    assert_eq!(desk.fenced(), None, "not even itself");
    assert_eq!(desk.members(), [1, 2, 3]);
}

#[test]
fn a_split_that_changes_is_watched_anew() {
    let mut desk = split(1, &[(2, 3)]);
    for _ in 0..4 {
        desk.pass(T);
        assert!(!revoked(&desk));
        let reach = name(Topic::Reach(NodeId(2)));
        desk.engine.operate(Op::Delete(reach.clone()));
        desk.hint();
        let other = desk.member.snapshot.members[&NodeId(3)].incarnation;
        desk.engine.operate(Op::Put(reach, ReachRecord::new([(NodeId(3), other)]).to_bytes(), None));
        desk.hint();
    }
    desk.pass(T + SETTLE);
    assert!(revoked(&desk));
}

#[test]
fn an_engine_that_never_answers_is_unreachable() {
    let mut desk = Desk::new(plan(1));
    desk.is_cut = true;
    desk.pass(T * 7);
    assert_eq!(desk.refused().unwrap(), MembershipError::Unreachable("cut".to_owned()).to_string());
}

#[test]
fn whom_etcd_denies_is_told_so_at_once_unless_it_is_a_member() {
    let mut desk = Desk::new(plan(1));
    assert_eq!(desk.member.poll_call(desk.now), Some(Call::Read));
    desk.member.handle_answer(desk.now, Answer::Denied("no permission".to_owned()));
    desk.settle();
    assert!(desk.refused().unwrap().contains("no permission"));

    let mut desk = Desk::joined(1, &[]);
    desk.member.handle_hint(desk.now);
    assert_eq!(desk.member.poll_call(desk.now), Some(Call::Read));
    desk.member.handle_answer(desk.now, Answer::Denied("no permission".to_owned()));
    desk.pass(T);
    assert_eq!(desk.fenced(), None);
}

#[test]
fn whose_key_was_deleted_by_hand_is_a_member_until_its_lease_has_ended() {
    let mut two = Desk::joined(2, &[]);
    let engine = core::mem::replace(&mut two.engine, Engine::new(keys()));
    let mut one = Desk::with(plan(1), engine);
    one.pass(T / 5);
    assert_eq!(one.members(), [1, 2]);
    one.engine.operate(Op::Delete(name(Topic::Member(NodeId(2)))));
    one.hint();
    one.pass(T * 2);
    assert_eq!(one.members(), [1, 2], "it may not know");
    // The engine ends all leases that were not renewed.
    assert!(one.engine.reap(one.now.as_nanos()));
    one.hint();
    one.pass(SETTLE - MOMENT);
    assert_eq!(one.members(), [1, 2], "it is waited for what is on its way");
    // Who is the last one has to be renewed first.
    one.pass(T / 5);
    assert_eq!(one.members(), [1]);
    assert_eq!(one.engine.view().unwrap().removed[0].why, Why::Expired);
}

#[test]
fn a_number_whose_key_was_deleted_by_hand_is_not_free_until_the_lease_has_ended() {
    for wanted in [Some(NodeId(2)), None] {
        let mut two = Desk::joined(2, &[]);
        let mut engine = core::mem::replace(&mut two.engine, Engine::new(keys()));
        engine.operate(Op::Delete(name(Topic::Member(NodeId(2)))));
        let mut again = Desk::with(numbered(wanted), engine);
        again.pass(T);
        assert_eq!(again.commits(Topic::Member(NodeId(2))), 0, "{:?}", again.calls);
    }
}
