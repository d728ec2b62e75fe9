//! The new master's tables fill up at every step of a transfer: it is refused, or it ends well; nothing is lost.

use Mode::{Exclusive, ProtectedRead};
use lockmaster_core::{Flags, Full, Limits, Mode, Refusal, RequestError, SlotRange, Stage};
use lockmaster_tests::cluster::{Cluster, Frame, Word};

use crate::faults::{Fate, Post};
use crate::{
    CARL, DORA, LONG, NEW, OLD, Owned, PLAIN, ask_with, finish, give, is_settled_on, lock, long_names,
    mode_of, slot_of, small_chunks,
};

/// Others use up all that the new master has left, until it is full.
fn fill(cluster: &mut Cluster, names: &[Vec<u8>]) -> Vec<Owned> {
    let mut owned = Vec::new();
    for name in names {
        match cluster.ask_in(PLAIN, name, NEW, Exclusive, Flags::VALUE) {
            Ok(asked) => owned.push((NEW, asked.lock)),
            Err(RequestError::Full(_)) => {}
            Err(other) => panic!("taken or full: {other:?}"),
        }
    }
    owned
}

/// The new master is full from this step on.
fn full_from(step: usize, limits: Limits) -> Stage {
    let roomy = Limits::uniform(128);
    let mut cluster = Cluster::of_slots(&[roomy, limits, roomy, roomy], 2, small_chunks);
    let names = long_names(&mut cluster, 8);
    let range = SlotRange::one(slot_of(&mut cluster));
    let elsewhere = cluster.slots_of(NEW, PLAIN)[0];
    let others = cluster.names_in(PLAIN, elsewhere, &"o".repeat(30), 60);
    let mut owned = Vec::new();
    for name in &names[..6] {
        owned.push(ask_with(&mut cluster, name, CARL, ProtectedRead, Flags::VALUE));
        cluster.run();
        owned.push(lock(&mut cluster, name, DORA, ProtectedRead));
    }
    let kept = owned.clone();
    give(&mut cluster, range);
    let mut post = Post::new(cluster, |_| Fate::Arrives);
    post.deliver(step);
    owned.extend(fill(&mut post.cluster, &others));
    post.deliver(3);
    // And records come into being in the slot, which may have to be refused.
    for name in &names[6..] {
        owned.push(ask_with(&mut post.cluster, name, DORA, Exclusive, Flags::NONE));
        post.deliver(2);
    }
    post.settle();
    let mut cluster = post.cluster;
    let ends = cluster.ends(OLD);
    let [end] = ends[..] else { panic!("full from step {step}: {ends:?}") };
    is_settled_on(&mut cluster, range, if end == Stage::Done { NEW } else { OLD });
    for owned in &kept {
        assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead), "full from step {step}");
    }
    let master = cluster.maps(range.first)[0];
    for name in &names[..6] {
        assert_eq!(cluster.look_at(master, PLAIN, name).physical.len(), 2, "full from step {step}");
    }
    owned.retain(|(node, lock)| cluster.node(*node).held(*lock).is_ok());
    finish(&mut cluster, &owned);
    cluster.settle(LONG);
    // With room again the slots move again.
    if end != Stage::Done {
        cluster.hand_over(OLD, range, NEW);
    }
    end
}

#[test]
fn the_new_master_may_be_full_at_every_step() {
    let roomy = Limits::uniform(128);
    let tables = [
        (Limits { resources: 20, ..roomy }, Full::Resources),
        (Limits { physical: 20, ..roomy }, Full::Physical),
        (Limits { names: 20, ..roomy }, Full::Names),
        (Limits { values: 20, ..roomy }, Full::Values),
        (Limits { relays: 0, ..roomy }, Full::Locks),
        (Limits { locks: 1, ..roomy }, Full::Locks),
    ];
    for (limits, full) in tables {
        let mut ends = Vec::new();
        for step in 0..40 {
            ends.push(full_from(step, limits));
        }
        assert!(ends.contains(&Stage::Done), "{full:?}");
        let others: Vec<_> = ends.into_iter().filter(|end| *end != Stage::Done).collect();
        let expected = Stage::Refused(Refusal::Full(full));
        assert!(others.iter().all(|end| *end == expected), "{others:?}");
        assert_eq!(others.is_empty(), full == Full::Locks, "{full:?}: full before the offer came");
    }
}

/// Without room for a position that is passed on, its sender says it again.
#[test]
fn positions_that_cannot_be_passed_on_are_stated_again() {
    let limits = [0, 1].map(|relays| Limits { relays, ..Limits::uniform(64) });
    for limits in limits {
        let mut cluster = Cluster::of_slots(&[limits; 4], 2, |_| {});
        let names = long_names(&mut cluster, 6);
        let range = SlotRange::one(slot_of(&mut cluster));
        let mut owned: Vec<_> =
            names.iter().map(|name| lock(&mut cluster, name, CARL, ProtectedRead)).collect();
        give(&mut cluster, range);
        let is_news = |frame: &Frame| frame.is(Word::NewMaster);
        let withheld = cluster.run_but(is_news);
        for name in &names {
            let asked = cluster.ask_in(PLAIN, name, DORA, ProtectedRead, Flags::NONE).unwrap();
            owned.push((DORA, asked.lock));
        }
        cluster.run_but(is_news);
        let dropped = cluster.node(OLD).stats().relays_dropped;
        assert!(dropped > 0, "{dropped} were dropped");
        cluster.deliver_all(&withheld);
        cluster.settle(LONG);
        for owned in &owned {
            assert_eq!(mode_of(&mut cluster, *owned), Some(ProtectedRead));
        }
        assert_eq!(cluster.ends(OLD), [Stage::Done]);
        finish(&mut cluster, &owned);
    }
}
