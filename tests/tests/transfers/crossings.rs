//! EX asked by one at the old master and by another at the new one, wherever the record is: exactly one grant.

use Mode::{Exclusive, Null};
use lockmaster_core::{Flags, Mode, NodeId, SlotRange, Stage};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::{
    CARL, DORA, EVERYBODY, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask, begin, finish, give, go_on_until,
    is_chunk, lock, long_names, mode_of, release, slot_of, slow_quartet,
};

/// Where a record is when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The slots are offered, and nobody has answered.
    Offered,
    /// Others are on their way.
    NotPacked,
    /// It is on its way.
    InFlight,
    /// It is at the new master, others are still to come.
    Installed,
    /// The slot is complete at the new master, and only Dora knows.
    Complete,
    /// Dora has acknowledged the new master, Carl's acknowledgement is on its way.
    Announced,
}

const PLACES: [Place; 6] =
    [Place::Offered, Place::NotPacked, Place::InFlight, Place::Installed, Place::Complete, Place::Announced];

/// A cluster in which the record of a name is there, and what is held back. The name has a record if somebody keeps
/// a lock on it.
struct Scene {
    cluster: Cluster,
    name: Vec<u8>,
    kept: Vec<Owned>,
    held: Vec<Frame>,
}

fn is_news(frame: &Frame, place: Place) -> bool {
    let is_for_carl = frame.to == CARL || frame.from == CARL;
    match place {
        Place::Offered => frame.is(Word::Noted) || frame.is(Word::Accepted),
        Place::NotPacked | Place::InFlight | Place::Installed => is_chunk(frame),
        Place::Complete => frame.is(Word::NewMaster) && is_for_carl,
        Place::Announced => frame.is(Word::NewMasterAck) && is_for_carl,
    }
}

impl Scene {
    fn new(place: Place, has_record: bool) -> Self {
        let mut cluster = slow_quartet();
        let names = long_names(&mut cluster, 7);
        let range = SlotRange::one(slot_of(&mut cluster));
        let kept: Vec<_> = names[..6].iter().map(|name| lock(&mut cluster, name, DORA, Null)).collect();
        let known = |at: usize| if has_record { names[at].clone() } else { names[6].clone() };
        let (name, held) = match place {
            Place::Offered => {
                give(&mut cluster, range);
                (known(3), cluster.run_but(|frame| is_news(frame, place)))
            }
            Place::NotPacked => (known(5), begin(&mut cluster, range).1),
            Place::InFlight | Place::Installed => {
                let (_, flight) = begin(&mut cluster, range);
                let decider = (place == Place::Installed).then_some(NEW);
                let is_there = |cluster: &mut Cluster| cluster.decider(PLAIN, &names[3]) == decider;
                (known(3), go_on_until(&mut cluster, flight, is_there))
            }
            Place::Complete | Place::Announced => {
                give(&mut cluster, range);
                (known(3), cluster.run_but(|frame| is_news(frame, place)))
            }
        };
        assert!(!held.is_empty(), "{place:?}: something is on its way");
        Self { cluster, name, kept, held }
    }
}

/// Both ask, in this order; what is held back arrives before or after their requests; then everything does.
fn exactly_one(place: Place, has_record: bool, askers: [NodeId; 2], is_late: bool) {
    let story = format!("{place:?}, record: {has_record}, {askers:?}, late: {is_late}");
    let Scene { mut cluster, name, kept, mut held } = Scene::new(place, has_record);
    let asked = askers.map(|node| ask(&mut cluster, &name, node, Exclusive));
    if is_late {
        held.extend(cluster.run_but(|frame| is_news(frame, place)));
    }
    cluster.deliver_all(&held);
    cluster.run();
    cluster.settle(LONG);
    let mut granted = asked.to_vec();
    granted.retain(|owned| mode_of(&mut cluster, *owned) == Some(Exclusive));
    assert_eq!(granted.len(), 1, "{story}");
    assert_eq!(cluster.ends(OLD), [Stage::Done], "{story}");
    let (first, second) = if granted[0] == asked[0] { (asked[0], asked[1]) } else { (asked[1], asked[0]) };
    release(&mut cluster, first);
    cluster.settle(LONG);
    assert_eq!(mode_of(&mut cluster, second), Some(Exclusive), "{story}: the other is next");
    release(&mut cluster, second);
    finish(&mut cluster, &kept);
}

#[test]
fn exclusive_asked_for_at_both_masters_is_granted_once() {
    for place in PLACES {
        for has_record in [true, false] {
            for first in EVERYBODY {
                for second in EVERYBODY.into_iter().filter(|second| *second != first) {
                    for is_late in [true, false] {
                        exactly_one(place, has_record, [first, second], is_late);
                    }
                }
            }
        }
    }
}

/// A holder releases and another waits, while the record is there.
#[test]
fn a_release_finds_the_next_wherever_the_record_is() {
    for place in PLACES {
        for holder in EVERYBODY {
            for waiter in EVERYBODY.into_iter().filter(|waiter| *waiter != holder) {
                let Scene { mut cluster, name, kept, mut held } = Scene::new(place, true);
                let hold = |frame: &Frame| is_news(frame, place);
                let first = ask(&mut cluster, &name, holder, Exclusive);
                held.extend(cluster.run_but(hold));
                let second = ask(&mut cluster, &name, waiter, Exclusive);
                held.extend(cluster.run_but(hold));
                if mode_of(&mut cluster, first).is_some() {
                    release(&mut cluster, first);
                } else {
                    cluster.cancel(first.0, first.1);
                }
                held.extend(cluster.run_but(hold));
                cluster.deliver_all(&held);
                cluster.settle(LONG * 2);
                assert_eq!(
                    mode_of(&mut cluster, second),
                    Some(Exclusive),
                    "{place:?}: {holder} holds, {waiter} waits"
                );
                release(&mut cluster, second);
                finish(&mut cluster, &kept);
            }
        }
    }
}

fn mode_of_if_live(cluster: &mut Cluster, (node, lock): Owned) -> Option<Mode> {
    cluster.node(node).held(lock).ok().flatten()
}

#[test]
fn a_cancel_that_crosses_the_record_is_not_forgotten() {
    for place in PLACES {
        for node in EVERYBODY {
            let Scene { mut cluster, name, mut kept, mut held } = Scene::new(place, true);
            let hold = |frame: &Frame| is_news(frame, place);
            let owned = ask(&mut cluster, &name, node, Exclusive);
            let request = cluster.run_but(|_| true);
            cluster.cancel(owned.0, owned.1);
            held.extend(cluster.run_but(hold));
            cluster.deliver_all(&held);
            cluster.deliver_all(&request);
            cluster.settle(LONG);
            // At the old master's own node the grant may have come first.
            if mode_of_if_live(&mut cluster, owned).is_some() {
                release(&mut cluster, owned);
            }
            let other = if node == CARL { DORA } else { CARL };
            let next = ask(&mut cluster, &name, other, Exclusive);
            cluster.settle(LONG * 2);
            assert_eq!(mode_of(&mut cluster, next), Some(Exclusive), "{place:?}, node {node}");
            kept.push(next);
            finish(&mut cluster, &kept);
        }
    }
}

#[test]
fn who_asks_without_waiting_is_answered_wherever_the_record_is() {
    for place in PLACES {
        for node in EVERYBODY {
            let Scene { mut cluster, name, mut kept, mut held } = Scene::new(place, true);
            let hold = |frame: &Frame| is_news(frame, place);
            let holder = if node == DORA { CARL } else { DORA };
            let strong = ask(&mut cluster, &name, holder, Exclusive);
            held.extend(cluster.run_but(hold));
            let asked = cluster.ask_in(PLAIN, &name, node, Exclusive, Flags::NO_QUEUE);
            held.extend(cluster.run_but(hold));
            cluster.deliver_all(&held);
            cluster.settle(SHORT * 4);
            // Who comes first depends on the place; both are never served.
            let mut served = usize::from(mode_of(&mut cluster, strong).is_some());
            kept.push(strong);
            if let Ok(asked) = asked
                && cluster.node(node).held(asked.lock).is_ok()
            {
                served += usize::from(mode_of(&mut cluster, (node, asked.lock)).is_some());
                kept.push((node, asked.lock));
            }
            assert_eq!(served, 1, "{place:?}, node {node}");
            finish(&mut cluster, &kept);
        }
    }
}
