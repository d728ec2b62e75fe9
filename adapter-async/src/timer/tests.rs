use super::*;

const fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

#[test]
fn only_an_earlier_deadline_wakes_the_task() {
    let mut timer = Timer::new();
    assert!(timer.set(Some(at(50))).is_none());
    assert_eq!(timer.sleep(), Sleep::Until(at(50)));
    assert!(timer.poll(at(50), Waker::noop(), &mut Stale::new()).is_pending());
    assert!(timer.set(Some(at(60))).is_none());
    assert!(timer.set(None).is_none());
    assert!(timer.set(Some(at(40))).is_some());
    assert!(timer.poll(at(50), Waker::noop(), &mut Stale::new()).is_ready());
    assert_eq!(timer.sleep(), Sleep::Until(at(40)));
}

#[test]
fn a_deadline_that_came_before_the_task_slept_is_not_missed() {
    let mut timer = Timer::new();
    assert_eq!(timer.sleep(), Sleep::Until(Instant::NEVER));
    assert!(timer.set(Some(at(1))).is_none());
    assert!(timer.poll(Instant::NEVER, Waker::noop(), &mut Stale::new()).is_ready());
}

#[test]
fn a_spent_budget_brings_the_task_back_once() {
    let mut timer = Timer::new();
    assert_eq!(timer.sleep(), Sleep::Until(Instant::NEVER));
    assert!(timer.poll(Instant::NEVER, Waker::noop(), &mut Stale::new()).is_pending());
    assert!(timer.spend().is_some());
    assert!(timer.poll(Instant::NEVER, Waker::noop(), &mut Stale::new()).is_ready());
    assert_eq!(timer.sleep(), Sleep::Yield);
    assert_eq!(timer.sleep(), Sleep::Until(Instant::NEVER));
}
