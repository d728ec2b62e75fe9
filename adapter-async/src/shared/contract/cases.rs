//! Each future of the node, dropped after every step that it can be dropped at.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use super::Driven;
use super::rig::Rig;
use crate::shared::still::{EX, ME, PEER, PR, Still};
use crate::{ConvertError, Flags, Guard, LockError, LockOptions, Mode, TransferError};

/// What else happens, in this order, whenever nothing else moves.
type Act = Box<dyn FnOnce(&mut Rig)>;

/// A future of node 1 in its surroundings.
struct Case {
    subject: Pin<Box<dyn Future<Output = ()>>>,
    acts: Vec<Act>,
}

impl Case {
    fn new(subject: impl Future<Output = ()> + 'static) -> Self {
        Self { subject: Box::pin(subject), acts: Vec::new() }
    }

    fn then(mut self, act: impl FnOnce(&mut Rig) + 'static) -> Self {
        self.acts.push(Box::new(act));
        self
    }

    fn then_drop(self, guard: Guard<Still>) -> Self {
        self.then(move |_| drop(guard))
    }
}

/// How a subject is polled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Polls {
    /// When it was woken, and only then.
    Woken,
    /// Before every other step too, with a waker of its own, as a task does that waits for more than this.
    Always,
}

/// Runs a case to its end, and once for every step before that with the subject dropped there.
fn at_every_step(make: impl Fn(&mut Rig) -> Case) {
    for polls in [Polls::Woken, Polls::Always] {
        let steps = (0..).take_while(|cut| !is_over_before(*cut, polls, &make)).count();
        assert!(steps > 0, "a future that does nothing shows nothing");
    }
}

/// One run with the subject dropped after this many steps. Returns whether it had resolved by then.
fn is_over_before(cut: usize, polls: Polls, make: &impl Fn(&mut Rig) -> Case) -> bool {
    let mut rig = Rig::new();
    let names = [rig.name(ME, 0), rig.name(PEER, 0)];
    let Case { subject, acts } = make(&mut rig);
    let mut subject = Driven::new(&rig.nodes[0], subject);
    let mut acts = acts.into_iter();
    let mut is_over = false;
    for _ in 0..cut {
        if polls == Polls::Always && !subject.is_due() {
            is_over = subject.poll().is_some();
            assert!(!is_over, "what can go on was woken");
        }
        if subject.is_due() {
            is_over = subject.poll().is_some();
            if is_over {
                break;
            }
        } else if !rig.step() {
            let act = acts.next().expect("a future that nobody will wake has missed its waking");
            act(&mut rig);
        }
    }
    if !is_over {
        subject.cancel();
    }
    for act in acts {
        rig.settle();
        act(&mut rig);
    }
    rig.settle();
    rig.assert_clean(&names);
    is_over
}

#[test]
fn a_wait_behind_an_owner_of_the_same_node() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let held = rig.hold(0, &name, EX);
        Case::new(async move { drop(node.lock(name, EX).await.unwrap()) }).then_drop(held)
    });
}

#[test]
fn a_wait_behind_another_node() {
    for master in [ME, PEER] {
        at_every_step(|rig| {
            let (node, name) = (rig.nodes[0].clone(), rig.name(master, 0));
            let held = rig.hold(1, &name, EX);
            let options = LockOptions::new(EX).value(true);
            Case::new(async move { drop(node.lock_with(name, options).await.unwrap()) }).then_drop(held)
        });
    }
}

#[test]
fn a_refusal() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(PEER, 0));
        let held = rig.hold(1, &name, EX);
        let asked = async move { assert_eq!(node.try_lock(name, EX).await.map(drop), Err(LockError::Busy)) };
        Case::new(asked).then_drop(held)
    });
}

#[test]
fn a_conversion() {
    for holder in [0, 1] {
        at_every_step(|rig| {
            let (node, name) = (rig.nodes[0].clone(), rig.name(PEER, 0));
            let held = rig.hold(holder, &name, PR);
            let converts = async move {
                let mut guard = node.lock(name, PR).await.unwrap();
                guard.convert(EX).await.unwrap();
                assert_eq!(guard.mode(), EX);
                guard.convert(PR).await.unwrap();
            };
            Case::new(converts).then_drop(held)
        });
    }
}

#[test]
fn a_conversion_that_is_dropped_keeps_its_guard() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let held = rig.hold(1, &name, PR);
        let converts = async move {
            let mut guard = node.lock(name, PR).await.unwrap();
            {
                let mut converting = pin!(guard.convert(EX));
                let once = poll_fn(|context| Poll::Ready(converting.as_mut().poll(context)));
                assert!(once.await.is_pending());
            }
            assert_eq!(guard.mode(), PR);
            guard.convert(Mode::ConcurrentRead).await.unwrap();
        };
        Case::new(converts).then_drop(held)
    });
}

#[test]
fn a_conversion_in_deadlock() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(PEER, 0));
        let mut held = rig.hold(1, &name, PR);
        let converts = async move {
            let mut guard = node.lock(name, PR).await.unwrap();
            let converted = guard.convert_with(EX, Flags::NONE, None).await;
            assert!(matches!(converted, Ok(()) | Err(ConvertError::Deadlock)));
        };
        Case::new(converts).then(move |rig| {
            let other = async move {
                let _ = held.convert(EX).await;
            };
            rig.others.push(Driven::new(&rig.nodes[1], other));
        })
    });
}

#[test]
fn news_of_a_waiter() {
    for waiter in [0, 1] {
        at_every_step(|rig| {
            let (node, name) = (rig.nodes[0].clone(), rig.name(PEER, 0));
            let (other, wanted) = (rig.nodes[waiter].clone(), name.clone());
            let watches = async move {
                let guard = node.lock(name, EX).await.unwrap();
                assert_eq!(guard.contended().await, EX);
            };
            Case::new(watches).then(move |rig| {
                let wait = async move { drop(other.lock(wanted, EX).await.unwrap()) };
                rig.others.push(Driven::new(&rig.nodes[waiter], wait));
            })
        });
    }
}

#[test]
fn news_that_came_before_the_watch() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let guard = rig.hold(0, &name, EX);
        let wait = async move { drop(node.lock(name, EX).await.unwrap()) };
        rig.others.push(Driven::new(&rig.nodes[0], wait));
        rig.settle();
        Case::new(async move { assert_eq!(guard.contended().await, EX) })
    });
}

#[test]
fn a_transfer_of_a_slot_in_use() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let range = rig.slot_of(&name);
        let held = rig.hold(1, &name, EX);
        let transfers = async move {
            let end = node.transfer(range, PEER).await.unwrap();
            assert_eq!(end.locks, 1);
        };
        Case::new(transfers).then_drop(held)
    });
}

#[test]
fn a_transfer_that_is_taken_back() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let range = rig.slot_of(&name);
        Case::new(async move {
            let mut transfer = pin!(node.transfer(range, PEER));
            let once = poll_fn(|context| Poll::Ready(transfer.as_mut().poll(context)));
            assert!(once.await.is_pending());
            transfer.withdraw().unwrap();
            assert_eq!(transfer.await, Err(TransferError::Withdrawn));
        })
    });
}

#[test]
fn the_end_of_the_node() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(PEER, 0));
        let held = rig.hold(1, &name, EX);
        let waits = async move { assert_eq!(node.lock(name, EX).await.map(drop), Err(LockError::Closed)) };
        Case::new(waits).then(|rig| rig.nodes[0].machines().lead().close()).then_drop(held)
    });
}

#[test]
fn the_end_of_the_node_for_those_who_hold_and_transfer() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let range = rig.slot_of(&name);
        let other = node.clone();
        let transfer = async move {
            let _ = other.transfer(range, PEER).await;
        };
        rig.others.push(Driven::new(&rig.nodes[0], transfer));
        let holds = async move {
            let guard = node.lock(name, EX).await.unwrap();
            node.machines().lead().close();
            guard.lost().await;
            node.shutdown().await;
        };
        Case::new(holds)
    });
}

#[test]
fn the_end_of_the_node_for_conversions() {
    at_every_step(|rig| {
        let (node, name) = (rig.nodes[0].clone(), rig.name(ME, 0));
        let held = rig.hold(0, &name, PR);
        let converts = async move {
            let mut guard = node.lock(name, PR).await.unwrap();
            assert_eq!(guard.convert(EX).await, Err(ConvertError::Closed));
        };
        Case::new(converts).then(|rig| rig.nodes[0].machines().lead().close()).then_drop(held)
    });
}

#[test]
fn the_members_are_heard() {
    let mut rig = Rig::apart();
    for cut in 0..=1 {
        let node = rig.nodes[0].clone();
        let mut opened = Driven::new(&rig.nodes[0], async move { node.opened().await });
        for _ in 0..cut {
            assert!(opened.poll().is_none());
        }
        rig.settle();
        assert!(cut == 0 || !opened.is_due());
        opened.cancel();
    }
    let node = rig.nodes[0].clone();
    let mut opened = Driven::new(&rig.nodes[0], async move { node.opened().await });
    assert!(opened.poll().is_none());
    rig.connect();
    rig.settle();
    assert!(opened.is_due() && opened.poll().is_some());
    rig.assert_clean(&[]);
}
