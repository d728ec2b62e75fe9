//! Every message of a transfer, and of the requests beside it, is lost, repeated or delayed once; then many at a time.

use std::collections::VecDeque;

use Mode::{Exclusive, Null, ProtectedRead};
use lockmaster_core::{
    Event, Flags, Mode, NodeId, RequestError, SlotRange, Stage, Value, ValueState, ValueWrite,
};
use lockmaster_sim::Random;
use lockmaster_tests::cluster::{Cluster, Frame};

use crate::{
    CARL, DORA, LONG, NEW, OLD, Owned, PLAIN, SHORT, ask_with, finish, give, is_settled_on, lock, long_names,
    release, slot_of, slow_quartet,
};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    IsLost,
    ComesTwice,
    /// It comes after all that is on its way then.
    IsLate,
}

/// Messages on their way, one after the other.
pub(crate) struct Post<F> {
    pub(crate) cluster: Cluster,
    fate_of: F,
    queue: VecDeque<Frame>,
    late: Vec<Frame>,
    pub(crate) sent: usize,
    /// Everything arrives from now on.
    is_healed: bool,
}

impl<F: FnMut(usize) -> Fate> Post<F> {
    pub(crate) const fn new(cluster: Cluster, fate_of: F) -> Self {
        Self { cluster, fate_of, queue: VecDeque::new(), late: Vec::new(), sent: 0, is_healed: false }
    }

    fn collect(&mut self) {
        for frame in self.cluster.run_but(|_| true) {
            let at = self.sent;
            self.sent += 1;
            let fate = if self.is_healed { Fate::Arrives } else { (self.fate_of)(at) };
            match fate {
                Fate::Arrives => self.queue.push_back(frame),
                Fate::IsLost => {}
                Fate::ComesTwice => self.queue.extend([frame.clone(), frame]),
                Fate::IsLate => self.late.push(frame),
            }
        }
    }

    /// The next message arrives, if one is on its way; else the next timer fires, if one does within a while.
    fn step(&mut self) -> bool {
        self.collect();
        if let Some(frame) = self.queue.pop_front() {
            self.cluster.deliver(&frame);
        } else if let Some(frame) = self.late.pop() {
            self.cluster.deliver(&frame);
        } else {
            return self.cluster.pass_to_timer(LONG * 3);
        }
        self.collect();
        true
    }

    /// So many messages arrive.
    pub(crate) fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Timers fire for a while; then nothing is lost any more.
    pub(crate) fn settle(&mut self) {
        for is_healed in [false, true] {
            self.is_healed = is_healed;
            let until = self.cluster.now().after(LONG * 3);
            while self.cluster.now() < until && self.step() {}
        }
    }
}

// ---- one story ----

/// Messages that arrive between two things that owners do.
const PACE: usize = 3;

fn value() -> Value {
    Value::new(b"written").expect("the value is short")
}

/// Plays the story with messages that have these fates; returns how many messages there were.
fn play(story: &str, fate_of: impl FnMut(usize) -> Fate) -> usize {
    play_lazily(story, 1, fate_of)
}

/// The same, and what nodes have to tell is polled after every so many inputs only.
fn play_lazily(story: &str, laziness: u64, fate_of: impl FnMut(usize) -> Fate) -> usize {
    let mut cluster = slow_quartet();
    let names = long_names(&mut cluster, 8);
    let range = SlotRange::one(slot_of(&mut cluster));
    let [a, b, c, d, e, f, ..] = &names[..] else { panic!("there are eight names") };
    let mut owned = vec![lock(&mut cluster, a, NEW, ProtectedRead), lock(&mut cluster, d, CARL, Exclusive)];
    let dora_b = lock(&mut cluster, b, DORA, Exclusive);
    let carl_c = lock(&mut cluster, c, CARL, ProtectedRead);
    let dora_c = lock(&mut cluster, c, DORA, ProtectedRead);
    let (_, writer) = ask_with(&mut cluster, e, CARL, Exclusive, Flags::VALUE);
    cluster.run();
    let keeper = lock(&mut cluster, e, OLD, Null);

    cluster.be_lazy(laziness);
    let mut post = Post::new(cluster, fate_of);
    let ask = |post: &mut Post<_>, name: &[u8], node: NodeId, mode: Mode, flags: Flags| -> Owned {
        let asked = post.cluster.ask_in(PLAIN, name, node, mode, flags).expect("there is room");
        post.deliver(PACE);
        (node, asked.lock)
    };
    give(&mut post.cluster, range);
    post.deliver(PACE * 3);
    let carl_a = ask(&mut post, a, CARL, Exclusive, Flags::NONE);
    release(&mut post.cluster, dora_b);
    post.deliver(PACE);
    owned.push(ask(&mut post, b, NEW, Exclusive, Flags::NONE));
    owned.push(ask(&mut post, f, OLD, Exclusive, Flags::NONE));
    // It is refused at once if the deadlock is seen here, which it is not.
    let converted = post.cluster.convert(DORA, dora_c.1, Exclusive, Flags::NONE, ValueWrite::Keep);
    assert_eq!(converted, Ok(None));
    post.deliver(PACE);
    owned.push(ask(&mut post, a, DORA, Exclusive, Flags::NONE));
    post.cluster.cancel(carl_a.0, carl_a.1);
    post.deliver(PACE);
    owned.push(carl_a);
    owned.push(ask(&mut post, f, CARL, ProtectedRead, Flags::NONE));
    release(&mut post.cluster, carl_c);
    post.deliver(PACE);
    post.cluster.release_with(CARL, writer, ValueWrite::Set(value()));
    post.deliver(PACE);
    // Whether it is refused in the call depends on where the record is.
    match post.cluster.ask_in(PLAIN, d, OLD, Exclusive, Flags::NO_QUEUE_DEMAND | Flags::NO_QUEUE) {
        Ok(asked) => owned.push((OLD, asked.lock)),
        Err(error) => assert_eq!(error, RequestError::Busy, "{story}"),
    }
    post.deliver(PACE);
    let reader = ask(&mut post, e, DORA, ProtectedRead, Flags::VALUE);
    post.settle();

    let Post { mut cluster, sent, .. } = post;
    assert_eq!(cluster.ends(OLD), [Stage::Done], "{story}");
    is_settled_on(&mut cluster, range, NEW);
    assert_eq!(cluster.value(DORA, reader.1), ValueState::Valid(value()), "{story}");
    assert_eq!(cluster.node(DORA).held(dora_c.1), Ok(Some(Exclusive)), "{story}");
    // What is lost with a release is found by whoever asks next.
    owned.extend([dora_c, keeper, reader]);
    for name in [a, b, c, d, e, f] {
        owned.push(ask_with(&mut cluster, name, NEW, Exclusive, Flags::NONE));
    }
    finish(&mut cluster, &owned);
    nothing_is_left(story, &mut cluster, &[a, b, c, d, e, f]);
    sent
}

/// No record of these names is anywhere, and nobody was denied anything but for somebody else's lock.
fn nothing_is_left(story: &str, cluster: &mut Cluster, names: &[&Vec<u8>]) {
    for name in names {
        for node in [OLD, NEW] {
            assert_eq!(cluster.look_at(node, PLAIN, name).physical, [], "{story}: nothing is left over");
        }
    }
    for node in cluster.members() {
        let denied = cluster.happened(node).into_iter().filter(
            |event| matches!(event, Event::Denied { reason, .. } if *reason != lockmaster_core::Denial::Busy),
        );
        assert_eq!(denied.collect::<Vec<_>>(), [], "{story}");
    }
}

#[test]
fn every_message_may_be_lost_repeated_or_late() {
    let sent = play("undisturbed", |_| Fate::Arrives);
    assert!(sent > 60, "{sent} messages");
    for fate in [Fate::IsLost, Fate::ComesTwice, Fate::IsLate] {
        for at in 0..sent {
            play(&format!("message {at} {fate:?}"), |other| if other == at { fate } else { Fate::Arrives });
        }
    }
}

#[test]
fn any_two_messages_that_follow_each_other_may_be_lost_or_late() {
    let sent = play("undisturbed", |_| Fate::Arrives);
    for fate in [Fate::IsLost, Fate::IsLate] {
        for at in 0..sent {
            let is_hit = |other: usize| (at..at + 2).contains(&other) || (at + 7..at + 9).contains(&other);
            play(&format!("messages from {at} on {fate:?}"), |other| {
                if is_hit(other) { fate } else { Fate::Arrives }
            });
        }
    }
}

#[test]
fn many_messages_may_be_lost_repeated_and_late() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let harm = 100 + u32::try_from(random.below(300)).expect("it is below 300");
        let fate = |_| {
            if !random.chance(harm) {
                return Fate::Arrives;
            }
            *random.pick(&[Fate::IsLost, Fate::ComesTwice, Fate::IsLate])
        };
        play(&format!("seed {seed}"), fate);
    }
}

#[test]
fn nobody_has_to_be_polled_at_once() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let laziness = random.between(2, 9);
        let fate = |_| {
            if random.chance(800) {
                return Fate::Arrives;
            }
            *random.pick(&[Fate::IsLost, Fate::ComesTwice, Fate::IsLate])
        };
        play_lazily(&format!("seed {seed}, polled after {laziness} inputs"), laziness, fate);
    }
}

#[test]
fn a_connection_that_breaks_at_any_step_only_takes_longer() {
    let pairs = [(OLD, NEW), (OLD, CARL), (NEW, CARL), (NEW, DORA)];
    for (one, other) in pairs {
        for step in 0..40 {
            let mut cluster = slow_quartet();
            let names = long_names(&mut cluster, 3);
            let range = SlotRange::one(slot_of(&mut cluster));
            let mut owned: Vec<_> =
                names.iter().map(|name| lock(&mut cluster, name, CARL, Exclusive)).collect();
            give(&mut cluster, range);
            let mut post = Post::new(cluster, |_| Fate::Arrives);
            post.deliver(step);
            post.cluster.lose(one, other);
            for node in [OLD, NEW, DORA] {
                let asked = post.cluster.ask_in(PLAIN, &names[1], node, ProtectedRead, Flags::NONE).unwrap();
                owned.push((node, asked.lock));
            }
            post.cluster.settle(SHORT * 3);
            post.cluster.introduce(one, other);
            post.cluster.introduce(other, one);
            post.settle();
            let mut cluster = post.cluster;
            assert_eq!(cluster.ends(OLD), [Stage::Done], "{one} and {other} at step {step}");
            is_settled_on(&mut cluster, range, NEW);
            finish(&mut cluster, &owned);
        }
    }
}
