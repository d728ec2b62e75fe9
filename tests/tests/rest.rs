//! What is taken and given back at rest is taken and given back as ever: two nodes alike, of which one goes that way
//! whenever it can.

use core::hash::Hasher;
use core::time::Duration;
use std::hash::DefaultHasher;

use lockmaster_core::{
    Asked, Event, Flags, HeapMemory, Instant, Limits, LockId, Mode, Node, OwnerId, Priority, Request,
    Retention, SpaceId, ValueWrite,
};
use lockmaster_tests::cluster::config_of;
use quickcheck::{Arbitrary, Gen, QuickCheck};

const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];
/// Locks that are kept without an owner: fewer than there are names.
const RETAINED: u32 = 2;
/// Between a step and the next.
const TICK: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Take(usize, Mode, Flags),
    /// One of the locks that are granted, counted from the first, and round again.
    GiveBack(usize),
    Drive,
}

impl Arbitrary for Step {
    fn arbitrary(drawn: &mut Gen) -> Self {
        let flags = [Flags::NONE, Flags::NONE, Flags::NONE, Flags::NO_QUEUE, Flags::VALUE];
        match u8::arbitrary(drawn) % 8 {
            0..4 => Self::Take(
                usize::arbitrary(drawn) % NAMES.len(),
                *drawn.choose(&Mode::ALL).expect("there are modes"),
                *drawn.choose(&flags).expect("there are some"),
            ),
            4..7 => Self::GiveBack(usize::arbitrary(drawn)),
            _ => Self::Drive,
        }
    }
}

/// A node, and how often something was at rest.
struct Twin {
    node: Node<HeapMemory>,
    goes_at_rest: bool,
    granted: Vec<LockId>,
    rested: Rested,
}

/// How often something was taken and given back at rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rested {
    taken: u32,
    given_back: u32,
}

impl Twin {
    fn new(retention: Retention, goes_at_rest: bool) -> Self {
        let mut config = config_of(1, 1, retention);
        config.spaces[0].retained_max = RETAINED;
        let memory = HeapMemory::new(&Limits::uniform(16), &config);
        let node = Node::new(config, memory).expect("the memory fits");
        Self { node, goes_at_rest, granted: Vec::new(), rested: Rested::default() }
    }

    fn take(&mut self, now: Instant, request: &Request<'_>) {
        if self.goes_at_rest
            && let Some(Asked { lock, grant }) = self.at_rest(|node| node.request_at_rest(now, request))
        {
            assert_eq!(grant.map(|grant| grant.mode), Some(request.mode));
            self.granted.push(lock);
            self.rested.taken += 1;
            return;
        }
        if let Ok(Asked { lock, grant: Some(_) }) = self.node.request(now, request) {
            self.granted.push(lock);
        }
    }

    fn give_back(&mut self, which: usize) {
        if self.granted.is_empty() {
            return;
        }
        let lock = self.granted.remove(which % self.granted.len());
        if self.goes_at_rest && self.at_rest(|node| node.release_at_rest(lock).then_some(())).is_some() {
            self.rested.given_back += 1;
            return;
        }
        self.node.release(lock, ValueWrite::Keep).expect("a granted lock is released");
    }

    /// Does something that leaves nothing to be driven if it succeeds, and changes nothing if it does not.
    fn at_rest<T>(&mut self, act: impl FnOnce(&mut Node<HeapMemory>) -> Option<T>) -> Option<T> {
        let before = self.fingerprint();
        let left = |node: &Node<HeapMemory>| (node.poll_timeout(), node.stats().retained_dropped);
        let left_before = left(&self.node);
        let done = act(&mut self.node);
        assert_eq!(left(&self.node), left_before, "no deadline comes by it, and nothing is given up");
        if done.is_none() {
            assert_eq!(self.fingerprint(), before, "nothing has happened");
        }
        done
    }

    fn drive(&mut self, now: Instant) {
        self.node.handle_timeout(now);
        while let Some(event) = self.node.poll_event() {
            if let Event::Granted { lock, .. } = event {
                self.granted.push(lock);
            }
        }
    }

    fn fingerprint(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.node.fingerprint(&mut hasher);
        hasher.finish()
    }
}

/// Both do the same, and nobody could tell which is which.
fn check_alike(steps: &[Step], retention: Retention) -> Rested {
    let mut twins = [true, false].map(|goes_at_rest| Twin::new(retention, goes_at_rest));
    let mut now = Instant::START;
    for (owner, step) in (1..).zip(steps) {
        now = now.after(TICK);
        for twin in &mut twins {
            match *step {
                Step::Take(name, mode, flags) => twin.take(
                    now,
                    &Request {
                        space: SpaceId(0),
                        name: NAMES[name],
                        owner: OwnerId(owner),
                        mode,
                        flags,
                        priority: Priority(0),
                        patience: None,
                    },
                ),
                Step::GiveBack(which) => twin.give_back(which),
                Step::Drive => twin.drive(now),
            }
        }
        let [resting, other] = &mut twins;
        assert_eq!(resting.fingerprint(), other.fingerprint(), "after {step:?}");
        assert_eq!(resting.node.stats(), other.node.stats(), "after {step:?}");
        assert_eq!(resting.granted, other.granted, "after {step:?}");
    }
    twins[0].rested
}

#[test]
fn at_rest_or_not_is_no_difference() {
    fn check(steps: Vec<Step>) {
        check_alike(&steps, Retention::UntilDemanded);
        check_alike(&steps, Retention::Idle(5 * TICK));
    }
    QuickCheck::new().rng(Gen::from_size_and_seed(60, 5)).tests(500).quickcheck(check as fn(Vec<Step>));
}

#[test]
fn most_of_what_is_retained_is_taken_at_rest() {
    let take = Step::Take(0, Mode::Exclusive, Flags::NONE);
    let steps = [take, Step::GiveBack(0)].repeat(10);
    // The first request is not: the node has nothing yet. Nor is the first release, since the lock gets its place then.
    assert_eq!(check_alike(&steps, Retention::UntilDemanded), Rested { taken: 9, given_back: 9 });
    assert_eq!(check_alike(&steps, Retention::Never), Rested::default());
}
