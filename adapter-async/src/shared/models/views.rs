//! What a provider tells, against what the application and the node's own tasks and threads do.

use super::{
    Arc, EX, Instant, Mode, Node, Poll, Reach, Still, Waker, block_on, granted, is_clean, model, pin, poll,
    thread,
};
use crate::machines::Machines;
use crate::membership::duty::Duty;
use crate::membership::{Ear, Hear, Inbox};
use crate::shared::State;
use crate::shared::still::{PEER, Pipe, lone_member, outsider, view};
use crate::{Certainty, ConvertError, Epoch, Incarnation, Standing};

/// An inbox that leads to no node yet.
fn inbox(node: &Node<Still>) -> (std::sync::Arc<Ear<Still>>, Inbox) {
    let runtime = Arc::clone(node.machines().runtime());
    let ear = std::sync::Arc::new(Ear::new(runtime, None));
    let inbox = Inbox::new(std::sync::Arc::clone(&ear) as std::sync::Arc<dyn Hear>);
    (ear, inbox)
}

/// The node begins its next life, and is told of a view.
fn come_back(node: &Node<Still>) {
    let life = node.machines().lead().rejoin(Incarnation(2)).expect("every loss was told").expect("it runs");
    node.machines().lead().hear_view(life, view(2, 2, &[]));
}

/// The thread that joins, which waits for what it has to do.
fn keeper(node: &Node<Still>) -> thread::JoinHandle<Duty> {
    let machines: std::sync::Arc<Machines<Still>> = std::sync::Arc::clone(node.machines());
    thread::spawn(move || {
        let sight = |state: &mut State<Pipe>| state.members.sight(&state.lifecycle);
        block_on(machines.when(sight, |sights| Duty::of(sights, Some(&[]))))
    })
}

// The inbox.

#[test]
fn no_view_is_missed_while_the_node_is_made() {
    model(Reach::Complete, || {
        let node = outsider();
        let (ear, inbox) = inbox(&node);
        let provider = thread::spawn(move || {
            inbox.view(view(1, 1, &[]));
            inbox.view(view(2, 1, &[]));
        });
        ear.attach(node.machines(), [1].into());
        provider.join().unwrap();
        assert_eq!(node.view().map(|view| view.epoch), Some(Epoch(2)));
        drop(granted(node.lock("a", EX)));
        ear.end();
    });
}

#[test]
fn of_two_who_tell_the_later_view_stays() {
    model(Reach::Complete, || {
        let node = outsider();
        let (ear, inbox) = inbox(&node);
        ear.attach(node.machines(), [1].into());
        let other = inbox.clone();
        let other = thread::spawn(move || other.view(view(1, 1, &[PEER])));
        inbox.view(view(2, 1, &[]));
        other.join().unwrap();
        assert_eq!(node.members().len(), 1);
        ear.end();
    });
}

#[test]
fn the_end_that_comes_while_the_node_is_made_is_not_missed() {
    model(Reach::Complete, || {
        let node = outsider();
        let (ear, inbox) = inbox(&node);
        let provider = thread::spawn(move || {
            inbox.view(view(1, 1, &[]));
            inbox.fenced("by the model");
        });
        ear.attach(node.machines(), [1].into());
        provider.join().unwrap();
        assert_eq!(node.standing(), Standing::Fenced);
        ear.end();
    });
}

#[test]
fn an_inbox_of_an_earlier_life_ends_no_later_one() {
    model(Reach::Complete, || {
        let node = lone_member();
        let (ear, inbox) = inbox(&node);
        ear.attach(node.machines(), [1].into());
        let provider = thread::spawn(move || {
            inbox.fenced("once");
            inbox.certainty(Certainty { suspect_at: Instant::START, fenced_at: Instant::START });
        });
        node.machines().lead().hear_fenced(1, "twice");
        come_back(&node);
        provider.join().unwrap();
        assert_eq!(node.standing(), Standing::Member);
        ear.end();
    });
}

// Losses.

#[test]
fn the_loss_of_a_lock_is_not_missed() {
    model(Reach::Complete, || {
        let node = lone_member();
        let guard = granted(node.lock("a", EX));
        let holder = thread::spawn(move || {
            block_on(guard.lost());
            assert!(guard.is_lost());
        });
        node.machines().lead().hear_fenced(1, "by the model");
        holder.join().unwrap();
        assert!(is_clean(&node));
    });
}

#[test]
fn two_who_wait_for_the_loss_are_both_told() {
    model(Reach::Preemptions(3), || {
        let node = lone_member();
        let guard = Arc::new(granted(node.lock("a", EX)));
        let other = Arc::clone(&guard);
        let other = thread::spawn(move || block_on(other.lost()));
        let fence = node.clone();
        let fence = thread::spawn(move || fence.machines().lead().hear_fenced(1, "by the model"));
        block_on(guard.lost());
        other.join().unwrap();
        fence.join().unwrap();
    });
}

#[test]
fn a_lost_conversion_ends_its_wait() {
    model(Reach::Complete, || {
        let node = lone_member();
        let (mine, mut other) =
            (granted(node.lock("a", Mode::ProtectedRead)), granted(node.lock("a", Mode::ProtectedRead)));
        let other = thread::spawn(move || block_on(other.convert(EX)));
        node.machines().lead().hear_fenced(1, "by the model");
        assert_eq!(other.join().unwrap(), Err(ConvertError::Lost));
        drop(mine);
        assert!(is_clean(&node));
    });
}

#[test]
fn who_waits_is_granted_in_the_next_life() {
    model(Reach::Complete, || {
        let node = lone_member();
        let guard = granted(node.lock("a", EX));
        let other = node.clone();
        let other = thread::spawn(move || block_on(other.lock("a", EX)).map(drop));
        node.machines().lead().hear_fenced(1, "by the model");
        come_back(&node);
        // It is lost, so nobody holds the lock any more, and dropping it does nothing.
        assert_eq!(other.join().unwrap(), Ok(()));
        drop(guard);
        assert!(is_clean(&node));
    });
}

#[test]
fn a_grant_that_is_lost_before_it_is_fetched_is_asked_for_anew() {
    model(Reach::Complete, || {
        let node = lone_member();
        let guard = granted(node.lock("a", EX));
        let mut waiting = Box::pin(node.lock("a", EX));
        assert!(poll(waiting.as_mut(), Waker::noop()).is_pending());
        let releases = thread::spawn(move || drop(guard));
        node.machines().lead().hear_fenced(1, "by the model");
        come_back(&node);
        releases.join().unwrap();
        let second = block_on(waiting).unwrap();
        assert!(!second.is_lost());
        drop(second);
        assert!(is_clean(&node));
    });
}

// Who waits for a change.

#[test]
fn no_change_is_missed() {
    model(Reach::Complete, || {
        let node = outsider();
        let other = node.clone();
        let changed = node.changed();
        let provider = thread::spawn(move || other.machines().lead().hear_view(1, view(1, 1, &[])));
        block_on(changed);
        assert!(node.view().is_some());
        provider.join().unwrap();
        assert!(node.machines().lead().lock().lifecycle.waiters.is_idle());
    });
}

#[test]
fn the_thread_that_joins_learns_what_it_has_to_do() {
    model(Reach::Complete, || {
        let node = lone_member();
        let guard = granted(node.lock("a", EX));
        let keeper = keeper(&node);
        node.machines().lead().hear_fenced(1, "by the model");
        assert_eq!(keeper.join().unwrap(), Duty::Rejoin);
        drop(guard);
    });
}

#[test]
fn shutdown_is_an_orderly_end_for_the_thread_that_joins() {
    model(Reach::Complete, || {
        let node = lone_member();
        let keeper = keeper(&node);
        node.machines().lead().close();
        assert_eq!(keeper.join().unwrap(), Duty::Leave);
    });
}

#[test]
fn a_member_is_dialled_by_one_task() {
    model(Reach::Complete, || {
        let node = outsider();
        let shared = node.machines().lead();
        shared.hear_view(1, view(1, 1, &[PEER]));
        assert_eq!(shared.lock().members.undialled(), Some(vec![PEER]));
        let task = Arc::clone(shared);
        let task = thread::spawn(move || task.lock().members.target_or_end(PEER).is_some());
        shared.hear_view(1, view(2, 1, &[]));
        shared.hear_view(1, view(3, 1, &[PEER]));
        let is_begun_anew = shared.lock().members.undialled().is_some();
        assert_ne!(task.join().unwrap(), is_begun_anew, "one task goes on, or another begins");
    });
}

#[test]
fn a_guard_that_is_dropped_while_it_is_lost_releases_nothing_else() {
    model(Reach::Complete, || {
        let node = lone_member();
        let guard = granted(node.lock("a", EX));
        let holder = thread::spawn(move || drop(guard));
        node.machines().lead().hear_fenced(1, "by the model");
        come_back(&node);
        let again = granted(node.lock("a", EX));
        holder.join().unwrap();
        assert!(!again.is_lost());
        let mut second = pin!(node.lock("a", EX));
        assert!(matches!(poll(second.as_mut(), Waker::noop()), Poll::Pending));
        drop(again);
        assert!(matches!(poll(second.as_mut(), Waker::noop()), Poll::Ready(Ok(_))));
    });
}
